"""Figures of how far reinforcement learning reaches, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, band, method_color, method_label, rate_axis
from ntprl.book.verdict import RECOVERED
from ntprl.studies.limits.readings import OWN, PAPER_ALGORITHMS, UNIT, is_hollow
from ntprl.weightings import ALGORITHMS

TEMPERATURE_COLORS = {0.75: BLUE, 1.0: GREEN, 1.5: RED}
DENOMINATORS = ("grpo", "grpo_published")
REWARD_NAMES = {"r_e2e": "end-to-end reward", "r_cot": "chain reward"}


def algorithms(rl: pd.DataFrame, y: str = "greedy_accuracy") -> None:
    """One panel for each reward and algorithm, one colour for each temperature: mean and range over seeds."""
    names = [name for name in ALGORITHMS if name in set(rl["algorithm"])]
    rewards = sorted(rl["reward"].unique(), reverse=True)
    fig, axes = plt.subplots(
        len(rewards), len(names), figsize=(WIDTH, 1.6 * len(rewards) + 0.5), sharex=True, sharey=True, squeeze=False
    )
    for row, reward in enumerate(rewards):
        for column, name in enumerate(names):
            ax = axes[row, column]
            cell = rl[(rl["algorithm"] == name) & (rl["reward"] == reward)]
            for tau, part in cell.groupby("temperature"):
                band(ax, part, "step", y, TEMPERATURE_COLORS[tau], f"{tau:g}")
            rate_axis(ax, REWARD_NAMES[reward].replace(" ", "\n") if column == 0 else "")
            ax.axhline(0.5, color=GREY, ls=":")
            if row == 0:
                ax.set_title(method_label(name), fontsize="medium")
    for ax in axes[-1]:
        ax.set(xlabel="round", xlim=(0, rl["step"].max()))
        ax.locator_params(axis="x", nbins=4, integer=True)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, title="temperature", loc="outside lower center", ncols=3, handlelength=1)


def takeoff(rounds: pd.DataFrame, ax: Axes | None = None) -> None:
    """Rounds until half of all prompts get the long answer, against log2((1 - p)/(2p)). One dot a run.

    `rounds` has one row a run: p_cot, algorithm, seed, takeoff (NaN: never within the run). In a figure of its own
    where no panel is given.
    """
    ax = plt.subplots(figsize=(WIDTH, 2.8))[1] if ax is None else ax
    for shift, (name, part) in enumerate(rounds.groupby("algorithm")):
        x = np.log2((1 - part["p_cot"]) / (2 * part["p_cot"]))
        color = method_color(name)
        ax.scatter(x + 0.07 * (shift - 1), part["takeoff"], color=color, s=22, alpha=0.75, lw=0, zorder=3)
        ax.plot(part.assign(x=x).groupby("x")["takeoff"].mean(), color=color, lw=1.3, label=method_label(name))
    shares = sorted(rounds["p_cot"].unique())
    line = np.log2([(1 - p) / (2 * p) for p in shares])
    ax.plot(line, [theory.rounds_to_flip(p) for p in shares], color="black", ls="--", lw=1, label="recursion")
    ax.set_xticks(line, [f"{p:g}".lstrip("0") for p in shares])
    ax.set(xlabel=r"$p_{cot}$", ylim=(0, None))


def loose_links(rl: pd.DataFrame) -> None:
    """Mean probability of a wrong link at temperature 1, by round, means over seeds: after rounds sampled hot, and with
    both denominators of GRPO. Solid, end-to-end reward; dashed, chain reward.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9), sharey=True)
    panels = (("sampled at temperature 1.5", 1.5, PAPER_ALGORITHMS), ("GRPO, temperature 1", 1.0, DENOMINATORS))
    for ax, (title, tau, names) in zip(axes, panels, strict=True):
        for name in names:
            for reward, style in (("r_e2e", "-"), ("r_cot", "--")):
                part = rl[(rl["temperature"] == tau) & (rl["algorithm"] == name) & (rl["reward"] == reward)]
                label = method_label(name) if reward == "r_e2e" else None
                mean = part.groupby("step")["link_error"].mean()
                ax.plot(mean, color=method_color(name), ls=style, lw=2, label=label)
        ax.set(yscale="log", xlabel="round", xlim=(0, rl["step"].max()))
        ax.locator_params(axis="x", nbins=5, integer=True)
        ax.set_title(title, fontsize="medium")
    axes[0].set_ylabel("probability of\na wrong link")
    found = {}
    for ax in axes:
        found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=2, fontsize="small", handlelength=1)


