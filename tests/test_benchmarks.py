"""The benchmarks compare like with like: same function, same gradient, same answers, every trick really taken away."""

import importlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ntprl.errors import InputError
from ntprl.experiments import PretrainingRun
from ntprl.parity import Parity
from ntprl.posttrain import PosttrainConfig, update
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.task import PAD
from ntprl.transformer import Transformer

TASK = Parity(5)
CONFIG = PosttrainConfig(rounds=2, rollouts=48, group=4, lr=1e-8)
pytestmark = pytest.mark.filterwarnings("ignore")  # experimental and deprecated parts of the libraries


@pytest.fixture(scope="module")
def benchmarks():
    """benchmarks/posttraining.py, imported as the script does; `.common` and `pretraining` beside it."""
    pytest.importorskip("trl")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        module = importlib.import_module("posttraining")
        module.pretraining = importlib.import_module("pretraining")
        yield module


@torch.no_grad()
def test_the_library_model_is_the_same_function(benchmarks, lively_model):
    model = lively_model(TASK, n_layer=3)
    gpt2 = benchmarks.as_gpt2(model, TASK.eos)
    prompts = TASK.prompts(20, numpy_rng(0, "data"))
    torch.testing.assert_close(gpt2(torch.as_tensor(prompts)).logits, model(torch.as_tensor(prompts)))
    theirs = benchmarks.cut(benchmarks.generate(gpt2, TASK.eos, prompts, 6, sampled=False), TASK.eos)
    ours = greedy(model, prompts, TASK.eos, 6)
    assert np.array_equal(theirs[:, : ours.shape[1]], ours)
    assert (theirs[:, ours.shape[1] :] == PAD).all()


def test_cut_keeps_the_first_eos(benchmarks):
    cut = benchmarks.cut(np.array([[2, 2, 2], [0, 2, 1], [0, 1, 0]]), eos=2)
    assert cut.tolist() == [[2, PAD, PAD], [0, 2, PAD], [0, 1, 0]]


def tricks_off(tricks):
    return [(), *((trick,) for trick in tricks), *combinations(tricks, 2), tuple(tricks)]


def size(batch):
    """What the update computes: prompts read, answers, tokens in their rectangles, rectangles."""
    return (
        len(batch.prompts),
        sum(len(part.rows) for part in batch.parts),
        sum(part.tokens.numel() for part in batch.parts),
        len(batch.parts),
    )


def test_without_a_trick_the_gradient_is_the_same(benchmarks, lively_model):
    model = lively_model(TASK)
    prompts, answers, *weights = benchmarks.rollouts(model, TASK, CONFIG, TASK.r_e2e, 0)
    assert 0 < (weights[0] == 0).mean() < 1, "some groups must be without a signal"
    sizes, expected = {}, None
    for off in tricks_off(benchmarks.TRICKS):
        batch = benchmarks.pack_without(prompts, answers, *weights, off)
        keeper = benchmarks.Gradient(list(model.parameters()))
        update(model, model, keeper, CONFIG, [batch])
        kept = torch.cat([gradient.flatten() for gradient in keeper.kept])
        model.zero_grad()
        expected = kept if expected is None else expected
        assert kept.norm() > 0.01
        torch.testing.assert_close(kept, expected, atol=1e-6, rtol=1e-3)
        sizes[off] = size(batch)
    n_prompts, n_answers, n_tokens, n_parts = sizes[()]
    with_signal = prompts[(weights[0] != 0).any(axis=1)]
    assert n_prompts == len(with_signal)
    assert sizes[("merging",)][:2] == (len(np.unique(with_signal, axis=0)), (weights[0] != 0).sum())
    assert sizes[("merging",)][1] > n_answers
    assert sizes[("shared prompts",)] == (n_answers, n_answers, n_tokens, n_parts)
    assert sizes[("signal",)][0] == CONFIG.prompts > n_prompts
    assert n_parts > 1 and sizes[("buckets",)] == (n_prompts, n_answers, n_answers * answers.shape[1], 1)
    assert sizes[tuple(benchmarks.TRICKS)] == (48, 48, answers.size, 1)


def test_without_shared_answers_they_are_drawn_all_the_same(benchmarks, lively_model):
    model = lively_model(TASK)
    apart, together = (
        benchmarks.rollouts(model, TASK, CONFIG, benchmarks.coin, 0, off) for off in (("shared answers",), ())
    )
    assert np.array_equal(apart[0], together[0])
    assert np.array_equal(apart[1], together[1])  # the same draws from the same distributions


@pytest.mark.parametrize("splits", [1, 4])
def test_the_gradient_is_that_of_trl(benchmarks, lively_model, splits):
    assert benchmarks.gradient_difference(lively_model(TASK), TASK, CONFIG, TASK.r_e2e, splits) < 1e-4


