"""What is defined outside the package goes all the way: a task, and an algorithm, that it does not know.

The task is a chain over the group S3: d permutations of three things, multiplied from the left to the right. It is not
commutative, it has six symbols, and nothing in training, sampling, measuring or drawing is told about it.
"""

from dataclasses import dataclass
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ntprl import weightings
from ntprl.book import sweep
from ntprl.book.baselines import Baselines
from ntprl.book.readings import at_round, rl_rows
from ntprl.book.recording import Recording, grid
from ntprl.book.run import Reinforcement, Run, change
from ntprl.book.store import collect, load, promote
from ntprl.mixture import Mixture
from ntprl.seeds import numpy_rng
from ntprl.studies.limits import figures as limits
from ntprl.studies.recovery import figures
from ntprl.tasks.task import PAD, said, same_answers
from ntprl.theory import parity_threshold
from ntprl.weightings import ALGORITHMS, Algorithm

S3 = list(permutations(range(3)))  # the symbols 0..5; 0 is the identity
PRODUCT = np.array([[S3.index(tuple(a[b[i]] for i in range(3))) for b in S3] for a in S3])  # a after b
EOS, SEPARATOR = 6, 7


@dataclass(frozen=True)
class S3Chain:
    """The product of d permutations, with the running products as its chain."""

    d: int = 3

    vocab_size, eos, short_length = 8, EOS, 1

    @property
    def prompt_length(self) -> int:
        return self.d + 1

    @property
    def long_length(self) -> int:
        return self.d

    def prompts(self, n, rng, test=False):
        return np.pad(rng.integers(6, size=(n, self.d)), ((0, 0), (0, 1)), constant_values=SEPARATOR)

    def long(self, prompts):
        products = [prompts[:, 0]]
        for i in range(1, self.d):
            products.append(PRODUCT[products[-1], prompts[:, i]])
        return np.column_stack((*products, np.full(len(prompts), EOS)))

    def short(self, prompts):
        return self.long(prompts)[:, -2:]

    def final(self, answers):
        length = said(answers, EOS).sum(axis=1)
        return np.where(length > 0, np.asarray(answers)[np.arange(len(answers)), length - 1], PAD)

    def r_e2e(self, prompts, answers):
        return self.final(answers) == self.short(prompts)[:, 0]

    def r_cot(self, prompts, answers):
        return same_answers(answers, self.long(prompts)) | same_answers(answers, self.short(prompts))

    def text(self, tokens):
        return " ".join("012345.|"[token] for token in tokens if token != PAD)


SMALL = dict(width=32, n_head=2, steps=300, batch=64, lr=4e-3, warmup=10, n_eval=256, n_points=2)
RL = Reinforcement(rounds=6, rollouts=128, n_eval_rl=256, lr=1e-3, eval_every=3)
RUN = change(Run(S3Chain(), p_cot=0.5, rl=RL), **SMALL)


@pytest.fixture(scope="module")
def recovery():
    return RUN.recover()


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def test_the_mixture_draws_it():
    long, short = Mixture(S3Chain(), 0.5).draw(1000, numpy_rng(0, "data"))
    assert S3Chain().r_cot(*long).all() and S3Chain().r_cot(*short).all()
    assert 400 < len(long.prompts) < 600


def test_its_chains_are_learned_and_its_answers_are_not_guessed(recovery):
    """Above its threshold, which by the rule of `theory` is 1/7 for six symbols, greedy answers are the chain."""
    last = recovery.table.query("phase == 'pretraining'").iloc[-1]
    assert last["chain_accuracy"] > 0.9
    assert RUN.p_cot > parity_threshold(6)
    assert last["greedy_long"] > 0.9 and last["greedy_accuracy"] > 0.9
    assert abs(last["sampled_long"] - RUN.p_cot) < 0.15


