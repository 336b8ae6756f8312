"""What the claims and the pages of chapter 5 read from its tables."""

import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.readings import at_round, first_round, rl_rows
from ntprl.book.verdict import RECOVERED, accuracy_in_words
from ntprl.measure import first_crossing, mean_interval
from ntprl.proofs.formulas import FORMULAS

PAPER_ALGORITHMS = ("star", "reinforce", "grpo")


def cells(table: pd.DataFrame) -> pd.Series:
    """Greedy accuracy at the end, mean over seeds, of each (algorithm, reward, temperature)."""
    end = at_round(table, "end")
    return end.groupby(["algorithm", "reward", "temperature"])["greedy_accuracy"].mean()


def rounds_until(table: pd.DataFrame, accuracy: float) -> pd.Series:
    """First measured round with that greedy accuracy, mean over the seeds that reach it, of each cell."""
    by = ["algorithm", "reward", "temperature"]
    first = first_round(rl_rows(table), "greedy_accuracy", accuracy)
    return table.groupby("run")[by].first().assign(first=first).groupby(by)["first"].mean()


def shared_starts(table: pd.DataFrame) -> str:
    """How much evidence the runs of a table are: those of a seed go on from one pre-trained start."""
    return f"{table['run'].nunique()} runs from {table['seed'].nunique()} starts"


def slower_when_hot(grid: pd.DataFrame) -> tuple[int, int]:
    """(in how many pairs of algorithm and reward P(long) at round 4 differs between temperatures .75 and 1.5, of how
    many): the 95 % t interval of the difference over seeds, which share their starts, leaves out 0."""
    early = rl_rows(grid).query("step == 4 and algorithm in @PAPER_ALGORITHMS")
    by = early.pivot_table(index=["algorithm", "reward", "seed"], columns="temperature", values="long_probability")
    change = (by[1.5] - by[0.75]).dropna()
    ends = [mean_interval(part)[1] for _, part in change.groupby(["algorithm", "reward"])]
    return sum(low > 0 or high < 0 for low, high in ends), len(ends)


def is_hollow(end: pd.DataFrame) -> pd.Series:
    """Which last rows show length without accuracy: most greedy answers long, accuracy within .1 of one half."""
    return (end["greedy_long"] > 0.5) & ((end["greedy_accuracy"] - 0.5).abs() <= 0.1)


def half_known(order: pd.DataFrame, early: pd.DataFrame, known: float = 0.75) -> pd.DataFrame:
    """Starts that lack links, one row each: which links are unknown (mean probability below `known`), what that says of
    chains (2^-k), and what was measured: chains known, the reward of long answers, accuracy after RL.

    `order` was measured token by token along the same trajectories from which `early` starts.
    """
    links = order[(order["kind"] == "long") & order["position"].between(2, order["position"].max() - 1)]
    start = at_round(early, "start").groupby(["steps", "seed"])[["chain_accuracy", "long_reward"]].mean()
    end = at_round(early, "end").groupby(["steps", "seed"])["greedy_accuracy"].max()
    rows = []
    for (steps, seed), row in start.iterrows():
        found = links[(links["step"] == steps) & (links["seed"] == seed)]
        unknown = found.loc[found["probability"] < known, "position"].tolist()
        if len(found):
            which = " ".join(map(str, unknown[:6])) + (" ..." if len(unknown) > 6 else "")
            rows.append(
                {"step": steps, "seed": seed, "unknown": len(unknown), "which links": which or "none"}
                | {"2^-k": 0.5 ** len(unknown), "chains known": row["chain_accuracy"]}
                | {"long earns": row["long_reward"], "best accuracy after RL": end[steps, seed]}
            )
    return pd.DataFrame(rows).set_index(["step", "seed"])


