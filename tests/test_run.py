"""Runs: how they are composed, changed and named, what is refused, what they return, what the tables promise."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from ntprl.book.baselines import Baselines
from ntprl.book.chapter import start_chapter
from ntprl.book.recording import grid
from ntprl.book.run import (
    LATER,
    Evaluation,
    ModelConfig,
    Reinforcement,
    Run,
    change,
    config_hash,
    described,
    flat,
    require_device,
)
from ntprl.errors import InputError
from ntprl.llama.models import LlamaModel
from ntprl.llama.zero_shot import ZeroShot
from ntprl.measure import chain_probabilities, measure
from ntprl.mixture import Mixture
from ntprl.posttrain import PosttrainConfig
from ntprl.pretrain import PretrainConfig, pretrain
from ntprl.records import recording
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.catalogue import TABLES
from ntprl.studies.linear_chain.runs import ChainRun
from ntprl.studies.multiplication.runs import RECOVERY as MULTIPLICATION
from ntprl.studies.recovery.runs import RECOVERY
from ntprl.studies.threshold.runs import PRETRAINING, LearningOrder, pretraining
from ntprl.studies.words.runs import WORDS
from ntprl.tasks.multiplication import Multiplication
from ntprl.tasks.parity import Parity
from ntprl.transformer import Transformer

SIZES = dict(n_layer=1, width=8, n_head=2, steps=6, batch=8, warmup=2, n_eval=16, n_points=3)
TINY = change(PRETRAINING, d=3, **SIZES)
BOTH_PHASES = change(RECOVERY, d=3, **SIZES)
CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"
tables = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
kinds_of_runs = pytest.mark.parametrize(
    "run", [RECOVERY, MULTIPLICATION, WORDS], ids=["parity", "multiplication", "words"]
)


def test_unknown_profiles_are_refused(refused):
    with refused("profile = 'huge'", "laptop, paper, smoke"):
        pretraining("huge")


@pytest.mark.parametrize(
    ("name", "value"),
    [("p_cot", 1.5), ("d", 0), ("width", 33), ("steps", -1), ("seed", -1), ("n_eval", 0), ("n_points", 0)],
)
def test_bad_values_of_any_part_are_refused_when_the_run_is_described(refused, name, value):
    with refused(f"{name} = {value!r}"):
        pretraining("smoke", **{name: value})


def test_devices_that_are_not_there_are_refused(refused, monkeypatch):
    for device in ("cuda:99", None):
        with refused(f"device = {device!r}", "on this machine"):
            TINY.run(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with refused("device = 'cuda'", "one of cpu on this machine"):
        require_device("cuda")
    assert require_device("cpu") == "cpu"


def test_a_run_is_repeatable_and_depends_on_its_seed():
    first, again, other = (change(TINY, seed=seed).run() for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_run_is_its_parts_with_its_seed_in_each_of_them():
    run = change(TINY, seed=3, style="mistral")
    model, table = run.train()
    by_hand = Transformer(run.model.shape(Parity(3)), torch_rng(3, "init"))
    pretrain(by_hand, Mixture(Parity(3), 0.25), PretrainConfig(steps=6, batch=8, warmup=2), 3)
    for ours, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert table.iloc[-1].to_dict() == pytest.approx({"step": 6} | measure(by_hand, Parity(3), 16, 3, 6), nan_ok=True)


def test_the_longest_answer_fits_into_the_model():
    model, _ = TINY.train()
    prompts = TINY.task.prompts(2, numpy_rng(0, "data"))
    tokens = np.concatenate((prompts, TINY.task.long(prompts)[:, :-1]), axis=1)
    assert model(torch.as_tensor(tokens)).shape[1] == model.config.max_length


@pytest.mark.parametrize(
    ("steps", "n_points", "measured"),
    [(40, 4, {0, 10, 20, 30, 40}), (7, 1, {0, 7}), (3, 10, {0, 1, 2, 3}), (0, 5, {0})],
)
def test_measured_steps_are_even_and_include_both_ends(steps, n_points, measured):
    run = change(TINY, steps=steps, n_points=n_points)
    assert set(run.measured_steps()) == measured
    assert run.run()["step"].tolist() == sorted(measured)


def test_learning_order_measures_token_by_token():
    """The last block of rows against the trained model itself, one forward pass a prompt."""
    run = change(LearningOrder(Parity(3)), **SIZES)
    model, table = run.train()
    assert Counter(table["step"]) == dict.fromkeys([0, 2, 4, 6], 3 + 2)
    last = table[table["step"] == 6].set_index(["kind", "position"])["probability"]
    prompts = run.task.prompts(16, numpy_rng(0, "evaluation", 6))
    links = chain_probabilities(model, run.task, prompts)[0].mean(axis=0)
    assert last["long"].loc[[1, 2, 3, 4]].tolist() == pytest.approx(links.tolist())
    answers = prompts[:, :3].sum(axis=1) % 2
    with torch.no_grad():
        logits = [model(torch.as_tensor(prompt[None]))[0, -1] for prompt in prompts]
    short = [one.softmax(0)[answer].item() for one, answer in zip(logits, answers, strict=True)]
    assert last["short"].loc[1] == pytest.approx(np.mean(short), rel=1e-5)


def test_grid_takes_all_combinations_the_last_axis_fastest():
    runs = grid(TINY, p_cot=(0.1, 0.2), seed=range(3))
    assert [(run.p_cot, run.seed) for run in runs] == [(p, s) for p in (0.1, 0.2) for s in range(3)]
    assert all(run == change(TINY, p_cot=run.p_cot, seed=run.seed) for run in runs)
    assert all(type(run) is LearningOrder for run in grid(LearningOrder(Parity(3)), seed=range(2)))


def test_grid_takes_fields_of_any_part():
    runs = grid(RECOVERY, d=(3, 4), width=(8, 16), rl_lr=(0.1, 0.2))
    found = [(run.task.d, run.model.width, run.rl.lr) for run in runs]
    assert found == [(d, width, lr) for d in (3, 4) for width in (8, 16) for lr in (0.1, 0.2)]


@tables
def test_configurations_of_a_recording_are_distinct(table):
    assert len({config_hash(config) for config in table.configs}) == len(table.configs) > 0
    assert len({(type(config), config.kind) for config in table.configs}) == 1


@tables
def test_every_cell_of_a_recording_has_the_same_three_seeds_or_more(table):
    def cell(config: object) -> tuple:
        return tuple(value for name, value in flat(config).items() if name != "seed")

    seeds: dict[tuple, list[int]] = {}
    for config in table.configs:
        seeds.setdefault(cell(config), []).append(config.seed)
    wanted = seeds[cell(table.configs[0])]
    draws_nothing = isinstance(table.configs[0], ZeroShot)  # greedy answers of given weights to given questions
    assert len(wanted) >= (1 if draws_nothing else 3)
    assert all(found == wanted for found in seeds.values())


@tables
def test_a_recording_bears_its_own_name_and_is_made_by_a_chapter(table):
    assert recording(table.name) is TABLES[table.name] is table
    assert (CHAPTERS / f"{table.chapter}.md").is_file()


def test_hashes_are_pinned():
    """If this changes, every recorded table is orphaned: do that knowingly."""
    run = change(
        PRETRAINING, d=5, modulus=3, p_cot=0.3, style="mistral", n_layer=1, width=8, n_head=2, steps=7, batch=4,
        lr=0.01, warmup=1, cooldown=0.25, seed=2, n_eval=9, n_points=3,
    )  # fmt: skip
    assert config_hash(run) == "9df66c54dc4c"


def test_a_hash_names_the_kind_and_every_field():
    changes = dict(
        d=4, modulus=3, p_cot=0.3, style="mistral", n_layer=2, width=16, n_head=1, steps=7, batch=4,
        lr=0.01, warmup=1, cooldown=0.25, weight_decay=0.1, seed=2, n_eval=9, n_points=2,
    )  # fmt: skip
    assert set(changes) == set(flat(TINY))
    variants = [change(TINY, **{name: value}) for name, value in (changes | {"kind": "LearningOrder"}).items()]
    assert len({config_hash(config) for config in (TINY, *variants)}) == 2 + len(changes)
    assert config_hash(TINY) == config_hash(change(PRETRAINING, d=3, **SIZES))


EQUAL = [{"p_cot": 1}, {"seed": np.int64(3)}, {"p_cot": np.float64(0.3)}, {"cooldown": 0}, {"rl_lr": np.float64(0.25)}]
EQUAL += [{name: np.int64(4)} for name in ("d", "modulus", "width", "steps", "n_eval", "rounds", "eval_every")]
EQUAL += [{"kl": 0}, {"temperature": 1}]


@pytest.mark.parametrize("changed", EQUAL, ids=str)
def test_equal_configurations_have_equal_hashes(changed):
    """1 is 1.0 and NumPy's 3 is 3: a second spelling must neither fail nor orphan a recording."""
    [(name, value)] = changed.items()
    plain = int(value) if isinstance(flat(BOTH_PHASES)[name], int) else float(value)
    ours, theirs = change(BOTH_PHASES, **changed), change(BOTH_PHASES, **{name: plain})
    assert ours == theirs
    assert config_hash(ours) == config_hash(theirs)
    assert flat(ours) == flat(theirs)
    assert described(ours) == described(theirs)
    assert json.dumps(flat(ours)) == json.dumps(flat(theirs))


