"""Verdicts of the Llama chapter follow from tables: right ones pass, and a table that says otherwise changes them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ntprl.book.readings import chains_lost
from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED
from ntprl.studies.words import claims

SHARES = (0.05, 0.1, 0.25, 0.5)


def made_up(
    p_cot: float = 0.25,
    lift: float = 0.5,
    phases: tuple[str, str] = ("rl", "rl"),
    seeds: int = 3,
    spread: float = 0.0,
    **changed,
) -> pd.DataFrame:
    """Runs before and after RL, as calibrated models show them; `changed` says (before, after) of a column, `spread`
    how far greedy accuracy and P(long) of the seeds lie apart."""
    rows = []
    for seed in range(seeds):
        for i, step in enumerate((0, 20)):
            values = dict(greedy_long=(0.0, 1.0), greedy_accuracy=(0.2, 0.2 + lift), long_probability=(p_cot, 0.9))
            values |= dict(greedy_median_length=(2.0, 40.0), sampled_long=(p_cot, 0.9), link_error=(0.02, 0.02))
            values |= dict(chain_accuracy=(0.7, 0.7))
            row = {name: value[i] for name, value in (values | changed).items()}
            for name in ("greedy_accuracy", "long_probability"):
                row[name] += spread * (seed - (seeds - 1) / 2)
            setting = dict(run=f"{p_cot}-{seed}", p_cot=p_cot, seed=seed, step=step)
            rows.append(setting | row | dict(phase=phases[i], n_eval=256))
    return pd.DataFrame(rows)


CONTROL = made_up(0.0, lift=0.02, greedy_long=(0.0, 0.0), greedy_median_length=(2.0, 2.0), long_probability=(0.0, 0.0))
LIFTED_CONTROL = CONTROL.assign(greedy_accuracy=lambda rows: rows["greedy_accuracy"] + 0.4 * (rows["step"] == 20))


def with_control(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([CONTROL, *parts], ignore_index=True)


# --- C17a and C17b ---


def test_ideal_runs_reproduce():
    verdict, text = claims.words.criterion(with_control(*(made_up(p) for p in SHARES)))
    assert verdict == REPRODUCED
    assert "p_cot = 0 (control): RL adds +0.020" in text
    assert "p_cot = 0.1: RL raises greedy accuracy by 0.500, in 3 of 3 runs, from 0.20 (seeds 0.20, 0.20" in text


@pytest.mark.parametrize(
    "changed",
    [dict(lift=0.1), dict(greedy_long=(0.4, 1.0)), dict(greedy_long=(0.0, 0.3)), dict(long_probability=(0.4, 0.99))],
)
def test_one_share_that_fails_makes_it_partly_and_all_make_it_not(changed):
    good, bad = made_up(0.1), [made_up(p, **changed) for p in (0.05, 0.25)]
    assert claims.words.criterion(with_control(good, *bad)).verdict == PARTLY
    assert claims.words.criterion(with_control(*bad)).verdict == NOT_REPRODUCED


def test_a_share_at_which_rl_lowers_accuracy_is_said_first():
    text = claims.words.criterion(with_control(made_up(0.1, lift=-0.15), made_up(0.25))).evidence
    assert text.startswith("RL adds -0.150 at p_cot = 0.1, +0.500 at p_cot = 0.25; shown at p_cot = 0.25 alone")
    assert "p_cot = 0.1: RL lowers greedy accuracy by 0.150, in 3 of 3 runs" in text


def test_the_threshold_s_own_share_is_shown_and_not_judged():
    mixed = made_up(0.5, greedy_long=(0.5, 1.0))
    assert claims.words.criterion(with_control(made_up(0.1), mixed)).verdict == REPRODUCED


def test_a_control_that_is_lifted_too_refutes():
    assert claims.words.criterion(pd.concat([LIFTED_CONTROL, made_up(0.1)])).verdict == NOT_REPRODUCED


def test_published_weights_are_judged_from_the_end_of_fine_tuning():
    table = pd.concat([made_up(p, phases=("sft", "rl")) for p in SHARES])
    table = table.drop(columns="long_probability")  # by samples alone there
    verdict, text = claims.llama.criterion(table)
    assert verdict == PARTLY  # one model on one of two data sets
    assert "MATH not yet run" in text
    unmoved = pd.concat([made_up(p, lift=0.0, phases=("sft", "rl")) for p in SHARES])
    assert claims.llama.criterion(unmoved).verdict == NOT_REPRODUCED


# --- O4 and O6 ---


def test_two_paths_are_the_same_if_they_start_and_end_alike():
    verdict, text = claims.paths.criterion(made_up(spread=0.02), made_up(spread=0.02, lift=0.52))
    assert verdict == HELD
    assert "greedy accuracy after RL 0.70 (seeds 0.68, 0.70, 0.72) here, +0.020" in text


@pytest.mark.parametrize(
    "changed", [dict(lift=0.3), dict(greedy_accuracy=(0.4, 0.7)), dict(long_probability=(0.45, 0.9))]
)
def test_one_difference_beyond_the_margin_fails(changed):
    assert claims.paths.criterion(made_up(spread=0.01), made_up(spread=0.01, **changed)).verdict == FAILED


@pytest.mark.parametrize("lift", [0.5, 0.38])
def test_few_seeds_that_scatter_decide_nothing_and_more_do(lift):
    """Equal means are no equivalence, and a difference just beyond the margin is none without its interval."""
    few = claims.paths.criterion(made_up(spread=0.09), made_up(spread=0.09, lift=lift))
    assert few.verdict == UNDECIDED
    more = [made_up(spread=0.001, seeds=40, lift=each) for each in (0.5, lift)]
    assert claims.paths.criterion(*more).verdict == (HELD if lift == 0.5 else FAILED)


def test_one_seed_decides_nothing():
    assert claims.paths.criterion(made_up(seeds=1), made_up(seeds=1)).verdict == UNDECIDED


def test_tables_of_more_seeds_can_be_put_together():
    def parts(**changed) -> pd.DataFrame:
        more = made_up(spread=0.01, **changed).assign(seed=lambda rows: rows["seed"] + 3, run=lambda rows: rows["seed"])
        return pd.concat([made_up(spread=0.01, **changed), more])

    verdict, text = claims.paths.criterion(parts(), parts(lift=0.52))
    assert verdict == HELD
    assert "over 6 seeds" in text


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = (pd.Series(rng.normal(size=n)) * n for n in (4, 7))
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
    difference, (low, high) = claims.welch_interval(a, b)
    assert difference == pytest.approx(b.mean() - a.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_from_the_same_starts_it_is_said_when_it_was_stated():
    verdict, text = claims.shared_starts.criterion(made_up(spread=0.01), made_up(spread=0.01, lift=0.47))
    assert verdict == HELD
    assert "by pairs of one start -0.030, -0.030, -0.030" in text
    assert "after the tables of O4" in text
    assert claims.shared_starts.criterion(made_up(spread=0.01), made_up(spread=0.01, lift=0.3)).verdict == FAILED


# --- O5 and O8 ---


def test_six_steps_hold_fail_or_are_no_test():
    assert claims.hard.criterion(with_control(made_up(0.1))).verdict == HELD
    assert claims.hard.criterion(with_control(made_up(0.1, lift=0.1))).verdict == FAILED
    assert claims.hard.criterion(pd.concat([LIFTED_CONTROL, made_up(0.1)])).verdict == FAILED
    for lift in (0.1, 0.5):
        verdict, text = claims.hard.criterion(with_control(made_up(0.1, lift=lift, chain_accuracy=(0.2, 0.2))))
        assert verdict == UNDECIDED
        assert text.startswith("greedy accuracy by seed 0.20 to ")


def bases(**changed) -> pd.DataFrame:
    """Runs from a base of each format; what is changed is so in those of the second."""
    parts = [made_up(0.1, seeds=3).assign(base_mark="####"), made_up(0.1, seeds=3, **changed).assign(base_mark="@@@@")]
    return pd.concat(parts).assign(run=lambda rows: rows["run"] + rows["base_mark"])


def test_from_a_base_both_phases_show_in_every_run():
    verdict, text = claims.from_a_base.criterion(bases())
    assert verdict == HELD
    assert text.startswith("6 of 6 runs show it")


@pytest.mark.parametrize(
    "changed",
    [dict(lift=0.1), dict(greedy_long=(0.4, 1.0)), dict(greedy_long=(0.0, 0.3)), dict(long_probability=(0.4, 0.99))],
)
def test_one_kind_of_base_that_does_not_show_them_fails(changed):
    assert claims.from_a_base.criterion(bases(**changed)).verdict == FAILED


def test_one_run_that_does_not_show_them_leaves_it_undecided():
    table = bases()
    one = (table["seed"] == 1) & (table["base_mark"] == "####") & (table["step"] == 20)
    table.loc[one, "greedy_accuracy"] = 0.35
    verdict, text = claims.from_a_base.criterion(table)
    assert verdict == UNDECIDED
    assert text.startswith("5 of 6 runs show it")


# --- chains through RL ---


def test_chains_lost_are_those_known_before_less_those_known_after():
    table = pd.concat([made_up(0.1, chain_accuracy=(0.9, 0.6)), made_up(0.25, link_error=(0.1, 0.3))])
    first = made_up(0.1, chain_accuracy=(0.9, 0.6))["run"].iloc[0]
    table.loc[(table["run"] == first) & (table["step"] == 20), "chain_accuracy"] = 0.9
    found = chains_lost(table)
    assert list(found.index) == [0.1, 0.25]
    assert found.loc[0.1, "lost"] == pytest.approx(0.2)
    assert list(found["in_runs"]) == ["2 of 3", "0 of 3"]
    assert found.loc[0.25, "wrong after"] == pytest.approx(0.3)


def test_a_table_of_one_setting_has_one_row():
    found = chains_lost(made_up(chain_accuracy=(0.9, 0.6)).drop(columns="p_cot"))
    assert found["lost"].tolist() == pytest.approx([0.3])
