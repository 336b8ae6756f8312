"""What the figures of chapters 6 to 8 draw is what their tables say: each line and each dot, and no other column.

As in test_figures.py, and further: nothing else is drawn, each colour is that of its name in the legend, and no dot of
a recorded table lies outside the axes.
"""

from itertools import pairwise, product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import (
    Case,
    changed_columns,
    figures_of,
    legend_colors,
    made_up,
    mean,
    missing,
    missing_if_changed,
    outside,
    unexpected,
)
from matplotlib.collections import PathCollection
from scipy.stats import t as student

from ntprl.book import store
from ntprl.book.readings import final_rows, rl_rows
from ntprl.studies.catalogue import TABLES
from ntprl.studies.coin import figures as coin
from ntprl.studies.multiplication import claims
from ntprl.studies.multiplication import figures as multiplication
from ntprl.studies.one_rule import figures as one_rule
from ntprl.studies.one_rule import predictions, readings, transformers
from ntprl.studies.words import figures as words

MODULES = {"multiplication": multiplication, "words": words, "coin": coin, "one_rule": one_rule}
EVERYWHERE = (0, 1)  # from one side of the axes to the other
JUDGES = ("chain", "end-to-end", "process")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def upright(panel, x, *name):
    return (panel, (x, x), EVERYWHERE, *name)


def level(panel, y, *name):
    return (panel, EVERYWHERE, (y, y), *name)


def ends(part: pd.DataFrame, x: str, y: str) -> list[tuple[pd.Index, np.ndarray]]:
    """The lowest and the highest y of each x, as a band has them."""
    groups = [(at, [row[y] for _, row in part[part[x] == at].iterrows()]) for at in sorted(set(part[x]))]
    return [([at for at, _ in groups], [pick(values) for _, values in groups]) for pick in (min, max)]


def band(panel, part, x, y, name):
    yield (panel, *mean(part, x, y), name)
    for edge in ends(part, x, y):
        yield (panel, *edge, name)


