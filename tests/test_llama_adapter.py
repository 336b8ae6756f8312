"""The adapter gives ntprl's loops what the library's own model gives."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import LlamaForCausalLM

from ntprl import checkpoint
from ntprl.book.baselines import Baselines
from ntprl.book.run import Run, as_kind, change, config_hash
from ntprl.errors import InputError
from ntprl.llama.adapter import Llama, LlamaShape, tokenizer
from ntprl.llama.config import preset
from ntprl.llama.models import LlamaModel, base_of
from ntprl.llama.run import LlamaRun
from ntprl.mixture import Mixture
from ntprl.policy_gradient import answer_logits, pack
from ntprl.pretrain import make_optimizer, next_token_loss, similar_lengths, take_step
from ntprl.sampling import sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.words.runs import WORDS, TrlFromOurStart, TrlRun, word_problems
from ntprl.tasks.rows import completion, prompt
from ntprl.tasks.task import PAD, Demonstrations
from ntprl.tasks.words import EOS_ID, PAD_ID, VOCABULARY, WordProblems, solve

TASK = WordProblems(high=4)
SHAPE = LlamaShape(TASK.vocab_size, TASK.prompt_length + TASK.long_length, n_layer=2, width=32, n_head=2)
TINY = dict(n_layer=1, width=16, n_head=2, high=3, steps=3, batch=8, n_points=1, n_eval=8, warmup=1)
ONE_PHASE = change(WORDS, rl=None, kind="WordRun", **TINY)
BOTH_PHASES = change(WORDS, **TINY, rounds=2, rollouts=16, group=4, n_eval_rl=8)
STEADY = change(BOTH_PHASES, cooldown=0.0)  # as TRL trains
BY_TRL = as_kind(STEADY, TrlRun, "WordTrl")


@pytest.fixture(scope="module")
def model():
    """Sharp random weights, so that greedy answers differ and a draw's order matters."""
    model = Llama(SHAPE, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.model.lm_head.parameters():
            parameter.mul_(6)
    return model.eval()


@pytest.fixture(scope="module")
def prompts():
    return TASK.prompts(12, np.random.default_rng(0))


def unpadded(model, tokens) -> torch.Tensor:
    """The library's logits for one row without padding, (T, V)."""
    row = [t for t in tokens if t != PAD_ID]
    return model.model(torch.tensor([row])).logits[0]


@torch.no_grad()
def test_padding_changes_no_logit(model, prompts):
    """One by one, without padding and without our mask, by the library alone."""
    logits = model(torch.as_tensor(prompts), n_out=5)
    for row, found in zip(prompts, logits, strict=True):
        torch.testing.assert_close(found, unpadded(model, row)[-5:], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_cached_logits_equal_uncached_ones(model, prompts):
    answers = np.maximum(TASK.long(prompts), PAD_ID)[:, :-1]  # an end is never read
    whole = model(torch.as_tensor(np.hstack((prompts, answers))), n_out=answers.shape[1] + 1)
    cache = model.new_cache(len(prompts))
    parts = [model(torch.as_tensor(prompts), n_out=1, cache=cache)]
    order = torch.arange(len(prompts)).flip(0)
    cache.keep_rows(order)
    for column in answers.T:
        parts.append(model(torch.as_tensor(column[order.numpy()][:, None]), cache=cache)[order])
    text = torch.as_tensor(np.hstack((np.full((len(prompts), 1), True), answers != PAD_ID)))
    torch.testing.assert_close(torch.cat([parts[0], *parts[1:]], dim=1)[text], whole[text], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_greedy_answers_are_those_of_the_library_s_generate(model, prompts):
    found = sample(model, prompts, EOS_ID, 12, temperature=0)
    tokens = torch.as_tensor(prompts)
    settings = dict(max_new_tokens=12, do_sample=False, eos_token_id=EOS_ID, pad_token_id=PAD_ID)
    theirs = model.model.generate(tokens, attention_mask=(tokens != PAD_ID).long(), **settings)[:, prompts.shape[1] :]
    for mine, other in zip(found, theirs.numpy(), strict=True):
        end = list(mine).index(EOS_ID) + 1 if EOS_ID in mine else len(mine)
        assert mine[:end].tolist() == other[:end].tolist()
    assert len({tuple(row) for row in found}) > 3


def test_the_loss_is_the_library_s_own(model, prompts):
    """Mean over the answer tokens of the whole batch, by transformers' labels, one demonstration at a time."""
    long, short = Mixture(TASK, 0.5).draw(16, np.random.default_rng(2))
    total, count = 0.0, 0
    for part in (long, short):
        for asked, answer in zip(part.prompts, part.answers, strict=True):
            asked, answer = asked[asked != PAD_ID], answer[answer != PAD]
            tokens = torch.tensor([[*asked, *answer]])
            labels = tokens.clone()
            labels[:, : len(asked)] = -100
            total += model.model(tokens, labels=labels).loss.item() * len(answer)
            count += len(answer)
    assert next_token_loss(model, (long, short)).item() == pytest.approx(total / count, rel=1e-4)


def test_shared_prompts_in_the_update_change_no_logit(model, prompts):
    answers = np.repeat(TASK.long(prompts), 2, axis=0)
    answers[1::2] = PAD
    answers[1::2, :3] = TASK.short(prompts)
    ones = np.ones((len(prompts), 2))
    batch = pack(prompts, answers, ones, ones, "cpu")
    for logits, part in zip(answer_logits(model, batch), batch.parts, strict=True):
        for found, row, answer in zip(logits, part.rows, part.tokens, strict=True):
            answer = answer[answer != PAD]
            expected = unpadded(model, [*batch.prompts[row].tolist(), *answer.tolist()])[-len(answer) - 1 : -1]
            torch.testing.assert_close(found[: len(answer)], expected, atol=1e-4, rtol=1e-4)


def test_similar_lengths_keep_every_demonstration():
    asked, long = TASK.prompts(37, np.random.default_rng(3)), None
    long = TASK.long(asked)
    parts = list(similar_lengths(Demonstrations(asked, long)))
    assert len(parts) > 1
    assert min(len(part.prompts) for part in parts) >= 8
    seen = {(tuple(p), tuple(a[a != PAD])) for part in parts for p, a in zip(part.prompts, part.answers, strict=True)}
    assert seen == {(tuple(p), tuple(a[a != PAD])) for p, a in zip(asked, long, strict=True)}
    padding = sum((part.answers == PAD).sum() for part in parts)
    assert padding < (long == PAD).sum()
    short = Demonstrations(asked, TASK.short(asked))
    assert list(similar_lengths(short)) == [short]


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    first = Llama(SHAPE, torch_rng(3, "init"))
    torch.manual_seed(6)
    state = torch.get_rng_state()
    second, other = Llama(SHAPE, torch_rng(3, "init")), Llama(SHAPE, torch_rng(4, "init"))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.embed.weight, other.embed.weight)


def test_checkpoints_hold_the_library_s_weights(model, tmp_path):
    twin = Llama(SHAPE, torch.Generator().manual_seed(9))
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, model, step=3)
    assert checkpoint.restore(path, twin) == {"step": 3}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert isinstance(twin.model, LlamaForCausalLM)


def test_the_tokenizer_is_the_task_s_own(tmp_path):
    ours = tokenizer()
    for question in TASK.questions(50, np.random.default_rng(4)):
        row = solve(question)
        for text in (prompt(question), completion(row, True), completion(row, False)):
            ids = ours(text)["input_ids"]
            assert "".join(VOCABULARY[i] for i in ids) == text == ours.decode(ids)
    ours.save_pretrained(tmp_path)
    from transformers import AutoTokenizer

    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text)["input_ids"] == ids
    assert (again.pad_token_id, again.eos_token_id) == (PAD_ID, EOS_ID)


