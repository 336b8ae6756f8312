"""Configurations: what is refused, what a run returns, and what the recordings promise."""

from collections import Counter
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
import torch

from ntprl.errors import InputError
from ntprl.book.run import (
    PROFILES,
    LearningOrder,
    PretrainingRun,
    pretraining,
    require_device,
    require_parameters,
)
from ntprl.measure import chain_probabilities, measure
from ntprl.mixture import Mixture
from ntprl.tasks.parity import Parity
from ntprl.pretrain import PretrainConfig, pretrain
from ntprl.studies.catalogue import RECORDINGS, grid, recording
from ntprl.book.store import config_hash
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.transformer import Transformer

TINY = dict(d=3, n_layer=1, width=8, n_head=2, steps=6, batch=8, warmup=2, n_eval=16, n_points=3)
recordings = pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)


@pytest.mark.parametrize("profile", ["huge", 3, None, ["smoke"]])
def test_unknown_profiles_are_refused(refused, profile):
    with refused("profile = ", repr(profile), "laptop, paper, smoke"):
        pretraining(profile)


def test_unknown_parameters_are_refused(refused):
    with refused("learning_rate = 0.1", "unknown", "lr"):
        pretraining("smoke", learning_rate=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p_cot", "abc"),
        ("p_cot", 1.5),
        ("d", 2.5),
        ("d", 0),
        ("modulus", 1),
        ("style", "bert"),
        ("n_layer", 0),
        ("width", 33),
        ("n_head", "4"),
        ("steps", -1),
        ("batch", 0),
        ("lr", -0.1),
        ("warmup", 1.5),
        ("cooldown", 2),
        ("seed", -1),
        ("seed", True),
        ("n_eval", 0),
        ("n_points", 0),
    ],
)
def test_bad_values_are_refused_when_the_run_is_described(refused, name, value):
    with refused(f"{name} = {value!r}", "must be"):
        pretraining("smoke", **{name: value})


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "", 0, None])
def test_unknown_devices_are_refused(refused, device):
    with refused(f"device = {device!r}", "cpu", "on this machine"):
        PretrainingRun(**TINY).run(device)