def test_equal_configurations_go_on_from_one_checkpoint(tmp_path):
    numpys = {name: np.int64(value) for name, value in SIZES.items()}
    table = change(PRETRAINING, d=3, **SIZES).run("cpu", tmp_path)
    assert change(PRETRAINING, d=np.int64(3), **numpys).run("cpu", tmp_path).equals(table)
    (tmp_path / f"{config_hash(TINY)}.safetensors").unlink()
    assert change(PRETRAINING, d=np.int64(3), **numpys).run("cpu", tmp_path).equals(table)
    assert TINY.run("cpu", tmp_path).equals(table)
    assert len(list(tmp_path.iterdir())) == 1


# --- flat names ---


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("d", 7, "task"),
        ("width", 16, "model"),
        ("lr", 0.1, "pretraining"),
        ("n_eval_rl", 9, "rl"),
        ("n_eval", 9, "evaluation"),
    ],
)
def test_change_finds_the_part_of_a_flat_name(name, value, part):
    changed = change(RECOVERY, **{name: value})
    assert getattr(getattr(changed, part), name) == value == flat(changed)[name]
    assert getattr(getattr(RECOVERY, part), name) != value  # the old run stays
    assert [field.name for field in fields(Run) if getattr(changed, field.name) != getattr(RECOVERY, field.name)] == [
        part
    ]
    assert {key for key, was in flat(RECOVERY).items() if flat(changed)[key] != was} == {name}


