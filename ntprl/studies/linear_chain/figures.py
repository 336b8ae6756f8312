"""Figures of the linear chain, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.readings import rl_rows
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, mark_threshold, rate_axis
from ntprl.linear_chain.chain import LinearChain
from ntprl.studies.linear_chain.claims import worst_errors

SIZE_COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE)
START_COLORS = (RED, PURPLE, ORANGE, GREEN, BLUE, "black")


def weights(model: LinearChain, best: LinearChain) -> None:
    """Weights of the first head, the stop and the last link: trained as bars, the population's as dashes.

    The features that decide are in colour and named; those that ought to have no weight are grey.
    """
    d = model.d
    heads = (
        ("first token", model.first, best.first, {0: "$x_1$"}),
        ("stop or go on", model.stop, best.stop, {d: "$y_1x_1$", 2 * d + 1: "1"}),
        (f"link {d}", model.links[-1], best.links[-1], {2 * d - 1: f"$y_{{{d - 1}}}x_{{{d}}}$"}),
    )
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.5), width_ratios=[1, 2, 2.4])
    for ax, (title, trained, ideal, decide) in zip(axes, heads, strict=True):
        at = np.arange(len(trained))
        ax.bar(at, trained, color=[BLUE if i in decide else GREY for i in at], width=0.7)
        ax.hlines(ideal, at - 0.45, at + 0.45, color="black", lw=1.6, zorder=3)
        ax.set_xticks(list(decide), list(decide.values()))
        ax.set_title(title, fontsize="medium")
        ax.grid(axis="x", visible=False)
    axes[0].set_ylabel("weight")


def theorem_1(table: pd.DataFrame) -> None:
    """P(right chain | x) against p_cot with its worst input, and the share of inputs on which greedy goes on.

    One colour for each d. Marks are means over seeds; bars reach as far as the worst input measured.
    """
    p = np.linspace(0, table["p_cot"].max(), 100)
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    left.plot(p, p, color="black", ls="--", lw=1, label="theorem")
    right.plot([0, 1 / 3, 1 / 3, p[-1]], [0, 0, 1, 1], color="black", ls="--", lw=1)
    for shift, ((d, part), color) in enumerate(zip(table.groupby("d"), SIZE_COLORS, strict=False)):
        mean = part.groupby("p_cot")[["chain", "worst_chain", "greedy_long"]].mean()
        x = mean.index + 0.004 * (shift - 1.5)
        left.errorbar(x, mean["chain"], mean["worst_chain"], color=color, fmt="o", ms=3.5, lw=1.2, label=f"d = {d}")
        right.plot(x, mean["greedy_long"], color=color, marker="o", ms=3.5, lw=1.2)
    rate_axis(left, "P(right chain)")
    rate_axis(right, "greedy goes on\n(share of inputs)")
    mark_threshold(right, 2)
    for ax in (left, right):
        ax.set_xlabel(r"$p_{cot}$")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small", handlelength=1)


def error_by_samples(table: pd.DataFrame, proved: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    """Error on the worst input against samples, beside what is proved: d -> (samples, epsilon)."""
    errors = worst_errors(table, "d", "n_samples")
    fig, ax = plt.subplots(figsize=(WIDTH, 2.8))
    for (d, part), color in zip(errors.groupby("d"), SIZE_COLORS, strict=False):
        ax.loglog(part.index.get_level_values("n_samples"), part, color=color, marker="o", ms=4, label=f"d = {d}")
        if d in proved:
            ax.loglog(*proved[d], color=color, ls="--", lw=1.4)
    ax.set(xlabel="samples", ylabel="error on\nthe worst input")
    fig.legend(loc="outside lower center", ncols=3, fontsize="small", handlelength=1)
    ax.annotate("proved (dashed)", (0.98, 0.93), xycoords="axes fraction", ha="right", color="#555555")


def theorem_2(table: pd.DataFrame) -> None:
    """P(long) round by round, and its odds: one colour for each p_0, dashed the recursion. Bands: ranges over seeds."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0))
    for (p_0, part), color in zip(table.groupby("p_cot"), START_COLORS, strict=False):
        n = np.arange(part["round"].max() + 1)
        p_n = theory.star_recursion(p_0, n)
        part = part.assign(odds=part["long"] / (1 - part["long"]))
        for ax, column, ideal in ((left, "long", p_n), (right, "odds", p_n / (1 - p_n))):
            band(ax, part, "round", column, color, f"{p_0:g}")
            ax.plot(n, ideal, color=color, ls="--", lw=1)
            ax.set_xlabel("round of STaR")
            ax.locator_params(axis="x", integer=True)
    left.axhline(1 / 3, color=GREY, ls=":")
    right.axhline(1 / 2, color=GREY, ls=":")
    rate_axis(left, "P(long)")
    right.set(yscale="log", ylabel="odds of long")
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, title="p₀", loc="outside lower center", ncols=3, fontsize="small", handlelength=1)


