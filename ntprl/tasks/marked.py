"""Parity whose short answers begin with a mark of their own, so that long and short ones part at the first token."""

from dataclasses import dataclass

import numpy as np

from ntprl.tasks.parity import Parity


@dataclass(frozen=True)
class MarkedParity(Parity):
    """As `Parity`, but short answers announce themselves.

        prompt  1 0 1 |        d = 3, K = 2
        long    1 1 0 .
        short   ! 0 .          the mark is the token after the separator

    An answer of a mark alone says the mark, which is no sum.
    """

    d: int = 16  # input symbols

    @property
    def mark(self) -> int:
        return self.separator + 1

    @property
    def vocab_size(self) -> int:
        return self.separator + 2

    @property
    def short_length(self) -> int:
        return 2

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """The mark, the sum and EOS, (n, 3)."""
        return np.insert(self.long(prompts)[:, -2:], 0, self.mark, axis=1)

    def r_e2e(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer's last token is the sum, (n,) bool. Total."""
        return self.final(answers) == self.short(prompts)[:, 1]

    def text(self, tokens: np.ndarray) -> str:
        """Tokens of one row, spaced, the mark as `!`."""
        return " ".join("!" if token == self.mark else super(MarkedParity, self).text([token]) for token in tokens)
