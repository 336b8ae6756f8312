"""Verdicts follow from tables: right ones pass, wrong ones do not."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import measured

from ntprl.book import store
from ntprl.book.verdict import DEFINITION, NOT_REPRODUCED, NOT_RUN, PARTLY, REPRODUCED
from ntprl.seeds import numpy_rng
from ntprl.studies import scorecard
from ntprl.studies.catalogue import CLAIMS, TABLES
from ntprl.studies.mixture.claims import mixture
from ntprl.studies.threshold import claims
from ntprl.tasks.parity import Parity

ROOT = Path(__file__).resolve().parent.parent
SHARES = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.35, 0.4, 0.5, 0.75, 1.0)


def sweep_table(**changed) -> pd.DataFrame:
    return pd.DataFrame([measured(p, seed, **changed) for p in SHARES for seed in range(5)])


def trace(**changed) -> pd.DataFrame:
    return pd.DataFrame([measured(0.25, seed, step, **changed) for seed in range(3) for step in range(0, 8001, 400)])


def test_an_ideal_sweep_reproduces_the_threshold_and_the_calibration():
    assert claims.at_one_third.criterion(sweep_table()).verdict == REPRODUCED
    assert claims.calibrated.criterion(sweep_table()).verdict == REPRODUCED


@pytest.mark.parametrize("switch", [0.12, 0.22, 0.45])
def test_another_switch_does_not(switch):
    assert claims.at_one_third.criterion(sweep_table(switch=switch)).verdict != REPRODUCED


def test_never_switching_or_always_writing_chains_does_not():
    assert claims.at_one_third.criterion(sweep_table(switch=2.0)).verdict == NOT_REPRODUCED
    assert claims.at_one_third.criterion(sweep_table(switch=-1.0)).verdict != REPRODUCED


def test_at_chance_by_other_answers_is_not_what_is_claimed():
    assert claims.at_one_third.criterion(sweep_table(greedy_first_bit=0.5)).verdict == PARTLY


@pytest.mark.parametrize("changed", [dict(sampled_long=0.0), dict(sampled_long=0.12)])
def test_a_model_that_writes_long_too_seldom_or_always_alike_is_not_calibrated(changed):
    assert claims.calibrated.criterion(sweep_table(**changed)).verdict == NOT_REPRODUCED


def test_calibration_is_relative_too():
    table = sweep_table()
    table.loc[table["p_cot"] == 0.1, "sampled_long"] = 0.125  # within .03, but off by a quarter
    assert claims.calibrated.criterion(table).verdict == NOT_REPRODUCED


@pytest.mark.parametrize("criterion", [claims.stalls.criterion, claims.short.criterion])
def test_a_long_run_is_partial_until_ten_million(criterion):
    assert criterion(trace()).verdict == PARTLY
    assert criterion(trace(), 10_000_000).verdict == REPRODUCED


@pytest.mark.parametrize(
    "changed", [dict(greedy_first_bit=0.9), dict(chain_accuracy=0.5), dict(sampled_long=0.31), dict(sampled_long=0.19)]
)
@pytest.mark.parametrize("demonstrations", [1_000_000, 10_000_000])
def test_a_long_run_that_generalises_knows_no_chain_or_is_not_calibrated_is_not_reproduced(changed, demonstrations):
    assert claims.stalls.criterion(trace(**changed), demonstrations).verdict == NOT_REPRODUCED


def test_one_bad_seed_at_the_end_is_enough():
    table = trace()
    table.loc[(table["seed"] == 1) & (table["step"] == 8000), "chain_accuracy"] = 0.9
    assert claims.stalls.criterion(table, 10_000_000).verdict == NOT_REPRODUCED


def test_calibration_at_ten_million_is_closer():
    assert claims.stalls.criterion(trace(sampled_long=0.29)).verdict == PARTLY
    assert claims.stalls.criterion(trace(sampled_long=0.29), 10_000_000).verdict == NOT_REPRODUCED


def test_long_greedy_answers_are_not_short():
    assert claims.short.criterion(trace(greedy_median_length=50)).verdict == NOT_REPRODUCED


def test_answers_that_were_not_kept_are_known_by_their_score():
    """Older tables lack the share of (x_1, EOS): the same prompts, drawn again, tell it from another coin flip."""
    task, rows = Parity(16), []
    for seed in range(4):
        prompts = task.prompts(1024, numpy_rng(seed, "evaluation", 300), test=True)
        first, parity = prompts[:, 0], prompts[:, :-1].sum(axis=1) % 2
        rows.append(dict(n_eval=1024, seed=seed, step=300, greedy_long=0.0, greedy_accuracy=(first == parity).mean()))
    table = pd.DataFrame(rows)
    assert claims.says_first_bit(table, d=16).all()
    assert not claims.says_first_bit(table.assign(greedy_accuracy=table["greedy_accuracy"] + 1 / 1024), d=16).any()
    assert not claims.says_first_bit(table.assign(greedy_long=0.001), d=16).any()


def capacity_table(**changed) -> pd.DataFrame:
    sizes = [(layers, width) for layers in (2, 4, 8) for width in (64, 256)]
    rows = [
        measured(p, seed, n_layer=layers, width=width)
        for p in (0.15, 0.5)
        for layers, width in sizes
        for seed in range(3)
    ]
    rows[0] |= changed
    return pd.DataFrame(rows)


def test_capacity_needs_every_size_at_chance_below_and_right_above():
    assert claims.capacity.criterion(capacity_table()).verdict == REPRODUCED
    assert claims.capacity.criterion(capacity_table(greedy_accuracy=1.0)).verdict == NOT_REPRODUCED
    assert claims.capacity.criterion(capacity_table(chain_accuracy=0.2)).verdict == NOT_REPRODUCED
    small = capacity_table().query("n_layer < 8 or width < 256")
    assert claims.capacity.criterion(small).verdict == PARTLY
    bad_above = capacity_table()
    bad_above.loc[(bad_above["p_cot"] > 1 / 3) & (bad_above["width"] == 256), "greedy_accuracy"] = 0.9
    assert claims.capacity.criterion(bad_above).verdict == NOT_REPRODUCED


def learning(links_known_at: int = 200, short: float = 0.5) -> pd.DataFrame:
    rows = []
    for seed in range(3):
        for step in range(0, 401, 100):
            known = 0.99 if step >= links_known_at else 0.5
            rows += [dict(seed=seed, step=step, kind="long", position=i, probability=known) for i in range(1, 6)]
            rows.append(dict(seed=seed, step=step, kind="short", position=1, probability=short))
    return pd.DataFrame(rows)


def test_long_demonstrations_are_learned_first():
    check = claims.long_before_short.criterion
    assert check(learning()).verdict == REPRODUCED
    assert check(learning(links_known_at=500)).verdict == NOT_REPRODUCED
    assert check(learning(short=0.6)).verdict == NOT_REPRODUCED
    one_link = learning()
    one_link.loc[(one_link["seed"] == 2) & (one_link["position"] == 3), "probability"] = 0.5
    assert check(one_link).verdict == NOT_REPRODUCED


def test_the_mixture_itself_is_checked(monkeypatch):
    assert mixture.criterion().verdict == DEFINITION
    broken = Parity.long
    monkeypatch.setattr(Parity, "long", lambda self, prompts: np.where(prompts == 1, 0, broken(self, prompts)))
    assert mixture.criterion().verdict == NOT_REPRODUCED


def test_live_verdicts_in_words():
    ideal = claims.live_verdicts(measured(0.25, 0), 0.25)
    assert list(ideal.values()) == ["learned", "at chance", "1", "calibrated", "at chance"]
    changed = dict(chain_accuracy=0.0, greedy_accuracy=0.7, sampled_long=0.9, sampled_short_accuracy=float("nan"))
    other = claims.live_verdicts(measured(0.25, 0, **changed), 0.25)
    assert list(other.values()) == ["not learned", "away from chance", "1", "not calibrated", "none"]


def test_claims_are_listed_in_order_and_read_known_tables():
    parts = {"C16": "ab", "C17": "abc", "O3": "ab"}  # what was run, and what was not; two halves of a rule
    numbers = [f"C{i}" for i in range(1, 22)], [f"O{i}" for i in range(1, 43)]
    theirs, own = ([f"{id}{part}" for id in ids for part in parts.get(id, [""])] for ids in numbers)
    assert [claim.id for claim in scorecard.of_the_paper()] == theirs
    assert [claim.id for claim in scorecard.ours()] == own
    assert list(CLAIMS) == [*theirs, *own]
    assert all(name in TABLES for claim in CLAIMS.values() for name in claim.tables)
    assert {name for claim in CLAIMS.values() for name in scorecard.chapters_of(claim)} <= {
        path.stem for path in (ROOT / "chapters").glob("*.md")
    }


def test_a_claim_without_its_table_is_not_yet_run(monkeypatch):
    monkeypatch.setattr(store, "is_recorded", lambda recording: False)
    words = {id: scorecard.verdict_of(claim).verdict for id, claim in CLAIMS.items()}
    assert {word for id, word in words.items() if id != "C1"} == {NOT_RUN}


def test_the_readmes_show_todays_claims_and_wanted_recordings():
    spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path in tool.WRITTEN:
        assert tool.rewritten(path) == path.read_text(encoding="utf-8"), "run python tools/readme.py"
    listed = re.findall(r"(?m)^\| `(\w+)` \|.*-p record \1", (ROOT / "data" / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(r.name for r in TABLES.values() if not store.is_recorded(r))


def test_the_pictures_of_the_first_page_are_todays():
    spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path, make in tool.PICTURES.items():
        assert make() == path.read_text(encoding="utf-8"), "run python tools/readme.py"
