"""The claims of chapter 6, each with its criterion: recorded tables -> a verdict.

What counts as reproduced, and what as held, is written in each docstring. C16a's criterion was fixed before its tables
were made; the criteria of O3a, O3b and O7 as they stand here were written after theirs had been read.
"""

from math import hypot

import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.readings import at_round, final_rows
from ntprl.book.verdict import (
    CALIBRATED,
    FAILED,
    HELD,
    NOT_REPRODUCED,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    amount,
    claim,
    over_seeds,
)
from ntprl.measure import crossing, interval, mean_interval

LEARNED = 0.9  # accuracy from which products or chains are learned
MARGIN = 0.05  # distance from a predicted threshold within which it is met
ROLLOUTS = 512  # answers in a round of RL, in every table that O7 reads


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
    "C16a",
    "Multi-digit multiplication shows the same",
    source="summary, at our size",
    tables=("multiplication_seeds", "multiplication_3"),
)
def multiplication(two: pd.DataFrame, three: pd.DataFrame) -> Verdict:
    """At k = 2, and at k = 3 with GRPO, both with p_cot = .25, means over seeds: before RL less than a tenth of greedy
    answers are long, and P(long) is within .05 of p_cot; after RL greedy accuracy is above .9 and was raised by .2 or
    more, and most greedy answers are long. Reproduced if all hold for both k, partly if for one of them.
    """
    three = three[(three["p_cot"] == 0.25) & (three["algorithm"] == "grpo")]
    found, texts, decides = [], [], []
    for k, table in ((2, two), (3, three)):
        start, end = at_round(table, "start"), at_round(table, "end")
        before, after = start["greedy_accuracy"].mean(), end["greedy_accuracy"].mean()
        calibration = start["long_probability"].mean() - 0.25
        holds = start["greedy_long"].mean() < 0.1 and abs(calibration) <= CALIBRATED
        found.append(holds and after > LEARNED and after - before >= 0.2 and end["greedy_long"].mean() > 0.5)
        decides.append(f"from {before:.3f} to {after:.3f} with {k} digits")
        texts.append(
            f"{k} digits: {over_seeds(start['greedy_accuracy'])} before RL, "
            f"{over_seeds(end['greedy_accuracy'])} after; P(long) off by {calibration:+.3f} before, greedy long "
            f"{start['greedy_long'].mean():.2f} before, {end['greedy_long'].mean():.2f} after"
        )
    word = REPRODUCED if all(found) else PARTLY if any(found) else NOT_REPRODUCED
    return Verdict(word, f"RL takes greedy accuracy {' and '.join(decides)}; p_cot = .25; {'; '.join(texts)}")


@claim(
    "C16b",
    "The hardest case of multiplication, 7 digits with p_cot = .1, fails",
    source="second-hand",
    tables=("multiplication_7_paper",),
)
def hardest(seven: pd.DataFrame) -> Verdict:
    """Fails: greedy accuracy is below one half at the end of RL in every run with p_cot = .1. Any budget that is too
    small fails as well, so it is reproduced only if the same budget suffices where solutions are common: greedy
    accuracy above .9 at p_cot = 1 (mean over seeds and algorithms). Partly if it fails at both.
    """
    end = at_round(seven, "end")
    rare, all_long = (end[end["p_cot"] == p]["greedy_accuracy"] for p in (0.1, 1.0))
    text = f"greedy accuracy after RL at p_cot = .1: {rare.min():.3f} to {rare.max():.3f} in {len(rare)} runs; "
    text += f"at p_cot = 1, with the same budget: {all_long.mean():.3f}"
    if not (rare < 0.5).all():
        return Verdict(NOT_REPRODUCED, text)
    return Verdict(REPRODUCED if all_long.mean() > LEARNED else PARTLY, text)


def difference_interval(before: float, n_before: int, after: float, n_after: int) -> tuple[float, float]:
    """95 % interval of after - before, two rates on independent draws, from the Wilson interval of each (Newcombe)."""
    (low_b, high_b), (low_a, high_a) = interval(before, n_before), interval(after, n_after)
    change = after - before
    return change - hypot(after - low_a, high_b - before), change + hypot(high_a - after, before - low_b)


def earnings(*tables: pd.DataFrame) -> pd.DataFrame:
    """One row for each different run: what its start earned by kind of answer, and did RL raise greedy accuracy?

    earns_more     "long", "short", or "" where their 95 % intervals overlap or one kind is missing
    raised         is the 95 % interval of the change of greedy accuracy above 0?
    could_rise     would a rise to 1 be one?
    """
    rows, seen = [], set()
    for table in tables:
        ends = at_round(table, "end").set_index("run")
        for start in at_round(table, "start").itertuples():
            if start.run in seen:
                continue
            seen.add(start.run)
            end = ends.loc[start.run]
            n_long = round(ROLLOUTS * start.rollout_long)
            counts = {"long": n_long, "short": ROLLOUTS - n_long}
            # an empty kind has no reward, and the interval (0, 1)
            (low, high), (short_low, short_high) = (
                interval(getattr(start, f"{kind}_reward") if n else 0.0, n) for kind, n in counts.items()
            )
            n, n_end = int(start.n_eval), int(end["n_eval"])
            known = {name: getattr(start, name) for name in ("k", "p_cot", "algorithm", "seed") if name in table}
            rows.append(
                known
                | dict(run=start.run, long_reward=start.long_reward, short_reward=start.short_reward)
                | dict(before=start.greedy_accuracy, after=end["greedy_accuracy"])
                | dict(earns_more="long" if low > short_high else "short" if short_low > high else "")
                | dict(
                    raised=difference_interval(start.greedy_accuracy, n, end["greedy_accuracy"], n_end)[0] > 0,
                    could_rise=difference_interval(start.greedy_accuracy, n, 1.0, n_end)[0] > 0,
                )
            )
    return pd.DataFrame(rows)


