"""The scorecard as it stands: no line contradicts its verdict, and tables of a false claim lose theirs.

The criteria's own tests use small made-up tables (tests/test_claims*.py). Here the recorded tables are altered, one
claim at a time, so that what it says is false; the verdict must follow.
"""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from ntprl.book import store
from ntprl.book.store import TEXT_WIDTH
from ntprl.book.verdict import DEFINITION, FAILED, HELD, NOT_REPRODUCED, NOT_RUN, PARTLY, REPRODUCED, UNDECIDED
from ntprl.studies import scorecard
from ntprl.studies.catalogue import CLAIMS

PROOFS = Path(__file__).resolve().parent.parent / "chapters" / "proofs" / "linear_chain.md"
PAPER = {REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN, DEFINITION}
OURS = {HELD, FAILED, UNDECIDED, NOT_RUN}
GOOD, RANK = (REPRODUCED, HELD), {NOT_REPRODUCED: 0, FAILED: 0, PARTLY: 1, UNDECIDED: 1, REPRODUCED: 2, HELD: 2}
each_claim = pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)


@each_claim
def test_a_verdict_is_one_of_its_kind_and_its_line_does_not_contradict_it(claim):
    word, line = scorecard.verdict_of(claim)
    assert word in (OURS if claim.source == "ours" else PAPER)
    assert line.strip()
    assert "nan" not in line.lower().split()
    if word in GOOD:
        assert not re.search(r"\boutside\b|\bnot reproduced\b|\bfails?\b", line)


@each_claim
def test_what_decides_stands_first_and_is_short(claim):
    """It is all that a badge shows of the numbers before it is opened."""
    word, line = scorecard.verdict_of(claim)
    first = line.partition("; ")[0]
    assert len(first) <= 180, first
    assert word == NOT_RUN or re.search(r"\d", first)


