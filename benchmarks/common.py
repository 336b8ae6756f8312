"""What the benchmarks share: the libraries' models and trainers, a clock, the order of runs, ratios, files."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from limits import ceilings, counting
from tables import write_files as write_files
from torch.nn import functional as F

from ntprl.book.run import Run
from ntprl.book.store import code_version, provenance
from ntprl.errors import install_command, require, require_integer
from ntprl.posttrain import PosttrainConfig, Reward
from ntprl.pretrain import PretrainConfig, learning_rate, make_optimizer
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD
from ntprl.transformer import ROTARY_BASE, Transformer

try:
    import accelerate
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers
except ImportError as error:
    sys.exit(f"{error}: this benchmark needs {install_command('bench')}")

# [operations, bytes] counted so far
Counted = Callable[[], np.ndarray]
# (repetition, counted so far) -> (seconds, how many of what is timed, [operations, bytes])
Contestant = Callable[[int, Counted], tuple[float, int, np.ndarray]]
STATISTICS = ["median", "min", "max"]


class Clock(transformers.TrainerCallback):
    """Seconds, operations and bytes from the end of step `first` to the end of step `last`, the device idle at both.

    `now` tells what has been counted so far. Trainer calls `on_step_end`; `tick` is a callback for
    `pretrain` and for `posttrain`.
    """

    def __init__(self, first: int, last: int, device: str = "cpu", now: Counted = lambda: np.zeros(2)):
        self.marks, self.device, self.now = (first, last), device, now
        self.seconds, self.counted = 0.0, np.zeros(2)

    def tick(self, done: int, model=None, loss: torch.Tensor | None = None) -> dict:
        if done in self.marks:
            if self.device != "cpu":
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.seconds  # a time first, then the difference to it
            self.counted = self.now() - self.counted
        return {"loss": loss}

    def on_step_end(self, args, state, control, **kwargs):
        self.tick(state.global_step)


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


# --- the libraries' side ---


def as_gpt2(model: Transformer, eos: int, gelu: str = "gelu_pytorch_tanh") -> transformers.GPT2LMHeadModel:
    """The same function; one position more, as it reads the last token too."""
    c = model.config
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=c.vocab_size, n_positions=c.max_length + 1, n_embd=c.width, n_layer=c.n_layer,
        n_head=c.n_head, bos_token_id=eos, eos_token_id=eos, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        attn_implementation="sdpa", activation_function=gelu, use_cache=False,
    ))  # fmt: skip
    names = "blocks:h norm_1:ln_1 norm_2:ln_2 norm.:ln_f. embed:wte position:wpe attention.qkv:attn.c_attn "
    names += "attention.out:attn.c_proj feed_forward.up:mlp.c_fc feed_forward.down:mlp.c_proj"
    weights = {}
    for name, tensor in model.named_parameters():
        for pair in names.split():
            name = name.replace(*pair.split(":"))
        weights[name] = tensor.T if ".c_" in name and tensor.dim() == 2 else tensor  # stored (in, out)
    weights["wpe.weight"] = F.pad(weights["wpe.weight"], (0, 0, 0, 1))
    gpt2.transformer.load_state_dict(weights)
    gpt2.generation_config.use_cache = True  # in generation only; TRL asks here too
    return gpt2.to(model.embed.weight.device)


def as_mistral(model: Transformer, eos: int) -> transformers.MistralForCausalLM:
    """The same function; no sliding window, keys and values for every head. What is one product here is three there."""
    c = model.config
    mistral = transformers.MistralForCausalLM(transformers.MistralConfig(
        vocab_size=c.vocab_size, max_position_embeddings=c.max_length + 1, hidden_size=c.width,
        intermediate_size=c.hidden_size, num_hidden_layers=c.n_layer, num_attention_heads=c.n_head,
        num_key_value_heads=c.n_head, hidden_act="silu", rms_norm_eps=model.norm.eps, sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE}, attention_dropout=0.0,
        tie_word_embeddings=False, bos_token_id=eos, eos_token_id=eos, attn_implementation="sdpa", use_cache=False,
    ))  # fmt: skip
    weights = {"model.embed_tokens": model.embed.weight, "model.norm": model.norm.weight, "lm_head": model.head.weight}
    for i, block in enumerate(model.blocks):
        attention, feed_forward = block.attention, block.feed_forward
        q, k, v = attention.qkv.weight.chunk(3)
        gate, value = feed_forward.up.weight.chunk(2)
        mine = {"input_layernorm": block.norm_1.weight, "post_attention_layernorm": block.norm_2.weight}
        mine |= {f"self_attn.{name}_proj": rows for name, rows in zip("qkv", (q, k, v), strict=True)}
        mine |= {"self_attn.o_proj": attention.out.weight, "mlp.down_proj": feed_forward.down.weight}
        mine |= {"mlp.gate_proj": gate, "mlp.up_proj": value}
        weights |= {f"model.layers.{i}.{name}": tensor for name, tensor in mine.items()}
    mistral.load_state_dict({f"{name}.weight": tensor for name, tensor in weights.items()})
    mistral.generation_config.use_cache = True
    return mistral.to(model.embed.weight.device)


def as_library(model: Transformer, eos: int) -> transformers.PreTrainedModel:
    """The same function, by transformers' model of its style; GELU in one operator."""
    return (as_gpt2 if model.config.style == "gpt2" else as_mistral)(model, eos)


