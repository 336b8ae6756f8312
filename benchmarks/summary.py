"""The comparisons and their bars, and what the written tables say about them. Reads tables, measures nothing."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tables import read_files

HERE = Path(__file__).resolve().parent
GOAL = 0.99  # greedy accuracy at which the clock of a run from random weights stops
NOT_RUN = "not yet run"


@dataclass(frozen=True)
class Comparison:
    what: str  # what is measured, of what
    table: str  # name of the table, which is that of its script
    ours: str  # contestant
    beside: str  # contestant it is compared with; empty if it is compared with the bar alone
    bar: float | None = None  # first bar, on two CPU cores
    aim: float | None = None  # second bar
    rows: dict[str, str] = field(default_factory=dict)  # column -> value, of the rows that count
    column: str = "per_s"  # rate, or seconds, that is compared
    quantity: str = "rate, ours / beside"  # or one of QUANTITIES
    why: str = ""  # why the bar may not be met, without numbers


def ratio_of_rates(runs: pd.DataFrame, c: Comparison) -> pd.Series:
    rate = runs.pivot(index="repetition", columns="contestant", values=c.column)
    return rate[c.ours] / rate[c.beside]


def seconds(runs: pd.DataFrame, c: Comparison) -> pd.Series:
    """Seconds to the goal by repetition; a run that does not get there takes for ever."""
    mine = runs[runs["contestant"] == c.ours].set_index("repetition")
    return mine["seconds"].where(mine["accuracy"] >= GOAL, np.inf)


def ratio_of_times(runs: pd.DataFrame, c: Comparison) -> pd.Series:
    """A lower bound where the other does not get to the goal: its seconds until it was stopped."""
    theirs = runs[runs["contestant"] == c.beside].set_index("repetition")["seconds"]
    return (theirs / seconds(runs, c)).dropna()


def relative(runs: pd.DataFrame) -> pd.DataFrame:
    """Time, operations and bytes of one sequence as multiples of those at the smallest d; a row a d and repetition.

    `runs`: one part of growth.csv.
    """
    runs = runs.assign(d=runs["contestant"].str.removeprefix("d = ").astype(int), time=1 / runs["per_s"])
    columns = ["time", "mflop", "mbyte"]
    first = runs[runs["d"] == runs["d"].min()].set_index("repetition")[columns]
    table = runs.set_index(["repetition", "d"])[columns].div(first, level="repetition")
    return table.rename(columns={"mflop": "operations", "mbyte": "bytes"})


def excess_growth(runs: pd.DataFrame, c: Comparison | None = None) -> pd.Series:
    """Growth of time over growth of counted operations from the smallest d to the largest, by repetition."""
    grown = relative(runs)
    last = grown.xs(grown.index.get_level_values("d").max(), level="d")
    return last["time"] / last["operations"]


def growths(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each part of growth.csv: exponents of d, from all sizes, and the growth of time over the count's."""
    rows = []
    for part, of_part in runs.groupby("benchmark", sort=False):
        medians = relative(of_part).groupby("d").median()
        slope = {name: np.polyfit(np.log(medians.index), np.log(medians[name]), 1)[0] for name in medians}
        excess = excess_growth(of_part).agg(["median", "min", "max"])
        rows.append({"part": part} | {f"{name} ~ d^": value for name, value in slope.items()} | excess.to_dict())
    return pd.DataFrame(rows)


QUANTITIES = {  # how it is named -> (how it is computed, whether more is better)
    "rate, ours / beside": (ratio_of_rates, True),
    "time, beside / ours": (ratio_of_times, True),
    "seconds": (seconds, False),
    "growth of time / of operations": (excess_growth, False),
}

