"""Verdicts of chapter 5 follow from tables: right ones pass, wrong ones do not."""

import pandas as pd
import pytest

from ntprl.book.verdict import NOT_REPRODUCED, PARTLY, REPRODUCED
from ntprl.studies.multiplication import claims

BEFORE = dict(greedy_accuracy=0.3, greedy_long=0.0, long_probability=0.25, chain_accuracy=1.0, sampled_long=0.25)
AFTER = dict(greedy_accuracy=0.99, greedy_long=0.95, long_probability=0.8, chain_accuracy=1.0, sampled_long=0.8)
FAILED = BEFORE | dict(greedy_accuracy=0.02, chain_accuracy=0.0)


def table(before: dict = BEFORE, after: dict = AFTER, **setting) -> pd.DataFrame:
    rows = []
    for seed in range(3):
        of = dict(run=f"{seed}{setting}", seed=seed, n_eval=256, phase="rl") | setting
        rows += [of | dict(step=0) | before, of | dict(step=10) | after]
        rows.append(of | dict(step=100, phase="pretraining") | before)
    return pd.DataFrame(rows)


def three(**changed) -> pd.DataFrame:
    others = [
        table(p_cot=p, algorithm=name) for p in (0.25, 0.5) for name in ("grpo", "star") if (p, name) != (0.25, "grpo")
    ]
    return pd.concat([table(p_cot=0.25, algorithm="grpo", **changed), *others])


def hard(**of_four) -> pd.DataFrame:
    return pd.concat([table(k=2), table(k=3), table(k=4, **(dict(before=FAILED, after=FAILED) | of_four))])


def test_recovery_and_its_limit_are_reproduced():
    verdict = claims.multiplication.criterion(table(), three(), hard())
    assert verdict.verdict == PARTLY and verdict.evidence.endswith("7 digits not run")  # the claim's hardest case
    seven = pd.concat([hard(), table(k=7, before=FAILED, after=FAILED)])
    assert claims.multiplication.criterion(table(), three(), seven).verdict == REPRODUCED


@pytest.mark.parametrize(
    ("where", "changed"),
    [
        ("before", dict(greedy_long=0.3)),
        ("before", dict(long_probability=0.35)),
        ("before", dict(greedy_accuracy=0.85)),
        ("after", dict(greedy_accuracy=0.85)),
        ("after", dict(greedy_long=0.4)),
    ],
)
def test_half_of_the_claim_is_lost_by(where, changed):
    spoiled = {where: (BEFORE if where == "before" else AFTER) | changed}
    assert claims.multiplication.criterion(table(**spoiled), three(), hard()).verdict == PARTLY
    assert claims.multiplication.criterion(table(), three(**spoiled), hard()).verdict == PARTLY
    assert claims.multiplication.criterion(table(**spoiled), three(), hard(after=AFTER)).verdict == NOT_REPRODUCED


def test_a_hard_case_that_recovers_leaves_the_first_half():
    assert claims.multiplication.criterion(table(), three(), hard(after=AFTER)).verdict == PARTLY


def branches(marked_flip: float = 0.5, bare_flip: float = 0.25, m: float = 1 / 3) -> pd.DataFrame:
    """Runs whose greedy answers go on from the flip on, with a bare rival of mass m."""
    rows = []
    for marked, shares, flip in ((True, (0.3, 0.45, 0.55, 0.7), marked_flip), (False, (0.1, 0.2, 0.3, 0.5), bare_flip)):
        for p in shares:
            long, rival = float(p > flip), (1 - p) * (1.0 if marked else m)
            rows += [dict(marked=marked, p_cot=p, seed=s, step=9, greedy_long=long, rival=rival) for s in range(3)]
    return pd.DataFrame(rows)


def test_the_threshold_follows_the_measured_m():
    """m = 1/3 predicts 1/4."""
    assert claims.predicted_crossing(branches().query("not marked")) == pytest.approx(0.25)
    verdict = claims.branch.criterion(branches())
    assert verdict.verdict == REPRODUCED and "bare: predicted 0.250" in verdict.evidence


@pytest.mark.parametrize("wrong", [dict(marked_flip=0.6), dict(marked_flip=0.4), dict(bare_flip=0.4), dict(m=0.8)])
def test_a_threshold_elsewhere_is_noticed(wrong):
    assert claims.branch.criterion(branches(**wrong)).verdict == NOT_REPRODUCED


def test_without_a_crossing_nothing_is_predicted():
    assert claims.predicted_crossing(branches(m=10.0).query("not marked")) != 0  # NaN
    assert claims.branch.criterion(branches(m=10.0)).verdict == NOT_REPRODUCED
