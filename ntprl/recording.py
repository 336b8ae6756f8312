"""What a recording is: a table that the book wants, and the runs it is made of."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Protocol

import pandas as pd

from ntprl.experiments import TrainingRun


class Run(Protocol):
    """A frozen configuration that can be run: what recordings list, sweeps run and records name."""

    seed: int

    @property
    def start(self) -> TrainingRun | None:
        """The run whose trained model this one starts from, shared with others; None: it starts by itself."""

    def run(self, device: str = "cpu", checkpoint_path: Path | None = None) -> pd.DataFrame:
        """Its tidy table."""


@dataclass(frozen=True)
class Recording:
    """A table that is recorded once and shown by the book ever after."""

    name: str  # data/<name>.csv
    question: str  # what it answers, in one line
    chapter: str  # the chapter that makes and shows it
    configs: tuple[Run, ...]
    cost: str  # what to expect on which hardware
    needs_gpu: bool = False
    at_once: int = 1  # runs that share one GPU: a small model leaves it idle between its operators

    @property
    def command(self) -> str:
        device = " -p device cuda" if self.needs_gpu else ""
        return f"papermill chapters/{self.chapter}.ipynb out.ipynb -p record {self.name}{device}"


def grid(base: Run, **axes: Collection) -> tuple[Run, ...]:
    """All combinations of the given field values, the last axis fastest."""
    return tuple(replace(base, **dict(zip(axes, values, strict=True))) for values in product(*axes.values()))
