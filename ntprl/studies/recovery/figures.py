"""Figures of reinforcement learning, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, method_color, method_label, rate_axis


def recovery(table: pd.DataFrame, d: int, size: tuple[float, float] = (WIDTH, 4.4), chance: float | None = 0.5) -> None:
    """Accuracy and median greedy length through pre-training and then RL, d: of a long answer. One run, or bands."""
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
    longest = max(d, table["greedy_median_length"].max())  # an untrained model may write on
    axes[1, 0].set(ylabel="median length", ylim=(0, 1.08 * longest))
    axes[0, 0].set_title("next-token prediction", fontsize="medium")
    axes[0, 1].set_title("reinforcement learning", fontsize="medium")
    axes[0, 1].legend(loc="lower right", fontsize="small", handlelength=1)


def length_areas(length_share: np.ndarray, short: int, long: int) -> None:
    """Shares of sampled answers that are long, short, or of another length, stacked, round by round.

    length_share: (rounds + 1, L + 2), the share at each number of tokens before EOS; short, long: those of the task.
    """
    kinds = {
        f"{long} tokens": (length_share[:, long], ORANGE),
        "others": (1 - length_share[:, long] - length_share[:, short], GREY),
        f"{short} token{'' if short == 1 else 's'}": (length_share[:, short], BLUE),
    }
    fig, ax = plt.subplots(figsize=(WIDTH, 2.9))
    shares, colors = zip(*kinds.values(), strict=True)
    ax.stackplot(np.arange(len(length_share)), *shares, colors=colors, labels=list(kinds), alpha=0.85, lw=0)
    ax.set(xlabel="round", xlim=(0, len(length_share) - 1))
    ax.locator_params(axis="x", integer=True)
    rate_axis(ax, "share of sampled answers")
    ax.set_ylim(0, 1)
    ax.grid(False)
    fig.legend(loc="outside lower center", ncols=3, fontsize="small", handlelength=1)


def reweighting(rl: pd.DataFrame) -> None:
    """Share of long answers among the rewarded against that among all, beside 2p/(1 + p). One dot a round."""
    p = np.linspace(0, 1, 200)
    fig, ax = plt.subplots(figsize=(WIDTH, 2.9))
    ax.plot(p, theory.rewarded_long_share(p), color="black", ls="--", lw=1, label="2p/(1 + p)")
    ax.plot(p, p, color=GREY, ls=":", lw=1, label="p")
    dots = ax.scatter(rl["rollout_long"], rl["rewarded_long"], c=rl["step"], cmap="viridis_r", s=32, zorder=3)
    ax.set(xlabel="long among sampled, p", xlim=(-0.04, 1.04))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    rate_axis(ax, "long among rewarded")
    ax.legend(loc="lower right")
    fig.colorbar(dots, label="round", ticks=MaxNLocator(5, integer=True))


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
