"""Recorded tables: promoted whole, loaded only if whole; and the recorded ones are what they claim to be."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from ntprl import records
from ntprl.book import store
from ntprl.book.baselines import SAMPLES, Baselines
from ntprl.book.recording import Recordable, Recording, grid
from ntprl.book.run import LATER, Run, as_kind, change, config_hash, flat
from ntprl.book.store import collect, describe, is_recorded, load, load_sidecar, promote, run_facts, write_atomically
from ntprl.book.sweep import run_one, sweep
from ntprl.llama.zero_shot import ASKED, ZeroShot
from ntprl.studies.catalogue import TABLES
from ntprl.studies.coin.runs import CoinContinued, CoinRun, CoinTrl, CoinTuned
from ntprl.studies.limits.runs import CopyRun, FlowRun, UnknownLinks
from ntprl.studies.linear_chain.runs import ChainRun, ChainStarRun, SamplesNeeded
from ntprl.studies.multiplication.runs import MultiplicationDigits, MultiplicationRun
from ntprl.studies.one_rule.attention import AttentionRun
from ntprl.studies.one_rule.prices import GatedRun, PricedRun
from ntprl.studies.one_rule.transformers import PartsRun, SecondPhase, StaircaseRun
from ntprl.studies.threshold.runs import PRETRAINING, FirstBitRun, LearningOrder
from ntprl.studies.words.runs import TrlRun
from ntprl.tasks.parity import Parity

BASE = change(PRETRAINING, d=3, n_layer=1, width=8, n_head=2, steps=4, batch=8, warmup=1, n_eval=16, n_points=2)
ORDER = as_kind(BASE, LearningOrder, "LearningOrder")
TINY = Recording("tiny", "Does it work?", "00_tiny", grid(BASE, p_cot=(0.1, 1 / 3), seed=range(3)), "nothing")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the finished runs of TINY; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for config in TINY.configs:
        run_one(config, folder)
    return folder


@pytest.fixture
def runs(tmp_path, finished):
    """A copy of them that may be spoiled."""
    return shutil.copytree(finished, tmp_path / "runs")


@pytest.fixture
def data(tmp_path, finished):
    """A folder with the promoted table."""
    promote(TINY, finished, tmp_path / "data")
    return tmp_path / "data"


def test_what_is_loaded_is_what_was_run(finished, data):
    loaded = load(TINY, data)
    own = pd.concat(
        [config.run().assign(run=config_hash(config), p_cot=config.p_cot, seed=config.seed) for config in TINY.configs],
        ignore_index=True,
    )
    assert len(own) == 6 * 3
    pd.testing.assert_frame_equal(loaded, own, check_like=True, check_dtype=False, rtol=1e-5)
    pd.testing.assert_frame_equal(loaded, collect(TINY, finished)[0], check_dtype=False, rtol=1e-5)


def test_sidecar_says_what_was_run_where_and_when(data):
    sidecar = load_sidecar(TINY, data)
    wanted = dict(table="tiny", question=TINY.question, command=TINY.command, kind="PretrainingRun", rows=6 * 3)
    assert {name: sidecar[name] for name in wanted} == wanted
    assert set(sidecar["config"]) == set(flat(BASE)) - {"p_cot", "seed", "weight_decay"}
    stored = [sidecar["config"] | run["config"] for run in sidecar["runs"].values()]
    assert [config | {"weight_decay": 0.0} for config in stored] == [flat(config) for config in TINY.configs]
    needed = {"started_utc", "wall_s", "commit", "dirty", "python", "torch", "device", "threads", "dtype"}
    for facts in run_facts(TINY, data):
        assert facts["origin"] == "measured here" and needed <= set(facts)


def test_describe_a_recorded_and_an_unrecorded_table(data, tmp_path):
    recorded, absent = (describe(TINY, folder).replace("\n", " ") for folder in (data, tmp_path / "nowhere"))
    assert "6 runs, 3 seeds" in recorded
    assert absent.startswith("not yet run") and TINY.command in absent


def test_promoting_twice_gives_the_same_bytes(finished, tmp_path):
    files = [promote(TINY, finished, tmp_path / name) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].with_suffix(".json").read_bytes() == files[1].with_suffix(".json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["tiny.csv", "tiny.json"]


def test_a_table_of_one_run_comes_back_whatever_its_hash_looks_like(tmp_path):
    """A hash of twelve decimal digits, leading 0 and all, is a name and not a number."""
    seeds = (seed for seed in range(100_000) if (h := config_hash(change(BASE, seed=seed))).isdecimal() and h[0] == "0")
    recording = replace(TINY, configs=(change(BASE, seed=next(seeds)),))
    run_one(recording.configs[0], tmp_path / "runs")
    promote(recording, tmp_path / "runs", tmp_path)
    assert load(recording, tmp_path)["run"].unique().tolist() == [config_hash(recording.configs[0])]


def test_a_missing_sidecar_is_refused(data, refused):
    assert is_recorded(TINY, data)
    (data / "tiny.json").unlink()
    assert not is_recorded(TINY, data)
    with refused(data / "tiny.json", "not recorded", TINY.command):
        load(TINY, data)


def with_another_cell(content: bytes) -> bytes:
    """The last digit of the table changed."""
    return content[:-2] + (b"1" if content[-2:-1] == b"0" else b"0") + content[-1:]


@pytest.mark.parametrize(
    "spoil",
    [with_another_cell, *(lambda content, keep=keep: content[: int(keep * len(content))] for keep in (0, 0.3, 0.99))],
    ids=["altered", "empty", "cut early", "cut late"],
)
def test_an_altered_or_truncated_or_missing_table_is_refused(data, refused, spoil):
    table = data / "tiny.csv"
    table.write_bytes(spoil(table.read_bytes()))
    with refused(table, "truncated or altered"):
        load(TINY, data)
    table.unlink()
    with refused(table, "does not exist", TINY.command):
        load(TINY, data)


DAMAGED = [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b"{}", b'{"sha256": "0", "runs": {}}']


@pytest.mark.parametrize("damage", [*DAMAGED, "sha256", "runs", "config"], ids=repr)
def test_a_damaged_sidecar_is_refused(data, refused, damage):
    """Of some content, or without one of its parts."""
    path = data / "tiny.json"
    if isinstance(damage, str):
        sidecar = json.loads(path.read_text())
        del sidecar[damage]
        damage = json.dumps(sidecar).encode()
    path.write_bytes(damage)
    for configs in (TINY.configs, TINY.configs[:1]):
        with refused(data / "tiny"):
            load(replace(TINY, configs=configs), data)


@pytest.mark.parametrize(
    ("configs", "word"),
    [
        (grid(change(BASE, steps=5), p_cot=(0.1, 1 / 3), seed=range(3)), "steps in {4}, this version asks for {5}"),
        (grid(BASE, p_cot=(0.1, 0.3), seed=range(3)), "p_cot in {0.1, 0.3333333333333333}"),
        (grid(BASE, p_cot=(0.1, 1 / 3), seed=range(4)), "seed in {0, 1, 2}"),
        (grid(change(BASE, style="mistral"), p_cot=(0.1, 1 / 3), seed=range(3)), 'style in {"gpt2"}'),
        (grid(change(BASE, weight_decay=0.1), p_cot=(0.1, 1 / 3), seed=range(3)), "weight_decay in {0.0}"),
        (grid(ORDER, p_cot=(0.1, 1 / 3), seed=range(3)), "another set of runs"),
        (TINY.configs[::-1], "another set of runs"),
    ],
)
def test_a_table_of_another_configuration_is_refused_by_the_name_of_the_field(data, refused, configs, word):
    with refused(data / "tiny.csv", word, TINY.command):
        load(replace(TINY, configs=configs), data)


def forged(sidecar: dict, how: str) -> None:
    """Change a sidecar by a hand that leaves no checksum behind."""
    del sidecar["checksum"]
    first, second, *_ = sidecar["runs"].values()
    changes = {
        "table": lambda: sidecar.update(table="other"),
        "kind": lambda: sidecar.update(kind="Another"),
        "rows": lambda: sidecar.update(rows=17),
        "rows of text": lambda: sidecar.update(rows="18"),
        "config": lambda: sidecar["config"].update(lr=9.9),
        "config of a list": lambda: sidecar.update(config=[]),
        "config too many": lambda: sidecar["config"].update(extra=1),
        "seed": lambda: first["config"].update(seed=12345),
        "swapped": lambda: (first.update(config=second["config"]), second.update(config=dict(first["config"]))),
        "no config of a run": lambda: first.pop("config"),
        "no provenance of a run": lambda: first.pop("provenance"),
        "runs of a list": lambda: sidecar.update(runs=[]),
        "no runs": lambda: sidecar.update(runs={}),
        "runs of numbers": lambda: sidecar.update(runs=dict.fromkeys(sidecar["runs"], 1)),
    }
    changes[how]()


FORGED = ["table", "kind", "rows", "rows of text", "config", "config of a list", "config too many", "seed", "swapped"]
FORGED += ["no config of a run", "no provenance of a run", "runs of a list", "no runs", "runs of numbers"]


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_sidecar_is_refused(data, refused, how):
    path = data / "tiny.json"
    sidecar = json.loads(path.read_text())
    forged(sidecar, how)
    path.write_text(json.dumps(sidecar))
    with refused(data / "tiny"):
        load(TINY, data)


def test_an_altered_provenance_is_noticed(data, refused):
    path = data / "tiny.json"
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    with refused(path, "altered"):
        describe(TINY, data)


CELLS = {
    "row dropped": lambda table: table.iloc[:-1],
    "row doubled": lambda table: pd.concat((table, table.iloc[-1:])),
    "row doubled for another": lambda table: table.iloc[[*range(17), 16]].assign(run=list(table["run"])),
    "another run": lambda table: table.assign(run=["0123456789ab", *table["run"][1:]]),
    "another seed": lambda table: table.assign(seed=[7, *table["seed"][1:]]),
    "another p_cot": lambda table: table.assign(p_cot=table["p_cot"] + 1e-4),
    "no seed": lambda table: table.drop(columns="seed"),
    "no run": lambda table: table.drop(columns="run"),
    "nothing": lambda table: table.iloc[:, :0],
}


@pytest.mark.parametrize("how", CELLS)
def test_a_table_of_other_rows_is_refused_though_its_checksum_fits(data, refused, how):
    table = load(TINY, data)
    changed = CELLS[how](table)
    text = "" if how == "nothing" else changed.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    (data / "tiny.csv").write_text(text)
    sidecar = json.loads((data / "tiny.json").read_text())
    del sidecar["checksum"]
    sidecar["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (data / "tiny.json").write_text(json.dumps(sidecar))
    if how == "row doubled for another":  # a measure alone is changed: what a checksum beside the data cannot find
        load(TINY, data)
    else:
        with refused(data / "tiny.csv"):
            load(TINY, data)


def test_missing_runs_are_refused_and_nothing_is_written(runs, tmp_path, refused):
    for config in TINY.configs[1:3]:
        (runs / f"{config_hash(config)}.json").unlink()
    with refused("2 of 6 runs of tiny are missing", runs, TINY.command):
        promote(TINY, runs, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [b"", b'{"config": "Pre', b"\xff\xfe\x00", b"[]", b"{}"], ids=repr)
def test_a_damaged_run_is_refused_by_name(runs, tmp_path, refused, content):
    path = runs / f"{config_hash(TINY.configs[2])}.json"
    path.write_bytes(content)
    with refused(path, "record again"):
        promote(TINY, runs, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def spoiled_run(text: str, how: str) -> str:
    """The text of a run file with something changed, its checksum left out, or kept as it was."""
    run = json.loads(text)
    first = run["rows"][0]
    if how == "kept checksum":
        first["greedy_accuracy"] = 0.123
        return json.dumps(run)
    if how == "kept checksum, provenance":
        run["provenance"]["device"] = "another"
        return json.dumps(run)
    checksum = run.pop("checksum")
    changes = {
        "a checksum whose name is damaged": lambda: run.update(checkum=checksum),
        "another config": lambda: run.update(config=run["config"].replace("seed=", "seed=1")),
        "no config": lambda: run.pop("config"),
        "no rows": lambda: run.update(rows=[]),
        "null rows": lambda: run.update(rows=None),
        "rows of numbers": lambda: run.update(rows=[1, 2]),
        "a list in a row": lambda: first.update(greedy_accuracy=[1]),
        "a column too many in one row": lambda: first.update(extra=1),
        "a column too many": lambda: [row.update(extra=1) for row in run["rows"]],
        "rows that name another run": lambda: [row.update(run="0123456789ab") for row in run["rows"]],
        "rows that name another seed": lambda: [row.update(seed=99) for row in run["rows"]],
        "provenance of a list": lambda: run.update(provenance=[1]),
    }
    changes[how]()
    return json.dumps(run)


SPOILED_RUNS = ["kept checksum", "kept checksum, provenance", "another config", "no config", "no rows", "null rows"]
SPOILED_RUNS += ["rows of numbers", "a list in a row", "a column too many in one row", "a column too many"]
SPOILED_RUNS += [
    "a checksum whose name is damaged",
    "rows that name another run",
    "rows that name another seed",
    "provenance of a list",
]


@pytest.mark.parametrize("how", SPOILED_RUNS)
def test_a_spoiled_run_is_refused_by_name(runs, tmp_path, refused, how):
    path = runs / f"{config_hash(TINY.configs[2])}.json"
    path.write_text(spoiled_run(path.read_text(), how))
    with refused(path):
        promote(TINY, runs, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_run_under_the_name_of_another_is_refused(runs, tmp_path, refused):
    one, other = (runs / f"{config_hash(config)}.json" for config in TINY.configs[:2])
    shutil.copy(one, other)
    with refused(other, "another configuration"):
        promote(TINY, runs, tmp_path / "data")


def test_a_run_of_before_there_were_checksums_is_read(runs, finished, tmp_path):
    for path in runs.glob("*.json"):
        run = json.loads(path.read_text())
        del run["checksum"]
        path.write_text(json.dumps(run))
    pd.testing.assert_frame_equal(collect(TINY, runs)[0], collect(TINY, finished)[0])


def test_nothing_can_be_written_in_one_line(runs, tmp_path, refused, command):
    (tmp_path / "file").touch()
    with refused(tmp_path / "file", "cannot be written"):
        promote(TINY, runs, tmp_path / "file" / "data")
    with refused(tmp_path / "file", "cannot be written"):
        sweep(TINY.configs, tmp_path / "file", report=lambda line: None)


def test_an_installed_package_keeps_to_itself(finished, tmp_path, monkeypatch):
    """Tables recorded there go to the user's folder, and are read from it."""
    package = tmp_path / "site-packages" / "ntprl"
    promote(TINY, finished, package / "_data")
    kept = {path.name: path.read_bytes() for path in (package / "_data").iterdir()}
    monkeypatch.setattr(store, "CHECKOUT", None)
    monkeypatch.setattr(store, "PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    assert len(load(TINY)) == 18
    fewer = replace(TINY, configs=TINY.configs[:2])
    assert promote(fewer, finished) == tmp_path / "runs" / "data" / "tiny.csv"
    assert len(load(fewer)) == 6
    assert {path.name: path.read_bytes() for path in (package / "_data").iterdir()} == kept


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "folder" / "file", "old")

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "folder" / "file", "new")
    assert (tmp_path / "folder" / "file").read_text() == "old"
    write_atomically(tmp_path / "folder" / "file", "new – é\n")
    assert (tmp_path / "folder" / "file").read_bytes() == "new – é\n".encode()
    assert len(list((tmp_path / "folder").iterdir())) == 1


