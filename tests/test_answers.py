"""What a completion finally says and whether it is right: a table, properties, hostile answers, real rows.

In the table ⏎ stands for the end of a line and ␀ for the null byte; an empty extraction means that it says nothing.
"""

import csv
import json
import logging
import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntprl.tasks import answers
from ntprl.tasks.answers import LONGEST_TEXT, final_answer, is_right, rewards
from ntprl.tasks.rows import MARK, Row, completion

PATIENT = 30.0  # seconds: no verdict of the table may depend on how busy the machine is


def read_table() -> list[dict[str, str]]:
    text = Path(__file__).with_name("llama_answers.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return [{key: cell.replace("⏎", "\n").replace("␀", "\0") for key, cell in row.items()} for row in rows]


TABLE = read_table()


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["why"])
def test_table(case):
    assert (final_answer(case["text"]) or "") == case["extraction"]
    assert is_right(case["text"], case["truth"], seconds=PATIENT) is (case["verdict"] == "right")


def test_table_is_whole():
    assert len({(case["text"], case["truth"]) for case in TABLE}) == len(TABLE) >= 200
    verdicts = [case["verdict"] for case in TABLE]
    assert set(verdicts) == {"right", "wrong"} and min(verdicts.count("right"), verdicts.count("wrong")) >= 80


def test_another_mark_and_bad_parameters(refused):
    assert final_answer("#### 1\nThe answer is: 72", mark="answer is:") == "72"
    assert is_right("answer is: 72", "72", mark="answer is:") and not is_right("#### 72", "72", mark="answer is:")
    with refused("mark = ' '", "not blank"):
        final_answer("#### 72", " ")
    with refused("seconds = 0"):
        is_right("#### 72", "72", seconds=0)


def test_rewards(refused):
    texts = ["#### 72", "#### 71", "72", "#### \\sqrt2"]
    assert rewards(texts, ["72", "72", "72", "\\sqrt{2}"]) == [1.0, 0.0, 0.0, 1.0]
    assert rewards(["= 72"], ["72"], mark="=") == [1.0] and rewards([], []) == []
    with refused("truths", "1", "completions, 4"):
        rewards(texts, ["72"])


# Properties. Nothing here may ask math-verify: a whole true answer needs neither the library nor its time.


@pytest.fixture
def alone(monkeypatch):
    """Fails whatever asks math-verify."""
    monkeypatch.setattr(answers, "_ask", lambda *question: pytest.fail(f"math-verify was asked about {question}"))


# The fixture is the same for all examples of a property.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


integers = st.one_of(st.integers(-200, 200), st.integers(-(10**12), 10**12))
PIECES = (MARK, "\n", "\\boxed{", "}", "{", "\\frac{1}{2}", "72", "1,234", "$", "\\", " or ", "-", ".", "^", "\\text{")
pieces = st.sampled_from((*PIECES, "٣", "½"))
texts = st.one_of(st.text(), st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=12).map("".join))
units = st.sampled_from(
    ["", "%", " %", " apples", " square feet", " km/h", "cm", "\\text{ cm}", "^\\circ", " m^2", "."]
)


@st.composite
def renderings(draw, number: int) -> str:
    """A way to write a whole number."""
    digits = draw(st.sampled_from([str(abs(number)), f"{abs(number):,}", f"{abs(number):,}".replace(",", "{,}")]))
    digits += draw(st.sampled_from(["", ".", ".0", ".00", ".000000"]))
    sign = draw(st.sampled_from(["-", "- ", "−"])) if number < 0 else draw(st.sampled_from(["", "+"]))
    money = draw(st.sampled_from(["", "$", "\\$", "€", "$ "]))
    written = draw(st.sampled_from([sign + money + digits, money + sign + digits])) + draw(units)
    frame = draw(st.sampled_from(["%s", "$%s$", "\\(%s\\)", "**%s**", "\\boxed{%s}", "x = %s", " %s  "]))
    return frame.replace("%s", written)


