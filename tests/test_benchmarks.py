"""The benchmarks compare like with like: same function, same gradient, same answers, every trick really taken away."""

import importlib
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from ntprl.book.run import change
from ntprl.posttrain import PosttrainConfig, update
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng
from ntprl.studies.recovery.runs import recovery
from ntprl.studies.threshold.runs import PRETRAINING
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD
from ntprl.transformer import STYLES

ROOT = Path(__file__).resolve().parents[1]
TASK = Parity(5)
CONFIG = PosttrainConfig(rounds=2, rollouts=48, group=4, lr=1e-8)
both_styles = pytest.mark.parametrize("style", STYLES)
pytestmark = pytest.mark.filterwarnings("ignore")  # experimental and deprecated parts of the libraries


@pytest.fixture(scope="module")
def script():
    """Imports benchmarks/NAME.py as a script there does, or tools/NAME.py."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("tools", "benchmarks"):
            patch.syspath_prepend(str(ROOT / folder))
        yield importlib.import_module


@pytest.fixture(scope="module")
def benchmarks(script):
    """benchmarks/posttraining.py; `.common` and `pretraining` beside it."""
    pytest.importorskip("trl")
    module = script("posttraining")
    module.pretraining = script("pretraining")
    return module


@both_styles
@torch.no_grad()
def test_the_library_model_is_the_same_function(benchmarks, lively_model, style):
    model = lively_model(TASK, style, n_layer=3, width=24, n_head=3)
    library = benchmarks.as_library(model, TASK.eos)
    assert type(library).__name__ == {"gpt2": "GPT2LMHeadModel", "mistral": "MistralForCausalLM"}[style]
    one_more = model.config.width if style == "gpt2" else 0  # the last position of GPT-2's table
    assert sum(p.numel() for p in library.parameters()) == sum(p.numel() for p in model.parameters()) + one_more
    prompts = TASK.prompts(20, numpy_rng(0, "data"))
    tokens = torch.as_tensor(np.concatenate((prompts, TASK.long(prompts)[:, :-1]), axis=1))  # as long as may be
    assert tokens.shape[1] == model.config.max_length
    torch.testing.assert_close(library(tokens).logits, model(tokens), atol=1e-5, rtol=1e-5)
    theirs = benchmarks.cut(benchmarks.generate(library, TASK.eos, prompts, 6, sampled=False), TASK.eos)
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
    parts = batch.parts
    return len(batch.prompts), sum(len(p.rows) for p in parts), sum(p.tokens.numel() for p in parts), len(parts)


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


@pytest.mark.parametrize(("style", "splits"), [("gpt2", 1), ("gpt2", 4), ("mistral", 1)])
def test_the_gradient_is_that_of_trl(benchmarks, lively_model, style, splits):
    assert benchmarks.gradient_difference(lively_model(TASK, style), TASK, CONFIG, TASK.r_e2e, splits) < 1e-4


def test_another_loss_stops_the_benchmark(benchmarks, lively_model, refused, monkeypatch):
    trl = importlib.import_module("trl")
    monkeypatch.setattr(trl, "GRPOConfig", lambda **given: trl.trainer.GRPOConfig(**given | {"loss_type": "grpo"}))
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


def test_a_row_says_what_was_measured(benchmarks):
    def contestant(repetition, now):
        torch.ones(2, 3) @ torch.ones(3, 4)
        return 0.5, 10, now()

    rows = benchmarks.measure("growth", "any", {"one": contestant, "two": contestant}, 2, "token")
    assert [(row["contestant"], row["repetition"]) for row in rows] == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    assert {row["per_s"] for row in rows} == {20.0}
    assert {row["mflop"] for row in rows} == {2 * 2 * 3 * 4 / 10 / 1e6}
    written_ones, product = 2 * 3 + 3 * 4, 2 * 3 + 3 * 4 + 2 * 4
    assert {row["mbyte"] for row in rows} == {4 * (written_ones + product) / 10 / 1e6}


@torch.no_grad()
def test_operations_are_all_counted(script):
    """2 for each multiply-add of the matrix products; 4 W for each pair of positions that the mask lets through."""
    width, layers, batch, positions = 32, 2, 3, 9
    run = change(PRETRAINING, d=5, width=width, n_layer=layers)
    model = run.model.build(run, "cpu", None)
    with script("limits").counting() as now:
        model(torch.zeros(batch, positions, dtype=torch.long))
    read, pairs = batch * positions, positions * (positions + 1) / 2
    products = layers * read * 12 * width**2 + read * width * TASK.vocab_size
    assert now()[0] == pytest.approx(2 * products + layers * batch * 4 * width * pairs)


def test_a_causal_mask_counts_as_the_causal_flag_does(script):
    q = torch.randn(2, 4, 6, 8, requires_grad=True)
    found = []
    for how in ({"is_causal": True}, {"attn_mask": torch.ones(6, 6, dtype=torch.bool).tril()}, {}):
        with script("limits").counting() as now:
            F.scaled_dot_product_attention(q, q, q, **how).sum().backward()
        found.append(now()[0])
    assert found[0] == pytest.approx(found[1])
    assert found[0] / found[2] == pytest.approx((6 * 7 / 2) / 36)


N = 5 * 7 * 4  # bytes of a (5, 7) table


@pytest.mark.parametrize(
    "work, expected",
    [
        (lambda x, y: x + y, 3 * N),
        (lambda x, y: x.add_(y), 3 * N),
        (lambda x, y: torch.add(x, y, out=torch.empty(5, 7)), 3 * N),
        (lambda x, y: x.copy_(y), 2 * N),
        (lambda x, y: x.zero_(), N),
        (lambda x, y: x.t()[:, None].detach(), 0),
        (lambda x, y: torch.empty_like(x), 0),
        (lambda x, y: x.sum(), N + 4),
        (lambda x, y: x + y[:1].expand(5, 7), 2 * N + 7 * 4),
        (lambda x, y: x.index_select(0, torch.arange(2)), 2 * 8 + 2 * 8 + 4 * 7 * 4),  # arange, read again; two rows
        (lambda x, y: torch._foreach_add_([x, y], [y, x]), 6 * N),
    ],
)
def test_bytes_are_those_an_operator_must_move(script, work, expected):
    x, y = torch.ones(5, 7), torch.ones(5, 7)
    with script("limits").counting() as now:
        work(x, y)
    assert now()[1] == expected


@both_styles
def test_all_pretraining_loops_have_the_same_loss(benchmarks, monkeypatch, refused, style):
    pretraining, run = benchmarks.pretraining, change(PRETRAINING, d=5, batch=16, style=style)
    start = pretraining.Start(run, run.model.build(run, "cpu", None))
    assert {"ntprl.pretrain", "transformers.Trainer"} <= start.train.keys()
    pretraining.require_equal_losses(start, 3, "cpu")
    monkeypatch.setitem(pretraining.TRAIN[style], "another", lambda *_: 0.0)
    with refused("nothing is timed"):
        pretraining.require_equal_losses(start, 1, "cpu")


@both_styles
def test_another_function_stops_the_benchmark(benchmarks, monkeypatch, refused, lively_model, style):
    pretraining, run = benchmarks.pretraining, change(PRETRAINING, d=5, batch=16, style=style)
    start = pretraining.Start(run, lively_model(TASK, style))
    pretraining.require_equal_logits(start)
    other, library = lively_model(TASK, style, scale=0.301), benchmarks.as_library
    monkeypatch.setattr(benchmarks.common, "as_library", lambda _, eos: library(other, eos))
    with refused("logits", "nothing is timed"):
        pretraining.require_equal_logits(start)


def test_the_recipe_of_the_race_is_that_of_the_live_run(benchmarks):
    """The chapter's call with its own parameters, and the second phase that the race gives to all."""
    live, sizes = recovery("laptop", d=50, p_cot=0.25, seed=7), benchmarks.Sizes()
    assert benchmarks.recipe(benchmarks.LIVE, sizes, 7) == live.start
    assert (live.model.style, live.pretraining.steps) == ("mistral", 250)
    second = benchmarks.replace(sizes.round, lr=PosttrainConfig.lr, rounds=live.rl.rounds)
    assert all(getattr(live.rl, name) == value for name, value in vars(second).items())
    older = benchmarks.recipe(benchmarks.OLDER, sizes, 7)
    assert (older.model.style, older.pretraining.steps, older.seed) == ("gpt2", 500, 7)