@pytest.fixture
def command(monkeypatch, runs, data, capsys):
    """main() on TINY and one unrecorded recording, in temporary folders: (exit code, stdout, stderr)."""
    later = replace(TINY, name="later", configs=grid(change(BASE, steps=5), seed=range(3)))
    monkeypatch.setattr(records, "TABLES", {"tiny": TINY, "later": later})
    monkeypatch.setattr(store, "data_folder", lambda: data)
    monkeypatch.setattr(store, "runs_folder", lambda: runs)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = records.main(list(arguments))
        return code, *capsys.readouterr()

    return call


def test_check_passes_and_says_what_is_recorded(command):
    assert command("check") == (0, "tiny: 18 rows\nlater: not recorded\n", "")


@pytest.mark.parametrize("lost", ["tiny.csv", "tiny.json"])
def test_check_fails_on_an_altered_table_or_if_half_of_it_is_lost(command, data, lost):
    with (data / "tiny.csv").open("a") as file:
        file.write("\n")
    code, _, error = command("check")
    assert code == 1 and "tiny.csv is truncated or altered" in error
    assert len(error.splitlines()) == 1
    (data / lost).unlink()
    code, _, error = command("check")
    assert code == 1 and "tiny" in error


def test_promote_writes_the_table(command, data):
    before = (data / "tiny.csv").read_bytes()
    (data / "tiny.csv").unlink()
    code, output, error = command("promote", "tiny")
    assert (code, error) == (0, "")
    assert str(data / "tiny.csv") in output
    assert (data / "tiny.csv").read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["promote"], ["promote", "nothing"], ["chekc"], ["promote", "later"]])
