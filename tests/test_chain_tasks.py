"""Parity with other chains: demonstrations, rewards and the rule of the branch against brute force."""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntprl.studies.one_rule.predictions import branch_threshold, leap_thresholds
from ntprl.tasks.leap import LeapParity
from ntprl.tasks.marked import MarkedParity
from ntprl.tasks.noisy import NoisyParity
from ntprl.tasks.task import PAD
from ntprl.tasks.two_chains import TwoChains

D = 6
EOS, BAR = 2, 3
EVERY = np.array([[*bits, BAR] for bits in product((0, 1), repeat=D)])  # all prompts
TASKS = (LeapParity(D, leap=0.5), LeapParity(D, leap=1.0), TwoChains(D), NoisyParity(D), NoisyParity(D, place="final"))


def sums(bits: list[int], step: int = 1) -> tuple[int, ...]:
    """Running sums modulo 2 after each `step` symbols, counted one by one."""
    found, total = [], 0
    for i, bit in enumerate(bits, start=1):
        total = (total + bit) % 2
        if i % step == 0:
            found.append(total)
    return tuple(found)


def rights(task, bits: list[int]) -> set[tuple[int, ...]]:
    """All answers that the chain reward accepts, without EOS."""
    found = {sums(bits), (sum(bits) % 2,)}
    if isinstance(task, LeapParity):
        found.add(sums(bits, 2))
    if isinstance(task, TwoChains):
        found.add(sums(bits[::-1]))
    return found


def padded(answers: list[tuple[int, ...]], width: int) -> np.ndarray:
    return np.array([[*answer, EOS] + [PAD] * (width - len(answer) - 1) for answer in answers])


def test_the_docstrings_examples():
    leap, prompt = LeapParity(4), np.array([[1, 0, 1, 1, BAR]])
    assert [leap.text(rows[0]) for rows in (prompt, *leap.chains(prompt), leap.short(prompt))] == [
        "1 0 1 1 |",
        "1 1 0 1 .",
        "1 1 .",
        "1 .",
    ]
    two, prompt = TwoChains(3), np.array([[1, 0, 0, BAR]])
    assert [two.text(rows[0]) for rows in (*two.chains(prompt), two.short(prompt))] == ["1 1 1 .", "0 0 1 .", "1 ."]


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_the_chain_reward_is_the_list_of_right_answers(task):
    """Every answer of up to d tokens to some prompts, by brute force."""
    answers = [answer for n in range(1, D + 1) for answer in product((0, 1), repeat=n)]
    rows = padded(answers, D + 1)
    for prompt in EVERY[::7]:
        bits = prompt[:D].tolist()
        accepted = {a for a, ok in zip(answers, task.r_cot(np.tile(prompt, (len(rows), 1)), rows), strict=True) if ok}
        assert accepted == rights(task, bits)
        ends = task.r_e2e(np.tile(prompt, (len(rows), 1)), rows)
        assert ends.tolist() == [answer[-1] == sum(bits) % 2 for answer in answers]


@given(st.data())
@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_rewards_are_total(task, data):
    width = data.draw(st.integers(0, D + 2))
    tokens = st.lists(st.integers(PAD, 9), min_size=width, max_size=width)
    rows = data.draw(st.lists(tokens, min_size=1, max_size=4))
    answers = np.array(rows, dtype=int).reshape(len(rows), width)
    prompts = EVERY[: len(answers)]
    whole = [[int(t) for t in row if t != PAD] for row in answers]
    said = [tuple(row[:-1]) if row and row[-1] == EOS and EOS not in row[:-1] else None for row in whole]
    is_plain = [list(row[: len(short)]) == short for row, short in zip(answers.tolist(), whole, strict=True)]
    wanted = [p and s in rights(task, x[:D].tolist()) for p, s, x in zip(is_plain, said, prompts, strict=True)]
    assert task.r_cot(prompts, answers).tolist() == wanted
    for judge in (task.r_e2e, *([task.right_links] if isinstance(task, NoisyParity) else [])):
        assert len(judge(prompts, answers)) == len(answers)


