"""The linear chain against the plain definition of its SGD, scikit-learn, enumeration with fractions, and SymPy."""

from fractions import Fraction
from itertools import product
from math import exp, log

import numpy as np
import pytest
import sympy as sp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, SGDClassifier

from ntprl import theory
from ntprl.linear_chain.chain import LinearChain, inputs
from ntprl.linear_chain.sgd import MIXTURE, R_COT, R_E2E, draw_demonstration, draw_rollout, logistic, next_word, train
from ntprl.linear_chain.training import Population, default_ridge, population, star_table, train_chains
from ntprl.seeds import numpy_rng

KEY = np.uint64(20251011)


def lively_chain(d: int, seed: int = 0, scale: float = 0.6) -> LinearChain:
    """Weights without a special value, the unused ones 0."""
    rng = numpy_rng(seed, "init")
    links = scale * rng.standard_normal((d - 1, 3 * d - 1))
    for k in range(d - 1):
        links[k, 2 * d + k + 1 :] = 0
    return LinearChain(scale * rng.standard_normal(d), scale * rng.standard_normal(2 * d + 2), links)


def from_mixture(d: int, p: float, n: int, lam: float, lam_link: float, key: np.uint64 = KEY) -> tuple:
    return train(key, MIXTURE, n, p, np.zeros(d), np.zeros(2 * d + 2), np.zeros((d - 1, 3 * d - 1)), lam, lam_link)


def state_of(key: np.uint64 = KEY) -> np.ndarray:
    return np.array([key], dtype=np.uint64)


