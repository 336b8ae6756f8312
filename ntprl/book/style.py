"""The look of all figures: palette, width, and what several of them draw alike."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ntprl.weightings import ALGORITHMS

# Okabe-Ito: told apart by readers with any colour vision
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#8c8c8c"
WIDTH = 7.2  # inches; a column of the book
OF_METHODS = (GREEN, ORANGE, BLUE, PURPLE, RED, GREY)  # in the order of ALGORITHMS, then again from the first


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


def method_color(name: str) -> str:
    """The colour of an algorithm of `weightings`, the same in every figure."""
    return OF_METHODS[list(ALGORITHMS).index(name) % len(OF_METHODS)]


def method_label(name: str) -> str:
    return ALGORITHMS[name].label or name


def rate_axis(ax: Axes, label: str) -> None:
    ax.set(ylim=(-0.04, 1.04), ylabel=label)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])


def band(ax: Axes, table: pd.DataFrame, x: str, y: str, color: str, label: str | None = None, style: str = "-") -> None:
    """Mean over seeds as a line, the range over seeds as a band."""
    groups = table.groupby(x)[y]
    ax.plot(groups.mean(), color=color, label=label, ls=style, lw=2)
    ax.fill_between(groups.min().index, groups.min(), groups.max(), color=color, alpha=0.18, lw=0)


def per_seed(ax: Axes, table: pd.DataFrame, y: str, color: str, label: str | None = None, marker: str = "o") -> None:
    """One dot a run over p_cot, a little apart so that equal ones show, and the mean as a line."""
    seeds = sorted(table["seed"].unique())
    offset = (table["seed"].map(seeds.index) - (len(seeds) - 1) / 2) * 0.0035
    ax.scatter(table["p_cot"] + offset, table[y], s=17, color=color, alpha=0.65, lw=0, marker=marker, zorder=3)
    ax.plot(table.groupby("p_cot")[y].mean(), color=color, lw=1.3, label=label)


def mark_threshold(ax: Axes, modulus: int) -> None:
    ax.axvline(1 / (modulus + 1), color=GREY, ls=":")
    ax.text(1 / (modulus + 1), 1.06, f"1/{modulus + 1}", color="#555555", ha="center", fontsize="small")