def test_every_seed_of_the_race_is_reported(benchmarks, monkeypatch):
    ran = []

    def to_goal(run, sizes, name):
        ran.append((run.seed, run.pretraining.steps, name))
        return {"seed": run.seed, "contestant": name}

    monkeypatch.setattr(benchmarks, "to_goal", to_goal)
    for benchmark, n in ((benchmarks.LIVE, 10), (benchmarks.OLDER, 3)):
        ran.clear()
        rows = benchmarks.race_to_goal(benchmarks.Sizes(), benchmark)
        assert [steps for _, steps, _ in ran[:2]] == [5, 5]  # the short runs that do not count
        assert [row["seed"] for row in rows] == 2 * list(range(n))
        assert [row["repetition"] for row in rows] == 2 * list(range(1, n + 1))
        assert {row["benchmark"] for row in rows} == {benchmark}


def test_all_ways_to_train_a_sweep_have_the_same_losses(script, refused):
    pytest.importorskip("accelerate")
    ensemble = script("ensemble")
    with ThreadPoolExecutor(1) as pool:
        found = ensemble.trainings(ensemble.SMOKE, ensemble.EQUAL_STEPS, "cpu", pool)
        ensemble.require_equal_losses(found)
        losses = found["together"](0)
    assert len(losses) == 4
    for wrong in (1e-3, np.nan):
        other = losses + np.array([0, 0, 0, wrong])
        with refused("nothing is timed"):
            ensemble.require_equal_losses({"one": lambda _: losses, "another": lambda _, other=other: other})