def generate(
    theirs: transformers.PreTrainedModel,
    eos: int,
    prompts: np.ndarray,
    max_new: int,
    group: int = 1,
    sampled: bool = True,
) -> np.ndarray:
    """transformers' answers at temperature 1, or the likeliest, (n * group, T), with what follows EOS."""
    ids, how = torch.as_tensor(prompts), {"do_sample": False}
    if sampled:
        how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "num_return_sequences": group}
    with torch.inference_mode():
        texts = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new, use_cache=True, eos_token_id=eos,
            pad_token_id=eos, **how,
        )  # fmt: skip
    return texts[:, ids.shape[1] :].numpy()


def cut(answers: np.ndarray, eos: int) -> np.ndarray:
    """PAD after the first EOS."""
    is_eos = answers == eos
    return np.where(np.cumsum(is_eos, axis=1) - is_eos > 0, PAD, answers)


def pad(run: Run, step: int) -> dict[str, torch.Tensor]:
    """The demonstrations that `pretrain` draws at one step, padded right to the longest of them."""
    parts = run.mixture.draw(run.pretraining.batch, numpy_rng(run.seed, "data", step))
    longest = max(p.shape[1] + a.shape[1] for p, a in parts if len(p))
    blocks = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompts, answers in parts:  # two parts, each as a whole: nothing is collated row by row
        rows = torch.cat((torch.from_numpy(prompts), torch.from_numpy(answers)), dim=1)
        before, after = prompts.shape[1], longest - rows.shape[1]
        blocks["input_ids"].append(F.pad(rows, (0, after), value=run.task.eos))
        blocks["attention_mask"].append(F.pad(torch.ones_like(rows), (0, after)))
        blocks["labels"].append(F.pad(rows[:, before:], (before, after), value=-100))
    return {name: torch.cat(tensors) for name, tensors in blocks.items()}


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, run: Run):
        self.run = run

    def __iter__(self):
        return (pad(self.run, step) for step in range(sys.maxsize))


