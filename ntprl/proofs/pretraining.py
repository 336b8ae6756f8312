"""Checks of sections 4 and 5 of chapters/proofs/linear_chain.md: SGD on one head, and Theorem 1 for all of them."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from math import ceil, e, log, sqrt

import numpy as np
import sympy
from scipy.special import expit, log_expit

from ntprl.linear_chain import sgd
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.exact_chain import chain, demonstrations, margin_law
from ntprl.proofs.formulas import FORMULAS
from ntprl.proofs.heads import coin, omega, prompts
from ntprl.seeds import numpy_rng


def sgd_runs(p: float, lam: float, steps: int, runs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means of w_1..w_T and largest norms of `runs` SGD runs of the stop head at d = 3, its margins and weights."""
    margins, weights = exact_chain.arrays(margin_law("stop", demonstrations(3, p)))
    rng, m = numpy_rng(2, "data"), margins.shape[1]
    w, total, reach = np.zeros((runs, m)), np.zeros((runs, m)), np.zeros(runs)
    for t in range(1, steps + 1):
        u = margins[rng.choice(len(weights), size=runs, p=weights)]
        w = w - (lam * w - expit(-(w * u).sum(1))[:, None] * u) / (lam * t)
        total += w
        reach = np.maximum(reach, np.linalg.norm(w, axis=1))
    return total / steps, reach, margins, weights


def coin_runs(q: float, lam: float, steps: int) -> list[tuple[float, float]]:
    """(probability, mean of w_1..w_T) for every sequence of a coin that shows +1 with chance q: m = 1, exactly."""
    runs = [(1.0, 0.0, 0.0)]
    for t in range(1, steps + 1):
        runs = [
            (chance * (q if u > 0 else 1 - q), new, total + new)
            for chance, w, total in runs
            for u in (1, -1)
            for new in [(1 - 1 / t) * w + expit(-w * u) * u / (lam * t)]
        ]
    return [(chance, total / steps) for chance, _, total in runs]


COINS = tuple(product((0.5, 0.3, 0.03), (1e-6, 1e-2, 1.0), (1, 2, 3, 6)))  # chance of +1, ridge, steps


def check_sgd(
    bound: Formula = FORMULAS["rate"],
    radius: Formula = lambda m, lam: sqrt(m) / lam,
) -> float:
    """lem-sgd: the mean risk gap of coins, listed exactly, and of 400 runs of the stop. The largest gap / bound.

    Also that ntprl.linear_chain.sgd takes the page's steps and averages the page's iterates.
    """
    worst = 0.0
    for q, lam, steps in COINS:
        best = coin(q, 1 - q, lam)
        risks = [-q * log_expit(w) - (1 - q) * log_expit(-w) + lam / 2 * w * w for _, w in coin_runs(q, lam, steps)]
        least = -q * log_expit(best) - (1 - q) * log_expit(-best) + lam / 2 * best * best
        gap = sum(chance * risk for (chance, _), risk in zip(coin_runs(q, lam, steps), risks, strict=True)) - least
        stated = bound(1, lam, steps)
        hold("lem-sgd", gap <= stated, f"gap {gap:.3g} > {stated:.3g} of a coin, lambda = {lam}, T = {steps}")
        worst = max(worst, gap / stated)
    for p, lam, steps in ((0.25, 0.05, 20), (0.25, 0.5, 60), (0.6, 0.2, 200)):
        averaged, reach, margins, weights = sgd_runs(p, lam, steps, 400)
        m = margins.shape[1]
        best = exact_chain.risk(exact_chain.minimiser(margins, weights, lam), margins, weights, lam)
        gap = np.mean([exact_chain.risk(w, margins, weights, lam) for w in averaged]) - best
        hold("lem-sgd", gap <= bound(m, lam, steps), f"gap {gap:.3g} > {bound(m, lam, steps):.3g}, lambda = {lam}")
        hold("lem-sgd", reach.max() <= radius(m, lam), f"an iterate of norm {reach.max():.3g} > {radius(m, lam):.3g}")
        worst = max(worst, gap / bound(m, lam, steps))
    always, certain = 0.0, 1e-9  # u = (1, .., 1) and a large ridge: all iterates are near sqrt(m)/(2 lambda)
    for t in range(1, 4):
        always = (1 - 1 / t) * always + expit(-9 * always) / (1e3 * t)
        certain = max(certain, 3 * always)
    hold("lem-sgd", 0.49 * sqrt(9) / 1e3 < certain <= radius(9, 1e3), f"an iterate of norm {certain:.3g}")
    return float(worst)


