"""What several studies read from a run: rows of a phase or a round, where a level is reached, answers as text."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.run import Recovery
from ntprl.book.store import TEXT_WIDTH
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng
from ntprl.tasks.task import Task

MEASURES = {  # columns of tables in a reader's words
    "greedy_accuracy": "right greedy answers",
    "greedy_long": "long greedy answers",
    "greedy_median_length": "median greedy length",
    "greedy_cut": "greedy answers cut off",
    "sampled_long_accuracy": "right long answers, sampled",
    "sampled_short_accuracy": "right short answers, sampled",
    "long_probability": "P(long)",
    "link_error": "P(wrong token)",
    "chain_accuracy": "chains known",
    "long_reward": "reward of a long answer",
    "short_reward": "reward of a short answer",
    "last_number": "right by the last number",
}


def in_words(found: pd.DataFrame, digits: int = 2) -> pd.DataFrame:
    """A table for readers: measures by their names in MEASURES, numbers rounded, "none" for what is missing."""
    named = found.rename(index=MEASURES, columns=MEASURES)
    return named.map(lambda number: "none" if pd.isna(number) else f"{number:.{digits}f}")


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


def settled_round(rl: pd.DataFrame, column: str, level: float) -> pd.Series:
    """For each run, the first measured round from which on `column` is never below `level`; NaN if it ends below."""
    below = rl[rl[column] < level].groupby("run")["step"].max().reindex(rl["run"].unique(), fill_value=-1)
    later = rl[rl["step"] > rl["run"].map(below)].groupby("run")["step"].min()
    return later.reindex(below.index)


def takeoffs(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run: p_cot, algorithm, seed, takeoff: the first round with half of all greedy answers long."""
    rl = rl_rows(table)
    runs = rl.groupby("run")[["p_cot", "algorithm", "seed"]].first()
    return runs.assign(takeoff=first_round(rl, "greedy_long", 0.5)).reset_index()


def recursion_errors(table: pd.DataFrame) -> pd.DataFrame:
    """One row a round: share of long answers, the prediction from the round before, and that from the start."""
    rl = rl_rows(table).sort_values(["run", "step"])
    before = rl.groupby("run")["long_probability"].shift()
    start = rl.groupby("run")["long_probability"].transform("first")
    rows = rl.assign(one_step=theory.rewarded_long_share(before), from_start=theory.star_recursion(start, rl["step"]))
    return rows[rows["step"] > 0]


def greedy_answers(run: Recovery, task: Task, n: int, seed: int) -> Iterator[tuple[str, str, str, str]]:
    """(before or after, right or wrong, prompt, answer): greedy answers to n test prompts before and after RL."""
    prompts = task.prompts(n, numpy_rng(seed, "evaluation", 1), test=True)
    for name, model in (("before", run.before), ("after", run.after)):
        answers = greedy(model, prompts, task.eos, task.long_length + 1)
        words = np.where(task.r_e2e(prompts, answers), "right", "wrong")
        for prompt, answer, word in zip(prompts, answers, words, strict=True):
            yield name, str(word), task.text(prompt), task.text(answer)


def chains_lost(table: pd.DataFrame) -> pd.DataFrame:
    """What RL does to the chain, for each setting of a recorded table with both phases, means over its runs.

    chain: share of prompts whose chain is likeliest at every link; wrong: mean probability of a wrong link; each before
    and after RL. lost: chain before less chain after. in_runs: "3 of 4", in how many the chain is known less after.
    """
    before = list(table.columns[: min(table.columns.get_loc(name) for name in ("step", "greedy_accuracy"))])
    settings = [name for name in before if name not in ("run", "seed")]
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    found = start[settings].copy()
    for column, name in (("chain_accuracy", "chain"), ("link_error", "wrong")):
        found[f"{name} before"], found[f"{name} after"] = start[column], end[column]
    found["lost"] = found["chain before"] - found["chain after"]
    groups = found.groupby(settings, sort=False) if settings else found.groupby(lambda run: "all runs")
    counts = groups["lost"].agg(lambda lost: f"{int((lost > 0).sum())} of {len(lost)}")
    return groups.mean().assign(in_runs=counts)


def in_how_many(words: Mapping[int, Mapping[str, str]], of: str = "seeds") -> str:
    """What most seeds say alike, in how many, and then each that says something else: seed -> name -> word."""
    names = list(next(iter(words.values())))
    usual = {name: Counter(said[name] for said in words.values()).most_common(1)[0][0] for name in names}
    others = {
        seed: [f"{name} {said[name]}" for name in names if said[name] != usual[name]] for seed, said in words.items()
    }
    alike = sum(not different for different in others.values())
    lines = [f"{alike} of {len(words)} {of} say: " + "; ".join(f"{name} {word}" for name, word in usual.items())]
    lines += [f"not so {seed}: " + "; ".join(different) for seed, different in others.items() if different]
    return "\n".join(textwrap.fill(line, TEXT_WIDTH) for line in lines)
