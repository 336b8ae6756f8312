"""Sums modulo K: the worked strings, brute force over all prompts, and verifiers that judge anything."""

import re
from itertools import accumulate, product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD, lengths, same_answers

WORKED = [  # d, K, prompt, long, short
    (1, 2, "1 |", "1 .", "1 ."),
    (4, 2, "0 1 1 1 |", "0 1 0 1 .", "1 ."),
    (4, 3, "2 2 0 1 |", "2 1 1 2 .", "2 ."),
    (5, 5, "4 3 0 4 4 |", "4 2 2 1 0 .", "0 ."),
]


def from_docstring() -> tuple[int, int, str, str, str]:
    strings = re.findall(r"^ +(?:prompt|long|short) +([\d .|]+?)(?:  |$)", Parity.__doc__, re.MULTILINE)
    return (3, 2, *strings)


@pytest.mark.parametrize(("d", "modulus", "prompt", "long", "short"), [from_docstring(), *WORKED])
def test_worked_strings(d, modulus, prompt, long, short):
    task = Parity(d, modulus)
    prompts = np.array([[*map(int, prompt.split()[:-1]), task.separator]])
    assert task.text(prompts[0]) == prompt
    assert task.text(task.long(prompts)[0]) == long
    assert task.text(task.short(prompts)[0]) == short


def test_text_leaves_pad_out_and_marks_unknown_tokens():
    assert Parity(3).text(np.array([1, 0, 2, PAD, PAD])) == "1 0 ."
    assert Parity(3).text(np.array([7, -2, 3])) == "? ? |"


def all_prompts(d: int, modulus: int) -> np.ndarray:
    return np.array([(*x, modulus + 1) for x in product(range(modulus), repeat=d)])


@pytest.mark.parametrize("d", range(1, 8))
def test_symbols_stand_for_signs(d):
    """The i-th link is x_1 ... x_i as a product of +-1 bits, for every prompt."""
    prompts, sign = all_prompts(d, 2), {0: +1, 1: -1}
    for x, chain, short in zip(prompts, Parity(d).long(prompts), Parity(d).short(prompts), strict=True):
        bits = [sign[symbol] for symbol in x[:d]]
        assert [sign[link] for link in chain[:d]] == [prod(bits[: i + 1]) for i in range(d)]
        assert sign[short[0]] == prod(bits)
        assert chain[d] == short[1] == 2


@pytest.mark.parametrize(("d", "modulus"), [(1, 2), (3, 2), (3, 3), (2, 5)])
def test_both_renderings_are_right_by_both_verifiers_for_every_prompt(d, modulus):
    task, prompts = Parity(d, modulus), all_prompts(d, modulus)
    for answers in (task.long(prompts), task.short(prompts)):
        assert task.r_e2e(prompts, answers).all()
        assert task.r_cot(prompts, answers).all()


def test_prompts_are_uniform():
    """All 3^2 prompts are equally frequent, to five standard deviations."""
    n, cells = 90_000, 9
    prompts = Parity(2, 3).prompts(n, numpy_rng(0, "data"))
    counts = np.bincount(3 * prompts[:, 0] + prompts[:, 1], minlength=cells)
    assert len(counts) == cells
    assert abs(counts / n - 1 / cells).max() < 5 * (1 / cells * (1 - 1 / cells) / n) ** 0.5


def reference_rewards(x: list[int], answer: list[int], modulus: int) -> tuple[bool, bool]:
    """(r_e2e, r_cot) of one answer, by hand."""
    eos, sums = modulus, [s % modulus for s in accumulate(x)]
    if eos not in answer:
        return False, False
    end = answer.index(eos)
    written, rest = answer[:end], answer[end + 1 :]
    if any(token != PAD for token in rest):
        return False, False
    return written[-1:] == sums[-1:], written in (sums, sums[-1:])


@pytest.mark.parametrize(
    ("answer", "r_e2e", "r_cot"),
    [
        ("1 1 0 .", True, True),
        ("0 .", True, True),
        ("1 0 .", True, False),  # a wrong chain that ends in the right answer
        ("| 0 .", True, False),
        ("1 1 0", False, False),  # no end
        ("1 1 0 . 0", False, False),  # goes on after its end
        ("1 1 0 . .", False, False),
        (". 0 .", False, False),  # ends before it says anything
        ("1 . 0 .", False, False),
        (".", False, False),
        ("1 .", False, False),
    ],
)
def test_worked_verdicts(answer, r_e2e, r_cot):
    """Answers to the prompt 1 0 1, with and without padding."""
    task, prompts = Parity(3), np.array([[1, 0, 1, 3]])
    tokens = ["01.|".index(mark) for mark in answer.split()]
    for n_pad in (0, 1, 4):
        row = np.array([tokens + [PAD] * n_pad])
        assert task.r_e2e(prompts, row).tolist() == [r_e2e]
        assert task.r_cot(prompts, row).tolist() == [r_cot]


