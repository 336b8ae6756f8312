"""Parity in words: told, chained and judged as the text says, by an independent reader."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntprl.measure import interval
from ntprl.tasks.coin import (
    EOS_ID,
    IDS,
    LEAVES,
    NAMES,
    SIDES,
    THINGS,
    TURNS,
    VOCABULARY,
    CoinProblems,
    tokens_of,
)
from ntprl.tasks.task import PAD, Task

TASK = CoinProblems()
PROMPTS = TASK.prompts(300, np.random.default_rng(0))
DOCSTRING = "The coin shows heads. Eve turns it. Tom watches it. Ivan moves it. The coin shows"


def read(text: str) -> list[str]:
    """What it shows at first and after each sentence, by words alone."""
    first, *told, _ = text.split(".")
    thing, side = first.split()[1], first.split()[-1]
    shown = [side]
    for sentence in told:
        other = next(s for s in THINGS[thing] if s != side)
        side = other if sentence.split()[1] in TURNS else side
        shown.append(side)
    return shown


def test_the_docstring_s_problem():
    task = CoinProblems(people=3)
    prompt = np.array([tokens_of(DOCSTRING)])
    assert task.text(task.long(prompt)[0]) == " heads; Eve turns, tails; Tom watches, tails; Ivan moves, heads."
    assert task.text(task.short(prompt)[0]) == " heads."
    assert CoinProblems(people=3, marked=True).text(CoinProblems(3, True).short(prompt)[0]) == " finally heads."


def test_chains_say_what_the_sentences_say():
    for prompt, long, short in zip(PROMPTS, TASK.long(PROMPTS), TASK.short(PROMPTS), strict=True):
        shown = read(TASK.text(prompt))
        chain = TASK.text(long)
        assert [chain.split(";")[0].strip(), *re.findall(r", (\w+)", chain)] == shown
        people = re.findall(r"(\w+ \w+) it\.", TASK.text(prompt))
        assert re.findall(r"; (\w+ \w+),", chain) == people
        assert TASK.text(short) == f" {shown[-1]}."


def test_it_is_a_task_with_the_lengths_it_says():
    checked: Task = TASK
    for task in (checked, CoinProblems(3, marked=True)):
        prompts = task.prompts(5, np.random.default_rng(1))
        assert prompts.shape == (5, task.prompt_length)
        assert task.long(prompts).shape == (5, task.long_length + 1)
        assert task.short(prompts).shape == (5, task.short_length + 1)
        none = task.prompts(0, np.random.default_rng(1))
        assert none.shape == (0, task.prompt_length)
        assert task.long(none).shape == (0, task.long_length + 1)
        assert task.short(none).shape == (0, task.short_length + 1)


def test_texts_come_back_from_their_tokens():
    for prompt in PROMPTS[:20]:
        assert tokens_of(TASK.text(prompt)) == prompt.tolist()
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert not set(TURNS) & set(LEAVES) and len(set(NAMES)) == len(NAMES) == 30 and len(SIDES) == 10


def test_a_text_of_other_words_is_refused(refused):
    with refused("flips"):
        tokens_of("The coin flips")


def test_sides_and_turns_are_fair_and_prompts_differ():
    prompts = TASK.prompts(4000, np.random.default_rng(2))
    assert len({row.tobytes() for row in prompts}) == 4000
    states = TASK.states(prompts)
    for changed in (states[:, 0] == states[:, -1], states[:, 3] == states[:, 4]):
        low, high = interval(changed.mean(), len(changed))
        assert low - 0.02 <= 0.5 <= high + 0.02


def test_test_problems_are_kept_apart():
    train = {row.tobytes() for row in TASK.prompts(2000, np.random.default_rng(3))}
    test = {row.tobytes() for row in TASK.prompts(500, np.random.default_rng(3), test=True)}
    assert not train & test


def test_right_answers_earn_both_rewards_and_wrong_ones_neither():
    for answers in (TASK.long(PROMPTS), TASK.short(PROMPTS)):
        assert TASK.r_e2e(PROMPTS, answers).all() and TASK.r_cot(PROMPTS, answers).all()
        shifted = np.roll(answers, 1, axis=0)
        right = TASK.states(PROMPTS)[:, -1] == TASK.states(np.roll(PROMPTS, 1, axis=0))[:, -1]
        assert (TASK.r_e2e(PROMPTS, shifted) == right).all()


def test_a_wrong_link_is_seen_by_the_chain_reward_alone():
    answers = TASK.long(PROMPTS)
    answers[:, 5] = np.where(answers[:, 5] == IDS[" heads"], IDS[" tails"], IDS[" heads"])
    assert TASK.r_e2e(PROMPTS, answers).all()
    assert not TASK.r_cot(PROMPTS, answers).any()


@pytest.mark.parametrize(
    "text", [" heads", ".", "", " heads. heads", " heads;", " heads Eve.", " finally.", " heads. Eve."]
)
def test_answers_that_do_not_end_in_a_side_and_a_stop_say_nothing(text):
    assert TASK.final(np.array([[*tokens_of(text), EOS_ID]]))[0] == PAD
    assert TASK.final(np.array([[*tokens_of(" heads."), IDS[";"]]]))[0] == PAD  # never ends


@given(st.lists(st.integers(0, len(VOCABULARY) - 1), min_size=1, max_size=60))
def test_the_verifiers_are_total(tokens):
    answers = np.array([tokens])
    assert TASK.r_e2e(PROMPTS[:1], answers).shape == TASK.r_cot(PROMPTS[:1], answers).shape == (1,)
    assert not TASK.r_cot(PROMPTS[:1], answers)[0] or TASK.r_e2e(PROMPTS[:1], answers)[0]


@pytest.mark.parametrize("field, value", [("people", 0), ("people", 31), ("marked", 1), ("test_share", 1.0)])
def test_bad_sizes_are_refused(refused, field, value):
    with refused(f"{field} = {value!r}", "must be"):
        CoinProblems(**{field: value})
