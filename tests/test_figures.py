"""What the figures of chapters 3 to 5 draw is what their tables say: each line and each dot, and no other column.

Every table here is made up of random values, all different, so a figure that draws another column, another group or
another mean draws something else. The second test changes one column at a time and demands that the picture changes.
"""

from itertools import product
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import Case, changed_columns, figures_of, made_up, mean, missing, missing_if_changed
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex

from ntprl import theory
from ntprl.book.readings import MEASURES, in_words
from ntprl.book.style import BLUE, GREY, RED
from ntprl.studies.limits import figures as limits
from ntprl.studies.linear_chain import figures as chain
from ntprl.studies.linear_chain import readings
from ntprl.studies.recovery import figures as recovery
from ntprl.weightings import ALGORITHMS

ALGORITHM = list(ALGORITHMS)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# --- chapter 5 ---


def algorithms(rl):
    for i, (reward, name) in enumerate(product(("r_e2e", "r_cot"), ALGORITHM)):
        part = rl[(rl["reward"] == reward) & (rl["algorithm"] == name)]
        for _, cell in part.groupby("temperature"):
            yield i, *mean(cell, "step", "greedy_accuracy")


def loose_links(rl):
    for reward, name in product(("r_e2e", "r_cot"), ALGORITHM):
        part = rl[(rl["reward"] == reward) & (rl["algorithm"] == name)]
        if name != "grpo_published":
            yield 0, *mean(part[part["temperature"] == 1.5], "step", "link_error")
        if name.startswith("grpo"):
            yield 1, *mean(part[part["temperature"] == 1.0], "step", "link_error")


def grid():
    keys = dict(
        algorithm=ALGORITHM, reward=("r_e2e", "r_cot"), temperature=(0.75, 1.0, 1.5), seed=(0, 1), step=(0, 2, 4)
    )
    return {"rl": made_up("greedy_accuracy", "link_error", "long_probability", "greedy_long", **keys)}


def takeoff(rounds):
    for _, part in rounds.groupby("algorithm"):
        yield 0, None, part["takeoff"]
        x = np.log2((1 - part["p_cot"]) / (2 * part["p_cot"]))
        found = part.assign(x=x).groupby("x")["takeoff"].mean()
        yield 0, found.index, found


def start_plane(before, last):
    joined = before.merge(last, on="run", suffixes=("", "_after"))
    wrong = (joined["greedy_accuracy_after"] - 0.5).abs() <= 0.1
    long = joined["greedy_long_after"] > 0.5
    for which in (~long, long & ~wrong, long & wrong):
        part = joined[which]
        yield 0, part["chain_accuracy"], part["greedy_accuracy_after"]


def two_rows(*columns):
    def tables():
        keys = dict(algorithm=("star", "grpo"), seed=range(12), steps=(50, 600))
        before, last = made_up(*columns, **keys), made_up(*columns, **keys)
        last[list(columns)] = 1 - last[list(columns)]
        for part in (before, last):
            part["run"] = part["run"] + " " + part["steps"].astype(str)
        return {"before": before, "last": last}

    return tables


def unknown_tables():
    keys = dict(reward=("r_e2e", "r_cot"), algorithm=("star", "grpo"), unknown_links=(0, 1, 3), seed=range(4))
    start, end = made_up("long_reward", "x", **keys), made_up("greedy_accuracy", "long_reward", **keys)
    end.loc[::3, "greedy_accuracy"] = 0.99
    return {"start": start, "end": end}


def unknown_links(start, end):
    for i, reward in enumerate(("r_e2e", "r_cot")):
        part = start[start["reward"] == reward]
        good = end["greedy_accuracy"].loc[part.index] > 0.95
        for rows in (part[good], part[~good]):
            yield i, None, rows["long_reward"]
        yield i, range(4), [1, *([0.5] * 3 if reward == "r_e2e" else [0.5, 0.25, 0.125])]


def drift_tables():
    columns = ("long_probability", "greedy_long", "greedy_accuracy")
    start, end = made_up(*columns, seed=range(12)), made_up(*columns, seed=range(12), x=(0,))
    return {"start": start.set_index("seed"), "end": end.set_index("seed")}


def drift(start, end):
    for seed in start.index:
        yield 0, (0, 1), (start["long_probability"][seed], end["long_probability"][seed])
    yield 0, (0, 1), (start["long_probability"].mean(), end["long_probability"].mean())


