"""The runs of chapter 8 on transformers: one number trained, prices, noisy demonstrations, calibrated starts."""

import copy

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import torch
from test_records import check_table

from ntprl.book.recording import Recording, grid
from ntprl.book.run import Run, change
from ntprl.book.store import collect
from ntprl.book.sweep import run_one
from ntprl.measure import long_probability
from ntprl.pretrain import pretrain
from ntprl.records import recording
from ntprl.sampling import sample
from ntprl.seeds import torch_rng
from ntprl.studies.one_rule import transformers
from ntprl.studies.one_rule.prices import GatedRun, PricedRun, guess_alike
from ntprl.studies.one_rule.tables import TABLES
from ntprl.studies.one_rule.transformers import (
    LESSONS,
    DrawnMixture,
    Growing,
    LessonRun,
    NoisyStarRun,
    PartsRun,
    RareRun,
    SecondPhase,
    StopBias,
    calibrate,
)
from ntprl.tasks.leap import LeapParity
from ntprl.tasks.noisy import NoisyParity
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD
from ntprl.tasks.two_chains import TwoChains

TINY = dict(n_layer=1, width=16, n_head=2, steps=5, batch=8, warmup=1, n_eval=16, n_points=1)
TINY_RL = TINY | dict(rollouts=16, group=4, rounds=2, n_eval_rl=16)
NEW = [each.name for each in TABLES if not each.name.startswith("modulus")]


def test_the_drawn_mixture_shows_what_the_task_demonstrates():
    task, rng = TwoChains(6), np.random.default_rng(0)
    long, short = DrawnMixture(task, 0.25).draw(2000, rng)
    assert len(long.prompts) == pytest.approx(500, abs=80) and len(long.prompts) + len(short.prompts) == 2000
    left, right = task.chains(long.prompts)
    is_left, is_right = ((long.answers == chain).all(axis=1) for chain in (left, right))
    assert (is_left | is_right).all() and not is_left.all() and not is_right.all()
    assert (short.answers == task.short(short.prompts)).all()


def test_one_number_is_trained_and_nothing_else(lively_model):
    task = Parity(4)
    model = lively_model(task)
    with_bias = StopBias(model, task.eos)
    with torch.no_grad():
        with_bias.stop.fill_(-0.7)
    tokens = torch.as_tensor(task.prompts(5, np.random.default_rng(0)))
    moved = with_bias(tokens) - model(tokens)
    assert torch.allclose(moved[..., task.eos], torch.tensor(-0.7))
    assert (moved[..., [i for i in range(task.vocab_size) if i != task.eos]] == 0).all()
    run = change(PartsRun(task, trains="stop"), **TINY_RL, rl_lr=0.1)
    start = run.start.train()[0]
    prepared = run.prepared(start)
    before = copy.deepcopy(prepared.state_dict())
    log = transformers.posttrain(prepared, task, run.rl, 0)
    changed = {name for name, value in prepared.state_dict().items() if not torch.equal(value, before[name])}
    assert any(row["grad_norm"] > 0 for row in log[:-1]) and changed == {"stop"}


def test_gaps_are_those_of_the_logits(lively_model):
    task = Parity(4)
    run = change(PartsRun(task), **TINY_RL)
    model = lively_model(task)
    row = run.measure_round(0, model)
    prompts = task.prompts(16, transformers.numpy_rng(0, "evaluation", 0), test=True)
    stops, links = [], []
    for prompt in prompts:
        chain = task.long(prompt[None])[0]
        for i in range(1, 4):
            tokens = torch.as_tensor(np.concatenate((prompt, chain[:i])))[None]
            z = model(tokens, n_out=1)[0, 0].detach()
            if i == 1:
                stops.append(float(z[task.eos] - z[chain[1]]))
            links.append(float(z[chain[i]] - z[1 - chain[i]]))
    assert row["stop_gap"] == pytest.approx(np.mean(stops), abs=1e-4)
    assert row["link_gap"] == pytest.approx(np.mean(links), abs=1e-4)