def test_what_other_processes_compute_is_not_counted_as_nothing(script):
    pytest.importorskip("accelerate")

    def work(repetition):
        return torch.ones(2, 3) @ torch.ones(3, 4)

    ensemble = script("ensemble")
    one = ensemble.common.once(work, len)
    with script("limits").counting() as now:
        assert one(0, now)[2][0] == 2 * 2 * 3 * 4
        assert np.isnan(ensemble.uncounted(one)(0, now)[2]).all()


# --- what is made of the measurements ---


def growth_rows(part="grpo"):
    """Time as d^2, operations as d^1, at d = 25 and 400."""
    sizes = [(repetition, d) for repetition in (1, 2) for d in (25, 400)]
    rows = [
        {"benchmark": part, "repetition": r, "contestant": f"d = {d}", "per_s": r / d**2, "mflop": 3 * d, "mbyte": d}
        for r, d in sizes
    ]
    return pd.DataFrame(rows)


def test_growth_is_that_of_time_over_that_of_operations(script):
    grown = script("summary").growths(growth_rows()).iloc[0]
    assert grown[["time ~ d^", "operations ~ d^", "bytes ~ d^"]].tolist() == pytest.approx([2, 1, 1])
    assert grown[["median", "min", "max"]].tolist() == pytest.approx([16, 16, 16])


def test_ratios_are_taken_within_a_repetition(script, tmp_path):
    summary = script("summary")
    rates = {"ntprl.pretrain": [12, 20, 30], "transformers.Trainer": [3, 4, 10], "padded loop": [10, 20, 30]}
    rates["Trainer, fused GELU"] = [4, 5, 6]
    rows = [
        {"benchmark": "pretraining", "repetition": i, "contestant": name, "per_s": rate, "mflop": 500.0, "mbyte": 100.0}
        for name, of_name in rates.items()
        for i, rate in enumerate(of_name)
    ]
    facts = {"ceilings": {"product_gflop_per_s": 100.0, "copy_gb_per_s": 4.0}}
    script("tables").write_files(tmp_path / "pretraining.csv", pd.DataFrame(rows), facts)
    goal = {"benchmark": "goal mistral", "repetition": [1, 2], "contestant": "ntprl"}
    goal |= {"seconds": 10.0, "accuracy": [1.0, 0.5]}
    peer = goal | {"contestant": "Trainer and GRPOTrainer", "seconds": 50.0, "accuracy": 1.0}
    runs = pd.concat((pd.DataFrame(goal), pd.DataFrame(peer)))  # and no other part of this table
    script("tables").write_files(tmp_path / "posttraining.csv", runs.assign(state=""), facts)
    table = summary.summarise(tmp_path)
    assert table[["n", "median", "min", "max", "met"]].iloc[0].tolist() == [3, 4, 3, 5, "met"]
    assert table[["median", "met"]].iloc[2].tolist() == [1, "not met"]
    raced = table[table["quantity"] == "time, beside / ours"].iloc[0]
    assert (raced["max"], raced["min"]) == (5.0, 0.0)  # the second never got there
    assert (table["n"] > 0).sum() == 5 and (table[table["n"] == 0]["met"] == "not yet run").all()
    shares = summary.fractions(tmp_path).set_index("what")
    assert list(shares.index) == ["pre-training, sequences/s"]
    assert shares.iloc[0].to_dict() == pytest.approx({"of product": 0.1, "of copy": 0.5, "of limit": 0.5})