def test_what_cannot_be_done_exits_with_one_line(command, arguments):
    code, output, error = command(*arguments)
    assert code == 1
    assert output == ""
    assert len(error.splitlines()) == 1


def test_the_door_to_a_table(command, data, refused, capsys, monkeypatch):
    pd.testing.assert_frame_equal(records.table("tiny"), load(TINY, data))
    assert capsys.readouterr().out == describe(TINY, data) + "\n"
    assert records.is_recorded("tiny") and not records.is_recorded("later")
    assert records.source("later").startswith("not yet run: Does it work?")
    with refused("record = 'nothing'", "later, tiny"):
        records.table("nothing")
    made = []
    monkeypatch.setattr(records, "record", lambda *asked: made.append(asked))
    records.record_table("", "laptop", "cpu")
    assert made == []
    with pytest.raises(SystemExit) as end:
        records.record_table("tiny", "laptop", "cuda")
    assert end.value.code == 0 and made == [([TINY], "cuda")]


# The recorded tables of this repository: schema, seeds, number of rows, and the names of their runs.


def rate(nullable: bool = False) -> pa.Column:
    return pa.Column(float, pa.Check.in_range(0, 1), nullable=nullable, coerce=True)


def varied_fields(recording: Recording) -> list[str]:
    configs = [flat(config) for config in recording.configs]
    return [name for name in configs[0] if len({config[name] for config in configs}) > 1]


