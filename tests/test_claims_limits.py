"""Verdicts of chapter 5 follow from tables: right ones pass, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest
from made_up import run

from ntprl.book.readings import first_round, settled_round, takeoffs
from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED
from ntprl.proofs.flows import flow_time
from ntprl.studies.limits import claims, readings


def grid(failing: set = frozenset(), slower: float = 0.1) -> pd.DataFrame:
    """Five starts; a hot run has written long answers less often by round 4, by `slower`, give or take a seed."""
    rows = []
    for algorithm in (*readings.PAPER_ALGORITHMS, "grpo_published"):
        for reward in ("r_e2e", "r_cot"):
            for temperature in (0.75, 1.0, 1.5):
                key = (algorithm, reward, temperature)
                end = dict(greedy_accuracy=0.6) if key in failing else {}
                setting = dict(algorithm=algorithm, reward=reward, temperature=temperature)
                for seed in range(5):
                    early = 0.5 - slower * (temperature - 0.75) + 0.01 * ((seed * (temperature > 1)) % 3 - 1)
                    start = dict(long_probability=early)
                    rows += run(f"{key} {seed}", start=start, end=end, **setting, seed=seed)
    return pd.DataFrame(rows)


def test_the_grid_at_temperature_one():
    assert claims.algorithms.criterion(grid()).verdict == REPRODUCED
    assert claims.algorithms.criterion(grid({("star", "r_cot", 1.0)})).verdict == PARTLY
    every = {(a, r, 1.0) for a in readings.PAPER_ALGORITHMS for r in ("r_e2e", "r_cot")}
    assert claims.algorithms.criterion(grid(every)).verdict == NOT_REPRODUCED


def test_rounds_of_a_cell_are_those_of_the_runs_that_get_there():
    never = ("star", "r_cot", 1.0)
    first = readings.rounds_until(grid({never}), 0.95)
    assert np.isnan(first[never]) and (first.drop([never]) == 10).all()


def test_temperatures_want_the_exception_and_the_speed_too():
    exception = ("star", "r_e2e", 1.5)
    assert claims.temperatures.criterion(grid({exception})).verdict == REPRODUCED
    assert claims.temperatures.criterion(grid({exception}, slower=0.0)).verdict == PARTLY
    assert claims.temperatures.criterion(grid()).verdict == PARTLY
    assert claims.temperatures.criterion(grid({exception, ("grpo", "r_e2e", 1.5)})).verdict == PARTLY
    every = {(a, r, t) for a in readings.PAPER_ALGORITHMS for r in ("r_e2e", "r_cot") for t in (0.75, 1.5)}
    assert claims.temperatures.criterion(grid(every)).verdict == NOT_REPRODUCED


def early(late: float = 1.0, long: float = 0.0) -> pd.DataFrame:
    rows = run("a", algorithm="grpo", steps=50, seed=0, end=dict(greedy_accuracy=0.5, greedy_long=long))
    return pd.DataFrame(rows + run("b", algorithm="grpo", steps=600, seed=0, end=dict(greedy_accuracy=late)))


def drift(hollow: int, n: int = 60) -> pd.DataFrame:
    """Runs without chains, of which `hollow` grow long and the others stay short; none gets right."""
    rows = []
    for i in range(n):
        rows += run(f"r{i}", seed=i, end=dict(greedy_accuracy=0.5, greedy_long=float(i < hollow)))
    return pd.DataFrame(rows)


def test_an_early_start_must_lengthen_without_being_right_as_often_as_drift_does():
    check = claims.too_early.criterion
    assert check(early(), drift(15)).verdict == REPRODUCED  # a quarter, as P(long) of the starts
    assert check(early(), drift(4, n=12)).verdict == PARTLY  # as many, of too few runs
    assert check(early(), drift(3)).verdict == PARTLY  # too seldom
    assert check(early(), drift(40)).verdict == PARTLY  # too often: that is no drift
    assert check(early(), drift(0)).verdict == NOT_REPRODUCED
    assert check(early(late=0.6), drift(15)).verdict == NOT_REPRODUCED
    right = drift(15).assign(greedy_long=1.0, greedy_accuracy=1.0)
    assert check(early(), right).verdict == NOT_REPRODUCED


def lacking(changed: dict | None = None) -> pd.DataFrame:
    """Ideal runs from starts that lack k links, and single changes: (k, reward) -> what its runs end with."""
    rows = []
    for k in (0, 1, 3):
        for reward in ("r_e2e", "r_cot"):
            for seed in range(6):
                start = dict(unknown_links=k, long_reward=1.0 if k == 0 else 0.5, long_probability=0.25)
                start |= dict(kl_from_start=0.0)
                end = dict(greedy_accuracy=1.0, long_probability=0.99, kl_from_start=1.35)
                if k and reward == "r_e2e":
                    end = dict(greedy_accuracy=0.5, long_probability=0.25 + (-1) ** seed * 0.2)
                elif k:
                    end = dict(greedy_accuracy=0.5, long_probability=0.02 if k > 1 else 0.25)
                end |= (changed or {}).get((k, reward), {})
                rows += run(f"{k} {reward} {seed}", start=start, end=end, reward=reward, seed=seed)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "changed, verdict",
    [
        ({}, HELD),
        ({(0, "r_e2e"): dict(greedy_accuracy=0.9)}, FAILED),
        ({(1, "r_e2e"): dict(long_probability=0.9)}, FAILED),
        ({(3, "r_e2e"): dict(greedy_accuracy=0.7)}, FAILED),
        ({(3, "r_cot"): dict(long_probability=0.3)}, UNDECIDED),
    ],
)
def test_one_unknown_link_is_enough(changed, verdict):
    assert claims.unknown_links.criterion(lacking(changed)).verdict == verdict


@pytest.mark.parametrize("kl, verdict", [(1.35, HELD), (1.6, FAILED)])
def test_the_least_divergence_is_that_of_the_two_lengths(kl, verdict):
    """From .25 to .99 it is 1.32 nats."""
    table = lacking({(0, "r_cot"): dict(kl_from_start=kl), (0, "r_e2e"): dict(kl_from_start=3.0)})
    assert claims.least_divergence.criterion(table).verdict == verdict
    sure = table[table["run"].str.startswith("0 r_cot")]
    assert claims.least_divergence_when_sure.criterion(sure).verdict == verdict
    mixed = sure.assign(kl_from_start=sure["kl_from_start"].where(sure["seed"] > 1, 5.0))
    assert claims.least_divergence_when_sure.criterion(mixed).verdict == (UNDECIDED if verdict == HELD else FAILED)


def sizes(later: int = 0, knows: float = 1.0) -> pd.DataFrame:
    """Runs that jump in round 3, at d = 100 some rounds later."""
    rows = []
    for d in (10, 25, 100):
        for seed in range(3):
            start = dict(chain_accuracy=knows)
            rows += run(f"{d} {seed}", rounds=6 + 2 * later * (d == 100), start=start, d=d, seed=seed)
    return pd.DataFrame(rows)


def test_rounds_by_size():
    assert claims.rounds_by_size.criterion(sizes()).verdict == HELD
    assert claims.rounds_by_size.criterion(sizes(later=4)).verdict == FAILED
    assert claims.rounds_by_size.criterion(sizes(knows=0.1)).verdict == UNDECIDED
    falling = sizes(later=4).assign(d=lambda rows: rows["d"].map({10: 50, 25: 25, 100: 10}))
    assert claims.rounds_by_size.criterion(falling).verdict == UNDECIDED  # it does not grow, and differs


def test_few_samples_are_few_beside_the_demonstrations():
    assert claims.few_samples.criterion(grid()).verdict == REPRODUCED  # the jump comes after 10 rounds of 512
    late = grid().assign(step=lambda rows: rows["step"] * (1 + (rows["phase"] == "rl")))
    assert claims.few_samples.criterion(late).verdict == NOT_REPRODUCED
    assert claims.few_samples.criterion(grid({("star", "r_cot", 1.0)})).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    "growing, unknowing, verdict",
    [(10, 0, REPRODUCED), (7, 3, PARTLY), (7, 0, NOT_REPRODUCED), (2, 8, PARTLY), (0, 10, NOT_REPRODUCED)],
)
def test_almost_all_checkpoints(growing, unknowing, verdict):
    """Of ten runs `growing` double P(long); the last `unknowing` start without chains."""
    rows = []
    for i in range(10):
        start = dict(chain_accuracy=float(i < 10 - unknowing), long_probability=0.01)
        end = dict(long_probability=0.05 if i < growing else 0.015)
        rows += run(f"r{i}", steps=500, seed=i, start=start, end=end)
    assert claims.rare_lengthens.criterion(pd.DataFrame(rows)).verdict == verdict


def test_half_known_chains_are_read_link_by_link():
    order = learning_order(unknown={(200, 0): [3, 4], (300, 0): []})
    early_runs = pd.DataFrame(
        run("a", steps=200, seed=0, algorithm="grpo", start=dict(long_reward=0.5, chain_accuracy=0.25))
        + run("b", steps=300, seed=0, algorithm="grpo", start=dict(long_reward=1.0))
    )
    table = readings.half_known(order, early_runs)
    assert table["unknown"].tolist() == [2, 0]
    assert table["which links"].tolist() == ["3 4", "none"]
    assert table["2^-k"].tolist() == [0.25, 1.0]
    assert table["chains known"].tolist() == [0.25, 1.0]


def learning_order(unknown: dict) -> pd.DataFrame:
    return pd.DataFrame(
        [
            dict(kind="long", step=step, seed=seed, position=i, probability=0.5 if i in links else 0.99)
            for (step, seed), links in unknown.items()
            for i in range(1, 7)  # the last is EOS
        ]
    )


def test_when_a_level_is_reached_for_good():
    rows = [dict(run="a", step=i, rate=r) for i, r in enumerate((0.5, 0.96, 0.9, 0.97, 1.0))]
    rows += [dict(run="b", step=i, rate=r) for i, r in enumerate((0.96, 0.96, 0.9))]
    rows += [dict(run="c", step=i, rate=1.0) for i in range(3)]
    table = pd.DataFrame(rows)
    assert first_round(table, "rate", 0.95).to_dict() == {"a": 1, "b": 0, "c": 0}
    settled = settled_round(table, "rate", 0.95)
    assert settled["a"] == 3 and np.isnan(settled["b"]) and settled["c"] == 0


def test_takeoff_and_its_slope():
    rows = []
    for i, p in enumerate((0.25, 0.1, 0.05, 0.02)):
        takes = int(10 + 4 * np.log2((1 - p) / (2 * p)))
        rows += run(f"r{i}", rounds=2 * takes, p_cot=p, algorithm="star", seed=0)
    table = takeoffs(pd.DataFrame(rows))
    per_halving, correlation, linear = readings.slope(table)
    assert per_halving == pytest.approx(4, abs=0.5) and correlation > 0.99 > linear
    never = pd.DataFrame(run("x", p_cot=0.1, algorithm="star", seed=0, end=dict(greedy_long=0.1)))
    assert takeoffs(never)["takeoff"].isna().all()


def test_rates_are_read_by_hand():
    rows = [
        dict(
            run=run, phase="rl", algorithm="star", rl_lr=1e-4, seed=run, step=step, greedy_accuracy=a, chain_accuracy=c
        )
        for run, path in enumerate((((0.5, 1.0), (0.96, 0.9), (0.9, 0.98)), ((0.5, 1.0), (0.9, 1.0), (0.99, 1.0))))
        for step, (a, c) in zip((0, 2, 4), path, strict=True)
    ]
    found = readings.by_rate(pd.DataFrame(rows)).loc[("star", 1e-4)]
    assert found["first"] == 3 and found["worst"] == 0.9 and found["end"] == pytest.approx(0.99)


def test_cost_is_that_of_the_runs_that_recovered():
    work = dict(grad_norm=1.0, tokens=100.0, link_error=0.001)
    unlearned = dict(chain_accuracy=0.0, **work)
    rows = [row for d in (10, 25) for seed in range(3) for row in run(f"{d} {seed}", start=work, d=d)]
    rows += run("bad", start=unlearned, end=unlearned | dict(greedy_accuracy=0.5, tokens=1.0), d=25)
    table = readings.cost_by_size(pd.DataFrame(rows))
    assert table["chains known before RL"].tolist() == [1.0, 0.75]
    assert table["recovered"].tolist() == ["3 of 3", "3 of 4"]
    assert table["pre-training steps"].tolist() == [600, 600]
    assert table["first round at .95"].tolist() == ["10", "10"]
    assert table["tokens written"].tolist() == ["2,100", "2,100"]  # rounds 0 to 20, the bad run left out
    never = pd.DataFrame(run("bad", start=unlearned, end=unlearned | dict(greedy_accuracy=0.5), d=200))
    assert readings.cost_by_size(never)["first round at .95"].tolist() == ["none"]


@pytest.mark.parametrize("earned, words", [(0.5, "no better than a guess"), (0.95, "better than a guess")])
def test_what_is_said_of_a_live_start(earned, words):
    known = pd.DataFrame(run("a", start=dict(long_reward=earned)))
    said = readings.live_verdicts(known)
    assert said == {"long answers before RL": words, "greedy accuracy after RL": "near 1"}
    unwritten = readings.live_verdicts(known.assign(long_reward=np.nan, greedy_accuracy=0.5))
    assert unwritten == {"long answers before RL": "none is written", "greedy accuracy after RL": "at chance"}


def flows(bent: dict | None = None, rounds: int = 400) -> pd.DataFrame:
    """Runs whose P(long) passes 1/3 when the predicted flow does, in units that each pair has of its own; those of
    `bent`, (algorithm, optimizer) -> flow, follow another flow instead."""
    rows = []
    for algorithm in ("reinforce", "grpo"):
        for optimizer in ("adamw", "sgd"):
            flow = (bent or {}).get((algorithm, optimizer), "unit" if optimizer == "adamw" else algorithm)
            tokens = 17 if flow == "grpo" else 0
            for p in (0.25, 0.1, 0.05, 0.02):
                there = 3 * readings.flow_time(flow, p, tokens) / readings.flow_time(flow, 0.25, tokens)
                for step in range(rounds):
                    long = p + (1 / 3 - p) * step / there
                    rows.append(dict(run=f"{algorithm} {optimizer} {p}", phase="rl", step=step, long_probability=long))
                    rows[-1] |= dict(algorithm=algorithm, optimizer=optimizer, p_cot=p, seed=0)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("optimizer, other", [("adamw", "own"), ("sgd", "unit")])
@pytest.mark.parametrize("algorithm", ["reinforce", "grpo"])
def test_rounds_by_optimizer_follow_the_predicted_flows(algorithm, optimizer, other):
    assert claims.rounds_by_optimizer.criterion(flows()).verdict == HELD
    flow = "unit" if other == "unit" else algorithm
    assert claims.rounds_by_optimizer.criterion(flows({(algorithm, optimizer): flow})).verdict == FAILED
    assert claims.rounds_by_optimizer.criterion(flows(rounds=30)).verdict == UNDECIDED  # some never arrive


def test_the_time_of_a_flow_is_that_of_the_proofs_page():
    for kind in ("reinforce", "grpo", "unit"):
        for p in (0.25, 0.1, 0.02):
            assert readings.flow_time(kind, p) == pytest.approx(flow_time(kind, p), rel=1e-3)
    assert readings.flow_time("grpo", 0.1, tokens=2) == pytest.approx(2 * readings.flow_time("grpo", 0.1))
    assert readings.flow_time("grpo", 0.1, tokens=17) > 2 * readings.flow_time("grpo", 0.1)


def copied(fall: float = np.log(2), kept: float = 1.0) -> pd.DataFrame:
    """Scores that fall by as much each round and keep a share of how they differ from their mean."""
    rows = []
    for seed in range(3):
        start = np.random.default_rng(seed).normal(2 * np.log(2), 0.4, size=200)
        for step in range(5):
            scores = start.mean() + (start - start.mean()) * kept**step - step * fall
            rows += [dict(seed=seed, prompt=i, step=step, stop_score=score) for i, score in enumerate(scores)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "changes, verdict", [({}, HELD), ({"kept": 0.0}, FAILED), ({"fall": 0.3}, FAILED), ({"fall": 0.55}, UNDECIDED)]
)
def test_each_prompt_flips_in_its_own_round(changes, verdict):
    assert claims.flips_of_prompts.criterion(copied(**changes)).verdict == verdict


def test_how_far_scores_are_copied():
    falls, slopes = readings.copies(copied(fall=0.6, kept=0.9))
    assert falls == pytest.approx([0.6] * 3) and slopes == pytest.approx([0.9**4] * 3)
