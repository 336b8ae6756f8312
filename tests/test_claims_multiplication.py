"""Verdicts of chapter 6 follow from tables: right ones pass, and a table that says otherwise changes them."""

import pandas as pd
import pytest

from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED
from ntprl.studies.catalogue import TABLES
from ntprl.studies.multiplication import claims

BEFORE = dict(greedy_accuracy=0.3, greedy_long=0.0, long_probability=0.25, chain_accuracy=1.0, sampled_long=0.25)
BEFORE |= dict(rollout_long=0.25, long_reward=0.9, short_reward=0.3)
AFTER = BEFORE | dict(greedy_accuracy=0.99, greedy_long=0.95, long_probability=0.8, sampled_long=0.8)


def table(before: dict = BEFORE, after: dict = AFTER, n_eval: int = 256, **setting) -> pd.DataFrame:
    rows = []
    for seed in range(3):
        of = dict(run=f"{seed}{setting}", seed=seed, n_eval=n_eval, phase="rl") | setting
        rows += [of | dict(step=0) | before, of | dict(step=10) | after]
        rows.append(of | dict(step=100, phase="pretraining") | before)
    return pd.DataFrame(rows)


# --- C16a and C16b ---


def three(**changed) -> pd.DataFrame:
    others = [
        table(p_cot=p, algorithm=name) for p in (0.25, 0.5) for name in ("grpo", "star") if (p, name) != (0.25, "grpo")
    ]
    return pd.concat([table(p_cot=0.25, algorithm="grpo", **changed), *others])


def test_recovery_at_two_and_three_digits_is_reproduced_and_shows_the_seeds():
    verdict, text = claims.multiplication.criterion(table(), three())
    assert verdict == REPRODUCED
    assert "2 digits: 0.300 (seeds 0.300, 0.300, 0.300) before RL" in text
    assert text.startswith("RL takes greedy accuracy from 0.300 to 0.990 with 2 digits and from 0.300 to 0.990 with 3")


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
def test_one_number_of_digits_is_lost_by(where, changed):
    spoiled = {where: (BEFORE if where == "before" else AFTER) | changed}
    assert claims.multiplication.criterion(table(**spoiled), three()).verdict == PARTLY
    assert claims.multiplication.criterion(table(), three(**spoiled)).verdict == PARTLY
    assert claims.multiplication.criterion(table(**spoiled), three(**spoiled)).verdict == NOT_REPRODUCED


def seven(rare: float, common: float) -> pd.DataFrame:
    return pd.concat(
        [
            table(p_cot=p, algorithm=name, after=AFTER | dict(greedy_accuracy=accuracy))
            for p, accuracy in ((0.1, rare), (1.0, common))
            for name in ("grpo", "star")
        ]
    )


@pytest.mark.parametrize(
    ("rare", "common", "word"),
    [(0.02, 0.97, REPRODUCED), (0.02, 0.3, PARTLY), (0.8, 0.97, NOT_REPRODUCED), (0.8, 0.3, NOT_REPRODUCED)],
)
def test_the_hardest_case_fails_only_where_the_budget_suffices_for_common_solutions(rare, common, word):
    """A budget that is too small for any share fails too, and proves little."""
    assert claims.hardest.criterion(seven(rare, common)).verdict == word


def test_one_run_that_recovers_refutes_the_hardest_case():
    found = seven(0.02, 0.97)
    found.loc[(found["p_cot"] == 0.1) & (found["step"] == 10) & (found["seed"] == 1), "greedy_accuracy"] = 0.9
    assert claims.hardest.criterion(found).verdict == NOT_REPRODUCED


# --- O7 ---

SHORT_PAYS = BEFORE | dict(long_reward=0.2, short_reward=0.7)
EQUAL = BEFORE | dict(long_reward=0.3, short_reward=0.3)
FULL = BEFORE | dict(greedy_accuracy=1.0)


def ideal(**of_short_pays) -> pd.DataFrame:
    """Twelve runs, of which six are counted: three rise since long answers pay, three stay since short ones do."""
    parts = dict(before=SHORT_PAYS, after=SHORT_PAYS) | of_short_pays
    rest = [table(k=4, before=EQUAL, after=AFTER), table(k=5, before=FULL, after=FULL)]
    return pd.concat([table(k=2), table(k=3, **parts), *rest])


def test_the_law_holds_where_long_answers_pay_and_only_there():
    verdict, text = claims.law.criterion(ideal())
    assert verdict == HELD
    assert "6 of 6 counted runs agree" in text
    assert "in 3 and RL raises 3 of them, short ones earn more in 3 and RL raises 0" in text
    assert "of 12 runs 3 start too near 1 to rise, and in 3 the rewards" in text


def test_a_run_in_two_tables_is_counted_once():
    assert claims.law.criterion(ideal(), table(k=2)).evidence == claims.law.criterion(ideal()).evidence


def test_the_law_fails_if_accuracy_rises_where_short_answers_pay():
    verdict, text = claims.law.criterion(ideal(after=AFTER))
    assert verdict == FAILED
    assert "against it k 3, seed 1: short earns more, 0.300 to 0.990" in text