@shared
@given(data=st.data(), number=integers, before=st.text().filter(lambda text: MARK not in text))
def test_a_whole_number_is_right_however_it_is_written(alone, data, number, before):
    answer = data.draw(renderings(number))
    truth = data.draw(st.sampled_from([str(number), f"{number:,}"]))
    text = data.draw(st.sampled_from([f"{before}\n{MARK} {answer}", f"{MARK} {answer}\n", f"{MARK}{answer}"]))
    assert is_right(text, truth)
    assert is_right(f"\\boxed{{{answer}}}", truth)


@shared
@given(data=st.data(), number=integers, other=integers)
def test_another_whole_number_is_never_right(alone, data, number, other):
    answer = data.draw(renderings(other))
    assert is_right(f"{MARK} {answer}", str(number)) is (number == other)
    assert is_right(f"{MARK} {answer}\n{MARK} {number}", str(number)) is (number == other)


@shared
@given(top=st.integers(-999, 999), bottom=st.integers(2, 99), other=st.fractions(-9, 9, max_denominator=99))
def test_fractions_are_compared_by_value(alone, top, bottom, other):
    truth = Fraction(top, bottom)
    sign = "-" if top < 0 else ""
    for shape in ("%s%d/%d", "%s\\frac{%d}{%d}", "%s\\dfrac{%d}{%d}", "$%s\\tfrac{%d}{%d}$"):
        answer = shape % (sign, abs(top), bottom)
        assert is_right(f"{MARK} {answer}", str(truth)) is (truth.denominator > 1 or answer == str(truth))
        if other.denominator > 1:
            assert is_right(f"{MARK} {answer}", str(other)) is (truth == other)


@shared
@given(text=texts, number=integers)
def test_any_text_gets_a_verdict_on_a_whole_number(alone, text, number):
    assert is_right(text, str(number)) in (True, False)
    answer = final_answer(text)
    assert answer is None or (answer and answer == " ".join(answer.split()))


@settings(max_examples=150)
@given(text=texts, truth=texts)
def test_any_text_gets_a_verdict_on_any_other(text, truth):
    assert is_right(f"{MARK} {text}", truth, seconds=0.5) in (True, False)
    assert is_right(text, truth, seconds=0.5) in (True, False)


@given(text=texts)
def test_what_was_extracted_says_itself(text):
    answer = final_answer(text)
    if answer is not None:
        assert final_answer(f"{MARK} {answer}") == answer


@given(text=texts, tail=texts.filter(lambda text: MARK not in text))
def test_nothing_behind_the_line_of_the_answer_counts(text, tail):
    if MARK in text:
        assert final_answer(f"{text}\n{tail}") == final_answer(text)


@shared
@given(numbers=st.lists(integers, min_size=1, max_size=5), truth=integers)
def test_several_guesses_say_nothing(alone, numbers, truth):
    for between in (" ", "\n", "\nNo.\n"):
        text = between.join(f"{MARK} {number}" for number in numbers)
        assert final_answer(text) == (str(numbers[0]) if len(set(numbers)) == 1 else None)
        assert is_right(text, str(truth)) is (set(numbers) == {truth})


