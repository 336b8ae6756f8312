"""Verdicts of chapter 4 follow from tables: right ones pass, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest

from ntprl.book.verdict import NOT_REPRODUCED, PARTLY, REPRODUCED
from ntprl.studies.recovery import claims

MEASURES = dict(chain_accuracy=1.0, greedy_accuracy=0.5, greedy_long=0.0, sampled_long=0.25)
MEASURES |= dict(greedy_median_length=1.0, mean_length=13.0)


def run(name: str, rounds: int = 20, start: dict | None = None, end: dict | None = None, **setting) -> list[dict]:
    """A run that jumps in its middle from a start to an end; by default to an ideal recovery."""
    before = MEASURES | dict(n_eval=512, long_probability=0.25) | (start or {})
    after = before | dict(greedy_accuracy=1.0, greedy_long=1.0, greedy_median_length=50.0, mean_length=50.0)
    after |= dict(sampled_long=1.0) | (end or {})
    rows = [before if step < rounds / 2 else after for step in range(rounds + 1)]
    pretraining = {"run": name, "phase": "pretraining", "step": 600, "greedy_accuracy": 0.5} | setting
    return [pretraining, *({"run": name, "phase": "rl", "step": i} | row | setting for i, row in enumerate(rows))]


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


def grid(failing: set = frozenset()) -> pd.DataFrame:
    rows = []
    for algorithm in (*claims.PAPER_ALGORITHMS, "grpo_published"):
        for reward in ("r_e2e", "r_cot"):
            for temperature in (0.75, 1.0, 1.5):
                key = (algorithm, reward, temperature)
                end = dict(greedy_accuracy=0.6) if key in failing else {}
                setting = dict(algorithm=algorithm, reward=reward, temperature=temperature, seed=0)
                rows += run(str(key), end=end, **setting)
    return pd.DataFrame(rows)


def test_the_grid_at_temperature_one():
    assert claims.algorithms.criterion(grid()).verdict == REPRODUCED
    assert claims.algorithms.criterion(grid({("star", "r_cot", 1.0)})).verdict == PARTLY
    every = {(a, r, 1.0) for a in claims.PAPER_ALGORITHMS for r in ("r_e2e", "r_cot")}
    assert claims.algorithms.criterion(grid(every)).verdict == NOT_REPRODUCED


def test_rounds_of_a_cell_are_those_of_the_runs_that_get_there():
    never = ("star", "r_cot", 1.0)
    first = claims.rounds_until(grid({never}), 0.95)
    assert np.isnan(first[never]) and (first.drop([never]) == 10).all()


def test_temperatures_want_the_exception_too():
    exception = ("star", "r_e2e", 1.5)
    assert claims.temperatures.criterion(grid({exception})).verdict == REPRODUCED
    assert claims.temperatures.criterion(grid()).verdict == PARTLY
    assert claims.temperatures.criterion(grid({exception, ("grpo", "r_e2e", 1.5)})).verdict == PARTLY
    every = {(a, r, t) for a in claims.PAPER_ALGORITHMS for r in ("r_e2e", "r_cot") for t in (0.75, 1.5)}
    assert claims.temperatures.criterion(grid(every)).verdict == NOT_REPRODUCED


def early(late: float = 1.0, long: float = 0.0) -> pd.DataFrame:
    rows = run("a", algorithm="grpo", steps=50, end=dict(greedy_accuracy=0.5, greedy_long=long))
    return pd.DataFrame(rows + run("b", algorithm="grpo", steps=600, end=dict(greedy_accuracy=late)))


def drift(hollow: int) -> pd.DataFrame:
    """Ten runs without chains, of which `hollow` grow long and the others stay short; none gets right."""
    rows = []
    for i in range(10):
        rows += run(f"r{i}", seed=i, end=dict(greedy_accuracy=0.5, greedy_long=float(i < hollow)))
    return pd.DataFrame(rows)


def test_an_early_start_must_lengthen_without_being_right():
    assert claims.too_early.criterion(early(long=1.0), drift(0)).verdict == REPRODUCED
    assert claims.too_early.criterion(early(), drift(2)).verdict == PARTLY  # a later criterion earns no more
    assert claims.too_early.criterion(early(), drift(0)).verdict == NOT_REPRODUCED
    assert claims.too_early.criterion(early(late=0.6, long=1.0), drift(2)).verdict == NOT_REPRODUCED
    right = drift(0).assign(greedy_long=1.0, greedy_accuracy=1.0)
    assert claims.too_early.criterion(early(), right).verdict == NOT_REPRODUCED


@pytest.mark.parametrize("growing, verdict", [(10, REPRODUCED), (7, PARTLY), (2, NOT_REPRODUCED)])
def test_almost_all_checkpoints(growing, verdict):
    rows = []
    for i in range(10):
        rows += run(f"r{i}", steps=500, seed=i, end={} if i < growing else dict(mean_length=13.0))
    assert claims.rare_lengthens.criterion(pd.DataFrame(rows)).verdict == verdict


def test_takeoff_and_its_slope():
    rows = []
    for i, p in enumerate((0.25, 0.1, 0.05, 0.02)):
        takes = int(10 + 4 * np.log2((1 - p) / (2 * p)))
        rows += run(f"r{i}", rounds=2 * takes, p_cot=p, algorithm="star", seed=0)
    table = claims.median_takeoff(pd.DataFrame(rows))
    per_halving, correlation, linear = claims.slope(table)
    assert per_halving == pytest.approx(4, abs=0.5) and correlation > 0.99 > linear
    never = pd.DataFrame(run("x", p_cot=0.1, algorithm="star", seed=0, end=dict(greedy_long=0.1)))
    assert claims.median_takeoff(never)["takeoff"].isna().all()


def test_recovery_in_words():
    words = claims.live_verdicts(pd.DataFrame(run("r")), d=50)
    assert list(words.values()) == ["at chance", "near 1", "1", "d", "long"]
    stuck = pd.DataFrame(run("r", end=MEASURES))
    assert list(claims.live_verdicts(stuck, d=50).values()) == ["at chance", "at chance", "1", "1", "mixed"]


def test_cost_is_that_of_the_runs_that_recovered():
    work = dict(grad_norm=1.0, tokens=100.0, link_error=0.001)
    unlearned = dict(chain_accuracy=0.0, **work)
    rows = [row for d in (10, 25) for seed in range(3) for row in run(f"{d} {seed}", start=work, d=d)]
    rows += run("bad", start=unlearned, end=unlearned | dict(greedy_accuracy=0.5, tokens=1.0), d=25)
    table = claims.cost_by_size(pd.DataFrame(rows))
    assert table["chain known before RL"].tolist() == ["3 of 3", "3 of 4"]
    assert table["wrong links before RL"].tolist() == [0.001, 0.001]
    assert table["recovered"].tolist() == ["3 of 3", "3 of 4"]
    assert table["pre-training steps"].tolist() == [600, 600]
    assert table["first round at .95"].tolist() == [10, 10]
    assert table["tokens written"].tolist() == [2100, 2100]  # rounds 0 to 20, the bad run left out