def test_cuda_is_refused_where_there_is_none(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with refused("device = 'cuda'", "one of cpu on this machine"):
        require_device("cuda")
    assert require_device("cpu") == "cpu"


def test_configurations_are_frozen():
    with pytest.raises(FrozenInstanceError):
        PretrainingRun().d = 3


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_are_of_the_main_experiment(profile):
    run = pretraining(profile, seed=4)
    assert (run.d, run.p_cot, run.modulus, run.seed) == (50, 0.25, 2, 4)


def test_the_smoke_profile_runs():
    table = pretraining("smoke", d=8).run()
    assert table["step"].tolist() == [0, 10, 20, 30, 40]
    assert table["greedy_accuracy"].between(0, 1).all()
    assert table["link_error"].iloc[-1] < table["link_error"].iloc[0]


def test_a_run_is_repeatable_and_depends_on_its_seed():
    first, again, other = (PretrainingRun(**TINY, seed=seed).run() for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_run_is_its_parts_with_its_seed_in_each_of_them():
    run = PretrainingRun(**TINY, seed=3, style="mistral")
    model, table = run.train()
    by_hand = Transformer(run.transformer_config, torch_rng(3, "init"))
    pretrain(by_hand, Mixture(Parity(3), 0.25), PretrainConfig(steps=6, batch=8, warmup=2), 3)
    for ours, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert table.iloc[-1].to_dict() == pytest.approx({"step": 6} | measure(by_hand, Parity(3), 16, 3, 6), nan_ok=True)


def test_the_longest_answer_fits_into_the_model():
    run = PretrainingRun(**TINY)
    model, _ = run.train()
    prompts = run.task.prompts(2, numpy_rng(0, "data"))
    tokens = np.concatenate((prompts, run.task.long(prompts)[:, :-1]), axis=1)
    assert model(torch.as_tensor(tokens)).shape[1] == model.config.max_length


@pytest.mark.parametrize(
    ("steps", "n_points", "measured"),
    [(40, 4, {0, 10, 20, 30, 40}), (7, 1, {0, 7}), (3, 10, {0, 1, 2, 3}), (0, 5, {0})],
)
def test_measured_steps_are_even_and_include_both_ends(steps, n_points, measured):
    run = PretrainingRun(**TINY | {"steps": steps, "n_points": n_points})
    assert set(run.measured_steps()) == measured
    assert run.run()["step"].tolist() == sorted(measured)


def test_learning_order_measures_token_by_token():
    """The last block of rows against the trained model itself, one forward pass a prompt."""
    run = LearningOrder(**TINY)
    model, table = run.train()
    assert Counter(table["step"]) == dict.fromkeys(run.measured_steps(), run.d + 2)
    last = table[table["step"] == run.steps].set_index(["kind", "position"])["probability"]
    prompts = run.task.prompts(run.n_eval, numpy_rng(run.seed, "evaluation", run.steps))
    links = chain_probabilities(model, run.task, prompts)[0].mean(axis=0)
    assert last["long"].loc[[1, 2, 3, 4]].tolist() == pytest.approx(links.tolist())
    answers = prompts[:, : run.d].sum(axis=1) % 2
    with torch.no_grad():
        logits = [model(torch.as_tensor(prompt[None]))[0, -1] for prompt in prompts]
    short = [one.softmax(0)[answer].item() for one, answer in zip(logits, answers, strict=True)]
    assert last["short"].loc[1] == pytest.approx(np.mean(short), rel=1e-5)


def test_grid_takes_all_combinations_the_last_axis_fastest():
    runs = grid(PretrainingRun(**TINY), p_cot=(0.1, 0.2), seed=range(3))
    assert [(run.p_cot, run.seed) for run in runs] == [(p, s) for p in (0.1, 0.2) for s in range(3)]
    assert all(run.d == 3 for run in runs)
    assert all(type(run) is LearningOrder for run in grid(LearningOrder(**TINY), seed=range(2)))


@recordings
def test_configurations_of_a_recording_are_distinct(recording):
    assert len({config_hash(config) for config in recording.configs}) == len(recording.configs) > 0
    assert len({type(config) for config in recording.configs}) == 1


@recordings
def test_every_cell_of_a_recording_has_the_same_three_seeds_or_more(recording):
    def cell(config: PretrainingRun) -> tuple:
        return tuple(getattr(config, field.name) for field in fields(config) if field.name != "seed")

    seeds: dict[tuple, list[int]] = {}
    for config in recording.configs:
        seeds.setdefault(cell(config), []).append(config.seed)
    wanted = seeds[cell(recording.configs[0])]
    assert len(wanted) >= 3
    assert all(found == wanted for found in seeds.values())


@recordings
def test_a_recording_says_what_it_answers_and_how_to_make_it(recording):
    assert RECORDINGS[recording.name] is recording
    assert recording.question.endswith("?")
    assert recording.cost
    assert f"-p record {recording.name}" in recording.command
    assert recording.chapter in recording.command
    assert ("device cuda" in recording.command) == recording.needs_gpu


def test_hashes_are_pinned():
    """If this changes, every recorded table is orphaned: do that knowingly."""
    run = PretrainingRun(
        d=5, modulus=3, p_cot=0.3, style="mistral", n_layer=1, width=8, n_head=2, steps=7, batch=4,
        lr=0.01, warmup=1, cooldown=0.25, seed=2, n_eval=9, n_points=3,
    )  # fmt: skip
    assert config_hash(run) == "9df66c54dc4c"


def test_a_hash_names_the_kind_and_every_field():
    run = PretrainingRun(**TINY)
    changes = dict(
        d=4, modulus=3, p_cot=0.3, style="mistral", n_layer=2, width=16, n_head=1, steps=7, batch=4,
        lr=0.01, warmup=1, cooldown=0.25, seed=2, n_eval=9, n_points=2,
    )  # fmt: skip
    assert set(changes) == {field.name for field in fields(run)}
    variants = [PretrainingRun(**TINY | {name: value}) for name, value in changes.items()]
    hashes = {config_hash(config) for config in (run, LearningOrder(**TINY), *variants)}
    assert len(hashes) == 2 + len(changes)
    assert config_hash(run) == config_hash(PretrainingRun(**TINY))


@pytest.mark.parametrize("change", [{"p_cot": 1}, {"seed": np.int64(3)}, {"p_cot": np.float64(0.3)}, {"cooldown": 0}])
def test_equal_configurations_have_equal_hashes(change):
    """1 is 1.0 and NumPy's 3 is 3: a second spelling must neither fail nor orphan a recording."""
    plain = {name: float(value) if name != "seed" else int(value) for name, value in change.items()}
    ours, theirs = PretrainingRun(**TINY | change), PretrainingRun(**TINY | plain)
    assert ours == theirs
    assert config_hash(ours) == config_hash(theirs)


CHAPTER = dict(
    __annotations__=dict(profile=str, seed=int, device=str, d=int, p_cot=float),
    profile="smoke",
    seed=0,
    device="cpu",
    d=5,
    p_cot=0.25,
    In=["a cell"],
    Out={},
)


def test_a_chapters_parameters_are_accepted():
    require_parameters(CHAPTER)
    require_parameters(CHAPTER | dict(p_cot=1))  # papermill reads 1 as a whole number


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(pcot=0.1), "parameter pcot = 0.1 is unknown: known are profile, seed, device, d, p_cot"),
        (dict(p_cot="many"), "p_cot = 'many' is not allowed: p_cot must be a number"),
        (dict(d=2.5), "d = 2.5 is not allowed: d must be a whole number"),
        (dict(d=True), "d = True is not allowed: d must be a whole number"),
        (dict(profile="big"), "profile = 'big' is not allowed: profile must be one of laptop, paper, smoke"),
        (dict(seed=-1), "seed = -1 is not allowed: seed must be a whole number of at least 0"),
        (dict(device="tpu"), "device = 'tpu' is not allowed: device must be one of cpu"),
    ],
)
def test_a_chapters_bad_parameters_are_refused_in_one_line(changed, message):
    with pytest.raises(InputError) as error:
        require_parameters(CHAPTER | changed)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_an_unknown_recording_is_refused_with_the_list():
    with pytest.raises(InputError, match=r"record = 'treshold' is not allowed: record must be one of .*threshold"):
        recording("treshold")
