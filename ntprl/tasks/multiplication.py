"""Multiplication of two k-digit numbers, with the partial products as its chain.

The rendering is that of the data of Deng et al. (2023, 2024, implicit chain of thought): digits least significant
first, one token each; the j-th partial product shifted by its zeros; after each inner one the running sum in brackets;
`####` before the answer. Lengths are fixed by leading zeros (written last).
"""

from dataclasses import dataclass

import numpy as np

from ntprl.errors import InputError, require, require_integer
from ntprl.tasks.task import PAD, said, same_answers

MARKS = ("*", "||", "+", "(", ")", "####", ".")  # tokens 10, 11, ...; the digits are tokens 0..9
TIMES, SEPARATOR, PLUS, OPEN, CLOSE, MARK, EOS = range(10, 17)
SYMBOLS = (*map(str, range(10)), *MARKS)
LARGEST_K = 9  # products fit into 63 bits


def digits_of(numbers: np.ndarray, width: int) -> np.ndarray:
    """The last `width` decimal digits, least significant first, (n,) -> (n, width)."""
    return numbers[:, None] // 10 ** np.arange(width) % 10


def number_of(digits: np.ndarray) -> np.ndarray:
    """The inverse of `digits_of`, (n, width) -> (n,)."""
    return digits @ 10 ** np.arange(digits.shape[1])