def test_the_two_learning_rates_have_names_of_their_own():
    run = change(RECOVERY, lr=0.1, rl_lr=0.2)
    assert (run.pretraining.lr, run.rl.lr) == (0.1, 0.2)
    assert (flat(run)["lr"], flat(run)["rl_lr"]) == (0.1, 0.2)
    assert change(run, rl_lr=0.3).pretraining.lr == 0.1
    assert change(run, lr=0.3).rl.lr == 0.2


def test_change_takes_fields_of_the_run_itself_and_whole_parts():
    run = change(PRETRAINING, p_cot=0.5, seed=3, kind="Mine", rl=Reinforcement(rounds=3), task=Parity(7))
    assert run == Run(Parity(7), p_cot=0.5, rl=Reinforcement(rounds=3), seed=3, kind="Mine")
    assert change(run, model=ModelConfig(width=8), evaluation=Evaluation(9)) == Run(
        Parity(7), 0.5, ModelConfig(width=8), rl=Reinforcement(rounds=3), evaluation=Evaluation(9), seed=3, kind="Mine"
    )
    assert change(run, pretraining=PretrainConfig(steps=5)).pretraining == PretrainConfig(steps=5)
    assert change(run, rl=None, kind=PRETRAINING.kind, p_cot=0.25, seed=0, d=50) == PRETRAINING
    assert change(run) == run


def test_a_whole_part_and_fields_of_it_may_be_given_together():
    assert change(PRETRAINING, rl=Reinforcement(rounds=3), rl_lr=0.1).rl == Reinforcement(rounds=3, lr=0.1)
    run = change(PRETRAINING, task=Multiplication(), k=3, model=ModelConfig(width=8), n_head=2)
    assert (run.task, run.model) == (Multiplication(3), ModelConfig(width=8, n_head=2))


def test_change_keeps_the_class_of_a_run_and_of_its_parts():
    order = change(LearningOrder(Parity()), d=3, kind="Order", width=8)
    assert order == LearningOrder(Parity(3), model=ModelConfig(width=8), kind="Order")
    words = change(WORDS, width=32, base_steps=5)
    assert words.model == LlamaModel(width=32, base_steps=5)
    assert change(ChainRun(), d=3, n_samples=9) == ChainRun(d=3, n_samples=9)