def test_too_long_a_text_is_refused(model):
    with pytest.raises(InputError, match=f"holds {SHAPE.max_length} positions"):
        model(torch.ones(1, SHAPE.max_length + 1, dtype=torch.long))


def test_both_phases_and_what_a_folder_keeps(tmp_path):
    run = BOTH_PHASES
    whole = run.run()
    assert whole.groupby("phase")["step"].max().to_dict() == {"pretraining": 3, "rl": 2}
    for _ in range(2):  # the second reads what the first left
        again = run.recover(folder=tmp_path).table
        assert whole.drop(columns="seconds").equals(again.drop(columns="seconds"))


def test_a_base_is_trained_once_on_solutions_with_its_own_mark(tmp_path):
    run = change(ONE_PHASE, base_steps=4, base_mark="@@@@")
    assert base_of(run) == change(ONE_PHASE, steps=4, p_cot=1.0, mark="@@@@", seed=1000, base_steps=0)
    assert base_of(ONE_PHASE) is None
    first = run.trained(tmp_path)[1]
    base, own = (tmp_path / f"start-{config_hash(each)}.safetensors" for each in (base_of(run), run))
    written = base.stat().st_mtime_ns
    own.unlink()
    assert run.trained(tmp_path)[1].equals(first)
    assert base.stat().st_mtime_ns == written  # read, not trained again
    assert not run.train()[1].equals(ONE_PHASE.train()[1])