def half_measured(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Rounds with an odd number were not measured: these columns are empty there."""
    return table.assign(**{column: table[column].where(table["step"] % 2 == 0) for column in columns})


def interval(values: pd.Series) -> tuple[float, float, float]:
    """(mean, and the ends of its 95 % t interval)."""
    center, half = values.mean(), student.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values))
    return center, center - half, center + half


def first_rise(x, y, level=0.5) -> float:
    for (x_0, y_0), (x_1, y_1) in pairwise(zip(x, y, strict=True)):
        if y_0 < level <= y_1:
            return np.interp(level, (y_0, y_1), (x_0, x_1))
    return np.nan


# --- chapter 6 ---


def law_tables():
    table = made_up("long_reward", "short_reward", "before", "after", k=(2, 3, 4), seed=range(12))
    table["earns_more"] = np.resize(["long", "", "short"], len(table))
    table["could_rise"] = table["seed"] < 10
    table.loc[table["seed"] == 1, "short_reward"] = np.nan  # all answers were long
    table.loc[table["seed"] == 4, "long_reward"] = np.nan
    return {"runs": table}


def law(table):
    for k, counts in product((2, 3, 4), (True, False)):
        rows = [
            row
            for row in table.to_dict("records")
            if row["k"] == k and row["could_rise"] and (row["earns_more"] in ("long", "short")) == counts
        ]
        x = [np.nan_to_num(row["long_reward"]) - np.nan_to_num(row["short_reward"]) for row in rows]
        yield 0, x, [row["after"] - row["before"] for row in rows], f"{k} digits"
    yield level(0, 0)
    yield upright(0, 0)


def digits(table):
    last = table[table["step"] == 600]
    for kind, middle in (("long", -0.2), ("short", 0.2)):
        part = last[last["kind"] == kind]
        places, means = mean(part, "place", "accuracy")
        yield 0, places + middle - 0.18, means, kind  # bars, from their left sides
        yield 0, part["place"] + middle, part["accuracy"]
    yield level(0, 0.1)


SHARES = (0.2, 0.3, 0.4, 0.5, 0.6)


def branch_tables():
    """Each seed rises through one half once; `rival` is such that 1 - rival has a prediction too."""
    table = made_up("greedy_long", "rival", "greedy_accuracy", marked=(True, False), p_cot=SHARES, seed=(0, 1, 2))
    late = table["p_cot"] > 0.35 + 0.1 * table["marked"]
    table["greedy_long"] = table["greedy_long"] / 2 + late / 2
    table["rival"] = 0.3 + table["rival"] / 5
    return {"final": table}


def branch(final):
    for panel, marked in enumerate((True, False)):
        part = final[final["marked"] == marked]
        rises = [first_rise(SHARES, part.loc[part["seed"] == seed, "greedy_long"].to_numpy()) for seed in (0, 1, 2)]
        measured, low, high = interval(pd.Series(rises))
        yield upright(panel, measured, "measured, with its interval")
        yield upright(panel, low)
        yield upright(panel, high)
        m = part["rival"] / (1 - part["p_cot"])
        rule = (m / (1 + m)).groupby(part["p_cot"]).mean()
        predicted = 0.5 if marked else first_rise(SHARES, SHARES - rule.to_numpy(), 0)
        yield upright(panel, predicted, "predicted")
        yield panel, part["p_cot"] + 0.0035 * (part["seed"] - 1), part["greedy_long"], "greedy goes on"
        yield (panel, *mean(part, "p_cot", "greedy_long"), "greedy goes on")
    inset = 2  # of the bare answers, which come last
    yield inset, SHARES, rule, "predicted"
    yield inset, SHARES, SHARES
    yield inset, [predicted], [predicted], "predicted"


# --- chapter 7 ---


def kinds_tables():
    columns = ("greedy_accuracy", "long_probability", "greedy_long")
    names = ("one", "two", "three")
    tables = {name: made_up(*columns, *names[:i], seed=(0, 1, 2), step=range(7)) for i, name in enumerate(names)}
    return {name: half_measured(table, "greedy_accuracy") for name, table in tables.items()}


def kinds(*tables):
    for name, table in zip(("one", "two", "three"), tables, strict=True):
        measured = table[table["step"] % 2 == 0]
        yield from band(0, measured, "step", "greedy_accuracy", name)
        yield from band(1, measured, "step", "long_probability", name)


def formats_tables():
    def table(*more):  # rows in no order
        keys = dict(seed=(3, 4), p_cot=(0.1, 0.2, 0.4, 0.6))
        return made_up("greedy_long", "greedy_accuracy", *more, **keys).sample(frac=1, random_state=0)

    return {"alike": table(), "marked": table("x")}


def formats(alike, marked):
    for name, table, threshold in (("alike", alike, 0.3), ("marked", marked, 0.55)):
        for seed in (3, 4):
            rows = sorted((row.p_cot, row.greedy_long) for row in table.itertuples() if row.seed == seed)
            yield (0, *zip(*rows, strict=True), name)
        yield upright(0, threshold, name)
    yield level(0, 0.5)


# --- chapter 8: linear chains ---


def noise_tables():
    etas = (0.05, 0.1, 0.2, 0.3)
    flips = made_up("flip", "other", eta=etas, decoding=("stop first", "likeliest token"), seed=(0, 1, 2))
    flips["predicted"] = 0.3 + flips["eta"] / 4 * (flips["decoding"] == "likeliest token")
    star = made_up("factor", "noise", "x", "predicted_factor", "predicted_noise", eta=etas, reward=JUDGES, seed=(0, 1))
    return {"thresholds": flips, "star": star}


def dots(panel, part, x, y, *name):
    """Means over seeds as dots, and both ends of their intervals."""
    at = list(dict.fromkeys(part[x]))
    for found in zip(*(interval(part.loc[part[x] == each, y]) for each in at), strict=True):
        yield (panel, at, found, *name)


def noise(thresholds, star):
    for name in ("stop first", "likeliest token"):
        part = thresholds[thresholds["decoding"] == name]
        yield from dots(0, part, "eta", "flip", name)
        yield (0, *mean(part, "eta", "predicted"), name)
    eta = np.linspace(0.05, 0.3, 50)
    for reward in JUDGES:
        part = star[star["reward"] == reward]
        yield from dots(1, part, "eta", "factor", f"{reward} reward")
        yield from dots(2, part, "eta", "noise", f"{reward} reward")
        yield 1, eta, by_hand_factor(eta, 8, reward), f"{reward} reward"
        yield 2, eta, by_hand_noise(eta, 8, reward), f"{reward} reward"
    yield level(1, 1)
    yield 2, eta, eta


def by_hand_factor(eta, d, reward):
    """Twice the chance that a chain with d - 1 noisy links is kept."""
    if reward == "process":  # the share of its right links
        return 2 * (1 - eta)
    wrong = np.arange(d) if reward == "end-to-end" else np.array([0])  # how many links may be
    return 2 * sum(predictions.binomial(k, d - 1, eta) for k in wrong if k % 2 == 0)


def by_hand_noise(eta, d, reward):
    """The share of wrong links in what is kept."""
    if reward == "chain":
        return 0 * eta
    if reward == "process":  # weight of a chain: the share of its right links
        chance = [predictions.binomial(k, d - 1, eta) * (1 - k / (d - 1)) for k in range(d)]
    else:
        chance = [predictions.binomial(k, d - 1, eta) * (k % 2 == 0) for k in range(d)]
    return sum(c * k / (d - 1) for k, c in enumerate(chance)) / sum(chance)


def thresholds_tables():
    found = made_up("predicted", "measured", "down", "up", case=("a", "b, transformer", "c", "d, transformer", "e"))
    found["low"] = found["measured"] * (0.85 - 0.8 * found["down"])
    found["high"] = found["measured"] * (1.2 + found["up"])
    return {"found": found.set_index(pd.Index([4, 0, 3, 1, 2]))}  # sorted, as they come


def thresholds(found):
    yield 0, found["predicted"], (4, 3, 2, 1, 0), "predicted"
    for name, rows in (("linear chain", (0, 2, 4)), ("transformer, recorded", (1, 3))):
        part = found.iloc[list(rows)]
        for column in ("measured", "low", "high"):
            yield 0, part[column], [4 - row for row in rows], name


# --- chapter 8: transformers ---


def stairs_tables():
    def table(*more, shares=(0.2, 0.3, 0.4)):
        return made_up("greedy_long", "greedy_accuracy", *more, p_cot=shares, seed=(5, 6, 7), step=(0, 300, 600))

    return {"one": table(), "two": table("x", shares=(0.25, 0.35, 0.55))}


def stairs(one, two):
    for panel, (table, (quarter, others)) in enumerate(((one, (0.25, 0.25)), (two, (0.3, 0.4)))):
        last = table[table["step"] == 600]
        x = np.linspace(min(table["p_cot"]), max(table["p_cot"]), 400)
        steps = [0 if each <= quarter else 0.25 if each <= others else 1 for each in x]
        name = () if panel else ("predicted",)  # the legend is in the first panel
        yield (panel, x, steps, *name)
        name = () if panel else ("greedy goes on",)
        yield (panel, last["p_cot"] + 0.0035 * (last["seed"] - 6), last["greedy_long"], *name)
        yield (panel, *mean(last, "p_cot", "greedy_long"), *name)


def stop_tables():
    columns = ("stop_gap", "greedy_long", "long_probability", "kl_from_start", "link_gap")
    return {"table": made_up(*columns, trains=("stop", "all"), seed=(20, 21), step=range(5))}


def stop(table):
    for trains, name in (("stop", "the bias alone"), ("all", "all weights")):
        for seed in (20, 21):
            run = table[(table["trains"] == trains) & (table["seed"] == seed)]
            start = run.loc[run["step"] == 0, "stop_gap"].item()
            yield 0, start - run["stop_gap"], run["greedy_long"], name
            yield 1, run["long_probability"], run["kl_from_start"], name
    yield upright(0, np.log(1.5))

    def coin(p, q):
        return q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))

    q = np.linspace(0.25, 0.62, 100)  # behind the right first token, whose chance is 5/8
    yield 1, q, 5 / 8 * coin(0.25 * 8 / 5, q * 8 / 5)
    q = np.linspace(0.25, 0.97, 100)
    yield 1, q, coin(0.25, q)


def noisy_tables():
    star = made_up("long_probability", "x", judge=JUDGES, noise=(0.0, 0.1, 0.3), seed=(20, 21), step=(0, 1))
    star["run"] = star["judge"] + star["noise"].astype(str) + star["run"]
    return {"star": star.sample(frac=1, random_state=0)}  # rows in no order


def noisy(star):
    start = {row.run: row.long_probability for row in star.itertuples() if row.step == 0}
    eta = np.linspace(0, 0.3, 60)
    for judge in JUDGES:
        rows = [row for row in star.itertuples() if row.step == 1 and row.judge == judge]
        p, q = np.array([(start[row.run], row.long_probability) for row in rows]).T
        yield 0, [row.noise for row in rows], q / (1 - q) / (p / (1 - p)), f"{judge} reward"
        yield 0, eta, by_hand_factor(eta, 16, judge), f"{judge} reward"
    yield level(0, 1)


def price_tables():
    """Of 16 symbols; a critical price is 1/30 if all answers are charged, 1/31 if right ones are."""
    cases = [(0.5, 0, 0), (2, 0, 0), (2, 20, 0), (2, 0, 7 / 8)]
    parts = [
        made_up("long_probability", "greedy_accuracy", "greedy_long", charged=(charged,), seed=(0, 1), step=range(5))
        .assign(price=times / tokens, free_rounds=free, gate=gate)
        .assign(run=lambda rows, more=f"{charged} {times} {free} {gate}": rows["run"] + more)
        for (charged, tokens), (times, free, gate) in product((("all", 30), ("right", 31)), cases)
    ]
    table = pd.concat(parts, ignore_index=True)
    table["long_probability"] = np.random.default_rng(0).uniform(0, 1, len(table))
    return {"table": half_measured(table, "greedy_long")}


def prices(table):
    measured = table[table["step"] % 2 == 0]
    names = ("half the critical price", "twice", "twice, from round 20", "twice, gated")
    for panel, charged in enumerate(("all", "right")):
        part = measured[measured["charged"] == charged]
        dear = part["price"] > 0.04
        which = (
            ~dear,
            dear & ~part["free_rounds"].gt(0) & ~part["gate"].gt(0),
            part["free_rounds"] > 0,
            part["gate"] > 0,
        )
        for name, mask in zip(names, which, strict=True):
            yield from band(panel, part[mask], "step", "long_probability", name)
        yield level(panel, 1 / 3)


def takeoff_tables():
    found = made_up("p", "takeoff", "rounds", "first", rollouts=(512, 4096), rarity=(6, 9, 12), seed=(0, 1))
    found["p"] = found["p"] / 2 ** found["rarity"]
    found.loc[found["rarity"] == 12, "takeoff"] = np.nan
    growth = made_up("drawn", "factor", rollouts=(512, 4096), step=range(9))
    growth = growth.assign(drawn=2 ** (6 * growth["drawn"]), factor=3.5 * growth["factor"])
    return {"found": found, "growth": growth}


def takeoff(found, growth):
    for rollouts, name in ((512, "512 answers a round"), (4096, "4,096 answers a round")):
        part = found[found["rollouts"] == rollouts]
        yield 0, part["p"], part["takeoff"], name
        never = [(row.p, row.rounds) for row in part.itertuples() if np.isnan(row.takeoff)]
        yield (0, *zip(*never, strict=True), name)
        rounds = [(row.drawn, row.factor) for row in growth.itertuples() if row.rollouts == rollouts]
        yield (1, *zip(*[(n, factor) for n, factor in rounds if factor <= 3], strict=True))
        octaves = {n: [f for drawn, f in rounds if round(np.log2(drawn)) == n] for n in range(-1, 8)}
        yield 1, [2**n for n, f in octaves.items() if f], [np.median(f) for f in octaves.values() if f]
    yield 1, (0, 1), (2, 2)  # across the panel
    yield 1, (0, 1), (1, 1)
    p = np.geomspace(min(found["p"]), max(found["p"]), 50)
    yield 0, p, [predictions.takeoff_rounds(each) for each in p], "if odds double"


def lesson_tables():
    keys = dict(lesson=("whole", "chain", "growing"), seed=(0, 1, 2), step=range(5))
    table = made_up("link_error", "greedy_accuracy", "greedy_long", **keys)
    return {"table": half_measured(table, "greedy_long")}


def lessons(table):
    measured = table[table["step"] % 2 == 0]
    names = {"growing": "one token after the other", "whole": "the last token", "chain": "the whole chain"}
    for panel, column in enumerate(("link_error", "greedy_accuracy")):
        for lesson, name in names.items():
            yield from band(panel, measured[measured["lesson"] == lesson], "step", column, name)


def rest_tables():
    """Weights without a group in their table; groups also without a penalty."""
    columns = ("long_probability", "greedy_long")
    weights = made_up(*columns, kl=(0.3, 1.0, 3.0), seed=(0, 1), step=range(13))
    groups = made_up(*columns, "x", group=(2, 8, 32), kl=(0.0, 0.5), seed=(0, 1), step=range(13))
    weights["run"] += weights["kl"].astype(str)
    groups["run"] += groups["group"].astype(str) + " " + groups["kl"].astype(str)
    return {"weights": half_measured(weights, "greedy_long"), "groups": half_measured(groups, "greedy_long")}


def rests(weights, groups):
    for panel, (table, over) in enumerate(((weights, "kl"), (groups[groups["kl"] > 0], "group"))):
        late = table[table["step"].isin((8, 10, 12))]  # of 12 rounds, measured each second one
        x, y = [], []
        for run in dict.fromkeys(table["run"]):
            x.append(late.loc[late["run"] == run, over].iloc[0])
            y.append(late.loc[late["run"] == run, "long_probability"].mean())
        yield (panel, x, y, *(() if panel else ("measured",)))
    x = np.geomspace(0.3, 3, 12)
    yield 0, x, [predictions.kl_rest(0.25, weight, 8) for weight in x], "predicted"
    yield 0, x, [predictions.kl_rest_tilted(0.25, weight, 8) for weight in x], "exact divergence"
    yield 1, (2, 8, 32), [predictions.kl_rest(0.25, 0.5, group) for group in (2, 8, 32)]


CASES = {
    "multiplication.law": Case(
        multiplication.law, law_tables, law, {"runs": ("long_reward", "short_reward", "before", "after")}
    ),
    "multiplication.digits": Case(
        multiplication.digits,
        lambda: {"table": made_up("accuracy", "x", seed=(0, 1), step=(0, 600), kind=("short", "long"), place=range(4))},
        digits,
        {"table": ("accuracy",)},
    ),
    "multiplication.thresholds": Case(
        multiplication.thresholds, branch_tables, branch, {"final": ("greedy_long", "rival")}
    ),
    "words.compared": Case(
        lambda *tables: words.compared(dict(zip(("one", "two", "three"), tables, strict=True))),
        kinds_tables,
        kinds,
        {name: ("greedy_accuracy", "long_probability") for name in ("one", "two", "three")},
    ),
    "coin.switches": Case(
        lambda alike, marked: coin.switches({"alike": (alike, 0.3), "marked": (marked, 0.55)}),
        formats_tables,
        formats,
        {name: ("greedy_long",) for name in ("alike", "marked")},
    ),
    "one_rule.noise": Case(
        one_rule.noise, noise_tables, noise, {"thresholds": ("flip", "predicted"), "star": ("factor", "noise")}
    ),
    "one_rule.thresholds": Case(
        one_rule.thresholds,
        thresholds_tables,
        thresholds,
        {"found": ("predicted", "measured", "low", "high")},
        lambda column: 0.9 * column,  # the measured stays in its interval
    ),
    "one_rule.staircases": Case(
        lambda one, two: one_rule.staircases({"one": (one, (0.25, 0.25)), "two": (two, (0.3, 0.4))}),
        stairs_tables,
        stairs,
        {"one": ("greedy_long",), "two": ("greedy_long",)},
    ),
    "one_rule.stop": Case(
        one_rule.stop, stop_tables, stop, {"table": ("stop_gap", "greedy_long", "long_probability", "kl_from_start")}
    ),
    "one_rule.noisy_transformers": Case(
        one_rule.noisy_transformers, noisy_tables, noisy, {"star": ("long_probability",)}
    ),
    "one_rule.prices": Case(
        one_rule.prices, price_tables, prices, {"table": ("long_probability", "price", "gate", "free_rounds")}
    ),
    "one_rule.takeoffs": Case(
        one_rule.takeoffs, takeoff_tables, takeoff, {"found": ("p", "takeoff", "rounds"), "growth": ("drawn", "factor")}
    ),
    "one_rule.lessons": Case(one_rule.lessons, lesson_tables, lessons, {"table": ("link_error", "greedy_accuracy")}),
    "one_rule.rests": Case(
        one_rule.rests, rest_tables, rests, {"weights": ("long_probability",), "groups": ("long_probability",)}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_picture_is_the_table(name):
    tables = CASES[name].tables()
    assert missing(CASES[name], tables, tables) == []


@pytest.mark.parametrize("name", CASES)
def test_nothing_else_is_drawn(name):
    assert unexpected(CASES[name], CASES[name].tables()) == []


@pytest.mark.parametrize("name, table, column", changed_columns(CASES))
def test_another_column_is_another_picture(name, table, column):
    assert missing_if_changed(CASES[name], table, column)


@pytest.mark.parametrize("name", CASES)
def test_no_two_names_share_a_colour(name):
    """Else a series in the colour of its name could be that of another name."""
    CASES[name].draw(*CASES[name].tables().values())
    colors = [color for of_name in legend_colors().values() for color in of_name]
    assert colors and len(set(colors)) == len(colors)


def test_every_figure_is_compared():
    defined = {f"{name}.{each}" for name, module in MODULES.items() for each in figures_of(module)}
    assert defined == set(CASES)


# --- marks ---


def test_a_hollow_dot_is_a_run_whose_rewards_are_not_told_apart():
    table = law_tables()["runs"]
    multiplication.law(table)
    hollow, filled = set(), set()
    for each in (each for each in plt.gca().collections if isinstance(each, PathCollection)):
        (filled if len(each.get_facecolor()) else hollow).update(y for _, y in np.asarray(each.get_offsets()))
    shown = table[table["could_rise"]].assign(change=lambda rows: rows["after"] - rows["before"])
    apart = shown["earns_more"] != ""
    assert hollow == set(shown.loc[~apart, "change"]) and filled == set(shown.loc[apart, "change"])


def test_a_hollow_mark_is_a_run_that_never_took_off():
    tables = takeoff_tables()
    found = tables["found"]
    one_rule.takeoffs(**tables)
    hollow = [line for line in plt.gcf().axes[0].get_lines() if line.get_markerfacecolor() == "none"]
    drawn_rounds = {y for line in hollow for y in line.get_ydata()}
    assert drawn_rounds == set(found.loc[found["takeoff"].isna(), "rounds"])


def test_each_threshold_is_beside_its_name():
    one_rule.thresholds(thresholds_tables()["found"])
    ax = plt.gca()
    names = {at: text.get_text() for at, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    assert names == {4: "a", 3: "b", 2: "c", 1: "d", 0: "e"}


def test_a_digit_is_at_its_place_and_the_last_one_is_right():
    multiplication.digits(CASES["multiplication.digits"].tables()["table"])
    ax = plt.gca()
    names = {at: text.get_text() for at, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}
    assert names == {place: f"$10^{place}$" for place in range(4)} and ax.xaxis_inverted()


def test_a_fourth_kind_is_refused_and_not_left_out():
    table = kinds_tables()["one"]
    with pytest.raises(ValueError):
        words.compared({name: table for name in "abcd"})


# --- recorded tables ---


def recorded(name: str) -> pd.DataFrame:
    return store.load(TABLES[name])


def all_takeoffs(rare, again):
    parts = (rare, TABLES["rare_chain"].configs[0].rl.rollouts), (again, 0)
    found = [readings.starts_and_takeoffs(*part) for part in parts]
    growth = [readings.growth_by_draws(*part) for part in parts]
    one_rule.takeoffs(pd.concat(found), pd.concat(growth))


RECORDED = {  # as the chapters draw them
    "multiplication.law": (
        ("multiplication_3", "multiplication_hard"),
        lambda three, hard: multiplication.law(claims.earnings(three.assign(k=3), hard)),
    ),
    "multiplication.digits": (("multiplication_digits",), multiplication.digits),
    "multiplication.thresholds": (
        ("multiplication_threshold",),
        lambda table: multiplication.thresholds(final_rows(table)),
    ),
    "words.compared": (
        ("words_paths_own", "words_paths_trl", "words_paths_shared"),
        lambda *tables: words.compared({str(i): rl_rows(table) for i, table in enumerate(tables)}),
    ),
    "coin.switches": (
        ("coin_published_thresholds", "coin_published_marked"),
        lambda alike, marked: coin.switches({"alike": (alike, 1 / 3), "marked": (marked, 1 / 2)}),
    ),
    "one_rule.thresholds": (
        ("leap_alone", "leap_third", "two_chains", "noise_threshold", "multiplication_threshold"),
        lambda *tables: one_rule.thresholds(
            transformers.recorded_thresholds(dict(zip(RECORDED["one_rule.thresholds"][0], tables, strict=True)))
        ),
    ),
    "one_rule.staircases": (
        ("leap_alone", "leap_third", "two_chains"),
        lambda *tables: one_rule.staircases({str(i): (table, (1 / 3, 1 / 2)) for i, table in enumerate(tables)}),
    ),
    "one_rule.stop": (("stop_bias",), one_rule.stop),
    "one_rule.noisy_transformers": (("noise_star",), one_rule.noisy_transformers),
    "one_rule.prices": (("length_price",), one_rule.prices),
    "one_rule.takeoffs": (("rare_chain", "rare_enough"), all_takeoffs),
    "one_rule.lessons": (("lessons",), one_rule.lessons),
    "one_rule.rests": (("kl_start", "group_size"), one_rule.rests),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_tables_are_drawn_inside(name):
    tables, draw = RECORDED[name]
    if not all(store.is_recorded(TABLES[each]) for each in tables):
        pytest.skip("not recorded yet")
    draw(*map(recorded, tables))
    assert outside() == []