def test_the_summary_names_scripts_columns_and_contestants_as_they_do(benchmarks, script, lively_model):
    model, summary = lively_model(TASK), script("summary")
    assert {c.table for c in summary.COMPARISONS} == {one.name for one in script("run").SCRIPTS}
    assert {c.quantity for c in summary.COMPARISONS} == set(summary.QUANTITIES)
    names = {"grpo": benchmarks.grpo_contestants(model, TASK, CONFIG, TASK.r_e2e, 1)}
    names["generate"] = benchmarks.generate_contestants(model, TASK, 2, 2)
    names |= {benchmark: {"ntprl", benchmarks.PEERS, ""} for benchmark in (benchmarks.LIVE, benchmarks.OLDER)}
    pretraining = benchmarks.pretraining
    names |= {benchmark: pretraining.TRAIN[style] for style, benchmark in pretraining.BENCHMARKS.items()}
    compared = [c for c in summary.COMPARISONS if c.table in ("pretraining", "posttraining")]
    assert len(compared) >= 14 and all({c.ours, c.beside} <= set(names[c.rows["benchmark"]]) for c in compared)
    assert {c.rows["benchmark"] for c in compared} == set(names)


def test_an_altered_or_lonely_table_is_refused(script, tmp_path, refused):
    tables, path = script("tables"), tmp_path / "any.csv"
    assert tables.read_files(path) is None
    tables.write_files(path, pd.DataFrame({"a": [1, 2]}), {})
    assert tables.read_files(path)[0]["a"].tolist() == [1, 2]
    path.write_text("a\n1\n3\n")
    with refused("altered"):
        tables.read_files(path)
    path.unlink()
    with refused("do not make a pair"):
        tables.read_files(path)


def test_the_committed_summary_and_page_are_those_of_the_tables(script, tmp_path):
    performance, written = script("performance"), ROOT / "benchmarks" / "summary.csv"
    script("tables").write_files(tmp_path / "summary.csv", script("summary").summarise(), {})
    again = "make it again: python benchmarks/run.py --only, python tools/performance.py"
    assert (tmp_path / "summary.csv").read_text() == written.read_text(), again
    assert performance.page() == performance.PAGE.read_text(), again
    readme = performance.README.read_text()
    assert performance.with_bars(readme) == readme, again
    assert performance.bars(tmp_path).count("not yet run") > len(script("summary").COMPARISONS)  # without tables
    assert performance.page(tmp_path).count("not yet run") > 10


def test_profiles_add_up(benchmarks, lively_model):
    sizes = benchmarks.replace(benchmarks.SMOKE, prompts=4, group=4)
    for parts in benchmarks.profiles(lively_model(TASK), TASK, sizes, TASK.r_e2e).values():
        assert sum(list(parts.values())[:4]) == pytest.approx(1, abs=0.01)  # four groups, then single operators
        assert parts["matrix products"] > 0


# --- the runner ---


def test_the_runner_replaces_a_pair_only_after_a_good_end(script, tmp_path, monkeypatch):
    run, folder = script("run"), tmp_path / "tables"
    folder.mkdir()
    monkeypatch.setattr(run, "HERE", tmp_path)
    table = "import pathlib, sys; out = pathlib.Path(sys.argv[-1]); out.parent.mkdir(); out.write_text('new');"
    pair = table + "out.with_suffix('.json').write_text(' '.join(sys.argv[1:]))"
    texts = {"good": pair, "bad": pair + "; sys.exit(3)", "half": table, "slow": table + "import time; time.sleep(60)"}
    said = {"good": run.DONE, "bad": "ended with exit code 3", "half": "wrote no half.json", "slow": "the time was up"}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
        (folder / f"{name}.csv").write_text("old")
        outcome = run.run_script(run.Script(name, "--x 1"), folder, 1, False, 1 if name == "slow" else 20)
        assert outcome.endswith(said[name])
        assert (folder / f"{name}.csv").read_text() == ("new" if name == "good" else "old")
    assert (folder / "good.json").read_text() == "--x 1 --threads 1 --out benchmarks/good.csv"
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_smoke_run_does_not_touch_the_committed_tables(script, monkeypatch, refused):
    monkeypatch.setattr(sys, "argv", ["run.py", "--smoke"])
    with refused("folder"):
        script("run").main()