@claim(
    "O7",
    "Multiplication: RL raises greedy accuracy if and only if long answers earn more than short ones at the start",
    source="ours",
    tables=("multiplication_3", "multiplication_hard"),
)
def law(*tables: pd.DataFrame) -> Verdict:
    """Ours, over all runs of the tables, each once. Earn: mean end-to-end reward of the long and of the short answers
    of the first round, which the start wrote; one kind earns more if the 95 % intervals of both are apart, else the run
    is not counted. Raises: the 95 % interval of the change of greedy accuracy from start to end lies above 0. A run
    whose start is so good that a rise to 1 would not show is not counted either (p_cot of .75 and 1).
    Held if all counted runs agree, failed if more than a tenth of them do not, else undecided.

    The law was stated after these two tables had been read. Runs of STaR and of GRPO share their starts, and the eight
    answers to one prompt are taken as independent, so the intervals of rewards are somewhat too narrow.
    """
    runs = earnings(*tables)
    counted = runs[(runs["earns_more"] != "") & runs["could_rise"]]
    agrees = counted["raised"] == (counted["earns_more"] == "long")
    starts = len(counted.drop_duplicates(["seed", "long_reward", "short_reward", "before"]))
    by_kind = [counted["earns_more"] == kind for kind in ("long", "short")]
    full = int((~runs["could_rise"]).sum())
    text = f"{int(agrees.sum())} of {len(counted)} counted runs agree, from {starts} starts; long answers earn more in "
    text += (
        f"{int(by_kind[0].sum())} and RL raises {int(counted[by_kind[0]]['raised'].sum())} of them, short ones earn "
    )
    text += f"more in {int(by_kind[1].sum())} and RL raises {int(counted[by_kind[1]]['raised'].sum())}; of {len(runs)} "
    text += f"runs {full} start too near 1 to rise, and in {len(runs) - full - len(counted)} the rewards do not differ "
    text += "by more than their intervals"
    names = [name for name in ("k", "p_cot", "algorithm", "seed") if name in counted]
    for run in counted[~agrees].to_dict("records"):
        said = ", ".join(f"{name} {run[name]}" for name in names if not pd.isna(run[name]))
        text += f"; against it {said}: {run['earns_more']} earns more, {run['before']:.3f} to {run['after']:.3f}"
    if len(counted) == 0:
        return Verdict(UNDECIDED, text)
    return Verdict(HELD if agrees.all() else FAILED if (~agrees).mean() > 0.1 else UNDECIDED, text)


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


def met(low: float, high: float) -> str:
    """Held if the interval of (measured - predicted) lies within MARGIN of 0, failed if it lies beyond, else undecided.

    Undecided too where a seed has no crossing.
    """
    if -MARGIN <= low <= high <= MARGIN:
        return HELD
    return FAILED if low > MARGIN or high < -MARGIN else UNDECIDED


@claim(
    "O3a",
    "Multiplication, marked short answers: the threshold is 1/2",
    source="ours",
    tables=("multiplication_threshold",),
)
def branch_marked(table: pd.DataFrame) -> Verdict:
    """Ours: held if the t interval of the crossing over seeds lies within .05 of 1/2, failed if it lies beyond or
    a seed never crosses, else undecided.
    """
    last = final_rows(table)
    last = last[last["marked"]]
    measured, (low, high) = crossing(last, "greedy_long")
    text = f"predicted 0.500, measured {measured:.3f} [{low:.3f}, {high:.3f}] over {last['seed'].nunique()} seeds; "
    text += f"margin {MARGIN:g}"
    return Verdict(FAILED if np.isnan(measured) else met(low - 0.5, high - 0.5), text)


@claim(
    "O3b",
    "Multiplication, bare short answers: the threshold is near m/(1 + m), with m read from the model",
    source="ours",
    tables=("multiplication_threshold",),
)
def branch_bare(table: pd.DataFrame) -> Verdict:
    """Ours: each seed has its crossing, and its prediction, the share where p = m/(1 + m) with the m of its own models.
    Held if the t interval of their difference over seeds lies within .05 of 0 and every seed crosses below 1/2, so that
    taking the mark away has moved it; failed if the interval lies beyond; else undecided. Failed too where some seed
    has a crossing or a prediction and not the other.
    """
    last = final_rows(table)
    seeds = [part for _, part in last[~last["marked"]].groupby("seed")]
    measured = np.array([crossing(part, "greedy_long")[0] for part in seeds])
    predicted = np.array([predicted_crossing(part) for part in seeds])
    difference, (low, high) = mean_interval(measured - predicted)
    text = f"measured {np.mean(measured):.3f} less predicted {np.mean(predicted):.3f} is {difference:+.3f} "
    text += f"[{low:+.3f}, {high:+.3f}] over {len(seeds)} seeds; margin {MARGIN:g}; "
    text += f"predicted {over_seeds(predicted)}, measured {over_seeds(measured)}"
    if (np.isnan(measured) != np.isnan(predicted)).any():
        return Verdict(FAILED, text)
    word = met(low, high)
    return Verdict(UNDECIDED if word == HELD and not (measured < 0.5).all() else word, text)