def columns(recording: Recording) -> dict[str, pa.Column]:
    """What a table must have: its run, the fields that vary, the step, and the measures of its kind."""
    required = {"run": pa.Column(str)} | {name: pa.Column() for name in varied_fields(recording)}
    required |= {"step": pa.Column(int, pa.Check.ge(0))}
    kind = pa.Column(str, pa.Check.isin(["long", "short"]))
    if isinstance(recording.configs[0], LearningOrder):
        return required | {"kind": kind, "position": pa.Column(int, pa.Check.ge(1)), "probability": rate()}
    if isinstance(recording.configs[0], MultiplicationDigits):
        return required | {"kind": kind, "place": pa.Column(int, pa.Check.ge(0)), "accuracy": rate()}
    longest = max(config.task.long_length for config in recording.configs)
    length = pa.Column(float, pa.Check.in_range(0, 1 + longest), coerce=True)
    if isinstance(recording.configs[0], MultiplicationRun):
        required |= {"rival": rate()}
    if isinstance(recording.configs[0], FirstBitRun):
        required |= {"greedy_first_bit": rate()}
    if isinstance(recording.configs[0], StaircaseRun):
        required |= {"agree_long": rate(), "other_long": rate()}
    if isinstance(recording.configs[0], UnknownLinks):
        required |= {"unknown_links": pa.Column(float, pa.Check.in_range(0, longest - 1), coerce=True)}
    for name in ("greedy", "sampled"):
        required |= {f"{name}_accuracy": rate(), f"{name}_long": rate(), f"{name}_median_length": length}
        required |= {f"{name}_{kind}_accuracy": rate(nullable=True) for kind in ("long", "short")}
    return required | {"chain_accuracy": rate(), "link_error": rate(), "n_eval": pa.Column(int, pa.Check.ge(1))}


def runs_of(recording: Recording, table: pd.DataFrame) -> Iterator[tuple[Recordable, pd.DataFrame]]:
    """Each configuration with its rows; the table has all runs of the recording, in its order."""
    by_run = dict(list(table.groupby("run", sort=False)))
    assert list(by_run) == [config_hash(config) for config in recording.configs]
    yield from zip(recording.configs, by_run.values(), strict=True)


def assert_as_stated(config: Recordable, rows: pd.DataFrame) -> None:
    """The fields that are columns have the values of the configuration."""
    for name in set(flat(config)) & set(rows):
        stated = flat(config)[name]
        assert rows[name].unique().tolist() == [stated if isinstance(stated, str) else pytest.approx(stated, rel=1e-5)]