@settings(shared, max_examples=60)
@given(piece=st.text(min_size=1, max_size=20) | st.lists(pieces, min_size=1).map("".join), mark=st.booleans())
def test_long_texts_take_no_longer_than_a_second(alone, piece, mark):
    for size in (400, LONGEST_TEXT - 100):  # within the longest answer, and the longest text
        text = MARK * mark + piece * (size // len(piece))
        started = time.perf_counter()
        is_right(text, "72")
        assert time.perf_counter() - started < 1.5


def test_the_longest_text_is_read_and_a_longer_one_is_not(alone):
    answer = f"\n{MARK} 72"
    filler = "a" * (LONGEST_TEXT - len(answer))
    assert is_right(filler + answer, "72") and not is_right("a" + filler + answer, "72")


# math-verify: hostile answers, threads, a process that can be lost.

HOSTILE = {  # each far beyond any patience, in few characters
    "tower": "9^{9^{9^{9}}}",
    "terabyte": "2^{2^{40}}",
    "factorial": "9!!!!",
    "sum": "\\sum_{k=1}^{1000000} k^{k}",
    "polynomial": "(x+y+z)^{200}",
    "sine": "\\sin(10^{10^{8}})",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_hostile_answers_are_wrong_in_time_and_in_silence(answer, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    assert is_right(f"{MARK} x+1", "1+x", seconds=PATIENT)  # the process is up
    started = time.perf_counter()
    assert not is_right(f"{MARK} {answer}", "\\sqrt{2}", seconds=0.3)
    assert 0.25 < time.perf_counter() - started < 2.3
    assert is_right(f"{MARK} x+1", "1+x", seconds=PATIENT)  # and up again
    assert capfd.readouterr() == ("", "") and caplog.records == []


@pytest.mark.slow
def test_threads_get_their_own_verdict_in_time():
    questions = [("x+1", "1+x", PATIENT), ("(x+y+z)^{200}", "1+x", 0.3), ("\\sqrt{8}", "2\\sqrt{2}", PATIENT)] * 2
    verdicts = {}

    def ask(index: int) -> None:
        answer, truth, seconds = questions[index]
        verdicts[index] = [is_right(f"{MARK} {answer}", truth, seconds=seconds) for _ in range(2)]

    threads = [threading.Thread(target=ask, args=[index]) for index in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert verdicts == {index: [index % 3 != 1] * 2 for index in range(len(questions))}


@pytest.fixture
def no_process(monkeypatch):
    """As in a session that has not compared LaTeX yet."""
    monkeypatch.setattr(answers, "_idle", {})
    yield
    answers._stop_all()


def test_a_process_that_died_while_idle_is_replaced(no_process):
    assert is_right(f"{MARK} x+1", "1+x", seconds=PATIENT)
    (worker,) = answers._idle[os.getpid()]
    worker.process.kill()
    worker.process.wait()
    assert is_right(f"{MARK} x+1", "1+x", seconds=PATIENT)


ASK = "from ntprl.tasks.answers import is_right\nask = lambda *_: is_right('#### x+1', '1+x', seconds=30)\n"
SCRIPTS = {  # none has a guard; after each, what it prints
    "once": ("print('begun', ask())", "begun True"),
    "a fork that exits": (
        """
import os, sys
from ntprl.tasks.answers import _idle
assert ask()
(worker,) = _idle[os.getpid()]
child = os.fork()
if child == 0:
    assert ask()
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ask(), _idle[os.getpid()] == [worker])  # which the fork left alone
""",
        "3 True True",
    ),
    "children of multiprocessing": (
        """
import multiprocessing
assert ask()
children = [multiprocessing.get_context("fork").Process(target=ask, daemon=daemon) for daemon in (False, True)]
for child in children:
    child.start()
for child in children:
    child.join(60)
print(*(child.exitcode for child in children))
""",
        "0 0",
    ),
    "a pool of daemons": (
        """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*pool.starmap(is_right, [("#### x+1", "1+x", "####", 30)] * 2))
""",
        "True True",
    ),
    "a last word that takes forever": ("print(is_right('#### (x+y+z)^{200}', '1+x', seconds=0.05))", "False"),
}


@pytest.mark.parametrize(("script", "printed"), SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_without_a_guard_and_their_forks(script, printed, tmp_path):
    """Each runs once, gets its verdicts and ends, in silence."""
    (tmp_path / "script.py").write_text(ASK + script)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, printed.split(), "")


def test_without_the_library_latex_is_refused_and_numbers_are_not(no_process, monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    for _ in range(2):
        with refused("package math-verify", "pip install -e '.[words]'"):
            is_right(f"{MARK} x+1", "1+x")
    said = [f"{MARK} $1,234.00", f"{MARK} x+1", "?", f"{MARK} Evelyn"]
    assert rewards(said, ["1234", "72", "72", "Evelyn"]) == [1, 0, 0, 1]


FAKE = """
import os
LatexExtractionConfig = dict
def parse(text, *_, **__):
    print("wrong", flush=True)
    return [text]
def verify(truth, answer, **_):
    return "fatal" in answer[0] and os._exit(1) or True
"""


def test_what_a_library_prints_is_no_verdict_and_its_crash_is_a_wrong_answer(no_process, monkeypatch, tmp_path):
    (tmp_path / "math_verify.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    for answer in ("2+x", "fatal", "2+x"):
        assert is_right(f"{MARK} {answer}", "1+x", seconds=PATIENT) is (answer != "fatal")


def test_a_library_that_does_not_start_is_no_wrong_answer(no_process, monkeypatch, refused, tmp_path):
    (tmp_path / "math_verify.py").write_text("raise ImportError('half an installation')")
    monkeypatch.syspath_prepend(tmp_path)
    with refused("math-verify does not start", "import math_verify"):
        is_right(f"{MARK} x+1", "1+x")


def test_numbers_import_nothing_and_an_exit_leaves_no_process():
    script = (
        "import os, sys; from ntprl.tasks import answers as c; assert c.is_right('#### 1,234', '1234')\n"
        "assert not {'math_verify', 'sympy', 'torch'} & set(sys.modules)\n"
        "assert c.is_right('#### x+1', '1+x', seconds=30); print(c._idle[os.getpid()][0].process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.slow
def test_a_process_ends_by_itself_when_its_parent_is_gone():
    serve = [sys.executable, "-c", "from ntprl.tasks.answers import _serve; _serve()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(serve, **pipes) as idle, subprocess.Popen(serve, **pipes) as busy:
        busy.stdin.write(json.dumps(["x+1", HOSTILE["polynomial"], 0.1]) + "\n")
        assert idle.communicate(timeout=60)[0] == "ready\n" and idle.returncode == 0
        assert busy.communicate(timeout=60)[0] == "ready\n" and busy.returncode < 0  # by a signal


# Real rows: a folder with train.jsonl, or the file itself.


@pytest.fixture(scope="module")
def gsm8k() -> list[Row]:
    place = os.environ.get("NTPRL_GSM8K")
    if not place:
        pytest.skip("NTPRL_GSM8K is not set: name a folder with GSM8K's train.jsonl, or that file")
    path = Path(place)
    lines = (path / "train.jsonl" if path.is_dir() else path).read_text(encoding="utf-8").split("\n")
    found = [json.loads(line) for line in lines if line]
    assert len(found) > 1000
    return [Row(row["question"], *row["answer"].rsplit("\n#### ", 1)) for row in found]


def test_real_completions_say_their_answers(gsm8k):
    for long in (True, False):
        wrong = [row for row in gsm8k if final_answer(completion(row, long)) != row.answer.strip()]
        assert wrong == []
        wrong = [row for row in gsm8k if not is_right(completion(row, long), row.answer)]
        assert wrong == []


def test_real_completions_are_right_only_where_the_numbers_are_equal(alone, gsm8k):
    numbers = [int(row.answer.replace(",", "")) for row in gsm8k]
    for shift in (1, 2, len(gsm8k) // 2):
        shifted = [*numbers[shift:], *numbers[:shift]]
        got = rewards([completion(row, long=True) for row in gsm8k], [str(number) for number in shifted])
        wrong = [pair for pair in zip(got, numbers, shifted, strict=True) if pair[0] != (pair[1] == pair[2])]
        assert wrong == [] and 0 < sum(got) < len(gsm8k) / 10


def test_a_process_that_is_killed_from_outside_is_asked_again(no_process, monkeypatch):
    """Its death is no verdict on the answer."""
    pytest.importorskip("math_verify")
    assert is_right("#### x+1", "1+x", seconds=30)
    (worker,) = answers._idle[os.getpid()]
    reply, deaths = answers._Worker._reply, []

    def dies_first(self, seconds):
        if self is worker and not deaths:
            deaths.append(self.process.kill())
        return reply(self, seconds)

    monkeypatch.setattr(answers._Worker, "_reply", dies_first)
    assert is_right("#### x+2", "2+x", seconds=30) and len(deaths) == 1
