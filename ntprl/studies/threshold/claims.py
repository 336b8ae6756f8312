"""The claims of chapter 2, each with its criterion: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were made.
"""

import numpy as np
import pandas as pd

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
    over_seeds,
)
from ntprl.measure import crossing
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity

PAPER_DEMONSTRATIONS = 10_000_000
LONG_RUN_DEMONSTRATIONS = 8000 * 128  # of the table that C2 and C3 are judged by


def says_first_bit(table: pd.DataFrame, d: int) -> pd.Series:
    """Which rows show a model whose greedy answers are (x_1, EOS): "at chance" as it is seen here.

    Where that share was measured it must be above .95. In older tables: no greedy answer is long, and they are right on
    exactly as many prompts as (x_1, EOS) would be; the prompts of a measurement can be drawn again.
    """
    if "greedy_first_bit" in table:
        return table["greedy_first_bit"] > 0.95
    task = Parity(d)

    def guess(n: int, seed: int, step: int) -> float:
        prompts = task.prompts(n, numpy_rng(seed, "evaluation", step), test=True)
        return float((task.long(prompts)[:, 0] == task.short(prompts)[:, 0]).mean())

    where = zip(*(table[name].astype(int) for name in ("n_eval", "seed", "step")), strict=True)
    guesses = np.array([guess(*each) for each in where])
    return (table["greedy_long"] == 0) & ((table["greedy_accuracy"] - guesses).abs() < 1e-4)


def second_half(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["step"] >= table["step"].max() / 2]


def so_far(demonstrations: int) -> str:
    """How far a table goes, beside what the paper says."""
    text = f"{demonstrations / 1e6:.3g} million demonstrations"
    return text if demonstrations >= PAPER_DEMONSTRATIONS else f"{text}, of the paper's ten"


@claim(
    "C2",
    "d = 50, p_cot = .25: greedy accuracy stays near 50 % up to about 10^7 demonstrations",
    source="summary, quote",
    tables=("long_run",),
    quote="even with access to ~10^7 training samples",
)
def stalls(table: pd.DataFrame, demonstrations: int = LONG_RUN_DEMONSTRATIONS) -> Verdict:
    """Reproduced if every seed ends knowing the chain (accuracy > .95) and calibrated (P(long) within .05 of p_cot, .03
    from the paper's ten million on), and greedy answers are (x_1, EOS) in nine of ten measurements of the second half;
    partly if that holds for fewer than ten million demonstrations."""
    last, later = final_rows(table), second_half(table)
    at_scale = demonstrations >= PAPER_DEMONSTRATIONS
    off = (last["sampled_long"] - 0.25).abs().max()
    stuck = says_first_bit(later, d=50)
    holds = (last["chain_accuracy"] > 0.95).all() and off <= (POOLED_CALIBRATED if at_scale else CALIBRATED)
    holds = bool(holds and stuck.mean() >= 0.9)
    text = f"greedy accuracy {over_seeds(last['greedy_accuracy'])} after {so_far(demonstrations)}; greedy answers "
    text += f"are (x_1, EOS) in {int(stuck.sum())} of {len(later)} measurements of the second half; chain known to "
    text += f"{last['chain_accuracy'].min():.3f} or better; P(long) off by {off:.3f} at most"
    return Verdict(NOT_REPRODUCED if not holds else REPRODUCED if at_scale else PARTLY, text)


@claim("C3", "Meanwhile the median greedy answer stays short", source="summary, quote", tables=("long_run",))
def short(table: pd.DataFrame, demonstrations: int = LONG_RUN_DEMONSTRATIONS) -> Verdict:
    """Reproduced if the median greedy length is 1 at the end of every run and in nine measurements of ten
    of its second half; partly if that holds for fewer than ten million demonstrations."""
    later = second_half(table)
    is_short = later["greedy_median_length"] == 1
    holds = (final_rows(table)["greedy_median_length"] == 1).all() and is_short.mean() >= 0.9
    text = f"median greedy length 1 in {int(is_short.sum())} of {len(later)} measurements of the second half; "
    text += so_far(demonstrations)
    at_scale = demonstrations >= PAPER_DEMONSTRATIONS
    return Verdict(NOT_REPRODUCED if not holds else REPRODUCED if at_scale else PARTLY, text)