def check_table(recording: Recording, table: pd.DataFrame) -> None:
    """The whole of a table against its recording: columns, ranges, runs and steps."""
    if isinstance(recording.configs[0], SamplesNeeded):
        check_samples(recording, table)
    elif isinstance(recording.configs[0], ChainRun):
        check_chains(recording, table)
    elif isinstance(recording.configs[0], Baselines):
        check_baselines(recording, table)
    elif isinstance(recording.configs[0], ZeroShot):
        check_zero_shot(recording, table)
    elif isinstance(recording.configs[0], FlowRun):
        check_flows(recording, table)
    elif isinstance(recording.configs[0], CopyRun):
        check_copies(recording, table)
    elif isinstance(recording.configs[0], SecondPhase):
        check_second_phase(recording, table)
    elif isinstance(recording.configs[0], CoinRun) and "prompt" in table:
        check_coins(recording, table)
    elif isinstance(recording.configs[0], TrlRun):
        is_rl = table["phase"] == "rl"
        check_pretraining(recording, table[~is_rl].drop(columns=["phase", "long_probability"]))
        check_measured_rounds(recording, table[is_rl])
    elif recording.configs[0].rl is not None:
        is_rl = table["phase"] == "rl"
        assert (is_rl | (table["phase"] == "pretraining")).all()
        check_pretraining(recording, table[~is_rl].drop(columns=["phase", *ROUND_COLUMNS]).astype({"n_eval": int}))
        check_rounds(recording, table[is_rl])
    else:
        check_pretraining(recording, table)


ROUND_RATES = ("mean_reward", "rollout_long", "groups_without_signal")
ROUND_RATES_OR_NONE = ("rewarded_long", "long_reward", "short_reward")
ROUND_COLUMNS = (*ROUND_RATES, *ROUND_RATES_OR_NONE, "mean_length", "tokens", "entropy", "kl_from_start")
ROUND_COLUMNS += ("long_probability", "grad_norm", "seconds")


def check_rounds(recording: Recording, rl: pd.DataFrame) -> None:
    positive = pa.Column(float, pa.Check.ge(-1e-4))
    schema = {name: rate() for name in ROUND_RATES} | {name: rate(nullable=True) for name in ROUND_RATES_OR_NONE}
    schema |= {"mean_length": positive, "entropy": positive, "kl_from_start": positive, "seconds": positive}
    pa.DataFrameSchema(schema).validate(rl)
    check_measured_rounds(recording, rl[rl["greedy_accuracy"].notna()])
    for config, rows in runs_of(recording, rl):
        rounds = list(range(config.rl.rounds + 1))
        assert rows["step"].tolist() == rounds
        assert rows["tokens"].between(config.rl.rollouts, config.rl.rollouts * (config.task.long_length + 1)).all()
        assert rows["grad_norm"].isna().tolist() == [step == config.rl.rounds for step in rounds]


def check_second_phase(recording: Recording, table: pd.DataFrame) -> None:
    """One row a round; a reward with a price may be negative."""
    wanted = set(columns(recording)) | set(ROUND_COLUMNS)
    if isinstance(recording.configs[0], PartsRun):
        wanted |= {"stop_gap", "link_gap"}
    if isinstance(recording.configs[0], GatedRun):
        wanted |= {"guess"}
        assert table["guess"].dropna().between(0.5, 1).all()
    if isinstance(recording.configs[0], AttentionRun):
        wanted |= {"attention_moved", "start_gap", "old_look_gap", "new_look_gap"}
        measured = table[table["greedy_accuracy"].notna()]
        assert measured["attention_moved"].between(0, 1).all() and (measured["attention_moved"] > 0).any()
    assert set(table) == wanted
    for config, rows in runs_of(recording, table):
        dearest = config.price * (config.task.long_length + 1) if isinstance(config, PricedRun) else 0.0
        assert rows["mean_reward"].between(-dearest, 1).all()
        assert_as_stated(config, rows.drop(columns="n_eval"))  # here the second phase's
    check_rounds(recording, table.assign(mean_reward=0.0, long_reward=0.0, short_reward=0.0))


def check_measured_rounds(recording: Recording, measured: pd.DataFrame) -> None:
    names = [name for name in columns(recording) if name.endswith(("_accuracy", "_long", "_error"))]
    optional = [name for name in names if name.endswith(("long_accuracy", "short_accuracy"))]
    schema = {name: rate(nullable=name in optional) for name in [*names, "long_probability"]}
    pa.DataFrameSchema(schema).validate(measured)
    for config, rows in runs_of(recording, measured):
        rounds = range(config.rl.rounds + 1)
        wanted = [step for step in rounds if step % config.rl.eval_every == 0 or step == config.rl.rounds]
        assert rows["step"].tolist() == wanted
        assert (rows["n_eval"] == config.rl.n_eval_rl).all()


def check_baselines(recording: Recording, table: pd.DataFrame) -> None:
    schema = {"run": pa.Column(str), **{name: pa.Column() for name in varied_fields(recording)}}
    schema |= {"method": pa.Column(str), "size": pa.Column(int)}
    schema |= {"accuracy": rate(), "long": rate(), "n_eval": pa.Column(int, pa.Check.ge(1))}
    schema |= {"tokens": pa.Column(float, pa.Check.ge(1), nullable=True)}
    pa.DataFrameSchema(schema, strict=True).validate(table)
    for config, rows in runs_of(recording, table):
        sizes = rows.groupby("method")["size"].apply(list).to_dict()
        rounds = list(range(0, config.rl.rounds + 1, config.rl.eval_every))
        assert all(sizes.pop(method) == rounds for method in ("rl", "continue", "reweighted", "long only"))
        forced = {"forced": [1]} if isinstance(config.task, Parity) else {}
        assert sizes == {"majority": list(SAMPLES), "best of": list(SAMPLES)} | forced