def flow_tables():
    keys = dict(algorithm=("reinforce", "grpo"), optimizer=("sgd", "adamw"), p_cot=(0.02, 0.1, 0.25), seed=(0, 1))
    rounds = made_up("rounds", "own gradient", "unit steps", **keys)
    return {"rounds": rounds, "flips": made_up("score", "seen", "own", seed=(0, 1), prompt=range(8))}


def flows_and_copies(rounds, flips):
    for i, algorithm in enumerate(("reinforce", "grpo")):
        for optimizer, flow in (("sgd", "own gradient"), ("adamw", "unit steps")):
            part = rounds[(rounds["algorithm"] == algorithm) & (rounds["optimizer"] == optimizer)]
            yield i, part["p_cot"], part["rounds"]
            unit = np.prod(part["rounds"] / part[flow]) ** (1 / len(part))
            yield i, (0.02, 0.1, 0.25), unit * part.groupby("p_cot")[flow].mean()
    yield 2, flips["score"] / np.log(2), flips["seen"] + np.random.default_rng(0).uniform(-0.16, 0.16, len(flips))


def first_long(start, last):
    yield 0, start["d"], 1 / start["long_probability"]
    yield 0, sorted(set(start["d"])), [2.0**d for d in sorted(set(start["d"]))]
    yield 1, last["d"], last["greedy_accuracy"]
    yield 1, last["d"], last["greedy_long"]


def first_long_tables():
    columns = ("long_probability", "greedy_accuracy", "greedy_long")
    return {"start": made_up(*columns, d=(8, 12), seed=(0, 1)), "last": made_up(*columns, "x", d=(8, 12), seed=(0, 1))}


def recursion_tables():
    keys = dict(seed=(0, 1, 2), step=range(4))
    columns = ("long_probability", "sampled_long")
    rounds = made_up("takeoff", "other", algorithm=("star", "grpo"), p_cot=(0.02, 0.1), seed=(0, 1))
    calibrated = made_up(*columns, p_cot=(0.05, 0.25), **keys)
    return {"calibrated": calibrated, "one_step": made_up(*columns, **keys), "rounds": rounds}


def recursion(calibrated, one_step, rounds):
    for _, part in calibrated.groupby("p_cot"):
        start = part.loc[part["step"] == 0, "long_probability"].mean()
        yield 0, range(4), theory.star_recursion(start, np.arange(4))
        for _, run in part.groupby("seed"):
            yield 0, run["step"], run["long_probability"]
    yield 1, *mean(one_step, "step", "long_probability")
    start = one_step.loc[one_step["step"] == 0, "long_probability"].mean()
    yield 1, range(4), theory.star_recursion(start, np.arange(4))
    for _, x, y in takeoff(rounds):
        yield 2, x, y


# --- chapter 4 ---


def phases(table):
    for column, phase in enumerate(("pretraining", "rl")):
        part = table[table["phase"] == phase]
        for row, names in enumerate((("sampled_accuracy", "greedy_accuracy"), ("greedy_median_length",))):
            for name in names:
                yield 2 * row + column, *mean(part, "step", name)


def phases_tables():
    columns = ("sampled_accuracy", "greedy_accuracy", "greedy_median_length", "sampled_long")
    return {"table": made_up(*columns, phase=("pretraining", "rl"), seed=(0, 1), step=range(3))}


def reweighting(rl):
    p = np.linspace(0, 1, 200)
    yield 0, rl["rollout_long"], rl["rewarded_long"]
    yield 0, p, 2 * p / (1 + p)


def by_share(rl):
    for column, (_, part) in enumerate(rl.groupby("p_cot")):
        for row, name in enumerate(("greedy_accuracy", "greedy_long")):
            for _, runs in part.groupby("algorithm"):
                yield 2 * row + column, *mean(runs, "step", name)


def share_tables():
    keys = dict(algorithm=("star", "grpo"), p_cot=(0.1, 0.4), seed=(0, 1), step=range(3))
    return {"rl": made_up("greedy_accuracy", "greedy_long", "long_probability", **keys)}


def baselines(table):
    for name in ("rl", "long only", "reweighted", "continue"):
        yield 0, *mean(table[table["method"] == name], "size", "accuracy")
    for name in ("best of", "majority"):
        yield 1, *mean(table[table["method"] == name], "size", "accuracy")
    yield 1, None, [table.loc[table["method"] == "forced", "accuracy"].mean()] * 2


def baselines_tables():
    method = ("rl", "long only", "reweighted", "continue", "best of", "majority", "forced")
    return {"table": made_up("accuracy", "long", "tokens", method=method, seed=(0, 1), size=(1, 5, 25))}


