"""The runs of chapter 7 on parity in words: by a Llama from random weights, and by SmolLM2-135M-Instruct.

A chapter asks for `coin(profile, ...)` or `published(...)` and calls `.recover()` or `.run()`.
"""

import shutil
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ntprl.book.run import (
    Reinforcement,
    Run,
    as_kind,
    change,
    checkpoint_of,
    config_hash,
    described,
    from_profile,
)
from ntprl.book.store import read_run, runs_folder
from ntprl.book.sweep import run_one
from ntprl.errors import require, require_number
from ntprl.llama.adapter import tokenizer
from ntprl.llama.by_trl import require_trl_can, task_reward, trl_settings
from ntprl.llama.hub import needed
from ntprl.llama.models import LlamaModel, PublishedModel
from ntprl.llama.published import SMOLLM2
from ntprl.llama.resources import GB, peak_ram
from ntprl.llama.run import TABLE, Measures
from ntprl.llama.training import trl_reinforce
from ntprl.measure import answer_measures, chain_probabilities, share
from ntprl.mixture import Mixture
from ntprl.pretrain import PretrainConfig, pretrain
from ntprl.sampling import greedy, sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.coin import END, PIECE, CoinProblems, tokens_of
from ntprl.transformer import Transformer


def coin_measures(model: Transformer, task: CoinProblems, n: int, seed: int, step: int) -> dict[str, object]:
    """Measures on n test prompts, where long and short answers part in the first tokens; draws as in `measure`.

    greedy_*, sampled_*   as in `measure`
    first_probability     mean probability of the token that long answers begin with
    go_on_probability     the same of their second token, given the first; NaN where short answers are marked
    long_probability      mean probability that an answer begins as the long one does, exact (the product of the two)
    chain_accuracy        share of prompts whose chain is likeliest at every token behind those
    link_error            mean probability of a wrong token there
    peak_gb               the most memory that this process has held so far; NaN where it is not said
    prompt, greedy_answer of the first prompt, as text
    """
    prompts = task.prompts(n, numpy_rng(seed, "evaluation", step), test=True)
    generator = torch_rng(seed, "evaluation", step, device=str(model.embed.weight.device))
    likeliest = greedy(model, prompts, task.eos, task.long_length + 1)
    drawn = sample(model, prompts, task.eos, task.long_length + 1, generator=generator)
    row = answer_measures(task, prompts, likeliest, "greedy") | answer_measures(task, prompts, drawn, "sampled")
    right, hit = chain_probabilities(model, task, prompts)
    parting = task.parting
    return row | {
        "first_probability": float(right[:, 0].mean()),
        "go_on_probability": float(right[:, 1].mean()) if parting == 2 else float("nan"),
        "long_probability": float(right[:, :parting].prod(axis=1).mean()),
        "chain_accuracy": share(hit[:, parting:].all(axis=1)),
        "link_error": float(1 - np.mean(right[:, parting:])),
        "n_eval": n,
        "peak_gb": (peak_ram() or float("nan")) / GB,
        "prompt": task.text(prompts[0]),
        "greedy_answer": task.text(likeliest[0]),
    }


@dataclass(frozen=True)
class CoinRun(Run):
    """Both phases, measured by `coin_measures`."""

    kind: str = "CoinRun"

    def measure(self, step: int, model: Transformer) -> list[dict]:
        return [coin_measures(model, self.task, self.evaluation.n_eval, self.seed, step)]

    def measure_round(self, done: int, model: Transformer) -> dict:
        if done % self.rl.eval_every and done != self.rl.rounds:
            return {}
        return coin_measures(model, self.task, self.rl.n_eval_rl, self.seed, done)


@dataclass(frozen=True)
class CoinTuned(CoinRun):
    """The first phase alone, measured at its end."""

    kind: str = "CoinTuned"

    def measured_steps(self) -> set[int]:
        return {self.pretraining.steps}


@dataclass(frozen=True)
class CoinContinued(CoinRun):
    """Next-token training in place of RL, from the same start, on as many demonstrations as RL draws answers.

    Steps are of the first phase's size, at the constant learning rate of RL: more and smaller steps than RL takes.
    The second phase has the rows of its end alone.
    """

    next_p_cot: float = 1.0  # share of long demonstrations in the second phase
    kind: str = "CoinContinued"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rl is not None, "rl", self.rl, "a Reinforcement, which says how long to go on")
        require_number("next_p_cot", self.next_p_cot, low=0, high=1)

    @property
    def start(self) -> Run:
        return as_kind(self, CoinRun, CoinRun.kind).start

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        model, before = self.start.train(device) if folder is None else self.start.trained(folder, device)
        batch = self.pretraining.batch
        steps = self.rl.rounds * self.rl.rollouts // batch
        config = PretrainConfig(steps=steps, batch=batch, lr=self.rl.lr, warmup=0, cooldown=0.0)

        def callback(step: int, model: Transformer, _: object) -> dict | None:
            return coin_measures(model, self.task, self.rl.n_eval_rl, self.seed, step) if step in (0, steps) else None

        mixture = Mixture(self.task, self.next_p_cot)
        # with a seed of its own, else it would see the demonstrations of the first phase again
        log = pretrain(model, mixture, config, self.seed + 1000, callback, checkpoint_of(self, folder))
        return pd.concat([before.assign(phase="pretraining"), pd.DataFrame(log).assign(phase="continued")])