def samples(d: int, p: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples that `from_mixture` sees: x, y, is long."""
    state, x, y = state_of(), np.zeros((n, d)), np.zeros((n, d))
    is_long = np.array([draw_demonstration(state, p, x[i], y[i]) for i in range(n)])
    return x, y, is_long


def problems(x: np.ndarray, y: np.ndarray, is_long: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(features, labels) of position 1, of the stop decision and of links 2..d, as the module docstring has them."""
    one, y_1, d = np.ones((len(x), 1)), y[:, :1], x.shape[1]
    result = [(x, y[:, 0]), (np.hstack((x, y_1 * x, y_1, one)), np.where(is_long, -1.0, 1.0))]
    x, y = x[is_long], y[is_long]
    for k in range(1, d):  # the link y_(k+1)
        result.append((np.hstack((x, y[:, k - 1 : k] * x, y[:, :k])), y[:, k]))
    return result


def rows_of(chain: LinearChain) -> list[np.ndarray]:
    links = [chain.links[k, : 2 * chain.d + k + 1] for k in range(chain.d - 1)]
    return [chain.first, chain.stop, *links]


def averaged_sgd(features: np.ndarray, labels: np.ndarray, lam: float) -> np.ndarray:
    """The definition, line by line: step 1/(lam t) along the gradient of the regularised loss; mean of w_1..w_T."""
    w, iterates = np.zeros(features.shape[1]), []
    for t, (phi, label) in enumerate(zip(features, labels, strict=True), start=1):
        gradient = -label * phi * expit(-label * (w @ phi)) + lam * w
        w = w - gradient / (lam * t)
        iterates.append(w)
    return np.mean(iterates, axis=0)


@pytest.mark.parametrize(("d", "p", "n"), [(2, 0.5, 3), (2, 0.3, 100), (3, 0.25, 203), (7, 0.6, 331), (70, 0.5, 60)])
@pytest.mark.parametrize("lam", [0.02, 1.5])
def test_compiled_sgd_is_the_definition(d, p, n, lam):
    first, stop, links, kept, n_long = from_mixture(d, p, n, lam, lam / 3)
    x, y, is_long = samples(d, p, n)
    assert (kept, n_long) == (n, is_long.sum())
    for i, (got, problem) in enumerate(
        zip(rows_of(LinearChain(first, stop, links)), problems(x, y, is_long), strict=True)
    ):
        expected = averaged_sgd(*problem, lam if i < 2 else lam / 3)
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
    assert all(not links[k, 2 * d + k + 1 :].any() for k in range(d - 1))


def test_compiled_sgd_is_scikit_learns():
    """eta0/t^1 with eta0 = 1/lambda is the theorem's step; its intercept is not regularised, hence the feature 1."""
    d, p, n, lam = 6, 0.4, 400, 0.05
    first, stop, links, _, _ = from_mixture(d, p, n, lam, lam)
    for got, (features, labels) in zip(
        rows_of(LinearChain(first, stop, links)), problems(*samples(d, p, n)), strict=True
    ):
        sgd = SGDClassifier(
            loss="log_loss", penalty="l2", alpha=lam, learning_rate="invscaling", eta0=1 / lam, power_t=1.0,
            average=True, shuffle=False, max_iter=1, tol=None, fit_intercept=False,
        )  # fmt: skip
        expected = sgd.fit(features, labels).coef_[0]
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("source", [R_COT, R_E2E])
def test_star_trains_on_the_rewarded_rollouts_alone(source):
    d, n, lam, model = 4, 300, 0.1, lively_chain(4)
    weights = (model.first, model.stop, model.links)
    *got, kept, n_long = train(KEY, source, n, 0.0, *weights, lam, lam)
    state, x, y = state_of(), np.zeros((n, d)), np.zeros((n, d))
    rewards = [draw_rollout(state, *weights, x[i], y[i]) for i in range(n)]
    is_long, keep = np.array([r[0] for r in rewards]), np.array([r[source] for r in rewards])
    correct = np.cumprod(x, axis=1)
    is_right = np.where(is_long, (y == correct).all(axis=1), y[:, 0] == correct[:, -1])
    ends_right = np.where(is_long, y[:, -1], y[:, 0]) == correct[:, -1]
    np.testing.assert_array_equal(keep, is_right if source == R_COT else ends_right)
    assert (kept, n_long) == (keep.sum(), (keep & is_long).sum())
    assert is_right.sum() < ends_right.sum()  # some wrong chains end in the parity
    for row, problem in zip(rows_of(LinearChain(*got)), problems(x[keep], y[keep], is_long[keep]), strict=True):
        np.testing.assert_allclose(row, averaged_sgd(*problem, lam), rtol=1e-8, atol=1e-8)


def test_random_words_are_splitmix64():
    """The published outputs for the seed 1234567."""
    state = state_of(np.uint64(1234567))
    words = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [int(next_word(state)) for _ in words] == words


def test_drawn_demonstrations_have_the_probabilities_of_the_mixture():
    n, p = 40_000, Fraction(1, 4)
    x, y, is_long = samples(3, float(p), n)
    for symbols, answer, probability in theory.enumerate_demonstrations(3, p):
        is_x = (x == 1 - 2 * np.array(symbols)).all(axis=1)
        links = 1 - 2 * np.array(answer[:-1])
        is_y = (y[:, : len(links)] == links).all(axis=1) & (is_long == (len(links) == 3))
        q = float(probability)
        assert abs((is_x & is_y).mean() - q) < 5 * (q * (1 - q) / n) ** 0.5


@pytest.mark.filterwarnings("error")
def test_logistic_is_right_at_large_scores():
    assert [logistic(s) for s in (1000.0, -1000.0, 0.0)] == [1.0, 0.0, 0.5]
    assert logistic(-700.0) == pytest.approx(exp(-700), rel=1e-12)
    assert logistic(-2.5) == pytest.approx(1 / (1 + exp(2.5)), rel=1e-14)
    d, x = 5, inputs(5)
    sure = Population(d, 1000.0, -1000.0, 1000.0, 1000.0).model()
    rows = sure.distribution(x)
    assert rows["chain"].eq(1).all() and rows["r_e2e"].eq(1).all() and rows["stop"].eq(0).all()
    wrong = Population(d, 1000.0, -1000.0, 1000.0, -1000.0).model().distribution(x)
    assert wrong["chain"].eq(0).all() and np.isfinite(wrong.to_numpy()).all()
    tiny = from_mixture(d, 0.5, 200, 1e-6, 1e-6)  # steps of 1e6: scores in the millions
    assert all(np.isfinite(weights).all() for weights in tiny[:3])


# --- the population ---


@pytest.mark.parametrize("d", [3, 4, 5, 6])
@pytest.mark.parametrize("p", [Fraction(1, 10), Fraction(1, 3), Fraction(3, 5)])
def test_population_without_ridge_is_the_enumerated_conditional_probability(d, p):
    """Counting demonstrations by (x_1, y_1): nothing else helps a linear reader, as the next test shows."""
    mass: dict[tuple, Fraction] = {}
    for symbols, answer, weight in theory.enumerate_demonstrations(d, p):
        event = (symbols[0] == answer[0], len(answer) == 2)
        mass[event] = mass.get(event, Fraction(0)) + weight
    best = population(d, float(p))
    same = mass[True, True] + mass[True, False]
    assert same == (1 + p) / 2
    assert expit(best.first) == pytest.approx(float(same))
    assert expit(best.stop_same) == pytest.approx(float(mass[True, True] / same))
    assert (False, False) not in mass and best.stop_other == np.inf and best.link == np.inf
    assert best.chain_probability == pytest.approx(float(p))
    assert best.short_probability == pytest.approx([float((1 - p) / 2)] * 2)
    assert (best.stop_same > 0) == (p < Fraction(1, 3)) or p == Fraction(1, 3)


@pytest.mark.parametrize("d", [3, 4, 5])
@pytest.mark.parametrize(("lam", "lam_link"), [(0.02, 0.003), (0.3, 0.1)])
def test_population_with_ridge_is_scikit_learns_minimiser(d, lam, lam_link):
    """LogisticRegression over all features on all demonstrations, weighted by their probabilities."""
    p = Fraction(1, 4)
    rows = theory.enumerate_demonstrations(d, p)
    x = np.array([1.0 - 2 * np.array(symbols) for symbols, _, _ in rows])
    y = np.array([np.resize(1.0 - 2 * np.array(answer[:-1]), d) for _, answer, _ in rows])
    is_long = np.array([len(answer) > 2 for _, answer, _ in rows])
    weight = np.array([float(w) for _, _, w in rows])
    model = population(d, float(p), lam, lam_link).model()
    for i, (got, (features, labels)) in enumerate(zip(rows_of(model), problems(x, y, is_long), strict=True)):
        w = weight if i < 2 else weight[is_long] / float(p)
        reference = LogisticRegression(
            C=1 / (lam if i < 2 else lam_link), fit_intercept=False, tol=1e-10, max_iter=5000
        )
        expected = reference.fit(features, labels, sample_weight=w).coef_[0]
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_with_two_bits_the_stop_decision_has_another_minimiser(refused):
    """After a short answer x_2 = y_1 x_1: the feature x_2 tells half of the long ones apart."""
    x, y, is_long = samples(2, 0.4, 4000)
    features, labels = problems(x, y, is_long)[1]
    weights = LogisticRegression(C=10, fit_intercept=False).fit(features, labels).coef_[0]
    assert weights[1] > 1
    with refused("d", 2, "at least 3"):
        population(2, 0.4)


def test_sgd_approaches_scikit_learns_converged_fit_on_the_same_samples():
    d, p, n, lam = 3, 0.3, 20_000, 0.05
    first, stop, links, _, n_long = from_mixture(d, p, n, lam, lam)
    pairs = zip(rows_of(LinearChain(first, stop, links)), problems(*samples(d, p, n)), strict=True)
    for i, (got, (features, labels)) in enumerate(pairs):
        fit_all = LogisticRegression(C=1 / (lam * (n if i < 2 else n_long)), fit_intercept=False, tol=1e-8)
        np.testing.assert_allclose(got, fit_all.fit(features, labels).coef_[0], atol=0.05)


def test_algebra_of_the_optimum_by_sympy():
    p, w, z, n = sp.symbols("p w z n", positive=True)
    r = (1 - p) / 2

    def is_zero(expression: sp.Expr) -> bool:
        return sp.simplify(expression) == 0

    first = (1 - r) * sp.log(1 + sp.exp(-w)) + r * sp.log(1 + sp.exp(w))
    assert is_zero(sp.diff(first, w).subs(w, sp.log((1 + p) / (1 - p))))
    stop = p * sp.log(1 + sp.exp(z)) + r * sp.log(1 + sp.exp(-z))  # at y_1 = x_1
    assert is_zero(sp.diff(stop, z).subs(z, sp.log((1 - p) / (2 * p))))
    assert sp.solve(sp.Eq((1 - p) / (2 * p), 1), p) == [sp.Rational(1, 3)]
    for share in (0.07, 0.3, 0.9):
        best = population(4, share)
        assert best.first == pytest.approx(float(sp.log((1 + p) / (1 - p)).subs(p, share)))
        assert best.stop_same == pytest.approx(float(sp.log((1 - p) / (2 * p)).subs(p, share)))
    # the two logits of the stop decision part under a ridge on weight and bias
    beta, b, lam = sp.symbols("beta b lambda")
    loss = sp.log(1 + sp.exp(b + beta)) * p + r * (sp.log(1 + sp.exp(-b - beta)) + sp.log(1 + sp.exp(beta - b)))
    loss += lam / 2 * (beta**2 + b**2)
    g = b + beta
    separate = 2 * ((p + r) / (1 + sp.exp(-g)) - r + lam * g / 2)
    gap = (sp.diff(loss, b) + sp.diff(loss, beta) - separate).subs({b: 0.3, beta: -1.1, p: 0.2, lam: 0.07})
    assert abs(float(gap)) < 1e-12
    # Theorem 2: the solution of p -> 2p/(1 + p)
    share_n = 2**n * p / (2**n * p + 1 - p)
    assert is_zero(share_n.subs(n, n + 1) - 2 * share_n / (1 + share_n))
    assert is_zero(share_n.subs(n, 0) - p)
    assert sp.limit(share_n.subs(p, sp.Rational(1, 1000)), n, sp.oo) == 1


# --- the chain as a distribution ---


def probability(chain: LinearChain, x: np.ndarray, y: tuple) -> Fraction:
    """P(y | x) token by token, from the formulas of the module docstring; y is (y_1,) or all of y_1..y_d."""
    d, logits = chain.d, [x @ chain.first]
    features = np.concatenate((x, y[0] * x, [y[0], 1]))
    logits.append(features @ chain.stop)
    signs = [y[0], 1 if len(y) == 1 else -1]
    for k in range(1, len(y)):
        past = np.concatenate((x, y[k - 1] * x, y[:k], np.zeros(d - 1 - k)))
        logits.append(past @ chain.links[k - 1])
        signs.append(y[k])
    result = Fraction(1)
    for logit, sign in zip(logits, signs, strict=True):
        up = Fraction(1 / (1 + exp(-logit)))
        result *= up if sign == 1 else 1 - up
    return result


@pytest.mark.parametrize("d", [2, 3, 4, 6])
def test_distribution_is_the_enumeration_of_all_answers(d):
    chain, x = lively_chain(d, seed=d), inputs(d)[:: max(1, 2**d // 8)]
    rows = chain.distribution(x)
    for i, bits in enumerate(x):
        correct = tuple(np.cumprod(bits))
        mass = {y: probability(chain, bits, y) for n in (1, d) for y in product((1.0, -1.0), repeat=n)}
        assert sum(mass.values()) == 1
        short, right = mass[correct[-1:]], mass[correct]
        expected = {"chain": right, "short": short, "stop": mass[(1.0,)] + mass[(-1.0,)], "r_cot": right + short}
        expected["long"] = 1 - expected["stop"]
        expected["r_e2e"] = sum(q for y, q in mass.items() if y[-1] == correct[-1])
        for name, value in expected.items():
            assert rows[name][i] == pytest.approx(float(value), rel=1e-12), name
    assert rows["unresolved"].eq(0).all()


def test_prefixes_left_out_are_accounted_for():
    chain, x = lively_chain(8, scale=1.0), inputs(8)[:20]
    exact = chain.distribution(x)
    for tol in (1e-1, 1e-2, 1e-3):
        rows = chain.distribution(x, tol)
        assert rows["unresolved"].gt(0).any()
        assert (rows["r_e2e"] - exact["r_e2e"]).abs().le(rows["unresolved"] / 2 + 1e-12).all()


def test_sampling_follows_the_distribution():
    """Both samplers, NumPy's for answers and the compiled one for rollouts, to 5 sigma."""
    d, n, chain = 5, 20_000, lively_chain(5)
    x = inputs(d)[[11]].repeat(n, axis=0)
    row, y, correct = chain.distribution(x[:1]).iloc[0], chain.sample(x, numpy_rng(0, "sampling")), np.cumprod(x[0])
    is_long = y[:, 1] != 0
    rates = {"long": is_long, "chain": (y == correct).all(axis=1), "short": ~is_long & (y[:, 0] == correct[-1])}
    rates["r_e2e"] = np.where(is_long, y[:, -1], y[:, 0]) == correct[-1]
    state, bits, answer = state_of(), np.zeros(d), np.zeros(d)
    rollouts = np.array([draw_rollout(state, chain.first, chain.stop, chain.links, bits, answer) for _ in range(n)])
    mean = chain.distribution(inputs(d)).mean()
    checks = [(rates[name].mean(), row[name]) for name in rates]
    checks += [(rollouts[:, i].mean(), mean[name]) for i, name in enumerate(("long", "r_cot", "r_e2e"))]
    for rate, q in checks:
        assert abs(rate - q) < 5 * (q * (1 - q) / n) ** 0.5


@pytest.mark.parametrize("d", [2, 4])
def test_greedy_takes_the_likelier_token_each_time(d):
    chain, x = lively_chain(d, seed=3), inputs(d)
    for bits, y in zip(x, chain.greedy(x), strict=True):
        answer = tuple(y[y != 0].astype(float))
        for k in range(len(answer)):  # flip one link: the prefix up to it must be less likely
            others = [(*answer[:k], -answer[k], *tail) for tail in product((1.0, -1.0), repeat=len(answer) - k - 1)]
            same = [(*answer[: k + 1], *tail) for tail in product((1.0, -1.0), repeat=len(answer) - k - 1)]
            if k > 0:
                assert sum(probability(chain, bits, y) for y in same) > sum(probability(chain, bits, y) for y in others)
        stop = float(probability(chain, bits, answer[:1]))
        go = sum(float(probability(chain, bits, (answer[0], *t))) for t in product((1.0, -1.0), repeat=d - 1))
        assert (len(answer) == 1) == (stop > go)
        assert answer[0] == np.sign(bits @ chain.first)
    assert {int((y != 0).sum()) for y in chain.greedy(x)} == {1, d}


def test_means_count_what_greedy_answers():
    x = inputs(4)
    short = population(4, 0.2, 1e-3).model().measure(x)
    assert [short[k] for k in ("greedy_r_cot", "greedy_r_e2e", "greedy_long")] == [0.5, 0.5, 0.0]
    long = population(4, 0.5, 1e-3).model().measure(x)
    assert [long[k] for k in ("greedy_r_cot", "greedy_r_e2e", "greedy_long")] == [1.0, 1.0, 1.0]
    broken = Population(4, 3.0, -3.0, 3.0, -3.0).model().measure(x)  # links 2, 3 and 4 all wrong
    assert [broken[k] for k in ("greedy_r_cot", "greedy_r_e2e", "greedy_long")] == [0.0, 0.0, 1.0]


def test_inputs_are_enumerated_or_drawn():
    assert len({tuple(row) for row in inputs(5)}) == 32
    drawn = inputs(40, n=500, seed=1)
    assert drawn.shape == (500, 40) and set(drawn.ravel()) == {1.0, -1.0}
    np.testing.assert_array_equal(drawn, inputs(40, n=500, seed=1))
    assert abs(drawn.mean()) < 5 / 20_000**0.5


# --- the theorems, small ---


def test_theorem_1_at_ten_bits():
    shares, x = (0.1, 0.25, 0.4, 0.7), inputs(10)
    for (p, _), chain in train_chains(10, shares, 300_000, seeds=[0, 1]).items():
        rows, means = chain.distribution(x), chain.measure(x)
        assert rows["chain"].mean() == pytest.approx(p, abs=0.01)
        assert rows["short"].mean() == pytest.approx((1 - p) / 2, abs=0.01)
        assert (rows["chain"] - p).abs().max() < 0.04
        assert means["greedy_long"] == (p > 1 / 3) and means["greedy_r_cot"] == (1.0 if p > 1 / 3 else 0.5)


def test_theorem_2_at_six_bits():
    table = star_table(6, 0.1, 60_000, 4)
    np.testing.assert_allclose(table["predicted"], [0.1, 2 / 11, 4 / 13, 8 / 17, 16 / 25])
    np.testing.assert_allclose(table["long"], table["predicted"], atol=0.05)
    np.testing.assert_allclose(table["kept_long"], table["predicted"], atol=0.05)
    assert table["greedy_long"].round().tolist() == [0, 0, 0, 1, 1]  # for most inputs: p_2 = .31 is near 1/3
    assert theory.rounds_to_flip(0.1) == 3


def test_runs_repeat_and_do_not_depend_on_each_other():
    alone = train_chains(5, 0.3, 2000, seeds=7)[0.3, 7]
    among = train_chains(5, [0.1, 0.3], 2000, seeds=[6, 7, 8])
    assert list(among) == [(p, seed) for p in (0.1, 0.3) for seed in (6, 7, 8)]
    np.testing.assert_array_equal(among[0.3, 7].links, alone.links)
    assert not np.array_equal(among[0.3, 6].first, alone.first)
    once, twice = star_table(4, 0.3, 500, 2, seeds=[0, 1]), star_table(4, 0.3, 500, 2, seeds=[0, 1])
    assert once.equals(twice) and once["seed"].tolist() == [0, 0, 0, 1, 1, 1]


def test_without_long_demonstrations_the_links_stay_at_zero():
    chain = train_chains(4, 0.0, 500)[0.0, 0]
    assert not chain.links.any() and chain.first.any()


def test_default_ridge():
    assert default_ridge(100, 1_000_000, 250_000) == pytest.approx((0.005, 0.0004))
    rule, chain = default_ridge(5, 1000, 300), train_chains(5, 0.3, 1000)[0.3, 0]
    same = train_chains(5, 0.3, 1000, lam=rule[0], lam_link=rule[1])[0.3, 0]
    np.testing.assert_array_equal(chain.links, same.links)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("d", 1), lambda: train_chains(1, 0.3, 100)),
        (("p_cot", 1.5), lambda: train_chains(4, 1.5, 100)),
        (("p_cot", "[]"), lambda: train_chains(4, [], 100)),
        (("lam", 0), lambda: train_chains(4, 0.3, 100, lam=0)),
        (("lam_link", "nan"), lambda: train_chains(4, 0.3, 100, lam_link=float("nan"))),
        (("n_samples", 0), lambda: train_chains(4, 0.3, 0)),
        (("seed", -1), lambda: train_chains(4, 0.3, 100, seeds=-1)),
        (("p_cot = 1e-09", "1e-07 long samples are expected"), lambda: train_chains(4, 1e-9, 100)),
        (("1e-07 long samples are expected", "n_samples = 100"), lambda: star_table(4, 1e-9, 100, 1)),
        (("p_cot", 1), lambda: star_table(4, 1, 100, 1)),
        (("reward", "r_new"), lambda: star_table(4, 0.3, 100, 1, reward="r_new")),
        (("rounds", -1), lambda: star_table(4, 0.3, 100, -1)),
        (("p_cot", 1.0), lambda: population(4, 1.0)),
        (("lam", -0.1), lambda: population(4, 0.3, -0.1)),
        (("lam", "above 0"), lambda: population(4, 0.3).model()),
        (("x", "(3, 5)"), lambda: lively_chain(4).greedy(np.ones((3, 5)))),
        (("x", "+1 or -1"), lambda: lively_chain(4).distribution(np.zeros((3, 4)))),
        (("tol", 2), lambda: lively_chain(4).distribution(np.ones((3, 4)), tol=2)),
        (("shapes",), lambda: LinearChain(np.zeros(3), np.zeros(3), np.zeros((2, 8)))),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(refused, words, call):
    with refused(*words):
        call()


def test_star_says_in_which_round_no_long_sample_was_left(refused):
    with refused("round 1 of STaR", "long samples are expected"):
        for seed in range(50):
            star_table(12, 0.05, 40, 1, seeds=seed)


def test_rewards_shrink_to_the_ridge_as_derived():
    """With ridge the population goes on with P(y_1 = x_1) P(go) close to p + lambda g/2: the drift of small p."""
    best = population(5, 0.01, 1e-3)
    go_and_same = (0.01 + 0.495) * expit(-best.stop_same)
    assert go_and_same == pytest.approx(0.01 + 1e-3 * best.stop_same / 2)
    assert best.stop_same < log(0.99 / 0.02)