# --- chapter 3 ---


def theorem_1(table):
    for _, part in table.groupby("d"):
        found = part.groupby("p_cot")[["chain", "worst_chain", "greedy_long"]].mean()
        yield 0, None, found["chain"]
        for end in (-1, 1):  # of the error bars
            yield 0, None, found["chain"] + end * found["worst_chain"]
        yield 1, None, found["greedy_long"]


def error_by_samples(table):
    worst = table[["worst_chain", "worst_short"]].max(axis=1)
    for _, part in table.assign(error=worst).groupby("d"):
        yield 0, *mean(part, "n_samples", "error")
    yield 0, (1e15, 1e18), (0.1, 0.01)


def theorem_2(table):
    for p_0, part in table.groupby("p_cot"):
        rounds = np.arange(4)
        p_n = theory.star_recursion(p_0, rounds)
        odds = part.assign(odds=part["long"] / (1 - part["long"]))
        yield 0, *mean(part, "round", "long")
        yield 0, rounds, p_n
        yield 1, *mean(odds, "round", "odds")
        yield 1, rounds, p_n / (1 - p_n)


def odds_growth(measured, ridge):
    for i, column in enumerate(("factor", "right")):
        for table in (measured, ridge):
            yield i, table["long"], table[column]


def rare_tables():
    table = made_up(
        "greedy_r_cot", "greedy_long", d=(8, 12), kind=("few", "many", "common"), seed=range(3), round=(0, 1)
    )
    table["n_samples"] = np.where(table["kind"] == "many", 20 * table["d"] * 2 ** table["d"], 100 * table["d"] ** 2)
    table["p_cot"] = np.where(table["kind"] == "common", 0.25, 0.5 ** table["d"])
    table["run"] = table["run"] + table["kind"]
    return {"table": table}


def rare(table):
    end = table[table["round"] == 1]
    for kind in ("common", "few", "many"):
        yield 0, None, end.loc[end["kind"] == kind, "greedy_r_cot"]


def beside_tables():
    keys = dict(p_cot=(0.1, 0.4), seed=(0, 1))
    rl = made_up("long_probability", "greedy_long", "greedy_accuracy", **keys, step=range(3), phase=("rl",))
    star = made_up("long", "chain", **keys, round=range(5))
    tables = {"chain_": made_up("long", "greedy_long", "x", **keys)}
    tables |= {"transformer": made_up("sampled_long", "greedy_long", "greedy_accuracy", "y", **keys)}
    return tables | {"star": star, "rl": rl}


def beside(chain_, transformer, star, rl):
    for table, long in ((chain_, "long"), (transformer, "sampled_long")):
        yield 0, *mean(table, "p_cot", long)
        yield 1, *mean(table, "p_cot", "greedy_long")
    for p_0, part in rl.groupby("p_cot"):
        yield 2, *mean(part, "step", "long_probability")
        own = star[(star["p_cot"] == p_0) & (star["round"] <= 2)]
        yield 2, *mean(own, "round", "long")


