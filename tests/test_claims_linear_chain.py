"""Verdicts of chapter 3 follow from tables, of the chain and of the transformer: right ones pass, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest

from ntprl import theory
from ntprl.book.readings import recursion_errors, takeoffs
from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED, Verdict
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
    assert (
        text.split("; ")[0].endswith("the worst input measured is off by 0.030 at most")
        and "0 of 220 off by more than .1" in text
    )


def test_the_worst_run_is_named_though_only_means_are_judged():
    one = spoiled(threshold(), threshold()["d"] == 50, worst_short=0.3)
    verdict, text = claims.theorem_1.criterion(one, samples())
    assert verdict == REPRODUCED
    assert "1 of 220 off by more than .1, the worst by 0.300 (d = 50, p_cot = 0.05, seed 0)" in text


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


def star(factor: float = 2.0, **changed) -> pd.DataFrame:
    """Odds of long that grow by `factor` each round; `changed` holds for all rows."""
    rows = []
    for reward, shares in (("r_cot", STAR_ROUNDS), ("r_e2e", (0.25, 0.01))):
        for p in shares:
            odds = p / (1 - p) * factor ** np.arange(STAR_ROUNDS[p] + 1)
            for n, share in enumerate(odds / (1 + odds)):
                row = dict(reward=reward, p_cot=p, round=n, long=share, chain=share, greedy_long=float(share > 1 / 3))
                row |= dict(predicted=theory.star_recursion(p, n)) | changed
                rows += [row | {"run": f"{reward} {p} {seed}", "seed": seed} for seed in range(5)]
    return pd.DataFrame(rows)


def with_plateau(top: float, level: float = 0.9) -> pd.DataFrame:
    """The recursion up to `level`, and from there on only as far as `top`."""
    table = star()
    above = table["long"] > level
    return table.assign(long=table["long"].mask(above, level + (top - level) * (table["long"] - level) / (1 - level)))


def slowly(factor: float, until: float = 0.05) -> pd.DataFrame:
    """Starts so high that the odds meet those of the recursion at `until`, growing by `factor` a round until then."""
    table = star()
    odds, turn = table["long"] / (1 - table["long"]), until / (1 - until)
    late = odds / turn
    slow = turn * late.where(late >= 1, late ** np.log2(factor))
    return table.assign(long=slow / (1 + slow))


def test_the_recursion_reproduces_theorem_2():
    verdict, text = claims.theorem_2.criterion(star())
    assert verdict == REPRODUCED
    assert "2.00 to 2.00 while P(long) is 0.1 to 0.9 (as predicted)" in text and "off p_n by 0.000 at most" in text


@pytest.mark.parametrize("factor", [1, 1.5, 1.7, 2.4])
def test_another_growth_is_noticed(factor):
    assert claims.theorem_2.criterion(star(factor)).verdict == NOT_REPRODUCED


def test_a_chain_that_does_not_move_is_noticed_however_small_p_0_is():
    table = star()
    still = table.assign(long=table["long"].mask(table["p_cot"] == 0.01, 0.01))
    assert claims.theorem_2.criterion(still).verdict == NOT_REPRODUCED
    first = table["long"].mask((table["p_cot"] == 0.01) & (table["round"] == 1), 0.01)  # off 2p/(1 + p) by .0098
    assert claims.theorem_2.criterion(table.assign(long=first)).verdict != REPRODUCED


@pytest.mark.parametrize(("top", "verdict"), [(0.975, PARTLY), (0.995, PARTLY), (0.96, PARTLY), (0.95, NOT_REPRODUCED)])
def test_a_plateau_below_1_is_only_part_of_it(top, verdict):
    assert claims.theorem_2.criterion(with_plateau(top)).verdict == verdict


def test_slow_growth_at_small_shares_is_only_part_of_it():
    verdict, text = claims.theorem_2.criterion(slowly(1.6))
    assert verdict == PARTLY
    assert "(as predicted), 1.60 to" in text and "below (not 2), 2.00 to 2.00 above (as predicted)" in text
    assert claims.theorem_2.criterion(slowly(1.9)).verdict == REPRODUCED


def test_a_start_too_high_to_follow_p_n_is_noticed():
    table = star()
    odds = 1.5 * table["long"] / (1 - table["long"])  # they double, from another start
    assert claims.theorem_2.criterion(table.assign(long=odds / (1 + odds))).verdict == NOT_REPRODUCED


def ridge(power: float = 0.5, spread: float = 0.0) -> pd.DataFrame:
    """What is missing from 1 falls like a power of the samples; `spread` over seeds, another one at each size."""
    rows = []
    for i, n in enumerate((1_000_000, 4_000_000, 16_000_000)):
        for seed in range(10, 13):
            missing = 0.025 * (1_000_000 / n) ** power * (1 + spread * ((seed + i) % 3 - 1))
            for step in (0, 12):
                row = dict(run=f"{n} {seed}", n_samples=n, seed=seed, round=step, predicted=0.9993)
                rows.append(row | dict(long=1 - missing if step else 0.25))
    return pd.DataFrame(rows)


def test_the_plateau_has_to_fall_with_the_samples():
    verdict, text = claims.plateau.criterion(ridge())
    assert verdict == HELD
    assert (
        "divide what is missing to 1 by 2.00 [2.00, 2.00] and by 2.00 [2.00, 2.00]" in text and "leaves 0.0007" in text
    )
    for power in (0, 0.25, 1):
        assert claims.plateau.criterion(ridge(power)).verdict == FAILED
    assert claims.plateau.criterion(ridge(spread=0.4)).verdict == UNDECIDED
    assert claims.plateau.criterion(ridge()[lambda rows: rows["seed"] == 10]).verdict == UNDECIDED  # no interval


def polynomial(late: float = 0, right: float = 1.0) -> pd.DataFrame:
    """p_0 = 1/d, as predicted but for `late` rounds and the inputs that are right at the end."""
    rows = []
    for d in (8, 16, 32, 64):
        flip = theory.rounds_to_flip(1 / d)
        for seed, n in ((seed, n) for seed in range(10, 13) for n in range(flip + 7)):
            row = dict(run=f"{d} {seed}", d=d, p_cot=1 / d, seed=seed, round=n, greedy_long=float(n >= flip + late))
            rows.append(row | dict(greedy_r_cot=right if n >= flip + late else 0.5))
    return pd.DataFrame(rows)


def test_recovery_from_one_over_d():
    verdict, text = claims.polynomially_rare.criterion(polynomial())
    assert verdict == HELD
    assert "2 (2) at d = 8" in text and "12 of 12 runs, 3 seeds" in text
    assert claims.polynomially_rare.criterion(polynomial(late=1)).verdict == HELD  # stated: or one beside it
    for changed in (dict(late=2), dict(late=-2), dict(late=99), dict(right=0.98)):
        assert claims.polynomially_rare.criterion(polynomial(**changed)).verdict == FAILED
    table = polynomial()
    of_64 = table["d"] == 64
    end = of_64 & (table["round"] == table["round"].max())
    assert claims.polynomially_rare.criterion(spoiled(table, end, greedy_r_cot=0.5)).verdict == UNDECIDED
    never = table.assign(greedy_long=table["greedy_long"].mask(of_64, 0.0))
    assert claims.polynomially_rare.criterion(never).verdict == FAILED


def bisected(slope: float = 1.0, spread: float = 0.0) -> pd.DataFrame:
    """n* = 8 * 2^(slope d), found by steps of half an octave; `spread` changes the slope from seed to seed."""
    rows = []
    for d in (6, 8, 10, 12, 14, 16):
        for seed in range(10, 15):
            at = 3 + (slope + spread * (seed - 12)) * d
            found = [(at + 0.5 * step, step >= 0) for step in (-2, -1, 0, 1, 4)]
            rows += [dict(d=d, seed=seed, n_samples=round(2**x), recovered=recovered) for x, recovered in found]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("slope", "spread", "verdict"),
    [(1, 0, HELD), (1.1, 0.02, HELD), (0, 0, FAILED), (0.5, 0.02, FAILED), (2, 0, FAILED), (1, 0.3, UNDECIDED)],
)
def test_the_samples_needed_have_to_grow_like_2_to_the_d(slope, spread, verdict):
    found, text = claims.needs_exponentially_many.criterion(bisected(slope, spread))
    assert found == verdict
    assert f"for each bit it grows by {slope:.2f} [" in text


def test_rounds_are_counted():
    verdict, text = claims.rounds_of_the_chain(star())
    assert verdict == REPRODUCED
    assert "1 (1) from p_0 = 0.25, 3 (3) from p_0 = 0.1" in text
    assert "scaled at 0.25 would ask for 250 from 0.001" in text
    high = star(long=0.0115, chain=0.0022)
    assert "starts 2.2 times and P(long) 11.5 times too high" in claims.rounds_of_the_chain(high)[1]


def test_a_late_or_missing_flip_is_noticed():
    table = star()
    one = (table["run"] == "r_cot 0.1 2") & (table["round"] == 3)
    assert claims.rounds_of_the_chain(spoiled(table, one, greedy_long=0.2)).verdict == PARTLY
    late = (table["run"] == "r_cot 0.001 2") & (table["round"] == 9)  # stated: within one round
    assert claims.rounds_of_the_chain(spoiled(table, late, greedy_long=0.2)).verdict == REPRODUCED
    never = table.assign(greedy_long=table["greedy_long"].mask(table["run"] == "r_cot 0.1 2", 0.0))
    assert claims.rounds_of_the_chain(never).verdict == NOT_REPRODUCED
    assert claims.rounds_of_the_chain(star(1.5)).verdict == NOT_REPRODUCED


def rare(few: float = 0.5, control: float = 1.0, many: float = 1.0, drawn: float = 1.0) -> pd.DataFrame:
    """`drawn`: how many times more long samples were drawn than p_0 says."""
    cases = [(d, p, 100 * d**2, r) for d in RARE_SIZES for p, r in ((2.0**-d, few), (0.25, control))]
    cases += [(d, 2.0**-d, 20 * d * 2**d, many) for d in (8, 10, 12)]
    rows = []
    for d, p, n, right in cases:
        for seed, step in ((seed, step) for seed in range(5) for step in range(d + 2)):
            row = dict(run=f"{d} {p} {n} {seed}", seed=seed, d=d, p_cot=p, n_samples=n, round=step, kept=n)
            rows.append(row | {"kept_long": p * drawn, "greedy_r_cot": right if step == d + 1 else 0.5})
    return pd.DataFrame(rows)


MANY = dict(drawn=1000)  # so that a failure is not for want of long samples


def test_failing_without_data_is_only_part_of_it():
    verdict, text = claims.rare_on_the_chain(rare())
    assert verdict == PARTLY
    assert "0.50 to 0.50 (d = 20, 0.0381 long)" in text and "1.00 to 1.00 (d = 12, 240 long)" in text
    assert "at chance within 0.1 of one half" in text
    assert claims.rare_on_the_chain(rare(**MANY)).verdict == REPRODUCED


def test_exponentially_rare_needs_the_failure_and_the_control():
    assert claims.rare_on_the_chain(rare(few=0.9, **MANY)).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_chain(rare(few=0.9)).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_chain(rare(control=0.9, **MANY)).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_chain(rare(many=0.5, **MANY)).verdict == REPRODUCED  # only reported
    table = rare(**MANY)
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


def one_step(law: str = "log", algorithms: tuple[str, ...] = ("star", "grpo"), noise: int = 1) -> pd.DataFrame:
    """Rounds with one step each: takeoff by a law, the same for all algorithms, `noise` rounds apart over seeds."""
    rows = []
    for p in (0.25, 0.1, 0.05, 0.02, 0.01):
        takes = {"log": 3 * np.log2((1 - p) / (2 * p)), "reciprocal": 0.2 / p, "never": 99}[law]
        for algorithm, seed in ((algorithm, seed) for algorithm in algorithms for seed in range(3)):
            at = round(takes) + noise * seed
            for step in range(41):
                row = dict(run=f"{p} {algorithm} {seed}", p_cot=p, algorithm=algorithm, seed=seed, phase="rl")
                rows.append(row | dict(step=step, greedy_accuracy=0.5, greedy_long=float(step >= at)))
    return pd.DataFrame(rows)


def test_the_recursion_is_told_from_others():
    verdict, text = claims.rounds_of_the_transformer(recursion(), one_step())
    assert verdict == REPRODUCED
    assert "does not tell it from a law c/p scaled at 0.25 (5, 2.5, 1)" in text
    assert claims.rounds_of_the_transformer(recursion(1.2), one_step()).verdict == NOT_REPRODUCED
    errors = recursion_errors(recursion())
    np.testing.assert_allclose(errors["long_probability"], errors["one_step"], atol=1e-12)
    np.testing.assert_allclose(errors["long_probability"], errors["from_start"], atol=1e-12)
    measured = claims.transformer_flips(recursion())["measured"].tolist()
    assert measured == [theory.rounds_to_flip(p) for p in (0.05, 0.1, 0.25)]


@pytest.mark.parametrize("law", ["reciprocal", "never"])
def test_rounds_that_grow_like_1_over_p_or_never_end_are_only_part_of_it(law):
    assert claims.rounds_of_the_transformer(recursion(), one_step(law)).verdict == PARTLY
    both = pd.concat((one_step(algorithms=("star",)), one_step(law, algorithms=("grpo",))))
    assert claims.rounds_of_the_transformer(recursion(), both).verdict == PARTLY


def test_a_spread_that_hides_the_law_decides_nothing():
    assert claims.rounds_of_the_transformer(recursion(), one_step(noise=8)).verdict == PARTLY


def test_the_laws_are_fitted():
    takeoff = takeoffs(one_step(noise=0))
    assert takeoff["takeoff"].groupby(takeoff["p_cot"]).first().tolist() == [17, 14, 10, 7, 2]
    found = claims.laws(takeoff)
    assert found["log"].max() < 0.5 and found["reciprocal"].min() > 2
    assert np.isinf(claims.laws(takeoffs(one_step("never")))).all(axis=None)


def rare_runs(failing: float = 0.5, control: float = 1.0) -> pd.DataFrame:
    rows = []
    for d, p, end in ((8, 2.0**-8, 1.0), (20, 2.0**-20, failing), (20, 0.0, failing), (20, 0.25, control)):
        of = dict(run=f"{d} {p}", d=d, p_cot=p, seed=0)
        for phase, step, accuracy in (("pretraining", 600, 0.5), ("rl", 0, 0.5), ("rl", 20, end)):
            rows.append(of | dict(phase=phase, step=step, greedy_accuracy=accuracy))
    return pd.DataFrame(rows)


def test_rare_on_the_transformer_needs_data_the_failure_and_the_control_too():
    verdict, text = claims.rare_on_the_transformer(rare_runs())
    assert verdict == PARTLY
    assert "0.122 long demonstrations expected" in text and "(d = 8, 500 long)" in text
    many = 20 * 2**20
    assert claims.rare_on_the_transformer(rare_runs(), many).verdict == REPRODUCED
    assert claims.rare_on_the_transformer(rare_runs(failing=0.9), many).verdict == NOT_REPRODUCED
    assert claims.rare_on_the_transformer(rare_runs(control=0.5), many).verdict == NOT_REPRODUCED


def test_c14_needs_both_sides():
    def verdict(*tables: pd.DataFrame) -> str:
        return CLAIMS["C14"].criterion(*tables).verdict

    assert verdict(star(), recursion(), one_step()) == REPRODUCED
    assert verdict(star(1.5), recursion(), one_step()) == NOT_REPRODUCED
    assert verdict(star(), recursion(1.2), one_step()) == NOT_REPRODUCED
    assert verdict(star(), recursion(), one_step("reciprocal")) == PARTLY


def test_c15_needs_both_sides_and_says_what_is_missing():
    check = CLAIMS["C15"].criterion
    verdict, text = check(rare(), rare_runs())
    assert verdict == PARTLY and "all from fewer long samples than links" in text.split("; ")[0]
    assert check(rare(**MANY), rare_runs()).verdict == PARTLY
    assert check(rare(few=0.9), rare_runs()).verdict == NOT_REPRODUCED
    assert check(rare(), rare_runs(failing=0.9)).verdict == NOT_REPRODUCED