@pytest.mark.parametrize("charged", ["all", "right"])
@pytest.mark.parametrize("gate", [0.0, 0.75])
def test_prices_one_by_one(charged, gate):
    task = Parity(3)
    run = change(PricedRun(task, price=0.1, charged=charged, gate=gate, free_rounds=1), **TINY_RL)
    reward = run.rewarding()
    prompts = np.repeat([[1, 0, 1, 3], [1, 0, 0, 3]], 4, axis=0)  # sums 0 and 1
    answers = np.array([[1, 1, 0, 2], [0, 2, PAD, PAD], [0, 2, PAD, PAD], [1, 2, PAD, PAD]] * 2)
    right = [1, 1, 1, 0, 0, 0, 0, 1]
    tokens = [3, 1, 1, 1] * 2
    assert reward(prompts, answers).tolist() == right  # the first round is free
    wanted = []
    for i, (r, n) in enumerate(zip(right, tokens, strict=True)):
        group = right[i // 4 * 4 : i // 4 * 4 + 4]
        pays = sum(group) / 4 >= gate and (charged == "all" or r)
        wanted.append(r - 0.1 * n * pays)
    np.testing.assert_allclose(reward(prompts, answers), wanted)
    np.testing.assert_allclose(reward(prompts, answers), wanted)


def test_how_much_alike_guesses_are_is_counted(lively_model):
    """Against the short answers among many that are drawn."""
    task = Parity(3)
    model = lively_model(task, scale=0.15)
    prompts = task.prompts(6, np.random.default_rng(1))
    answers = sample(model, prompts, task.eos, 4, generator=torch_rng(0, "sampling"), group=8000)
    is_short = ((answers[:, 1] == task.eos) & np.isin(answers[:, 0], (0, 1))).reshape(6, -1)
    names_first = (answers[:, 0] == np.repeat(prompts[:, 0], 8000)).reshape(6, -1)
    s = (is_short & names_first).sum(axis=1) / is_short.sum(axis=1)
    wanted = 0.5 + np.sqrt(np.mean((s - 0.5) ** 2))
    assert 0.52 < wanted < 0.98 and guess_alike(model, task, prompts) == pytest.approx(wanted, abs=0.02)
    row = change(GatedRun(task), **TINY_RL).measure_round(0, model)
    assert 0.5 <= row["guess"] <= 1


def test_the_process_reward_keeps_in_proportion():
    task = NoisyParity(5)
    reward = change(NoisyStarRun(task, judge="process"), **TINY_RL).rewarding()
    prompts = np.tile([1, 0, 1, 1, 0, 3], (8000, 1))
    half_right = np.tile([1, 1, 1, 1, 1, 2], (8000, 1))  # links: right, wrong, wrong, right
    assert reward(prompts, half_right).mean() == pytest.approx(0.5, abs=0.03)
    for token in (0, 1):
        short = np.tile([token, 2], (8000, 1))
        assert set(reward(prompts, short)) == {float(task.r_e2e(prompts, short)[0])}


def test_a_growing_lesson_asks_for_the_next_token_once_nine_in_ten_pass():
    task = NoisyParity(4, noise=0.5)
    prompts = np.array([[0, 1, 1, 0], [1, 1, 0, 1]])
    chains = task.long(prompts)
    lesson, wrong = Growing(task), chains.copy()
    wrong[1, 1] ^= 1  # one of two answers errs at the second token
    assert lesson(prompts, wrong).tolist() == [1, 0] and lesson.k == 2
    assert lesson(prompts, chains).tolist() == [1, 1] and lesson.k == 3
    assert lesson(prompts, chains[:, :1]).tolist() == [0, 0] and lesson.k == 3  # too short to have that token
    assert lesson(prompts, wrong).tolist() == [1, 1]  # earlier tokens are not looked at, nor later ones
    for _ in range(5):
        lesson(prompts, chains)
    assert lesson.k == task.d


@pytest.mark.parametrize("lesson", LESSONS)
def test_lessons_start_from_random_links_of_the_right_length(lesson):
    run = change(LessonRun(NoisyParity(4, noise=0.5), 1.0), **TINY_RL, lesson=lesson)
    table = run.run()
    assert table["step"].max() == run.rl.rounds and run.start.mixture.task.noise == 0.5


@pytest.mark.slow
def test_a_calibrated_start_is_as_rare_as_it_says_and_knows_its_chain():
    task = Parity(5)
    run = change(Run(task, 0.5), style="mistral", **TINY | dict(width=32, steps=300, batch=64, warmup=10))
    model = run.model.build(run, "cpu", None)
    pretrain(model, run.mixture, run.pretraining, 0)
    calibrate(model, task, 2.0**-6, 300, 0)
    prompts = task.prompts(256, np.random.default_rng(0))
    assert long_probability(model, task, prompts, torch_rng(0, "sampling")).mean() == pytest.approx(2**-6, rel=0.5)
    assert run.measure(0, model)[0]["chain_accuracy"] > 0.9


def test_bad_input_is_refused_in_one_line(refused):
    for make, words in (
        (lambda: PartsRun(Parity(4), trains="half"), ("trains", "half", "all, stop")),
        (lambda: LessonRun(NoisyParity(4), 1.0, lesson="none"), ("lesson", "none", "chain, growing, whole")),
        (lambda: PricedRun(Parity(4), charged="none"), ("charged", "none", "all, right")),
        (lambda: PricedRun(Parity(4), price=-1.0), ("price", -1.0)),
        (lambda: PricedRun(Parity(4), free_rounds=-1), ("free_rounds", -1)),
        (lambda: NoisyStarRun(NoisyParity(4), judge="me"), ("judge", "me", "chain, end-to-end, process")),
        (lambda: RareRun(Parity(4), rarity=0), ("rarity", 0)),
        (lambda: transformers.live_kind("coin"), ("kind", "coin", "leap, marked, mod3, noise, parity, two_chains")),
    ):
        with refused(*words):
            make()


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_a_rehearsal_of_each_recording_is_what_it_claims_to_be(name, tmp_path):
    rehearsal = recording(name, "smoke")
    for config in rehearsal.configs:
        run_one(config, tmp_path)
    check_table(rehearsal, collect(rehearsal, tmp_path)[0])


@pytest.fixture(scope="module")
def second_phase(tmp_path_factory) -> tuple[Recording, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("runs")
    base = change(SecondPhase(Parity(4), kind="GroupRun"), **TINY_RL)
    recorded = Recording("tiny", "?", "00", grid(base, kl=(0.0, 0.5), seed=range(2)), "nothing")
    for config in recorded.configs:
        run_one(config, folder)
    return recorded, collect(recorded, folder)[0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.assign(extra=0),
        lambda table: table.drop(columns="long_reward"),
        lambda table: table.iloc[:-1],
        lambda table: table.iloc[::-1],
        lambda table: table.assign(kl=0.1),
        lambda table: table.assign(mean_reward=1.5),
        lambda table: table.assign(mean_reward=-0.5),
        lambda table: table.assign(long_probability=2.0),
    ],
)
def test_a_spoiled_table_of_a_second_phase_is_refused(second_phase, spoil):
    recorded, table = second_phase
    check_table(recorded, table)
    with pytest.raises((AssertionError, KeyError, pa.errors.SchemaError, pa.errors.SchemaErrors)):
        check_table(recorded, spoil(table))


def test_the_live_kinds_say_when_prompts_go_on():
    two, leap = transformers.live_kind("two_chains"), transformers.live_kind("leap")
    assert [transformers.predicted_share(two, p) for p in (0.3, 0.42, 0.55)] == [0, 0.25, 1]
    assert [transformers.predicted_share(leap, p) for p in (0.3, 0.4, 0.45)] == [0, 0.25, 1]
    assert isinstance(leap.run.task, LeapParity)
    words = [transformers.share_in_words(share) for share in (0.02, 0.3, 0.5, 0.7, 0.97)]
    assert [word.split(" of")[0] for word in words] == [
        "hardly any",
        "a quarter",
        "some",
        "three quarters",
        "nearly all",
    ]
