"""Figures of what goes beyond the paper, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntprl import theory
from ntprl.book.readings import final_rows
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, per_seed, rate_axis
from ntprl.studies.one_rule import predictions, readings, runs, transformers

DECODING_COLORS = {"stop first": PURPLE, "likeliest token": ORANGE}
REWARD_COLORS = {"chain": RED, "end-to-end": BLUE, "process": GREEN}


def _dots(ax: Axes, found: pd.DataFrame, x: str, color: str, label: str | None = None) -> None:
    """Means with their intervals."""
    around = (found["measured"] - found["low"], found["high"] - found["measured"])
    ax.errorbar(found[x], found["measured"], yerr=around, fmt="o", ms=4.5, lw=1.3, color=color, label=label, zorder=3)


def noise(thresholds: pd.DataFrame, star: pd.DataFrame) -> None:
    """Noisy links: where greedy decoding flips, the odds of long after a round of STaR, the noise left in chains."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 3.5))
    for name, rows in thresholds.groupby("decoding", sort=False):
        _dots(left, runs.means(rows, ["eta"], "flip"), "eta", DECODING_COLORS[name], name)
        left.plot(rows.groupby("eta")["predicted"].first(), color=DECODING_COLORS[name], ls="--", lw=1)
    eta = np.linspace(star["eta"].min(), star["eta"].max(), 50)
    for name, rows in star.groupby("reward", sort=False):
        for ax, column, rule in (
            (middle, "factor", predictions.noise_factor),
            (right, "noise", predictions.noise_left),
        ):
            found = runs.means(rows, ["eta"], column, f"predicted_{column}")
            _dots(ax, found, "eta", REWARD_COLORS[name], f"{name} reward" if ax is middle else None)
            ax.plot(eta, rule(eta, runs.D, name), color=REWARD_COLORS[name], ls="--", lw=1)
    middle.axhline(1, color=GREY, ls=":")
    right.plot(eta, eta, color=GREY, ls=":")
    left.set(title="threshold", ylim=(0.28, 0.48), xlim=(-0.02, 0.42))
    left.set_yticks([0.3, 0.35, 0.4, 0.45], [".3", ".35", ".4", ".45"])
    middle.set_yticks([0, 0.5, 1, 1.5, 2], ["0", ".5", "1", "1.5", "2"])
    right.set_yticks([0, 0.1, 0.2, 0.3], ["0", ".1", ".2", ".3"])
    middle.set(title="odds of long, times", ylim=(0, 2.05))
    right.set(title="noise left", ylim=(-0.015, 0.32))
    for ax in (left, middle, right):
        ax.set_xlabel(r"noise $\eta$")
        ax.title.set_fontsize("medium")
        ax.locator_params(axis="x", nbins=4)
    handles = [*left.get_legend_handles_labels()[0], *middle.get_legend_handles_labels()[0]]
    fig.legend(
        handles=handles, loc="outside lower center", ncols=5, fontsize="small", handletextpad=0, columnspacing=0.8
    )


def thresholds(found: pd.DataFrame) -> None:
    """Each threshold on a line of its own: the prediction as a bar, the measurement as a dot with its interval."""
    fig, ax = plt.subplots(figsize=(WIDTH, 0.26 * len(found) + 0.9))
    rows = np.arange(len(found))[::-1]
    is_recorded = found["case"].str.contains("transformer").to_numpy()
    ax.scatter(found["predicted"], rows, marker="|", s=160, lw=1.5, color="black", label="predicted")
    for mask, color, label in ((~is_recorded, BLUE, "linear chain"), (is_recorded, ORANGE, "transformer, recorded")):
        part = found[mask]
        around = (part["measured"] - part["low"], part["high"] - part["measured"])
        ax.errorbar(part["measured"], rows[mask], xerr=around, fmt="o", ms=4, lw=2, color=color, label=label)
    ax.grid(axis="y", visible=False)
    ax.set_yticks(rows, found["case"].str.removesuffix(", transformer"))
    ax.set(xlim=(0, 0.6), xticks=np.arange(6) / 10, ylim=(-0.6, len(found) - 0.4), xlabel="threshold")
    fig.legend(loc="outside upper center", ncols=3, fontsize="small", handletextpad=0.3)


# --- recorded transformers ---


