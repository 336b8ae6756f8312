"""Frozen configurations of the multiplication chapter, and what they run: a config -> a table."""

from dataclasses import dataclass

from ntprl.experiments import TrainingRun
from ntprl.multiplication import Multiplication
from ntprl.recovery import Reinforced


@dataclass(frozen=True)
class MultiplicationRun(TrainingRun):
    """Train on k x k multiplication."""

    k: int = 2  # digits of each number
    marked: bool = True  # do short answers begin with ####?
    test_share: float = 0.1  # of all pairs, never trained on

    @property
    def task(self) -> Multiplication:
        return Multiplication(self.k, self.marked, self.test_share)


@dataclass(frozen=True)
class MultiplicationRecovery(Reinforced, MultiplicationRun):
    """Both phases on k x k multiplication."""

    start_kind = MultiplicationRun
