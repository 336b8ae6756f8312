"""The figures of the multiplication chapter, one function each. The caller ends its cell with `show`."""

import matplotlib.pyplot as plt
import pandas as pd

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, per_seed, rate_axis
from ntprl.measure import crossing
from ntprl.studies.multiplication.claims import predicted_crossing

DIGIT_COLORS = {2: ORANGE, 3: BLUE, 4: GREEN}


def law(runs: pd.DataFrame) -> None:
    """Change of greedy accuracy through RL against what long answers earn more than short ones at the start.

    `runs` is of `claims.earnings`, one dot a run: filled if O7 counts it, hollow where the two rewards are not told
    apart. Runs that start too near 1 to rise are left out.
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    runs = runs[runs["could_rise"]]
    x = runs["long_reward"].fillna(0) - runs["short_reward"].fillna(0)
    y, counted = runs["after"] - runs["before"], runs["earns_more"] != ""
    for k, color in DIGIT_COLORS.items():
        for is_counted, face, label in ((False, "none", None), (True, color, f"{k} digits")):
            rows = (runs["k"] == k) & (counted == is_counted)
            ax.scatter(x[rows], y[rows], s=40, facecolors=face, edgecolors=color, alpha=0.85, label=label, zorder=3)
    ax.axhline(0, color="black", lw=0.9)
    ax.axvline(0, color="black", lw=0.9)
    ax.set(xlabel="long answers earn more by", ylabel="RL changes accuracy by", xlim=(-0.65, 1.05), ylim=(-0.5, 1))
    for spot, words in (((0.97, 0.05), "against the law"), ((0.03, 0.93), "against the law")):
        ax.annotate(words, spot, xycoords="axes fraction", ha="right" if spot[0] > 0.5 else "left", color="#555555")
    ax.legend(loc="upper left", bbox_to_anchor=(0.02, 0.88), handletextpad=0.2)


def digits(table: pd.DataFrame) -> None:
    """Accuracy of each digit of the product at the end of training, short answers beside long ones."""
    last = table[table["step"] == table["step"].max()]
    fig, ax = plt.subplots(figsize=(WIDTH, 3.0))
    for shift, (kind, color) in enumerate((("long", BLUE), ("short", RED))):
        part = last[last["kind"] == kind]
        places = part.groupby("place")["accuracy"]
        ax.bar(
            places.mean().index + 0.4 * (shift - 0.5), places.mean(), width=0.36, color=color, alpha=0.75, label=kind
        )
        ax.scatter(part["place"] + 0.4 * (shift - 0.5), part["accuracy"], color="black", s=9, zorder=3)
    ax.axhline(0.1, color=GREY, ls=":")
    ax.set_xticks(sorted(last["place"].unique()), [f"$10^{place}$" for place in sorted(last["place"].unique())])
    ax.set(xlabel="digit of the product", xlim=(last["place"].max() + 0.6, -0.6))  # as numbers are read
    rate_axis(ax, "right")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="answers")


def thresholds(final: pd.DataFrame) -> None:
    """Share of prompts on which greedy goes on, against p_cot, with the predicted and the measured threshold.

    Marked left, bare right; the inset shows where the prediction comes from, p = m/(1 + m).
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4), sharey=True)
    for ax, marked in zip(axes, (True, False), strict=True):
        part = final[final["marked"] == marked]
        measured, (low, high) = crossing(part, "greedy_long")
        predicted = 0.5 if marked else predicted_crossing(part)
        ax.axvspan(low, high, color=BLUE, alpha=0.13, lw=0)
        ax.axvline(measured, color=BLUE, lw=1.3, label="measured, with its interval")
        ax.axvline(predicted, color=PURPLE, ls="--", lw=1.8, label="predicted")
        per_seed(ax, part, "greedy_long", RED, "greedy goes on")
        ax.set_title("short answers marked" if marked else "bare answers", fontsize="medium")
        ax.set(xlabel=r"$p_{cot}$", xlim=(part["p_cot"].min() - 0.02, part["p_cot"].max() + 0.02))
        rate_axis(ax, "share" if marked else "")
    _derivation(axes[1].inset_axes((0.63, 0.13, 0.36, 0.4)), part, predicted)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=1.4)


def _derivation(ax: plt.Axes, part: pd.DataFrame, predicted: float) -> None:
    p_star = theory.threshold(part["rival"] / (1 - part["p_cot"])).groupby(part["p_cot"]).mean()
    ax.plot(p_star, color=PURPLE, lw=1.3)
    ax.plot(p_star.index, p_star.index, color=GREY, lw=1)
    ax.plot([predicted], [predicted], "o", color=PURPLE, ms=4)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.text(p_star.index[0], p_star.iloc[0] + 0.03, "m/(1 + m)", color=PURPLE, fontsize="x-small")
    ax.text(p_star.index[-1], p_star.index[-1] - 0.12, "p", color=GREY, fontsize="x-small", ha="right", va="top")
