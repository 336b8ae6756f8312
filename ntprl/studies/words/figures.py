"""The figures of the Llama chapter. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import pandas as pd

from ntprl.book.style import BLUE, GREEN, ORANGE, WIDTH, band, rate_axis


def compared(tables: dict[str, pd.DataFrame]) -> None:
    """Greedy accuracy and P(long) through RL of one to three kinds of run, by their names; ValueError for more."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), sharex=True, sharey=True)
    styles = ((BLUE, "-"), (ORANGE, "--"), (GREEN, ":"))
    for (name, table), (color, style) in zip(tables.items(), styles[: len(tables)], strict=True):
        table = table[table["greedy_accuracy"].notna()]
        for ax, column in zip(axes, ("greedy_accuracy", "long_probability"), strict=True):
            band(ax, table, "step", column, color, name, style)
    for ax, title in zip(axes, ("greedy accuracy", "P(long)"), strict=True):
        rate_axis(ax, "")
        ax.set_title(title, fontsize="medium")
        ax.set(xlabel="round", xlim=(0, max(table["step"].max() for table in tables.values())))
        ax.locator_params(axis="x", integer=True)
    axes[1].legend(loc="lower right", fontsize="small")