def distinct_starts(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """First and last rows of RL, one a run: starts that were to lack different numbers of links may be one and the
    same, since several links can fall into place between two looks, and then so are their runs."""
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    same = ["algorithm", "reward", "seed", "unknown_links", "long_probability"]
    start = start.drop_duplicates([name for name in same if name in start])
    return start, end.loc[start.index]


def divergence(start: pd.DataFrame, end: pd.DataFrame) -> pd.Series:
    """Divergence from the start, in nats for an answer, over the least that moves P(long) as far, one a run."""
    return end["kl_from_start"] / theory.length_divergence(start["long_probability"], end["long_probability"])


def by_rate(table: pd.DataFrame) -> pd.DataFrame:
    """(algorithm, rl_lr) -> means over seeds of the first measured round with greedy accuracy .95 (first) and of the
    chains known at the end (end), and the fewest chains known in any measured round of any run (worst)."""
    rl = rl_rows(table)
    runs = rl.groupby("run")[["algorithm", "rl_lr"]].first()
    runs["first"] = first_round(rl, "greedy_accuracy", RECOVERED)
    runs["end"] = at_round(table, "end").set_index("run")["chain_accuracy"]
    runs["worst"] = rl.groupby("run")["chain_accuracy"].min()
    by = runs.groupby(["algorithm", "rl_lr"])
    return by[["first", "end"]].mean().assign(worst=by["worst"].min())


def slope(rounds: pd.DataFrame) -> tuple[float, float, float]:
    """Takeoff against log2((1 - p)/(2p)) over runs that took off: (rounds for each halving of the odds of long,
    correlation, correlation with 1/p instead).
    """
    known = rounds.dropna(subset="takeoff")
    x, y = np.log2((1 - known["p_cot"]) / (2 * known["p_cot"])), known["takeoff"]
    linear = np.corrcoef(1 / known["p_cot"], y)[0, 1]
    return float(np.polyfit(x, y, 1)[0]), float(np.corrcoef(x, y)[0, 1]), float(linear)


def cost_by_size(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each d: how many chains the starts know, in how many runs RL recovers, and what that cost.

    Rounds and tokens (of all rounds together) are means over the runs that recovered.
    """
    start, end = (at_round(table, which).set_index("run") for which in ("start", "end"))
    updates = table[(table["phase"] == "rl") & table["grad_norm"].notna()]
    runs = updates.groupby("run")["tokens"].sum().to_frame().assign(d=end["d"])
    runs["steps"] = table[table["phase"] == "pretraining"].groupby("run")["step"].max()
    runs["knows"], runs["recovered"] = start["chain_accuracy"], end["greedy_accuracy"] > RECOVERED
    runs["first"] = first_round(rl_rows(table), "greedy_accuracy", RECOVERED)
    good = runs[runs["recovered"]].groupby("d")
    sizes = runs.groupby("d")
    return pd.DataFrame(
        {
            "pre-training steps": sizes["steps"].max(),
            "chains known before RL": sizes["knows"].mean().round(2),
            "recovered": [f"{n} of {size}" for n, size in sizes["recovered"].agg(["sum", "size"]).to_numpy()],
            "first round at .95": good["first"]
            .mean()
            .reindex(sizes.groups)
            .map("{:.3g}".format)
            .replace("nan", "none"),
            "tokens written": good["tokens"].mean().reindex(sizes.groups).map("{:,.0f}".format).replace("nan", "none"),
        }
    )


def live_verdicts(table: pd.DataFrame) -> dict[str, str]:
    """What RL made of one start, in words that do not depend on the last digit of a float."""
    rl = table[(table["phase"] == "rl") & table["greedy_accuracy"].notna()]
    start, end = rl.iloc[0], rl.iloc[-1]
    earned = start["long_reward"]
    guess = (
        "none is written" if np.isnan(earned) else "better than a guess" if earned > 0.6 else "no better than a guess"
    )
    return {
        "long answers before RL": guess,
        "greedy accuracy after RL": accuracy_in_words(end["greedy_accuracy"]),
    }


FLOW_TO = float(theory.parity_threshold())  # P(long) at which a run of `rl_flows` has arrived
FLOW_TOKENS = 17  # of a long answer there, EOS counted
OWN, UNIT = "own gradient", "unit steps"  # the two flows that `flow_misfits` compares


def flow_time(flow: str, p: float, tokens: float = 0.0) -> float:
    """Time of a flow of the proofs page (reinforce, grpo, unit) from the share p to 1/3, by the trapezoidal rule.

    `tokens`: of a long answer, if the loss is divided by the mean number of tokens, short answers having two; 0: it is
    not.
    """
    z = np.linspace(np.log(p / (1 - p)), np.log(FLOW_TO / (1 - FLOW_TO)), 80)
    q = 1 / (1 + np.exp(-z))
    slowed = 2 + (tokens - 2) * q if tokens else 1.0
    speed = np.array([FORMULAS[f"flow-{flow}"](share) for share in q])  # dq/dt
    return float(np.trapezoid(slowed * q * (1 - q) / speed, z))


def flow_rounds(table: pd.DataFrame) -> pd.DataFrame:
    """One row a run: algorithm, optimizer, p_cot and seed; rounds until P(long) is 1/3, linear between measured rounds
    (NaN: never); and how long both flows take from the run's own P(long) at the start.

    GRPO's loss is divided by the tokens of all answers, so its gradient's flow is slowed by their mean number; of unit
    steps no denominator is felt.
    """
    rows = []
    measured = table[(table["phase"] == "rl") & table["long_probability"].notna()]
    for run, part in measured.sort_values("step").groupby("run"):
        first = part.iloc[0]
        p = part["long_probability"].to_numpy()
        tokens = FLOW_TOKENS if first["algorithm"] == "grpo" else 0
        rows.append(
            {"run": run, **{name: first[name] for name in ("algorithm", "optimizer", "p_cot", "seed")}}
            | {"rounds": first_crossing(part["step"].to_numpy(), p, FLOW_TO)}
            | {OWN: flow_time(first["algorithm"], p[0], tokens), UNIT: flow_time("unit", p[0])}
        )
    return pd.DataFrame(rows)


def flow_misfits(rounds: pd.DataFrame) -> pd.DataFrame:
    """(algorithm, optimizer) -> by what a flow with one free unit of time misses the logarithm of the rounds, root mean
    square over runs, for both flows; NaN if a run never arrives."""
    misses = pd.DataFrame({flow: np.log(rounds["rounds"] / rounds[flow]) for flow in (OWN, UNIT)})
    by = misses.groupby([rounds["algorithm"], rounds["optimizer"]])
    return by.agg(lambda found: np.std(found.to_numpy()))


def flip_rounds(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each seed and prompt of `rl_copy`: its stop score at the start, the round in which it first lies
    below 0 (seen; NaN: none), and the rounds that this score (own: floor(s_0/ln 2) + 1; 0: from the start) and the mean
    score of its seed (mean) predict."""
    scores = table.pivot_table(index=["seed", "prompt"], columns="step", values="stop_score")
    below = scores < 0
    seen = below.idxmax(axis=1).where(below.any(axis=1))
    start = scores[0]

    def predicted(score: pd.Series) -> pd.Series:
        return (np.floor(score / np.log(2)) + 1).clip(lower=0)

    mean = predicted(start.groupby("seed").transform("mean"))
    return pd.DataFrame({"score": start, "seen": seen, "own": predicted(start), "mean": mean}).reset_index()


def copies(table: pd.DataFrame) -> tuple[list[float], list[float]]:
    """(by how much the mean stop score of `rl_copy` falls in a round, slope of the last scores on the first over
    prompts), one for each seed."""
    scores = table.pivot_table(index=["seed", "prompt"], columns="step", values="stop_score")
    first, last = scores.columns.min(), scores.columns.max()
    parts = [part for _, part in scores.groupby("seed")]
    falls = [float((part[first] - part[last]).mean() / (last - first)) for part in parts]
    return falls, [float(np.polyfit(part[first], part[last], 1)[0]) for part in parts]