def test_reinforcement_learning_lengthens_it(recovery):
    rl = recovery.table.query("phase == 'rl'")
    assert rl["rollout_long"].iloc[-1] > rl["rollout_long"].iloc[0] + 0.2
    assert recovery.length_share.shape == (RL.rounds + 1, S3Chain().long_length + 2)


def test_it_is_drawn(recovery):
    figures.recovery(recovery.table, S3Chain().long_length)
    top = plt.gcf().axes[1]
    drawn = {line.get_label(): line for line in top.get_lines()}
    expected = rl_rows(recovery.table)["greedy_accuracy"]
    np.testing.assert_allclose(drawn["greedy"].get_ydata(), expected)


def test_its_runs_are_swept_named_and_collected(tmp_path):
    tiny = change(RUN, steps=4, rounds=1, rollouts=16, n_eval=16, n_eval_rl=16)
    recording = Recording("s3", "Does S3 work?", "00_none", grid(tiny, p_cot=(0.2, 0.5), d=(2, 3)), "seconds")
    paths = sweep.sweep(recording.configs, tmp_path, report=lambda line: None)
    table, sidecar = collect(recording, tmp_path)
    assert len(paths) == 4 and set(table["d"]) == {2, 3}
    assert sidecar["kind"] == "Run on S3Chain"
    assert "kl" not in sidecar["config"]


def test_a_penalty_is_recorded_like_any_other_field(tmp_path):
    """A field that is younger than the recorded tables: a column where it varies."""
    tiny = change(RUN, steps=4, rounds=1, rollouts=16, n_eval=16, n_eval_rl=16)
    recording = Recording("kl", "Does a penalty hold it?", "00_none", grid(tiny, kl=(0.0, 0.05)), "seconds")
    sweep.sweep(recording.configs, tmp_path / "runs", report=lambda line: None)
    promote(recording, tmp_path / "runs", tmp_path / "data")
    assert load(recording, tmp_path / "data").groupby("kl").size().to_dict() == {0.0: 5, 0.05: 5}


def test_other_uses_of_its_start_are_measured():
    tiny = change(Baselines(S3Chain(), rl=RL, kind=""), **SMALL | dict(steps=4, rounds=1, n_eval_rl=16, n_eval=16))
    assert {"rl", "continue", "majority", "best of", "forced"} <= set(tiny.run()["method"])


# --- an algorithm ---


def all_answers(rewards, lengths):
    """Next-token training on everything it wrote: A = 1, D = tokens."""
    return np.ones_like(rewards), np.full_like(rewards, lengths.sum())


def test_a_new_algorithm_is_one_entry_and_every_figure_draws_it(monkeypatch):
    monkeypatch.setitem(ALGORITHMS, "all_answers", Algorithm(all_answers, clipped=False, tempered=False))
    assert weightings.ALGORITHMS is ALGORITHMS
    tiny = change(RUN, steps=4, rounds=2, rollouts=16, n_eval=16, n_eval_rl=16, eval_every=1)
    tables = [
        each.run().assign(run=i, algorithm=each.rl.algorithm, reward="r_e2e", temperature=1.0, p_cot=0.5, seed=0)
        for i, each in enumerate(grid(tiny, algorithm=("star", "all_answers")))
    ]
    both = [table for table in tables if len(rl_rows(table))]
    assert len(both) == 2
    rl = rl_rows(pd.concat(both))
    limits.algorithms(rl)
    assert [ax.get_title() for ax in plt.gcf().axes] == ["STaR", "all_answers"]
    figures.by_share(rl)
    labels = plt.gcf().legends[0].get_texts()
    assert {text.get_text() for text in labels} == {"STaR", "all_answers"}
    takeoff = at_round(pd.concat(both), "end")[["p_cot", "algorithm", "seed"]].assign(takeoff=2.0)
    limits.takeoff(takeoff)
    assert {"STaR", "all_answers"} <= {line.get_label() for line in plt.gca().get_lines()}
