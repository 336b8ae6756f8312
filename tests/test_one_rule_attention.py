"""Where a model looks: the explicit attention is that of the model, and what is exchanged is attention alone."""

import copy

import numpy as np
import pytest
import torch

from ntprl.book.run import change
from ntprl.studies.one_rule.attention import AttentionRun, look, total_variation
from ntprl.tasks.parity import Parity

TINY_RL = dict(
    steps=2, n_points=1, n_eval=16, n_eval_rl=16, rounds=1, rollouts=8, group=4, minibatches=1, n_layer=2, width=16
)


def tokens_of(task: Parity, n: int = 6) -> torch.Tensor:
    prompts = task.prompts(n, np.random.default_rng(0))
    return torch.as_tensor(np.concatenate((prompts, task.long(prompts)[:, :1]), axis=1))


@pytest.mark.parametrize("style", ["gpt2", "mistral"])
def test_looking_is_reading(lively_model, style):
    task = Parity(5)
    model, tokens = lively_model(task, style=style), tokens_of(task)
    logits, patterns = look(model, tokens)
    assert torch.allclose(logits, model(tokens, n_out=1)[:, 0], atol=1e-5)
    for pattern in patterns:
        assert torch.allclose(pattern.sum(-1), torch.ones(()), atol=1e-5) and (pattern.triu(1) == 0).all()
    assert torch.allclose(look(model, tokens, patterns)[0], logits, atol=1e-6)


@pytest.mark.parametrize("style", ["gpt2", "mistral"])
def test_only_the_attention_is_exchanged(lively_model, style):
    """Two models that differ in queries and keys become each other, two that differ in all else do not change looks."""
    task = Parity(5)
    model, tokens = lively_model(task, style=style), tokens_of(task)
    elsewhere = copy.deepcopy(model)
    width = model.config.width
    with torch.no_grad():
        for block in elsewhere.blocks:
            block.attention.qkv.weight[: 2 * width] *= -1.5
    (here, old), (there, new) = look(model, tokens), look(elsewhere, tokens)
    assert not torch.allclose(here, there, atol=1e-3) and total_variation(old, new) > 0.01
    assert torch.allclose(look(model, tokens, new)[0], there, atol=1e-5)
    assert torch.allclose(look(elsewhere, tokens, old)[0], here, atol=1e-5)

    otherwise = copy.deepcopy(model)
    with torch.no_grad():
        otherwise.blocks[-1].feed_forward.down.weight *= -2.0
    logits, same = look(otherwise, tokens)
    assert total_variation(old, same) == 0
    assert torch.allclose(look(model, tokens, same)[0], here, atol=1e-6)
    assert not torch.allclose(logits, here, atol=1e-3)


def test_total_variation_by_hand():
    one = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    other = torch.tensor([[[[1.0, 0.0], [0.9, 0.1]]]])
    assert total_variation([one, one], [other, one]) == pytest.approx(0.2)
    assert total_variation([one], [one]) == 0


def test_a_run_is_compared_with_its_start(lively_model):
    task = Parity(4)
    run = change(AttentionRun(task), **TINY_RL)
    model = lively_model(task)
    unmoved = run.measuring(model)(0, model)
    assert unmoved["attention_moved"] == 0
    for name in ("start_gap", "old_look_gap", "new_look_gap"):
        assert unmoved[name] == pytest.approx(unmoved["stop_gap"], abs=1e-4)
    stops = copy.deepcopy(model)  # a model that differs in its values alone: the old look explains nothing
    with torch.no_grad():
        stops.norm.weight *= -1
    row = run.measuring(model)(1, stops)
    assert row["old_look_gap"] == pytest.approx(row["stop_gap"], abs=1e-4)
    assert row["new_look_gap"] == pytest.approx(row["start_gap"], abs=1e-4)
    assert row["stop_gap"] != pytest.approx(row["start_gap"], abs=1e-2)


def test_all_rounds_are_compared():
    table = change(AttentionRun(Parity(4)), **TINY_RL).run()
    assert table["attention_moved"].iloc[0] == 0 and table["attention_moved"].iloc[-1] > 0
    assert table[["start_gap", "old_look_gap", "new_look_gap"]].notna().all(axis=None)
