"""The claims of chapter 5, each with its criterion: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were made.
"""

import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.readings import at_round, final_rows
from ntprl.book.verdict import CALIBRATED, NOT_REPRODUCED, PARTLY, REPRODUCED, Verdict, amount, claim, rate_text
from ntprl.measure import crossing

LEARNED = 0.9  # accuracy from which products or chains are learned
HARDEST = 7  # digits of the paper's hardest case


def live_verdicts(table: pd.DataFrame, p_cot: float) -> dict[str, str]:
    """What one run of both phases shows, in words that do not depend on the last digit of a float."""
    start, end = at_round(table.assign(run=0), "start").iloc[0], at_round(table.assign(run=0), "end").iloc[0]
    calibrated = abs(start["long_probability"] - p_cot) <= CALIBRATED
    return {
        "chains": "learned" if start["chain_accuracy"] > LEARNED else "not learned",
        "P(long) before RL": "calibrated" if calibrated else "not calibrated",
        "long greedy answers before RL": amount(start["greedy_long"]),
        "right greedy answers before RL": "less than two thirds" if start["greedy_accuracy"] < 2 / 3 else "more",
        "right greedy answers after RL": amount(end["greedy_accuracy"]),
        "sampled answers after RL": "mostly long" if end["sampled_long"] > 0.5 else "mostly short",
    }


@claim(
    "C16",
    "Multi-digit multiplication shows the same; its hardest case fails",
    source="summary; hardest case second-hand",
    tables=("multiplication_seeds", "multiplication_3", "multiplication_hard"),
)
def multiplication(seeds: pd.DataFrame, three: pd.DataFrame, hard: pd.DataFrame) -> Verdict:
    """The phenomenon, at k = 2 and at k = 3 with p_cot = .25, means over seeds: before RL less than a tenth of greedy
    answers are long, and P(long) is within .05 of p_cot; after RL (GRPO) greedy accuracy is above .9 and was raised by
    .2 or more, and most greedy answers are long. The limit: at p_cot = .1 and the largest k of the third table RL
    leaves greedy accuracy below one half in every run. Reproduced if all hold and that k is the paper's seven, else
    partly if one of the two halves holds: a small budget fails sooner.
    """
    three = three[(three["p_cot"] == 0.25) & (three["algorithm"] == "grpo")]
    holds, text = True, ""
    for k, table in ((2, seeds), (3, three)):
        start, end = at_round(table, "start"), at_round(table, "end")
        before, after = start["greedy_accuracy"].mean(), end["greedy_accuracy"].mean()
        calibration = start["long_probability"].mean() - 0.25
        holds &= bool(start["greedy_long"].mean() < 0.1 and abs(calibration) <= CALIBRATED)
        holds &= bool(after > LEARNED and after - before >= 0.2 and end["greedy_long"].mean() > 0.5)
        text += f"k = {k}: greedy accuracy {rate_text(before, int(start['n_eval'].sum()))} before RL, "
        text += f"{rate_text(after, int(end['n_eval'].sum()))} after; P(long) off by {calibration:+.3f} before, greedy "
        text += f"long {start['greedy_long'].mean():.2f} before, {end['greedy_long'].mean():.2f} after; "
    end = at_round(hard, "end")
    largest = end[end["k"] == end["k"].max()]
    fails = bool((largest["greedy_accuracy"] < 0.5).all())
    found = end.groupby("k")["greedy_accuracy"].agg(low="min", high="max", mean="mean")
    found["n"] = end.groupby("k")["n_eval"].sum()
    text += "p_cot = .1, one budget, greedy accuracy after RL: " + ", ".join(
        f"k = {k}: {low:.2f} to {high:.2f}, together {rate_text(mean, int(n))}"
        for k, low, high, mean, n in found.itertuples()
    )
    text += f"; {HARDEST} digits not run" if end["k"].max() < HARDEST else ""
    if holds and fails and end["k"].max() >= HARDEST:
        return Verdict(REPRODUCED, text)
    return Verdict(PARTLY if holds or fails else NOT_REPRODUCED, text)


def predicted_crossing(final: pd.DataFrame) -> float:
    """The p_cot at which p = m/(1 + m) with m = rival/(1 - p), means over seeds; linear in between, NaN if none."""
    p_cot = final["p_cot"]
    gap = (p_cot - theory.threshold(final["rival"] / (1 - p_cot))).groupby(p_cot).mean()
    p, above = gap.index.to_numpy(), gap.to_numpy() >= 0
    first = np.flatnonzero(above[1:] & ~above[:-1])
    if len(first) == 0:
        return float("nan")
    i = first[0]
    return float(p[i] - gap.iloc[i] * (p[i + 1] - p[i]) / (gap.iloc[i + 1] - gap.iloc[i]))


@claim(
    "O3",
    "Multiplication: the threshold is 1/2 with marked short answers, and near m/(1 + m) with bare ones",
    source="ours",
    tables=("multiplication_threshold",),
)
def branch(table: pd.DataFrame) -> Verdict:
    """Ours: with marked short answers the interval of the crossing lies within .05 of 1/2; with bare ones the crossing
    is within .05 of where p = m/(1 + m) for the measured m, and lies below .4.
    """
    last = final_rows(table)
    found = {marked: crossing(part, "greedy_long") for marked, part in last.groupby("marked")}
    (marked, (low, high)), (bare, (bare_low, bare_high)) = found[True], found[False]
    predicted = predicted_crossing(last[~last["marked"]])
    holds = 0.45 <= low <= high <= 0.55 and abs(bare - predicted) <= 0.05 and bare < 0.4
    where = "inside" if bare_low <= predicted <= bare_high else "outside"
    text = f"marked: predicted .500, measured {marked:.3f} [{low:.3f}, {high:.3f}]; bare: predicted {predicted:.3f} "
    text += f"from the measured m, {where} the measured {bare:.3f} [{bare_low:.3f}, {bare_high:.3f}]"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)
