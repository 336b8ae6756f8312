"""Loading GSM8K and MATH: what a row becomes, where files are found, which rows are held out, what is refused."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntprl.llama.data import MATH_SUBJECTS, SOURCES, Source, held_out, last_boxed, load_rows, to_row
from ntprl.llama.hub import explain
from ntprl.tasks.rows import Row, long_ones
from ntprl.tasks.words import WordProblems

CLIPS = {
    "question": "Natalia sold 48 clips in April and half as many in May. How many altogether?",
    "answer": "In May <<48/2=24>>24.\nAltogether 48+24 = <<48+24=72>>72.\n#### 72",
}
CIRCLE = {
    "problem": "Solve $2x=1$.",
    "solution": "We get \\boxed{x}, so $x=\\boxed{\\frac{1}{2}}$.",
    "level": "Level 1",
}
SMALL = [{"question": f"What is {n} + 1?", "answer": f"{n} + 1 = {n + 1}.\n#### {n + 1}"} for n in range(600)]


def write(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        pd.DataFrame(records).to_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(record) for record in records) + "\n", encoding="utf-8")
    return path


# --- one row ---


def test_a_row_of_gsm8k():
    row = to_row(CLIPS, "row 0")
    assert row == Row(CLIPS["question"], "In May 24.\nAltogether 48+24 = 72.", "72")
    assert (
        to_row(CLIPS, "row 0", remove_marks=False).solution
        == "In May <<48/2=24>>24.\nAltogether 48+24 = <<48+24=72>>72."
    )


def test_a_row_of_math():
    assert to_row(CIRCLE, "row 0") == Row(CIRCLE["problem"], CIRCLE["solution"], "\\frac{1}{2}")


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        (r"\boxed{7}", "7"),
        (r"\boxed{a}, then \boxed{b}.", "b"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
        (r"\fbox{3}", "3"),
        (r"$\boxed 9$.", "9"),
        ("\\boxed {\n 5 }", "5"),
        (r"\boxed{unclosed", None),
        (r"\boxed{}", None),
        (r"no \box{1}", "1"),
        (r"\boxedness{1}", None),
        ("", None),
    ],
)
def test_the_last_box(text, inner):
    assert last_boxed(text) == inner


balanced = st.recursive(
    st.text(st.sampled_from("ab12+^_ ,"), max_size=4),
    lambda inside: st.lists(inside, max_size=3).map(lambda parts: "{" + "x".join(parts) + "}"),
    max_leaves=8,
)


@given(balanced, st.text(st.characters(blacklist_characters="\\"), max_size=20))
def test_any_balanced_box_is_read_whole(inner, behind):
    assert last_boxed(f"so $\\boxed{{{inner}}}$ {behind}") == (" ".join(inner.split()) or None)


@given(st.text(st.sampled_from("\\boxedf{} $1\n")))
def test_any_text_has_a_box_or_none(text):
    found = last_boxed(text)
    assert found is None or (found.strip() == found != "" and "box" in text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"question": "q", "answer": "no mark"}, ["no final answer", "####"]),
        ({"question": "q", "answer": "text\n####"}, ["no final answer"]),
        ({"question": "q", "answer": "#### 3"}, ["no worked solution"]),
        ({"question": " ", "answer": "so\n#### 3"}, ["no question"]),
        ({"question": 3, "answer": "so\n#### 3"}, ["question = 3"]),
        ({"problem": "p", "solution": "nothing boxed"}, ["no final answer", "boxed"]),
        ({"text": "a", "label": 1}, ["label, text"]),
    ],
)
def test_a_bad_row_is_named(refused, fields, words):
    with refused("row 17 of here", *words):
        to_row(fields, "row 17 of here")


# --- files ---


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_splits_of_a_folder(tmp_path, suffix):
    write(tmp_path / f"train-00000-of-00001.{suffix}", [CLIPS])
    write(tmp_path / f"test-00000-of-00001.{suffix}", SMALL[:2])
    assert [row.answer for row in load_rows(str(tmp_path), "train")] == ["72"]
    assert [row.answer for row in load_rows(str(tmp_path), "test")] == ["1", "2"]


def test_a_copy_of_the_hubs_repositories(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "gsm8k" / "main" / f"{split}.jsonl", SMALL[:2])
        write(tmp_path / "gsm8k" / "socratic" / f"{split}.jsonl", SMALL)
        write(tmp_path / "math" / "algebra" / f"{split}.jsonl", [CIRCLE])
        write(tmp_path / "math" / "geometry" / f"{split}.jsonl", [CIRCLE, CIRCLE])
    assert len(load_rows(str(tmp_path / "gsm8k"))) == 2  # not its second configuration
    assert len(load_rows(str(tmp_path / "math"), "test")) == 3  # all subjects


@pytest.mark.parametrize("name", ["train.jsonl", "rows.jsonl"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_without_a_test_split_a_tenth_is_held_out(tmp_path, name, as_folder):
    file = write(tmp_path / name, SMALL)
    path = str(tmp_path if as_folder else file)
    train, test = load_rows(path, "train"), load_rows(path, "test")
    assert {row.question for row in train}.isdisjoint(row.question for row in test)
    assert sorted(row.question for row in train + test) == sorted(record["question"] for record in SMALL)
    assert abs(len(test) / 600 - 0.1) < 0.04


def test_held_out_rows_are_long_as_often_as_others():
    rows = [Row(f"question {index}", "solution", "1") for index in range(4000)]
    kept = np.array([held_out(row.question) for row in rows])
    long = np.array(long_ones(rows, 0.25))
    assert abs(kept.mean() - 0.1) < 0.02
    assert abs(long[kept].mean() - long[~kept].mean()) < 0.08


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.jsonl", "[1]\n", ["line 1", "no JSON object"]),
        ("train.jsonl", json.dumps(CLIPS) + "\n\n" + '{"question": "q"', ["line 3", "train.jsonl", "no JSON"]),
        ("train.jsonl", "[" * 100_000, ["line 1", "no JSON"]),
        ("train.jsonl", json.dumps(CLIPS)[:-1] + f', "n": {"1" * 5000}}}', ["line 1", "no JSON"]),
        ("train.jsonl", json.dumps(CLIPS | {"question": "\ud83d"}), ["line 1", "question", "expected text"]),
        ("train.jsonl", "", ["no rows for split train"]),
        ("test.jsonl", json.dumps(CLIPS), ["a test split but no train split"]),
        ("notes.txt", "x", ["holds no .jsonl or .parquet file"]),
    ],
)
def test_a_bad_file_is_refused(refused, tmp_path, name, content, words):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with refused(*words):
        load_rows(str(tmp_path))


def test_texts_stay_as_they_are(tmp_path):
    """Whatever they look like: a date, a number, nothing, another line."""
    questions = ["2024-01-01", "2024-01-01T07:08:09", "7", "null", "true", "NaN", "a\u2028b\x85c"]
    levels = [1, "2", None, {"a": 4}, [5], 6.5, True]  # what nobody reads may be of any kind
    records = [
        CLIPS | {"question": question, "level": level} for question, level in zip(questions, levels, strict=True)
    ]
    text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(text, encoding="utf-8")
    assert [row.question for row in load_rows(str(tmp_path))] == questions


def test_a_parquet_file_that_is_none(refused, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "train.parquet").write_text("PAR0", encoding="utf-8")
    with refused("train.parquet", "not a parquet file"):
        load_rows(str(tmp_path))


def test_several_files_without_a_split_a_wrong_name_and_a_wrong_split_are_refused(refused, tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, [CLIPS])
    with refused("a.jsonl, b.jsonl", "name the files train and test"):
        load_rows(str(tmp_path))
    with refused("dataset", "openai/gsm9k", "openai/gsm8k"):
        load_rows("openai/gsm9k")
    with refused("split = 'validation'", "test, train"):
        load_rows(str(tmp_path), "validation")


# --- the hub ---


@pytest.fixture
def hub(monkeypatch):
    """Stands in for datasets.load_dataset; `hub.calls` lists what was asked for."""
    datasets, calls = pytest.importorskip("datasets"), []

    def load_dataset(name, part, split, revision):
        calls.append((name, part, split, revision))
        return [CIRCLE if "math" in name else CLIPS]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return SimpleNamespace(calls=calls)


def test_the_hub_is_asked_for_pinned_revisions(hub):
    assert [row.answer for row in load_rows("openai/gsm8k", "test")] == ["72"]
    assert len(load_rows("EleutherAI/hendrycks_math")) == 7
    assert hub.calls[0] == ("openai/gsm8k", "main", "test", SOURCES["openai/gsm8k"].revision)
    assert {call[1] for call in hub.calls[1:]} == set(MATH_SUBJECTS)
    assert all(re.fullmatch("[0-9a-f]{40}", source.revision) for source in SOURCES.values())
    load_rows("openai/gsm8k", revision="abc")
    assert hub.calls[-1] == ("openai/gsm8k", "main", "train", "abc")


def test_without_a_network_one_line(refused, monkeypatch):
    datasets, constants = pytest.importorskip("datasets"), pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setitem(SOURCES, "nobody/nothing", Source("0" * 40, ("main",)))
    with refused("data set nobody/nothing", "cannot be reached", "local folder"):
        load_rows("nobody/nothing")


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GatedRepoError", ["gated", "https://huggingface.co/meta-llama/L", "accept its licence", "hf auth login"]),
        ("RepositoryNotFoundError", ["no weights meta-llama/L", "check the name"]),
        ("RevisionNotFoundError", ["no such revision"]),
        ("LocalEntryNotFoundError", ["cannot be reached", "local folder"]),
    ],
)
def test_the_hubs_own_errors_are_explained(name, words):
    errors = pytest.importorskip("huggingface_hub.errors")
    kind = getattr(errors, name)
    cause = kind.__new__(kind)  # their constructors want a response of the network
    line = str(explain(chained(OSError("long\ntext"), cause), "weights", "meta-llama/L"))
    assert all(word in line for word in words)
    assert len(line.splitlines()) == 1


# --- the real thing ---


@pytest.mark.skipif("NTPRL_GSM8K" not in os.environ, reason="NTPRL_GSM8K names no folder with GSM8K's train.jsonl")
def test_all_of_gsm8k():
    folder = os.environ["NTPRL_GSM8K"]
    train, test = load_rows(folder, "train"), load_rows(folder, "test")
    assert len(train) + len(test) == 7473 or len(test) == 1319
    for row in train + test:
        assert re.fullmatch(r"-?[\d,]+(\.\d+)?", row.answer)
        assert "<<" not in row.solution
        assert "####" not in row.solution


def test_generated_rows_need_nothing():
    train, test = (load_rows("generated", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (7473, 1319)
    assert load_rows("generated")[:50] == train[:50]
    task = WordProblems()
    assert all(task.is_test(row.question) for row in test) and not any(task.is_test(row.question) for row in train)
    assert all(row.solution.endswith(f" {row.answer}.") for row in train)


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "x" * 5000, "a\0b", "no/such"])
def test_what_can_be_no_data_set_is_refused(refused, name):
    with refused("dataset = "):
        load_rows(name)
