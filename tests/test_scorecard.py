"""The scorecard as it stands: no line contradicts its verdict, and tables of a false claim lose theirs.

The criteria's own tests use small made-up tables (tests/test_claims*.py). Here the recorded tables are altered, one
claim at a time, so that what it says is false; the verdict must follow.
"""

import re

import pandas as pd
import pytest

from ntprl.book import store
from ntprl.book.verdict import DEFINITION, FAILED, HELD, NOT_REPRODUCED, NOT_RUN, PARTLY, REPRODUCED, UNDECIDED
from ntprl.studies import scorecard
from ntprl.studies.catalogue import CLAIMS

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


def test_no_card_has_an_empty_line():
    for line in scorecard.markdown_cards(CLAIMS.values()).splitlines():
        assert not re.fullmatch(r"-\s*\.?\s*", line)


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
