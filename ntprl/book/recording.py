"""What a recording is: a table that the book wants, and the runs it is made of."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Protocol, TypeVar

import pandas as pd

from ntprl.book.run import Run, change, flat


class Recordable(Protocol):
    """A frozen configuration that can be run: what recordings list, sweeps run and the store names."""

    kind: str
    seed: int

    @property
    def start(self) -> Run | None:
        """The run whose trained model this one starts from, shared with others; None: it starts by itself."""

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """Its tidy table; `folder` is for checkpoints."""


Config = TypeVar("Config", bound=Recordable)


@dataclass(frozen=True)
class Recording:
    """A table that is recorded once and shown by the book ever after."""

    name: str  # data/<name>.csv
    question: str  # what it answers, in one line
    chapter: str  # the chapter that makes and shows it
    configs: tuple[Recordable, ...]
    cost: str  # what to expect when all of it is recorded anew, shared starts included, and on which hardware
    needs_gpu: bool = False
    at_once: int = 1  # runs that share one GPU: a small model leaves it idle between its operators

    @property
    def command(self) -> str:
        device = " -p device cuda" if self.needs_gpu else ""
        return f"papermill chapters/{self.chapter}.ipynb out.ipynb -p record {self.name}{device}"


def grid(base: Config, **axes: Collection) -> tuple[Config, ...]:
    """All combinations of the given values of flat fields, the last axis fastest."""
    return tuple(change(base, **dict(zip(axes, values, strict=True))) for values in product(*axes.values()))


# the largest sizes of a rehearsal, by flat names
SMALL = dict(d=6, k=2, low=2, high=3, n_layer=1, width=16, n_head=2, steps=4, base_steps=4, batch=16, warmup=2)
SMALL |= dict(n_eval=16, n_points=1, rounds=2, rollouts=16, group=4, minibatches=2, n_eval_rl=16, n_samples=1000)
SMALL |= dict(calibration_steps=4)


def rehearsed(config: Config) -> Config:
    """The same kind of run, in seconds; published weights become a dry run, or random ones."""
    if isinstance(config, Run):
        config = replace(config, model=config.model.rehearsed())
    known = flat(config)
    if "dry_run" in known:
        return change(config, dry_run=True, dataset="generated")
    return change(config, **{name: min(known[name], SMALL[name]) for name in SMALL if name in known})