def drawn(task, is_long: bool, n: int = 4000) -> Counter:
    """How often each answer is shown for one prompt, EOS and PAD included."""
    prompts = np.tile(EVERY[37], (n, 1))
    return Counter(map(tuple, task.demonstrated(prompts, is_long, np.random.default_rng(0)).tolist()))


@pytest.mark.parametrize("leap", [0.0, 0.25, 1.0])
def test_leaps_have_their_share(leap):
    task = LeapParity(D, leap=leap)
    counts, bits = drawn(task, True), EVERY[37][:D].tolist()
    width = task.long_length + 1
    share = counts[tuple(padded([sums(bits, 2)], width)[0])] / 4000
    assert share == pytest.approx(leap, abs=0.03)
    assert counts[(*sums(bits), EOS)] == (0 if leap == 1 else 4000 - round(4000 * share))


def test_half_of_the_chains_come_from_the_right():
    counts, bits = drawn(TwoChains(D), True), EVERY[37][:D].tolist()
    assert counts[(*sums(bits[::-1]), EOS)] / 4000 == pytest.approx(0.5, abs=0.03)
    assert sum(counts[(*chain, EOS)] for chain in (sums(bits), sums(bits[::-1]))) == 4000


def test_noise_flips_links_one_by_one_and_is_carried_on():
    """The chance of a demonstration is that of its wrong links, whatever chain they lead to."""
    counts, bits, eta = drawn(NoisyParity(D, noise=0.2), True, 20_000), EVERY[37][:D].tolist(), 0.2
    for answer in product((0, 1), repeat=D):
        wrong = [(answer[i - 1] + bits[i] + answer[i]) % 2 for i in range(1, D)]
        chance = (1 - eta) ** (D - 1 - sum(wrong)) * eta ** sum(wrong) * (answer[0] == bits[0])
        assert counts[(*answer, EOS)] / 20_000 == pytest.approx(chance, abs=0.015)
    assert drawn(NoisyParity(D, noise=0.2), False) == Counter({(sum(bits) % 2, EOS): 4000})


@pytest.mark.parametrize("is_long", [True, False])
def test_noise_on_the_final_token_alone(is_long):
    counts, bits = drawn(NoisyParity(D, noise=0.2, place="final"), is_long), EVERY[37][:D].tolist()
    right = sums(bits) if is_long else (sum(bits) % 2,)
    wrong = (*right[:-1], 1 - right[-1])
    assert set(counts) == {(*right, EOS), (*wrong, EOS)}
    assert counts[(*wrong, EOS)] / 4000 == pytest.approx(0.2, abs=0.03)


def test_right_links_are_counted_given_the_token_before():
    task, prompts = NoisyParity(3), np.array([[1, 0, 1, BAR]] * 4)
    answers = np.array([[1, 1, 0, EOS], [1, 0, 1, EOS], [0, 0, 0, EOS], [0, EOS, PAD, PAD]])
    np.testing.assert_allclose(task.right_links(prompts, answers), [1, 0.5, 0.5, 0])


def test_a_mark_parts_the_answers_at_once():
    task = MarkedParity(3)
    prompts = np.array([[1, 0, 1, BAR]] * 4)
    assert [task.text(rows[0]) for rows in (prompts, task.long(prompts), task.short(prompts))] == [
        "1 0 1 |",
        "1 1 0 .",
        "! 0 .",
    ]
    answers = np.array([[4, 0, EOS, PAD], [1, 1, 0, EOS], [0, EOS, PAD, PAD], [4, EOS, PAD, PAD]])
    assert task.r_e2e(prompts, answers).tolist() == [True, True, True, False]
    assert task.r_cot(prompts, answers).tolist() == [True, True, False, False]
    assert task.vocab_size == 5 and task.short_length == 2


def test_bad_input_is_refused_in_one_line(refused):
    for make, words in (
        (lambda: LeapParity(5), ("d", 5)),
        (lambda: LeapParity(6, leap=1.5), ("leap", 1.5)),
        (lambda: NoisyParity(6, noise=-0.1), ("noise", -0.1)),
        (lambda: NoisyParity(6, place="middle"), ("place", "middle", "final, links")),
    ):
        with refused(*words):
            make()


