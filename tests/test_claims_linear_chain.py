"""Verdicts of chapter 3 follow from tables, of the chain and of the transformer: right ones pass, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest

from ntprl import theory
from ntprl.book.readings import recursion_errors
from ntprl.book.verdict import NOT_REPRODUCED, PARTLY, REPRODUCED, Verdict
from ntprl.studies.catalogue import CLAIMS
from ntprl.studies.linear_chain import claims
from ntprl.studies.linear_chain.tables import CHAIN_P_COT, RARE_SIZES, SIZES, STAR_ROUNDS


def threshold(switch: float = 1 / 3, **changed) -> pd.DataFrame:
    """As an ideal chain would give it; `changed` holds for all rows."""
    rows = []
    for d in SIZES:
        for p in CHAIN_P_COT:
            goes_on = float(p > switch)
            row = dict(d=d, p_cot=p, worst_chain=0.02, worst_short=0.03, long=p, greedy_long=goes_on)
            row |= dict(greedy_r_cot=0.5 + goes_on / 2, greedy_r_e2e=0.5 + goes_on / 2)
            rows += [row | {"run": f"{d} {p} {seed}", "seed": seed} | changed for seed in range(5)]
    return pd.DataFrame(rows)


def samples(power: float = 0.5) -> pd.DataFrame:
    """An error that falls like a power of the number of samples."""
    sizes = [(d, n, seed) for d in SIZES for n in (1000, 16_000, 256_000, 4_096_000) for seed in range(5)]
    rows = [dict(d=d, n_samples=n, seed=seed, worst_chain=0.3 * (1000 / n) ** power) for d, n, seed in sizes]
    return pd.DataFrame(rows).assign(worst_short=0.001)


def spoiled(table: pd.DataFrame, where: pd.Series, **changed) -> pd.DataFrame:
    """One row among those in `where` gets other values."""
    table = table.copy()
    table.loc[table.index[where][0], list(changed)] = list(changed.values())
    return table


def test_an_ideal_chain_reproduces_theorem_1():
    verdict, text = claims.theorem_1.criterion(threshold(), samples())
    assert verdict == REPRODUCED
    assert "off by 0.030 at most" in text


@pytest.mark.parametrize(
    ("changed", "power"), [(dict(worst_chain=0.2), 0.5), (dict(worst_short=0.2), 0.5), ({}, 0.1), ({}, 0)]
)
def test_a_chain_that_is_off_on_some_input_is_only_part_of_it(changed, power):
    assert claims.theorem_1.criterion(threshold(**changed), samples(power)).verdict == PARTLY


@pytest.mark.parametrize("switch", [0.25, 0.36, -1, 2])
def test_another_flip_is_noticed(switch):
    assert claims.theorem_1.criterion(threshold(switch), samples()).verdict == NOT_REPRODUCED


def test_one_run_that_answers_otherwise_is_noticed():
    table = threshold()
    low, high = (table["d"] == 25) & (table["p_cot"] == 0.2), (table["d"] == 25) & (table["p_cot"] == 0.5)
    for where, changed in (
        (low, dict(greedy_long=0.1)),
        (low, dict(greedy_r_e2e=0.6)),
        (high, dict(greedy_r_cot=0.9)),
    ):
        assert claims.theorem_1.criterion(spoiled(table, where, **changed), samples()).verdict == NOT_REPRODUCED


def star(factor: float = 2.0, lift: float = 0.0) -> pd.DataFrame:
    """Odds of long that grow by `factor` each round; `lift` is added to each P(long)."""
    rows = []
    for reward, shares in (("r_cot", STAR_ROUNDS), ("r_e2e", (0.25, 0.01))):
        for p in shares:
            odds = p / (1 - p) * factor ** np.arange(STAR_ROUNDS[p] + 1)
            for n, share in enumerate(odds / (1 + odds)):
                row = dict(reward=reward, p_cot=p, round=n, long=share + lift * (1 - share))
                row |= dict(predicted=theory.star_recursion(p, n), greedy_long=float(share > 1 / 3))
                rows += [row | {"run": f"{reward} {p} {seed}", "seed": seed} for seed in range(5)]
    return pd.DataFrame(rows)


def test_the_recursion_reproduces_theorem_2():
    verdict, text = claims.theorem_2.criterion(star())
    assert verdict == REPRODUCED
    assert "largest deviation of P(long) 0.000 from" in text and "p_0 = 0.001: it starts at 0.001" in text


@pytest.mark.parametrize(("factor", "lift"), [(1.7, 0), (2.4, 0), (1, 0), (2, 0.1)])
def test_another_growth_is_noticed(factor, lift):
    assert claims.theorem_2.criterion(star(factor, lift)).verdict == NOT_REPRODUCED


def test_small_starts_are_told_apart_and_late_odds_do_not_count():
    table = star()
    lifted = table.assign(long=table["long"].mask(table["p_cot"] == 0.001, table["long"] + 0.1 * (1 - table["long"])))
    assert claims.theorem_2.criterion(lifted).verdict == REPRODUCED
    ends = table.assign(long=table["long"].clip(upper=0.975))
    assert claims.theorem_2.criterion(ends).verdict == REPRODUCED
    assert claims.theorem_2.criterion(table.assign(long=table["long"].clip(upper=0.94))).verdict == NOT_REPRODUCED


def test_odds_that_do_not_quite_double_are_only_part_of_it():
    table = star()
    once = (table["p_cot"] == 0.02) & (table["round"] == 3)
    off = table["long"].mask(once, table["long"] + 0.0125)
    assert claims.theorem_2.criterion(table.assign(long=off)).verdict == PARTLY


def test_rounds_are_counted():
    verdict, text = claims.rounds_of_the_chain(star())
    assert verdict == REPRODUCED
    assert "1 (1) from p_0 = 0.25, 3 (3) from p_0 = 0.1" in text


def test_a_late_or_missing_flip_is_noticed():
    table = star()
    one = (table["run"] == "r_cot 0.1 2") & (table["round"] == 3)
    assert claims.rounds_of_the_chain(spoiled(table, one, greedy_long=0.2)).verdict == PARTLY
    late = (table["run"] == "r_cot 0.001 2") & (table["round"] == 9)  # stated: within one round
    assert claims.rounds_of_the_chain(spoiled(table, late, greedy_long=0.2)).verdict == REPRODUCED
    never = table.assign(greedy_long=table["greedy_long"].mask(table["run"] == "r_cot 0.1 2", 0.0))
    assert claims.rounds_of_the_chain(never).verdict == NOT_REPRODUCED
    assert claims.rounds_of_the_chain(star(1.5)).verdict == NOT_REPRODUCED


def rare(few: float = 0.5, control: float = 1.0, many: float = 1.0) -> pd.DataFrame:
    cases = [(d, p, 100 * d**2, r) for d in RARE_SIZES for p, r in ((2.0**-d, few), (0.25, control))]
    cases += [(d, 2.0**-d, 20 * d * 2**d, many) for d in (8, 10, 12)]
    rows = []
    for d, p, n, right in cases:
        for seed, step in ((seed, step) for seed in range(5) for step in range(d + 2)):
            row = dict(run=f"{d} {p} {n} {seed}", seed=seed, d=d, p_cot=p, n_samples=n, round=step, kept=n, kept_long=p)
            rows.append(row | {"greedy_r_cot": right if step == d + 1 else 0.5})
    return pd.DataFrame(rows)


def test_exponentially_rare_needs_the_failure_and_the_control():
    verdict, text = claims.rare_on_the_chain(rare())
    assert verdict == REPRODUCED
    assert "0.50 to 0.50 (d = 20, 0.038 long samples on average)" in text and "1.00 to 1.00 (d = 12)" in text
    assert claims.rare_on_the_chain(rare(few=0.9)).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_chain(rare(control=0.9)).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_chain(rare(many=0.5)).verdict == REPRODUCED  # only reported
    table = rare()
    one = (table["d"] == 20) & (table["p_cot"] < 0.25) & (table["round"] == 21)
    assert claims.rare_on_the_chain(spoiled(table, one, greedy_r_cot=0.7)).verdict == NOT_REPRODUCED


def test_ends_count_the_long_samples_of_pretraining():
    ends = claims.rare_ends(rare()).set_index(["d", "p_cot", "n_samples"])
    assert ends.loc[(8, 2.0**-8, 6400), "long_samples"] == 25
    assert ends["lowest"].equals(ends["highest"])


@pytest.mark.parametrize(
    ("sides", "verdict"),
    [
        ((REPRODUCED, REPRODUCED), REPRODUCED),
        ((PARTLY, REPRODUCED), PARTLY),
        ((REPRODUCED, NOT_REPRODUCED), NOT_REPRODUCED),
    ],
)
def test_the_weaker_side_decides(sides, verdict):
    assert claims.both_sides(*(Verdict(side, "") for side in sides)).verdict == verdict


# --- the transformer's side ---


def recursion(factor: float = 2.0) -> pd.DataFrame:
    """Odds of long multiplied by `factor` each round; 2 is the theory."""
    rows = []
    for p in (0.05, 0.1, 0.25):
        odds = p / (1 - p) * factor ** np.arange(9)
        for step, share in enumerate(odds / (1 + odds)):
            row = {"run": f"p{p}", "phase": "rl", "step": step, "p_cot": p, "seed": 0, "greedy_accuracy": 0.5}
            rows.append(row | {"long_probability": share})
    return pd.DataFrame(rows)


def test_the_recursion_is_told_from_others():
    assert claims.rounds_of_the_transformer(recursion()).verdict == REPRODUCED
    assert claims.rounds_of_the_transformer(recursion(1.2)).verdict != REPRODUCED
    errors = recursion_errors(recursion())
    np.testing.assert_allclose(errors["long_probability"], errors["one_step"], atol=1e-12)
    np.testing.assert_allclose(errors["long_probability"], errors["from_start"], atol=1e-12)
    measured = claims.transformer_flips(recursion())["measured"].tolist()
    assert measured == [theory.rounds_to_flip(p) for p in (0.05, 0.1, 0.25)]


def rare_runs(failing: float = 0.5, control: float = 1.0) -> pd.DataFrame:
    rows = []
    for d, p, end in ((8, 2.0**-8, 1.0), (20, 2.0**-20, failing), (20, 0.0, failing), (20, 0.25, control)):
        of = dict(run=f"{d} {p}", d=d, p_cot=p)
        for phase, step, accuracy in (("pretraining", 600, 0.5), ("rl", 0, 0.5), ("rl", 20, end)):
            rows.append(of | dict(phase=phase, step=step, greedy_accuracy=accuracy))
    return pd.DataFrame(rows)


def test_rare_on_the_transformer_needs_the_failure_and_the_control_too():
    assert claims.rare_on_the_transformer(rare_runs()).verdict == REPRODUCED
    assert claims.rare_on_the_transformer(rare_runs(failing=0.9)).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_transformer(rare_runs(control=0.5)).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("claim", "chains", "transformers"),
    [
        ("C14", (star(), star(1.5)), (recursion(), recursion(1.2))),
        ("C15", (rare(), rare(few=0.9)), (rare_runs(), rare_runs(failing=0.9))),
    ],
)
def test_c14_and_c15_need_both_sides(claim, chains, transformers):
    right = [[CLAIMS[claim].criterion(c, t).verdict == REPRODUCED for t in transformers] for c in chains]
    assert right == [[True, False], [False, False]]
