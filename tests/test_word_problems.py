"""Generated word problems: told, solved and read as the text says, by an independent reader."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntprl.tasks.rows import MARK, completion, prompt
from ntprl.tasks.task import PAD, lengths
from ntprl.tasks.words import (
    EOS_ID,
    LARGEST,
    MARKS,
    MOST_STEPS,
    NAMES,
    PAD_ID,
    VOCABULARY,
    WordProblems,
    decode,
    draw_problem,
    encode,
    solve,
)

SIGNS = dict.fromkeys(("buys", "finds", "gets", "wins", "more"), 1)
SIGNS |= dict.fromkeys(("drops", "loses", "sells", "uses", "fewer"), -1)
RNG = np.random.default_rng(0)
QUESTIONS = [draw_problem(RNG) for _ in range(500)]
TASK = WordProblems()


def read(question: str) -> tuple[list[int], int]:
    """(the value after each sentence that matters, sentences that do not), word by word and without expressions."""
    *told, asked = question.replace("?", ".").split(". ")
    item = asked.split()[2]
    piles, values, asides = {}, [], 0
    for words in (sentence.split() for sentence in told):
        _, _, who, verb, number = words[:5]
        if item not in words:
            asides += 1
            continue
        n = int(number)
        if "than" in words:
            piles[who] = piles[words[-1]] + SIGNS[words[5]] * n
        elif "times" in words:
            piles[who] = piles[words[-1]] * n
        elif verb in SIGNS:
            piles[who] += SIGNS[verb] * n
        else:
            assert not values
            piles[who] = n
        values.append(piles[who])
    assert values[-1] == piles[asked.split()[4]]
    return values, asides


def test_the_docstring_s_problem():
    question = "In May Mia has 7 pears. In June Leo walks 4 miles. In July Mia buys 5 pears. "
    question += "In August Tom has 2 times as many pears as Mia. How many pears does Tom have?"
    row = solve(question)
    assert row.solution == "May Mia has 7. July Mia buys 5: 7 + 5 = 12. August Tom has 2 times: 12 * 2 = 24."
    assert row.answer == "24"


@pytest.mark.parametrize("question", QUESTIONS[:200])
def test_the_solution_says_what_the_sentences_say(question):
    values, _ = read(question)
    row = solve(question)
    first, *lines = row.solution.removesuffix(".").split(". ")
    assert int(first.split()[-1]) == values[0]
    for before, after, line in zip(values[:-1], values[1:], lines, strict=True):
        told, worked = line.split(": ")
        left, sign, n, _, result = worked.split()
        assert told.split()[3] == n
        assert f"In {' '.join(told.split()[:4])} " in question
        assert (int(left), int(result)) == (before, after)
        assert after == {"+": before + int(n), "-": before - int(n), "*": before * int(n)}[sign]
    assert row.answer == str(values[-1])


def test_problems_have_all_kinds_and_sizes():
    values, asides = zip(*map(read, QUESTIONS), strict=True)
    steps = Counter(len(value) - 1 for value in values)
    assert sorted(steps) == list(range(2, MOST_STEPS + 1))
    assert min(steps.values()) > 500 / 7 / 2
    assert sorted(set(asides)) == [0, 1, 2]
    assert all(1 <= number <= LARGEST for value in values for number in value)
    assert len({value[-1] for value in values}) > 40
    assert max(Counter(value[-1] for value in values).values()) < 50  # no answer is a tenth of all


@pytest.mark.parametrize(
    "text",
    [
        "In May Mia has 7 pears.",
        "In May Mia buys 7 pears. How many pears does Mia have?",
        "In May Mia has 7 pears. In June Mia paints 7 pears. How many pears does Mia have?",
        "In May Mia has 7 pears. In June Tom has 2 more pears than Leo. How many pears does Tom have?",
    ],
)
def test_other_texts_are_refused_in_one_line(refused, text):
    with refused("not one of the generated problems"):
        solve(text)


@pytest.mark.parametrize("mark", MARKS)
def test_every_text_is_made_of_known_tokens_and_comes_back(mark):
    for question in QUESTIONS:
        row = solve(question)
        for text in (prompt(question), completion(row, True, mark), completion(row, False, mark)):
            assert decode(np.array(encode(text))) == text
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_prompts_and_answers_fit_and_are_right():
    prompts = TASK.prompts(300, np.random.default_rng(1))
    long, short = TASK.long(prompts), TASK.short(prompts)
    assert prompts.shape == (300, TASK.prompt_length)
    assert (lengths(long, EOS_ID) <= TASK.long_length).all()
    assert (lengths(long, EOS_ID) > TASK.short_length).all()
    assert (lengths(short, EOS_ID) == TASK.short_length).all()
    for answers in (long, short):
        assert TASK.r_e2e(prompts, answers).all()
        assert TASK.r_cot(prompts, answers).all()
    for tokens, answer in zip(prompts, TASK.final(short), strict=True):
        assert solve(TASK.row(tokens).question).answer == str(answer)
    filled = prompts != PAD_ID
    assert (filled[:, 1:] >= filled[:, :-1]).all()  # padding on the left alone


def test_the_longest_problem_fits():
    """Eight comparisons, each by `times`, and two asides."""
    names, months = NAMES, ["May", "June", "July"] * 4
    sentences = [f"In May {names[0]} has 1 pears."]
    for i in range(8):
        sentences.append(f"In {months[i]} {names[i + 1]} has 1 times as many pears as {names[i]}.")
    sentences += ["In May Zoe walks 4 miles."] * 2
    question = " ".join(sentences) + f" How many pears does {names[8]} have?"
    task = WordProblems()
    assert len(encode(prompt(question))) == task.prompt_length
    assert solve(question).solution.count(".") == 9
    assert len(encode(completion(solve(question), True))) == task.long_length


def test_a_wrong_line_is_noticed_by_the_chain_alone():
    prompts = TASK.prompts(50, np.random.default_rng(2))
    long = TASK.long(prompts)
    wrong = long.copy()
    sevens = {VOCABULARY.index(" 7"), VOCABULARY.index(" 8")}
    for row in wrong:
        row[3] = max(sevens - {row[3]})  # the value of the first line
    assert TASK.r_e2e(prompts, wrong).all()
    assert not TASK.r_cot(prompts, wrong).any()


@pytest.mark.parametrize(
    "answer, number",
    [
        (" #### 12<eos>", 12),
        (" May Mia has 7.\n#### 12<eos>", 12),
        (" #### 12", PAD),  # no end
        (" May Mia has 7.<eos>", PAD),  # no mark
        (" #### 12\n#### 13<eos>", PAD),  # two answers
        (" #### 12\n#### 12<eos>", 12),
        ("<eos>", PAD),
        (" #### 12<eos> #### 12", PAD),  # goes on behind the end
    ],
)
def test_what_an_answer_says(answer, number):
    tokens = [encode(part) for part in answer.split("<eos>")]
    row = tokens[0] + [EOS_ID] * ("<eos>" in answer) + (tokens[1] if len(tokens) > 1 else [])
    assert TASK.final(np.array([row])).tolist() == [number]


@given(st.lists(st.lists(st.integers(-1, len(VOCABULARY) - 1), min_size=6, max_size=6), min_size=1, max_size=4))
def test_verifiers_are_total(rows):
    prompts = TASK.prompts(len(rows), np.random.default_rng(3))
    answers = np.array(rows)
    for reward in (TASK.r_e2e, TASK.r_cot):
        found = reward(prompts, answers)
        assert found.shape == (len(rows),)
        assert found.dtype == bool


def test_training_never_sees_a_test_problem():
    rng = np.random.default_rng(4)
    train, test = TASK.questions(300, rng), TASK.questions(100, rng, test=True)
    assert not any(map(TASK.is_test, train))
    assert all(map(TASK.is_test, test))
    shares = [TASK.is_test(draw_problem(rng)) for _ in range(2000)]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("name", "value"), [("low", 0), ("high", 1), ("high", 9), ("mark", "!!"), ("test_share", 1.0)])
def test_bad_settings_are_refused(refused, name, value):
    with refused(f"{name} = {value!r}"):
        WordProblems(**{name: value})


def test_another_mark_changes_the_last_line_alone():
    other = WordProblems(mark=MARKS[1])
    prompts = TASK.prompts(5, np.random.default_rng(5))
    for mine, its in zip(TASK.long(prompts), other.long(prompts), strict=True):
        assert TASK.text(mine).replace(MARK, MARKS[1]) == other.text(its)
    assert not TASK.r_e2e(prompts, other.long(prompts)).any()
