"""The runs of chapter 8 on transformers: other demonstrations, other rewards, and parts of a model alone.

staircase(LeapParity(16, leap=2 / 3), 0.45).run()     pre-training, measured at the token where answers part
change(BIAS, trains="stop").run()                     reinforcement of one number: the bias of EOS
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ntprl.book.readings import final_rows
from ntprl.book.run import Reinforcement, Run, change
from ntprl.errors import require_choice, require_integer
from ntprl.measure import crossing, share
from ntprl.mixture import Mixture
from ntprl.posttrain import posttrain
from ntprl.pretrain import make_optimizer, take_step
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng
from ntprl.studies.one_rule.predictions import branch_threshold, leap_thresholds
from ntprl.tasks.leap import LeapParity
from ntprl.tasks.marked import MarkedParity
from ntprl.tasks.noisy import NoisyParity
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import Demonstrations, Task, lengths
from ntprl.tasks.two_chains import TwoChains
from ntprl.transformer import Transformer

D = 16  # symbols of a prompt in every table of this chapter
LEAPS = 2 / 3  # share of leaps among the long demonstrations, in the mixture of three kinds


# --- other demonstrations ---


@dataclass(frozen=True)
class DrawnMixture(Mixture):
    """The mixture of a task whose demonstrations are drawn: `task.demonstrated(prompts, is_long, rng)`."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Demonstrations, Demonstrations]:
        prompts = self.task.prompts(n, rng)  # (n, P)
        is_long = rng.random(n) < self.p_cot
        kinds = ((prompts[is_long], True), (prompts[~is_long], False))
        long, short = (Demonstrations(rows, self.task.demonstrated(rows, kind, rng)) for rows, kind in kinds)
        return long, short


@dataclass(frozen=True)
class DrawnRun(Run):
    """Pre-training on drawn demonstrations."""

    @property
    def mixture(self) -> Mixture:
        return DrawnMixture(self.task, self.p_cot)


@dataclass(frozen=True)
class StaircaseRun(DrawnRun):
    """The same for a task with two chains, and where greedy decoding goes on, for two kinds of prompts:

    agree_long   share of those on whose first two tokens both chains agree
    other_long   share of the others
    """

    def measure(self, step: int, model: Transformer) -> list[dict]:
        n = self.evaluation.n_eval
        prompts = self.task.prompts(n, numpy_rng(self.seed, "evaluation", step), test=True)
        goes_on = lengths(greedy(model, prompts, self.task.eos, 2), self.task.eos) > self.task.short_length
        agree = first_two_agree(self.task, prompts)
        found = {"agree_long": share(goes_on[agree]), "other_long": share(goes_on[~agree])}
        return [row | found for row in super().measure(step, model)]


def first_two_agree(task: LeapParity | TwoChains, prompts: np.ndarray) -> np.ndarray:
    """Prompts whose two chains begin with the same two tokens, (n,) bool: a quarter of all."""
    first, second = task.chains(prompts)
    return (first[:, :2] == second[:, :2]).all(axis=1)


# --- the second phase alone ---