def start_plane(before: pd.DataFrame, last: pd.DataFrame) -> None:
    """Greedy accuracy after RL against the share of chains that the start knows: one dot a run, filled if its greedy
    answers are long in the end, and red if they are long and no better than a guess. One row a run in both tables.
    """
    runs = before.set_index("run")[["chain_accuracy"]].join(last.set_index("run")[["greedy_accuracy", "greedy_long"]])
    hollow, long = is_hollow(runs), runs["greedy_long"] > 0.5
    fig, ax = plt.subplots(figsize=(WIDTH, 3.0))
    ax.axhspan(0.4, 0.6, color=RED, alpha=0.1, lw=0)
    ax.text(0.76, 0.62, "long and wrong, if filled", color=RED, ha="center", fontsize="small")
    ax.axhline(0.5, color=GREY, ls=":")
    groups = (
        (~long, "none", BLUE, "short"),
        (long & ~hollow, BLUE, BLUE, "long"),
        (hollow, RED, RED, "long and wrong"),
    )
    for which, face, edge, label in groups:
        part = runs[which]
        style = dict(facecolor=face, edgecolor=edge, s=48, lw=1.4, alpha=0.85, label=label, zorder=3)
        ax.scatter(part["chain_accuracy"], part["greedy_accuracy"], **style)
    ax.set(xlabel="chains that the start knows", xlim=(-0.04, 1.04))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    rate_axis(ax, "greedy accuracy after RL")
    ax.set_ylim(0.36, 1.04)
    fig.legend(loc="outside lower center", ncols=3, fontsize="small", handletextpad=0.2)


def unknown_links(start: pd.DataFrame, end: pd.DataFrame) -> None:
    """What a long answer earns before RL, against how many links the start lacks, for both rewards; one dot a run,
    filled if RL rescued it. Dashes: 1/2 and 2^-k. `start` and `end` have one row a run, by run.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9), sharex=True, sharey=True)
    rescued = end["greedy_accuracy"] > RECOVERED
    for ax, (reward, title) in zip(axes, REWARD_NAMES.items(), strict=True):
        part = start[start["reward"] == reward]
        k = np.arange(part["unknown_links"].max() + 1)
        earned = [float(theory.half_known_rewards(int(each))[reward == "r_cot"]) for each in k]
        ax.plot(k, earned, color="black", ls="--", lw=1)
        for good, label in ((True, "rescued by RL"), (False, "not rescued")):
            rows = part[rescued.loc[part.index] == good]
            shift = 0.12 * (rows["algorithm"] == "grpo") - 0.06
            face = BLUE if good else "none"
            ax.scatter(
                rows["unknown_links"] + shift, rows["long_reward"], facecolor=face, edgecolor=BLUE, s=40, lw=1.4,
                label=label, zorder=3,
            )  # fmt: skip
        ax.axhline(0.5, color=GREY, ls=":")
        ax.set(xlabel="links that the start lacks, k", xticks=k, xlim=(-0.4, k[-1] + 0.4))
        rate_axis(ax, "a long answer earns" if ax is axes[0] else "")
        ax.set_title(title, fontsize="medium")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")


def drift(start: pd.DataFrame, end: pd.DataFrame) -> None:
    """P(long) before RL and after it, a line for each run; `start` and `end` have one row a run, by seed.

    Orange: it ends long and at chance. Black, the mean over runs.
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 2.8))
    hollow = is_hollow(end)
    for seed in start.index:
        color = RED if hollow[seed] else GREY
        p = [start.loc[seed, "long_probability"], end.loc[seed, "long_probability"]]
        ax.plot([0, 1], p, color=color, marker="o", ms=4, lw=1.6, alpha=0.85)
    mean = [start["long_probability"].mean(), end["long_probability"].mean()]
    ax.plot([0, 1], mean, color="black", ls="--", lw=1.6)
    ax.text(1.04, mean[1], "mean", va="center", fontsize="small")
    ax.set_xticks([0, 1], ["before RL", "after RL"])
    ax.set_xlim(-0.15, 1.25)
    ax.grid(axis="x", visible=False)
    rate_axis(ax, "P(long)")


