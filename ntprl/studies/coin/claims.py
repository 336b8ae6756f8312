"""The claims of chapter 7 on parity in words, each with its criterion: recorded tables -> a verdict.

All criteria were fixed before their tables were made.

calibrated   the mean over seeds of P(long) before RL is within .05 of p_cot
recovered    greedy accuracy is above .9 after RL and at least .2 higher than before, and the median greedy answer
             has the length of the chain
"""

import pandas as pd

from ntprl.book.readings import at_round
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
from ntprl.measure import crossing, mean_interval
from ntprl.studies.coin.runs import PUBLISHED

KNOWN = 0.02  # mean probability of a wrong token of the chain, where it parted from the short answer, if it is known
RIGHT = 0.9  # greedy accuracy from which a run has recovered ...
RAISED = 0.2  # ... if RL has added as much
MARGIN = 0.05  # distance from a predicted threshold within which it is met


def live_verdicts(table: pd.DataFrame, p_cot: float, length: int) -> dict[str, str]:
    """What one run of both phases shows, in words that do not depend on the last digit of a float."""
    start, end = at_round(table.assign(run=0), "start").iloc[0], at_round(table.assign(run=0), "end").iloc[0]
    grown = end["greedy_median_length"] == length
    return {
        "tokens of the chain": "known" if start["link_error"] < KNOWN else "not known",
        "P(long) before RL": "calibrated" if abs(start["long_probability"] - p_cot) <= CALIBRATED else "not calibrated",
        "long greedy answers before RL": amount(start["greedy_long"]),
        "right greedy answers before RL": "about half" if abs(start["greedy_accuracy"] - 0.5) < 0.1 else "not half",
        "right greedy answers after RL": amount(end["greedy_accuracy"]),
        "median greedy length after RL": "that of the chain" if grown else f"{end['greedy_median_length']:g}",
    }


def recovered(start: pd.DataFrame, end: pd.DataFrame) -> pd.Series:
    """For each run, by its name: is it, as defined above?"""
    start, end = start.set_index("run"), end.set_index("run")
    accuracy = end["greedy_accuracy"]
    raised = accuracy - start["greedy_accuracy"] >= RAISED
    return (accuracy > RIGHT) & raised & (end["greedy_median_length"] == PUBLISHED.task.long_length)


@claim(
    "C17c",
    "A published Llama of 135 million weights, SmolLM2-135M-Instruct, shows both phases on parity in words",
    source="summary, at a smaller size and on our problems",
    tables=("coin_published",),
)
def published(table: pd.DataFrame) -> Verdict:
    """SmolLM2-135M-Instruct with 4-bit weights made whole, p_cot = .25. Reproduced if before RL the chain is known in
    every run (link error below .02), P(long) is calibrated, and less than a tenth of greedy answers are long (mean over
    seeds), and every run has recovered after RL. Partly if at least one run has recovered. Controls are O29's.
    """
    start, end = at_round(table, "start"), at_round(table, "end")
    found, p_long = recovered(start, end), start["long_probability"]
    first = bool((start["link_error"] < KNOWN).all()) and abs(p_long.mean() - 0.25) <= CALIBRATED
    first = first and start["greedy_long"].mean() < 0.1
    text = (
        f"{int(found.sum())} of {len(found)} runs recover; greedy accuracy {over_seeds(start['greedy_accuracy'], 2)} "
    )
    text += f"before RL, {over_seeds(end['greedy_accuracy'], 2)} after {end['step'].max():g} rounds; median greedy "
    text += f"length {start['greedy_median_length'].median():g} and {end['greedy_median_length'].median():g} tokens; "
    text += f"before RL P(long) {over_seeds(p_long, 2)}, greedy long {over_seeds(start['greedy_long'], 2)}, "
    text += f"wrong tokens of the chain {over_seeds(start['link_error'])}"
    return Verdict(REPRODUCED if first and found.all() else PARTLY if found.any() else NOT_REPRODUCED, text)


@claim(
    "O29",
    "SmolLM2-135M-Instruct: neither RL without long demonstrations nor a coin for a reward brings long answers",
    source="ours",
    tables=("coin_published_controls",),
)
def controls(table: pd.DataFrame) -> Verdict:
    """Ours. Held if in every run with p_cot = 0, and in every run with a coin for a reward, RL adds less than .2 to
    greedy accuracy and fewer than half of the greedy answers are long after it; failed otherwise."""
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    added, p_long = end["greedy_accuracy"] - start["greedy_accuracy"], start["long_probability"]
    lifted, texts, counts = (added >= RAISED) | (end["greedy_long"] >= 0.5), [], []
    for (p_cot, reward), rows in end.groupby(["p_cot", "reward"]):
        what = "a coin for a reward" if reward == "coin" else "no long demonstrations"
        counts.append(f"{int(lifted[rows.index].sum())} of {len(rows)} runs with {what}")
        texts.append(
            f"{what}, p_cot = {p_cot:g}: RL adds {over_seeds(added[rows.index], 2)} to greedy accuracy, greedy long "
            f"after it {over_seeds(rows['greedy_long'], 2)}, P(long) {over_seeds(p_long[rows.index], 2)} "
            f"before and {over_seeds(rows['long_probability'], 2)} after"
        )
    text = f"lifted, or long, are {' and '.join(counts)}"
    return Verdict(FAILED if lifted.any() else HELD, "; ".join((text, *texts)))


