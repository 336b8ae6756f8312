"""The checks of chapters 1 and 2: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were made.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.measure import crossing, interval
from ntprl.mixture import Mixture
from ntprl.parity import Parity
from ntprl.seeds import numpy_rng
from ntprl.verdicts import (
    AT_CHANCE,
    NOT_REPRODUCED,
    PARTLY,
    POOLED_CALIBRATED,
    REPRODUCED,
    Verdict,
    final_rows,
    pooled,
    rate_text,
)


def check_mixture() -> Verdict:
    """Reproduced if p_cot lies in the interval of the drawn share of long demonstrations, and every
    demonstration equals the products of +-1 bits worked out apart from the task's own code."""
    n, right, evidence = 20_000, True, []
    for p_cot in (0.01, 0.25):
        task = Parity(d=50)
        long, short = Mixture(task, p_cot).draw(n, numpy_rng(0, "data"))
        for prompts, answers, keep in ((*long, slice(None)), (*short, slice(-1, None))):
            products = np.cumprod(1 - 2 * prompts[:, :-1], axis=1)[:, keep]
            right &= bool((1 - 2 * answers[:, :-1] == products).all() and (answers[:, -1] == task.eos).all())
        share, (low, high) = len(long.prompts) / n, interval(len(long.prompts) / n, n)
        right &= low <= p_cot <= high
        evidence.append(f"share of long at p_cot = {p_cot}: {rate_text(share, n)}")
    return Verdict(
        REPRODUCED if right else NOT_REPRODUCED, "; ".join(evidence) + ("; every chain exact" if right else "")
    )


def check_stalls(long_run: pd.DataFrame) -> Verdict:
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


def check_short(long_run: pd.DataFrame) -> Verdict:
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


def check_calibrated(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if at every p_cot > 0 the mean of P(long) over seeds lies within .03 of p_cot."""
    last = final_rows(threshold)
    error = (last.groupby("p_cot")["sampled_long"].mean() - last["p_cot"].unique()).abs()
    inside = [
        low <= p <= high
        for p, rate, n in zip(last["p_cot"], last["sampled_long"], last["n_eval"], strict=True)
        for low, high in [interval(rate, n)]
    ]
    text = f"largest |mean P(long) - p_cot| = {error.max():.3f} (at p_cot = {error.idxmax():.3g}); "
    text += f"p_cot inside the 95 % interval of {sum(inside)} of {len(inside)} single runs"
    return Verdict(REPRODUCED if error.max() <= POOLED_CALIBRATED else NOT_REPRODUCED, text)


def check_threshold(threshold: pd.DataFrame) -> Verdict:
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


def check_capacity(capacity: pd.DataFrame) -> Verdict:
    """Reproduced if every size knows the chain on both sides, ends at chance below the threshold and
    above .95 beyond it (means over seeds)."""
    last = final_rows(capacity)
    means = last.groupby(["p_cot", "n_layer", "width"])["greedy_accuracy"].mean()
    p_cot = means.index.get_level_values("p_cot")
    below, above = means[p_cot < 1 / 3], means[p_cot > 1 / 3]
    holds = (below - 0.5).abs().max() <= AT_CHANCE and above.min() > 0.95 and last["chain_accuracy"].min() > 0.95
    depth, width = (sorted(last[field].unique()) for field in ("n_layer", "width"))
    text = f"{len(below)} sizes of depth {depth[0]} to {depth[-1]} and width {width[0]} to {width[-1]}, d = 16: "
    text += f"greedy accuracy {below.min():.3f} to {below.max():.3f} below 1/3, {above.min():.3f} or more above; "
    text += f"chain known to {last['chain_accuracy'].min():.3f} or better in every run"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


def check_modulus(modulus: int) -> Callable[[pd.DataFrame], Verdict]:
    """Ours: the interval of the crossing lies within .04 of 1/(K + 1)."""

    def check(table: pd.DataFrame) -> Verdict:
        predicted = float(theory.parity_threshold(modulus))
        estimate, (low, high) = crossing(final_rows(table), "greedy_long")
        holds = predicted - 0.04 <= low <= high <= predicted + 0.04
        inside = "inside" if low <= predicted <= high else "just outside" if holds else "outside"
        text = f"predicted {predicted:.3f}, {inside} the measured {estimate:.3f} [{low:.3f}, {high:.3f}]"
        return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)

    return check
