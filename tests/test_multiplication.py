"""k x k multiplication: published rows, an independent reader and writer, a verifier that judges anything."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntprl.mixture import Mixture
from ntprl.seeds import numpy_rng
from ntprl.tasks.multiplication import EOS, MARK, SYMBOLS, Multiplication, uniform_hash
from ntprl.tasks.task import PAD, lengths

PUBLISHED = [  # rows of the data of Deng et al.: k, row
    (3, "5 1 6 * 0 4 9||0 0 0 0 + 0 0 6 4 2 ( 0 0 6 4 2 ) + 0 0 5 3 5 5 #### 0 0 1 8 7 5"),
    (3, "9 1 3 * 3 1 2||7 5 9 0 + 0 9 1 3 0 ( 7 4 1 4 0 ) + 0 0 8 3 6 0 #### 7 4 9 7 6 0"),
    (
        4,
        "7 6 9 2 * 1 6 3 6||7 6 9 2 0 + 0 2 0 8 7 1 ( 7 8 9 0 8 1 ) + 0 0 1 0 9 8 0 ( 7 8 0 1 7 0 1 ) "
        "+ 0 0 0 2 0 8 7 1 #### 7 8 0 3 7 8 8 1",
    ),
    (
        5,
        "3 5 4 1 1 * 2 1 4 6 5||6 0 9 2 2 0 + 0 3 5 4 1 1 0 ( 6 3 4 7 3 1 0 ) + 0 0 2 1 8 5 4 0 ( 6 3 6 8 1 7 4 0 ) "
        "+ 0 0 0 8 1 7 8 6 0 ( 6 3 6 6 3 4 3 7 0 ) + 0 0 0 0 5 6 2 7 5 0 #### 6 3 6 6 8 0 6 4 6 0",
    ),
]


def written(a: int, b: int, k: int) -> str:
    """The row of a * b by strings and Python's integers."""

    def reverse(number: int, width: int) -> str:
        return " ".join(str(number).zfill(width)[::-1])

    total, terms = 0, []
    for j, digit in enumerate(reversed(str(b))):
        partial = a * int(digit) * 10**j
        total += partial
        bracket = f" ( {reverse(total, k + 1 + j)} )" if 0 < j < k - 1 else ""
        terms.append(reverse(partial, k + 1 + j) + bracket)
    return f"{reverse(a, k)} * {reverse(b, k)}||{' + '.join(terms)} #### {reverse(a * b, 2 * k)}"


def prompt_of(a: int, b: int, k: int) -> np.ndarray:
    return Multiplication(k).parse(written(a, b, k))[0]


@pytest.mark.parametrize(("k", "row"), PUBLISHED)
def test_published_rows_are_read_verified_and_written_again(k, row):
    task = Multiplication(k)
    prompt, answer = task.parse(row)
    assert task.r_cot(prompt[None], answer[None]).all() and task.r_e2e(prompt[None], answer[None]).all()
    assert task.text(prompt) + task.text(task.long(prompt[None])[0]) == f"{row} ."


def test_worked_strings_of_the_docstring():
    task = Multiplication(3)
    lines = re.findall(r"^ +(prompt|long|short) +(\S.*?)(?:   .*)?$", Multiplication.__doc__, re.MULTILINE)
    prompt, long, short = (text for _, text in lines)
    assert (
        int("".join(prompt.split("*")[0].split())[::-1]) * int("".join(prompt[:-2].split("*")[1].split())[::-1])
        == 578100
    )
    tokens = task.parse(prompt + long.rstrip(" ."))[0]
    assert (task.text(tokens), task.text(task.long(tokens[None])[0])) == (prompt, long)
    assert task.text(task.short(tokens[None])[0]) == short
    bare = Multiplication(3, marked=False)
    assert task.text(bare.short(tokens[None])[0]) == short.removeprefix("#### ")


@pytest.mark.parametrize("k", range(1, 10))
def test_rendering_equals_that_by_strings(k):
    task = Multiplication(k)
    prompts = np.concatenate([task.prompts(40, numpy_rng(0, "data"), test=test) for test in (False, True)])
    for prompt, long, short in zip(prompts, task.long(prompts), task.short(prompts), strict=True):
        a, b = (int("".join(map(str, part[::-1]))) for part in (prompt[:k], prompt[k + 1 : 2 * k + 1]))
        row = written(a, b, k)
        assert task.text(prompt) + task.text(long) == f"{row} ."
        assert task.text(short) == f"#### {row.split(' #### ')[1]} ."
    assert prompts.shape[1] == task.prompt_length
    assert (lengths(task.long(prompts), EOS) == task.long_length).all()
    assert (lengths(task.short(prompts), EOS) == task.short_length).all()