def test_another_loss_stops_the_benchmark(benchmarks, lively_model, refused, monkeypatch):
    trl = importlib.import_module("trl")
    monkeypatch.setattr(
        trl, "GRPOConfig", lambda *, loss_type, **rest: trl.trainer.GRPOConfig(loss_type="grpo", **rest)
    )
    with refused("gradients differ"):
        benchmarks.gradient_difference(lively_model(TASK), TASK, CONFIG, TASK.r_e2e)


def test_trl_reads_and_rewards_what_we_do_with_a_cache(benchmarks, lively_model):
    """The prompts of `posttrain`, one generation and one update in a step, one token at a time after the prompt."""
    model, shapes, seen = lively_model(TASK), [], []

    def reward(prompts, answers):
        seen.append((prompts, answers))
        return TASK.r_e2e(prompts, answers)

    gpt2 = benchmarks.as_gpt2(model, TASK.eos)
    gpt2.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs.get("input_ids", *args).shape)), with_kwargs=True
    )
    before = [parameter.clone() for parameter in gpt2.parameters()]
    benchmarks.common.make_grpo_trainer(gpt2, TASK, CONFIG, reward, seed=3).train()
    for now, then in zip(gpt2.parameters(), before, strict=True):
        torch.testing.assert_close(now, then, atol=1e-7, rtol=0)  # they stay as they are
    assert [len(answers) for _, answers in seen] == [48, 48]
    for step, (prompts, answers) in enumerate(seen):
        expected = TASK.prompts(CONFIG.prompts, numpy_rng(3, "rollouts", step))
        assert np.array_equal(prompts[:, : TASK.d], expected.repeat(4, axis=0)[:, : TASK.d])
        assert np.array_equal(benchmarks.cut(answers, TASK.eos), answers)
        assert set(np.unique(answers)) <= {PAD, 0, 1, 2, 3}
    counts = Counter(shapes)
    assert counts[48, 6] == 2
    assert 2 <= counts[48, 1] <= 2 * TASK.d
    assert sum(counts.values()) - counts[48, 6] - counts[48, 1] == 2  # the updates


def test_other_answers_stop_the_benchmark(benchmarks, lively_model, refused, monkeypatch):
    model, sizes = lively_model(TASK), benchmarks.SMOKE
    sizes = benchmarks.replace(sizes, d=TASK.d, checked=100)
    facts = benchmarks.compare_answers(model, TASK, sizes)
    assert 0 < facts["share of short answers"][0] < 1
    sampled = benchmarks.generate
    monkeypatch.setattr(benchmarks, "generate", lambda *a: sampled(*a[:4], sampled=False).repeat(a[4], axis=0))
    with refused("different answers"):
        benchmarks.compare_answers(model, TASK, sizes)


def test_every_contestant_comes_at_every_place(benchmarks):
    runs = list(benchmarks.common.rotate(["a", "b", "c"], 3))
    assert len(runs) == 12
    assert {(order, name) for repetition, order, name in runs if repetition} == {
        (i, x) for i in range(3) for x in "abc"
    }


def test_a_row_says_what_was_measured(benchmarks):
    def contestant(repetition, now):
        torch.ones(2, 3) @ torch.ones(3, 4)
        return 0.5, 10, now()

    rows = benchmarks.measure("growth", "any", {"one": contestant, "two": contestant}, 2, "token")
    assert [(row["contestant"], row["repetition"]) for row in rows] == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert {row["per_s"] for row in rows} == {20.0}
    assert {row["mflop"] for row in rows} == {2 * 2 * 3 * 4 / 10 / 1e6}


@torch.no_grad()
def test_operations_are_all_counted(benchmarks):
    """2 for each multiply-add of the matrix products; 4 W for each pair of positions in attention."""
    width, layers, batch, positions = 32, 2, 3, 9
    model = Transformer(PretrainingRun(d=5, width=width, n_layer=layers).transformer_config, torch_rng(0, "init"))
    with FlopCounterMode(display=False, custom_mapping=benchmarks.common.COUNTED) as counter:
        model(torch.zeros(batch, positions, dtype=torch.long))
    read = batch * positions
    products = layers * read * 12 * width**2 + read * width * TASK.vocab_size
    assert counter.get_total_flops() == 2 * products + layers * batch * 4 * width * positions**2


def test_all_pretraining_loops_have_the_same_loss(benchmarks, monkeypatch, capsys):
    pretraining, run = benchmarks.pretraining, PretrainingRun(d=5, batch=16)
    monkeypatch.setattr(pretraining, "RUN", run)
    initial = Transformer(run.transformer_config, torch_rng(0, "init"))
    pretraining.require_equal_losses(initial, 3, "cpu")
    assert capsys.readouterr().out.startswith("mean loss of 3 steps: ntprl.pretrain ")
    monkeypatch.setitem(pretraining.TRAIN, "another", lambda *_: 0.0)
    with pytest.raises(InputError, match="nothing is timed"):
        pretraining.require_equal_losses(initial, 1, "cpu")
