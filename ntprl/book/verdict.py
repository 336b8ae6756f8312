"""Claims and verdicts: a statement with its criterion over recorded tables, and the numbers in a verdict's words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ntprl.measure import interval, mean_interval

NOT_RUN = "not yet run"
REPRODUCED, PARTLY, NOT_REPRODUCED = "reproduced", "partly", "not reproduced"  # of the paper's claims
HELD, FAILED, UNDECIDED = "held", "failed", "undecided"  # of our own, which nobody had claimed before
DEFINITION = "by definition"  # a set-up, not a finding: it is checked and not counted
WORDS = (REPRODUCED, PARTLY, NOT_REPRODUCED, HELD, FAILED, UNDECIDED, NOT_RUN, DEFINITION)  # in the order of counts
AT_CHANCE = 0.05  # distance from one half within which an accuracy is at chance
CALIBRATED = 0.05  # distance of one run's P(long) from p_cot within which it is calibrated
POOLED_CALIBRATED = 0.03  # the same for the mean over seeds
RECOVERED = 0.95  # greedy accuracy from which a parity run has recovered


class Verdict(NamedTuple):
    verdict: str  # one of WORDS
    evidence: str  # the numbers behind it, with intervals; what decides stands before the first semicolon


class Proof(NamedTuple):
    """A statement of chapters/proofs/linear_chain.md, and what it proves of a claim."""

    label: str  # its anchor there
    name: str  # its kind and number there
    proves: str  # in our words


@dataclass(frozen=True)
class Claim:
    """One claim: what is said, how we know that the paper says it, and its criterion."""

    id: str  # C1.. are the paper's, O1.. ours
    statement: str  # in our words
    source: str  # how we know that the paper claims it: summary, quote, second-hand; or ours
    tables: tuple[str, ...]  # the recorded tables that the criterion reads, in the order of its arguments
    criterion: Callable[..., Verdict]  # its docstring says what counts as reproduced
    quote: str = ""  # the paper's own words, where they are known word for word
    proof: tuple["Proof", ...] = ()  # the statements of the proofs page that it rests on
    measured: str = ""  # what the tables say and no proof does; where there is a proof
    chapter: str = ""  # where it is shown first; the catalogue puts that of its study here


def claim(
    id: str,
    statement: str,
    source: str,
    tables: tuple[str, ...] = (),
    quote: str = "",
    proof: tuple["Proof", ...] = (),
    measured: str = "",
) -> Callable:
    """Makes a claim of the function below it, which takes the tables and returns a verdict."""
    return lambda criterion: Claim(id, statement, source, tables, criterion, quote, proof, measured)


def rate_text(rate: float, n: int) -> str:
    """.497 [.484, .510]: a rate of one model with its 95 % interval over n draws."""
    low, high = interval(rate, n)
    return " ".join((f"{rate:.3f}", f"[{low:.3f}, {high:.3f}]"))


def over_seeds(values: Iterable[float], digits: int = 3) -> str:
    """A mean over seeds with what they differ by: each of them where they are five or fewer, else a t interval.

    Draws of several models are never thrown together, since models differ by more than their draws do.
    """
    found = [float(value) for value in values]
    mean, (low, high) = mean_interval(found)
    if len(found) <= 5:
        return f"{mean:.{digits}f} (seeds {', '.join(f'{value:.{digits}f}' for value in found)})"
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] over {len(found)} seeds"


def amount(share: float) -> str:
    """A share of answers in a word."""
    return "nearly all" if share > 0.9 else "hardly any" if share < 0.1 else "some"


def accuracy_in_words(accuracy: float) -> str:
    if np.isnan(accuracy):
        return "none"
    return "at chance" if abs(accuracy - 0.5) <= AT_CHANCE else "near 1" if accuracy > 0.95 else "away from chance"