@pytest.mark.parametrize("k", [3, 5, 7, 9])
def test_the_verifier_agrees_with_python_on_a_million_pairs(k):
    """Four times 250,000 short answers, every second one off by a little, and some chains."""
    task = Multiplication(k)
    prompts = task.prompts(250_000, numpy_rng(1, "data"))
    powers = 10 ** np.arange(k)
    first, second = prompts[:, :k] @ powers, prompts[:, k + 1 : 2 * k + 1] @ powers
    truth = [a * b for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    answers = task.short(prompts)
    column = 1 + np.arange(0, len(answers), 2) % (2 * k)
    answers[::2][np.arange(len(column)), column] = (answers[::2][np.arange(len(column)), column] + 1) % 10
    said = task.final(answers)
    assert said[1::2].tolist() == truth[1::2]
    assert (task.r_e2e(prompts, answers) == (np.arange(len(answers)) % 2 == 1)).all()
    assert task.final(task.long(prompts[:2000])).tolist() == truth[:2000]


def judge(task: Multiplication, row: str) -> tuple[bool, bool]:
    """(r_e2e, r_cot) of a row of text."""
    prompt, answer = task.parse(row)
    return bool(task.r_e2e(prompt[None], answer[None])[0]), bool(task.r_cot(prompt[None], answer[None])[0])


RIGHT = PUBLISHED[0][1]
ROWS = {  # what is wrong -> (row, r_e2e, r_cot)
    "nothing": (RIGHT, True, True),
    "answer without its leading zero": ("0 0 1 * 0 0 1||#### 0 0 0 0 1", True, False),
    "short": ("5 1 6 * 0 4 9||#### 0 0 1 8 7 5", True, True),
    "wrong digit in the answer": (RIGHT[:-1] + "6", False, False),
    "wrong digit in a part": (RIGHT.replace("0 0 6 4 2 (", "0 0 6 4 3 ("), True, False),
    "a running sum that contradicts its parts": (RIGHT.replace("( 0 0 6 4 2", "( 0 0 6 4 3"), True, False),
    "bracket missing": (RIGHT.replace(" )", ""), True, False),
    "token too many in the chain": (RIGHT.replace(" )", " ) +"), True, False),
    "token too many in the answer": (RIGHT + " 0", False, False),
    "no mark": (RIGHT.replace("#### ", ""), False, False),
    "two marks": (RIGHT.replace("####", "#### ####"), False, False),
    "nothing after the mark": ("5 1 6 * 0 4 9||####", False, False),
    "a mark within the number": ("5 1 6 * 0 4 9||#### 0 0 + 1 8 7 5", False, False),
    "empty": ("5 1 6 * 0 4 9||", False, False),
    "bare answer": ("5 1 6 * 0 4 9||0 0 1 8 7 5", False, False),
}


@pytest.mark.parametrize(("row", "e2e", "cot"), ROWS.values(), ids=ROWS.keys())
def test_verifiers_on_right_and_wrong_rows(row, e2e, cot):
    assert judge(Multiplication(3), row) == (e2e, cot)


def test_without_marks_a_bare_number_is_an_answer():
    task = Multiplication(3, marked=False)
    assert judge(task, "5 1 6 * 0 4 9||0 0 1 8 7 5") == (True, True)
    assert judge(task, "5 1 6 * 0 4 9||0 0 + 8 7 5") == (False, False)
    assert judge(task, RIGHT) == (True, True)
    assert judge(task, "5 1 6 * 0 4 9||#### 0 0 1 8 7 5") == (True, False)
    prompts = task.prompts(50, numpy_rng(0, "data"))
    assert (task.long(prompts)[:, 0] == task.short(prompts)[:, 0]).all()  # the last digit of the product


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(PAD, len(SYMBOLS) + 2), max_size=40), st.booleans())
def test_verifiers_judge_any_row(row, marked):
    task, prompt = Multiplication(3, marked), prompt_of(615, 940, 3)[None]
    answer = np.array([row], dtype=int).reshape(1, len(row))
    number = said_by_hand(row, marked)
    assert task.final(answer)[0] == number
    assert task.r_e2e(prompt, answer)[0] == (number == 578100)
    exact = [
        [token for token in rendered if token != PAD] for rendered in (task.long(prompt)[0], task.short(prompt)[0])
    ]
    while row and row[-1] == PAD:
        row = row[:-1]
    assert task.r_cot(prompt, answer)[0] == (row in [list(map(int, rendered)) for rendered in exact])


