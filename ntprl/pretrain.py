"""Next-token prediction on a mixture of long and short demonstrations.

Departures from the paper, as far as its set-up is known: (1) the loss is on the answer only, not on
the random input symbols; (2) the learning rate warms up, stays, then falls linearly to 0, since a
constant one leaves the stop probability wandering around its calibrated value; (3) gradients are
clipped at norm 1.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from ntprl import checkpoint
from ntprl.errors import require_integer, require_number
from ntprl.mixture import Mixture
from ntprl.seeds import numpy_rng
from ntprl.tasks.task import PAD, Demonstrations
from ntprl.transformer import Transformer

CHECKPOINT_S = 240  # seconds without a checkpoint after which one is due, for models whose steps take long
ENOUGH = "enough"  # a row of the log with this key set ends the training
# (steps done, model, loss of the last step or None before the first) -> a row for the log, or None
Callback = Callable[[int, Transformer, torch.Tensor | None], dict | None]


@dataclass(frozen=True)
class PretrainConfig:
    """How a model is trained on the mixture, in optimiser steps of fresh demonstrations."""

    steps: int = 600  # optimiser steps
    batch: int = 128  # demonstrations in a step, all fresh
    lr: float = 2e-3  # highest learning rate of AdamW
    warmup: int = 50  # steps from 0 to lr
    cooldown: float = 0.5  # share of the steps, at the end, in which the rate falls to 0
    weight_decay: float = 0.0  # 0 makes AdamW Adam

    def __post_init__(self) -> None:
        require_integer("steps", self.steps, low=0)
        require_integer("batch", self.batch, low=1)
        require_integer("warmup", self.warmup, low=0)
        for name, high in (("lr", 1.0), ("cooldown", 1.0), ("weight_decay", 1.0)):
            require_number(name, getattr(self, name), low=0, high=high)


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Rate at 0-based `step`: trapezoid of warm-up, plateau and cool-down."""
    rise = (step + 1) / (config.warmup + 1)
    fall = (config.steps - step) / max(1.0, config.cooldown * config.steps)
    return config.lr * min(1.0, rise, fall)


def similar_lengths(part: Demonstrations, rows: int = 8) -> Iterator[Demonstrations]:
    """The same demonstrations, those of different lengths in parts of at least `rows` with less padding."""
    length = (part.answers != PAD).sum(axis=1)
    if len(set(length)) <= 1:
        yield part
        return
    for chosen in np.array_split(np.argsort(length, kind="stable"), max(1, len(length) // rows)):
        yield Demonstrations(part.prompts[chosen], part.answers[chosen, : length[chosen].max()])


def next_token_loss(model: Transformer, parts: tuple[Demonstrations, ...]) -> torch.Tensor:
    """Mean over all answer tokens of -log pi(token | prompt, answer so far).

    Each part is one batch: long and short demonstrations are never padded to each other, and a part of
    different lengths is split into similar ones. Prompts get no loss.
    """
    device = model.embed.weight.device
    total, n_tokens = torch.zeros((), device=device), 0
    for prompts, answers in (alike for part in parts for alike in similar_lengths(part)):
        if len(prompts) == 0:
            continue
        prompts, answers = (torch.as_tensor(rows, device=device) for rows in (prompts, answers))
        inputs = torch.cat((prompts, answers[:, :-1].clamp(min=0)), dim=1)  # PAD is no token; its loss is masked
        logits = model(inputs, n_out=answers.shape[1])  # (n, T, V)
        total = total + F.cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=PAD, reduction="sum")
        n_tokens += int((answers != PAD).sum())
    return total / max(1, n_tokens)


def make_optimizer(model: Transformer, lr: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW on all weights, one fused kernel a step."""
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


def take_step(model: Transformer, optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float) -> torch.Tensor:
    """One optimiser step at that learning rate, gradients clipped at norm 1; returns the norm before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return norm


def pretrain(
    model: Transformer,
    mixture: Mixture,
    config: PretrainConfig,
    seed: int,
    callback: Callback | None = None,
    checkpoint_path: Path | None = None,
    checkpoint_every: int = 500,
) -> list[dict]:
    """Train `model` in place on fresh draws of `mixture`; return the log, one row for each dict the callback gave.

    Step s draws from the generator (seed, data, s). The callback is asked before the first step and
    after each; a row of its with ENOUGH set ends the training there. If `checkpoint_path` exists, training
    goes on from it, to the same weights and log, bit for bit, as a run that was never stopped (same machine,
    same number of threads). It is written every `checkpoint_every` steps, or sooner where these take longer than
    CHECKPOINT_S. Raises InputError if the checkpoint belongs to another run.
    """
    optimizer = make_optimizer(model, config.lr, config.weight_decay)
    identity = {"seed": seed, "p_cot": mixture.p_cot, "task": repr(mixture.task), "pretrain": asdict(config)}
    first, log, written = 0, [], time.monotonic()

    def report(done: int, loss: torch.Tensor | None) -> None:
        row = None if callback is None else callback(done, model, loss)
        if row is not None:
            log.append({"step": done, **row})

    def is_enough() -> bool:
        return bool(log) and bool(log[-1].get(ENOUGH))

    if checkpoint_path is not None and Path(checkpoint_path).exists():
        facts = checkpoint.restore(checkpoint_path, model, optimizer, identity)
        first, log = facts.get("step", 0), facts.get("log", [])
    else:
        report(0, None)
    for step in tqdm(
        range(first, config.steps), initial=first, total=config.steps, disable=None
    ):  # silent in notebooks
        if is_enough():
            break
        loss = next_token_loss(model, mixture.draw(config.batch, numpy_rng(seed, "data", step)))
        take_step(model, optimizer, loss, learning_rate(config, step))
        done = step + 1
        report(done, loss.detach())
        due = done % checkpoint_every == 0 or time.monotonic() - written > CHECKPOINT_S
        if checkpoint_path is not None and (due or done == config.steps or is_enough()):
            checkpoint.save(checkpoint_path, model, optimizer, step=done, log=log, **identity)
            written = time.monotonic()
    return log
