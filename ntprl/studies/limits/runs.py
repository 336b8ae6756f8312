"""The runs of chapter 5: both phases on parity, the first until a number of links is known."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ntprl.book.run import Evaluation, ModelConfig, Reinforcement, Run
from ntprl.errors import require_integer
from ntprl.measure import chain_probabilities, long_probability, share
from ntprl.posttrain import posttrain
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import Task
from ntprl.transformer import Transformer

KNOWN = 0.75  # mean probability of the right token, earlier ones given, from which a link is known

RECOVERY = Run(Parity(), rl=Reinforcement(), kind="RecoveryRun")


def unknown_links(model: Transformer, task: Task, seed: int, step: int = 0, n: int = 256) -> list[int]:
    """Positions of the links after the first whose right token has a mean probability below KNOWN, earlier given."""
    prompts = task.prompts(n, numpy_rng(seed, "evaluation", step), test=True)
    known = np.nanmean(chain_probabilities(model, task, prompts)[0], axis=0)  # (L + 1,), the last is EOS
    return [int(i) + 2 for i in np.flatnonzero(known[1:-1] < KNOWN)]


@dataclass(frozen=True)
class UnknownLinks(Run):
    """Both phases; the first ends at the first measurement at which `unknown` links at most are not known.

    All measurements have unknown_links besides: how many links after the first have a mean probability below KNOWN.
    """

    kind: str = "UnknownLinks"
    unknown: int = 0  # links

    def __post_init__(self) -> None:
        require_integer("unknown", self.unknown, low=0)
        super().__post_init__()

    def measure(self, step: int, model: Transformer) -> list[dict]:
        unknown = len(unknown_links(model, self.task, self.seed, step, self.evaluation.n_eval))
        return [row | {"unknown_links": unknown} for row in super().measure(step, model)]

    def is_enough(self, rows: list[dict]) -> bool:
        return rows[0]["unknown_links"] <= self.unknown

    def measure_round(self, done: int, model: Transformer) -> dict:
        row = super().measure_round(done, model)
        if not row:
            return row
        return row | {"unknown_links": len(unknown_links(model, self.task, self.seed, done, self.rl.n_eval_rl))}


KNOWN_AT = 0.25  # share of long demonstrations from which a taught model has learned the chain
APART = 10_000  # how far the seed of the teaching lies from that of the run, so that the draws of both differ


@dataclass(frozen=True)
class TaughtModel(ModelConfig):
    """A model that knows the chain from D(.25), before the run's own pre-training makes long answers rarer.

    So starts with rare long answers know the chain as well as others do.
    """

    base_steps: int = 300  # optimiser steps of the teaching

    def build(self, run: Run, device: str, folder: Path | None) -> Transformer:
        plain = ModelConfig(**{field.name: getattr(self, field.name) for field in fields(ModelConfig)})
        steps = replace(run.pretraining, steps=self.base_steps)
        points = Evaluation(run.evaluation.n_eval, n_points=1)
        kind = f"start on {type(run.task).__name__}"
        teaching = Run(run.task, KNOWN_AT, plain, steps, None, points, run.seed + APART, kind)
        return (teaching.train(device) if folder is None else teaching.trained(folder, device))[0]


@torch.inference_mode()
def stop_scores(model: Transformer, task: Task, prompts: np.ndarray) -> np.ndarray:
    """Log-odds of EOS behind the first token of the chain, for each prompt, (n,): below 0 greedy decoding goes on."""
    tokens = np.concatenate((prompts, task.long(prompts)[:, : task.short_length]), axis=1)
    logits = model(torch.as_tensor(tokens, device=model.embed.weight.device), n_out=1)[:, 0].double()
    return torch.logit(logits.softmax(-1)[:, task.eos]).cpu().numpy()


@dataclass(frozen=True)
class FlowRun(Run):
    """Both phases, of whose rounds only P(long) and the chains known are measured: many looks at little cost."""

    kind: str = "FlowRun"

    def measure_round(self, done: int, model: Transformer) -> dict:
        if done % self.rl.eval_every and done != self.rl.rounds:
            return {}
        prompts = self.task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation", done), test=True)
        generator = torch_rng(self.seed, "evaluation", done, device=str(model.embed.weight.device))
        known = chain_probabilities(model, self.task, prompts)[1][:, 1:].all(axis=1)
        long = long_probability(model, self.task, prompts, generator)
        return {"long_probability": float(long.mean()), "chain_accuracy": share(known)}


@dataclass(frozen=True)
class CopyRun(Run):
    """Both phases, and the stop score of each of n_eval_rl test prompts after each round: one row for each of both."""

    kind: str = "CopyRun"

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """The second phase is not resumed, as its rows are no part of a checkpoint."""
        prompts = self.task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation"), test=True)
        model, _ = self.start.train(device) if folder is None else self.start.trained(folder, device)
        rows = []

        def callback(done: int, model: Transformer) -> dict:
            scores = stop_scores(model, self.task, prompts)
            rows.extend({"step": done, "prompt": i, "stop_score": score} for i, score in enumerate(scores))
            return {}

        posttrain(model, self.task, self.rl, self.seed, None, callback)
        return pd.DataFrame(rows)
