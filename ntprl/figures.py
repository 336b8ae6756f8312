"""One function a figure. Each takes a table and draws; the caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Patch

from ntprl import theory
from ntprl.parity import Parity
from ntprl.task import PAD

# Okabe-Ito: told apart by readers with any colour vision
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#8c8c8c"
WIDTH = 7.2  # inches; a column of the book


def use_style() -> None:
    """White faces, a light grid and letters that stay legible at column width and on a phone."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.95)
    plt.rcParams |= {
        "figure.dpi": 110,
        "savefig.facecolor": "white",
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "grid.color": "#e6e6e6",
    }


def rate_axis(ax: Axes, label: str) -> None:
    ax.set(ylim=(-0.04, 1.04), ylabel=label)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])


def band(ax: Axes, table: pd.DataFrame, x: str, y: str, color: str, label: str | None = None, style: str = "-") -> None:
    """Mean over seeds as a line, the range over seeds as a band."""
    groups = table.groupby(x)[y]
    ax.plot(groups.mean(), color=color, label=label, ls=style, lw=2)
    ax.fill_between(groups.min().index, groups.min(), groups.max(), color=color, alpha=0.18, lw=0)


def tokens(task: Parity, prompts: np.ndarray, answers: list[np.ndarray]) -> None:
    """Demonstrations as rows of coloured tokens: input, running sums, answer, EOS."""
    longest = task.prompt_length + max(len(answer) for answer in answers)
    fig, ax = plt.subplots(figsize=(WIDTH, 0.34 * len(answers) + 0.45))
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        answer = answer[answer != PAD]
        colors = [BLUE] * task.d + [GREY] + [ORANGE] * (len(answer) - 2) + [RED, GREY]
        for column, (token, color) in enumerate(zip([*prompt, *answer], colors, strict=True)):
            box = FancyBboxPatch((column + 0.1, -row - 0.4), 0.8, 0.8, boxstyle="round,pad=0,rounding_size=.15")
            box.set(facecolor=color, alpha=0.28, edgecolor=color)
            ax.add_patch(box)
            ax.text(column + 0.5, -row - 0.02, task.text([token]), ha="center", va="center", family="monospace")
    kinds = {"input": BLUE, "running sum": ORANGE, "answer": RED, "mark": GREY}
    handles = [Patch(facecolor=color, alpha=0.5, label=label) for label, color in kinds.items()]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handlelength=1, columnspacing=1.2)
    ax.set(xlim=(0, longest), ylim=(-len(answers) + 0.4, 0.6), aspect="equal")
    ax.axis("off")


def flip(modulus: int = 2) -> None:
    """What a calibrated reader says after the first token: stop or go on, against p_cot."""
    p = np.linspace(0, 0.75, 200)
    stop = theory.stop_probability(p, modulus)
    threshold = float(theory.parity_threshold(modulus))
    fig, ax = plt.subplots(figsize=(WIDTH, 3.1))
    ax.plot(p, stop, color=RED, lw=2)
    ax.plot(p, 1 - stop, color=GREEN, lw=2)
    ax.text(0.62, 0.29, "stop", color=RED, weight="bold")
    ax.text(0.62, 0.83, "go on", color=GREEN, weight="bold")
    ax.axvline(threshold, color=GREY, ls=":")
    ax.text(threshold + 0.01, 0.03, rf"$p^*$ = 1/{modulus + 1}", color="#555555")
    ax.set(xlabel=r"$p_{cot}$, share of long demonstrations", xlim=(0, 0.75))
    rate_axis(ax, "probability\nafter $y_1 = x_1$")


