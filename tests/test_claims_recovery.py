"""Verdicts of chapter 4 follow from tables: right ones pass, wrong ones do not."""

import pandas as pd
import pytest
from made_up import MEASURES, run

from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, REPRODUCED
from ntprl.studies.recovery import claims


def live(**changed) -> pd.DataFrame:
    return pd.DataFrame([row for seed in range(10) for row in run(f"r{seed}", seed=seed, **changed)])


def test_ideal_runs_recover_and_lengthen():
    assert claims.recovers.criterion(live()).verdict == REPRODUCED
    assert claims.lengthens.criterion(live()).verdict == REPRODUCED


@pytest.mark.parametrize("changed", [dict(end=dict(greedy_accuracy=0.9)), dict(start=dict(greedy_accuracy=0.8))])
def test_a_run_that_stays_or_starts_high_is_no_recovery(changed):
    assert claims.recovers.criterion(live(**changed)).verdict == NOT_REPRODUCED


@pytest.mark.parametrize("changed", [dict(end=dict(greedy_median_length=1)), dict(start=dict(greedy_median_length=50))])
def test_length_must_go_from_one_to_d(changed):
    assert claims.lengthens.criterion(live(**changed)).verdict == NOT_REPRODUCED


def test_one_bad_seed_is_enough():
    table = live()
    table.loc[(table["run"] == "r3") & (table["step"] == 20), "greedy_accuracy"] = 0.6
    assert claims.recovers.criterion(table).verdict == NOT_REPRODUCED


def coins(change: float = 0.0, recovered: float = 1.0) -> pd.DataFrame:
    rows = []
    for algorithm in ("star", "grpo"):
        for seed in range(10):
            for reward in ("coin", "r_e2e"):
                end = dict(long_probability=0.25 + change + (-1) ** seed * 0.1, greedy_accuracy=0.5, greedy_long=0.0)
                end = end if reward == "coin" else dict(greedy_accuracy=recovered)
                rows += run(f"{algorithm} {reward} {seed}", end=end, algorithm=algorithm, reward=reward, seed=seed)
    return pd.DataFrame(rows)


def test_a_coin_must_not_lengthen_and_the_true_reward_must():
    assert claims.coin.criterion(coins()).verdict == HELD
    assert claims.coin.criterion(coins(change=0.3)).verdict == FAILED
    assert claims.coin.criterion(coins(change=-0.15)).verdict == FAILED
    assert claims.coin.criterion(coins(recovered=0.9)).verdict == FAILED


def test_recovery_in_words():
    words = claims.live_verdicts(pd.DataFrame(run("r")), d=50)
    assert list(words.values()) == ["at chance", "near 1", "1", "d", "long"]
    stuck = pd.DataFrame(run("r", end=MEASURES))
    assert list(claims.live_verdicts(stuck, d=50).values()) == ["at chance", "at chance", "1", "1", "mixed"]
