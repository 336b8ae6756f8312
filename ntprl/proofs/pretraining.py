"""Checks of sections 4 and 5 of chapters/proofs/linear_chain.md: SGD on one head, and Theorem 1 for all of them."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import e, log, sqrt

import numpy as np
import sympy
from scipy.special import expit

from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.exact_chain import chain, demonstrations, margin_law
from ntprl.proofs.heads import omega, prompts
from ntprl.seeds import numpy_rng


def sgd_runs(p: float, lam: float, steps: int, runs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Averaged iterates and largest norms of `runs` SGD runs of the stop head at d = 3, its margins and weights."""
    margins, weights = exact_chain.arrays(margin_law("stop", demonstrations(3, p)))
    rng, m = numpy_rng(2, "data"), margins.shape[1]
    w, total, reach = np.zeros((runs, m)), np.zeros((runs, m)), np.zeros(runs)
    for t in range(1, steps + 1):
        total += w
        u = margins[rng.choice(len(weights), size=runs, p=weights)]
        w = w - (lam * w - expit(-(w * u).sum(1))[:, None] * u) / (lam * t)
        reach = np.maximum(reach, np.linalg.norm(w, axis=1))
    return total / steps, reach, margins, weights


def check_sgd(
    bound: Formula = lambda m, lam, steps: 2 * m * (1 + log(steps)) / (lam * steps),
    radius: Formula = lambda m, lam: sqrt(m) / lam,
) -> float:
    """lem-sgd: the mean risk gap of 400 runs, and the norm of every iterate. Returns the largest gap / bound."""
    worst = 0.0
    for p, lam, steps in ((0.25, 0.05, 20), (0.25, 0.5, 60), (0.6, 0.2, 200)):
        averaged, reach, margins, weights = sgd_runs(p, lam, steps, 400)
        m = margins.shape[1]
        best = exact_chain.risk(exact_chain.minimiser(margins, weights, lam), margins, weights, lam)
        gap = np.mean([exact_chain.risk(w, margins, weights, lam) for w in averaged]) - best
        hold("lem-sgd", gap <= bound(m, lam, steps), f"gap {gap:.3g} > {bound(m, lam, steps):.3g}, lambda = {lam}")
        hold("lem-sgd", reach.max() <= radius(m, lam), f"an iterate of norm {reach.max():.3g} > {radius(m, lam):.3g}")
        worst = max(worst, gap / bound(m, lam, steps))
    return float(worst)


def head_gap(m: int, lam: float, steps: float, delta: float) -> float:
    """cor-head: with probability 1 - delta no score is farther from the minimiser's than this."""
    return 2 * m / lam * sqrt((1 + log(steps)) / (delta * steps))


def check_head(gap: Formula = head_gap) -> None:
    """cor-head: at most a share delta of the runs has a score farther than `gap` from the minimiser's."""
    for p, lam, steps in ((0.25, 0.05, 20), (0.6, 0.2, 200)):
        averaged, _, margins, weights = sgd_runs(p, lam, steps, 400)
        off = averaged - exact_chain.minimiser(margins, weights, lam)
        m = margins.shape[1]
        every = np.array([(*f, 1) for f in product((1, -1), repeat=m - 1)], float)  # any features, seen or not
        score = np.abs(off @ every.T).max(axis=1)
        for delta in (0.5, 0.1):
            chance = (score > gap(m, lam, steps, delta)).mean()
            hold("cor-head", chance <= delta, f"{chance:.0%} of the runs are too far off, stated {delta:.0%}")


def enough(bound: float) -> float:
    """Steps T with (1 + ln T)/T <= bound."""
    return 2 / bound * log(2 / bound)


def check_steps(steps: Formula = enough) -> None:
    """lem-steps: T >= (2/B) ln(2/B) is enough for (1 + ln T)/T <= B <= 1, and so is any larger T."""
    for bound, factor in product(np.logspace(-15, 0, 61), (1, 1.5, 10)):
        t = factor * steps(bound)
        hold("lem-steps", t >= 1 and (1 + log(t)) / t <= bound * (1 + 1e-12), f"not enough for B = {bound:.2g}")


def theorem_ridge(kappa: float) -> float:
    """thm-pretraining: the ridge that leaves a bias of kappa at most."""
    return kappa / (4 * log(1 / kappa))


def inverse_budget(d: int, eps: float, delta: float) -> float:
    """thm-pretraining: 1/B, where T = (2/B) ln(2/B) steps of each head are enough."""
    return 576 * d**2 * (d + 1) ** 5 * log(2 * (d + 1) / eps) ** 2 / delta / eps**4


def enough_samples(d: int, p: float, eps: float, delta: float) -> float:
    """thm-pretraining: samples of D(p) after which, with probability 1 - 2 delta, all x are answered up to eps."""
    return max(2 * enough(1 / inverse_budget(d, eps, delta)) / p, 8 / p * log(1 / delta))


def check_pretraining_constants(ridge: Formula = theorem_ridge, inverse: Formula = inverse_budget) -> None:
    """thm-pretraining: ridge bias and SGD error of a head stay below kappa with the stated lambda and T."""
    for d, eps, delta in product((3, 10, 50, 1000), (1e-4, 0.01, 0.5, 1), (0.01, 0.5)):
        kappa = eps / (2 * (d + 1))
        lam = ridge(kappa)
        hold("thm-pretraining", 2 * lam <= 1 / e and omega(2 * lam) <= kappa, f"bias above kappa at d = {d}")
        wrong = 2 * kappa + lam / 2 * log(1 / lam) + kappa / 2
        hold("thm-pretraining", wrong <= 4 * kappa <= eps / 2, "the short answer after a wrong first token is off")
        t = enough(1 / inverse(d, eps, delta))
        sgd = 3 * d / (2 * lam) * sqrt((d + 1) * (1 + log(t)) / (delta * t))
        hold("thm-pretraining", sgd <= kappa * (1 + 1e-9), f"SGD error {sgd:.3g} above kappa {kappa:.3g}")
        hold("thm-pretraining", 0.75 * eps > eps / (d + 1), "the margin around 1/3 is too small")


def check_pretraining(
    long: Formula = lambda p: p,
    short: Formula = lambda p: (1 - p) / 2,
    threshold: Formula = lambda: Fraction(1, 3),
    shares: Iterable[float] = (0.05, 1 / 3 - 0.002, 1 / 3 + 0.002, 0.74, 0.95),
) -> float:
    """thm-pretraining: heads at distance kappa from the ridge minimisers answer as stated, for every prompt."""
    rng, worst, eps = numpy_rng(3, "init"), 0.0, 0.02
    for d, p in product((3, 4), shares):
        kappa = eps / (2 * (d + 1))
        lam = theorem_ridge(kappa)

        def nudge(head: exact_chain.Head, m: int, size: float = kappa / 8) -> np.ndarray:
            direction = rng.normal(size=m)
            return size * direction / np.abs(direction).sum()  # moves no score by more than `size`

        model = exact_chain.fit_exactly(demonstrations(d, p), lam, nudge)
        for x in prompts(d):
            right = chain(x)
            worst = max(worst, agree("thm-pretraining", "pi(chain)", long(p), model.probability(x, right), eps))
            answered = model.probability(x, right[-1:])
            worst = max(worst, agree("thm-pretraining", "pi(short)", short(p), answered, eps))
            expected = x[:1] if p < threshold() else right
            said = f"greedy says {model.greedy(x)} at p = {p:.4f}, stated {expected}"
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
