"""Verdicts follow from tables: right ones pass, wrong ones do not."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntprl.book import store
from ntprl.book.verdict import NOT_REPRODUCED, NOT_RUN, PARTLY, REPRODUCED
from ntprl.studies import scorecard
from ntprl.studies.catalogue import CLAIMS, TABLES
from ntprl.studies.mixture.claims import mixture
from ntprl.studies.threshold import claims
from ntprl.tasks.parity import Parity

ROOT = Path(__file__).resolve().parent.parent
SHARES = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.35, 0.4, 0.5, 0.75, 1.0)


def made_up(p_cot: float, seed: int, step: int = 1000, switch: float = 1 / 3, **changed) -> dict:
    """A row as an ideal calibrated model with a sharp switch would give it."""
    goes_on = float(p_cot > switch)
    row = dict(p_cot=p_cot, seed=seed, step=step, n_eval=1024, n_layer=2, width=64, chain_accuracy=1.0)
    row |= dict(greedy_long=goes_on, greedy_accuracy=0.5 + goes_on / 2, greedy_median_length=1 + 49 * goes_on)
    row |= dict(sampled_long=p_cot, sampled_accuracy=(1 + p_cot) / 2, sampled_short_accuracy=0.5)
    return row | changed


def sweep_table(**changed) -> pd.DataFrame:
    return pd.DataFrame([made_up(p, seed, **changed) for p in SHARES for seed in range(5)])


def trace(**changed) -> pd.DataFrame:
    return pd.DataFrame([made_up(0.25, seed, step, **changed) for seed in range(3) for step in range(0, 8001, 400)])


def test_an_ideal_sweep_reproduces_the_threshold_and_the_calibration():
    assert claims.at_one_third.criterion(sweep_table()).verdict == REPRODUCED
    assert claims.calibrated.criterion(sweep_table()).verdict == REPRODUCED


@pytest.mark.parametrize("switch", [0.12, 0.22, 0.45])
def test_another_switch_does_not(switch):
    assert claims.at_one_third.criterion(sweep_table(switch=switch)).verdict != REPRODUCED


def test_never_switching_or_always_writing_chains_does_not():
    assert claims.at_one_third.criterion(sweep_table(switch=2.0)).verdict == NOT_REPRODUCED
    assert claims.at_one_third.criterion(sweep_table(switch=-1.0)).verdict != REPRODUCED


def test_a_model_that_never_writes_long_is_not_calibrated():
    assert claims.calibrated.criterion(sweep_table(sampled_long=0.0)).verdict == NOT_REPRODUCED


def test_the_long_run_is_partial_until_ten_million():
    assert claims.stalls.criterion(trace()).verdict == PARTLY
    assert claims.short.criterion(trace()).verdict == REPRODUCED


@pytest.mark.parametrize("changed", [dict(greedy_accuracy=0.9), dict(chain_accuracy=0.5)])
def test_a_long_run_that_generalises_or_knows_no_chain_is_not_reproduced(changed):
    assert claims.stalls.criterion(trace(**changed)).verdict == NOT_REPRODUCED


def test_long_greedy_answers_are_not_short():
    assert claims.short.criterion(trace(greedy_median_length=50)).verdict == NOT_REPRODUCED


def capacity_table(**changed) -> pd.DataFrame:
    sizes = [(layers, width) for layers in (2, 4, 8) for width in (64, 128)]
    rows = [
        made_up(p, seed, n_layer=layers, width=width)
        for p in (0.15, 0.5)
        for layers, width in sizes
        for seed in range(3)
    ]
    rows[0] |= changed
    return pd.DataFrame(rows)


def test_capacity_needs_every_size_at_chance_below_and_right_above():
    assert claims.capacity.criterion(capacity_table()).verdict == REPRODUCED
    assert claims.capacity.criterion(capacity_table(greedy_accuracy=1.0)).verdict != REPRODUCED
    assert claims.capacity.criterion(capacity_table(chain_accuracy=0.2)).verdict != REPRODUCED


@pytest.mark.parametrize("modulus", [3, 5])
def test_the_moved_threshold_is_told_from_one_third(modulus):
    check = {3: claims.modulus_3, 5: claims.modulus_5}[modulus].criterion
    assert check(sweep_table(switch=1 / (modulus + 1))).verdict == REPRODUCED
    assert check(sweep_table(switch=1 / 3)).verdict == NOT_REPRODUCED


def test_the_mixture_itself_is_checked(monkeypatch):
    assert mixture.criterion().verdict == REPRODUCED
    broken = Parity.long
    monkeypatch.setattr(Parity, "long", lambda self, prompts: np.where(prompts == 1, 0, broken(self, prompts)))
    assert mixture.criterion().verdict == NOT_REPRODUCED


def test_live_verdicts_in_words():
    ideal = claims.live_verdicts(made_up(0.25, 0), 0.25)
    assert list(ideal.values()) == ["learned", "at chance", "1", "calibrated", "at chance"]
    changed = dict(chain_accuracy=0.0, greedy_accuracy=0.7, sampled_long=0.9, sampled_short_accuracy=float("nan"))
    other = claims.live_verdicts(made_up(0.25, 0, **changed), 0.25)
    assert list(other.values()) == ["not learned", "away from chance", "1", "not calibrated", "none"]


def test_all_eighteen_claims_are_listed_and_read_known_tables():
    ids = [f"C{i}" for i in range(1, 19)]
    ids[16:17] = ["C17a", "C17b"]  # what runs here, and what needs gated weights
    assert [claim.id for claim in scorecard.of_the_paper()] == ids
    assert [claim.id for claim in scorecard.ours()] == [f"O{i}" for i in range(1, 7)]
    assert list(CLAIMS) == [claim.id for claim in (*scorecard.of_the_paper(), *scorecard.ours())]
    assert all(name in TABLES for claim in CLAIMS.values() for name in claim.tables)
    assert {name for claim in CLAIMS.values() for name in scorecard.chapters_of(claim)} <= {
        path.stem for path in (ROOT / "chapters").glob("*.md")
    }


def test_a_claim_without_its_table_is_not_yet_run(monkeypatch):
    monkeypatch.setattr(store, "is_recorded", lambda recording: False)
    words = scorecard.card_table().set_index("id")["verdict"]
    assert set(words.drop("C1")) == {NOT_RUN}


def test_the_readmes_show_todays_claims_and_wanted_recordings():
    spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path in tool.WRITTEN:
        assert tool.rewritten(path) == path.read_text(encoding="utf-8"), "run python tools/readme.py"
    listed = re.findall(r"(?m)^\| `(\w+)` \|.*-p record \1", (ROOT / "data" / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(r.name for r in TABLES.values() if not store.is_recorded(r))