def check_code(steps: tuple[int, ...] = (1, 2, 5), first: int = 1) -> float:
    """def-training: the compiled SGD is the page's: start at 0, mean of w_1..w_T, a ridge of its own for links.

    Samples of d = 2 at p = 1 are redrawn from the same key; `first` is the number of the first iterate averaged.
    """
    worst, d, lam, lam_link = 0.0, 2, 0.3, 0.7
    for n in steps:
        key = np.uint64(11)
        zero = np.zeros(d), np.zeros(2 * d + 2), np.zeros((d - 1, 3 * d - 1))
        found = sgd.train(key, sgd.MIXTURE, n, 1.0, *zero, lam, lam_link)
        state, x, y = np.array([key], dtype=np.uint64), np.zeros(d), np.zeros(d)
        w, total = np.zeros(d), np.zeros(d)
        link, link_total = np.zeros(3 * d - 1), np.zeros(3 * d - 1)
        for t in range(1, n + 1):
            if first == 0:
                total, link_total = total + w, link_total + link
            sgd.draw_demonstration(state, 1.0, x, y)
            u = y[0] * x
            w = w - (lam * w - expit(-w @ u) * u) / (lam * t)
            u = y[1] * np.concatenate([x, y[0] * x, y[:1]])
            link = link - (lam_link * link - expit(-link @ u) * u) / (lam_link * t)
            if first == 1:
                total, link_total = total + w, link_total + link
        for name, mean, code in (("first head", total / n, found[0]), ("link", link_total / n, found[2][0])):
            off = float(np.abs(mean - code).max())
            hold("def-training", off < 1e-9, f"the code's {name} is off by {off:.2g} after {n} steps")
            worst = max(worst, off)
    return worst


def head_gap(m: int, lam: float, steps: float, delta: float) -> float:
    """cor-head: with probability 1 - delta no score is farther from the minimiser's than this."""
    return sqrt(m) * FORMULAS["zeta"](m, lam, steps, delta)


def check_head(distance: Formula = FORMULAS["zeta"]) -> float:
    """cor-head: how often weights are farther than zeta from the minimiser: coins exactly, the stop in 400 runs."""
    worst = 0.0
    for q, lam, steps in COINS:
        best, runs = coin(q, 1 - q, lam), coin_runs(q, lam, steps)
        for far in {abs(w - best) for _, w in runs}:
            delta = sum(chance for chance, w in runs if abs(w - best) >= far * (1 - 1e-12))
            stated = distance(1, lam, steps, min(delta, 1 - 1e-9))
            hold("cor-head", far <= stated, f"{far:.3g} > {stated:.3g} with probability {delta:.3g}, T = {steps}")
            worst = max(worst, far / stated)
    for p, lam, steps in ((0.25, 0.05, 20), (0.6, 0.2, 200)):
        averaged, _, margins, weights = sgd_runs(p, lam, steps, 400)
        off = averaged - exact_chain.minimiser(margins, weights, lam)
        m = margins.shape[1]
        every = np.array([(*f, 1) for f in product((1, -1), repeat=m - 1)], float)  # any features, seen or not
        score = np.abs(off @ every.T).max(axis=1)
        for delta in (0.5, 0.1):
            chance = (score > sqrt(m) * distance(m, lam, steps, delta)).mean()
            hold("cor-head", chance <= delta, f"{chance:.0%} of the runs are too far off, stated {delta:.0%}")
    return worst


def enough(bound: float) -> float:
    """lem-steps: T with (3/2 + ln T)/T <= bound."""
    return FORMULAS["steps"](bound)


def check_steps(steps: Formula = FORMULAS["steps"]) -> None:
    """lem-steps: T >= (2/B) ln(4/B) is enough for (3/2 + ln T)/T <= B <= 1, so is any larger T, and 6/10 is not."""
    fails = set()
    for bound, factor in product(np.logspace(-15, 0, 61), (1, 1.5, 10)):
        t = factor * steps(bound)
        hold("lem-steps", t >= 1 and (1.5 + log(t)) / t <= bound * (1 + 1e-12), f"not enough for B = {bound:.2g}")
        fails.add((1.5 + log(0.6 * t)) / (0.6 * t) > bound)
    hold("lem-steps", True in fails, "six tenths of the steps would do")


def inverse_budgets(d: int, eps: float, delta: float) -> tuple[float, float]:
    """thm-pretraining: 1/B of first head and stop, and of a link, at the theorem's ridges."""
    lam, lam_link = FORMULAS["ridge"](eps), FORMULAS["ridge-link"](d, eps, e)
    return FORMULAS["budget"](d, delta, lam, eps), FORMULAS["budget-link"](d, delta, lam_link)


def enough_samples(d: int, p: float, eps: float, delta: float) -> float:
    """thm-pretraining: samples of D(p) after which, with probability 1 - 2 delta, all x are answered up to eps."""
    t, t_link = (ceil(enough(1 / inverse)) for inverse in inverse_budgets(d, eps, delta))
    return max(t, 2 * t_link / p, 8 / p * log(1 / delta))