def odds_growth(measured: pd.DataFrame, ridge: pd.DataFrame) -> None:
    """By how much a round multiplies the odds of long, and of a right chain, against P(long) before the round.

    `measured` and `ridge` have the columns long, factor and right; one dot a round, ridge alone as dashes.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.7), sharex=True, sharey=True)
    panels = (("factor", "all long answers", PURPLE), ("right", "right chains", GREEN))
    for ax, (column, title, color) in zip(axes, panels, strict=True):
        ax.axhline(2, color=GREY, ls=":")
        ax.plot(ridge["long"], ridge[column], color="black", ls="--", lw=1)
        ax.scatter(measured["long"], measured[column], color=color, s=24, alpha=0.75, lw=0, zorder=3)
        ax.set(xscale="logit", xlabel="P(long) before the round", ylim=(0.9, 2.6), xlim=(0.009, 0.985))
        ax.set_xticks([0.01, 0.1, 0.5, 0.9, 0.97], [".01", ".1", ".5", ".9", ".97"])
        ax.minorticks_off()
        ax.set_title(title, fontsize="medium")
    axes[0].set_ylabel("growth of the odds")


def rare(table: pd.DataFrame) -> None:
    """Right greedy answers after STaR against d: p_0 = 2^-d with few and with exponentially many samples, and .25."""
    end = table[table["round"] == table.groupby("run")["round"].transform("max")]
    few, common = end["n_samples"] == 100 * end["d"] ** 2, end["p_cot"] == 0.25
    groups = (
        (end[common], GREY, "s", "p₀ = .25, 100 d² samples"),
        (end[few & ~common], RED, "o", "p₀ = 2⁻ᵈ, 100 d² samples"),
        (end[~few], GREEN, "^", "p₀ = 2⁻ᵈ, 20 d 2ᵈ samples"),
    )
    fig, ax = plt.subplots(figsize=(WIDTH, 3.0))
    for shift, (rows, color, marker, label) in enumerate(groups):
        x = rows["d"] + 0.25 * (shift - 1) + 0.04 * (rows["seed"] - rows["seed"].mean())
        ax.scatter(x, rows["greedy_r_cot"], color=color, marker=marker, s=26, alpha=0.75, lw=0, label=label)
    ax.axhline(0.5, color=GREY, ls=":")
    rate_axis(ax, "right greedy answers\nafter STaR")
    ax.set(xlabel="d", xticks=sorted(end["d"].unique()))
    fig.legend(loc="outside lower center", ncols=1, fontsize="small", handlelength=1)


def beside_transformer(chain: pd.DataFrame, transformer: pd.DataFrame, star: pd.DataFrame, rl: pd.DataFrame) -> None:
    """Both models over the theory: left P(long), middle greedy, against p_cot; right, P(long) by round of STaR."""
    p = np.linspace(0, 1, 100)
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.9))
    left.plot(p, p, color="black", ls="--", lw=1)
    middle.plot([0, 1 / 3, 1 / 3, 1], [0, 0, 1, 1], color="black", ls="--", lw=1)
    for table, long, color, marker, name in (
        (chain, "long", ORANGE, "s", "linear chain"),
        (transformer, "sampled_long", BLUE, "o", "transformer"),
    ):
        mean = table.groupby("p_cot")[[long, "greedy_long"]].mean()
        left.plot(mean[long], color=color, marker=marker, ms=4, ls="", label=name)
        middle.plot(mean["greedy_long"], color=color, marker=marker, ms=4, lw=1)
    for p_0, part in rl_rows(rl).groupby("p_cot"):
        n = np.arange(part["step"].max() + 1)
        right.plot(n, theory.star_recursion(p_0, n), color="black", ls="--", lw=1)
        right.plot(part.groupby("step")["long_probability"].mean(), color=BLUE, marker="o", ms=4, ls="")
        own = star[(star["p_cot"] == p_0) & (star["round"] <= n[-1])]
        right.plot(own.groupby("round")["long"].mean(), color=ORANGE, marker="s", ms=4, ls="")
    for ax, label in ((left, "P(long)"), (middle, "greedy goes on"), (right, "P(long)")):
        rate_axis(ax, label)
        ax.set_xlabel(r"$p_{cot}$" if ax is not right else "round of STaR")
    mark_threshold(middle, 2)
    right.locator_params(axis="x", integer=True)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
