"""Figures of how far reinforcement learning reaches, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, PURPLE, RED, WIDTH, band, method_color, method_label, rate_axis
from ntprl.weightings import ALGORITHMS

TEMPERATURE_COLORS = {0.75: BLUE, 1.0: GREEN, 1.5: RED}
REWARD_NAMES = {"r_e2e": "end-to-end reward", "r_cot": "chain reward"}


def algorithms(rl: pd.DataFrame, y: str = "greedy_accuracy") -> None:
    """One panel for each reward and algorithm, one colour for each temperature: mean and range over seeds."""
    names = [name for name in ALGORITHMS if name in set(rl["algorithm"])]
    rewards = sorted(rl["reward"].unique(), reverse=True)
    fig, axes = plt.subplots(
        len(rewards), len(names), figsize=(WIDTH, 1.95 * len(rewards) + 0.5), sharex=True, sharey=True, squeeze=False
    )
    for row, reward in enumerate(rewards):
        for column, name in enumerate(names):
            ax = axes[row, column]
            cell = rl[(rl["algorithm"] == name) & (rl["reward"] == reward)]
            for tau, part in cell.groupby("temperature"):
                band(ax, part, "step", y, TEMPERATURE_COLORS[tau], f"{tau:g}")
            rate_axis(ax, REWARD_NAMES[reward] if column == 0 else "")
            ax.axhline(0.5, color=GREY, ls=":")
            if row == 0:
                ax.set_title(method_label(name), fontsize="medium")
    for ax in axes[-1]:
        ax.set(xlabel="round", xlim=(0, rl["step"].max()))
        ax.locator_params(axis="x", nbins=4, integer=True)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, title="temperature", loc="outside lower center", ncols=3, handlelength=1)


def takeoff(rounds: pd.DataFrame) -> None:
    """Rounds until half of all prompts get the long answer, against log2((1 - p)/(2p)). One dot a run.

    `rounds` has one row a run: p_cot, algorithm, seed, takeoff (NaN: never within the run).
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for shift, (name, part) in enumerate(rounds.groupby("algorithm")):
        x = np.log2((1 - part["p_cot"]) / (2 * part["p_cot"]))
        color = method_color(name)
        ax.scatter(x + 0.07 * (shift - 1), part["takeoff"], color=color, s=28, alpha=0.75, lw=0, zorder=3)
        ax.plot(part.assign(x=x).groupby("x")["takeoff"].mean(), color=color, lw=1.3, label=method_label(name))
    shares = sorted(rounds["p_cot"].unique())
    line = np.log2([(1 - p) / (2 * p) for p in shares])
    ax.plot(line, [theory.rounds_to_flip(p) for p in shares], color="black", ls="--", lw=1, label="calibrated STaR")
    ax.set_xticks(line, [f"{p:g}" for p in shares])
    ax.set(xlabel=r"$p_{cot}$, placed at $\log_2((1 - p)/(2p))$", ylabel="rounds to takeoff", ylim=(0, None))
    ax.legend(loc="upper left", fontsize="small")


def early_start(before: pd.DataFrame, last: pd.DataFrame) -> None:
    """What RL makes of its start, against the length of pre-training. One dot a run, its first and its last row."""
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.0), sharex=True)
    panels = (
        ("chain known\nbefore RL", before, "chain_accuracy", GREY),
        ("long answers\nafter RL", last, "greedy_long", PURPLE),
        ("greedy accuracy\nafter RL", last, "greedy_accuracy", BLUE),
    )
    for ax, (label, rows, column, color) in zip(axes, panels, strict=True):
        for name, part in rows.groupby("algorithm"):
            marker = "s" if name == "star" else "o"
            ax.scatter(part["steps"], part[column], color=color, s=26, alpha=0.7, lw=0, marker=marker)
            ax.plot(part.groupby("steps")[column].mean(), color=color, lw=1.2, ls="--" if name == "star" else "-")
        ax.set(xscale="log", xlabel="pre-training steps")
        ax.set_xticks([50, 100, 200, 600], ["50", "100", "200", "600"])
        ax.minorticks_off()
        rate_axis(ax, "")
        ax.set_title(label, fontsize="medium")


def first_long(start: pd.DataFrame, last: pd.DataFrame) -> None:
    """p_cot = 2^-d: samples until the first long answer beside 2^d, and what RL reaches. One dot a run."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.1), sharex=True)
    d = np.array(sorted(start["d"].unique()))
    left.semilogy(d, 2.0**d, color="black", ls="--", lw=1, label=r"$2^d$")
    left.scatter(start["d"], 1 / start["long_probability"], color=PURPLE, s=26, alpha=0.75, lw=0, zorder=3)
    left.set(xlabel="d", ylabel="samples for one long answer")
    left.legend(loc="upper left")
    right.scatter(last["d"], last["greedy_accuracy"], color=BLUE, s=26, alpha=0.75, lw=0, label="accuracy")
    right.scatter(last["d"], last["greedy_long"], color=PURPLE, s=26, alpha=0.75, lw=0, label="long", marker="^")
    rate_axis(right, "greedy answers after RL")
    right.axhline(0.5, color=GREY, ls=":")
    right.set(xlabel="d", xticks=d)
    right.legend(loc="upper right", fontsize="small")


def recursion(rl: pd.DataFrame) -> None:
    """Measured share of long answers after each calibrated round of STaR beside the recursion. One line a seed."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for (p_0, part), color in zip(rl.groupby("p_cot"), (RED, GREEN, BLUE), strict=False):
        n = np.arange(part["step"].max() + 1)
        start = part.loc[part["step"] == 0, "long_probability"].mean()
        ax.plot(n, theory.star_recursion(start, n), color=color, ls="--", lw=1)
        for i, (_, run) in enumerate(part.groupby("seed")):
            label = rf"$p_0$ = {p_0:g}" if i == 0 else None
            ax.plot(run["step"], run["long_probability"], color=color, lw=1, marker="o", ms=3.5, alpha=0.8, label=label)
    ax.axhline(1 / 3, color=GREY, ls=":")
    ax.set(xlabel="round of STaR, each trained until calibrated", xlim=(0, rl["step"].max()))
    ax.locator_params(axis="x", integer=True)
    rate_axis(ax, "P(long)")
    ax.legend(loc="lower right", fontsize="small")
