"""Parity with two valid chains: from the first symbol to the last, and from the last to the first."""

from dataclasses import dataclass

import numpy as np

from ntprl.tasks.parity import Parity
from ntprl.tasks.task import same_answers


@dataclass(frozen=True)
class TwoChains(Parity):
    """As `Parity`; half of the long demonstrations read the prompt from its end.

        prompt  1 0 0 |        d = 3, K = 2
        left    1 1 1 .        running sums from the first symbol
        right   0 0 1 .        running sums from the last
        short   1 .

    `long`, which measures follow, is the chain from the left. Either is right.
    """

    d: int = 16  # input symbols

    def from_right(self, prompts: np.ndarray) -> np.ndarray:
        """Running sums from the last symbol and EOS, (n, d + 1)."""
        turned = np.concatenate((prompts[:, : self.d][:, ::-1], prompts[:, self.d :]), axis=1)
        return self.long(turned)

    def chains(self, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both right chains, from the left and from the right."""
        return self.long(prompts), self.from_right(prompts)

    def demonstrated(self, prompts: np.ndarray, is_long: bool, rng: np.random.Generator) -> np.ndarray:
        """What demonstrations of one kind show, (n, T): among long ones a fair coin chooses the chain."""
        if not is_long:
            return self.short(prompts)
        turns = rng.random(len(prompts)) < 0.5
        return np.where(turns[:, None], self.from_right(prompts), self.long(prompts))

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer is exactly a right chain from either end or the right short answer, (n,) bool. Total."""
        return super().r_cot(prompts, answers) | same_answers(answers, self.from_right(prompts))
