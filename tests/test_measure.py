"""What is measured: on models whose every probability is known, and against slow loops."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as t_law

from ntprl.measure import (
    answer_measures,
    chain_probabilities,
    crossing,
    interval,
    length_distribution,
    long_probability,
    mean_interval,
    measure,
)
from ntprl.sampling import greedy, sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD
from ntprl.theory import calibrated_accuracy
from ntprl.transformer import STYLES


@pytest.mark.parametrize(("k", "n"), [(0, 9), (1, 3), (5, 10), (99, 100), (512, 1024), (7, 7)])
def test_interval_solves_the_score_equation(k, n):
    """Wilson: the ends are the p for which |k/n - p| = z sqrt(p(1-p)/n), z the 97.5 % quantile."""
    z2 = 1.959963984540054**2
    low, high = interval(k / n, n)
    assert 0 <= low <= k / n <= high <= 1
    for end in (low, high):
        assert (k / n - end) ** 2 == pytest.approx(z2 * end * (1 - end) / n, abs=1e-12)
    assert high - low > 0


def test_interval_of_nothing_is_everything():
    assert interval(0.5, 0) == (0, 1)
    assert interval(float("nan"), 0) == (0, 1)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("d", "modulus"), [(1, 2), (4, 2), (5, 3)])
@torch.no_grad()
def test_chain_probabilities_equal_a_slow_loop(lively_model, style, d, modulus):
    """One forward pass a token; EOS left out of every link but the last column, which is EOS itself."""
    task = Parity(d, modulus)
    model, prompts = lively_model(task, style), task.prompts(9, numpy_rng(0, "evaluation"))
    right, hit = chain_probabilities(model, task, prompts)
    assert right.shape == hit.shape == (9, d + 1)
    for i, (prompt, chain) in enumerate(zip(prompts.tolist(), task.long(prompts).tolist(), strict=True)):
        for j, token in enumerate(chain):
            weights = model(torch.tensor([[*prompt, *chain[:j]]]))[0, -1].exp().tolist()
            if j < d:
                weights[task.eos] = 0.0
            assert right[i, j] == pytest.approx(weights[token] / sum(weights), rel=1e-4)
            assert hit[i, j] == (weights[token] == max(weights))


def test_measures_of_a_model_that_always_writes_the_chain(calibrated):
    row = measure(calibrated(Parity(5, 3), 1), Parity(5, 3), 50, seed=0, step=0)
    for kind in ("greedy", "sampled"):
        assert row[f"{kind}_accuracy"] == row[f"{kind}_long"] == row[f"{kind}_long_accuracy"] == 1
        assert row[f"{kind}_median_length"] == 5
        assert np.isnan(row[f"{kind}_short_accuracy"])
    assert row["chain_accuracy"] == 1
    assert row["link_error"] == pytest.approx(0, abs=1e-6)
    assert row["n_eval"] == 50


def test_measures_of_a_model_that_always_guesses(calibrated):
    n, task = 400, Parity(5)
    row = measure(calibrated(task, 0), task, n, seed=0, step=0)
    for kind in ("greedy", "sampled"):
        assert row[f"{kind}_long"] == 0
        assert row[f"{kind}_median_length"] == 1
        assert row[f"{kind}_accuracy"] == row[f"{kind}_short_accuracy"]
        assert abs(row[f"{kind}_accuracy"] - 0.5) < 5 * 0.5 / n**0.5
        assert np.isnan(row[f"{kind}_long_accuracy"])


@pytest.mark.parametrize(("modulus", "p"), [(2, 0.25), (2, 0.45), (3, 0.2), (3, 0.35)])
def test_measures_of_a_calibrated_model(calibrated, modulus, p):
    """Sampling follows the theory to five standard deviations; greedy decoding flips at 1/(K + 1)."""
    n, task = 900, Parity(4, modulus)
    row = measure(calibrated(task, p), task, n, seed=0, step=3)
    flipped = p > 1 / (modulus + 1)
    accuracy = calibrated_accuracy(p, modulus)
    assert abs(row["sampled_long"] - p) < 5 * (p * (1 - p) / n) ** 0.5
    assert abs(row["sampled_accuracy"] - accuracy) < 5 * (accuracy * (1 - accuracy) / n) ** 0.5
    assert row["sampled_long_accuracy"] == row["chain_accuracy"] == 1
    assert row["greedy_long"] == flipped
    assert row["greedy_median_length"] == (4 if flipped else 1)
    chance = 1 / modulus
    wanted = 1 if flipped else chance
    assert abs(row["greedy_accuracy"] - wanted) <= 5 * (chance * (1 - chance) / n) ** 0.5 * (not flipped)


def test_hot_sampling_changes_what_is_sampled_only(calibrated):
    task = Parity(4)
    model = calibrated(task, 0.1)
    cold, hot = (measure(model, task, 600, 0, 0, temperature) for temperature in (1.0, 5.0))
    assert hot["sampled_long"] > cold["sampled_long"] + 0.05
    same = [key for key in cold if not key.startswith("sampled")]
    assert [hot[key] for key in same] == pytest.approx([cold[key] for key in same], nan_ok=True)


def test_measure_agrees_with_its_parts(lively_model):
    """On an untrained model: greedy answers judged one by one, links averaged by hand."""
    task = Parity(4, 3)
    model = lively_model(task, "mistral", seed=2)
    row = measure(model, task, 80, seed=5, step=2)
    prompts = task.prompts(80, numpy_rng(5, "evaluation", 2))
    written = [
        answer[: answer.index(task.eos)] if task.eos in answer else answer
        for answer in greedy(model, prompts, task.eos, 5).tolist()
    ]
    ended = [task.eos in answer for answer in greedy(model, prompts, task.eos, 5).tolist()]
    sums = prompts[:, :4].sum(axis=1) % 3
    right = [e and w[-1:] == [s] for w, e, s in zip(written, ended, sums, strict=True)]
    lengths = [sum(token != PAD for token in w) for w in written]
    assert row["greedy_accuracy"] == pytest.approx(np.mean(right))
    assert row["greedy_long"] == pytest.approx(np.mean([length > 1 for length in lengths]))
    assert row["greedy_median_length"] == np.median(lengths)
    probability, hit = chain_probabilities(model, task, prompts)
    assert row["link_error"] == pytest.approx(1 - probability[:, 1:].mean(), abs=1e-6)
    assert row["chain_accuracy"] == np.mean([all(hits[1:]) for hits in hit.tolist()])


def test_a_measurement_depends_on_seed_and_step_alone(lively_model):
    task = Parity(4)
    model = lively_model(task)
    model.embed.weight.data *= 0.1  # nearly uniform answers

    def row(global_seed: int, seed: int, step: int) -> str:
        torch.manual_seed(global_seed)
        return str(measure(model, task, 64, seed, step))

    assert row(0, 1, 2) == row(7, 1, 2)
    assert len({row(0, 1, 2), row(0, 1, 3), row(0, 2, 2)}) == 3


def test_one_bit_is_measured_too(calibrated, lively_model):
    """d = 1: long and short are the same answer, which counts as short."""
    row = measure(calibrated(Parity(1), 0.5), Parity(1), 40, seed=0, step=0)
    assert row["greedy_long"] == row["sampled_long"] == 0
    assert row["greedy_accuracy"] == row["chain_accuracy"] == 1
    assert set(row) == set(measure(lively_model(Parity(1)), Parity(1), 8, seed=0, step=0))


def test_answer_measures_of_a_worked_table():
    task, prompts = Parity(3), np.array([[1, 0, 1, 3]] * 5)
    answers = np.array(
        [[1, 1, 0, 2], [0, 2, PAD, PAD], [1, 2, PAD, PAD], [1, 0, 2, PAD], [1, 1, 0, 0]]
    )  # right chain, right answer, wrong answer, wrong chain with the right answer, no EOS
    assert answer_measures(task, prompts, answers, "x") == {
        "x_accuracy": 3 / 5,
        "x_long": 3 / 5,
        "x_median_length": 2,
        "x_long_accuracy": pytest.approx(2 / 3),
        "x_short_accuracy": 1 / 2,
    }


def test_length_distribution():
    answers = np.array([[0, 9, PAD], [0, 9, PAD], [9, PAD, PAD], [0, 1, 0]])
    answers[answers == 9] = Parity(2).eos
    shares = length_distribution(answers, Parity(2))
    assert shares.tolist() == [0.25, 0.5, 0, 0.25]
    assert shares.sum() == 1
    assert length_distribution(np.empty((0, 3), int), Parity(2)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_long_probability_is_right_on_average(lively_model, style):
    """Against the sum over first tokens t of P(t) (1 - P(EOS | t)), to five standard errors; each draw is one term."""
    task, n = Parity(2), 4000
    model = lively_model(task, style, scale=0.1)
    for prompt in ([0, 1, 3], [1, 1, 3]):
        first = model(torch.tensor([prompt]))[0, -1].softmax(0).tolist()
        go_on = [
            0.0 if t == task.eos else 1 - model(torch.tensor([[*prompt, t]]))[0, -1].softmax(0)[task.eos].item()
            for t in range(task.vocab_size)
        ]
        values = long_probability(model, task, np.array([prompt] * n), torch_rng(0, "evaluation"))
        assert values.shape == (n,)
        nearest = np.abs(values[:, None] - np.array(go_on)).argmin(axis=1)
        assert values == pytest.approx(np.array(go_on)[nearest], abs=1e-5)
        expected = float(np.dot(first, go_on))
        assert abs(values.mean() - expected) < 5 * values.std() / n**0.5
        drawn = sample(model, np.array([prompt] * n), task.eos, 3, generator=torch_rng(1, "evaluation"))
        long = (drawn[:, :2] != task.eos).all(axis=1).mean()  # what it stands for, counted
        assert abs(long - expected) < 5 * (expected * (1 - expected) / n) ** 0.5
        assert values.std() < (expected * (1 - expected)) ** 0.5  # and it is less noisy than counting


def test_long_probabilities_far_below_one_in_n_are_seen(stand_in):
    """An answer goes on with probability 1e-6 after its first token; a hundred prompts are enough."""
    task = Parity(4)

    def rule(tokens: list[int]) -> list[float]:
        written = len(tokens) - task.prompt_length
        return [0.5, 0.5, 0.0, 0.0] if written == 0 else [1e-6, 0.0, 1 - 1e-6, 0.0]

    prompts = task.prompts(100, numpy_rng(0, "evaluation"))
    values = long_probability(stand_in(rule), task, prompts, torch_rng(0, "evaluation"))
    assert values == pytest.approx(np.full(100, 1e-6), rel=0.1)


def test_long_probability_of_a_calibrated_model(calibrated):
    """It writes a long answer with probability p, to five standard errors; with p = 0 and 1 exactly."""
    n, task = 2000, Parity(4)
    for p in (0.0, 0.1, 0.3, 1.0):
        model = calibrated(task, p)
        values = long_probability(model, task, task.prompts(n, numpy_rng(0, "evaluation")), torch_rng(0, "evaluation"))
        assert abs(values.mean() - p) <= 5 * values.std() / n**0.5 + 1e-6


def test_long_probability_where_every_answer_ends_at_once(stand_in):
    task = Parity(4)
    model = stand_in(lambda tokens: [0.0, 0.0, 1.0, 0.0])
    values = long_probability(model, task, task.prompts(5, numpy_rng(0, "evaluation")), torch_rng(0, "evaluation"))
    assert values.tolist() == [0] * 5


def curves(level_at: dict[int, list[float]]) -> pd.DataFrame:
    """Rows for p_cot 0, .2, .4, .6 and each seed."""
    shares = (0.0, 0.2, 0.4, 0.6)
    return pd.DataFrame(
        [
            {"seed": seed, "p_cot": p, "rate": rate}
            for seed, rates in level_at.items()
            for p, rate in zip(shares, rates, strict=True)
        ]
    )


def test_crossing_of_identical_seeds_is_exact():
    estimate, (low, high) = crossing(curves({seed: [0, 0.25, 0.75, 1] for seed in range(4)}), "rate")
    assert estimate == low == high == pytest.approx(0.3)
    assert crossing(curves({0: [0, 0.25, 0.75, 1]}), "rate", level=0.875)[0] == pytest.approx(0.5)


def test_crossing_is_the_mean_of_those_of_the_seeds_with_their_t_interval():
    table = curves({0: [0, 1, 1, 1], 1: [0, 0, 0, 1], 2: [0, 0, 1, 1]})  # they rise before .2, .6 and .4
    each = [0.1, 0.5, 0.3]
    estimate, (low, high) = crossing(table, "rate")
    assert estimate == pytest.approx(0.3)
    expected = t_law.interval(0.95, df=2, loc=0.3, scale=np.std(each, ddof=1) / 3**0.5)
    assert (low, high) == pytest.approx(expected)


@given(values=st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_the_mean_interval_is_that_of_scipy(values):
    mean, ends = mean_interval(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-12)
    scale = np.std(values, ddof=1) / len(values) ** 0.5
    if scale > 0:
        assert ends == pytest.approx(t_law.interval(0.95, len(values) - 1, mean, scale), abs=1e-9)


def test_one_seed_has_no_interval():
    assert mean_interval([0.5])[0] == 0.5
    assert np.isnan(mean_interval([0.5])[1]).all()
    assert np.isnan(mean_interval([])[0])


def test_crossing_is_the_first_of_several():
    assert crossing(curves({0: [0.4, 0.6, 0, 1]}), "rate")[0] == pytest.approx(0.1)


def test_crossing_does_not_depend_on_the_order_of_rows():
    table = curves({0: [0, 0.1, 0.8, 1], 1: [0, 0.4, 0.6, 1]})
    assert crossing(table, "rate") == crossing(table.sample(frac=1, random_state=0), "rate")


def test_a_level_that_is_never_crossed_is_nan():
    estimate, ends = crossing(curves({0: [0, 0.1, 0.2, 0.3], 1: [0, 0, 0, 0]}), "rate")
    assert np.isnan([estimate, *ends]).all()


@given(n=st.integers(1, 5000), data=st.data())
def test_the_interval_is_that_of_scipy(n, data):
    k = data.draw(st.integers(0, n))
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert interval(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_worker_and_no_table_loads_scipy_stats():
    """It takes most of a second at every start; chapters have it from seaborn."""
    code = "import sys, ntprl.records; "
    code += "sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