def make_trainer(
    theirs: transformers.PreTrainedModel, run: Run, config: PretrainConfig, device: str = "cpu"
) -> transformers.Trainer:
    """Trainer on the demonstrations, rates and optimiser of `pretrain`; it writes and says nothing."""
    optimizer = make_optimizer(theirs, config.lr)  # what optim="adamw_torch_fused" makes
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: learning_rate(config, s) / config.lr)
    args = transformers.TrainingArguments(
        tempfile.gettempdir(), max_steps=config.steps, max_grad_norm=1.0, use_cpu=device == "cpu",
        per_device_train_batch_size=1, remove_unused_columns=False,  # one item of Batches: a whole batch
        dataloader_num_workers=0, dataloader_pin_memory=device != "cpu", logging_nan_inf_filter=False,
        report_to="none", disable_tqdm=True, save_strategy="no", logging_strategy="no", eval_strategy="no",
    )  # fmt: skip
    trainer = transformers.Trainer(theirs, args, itemgetter(0), Batches(run), optimizers=(optimizer, rates))
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def make_grpo_trainer(
    theirs: transformers.PreTrainedModel,
    task: Parity,
    config: PosttrainConfig,
    reward: Reward,
    seed: int,
    splits: int = 1,
    given: Callable | None = None,
):
    """TRL's trainer on the prompts of `posttrain`: config.rounds steps, each on config.rollouts new answers.

    splits  forward passes in which a step is taken
    given   TRL's rollout_func, instead of generation
    """
    import datasets
    import trl

    words = Tokenizer(models.WordLevel({"0": 0, "1": 1, ".": 2, "|": 3}, unk_token="|"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token=".", pad_token=".")
    rngs = (numpy_rng(seed, "rollouts", i) for i in range(config.rounds))
    texts = [task.text(prompt) for rng in rngs for prompt in task.prompts(config.prompts, rng)]

    def judge(prompts, completion_ids, **_):
        answers = np.full((len(completion_ids), task.long_length + 1), PAD)
        for row, ids in zip(answers, completion_ids, strict=True):
            row[: len(ids)] = ids
        letters = np.frombuffer("".join(prompts).encode(), np.uint8).reshape(len(prompts), -1)[:, ::2]  # no spaces
        return reward(letters - np.uint8(ord("0")), answers).astype(float).tolist()

    args = trl.GRPOConfig(
        output_dir=tempfile.gettempdir(), loss_type="dapo", beta=0.0, temperature=1.0, num_generations=config.group,
        per_device_train_batch_size=config.rollouts // splits, gradient_accumulation_steps=splits,
        steps_per_generation=splits, num_iterations=1, max_steps=config.rounds, seed=seed, shuffle_dataset=False,
        max_completion_length=task.long_length + 1, learning_rate=config.lr, lr_scheduler_type="constant",
        weight_decay=0.0, max_grad_norm=1.0, optim="adamw_torch_fused", use_cpu=True, bf16=False,
        gradient_checkpointing=False, logging_nan_inf_filter=False, dataloader_num_workers=0,
        dataloader_pin_memory=False, disable_tqdm=True, report_to="none", save_strategy="no",
        logging_strategy="no", eval_strategy="no",
    )  # fmt: skip
    data = datasets.Dataset.from_dict({"prompt": texts})
    trainer = trl.GRPOTrainer(theirs, judge, args, data, processing_class=tokenizer, rollout_func=given)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


# --- measuring ---


def rotate(names: list[str], repetitions: int) -> Iterator[tuple[int, int, str]]:
    """(repetition, order, name) of every measurement; the order rotates, and repetition 0 warms up."""
    for repetition in range(repetitions + 1):
        for order in range(len(names)):
            yield repetition, order, names[(order + repetition) % len(names)]


def once(work: Callable[[int], np.ndarray], count: Callable[[np.ndarray], int], device: str = "cpu") -> Contestant:
    """One call of `work` is one measurement."""

    def run(repetition, now):
        clock = Clock(0, 1, device, now)
        clock.tick(0)
        answers = work(repetition)
        clock.tick(1)
        return clock.seconds, count(answers), clock.counted

    return run


def measure(
    benchmark: str, state: str, contestants: dict, repetitions: int, unit: str, counted: bool = True
) -> list[dict]:
    """A row for each contestant and repetition; operations and bytes are counted in repetition 0 if `counted`."""
    rows, counts, names = [], {}, list(contestants)
    for repetition, order, name in rotate(names, repetitions):
        if order == 0:
            say(f"{benchmark}, {state}: repetition {repetition} of {repetitions}")
        if repetition == 0:
            with counting() if counted else nullcontext(lambda: np.full(2, np.nan)) as now:
                _, n, found = contestants[name](0, now)
            counts[name] = dict(zip(("mflop", "mbyte"), found / n / 1e6, strict=True))
            continue
        seconds, n, _ = contestants[name](repetition, lambda: np.zeros(2))
        row = {"benchmark": benchmark, "state": state, "repetition": repetition, "order": order, "contestant": name}
        rows.append(row | {"seconds": seconds, "unit": unit, "per_s": n / seconds} | counts[name])
    return sorted(rows, key=lambda row: names.index(row["contestant"]))


def rates_and_ratios(runs: pd.DataFrame, column: str, ours: str, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(rate of each contestant, `ours` as a multiple of it within each repetition), one row a repetition."""
    rate = runs.pivot(index="repetition", columns="contestant", values=column)[names]
    return rate, rate.rdiv(rate[ours], axis=0)


def print_rates(runs: pd.DataFrame) -> None:
    """A table for each part of `measure`'s rows; ratios are of its first contestant."""
    for (benchmark, state), part in runs.groupby(["benchmark", "state"], sort=False):
        by_name, unit = part.groupby("contestant", sort=False), part["unit"].iloc[0]
        rate, ratio = rates_and_ratios(part, "per_s", part["contestant"].iloc[0], list(by_name.groups))
        table = rate.agg(STATISTICS).T.round(1).rename_axis(None)
        table = table.join(ratio.agg(STATISTICS).T.round(2).add_prefix("x "))
        for kind in ("mflop", "mbyte"):
            if kind in part:
                table[f"{kind}/{unit}"] = by_name[kind].first().round(2)
        print(
            f"\n{benchmark}, {state}; {unit}s/s, x: the first line as a multiple of each\n{table.to_string()}",
            flush=True,
        )


def print_shares(profile: dict[str, dict[str, float]]) -> None:
    for name, parts in profile.items():
        print(f"\n{name}, shares of its wall time, the profiler's own cost included")
        print("\n".join(f"{value:6.1%} {part}" for part, value in parts.items()), flush=True)


def require_options(threads: int, out: Path | None, **counts: int) -> None:
    for name, value in counts.items():
        require_integer(name, value, low=1)
    require(1 <= threads <= os.cpu_count(), "threads", threads, f"from 1 to {os.cpu_count()} here")
    require(out is None or out.suffix == ".csv", "out", str(out), "a file name ending in .csv")
    code_version()  # now: somebody may edit the checkout while this runs


def facts_of(started: datetime, device: str = "cpu", dtype: torch.dtype = torch.float32, **versions: str) -> dict:
    """The command; where, when and with what it ran; what the machine reaches."""
    facts = {"command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])}
    limit = ceilings(device, dtype)
    facts |= provenance(device, started, (datetime.now(UTC) - started).total_seconds())
    facts |= {"dtype": str(dtype).removeprefix("torch."), "cores": os.cpu_count()}
    facts |= {"transformers": transformers.__version__, "accelerate": accelerate.__version__}
    return facts | versions | {"ceilings": limit}