LEFT_OUT = (
    "What need not be computed is left out already; thin products and element-wise operators remain, on both sides."
)
OPERATORS = (
    "A step with few distinct texts is mostly calls of small operators; with more answers it serves more of them."
)
ONE_THREAD = (
    "One run takes one thread, as the other's fits do; independent runs on all cores are in a row of their own."
)
GROWTH = {"table": "growth", "ours": "ntprl", "beside": "", "quantity": "growth of time / of operations"}
TRAINED = "GRPO round, trained model, rollouts/s"
MISTRAL = "Mistral style"
COMPARISONS = (
    *(
        Comparison(
            what, "pretraining", "ntprl.pretrain", beside, *bars, {"benchmark": benchmark}, why=LEFT_OUT,
        )
        for what, benchmark, beside, bars in (
            ("pre-training, sequences/s", "pretraining", "transformers.Trainer", (4, 8)),
            ("pre-training, sequences/s", "pretraining", "Trainer, fused GELU", (None, None)),
            ("pre-training, sequences/s", "pretraining", "padded loop", (1.5, 2.5)),
            (f"pre-training, {MISTRAL}, sequences/s", "pretraining mistral", "transformers.Trainer", (None, None)),
        )
    ),
    *(
        Comparison(what, "posttraining", "ntprl.posttrain", beside, *bars, {"benchmark": "grpo", "state": state})
        for what, state, beside, bars in (
            (TRAINED, "after", "TRL GRPOTrainer", (5, 15)),
            (TRAINED, "after", "TRL, 4 micro-batches", (None, None)),
            (f"{TRAINED}, a signal in every group", "after, coin", "TRL GRPOTrainer", (None, None)),
        )
    ),
    *(
        Comparison(
            f"sampling, {state.split(', ')[1]} answers, tokens/s", "posttraining", "ntprl.sample",
            "transformers generate", *bars, {"benchmark": "generate", "state": state}, why=OPERATORS,
        )
        for state, bars in (
            ("after, 64 x 8", (8, 20)), ("after, 64 x 64", (None, None)), ("after, 512 x 1", (None, None))
        )
    ),
    *(
        Comparison(
            f"random weights to greedy >= .99 at d = 50{recipe}", "posttraining", "ntprl", beside, *bars,
            {"benchmark": benchmark}, quantity=quantity, why=why,
        )
        for recipe, benchmark, why in (
            ("", "goal mistral", "Nearly all of it is pre-training."),
            (", GPT-2 style", "goal", "Nearly all of it is pre-training, beside a Trainer with GELU in one operator."),
        )
        for beside, bars, quantity in (
            ("Trainer and GRPOTrainer", (4, 10), "time, beside / ours"), ("", (90, 45), "seconds")
        )
    ),
    *(
        Comparison(
            f"linear chain, SGD steps/s, {ours.split(', ')[1]}", "linear_chain", ours, beside, *bars,
            {"part": "contest"}, "steps_per_s", why=ONE_THREAD,
        )
        for ours, beside, bars in (
            ("ntprl, one run", "SGDClassifier", (20, 100)),
            ("ntprl, one run", "its fits alone", (None, None)),
            ("ntprl, one run", "torch loop", (20, 100)),
            ("ntprl, all cores", "SGDClassifier", (None, None)),
        )
    ),
    Comparison("sweep of 32 small models", "ensemble", "together", "one after the other", 1.3, 10),
    Comparison("sweep of 32 small models", "ensemble", "together", "processes"),  # what a sweep does on a CPU
    *(
        Comparison(f"growth with d, {name}", bar=1.5, aim=1.2, rows={"benchmark": part}, **GROWTH)
        for part, name in (("pretraining", "pre-training"), ("grpo", "GRPO round"), ("sampling", "sampling"))
    ),
)  # fmt: skip


def selected(runs: pd.DataFrame, c: Comparison) -> pd.DataFrame:
    for column, value in c.rows.items():
        runs = runs[runs[column] == value]
    return runs


def verdict(median: float, limit: float | None, more_is_better: bool) -> str:
    if limit is None:
        return "none"
    return "met" if (median >= limit if more_is_better else median <= limit) else "not met"


def summarise(folder: Path = HERE) -> pd.DataFrame:
    """A row for each comparison, in order: median and spread over repetitions, and whether the bars are met."""
    tables = {name: read_files(folder / f"{name}.csv") for name in sorted({c.table for c in COMPARISONS})}
    rows = []
    for c in COMPARISONS:
        row = {"what": c.what, "beside": c.beside or "-", "quantity": c.quantity, "n": 0}
        row |= dict.fromkeys(("median", "min", "max"), np.nan) | {"bar": c.bar, "met": NOT_RUN}
        row |= {"aim": c.aim, "aim_met": NOT_RUN}
        compute, more_is_better = QUANTITIES[c.quantity]
        runs = pd.DataFrame() if tables[c.table] is None else selected(tables[c.table][0], c)
        if len(runs):  # a table may be of other sizes, or of a part
            values = compute(runs, c)
            row |= {"n": len(values), **values.agg(["median", "min", "max"])}
            row |= {"met": verdict(row["median"], c.bar, more_is_better)}
            row |= {"aim_met": verdict(row["median"], c.aim, more_is_better)}
        rows.append(row)
    return pd.DataFrame(rows)


def share_of_limit(mine: pd.DataFrame, column: str, facts: dict) -> dict[str, float]:
    """How near one contestant comes to the machine's limit, by its median rate; NaN where nothing was counted."""
    limit, rate = facts.get("ceilings", {}), mine[column].median()
    product, copy = (
        rate * mine[kind].iloc[0] / 1e3 / limit[ceiling] if kind in mine and ceiling in limit else np.nan
        for kind, ceiling in (("mflop", "product_gflop_per_s"), ("mbyte", "copy_gb_per_s"))
    )
    return {"of product": product, "of copy": copy, "of limit": np.fmax(product, copy)}


def fractions(folder: Path = HERE) -> pd.DataFrame:
    """`share_of_limit` of ours in each comparison of rates that has a bar."""
    rows = {}
    for c in COMPARISONS:
        found = read_files(folder / f"{c.table}.csv")
        if found is not None and c.bar is not None and c.quantity == "rate, ours / beside":
            runs = selected(found[0], c)
            if len(runs):
                rows[c.what] = share_of_limit(runs[runs["contestant"] == c.ours], c.column, found[1])
    return pd.DataFrame(rows).T.rename_axis("what").reset_index()