def check_coins(recording: Recording, table: pd.DataFrame) -> None:
    """Parity in words: what other tables have, and more; or next-token training in place of RL."""
    own = {"first_probability": rate(), "go_on_probability": rate(nullable=True), "prompt": pa.Column(str)}
    own |= {"greedy_answer": pa.Column(str, nullable=True)}  # an answer may be empty
    pa.DataFrameSchema(own).validate(table[table["greedy_accuracy"].notna()])
    table = table.drop(columns=[*own, "peak_gb"], errors="ignore")
    if isinstance(recording.configs[0], CoinContinued):
        is_first = table["phase"] == "pretraining"
        check_pretraining(recording, table[is_first].drop(columns=["phase", "long_probability"]))
        for config, rows in runs_of(recording, table[~is_first]):
            assert (rows["phase"] == "continued").all()
            assert rows["step"].tolist() == [0, config.rl.rounds * config.rl.rollouts // config.pretraining.batch]
    elif isinstance(recording.configs[0], CoinTrl):  # which has no log of its rounds
        is_rl = table["phase"] == "rl"
        check_pretraining(recording, table[~is_rl].drop(columns=["phase", "long_probability"]))
        check_measured_rounds(recording, table[is_rl])
    elif isinstance(recording.configs[0], CoinTuned):
        check_pretraining(recording, table.drop(columns="long_probability"))
    else:
        check_table(recording, table)


def check_flows(recording: Recording, table: pd.DataFrame) -> None:
    """Both phases; after the start only P(long) and the chains known are measured, every `eval_every` rounds."""
    is_rl = table["phase"] == "rl"
    assert (is_rl | (table["phase"] == "pretraining")).all()
    check_pretraining(recording, table[~is_rl].drop(columns=["phase", *ROUND_COLUMNS]).astype({"n_eval": int}))
    for config, rows in runs_of(recording, table[is_rl]):
        last = config.rl.rounds
        assert rows["step"].tolist() == list(range(last + 1))
        looked = [step % config.rl.eval_every == 0 or step == last for step in rows["step"]]
        for name in ("long_probability", "chain_accuracy"):
            assert rows[name].notna().tolist() == looked and rows[name].dropna().between(0, 1).all()
        assert rows["mean_reward"].between(0, 1).all() and rows["grad_norm"].isna().sum() == 1


def check_copies(recording: Recording, table: pd.DataFrame) -> None:
    """One row for each prompt and round, all scores finite."""
    assert set(table) == {"run", "seed", "step", "prompt", "stop_score"} and np.isfinite(table["stop_score"]).all()
    for config, rows in runs_of(recording, table):
        n, rounds = config.rl.n_eval_rl, config.rl.rounds
        assert rows["step"].tolist() == np.repeat(range(rounds + 1), n).tolist()
        assert rows["prompt"].tolist() == list(range(n)) * (rounds + 1)


def check_zero_shot(recording: Recording, table: pd.DataFrame) -> None:
    """One row for each way of asking the same questions."""
    schema = {name: rate() for name in ("greedy_accuracy", "greedy_long", "greedy_cut", "last_number")}
    schema |= {f"greedy_{kind}_accuracy": rate(nullable=True) for kind in ("long", "short")}
    for config, rows in runs_of(recording, table):
        length = pa.Column(float, pa.Check.in_range(0, config.completion_length), coerce=True)
        schema |= {f"greedy_{mean}_length": length for mean in ("median", "mean")}
        own = {"run": pa.Column(str), "asked": pa.Column(str), "n_eval": pa.Column(int, pa.Check.ge(1))}
        pa.DataFrameSchema(schema | own | {"questions": pa.Column(str)}, strict=True).validate(rows)
        assert rows["asked"].tolist() == list(ASKED) and rows["questions"].nunique() == 1
        assert config.dry_run or (rows["n_eval"] == config.n).all()


CHAIN_RATES = ("chain", "short", "long", "stop", "r_cot", "r_e2e", "unresolved")
CHAIN_RATES += ("greedy_r_cot", "greedy_r_e2e", "greedy_long")


def check_chains(recording: Recording, table: pd.DataFrame) -> None:
    """Tables of the linear chain: one row a run, or one a round of STaR."""
    is_star = isinstance(recording.configs[0], ChainStarRun)
    rates = (*CHAIN_RATES, *(("kept_long", "predicted") if is_star else ("worst_chain", "worst_short")))
    schema = {"run": pa.Column(str)} | {name: pa.Column() for name in varied_fields(recording)}
    schema |= {name: rate() for name in rates}
    if is_star:
        schema |= {"round": pa.Column(int), "kept": pa.Column(int, pa.Check.ge(1))}
    table = pa.DataFrameSchema(schema, strict=True).validate(table)
    for config, rows in runs_of(recording, table):
        np.testing.assert_allclose(rows["long"] + rows["stop"], 1, atol=1e-5)
        np.testing.assert_allclose(rows["chain"] + rows["short"], rows["r_cot"], atol=1e-5)
        assert_as_stated(config, rows)
        if is_star:
            assert rows["round"].tolist() == list(range(config.rounds + 1))
            assert rows["kept"].iloc[0] == config.n_samples and (rows["kept"] <= config.n_samples).all()
        else:
            assert len(rows) == 1


def check_samples(recording: Recording, table: pd.DataFrame) -> None:
    """A bisection: every run ends between a number of samples that recovered and one that did not, or 2^d."""
    schema = {"run": pa.Column(str), "d": pa.Column(int), "seed": pa.Column(int), "greedy_r_cot": rate()}
    schema |= {"n_samples": pa.Column(int, pa.Check.ge(1)), "recovered": pa.Column(bool, coerce=True)}
    schema |= {"long_samples": pa.Column(float, pa.Check.ge(0), coerce=True)}
    table = pa.DataFrameSchema(schema, strict=True).validate(table)
    for config, rows in runs_of(recording, table):
        assert (rows["recovered"] == (rows["greedy_r_cot"] > 0.95)).all() and rows["recovered"].any()
        tried = rows.groupby("recovered")["n_samples"]
        least, most = tried.min()[True], tried.max().get(False, 2.0 ** (config.d - 2))
        assert np.log2(least / most) <= config.octaves + 1e-3
        assert_as_stated(config, rows)


def check_pretraining(recording: Recording, table: pd.DataFrame) -> None:
    table = pa.DataFrameSchema(columns(recording), strict=True).validate(table)
    for config, rows in runs_of(recording, table):
        per_step = 1
        if isinstance(config, LearningOrder):
            per_step = config.task.d + 2
        elif isinstance(config, MultiplicationDigits):
            per_step = 4 * config.task.k
        steps = np.repeat(sorted(config.measured_steps()), per_step).tolist()
        if type(config).is_enough is not Run.is_enough:  # it may end at any of them, at the first that is enough
            steps = steps[: len(rows)]
            enough = [config.is_enough([row]) for row in rows.to_dict("records")]
            assert not any(enough[:-1]) and (enough[-1] or steps[-1] == config.pretraining.steps)
        assert rows["step"].tolist() == steps
        assert_as_stated(config, rows)


SIDECARS = sorted(store.data_folder().glob("*.json"))


def misnamed(sidecar: dict) -> list[str]:
    """Runs whose name is not the hash of the kind and the fields that are stored beside it."""
    wrong = []
    for name, run in sidecar["runs"].items():
        values = sidecar["config"] | run["config"]
        kept = {field: value for field, value in values.items() if field not in LATER or value != LATER[field]}
        text = json.dumps({"kind": sidecar["kind"], **kept}, sort_keys=True)
        if hashlib.sha256(text.encode()).hexdigest()[:12] != name:
            wrong.append(name)
    return wrong


def renamed(paths: Iterable[Path]) -> list[str]:
    """Tables whose runs, in order, are not those that this version asks for."""
    stored = {path.stem: list(json.loads(path.read_text())["runs"]) for path in paths}
    return [name for name, runs in stored.items() if runs != [config_hash(config) for config in TABLES[name].configs]]


def test_every_stored_hash_is_that_of_the_stored_configuration():
    sidecars = [json.loads(path.read_text()) for path in SIDECARS]
    assert {sidecar["table"]: misnamed(sidecar) for sidecar in sidecars} == {path.stem: [] for path in SIDECARS}
    assert SIDECARS and sum(len(sidecar["runs"]) for sidecar in sidecars) >= 1047


def test_every_stored_hash_is_that_of_the_run_asked_for():
    assert SIDECARS and renamed(SIDECARS) == []


def test_another_configuration_in_a_sidecar_is_noticed():
    sidecar = json.loads((store.data_folder() / "rl_recursion.json").read_text())
    every, config = list(sidecar["runs"]), sidecar["config"]
    assert misnamed(sidecar | {"kind": "Recovery"}) == every
    assert misnamed(sidecar | {"config": config | {"rl_lr": config["rl_lr"] * 1.001}}) == every
    assert misnamed(sidecar | {"config": config | {"extra": 0}}) == every
    assert misnamed(sidecar | {"config": config | LATER}) == []  # as if they had been there
    assert misnamed(sidecar | {"config": config | {"kl": 0.1}}) == every
    first = sidecar["runs"][every[0]]
    other = sidecar["runs"] | {every[0]: first | {"config": first["config"] | {"seed": 99}}}
    assert misnamed(sidecar | {"runs": other}) == every[:1]


def test_another_configuration_in_a_recording_is_noticed(monkeypatch):
    phases = {path.stem: TABLES[path.stem].configs[0] for path in SIDECARS}
    both = [name for name, config in phases.items() if "clip" in flat(config)]
    assert 10 < len(both) < len(SIDECARS)
    with monkeypatch.context() as patch:
        patch.setitem(LATER, "clip", 0.3)  # so that .2 is said
        assert renamed(SIDECARS) == both
    with monkeypatch.context() as patch:
        patch.delitem(LATER, "weight_decay")
        assert renamed(SIDECARS) == [name for name, config in phases.items() if "weight_decay" in flat(config)]
    table = TABLES["styles"]
    others = [change(table.configs[0], kind="Another"), change(table.configs[0], batch=127)]
    for config in others:
        monkeypatch.setitem(TABLES, "styles", replace(table, configs=(config, *table.configs[1:])))
        assert renamed(SIDECARS) == ["styles"]
    monkeypatch.setitem(TABLES, "styles", replace(table, configs=table.configs[::-1]))
    assert renamed(SIDECARS) == ["styles"]


@pytest.mark.parametrize("recording", TABLES.values(), ids=TABLES)
def test_recorded_tables_are_what_they_claim_to_be(recording):
    if not is_recorded(recording):
        pytest.skip("not recorded yet")
    table, sidecar = load(recording), load_sidecar(recording)
    check_table(recording, table)
    assert sidecar["rows"] == len(table)
    assert sidecar["question"] == recording.question
    assert sidecar["command"] == recording.command
    for facts in run_facts(recording):
        assert facts["origin"] == "measured here"
        assert len(facts["commit"]) == 40
        assert facts["wall_s"] >= 0  # to a tenth of a second


@pytest.mark.parametrize("name", ["coin_published", "coin_published_continued", "coin_published_marked"])
def test_tables_of_parity_in_words_are_checked(name, tmp_path):
    pytest.importorskip("transformers")
    tiny = records.recording(name, "smoke")
    tiny = replace(tiny, configs=tuple(change(config, width=16, people=2) for config in tiny.configs[:2]))
    for config in tiny.configs:
        run_one(config, tmp_path)
    promote(tiny, tmp_path, tmp_path)
    table = load(tiny, tmp_path)
    check_table(tiny, table)
    spoiled = [table.drop(columns="link_error"), table.assign(step=table["step"] + 1), table.iloc[1:]]
    spoiled += [table.assign(first_probability=1.5), table.assign(more=1.0)][: 1 if name == "coin_published" else 2]
    for each in spoiled:
        with pytest.raises((AssertionError, KeyError, pa.errors.SchemaError, pa.errors.SchemaErrors)):
            check_table(tiny, each)


def test_every_recorded_file_belongs_to_a_recording():
    found = {path.stem for path in store.data_folder().glob("*.csv")}
    assert found <= TABLES.keys()


def test_check_table_passes_what_was_just_run(data, tmp_path):
    check_table(TINY, load(TINY, data))
    order = replace(TINY, configs=grid(ORDER, seed=range(2)))
    for config in order.configs:
        run_one(config, tmp_path)
    check_table(order, collect(order, tmp_path)[0])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.assign(greedy_accuracy=1.01),
        lambda table: table.assign(link_error=np.nan),
        lambda table: table.assign(seed=0),
        lambda table: table.assign(extra=0),
        lambda table: table.drop(columns="sampled_long"),
        lambda table: table.iloc[:-1],
        lambda table: table.iloc[::-1],
        lambda table: pd.concat((table, table.iloc[-1:])),
    ],
)
def test_check_table_refuses_a_spoiled_table(data, spoil):
    with pytest.raises((AssertionError, pa.errors.SchemaError, pa.errors.SchemaErrors)):
        check_table(TINY, spoil(load(TINY, data)))


