"""Multiplication takes the same training and the same RL; its own measures against slow ones."""

import numpy as np
import pytest
import torch

from ntprl.book.run import change
from ntprl.seeds import numpy_rng
from ntprl.studies.multiplication import runs
from ntprl.tasks.multiplication import EOS, MARK, Multiplication
from ntprl.tasks.task import PAD

TINY = dict(n_layer=1, width=16, n_head=2, steps=4, batch=16, n_points=1, n_eval=24)
BOTH_PHASES = change(runs.RECOVERY, **TINY, rounds=2, rollouts=32, group=4, n_eval_rl=16)


def test_both_phases_run_and_measure_on_test_pairs(monkeypatch):
    asked = []
    original = Multiplication.prompts

    def watched(self, n, rng, test=False):
        asked.append(test)
        return original(self, n, rng, test)

    monkeypatch.setattr(Multiplication, "prompts", watched)
    table = BOTH_PHASES.run()
    assert table.groupby("phase")["step"].max().to_dict() == {"pretraining": 4, "rl": 2}
    assert table["rival"].notna().sum() == 2  # of pre-training
    assert asked.count(False) == 4 + 3  # a draw for each training step, and for each round of answers
    assert asked.count(True) > 0


def test_a_killed_run_goes_on_to_the_same_table(tmp_path):
    whole = BOTH_PHASES.run()
    again = BOTH_PHASES.recover(folder=tmp_path).table
    twice = BOTH_PHASES.recover(folder=tmp_path).table  # reads what the first left
    for other in (again, twice):
        assert whole.drop(columns="seconds").equals(other.drop(columns="seconds"))


@pytest.mark.parametrize("marked", [True, False])
@torch.no_grad()
def test_rival_probability_one_prompt_at_a_time(lively_model, marked):
    task = Multiplication(2, marked)
    model, prompts = lively_model(task), task.prompts(6, numpy_rng(0, "data"))
    found = runs.rival_probability(model, task, prompts)
    for prompt, chain, value in zip(prompts, task.long(prompts), found, strict=True):
        seen = list(prompt) if marked else [*prompt, chain[0]]
        chances = model(torch.tensor([seen]))[0, -1].softmax(-1).tolist()
        chances[chain[0] if marked else chain[1]] = -1.0
        assert value == pytest.approx(max(chances), abs=1e-5)


def test_digits_are_counted_from_the_last_one(lively_model, monkeypatch):
    """A decoder that gets every digit but the second one right when short, and all when long."""
    task = Multiplication(2)

    def decoder(model, prompts, eos, max_new):
        pairs, first = prompts[:, :-1], prompts[:, -1]
        if (first == MARK).all():
            rest = task.short(pairs)[:, 1:]
            rest[:, 1] = (rest[:, 1] + 1) % 10
            return np.pad(rest, ((0, 0), (0, max_new - rest.shape[1])), constant_values=PAD)
        return task.long(pairs)[:, 1:]

    monkeypatch.setattr(runs, "greedy", decoder)
    table = runs.digit_accuracy(lively_model(task), task, 50, seed=0)
    assert table["accuracy"].tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert table["kind"].tolist() == ["short"] * 4 + ["long"] * 4
    monkeypatch.setattr(runs, "greedy", lambda model, prompts, eos, max_new: np.full((len(prompts), 1), EOS))
    assert (runs.digit_accuracy(lively_model(task), task, 50, seed=0)["accuracy"] == 0).all()


def test_digits_are_rows_of_each_measured_step():
    table = change(runs.MultiplicationDigits(Multiplication()), **TINY).run()
    assert table.groupby("step").size().to_dict() == {0: 8, 4: 8}
