"""Named, frozen configurations and what they run: a config -> a table.

A chapter asks for `pretraining(profile, ...)` and calls `.run()`; a recording is a named list of such
configurations, all seeds stated here before any of them is run.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ntprl.errors import InputError, require, require_choice, require_integer
from ntprl.measure import chain_probabilities, measure
from ntprl.mixture import Mixture
from ntprl.parity import Parity
from ntprl.pretrain import PretrainConfig, pretrain
from ntprl.seeds import numpy_rng, torch_rng
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


@dataclass(frozen=True)
class PretrainingRun:
    """Train one transformer on D(p_cot) by next-token prediction and measure it on the way."""

    d: int = 50  # input symbols
    modulus: int = 2  # K, number of symbols; 2 is parity
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
    def task(self) -> Parity:
        return Parity(self.d, self.modulus)

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

    def measured_steps(self) -> Collection[int]:
        return set(np.linspace(0, self.steps, self.n_points + 1).round().astype(int).tolist())

    def measure(self, step: int, model: Transformer) -> list[dict]:
        return [measure(model, self.task, self.n_eval, self.seed, step)]

    def train(self, device: str = "cpu", checkpoint_path: Path | None = None) -> tuple[Transformer, pd.DataFrame]:
        """(trained model, tidy table of one or more rows for each measured step)."""
        model = Transformer(self.transformer_config, torch_rng(self.seed, "init")).to(require_device(device))
        wanted = self.measured_steps()

        def callback(step: int, model: Transformer, loss: torch.Tensor | None) -> dict | None:
            return {"rows": self.measure(step, model)} if step in wanted else None

        log = pretrain(model, self.mixture, self.pretrain_config, self.seed, callback, checkpoint_path)
        return model, pd.DataFrame([{"step": entry["step"], **row} for entry in log for row in entry["rows"]])

    def run(self, device: str = "cpu", checkpoint_path: Path | None = None) -> pd.DataFrame:
        return self.train(device, checkpoint_path)[1]


@dataclass(frozen=True)
class LearningOrder(PretrainingRun):
    """The same run, measured token by token: one row for each measured step and position.

    kind long: mean probability of the right link at position 1..d+1 of the chain, all earlier links given;
    kind short: mean probability of the right answer as the first token.
    """

    def measure(self, step: int, model: Transformer) -> list[dict]:
        prompts = self.task.prompts(self.n_eval, numpy_rng(self.seed, "evaluation", step))
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


def pretraining(profile: str = "laptop", **overrides) -> PretrainingRun:
    """The run of one profile with some fields changed; unknown profiles and fields are refused."""
    require_choice("profile", profile, PROFILES)
    known = [field.name for field in fields(PretrainingRun)]
    for name, value in overrides.items():
        if name not in known:
            raise InputError(f"parameter {name} = {value!r} is unknown: known are {', '.join(known)}")
    return PretrainingRun(**(PROFILES[profile] | overrides))


@dataclass(frozen=True)
class Recording:
    """A table that is recorded once and shown by the book ever after."""

    name: str  # data/<name>.csv
    question: str  # what it answers, in one line
    chapter: str  # the chapter that makes and shows it
    configs: tuple[PretrainingRun, ...]
    cost: str  # what to expect on which hardware
    needs_gpu: bool = False

    @property
    def command(self) -> str:
        device = " -p device cuda" if self.needs_gpu else ""
        return f"papermill chapters/{self.chapter}.ipynb out.ipynb -p record {self.name}{device}"


def grid(base: PretrainingRun, **axes: Collection) -> tuple[PretrainingRun, ...]:
    """All combinations of the given field values, the last axis fastest."""
    return tuple(replace(base, **dict(zip(axes, values, strict=True))) for values in product(*axes.values()))


CHAPTER_02 = "02_pretraining_threshold"
SHORT_RUN = PretrainingRun(d=25, steps=1000, n_points=5)
PAPER = PretrainingRun(**PROFILES["paper"])
CAPACITY = PretrainingRun(d=16, steps=300, lr=1e-3, n_points=2)
THRESHOLD_P_COT = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.35, 0.4, 0.5, 0.75, 1.0)

RECORDINGS = {
    entry.name: entry
    for entry in (
        Recording(
            "threshold",
            "d = 25: for which p_cot does next-token training alone succeed?",
            CHAPTER_02,
            grid(SHORT_RUN, p_cot=THRESHOLD_P_COT, seed=range(5)),
            "20 minutes on two CPU cores",
        ),
        Recording(
            "live_seeds",
            "Does the live run of chapter 02 give the same verdicts for every seed?",
            CHAPTER_02,
            grid(PretrainingRun(), seed=range(10)),
            "5 minutes on two CPU cores",
        ),
        Recording(
            "learning_order",
            "d = 50: which tokens are learned when?",
            CHAPTER_02,
            grid(LearningOrder(steps=400, cooldown=0.0, n_points=40), seed=range(3)),
            "2 minutes on two CPU cores",
        ),
        Recording(
            "long_run",
            "d = 50, p_cot = .25: does a million demonstrations help?",
            CHAPTER_02,
            grid(PretrainingRun(steps=8000, n_points=20), seed=range(3)),
            "20 minutes on two CPU cores",
        ),
        Recording(
            "styles",
            "d = 25: does the threshold depend on the style of transformer?",
            CHAPTER_02,
            grid(replace(SHORT_RUN, style="mistral", n_points=2), p_cot=(0.1, 0.25, 0.35, 0.5), seed=range(3)),
            "8 minutes on two CPU cores",
        ),
        Recording(
            "modulus_3",
            "Sums modulo 3: does the threshold move to 1/4?",
            CHAPTER_02,
            grid(
                replace(SHORT_RUN, d=16, modulus=3, n_points=2),
                p_cot=(0.1, 0.2, 0.225, 0.25, 0.275, 0.3, 0.4),
                seed=range(3),
            ),
            "7 minutes on two CPU cores",
        ),
        Recording(
            "modulus_5",
            "Sums modulo 5: does the threshold move to 1/6?",
            CHAPTER_02,
            grid(
                replace(SHORT_RUN, d=16, modulus=5, n_points=2),
                p_cot=(0.05, 0.1, 0.13, 0.15, 1 / 6, 0.2, 0.3),
                seed=range(3),
            ),
            "7 minutes on two CPU cores",
        ),
        Recording(
            "capacity",
            "d = 16: does more depth or width move the threshold?",
            CHAPTER_02,
            grid(CAPACITY, width=(64,), n_layer=(2, 4, 8), p_cot=(0.15, 0.5), seed=range(3))
            + grid(CAPACITY, width=(128,), n_layer=(2, 4), p_cot=(0.15, 0.5), seed=range(3))
            + grid(CAPACITY, width=(256,), n_layer=(2,), p_cot=(0.15, 0.5), seed=range(3)),
            "15 minutes on two CPU cores; the larger corners are left to capacity_paper",
        ),
        Recording(
            "long_run_paper",
            "d = 50, p_cot = .25: do ten million demonstrations help?",
            CHAPTER_02,
            grid(PAPER, style=("gpt2", "mistral"), seed=range(3)),
            "not yet measured",
            needs_gpu=True,
        ),
        Recording(
            "capacity_paper",
            "d = 50: does more depth or width help at the paper's batch?",
            CHAPTER_02,
            grid(
                replace(PAPER, steps=5000, n_points=10),
                width=(64, 128, 256),
                n_layer=(2, 4, 8),
                p_cot=(0.25, 0.5),
                seed=range(3),
            ),
            "not yet measured",
            needs_gpu=True,
        ),
        Recording(
            "threshold_paper",
            "d = 25 at the paper's batch and length: how sharp is the threshold?",
            CHAPTER_02,
            grid(replace(PAPER, d=25, n_points=10), p_cot=THRESHOLD_P_COT, seed=range(3)),
            "not yet measured",
            needs_gpu=True,
        ),
    )
}


def recording(name: str) -> Recording:
    """The recording of that name; an unknown one is refused with the list of all."""
    require_choice("record", name, RECORDINGS)
    return RECORDINGS[name]