def first_long(start: pd.DataFrame, last: pd.DataFrame) -> None:
    """p_cot = 2^-d: samples until the first long answer beside 2^d, and what RL reaches. One dot a run."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.8), sharex=True)
    d = np.array(sorted(start["d"].unique()))
    left.semilogy(d, 2.0**d, color="black", ls="--", lw=1, label="2ᵈ")
    left.scatter(start["d"], 1 / start["long_probability"], color=PURPLE, s=26, alpha=0.75, lw=0, zorder=3)
    left.set(xlabel="d", ylabel="samples for one\nlong answer")
    left.legend(loc="upper left")
    right.scatter(last["d"], last["greedy_accuracy"], color=BLUE, s=26, alpha=0.75, lw=0, label="accuracy")
    right.scatter(last["d"], last["greedy_long"], color=PURPLE, s=26, alpha=0.75, lw=0, label="long", marker="^")
    rate_axis(right, "greedy answers\nafter RL")
    right.axhline(0.5, color=GREY, ls=":")
    right.set(xlabel="d", xticks=d)
    right.legend(loc="upper right", fontsize="small")


def recursion(calibrated: pd.DataFrame, one_step: pd.DataFrame, rounds: pd.DataFrame) -> None:
    """P(long) by round of STaR beside the recursion from the measured start: trained to calibration, one line a seed;
    and with one optimiser step a round, mean and range over seeds. Then `takeoff` of the rounds.
    """
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 3.0))
    for (p_0, part), color in zip(calibrated.groupby("p_cot"), (RED, PURPLE, ORANGE), strict=False):
        n = np.arange(part["step"].max() + 1)
        start = part.loc[part["step"] == 0, "long_probability"].mean()
        left.plot(n, theory.star_recursion(start, n), color=color, ls="--", lw=1)
        for i, (_, run) in enumerate(part.groupby("seed")):
            label = f"p₀ = {p_0:g}" if i == 0 else None
            left.plot(run["step"], run["long_probability"], color=color, lw=1, marker="o", ms=3, label=label)
    band(middle, one_step, "step", "long_probability", method_color("star"))
    n = np.arange(one_step["step"].max() + 1)
    start = one_step.loc[one_step["step"] == 0, "long_probability"].mean()
    middle.plot(n, theory.star_recursion(start, n), color="black", ls="--", lw=1)
    for ax, title in ((left, "to calibration"), (middle, "one step a round")):
        ax.axhline(1 / 3, color=GREY, ls=":")
        ax.set(xlabel="round of STaR", xlim=(0, None))
        ax.locator_params(axis="x", integer=True, nbins=6)
        ax.set_title(title, fontsize="medium")
        rate_axis(ax, "P(long)" if ax is left else "")
    takeoff(rounds, right)
    right.set_title("one step a round", fontsize="medium")
    right.set_ylabel("rounds to takeoff")
    found = {}
    for ax in (left, right):
        found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=3, fontsize="small", handlelength=1)


def flows_and_copies(rounds: pd.DataFrame, flips: pd.DataFrame) -> None:
    """Left and middle, rounds until P(long) is 1/3 against p_cot for REINFORCE and GRPO, one dot a run of
    `flow_rounds`; dashed, the flow predicted for each optimiser, in the unit of time that fits it best. Right, the
    round in which a prompt of `flip_rounds` goes on against its own score at the start, beside the predicted steps.
    """
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.9), width_ratios=(1, 1, 1.15))
    styles = {"sgd": (BLUE, OWN, "plain steps"), "adamw": (ORANGE, UNIT, "AdamW")}
    for ax, (algorithm, runs) in zip(axes, list(rounds.groupby("algorithm"))[::-1], strict=False):
        for optimizer, (color, flow, label) in styles.items():
            part = runs[runs["optimizer"] == optimizer]
            ax.scatter(part["p_cot"], part["rounds"], color=color, s=22, alpha=0.75, lw=0, label=label, zorder=3)
            unit = np.exp(np.log(part["rounds"] / part[flow]).mean())
            ax.plot(unit * part.groupby("p_cot")[flow].mean(), color=color, ls="--", lw=1)
        shares = sorted(runs["p_cot"].unique())
        ax.set(xscale="log", yscale="log", xlabel=r"$p_{cot}$")
        ax.set_xticks(shares, [f"{p:g}".lstrip("0") for p in shares])
        ax.minorticks_off()
        ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        ax.set_title(method_label(algorithm), fontsize="medium")
    axes[0].set_ylabel("rounds until\nP(long) is 1/3")
    ax, x = axes[2], flips["score"] / np.log(2)
    jitter = np.random.default_rng(0).uniform(-0.16, 0.16, len(flips))
    ax.scatter(x, flips["seen"] + jitter, color=PURPLE, s=5, alpha=0.4, lw=0)
    steps = np.arange(max(0, np.floor(x.min())), np.floor(x.max()) + 1)
    ax.hlines(steps + 1, steps, steps + 1, color="black", lw=1.5)
    ax.set(xlabel="stop score at the\nstart, over ln 2", ylabel="round in which\na prompt goes on")
    ax.locator_params(axis="both", integer=True)
    ax.set_title("prompt by prompt", fontsize="medium")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