def check_pretraining_constants(
    ridge: Formula = FORMULAS["ridge"],
    ridge_link: Formula = FORMULAS["ridge-link"],
    inverse: Formula = FORMULAS["budget"],
    inverse_link: Formula = FORMULAS["budget-link"],
) -> None:
    """thm-pretraining: the biases stay below their budgets, and 1/B is exactly what the SGD errors ask for."""
    for d, eps, delta in product((3, 10, 50, 1000), (1e-4, 0.01, 0.5, 1), (0.01, 0.5)):
        lam, lam_link = ridge(eps), ridge_link(d, eps, e)
        where = f"at d = {d}, eps = {eps}"
        hold("thm-pretraining", 2 * lam <= 1 / e and omega(2 * lam) <= eps / 8, f"bias above eps/8 {where}")
        wrong = eps / 4 + lam / 2 * log(1 / lam) + eps / 16
        hold("thm-pretraining", wrong <= eps / 2, f"the short answer after a wrong first token is off {where}")
        links = e * (d - 1) * omega(lam_link)
        hold("thm-pretraining", lam_link <= 1 / (2 * e) and links <= eps / 2, f"links are wrong too often {where}")
        b = 1 / inverse(d, delta, lam, eps)  # of (3/2 + ln T)/T
        m = 2 * d + 2
        agree("thm-pretraining", "SGD error of the stop", eps / 8, m / (4 * lam) * sqrt(4 * b / delta), 1e-9 * eps)
        b, m = 1 / inverse_link(d, delta, lam_link), 3 * d
        agree("thm-pretraining", "SGD error of a link's score", 1, m / lam_link * sqrt(2 * (d - 1) * b / delta), 1e-9)
    hold("thm-pretraining", 0.75 > 1 / 4, "the margin around 1/3 is too small")


Push = Callable[[exact_chain.Head, int], np.ndarray]


def pushes(lam: float, lam_link: float, eps: float, d: int) -> dict[str, Push]:
    """Errors of SGD as large as the proof allows, along hostile directions: for each head the weights to add."""

    def at(column: Callable[[exact_chain.Head, int], int], sign: int) -> Push:
        def push(head: exact_chain.Head, m: int) -> np.ndarray:
            size = {"first": eps / 2, "stop": eps / 2}.get(head, 1.0)  # of the score: a quarter of it in probability
            return sign * size * np.eye(m)[column(head, m)]

        return push

    product_of = {"first": 0, "stop": d + 1} | {l: d + 2 * l - 2 for l in range(2, d + 1)}  # noqa: E741
    found = {}
    for sign in (1, -1):
        found[f"constant {sign}"] = at(lambda head, m: m - 1, sign)
        found[f"x_1 {sign}"] = at(lambda head, m: 0, sign)
        found[f"v {sign}"] = at(lambda head, m: product_of[head], sign)
    return found


def check_pretraining(
    long: Formula = lambda p: p,
    short: Formula = lambda p: (1 - p) / 2,
    threshold: Formula = lambda: Fraction(1, 3),
    shares: Iterable[float] = (0.05, 1 / 3 - 0.02, 1 / 3 + 0.02, 0.74, 0.95),
    accuracy: float = 1.0,
) -> float:
    """thm-pretraining: ridge minimisers, pushed as far as the proof lets SGD push them, answer as stated.

    Returns the largest error of an answer's probability, as a share of eps.
    """
    worst, eps = 0.0, 0.02
    for d, p in product((3, 4), shares):
        lam, lam_link = FORMULAS["ridge"](eps), FORMULAS["ridge-link"](d, eps, e)
        for name, push in pushes(lam, lam_link, eps, d).items():
            model = exact_chain.fit_exactly(demonstrations(d, p), lam, push, lam_link)
            for x in prompts(d):
                right = chain(x)
                found = (model.probability(x, right), model.probability(x, right[-1:]))
                for what, stated, value in zip(("chain", "short"), (long(p), short(p)), found, strict=True):
                    worst = max(worst, agree("thm-pretraining", f"pi({what})", stated, value, accuracy * eps) / eps)
                expected = x[:1] if p < threshold() else right
                said = f"greedy says {model.greedy(x)} at p = {p:.4f}, push {name}, stated {expected}"
                hold("thm-pretraining", model.greedy(x) == expected, said)
    return worst


def check_three_quarters(end: float = 0.75, bound: float = 7.0) -> None:
    """rem-three-quarters: below 3/4 the odds (1 + p)/(1 - p) stay below 7, and beyond nothing breaks."""
    found = (1 + end) / (1 - end)
    hold("rem-three-quarters", abs(found - bound) < 1e-12, f"(1 + p)/(1 - p) is {found:.4g} at the end")
    p = sympy.symbols("p")
    stated = (1 + p) / (8 * p * (1 - p)) - 1 / (1 + p)
    square = (1 - 3 * p) ** 2 / (8 * p * (1 - p) * (1 + p))
    hold("rem-three-quarters", sympy.simplify(stated - square) == 0, "the two stop constants do not differ by a square")
    check_pretraining(shares=(0.8, 0.99))
