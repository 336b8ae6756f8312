"""The claims of chapter 4, each with its criterion: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were read; `too_early`
says what was added to its own criterion later.
"""

import numpy as np
import pandas as pd

from ntprl.book.readings import at_round, first_round, rl_rows
from ntprl.book.verdict import (
    AT_CHANCE,
    NOT_REPRODUCED,
    PARTLY,
    RECOVERED,
    REPRODUCED,
    Verdict,
    accuracy_in_words,
    claim,
    over_seeds,
)

PAPER_ALGORITHMS = ("star", "reinforce", "grpo")


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
    first = first_round(rl_rows(live), "greedy_accuracy", 0.99)
    text = f"greedy accuracy {over_seeds(start['greedy_accuracy'])} before, {over_seeds(end['greedy_accuracy'])} after "
    text += f"{end['step'].max():g} rounds (lowest run {end['greedy_accuracy'].min():.3f}); "
    text += f".99 first reached in round {first.min():g} to {first.max():g}"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


@claim("C8", "The length grows from 1 to d at the same time, unasked", source="summary", tables=("rl_live_seeds",))
def lengthens(live: pd.DataFrame) -> Verdict:
    """Reproduced if the median greedy length is 1 before RL and d = 50 after it in every run."""
    start, end = at_round(live, "start"), at_round(live, "end")
    short = (start["greedy_median_length"] == 1).mean()
    long = (end["greedy_median_length"] == 50).mean()
    text = f"median greedy length 1 before RL in {short:.0%} of {len(start)} runs, 50 after it in {long:.0%}; "
    text += f"mean length of samples {start['mean_length'].mean():.1f} before, {end['mean_length'].mean():.1f} after"
    return Verdict(REPRODUCED if short == long == 1 else NOT_REPRODUCED, text)


def cells(table: pd.DataFrame) -> pd.Series:
    """Greedy accuracy at the end, mean over seeds, of each (algorithm, reward, temperature)."""
    end = at_round(table, "end")
    return end.groupby(["algorithm", "reward", "temperature"])["greedy_accuracy"].mean()


def rounds_until(table: pd.DataFrame, accuracy: float) -> pd.Series:
    """First measured round with that greedy accuracy, mean over the seeds that reach it, of each cell."""
    by = ["algorithm", "reward", "temperature"]
    first = first_round(rl_rows(table), "greedy_accuracy", accuracy)
    return table.groupby("run")[by].first().assign(first=first).groupby(by)["first"].mean()


@claim("C9", "STaR, REINFORCE and GRPO all do it, with either reward", source="summary", tables=("rl_algorithms",))
def algorithms(grid: pd.DataFrame) -> Verdict:
    """Temperature 1: reproduced if STaR, REINFORCE and GRPO with both rewards end above .95 (means over seeds)."""
    means = cells(grid).xs(1.0, level="temperature")
    own = means[means.index.get_level_values("algorithm").isin(PAPER_ALGORITHMS)]
    good = int((own > RECOVERED).sum())
    text = f"{good} of {len(own)} pairs of algorithm and reward above .95, means {own.min():.3f} to {own.max():.3f}; "
    text += "GRPO with each answer divided by its length: "
    text += ", ".join(f"{means['grpo_published', reward]:.3f} ({reward})" for reward in ("r_e2e", "r_cot"))
    return Verdict(REPRODUCED if good == len(own) else PARTLY if good >= len(own) / 2 else NOT_REPRODUCED, text)


@claim(
    "C10",
    "So do sampling temperatures .75, 1 and 1.5, but for hot STaR with the end-to-end reward",
    source="summary; exception second-hand",
    tables=("rl_algorithms",),
)
def temperatures(grid: pd.DataFrame) -> Verdict:
    """Reproduced if at .75 and 1.5 every pair ends above .95 (means over seeds) except hot STaR with the end-to-end
    reward, which does not; partly if the exception is the only thing that differs."""
    means = cells(grid)
    means = means[means.index.get_level_values("algorithm").isin(PAPER_ALGORITHMS)]
    hot_star = means["star", "r_e2e", 1.5]
    others = means.drop([("star", "r_e2e", 1.5)]).drop(1.0, level="temperature")
    good = int((others > RECOVERED).sum())
    text = f"{good} of {len(others)} combinations at .75 and 1.5 above .95, lowest {others.min():.3f}"
    text += f" ({', '.join(str(part) for part in others.idxmin())}); hot STaR with r_e2e: {hot_star:.3f}"
    if good < len(others):
        return Verdict(PARTLY if good >= len(others) / 2 else NOT_REPRODUCED, text)
    return Verdict(REPRODUCED if hot_star <= RECOVERED else PARTLY, text)


def is_hollow(end: pd.DataFrame) -> pd.Series:
    """Which last rows show length without accuracy: most greedy answers long, accuracy within .1 of one half."""
    return (end["greedy_long"] > 0.5) & ((end["greedy_accuracy"] - 0.5).abs() <= 0.1)


