"""Parity in words: a coin that some people turn over and others leave alone. Which side does it show at last?

The paper's task in the language of a pretrained model. Every bit is a person, and a chain names them one by one:

    prompt   The coin shows heads. Eve turns it. Tom watches it. Ivan moves it. The coin shows
    long      heads; Eve turns, tails; Tom watches, tails; Ivan moves, heads.
    short     heads.

Both may begin with the same word, as in parity, so a short answer that is a guess agrees with the chain for half of all
prompts: m = 1/2, and the threshold m/(1 + m) should be 1/3. Where short answers are marked (" finally heads.") the two
part at once: m = 1, threshold 1/2. Things, sides, names and verbs vary. Every piece of text is one token here, and one
token of SmolLM2's vocabulary too, so that its weights can read them.
"""

from dataclasses import dataclass

import numpy as np

from ntprl.errors import InputError, require, require_integer
from ntprl.tasks.rows import uniform
from ntprl.tasks.task import PAD, said, same_answers

THINGS = {"coin": ("heads", "tails"), "lamp": ("red", "green"), "card": ("black", "white")}
THINGS |= {"sign": ("north", "south"), "flag": ("up", "down")}
TURNS = ("turns", "moves", "switches", "changes")
LEAVES = ("watches", "likes", "draws", "needs", "counts", "sees")
NAMES = ("Ada", "Alice", "Amy", "Anna", "Ben", "Bob", "David", "Emma", "Eva", "Eve", "Ivan", "Jack", "Jane", "Jim")
NAMES += ("John", "Kate", "Leo", "Lily", "Lucy", "Luke", "Mark", "Mary", "Max", "Mia", "Paul", "Peter", "Rosa", "Sam")
NAMES += ("Sarah", "Tom")
SIDES = tuple(side for sides in THINGS.values() for side in sides)
END = "<eos>"
WORDS = (*THINGS, *SIDES, *TURNS, *LEAVES, *NAMES, "The", "shows", "it", "finally")
VOCABULARY = (END, "The", ".", ";", ",", *(f" {word}" for word in WORDS))  # pieces of text, the space before included
PIECE = r" ?\w+|[.;,]"  # one of them in a text
IDS = {piece: i for i, piece in enumerate(VOCABULARY)}
EOS_ID = IDS[END]
STATES = np.array([IDS[f" {side}"] for side in SIDES])
OTHER = {IDS[f" {a}"]: IDS[f" {b}"] for sides in THINGS.values() for a, b in (sides, sides[::-1])}  # the other side
TURNING = np.array([IDS[f" {verb}"] for verb in TURNS])


def tokens_of(text: str) -> list[int]:
    """Token ids of a text. Raises InputError for a piece that is not in the vocabulary."""
    tokens, rest = [], text
    while rest:
        piece = max((piece for piece in VOCABULARY if rest.startswith(piece)), key=len, default="")
        if not piece:
            raise InputError(f"text {rest[:40]!r} begins with no word of this task")
        tokens.append(IDS[piece])
        rest = rest[len(piece) :]
    return tokens


