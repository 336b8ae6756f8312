"""The runs of chapter 6: both phases on k x k multiplication, and two measurements of its own.

A chapter asks for `multiplication(profile, ...)` and calls `.recover()` or `.run()`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ntprl.book.run import Reinforcement, Run, from_profile
from ntprl.errors import require_number
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng
from ntprl.tasks.multiplication import MARK, Multiplication
from ntprl.transformer import Transformer


@torch.inference_mode()
def rival_probability(model: Transformer, task: Multiplication, prompts: np.ndarray) -> np.ndarray:
    """Where long and short part, the probability of the likeliest token that is not the chain's, (n,).

    Over 1 - p_cot it estimates m, the short answers' strongest continuation there: the threshold should be m/(1 + m).
    They part at the first token where short answers are marked, else at the second.
    """
    branch = 0 if task.marked else 1
    long = task.long(prompts)
    device = model.embed.weight.device
    inputs = torch.as_tensor(np.hstack((prompts, long[:, :branch])), device=device)
    chances = model(inputs, n_out=1)[:, 0].float().softmax(-1).cpu().numpy()
    chances[np.arange(len(prompts)), long[:, branch]] = 0.0
    return chances.max(axis=1)


def digit_accuracy(model: Transformer, task: Multiplication, n: int, seed: int) -> pd.DataFrame:
    """Which digits of the product are right: kind (short, long), place (0: the last digit), accuracy over n test pairs.

    The kind is forced by its first token, #### or the first digit of the chain; the rest is decoded greedily. So the
    task must mark short answers. An answer that never names a number has no right digit.
    """
    prompts = task.prompts(n, numpy_rng(seed, "evaluation"), test=True)
    truth, rows = task.short(prompts)[:, 1:-1], []  # (n, 2k)
    for kind, first in (("short", np.full((n, 1), MARK)), ("long", task.long(prompts)[:, :1])):
        written = greedy(model, np.hstack((prompts, first)), task.eos, task.long_length)
        answers = np.hstack((first, written))
        number = task.final(answers)
        digits = np.where((number >= 0)[:, None], number[:, None] // 10 ** np.arange(2 * task.k) % 10, -1)
        rows += [
            {"kind": kind, "place": i, "accuracy": share} for i, share in enumerate((digits == truth).mean(axis=0))
        ]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class MultiplicationRun(Run):
    """One phase or both on k x k multiplication; the first is measured with rival, the mean of `rival_probability`."""

    def measure(self, step: int, model: Transformer) -> list[dict]:
        n = self.evaluation.n_eval
        prompts = self.task.prompts(n, numpy_rng(self.seed, "evaluation", step), test=True)
        rival = float(rival_probability(model, self.task, prompts).mean())
        return [row | {"rival": rival} for row in super().measure(step, model)]


@dataclass(frozen=True)
class MultiplicationDigits(Run):
    """The first phase, measured digit by digit: rows of `digit_accuracy` for each measured step."""

    kind: str = "MultiplicationDigits"

    def measure(self, step: int, model: Transformer) -> list[dict]:
        return digit_accuracy(model, self.task, self.evaluation.n_eval, self.seed).to_dict("records")


@dataclass(frozen=True)
class MultiplicationKnown(MultiplicationRun):
    """Both phases; the first ends when chains are known, if they are known before its steps are done."""

    kind: str = "MultiplicationKnown"
    known: float = 0.95  # chain accuracy at which it ends

    def __post_init__(self) -> None:
        require_number("known", self.known, low=0, high=1)
        super().__post_init__()

    def is_enough(self, rows: list[dict]) -> bool:
        return rows[0]["chain_accuracy"] > self.known


PRETRAINING = MultiplicationRun(Multiplication(), kind="MultiplicationRun")
RECOVERY = MultiplicationRun(Multiplication(), rl=Reinforcement(), kind="MultiplicationRecovery")

PROFILES = {
    # the path in seconds; learns nothing
    "smoke": dict(n_layer=2, width=32, n_head=2, steps=40, batch=32, n_eval=64, n_points=2, rounds=2, rollouts=64)
    | dict(group=4, n_eval_rl=64),
    # two CPU cores; at k = 2 under a minute, in which chains are learned and short answers are not
    "laptop": dict(steps=2000, lr=3e-3, n_points=7, rounds=12),
    # a GPU; the sizes of the paper's model and batch in this task are not known to us
    "paper": dict(n_layer=8, width=256, n_head=8, steps=50_000, batch=256, lr=5e-4, warmup=500, n_eval=2048)
    | dict(n_points=25, rounds=40, rollouts=1024, rl_lr=2e-4, n_eval_rl=1024),
}


def multiplication(profile: str = "laptop", **overrides) -> MultiplicationRun:
    """Both phases at the size of a profile, with some fields changed."""
    return from_profile(RECOVERY, PROFILES, profile, overrides)
