"""Figures of pre-training and its threshold, one function each, for `show` of ntprl/book/figure.py."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, mark_threshold, per_seed, rate_axis
from ntprl.book.verdict import AT_CHANCE

INK = "#555555"


def _lines(ax: Axes, table: pd.DataFrame, y: str, color: str, label: str | None = None) -> None:
    """One line a run; no mean, which would be a length or an accuracy that no run has."""
    runs = [run for _, run in table.groupby("run")] if "run" in table else [table]
    for i, run in enumerate(runs):
        look = dict(lw=2) if len(runs) == 1 else dict(lw=1.1, alpha=0.75)
        ax.plot(run["step"], run[y], color=color, label=None if i else label, **look)


def _coin_flip(ax: Axes, x: float | None = None) -> None:
    """Shade what counts as at chance; with x, say so there."""
    ax.axhspan(0.5 - AT_CHANCE, 0.5 + AT_CHANCE, color=GREY, alpha=0.22, lw=0)
    if x is not None:
        ax.text(x, 0.5 - AT_CHANCE - 0.025, "coin flip", color=INK, ha="right", va="top", fontsize="small")


def training(table: pd.DataFrame, p_cot: float) -> None:
    """One run or several: accuracy, length and calibration along pre-training."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.9))
    last = table["step"].max()
    _lines(left, table, "chain_accuracy", ORANGE, "chain known")
    _lines(left, table, "greedy_accuracy", BLUE, "greedy answer")
    rate_axis(left, "accuracy")
    _coin_flip(left, 0.98 * last)
    _lines(middle, table, "greedy_median_length", BLUE)
    middle.set(ylabel="median greedy length", ylim=(0, max(4, 1.06 * table["greedy_median_length"].max())))
    _lines(right, table, "sampled_long", PURPLE)
    right.axhline(p_cot, color="black", ls="--", lw=1)
    right.text(last, p_cot + 0.03, r"$p_{cot}$", ha="right")
    rate_axis(right, "long among sampled")
    for ax in (left, middle, right):
        ax.set(xlabel="step", xlim=(0, last))
        ax.locator_params(axis="x", nbins=3)
    handles = left.get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower left", ncols=2, fontsize="small", handlelength=1)


def threshold(final: pd.DataFrame, modulus: int = 2) -> None:
    """Final measurements against p_cot: greedy accuracy, the switch near the threshold run by run, and calibration."""
    p, star = np.linspace(0, final["p_cot"].max(), 400), float(theory.parity_threshold(modulus))
    fig, ((whole, near), (sampled, long)) = plt.subplots(2, 2, figsize=(WIDTH, 5.2))
    dashed = dict(color="black", ls="--", lw=1)
    per_seed(whole, final, "greedy_accuracy", BLUE)
    whole.plot(p, np.where(p > star, 1, 1 / modulus), **dashed)
    rate_axis(whole, "greedy accuracy")
    close = final[(final["p_cot"] - star).abs() < 0.1]
    for _, run in close.groupby("seed"):
        near.plot(run["p_cot"], run["greedy_long"], color=BLUE, lw=1, marker="o", ms=4, alpha=0.75)
    near.plot(p, p > star, **dashed)
    near.set_xlim(close["p_cot"].min() - 0.005, close["p_cot"].max() + 0.005)
    rate_axis(near, "greedy answer is long")
    per_seed(sampled, final, "sampled_accuracy", GREEN)
    sampled.plot(p, theory.calibrated_accuracy(p, modulus), **dashed)
    rate_axis(sampled, "sampled accuracy")
    per_seed(long, final, "sampled_long", PURPLE)
    long.plot(p, p, **dashed)
    rate_axis(long, "long among sampled")
    if modulus == 2:
        _coin_flip(whole, final["p_cot"].max())
    for ax in (whole, near, sampled, long):
        ax.set_xlabel(r"$p_{cot}$" + (", near the threshold" if ax is near else ""))
        ax.locator_params(axis="x", nbins=4)
        mark_threshold(ax, modulus)


def learning_order(table: pd.DataFrame) -> None:
    """Probability of each right token along training: the chain link by link, and the short answer."""
    mean = table.groupby(["kind", "step", "position"])["probability"].mean()
    chain = mean["long"].unstack("position")
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.2), height_ratios=[2, 1], sharex=True)
    mesh = top.pcolormesh(chain.index, chain.columns, chain.T, cmap="cividis", vmin=0.4, vmax=1, shading="nearest")
    top.set(ylabel="link of the chain")
    top.grid(False)
    fig.colorbar(mesh, ax=[top, bottom], label="probability of the right token", shrink=0.8)
    chain_mean = chain.drop(columns=[1]).mean(axis=1)
    bottom.plot(chain_mean, color=ORANGE, lw=2)
    bottom.plot(mean["short"].groupby("step").mean(), color=BLUE, lw=2)
    bottom.annotate("links, mean", (chain_mean.index[-1], 0.93), ha="right", va="top", color=ORANGE, weight="bold")
    bottom.annotate("short answer", (chain_mean.index[-1], 0.56), ha="right", color=BLUE, weight="bold")
    bottom.set(xlabel="step", ylim=(0.35, 1.03), ylabel="probability")


def capacity(final: pd.DataFrame) -> None:
    """Greedy accuracy of each depth and width, below the threshold and above it; one dot a seed."""
    shares, depths = sorted(final["p_cot"].unique()), sorted(final["n_layer"].unique())
    fig, axes = plt.subplots(1, len(shares), figsize=(WIDTH, 3.0), sharey=True)
    for ax, p_cot in zip(axes, shares, strict=True):
        part = final[final["p_cot"] == p_cot]
        widths = sorted(part["width"].unique())
        for shift, (width, color) in enumerate(zip(widths, (ORANGE, BLUE, RED), strict=False)):
            rows = part[part["width"] == width]
            seeds = rows["seed"].map(sorted(rows["seed"].unique()).index)
            x = rows["n_layer"].map(depths.index) + 0.24 * (shift - 1) + 0.06 * (seeds - 1)
            ax.scatter(x, rows["greedy_accuracy"], color=color, s=22, lw=0, label=f"width {width}", zorder=3)
        ax.set_xticks(range(len(depths)), depths)
        ax.set(xlabel="depth (layers)", xlim=(-0.5, len(depths) - 0.5))
        ax.set_title(rf"$p_{{cot}}$ = {p_cot:g}, {'below' if p_cot < 1 / 3 else 'above'} 1/3", fontsize="medium")
        rate_axis(ax, "greedy accuracy" if ax is axes[0] else "")
        _coin_flip(ax, len(depths) - 0.55)
    axes[0].legend(fontsize="small", loc="upper left", handletextpad=0.1)