CASES = {
    "limits.algorithms": Case(limits.algorithms, grid, algorithms, {"rl": ("greedy_accuracy",)}),
    "limits.loose_links": Case(limits.loose_links, grid, loose_links, {"rl": ("link_error",)}),
    "limits.takeoff": Case(
        limits.takeoff,
        lambda: {"rounds": made_up("takeoff", "other", algorithm=("star", "grpo"), p_cot=(0.02, 0.1), seed=(0, 1))},
        takeoff,
        {"rounds": ("takeoff",)},
    ),
    "limits.start_plane": Case(
        limits.start_plane,
        two_rows("chain_accuracy", "greedy_accuracy", "greedy_long"),
        start_plane,
        {"before": ("chain_accuracy",), "last": ("greedy_accuracy", "greedy_long")},
    ),
    "limits.unknown_links": Case(
        limits.unknown_links, unknown_tables, unknown_links, {"start": ("long_reward",), "end": ("greedy_accuracy",)}
    ),
    "limits.drift": Case(
        limits.drift, drift_tables, drift, {"start": ("long_probability",), "end": ("long_probability",)}
    ),
    "limits.flows_and_copies": Case(
        limits.flows_and_copies,
        flow_tables,
        flows_and_copies,
        {"rounds": ("rounds", "own gradient", "unit steps"), "flips": ("score", "seen")},
    ),
    "limits.first_long": Case(
        limits.first_long,
        first_long_tables,
        first_long,
        {"start": ("long_probability",), "last": ("greedy_accuracy", "greedy_long")},
    ),
    "limits.recursion": Case(
        limits.recursion,
        recursion_tables,
        recursion,
        {"calibrated": ("long_probability",), "one_step": ("long_probability",), "rounds": ("takeoff",)},
    ),
    "recovery.recovery": Case(
        lambda table: recovery.recovery(table, 50),
        phases_tables,
        phases,
        {"table": ("sampled_accuracy", "greedy_accuracy", "greedy_median_length")},
    ),
    "recovery.reweighting": Case(
        recovery.reweighting,
        lambda: {"rl": made_up("rollout_long", "rewarded_long", "mean_reward", step=range(5))},
        reweighting,
        {"rl": ("rollout_long", "rewarded_long")},
    ),
    "recovery.by_share": Case(recovery.by_share, share_tables, by_share, {"rl": ("greedy_accuracy", "greedy_long")}),
    "recovery.baselines": Case(recovery.baselines, baselines_tables, baselines, {"table": ("accuracy",)}),
    "linear_chain.theorem_1": Case(
        chain.theorem_1,
        lambda: {
            "table": made_up("chain", "worst_chain", "greedy_long", "long", d=(10, 25), p_cot=(0.1, 0.4), seed=(0, 1))
        },
        theorem_1,
        {"table": ("chain", "worst_chain", "greedy_long")},
    ),
    "linear_chain.error_by_samples": Case(
        lambda table: chain.error_by_samples(table, {10: (np.array([1e15, 1e18]), np.array([0.1, 0.01]))}),
        lambda: {"table": made_up("worst_chain", "worst_short", "x", d=(10, 25), n_samples=(100, 1000), seed=(0, 1))},
        error_by_samples,
        {"table": ("worst_chain", "worst_short")},
    ),
    "linear_chain.theorem_2": Case(
        chain.theorem_2,
        lambda: {"table": made_up("long", "chain", p_cot=(0.01, 0.25), seed=(0, 1), round=range(4))},
        theorem_2,
        {"table": ("long",)},
    ),
    "linear_chain.odds_growth": Case(
        chain.odds_growth,
        lambda: {
            "measured": made_up("long", "factor", "right", round=range(6)),
            "ridge": made_up("long", "right", "factor", "x", round=range(6)),
        },
        odds_growth,
        {"measured": ("long", "factor", "right"), "ridge": ("long", "factor", "right")},
    ),
    "linear_chain.rare": Case(chain.rare, rare_tables, rare, {"table": ("greedy_r_cot",)}),
    "linear_chain.beside_transformer": Case(
        chain.beside_transformer,
        beside_tables,
        beside,
        {
            "chain_": ("long", "greedy_long"),
            "transformer": ("sampled_long", "greedy_long"),
            "star": ("long",),
            "rl": ("long_probability",),
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_picture_is_the_table(name):
    tables = CASES[name].tables()
    assert missing(CASES[name], tables, tables) == []


@pytest.mark.parametrize("name, table, column", changed_columns(CASES))
def test_another_column_is_another_picture(name, table, column):
    assert missing_if_changed(CASES[name], table, column)


def test_every_figure_is_compared():
    modules = {"limits": limits, "recovery": recovery, "linear_chain": chain}
    defined = {f"{name}.{each}" for name, module in modules.items() for each in figures_of(module)}
    by_hand = {"recovery.length_areas", "linear_chain.weights"}  # below
    assert defined == set(CASES) | by_hand


# --- areas, bars, and colours ---


def test_the_areas_are_the_shares_of_lengths():
    share = np.random.default_rng(0).dirichlet(np.ones(6), size=4)  # rounds x lengths 0..5
    recovery.length_areas(share, short=1, long=4)
    heights = []
    for area in (each for each in plt.gca().collections if isinstance(each, PolyCollection)):
        x, y = area.get_paths()[0].vertices.T
        heights.append([np.ptp(y[np.isclose(x, i)]) for i in range(4)])
    others = 1 - share[:, 4] - share[:, 1]
    assert np.allclose(heights, [share[:, 4], others, share[:, 1]])
    labels = [text.get_text() for text in plt.gcf().legends[0].get_texts()]
    assert labels == ["4 tokens", "others", "1 token"]


def test_the_bars_are_the_weights_and_those_that_decide_stand_out():
    rng, d = np.random.default_rng(0), 3
    models = [
        SimpleNamespace(
            d=d, first=rng.normal(size=d), stop=rng.normal(size=2 * d + 2), links=[None, rng.normal(size=2 * d + 2)]
        )
        for _ in range(2)
    ]
    chain.weights(*models)
    decide = ({0}, {d, 2 * d + 1}, {2 * d - 1})  # x_1; y_1 x_1 and the constant; y_2 x_3
    for i, ax in enumerate(plt.gcf().axes):
        trained, best = ((m.first, m.stop, m.links[-1])[i] for m in models)
        bars = ax.containers[0].patches
        assert np.allclose([bar.get_height() for bar in bars], trained)
        dashes = next(each for each in ax.collections if isinstance(each, LineCollection))
        assert np.allclose(np.array(dashes.get_segments())[:, :, 1].mean(axis=1), best)
        blue = {j for j, bar in enumerate(bars) if to_hex(bar.get_facecolor()) == BLUE.lower()}
        assert blue == decide[i] and len(ax.get_xticks()) == len(blue)


def test_a_filled_dot_is_a_run_with_long_answers_and_red_one_that_is_wrong():
    before = pd.DataFrame({"run": ["short", "right", "wrong"], "chain_accuracy": [0.1, 0.9, 0.2]})
    last = pd.DataFrame({"run": ["wrong", "right", "short"], "greedy_accuracy": [0.5, 1.0, 0.55]})
    limits.start_plane(before, last.assign(greedy_long=[1.0, 1.0, 0.0]))
    dots = [each for each in plt.gca().collections if isinstance(each, PathCollection)]
    found = {dot.get_label(): (len(dot.get_facecolor()) and to_hex(dot.get_facecolor()[0])) for dot in dots}
    blue, red = BLUE.lower(), RED.lower()
    assert found == {"short": 0, "long": blue, "long and wrong": red}
    assert [list(dot.get_offsets()[0]) for dot in dots] == [[0.1, 0.55], [0.9, 1.0], [0.2, 0.5]]


def test_a_red_line_is_a_run_that_ends_long_and_wrong():
    start = pd.DataFrame({"long_probability": [0.2, 0.3, 0.4]}, index=[3, 4, 5])
    end = pd.DataFrame({"long_probability": [0.9, 0.8, 0.0], "greedy_long": [1.0, 1.0, 0.0]}, index=[3, 4, 5])
    limits.drift(start, end.assign(greedy_accuracy=[0.5, 1.0, 0.5]))
    assert [to_hex(line.get_color()) for line in plt.gca().get_lines()[:3]] == [RED.lower(), GREY, GREY]


def test_answers_that_are_longer_than_long_ones_are_drawn_inside():
    table = phases_tables()["table"]
    recovery.recovery(table, 50)
    assert plt.gcf().axes[2].get_ylim()[1] == pytest.approx(54)
    recovery.recovery(table.assign(greedy_median_length=80.0), 50)
    assert plt.gcf().axes[2].get_ylim()[1] > 80


def test_a_table_in_words_has_no_raw_names_and_no_nan():
    shown = in_words(pd.DataFrame({"a": {"greedy_long": 0.12345, "long_probability": np.nan, "mine": 2.0}}), 3)
    assert shown["a"].to_dict() == {"long greedy answers": "0.123", "P(long)": "none", "mine": "2.000"}
    both = in_words(pd.concat({"before": pd.DataFrame({"link_error": [0.5]}).T}))
    assert both.index[0] == ("before", MEASURES["link_error"])


# --- what ridge alone would do ---


def test_without_ridge_a_round_doubles_the_odds():
    free = readings.ridge_growth(10, 10**14, np.array([0.1, 0.5, 0.9]))
    assert np.allclose(free[["factor", "right"]], 2, rtol=0.01) and np.allclose(
        free["long"], [0.1, 0.5, 0.9], rtol=0.01
    )


def test_ridge_slows_the_growth_and_ends_it():
    rows = readings.ridge_growth(25, 1_000_000, np.array([0.3, 0.9, 0.99]))
    assert (rows["factor"].diff().dropna() < 0).all() and rows["factor"].iloc[-1] < 1


def test_growth_is_that_of_the_odds_from_round_to_round():
    long, right = np.array([0.2, 1 / 3, 0.6]), np.array([0.1, 0.25, 0.5])
    table = pd.DataFrame({"run": "a", "reward": "r_cot", "p_cot": 0.2, "round": range(3), "long": long, "chain": right})
    rows = readings.growth(table)
    assert np.allclose(rows["long"], long[:2]) and np.allclose(rows["factor"], [2, 3])
    assert np.allclose(rows["right"], [3, 3])
