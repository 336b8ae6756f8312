"""The picture of the first page: one line a run, words that its table bears out, and letters that can be read."""

import re

import numpy as np
import pandas as pd
import pytest

from ntprl.book import headline, store
from ntprl.book.readings import rl_rows, settled_round
from ntprl.book.verdict import RECOVERED
from ntprl.records import recording
from ntprl.tasks.parity import Parity


def invented(ends=(0.5, 0.5), before=(1, 1), after=(50, 50), solved=(1.0, 1.0)):
    """Two runs of both phases."""
    rows = []
    for run, end, short, long, right in zip("ab", ends, before, after, solved, strict=True):
        for step, accuracy, length in ((0, 0.0, 51), (10, end, short)):
            rows.append((run, "pretraining", step, accuracy, length))
        for step, accuracy, length in ((0, end, short), (4, right, long)):
            rows.append((run, "rl", step, accuracy, length))
    return pd.DataFrame(rows, columns=["run", "phase", "step", "greedy_accuracy", "greedy_median_length"])


def recorded():
    return store.load(recording("rl_live_seeds"))


def test_its_two_answers_are_right_and_begin_apart():
    """Else the short answer looks like the beginning of the long one."""
    task, panel = Parity(headline.BITS), headline.answers_panel(0.25)
    prompt, long, short = (part.split(": ")[-1].split() for part in panel.described.split("; "))
    bits = np.array([[*map(int, prompt[:-1]), task.separator]])
    assert task.text(task.long(bits)[0]).split() == long and task.text(task.short(bits)[0]).split() == short
    assert long[0] != short[0] and long[-2] == short[0]
    assert "25 %" in panel.described and "75 %" in panel.described


def test_one_line_for_each_run_and_no_mean():
    _, before, after = headline.headline_panels(recorded(), 0.25)
    for panel in (before, after):
        assert len(re.findall(r'<path[^>]*stroke-width="1.3"', panel.drawn)) == recorded()["run"].nunique() == 10


def test_words_follow_the_table():
    assert headline.tokens_in_words(pd.Series([1, 1])) == "1 token"
    assert headline.tokens_in_words(pd.Series([50.0, 50.0])) == "50 tokens"
    assert headline.tokens_in_words(pd.Series([1, 50])) == "1 to 50 tokens"  # and not 25.5
    said = headline.headline_caption(invented(), 50)
    assert "2 of 2 small transformers end" in said and "2 of 2 write" in said
    one = headline.headline_caption(invented(ends=(0.5, 0.7), solved=(1.0, 0.9)), 50)
    assert "1 of 2 small transformers end" in one and "1 of 2 write" in one and "90 % or more" in one
    assert "0 of 2 write" in headline.headline_caption(invented(after=(1, 1)), 50)


@pytest.mark.parametrize("columns", [1, 3])
def test_the_file_stands_alone(columns):
    text = headline.headline_file(headline.headline_panels(recorded(), 0.25), columns)
    assert text.startswith("<svg xmlns=") and "prefers-color-scheme: dark" in text and "aria-label" in text
    assert not re.search(r"href|url\(|<script", text)
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', text).groups())
    assert (width > height) == (columns == 3)


def test_it_counts_what_the_first_page_says():
    """The page says that models end in a coin flip and then are right, without a number: it must be all of them."""
    assert re.findall(r"(\d+) of (\d+)", headline.headline_caption(recorded(), 50)) == [("10", "10")] * 2


def test_a_few_rounds_are_enough():
    """As the page says in words: each run is right from round 6 on, of 20."""
    settled = settled_round(rl_rows(recorded()), "greedy_accuracy", RECOVERED)
    assert settled.max() <= 6 < recorded().query("phase == 'rl'")["step"].max()
