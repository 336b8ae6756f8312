"""Figures of the data, one function each, for `show` of ntprl/book/figure.py."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Patch

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, rate_axis
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD


def _token(ax: Axes, column: float, row: float, symbol: str, color: str, is_bold: bool = False) -> None:
    box = FancyBboxPatch((column + 0.1, -row - 0.4), 0.8, 0.8, boxstyle="round,pad=0,rounding_size=.15")
    box.set(facecolor=color, alpha=0.28, edgecolor=color)
    ax.add_patch(box)
    look = dict(family="monospace", weight="bold" if is_bold else "normal")
    ax.text(column + 0.5, -row - 0.02, symbol, ha="center", va="center", **look)


def tokens(task: Parity, prompts: np.ndarray, answers: list[np.ndarray]) -> None:
    """Demonstrations as rows of coloured tokens, in the order given: prompt, long or short answer, EOS."""
    longest = task.prompt_length + task.long_length + 1
    fig, ax = plt.subplots(figsize=(WIDTH, 0.34 * len(answers) + 0.45))
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        answer = answer[answer != PAD]
        kind = ORANGE if len(answer) > task.short_length + 1 else BLUE
        colors = [GREY] * len(prompt) + [kind] * (len(answer) - 1) + [GREY]
        for column, (token, color) in enumerate(zip([*prompt, *answer], colors, strict=True)):
            is_parity = column == len(colors) - 2
            _token(ax, column, row, task.text([token]), color, is_parity)
    kinds = {"prompt": GREY, "long answer": ORANGE, "short answer": BLUE}
    handles = [Patch(facecolor=color, alpha=0.5, label=label) for label, color in kinds.items()]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        handlelength=1,
        columnspacing=1,
        fontsize="small",
    )
    ax.set(xlim=(0, longest), ylim=(-len(answers) + 0.4, 0.6), aspect="equal")
    ax.axis("off")


def one_flip(task: Parity, prompt: np.ndarray, guesses: dict[int, list[float]]) -> None:
    """Left, a prompt and the same with one symbol flipped, each with its parity; right, what partial views are worth.

    guesses: symbols seen -> for each choice of so many, the share of prompts that the best guess gets right.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0), width_ratios=[1, 1.15])
    for row in range(task.d + 1):
        x = prompt[: task.d].copy()
        if row:
            x[row - 1] = 1 - x[row - 1]
        for column, symbol in enumerate(x):
            _token(left, column, row, str(symbol), RED if column == row - 1 else GREY, column == row - 1)
        left.text(task.d + 0.35, -row - 0.02, "→", ha="center", va="center")
        _token(left, task.d + 0.8, row, str(x.sum() % 2), BLUE, True)
    left.set(xlim=(0, task.d + 2), ylim=(-task.d - 0.6, 0.6), aspect="equal")
    left.set_title("flip one bit, and the answer flips", fontsize="medium")
    left.axis("off")
    for size, shares in guesses.items():
        right.scatter([size] * len(shares), shares, s=46, color=GREEN if min(shares) > 0.5 else GREY, lw=0, zorder=3)
    right.axhline(0.5, color=GREY, ls=":")
    right.text(0.1, 0.53, "a coin", color="#555555")
    right.set(xlabel="bits seen at once", xlim=(-0.4, task.d + 0.4))
    right.set_xticks(range(task.d + 1))
    rate_axis(right, "best guess is right")


def flip(modulus: int = 2) -> None:
    """What a calibrated reader says after the first token: stop or go on, against p_cot."""
    p = np.linspace(0, 0.75, 200)
    stop = theory.stop_probability(p, modulus)
    threshold = float(theory.parity_threshold(modulus))
    fig, ax = plt.subplots(figsize=(WIDTH, 3.1))
    ax.plot(p, stop, color=BLUE, lw=2)
    ax.plot(p, 1 - stop, color=ORANGE, lw=2)
    ax.text(0.62, 0.29, "stop", color=BLUE, weight="bold")
    ax.text(0.62, 0.83, "go on", color=ORANGE, weight="bold")
    ax.axvline(threshold, color=GREY, ls=":")
    ax.text(threshold + 0.01, 0.03, rf"$p^*$ = 1/{modulus + 1}", color="#555555")
    ax.set(xlabel=r"$p_{cot}$, share of long demonstrations", xlim=(0, 0.75))
    rate_axis(ax, "probability\nafter $y_1 = x_1$")
