"""Parity whose demonstrations err: on the links of the chain, which errors are carried along, or on the last token."""

from dataclasses import dataclass

import numpy as np

from ntprl.errors import require_choice, require_number
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import lengths

PLACES = ("links", "final")


@dataclass(frozen=True)
class NoisyParity(Parity):
    """As `Parity`, but demonstrations err with probability `noise`; rewards and measures know what is right.

    links  each link of a long demonstration is off by one with that probability: y_1 = x_1, then the sum of y_(l-1)
           and x_l, or one more. What follows builds on it.
    final  the last token before EOS is, in long and in short demonstrations alike.
    """

    d: int = 16  # input symbols
    noise: float = 0.1  # eta
    place: str = "links"  # one of PLACES

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("noise", self.noise, low=0, high=1)
        require_choice("place", self.place, PLACES)

    def demonstrated(self, prompts: np.ndarray, is_long: bool, rng: np.random.Generator) -> np.ndarray:
        """What demonstrations of one kind show, (n, T)."""
        rows = self.long(prompts) if is_long else self.short(prompts)
        errs = rng.random((len(rows), self.d)) < self.noise  # one column for each token of a chain, EOS not counted
        if self.place == "final":
            rows[:, -2] = (rows[:, -2] + errs[:, -1]) % self.modulus
        elif is_long:
            errs[:, 0] = False
            rows[:, :-1] = (rows[:, :-1] + np.cumsum(errs, axis=1)) % self.modulus
        return rows

    def right_links(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Share of the d - 1 links that are right given the token before, (n,); 0 for answers of another length."""
        answers = np.asarray(answers)
        whole = lengths(answers, self.eos) == self.d
        share = np.zeros(len(answers))
        if self.d > 1 and whole.any():
            tokens, symbols = answers[whole, : self.d], np.asarray(prompts)[whole, : self.d]
            right = (tokens[:, :-1] + symbols[:, 1:]) % self.modulus == tokens[:, 1:]
            share[whole] = right.mean(axis=1)
        return share