# --- on a GPU, rehearsed without one ---


@pytest.fixture
def gpu(benchmarks, script):
    return script("gpu")


def gpu_start(gpu, style: str):
    run = change(PRETRAINING, d=5, batch=16, width=16, n_head=2, style=style)
    return gpu.Start(run, run.model.build(run, "cpu", None))


@both_styles
def test_a_step_with_fixed_shapes_is_the_plain_one(gpu, style, capsys):
    """Losses and weights after twenty steps, as the script demands them before it times anything."""
    start, shapes = gpu_start(gpu, style), set()
    take = gpu.StaticStep.take

    def watched(step):
        shapes.add(tuple(table.shape for table in step.views(step.tokens)))
        labels = step.views(step.tokens)[1::2]
        shapes.add(("padded", any(bool((table == PAD).all(dim=1).any()) for table in labels)))
        take(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu.StaticStep, "take", watched)
        gpu.require_equal_steps(start, captured=False, n_members=2)
    assert len(shapes) == 2 and ("padded", True) in shapes  # one set of shapes, and rows without a demonstration
    assert capsys.readouterr().out.count("differ by") == 4
    step = gpu.StaticStep(start, gpu.PretrainConfig(gpu.EQUAL_STEPS, 16))
    step.train(lambda done: None)
    pairs = zip(step.model.parameters(), start.initial.parameters(), strict=True)
    assert all(not torch.equal(now, then) for now, then in pairs)


@pytest.mark.parametrize("wrong", ["padding is learned", "no clipping", "another rate", "too few rows"])
def test_a_step_that_does_something_else_stops_the_script(gpu, refused, monkeypatch, wrong):
    class Other(gpu.StaticStep):
        def load(self, step):
            super().load(step)
            if wrong == "padding is learned":
                self.tokens.masked_fill_(self.tokens == PAD, TASK.eos)

        def take(self):
            with pytest.MonkeyPatch.context() as patch:
                if wrong == "no clipping":
                    patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
                super().take()

    monkeypatch.setattr(gpu, "StaticStep", Other)
    if wrong == "another rate":
        monkeypatch.setattr(gpu, "learning_rate", lambda config, step: config.lr)
    if wrong == "too few rows":
        monkeypatch.setattr(gpu, "capacity", lambda batch, share: 1)
    with refused("have room" if wrong == "too few rows" else "nothing is timed"):
        gpu.require_equal_steps(gpu_start(gpu, "gpt2"), captured=False, n_members=2)


@both_styles
def test_warming_up_for_a_graph_leaves_no_trace(gpu, monkeypatch, style):
    """The capture with stand-ins for the parts of torch.cuda: a replay is the step itself."""
    step = gpu.StaticStep(gpu_start(gpu, style), gpu.PretrainConfig(4, 16, warmup=0))
    plain = gpu.StaticStep(gpu_start(gpu, style), gpu.PretrainConfig(4, 16, warmup=0))
    cuda = {
        "Stream": lambda device: MagicMock(),
        "current_stream": lambda device: MagicMock(),
        "stream": lambda stream: nullcontext(),
        "graph": lambda graph: nullcontext(),
        "CUDAGraph": lambda: SimpleNamespace(replay=step.take),
    }
    for name, stand_in in cuda.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    step.capture()
    for now, then in zip(step.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(now, then)
    moments = [tensor for of_one in step.optimizer.state.values() for tensor in of_one.values()]
    assert moments and not any(tensor.any() for tensor in moments)
    assert torch.equal(*(torch.stack(one.train(lambda done: None)) for one in (step, plain)))
    for now, then in zip(step.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(now, then)


@pytest.mark.slow
def test_the_gpu_script_rehearses_on_the_cpu(gpu, script, tmp_path, monkeypatch):
    limits, threads = script("limits"), torch.get_num_threads()
    monkeypatch.setattr(limits, "PRODUCT", 64)
    monkeypatch.setattr(limits, "COPY", 1000)
    out = tmp_path / "gpu.csv"
    options = f"--device cpu --smoke --repetitions 1 --threads 1 --out {out}"
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options.split()])
    try:
        gpu.main()
    finally:
        torch.set_num_threads(threads)
    runs, facts = script("tables").read_files(out)
    assert {"command", "commit", "device", "started_utc", "ceilings", "sizes"} <= facts.keys()
    assert (runs["per_s"] > 0).all()
    for style in STYLES:
        found = runs[runs["state"].str.startswith(style)]
        names = {"ntprl.pretrain", "static shapes", "ensemble of 2", "ntprl.posttrain", "ntprl.sample"}
        assert set(found["contestant"]) == names
        assert list(found["benchmark"].unique()) == ["pretraining", "grpo", "sampling"]
    assert {path.name for path in tmp_path.iterdir()} == {"gpu.csv", "gpu.json"}