def test_unknown_names_are_refused_with_all_known_ones(refused):
    for run in (RECOVERY, ChainRun()):
        with refused("parameter rate = 0.1 is unknown: known are " + ", ".join(flat(run))):
            change(run, rate=0.1)
    with refused("parameter rounds = 3 is unknown"):
        change(RECOVERY, rl=None, rounds=3)  # which has no second phase then
    with refused("parameter d = 3 is unknown"):
        change(RECOVERY, task=Multiplication(), d=3)


@pytest.mark.parametrize(
    ("run", "first", "fields"),
    [
        (RECOVERY, "rollouts", dict(rollouts=9, group=3)),
        (RECOVERY, "group", dict(algorithm="star", group=1)),
        (PRETRAINING, "width", dict(width=18, n_head=3)),
        (change(WORDS, high=4), "low", dict(low=6, high=6)),
    ],
)
def test_fields_of_one_part_are_changed_together(run, first, fields):
    """They fit together, though `first` alone is refused."""
    with pytest.raises(InputError):
        change(run, **{first: fields[first]})
    for ordered in (fields, dict(reversed(fields.items()))):
        changed = change(run, **ordered)
        assert {name: flat(changed)[name] for name in fields} == fields


@kinds_of_runs
def test_no_two_fields_share_a_flat_name(run):
    """As many flat names as fields in all parts, and each goes to one field and back."""
    parts = [part for part in (getattr(run, field.name) for field in fields(run)) if is_dataclass(part)]
    assert len(parts) == 5
    own = [field.name for field in fields(run) if not is_dataclass(getattr(run, field.name)) and field.name != "kind"]
    assert own == ["p_cot", "seed"]
    assert len(flat(run)) == sum(len(fields(part)) for part in parts) + len(own)
    for name, value in flat(run).items():
        assert change(run, **{name: value}) == run
    assert not flat(run).keys() & {field.name for field in fields(run)} - set(own)  # nor the name of a part


# --- names of runs ---


def by_hand(kind: str, **values: object) -> str:
    """The hash of a kind and its fields, after the definition."""
    return hashlib.sha256(json.dumps({"kind": kind, **values}, sort_keys=True).encode()).hexdigest()[:12]


def test_a_hash_is_of_the_kind_and_the_flat_fields_without_later_ones_at_their_old_value():
    run = change(RECOVERY, d=4, p_cot=1)
    values = dict(
        d=4, modulus=2, p_cot=1.0, style="gpt2", n_layer=2, width=64, n_head=4, steps=600, batch=128, lr=2e-3,
        warmup=50, cooldown=0.5, algorithm="grpo", reward="r_e2e", temperature=1.0, rounds=20, rollouts=512, group=8,
        rl_lr=5e-4, epochs=1, minibatches=1, n_eval_rl=512, eval_every=1, n_eval=1024, n_points=10, seed=0,
    )  # fmt: skip
    assert config_hash(run) == by_hand("RecoveryRun", **values)
    assert config_hash(change(run, kind="Mine")) == by_hand("Mine", **values)
    for name, value in dict(weight_decay=0.1, clip=0.3, kl=0.05, optimizer="sgd").items():
        assert config_hash(change(run, **{name: value})) == by_hand("RecoveryRun", **values, **{name: value})
        assert config_hash(change(run, **{name: LATER[name]})) == config_hash(run)


@kinds_of_runs
def test_later_fields_count_once_they_leave_their_old_value(run):
    changes = dict(weight_decay=0.1, clip=0.3, kl=0.05, optimizer="sgd")
    assert changes.keys() == LATER.keys()
    assert {name: flat(run)[name] for name in changes} == LATER
    hashes = [config_hash(run), *(config_hash(change(run, **{name: value})) for name, value in changes.items())]
    assert len(set(hashes)) == 1 + len(changes)


def test_a_later_field_has_as_its_old_value_the_default_of_its_part():
    defaults = {field.name: field.default for part in (PretrainConfig, PosttrainConfig) for field in fields(part)}
    assert {name: defaults[name] for name in LATER} == LATER


