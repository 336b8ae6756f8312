"""Multi-step problems in words: what a Llama model learns here from scratch, in place of GSM8K.

A problem follows one pile of things through 2 to 8 steps, from person to person, among sentences that do not
matter. Its worked solution has a sentence for each step; its answer is a whole number from 1 to 50:

    question    In May Mia has 7 pears. In June Leo walks 4 miles. In July Mia buys 5 pears.
                In August Tom has 2 times as many pears as Mia. How many pears does Tom have?
    solution    May Mia has 7. July Mia buys 5: 7 + 5 = 12. August Tom has 2 times: 12 * 2 = 24.
    answer      24

All texts are generated here; none is taken from a data set. A number is one token, as in Llama 3 up to 999.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add, mul, sub

import numpy as np

from ntprl.errors import InputError, require, require_choice, require_integer
from ntprl.tasks.answers import final_answer
from ntprl.tasks.rows import MARK, Row, completion, prompt, uniform
from ntprl.tasks.task import PAD, said, same_answers

LARGEST = 50  # no number in a problem is larger
MOST_STEPS, MOST_ASIDES = 8, 2  # an aside is a sentence that does not matter
MARKS = (MARK, "@@@@")  # what may announce the answer
NAMES = ("Ada", "Ben", "Eva", "Gus", "Ivan", "Leo", "Mia", "Nils", "Paul", "Rosa", "Tom", "Zoe")
ITEMS = ("beads", "books", "boxes", "cards", "coins", "lamps", "marbles", "nuts")
ITEMS += ("pears", "pens", "plums", "ropes", "roses", "shells", "stamps", "tickets")
MONTHS = ("January", "February", "March", "April", "May", "June")
MONTHS += ("July", "August", "September", "October", "November", "December")

STARTS = ("has", "owns", "keeps")
EVENTS = {"buys": "+", "finds": "+", "gets": "+", "wins": "+"}
EVENTS |= {"drops": "-", "loses": "-", "sells": "-", "uses": "-"}
COMPARISONS = {"more": ("more {item} than", "+"), "fewer": ("fewer {item} than", "-")}
COMPARISONS |= {"times": ("times as many {item} as", "*")}
ASIDES = {"walks": "miles", "sleeps": "hours", "reads": "pages", "writes": "letters"}
OPERATIONS = {"+": add, "-": sub, "*": mul}

SENTENCE = re.compile(
    r"In (?P<month>\w+) (?P<who>\w+) (?P<verb>\w+) (?P<n>\d+) (?:(?P<kind>more|fewer|times)(?: as many)? )?"
    r"(?P<item>\w+)(?: (?:than|as) (?P<whose>\w+))?\."
)
ASKED = re.compile(r"How many (?P<item>\w+) does (?P<who>\w+) have\?")


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """One of the options, all alike."""
    return options[rng.integers(len(options))]


def draw_problem(rng: np.random.Generator, low: int = 2, high: int = MOST_STEPS) -> str:
    """The text of a fresh problem with `low` to `high` steps, evenly many of each."""
    item, names = pick(rng, ITEMS), list(rng.permutation(NAMES))
    who, value = names.pop(), int(rng.integers(2, 21))
    sentences = [f"{who} {pick(rng, STARTS)} {value} {item}."]
    for _ in range(rng.integers(low, high + 1)):
        n, result = 0, 0
        while not 1 <= result <= LARGEST:
            is_event = rng.random() < 0.5
            kind = pick(rng, tuple(EVENTS if is_event else COMPARISONS))
            sign = EVENTS[kind] if is_event else COMPARISONS[kind][1]
            n = int(rng.integers(2, 4 if sign == "*" else 6))
            result = OPERATIONS[sign](value, n)
        value = result
        if is_event:
            sentences.append(f"{who} {kind} {n} {item}.")
        else:
            whose, who = who, names.pop()
            sentences.append(f"{who} has {n} {COMPARISONS[kind][0].format(item=item)} {whose}.")
    for _ in range(rng.integers(0, MOST_ASIDES + 1)):
        verb = pick(rng, tuple(ASIDES))
        aside = f"{names.pop()} {verb} {rng.integers(2, 10)} {ASIDES[verb]}."
        sentences.insert(rng.integers(len(sentences) + 1), aside)
    first = rng.integers(len(MONTHS))
    dated = [f"In {MONTHS[(first + i) % len(MONTHS)]} {sentence}" for i, sentence in enumerate(sentences)]
    return " ".join((*dated, f"How many {item} does {who} have?"))


@lru_cache(maxsize=100_000)
def solve(question: str) -> Row:
    """The problem with its worked solution and answer. Raises InputError for a text that is no such problem."""
    *sentences, asked = re.findall(r"[^.?]+[.?]", question) or [""]
    asked = ASKED.fullmatch(asked.strip())
    lines, piles = [], {}  # how many of the things asked for each person has
    for match in (SENTENCE.fullmatch(sentence.strip()) for sentence in sentences):
        if asked is None or match is None:
            break
        month, who, verb, n, kind, item, whose = match.groups()
        if item != asked["item"]:
            continue
        if kind is None and verb in STARTS:
            piles[who] = int(n)
            lines.append(f"{month} {who} has {n}")
        elif (owner := who if kind is None else whose) in piles and (kind or verb in EVENTS):
            sign = COMPARISONS[kind][1] if kind else EVENTS[verb]
            before, piles[who] = piles[owner], OPERATIONS[sign](piles[owner], int(n))
            told = f"{month} {who} {verb} {n}" + (f" {kind}" if kind else "")
            lines.append(f"{told}: {before} {sign} {n} = {piles[who]}")
        else:
            break
    else:
        if asked is not None and asked["who"] in piles:
            return Row(question, " ".join(f"{line}." for line in lines), str(piles[asked["who"]]))
    raise InputError(f"question = {question[:80]!r} is not one of the generated problems")


def make_vocabulary() -> tuple[str, ...]:
    """All tokens: the padding, the end, then pieces of text, which carry the space before them."""
    groups = (NAMES, ITEMS, MONTHS, STARTS, EVENTS, COMPARISONS, ASIDES, ASIDES.values(), OPERATIONS, MARKS)
    words = {word for group in groups for word in group} | {str(n) for n in range(LARGEST + 1)}
    words |= {"In", "than", "as", "many", "How", "does", "have", "="}
    spaced = {f" {word}" for word in words}
    return ("<pad>", "<eos>", *sorted({"Question", "Answer", ":", ".", "?", "\n", *MARKS} | spaced))


VOCABULARY = make_vocabulary()
PAD_ID, EOS_ID = 0, 1
PIECE = r" ?\w+| ?[^\w\s]+|\n"
IDS = {piece: i for i, piece in enumerate(VOCABULARY)}


def encode(text: str) -> list[int]:
    """Token ids of a text in the vocabulary; KeyError for a piece outside it."""
    return [IDS[piece] for piece in re.findall(PIECE, text)]


def decode(tokens: np.ndarray) -> str:
    """The text of one row of tokens up to its end, padding left out."""
    return "".join(VOCABULARY[token] for token in tokens if token > EOS_ID)


@dataclass(frozen=True)
class WordProblems:
    """Generated problems as a `Task`. Prompts are padded on the left with PAD_ID, which the model does not see.

    A share of all problems, chosen by a hash of the text, is for tests alone.
    """

    low: int = 2  # fewest steps
    high: int = MOST_STEPS  # most steps
    mark: str = MARK  # what announces the answer
    test_share: float = 0.1  # of problems, never trained on

    vocab_size, eos = len(VOCABULARY), EOS_ID
    short_length = 2  # the mark and the number

    def __post_init__(self) -> None:
        require_integer("low", self.low, low=1)
        allowed = f"a whole number from {self.low} to {MOST_STEPS}"
        require(isinstance(self.high, int) and self.low <= self.high <= MOST_STEPS, "high", self.high, allowed)
        require_choice("mark", self.mark, MARKS)
        is_number = isinstance(self.test_share, float)
        require(is_number and 0 < self.test_share < 1, "test_share", self.test_share, "a number in (0, 1)")

    @property
    def prompt_length(self) -> int:
        return 2 + 7 + 12 * self.high + 7 * MOST_ASIDES + 7 + 3

    @property
    def long_length(self) -> int:
        return 5 + 12 * self.high + 3

    def is_test(self, question: str) -> bool:
        """Is the problem for tests only? By a hash of its text."""
        return uniform(question, "test") < self.test_share

    def questions(self, n: int, rng: np.random.Generator, test: bool = False) -> list[str]:
        """n fresh problems of the training or of the test part."""
        found: list[str] = []
        while len(found) < n:
            question = draw_problem(rng, self.low, self.high)
            if self.is_test(question) == test:
                found.append(question)
        return found

    def prompts(self, n: int, rng: np.random.Generator, test: bool = False) -> np.ndarray:
        """n fresh problems as prompts, padded on the left, (n, P)."""
        rows = np.full((n, self.prompt_length), PAD_ID)
        for row, question in zip(rows, self.questions(n, rng, test), strict=True):
            tokens = encode(prompt(question))
            row[-len(tokens) :] = tokens
        return rows

    def row(self, tokens: np.ndarray) -> Row:
        """The problem that a prompt asks, solved."""
        return solve(decode(tokens).removeprefix("Question: ").removesuffix("\nAnswer:"))

    def _answers(self, prompts: np.ndarray, long: bool) -> np.ndarray:
        texts = [completion(self.row(tokens), long, self.mark) for tokens in prompts]
        rows = [[*encode(text), EOS_ID] for text in texts]
        answers = np.full((len(rows), max(map(len, rows), default=1)), PAD)
        for answer, row in zip(answers, rows, strict=True):
            answer[: len(row)] = row
        return answers

    def long(self, prompts: np.ndarray) -> np.ndarray:
        """Worked solution, mark, answer and EOS, (n, at most L + 1), PAD behind."""
        return self._answers(prompts, True)

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """Mark, answer and EOS, (n, 3)."""
        return self._answers(prompts, False)

    def final(self, answers: np.ndarray) -> np.ndarray:
        """The whole number that an answer ends on, by `answers.final_answer`; PAD without one or without an end."""
        mine, found = said(answers, EOS_ID), np.full(len(answers), PAD)
        for i in np.flatnonzero(mine.any(axis=1)):
            number = final_answer(decode(answers[i][mine[i]]), self.mark)
            if number is not None and re.fullmatch(r"\d{1,9}", number):
                found[i] = int(number)
        return found

    def r_e2e(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if the answer ends on the right number, whatever stands before, (n,) bool. Total."""
        truth = np.array([int(self.row(tokens).answer) for tokens in prompts], dtype=int)
        return self.final(answers) == truth

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """1 if it is exactly the worked solution or exactly the right short answer, (n,) bool. Total."""
        return same_answers(answers, self.long(prompts)) | same_answers(answers, self.short(prompts))

    def text(self, tokens: np.ndarray) -> str:
        """One row of tokens as text, padding and end left out."""
        return decode(tokens)
