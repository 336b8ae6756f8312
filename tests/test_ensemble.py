"""Many models at once: each is trained as it would be alone, on its own data, whatever its neighbours are."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from test_sweep import Inline, silent

from ntprl import checkpoint
from ntprl.book import store, sweep
from ntprl.book.ensemble import (
    FusedAttention,
    clip_each,
    ensembles,
    equal_parts,
    next_token_losses,
    pretrain_together,
    train_together,
)
from ntprl.book.recording import grid
from ntprl.book.run import Run, change, config_hash, flat
from ntprl.mixture import Mixture
from ntprl.pretrain import PretrainConfig, next_token_loss, pretrain
from ntprl.seeds import numpy_rng
from ntprl.studies.multiplication.runs import MultiplicationRun
from ntprl.studies.recovery.runs import RECOVERY
from ntprl.studies.threshold.runs import PRETRAINING, LearningOrder
from ntprl.studies.words.runs import WORDS
from ntprl.tasks.multiplication import Multiplication
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD
from ntprl.transformer import STYLES

BASE = change(
    PRETRAINING, d=5, n_layer=2, width=16, n_head=2, steps=6, batch=12, lr=5e-3, warmup=2, n_eval=64, n_points=2
)
RUNS = grid(BASE, p_cot=(0.0, 0.3, 1.0), seed=(0, 1))
TASK = BASE.task


def models_of(runs, double: bool = True) -> list:
    models = [run.model.build(run, "cpu", None) for run in runs]
    return [model.double() if double else model for model in models]


def together(runs, config: PretrainConfig, models: list, callback=None) -> None:
    pretrain_together(models, [run.mixture for run in runs], [run.seed for run in runs], config, callback)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("changed", [dict(), dict(weight_decay=0.1), dict(batch=1), dict(warmup=0, cooldown=0)])
def test_weights_are_those_of_one_by_one(style, changed):
    """In float64 rounding is too small for AdamW to make a step of it."""
    runs = [change(run, style=style) for run in RUNS]
    config = PretrainConfig(**dict(steps=6, batch=12, lr=5e-3, warmup=2) | changed)
    apart, joined = models_of(runs), models_of(runs)
    for run, model in zip(runs, apart, strict=True):
        pretrain(model, run.mixture, config, run.seed)
    together(runs, config, joined)
    for start, one, other in zip(models_of(runs), apart, joined, strict=True):
        for (name, a), b, before in zip(one.named_parameters(), other.parameters(), start.parameters(), strict=True):
            torch.testing.assert_close(b, a, atol=1e-8, rtol=0, msg=name)
            assert not torch.equal(b, before), name
    assert not torch.equal(joined[2].head.weight, joined[3].head.weight)  # the seeds differ


@pytest.mark.parametrize("style", STYLES)
def test_tables_are_those_of_one_by_one(style):
    runs = [change(run, style=style) for run in RUNS]
    for table, run in zip(train_together(runs), runs, strict=True):
        pd.testing.assert_frame_equal(table, run.run(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "base",
    [
        change(LearningOrder(Parity(4, 3)), batch=8),
        change(MultiplicationRun(Multiplication(1)), batch=16),
    ],
    ids=["order", "multiplication"],
)
def test_other_runs_and_ragged_chains_give_their_own_tables(base):
    base = change(base, n_layer=1, width=8, n_head=2, steps=3, n_eval=16, n_points=1)
    runs = grid(base, p_cot=(0.2, 0.7), seed=(3,))
    for table, run in zip(train_together(runs), runs, strict=True):
        pd.testing.assert_frame_equal(table, run.run(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("style", STYLES)
def test_losses_and_gradients_are_those_of_each_member_alone(lively_model, style):
    models = [lively_model(TASK, style, seed=seed) for seed in range(3)]
    drawn = [Mixture(TASK, p).draw(11, numpy_rng(i, "data")) for i, p in enumerate((0.1, 0.5, 0.9))]
    stacked = {name: [] for name, _ in models[0].named_parameters()}
    for model in models:
        for name, parameter in model.named_parameters():
            stacked[name].append(parameter.detach())
    weights = {name: torch.stack(tensors).requires_grad_() for name, tensors in stacked.items()}
    losses = next_token_losses(models[0], weights, equal_parts(drawn))
    gradients = torch.autograd.grad(losses.sum(), list(weights.values()))
    for i, model in enumerate(models):
        loss = next_token_loss(model, drawn[i])
        torch.testing.assert_close(losses[i], loss)
        expected = torch.autograd.grad(loss, list(model.parameters()))
        torch.testing.assert_close([gradient[i] for gradient in gradients], list(expected), atol=1e-5, rtol=1e-4)


def test_parts_hold_every_demonstration_once_and_no_row_more():
    drawn = [Mixture(TASK, p).draw(20, numpy_rng(i, "data")) for i, p in enumerate((0.0, 0.4, 0.6))]
    counts = [len(long.prompts) for long, _ in drawn]
    first, second = equal_parts(drawn)
    assert first.prompts.shape == (3, max(counts), TASK.prompt_length)
    assert first.answers.shape[2] == TASK.long_length + 1 and second.answers.shape[2] == TASK.short_length + 1
    assert first.prompts.shape[1] + second.prompts.shape[1] == 20
    for i, member in enumerate(drawn):
        found = sorted(
            (*prompt, *answer[answer != PAD])
            for part in (first, second)
            for prompt, answer in zip(part.prompts[i].tolist(), part.answers[i], strict=True)
        )
        wanted = sorted((*p, *a) for part in member for p, a in zip(*map(np.ndarray.tolist, part), strict=True))
        assert found == wanted


@pytest.mark.parametrize(("p", "rows"), [(0, (0, 8)), (1, (8, 0))])
def test_a_part_may_be_empty(lively_model, p, rows):
    drawn = [Mixture(TASK, p).draw(8, numpy_rng(i, "data")) for i in range(2)]
    parts = equal_parts(drawn)
    assert tuple(part.prompts.shape[1] for part in parts) == rows
    model = lively_model(TASK)
    weights = {name: torch.stack([parameter] * 2) for name, parameter in model.named_parameters()}
    expected = torch.stack([next_token_loss(model, member) for member in drawn])
    torch.testing.assert_close(next_token_losses(model, weights, parts), expected)


def test_each_gradient_is_clipped_at_its_own_norm():
    rng = torch.Generator().manual_seed(0)
    gradients = [torch.randn(3, 4, 5, generator=rng), torch.randn(3, 6, generator=rng)]
    for gradient in gradients:
        gradient[1] *= 0.01  # a small one stays as it is
    expected = [[gradient[i].clone() for gradient in gradients] for i in range(3)]
    norms = clip_each(gradients)
    assert norms[1] < 1 < norms[0]
    for i, alone in enumerate(expected):
        parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in alone]
        for parameter, gradient in zip(parameters, alone, strict=True):
            parameter.grad = gradient
        torch.testing.assert_close(norms[i], torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        torch.testing.assert_close([gradient[i] for gradient in gradients], [p.grad for p in parameters])


@pytest.mark.filterwarnings("error")  # torch warns where vmap falls back to a loop over members
@pytest.mark.parametrize("n_out", [1, 4, 9])
def test_attention_is_one_call_for_all_members(lively_model, n_out):
    models = [lively_model(TASK, seed=seed) for seed in range(3)]
    tokens = torch.zeros(3, 5, 9, dtype=torch.long)
    weights, _ = torch.func.stack_module_state(models)

    def logits_of(member, tokens):
        return torch.func.functional_call(models[0], member, (tokens,), {"n_out": n_out})

    with FusedAttention(), torch.profiler.profile(record_shapes=True) as profiler:
        logits = torch.vmap(logits_of)(weights, tokens)
    calls = [event.input_shapes[0] for event in profiler.events() if event.name == "aten::scaled_dot_product_attention"]
    assert [shape[0] for shape in calls] == [3 * 5] * (1 if n_out == 1 else 2)  # a single query needs no fused kernel
    for i, model in enumerate(models):
        torch.testing.assert_close(logits[i], model(tokens[i], n_out=n_out))


def test_the_callback_sees_the_models_as_they_are_and_the_losses():
    seen, models = [], models_of(RUNS, double=False)

    def callback(done, models, losses):
        seen.append((done, models[0].head.weight.detach().clone(), losses))

    together(RUNS, BASE.pretraining, models, callback)
    assert [done for done, *_ in seen] == list(range(7))
    assert seen[0][2] is None and all(losses.shape == (6,) for *_, losses in seen[1:])
    assert all(not torch.equal(one[1], other[1]) for one, other in pairwise(seen))
    assert torch.equal(seen[-1][1], models[0].head.weight)


def test_a_trained_member_can_be_saved_alone(tmp_path):
    models = models_of(RUNS, double=False)
    together(RUNS, BASE.pretraining, models)
    checkpoint.save(tmp_path / "one", models[3])
    again = RUNS[0].model.build(RUNS[0], "cpu", None)
    checkpoint.restore(tmp_path / "one", again)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), models[3].parameters(), strict=True))
    assert (tmp_path / "one").stat().st_size < 2 * sum(4 * p.numel() for p in again.parameters()) + 10_000


@pytest.mark.parametrize(("field", "value"), [("d", 6), ("width", 8), ("lr", 0.01)])
def test_runs_that_differ_are_refused(refused, field, value):
    with refused(field, repr(value), repr(flat(BASE)[field]), "p_cot and seed"):
        train_together([BASE, change(BASE, **{field: value})])


def test_other_kinds_of_runs_are_refused(refused):
    with refused("kind", "LearningOrder"):
        train_together([BASE, LearningOrder(**vars(BASE) | dict(kind="LearningOrder"))])
    with refused("RecoveryRun", "next-token prediction alone"):
        train_together([change(RECOVERY, d=5)])
    with refused("WordRun", "of a Transformer"):
        train_together([change(WORDS, rl=None, kind="WordRun", width=16, n_layer=1, n_head=2)])
    with refused("device", "cuda:99"):
        train_together([BASE], device="cuda:99")


def test_no_runs_give_no_tables():
    assert train_together([]) == []


def test_ensembles_are_of_alike_runs_that_are_neighbours_in_p_cot(refused):
    wide, others = change(BASE, width=32), [change(RECOVERY, d=5), change(WORDS, rl=None)]
    runs = [*reversed(RUNS), wide, *others]
    groups = ensembles(runs, 4)
    assert sorted(map(len, groups)) == [1, 1, 1, 2, 4]
    assert sorted(map(str, (run for group in groups for run in group))) == sorted(map(str, runs))
    assert [run.p_cot for run in groups[0]] == [0, 0, 0.3, 0.3]
    assert [run.p_cot for run in groups[1]] == [1, 1]
    assert ensembles(runs, 1) == [[run] for run in runs]
    with refused("together = 0"):
        ensembles(runs, 0)


# --- sweeps of ensembles ---


@pytest.mark.parametrize("executor", [None, Inline()], ids=["in turn", "executor"])
def test_a_sweep_of_ensembles_writes_what_a_sweep_of_runs_does(tmp_path, executor):
    small = dict(d=3, n_layer=1, width=8, n_head=2, steps=2, batch=8, n_eval=8, rounds=1, rollouts=8, n_eval_rl=8)
    alone = change(RECOVERY, **small)
    configs, lines = [*RUNS[:4], alone], []
    (path,) = sweep.sweep(configs[1:2], tmp_path / "joined", report=silent)
    before = path.read_bytes()
    joined = sweep.sweep(configs, tmp_path / "joined", executor, report=lines.append, together=2)
    assert path.read_bytes() == before  # done before, left alone
    assert "1 of 5 runs are done, 4 to go" in lines[0]
    assert ["4 of 4" in line for line in lines[1:]] == [False, False, False, True]
    for ours, theirs in zip(joined, sweep.sweep(configs, tmp_path / "apart", report=silent), strict=True):
        assert ours.name == theirs.name
        ours, theirs = json.loads(ours.read_text()), json.loads(theirs.read_text())
        assert ours["config"] == theirs["config"]
        tables = [pd.DataFrame(run["rows"]).drop(columns="seconds", errors="ignore") for run in (ours, theirs)]
        pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-4)
    sizes = [json.loads(path.read_text())["provenance"].get("together") for path in joined]
    assert sizes == [2, None, 2, None, None]  # a run without a neighbour, and another kind, run by themselves
    left = {path.name for path in (tmp_path / "joined").iterdir()} - {path.name for path in joined}
    assert left == {f"start-{config_hash(alone.start)}.safetensors"}
    sweep.sweep(configs, tmp_path / "joined", report=lines.append, together=2)
    assert "5 of 5 runs are done, 0 to go" in lines[-1]


@pytest.mark.parametrize("executor", [None, Inline()], ids=["in turn", "executor"])
def test_a_failing_ensemble_loses_its_members_and_no_others(tmp_path, refused, monkeypatch, executor):
    def break_one(run):
        if run == RUNS[3]:
            raise ValueError("broken\ninto pieces")
        return Mixture(run.task, run.p_cot)

    lines = []
    with monkeypatch.context() as patch:
        patch.setattr(Run, "mixture", property(break_one))
        with refused("2 of 4 runs failed", *map(config_hash, RUNS[2:4]), "ValueError: broken into pieces"):
            sweep.sweep(RUNS[:4], tmp_path, executor, report=lines.append, together=2)
    assert {path.name for path in tmp_path.iterdir()} == {f"{config_hash(run)}.json" for run in RUNS[:2]}
    assert ["FAILED" in line for line in lines] == [False, False, False, True, True]
    assert len(sweep.sweep(RUNS[:4], tmp_path, executor, report=silent, together=2)) == 4


def test_an_ensemble_that_is_killed_while_it_writes_loses_and_doubles_nothing(tmp_path, monkeypatch):
    write, written = store.write_atomically, []

    def killed(path, text):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep.sweep(RUNS, tmp_path, report=silent, together=6)
    assert set(tmp_path.iterdir()) == set(written)
    before = [path.read_bytes() for path in written]
    sweep.run_together(RUNS, tmp_path)  # as a job does that has waited in a queue
    assert [path.read_bytes() for path in written] == before
    paths = sweep.sweep(RUNS, tmp_path, report=silent)
    sizes = [json.loads(path.read_text())["provenance"]["together"] for path in paths]
    assert sizes == [6, 6, 4, 4, 4, 4]
