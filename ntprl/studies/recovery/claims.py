"""The claims of chapter 4, each with its criterion: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were read, where it does not say
otherwise.
"""

import pandas as pd

from ntprl.book.readings import at_round, first_round, rl_rows, settled_round
from ntprl.book.verdict import (
    AT_CHANCE,
    FAILED,
    HELD,
    NOT_REPRODUCED,
    RECOVERED,
    REPRODUCED,
    Verdict,
    accuracy_in_words,
    claim,
    over_seeds,
)
from ntprl.measure import mean_interval


@claim(
    "C7",
    "Once RL starts, greedy accuracy goes from about 50 % to about 100 % in some 20 rounds",
    source="summary",
    tables=("rl_live_seeds",),
)
def recovers(live: pd.DataFrame) -> Verdict:
    """Reproduced if greedy accuracy, at chance on average before RL, ends above .95 in every run after 20 rounds."""
    start, end = at_round(live, "start"), at_round(live, "end")
    holds = abs(start["greedy_accuracy"].mean() - 0.5) <= AT_CHANCE and (end["greedy_accuracy"] > RECOVERED).all()
    rl = rl_rows(live)
    first, settled = (reading(rl, "greedy_accuracy", RECOVERED) for reading in (first_round, settled_round))
    fell = live.groupby("run")["seed"].first()[settled > first]
    text = f"greedy accuracy {over_seeds(start['greedy_accuracy'])} before, {over_seeds(end['greedy_accuracy'])} after "
    text += f"{end['step'].max():g} rounds; lowest run {end['greedy_accuracy'].min():.3f}; .95 first reached in round "
    text += f"{first.min():g} to {first.max():g}, and never left again after round {settled.max():g} by the last run; "
    text += f"seeds that fell back below it: {', '.join(map(str, sorted(fell))) or 'none'}; rounds are those of one "
    text += "learning rate"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


@claim("C8", "The length grows from 1 to d at the same time, unasked", source="summary", tables=("rl_live_seeds",))
def lengthens(live: pd.DataFrame) -> Verdict:
    """Reproduced if the median greedy length is 1 before RL and d = 50 after it in every run."""
    start, end = at_round(live, "start"), at_round(live, "end")
    short = start["greedy_median_length"] == 1
    long = end["greedy_median_length"] == 50
    text = f"median greedy length 1 before RL in {int(short.sum())} of {len(start)} runs, 50 after it in "
    text += f"{int(long.sum())}; "
    text += f"mean length of samples {start['mean_length'].mean():.1f} before, {end['mean_length'].mean():.1f} after"
    return Verdict(REPRODUCED if short.all() and long.all() else NOT_REPRODUCED, text)


@claim(
    "O13",
    "A coin for a reward lengthens nothing on average",
    source="ours",
    tables=("rl_coin",),
)
def coin(table: pd.DataFrame) -> Verdict:
    """Ours, the control. Held if with a coin for a reward the 95 % t interval over seeds of the change of P(long) holds
    0 for each algorithm, while the true reward brings every run of the same starts above .95; failed otherwise."""
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    change, true = end["long_probability"] - start["long_probability"], end["reward"] == "r_e2e"
    text, ranges, holds = [], [], bool((end["greedy_accuracy"][true] > RECOVERED).all())
    for name, part in change[~true].groupby(end["algorithm"][~true]):
        mean, (low, high) = mean_interval(part)
        right = end["greedy_accuracy"][part.index]
        holds &= low <= 0 <= high
        text.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] over {len(part)} seeds ({name})")
        ranges.append(f"greedy accuracy {right.min():.2f} to {right.max():.2f} ({name})")
    text = [f"P(long) changes by {' and '.join(text)}", *ranges]
    text.append(
        f"the true reward: {int((end['greedy_accuracy'][true] > RECOVERED).sum())} of {int(true.sum())} above .95"
    )
    return Verdict(HELD if holds else FAILED, "; ".join(text))


def live_verdicts(table: pd.DataFrame, d: int) -> dict[str, str]:
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