@claim(
    "C11",
    "Started too early, RL can lengthen the answers without making them right",
    source="quote",
    tables=("rl_early_start", "rl_drift"),
    quote="if post-training starts too early, then it might not lead to a generalizing model "
    "despite the length increase",
)
def too_early(early: pd.DataFrame, drift: pd.DataFrame) -> Verdict:
    """Reproduced if from some start of the first table RL ends with most greedy answers long and accuracy within .1
    of one half (means over seeds), while from its last start every algorithm ends above .95.

    Only this was fixed beforehand, and its first half was not met: most early runs fell back to short answers.
    The second table asks whether single runs do it: STaR on new seeds, at least one run in ten. That criterion was
    fixed before the second table was made, but after the first was read, so it earns "partly" at most.
    """
    end = at_round(early, "end")
    late = end[end["steps"] == end["steps"].max()].groupby("algorithm")["greedy_accuracy"].mean()
    soonest = end[end["steps"] <= 150]
    new = at_round(drift, "end")
    means = is_hollow(end.groupby(["algorithm", "steps"])[["greedy_long", "greedy_accuracy"]].mean())
    text = f"means over seeds are long and at chance from {int(means.sum())} of {len(means)} starts; "
    text += f"starts up to step 150, STaR and GRPO: {int(is_hollow(soonest).sum())} of {len(soonest)} single runs, "
    text += f"best accuracy {soonest['greedy_accuracy'].max():.2f}; new seeds, STaR from step 100: "
    text += f"{int(is_hollow(new).sum())} of {len(new)}, best accuracy {new['greedy_accuracy'].max():.2f}; "
    text += f"from step {end['steps'].max()}: {late.min():.3f} or more"
    if late.min() <= RECOVERED:
        return Verdict(NOT_REPRODUCED, text)
    return Verdict(REPRODUCED if means.any() else PARTLY if is_hollow(new).mean() >= 0.1 else NOT_REPRODUCED, text)


@claim(
    "C18",
    "At p_cot = .01 the length grows from almost every checkpoint",
    source="quote",
    tables=("rl_rare_starts",),
    quote="we observe length increase for almost all checkpoints",
)
def rare_lengthens(table: pd.DataFrame) -> Verdict:
    """Reproduced if RL makes sampled answers longer, by half at least, from nine starts of ten (all runs pooled).

    The split by what the start knows was added to the evidence after the table was read; the verdict ignores it.
    """
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    longer = end["mean_length"] > 1.5 * start["mean_length"]
    knows = start["chain_accuracy"] > 0.5
    accuracy = end.groupby("steps")["greedy_accuracy"].mean()
    text = f"length grows by half or more in {int(longer.sum())} of {len(longer)} runs: {int(longer[knows].sum())} of "
    text += f"{int(knows.sum())} whose start knows most chains, {int(longer[~knows].sum())} of {int((~knows).sum())} "
    text += "others; greedy accuracy at the end "
    text += ", ".join(f"{value:.2f} (start {steps})" for steps, value in accuracy.items())
    return Verdict(REPRODUCED if longer.mean() >= 0.9 else PARTLY if longer.mean() >= 0.5 else NOT_REPRODUCED, text)


def median_takeoff(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run: p_cot, algorithm, seed, takeoff: the first round with half of all greedy answers long."""
    rl = rl_rows(table)
    runs = rl.groupby("run")[["p_cot", "algorithm", "seed"]].first()
    return runs.assign(takeoff=first_round(rl, "greedy_long", 0.5)).reset_index()


def slope(rounds: pd.DataFrame) -> tuple[float, float, float]:
    """Takeoff against log2((1 - p)/(2p)) over runs that took off: (rounds for each halving of the odds of long,
    correlation, correlation with 1/p instead).
    """
    known = rounds.dropna(subset="takeoff")
    x, y = np.log2((1 - known["p_cot"]) / (2 * known["p_cot"])), known["takeoff"]
    linear = np.corrcoef(1 / known["p_cot"], y)[0, 1]
    return float(np.polyfit(x, y, 1)[0]), float(np.corrcoef(x, y)[0, 1]), float(linear)


def cost_by_size(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each d: in how many runs the start knows most chains and RL recovers, and what that cost.

    Rounds and tokens (of all rounds together) are means over the runs that recovered.
    """
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    updates = table[(table["phase"] == "rl") & table["grad_norm"].notna()]
    runs = updates.groupby("run")["tokens"].sum().to_frame().assign(d=end["d"])
    runs["steps"] = table[table["phase"] == "pretraining"].groupby("run")["step"].max()
    runs["knows"], runs["recovered"] = start["chain_accuracy"] > 0.5, end["greedy_accuracy"] > RECOVERED
    runs["wrong"] = start["link_error"]
    runs["first"] = first_round(rl_rows(table), "greedy_accuracy", RECOVERED)
    good = runs[runs["recovered"]].groupby("d")
    sizes = runs.groupby("d")
    return pd.DataFrame(
        {
            "pre-training steps": sizes["steps"].max(),
            "wrong links before RL": sizes["wrong"].mean().round(4),
            "chain known before RL": [f"{n} of {size}" for n, size in sizes["knows"].agg(["sum", "size"]).to_numpy()],
            "recovered": [f"{n} of {size}" for n, size in sizes["recovered"].agg(["sum", "size"]).to_numpy()],
            "first round at .95": good["first"].mean(),
            "tokens written": good["tokens"].mean().round(-2),
        }
    )


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
