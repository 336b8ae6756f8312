"""Figures and sentences of chapters 1 and 2: one line a run, rows in the order drawn, exceptions named."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ntprl.book.readings import in_how_many
from ntprl.book.style import BLUE, ORANGE
from ntprl.studies.mixture import figures as mixture_figures
from ntprl.studies.threshold import figures
from ntprl.tasks.parity import Parity


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(**other):
    return {"greedy accuracy": "at chance", "length": "1"} | other


def test_what_seeds_say_alike_is_said_once():
    assert in_how_many({0: words(), 1: words()}) == "2 of 2 seeds say: greedy accuracy at chance; length 1"


def test_who_says_something_else_is_named():
    first, second = in_how_many({0: words(), 3: words(length="50"), 4: words()}).splitlines()
    assert first.startswith("2 of 3 seeds say") and second == "not so 3: length 50"


def test_no_line_is_the_mean_of_short_and_long():
    """Two runs, one of which writes 1 token and the other 50: no line passes through 25.5."""
    rows = [(run, step, length, 0.5, 1.0, 0.25) for run, length in (("a", 1), ("b", 50)) for step in (0, 10)]
    columns = ["run", "step", "greedy_median_length", "greedy_accuracy", "chain_accuracy", "sampled_long"]
    figures.training(pd.DataFrame(rows, columns=columns), 0.25)
    lines = plt.gcf().axes[1].get_lines()
    assert sorted(line.get_ydata()[0] for line in lines) == [1, 50]


def test_the_switch_is_enlarged_run_by_run():
    shares, seeds = (0.1, 0.3, 1 / 3, 0.35, 0.9), (0, 1, 2)
    rows = [(p, s, 1.0, 1.0 if p > 1 / 3 else 0.5, 0.5 + p / 2, p) for p in shares for s in seeds]
    columns = ["p_cot", "seed", "greedy_long", "greedy_accuracy", "sampled_accuracy", "sampled_long"]
    figures.threshold(pd.DataFrame(rows, columns=columns))
    near = plt.gcf().axes[1]
    lines = [line for line in near.get_lines() if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in lines] == [[0.3, 1 / 3, 0.35]] * 3
    dashed = next(line for line in plt.gcf().axes[0].get_lines() if line.get_linestyle() == "--")
    assert set(dashed.get_ydata()) == {0.5, 1.0} and dashed.get_xdata()[dashed.get_ydata() == 1].min() > 1 / 3


def test_rows_stay_in_the_order_drawn_and_kinds_have_their_colours():
    task = Parity(3)
    prompts = np.array([[0, 1, 0, task.separator], [1, 1, 0, task.separator]])
    mixture_figures.tokens(task, prompts, [task.short(prompts[:1])[0], task.long(prompts[1:])[0]])
    ax = plt.gca()
    boxes = {(round(box.get_y() + 0.4), round(box.get_x() - 0.1)): to_hex(box.get_facecolor()) for box in ax.patches}
    first, second = (boxes[0, 4], boxes[-1, 4])
    assert first == BLUE.lower() and second == ORANGE.lower()
    assert (0, 6) not in boxes and boxes[-1, 6] == ORANGE.lower()


def test_each_flip_turns_the_answer():
    task = Parity(4)
    mixture_figures.one_flip(task, np.array([1, 0, 0, 1, task.separator]), {0: [0.5], 4: [1.0]})
    left = plt.gcf().axes[0]
    rows = {}
    for text in left.texts:
        rows.setdefault(round(-text.get_position()[1]), []).append(text.get_text())
    answers = [row[-1] for _, row in sorted(rows.items())]
    assert answers == ["0"] + ["1"] * 4
