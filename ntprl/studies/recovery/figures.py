"""Figures of reinforcement learning, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, method_color, method_label, rate_axis
from ntprl.weightings import ALGORITHMS

TEMPERATURE_COLORS = {0.75: BLUE, 1.0: GREEN, 1.5: RED}
REWARD_NAMES = {"r_e2e": "end-to-end reward", "r_cot": "chain reward"}


def recovery(table: pd.DataFrame, d: int, size: tuple[float, float] = (WIDTH, 4.4), chance: float | None = 0.5) -> None:
    """Accuracy and median greedy length through pre-training and then RL, d being the longest. One run, or bands."""
    fig, axes = plt.subplots(2, 2, figsize=size, sharex="col", sharey="row")
    for column, phase in enumerate(("pretraining", "rl")):
        part = table[table["phase"] == phase]
        part = part[part["greedy_accuracy"].notna()]
        top, bottom = axes[:, column]
        band(top, part, "step", "sampled_accuracy", ORANGE, "sampled")
        band(top, part, "step", "greedy_accuracy", BLUE, "greedy")
        if chance is not None:
            top.axhline(chance, color=GREY, ls=":")
        rate_axis(top, "accuracy" if column == 0 else "")
        band(bottom, part, "step", "greedy_median_length", BLUE, "greedy")
        bottom.set(xlabel="step" if column == 0 else "round", xlim=(0, part["step"].max()))
        bottom.locator_params(axis="x", nbins=6, integer=True)
    axes[1, 0].set(ylabel="median length", ylim=(0, 1.08 * d))
    axes[0, 0].set_title("next-token prediction", fontsize="medium")
    axes[0, 1].set_title("reinforcement learning", fontsize="medium")
    axes[0, 1].legend(loc="lower right", fontsize="small", handlelength=1)


def length_map(length_share: np.ndarray) -> None:
    """Share of sampled answers at each length, one column a round; (rounds + 1, L + 2), logarithmic."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.2))
    shown = np.where(length_share > 0, length_share, np.nan).T
    mesh = ax.pcolormesh(
        np.arange(len(length_share)), np.arange(shown.shape[0]), shown, cmap="viridis_r", norm=LogNorm(1e-3, 1)
    )
    ax.set(xlabel="round", ylabel="tokens before EOS")
    ax.locator_params(axis="x", integer=True)
    ax.grid(False)
    fig.colorbar(mesh, label="share of answers")


def reweighting(rl: pd.DataFrame) -> None:
    """Share of long answers among the rewarded against that among all, beside 2p/(1 + p). One dot a round."""
    p = np.linspace(0, 1, 200)
    fig, ax = plt.subplots(figsize=(0.62 * WIDTH, 3.6))
    ax.plot(p, theory.rewarded_long_share(p), color="black", ls="--", lw=1, label="2p/(1 + p)")
    ax.plot(p, p, color=GREY, ls=":", lw=1, label="p")
    dots = ax.scatter(rl["rollout_long"], rl["rewarded_long"], c=rl["step"], cmap="viridis_r", s=32, zorder=3)
    ax.set(xlabel="long among sampled, p", xlim=(-0.04, 1.04))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    rate_axis(ax, "long among rewarded")
    ax.legend(loc="lower right")
    fig.colorbar(dots, label="round")


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


def by_share(rl: pd.DataFrame) -> None:
    """Greedy accuracy and share of long greedy answers through RL, one column for each p_cot, a line an algorithm."""
    kinds = {"grpo": rl}  # what all runs share is no column
    if "algorithm" in rl:
        kinds = {name: table for name, table in rl.groupby("algorithm")}
    shares = sorted(rl["p_cot"].unique())
    fig, axes = plt.subplots(2, len(shares), figsize=(WIDTH, 3.9), sharex=True, sharey=True, squeeze=False)
    for column, p_cot in enumerate(shares):
        for row, (y, label) in enumerate((("greedy_accuracy", "greedy accuracy"), ("greedy_long", "greedy long"))):
            for name, table in kinds.items():
                style = "-" if name == "grpo" else "--"
                part = table[table["p_cot"] == p_cot]
                band(axes[row, column], part, "step", y, method_color(name), method_label(name), style)
            rate_axis(axes[row, column], label if column == 0 else "")
        axes[0, column].set_title(rf"$p_{{cot}}$ = {p_cot:g}", fontsize="medium")
        axes[1, column].set(xlabel="round", xlim=(0, rl["step"].max()))
        axes[1, column].locator_params(axis="x", nbins=3, integer=True)
    if len(kinds) > 1:
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(kinds))


def baselines(table: pd.DataFrame) -> None:
    """Training baselines round by round, and decoding baselines by samples for one prompt."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3), sharey=True, width_ratios=[1.3, 1])
    for name, color, line in (
        ("rl", BLUE, "-"),
        ("long only", ORANGE, "-"),
        ("reweighted", GREEN, "--"),
        ("continue", GREY, "-"),
    ):
        band(left, table[table["method"] == name], "size", "accuracy", color, "RL" if name == "rl" else name, line)
    left.set(xlabel="training steps after the start", xlim=(0, None))
    left.legend(fontsize="small", loc="lower right")
    rate_axis(left, "accuracy")
    for name, color in (("best of", PURPLE), ("majority", RED)):
        rows = table[table["method"] == name]
        right.plot(rows.groupby("size")["accuracy"].mean(), color=color, marker="o", ms=4, label=f"{name} N")
    forced = table[table["method"] == "forced"]["accuracy"]
    if len(forced):  # where long and short answers begin alike
        right.axhline(forced.mean(), color="black", ls="--", lw=1, label="forced to go on")
    right.set(xscale="log", xlabel="N, samples for a prompt")
    right.set_xticks(sorted(table.loc[table["method"] == "majority", "size"].unique()))
    right.get_xaxis().set_major_formatter("{x:g}")
    right.minorticks_off()
    right.legend(fontsize="small", loc="lower right")
