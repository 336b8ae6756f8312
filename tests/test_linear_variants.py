"""Linear chains for any mixture, against enumeration, scikit-learn, the population and the proofs' checks."""

from collections import Counter
from fractions import Fraction
from itertools import product
from math import log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ntprl.linear_chain import answers, training
from ntprl.linear_chain.answers import cut, draw_answers, full, marked, noisy, r_cot, r_e2e, r_process, short, strided
from ntprl.linear_chain.chain import inputs
from ntprl.linear_chain.variants import (
    GeneralChain,
    fit_chain,
    logistic_ridge,
    measure_chain,
    pretrain_chain,
    star_models,
)
from ntprl.proofs import beyond, exact_chain
from ntprl.seeds import numpy_rng
from ntprl.studies.one_rule import predictions, runs

X = np.array([[1.0, -1, -1, 1]])


def every(d: int, parts: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All prompts with each part's answer, and the weights: nothing is drawn. A noise eta stands for `noisy(eta)`."""
    x, y, weights = [], [], []
    for share, kind in parts:
        patterns = product((1, -1), repeat=d - 1) if isinstance(kind, float) else [()]
        for flips in patterns:
            chance = share
            for flip in flips:
                chance *= kind if flip < 0 else 1 - kind
            bits = inputs(d)
            y.append(np.cumprod(bits * np.array([1, *flips]), axis=1) if flips else kind(bits))
            x.append(bits)
            weights.append(np.full(len(bits), chance / len(bits)))
    return np.vstack(x), np.vstack(y), np.concatenate(weights)


def lively(d: int, checks: bool, seed: int = 3) -> GeneralChain:
    rng = numpy_rng(seed, "init")
    sizes = [1 + d] + [1 + 2 * d + token - 1 + (d if checks and token > 2 else 0) for token in range(2, d + 1)]
    return GeneralChain(*(tuple(0.7 * rng.standard_normal(m) for m in sizes) for _ in range(2)), checks)


def plain_features(x, y, token, checks):
    """The features before a token by the list in the module's docstring, one sample."""
    past = list(y[: token - 1])
    row = [1, *x, *past] + ([past[-1] * bit for bit in x] if past else [])
    return np.array(row + ([past[-1] * past[-2] * bit for bit in x] if checks and len(past) > 1 else []))


def plain_probability(model, x, y):
    """Of an answer, token by token."""
    chance = 1.0
    for token in range(1, model.d + 1):
        phi = plain_features(x, y, token, model.checks)
        stop, plus = expit(phi @ model.stops[token - 1]), expit(phi @ model.signs[token - 1])
        if y[token - 1] == 0:
            return chance * stop
        chance *= (1 - stop) * (plus if y[token - 1] > 0 else 1 - plus)
    return chance


def all_answers(d: int) -> list[tuple]:
    return [(*y, *(0,) * (d - n)) for n in range(d + 1) for y in product((1, -1), repeat=n)]


# --- answers and rewards ---


def test_the_worked_examples():
    for kind, expected in (
        (full, [1, -1, 1, 1]),
        (short, [1, 0, 0, 0]),
        (strided(2), [-1, 1, 0, 0]),
        (cut(2), [1, -1, 1, 0]),
        (marked, [0, 0, 0, 0]),
        (noisy(0.0), [1, -1, 1, 1]),
    ):
        assert kind(X, numpy_rng(0, "data")).tolist() == [expected]


def test_draws_have_the_shares_and_the_noise_they_should():
    n, eta = 40_000, 0.2
    x, y = draw_answers([(0.3, noisy(eta)), (0.1, cut(2)), (0.6, short)], n, 4, numpy_rng(1, "data"))
    length = answers.answer_lengths(y)
    for tokens, share in ((4, 0.3), (3, 0.1), (1, 0.6)):
        assert abs((length == tokens).mean() - share) < 0.012
    wrong = answers.wrong_links(x, y)[length == 4]
    assert np.abs(wrong.mean(axis=0) - eta).max() < 0.02
    assert np.abs(np.corrcoef(wrong.T) - np.eye(3)).max() < 0.05
    assert (y[length == 4, 0] == x[length == 4, 0]).all()
    np.testing.assert_array_equal(y[length == 3], cut(2)(x[length == 3]))


@given(st.lists(st.sampled_from([1, -1]), min_size=3, max_size=6), st.data())
def test_rewards_are_the_plain_ones_on_any_answer(bits, data):
    d = len(bits)
    tokens = data.draw(st.lists(st.sampled_from([1, -1]), max_size=d))
    running = [int(np.prod(bits[: i + 1])) for i in range(d)]
    x, y = np.array([bits], float), np.array([tokens + [0] * (d - len(tokens))], float)
    ends_right = bool(tokens) and tokens[-1] == running[-1]
    links = [tokens[i] == tokens[i - 1] * bits[i] for i in range(1, len(tokens))]
    assert r_e2e(x, y)[0] == float(ends_right)
    assert r_cot(x, y)[0] == float(tokens == running or tokens == running[-1:])
    assert r_process(x, y)[0] == pytest.approx(sum(links) / len(links) if links else float(ends_right))
    cost = 0.9 / d
    charged = answers.with_length_cost(r_e2e, cost)(x, y)[0]
    assert charged == pytest.approx(ends_right * (1 - cost * len(tokens))) and 0 <= charged <= 1


# --- the fit ---


@pytest.mark.parametrize("lam", [1e-4, 0.01, 1.0])
def test_the_fit_is_scikit_learns(lam):
    rng = np.random.default_rng(0)
    phi, labels = rng.choice([1.0, -1], (300, 7)), rng.choice([1.0, -1], 300)
    labels[:200] = phi[:200, 0] * phi[:200, 1]
    weights = rng.random(300)
    reference = LogisticRegression(C=1 / lam, fit_intercept=False, tol=1e-12, max_iter=10_000)
    expected = reference.fit(phi, labels, sample_weight=weights / weights.sum()).coef_[0]
    np.testing.assert_allclose(logistic_ridge(phi, labels, weights, lam), expected, atol=1e-5)
    separable = phi[:, 2]
    w = logistic_ridge(phi, separable, weights, lam)
    assert (phi @ w * separable > 0).all()


@pytest.mark.parametrize("lam", [1e-6, 1e-3, 0.1])
def test_the_fit_is_that_of_the_proofs(lam):
    """Two solvers without common code: compiled Newton steps, and scipy's trust region."""
    rng = np.random.default_rng(2)
    phi, labels, weights = rng.choice([1.0, -1], (200, 6)), rng.choice([1.0, -1], 200), rng.random(200)
    labels[:120] = phi[:120, 1]
    expected = exact_chain.minimiser(phi * labels[:, None], weights / weights.sum(), lam)
    np.testing.assert_allclose(logistic_ridge(phi, labels, weights, lam), expected, atol=1e-7)
    assert np.abs(expected).max() > 0.3


@pytest.mark.parametrize("lam", [1e-12, 1e-7])
def test_the_fit_converges_with_hardly_any_ridge(lam):
    phi = np.array(list(product((1.0, -1), repeat=4)))
    w = logistic_ridge(phi, phi[:, 1], np.ones(16), lam)
    assert expit(-w[1]) == pytest.approx(lam * w[1], abs=2e-9) and np.abs(w[[0, 2, 3]]).max() < 1e-6


@pytest.mark.parametrize("checks", [False, True])
def test_each_classifier_is_fitted_to_the_samples_that_reach_it(checks):
    lam, rng = 0.01, np.random.default_rng(1)
    x, y = draw_answers([(0.4, noisy(0.3)), (0.3, cut(2)), (0.3, short)], 400, 5, rng)
    weights = rng.random(400) * (rng.random(400) < 0.8)
    model = fit_chain(x, y, weights, lam, checks)
    for token in range(1, 6):
        reached = [i for i in range(400) if weights[i] > 0 and (token == 1 or y[i, token - 2] != 0)]
        going = [i for i in reached if y[i, token - 1] != 0]
        stop_labels = [1 if y[i, token - 1] == 0 else -1 for i in reached]
        for rows, labels, got in (
            (reached, stop_labels, model.stops[token - 1]),
            (going, [y[i, token - 1] for i in going], model.signs[token - 1]),
        ):
            if len(set(labels)) == 1:
                assert got[0] == 40 * labels[0] and not got[1:].any()
                continue
            phi = np.array([plain_features(x[i], y[i], token, checks) for i in rows])
            share = weights[rows] / weights[rows].sum()
            reference = LogisticRegression(C=1 / lam, fit_intercept=False, tol=1e-12, max_iter=10_000)
            np.testing.assert_allclose(got, reference.fit(phi, labels, sample_weight=share).coef_[0], atol=2e-5)


@pytest.mark.parametrize(("d", "p", "lam"), [(3, 0.2, 1e-3), (4, 0.5, 0.05), (5, 0.3, 1e-4)])
def test_the_ordinary_mixture_gives_the_theorems_chain(d, p, lam):
    model, best = fit_chain(*every(d, [(p, full), (1 - p, short)]), lam=lam), training.population(d, p, lam)
    expected = [np.zeros(d + 1), np.zeros(2 * d + 2)]
    expected[0][1] = best.first
    expected[1][[0, d + 2]] = (best.stop_same + best.stop_other) / 2, (best.stop_same - best.stop_other) / 2
    np.testing.assert_allclose(model.signs[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(model.stops[1], expected[1], atol=1e-6)
    for token in range(2, d + 1):
        w = np.zeros(len(model.signs[token - 1]))
        w[d + 2 * token - 1] = best.link  # after 1, x, token - 1 answers and x_1..x_(token - 1)
        np.testing.assert_allclose(model.signs[token - 1], w, atol=1e-6)
    assert all(w[0] == -40 for i, w in enumerate(model.stops) if i != 1)


def test_it_agrees_with_the_compiled_sgd():
    d, p = 6, 0.25
    sgd, newton = training.train_chains(d, p, 200_000)[p, 0], pretrain_chain([(p, full), (1 - p, short)], d, 20_000)
    x = inputs(d)
    first, stop = expit(x @ sgd.first), expit(sgd.stop_logits(x, x[:, 0]))
    np.testing.assert_allclose(expit(newton.logits(x, full(x), 1)[1]), first, atol=0.05)
    np.testing.assert_allclose(expit(newton.logits(x, full(x), 2)[0]), stop, atol=0.08)
    np.testing.assert_array_equal(np.sign(newton.logits(x, full(x), 4)[1]), full(x)[:, 3])


def test_a_classifier_without_samples_is_a_coin():
    model = pretrain_chain([(1.0, short)], 4, 200)
    assert not any(w.any() for w in (*model.stops[2:], *model.signs[1:])) and model.stops[1][0] == 40


# --- sampling and decoding ---


@pytest.mark.parametrize("checks", [False, True])
def test_samples_have_the_plain_probabilities(checks):
    model, x, n = lively(3, checks), [1.0, -1, -1], 40_000
    drawn = Counter(map(tuple, model.sample(np.tile(x, (n, 1)), numpy_rng(0, "sampling")).astype(int)))
    chances = {y: plain_probability(model, x, y) for y in all_answers(3)}
    assert sum(chances.values()) == pytest.approx(1)
    for y, q in chances.items():
        assert abs(drawn[y] / n - q) < 5 * (q * (1 - q) / n) ** 0.5 + 1e-9


def plain_greedy(model, x, three_way):
    y = []
    while len(y) < model.d and 0 not in y:
        phi = plain_features(x, np.array(y), len(y) + 1, model.checks)
        stop, plus = expit(phi @ model.stops[len(y)]), expit(phi @ model.signs[len(y)])
        rival = (1 - stop) * max(plus, 1 - plus) if three_way else 1 - stop
        y.append(0 if stop > rival else 1 if plus > 0.5 else -1)
    return y + [0] * (model.d - len(y))


@pytest.mark.parametrize("checks", [False, True])
def test_both_greedy_decodings_follow_the_plain_rule(checks):
    differ = 0
    for seed in range(4):
        model, x = lively(4, checks, seed), inputs(4)
        two_step, three_way = model.greedy(x), model.greedy(x, likeliest=True)
        for bits, *found in zip(x, two_step, three_way, strict=True):
            assert [answer.tolist() for answer in found] == [plain_greedy(model, bits, way) for way in (False, True)]
        differ += int((two_step != three_way).any())
    assert differ > 0


def test_a_capped_chain_is_the_start_of_the_whole_one():
    parts, x = [(0.6, noisy(0.1)), (0.4, short)], inputs(6)
    whole, capped = pretrain_chain(parts, 6, 500), pretrain_chain(parts, 6, 500, cap=2)
    np.testing.assert_array_equal(capped.greedy(x)[:, :2], whole.greedy(x)[:, :2])
    assert not capped.greedy(x)[:, 2:].any() and capped.d == 6


# --- the propositions on minimisers: every demonstration with its probability, no sampling ---


@pytest.mark.parametrize("eta", [0.1, 0.4])
def test_noise_moves_the_threshold_of_the_likeliest_token_alone(eta):
    x, step = inputs(4), 0.01
    for likeliest, star_ in ((False, 1 / 3), (True, predictions.noise_threshold(eta))):
        for p, goes_on in ((star_ - step, False), (star_ + step, True)):
            model = fit_chain(*every(4, [(p, eta), (1 - p, short)]), lam=1e-6)
            greedy = model.greedy(x, likeliest)
            assert ((greedy != 0).sum(axis=1) > 1).tolist() == [goes_on] * 16
            if goes_on:
                np.testing.assert_array_equal(greedy, full(x))  # the right chain, in spite of the noise
    assert model.signs[2][1 + 4 + 2 + 2] == pytest.approx(log((1 - eta) / eta), rel=1e-3)


def test_skipping_gives_coins_and_the_threshold_one_half():
    for p in (0.3, 0.49, 0.51, 0.8):
        model = fit_chain(*every(6, [(p, strided(2)), (1 - p, short)]))
        assert max(np.abs(w).max() for w in model.signs) < 1e-9
        assert np.abs(model.stops[1][1:]).max() < 1e-9
        assert expit(model.stops[1][0]) == pytest.approx(1 - p, abs=1e-3) and (model.stops[1][0] < 0) == (p > 0.5)


def test_marked_answers_have_the_threshold_one_half():
    for p in (0.49, 0.51):
        greedy = fit_chain(*every(4, [(p, full), (1 - p, marked)])).greedy(inputs(4))
        np.testing.assert_array_equal(greedy, full(inputs(4)) if p > 0.5 else 0)


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("mu", [0.0, 0.1, 0.2, 0.25, 0.4, 0.6])
def test_three_lengths_have_the_predicted_threshold(checks, mu):
    d, links, x = 5, 2, inputs(5)
    star_ = predictions.share(predictions.three_lengths_odds(mu, checks))
    for f, is_full in ((star_ - 0.005, False), (star_ + 0.005, True)):
        parts = [(f, full), (mu * (1 - f), cut(links)), ((1 - mu) * (1 - f), short)]
        greedy = fit_chain(*every(d, parts), lam=1e-6, checks=checks).greedy(x)
        assert (greedy == full(x)).all(axis=1).tolist() == [is_full] * 32


def test_the_lowest_thresholds():
    for checks, best, least in ((True, Fraction(1, 4), Fraction(1, 9)), (False, Fraction(1, 5), Fraction(1, 6))):
        grid = [Fraction(i, 100) for i in range(100)]
        assert min(grid, key=lambda mu: predictions.three_lengths_odds(mu, checks)) == best
        assert predictions.share(predictions.three_lengths_odds(best, checks)) == least


def test_predictions_pass_the_proofs_own_checks():
    beyond.check_noise(three_way=predictions.noise_threshold)
    beyond.check_noise_star(
        *(lambda eta, d, name=name: predictions.noise_factor(eta, d, name) for name in ("chain", "end-to-end")),
        lambda eta, d: predictions.noise_left(eta, d, "end-to-end"),
    )
    beyond.check_process(
        lambda eta: predictions.noise_factor(eta, 8, "process") / 2,
        lambda eta, d: predictions.noise_left(eta, d, "process"),
    )
    beyond.check_three_lengths(predictions.three_lengths_odds)
    for d in (3, 8, 50):
        assert predictions.length_cost_factor(Fraction(1, 2 * d - 1), d) == 1


# --- STaR and the experiments, small ---


def test_star_fits_what_it_samples_by_its_reward():
    d, n = 5, 3000
    start = pretrain_chain([(0.3, full), (0.7, short)], d, 3000)
    seen = []

    def reward(x, y):
        seen.append((x, y))
        return r_e2e(x, y) * np.where(answers.answer_lengths(y) > 1, 0.5, 1.0)

    after = star_models(start, [reward, r_e2e], n)
    assert len(after) == 2 and len(seen) == 1
    x, y = seen[0]
    again = fit_chain(x, y, r_e2e(x, y) * np.where(answers.answer_lengths(y) > 1, 0.5, 1.0))
    np.testing.assert_allclose(again.stops[1], after[0].stops[1])
    assert abs(measure_chain(after[0])["long"] - 0.3) < 0.05  # 2 r_L/r_S = 1
    assert abs(measure_chain(after[1])["long"] - 6 / 13) < 0.06  # then the odds double


def test_measure_counts_what_it_says():
    perfect = measure_chain(fit_chain(*every(4, [(1.0, full)])))
    assert perfect == pytest.approx({"long": 1, "noise": 0, "accuracy": 1, "full": 1, "length": 4}, abs=2e-3)
    silent = measure_chain(pretrain_chain([(1.0, short)], 4, 500))
    assert silent["long"] == 0 and np.isnan(silent["noise"]) and silent["length"] == 1


def test_bisection_finds_a_step():
    assert runs.flip(lambda p: float(p > 0.37)) == pytest.approx(0.37, abs=0.002)


@pytest.mark.slow
def test_experiments_find_what_they_predict():
    noise = runs.noise_thresholds(2000, [0, 1], [0.0, 0.3])
    assert (noise["flip"] - noise["predicted"]).abs().max() < 0.05
    two_step = noise[noise["decoding"] == "stop first"].set_index(["seed", "eta"])["flip"].unstack()
    assert (two_step[0.0] == two_step[0.3]).all()  # the same samples decide, noise or not
    other = runs.other_thresholds(2000, [0, 1])
    assert (other["flip"] - 0.5).abs().max() < 0.05
    skip = runs.skipping(2000, [0], [0.3, 0.7])
    assert (skip["accuracy"] - 0.5).abs().max() < 0.1 and skip["length"].tolist() == [1, 4]
    assert (skip["long_after"] - skip["p"]).abs().max() < 0.08
    stars = runs.noisy_star(4000, [0, 1], [0.1])
    assert (stars["factor"] / stars["predicted_factor"] - 1).abs().max() < 0.2
    assert (stars["noise"] - stars["predicted_noise"]).abs().max() < 0.02
    costs = runs.length_cost(2000, [0, 1], starts=(0, 2), rounds=3)
    assert (
        costs.groupby(["cost", "start", "round"])[["long", "predicted"]].mean().diff(axis=1)["predicted"].abs().max()
    ) < 0.08


def test_cut_chains_flip_where_both_switches_are_on():
    found = runs.switches(runs.tips(3000, [0, 1])).set_index(["checks", "switch"])
    alone = found.drop("full", level="switch")
    assert (alone["measured"] - alone["predicted"]).abs().max() < 0.03
    for checks in (True, False):
        assert found.loc[(checks, "full"), "measured"] > alone.loc[checks, "measured"].max() - 0.003


def test_means_give_students_interval():
    rows = pd.DataFrame({"case": ["a"] * 3, "predicted": 2.0, "flip": [1.0, 2.0, 3.0]})
    found = runs.means(rows, ["case"], "flip").iloc[0]
    half = 4.302653 * 3**-0.5  # t with 2 degrees of freedom, standard deviation 1
    assert (found["measured"], found["low"], found["high"]) == pytest.approx((2, 2 - half, 2 + half))
    assert runs.agreement(pd.Series([0.3]), pd.Series([0.31]), 0.02) == "as predicted, to within 0.02"
    assert runs.agreement(pd.Series([0.3]), pd.Series([0.4]), 0.02).startswith("not as predicted")


@pytest.mark.slow
def test_all_thresholds_stand_in_one_list():
    noise, other = runs.noise_thresholds(200, [0, 1], [0.0, 0.2, 0.4]), runs.other_thresholds(200, [0, 1])
    final = pd.DataFrame({"seed": 0, "step": 2, "p_cot": [0.1, 0.2, 0.4], "greedy_long": [0, 0.1, 1.0]})
    trained = pd.concat((final.assign(step=1, greedy_long=1.0), final))  # the last step counts
    found = runs.all_thresholds(noise, other, runs.tips(200, [0, 1]), {2: trained, 5: trained})
    assert len(found) == 9 and found["predicted"].is_monotonic_increasing
    transformers = found[found["case"].str.endswith("transformer")]["measured"]
    assert transformers.tolist() == pytest.approx([0.2 + 0.2 * 0.4 / 0.9] * 2)


# --- bad input ---


def test_bad_input_ends_in_one_line(refused):
    x, y = draw_answers([(0.5, full), (0.5, short)], 10, 4, numpy_rng(0, "data"))
    model = pretrain_chain([(0.5, full), (0.5, short)], 4, 50)
    for words, call in (
        (("eta", 0.6), lambda: noisy(0.6)),
        (("stride", 1), lambda: strided(1)),
        (("stride", 3, "divisor"), lambda: strided(3)(X)),
        (("links", 4), lambda: cut(4)(X)),
        (("shares", "add up to 1"), lambda: draw_answers([(0.5, full), (0.4, short)], 10, 4, numpy_rng(0, "data"))),
        (("share", 1.5), lambda: draw_answers([(1.5, full), (-0.5, short)], 10, 4, numpy_rng(0, "data"))),
        (("n", 0), lambda: pretrain_chain([(1.0, full)], 4, 0)),
        (("d", 2), lambda: pretrain_chain([(1.0, full)], 2, 10)),
        (("lam", 0), lambda: fit_chain(x, y, lam=0)),
        (("cap", 5), lambda: fit_chain(x, y, cap=5)),
        (("shapes",), lambda: fit_chain(x, y[:5])),
        (("y", "+1, -1"), lambda: fit_chain(x, 2 * y)),
        (("y", "from its end on"), lambda: fit_chain(X, np.array([[1.0, 0, 1, 0]]))),
        (("weights",), lambda: fit_chain(x, y, -np.ones(10))),
        (("nothing to fit",), lambda: fit_chain(x, y, np.zeros(10))),
        (("x",), lambda: model.greedy(np.zeros((2, 4)))),
        (("cost", "1/4"), lambda: answers.with_length_cost(r_e2e, 0.3)(x, y)),
        (("n", 0), lambda: star_models(model, [r_e2e], 0)),
        (("seeds",), lambda: runs.noise_thresholds(100, [])),
    ):
        with refused(*words):
            call()