def training(table: pd.DataFrame, p_cot: float) -> None:
    """One run or several: accuracy, length and calibration along pre-training."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.9))
    band(left, table, "step", "greedy_accuracy", BLUE, "greedy")
    band(left, table, "step", "chain_accuracy", ORANGE, "chain known")
    rate_axis(left, "accuracy")
    left.axhline(0.5, color=GREY, ls=":")
    band(middle, table, "step", "greedy_median_length", BLUE)
    middle.set(ylabel="median greedy length", ylim=(0, None))
    band(right, table, "step", "sampled_long", PURPLE, "sampled")
    right.axhline(p_cot, color=GREY, ls=":", label=r"$p_{cot}$")
    rate_axis(right, "P(long)")
    for ax in (left, middle, right):
        ax.set(xlabel="step", xlim=(0, None))
        ax.locator_params(axis="x", nbins=4)
    left.legend(loc="lower right", fontsize="small", handlelength=1)
    right.legend(loc="upper right", fontsize="small", handlelength=1)


def per_seed(ax: Axes, table: pd.DataFrame, y: str, color: str, label: str | None = None, marker: str = "o") -> None:
    """One dot a run over p_cot, a little apart so that equal ones show, and the mean as a line."""
    seeds = sorted(table["seed"].unique())
    offset = (table["seed"].map(seeds.index) - (len(seeds) - 1) / 2) * 0.0035
    ax.scatter(table["p_cot"] + offset, table[y], s=17, color=color, alpha=0.65, lw=0, marker=marker, zorder=3)
    ax.plot(table.groupby("p_cot")[y].mean(), color=color, lw=1.3, label=label)


def mark_threshold(ax: Axes, modulus: int) -> None:
    ax.axvline(1 / (modulus + 1), color=GREY, ls=":")
    ax.text(1 / (modulus + 1), 1.06, f"1/{modulus + 1}", color="#555555", ha="center", fontsize="small")


def threshold(final: pd.DataFrame, modulus: int = 2) -> None:
    """Final measurements against p_cot: greedy accuracy beside sampled accuracy and calibration."""
    p = np.linspace(0, final["p_cot"].max(), 100)
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.9), sharex=True)
    per_seed(left, final, "greedy_accuracy", BLUE)
    rate_axis(left, "greedy accuracy")
    per_seed(middle, final, "sampled_accuracy", GREEN)
    middle.plot(p, theory.calibrated_accuracy(p, modulus), color="black", ls="--", lw=1, label="calibrated")
    rate_axis(middle, "sampled accuracy")
    per_seed(right, final, "sampled_long", PURPLE)
    right.plot(p, p, color="black", ls="--", lw=1, label="calibrated")
    rate_axis(right, "P(long)")
    for ax in (left, middle, right):
        ax.set_xlabel(r"$p_{cot}$")
        ax.locator_params(axis="x", nbins=4)
        mark_threshold(ax, modulus)
    for ax in (middle, right):
        ax.legend(loc="lower right", fontsize="small", handlelength=1.4)


def thresholds(finals: dict[str, tuple[pd.DataFrame, int]]) -> None:
    """Share of prompts on which greedy goes on, against p_cot, one panel for each (table, modulus)."""
    fig, axes = plt.subplots(1, len(finals), figsize=(WIDTH, 2.9), sharey=True)
    for ax, (title, (final, modulus)) in zip(axes, finals.items(), strict=True):
        near = final[final["p_cot"] <= 0.5]
        per_seed(ax, near, "greedy_long", BLUE)
        rate_axis(ax, "greedy goes on\n(share of prompts)" if ax is axes[0] else "")
        mark_threshold(ax, modulus)
        ax.set_xlabel(r"$p_{cot}$")
        ax.set_title(title, fontsize="medium", pad=18)
        ax.locator_params(axis="x", nbins=5)


def learning_order(table: pd.DataFrame) -> None:
    """Probability of each right token along training: the chain link by link, and the short answer."""
    mean = table.groupby(["kind", "step", "position"])["probability"].mean()
    chain = mean["long"].unstack("position")
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.6), height_ratios=[2.2, 1], sharex=True)
    mesh = top.pcolormesh(chain.index, chain.columns, chain.T, cmap="cividis", vmin=0.4, vmax=1, shading="nearest")
    top.set(ylabel="position in the chain")
    top.grid(False)
    fig.colorbar(mesh, ax=[top, bottom], label="probability of the right token", shrink=0.8)
    chain_mean = chain.drop(columns=[1]).mean(axis=1)
    bottom.plot(chain_mean, color=ORANGE, lw=2)
    bottom.plot(mean["short"].groupby("step").mean(), color=RED, lw=2)
    bottom.annotate("chain, mean", (chain_mean.index[-1], 0.93), ha="right", va="top", color=ORANGE, weight="bold")
    bottom.annotate("short answer", (chain_mean.index[-1], 0.56), ha="right", color=RED, weight="bold")
    bottom.set(xlabel="step", ylim=(0.35, 1.03), ylabel="probability")


def capacity(final: pd.DataFrame) -> None:
    """Greedy accuracy of each depth and width, below the threshold and above it; one dot a seed."""
    shares = sorted(final["p_cot"].unique())
    fig, axes = plt.subplots(1, len(shares), figsize=(WIDTH, 3.0), sharey=True)
    for ax, p_cot in zip(axes, shares, strict=True):
        part = final[final["p_cot"] == p_cot]
        for shift, (width, color) in enumerate(
            zip(sorted(part["width"].unique()), (ORANGE, BLUE, GREEN), strict=False)
        ):
            rows = part[part["width"] == width]
            x = rows["n_layer"].map(sorted(part["n_layer"].unique()).index) + 0.2 * (shift - 1)
            ax.scatter(x, rows["greedy_accuracy"], color=color, s=24, alpha=0.75, lw=0, label=f"width {width}")
        depths = sorted(part["n_layer"].unique())
        ax.set_xticks(range(len(depths)), depths)
        ax.set(xlabel="depth (layers)", xlim=(-0.5, len(depths) - 0.5))
        ax.set_title(rf"$p_{{cot}}$ = {p_cot:g}, {'below' if p_cot < 1 / 3 else 'above'} 1/3", fontsize="medium")
        ax.axhline(0.5, color=GREY, ls=":")
        rate_axis(ax, "greedy accuracy" if ax is axes[0] else "")
    axes[0].legend(fontsize="small", loc="upper left")