def staircases(tables: dict[str, tuple[pd.DataFrame, tuple[float, float]]]) -> None:
    """Share of prompts that go on over p_cot, one panel for each title: (table, thresholds of a quarter and of all)."""
    fig, axes = plt.subplots(1, len(tables), figsize=(WIDTH, 2.6), sharey=True, squeeze=False)
    for ax, (title, (table, steps)) in zip(axes[0], tables.items(), strict=True):
        final = final_rows(table)
        x = np.linspace(final["p_cot"].min(), final["p_cot"].max(), 400)
        ax.plot(x, (x > steps[0]) / 4 + (x > steps[1]) * 3 / 4, color="black", ls="--", lw=1, label="predicted")
        per_seed(ax, final, "greedy_long", BLUE, "greedy goes on")
        rate_axis(ax, "share of prompts" if ax is axes[0][0] else "")
        ax.set(xlabel=r"$p_{cot}$")
        ax.set_title(title, fontsize="medium")
    axes[0][0].legend(fontsize="small", loc="lower right")


def stop(table: pd.DataFrame) -> None:
    """Left: greedy decoding goes on once the logit of EOS has fallen. Right: KL from the start over P(long)."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.6))
    for name, color, label in (("stop", ORANGE, "the bias alone"), ("all", BLUE, "all weights")):
        for _, rows in table[table["trains"] == name].groupby("seed"):
            left.plot(rows["stop_gap"].iloc[0] - rows["stop_gap"], rows["greedy_long"], "o-", ms=3, lw=0.8, color=color)
            right.plot(rows["long_probability"], rows["kl_from_start"], "o", ms=3, color=color)
        right.plot([], [], "o", ms=3, color=color, label=label)
    left.axvline(predictions.flip_shift(0.25), color="black", ls="--", lw=1)
    left.set(xlabel="fall of the logit of EOS")
    rate_axis(left, "greedy goes on")
    q = np.linspace(0.25, 0.62, 100)
    right.plot(q, [predictions.stop_only_divergence(0.25, each) for each in q], color="black", ls="--", lw=1)
    q = np.linspace(0.25, 0.97, 100)
    right.plot(q, theory.length_divergence(0.25, q), color="black", ls=":", lw=1)
    right.set(xlabel="P(long)", ylabel="KL from the start, nats")
    right.legend(fontsize="small", loc="upper left")


def noisy_transformers(star: pd.DataFrame) -> None:
    """The factor of the odds of long in one round of STaR, over the noise."""
    fig, ax = plt.subplots(figsize=(WIDTH * 0.7, 2.6))
    before, after = (star[star["step"] == step].set_index("run") for step in (0, 1))
    grown = predictions.odds(after["long_probability"]) / predictions.odds(before["long_probability"])
    end = after.assign(factor=grown)  # run by run, in whatever order they come
    eta = np.linspace(0, 0.3, 60)
    for judge in transformers.NOISY_REWARDS:
        rows = end[end["judge"] == judge]
        ax.plot(rows["noise"], rows["factor"], "o", ms=4, color=REWARD_COLORS[judge], label=f"{judge} reward")
        ax.plot(eta, predictions.noise_factor(eta, transformers.D, judge), color=REWARD_COLORS[judge], ls="--", lw=1)
    ax.axhline(1, color=GREY, ls=":")
    ax.set(xlabel=r"noise $\eta$ on the links", ylabel="odds of long, times", ylim=(0, None))
    ax.legend(fontsize="small")


def prices(table: pd.DataFrame) -> None:
    """P(long) round by round, one panel for each kind of answers charged; bands are the range over seeds."""
    rows = readings.with_times(table.dropna(subset="greedy_long"))
    cases = {"half the critical price": "times < 1", "twice": "times > 1 and gate == 0 and free_rounds == 0"}
    cases |= {"twice, from round 20": "free_rounds > 0", "twice, gated": "gate > 0"}
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9), sharey=True)
    for ax, (charged, part) in zip(axes, rows.groupby("charged"), strict=True):
        for (label, query), color in zip(cases.items(), (GREEN, RED, PURPLE, BLUE), strict=True):
            band(ax, part.query(query), "step", "long_probability", color, label)
        ax.axhline(1 / 3, color=GREY, ls=":")
        rate_axis(ax, "P(long)" if ax is axes[0] else "")
        ax.set(xlabel="round")
        ax.set_title(f"{charged} answers charged", fontsize="medium")
    handles = axes[0].get_legend_handles_labels()[0]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small", handlelength=1.2)


def takeoffs(found: pd.DataFrame, growth: pd.DataFrame) -> None:
    """Left, rounds until greedy decoding goes on, over the share of long answers at the start; hollow, all rounds of a
    run in which it never did. Right, the factor on the odds of a long answer over the number that a round drew, up to
    three, and the median of each octave. From `readings.starts_and_takeoffs` and `readings.growth_by_draws`."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3))
    for rollouts, color in zip(sorted(found["rollouts"].unique()), (ORANGE, BLUE), strict=True):
        rows, factors = found[found["rollouts"] == rollouts], growth[growth["rollouts"] == rollouts]
        left.semilogx(rows["p"], rows["takeoff"], "o", ms=5, color=color, base=2, label=f"{rollouts:,} answers a round")
        never = rows[rows["takeoff"].isna()]
        left.semilogx(never["p"], never["rounds"], "^", ms=6, color=color, base=2, mfc="none")
        factors = factors[factors["drawn"] > 0.5]
        octaves = factors.groupby(np.round(np.log2(factors["drawn"])))["factor"].median()
        seen = factors[factors["factor"] <= 3]
        right.plot(seen["drawn"], seen["factor"], "o", ms=3, color=color, alpha=0.4, lw=0)
        right.plot(2.0**octaves.index, octaves, color=color, lw=2)
    p = np.geomspace(found["p"].min(), found["p"].max(), 50)
    left.plot(p, [predictions.takeoff_rounds(each) for each in p], color="black", ls="--", lw=1, label="if odds double")
    left.set(xlabel="P(long) before RL", ylabel="rounds")
    right.axhline(2, color="black", ls="--", lw=1)
    right.axhline(1, color=GREY, ls=":", lw=1)
    right.set_xscale("log", base=2)
    right.set(xlabel="long answers in a round", ylabel="odds of long, times", ylim=(0, 3))
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")


