"""Runs on parity in words: what is measured, against answers that are counted; and verdicts from made-up tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from ntprl.book.readings import at_round
from ntprl.book.run import change, config_hash
from ntprl.book.sweep import run_one
from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED
from ntprl.llama.adapter import tokenizer
from ntprl.llama.by_trl import task_reward
from ntprl.records import is_recorded
from ntprl.sampling import sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.coin import claims, needs
from ntprl.studies.coin.runs import (
    PUBLISHED,
    CoinContinued,
    CoinTrl,
    CoinTuned,
    coin,
    coin_measures,
    is_published,
    made,
    published,
)
from ntprl.studies.coin.tables import BY_TRL, CONTINUED, TABLES, TUNED
from ntprl.tasks.coin import END, PIECE, tokens_of
from ntprl.tasks.task import PAD, lengths

pytest.importorskip("transformers")
SMOKE = dict(steps=3, batch=8, n_eval=8, rounds=1, rollouts=8, group=4, n_eval_rl=8, width=16)


class Told:
    """A model that goes on as the long answer says with probability p at first, q at the second token, then 1 - e."""

    def __init__(self, task, p: float, q: float, e: float = 0.0):
        self.task, self.levels, self.e = task, (p, q), e
        self.embed = torch.nn.Embedding(1, 1)

    def __call__(self, tokens, n_out=None, cache=None):
        assert cache is None  # teacher forcing alone
        prompts = tokens[:, : self.task.prompt_length].numpy()
        long = np.maximum(self.task.long(prompts), 0)
        chances = [*self.levels, *[1 - self.e] * (long.shape[1] - 2)]
        probability = np.zeros((*long.shape, self.task.vocab_size))
        for t, chance in enumerate(chances):
            probability[np.arange(len(long)), t, long[:, t]] = chance
            probability[np.arange(len(long)), t, (long[:, t] + 1) % self.task.vocab_size] += 1 - chance
        return torch.as_tensor(probability + 1e-30).log()[:, -n_out:]


@pytest.mark.parametrize("marked, expected", [(False, 0.6 * 0.4), (True, 0.6)])
def test_long_is_what_begins_as_the_long_answer_and_its_tokens_count_from_there(monkeypatch, marked, expected):
    task = change(coin("smoke"), marked=marked).task
    monkeypatch.setattr("ntprl.studies.coin.runs.greedy", lambda model, prompts, *args: task.short(prompts))
    monkeypatch.setattr("ntprl.studies.coin.runs.sample", lambda model, prompts, *args, **more: task.long(prompts))
    row = coin_measures(Told(task, 0.6, 0.4, 0.1), task, 16, seed=0, step=0)
    assert row["long_probability"] == pytest.approx(expected)
    assert row["first_probability"] == pytest.approx(0.6)
    assert row["greedy_accuracy"] == row["sampled_accuracy"] == row["sampled_long"] == 1 and row["greedy_long"] == 0
    wrong = 0.1 if not marked else (0.6 + 0.1 * (task.long_length - 1)) / task.long_length
    assert row["link_error"] == pytest.approx(wrong, abs=0.01)  # the end token takes some of the last
    assert np.isnan(row["go_on_probability"]) if marked else row["go_on_probability"] == pytest.approx(0.4)
    assert row["chain_accuracy"] == (0 if marked else 1)


def test_p_long_is_the_share_of_long_answers():
    """By many samples of a model that has learned a little."""
    run = coin("smoke", steps=60, people=2, batch=64, lr=3e-3, rounds=0)
    model, _ = run.start.train()
    row = coin_measures(model, run.task, 24, seed=0, step=0)
    prompts = run.task.prompts(24, numpy_rng(0, "evaluation", 0), test=True)
    answers = sample(
        model, prompts, run.task.eos, run.task.long_length + 1, generator=torch_rng(5, "evaluation"), group=60
    )
    begins = (answers[:, :2] == np.repeat(run.task.long(prompts)[:, :2], 60, axis=0)).all(axis=1)
    assert 0.02 < row["long_probability"] < 0.98
    assert row["long_probability"] == pytest.approx(begins.mean(), abs=0.03)
    assert (lengths(answers, run.task.eos) >= 0).all() and PAD < 0


def test_other_phases_share_the_start(tmp_path):
    run = change(coin("smoke"), **SMOKE)
    again = change(CoinContinued(run.task, rl=run.rl), seed=run.seed, model=run.model, pretraining=run.pretraining)
    again = change(again, evaluation=run.evaluation)
    assert config_hash(again.start) == config_hash(run.start)
    assert config_hash(CONTINUED.start) == config_hash(PUBLISHED.start)
    table = run.run(folder=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    more = again.run(folder=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    first = ["greedy_accuracy", "link_error"]
    assert more.query("phase == 'pretraining'")[first].equals(table.query("phase == 'pretraining'")[first])
    rows = more.query("phase == 'continued'")
    assert rows["step"].tolist() == [0, 1]  # 8 answers are one step of 8 demonstrations
    assert rows["link_error"].nunique() == 2


@pytest.mark.slow
def test_trl_goes_on_from_our_start_and_after_a_stop(tmp_path, monkeypatch):
    pytest.importorskip("trl")
    run = change(coin("smoke"), **SMOKE | dict(rounds=4, eval_every=2))
    parts = dict(model=run.model, pretraining=run.pretraining, rl=run.rl, evaluation=run.evaluation, seed=run.seed)
    theirs = CoinTrl(run.task, **parts)
    assert config_hash(theirs.start) == config_hash(run.start)
    assert config_hash(BY_TRL.start) == config_hash(PUBLISHED.start)
    ours = run.run(folder=tmp_path)
    table, measured = theirs.run(folder=tmp_path), ours[ours["greedy_accuracy"].notna()].reset_index(drop=True)
    assert table.groupby("phase")["step"].apply(list).to_dict() == {"pretraining": [0, 3], "rl": [0, 2, 4]}
    table, first = table.reset_index(drop=True), table.columns.drop("peak_gb")
    until_rl = (table["phase"] == "pretraining") | (table["step"] == 0)
    pd.testing.assert_frame_equal(table.loc[until_rl, first], measured.loc[until_rl, first], check_dtype=False)
    assert list(tmp_path.glob("trl-*")) == []  # what TRL kept is gone
    looked = []

    def stopped(*args):
        looked.append(args)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return coin_measures(*args)

    monkeypatch.setattr("ntprl.studies.coin.runs.coin_measures", stopped)
    with pytest.raises(KeyboardInterrupt):
        theirs.run(folder=tmp_path)
    again = theirs.run(folder=tmp_path)
    assert len(looked) == 4  # round 4 alone is measured again
    assert again["step"].tolist() == table["step"].tolist()


def test_what_trl_is_not_asked_for_is_refused(refused):
    with refused("algorithm = 'star'", "where TRL trains"):
        change(BY_TRL, algorithm="star")
    with refused("minibatches = 2", "where TRL trains"):
        change(BY_TRL, minibatches=2)


def test_tokenizer_and_reward_are_the_task_s_own():
    task = PUBLISHED.task
    words = tokenizer(task.vocabulary, PIECE, END)
    prompts = task.prompts(40, np.random.default_rng(0))
    texts = [task.text(prompt) for prompt in prompts]
    assert words(texts)["input_ids"] == prompts.tolist()
    assert words.eos_token_id == task.eos and words.batch_decode(words(texts)["input_ids"]) == texts
    judge = task_reward(task, tokens_of)
    cut = np.array([row[:-1] for row in task.long(prompts)])  # right, and not ended
    wrong = task.short(prompts)
    wrong[:, 0] = task.states(prompts)[:, 0]
    for answers in (task.long(prompts), task.short(prompts), cut, wrong):
        found = judge(prompts=texts, completion_ids=[row.tolist() for row in answers], completions=None)
        assert found == task.r_e2e(prompts, answers).astype(float).tolist()
    assert 0 < np.mean(found) < 1


def test_a_tuned_run_is_measured_at_its_end_alone(tmp_path):
    run = change(coin("smoke"), **SMOKE)
    tuned = CoinTuned(run.task, model=run.model, pretraining=run.pretraining, evaluation=run.evaluation)
    run_one(tuned, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]  # its checkpoint is gone
    assert tuned.run()["step"].tolist() == [3]


def test_the_recorded_runs_are_those_of_the_protocol():
    tables = {each.name: each.configs for each in TABLES}
    assert [config.seed for config in tables["coin_published"]] == [0, 1, 2]
    starts = {config_hash(config.start) for config in tables["coin_published"]}
    for name in ("coin_published_controls", "coin_published_continued"):
        shared = [config_hash(config.start) for config in tables[name] if config.p_cot > 0]
        assert len(shared) >= 2 and set(shared) <= starts
    assert all(config.start is None for name in ("thresholds", "marked") for config in tables[f"coin_published_{name}"])
    assert TUNED.evaluation.n_eval > PUBLISHED.evaluation.n_eval
    assert published(dry_run=True, seed=3).rl.rounds == 1


# --- verdicts ---


def made_up(seeds=3, start=None, end=None, phase="rl", **setting) -> pd.DataFrame:
    before = dict(greedy_accuracy=0.5, greedy_long=0.0, greedy_median_length=2.0, long_probability=0.25)
    before |= dict(link_error=0.005) | (start or {})
    after = before | dict(greedy_accuracy=1.0, greedy_long=1.0, greedy_median_length=42.0, long_probability=0.9)
    after |= end or {}
    rows = [
        dict(run=f"{setting}{seed}", seed=seed, phase=phase, step=step) | setting | row
        for seed in range(seeds)
        for step, row in ((0, before), (8, after))
    ]
    return pd.DataFrame(rows)


def test_both_phases_in_every_run_reproduce():
    assert PUBLISHED.task.long_length == 42
    verdict, text = claims.published.criterion(made_up())
    assert verdict == REPRODUCED
    assert text.startswith("3 of 3 runs recover; greedy accuracy 0.50 (seeds")


@pytest.mark.parametrize(
    "start, end, expected",
    [
        (dict(long_probability=0.31), None, PARTLY),
        (dict(long_probability=0.19), None, PARTLY),
        (dict(greedy_long=0.2), None, PARTLY),
        (dict(link_error=0.03), None, PARTLY),
        (None, dict(greedy_accuracy=0.89), NOT_REPRODUCED),
        (None, dict(greedy_median_length=2.0), NOT_REPRODUCED),
        (dict(greedy_accuracy=0.75), dict(greedy_accuracy=0.94), NOT_REPRODUCED),
    ],
)
def test_each_condition_counts(start, end, expected):
    assert claims.published.criterion(made_up(start=start, end=end)).verdict == expected


def test_a_run_that_does_not_recover_makes_it_partly():
    table = pd.concat([made_up(2), made_up(1, end=dict(greedy_accuracy=0.6), other=1)])
    assert claims.published.criterion(table).verdict == PARTLY


SHORT = dict(greedy_accuracy=0.52, greedy_long=0.0, greedy_median_length=2.0, long_probability=0.2)


@pytest.mark.parametrize("control", [0, 1])
@pytest.mark.parametrize("changed", [{}, dict(greedy_accuracy=0.8), dict(greedy_long=0.6)])
def test_either_control_must_stay_short(control, changed):
    ends = [SHORT | (changed if i == control else {}) for i in (0, 1)]
    settings = (dict(p_cot=0.0, reward="r_e2e"), dict(p_cot=0.25, reward="coin"))
    table = pd.concat([made_up(2, end=end, **setting) for end, setting in zip(ends, settings, strict=True)])
    verdict, text = claims.controls.criterion(table)
    assert verdict == (FAILED if changed else HELD)
    assert "no long demonstrations, p_cot = 0" in text and "a coin for a reward, p_cot = 0.25" in text


def switched(at: float, shares, seeds=2) -> pd.DataFrame:
    rows = [
        dict(p_cot=p, seed=s, greedy_long=float(np.clip(0.5 + 5 * (p - at), 0, 1)))
        for p in shares
        for s in range(seeds)
    ]
    return pd.DataFrame(rows)


ALIKE, MARKED = (0.1, 0.2, 0.3, 0.35, 0.4, 0.5), (0.3, 0.4, 0.5, 0.6)


@pytest.mark.parametrize(
    "alike, marked, expected",
    [(0.333, 0.5, HELD), (0.37, 0.46, HELD), (0.4, 0.5, FAILED), (0.333, 0.42, FAILED), (0.333, 0.75, UNDECIDED)],
)
def test_the_switch_must_be_where_it_was_predicted(alike, marked, expected):
    verdict, text = claims.thresholds.criterion(switched(alike, ALIKE), switched(marked, MARKED))
    assert verdict == expected
    assert "alike: half of the greedy answers are long at p_cot = " in text


@pytest.mark.parametrize(
    "same, long, expected",
    [
        (SHORT, {}, HELD),
        (dict(greedy_accuracy=0.71), {}, FAILED),
        (dict(greedy_accuracy=0.29), {}, FAILED),
        (SHORT, dict(greedy_long=0.4), FAILED),
    ],
)
def test_more_of_the_same_must_bring_nothing_and_long_ones_length(same, long, expected):
    parts = [made_up(2, phase="continued", next_p_cot=p, end=end) for p, end in ((0.25, same), (1.0, long))]
    assert claims.continued.criterion(pd.concat(parts)).verdict == expected


@pytest.mark.parametrize(
    "end, expected",
    [
        ({}, HELD),
        (dict(greedy_accuracy=0.8), FAILED),
        (dict(long_probability=0.35), FAILED),
        (dict(long_probability=0.2), FAILED),
    ],
)
def test_trl_must_end_where_we_do(end, expected):
    ours = made_up(3, end=dict(long_probability=0.5))
    theirs = made_up(3, start=dict(long_probability=0.25), end=dict(long_probability=0.5) | end)
    assert claims.by_trl.criterion(theirs, ours).verdict == expected


def test_p_long_must_rise_by_trl_in_every_run():
    low, high = dict(long_probability=0.25), dict(long_probability=0.3)
    theirs = pd.concat([made_up(2, start=low, end=high), made_up(1, start=high, end=high, other=1).assign(seed=2)])
    assert claims.by_trl.criterion(theirs, made_up(3, end=high)).verdict == FAILED


@pytest.mark.parametrize(
    "gains, expected",
    [((0.2, 0.25, 0.3), HELD), ((-0.2, -0.25, -0.3), FAILED), ((0.2, -0.2, 0.3), UNDECIDED)],
)
def test_what_the_reward_adds_to_a_drift(gains, expected):
    rows = []
    for seed, gain in enumerate(gains):
        for reward, by in (("r_e2e", 0.1 + gain), ("coin", 0.1)):
            one = made_up(1, start=dict(long_probability=0.25), end=dict(long_probability=0.25 + by), reward=reward)
            rows.append(one.assign(seed=seed, run=f"{reward} {seed}"))
    assert claims.pairs.criterion(pd.concat(rows)).verdict == expected


def test_live_verdicts_say_what_changed():
    table = made_up(1)
    said = claims.live_verdicts(table, 0.25, 42)
    assert list(said.values()) == ["known", "calibrated", "hardly any", "about half", "nearly all", "that of the chain"]
    spoiled = made_up(1, start=dict(link_error=0.3, long_probability=0.4, greedy_accuracy=0.2), end=SHORT)
    said = claims.live_verdicts(spoiled, 0.25, 42)
    assert list(said.values()) == ["not known", "not calibrated", "hardly any", "not half", "some", "2"]
    assert len(at_round(table, "end")) == 1


# --- what it takes ---

# One step of fine-tuning at p_cot = .25 on one core of the CPU that CPU_CORE describes: seconds of that core, and the
# most memory of the process, GB. Measured with seed 100, on a machine that others used too.
STEP_S, STEP_GB = 8.3, 4.0


def test_the_estimate_of_fine_tuning_is_within_a_factor_of_two_of_what_was_measured():
    row = needs.estimated(PUBLISHED).set_index("phase").loc["sft"]
    seconds = 3600 * row["training_hours"] / PUBLISHED.pretraining.steps
    assert 0.5 < seconds / STEP_S < 2
    assert 0.5 < row["total_gb"] / STEP_GB < 2


def test_recorded_runs_took_what_was_estimated_within_a_factor_of_two():
    table = needs.compared(PUBLISHED)
    assert set(table.index) <= {"fine-tuning", "RL"} and is_recorded("coin_published") == ("RL" in table.index)
    assert table["times too high"].between(0.5, 2).all()
    if "GB, measured" in table:
        weighed = table.dropna()
        assert (weighed["GB, estimate"] / weighed["GB, measured"]).between(0.5, 2).all()


def test_memory_is_that_of_runs_that_say_it(monkeypatch):
    rows = pd.DataFrame({"peak_gb": [np.nan, 3.0, 5.0]})
    monkeypatch.setattr("ntprl.book.store.is_recorded", lambda *_: True)
    monkeypatch.setattr("ntprl.book.store.run_facts", lambda *_: [{"wall_s": 360.0}, {"wall_s": 1080.0}])
    monkeypatch.setattr("ntprl.book.store.load", lambda each: rows if each.name != "coin_published" else rows[[]])
    table = needs.compared(PUBLISHED)
    assert table["hours, measured"].tolist() == [pytest.approx(0.2)] * 2
    assert table["GB, measured"].tolist() == [5.0, 5.0]
    assert table["hours, estimate"].tolist() == pytest.approx(needs.estimated(PUBLISHED)["hours"].tolist())


def test_what_is_not_recorded_is_not_measured(monkeypatch):
    monkeypatch.setattr("ntprl.book.store.is_recorded", lambda *_: False)
    assert needs.compared(PUBLISHED).empty


# --- as a chapter asks for them ---


def test_parity_in_words_needs_the_weights_that_know_the_words(refused):
    assert is_published("smollm2", "coin") and not is_published("smollm2", "openai/gsm8k") and not is_published("", "")
    with refused("model = 'gpt2'", "'smollm2' where dataset = 'coin'"):
        is_published("gpt2", "coin")


def test_a_dry_run_leaves_nothing_and_a_run_is_made_once(tmp_path, monkeypatch):
    run, said = change(coin("smoke"), **SMOKE), []
    monkeypatch.setattr("ntprl.studies.coin.runs.runs_folder", lambda: tmp_path)
    assert made(run, dry_run=True, report=said.append)["phase"].tolist() == ["pretraining", "pretraining", "rl", "rl"]
    assert list(tmp_path.iterdir()) == [] and said[-1].startswith("dry run done")
    table = made(run, report=said.append)
    assert (tmp_path / f"{config_hash(run)}.json").is_file()
    assert made(run, report=said.append).equals(table)  # read, not made again: its seconds are the same
