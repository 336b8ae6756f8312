"""One run as a frozen configuration: a task, a model, one or two phases of training, a seed -> a tidy table.

A `Run` is composed of parts. The fields of all parts have names of their own, so that a run is changed, swept, named
and written down by flat names, whichever part they belong to:

    run = Run(Parity(50), p_cot=0.25, rl=Reinforcement(algorithm="star"))
    change(run, d=16, steps=1000, rl_lr=1e-4)        # `lr` of the second phase is rl_lr
    run.run()                                        # the table; run.recover() also gives both models

What stands in a run's hash is its `kind`, a text, and its flat fields: modules and classes may move and be renamed.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from ntprl.errors import InputError, require, require_choice, require_integer, require_number, require_seed, shown
from ntprl.measure import long_probability, measure
from ntprl.mixture import Mixture
from ntprl.posttrain import PosttrainConfig, Reward, posttrain
from ntprl.pretrain import ENOUGH, PretrainConfig, pretrain
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.task import Task
from ntprl.transformer import Transformer, TransformerConfig

Report = Callable[[str], None]  # gets a line of text now and then
Watch = Callable[[int, Transformer], None]  # sees (rounds done, model)


def require_device(device: str) -> str:
    """The device if this machine has it, else an InputError that says what it has."""
    available = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.cuda.is_available():
        available.append("cuda")
    require(
        isinstance(device, str) and device in available,
        "device",
        device,
        "one of " + ", ".join(available) + " on this machine",
    )
    return device


# --- flat names ---

RENAMED = {("rl", "lr"): "rl_lr"}  # (part, field) -> its flat name, where two parts have a field of one name
# Fields that are younger than some recorded table. At these values, which are what earlier runs did, they are no part
# of a hash. Who adds a field to a part adds it here, and every recorded table stays what it is.
LATER = {"weight_decay": 0.0, "clip": 0.2, "kl": 0.0, "optimizer": "adamw"}
PLAIN = (int, float, str, bool)

Config = TypeVar("Config")  # a frozen dataclass with a `kind`, whose fields are plain or parts
Part = TypeVar("Part")  # a frozen dataclass whose fields are plain


def flat(config: object) -> dict[str, object]:
    """Every field of a configuration and of its parts by its flat name, but for `kind`; equal values are spelled alike
    (1 for p_cot and NumPy's 3 for d become 1.0 and 3)."""
    values: dict[str, object] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            values |= {RENAMED.get((field.name, name), name): inner for name, inner in flat(value).items()}
        elif field.name not in ("kind", "rl"):
            values[field.name] = field.type(value) if field.type in PLAIN else value
    return values


def spelled_alike(part: Part) -> Part:
    """The same part with its values as `flat` spells them: checkpoints hold them as text."""
    plain = [field for field in fields(part) if field.init and field.type in PLAIN]
    return replace(part, **{field.name: field.type(getattr(part, field.name)) for field in plain})


def without_later(values: dict[str, object]) -> dict[str, object]:
    """Flat fields without those of LATER that have their old value."""
    return {name: value for name, value in values.items() if name not in LATER or value != LATER[name]}


def config_hash(config: object) -> str:
    """Twelve hex digits that name a configuration: its kind and its flat fields."""
    text = json.dumps({"kind": config.kind, **without_later(flat(config))}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def change(config: Config, **values: object) -> Config:
    """The same with some fields changed, each by its flat name, or a whole part by its own.

    Raises InputError for a name that there is not, and for values that the parts refuse.
    """
    own = {field.name: values.pop(field.name) for field in fields(config) if field.name in values}
    parts = {field.name: own.get(field.name, getattr(config, field.name)) for field in fields(config)}
    parts = {name: part for name, part in parts.items() if is_dataclass(part)}
    home = {
        RENAMED.get((name, field.name), field.name): (name, field.name)
        for name, part in parts.items()
        for field in fields(part)
    }
    changed: dict[str, dict] = {}
    for name, value in values.items():
        if name not in home:
            raise InputError(f"parameter {name} = {shown(value)} is unknown: known are {', '.join(flat(config))}")
        part, field_name = home[name]
        changed.setdefault(part, {})[field_name] = value
    return replace(config, **own | {name: replace(parts[name], **fresh) for name, fresh in changed.items()})


def described(config: object) -> str:
    """A configuration in one line, for logs."""
    values = ", ".join(f"{name}={value!r}" for name, value in without_later(flat(config)).items())
    return f"{config.kind}({values})"


# --- parts ---


@dataclass(frozen=True)
class ModelConfig:
    """A small transformer from random weights. Other models are subclasses with a `build` of their own."""

    style: str = "gpt2"  # gpt2 or mistral
    n_layer: int = 2  # depth
    width: int = 64  # size of the residual stream
    n_head: int = 4  # attention heads

    def shape(self, task: Task) -> TransformerConfig:
        """With vocabulary and length of the task; refuses sizes that do not fit together."""
        longest = task.prompt_length + task.long_length
        return TransformerConfig(task.vocab_size, longest, self.style, self.n_layer, self.width, self.n_head)

    def build(self, run: "Run", device: str, folder: Path | None) -> Transformer:
        """The model before the first step; its weights depend on the seed alone.

        `folder` is where trained starts lie, for models that come from another run's.
        """
        return Transformer(self.shape(run.task), torch_rng(run.seed, "init")).to(device)

    def rehearsed(self) -> "ModelConfig":
        """What stands for it in a rehearsal, whose sizes can be changed."""
        return self


@dataclass(frozen=True)
class Evaluation:
    """When and on how much the first phase is measured."""

    n_eval: int = 1024  # fresh prompts for each measurement
    n_points: int = 10  # measurements after the first, evenly spaced, the last at the end

    def __post_init__(self) -> None:
        for name in ("n_eval", "n_points"):
            require_integer(name, getattr(self, name), low=1)


@dataclass(frozen=True)
class Reinforcement(PosttrainConfig):
    """The second phase, and when and on how much it is measured."""

    n_eval_rl: int = 512  # fresh prompts for the measurement of a round
    eval_every: int = 1  # rounds between measurements; the first and the last round are always measured

    def __post_init__(self) -> None:
        for name in ("n_eval_rl", "eval_every"):
            require_integer(name, getattr(self, name), low=1)
        require_number("rl_lr", self.lr, low=0, high=1)  # by its flat name, not as the first phase's
        super().__post_init__()


# --- the run ---


class Recovery(NamedTuple):
    """What a run of both phases leaves."""

    before: Transformer  # after pre-training
    after: Transformer  # after reinforcement learning
    table: pd.DataFrame  # phase pretraining: one row a measured step; phase rl: one row a round, 0 first
    length_share: np.ndarray  # (rounds + 1, L + 2) share of sampled answers at each length 0..L+1


@dataclass(frozen=True)
class Run:
    """Train one model on D(p_cot) by next-token prediction, reinforce it if `rl` says how, measure it on the way.

    What is measured in the first phase is `measure`; a study that asks for something else overrides it.
    """

    task: Task  # a frozen dataclass, whose fields are part of the run's name
    p_cot: float = 0.25  # share of long demonstrations
    model: ModelConfig = ModelConfig()
    pretraining: PretrainConfig = PretrainConfig()
    rl: Reinforcement | None = None  # None: no second phase
    evaluation: Evaluation = Evaluation()
    seed: int = 0  # of initialisation, data, rollouts and evaluation
    kind: str = ""  # under which it is recorded; empty: named by its class and its task

    def __post_init__(self) -> None:
        is_task = is_dataclass(self.task) and not isinstance(self.task, type)
        require(is_task, "task", self.task, "a frozen dataclass, since its fields name the run")
        require_seed(self.seed)
        self.model.shape(self.task)  # refuses what does not fit, as the mixture does
        for field in fields(self):
            if is_dataclass(part := getattr(self, field.name)):
                object.__setattr__(self, field.name, spelled_alike(part))
        object.__setattr__(self, "p_cot", float(self.mixture.p_cot))
        object.__setattr__(self, "kind", self.kind or f"{type(self).__name__} on {self._what}")

    @property
    def mixture(self) -> Mixture:
        return Mixture(self.task, self.p_cot)

    @property
    def _what(self) -> str:
        """Task and model by their classes, whose fields alone would not tell them from others."""
        model = type(self.model).__name__
        return type(self.task).__name__ + (f" by {model}" if model != ModelConfig.__name__ else "")

    @property
    def start(self) -> "Run | None":
        """The first phase alone, whose trained model is shared with other runs; None where there is no second."""
        if self.rl is None:
            return None
        kind = f"start on {self._what}"
        if type(self).measure is not Run.measure:  # its table is shared too
            kind += f", measured by {type(self).__name__}"
        return replace(self, rl=None, kind=kind)

    def measured_steps(self) -> Collection[int]:
        points = np.linspace(0, self.pretraining.steps, self.evaluation.n_points + 1)
        return set(points.round().astype(int).tolist())

    def measure(self, step: int, model: Transformer) -> list[dict]:
        """The rows of one measurement of the first phase."""
        return [measure(model, self.task, self.evaluation.n_eval, self.seed, step)]

    def is_enough(self, rows: list[dict]) -> bool:
        """Whether the first phase may end at a measurement with these rows, before all its steps are done."""
        return False

    def measure_round(self, done: int, model: Transformer) -> dict:
        """Measures after `done` rounds, with the mean of `long_probability`; none between measured rounds."""
        if done % self.rl.eval_every and done != self.rl.rounds:
            return {}
        n = self.rl.n_eval_rl
        prompts = self.task.prompts(n, numpy_rng(self.seed, "evaluation", done), test=True)
        generator = torch_rng(self.seed, "evaluation", done, device=str(model.embed.weight.device))
        row = measure(model, self.task, n, self.seed, done)
        return row | {"long_probability": float(long_probability(model, self.task, prompts, generator).mean())}

    def train(
        self, device: str = "cpu", checkpoint_path: Path | None = None, report: Report | None = None
    ) -> tuple[Transformer, pd.DataFrame]:
        """The first phase: (trained model, tidy table of one or more rows for each measured step).

        `report` gets a line for each measurement.
        """
        folder = None if checkpoint_path is None else Path(checkpoint_path).parent
        model = self.model.build(self, require_device(device), folder)
        wanted, steps = self.measured_steps(), self.pretraining.steps

        def callback(step: int, model: Transformer, loss: torch.Tensor | None) -> dict | None:
            if step not in wanted:
                return None
            rows = self.measure(step, model)
            if report is not None:
                report(f"step {step} of {steps}: {rows[0]}")
            return {"rows": rows, ENOUGH: self.is_enough(rows)}

        log = pretrain(model, self.mixture, self.pretraining, self.seed, callback, checkpoint_path)
        return model, pd.DataFrame([{"step": entry["step"], **row} for entry in log for row in entry["rows"]])

    def trained(
        self, folder: Path, device: str = "cpu", report: Report | None = None
    ) -> tuple[Transformer, pd.DataFrame]:
        """`train` with a checkpoint that stays in `folder`, so that later calls only read it."""
        return self.train(device, Path(folder) / f"start-{config_hash(self)}.safetensors", report)

    def recover(
        self,
        device: str = "cpu",
        folder: Path | None = None,
        report: Report | None = None,
        reward: Reward | None = None,
        watch: Watch | None = None,
    ) -> Recovery:
        """Both phases. With a folder, the trained start is looked for and left there, for other runs too, and a
        killed run goes on from its checkpoint. `reward` replaces the named one; `report` gets a line for each
        measurement; `watch` is shown the model at each round, 0 included, before it is measured, and must leave it
        as it is.
        """
        require(self.rl is not None, "rl", self.rl, "a Reinforcement where both phases are asked for")
        start = self.start
        model, before_rl = (
            start.train(device, None, report) if folder is None else start.trained(folder, device, report)
        )
        before = copy.deepcopy(model)

        def callback(done: int, model: Transformer) -> dict:
            if watch is not None:
                watch(done, model)
            row = self.measure_round(done, model)
            if report is not None and row:
                report(f"round {done} of {self.rl.rounds}: {row}")
            return row

        log = posttrain(model, self.task, self.rl, self.seed, reward, callback, checkpoint_of(self, folder), report)
        length_share = np.array([row.pop("length_share") for row in log])
        during_rl = pd.DataFrame(log).rename(columns={"round": "step"})
        table = pd.concat([before_rl.assign(phase="pretraining"), during_rl.assign(phase="rl")], ignore_index=True)
        return Recovery(before, model, table, length_share)

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """The table of all its phases; with a folder, checkpoints lie there."""
        if self.rl is None:
            return self.train(device, checkpoint_of(self, folder))[1]
        return self.recover(device, folder).table


def as_kind(run: Run, kind: type[Run], name: str) -> Run:
    """The same parts as another kind of run, recorded under another name."""
    parts = {field.name: getattr(run, field.name) for field in fields(Run)}
    return kind(**parts | {"kind": name})


def checkpoint_of(config: object, folder: Path | None) -> Path | None:
    """Where a run in the making keeps its state; None without a folder."""
    return None if folder is None else Path(folder) / f"{config_hash(config)}.safetensors"


# --- sizes ---

PROFILES: dict[str, dict] = {
    # the path in seconds; learns nothing
    "smoke": dict(n_layer=2, width=32, n_head=2, steps=40, batch=32, n_eval=128, n_points=4),
    # one CPU core, about three quarters of a minute at d = 50: rotary positions learn the links in fewer steps
    "laptop": dict(style="mistral", steps=250, warmup=20, n_points=5),
    # the paper's scale: batch 256 x 50,000 steps (12.8 M demonstrations), its smallest reported width
    "paper": dict(
        n_layer=4, width=128, n_head=8, steps=50_000, batch=256, lr=1e-3, warmup=500, n_eval=4096, n_points=50
    ),
}


def from_profile(base: Config, profiles: dict[str, dict], profile: str, overrides: dict) -> Config:
    """A run at the size of one profile with some fields changed; unknown profiles and fields are refused."""
    require_choice("profile", profile, profiles)
    return change(base, **(profiles[profile] | overrides))


def steps_for(p_cot: float, steps: int) -> int:
    """Optimiser steps that show rarer long demonstrations as often as `steps` do at p_cot = .25; 20 times at most."""
    rarer = 0.25 / p_cot if p_cot > 0 else 1.0
    return round(steps * min(20.0, max(1.0, rarer)))
