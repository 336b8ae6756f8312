"""Frozen configurations of reinforcement learning after pre-training, and what they run: a config -> a table.

A chapter asks for `recovery(profile, ...)` and calls `.recover()` or `.run()`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd

from ntprl.errors import require_integer, require_number
from ntprl.experiments import PROFILES, PretrainingRun, TrainingRun, config_hash, from_profile, steps_for
from ntprl.measure import long_probability, measure
from ntprl.posttrain import PosttrainConfig, Reward, posttrain
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.transformer import Transformer


class Recovery(NamedTuple):
    """What a run of reinforcement learning leaves."""

    before: Transformer  # after pre-training
    after: Transformer  # after reinforcement learning
    table: pd.DataFrame  # phase pretraining: one row a measured step; phase rl: one row a round, 0 first
    length_share: np.ndarray  # (rounds + 1, L + 2) share of sampled answers at each length 0..L+1


@dataclass(frozen=True)
class Reinforced(TrainingRun):
    """Pre-train, then reinforce. Subclasses are a TrainingRun too, whose fields describe the first phase."""

    start_kind: ClassVar[type[TrainingRun]]

    algorithm: str = "grpo"  # one of weightings.ALGORITHMS
    reward: str = "r_e2e"  # r_e2e or r_cot
    temperature: float = 1.0  # of the rollouts
    rounds: int = 20  # rounds of reinforcement learning
    rollouts: int = 512  # answers in a round
    group: int = 8  # answers to one prompt
    rl_lr: float = 5e-4  # learning rate of reinforcement learning
    epochs: int = 1  # passes over the answers of a round
    minibatches: int = 1  # optimiser steps in a pass
    n_eval_rl: int = 512  # fresh prompts for the measurement of a round
    eval_every: int = 1  # rounds between measurements; the first and the last round are always measured

    def __post_init__(self) -> None:
        for name in ("n_eval_rl", "eval_every"):
            require_integer(name, getattr(self, name), low=1)
        require_number("rl_lr", self.rl_lr, low=0, high=1)
        _ = self.posttrain_config  # checks its own fields
        super().__post_init__()

    @property
    def start(self) -> TrainingRun:
        return self.start_kind(**{field.name: getattr(self, field.name) for field in fields(self.start_kind)})

    @property
    def posttrain_config(self) -> PosttrainConfig:
        return PosttrainConfig(
            algorithm=self.algorithm,
            reward=self.reward,
            temperature=self.temperature,
            rounds=self.rounds,
            rollouts=self.rollouts,
            group=self.group,
            lr=self.rl_lr,
            epochs=self.epochs,
            minibatches=self.minibatches,
        )

    def measure_round(self, done: int, model: Transformer) -> dict:
        """Measures after `done` rounds, with the mean of `long_probability`; none between measured rounds."""
        if done % self.eval_every and done != self.rounds:
            return {}
        prompts = self.task.prompts(self.n_eval_rl, numpy_rng(self.seed, "evaluation", done), test=True)
        generator = torch_rng(self.seed, "evaluation", done, device=str(model.embed.weight.device))
        row = measure(model, self.task, self.n_eval_rl, self.seed, done)
        return row | {"long_probability": float(long_probability(model, self.task, prompts, generator).mean())}

    def recover(
        self,
        device: str = "cpu",
        folder: Path | None = None,
        report: Callable[[str], None] | None = None,
        reward: Reward | None = None,
    ) -> Recovery:
        """Both phases. With a folder, the trained start is looked for and left there, for other runs too, and a
        killed run goes on from its checkpoint. `reward` replaces the named one; `report` gets a line for each
        measurement.
        """
        if folder is None:
            checkpoint_path, (model, before_rl) = None, self.start.train(device, None, report)
        else:
            checkpoint_path = Path(folder) / f"{config_hash(self)}.safetensors"
            model, before_rl = self.start.trained(folder, device, report)
        before = copy.deepcopy(model)

        def callback(done: int, model: Transformer) -> dict:
            row = self.measure_round(done, model)
            if report is not None and row:
                report(f"round {done} of {self.rounds}: {row}")
            return row

        log = posttrain(model, self.task, self.posttrain_config, self.seed, reward, callback, checkpoint_path, report)
        length_share = np.array([row.pop("length_share") for row in log])
        during_rl = pd.DataFrame(log).rename(columns={"round": "step"})
        table = pd.concat([before_rl.assign(phase="pretraining"), during_rl.assign(phase="rl")], ignore_index=True)
        return Recovery(before, model, table, length_share)

    def run(self, device: str = "cpu", checkpoint_path: Path | None = None) -> pd.DataFrame:
        return self.recover(device, None if checkpoint_path is None else Path(checkpoint_path).parent).table


@dataclass(frozen=True)
class RecoveryRun(Reinforced, PretrainingRun):
    """Both phases on parity, or on sums modulo K."""

    start_kind = PretrainingRun


RL_PROFILES = {
    "smoke": PROFILES["smoke"] | dict(rounds=3, rollouts=64, group=4, n_eval_rl=64),
    "laptop": PROFILES["laptop"],
    "paper": PROFILES["paper"] | dict(rounds=40, rollouts=1024, rl_lr=3e-4, n_eval_rl=4096),
}


def recovery(profile: str = "laptop", steps: int = 0, **overrides) -> RecoveryRun:
    """Both phases at the size of a profile, with some fields changed.

    steps = 0 takes the profile's; laptop's are meant for p_cot = .25, so rarer long demonstrations get
    more of them, in proportion, up to twenty times as many.
    """
    run = from_profile(RecoveryRun, RL_PROFILES, profile, overrides)
    if steps == 0:
        steps = steps_for(run.p_cot, run.steps) if profile == "laptop" else run.steps
    return replace(run, steps=steps)
