"""The figures of parity in words. The caller ends its cell with `show`."""

import matplotlib.pyplot as plt
import pandas as pd

from ntprl.book.style import BLUE, GREY, ORANGE, WIDTH, rate_axis


def switches(tables: dict[str, tuple[pd.DataFrame, float]]) -> None:
    """Share of long greedy answers by p_cot after fine-tuning, a line for each seed: name -> (table, threshold)."""
    fig, ax = plt.subplots(figsize=(0.7 * WIDTH, 3.2))
    for (name, (table, threshold)), color in zip(tables.items(), (BLUE, ORANGE), strict=True):
        for seed, rows in table.sort_values("p_cot").groupby("seed"):
            label = name if seed == table["seed"].min() else None
            ax.plot(rows["p_cot"], rows["greedy_long"], color=color, marker="o", ms=4, label=label)
        ax.axvline(threshold, color=color, ls="--", lw=1)
    ax.axhline(0.5, color=GREY, ls=":", lw=1)
    ax.set(xlabel=r"$p_{cot}$", xlim=(0, 0.7))
    rate_axis(ax, "long greedy answers")
    ax.legend(loc="upper left", fontsize="small")
