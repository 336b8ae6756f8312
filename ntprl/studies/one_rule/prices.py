"""Runs of chapter 8 in which tokens cost something: of all answers or of right ones, at once, late, behind a gate."""

from dataclasses import dataclass

import numpy as np
import torch

from ntprl.errors import require_choice, require_integer, require_number
from ntprl.seeds import numpy_rng
from ntprl.studies.one_rule.transformers import SecondPhase
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import lengths
from ntprl.transformer import Transformer


class Priced:
    """1 for a right answer, less price x tokens (EOS not counted), from a round on; called once a round.

    `charged`: all answers, or right ones only. `gate`: only in groups of which at least this share is right.
    """

    __name__ = "priced"

    def __init__(self, run: "PricedRun"):
        self.run, self.calls = run, 0

    def __call__(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        run = self.run
        right = run.task.r_e2e(prompts, answers).astype(float)
        price = run.price * lengths(answers, run.task.eos)
        if run.charged == "right":
            price = price * right
        by_group = right.reshape(-1, run.rl.group).mean(axis=1).repeat(run.rl.group)
        is_charged = (by_group >= run.gate) & (self.calls >= run.free_rounds)
        self.calls += 1
        return right - price * is_charged


@dataclass(frozen=True)
class PricedRun(SecondPhase):
    """A price on length."""

    kind: str = "PricedRun"
    price: float = 0.0  # of one token
    charged: str = "all"  # which answers: all, or right
    free_rounds: int = 0  # before the price is asked
    gate: float = 0.0  # share of right answers from which a group is charged

    def __post_init__(self) -> None:
        for name in ("price", "gate"):
            require_number(name, getattr(self, name), low=0, high=1)
        require_choice("charged", self.charged, ("all", "right"))
        require_integer("free_rounds", self.free_rounds, low=0)
        super().__post_init__()

    def rewarding(self) -> Priced:
        return Priced(self)


@torch.inference_mode()
def guess_alike(model: Transformer, task: Parity, prompts: np.ndarray) -> float:
    """How much alike the short answers to a prompt are: 1/2 if they are independent guesses, 1 if all are the same.

    With s the chance that a short answer names x_1, given that it is short, exact for each prompt: 1/2 plus the root
    mean square over prompts of s - 1/2. Whether a group's guesses are right together depends on (s - 1/2)^2.
    """

    def following(tokens: np.ndarray) -> torch.Tensor:
        """Probabilities of the next token, (n, V)."""
        read = torch.as_tensor(tokens, device=model.embed.weight.device)
        return model(read, n_out=1)[:, 0].float().softmax(-1).cpu()

    def short_answer(first: np.ndarray) -> torch.Tensor:
        """Chance of the short answer with this token, (n, 1) -> (n,)."""
        begins = following(prompts).gather(1, torch.as_tensor(first))[:, 0]
        return begins * following(np.hstack((prompts, first)))[:, task.eos]

    right = task.long(prompts)[:, :1]
    named, other = short_answer(right), short_answer(1 - right)
    s = named / (named + other)
    return 0.5 + (s - 0.5).square().mean().sqrt().item()


@dataclass(frozen=True)
class GatedRun(PricedRun):
    """A price on length, measured with `guess`, of `guess_alike`."""

    kind: str = "GatedRun"

    def measure_round(self, done: int, model: Transformer) -> dict:
        row = super().measure_round(done, model)
        if not row:
            return row
        prompts = self.task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation", done), test=True)
        return row | {"guess": guess_alike(model, self.task, prompts)}