CHAINS = replace(TINY, configs=grid(ChainRun(d=4, n_samples=500, n_eval=16), p_cot=(0.2, 1 / 3), seed=range(2)))
STARS = replace(TINY, configs=grid(ChainStarRun(d=4, n_samples=500, n_eval=16, rounds=2), reward=("r_cot", "r_e2e")))


@pytest.mark.parametrize("recording", [CHAINS, STARS], ids=["chains", "stars"])
def test_tables_of_the_linear_chain_are_checked(tmp_path, recording):
    for config in recording.configs:
        run_one(config, tmp_path / "runs")
    promote(recording, tmp_path / "runs", tmp_path)
    table = load(recording, tmp_path)
    check_table(recording, table)
    spoils = [
        lambda table: table.assign(chain=1.2),
        lambda table: table.assign(long=0.5),
        lambda table: table.assign(extra=0),
        lambda table: table.drop(columns="greedy_r_cot"),
        lambda table: table.iloc[:-1],
        lambda table: table.iloc[::-1],
        lambda table: table.assign(kept=501) if "kept" in table else table.assign(worst_chain=-1),
        lambda table: table.assign(reward="r_e2e") if "reward" in table else table.assign(p_cot=0.2),
    ]
    for spoil in spoils:
        with pytest.raises((AssertionError, pa.errors.SchemaError, pa.errors.SchemaErrors)):
            check_table(recording, spoil(table))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("rl_drift", lambda table: table.assign(rewarded_long=1.5)),
        ("rl_drift", lambda table: table.assign(kl_from_start=-1.0)),
        ("rl_drift", lambda table: table.assign(phase="rl")),
        ("rl_drift", lambda table: table.iloc[:-1]),
        ("rl_drift", lambda table: table.assign(tokens=1)),
        ("rl_drift", lambda table: table.assign(grad_norm=0.0)),
        ("rl_drift", lambda table: table.assign(greedy_accuracy=0.5)),
        ("rl_drift", lambda table: table.drop(columns="long_reward")),
        ("rl_baselines", lambda table: table.assign(accuracy=2.0)),
        ("rl_baselines", lambda table: table[table["method"] != "forced"]),
        ("rl_baselines", lambda table: table.assign(extra=0)),
    ],
)
def test_a_spoiled_table_of_post_training_is_refused(name, spoil):
    recording = TABLES[name]
    with pytest.raises((AssertionError, KeyError, pa.errors.SchemaError, pa.errors.SchemaErrors)):
        check_table(recording, spoil(load(recording)))
