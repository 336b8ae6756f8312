"""Parity of d bits, written as a sum modulo K.

With K = 2, symbol 0 stands for the bit +1 and symbol 1 for -1, so that the product of the bits is
the sum of the symbols modulo 2. Larger K are ours, not the paper's: the theory predicts that the
threshold moves from 1/3 to 1/(K + 1).
"""

from dataclasses import dataclass

import numpy as np

from ntprl.errors import require_integer
from ntprl.tasks.task import PAD, said, same_answers

LONGEST = 8_000  # symbols: prompt and answer together fill the longest sequence of our models


@dataclass(frozen=True)
class Parity:
    """Sum of d symbols modulo K, with the running sums as its chain.

        prompt  1 0 1 |        d = 3, K = 2
        long    1 1 0 .        the running sums; the last one is the answer
        short   0 .            the answer alone

    Tokens: the symbols 0..K-1, then EOS (`.`), then the separator (`|`) that ends a prompt.
    Source: the paper's mixture (C1). The separator is ours: it shows a model where the answer starts.
    """

    d: int = 50  # input symbols
    modulus: int = 2  # K, number of symbols

    def __post_init__(self) -> None:
        require_integer("d", self.d, low=1, high=LONGEST)
        require_integer("modulus", self.modulus, low=2, high=1_000_000)

    @property
    def eos(self) -> int:
        return self.modulus

    @property
    def separator(self) -> int:
        return self.modulus + 1

    @property
    def vocab_size(self) -> int:
        return self.modulus + 2

    @property
    def prompt_length(self) -> int:
        return self.d + 1

    @property
    def long_length(self) -> int:
        return self.d

    @property
    def short_length(self) -> int:
        return 1

    def prompts(self, n: int, rng: np.random.Generator, test: bool = False) -> np.ndarray:
        """n independent uniform prompts, (n, d + 1); the last column is the separator. None are kept for tests."""
        symbols = rng.integers(self.modulus, size=(n, self.d))
        return np.pad(symbols, ((0, 0), (0, 1)), constant_values=self.separator)

    def long(self, prompts: np.ndarray) -> np.ndarray:
        """The d running sums and EOS, (n, d + 1)."""
        sums = np.cumsum(prompts[:, : self.d], axis=1) % self.modulus
        return np.pad(sums, ((0, 0), (0, 1)), constant_values=self.eos)

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """The sum and EOS, (n, 2): the last two columns of the long answer."""
        return self.long(prompts)[:, -2:]

    def final(self, answers: np.ndarray) -> np.ndarray:
        """The last token before the first EOS, (n,): what an answer says.

        Total: any array of n rows is read. PAD without EOS, with nothing before it, or with anything but PAD after it.
        """
        answers = np.asarray(answers)
        length = said(answers, self.eos).sum(axis=1)
        if answers.shape[1] == 0:
            return np.full(len(answers), PAD)
        return np.where(length > 0, answers[np.arange(len(answers)), length - 1], PAD)

    def r_e2e(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer's last token is the sum, (n,) bool. Total."""
        return self.final(answers) == self.short(prompts)[:, 0]

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer is exactly the right chain or exactly the right short answer, (n,) bool. Total."""
        return same_answers(answers, self.long(prompts)) | same_answers(answers, self.short(prompts))

    def text(self, tokens: np.ndarray) -> str:
        """Tokens of one row, spaced: `1 0 1 |` or `1 1 0 .`; PAD is left out, unknown tokens show as `?`."""
        marks = [str(symbol) for symbol in range(self.modulus)] + [".", "|"]
        return " ".join(marks[t] if 0 <= t < len(marks) else "?" for t in np.asarray(tokens) if t != PAD)
