"""Verdicts of the Llama chapter follow from tables: right ones pass, wrong ones do not."""

import pandas as pd
import pytest

from ntprl.book.verdict import NOT_REPRODUCED, PARTLY, REPRODUCED
from ntprl.studies.words import claims


def made_up(p_cot: float = 0.25, lift: float = 0.5, phases: tuple[str, str] = ("rl", "rl"), **changed) -> pd.DataFrame:
    """Three seeds before and after RL, as calibrated models show them; `changed` says (before, after) of a column."""
    rows = []
    for seed in range(3):
        for i, step in enumerate((0, 20)):
            values = dict(greedy_long=(0.0, 1.0), greedy_accuracy=(0.2, 0.2 + lift), long_probability=(p_cot, 0.99))
            values |= dict(greedy_median_length=(2.0, 40.0), sampled_long=(p_cot, 0.99), link_error=(0.02, 0.02))
            row = {name: value[i] for name, value in (values | changed).items()}
            rows.append(
                row | dict(phase=phases[i], step=step, seed=seed, p_cot=p_cot, run=f"{p_cot}-{seed}", n_eval=256)
            )
    return pd.DataFrame(rows)


CONTROL = made_up(0.0, lift=0.02, greedy_long=(0.0, 0.0), greedy_median_length=(2.0, 2.0), long_probability=(0.0, 0.0))


def with_control(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([CONTROL, *parts], ignore_index=True)


def test_ideal_runs_reproduce():
    verdict, text = claims.words.criterion(with_control(*(made_up(p) for p in (0.05, 0.1, 0.25, 0.5))))
    assert verdict == REPRODUCED
    assert "p_cot = 0 (control): RL adds +0.020" in text


@pytest.mark.parametrize(
    "changed",
    [dict(lift=0.1), dict(greedy_long=(0.4, 1.0)), dict(greedy_long=(0.0, 0.3)), dict(long_probability=(0.4, 0.99))],
)
def test_one_share_that_fails_makes_it_partly_and_all_make_it_not(changed):
    good, bad = made_up(0.1), [made_up(p, **changed) for p in (0.05, 0.25)]
    assert claims.words.criterion(with_control(good, *bad)).verdict == PARTLY
    assert claims.words.criterion(with_control(*bad)).verdict == NOT_REPRODUCED


def test_the_threshold_s_own_share_is_shown_and_not_judged():
    mixed = made_up(0.5, greedy_long=(0.5, 1.0))
    assert claims.words.criterion(with_control(made_up(0.1), mixed)).verdict == REPRODUCED


def test_a_control_that_is_lifted_too_refutes():
    control = CONTROL.assign(greedy_accuracy=lambda rows: rows["greedy_accuracy"] + 0.4 * (rows["step"] == 20))
    assert claims.words.criterion(pd.concat([control, made_up(0.1)])).verdict == NOT_REPRODUCED


def test_published_weights_are_judged_from_the_end_of_fine_tuning():
    table = pd.concat([made_up(p, phases=("sft", "rl")) for p in (0.05, 0.1, 0.25, 0.5)])
    table = table.drop(columns="long_probability")  # by samples alone there
    verdict, text = claims.llama.criterion(table)
    assert verdict == PARTLY  # one model on one of two data sets
    assert "MATH not yet run" in text
    unmoved = pd.concat([made_up(p, lift=0.0, phases=("sft", "rl")) for p in (0.05, 0.1, 0.25, 0.5)])
    assert claims.llama.criterion(unmoved).verdict == NOT_REPRODUCED


def test_two_paths_are_the_same_if_they_end_and_start_alike():
    assert claims.paths.criterion(made_up(), made_up(lift=0.45)).verdict == REPRODUCED
    assert claims.paths.criterion(made_up(), made_up(lift=0.3)).verdict == NOT_REPRODUCED
    assert claims.paths.criterion(made_up(), made_up(long_probability=(0.4, 0.99))).verdict == NOT_REPRODUCED