def lessons(table: pd.DataFrame) -> None:
    """Share of wrong links and greedy accuracy, round by round; bands are the range over seeds."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.6), sharey=True)
    rows = table.dropna(subset="greedy_long")
    labels = {"growing": "one token after the other", "whole": "the last token", "chain": "the whole chain"}
    for ax, column in zip(axes, ("link_error", "greedy_accuracy"), strict=True):
        for (lesson, label), color in zip(labels.items(), (BLUE, RED, GREY), strict=True):
            band(ax, rows[rows["lesson"] == lesson], "step", column, color, label)
        rate_axis(ax, "")
        ax.set(xlabel="round")
    axes[0].set_title("wrong links", fontsize="medium")
    axes[1].set_title("greedy accuracy", fontsize="medium")
    handles = axes[0].get_legend_handles_labels()[0]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small", handlelength=1.2)


def rests(weights: pd.DataFrame, groups: pd.DataFrame) -> None:
    """P(long) at rest over the weight of the penalty and over the group; the predictions as lines."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.6), sharey=True)
    for ax, table, over in ((left, weights, "kl"), (right, groups, "group")):
        start = readings.first_round_row(table[table["kl"] > 0])
        ax.plot(start[over], readings.rest_of(table)[start.index], "o", ms=4, color=BLUE, label="measured")
        ax.set_xscale("log", base=2)
        rate_axis(ax, "P(long) at rest" if ax is left else "")
    x = np.geomspace(weights["kl"].min(), weights["kl"].max(), 12)
    left.plot(x, [predictions.kl_rest(0.25, each, 8) for each in x], color="black", ls="--", lw=1, label="predicted")
    exact = [predictions.kl_rest_tilted(0.25, each, 8) for each in x]
    left.plot(x, exact, color=GREY, ls=":", label="exact divergence")
    x = sorted(groups["group"].unique())
    right.plot(x, [predictions.kl_rest(0.25, 0.5, int(each)) for each in x], color="black", ls="--", lw=1)
    left.set_xlabel("weight of the penalty")
    right.set_xlabel("answers in a group")
    left.legend(fontsize="small")
