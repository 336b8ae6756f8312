"""Figures of pre-training and its threshold, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, mark_threshold, per_seed, rate_axis


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
