"""Figures of the data, one function each. The caller ends its cell with plt.show()."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch, Patch

from ntprl import theory
from ntprl.book.style import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, rate_axis
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD


def tokens(task: Parity, prompts: np.ndarray, answers: list[np.ndarray]) -> None:
    """Demonstrations as rows of coloured tokens: input, running sums, answer, EOS."""
    longest = task.prompt_length + max(len(answer) for answer in answers)
    fig, ax = plt.subplots(figsize=(WIDTH, 0.34 * len(answers) + 0.45))
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        answer = answer[answer != PAD]
        colors = [BLUE] * task.d + [GREY] + [ORANGE] * (len(answer) - 2) + [RED, GREY]
        for column, (token, color) in enumerate(zip([*prompt, *answer], colors, strict=True)):
            box = FancyBboxPatch((column + 0.1, -row - 0.4), 0.8, 0.8, boxstyle="round,pad=0,rounding_size=.15")
            box.set(facecolor=color, alpha=0.28, edgecolor=color)
            ax.add_patch(box)
            ax.text(column + 0.5, -row - 0.02, task.text([token]), ha="center", va="center", family="monospace")
    kinds = {"input": BLUE, "running sum": ORANGE, "answer": RED, "mark": GREY}
    handles = [Patch(facecolor=color, alpha=0.5, label=label) for label, color in kinds.items()]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handlelength=1, columnspacing=1.2)
    ax.set(xlim=(0, longest), ylim=(-len(answers) + 0.4, 0.6), aspect="equal")
    ax.axis("off")


def flip(modulus: int = 2) -> None:
    """What a calibrated reader says after the first token: stop or go on, against p_cot."""
    p = np.linspace(0, 0.75, 200)
    stop = theory.stop_probability(p, modulus)
    threshold = float(theory.parity_threshold(modulus))
    fig, ax = plt.subplots(figsize=(WIDTH, 3.1))
    ax.plot(p, stop, color=RED, lw=2)
    ax.plot(p, 1 - stop, color=GREEN, lw=2)
    ax.text(0.62, 0.29, "stop", color=RED, weight="bold")
    ax.text(0.62, 0.83, "go on", color=GREEN, weight="bold")
    ax.axvline(threshold, color=GREY, ls=":")
    ax.text(threshold + 0.01, 0.03, rf"$p^*$ = 1/{modulus + 1}", color="#555555")
    ax.set(xlabel=r"$p_{cot}$, share of long demonstrations", xlim=(0, 0.75))
    rate_axis(ax, "probability\nafter $y_1 = x_1$")
