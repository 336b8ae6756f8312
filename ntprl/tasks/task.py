"""What a task is: prompts to draw, two ways to answer them, two ways to check an answer.

Token arrays are integer NumPy arrays. An answer row is its tokens, then EOS, then PAD to the end of
the row. PAD is no vocabulary item: no model ever sees it.
"""

from typing import NamedTuple, Protocol

import numpy as np

from ntprl.errors import InputError, require_integer

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


def check_task(task: Task, n: int = 64, seed: int = 0) -> None:
    """Draw n prompts of a task, answer and judge them; raise an InputError that says in one line what is wrong.

    For tasks of your own, before a model is trained on one: a long answer without EOS would train without complaint
    and never end, and a vocabulary that is too small would end in an error from deep inside a model.
    """
    name = type(task).__name__

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise InputError(f"task {name}: {what}")

    def call(method: str, *arguments: object, **options: object) -> object:
        demand(callable(getattr(task, method, None)), f"it has no method {method}")
        try:
            return getattr(task, method)(*arguments, **options)
        except Exception as error:  # whatever a user's code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"task {name}: {method} fails with {reason[:200]}") from error

    for size in ("vocab_size", "prompt_length", "long_length", "short_length", "eos"):
        demand(hasattr(task, size), f"it has no {size}")
        require_integer(f"{size} of task {name}", getattr(task, size), low=0 if size == "eos" else 1)
    demand(
        task.eos < task.vocab_size,
        f"eos = {task.eos} is no token: tokens are 0 to vocab_size - 1 = {task.vocab_size - 1}",
    )

    def require_tokens(what: str, rows: object, width: int, exact: bool) -> np.ndarray:
        is_array = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind == "i"
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        demand(is_array and len(rows) == n, f"{what} gives {found}, not an integer array of {n} rows")
        fits = rows.shape[1] == width if exact else rows.shape[1] <= width
        demand(fits, f"{what} gives {rows.shape[1]} tokens a row, not {'' if exact else 'at most '}{width}")
        low = 0 if exact else PAD
        bad = rows[(rows < low) | (rows >= task.vocab_size)]
        demand(bad.size == 0, f"{what} gives token {bad[0] if bad.size else ''}, not one of 0 to {task.vocab_size - 1}")
        return rows

    drawn = {}
    for test in (False, True):
        rng, again = (np.random.default_rng(seed) for _ in range(2))
        what = f"prompts(test={test})"
        drawn[test] = require_tokens(what, call("prompts", n, rng, test=test), task.prompt_length, exact=True)
        demand(
            np.array_equal(drawn[test], call("prompts", n, again, test=test)), f"{what} draws from elsewhere than rng"
        )
    prompts, answers = drawn[False], {}
    for kind, width in (("long", task.long_length), ("short", task.short_length)):
        rows = answers[kind] = require_tokens(kind, call(kind, prompts), width + 1, exact=False)
        demand(
            (rows == task.eos).any(axis=1).all(), f"{kind} gives an answer without EOS ({task.eos}): it would never end"
        )
        demand(said(rows, task.eos).any(axis=1).all(), f"{kind} gives an answer that is empty, or goes on after EOS")
        demand(np.array_equal(rows, call(kind, prompts)), f"{kind} gives two answers to the same prompts")
    for kind, rows in answers.items():
        for reward in ("r_e2e", "r_cot"):
            right = call(reward, prompts, rows)
            is_vector = isinstance(right, np.ndarray) and right.shape == (n,) and right.dtype == bool
            demand(is_vector, f"{reward} must give a bool for each of {n} answers")
            demand(
                bool(right.all()),
                f"{reward} says that a {kind} demonstration is wrong: {_example(prompts, rows, right)}",
            )
    finals = {kind: call("final", rows) for kind, rows in answers.items()}
    for kind, final in finals.items():
        demand(
            isinstance(final, np.ndarray) and final.shape == (n,),
            f"final must give a number for each of {n} {kind} answers",
        )
    demand(
        np.array_equal(finals["long"], finals["short"]),
        "long and short demonstrations of a prompt end in different answers",
    )
    for reward in ("r_e2e", "r_cot"):
        unanswered = call(reward, prompts, np.full((n, 1), task.eos))
        demand(not np.any(unanswered), f"{reward} says that an empty answer is right")
        noise = np.random.default_rng(seed).integers(task.vocab_size, size=(n, task.long_length + 1))
        judged = call(reward, prompts, noise)  # a sampled answer may be anything
        demand(
            getattr(judged, "shape", None) == (n,), f"{reward} must give a bool for each of {n} answers of any tokens"
        )
    demand(isinstance(call("text", prompts[0]), str), "text must give a string")


def _example(prompts: np.ndarray, rows: np.ndarray, right: np.ndarray) -> str:
    """The first demonstration that is called wrong."""
    i = int(np.argmin(right))
    return f"{prompts[i].tolist()} -> {rows[i].tolist()}"


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
