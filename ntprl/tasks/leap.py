"""Parity whose long demonstrations are full chains, or partial ones that leap over every second product."""

from dataclasses import dataclass

import numpy as np

from ntprl.errors import require, require_number
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD, same_answers


@dataclass(frozen=True)
class LeapParity(Parity):
    """As `Parity`; a share of the long demonstrations leap.

        prompt  1 0 1 1 |      d = 4, K = 2
        full    1 1 0 1 .      every running sum
        leap    1 1 .          every second one; the last is the answer
        short   1 .

    A reader of a leap needs two symbols at a time. `long` is the chain that measures follow: the full one, or the leap
    where no demonstration is full. Either is right.
    """

    d: int = 16  # input symbols, an even number
    leap: float = 1.0  # share of leaps among the long demonstrations

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.d % 2 == 0 and self.d >= 4, "d", self.d, "an even number of at least 4, to be taken in pairs")
        require_number("leap", self.leap, low=0, high=1)

    def full(self, prompts: np.ndarray) -> np.ndarray:
        """All running sums and EOS, (n, d + 1)."""
        return super().long(prompts)

    def partial(self, prompts: np.ndarray) -> np.ndarray:
        """Every second running sum and EOS, (n, d/2 + 1)."""
        sums = self.full(prompts)
        return np.concatenate((sums[:, 1 : self.d : 2], sums[:, -1:]), axis=1)

    def chains(self, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both right chains, full and partial."""
        return self.full(prompts), self.partial(prompts)

    @property
    def long_length(self) -> int:
        return self.d // 2 if self.leap == 1 else self.d

    def long(self, prompts: np.ndarray) -> np.ndarray:
        """The chain that measures follow, (n, L + 1)."""
        return self.partial(prompts) if self.leap == 1 else self.full(prompts)

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """The sum and EOS, (n, 2)."""
        return self.full(prompts)[:, -2:]

    def demonstrated(self, prompts: np.ndarray, is_long: bool, rng: np.random.Generator) -> np.ndarray:
        """What demonstrations of one kind show, (n, T): among long ones each leaps with probability `leap`."""
        if not is_long:
            return self.short(prompts)
        rows = self.full(prompts)
        leaps = rng.random(len(prompts)) < self.leap
        rows[leaps] = PAD
        rows[leaps, : self.d // 2 + 1] = self.partial(prompts[leaps])
        return rows[:, : self.long_length + 1]

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer is exactly a right chain of either kind or the right short answer, (n,) bool. Total."""
        rights = (self.full(prompts), self.partial(prompts), self.short(prompts))
        return np.any([same_answers(answers, right) for right in rights], axis=0)
