"""What a language model answers to held-out questions, greedily and sampled: is it right, is it long, how long."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ntprl.errors import InputError, require_integer
from ntprl.llama.hub import quiet
from ntprl.measure import share
from ntprl.tasks.rows import MARK, Row, is_long, prompt

# Llama's chat template writes today's date into each prompt unless it is given one.
CHAT = {"date_string": "26 Jul 2024"}


def messages(question: str) -> list[dict[str, str]]:
    """A question to a model with a chat template."""
    return [{"role": "user", "content": question}]


def prompt_ids(tokenizer: Any, questions: Sequence[str]) -> list[list[int]]:
    """The tokens that a model reads before it answers; with a chat template, of a conversation."""
    if not tokenizer.chat_template:
        return tokenizer([prompt(question) for question in questions])["input_ids"]
    render = tokenizer.apply_chat_template
    options = dict(add_generation_prompt=True, tokenize=True, return_dict=True) | CHAT
    return [render(messages(question), **options)["input_ids"] for question in questions]


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the tokenizer's, and those that the model's generation settings add."""
    stated = model.generation_config.eos_token_id
    stated = [] if stated is None else [stated] if isinstance(stated, int) else list(stated)
    return sorted({tokenizer.eos_token_id, *stated})


@torch.no_grad()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    batch: int = 32,
) -> list[tuple[list[int], bool]]:
    """(tokens before the end, did it end?) of one answer to each prompt, by transformers' `generate`.

    temperature  0 takes the likeliest token. Else tokens are drawn from the whole softmax(logits / temperature),
                 whatever top-p, top-k or temperature the model comes with.
    seed, batch  with these the draws are fixed; the random state outside is left as it was
    """
    ends, device = end_ids(model, tokenizer), next(model.parameters()).device
    pad = ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    settings: dict = dict(max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=pad, use_cache=True)
    settings |= dict(do_sample=temperature > 0, num_beams=1, repetition_penalty=1.0)
    if temperature > 0:  # each is said, since the model's own settings fill what is not
        settings |= dict(temperature=temperature, top_p=1.0, top_k=0)
    was_training = model.training
    model.eval()  # training mode would switch the KV cache off where activations are recomputed
    answers = []
    try:
        with quiet(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for start in range(0, len(prompts), batch):
                some = prompts[start : start + batch]
                width = max(map(len, some))
                ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in some], device=device)
                mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in some], device=device)
                new = model.generate(input_ids=ids, attention_mask=mask, **settings)[:, width:]
                for row in new.tolist():
                    end = next((place for place, token in enumerate(row) if token in ends), None)
                    answers.append((row[:end], end is not None))
    finally:
        model.train(was_training)
    return answers


def _mine(rows: list[Row]) -> list[Row]:
    """The rows for this process, where several share the work; some twice, so that all have equally many."""
    if not dist.is_initialized():
        return rows
    rank, world = dist.get_rank(), dist.get_world_size()
    return [rows[index % len(rows)] for index in range(rank, -(-len(rows) // world) * world, world)]


def _everyones(values: list, n: int) -> list:
    """What all processes found, in the order of the n rows."""
    if not dist.is_initialized():
        return values
    found: list = [None] * dist.get_world_size()
    dist.all_gather_object(found, values)
    return [value for together in zip(*found, strict=True) for value in together][:n]


def judge(answers: list[tuple[str, str, int, bool]], mark: str, name: str) -> dict[str, float]:
    """Rates of answers (text, truth, tokens, did it end?), each key starting with `name` (greedy or sampled)."""
    from ntprl.tasks.answers import is_right

    right = np.array([is_right(text, truth, mark) for text, truth, _, _ in answers], dtype=bool)
    long = np.array([is_long(text, mark) for text, _, _, _ in answers], dtype=bool)
    tokens = np.array([count for _, _, count, _ in answers])
    return {
        f"{name}_accuracy": share(right),
        f"{name}_long": share(long),
        f"{name}_long_accuracy": share(right[long]),
        f"{name}_short_accuracy": share(right[~long]),
        f"{name}_median_length": float(np.median(tokens)),
        f"{name}_mean_length": float(np.mean(tokens)),
        f"{name}_cut": share(~np.array([ended for _, _, _, ended in answers], dtype=bool)),
    }


def evaluate(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    mark: str = MARK,
    n: int | None = None,
    max_new_tokens: int = 256,
    seed: int = 0,
    batch: int = 32,
) -> dict[str, float]:
    """Measures of one greedy answer and one answer at temperature 1 to each of the first n rows (all by default).

    greedy_*, sampled_*   accuracy, share of long answers, accuracy of the long and of the short ones (NaN if there
                          are none), median and mean length in tokens before the end, share that was cut
    n_eval                answers judged

    The model may be any causal language model of transformers. Where several processes share a run, all must
    call this; each answers its part and gets the measures of all.
    """
    if n is not None:
        require_integer("n", n, low=1)
    rows = list(rows)[:n]
    if not rows:
        raise InputError("rows = [] is not allowed: there must be a question to answer")
    mine = _mine(rows)
    prompts = prompt_ids(tokenizer, [row.question for row in mine])
    own_seed = seed + (dist.get_rank() if dist.is_initialized() else 0)
    measures: dict[str, float] = {}
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        written = generate(model, tokenizer, prompts, max_new_tokens, temperature, own_seed, batch)
        texts = tokenizer.batch_decode([ids for ids, _ in written], skip_special_tokens=True)
        found = [
            (text, row.answer, len(ids), ended) for text, row, (ids, ended) in zip(texts, mine, written, strict=True)
        ]
        measures |= judge(_everyones(found, len(rows)), mark, name)
    return measures | {"n_eval": len(rows)}
