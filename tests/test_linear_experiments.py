"""Configurations of the linear chain: what is refused, what a run returns, and where the flip is found."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ntprl import theory
from ntprl.book.run import config_hash
from ntprl.linear_chain.chain import inputs
from ntprl.linear_chain.training import default_ridge, population, train_chains
from ntprl.studies.linear_chain import runs
from ntprl.studies.linear_chain.runs import (
    LIGHT,
    SAMPLES,
    ChainRun,
    ChainStarRun,
    chain_run,
    default_samples,
    locate_flip,
    ridge_long,
    worst,
)

TINY = ChainRun(d=5, p_cot=0.3, n_samples=3000, n_eval=32)
TINY_STAR = ChainStarRun(d=5, p_cot=0.3, n_samples=3000, n_eval=32, rounds=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("d", 1), ("p_cot", 0), ("p_cot", 1), ("n_samples", 0), ("seed", -1), ("n_eval", 0)],
        *[("rounds", -1), ("reward", "r_new"), ("require_long", 1)],
    ],
)
def test_bad_values_are_refused_when_the_run_is_described(refused, name, value):
    with refused(f"{name} = {value!r}"):
        replace(TINY_STAR, **{name: value})


def test_the_profile_sets_the_number_of_samples_unless_it_is_given():
    assert [chain_run(profile, d=10).n_samples for profile in SAMPLES] == [default_samples(p, 10) for p in SAMPLES]
    assert chain_run("smoke", n_samples=77, d=10).n_samples == 77
    per_bit, work = SAMPLES["laptop"]
    assert default_samples("laptop", 50) == per_bit * 50
    assert default_samples("laptop", 400) * 400**2 == work  # the links cost as much as at d = 200


@pytest.mark.parametrize("run", [TINY, TINY_STAR])
def test_only_the_processor_is_offered(refused, run):
    with refused("device = 'cuda'", "cpu"):
        run.run("cuda")


def test_no_long_sample_ends_in_one_line(refused):
    with refused("p_cot = 1e-09 is too small for n_samples = 100"):
        ChainStarRun(d=4, p_cot=1e-9, n_samples=100, rounds=1).run()


def test_or_leaves_the_links_at_zero_if_asked_to():
    run = ChainStarRun(d=12, p_cot=1e-9, n_samples=100, rounds=2, n_eval=32, require_long=False)
    table = run.run()
    assert table["kept_long"].tolist()[0] == 0
    start = train_chains(12, 0.0, 100)[0.0, 0].measure(inputs(12, 32))  # the same samples, as none is long
    assert table["chain"].iloc[0] == pytest.approx(start["chain"], rel=1e-3)
    assert (table["chain"] < 2.0**-11).all()


def test_equal_values_have_one_name():
    same = ChainRun(d=np.int64(5), p_cot=np.float64(0.3), n_samples=np.int64(3000), n_eval=32)
    assert config_hash(same) == config_hash(TINY)
    assert config_hash(ChainStarRun(**vars(TINY))) != config_hash(TINY)


def test_a_run_is_the_fit_and_its_worst_input():
    row = TINY.run().iloc[0]
    model, x = train_chains(5, 0.3, 3000)[0.3, 0], inputs(5, 32)
    expected = model.measure(x, tol=LIGHT)
    assert {name: row[name] for name in expected} == expected
    assert abs(row["r_e2e"] - model.measure(x)["r_e2e"]) <= row["unresolved"] / 2
    answers = [model.distribution(x[[i]]).iloc[0] for i in range(len(x))]  # one by one
    assert row["worst_chain"] == pytest.approx(max(abs(a["chain"] - 0.3) for a in answers))
    assert row["worst_short"] == pytest.approx(max(abs(a["short"] - 0.35) for a in answers))
    assert worst(population(5, 0.3, 1e-5).model(), 0.3, x)["worst_chain"] < 1e-3


def test_star_has_one_row_a_round():
    table = TINY_STAR.run()
    assert table["round"].tolist() == [0, 1, 2]
    assert table["predicted"].tolist() == [theory.star_recursion(0.3, n) for n in range(3)]
    assert not {"p_cot", "seed"} & set(table)  # a recording adds the fields in which its runs differ
    again = TINY_STAR.run()
    assert table.equals(again) and not table.equals(replace(TINY_STAR, seed=1).run())


def test_the_flip_is_found_near_one_third(refused):
    low, high = locate_flip(8, 60_000, tolerance=0.02)
    assert high - low <= 0.02
    assert 0.3 < low < high < 0.37
    with refused("low, high = (0.4, 0.5)", "two sides"):
        locate_flip(8, 60_000, low=0.4)


@pytest.mark.parametrize("p", [0.001, 0.01, 0.25])
def test_ridge_lifts_rare_long_answers_as_the_minimiser_says(p):
    best = population(25, p, *default_ridge(25, 10**6, p * 10**6))
    assert ridge_long(25, p, 10**6) == pytest.approx(best.model().measure(inputs(25, 4), tol=1.0)["long"])
    lam = default_ridge(25, 10**6, 1)[0]
    assert ridge_long(25, p, 10**6) == pytest.approx(p + lam * (best.stop_same + best.stop_other) / 2, abs=6e-4)
    assert ridge_long(25, p, 10**12) == pytest.approx(p, rel=0.03)


@pytest.mark.parametrize(("right", "recovered"), [(0.5, False), (0.6, False), (0.94, False), (0.96, True)])
def test_guesses_are_no_recovery(monkeypatch, right, recovered):
    """Short guesses are right on about half of all inputs, and by chance on more."""
    table = pd.DataFrame({"kept": [100], "kept_long": [0.1], "greedy_r_cot": [right]})
    monkeypatch.setattr(runs, "star_table", lambda *arguments, **named: table)
    assert runs.SamplesNeeded(d=6).recovers(64)["recovered"] is recovered