@dataclass(frozen=True)
class SecondPhase(Run):
    """Reinforcement from a start that runs share; one row a round. What is trained, and on which reward, may vary."""

    First: ClassVar[type[Run]] = Run  # the kind of run that trains the start
    rl: Reinforcement = Reinforcement()

    @property
    def start(self) -> Run:
        parts = (self.task, self.p_cot, self.model, self.pretraining, None, self.evaluation, self.seed)
        return self.First(*parts, kind=f"start on {self._what}")

    def prepared(self, model: Transformer) -> Transformer:
        """The start as the second phase finds it."""
        return model

    def rewarding(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
        """A reward of one's own for one run; None: the named one."""
        return None

    def measuring(self, start: Transformer) -> Callable[[int, Transformer], dict]:
        """What measures the model after each round; `start` is what the first round finds."""
        return self.measure_round

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """The second phase is not resumed: it takes seconds, and a reward may count the rounds."""
        start = self.start
        model, _ = start.train(device) if folder is None else start.trained(folder, device)
        model = self.prepared(model)
        log = posttrain(model, self.task, self.rl, self.seed, self.rewarding(), self.measuring(model))
        kept = [{name: value for name, value in row.items() if name != "length_share"} for row in log]
        return pd.DataFrame(kept).rename(columns={"round": "step"})


class StopBias(Transformer):
    """A trained transformer that can learn one number more, added to the logit of EOS, and nothing else."""

    def __init__(self, model: Transformer, eos: int):
        super().__init__(model.config)
        self.load_state_dict(model.state_dict())
        self.requires_grad_(False)
        self.stop = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("at_eos", F.one_hot(torch.tensor(eos), model.config.vocab_size).float(), persistent=False)

    def forward(self, tokens: torch.Tensor, n_out: int | None = None, cache=None) -> torch.Tensor:
        return super().forward(tokens, n_out, cache) + self.stop * self.at_eos


TRAINS = ("all", "stop")


@dataclass(frozen=True)
class PartsRun(SecondPhase):
    """Which parts of a model does reinforcement need, and which does it change?

    Besides the usual measures, means over prompts with the right chain given:
    stop_gap   logit of EOS less that of the right link, behind the first token of the chain
    link_gap   logit of the right link less that of the wrong one, over all later links
    """

    kind: str = "PartsRun"
    trains: str = "all"  # all weights, or stop: the bias of EOS alone

    def __post_init__(self) -> None:
        require_choice("trains", self.trains, TRAINS)
        super().__post_init__()

    def prepared(self, model: Transformer) -> Transformer:
        return model if self.trains == "all" else StopBias(model, self.task.eos).to(model.embed.weight.device)

    @torch.inference_mode()
    def measure_round(self, done: int, model: Transformer) -> dict:
        row = super().measure_round(done, model)
        if not row:
            return row
        task, device = self.task, model.embed.weight.device
        prompts = task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation", done), test=True)
        chain = task.long(prompts)[:, : task.d]
        tokens = np.concatenate((prompts, chain[:, :-1]), axis=1)
        logits = model(torch.as_tensor(tokens, device=device), n_out=task.d).cpu()  # (n, d, V)
        target = torch.as_tensor(chain)[..., None]
        right, wrong = (logits.gather(2, link)[..., 0] for link in (target, 1 - target))
        stop_gap = (logits[:, 1, task.eos] - right[:, 1]).mean().item()
        return row | {"stop_gap": stop_gap, "link_gap": (right - wrong)[:, 1:].mean().item()}


# --- other rewards ---


NOISY_REWARDS = ("chain", "end-to-end", "process")


@dataclass(frozen=True)
class NoisyStarRun(SecondPhase):
    """STaR from a start with noisy links. The process reward keeps a long answer with a chance equal to its share of
    right links, and a right short one always."""

    First: ClassVar[type[Run]] = DrawnRun
    kind: str = "NoisyStarRun"
    judge: str = "chain"  # one of NOISY_REWARDS

    def __post_init__(self) -> None:
        require_choice("judge", self.judge, NOISY_REWARDS)
        super().__post_init__()

    def rewarding(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        task = self.task
        if self.judge != "process":
            return task.r_cot if self.judge == "chain" else task.r_e2e
        rng = numpy_rng(self.seed, "rollouts", self.rl.rounds + 1)  # a draw of its own, beyond those of the prompts

        def process(prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
            is_short = lengths(answers, task.eos) <= task.short_length
            chance = np.where(is_short, task.r_e2e(prompts, answers), task.right_links(prompts, answers))
            return (rng.random(len(answers)) < chance).astype(float)

        return process


# --- rare long answers, the chain being known ---


def calibrate(model: Transformer, task: Task, p: float, steps: int, seed: int, batch: int = 128, lr: float = 1e-3):
    """Train a model that knows the chain on D(p), however small p is, in place.

    Half of each batch is long. Each of its tokens counts as often as D(p) shows it while short answers go on too (the
    first two, weight 2 p, where those of short ones have 2 (1 - p)); later links, of which D(p) says the same for every
    p, keep the weight 1. So the minimum is that of D(p), and the chain is not forgotten.
    """
    optimizer, device = make_optimizer(model, lr), model.embed.weight.device
    for step in range(steps):
        prompts = task.prompts(batch, numpy_rng(seed, "data", 1_000_000 + step))  # not those of the first phase
        loss = torch.zeros((), device=device)
        for rows, answers, weight in (
            (prompts[: batch // 2], task.long(prompts[: batch // 2]), 2 * p),
            (prompts[batch // 2 :], task.short(prompts[batch // 2 :]), 2 * (1 - p)),
        ):
            tokens = torch.as_tensor(np.concatenate((rows, answers[:, :-1]), axis=1), device=device)
            logits = model(tokens, n_out=answers.shape[1])
            target = torch.as_tensor(answers, device=device)
            losses = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
            weights = torch.ones(answers.shape[1], device=device)
            weights[: task.short_length + 1] = weight
            loss = loss + (losses * weights).sum() / batch
        take_step(model, optimizer, loss, lr * (1 - step / steps))


@dataclass(frozen=True)
class RareRun(SecondPhase):
    """The chain is known; long answers are then made as rare as 2^-rarity, and reinforced."""

    kind: str = "RareRun"
    rarity: int = 6
    calibration_steps: int = 400

    def __post_init__(self) -> None:
        for name in ("rarity", "calibration_steps"):
            require_integer(name, getattr(self, name), low=1)
        super().__post_init__()

    def prepared(self, model: Transformer) -> Transformer:
        calibrate(model, self.task, 2.0**-self.rarity, self.calibration_steps, self.seed)
        return model


# --- the length is known, the chain is not ---

LESSONS = ("whole", "chain", "growing")
PASSED = 0.9  # share of answers that pass before the next token is asked


class Growing:
    """1 if token k of the answer is the chain's, whatever follows; k grows by one after each round that is passed."""

    __name__ = "growing"

    def __init__(self, task: Parity):
        self.task, self.k = task, 2  # y_1 = x_1 is in the demonstrations

    def __call__(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        at = self.k - 1
        right = np.zeros(len(answers))
        if answers.shape[1] > at:
            right = (answers[:, at] == self.task.long(prompts)[:, at]).astype(float)
        if right.mean() > PASSED:
            self.k = min(self.k + 1, self.task.d)
        return right


@dataclass(frozen=True)
class LessonRun(SecondPhase):
    """Demonstrations are chains of random links, so that the start knows how long an answer is and no link of it. Then
    STaR with a reward for the final token of the `whole` answer, for the whole `chain`, or for one token at a time."""

    First: ClassVar[type[Run]] = DrawnRun
    kind: str = "LessonRun"
    lesson: str = "growing"  # one of LESSONS

    def __post_init__(self) -> None:
        require_choice("lesson", self.lesson, LESSONS)
        super().__post_init__()

    def rewarding(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        return {"whole": self.task.r_e2e, "chain": self.task.r_cot, "growing": Growing(self.task)}[self.lesson]


# --- the live run ---


class Live(NamedTuple):
    """A kind of demonstrations as the chapter trains it while one waits."""

    run: Run
    steps: tuple[tuple[float, float], ...]  # (share of prompts, p from which they go on), predicted


def live_kind(name: str) -> Live:
    """One of LIVE, at d = 16. Raises InputError for another name."""
    require_choice("kind", name, LIVE)
    return LIVE[name]


def _live(run: Run, steps: int, *predicted: tuple[float, float]) -> Live:
    changes = dict(style="mistral", warmup=20, n_points=1, n_eval=512, steps=steps)
    return Live(change(run, **changes), predicted)


QUARTER, REST = leap_thresholds(LEAPS)
LIVE = {
    "parity": _live(Run(Parity(D)), 300, (1, branch_threshold(1 / 2))),
    "mod3": _live(Run(Parity(D, modulus=3)), 600, (1, branch_threshold(1 / 3))),
    "marked": _live(Run(MarkedParity(D)), 300, (1, branch_threshold(1))),
    "noise": _live(DrawnRun(NoisyParity(D, noise=0.3)), 400, (1, branch_threshold(1 / 2, 0.7))),
    "leap": _live(StaircaseRun(LeapParity(D, leap=LEAPS)), 700, (1 / 4, QUARTER), (3 / 4, REST)),
    "two_chains": _live(
        StaircaseRun(TwoChains(D)), 700, (1 / 4, branch_threshold(1 / 2)), (3 / 4, branch_threshold(1 / 2, 1 / 2))
    ),
}


def share_in_words(share_of_prompts: float) -> str:
    """Of prompts, coarsely, so that it reads the same on every machine."""
    for name, value in (("hardly any", 0.0), ("a quarter", 0.25), ("three quarters", 0.75), ("nearly all", 1.0)):
        if abs(share_of_prompts - value) <= 0.1:
            return f"{name} of the prompts"
    return "some of the prompts"


def predicted_share(live: Live, p: float) -> float:
    """Of prompts on which greedy decoding should go on at a share p of long demonstrations."""
    return sum(part for part, threshold in live.steps if p > threshold)


# --- thresholds of recorded tables, for the one picture ---


def recorded_thresholds(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """case, predicted, measured, low, high for those of the chapter's tables that are there."""
    rows = []

    def add(case: str, predicted: float, final: pd.DataFrame, column: str = "greedy_long") -> None:
        measured, (low, high) = crossing(final, column)
        row = {"case": f"{case}, transformer", "predicted": float(predicted)}
        rows.append(row | {"measured": measured, "low": low, "high": high})

    for name, case, predicted in (
        ("leap_alone", "leaps alone", branch_threshold(1 / 2)),
        ("leap_third", "leaps as third kind", None),
        ("two_chains", "two chains", None),
    ):
        if name not in tables:
            continue
        final = final_rows(tables[name])
        if predicted is not None:
            add(case, predicted, final)
            continue
        agree, other = leap_thresholds(LEAPS if name == "leap_third" else 1 / 2)
        add(f"{case}, a quarter", agree, final, "agree_long")
        add(f"{case}, the others", other, final, "other_long")
    if "noise_threshold" in tables:
        for (place, eta), part in final_rows(tables["noise_threshold"]).groupby(["place", "noise"]):
            if eta:
                add(f"noise {eta:g} on {place}", branch_threshold(1 / 2, 1 - eta if place == "links" else 1), part)
    if "multiplication_threshold" in tables:
        last = final_rows(tables["multiplication_threshold"])
        add("multiplication, marked", branch_threshold(1), last[last["marked"]])
        bare = last[~last["marked"]]
        spare = bare.assign(spare=bare["p_cot"] / (1 - bare["p_cot"]) - bare["rival"])  # m is that of each model
        add("multiplication, bare", crossing(spare, "spare", 0.0)[0], bare)
    return pd.DataFrame(rows, columns=["case", "predicted", "measured", "low", "high"])
