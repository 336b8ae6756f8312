"""Frozen configurations and what they run: a config -> a table.

A chapter asks for `pretraining(profile, ...)` and calls `.train()` or `.run()`.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from ntprl.errors import InputError, require, require_choice, require_integer
from ntprl.measure import chain_probabilities, measure
from ntprl.mixture import Mixture
from ntprl.parity import Parity
from ntprl.pretrain import PretrainConfig, pretrain
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.task import Task
from ntprl.transformer import Transformer, TransformerConfig


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


def config_hash(config: object) -> str:
    """Twelve hex digits that name a configuration: its type and every field."""
    text = json.dumps({"kind": type(config).__name__, **asdict(config)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}


def require_parameters(namespace: dict) -> None:
    """Check a chapter's parameters: call it with globals() before the chapter assigns anything else.

    The annotations of the `parameters` cell say which parameters exist and of which type they are.
    papermill would let an unknown name or a wrong type pass; here each is refused in one line.
    """
    known = namespace.get("__annotations__", {})
    for name, value in namespace.items():
        is_plain = isinstance(value, (str, int, float, list, type(None)))
        if known and is_plain and name not in known and name != "In" and not name.startswith("_"):
            raise InputError(f"parameter {name} = {value!r} is unknown: known are {', '.join(known)}")
    for name, kind in known.items():
        accepted = (int, float) if kind is float else kind
        is_right = isinstance(namespace[name], accepted) and (kind is bool or not isinstance(namespace[name], bool))
        require(is_right, name, namespace[name], KINDS[kind])
    require_choice("profile", namespace["profile"], PROFILES)
    require_integer("seed", namespace["seed"], low=0)
    require_device(namespace["device"])


Run = TypeVar("Run")  # a frozen configuration


@dataclass(frozen=True)
class TrainingRun:
    """Train one transformer on D(p_cot) by next-token prediction and measure it on the way; a subclass has the task."""

    p_cot: float = 0.25  # share of long demonstrations
    style: str = "gpt2"  # gpt2 or mistral
    n_layer: int = 2  # depth
    width: int = 64  # size of the residual stream
    n_head: int = 4  # attention heads
    steps: int = 600  # optimiser steps
    batch: int = 128  # fresh demonstrations in a step
    lr: float = 2e-3  # highest learning rate
    warmup: int = 50  # steps from 0 to lr
    cooldown: float = 0.5  # share of the steps in which the rate falls to 0
    seed: int = 0  # of initialisation, data and evaluation
    n_eval: int = 1024  # fresh prompts for each measurement
    n_points: int = 10  # measurements after the first, evenly spaced, the last at the end

    def __post_init__(self) -> None:
        for name, low in (("seed", 0), ("n_eval", 1), ("n_points", 1)):
            require_integer(name, getattr(self, name), low)
        _ = self.mixture, self.transformer_config, self.pretrain_config  # each checks its own fields
        for field in fields(self):  # one spelling for equal values, 1 for p_cot or NumPy's 3 for d: hashes are of text
            object.__setattr__(self, field.name, field.type(getattr(self, field.name)))

    @property
    def start(self) -> "TrainingRun | None":
        """The run whose trained model this one starts from, shared with others; None: from random weights."""
        return None

    @property
    def task(self) -> Task:
        raise NotImplementedError

    @property
    def mixture(self) -> Mixture:
        return Mixture(self.task, self.p_cot)

    @property
    def transformer_config(self) -> TransformerConfig:
        longest = self.task.prompt_length + self.task.long_length
        return TransformerConfig(self.task.vocab_size, longest, self.style, self.n_layer, self.width, self.n_head)

    @property
    def pretrain_config(self) -> PretrainConfig:
        return PretrainConfig(self.steps, self.batch, self.lr, self.warmup, self.cooldown)

    def new_model(self, device: str, folder: Path | None) -> Transformer:
        """The model before the first step; random weights depend on the seed alone.

        `folder` is where checkpoints of this run go, for models that start from another run's.
        """
        return Transformer(self.transformer_config, torch_rng(self.seed, "init")).to(device)

    def measured_steps(self) -> Collection[int]:
        return set(np.linspace(0, self.steps, self.n_points + 1).round().astype(int).tolist())

    def measure(self, step: int, model: Transformer) -> list[dict]:
        return [measure(model, self.task, self.n_eval, self.seed, step)]

    def train(
        self, device: str = "cpu", checkpoint_path: Path | None = None, report: Callable[[str], None] | None = None
    ) -> tuple[Transformer, pd.DataFrame]:
        """(trained model, tidy table of one or more rows for each measured step); `report` gets a line for each."""
        folder = None if checkpoint_path is None else Path(checkpoint_path).parent
        model = self.new_model(require_device(device), folder)
        wanted = self.measured_steps()

        def callback(step: int, model: Transformer, loss: torch.Tensor | None) -> dict | None:
            if step not in wanted:
                return None
            rows = self.measure(step, model)
            if report is not None:
                report(f"step {step} of {self.steps}: {rows[0]}")
            return {"rows": rows}

        log = pretrain(model, self.mixture, self.pretrain_config, self.seed, callback, checkpoint_path)
        return model, pd.DataFrame([{"step": entry["step"], **row} for entry in log for row in entry["rows"]])

    def trained(
        self, folder: Path, device: str = "cpu", report: Callable[[str], None] | None = None
    ) -> tuple[Transformer, pd.DataFrame]:
        """`train` with a checkpoint that stays in `folder`, so that later calls only read it."""
        return self.train(device, Path(folder) / f"start-{config_hash(self)}.safetensors", report)

    def run(self, device: str = "cpu", checkpoint_path: Path | None = None) -> pd.DataFrame:
        return self.train(device, checkpoint_path)[1]


@dataclass(frozen=True)
class PretrainingRun(TrainingRun):
    """Train on parity, or on sums modulo K."""

    d: int = 50  # input symbols
    modulus: int = 2  # K, number of symbols; 2 is parity

    @property
    def task(self) -> Parity:
        return Parity(self.d, self.modulus)


@dataclass(frozen=True)
class LearningOrder(PretrainingRun):
    """The same run, measured token by token: one row for each measured step and position.

    kind long: mean probability of the right link at position 1..d+1 of the chain, all earlier links given;
    kind short: mean probability of the right answer as the first token.
    """

    def measure(self, step: int, model: Transformer) -> list[dict]:
        prompts = self.task.prompts(self.n_eval, numpy_rng(self.seed, "evaluation", step), test=True)
        links = chain_probabilities(model, self.task, prompts)[0].mean(axis=0)  # (d + 1,)
        with torch.inference_mode():
            logits = model(torch.as_tensor(prompts, device=model.embed.weight.device), n_out=1)[:, 0].cpu()
        answer = torch.as_tensor(self.task.short(prompts)[:, :1])
        short = logits.softmax(-1).gather(1, answer).mean().item()
        rows = [{"kind": "long", "position": i + 1, "probability": float(p)} for i, p in enumerate(links)]
        return [*rows, {"kind": "short", "position": 1, "probability": short}]


PROFILES: dict[str, dict] = {
    # the path in seconds; learns nothing
    "smoke": dict(n_layer=2, width=32, n_head=2, steps=40, batch=32, n_eval=128, n_points=4),
    # two CPU cores, about half a minute at d = 50
    "laptop": dict(),
    # the paper's scale: batch 256 x 50,000 steps (12.8 M demonstrations), its smallest reported width
    "paper": dict(
        n_layer=4, width=128, n_head=8, steps=50_000, batch=256, lr=1e-3, warmup=500, n_eval=4096, n_points=50
    ),
}


def from_profile(kind: type[Run], profiles: dict[str, dict], profile: str, overrides: dict) -> Run:
    """The run of one profile with some fields changed; unknown profiles and fields are refused."""
    require_choice("profile", profile, profiles)
    known = [field.name for field in fields(kind)]
    for name, value in overrides.items():
        if name not in known:
            raise InputError(f"parameter {name} = {value!r} is unknown: known are {', '.join(known)}")
    return kind(**(profiles[profile] | overrides))


def steps_for(p_cot: float, steps: int) -> int:
    """Optimiser steps that show rarer long demonstrations as often as `steps` do at p_cot = .25; 20 times at most."""
    rarer = 0.25 / p_cot if p_cot > 0 else 1.0
    return round(steps * min(20.0, max(1.0, rarer)))


def pretraining(profile: str = "laptop", **overrides) -> PretrainingRun:
    """Pre-training at the size of a profile, with some fields changed."""
    return from_profile(PretrainingRun, PROFILES, profile, overrides)