# --- the rule, by enumeration of everything that a reader without the parity can see ---

Weighted = list[tuple[tuple, Fraction]]


def greedy_length(rows: Weighted) -> int:
    """Tokens before EOS of the likeliest next token followed from the start; ties stop."""
    prefix: tuple = ()
    while True:
        mass: Counter = Counter()
        for answer, weight in rows:
            if answer[: len(prefix)] == prefix:
                mass[answer[len(prefix)]] += weight
        token = max(mass, key=lambda token: (mass[token], token == EOS))
        if token == EOS:
            return len(prefix)
        prefix += (token,)


def seen(long: dict[tuple, Fraction], p: Fraction) -> Weighted:
    """What the mixture shows to a reader for whom the short answer is a coin."""
    half = (1 - p) / 2
    return [((*chain, EOS), p * share) for chain, share in long.items()] + [((bit, EOS), half) for bit in (0, 1)]


def lengths_of_prompts(chains, p: Fraction) -> list[tuple[bool, int]]:
    """(do the chains agree in two tokens?, greedy length) for every prompt; chains: bits -> (chain, share) pairs."""
    found = []
    for prompt in EVERY:
        long: Counter = Counter()
        pairs = chains(prompt[:D].tolist())
        for chain, share in pairs:
            long[chain] += share
        agree = len({chain[:2] for chain, _ in pairs}) == 1
        found.append((agree, greedy_length(seen(long, p))))
    return found


TINY = Fraction(1, 10**6)


@pytest.mark.parametrize("leap", [Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(4, 5)])
def test_leaps_as_a_third_kind_flip_where_the_rule_says(leap):
    """A quarter of the prompts from f + q = 1/3, the others from 3 max(f, q) + min(f, q) = 1: the same in two words."""
    agree, other = leap_thresholds(leap)
    f, q = other * (1 - leap), other * leap
    assert 3 * max(f, q) + min(f, q) == 1 and agree == Fraction(1, 3)

    def chains(bits):
        return [(sums(bits), 1 - leap), (sums(bits, 2), leap)]

    for threshold, kind in ((agree, True), (other, False)):
        for p, goes_on in ((threshold - TINY, False), (threshold + TINY, True)):
            found = [length > 1 for agrees, length in lengths_of_prompts(chains, p) if agrees == kind]
            assert found and set(found) == {goes_on}
    assert sum(agrees for agrees, _ in lengths_of_prompts(chains, agree)) == len(EVERY) // 4


def test_two_chains_make_a_staircase():
    def chains(bits):
        return [(sums(bits), Fraction(1, 2)), (sums(bits[::-1]), Fraction(1, 2))]

    steps = {branch_threshold(Fraction(1, 2)): (0, 16), branch_threshold(Fraction(1, 2), Fraction(1, 2)): (16, 64)}
    assert list(steps) == [Fraction(1, 3), Fraction(1, 2)]
    for threshold, counts in steps.items():
        for p, count in zip((threshold - TINY, threshold + TINY), counts, strict=True):
            assert sum(length > 1 for _, length in lengths_of_prompts(chains, p)) == count


@pytest.mark.parametrize("eta", [Fraction(0), Fraction(1, 10), Fraction(3, 10)])
def test_noise_moves_the_branch(eta):
    def chains(bits):
        found = []
        for flips in product((0, 1), repeat=D - 1):
            chain = [bits[0]]
            for bit, flip in zip(bits[1:], flips, strict=True):
                chain.append((chain[-1] + bit + flip) % 2)
            found.append((tuple(chain), eta ** sum(flips) * (1 - eta) ** (D - 1 - sum(flips))))
        return found

    threshold = branch_threshold(Fraction(1, 2), 1 - eta)
    assert threshold == 1 / (3 - 2 * eta)
    for p, goes_on in ((threshold - TINY, False), (threshold + TINY, True)):
        assert {length > 1 for _, length in lengths_of_prompts(chains, p)} == {goes_on}