def test_a_run_without_a_kind_is_named_by_its_class_and_its_task():
    assert Run(Parity()).kind == "Run on Parity"
    assert Run(Multiplication()).kind == "Run on Multiplication"
    assert Baselines(Parity(), rl=Reinforcement()).kind == "BaselineRun"
    assert Run(Parity(), kind="Mine").kind == "Mine"
    assert change(Run(Parity(), kind="Mine"), d=3).kind == "Mine"


def test_a_start_is_shared_by_runs_that_measure_it_alike(tmp_path):
    """Its table is in its checkpoint: who measures other things must not read it."""
    sizes = SIZES | dict(batch=16, rounds=1, rollouts=8, group=2, n_eval_rl=8)
    own = change(MULTIPLICATION, **sizes)
    plain = change(Run(Multiplication(), rl=Reinforcement()), **sizes)
    baselines = change(Baselines(Multiplication(), rl=Reinforcement()), **sizes)
    assert config_hash(plain.start) == config_hash(baselines.start) != config_hash(own.start)
    assert "rival" not in plain.run("cpu", tmp_path)
    assert own.run("cpu", tmp_path)["rival"].notna().sum() == 4
    assert len(list(tmp_path.glob("start-*"))) == 2


@dataclass(frozen=True)
class Bits(Parity):
    """A task of a user, with a field of its own."""

    note: str = "mine"


def test_a_task_of_a_user_names_its_runs_by_its_own_fields():
    run = change(Run(Bits(3)), note="other", **SIZES)
    assert flat(run).keys() == flat(TINY).keys() | {"note"}
    assert run.task == Bits(3, note="other")
    assert run.kind == "Run on Bits"
    assert len({config_hash(each) for each in (run, change(run, note="third"), change(run, d=4))}) == 3
    assert run.run().equals(TINY.run())


@pytest.mark.parametrize("task", [Parity, object()], ids=["class", "object"])
def test_a_task_that_is_no_dataclass_is_refused_in_one_line(refused, task):
    with refused("task = ", "must be a frozen dataclass"):
        Run(task)


# --- chapters ---


CHAPTER = dict(profile="smoke", seed=0, device="cpu", d=5, p_cot=0.25, In=["a cell"], Out={})
CHAPTER |= dict(__annotations__=dict(profile=str, seed=int, device=str, d=int, p_cot=float))


def test_a_chapters_parameters_are_accepted_and_its_figures_get_their_style():
    with plt.rc_context({"axes.spines.top": True}):
        start_chapter(CHAPTER)
        assert not plt.rcParams["axes.spines.top"]
        start_chapter(CHAPTER | dict(p_cot=1))  # papermill reads 1 as a whole number


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pcot", 0.1),
        ("sizes", {"d": 5}),
        ("p_cot", "many"),
        ("d", True),
        ("profile", "big"),
        ("seed", -1),
        ("seed", 2**63),
        ("device", "tpu"),
    ],
)
def test_a_chapters_bad_parameters_are_refused_in_one_line(refused, name, value):
    with refused(f"{name} = {value!r}"):
        start_chapter(CHAPTER | {name: value})


def test_a_chapter_whose_parameters_say_no_type_is_refused(refused):
    with refused("says its type"):
        start_chapter({name: value for name, value in CHAPTER.items() if name != "__annotations__"})


def test_parameters_are_checked_where_annotations_are_lazy(refused):
    """As from Python 3.14 on: a notebook has no __annotations__."""
    shell = InteractiveShell()
    for cell in ("%time 1", 'profile: str = "smoke"\nseed: int = 0\ndevice: str = "cpu"', 'seed = "x"'):
        shell.run_cell(cell, store_history=True)
    names = {name: value for name, value in shell.user_ns.items() if name != "__annotations__"}
    with refused("seed = 'x'", "a whole number"):
        start_chapter(names)
    with refused("parameter sede = 1 is unknown: known are profile, seed, device"):
        start_chapter(names | {"seed": 0, "sede": 1})
    start_chapter(names | {"seed": 0})


@dataclass(frozen=True)
class OwnModel(ModelConfig):
    """Another model with the same fields: only its class tells it from the first."""


def test_another_model_with_the_same_fields_is_another_run_and_another_start():
    run = Run(Parity(3), rl=Reinforcement())
    other = change(Run(Parity(3), model=OwnModel(), rl=Reinforcement()), **SIZES)
    run = change(run, **SIZES)
    assert flat(run) == flat(other)
    assert config_hash(run) != config_hash(other)
    assert config_hash(run.start) != config_hash(other.start)