@st.composite
def judged(draw) -> tuple[Parity, np.ndarray, np.ndarray]:
    """A task, up to three prompts, and answers between nearly right and random, of any one width."""
    task = Parity(draw(st.integers(1, 5)), draw(st.integers(2, 4)))
    prompts = task.prompts(draw(st.integers(0, 3)), np.random.default_rng(draw(st.integers(0, 99))))
    width = draw(st.integers(0, task.d + 3))
    token = st.integers(-2, task.vocab_size + 1) | st.sampled_from([task.eos, PAD, -(2**40), 2**40])
    answers = np.empty((len(prompts), width), dtype=np.int64)
    for row, long, short in zip(answers, task.long(prompts), task.short(prompts), strict=True):
        start = draw(st.sampled_from([long, short, long[:0]])).tolist()
        row[:] = (start + [PAD] * width)[:width]
        for position in draw(st.lists(st.integers(0, width - 1), max_size=width)) if width else []:
            row[position] = draw(token)
    return task, prompts, answers


@settings(max_examples=300)
@given(judged())
def test_verifiers_are_total_and_agree_with_a_slow_reference(case):
    task, prompts, answers = case
    xs, rows = prompts[:, : task.d].tolist(), answers.tolist()
    expected = [reference_rewards(x, row, task.modulus) for x, row in zip(xs, rows, strict=True)]
    for i, verify in enumerate((task.r_e2e, task.r_cot)):
        got = verify(prompts, answers)
        assert got.dtype == bool
        assert got.tolist() == [verdicts[i] for verdicts in expected]


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8])
def test_verifiers_take_any_integer_type(dtype):
    task, prompts = Parity(3), np.array([[1, 0, 1, 3], [1, 0, 0, 3]])
    answers = np.array([[0, 2, 9], [1, 2, 9]], dtype=dtype)
    assert not task.r_e2e(prompts, answers).any()
    assert task.r_e2e(prompts, answers[:, :2]).all()
    assert task.r_cot(prompts, answers[:, :2]).all()


TASKS = st.builds(Parity, st.integers(3, 6), st.integers(2, 4))


@given(TASKS, st.data())
def test_every_change_of_one_token_of_a_chain_is_refused_by_r_cot(task, data):
    prompts = task.prompts(1, np.random.default_rng(data.draw(st.integers(0, 999))))
    chain = task.long(prompts)[0].tolist()
    position = data.draw(st.integers(0, task.d))
    other = data.draw(st.integers(-2, task.vocab_size + 1).filter(lambda token: token != chain[position]))
    replaced = [*chain[:position], other, *chain[position + 1 :]]
    deleted = chain[:position] + chain[position + 1 :]
    inserted = [*chain[:position], data.draw(st.integers(0, task.modulus - 1)), *chain[position:]]
    longer = [*chain, other if other != PAD else 0]
    for answer in (replaced, deleted, inserted, longer):
        assert not task.r_cot(prompts, np.array([answer]))[0]


@given(TASKS, st.lists(st.integers(-5, 9), max_size=6), st.integers(0, 4))
def test_r_e2e_looks_only_at_the_last_token_before_eos(task, before, n_pad):
    """Whatever is written before the last token, and however much PAD follows EOS."""
    prompts = task.prompts(1, np.random.default_rng(len(before)))
    before = [token for token in before if token != task.eos]
    answer = int(task.short(prompts)[0, 0])
    for last in range(-2, task.vocab_size):
        if last != task.eos:
            row = np.array([[*before, last, task.eos] + [PAD] * n_pad])
            assert task.r_e2e(prompts, row)[0] == (last == answer)


def test_lengths_count_tokens_before_the_first_eos():
    rows = np.array([[0, 1, 9, PAD], [9, 0, 9, PAD], [0, 1, 0, 1], [0, 1, PAD, PAD], [PAD] * 4])
    assert lengths(rows, eos=9).tolist() == [2, 0, 4, 2, 0]
    assert lengths(np.empty((3, 0), int), eos=9).tolist() == [0, 0, 0]


def test_same_answers_ignores_trailing_pad_only():
    answers = np.array([[1, 9, PAD], [1, 9, 0], [PAD, 1, 9]])
    assert same_answers(answers, np.array([[1, 9]] * 3)).tolist() == [True, False, False]
    assert same_answers(answers[:, :2], np.array([[1, 9, PAD, PAD]] * 3)).tolist() == [True, True, False]


def test_bad_sizes_are_refused(refused):
    with refused("d = 0", "at least 1"):
        Parity(0)
    with refused("modulus = 1", "at least 2"):
        Parity(5, 1)