def said_by_hand(row: list[int], marked: bool) -> int:
    """What `final` should say, by regular expressions over characters."""
    letters = "".join("_" if t == PAD else "0123456789*|+()#."[t] if 0 <= t < len(SYMBOLS) else "?" for t in row)
    found = re.fullmatch(r"([^.]*)\._*", letters)
    if not found:
        return PAD
    head, mark, tail = found[1].partition("#")
    number = tail if mark else "" if marked else head
    return int(number[::-1]) if re.fullmatch(r"\d{1,6}", number) else PAD


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 9), st.integers(0, 10**6), st.integers(0, 40), st.integers(0, len(SYMBOLS) - 1))
def test_one_changed_token_is_noticed(k, seed, place, token):
    """A chain with one token changed fails the chain verifier, and the other one iff it was in the answer."""
    task = Multiplication(k)
    prompt = task.prompts(1, np.random.default_rng(seed))
    answer = task.long(prompt)
    place = place % task.long_length
    if answer[0, place] == token or token == EOS:
        return
    answer[0, place] = token
    assert not task.r_cot(prompt, answer)[0]
    chain = task.long_length - 2 * k - 1  # tokens before ####
    assert task.r_e2e(prompt, answer)[0] == (place < chain and token != MARK)


def test_no_test_pair_is_trained_on():
    task = Multiplication(2)
    train = task.prompts(60_000, numpy_rng(0, "data"))
    test = task.prompts(6000, numpy_rng(0, "data"), test=True)
    assert not task.is_test(train).any() and task.is_test(test).all()
    assert not set(map(tuple, train)) & set(map(tuple, test))
    assert len(set(map(tuple, train))) + len(set(map(tuple, test))) > 0.99 * 8100  # together they are all pairs
    for part in Mixture(task, 0.5).draw(2000, numpy_rng(0, "data", 3)):
        assert not task.is_test(part.prompts).any()


def test_the_split_has_the_share_asked_for_and_never_changes():
    assert abs(uniform_hash(np.arange(100_000)).mean() - 0.5) < 0.005
    share = Multiplication(4, test_share=0.2).is_test(Multiplication(4).prompts(50_000, numpy_rng(0, "data"))).mean()
    assert abs(share - 0.1 / 0.9) < 0.01  # of the pairs above .1, those below .2
    known = [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]  # first outputs of splitmix64 from the seeds 0 and 1
    assert uniform_hash(np.array([0, 1])).tolist() == [(word >> 11) / 2**53 for word in known]


def test_prompts_are_uniform_numbers_without_leading_zeros():
    task = Multiplication(2)
    prompts = task.prompts(50_000, numpy_rng(0, "data"))
    for units, tens in ((0, 1), (3, 4)):
        assert set(prompts[:, tens]) == set(range(1, 10)) and set(prompts[:, units]) == set(range(10))
        assert abs(np.bincount(prompts[:, units]) / len(prompts) - 0.1).max() < 0.01


@pytest.mark.parametrize(("name", "value"), [("k", 0), ("k", 10), ("test_share", 0.0), ("marked", "yes")])
def test_bad_parameters_are_refused_in_one_line(refused, name, value):
    with refused(f"{name} = {value!r}"):
        Multiplication(**{name: value})


@pytest.mark.parametrize("prompt", ["5 1 6 * 0 4 x", "5 1 6 * 0 4", "5 1 0 * 0 4 9", "5 1 6 + 0 4 9"])
def test_bad_rows_are_refused_in_one_line(refused, prompt):
    with refused("row", prompt, "is no" if "x" in prompt else "is not two 3-digit numbers"):
        Multiplication(3).parse(f"{prompt}||#### 1")


def test_a_share_that_leaves_no_pair_is_refused(refused):
    with refused("leaves hardly any test pair for k = 1"):
        Multiplication(1, test_share=1e-9).prompts(5, numpy_rng(0, "data"), test=True)
