"""The claims of chapter 2, each with its criterion: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were made.
"""

import pandas as pd

from ntprl import theory
from ntprl.book.readings import final_rows
from ntprl.book.verdict import (
    AT_CHANCE,
    CALIBRATED,
    NOT_REPRODUCED,
    PARTLY,
    POOLED_CALIBRATED,
    REPRODUCED,
    Verdict,
    accuracy_in_words,
    claim,
    pooled,
)
from ntprl.measure import crossing, interval


@claim(
    "C2",
    "d = 50, p_cot = .25: greedy accuracy stays near 50 % up to about 10^7 demonstrations",
    source="seed, quote",
    tables=("long_run",),
    quote="even with access to ~10^7 training samples",
)
def stalls(long_run: pd.DataFrame) -> Verdict:
    """At a million demonstrations: reproduced in part if every seed knows the chain (accuracy > .95) and
    answers greedily at chance at the end; the paper's ten million decide the rest."""
    last = final_rows(long_run)
    holds = bool((last["chain_accuracy"] > 0.95).all() and ((last["greedy_accuracy"] - 0.5).abs() <= AT_CHANCE).all())
    later = long_run[long_run["step"] >= long_run["step"].max() / 2]
    away = int(((later["greedy_accuracy"] - 0.5).abs() > AT_CHANCE).sum())
    text = f"greedy accuracy after 10^6: {pooled(last, 'greedy_accuracy')}; "
    text += f"chain known to {last['chain_accuracy'].min():.3f} or better; "
    text += f"away from chance in {away} of {len(later)} measurements of the second half; 10^7 not yet run"
    return Verdict(PARTLY if holds else NOT_REPRODUCED, text)


@claim("C3", "Meanwhile the median greedy answer stays short", source="seed, quote", tables=("long_run",))
def short(long_run: pd.DataFrame) -> Verdict:
    """Reproduced if the median greedy length is 1 at the end of every run and in nine measurements of ten
    of its second half."""
    later = long_run[long_run["step"] >= long_run["step"].max() / 2]
    holds = (final_rows(long_run)["greedy_median_length"] == 1).all() and (
        later["greedy_median_length"] == 1
    ).mean() >= 0.9
    counts = f"{int((later['greedy_median_length'] == 1).sum())} of {len(later)}"
    return Verdict(
        REPRODUCED if holds else NOT_REPRODUCED,
        f"median length 1 in {counts} measurements of the second half of 10^6 demonstrations",
    )


@claim(
    "C4",
    "Models are calibrated in length: long answers come with probability p_cot",
    source="seed, quote",
    tables=("threshold",),
    quote="generate long responses with probability p_cot",
)
def calibrated(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if at every p_cot > 0 the mean of P(long) over seeds lies within .03 of p_cot."""
    last = final_rows(threshold)
    error = (last.groupby("p_cot")["sampled_long"].mean() - last["p_cot"].unique()).abs()
    intervals = [interval(rate, n) for rate, n in zip(last["sampled_long"], last["n_eval"], strict=True)]
    inside = [low <= p <= high for p, (low, high) in zip(last["p_cot"], intervals, strict=True)]
    text = f"largest |mean P(long) - p_cot| = {error.max():.3f} (at p_cot = {error.idxmax():.3g}); "
    text += f"p_cot inside the 95 % interval of {sum(inside)} of {len(inside)} single runs"
    return Verdict(REPRODUCED if error.max() <= POOLED_CALIBRATED else NOT_REPRODUCED, text)


@claim(
    "C5",
    "d = 25: pre-training succeeds from p_cot of about 1/3 on and fails below",
    source="seed",
    tables=("threshold",),
)
def at_one_third(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if every p_cot from .1 to .25 ends at chance and every one from .4 on above .95 (means
    over seeds), and the interval of the crossing is within .05 of 1/3."""
    last = final_rows(threshold)
    means = last.groupby("p_cot")["greedy_accuracy"].mean()
    low, high = means[(means.index >= 0.1) & (means.index <= 0.25)], means[means.index >= 0.4]
    estimate, (left, right) = crossing(last, "greedy_long")
    holds = (low - 0.5).abs().max() <= AT_CHANCE and high.min() > 0.95 and 1 / 3 - 0.05 <= left <= right <= 1 / 3 + 0.05
    text = f"greedy accuracy {low.min():.3f} to {low.max():.3f} for p_cot in [.1, .25]; "
    text += f"{high.min():.3f} or more from .4 on; "
    text += f"half of all prompts get the chain at p_cot = {estimate:.3f} [{left:.3f}, {right:.3f}]"
    return Verdict(REPRODUCED if holds else PARTLY if high.min() > 0.95 else NOT_REPRODUCED, text)


@claim(
    "C6",
    "More depth or width does not help: the failure is not one of capacity",
    source="seed",
    tables=("capacity",),
)
def capacity(table: pd.DataFrame) -> Verdict:
    """Reproduced if every size knows the chain on both sides, ends at chance below the threshold and
    above .95 beyond it (means over seeds)."""
    last = final_rows(table)
    means = last.groupby(["p_cot", "n_layer", "width"])["greedy_accuracy"].mean()
    p_cot = means.index.get_level_values("p_cot")
    below, above = means[p_cot < 1 / 3], means[p_cot > 1 / 3]
    holds = (below - 0.5).abs().max() <= AT_CHANCE and above.min() > 0.95 and last["chain_accuracy"].min() > 0.95
    depth, width = (sorted(last[field].unique()) for field in ("n_layer", "width"))
    text = f"{len(below)} sizes of depth {depth[0]} to {depth[-1]} and width {width[0]} to {width[-1]}, d = 16: "
    text += f"greedy accuracy {below.min():.3f} to {below.max():.3f} below 1/3, {above.min():.3f} or more above; "
    text += f"chain known to {last['chain_accuracy'].min():.3f} or better in every run"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


def moved(table: pd.DataFrame, modulus: int) -> Verdict:
    """The interval of the crossing lies within .04 of 1/(K + 1)."""
    predicted = float(theory.parity_threshold(modulus))
    estimate, (low, high) = crossing(final_rows(table), "greedy_long")
    holds = predicted - 0.04 <= low <= high <= predicted + 0.04
    inside = "inside" if low <= predicted <= high else "just outside" if holds else "outside"
    text = f"predicted {predicted:.3f}, {inside} the measured {estimate:.3f} [{low:.3f}, {high:.3f}]"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


@claim("O1", "Sums modulo 3: the threshold moves to 1/4", source="ours", tables=("modulus_3",))
def modulus_3(table: pd.DataFrame) -> Verdict:
    """As `moved`, K = 3."""
    return moved(table, 3)


@claim("O2", "Sums modulo 5: the threshold moves to 1/6", source="ours", tables=("modulus_5",))
def modulus_5(table: pd.DataFrame) -> Verdict:
    """As `moved`, K = 5."""
    return moved(table, 5)


def live_verdicts(row: dict, p_cot: float) -> dict[str, str]:
    """What one trained parity model shows, in words that do not depend on the last digit of a float."""
    return {
        "chains": "learned" if row["chain_accuracy"] > 0.95 else "not learned",
        "greedy accuracy": accuracy_in_words(row["greedy_accuracy"]),
        "median greedy length": f"{row['greedy_median_length']:g}",
        "P(long)": "calibrated" if abs(row["sampled_long"] - p_cot) <= CALIBRATED else "not calibrated",
        "short answers": accuracy_in_words(row["sampled_short_accuracy"]),
    }