@dataclass(frozen=True)
class CoinProblems:
    """Generated problems as a `Task`; a share of them, chosen by a hash of the text, is for tests alone."""

    people: int = 8  # d, who turn or do not
    marked: bool = False  # do short answers begin with a word of their own?
    test_share: float = 0.1  # of problems, never trained on

    vocab_size, eos, vocabulary = len(VOCABULARY), EOS_ID, VOCABULARY

    def __post_init__(self) -> None:
        require_integer("people", self.people, low=1)
        allowed = f"at most {len(NAMES)}, one for each name"
        require(self.people <= len(NAMES), "people", self.people, allowed)
        require(isinstance(self.marked, bool), "marked", self.marked, "True or False")
        is_number = isinstance(self.test_share, float)
        require(is_number and 0 < self.test_share < 1, "test_share", self.test_share, "a number in (0, 1)")

    @property
    def prompt_length(self) -> int:
        return 5 + 4 * self.people + 3

    @property
    def long_length(self) -> int:
        return 1 + 5 * self.people + 1

    @property
    def short_length(self) -> int:
        return 3 if self.marked else 2

    @property
    def parting(self) -> int:
        """Tokens of an answer that decide whether it is long: its first, or, where both may begin alike, two."""
        return 1 if self.marked else 2

    def prompts(self, n: int, rng: np.random.Generator, test: bool = False) -> np.ndarray:
        """n fresh problems of the training or of the test part, (n, P). Each person turns with probability 1/2."""
        rows: list[list[int]] = []
        things = list(THINGS)
        while len(rows) < n:
            thing = things[rng.integers(len(things))]
            side = THINGS[thing][rng.integers(2)]
            names = rng.choice(len(NAMES), size=self.people, replace=False)
            text = f"The {thing} shows {side}."
            for name in names:
                verbs = TURNS if rng.random() < 0.5 else LEAVES
                text += f" {NAMES[name]} {verbs[rng.integers(len(verbs))]} it."
            text += f" The {thing} shows"
            if (uniform(text, "test") < self.test_share) == test:
                rows.append(tokens_of(text))
        return np.array(rows, dtype=np.int64).reshape(n, self.prompt_length)

    def states(self, prompts: np.ndarray) -> np.ndarray:
        """What the thing shows at first and after each person, (n, people + 1)."""
        prompts = np.asarray(prompts)
        shown = np.empty((len(prompts), self.people + 1), dtype=np.int64)
        shown[:, 0] = prompts[:, 3]
        turned = np.isin(prompts[:, 6 : 6 + 4 * self.people : 4], TURNING)  # (n, people)
        other = np.arange(self.vocab_size)
        other[list(OTHER)] = list(OTHER.values())
        for i in range(self.people):
            shown[:, i + 1] = np.where(turned[:, i], other[shown[:, i]], shown[:, i])
        return shown

    def long(self, prompts: np.ndarray) -> np.ndarray:
        """Every person, what they do, and what it shows then, (n, L + 1)."""
        prompts, shown = np.asarray(prompts), self.states(prompts)
        rows = np.empty((len(prompts), self.long_length + 1), dtype=np.int64)
        rows[:, 0] = shown[:, 0]
        steps = rows[:, 1:-2].reshape(len(rows), self.people, 5)
        told = prompts[:, 5 : 5 + 4 * self.people].reshape(len(rows), self.people, 4)
        steps[:, :, 0], steps[:, :, 3] = IDS[";"], IDS[","]
        steps[:, :, 1:3], steps[:, :, 4] = told[:, :, :2], shown[:, 1:]
        rows[:, 1:-2] = steps.reshape(len(rows), 5 * self.people)
        rows[:, -2], rows[:, -1] = IDS["."], EOS_ID
        return rows

    def short(self, prompts: np.ndarray) -> np.ndarray:
        """What it shows at last, (n, S + 1)."""
        last = self.states(prompts)[:, -1:]
        ends = np.tile([IDS["."], EOS_ID], (len(last), 1))
        mark = np.full((len(last), int(self.marked)), IDS[" finally"])
        return np.hstack((mark, last, ends))

    def final(self, answers: np.ndarray) -> np.ndarray:
        """The side that stands before the last full stop, (n,); PAD if the answer does not end in a side and a stop."""
        answers = np.asarray(answers)
        length = said(answers, EOS_ID).sum(axis=1)
        rows = np.arange(len(answers))
        side, stop = (answers[rows, np.maximum(length - back, 0)] for back in (2, 1))
        ends_well = (length >= 2) & (stop == IDS["."]) & np.isin(side, STATES)
        return np.where(ends_well, side, PAD)

    def r_e2e(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Does the answer end with the right side? (n,) bool."""
        return self.final(answers) == self.states(prompts)[:, -1]

    def r_cot(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Is it exactly the right chain, or exactly the right short answer? (n,) bool."""
        return same_answers(answers, self.long(prompts)) | same_answers(answers, self.short(prompts))

    def text(self, tokens: np.ndarray) -> str:
        """One row of tokens as text, padding and end left out."""
        return "".join(VOCABULARY[token] for token in tokens if token not in (PAD, EOS_ID))
