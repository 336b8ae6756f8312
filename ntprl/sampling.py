"""Batched generation with a KV cache, shared between answers for as long as they agree."""

import numpy as np
import torch

from ntprl.errors import require_integer, require_number
from ntprl.tasks.task import PAD
from ntprl.transformer import Transformer


def choose(logits: torch.Tensor, temperature: float, generator: torch.Generator | None) -> torch.Tensor:
    """One token a row, (B, V) -> (B,): the likeliest at temperature 0, else from softmax(logits / temperature).

    Drawn by the Gumbel-max trick: with E_i exponential, argmax_i (z_i - ln E_i) has the law softmax(z).
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    noise = torch.empty_like(logits).exponential_(generator=generator).log_()
    return (logits / temperature - noise).argmax(dim=-1)


@torch.inference_mode()
def sample(
    model: Transformer,
    prompts: np.ndarray,
    eos: int,
    max_new: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    group: int = 1,
    min_length: int = 0,
) -> np.ndarray:
    """`group` independent answers to each prompt, (n, P) -> (n * group, T) with T <= max_new.

    Answers are tokens up to EOS, then PAD; those of one prompt stand together. temperature 0 is greedy
    decoding. EOS is forbidden before `min_length` tokens. A row that writes no EOS in max_new tokens is
    cut there.

    The model reads each distinct (prompt, answer so far) once: the group shares its prompt, and answers
    that agree so far share what they have written, since their next-token distribution is the same.
    Tokens are still drawn one by one for each answer. A finished answer is dropped at once.
    """
    require_number("temperature", temperature, low=0)
    require_integer("max_new", max_new, low=1)
    require_integer("group", group, low=1)
    require_integer("min_length", min_length, low=0)
    answers = torch.full((len(prompts) * group, max_new), PAD)
    if len(prompts) == 0:
        return answers.numpy()
    device = model.embed.weight.device
    cache = model.new_cache(len(prompts))
    rows = torch.arange(len(answers), device=device)  # answers still being written
    nodes = rows // group  # the distinct text, a row of the cache, that each of them continues
    tokens = torch.as_tensor(prompts, device=device)
    for t in range(max_new):
        logits = model(tokens, n_out=1, cache=cache)[:, 0]  # (nodes, V)
        if t < min_length:
            logits[:, eos] = -torch.inf
        chosen = choose(logits[nodes], temperature, generator)  # (rows,)
        answers[rows.cpu(), t] = chosen.cpu()
        alive = chosen != eos
        all_alive = bool(alive.all())
        if not all_alive:
            rows, nodes, chosen = rows[alive], nodes[alive], chosen[alive]
            if len(rows) == 0:
                return answers[:, : t + 1].numpy()
        vocab_size = logits.shape[1]
        texts, nodes = (nodes * vocab_size + chosen).unique(return_inverse=True)  # sorted
        parents, tokens = texts // vocab_size, (texts % vocab_size)[:, None]
        if not all_alive or len(parents) > len(logits):  # else each text goes on in one way
            cache.keep_rows(parents)
    return answers.numpy()


def greedy(model: Transformer, prompts: np.ndarray, eos: int, max_new: int) -> np.ndarray:
    """The likeliest token at every position, (n, P) -> (n, T)."""
    return sample(model, prompts, eos, max_new, temperature=0)