@claim(
    "C4",
    "Models are calibrated in length: long answers come with probability p_cot",
    source="summary, quote",
    tables=("threshold",),
    quote="generate long responses with probability p_cot",
)
def calibrated(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if at every p_cot > 0 the mean of P(long) over seeds lies within .03 of p_cot, and from p_cot = .1 on
    within a tenth of it."""
    last = final_rows(threshold)
    last = last[last["p_cot"] > 0]
    means = last.groupby("p_cot")["sampled_long"].mean()
    error = (means - means.index).abs()
    relative = error / means.index
    holds = error.max() <= POOLED_CALIBRATED and relative[relative.index >= 0.1].max() <= 0.1
    text = f"P(long), mean over {last['seed'].nunique()} seeds, is off p_cot by {error.max():.3f} at most (at p_cot = "
    text += f"{error.idxmax():.3g}); relative to p_cot by {relative.max():.0%} at most (at {relative.idxmax():.3g}); "
    text += "seeds share their test prompts and draws between shares"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


@claim(
    "C5",
    "d = 25: pre-training succeeds from p_cot of about 1/3 on and fails below",
    source="summary",
    tables=("threshold",),
)
def at_one_third(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if for p_cot from .1 to .25 the greedy answers of nine runs in ten are (x_1, EOS), greedy accuracy is
    above .95 from .4 on (means over seeds), and the t interval of the crossing is within .05 of 1/3."""
    last = final_rows(threshold)
    means = last.groupby("p_cot")["greedy_accuracy"].mean()
    below, high = last[last["p_cot"].between(0.1, 0.25)], means[means.index >= 0.4]
    stuck = says_first_bit(below, d=25)
    estimate, (left, right) = crossing(last[last["p_cot"] > 0], "greedy_long")
    holds = high.min() > 0.95 and stuck.mean() >= 0.9 and 1 / 3 - 0.05 <= left <= right <= 1 / 3 + 0.05
    text = f"half of all prompts get the chain at p_cot = {estimate:.3f} [{left:.3f}, {right:.3f}] over "
    text += f"{last['seed'].nunique()} seeds; greedy answers are (x_1, EOS) in {int(stuck.sum())} of {len(below)} runs "
    text += f"with p_cot in [.1, .25]; greedy accuracy {high.min():.3f} or more from .4 on"
    return Verdict(REPRODUCED if holds else PARTLY if high.min() > 0.95 else NOT_REPRODUCED, text)


@claim(
    "C6",
    "More depth or width does not help: the failure is not one of capacity",
    source="summary",
    tables=("capacity",),
)
def capacity(table: pd.DataFrame) -> Verdict:
    """Reproduced if every size knows the chain on both sides in every run (accuracy > .95), is within .05 of one half
    below the threshold and above .95 beyond it (means over seeds); and if the sizes reach depth 8 and width 256
    together, the paper's largest. Partly if they do not.
    """
    last = final_rows(table)
    below, above = last[last["p_cot"] < 1 / 3], last[last["p_cot"] > 1 / 3]
    size = ["n_layer", "width"]
    low, high = (part.groupby(size)["greedy_accuracy"].mean() for part in (below, above))
    stuck = says_first_bit(below, d=16)
    holds = (low - 0.5).abs().max() <= AT_CHANCE and high.min() > 0.95 and last["chain_accuracy"].min() > 0.95
    largest = bool(((last["n_layer"] >= 8) & (last["width"] >= 256)).any())
    depth, width = (sorted(last[field].unique()) for field in size)
    text = f"below 1/3 greedy accuracy is {low.min():.3f} to {low.max():.3f} at all {len(low)} sizes"
    text += "" if largest else ", none of them both deepest and widest"
    text += f"; depth {depth[0]} to {depth[-1]}, width {width[0]} to {width[-1]}, d = 16; "
    text += f"greedy answers there are exactly (x_1, EOS) in {int(stuck.sum())} of {len(below)} runs; above "
    text += f"1/3 greedy accuracy is {high.min():.3f} or more; "
    text += f"chain known to {last['chain_accuracy'].min():.3f} or better in every run"
    return Verdict(NOT_REPRODUCED if not holds else REPRODUCED if largest else PARTLY, text)


@claim(
    "C21",
    "Long demonstrations are learned much faster than short ones",
    source="summary",
    tables=("learning_order",),
)
def long_before_short(order: pd.DataFrame) -> Verdict:
    """d = 50, three short demonstrations for each long one. Reproduced if in every seed all links of the chain are
    known with probability .9 by the end, while the right short answer never has a probability above .55. Written
    after the table was read."""
    links = order[(order["kind"] == "long") & order["position"].between(2, order["position"].max() - 1)]
    known = (links["probability"] > 0.9).groupby([links["seed"], links["step"]]).all()
    first = known[known].reset_index().groupby("seed")["step"].min()
    best = order[order["kind"] == "short"].groupby("seed")["probability"].max()
    text = f"all links known from step {', '.join(map(str, first))} on (seeds {', '.join(map(str, first.index))}); the "
    text += f"right short answer has probability {best.max():.3f} at most, up to step {order['step'].max()}"
    holds = len(first) == order["seed"].nunique() and best.max() <= 0.55
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


def live_verdicts(row: dict, p_cot: float) -> dict[str, str]:
    """What one trained parity model shows, in words that do not depend on the last digit of a float."""
    return {
        "chains": "learned" if row["chain_accuracy"] > 0.95 else "not learned",
        "greedy accuracy": accuracy_in_words(row["greedy_accuracy"]),
        "median greedy length": f"{row['greedy_median_length']:g}",
        "P(long)": "calibrated" if abs(row["sampled_long"] - p_cot) <= CALIBRATED else "not calibrated",
        "short answers": accuracy_in_words(row["sampled_short_accuracy"]),
    }