def test_the_law_fails_if_accuracy_stays_where_long_answers_pay():
    assert claims.law.criterion(pd.concat([ideal(), table(k=6, after=BEFORE)])).verdict == FAILED


def test_a_rise_within_its_interval_is_none():
    """.3 to .34 of 256 each: not told from chance; of 25,600 each it is."""
    small = AFTER | dict(greedy_accuracy=0.34)
    assert claims.law.criterion(table(after=small)).verdict == FAILED
    assert claims.law.criterion(table(after=small, n_eval=25_600)).verdict == HELD


def test_one_against_the_law_among_many_leaves_it_undecided():
    many = pd.concat([table(k=k) for k in range(2, 7)])
    many.loc[(many["k"] == 2) & (many["seed"] == 0) & (many["step"] == 10), "greedy_accuracy"] = 0.3
    assert claims.law.criterion(many).verdict == UNDECIDED  # 14 of 15
    assert claims.law.criterion(table(before=EQUAL)).verdict == UNDECIDED  # none is counted


def test_no_short_answer_earns_nothing():
    """p_cot = 1: no kind to compare with."""
    alone = BEFORE | dict(rollout_long=1.0, short_reward=float("nan"))
    assert list(claims.earnings(table(before=alone))["earns_more"]) == [""] * 3


def test_the_rounds_of_the_tables_have_the_answers_that_are_counted():
    for name in (*claims.law.tables, "multiplication_4"):
        assert {config.rl.rollouts for config in TABLES[name].configs} == {claims.ROLLOUTS}


def test_the_interval_of_a_difference():
    """Newcombe (1998), table II, row a, method 10: 56/70 - 48/80 in [.0524, .3339]."""
    low, high = claims.difference_interval(48 / 80, 80, 56 / 70, 70)
    assert low == pytest.approx(0.0524, abs=1e-4)
    assert high == pytest.approx(0.3339, abs=1e-4)


# --- O3a and O3b ---


def branches(
    marked_flip: float = 0.5, bare_flip: float = 0.25, m: float = 1 / 3, spread: float = 0.001
) -> pd.DataFrame:
    """Runs whose share of long greedy answers crosses one half near the flip, and a bare rival of mass m."""
    rows = []
    for marked, shares, flip in ((True, (0.3, 0.4, 0.6, 0.7), marked_flip), (False, (0.1, 0.2, 0.3, 0.5), bare_flip)):
        for p in shares:
            rival = (1 - p) * (1.0 if marked else m)
            for seed in range(3):
                long = min(1.0, max(0.0, 0.5 + 2 * (p - flip - spread * (seed - 1))))
                rows.append(dict(marked=marked, p_cot=p, seed=seed, step=9, greedy_long=long, rival=rival))
    return pd.DataFrame(rows)


def test_the_threshold_follows_the_measured_m():
    """m = 1/3 predicts 1/4."""
    assert claims.predicted_crossing(branches().query("not marked")) == pytest.approx(0.25)
    assert claims.branch_marked.criterion(branches()).verdict == HELD
    verdict = claims.branch_bare.criterion(branches())
    assert verdict.verdict == HELD
    assert verdict.evidence.startswith("measured 0.250 less predicted 0.250 is +0.000")


@pytest.mark.parametrize("flip", [0.36, 0.62])
def test_a_marked_threshold_elsewhere_is_noticed(flip):
    assert claims.branch_marked.criterion(branches(marked_flip=flip)).verdict == FAILED


@pytest.mark.parametrize("wrong", [dict(bare_flip=0.4), dict(m=0.8)])
def test_a_bare_threshold_elsewhere_is_noticed(wrong):
    assert claims.branch_bare.criterion(branches(**wrong)).verdict == FAILED
    assert claims.branch_marked.criterion(branches(**wrong)).verdict == HELD


def test_seeds_that_scatter_leave_it_undecided():
    """Whether or not the prediction lies inside of the interval."""
    scattered = branches(spread=0.05)
    assert claims.branch_marked.criterion(scattered).verdict == UNDECIDED
    assert claims.branch_bare.criterion(scattered).verdict == UNDECIDED


def test_a_bare_threshold_that_does_not_move_is_not_held():
    """m = 1 predicts one half, which would hold of marked answers too."""
    assert claims.branch_bare.criterion(branches(bare_flip=0.5, m=0.99)).verdict != HELD


def test_without_a_crossing_nothing_holds():
    assert claims.branch_bare.criterion(branches(m=10.0)).verdict == FAILED  # none is predicted
    assert claims.branch_bare.criterion(branches(bare_flip=2.0)).verdict == FAILED  # none is measured
    assert claims.branch_marked.criterion(branches(marked_flip=2.0)).verdict == FAILED


def test_no_line_says_outside_beside_held():
    for wrong in (dict(), dict(bare_flip=0.4), dict(spread=0.05)):
        for each in (claims.branch_marked, claims.branch_bare):
            assert "side" not in each.criterion(branches(**wrong)).evidence