def uniform_hash(keys: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each key, the same on every machine, (n,) int -> (n,): splitmix64."""
    z = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True)
class Multiplication:
    """The product of two k-digit numbers without leading zeros.

        prompt  5 1 6 * 0 4 9||                                       615 * 940, k = 3
        long    0 0 0 0 + 0 0 6 4 2 ( 0 0 6 4 2 ) + 0 0 5 3 5 5 #### 0 0 1 8 7 5 .
        short   #### 0 0 1 8 7 5 .                                    or, not marked: 0 0 1 8 7 5 .

    A hash of the two numbers decides which pairs are for tests only. Without the mark, long and short answers
    begin with the same token, the last digit of the product; that rendering is ours.
    """

    k: int = 2  # digits of each number
    marked: bool = True  # do short answers begin with ####?
    test_share: float = 0.1  # of all pairs, never drawn for training

    def __post_init__(self) -> None:
        require_integer("k", self.k, low=1)
        require(self.k <= LARGEST_K, "k", self.k, f"at most {LARGEST_K}: the product has 2k digits and 63 bits")
        require(isinstance(self.marked, bool), "marked", self.marked, "True or False")
        is_number = isinstance(self.test_share, float)
        require(is_number and 0 < self.test_share < 1, "test_share", self.test_share, "a number in (0, 1)")

    @property
    def eos(self) -> int:
        return EOS

    @property
    def vocab_size(self) -> int:
        return len(SYMBOLS)

    @property
    def prompt_length(self) -> int:
        return 2 * self.k + 2

    @property
    def long_length(self) -> int:
        return self.long(np.zeros((1, self.prompt_length), dtype=int)).shape[1] - 1

    @property
    def short_length(self) -> int:
        return 2 * self.k + self.marked

    def is_test(self, prompts: np.ndarray) -> np.ndarray:
        """Which prompts are for tests only, (n,) bool."""
        first, second = self._factors(prompts)
        return uniform_hash(first * 10**self.k + second) < self.test_share

    def prompts(self, n: int, rng: np.random.Generator, test: bool = False) -> np.ndarray:
        """n independent prompts, uniform over the pairs for training, or for tests, (n, 2k + 2)."""
        found = np.empty((0, self.prompt_length), dtype=int)
        for _ in range(1000):
            if len(found) >= n:
                return found[:n]
            pairs = rng.integers(10 ** (self.k - 1), 10**self.k, size=(2, max(n, 1000)))
            columns = [digits_of(number, self.k) for number in pairs]
            mark = np.ones((pairs.shape[1], 1), dtype=int)
            drawn = np.hstack((columns[0], TIMES * mark, columns[1], SEPARATOR * mark))
            found = np.concatenate((found, drawn[self.is_test(drawn) == test]))
        kind = "test" if test else "training"
        raise InputError(f"test_share = {self.test_share} leaves hardly any {kind} pair for k = {self.k}")

    def _factors(self, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two numbers, (n,) each."""
        return number_of(prompts[:, : self.k]), number_of(prompts[:, self.k + 1 : 2 * self.k + 1])

    def product(self, prompts: np.ndarray) -> np.ndarray:
        """The true products, (n,)."""
        first, second = self._factors(prompts)
        return first * second

    def long(self, prompts: np.ndarray) -> np.ndarray:
        """Partial products, running sums, the answer and EOS, (n, L + 1)."""
        (first, second), k, parts = self._factors(prompts), self.k, []
        for j in range(k):
            lower = second % 10 ** (j + 1)  # the digits of the second number used so far
            partial = first * (lower - second % 10**j)
            parts += [PLUS] * (j > 0) + [digits_of(partial, k + 1 + j)]
            if 0 < j < k - 1:
                parts += [OPEN, digits_of(first * lower, k + 1 + j), CLOSE]
        return self._rows([*parts, MARK, digits_of(first * second, 2 * k), EOS], len(prompts))

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """The answer and EOS, (n, S + 1)."""
        parts = [MARK] * self.marked + [digits_of(self.product(prompts), 2 * self.k), EOS]
        return self._rows(parts, len(prompts))

    def _rows(self, parts: list, n: int) -> np.ndarray:
        return np.hstack([np.full((n, 1), part) if isinstance(part, int) else part for part in parts])

    def final(self, answers: np.ndarray) -> np.ndarray:
        """The number that each answer ends in, (n,). Total; PAD if there is none.

        It stands after the first ####, has 1 to 2k digits and nothing else, then EOS and PAD. Where short answers are
        not marked, an answer without #### is all number.
        """
        answers = np.asarray(answers)
        words = said(answers, EOS)  # (n, T) bool
        is_mark = words & (answers == MARK)
        marks = np.cumsum(is_mark, axis=1)
        is_bare = ~is_mark.any(axis=1, keepdims=True) & (not self.marked)
        is_number = words & ((marks > 0) | is_bare) & ~(is_mark & (marks == 1))
        length = is_number.sum(axis=1)
        are_digits = (~is_number | ((answers >= 0) & (answers <= 9))).all(axis=1)
        good = (length >= 1) & (length <= 2 * self.k) & are_digits
        place = np.where(is_number & good[:, None], np.cumsum(is_number, axis=1) - 1, 0)
        values = np.where(is_number & good[:, None], answers, 0) * 10**place
        return np.where(good, values.sum(axis=1), PAD)

    def r_e2e(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer ends in the product, whatever stands before, (n,) bool. Total."""
        return self.final(answers) == self.product(prompts)

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer is exactly the right chain or exactly the right short answer, (n,) bool. Total."""
        return same_answers(answers, self.long(prompts)) | same_answers(answers, self.short(prompts))

    def text(self, tokens: np.ndarray) -> str:
        """Tokens of one row as in the published data; PAD is left out, EOS is `.`, unknown tokens show as `?`."""
        words = (SYMBOLS[t] if 0 <= t < len(SYMBOLS) else "?" for t in np.asarray(tokens) if t != PAD)
        return " ".join(words).replace(" ||", "||")

    def parse(self, row: str) -> tuple[np.ndarray, np.ndarray]:
        """(prompt (P,), answer with EOS) of a row of text such as `5 1 6 * 0 4 9||#### 0 0 1 8 7 5`.

        Any answer made of known tokens is read, right or wrong; the prompt must be one of this task.
        """
        question, found, answer = row.partition("||")
        words = [*question.split(), found, *answer.split()]
        unknown = [word for word in words if word not in SYMBOLS]
        if unknown:
            raise InputError(f"{unknown[0]!r} in the row {row!r} is no token: known are {' '.join(SYMBOLS)}")
        tokens = np.array([SYMBOLS.index(word) for word in words])
        prompt, answer = tokens[: self.prompt_length], tokens[self.prompt_length :]
        k, bits = self.k, prompt < 10
        expected = np.array([*[True] * k, False, *[True] * k, False])
        is_prompt = len(prompt) == self.prompt_length and (bits == expected).all()
        if not (is_prompt and (prompt[k], prompt[-1]) == (TIMES, SEPARATOR) and prompt[k - 1] and prompt[2 * k]):
            allowed = f"two {k}-digit numbers, least significant digit first, as in `{'1 ' * k}* {'1 ' * k}".rstrip()
            raise InputError(f"the prompt of the row {row!r} is not {allowed}||`")
        return prompt, np.append(answer, EOS) if EOS not in answer else answer
