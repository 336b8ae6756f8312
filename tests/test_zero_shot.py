"""Real questions to a model as it is: which rows, what counts, and the whole of it on a tiny random model."""

import json

import pytest
from test_records import check_table

from ntprl.book.recording import Recording
from ntprl.book.store import collect
from ntprl.book.sweep import run_one
from ntprl.llama.data import held_out
from ntprl.llama.zero_shot import ASKED, PLACE, ZeroShot, ends_in, held_out_rows
from ntprl.tasks.words import WordProblems


@pytest.mark.parametrize(
    "text, truth, expected",
    [
        ("7 + 5 = 12 pears.", "12", True),
        ("She pays $1,200.", "1200", True),
        ("The answer is 12.50", "12.5", True),
        ("from -3 to 12", "12", True),
        ("12 pears and 7 apples", "12", False),
        ("twelve", "12", False),
        ("", "12", False),
    ],
)
def test_the_last_number_counts_whatever_is_marked(text, truth, expected):
    assert ends_in(text, truth) is expected


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A local file that stands for GSM8K."""
    lines = [
        json.dumps({"question": f"How many are {i} and 1?", "answer": f"One more.\n#### {i + 1}"}) for i in range(99)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setenv(PLACE, str(tmp_path))
    return tmp_path


def test_the_rows_are_the_held_out_tenth_of_the_train_split(copy, monkeypatch, refused):
    rows = held_out_rows("openai/gsm8k")
    assert 2 < len(rows) < 30 and all(held_out(row.question) for row in rows)
    assert [int(row.answer) for row in rows] == sorted(int(row.answer) for row in rows)
    monkeypatch.setenv(PLACE, str(copy / "train.jsonl"))
    assert held_out_rows("openai/gsm8k") == rows
    (copy / "test.jsonl").write_text((copy / "train.jsonl").read_text())  # a test split changes nothing
    monkeypatch.setenv(PLACE, str(copy))
    assert held_out_rows("openai/gsm8k") == rows
    monkeypatch.setenv(PLACE, str(copy / "nowhere"))
    with refused("NTPRL_GSM8K = "):
        held_out_rows("openai/gsm8k")


def test_a_dry_run_asks_both_ways_and_says_what_it_read(tmp_path):
    pytest.importorskip("transformers")
    config = ZeroShot(dataset="generated", completion_length=8, dry_run=True)
    run_one(config, tmp_path)
    recording = Recording("some", "some?", "07_llama", (config,), "nothing")
    table, sidecar = collect(recording, tmp_path)
    check_table(recording, table)
    assert table["asked"].tolist() == list(ASKED) and (table["n_eval"] == 4).all()
    assert sidecar["kind"] == "ZeroShot" and sidecar["config"]["completion_length"] == 8
    assert not WordProblems().is_test(held_out_rows("generated")[0].question)
