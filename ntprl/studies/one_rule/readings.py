"""What the tables of chapter 8's second phases say, before any verdict: rows, shifts, rounds, shares at rest."""

import pandas as pd

from ntprl.measure import first_crossing
from ntprl.studies.one_rule.predictions import critical_price, odds
from ntprl.studies.one_rule.transformers import D


def last_round(table: pd.DataFrame) -> pd.DataFrame:
    """The row after all rounds of each run, the run being its index."""
    return table[table["step"] == table.groupby("run")["step"].transform("max")].set_index("run")


def first_round_row(table: pd.DataFrame) -> pd.DataFrame:
    """The row before the first round of each run, the run being its index."""
    return table[table["step"] == 0].set_index("run")


def flip_shifts(table: pd.DataFrame) -> pd.Series:
    """For each run, by how much the logit of EOS has fallen when half of the prompts go on."""
    shifts = {}
    for run, rows in table[table["greedy_long"].notna()].groupby("run"):
        rows = rows.sort_values("step")
        fallen = (rows["stop_gap"].iloc[0] - rows["stop_gap"]).to_numpy()
        shifts[run] = first_crossing(fallen, rows["greedy_long"].to_numpy(), 0.5)
    return pd.Series(shifts)


def with_times(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows with `times`: the price over the critical one."""
    critical = table["charged"].map(lambda charged: critical_price(D, charged))
    return table.assign(times=(table["price"] / critical).round(3))


def starts_and_takeoffs(table: pd.DataFrame, rollouts: int = 0) -> pd.DataFrame:
    """One row a run: rarity, p = mean P(long) at the start, takeoff = first measured round with half of all greedy
    answers long, first = first round with a long answer among the drawn, NaN if there is none; rounds = all of them;
    rollouts of a round, from the table where its runs differ in them."""
    start = first_round_row(table)
    found = start[["rarity"]].assign(p=start["long_probability"], rounds=table.groupby("run")["step"].max())
    found["rollouts"] = start.get("rollouts", rollouts)
    measured = table.dropna(subset="greedy_long")
    for name, rows in (
        ("takeoff", measured[measured["greedy_long"] >= 0.5]),
        ("first", table[table["rollout_long"] > 0]),
    ):
        found[name] = rows.groupby("run")["step"].min().reindex(found.index)
    return found


def growth_by_draws(table: pd.DataFrame, rollouts: int = 0) -> pd.DataFrame:
    """One row a round, as long as P(long) is below 1/3: how many long answers it drew, drawn, and by which factor it
    multiplied the odds of a long answer; rollouts as in `starts_and_takeoffs`."""
    rows = table.dropna(subset="greedy_long").sort_values(["run", "step"])
    rows = rows.assign(rollouts=rows.get("rollouts", rollouts), odds=odds(rows["long_probability"]))
    before = rows.groupby("run")["odds"].shift()
    rows = rows.assign(drawn=rows["rollout_long"] * rows["rollouts"], factor=rows["odds"] / before)
    return rows.loc[before < 1 / 2, ["rollouts", "drawn", "factor"]]  # odds of one half: P(long) of 1/3


def rest_of(table: pd.DataFrame, column: str = "long_probability") -> pd.Series:
    """P(long) of each run, or another column, mean over the measured rounds of its last third."""
    measured = table.dropna(subset="greedy_long")
    late = measured[measured["step"] >= 2 / 3 * measured.groupby("run")["step"].transform("max")]
    return late.groupby("run")[column].mean()