@pytest.mark.slow
def test_trl_trains_the_same_model_to_the_same_kind_of_table():
    pytest.importorskip("trl")
    by_trl, by_us = (change(run, steps=4, n_points=2) for run in (BY_TRL, STEADY))
    theirs, ours = by_trl.run(), by_us.run()
    measured = ours[ours["greedy_accuracy"].notna()]
    pd.testing.assert_frame_equal(theirs[["phase", "step"]], measured[["phase", "step"]].reset_index(drop=True))
    assert set(theirs) <= set(ours)
    first = theirs.iloc[0].drop("phase").dropna()
    pd.testing.assert_series_equal(first, ours.iloc[0][first.index], check_dtype=False)  # the same random weights
    still = change(by_trl, lr=1e-9).run()  # what is measured is the model that TRL trains
    assert (still["link_error"] != theirs["link_error"]).tolist() == [False] + 5 * [True]


@pytest.mark.slow
def test_trl_goes_on_from_our_start(tmp_path):
    pytest.importorskip("trl")
    theirs, ours = as_kind(STEADY, TrlFromOurStart, "WordTrlShared"), STEADY
    assert theirs.start == ours.start and BY_TRL.start is None
    table, measured = theirs.run(folder=tmp_path), ours.run(folder=tmp_path)
    assert len(list(tmp_path.glob("start-*"))) == 1  # one start for both
    until_rl = (table["phase"] == "pretraining") | (table["step"] == 0)
    same = measured[measured["greedy_accuracy"].notna()].reset_index(drop=True)[table.columns]
    pd.testing.assert_frame_equal(table[until_rl], same[until_rl], check_dtype=False)


@pytest.mark.parametrize(
    "changed", [dict(algorithm="star"), dict(reward="r_cot"), dict(cooldown=0.5), dict(epochs=2), dict(rl=None)]
)
def test_what_trl_is_not_asked_for_is_refused(refused, changed):
    [(name, value)] = changed.items()
    with refused(f"{name} = {value!r}", "where TRL trains"):
        change(BY_TRL, **changed)


def test_trl_too_goes_on_from_a_base():
    """One of our own loops, whose base has no second phase."""
    run = change(BY_TRL, base_steps=2)
    base = base_of(run)
    assert type(base) is Run and base.rl is None
    assert base.task == run.task and base.pretraining == change(run, steps=2).pretraining
    assert base.model == LlamaModel(n_layer=1, width=16, n_head=2)
    built, trained, random = run.model.build(run, "cpu", None), base.train()[0], BY_TRL.model.build(BY_TRL, "cpu", None)
    assert all(torch.equal(a, b) for a, b in zip(built.parameters(), trained.parameters(), strict=True))
    assert not torch.equal(built.embed.weight, random.embed.weight)


def test_baselines_leave_out_what_says_nothing_here():
    table = as_kind(BOTH_PHASES, Baselines, "WordBaselines").run()
    assert set(table["method"]) == {"rl", "continue", "reweighted", "long only", "majority", "best of"}


@pytest.mark.parametrize(("name", "value"), [("style", "gpt2"), ("base_steps", -1), ("base_mark", "!!"), ("width", 30)])
def test_bad_settings_are_refused(refused, name, value):
    with refused(f"{name} = {value!r}"):
        word_problems("smoke", **{name: value})


def test_one_step_learns(prompts):
    model = Llama(SHAPE, torch.Generator().manual_seed(1))
    parts = Mixture(TASK, 0.5).draw(16, numpy_rng(0, "data"))
    before, optimizer = next_token_loss(model, parts), make_optimizer(model, 1e-3)
    take_step(model, optimizer, before, 1e-3)
    assert next_token_loss(model, parts) < before


@torch.no_grad()
def test_a_group_that_shares_its_cache_writes_what_each_would_alone(model, prompts):
    """At a temperature near 0 all four answers to a prompt are the greedy one, and share all they have read."""
    drawn = sample(model, prompts, EOS_ID, 10, 1e-6, torch.Generator().manual_seed(0), group=4)
    alone = [sample(model, row[None], EOS_ID, 10, temperature=0)[0].tolist() for row in prompts for _ in range(4)]
    assert [[t for t in row if t != PAD] for row in drawn.tolist()] == [[t for t in row if t != PAD] for row in alone]


def test_a_recording_of_published_weights_runs_in_a_folder_of_its_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("ntprl.llama.run.run", lambda config, folder: asked.append((config, Path(folder))))
    gpu = LlamaRun(**asdict(preset("llama-3.2-3b")))
    gpu.run("cuda", tmp_path)
    assert asked == [(gpu, tmp_path / config_hash(gpu))]
    with pytest.raises(InputError, match="device = 'cpu'"):
        gpu.run("cpu", tmp_path)
