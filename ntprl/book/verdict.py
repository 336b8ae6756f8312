"""Claims and verdicts: a statement with its criterion over recorded tables, and the numbers in a verdict's words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ntprl.measure import interval

REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN = "reproduced", "partly", "not reproduced", "not yet run"
AT_CHANCE = 0.05  # distance from one half within which an accuracy is at chance
CALIBRATED = 0.05  # distance of one run's P(long) from p_cot within which it is calibrated
POOLED_CALIBRATED = 0.03  # the same for the mean over seeds
RECOVERED = 0.95  # greedy accuracy from which a parity run has recovered


class Verdict(NamedTuple):
    verdict: str  # one of the four above
    evidence: str  # the numbers behind it, with intervals


@dataclass(frozen=True)
class Claim:
    """One claim: what is said, how we know that the paper says it, and its criterion."""

    id: str  # C1.. are the paper's, O1.. ours
    statement: str  # in our words
    source: str  # how we know that the paper claims it: seed, quote, second-hand; or ours
    tables: tuple[str, ...]  # the recorded tables that the criterion reads, in the order of its arguments
    criterion: Callable[..., Verdict]  # its docstring says what counts as reproduced
    quote: str = ""  # the paper's own words, where they are known word for word
    chapter: str = ""  # where it is shown first; the catalogue puts that of its study here


def claim(id: str, statement: str, source: str, tables: tuple[str, ...] = (), quote: str = "") -> Callable:
    """Makes a claim of the function below it, which takes the tables and returns a verdict."""
    return lambda criterion: Claim(id, statement, source, tables, criterion, quote)


def rate_text(rate: float, n: int) -> str:
    """.497 [.484, .510]: a rate with its 95 % interval."""
    low, high = interval(rate, n)
    return " ".join((f"{rate:.3f}", f"[{low:.3f}, {high:.3f}]"))


def pooled(table: pd.DataFrame, column: str) -> str:
    """Mean of a rate over runs of equal size, with the interval of all their draws together."""
    return rate_text(table[column].mean(), int(table["n_eval"].sum()))


def amount(share: float) -> str:
    """A share of answers in a word."""
    return "nearly all" if share > 0.9 else "hardly any" if share < 0.1 else "some"


def accuracy_in_words(accuracy: float) -> str:
    if np.isnan(accuracy):
        return "none"
    return "at chance" if abs(accuracy - 0.5) <= AT_CHANCE else "near 1" if accuracy > 0.95 else "away from chance"