class Elements(HTMLParser):
    """What the board consists of: attributes of every tag, the text in each <b>, and tags left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of_class(self, name):
        return [found for _, found in self.tags if found.get("class") == name]


@pytest.fixture(scope="module")
def board():
    return scorecard.board()


def test_the_board_has_a_cell_and_a_card_for_each_claim(board):
    html = board._repr_html_()
    page = Elements(html)
    assert page.open == []
    ids = [id.lower() for id in CLAIMS]
    assert [card["id"] for card in page.of_class("claim")] == ids
    cells = [found["href"] for tag, found in page.tags if tag == "a" and found["href"].startswith("#")]
    assert sorted(cells) == sorted(2 * [f"#{id}" for id in ids])  # in the grid, and the name on the card itself
    words = [scorecard.verdict_of(claim).verdict for claim in CLAIMS.values()]
    assert [card["data-verdict"] for card in page.of_class("claim")] == words
    assert all(html.count(f"</b>{word}</a>") == words.count(word) for word in words)
    assert "hidden" not in {name for _, found in page.tags for name in found}  # all is seen without scripts


def test_every_filter_finds_a_claim_and_every_claim_a_filter(board):
    page = Elements(board._repr_html_())
    options = {found["value"] for tag, found in page.tags if tag == "option"} - {""}
    cards = page.of_class("claim")
    assert options == {card["data-verdict"] for card in cards} | {
        s for card in cards for s in card["data-source"].split()
    }
    assert all(card["data-source"] for card in cards)


def test_a_card_links_all_chapters_that_show_the_claim(board):
    cards = {card.badge.id: card.as_html() for _, cards in board.groups for card in cards}
    for id, claim in CLAIMS.items():
        assert all(f'href="{chapter}.html"' in cards[id] for chapter in scorecard.chapters_of(claim))
        assert all(recording.command in cards[id] for recording in scorecard.recordings_of(claim))
        assert claim.quote.split()[0] in cards[id] if claim.quote else "In the paper" not in cards[id]


def test_a_claim_that_rests_on_proofs_names_statements_of_their_page(board):
    """By the number that the page gives them, as each kind is counted there."""
    count, named = Counter(), {}
    for kind, label in re.findall(r"```\{prf:(\w+)\} .*\n:label: ([\w-]+)", PROOFS.read_text()):
        count[kind] += 1
        named[label] = f"{kind.capitalize()} {count[kind]}"
    cards = {card.badge.id: card for _, cards in board.groups for card in cards}
    for id, claim in CLAIMS.items():
        assert bool(claim.proof) == bool(claim.measured)
        for label, name, proves in claim.proof:
            assert named.get(label) == name, f"{id} names {label} as {name}"
            assert f'<a href="proofs/linear_chain.html#{label}">{name}</a>' in cards[id].as_html()
            assert f"{proves} ({name})" in " ".join(repr(cards[id]).split())
    assert {id for id, claim in CLAIMS.items() if claim.proof} >= {"C12", "C13", "C14", "C15"}


def test_the_board_in_plain_text(board):
    text = repr(board)
    assert max(map(len, text.splitlines())) <= TEXT_WIDTH
    for claim in CLAIMS.values():
        word = scorecard.verdict_of(claim).verdict
        assert f"\n\n{claim.id}, {word}: " in text
        assert re.search(rf"(?m)^{word}: (?:.*\n  )?.*\b{claim.id}\b", text)
    assert "<" not in re.sub(r"<=", "", text)


def test_counts_are_of_all_claims_but_definitions():
    numbers = [int(number) for number in re.findall(r"\d+", scorecard.counts())]
    words = [scorecard.verdict_of(claim).verdict for claim in CLAIMS.values()]
    counted = [word for word in words if word != DEFINITION]
    totals = [len(part) for part in (scorecard.of_the_paper(), scorecard.ours())]
    totals[0] -= len(words) - len(counted)
    assert sum(numbers) == 2 * len(counted) and set(totals) <= set(numbers)


def setting(**columns):
    """All rows with these values."""
    return lambda table: table.assign(**columns)


def last_rounds(**columns):
    """Rows of RL with these values, but for the start."""

    def alter(table: pd.DataFrame) -> pd.DataFrame:
        rows = (table["phase"] == "rl") & (table["step"] > 0)
        return table.assign(**{name: table[name].where(~rows, value) for name, value in columns.items()})

    return alter


def as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    return table


def shifted_shares(factor: float):
    """The same curves over other shares."""
    return lambda table: table.assign(p_cot=table["p_cot"] * factor)


def swapped(**pair: tuple[str, str]):
    """The rows of one value under the name of the other."""
    (column, (one, other)), *_ = pair.items()
    return lambda table: table.assign(**{column: table[column].map({one: other, other: one})})


SHORT_AFTER_RL = last_rounds(greedy_accuracy=0.5, greedy_long=0.0, greedy_median_length=1.0, mean_length=10.0)
# claim -> what is done to all of its tables, or to each, to make it false
FALSE = {
    "C2": setting(greedy_accuracy=0.9, greedy_long=0.8, greedy_first_bit=0.2),
    "C3": setting(greedy_median_length=50.0),
    "C4": setting(sampled_long=0.0),
    "C5": shifted_shares(1.5),
    "C6": setting(greedy_accuracy=1.0),
    "C7": SHORT_AFTER_RL,
    "C8": SHORT_AFTER_RL,
    "C9": SHORT_AFTER_RL,
    "C10": SHORT_AFTER_RL,
    "C11": last_rounds(greedy_accuracy=1.0, greedy_long=1.0),
    "C12": setting(worst_chain=0.5, worst_short=0.5),
    "C13": setting(long=0.25, chain=0.25),
    "C14": setting(greedy_long=0.0, long_probability=1e-6),
    "C15": setting(greedy_r_cot=1.0, greedy_accuracy=1.0),
    "C16a": SHORT_AFTER_RL,
    "C17a": last_rounds(greedy_accuracy=0.0, greedy_long=0.0),
    "C17c": last_rounds(greedy_accuracy=0.0, greedy_long=0.0),
    "C18": last_rounds(long_probability=0.0),
    "C20": SHORT_AFTER_RL,
    "C21": setting(probability=0.5),
    "O3a": shifted_shares(1.5),
    "O3b": shifted_shares(2.5),
    "O4": (as_it_is, setting(greedy_accuracy=0.0, long_probability=0.0)),
    "O5": setting(chain_accuracy=1.0, greedy_accuracy=0.5, greedy_long=0.0),
    "O6": (as_it_is, setting(greedy_accuracy=0.0, long_probability=0.0)),
    "O7": last_rounds(greedy_accuracy=0.0),
    "O8": last_rounds(greedy_accuracy=0.0, greedy_long=0.0),
    "O12": SHORT_AFTER_RL,
    "O14": setting(kl_from_start=100.0),
    "O16": setting(kl_from_start=100.0),
    "O13": last_rounds(long_probability=1.0),
    "O1": shifted_shares(1.5),
    "O2": shifted_shares(1.5),
    "C19": setting(greedy_accuracy=0.5),
    "O17": shifted_shares(1.5),
    "O18": shifted_shares(1.5),
    "O19": setting(greedy_accuracy=0.5),
    "O20": setting(kl_from_start=100.0),
    "O21": shifted_shares(1.5),
    "O22": setting(long_probability=0.5),
    "O23": setting(long_probability=0.5),
    "O24": setting(greedy_accuracy=0.0),
    "O25": setting(greedy_long=0.0),
    "O26": setting(rollout_long=0.0),
    "O27": setting(long_probability=0.99),
    "O28": setting(long_probability=0.99),
    "O34": setting(greedy_accuracy=0.5),
    "O35": setting(greedy_long=0.0),
    "O36": setting(long_probability=0.4),
    "O42": setting(long_probability=0.25),
    "O29": setting(greedy_long=1.0),
    "O41": setting(guess=0.5),
    "O40": (last_rounds(greedy_accuracy=0.5), as_it_is),
    "O39": setting(new_look_gap=-1.0),
    "O37": setting(long_probability=0.25),
    "O9": setting(n_samples=1024),
    "O10": setting(long=0.9),
    "O11": setting(greedy_long=0.0),
    "O15": last_rounds(greedy_accuracy=0.5),
    "O38": setting(greedy_long=0.0),
    "O32": swapped(optimizer=("adamw", "sgd")),
    "O33": setting(stop_score=-1.0),
}


@pytest.mark.parametrize("id", FALSE)
def test_a_claim_whose_tables_say_the_opposite_loses_its_verdict(id):
    claim = CLAIMS[id]
    word = scorecard.verdict_of(claim).verdict
    if word == NOT_RUN:
        pytest.skip("not recorded yet")
    tables = [store.load(recording) for recording in scorecard.recordings_of(claim)]
    changes = FALSE[id] if isinstance(FALSE[id], tuple) else [FALSE[id]] * len(tables)
    tables = [change(table) for change, table in zip(changes, tables, strict=True)]
    assert RANK[claim.criterion(*tables).verdict] < max(1, RANK[word])


def test_every_recorded_claim_has_its_opposite():
    recorded = {id for id, claim in CLAIMS.items() if claim.tables and scorecard.verdict_of(claim).verdict != NOT_RUN}
    assert recorded <= FALSE.keys()
