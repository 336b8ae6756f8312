"""Figures of what goes beyond the paper, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, mark_threshold, per_seed, rate_axis
from ntprl.studies.one_rule import predictions, runs

DECODING_COLORS = {"stop first": PURPLE, "likeliest token": ORANGE}
REWARD_COLORS = {"chain": RED, "end-to-end": BLUE, "process": GREEN}


def _dots(ax: Axes, found: pd.DataFrame, x: str, color: str, label: str | None = None) -> None:
    """Means with their intervals."""
    around = (found["measured"] - found["low"], found["high"] - found["measured"])
    ax.errorbar(found[x], found["measured"], yerr=around, fmt="o", ms=4.5, lw=1.3, color=color, label=label, zorder=3)


def noise(thresholds: pd.DataFrame, star: pd.DataFrame) -> None:
    """Noisy links: where greedy decoding flips, the odds of long after a round of STaR, the noise left in chains."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 3.5))
    for name, rows in thresholds.groupby("decoding", sort=False):
        _dots(left, runs.means(rows, ["eta"], "flip"), "eta", DECODING_COLORS[name], name)
        left.plot(rows.groupby("eta")["predicted"].first(), color=DECODING_COLORS[name], ls="--", lw=1)
    eta = np.linspace(star["eta"].min(), star["eta"].max(), 50)
    for name, rows in star.groupby("reward", sort=False):
        for ax, column, rule in (
            (middle, "factor", predictions.noise_factor),
            (right, "noise", predictions.noise_left),
        ):
            found = runs.means(rows, ["eta"], column, f"predicted_{column}")
            _dots(ax, found, "eta", REWARD_COLORS[name], f"{name} reward" if ax is middle else None)
            ax.plot(eta, rule(eta, runs.D, name), color=REWARD_COLORS[name], ls="--", lw=1)
    middle.axhline(1, color=GREY, ls=":")
    right.plot(eta, eta, color=GREY, ls=":")
    left.set(title="threshold", ylim=(0.28, 0.48), xlim=(-0.02, 0.42))
    left.set_yticks([0.3, 0.35, 0.4, 0.45], [".3", ".35", ".4", ".45"])
    middle.set_yticks([0, 0.5, 1, 1.5, 2], ["0", ".5", "1", "1.5", "2"])
    right.set_yticks([0, 0.1, 0.2, 0.3], ["0", ".1", ".2", ".3"])
    middle.set(title="odds of long, times", ylim=(0, 2.05))
    right.set(title="noise left", ylim=(-0.015, 0.32))
    for ax in (left, middle, right):
        ax.set_xlabel(r"noise $\eta$")
        ax.title.set_fontsize("medium")
        ax.locator_params(axis="x", nbins=4)
    handles = [*left.get_legend_handles_labels()[0], *middle.get_legend_handles_labels()[0]]
    fig.legend(
        handles=handles, loc="outside lower center", ncols=5, fontsize="small", handletextpad=0, columnspacing=0.8
    )


def three_lengths(plane: pd.DataFrame) -> None:
    """What greedy decoding writes for each mu and f, and the predicted lines; mixtures of colours are shares."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6), sharey=True)
    outcomes = {"one token": RED, "as far as cut chains": ORANGE, "the whole chain": BLUE}
    for ax, (checks, rows) in zip(axes, plane.groupby("checks", sort=False), strict=True):
        shares = (rows["at_once"], 1 - rows["at_once"] - rows["full"], rows["full"])
        rgb = sum(
            np.outer(part.clip(0, 1), to_rgb(color)) for part, color in zip(shares, outcomes.values(), strict=True)
        )
        ax.scatter(rows["mu"], rows["f"], c=np.clip(rgb, 0, 1), s=62, marker="s", lw=0)
        mu = np.linspace(-0.03, 0.63, 300)
        line = np.array([predictions.share(predictions.three_lengths_odds(m, bool(checks))) for m in mu])
        ax.plot(mu, line, color="black", lw=1.5)
        ax.set(title="links checked" if checks else "links not checked", xlabel=r"$\mu$, share of cut among the rest")
        ax.title.set_fontsize("medium")
        ax.set(xlim=(-0.03, 0.63), ylim=(0.01, 0.47))
        ax.grid(False)
    axes[0].set_ylabel("f, share of full chains")
    handles = [plt.Line2D([], [], marker="s", ls="", color=color, label=name) for name, color in outcomes.items()]
    handles.append(plt.Line2D([], [], color="black", label="predicted"))
    fig.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize="small", handletextpad=0.3, columnspacing=1
    )


def length_cost(table: pd.DataFrame) -> None:
    """P(long) round by round, one panel for each start of the cost of length; bands are the range over seeds."""
    colors = dict(zip(sorted(table["cost"].unique()), (GREEN, PURPLE, RED), strict=True))
    fig, axes = plt.subplots(1, table["start"].nunique(), figsize=(WIDTH, 3.3), sharey=True)
    for ax, (start, rows) in zip(axes, table.groupby("start"), strict=True):
        for cost, part in rows.groupby("cost"):
            band(ax, part, "round", "long", colors[cost], rf"cost 1/{1 / cost:.0f}")
            ax.plot(part.groupby("round")["predicted"].first(), color="black", ls="--", lw=1)
        ax.axhline(1 / 3, color=GREY, ls=":")
        if start:
            ax.axvline(start, color=GREY, lw=1)
        rate_axis(ax, "P(long)" if ax is axes[0] else "")
        ax.set(xlabel="round")
        ax.set_title("cost from the start" if start == 0 else f"cost after round {start}", fontsize="medium")
        ax.locator_params(axis="x", integer=True)
    handles = [*axes[0].get_legend_handles_labels()[0], plt.Line2D([], [], color="black", ls="--", label="predicted")]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small", handlelength=1.3)


def thresholds(found: pd.DataFrame) -> None:
    """Each threshold on a line of its own: the prediction as a bar, the measurement as a dot with its interval."""
    fig, ax = plt.subplots(figsize=(WIDTH, 0.36 * len(found) + 0.9))
    rows = np.arange(len(found))[::-1]
    is_recorded = found["case"].str.contains("transformer").to_numpy()
    ax.scatter(found["predicted"], rows, marker="|", s=330, lw=1.5, color="black", label="predicted")
    for mask, color, label in ((~is_recorded, BLUE, "linear chain"), (is_recorded, ORANGE, "transformer, recorded")):
        part = found[mask]
        around = (part["measured"] - part["low"], part["high"] - part["measured"])
        ax.errorbar(part["measured"], rows[mask], xerr=around, fmt="o", ms=4, lw=2, color=color, label=label)
    ax.grid(axis="y", visible=False)
    ax.set_yticks(rows, found["case"].str.removesuffix(", transformer"))
    ax.set(xlim=(0, 0.6), ylim=(-0.6, len(found) - 0.4), xlabel="share of long demonstrations at which greedy goes on")
    fig.legend(loc="outside upper center", ncols=3, fontsize="small", handletextpad=0.3)


def moduli(finals: dict[str, tuple[pd.DataFrame, int]]) -> None:
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
