"""The figures of the multiplication chapter, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import pandas as pd

from ntprl import theory
from ntprl.book.style import BLUE, GREY, PURPLE, RED, WIDTH, per_seed, rate_axis


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
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def thresholds(final: pd.DataFrame) -> None:
    """Share of prompts on which greedy goes on, against p_cot, and where p = m/(1 + m): marked left, bare right."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), sharey=True)
    for ax, marked in zip(axes, (True, False), strict=True):
        part = final[final["marked"] == marked]
        per_seed(ax, part, "greedy_long", BLUE, "greedy goes on")
        m = part["rival"] / (1 - part["p_cot"])
        predicted = part.assign(predicted=theory.threshold(m)).groupby("p_cot")["predicted"].mean()
        ax.plot(predicted, color=PURPLE, ls="--", lw=1.3, label="m/(1 + m), measured")
        ax.plot(predicted.index, predicted.index, color=GREY, ls=":", lw=1, label="p")
        ax.set_title("short answers marked" if marked else "bare answers", fontsize="medium")
        ax.set(xlabel=r"$p_{cot}$")
        rate_axis(ax, "" if not marked else "share")
    axes[0].legend(fontsize="small", loc="upper left")
