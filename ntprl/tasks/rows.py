"""Problems in words, and the two demonstrations of each: the worked solution, or the answer alone.

One format for every data set and model:

    prompt            Question: Mia has 7 pears. Tom has 5 more. How many has Tom?
                      Answer:
    long completion    Tom has 7 + 5 = 12 pears.
                      #### 12
    short completion   #### 12

A base model reads prompt and completion as plain text. An instruct model gets the question as the user's
message and the completion as the assistant's, in its own chat template.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ntprl.errors import require_number

MARK = "####"  # what announces the final answer


@dataclass(frozen=True)
class Row:
    """One problem with its worked solution and its answer."""

    question: str
    solution: str  # the worked solution, without the line that repeats the answer
    answer: str  # the final answer alone


def prompt(question: str) -> str:
    """What a model reads before it answers."""
    return f"Question: {question}\nAnswer:"


def completion(row: Row, long: bool, mark: str = MARK) -> str:
    """What a demonstration writes after the prompt."""
    return f" {row.solution}\n{mark} {row.answer}" if long else f" {mark} {row.answer}"


def is_long(text: str, mark: str = MARK) -> bool:
    """Does a completion say anything before its first mark? One without a mark does, if it says anything."""
    return bool(text.split(mark, 1)[0].strip())


def uniform(question: str, draw: int | None = None) -> float:
    """A number in [0, 1) that depends on the question alone; with `draw`, on that number too."""
    text = question if draw is None else f"{draw}\n{question}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def long_ones(rows: Iterable[Row], p_cot: float, draw: int | None = None) -> list[bool]:
    """Which rows are demonstrated by their solution: each with probability p_cot.

    By default a row keeps its kind in every epoch and for every seed, and one that is long at some p_cot is
    long at any higher one. Another `draw` deals anew. Raises InputError for p_cot outside [0, 1].
    """
    require_number("p_cot", p_cot, low=0, high=1)
    return [uniform(row.question, draw) < p_cot for row in rows]
