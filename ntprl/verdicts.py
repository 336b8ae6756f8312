"""What a check says, and the numbers in its words."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ntprl.measure import interval

REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN = "reproduced", "partly", "not reproduced", "not yet run"
AT_CHANCE = 0.05  # distance from one half within which an accuracy is at chance
CALIBRATED = 0.05  # distance of one run's P(long) from p_cot within which it is calibrated
POOLED_CALIBRATED = 0.03  # the same for the mean over seeds


class Verdict(NamedTuple):
    verdict: str  # one of the four above
    evidence: str  # the numbers behind it, with intervals


def both_sides(linear: Verdict, transformer: Verdict) -> Verdict:
    """One verdict of a claim that is tested on the linear chain and on the transformer: the weaker of the two."""
    order = (NOT_REPRODUCED, PARTLY, REPRODUCED)
    weaker = min(linear.verdict, transformer.verdict, key=order.index)
    sides = (("linear chain", linear), ("transformer", transformer))
    return Verdict(weaker, "; ".join(f"{side} ({verdict}): {text}" for side, (verdict, text) in sides))


def final_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The last measurement of each run."""
    return table[table["step"] == table["step"].max()]


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


def live_verdicts(row: dict, p_cot: float) -> dict[str, str]:
    """What one trained parity model shows, in words that do not depend on the last digit of a float."""
    return {
        "chains": "learned" if row["chain_accuracy"] > 0.95 else "not learned",
        "greedy accuracy": accuracy_in_words(row["greedy_accuracy"]),
        "median greedy length": f"{row['greedy_median_length']:g}",
        "P(long)": "calibrated" if abs(row["sampled_long"] - p_cot) <= CALIBRATED else "not calibrated",
        "short answers": accuracy_in_words(row["sampled_short_accuracy"]),
    }


def recovery_verdicts(table: pd.DataFrame, d: int) -> dict[str, str]:
    """What one run of pre-training and RL shows, in words that do not depend on the last digit of a float."""
    rl = table[(table["phase"] == "rl") & table["greedy_accuracy"].notna()]
    start, end = rl.iloc[0], rl.iloc[-1]
    long = end["sampled_long"]
    grown = "d" if end["greedy_median_length"] == d else f"{end['greedy_median_length']:g}"
    return {
        "greedy accuracy before RL": accuracy_in_words(start["greedy_accuracy"]),
        "greedy accuracy after RL": accuracy_in_words(end["greedy_accuracy"]),
        "median greedy length before RL": f"{start['greedy_median_length']:g}",
        "median greedy length after RL": grown,
        "sampled answers after RL": "long" if long > 0.9 else "short" if long < 0.1 else "mixed",
    }
