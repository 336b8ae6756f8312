"""What a task is: prompts to draw, two ways to answer them, two ways to check an answer.

Token arrays are integer NumPy arrays. An answer row is its tokens, then EOS, then PAD to the end of
the row. PAD is no vocabulary item: no model ever sees it.
"""

from typing import NamedTuple, Protocol

import numpy as np

PAD = -1


class Task(Protocol):
    """Everything that training, sampling and measuring need to know about a problem.

    Shapes: n prompts of P tokens; long answers of L tokens and short ones of S tokens, plus EOS.
    """

    vocab_size: int  # V, tokens a model reads and writes
    eos: int  # token that ends an answer
    prompt_length: int  # P, tokens in a prompt, the separator included
    long_length: int  # L, tokens in the longest answer, EOS not counted
    short_length: int  # S, tokens in a short answer, EOS not counted

    def prompts(self, n: int, rng: np.random.Generator, test: bool = False) -> np.ndarray:
        """Fresh prompts, (n, P), for training or for tests; a task may keep some for tests alone."""

    def long(self, prompts: np.ndarray) -> np.ndarray:
        """The full chain for each prompt, (n, L + 1)."""

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """The answer alone for each prompt, (n, S + 1)."""

    def final(self, answers: np.ndarray) -> np.ndarray:
        """What each answer finally says, one integer a row, (n,); PAD if it says nothing."""

    def r_e2e(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """End-to-end reward, (n,) bool: is the final answer right?"""

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Chain reward, (n,) bool: is it exactly the right chain or exactly the right short answer?"""

    def text(self, tokens: np.ndarray) -> str:
        """One row of tokens as a readable string, PAD left out."""


class Demonstrations(NamedTuple):
    """Prompts with one answer each; all answers here have the same length or end in PAD."""

    prompts: np.ndarray  # (n, P)
    answers: np.ndarray  # (n, T)


def lengths(answers: np.ndarray, eos: int) -> np.ndarray:
    """Tokens before the first EOS, (n,); an answer that never ends counts all but its PAD."""
    answers = np.asarray(answers)
    before_eos = np.cumsum(answers == eos, axis=1) == 0
    return (before_eos & (answers != PAD)).sum(axis=1)


def said(answers: np.ndarray, eos: int) -> np.ndarray:
    """Which tokens stand before the first EOS, (n, T) bool; none if it has no EOS, or more than PAD after it."""
    is_eos = np.asarray(answers) == eos
    before = np.cumsum(is_eos, axis=1) == 0
    behind = np.cumsum(is_eos, axis=1) - is_eos > 0
    ends_well = is_eos.any(axis=1) & ((np.asarray(answers) == PAD) | ~behind).all(axis=1)
    return before & ends_well[:, None]


def same_answers(answers: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Rows of `answers` that equal `expected` up to trailing PAD, (n,) bool."""
    answers, expected = np.asarray(answers), np.asarray(expected)
    width = max(answers.shape[1], expected.shape[1])

    def padded(rows: np.ndarray) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=PAD)

    return (padded(answers) == padded(expected)).all(axis=1)