@pytest.mark.parametrize(
    "options, words",
    [
        ("", ("device = 'cuda'", "must be one of cpu on this machine")),
        ("--device cuda:99", ("device = 'cuda:99'", "on this machine")),
        ("--device cpu", ("device = 'cpu'", "--smoke")),
    ],
)
def test_without_a_gpu_the_script_ends_in_one_line(gpu, refused, monkeypatch, options, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options.split()])
    with refused(*words):
        gpu.main()


def test_the_tables_of_a_gpu_are_no_part_of_the_summary(script):
    assert "gpu" not in {c.table for c in script("summary").COMPARISONS} | {one.name for one in script("run").SCRIPTS}
    recipe = (ROOT / "Makefile").read_text().split("\nbench:")[1].split("\n\n")[0]
    assert "gpu.py --device $(DEVICE) --out benchmarks/gpu.csv" in recipe


# --- the scripts, at their smallest ---

SMOKE = {
    "pretraining": "--smoke --profile --steps 1 --repetitions 1 --threads 1",
    "growth": "--smoke --repetitions 1 --threads 1",
    "ensemble": "--smoke --repetitions 1 --threads 1",
    "linear_chain": "--smoke",
    "posttraining": "--smoke --only goal --rounds 1 --threads 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKE)
def test_a_script_writes_what_the_summary_reads(benchmarks, script, tmp_path, monkeypatch, name):
    module, summary, limits = script(name), script("summary"), script("limits")
    monkeypatch.setattr(limits, "PRODUCT", 64)
    monkeypatch.setattr(limits, "COPY", 1000)
    out, options, threads = tmp_path / f"{name}.csv", SMOKE[name].split(), torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options, "--out", str(out)])
    try:
        module.main()
    finally:
        torch.set_num_threads(threads)
    runs, facts = script("tables").read_files(out)
    assert {"command", "commit", "device", "started_utc", "ceilings"} <= facts.keys()
    assert min(facts["ceilings"]["product_gflop_per_s"], facts["ceilings"]["copy_gb_per_s"]) > 0
    assert ("profile" in facts) == ("--profile" in options)
    compared = [c for c in summary.COMPARISONS if c.table == name and len(summary.selected(runs, c))]
    assert compared
    for c in compared:
        values = summary.QUANTITIES[c.quantity][0](summary.selected(runs, c), c)
        assert len(values) == 1
        assert (values >= 0).all()
        if c.quantity == "rate, ours / beside":
            mine = runs[runs["contestant"] == c.ours]
            assert summary.share_of_limit(summary.selected(mine, c), c.column, facts)["of limit"] > 0


def test_the_page_draws_every_ratio_where_it_is_and_speaks_to_readers(script):
    performance, table = script("performance"), script("summary").summarise()
    page = performance.page()
    ratios = table[table["quantity"].isin(performance.RATIOS)]
    assert set(ratios["what"]) == {name for names in performance.GROUPS.values() for name in names}
    ratios = ratios[ratios["n"] > 0]  # the others say in words that they were not run
    drawn = [float(place) for place in re.findall(r'class="dot" style="left:([\d.]+)%"', page)]
    expected = 100 * np.log(ratios["median"] / 0.5) / np.log(200)  # from 1/2 to 100, logarithmic
    assert sorted(drawn) == pytest.approx(sorted(expected), abs=0.06)
    assert page.count(" repetitions</span>") == (ratios["n"] < 5).sum()
    assert performance.dots(table.assign(n=3)).count("3 repetitions</span>") == performance.dots(table).count("beside")
    assert not re.search(r"(?i)\b(bars?|aims?|not met)\b", page)