@dataclass(frozen=True)
class CoinTrl(CoinRun):
    """The second phase by TRL's GRPO trainer, from the start that our loops have trained, measured as the others."""

    kind: str = "CoinTrl"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_trl_can(self)

    @property
    def start(self) -> Run:
        return as_kind(self, CoinRun, CoinRun.kind).start

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        llama, before = self.start.train(device) if folder is None else self.start.trained(folder, device)
        with TemporaryDirectory() as temporary:
            place = Path(temporary) if folder is None else Path(folder) / f"trl-{config_hash(self)}"
            place.mkdir(exist_ok=True)
            log = Measures(place / TABLE)  # on disk, as TRL's checkpoints are

            def measured(step: int, _: object) -> None:  # TRL trains llama.model in place
                found = coin_measures(llama, self.task, self.rl.n_eval_rl, self.seed, step)
                log.add({"phase": "rl", "step": step} | found)

            config = replace(trl_settings(self, device, micro=16), warmup=0)
            drawn = self.task.prompts(self.rl.rounds * config.prompts, numpy_rng(self.seed, "rollouts"))
            prompts = needed("datasets").Dataset.from_list([{"prompt": self.task.text(each)} for each in drawn])
            words = tokenizer(self.task.vocabulary, PIECE, END)  # prompts of one length need no padding
            judge = task_reward(self.task, tokens_of)
            trl_reinforce(llama.model, words, prompts, judge, config, place, measured, resume=True)
            shutil.rmtree(place)
        return pd.concat([before.assign(phase="pretraining"), log.table()])


FROM_RANDOM = CoinRun(CoinProblems(), model=LlamaModel(), rl=Reinforcement())
PUBLISHED = change(
    CoinRun(CoinProblems(), model=PublishedModel(), rl=Reinforcement()),
    **dict(p_cot=0.25, steps=48, batch=16, lr=2e-4, warmup=5, cooldown=0.9, n_eval=48, n_points=2),
    **dict(rounds=8, rollouts=128, group=8, rl_lr=1e-5, n_eval_rl=48, eval_every=2),
)
DATASET = "coin"  # what `dataset` is called
# the same in minutes; learns nothing
DRY = dict(steps=2, batch=8, warmup=0, n_eval=4, n_points=1, rounds=1, rollouts=8, group=4, n_eval_rl=4)


def is_published(model: str, dataset: str) -> bool:
    """Do these ask for parity in words by published weights? Raises InputError for one without the other."""
    if dataset == DATASET:
        require(model == SMOLLM2, "model", model, f"{SMOLLM2!r} where dataset = {DATASET!r}")
    return dataset == DATASET


def made(run: CoinRun, dry_run: bool = False, report: Callable[[str], None] = print) -> pd.DataFrame:
    """Its table: as a recording makes it, in runs/, where a killed run goes on; a dry run leaves nothing there."""
    if dry_run:
        clock = time.perf_counter()
        table = run.recover(report=lambda line: report(textwrap.shorten(line, 76, placeholder=" ..."))).table
        report(f"dry run done in {time.perf_counter() - clock:.0f} s: the path works, the numbers mean nothing")
        return table
    report(f"{described(run)}, in {runs_folder()}")
    return pd.DataFrame(read_run(runs_folder() / f"{run_one(run, runs_folder())}.json")["rows"])


def published(dry_run: bool = False, **overrides) -> CoinRun:
    """Both phases by SmolLM2-135M-Instruct, with some fields changed."""
    return change(PUBLISHED, **(DRY if dry_run else {}) | overrides)


PROFILES = {
    # the path in seconds; learns nothing
    "smoke": dict(n_layer=1, width=32, n_head=2, steps=20, batch=16, n_eval=32, n_points=1, rounds=2, rollouts=32)
    | dict(group=4, n_eval_rl=32, people=3),
    # two CPU cores, under two minutes: 4 people, two layers, 41,600 demonstrations
    "laptop": dict(people=4, n_layer=2, steps=1300, batch=32, lr=1e-3, cooldown=0.2, n_points=4, n_eval=256, rounds=30)
    | dict(rl_lr=3e-4, n_eval_rl=256, eval_every=3),
    # a GPU; 16 people, 25 million parameters
    "paper": dict(people=16, n_layer=8, width=512, n_head=8, steps=20_000, batch=256, lr=5e-4, warmup=500, n_eval=2048)
    | dict(n_points=20, rounds=40, rollouts=1024, rl_lr=1e-4, n_eval_rl=1024),
}


def coin(profile: str = "laptop", steps: int = 0, **overrides) -> CoinRun:
    """Both phases from random weights at the size of a profile, with some fields changed; steps = 0 takes its own."""
    run = from_profile(FROM_RANDOM, PROFILES, profile, overrides)
    return change(run, steps=steps or run.pretraining.steps)