@claim(
    "O30",
    "SmolLM2-135M-Instruct: greedy answers turn long at m/(1 + m): 1/3 where answers begin alike, 1/2 where marked",
    source="ours",
    tables=("coin_published_thresholds", "coin_published_marked"),
)
def thresholds(alike: pd.DataFrame, marked: pd.DataFrame) -> Verdict:
    """Ours, after fine-tuning alone. Held if the p_cot at which half of the greedy answers are long, linear between the
    measured ones, mean over seeds, is within .05 of 1/3 and of 1/2; undecided if a seed never gets there; else failed.
    """
    found, texts = [], []
    for name, table, predicted in (("alike", alike, 1 / 3), ("marked", marked, 1 / 2)):
        p, _ = crossing(table, "greedy_long")
        found.append(abs(p - predicted))
        seeds = [crossing(rows, "greedy_long")[0] for _, rows in table.groupby("seed")]
        texts.append(
            f"{name}: half of the greedy answers are long at p_cot = {over_seeds(seeds)}, {predicted:.3f} said"
        )
    text = "; ".join(texts)
    if any(pd.isna(distance) for distance in found):
        return Verdict(UNDECIDED, text)
    return Verdict(HELD if max(found) <= MARGIN else FAILED, text)


@claim(
    "O31",
    "SmolLM2-135M-Instruct, in place of RL: the same mixture brings nothing, long demonstrations alone long answers",
    source="ours",
    tables=("coin_published_continued",),
)
def continued(table: pd.DataFrame) -> Verdict:
    """Ours, next-token training on as many demonstrations as RL draws answers, at its rate. Held if in every run the
    same mixture changes greedy accuracy by less than .2, and after long demonstrations alone more than half of the
    greedy answers are long; failed otherwise."""
    rows = table[table["phase"] == "continued"].set_index("run")
    last = rows["step"] == rows.groupby("run")["step"].transform("max")
    start, end = rows[rows["step"] == 0], rows[last]
    added, same = end["greedy_accuracy"] - start["greedy_accuracy"], end["next_p_cot"] < 1
    holds = bool((added[same].abs() < RAISED).all() and (end["greedy_long"][~same] > 0.5).all())
    texts = [
        f"{name}: greedy accuracy changes by {over_seeds(added[which], 2)}, "
        f"greedy long {over_seeds(end['greedy_long'][which], 2)}"
        for name, which in (("the same mixture", same), ("long alone", ~same))
    ]
    return Verdict(HELD if holds else FAILED, "; ".join(texts))


@claim(
    "O40",
    "SmolLM2-135M-Instruct by TRL's GRPO, from the same starts: RL ends where it ends by the loops of this book",
    source="ours",
    tables=("coin_published_trl", "coin_published"),
)
def by_trl(theirs: pd.DataFrame, ours: pd.DataFrame) -> Verdict:
    """Ours. Held if by TRL P(long) rises in every run, and the means over seeds of greedy accuracy and of P(long) after
    RL lie within .1 of those by our loops; failed otherwise. That every run recovers, as above, cannot be asked of
    these starts: one of them is right too often for RL to add as much."""
    start, end, own = at_round(theirs, "start"), at_round(theirs, "end"), at_round(ours, "end")
    rises = (end.set_index("seed")["long_probability"] - start.set_index("seed")["long_probability"]) > 0
    columns = {"greedy accuracy": "greedy_accuracy", "P(long)": "long_probability"}
    apart = {name: end[column].mean() - own[column].mean() for name, column in columns.items()}
    text = f"P(long) rises in {int(rises.sum())} of {len(rises)} runs by TRL; TRL less our loops, after RL: "
    text += ", ".join(f"{name} {by:+.2f}" for name, by in apart.items())
    for name, column in columns.items():
        text += f"; {name} {over_seeds(end[column], 2)} by TRL, {over_seeds(own[column], 2)} by our loops"
    return Verdict(HELD if rises.all() and max(map(abs, apart.values())) <= 0.1 else FAILED, text)


@claim(
    "O42",
    "SmolLM2-135M-Instruct: P(long) rises more with the true reward than with a coin for a reward",
    source="ours",
    tables=("coin_published_pairs",),
)
def pairs(table: pd.DataFrame) -> Verdict:
    """Ours, asked after O29 had failed. What P(long) gains with the true reward less what it gains with a coin, from
    the same start: held if its t interval over seeds lies above 0, failed if below, else undecided."""
    start, end = (
        at_round(table, which).set_index(["reward", "seed"])["long_probability"] for which in ("start", "end")
    )
    gain = end - start
    gained = {reward: gain[reward].sort_index() for reward in ("r_e2e", "coin")}
    mean, (low, high) = mean_interval(gained["r_e2e"] - gained["coin"])
    text = f"P(long) gains {mean:+.2f} [{low:+.2f}, {high:+.2f}] more with the true reward; with it "
    text += f"{over_seeds(gained['r_e2e'], 2)}, with a coin {over_seeds(gained['coin'], 2)}"
    return Verdict(HELD if low > 0 else FAILED if high < 0 else UNDECIDED, text)
