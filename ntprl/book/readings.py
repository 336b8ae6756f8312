"""What several studies read from a run's table: the rows of a phase, of a round, and where a level is reached."""

import pandas as pd

from ntprl import theory


def final_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The last measurement of each run."""
    return table[table["step"] == table["step"].max()]


def rl_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Measured rounds of reinforcement learning."""
    return table[(table["phase"] == "rl") & table["greedy_accuracy"].notna()]


def at_round(table: pd.DataFrame, which: str) -> pd.DataFrame:
    """Each run's first ("start") or last ("end") row of reinforcement learning."""
    rows = rl_rows(table)
    step = rows.groupby("run")["step"].transform("min" if which == "start" else "max")
    return rows[rows["step"] == step]


def first_round(rl: pd.DataFrame, column: str, level: float) -> pd.Series:
    """For each run, the first measured round in which `column` is at least `level`; NaN if there is none."""
    return rl[rl[column] >= level].groupby("run")["step"].min().reindex(rl["run"].unique())


def recursion_errors(table: pd.DataFrame) -> pd.DataFrame:
    """One row a round: share of long answers, the prediction from the round before, and that from the start."""
    rl = rl_rows(table).sort_values(["run", "step"])
    before = rl.groupby("run")["long_probability"].shift()
    start = rl.groupby("run")["long_probability"].transform("first")
    rows = rl.assign(one_step=theory.rewarded_long_share(before), from_start=theory.star_recursion(start, rl["step"]))
    return rows[rows["step"] > 0]
