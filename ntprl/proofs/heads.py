"""Checks of sections 1 to 3 of chapters/proofs/linear_chain.md: the mixture, the heads, what ridge makes of them.

A check takes the formula that the page states as its argument, compares it with an enumeration, a numerical
minimiser or sympy, and raises an AssertionError of one line that names the statement where they differ.
A check that compares numbers returns the largest deviation it met.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from math import e, inf, log, sqrt

import numpy as np
import sympy
from scipy.optimize import brentq
from scipy.special import expit

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.exact_chain import ExactChain, chain, demonstrations, heads_of, margin_law
from ntprl.proofs.formulas import FORMULAS
from ntprl.seeds import numpy_rng

SHARES = (Fraction(1, 50), Fraction(1, 4), Fraction(1, 3), Fraction(9, 10))


def odds(p: float) -> float:
    return p / (1 - p)


def prompts(d: int) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=d))


def check_mixture(first: Formula = FORMULAS["first-token"], sizes: Iterable[int] = (2, 3, 4)) -> None:
    """def-mixture: the weights add up, long has share p, and the first token is x_1 with probability (1 + p)/2."""
    for d, p in product(sizes, SHARES):
        law = demonstrations(d, p)
        agree("def-mixture", "total weight", 1, sum(w for _, _, w in law))
        agree("def-mixture", "share of long", p, sum(w for _, is_long, w in law if is_long))
        shared = sum(w for x, is_long, w in law if (chain(x)[0] if is_long else chain(x)[-1]) == x[0])
        agree("def-mixture", "P(y_1 = x_1)", first(p), shared)
        symbols = {
            (tuple((1 - b) // 2 for b in x), tuple((1 - b) // 2 for b in (chain(x) if is_long else chain(x)[-1:]))): w
            for x, is_long, w in law
        }
        same = {(x, answer[:-1]): w for x, answer, w in theory.enumerate_demonstrations(d, p)}
        hold("def-mixture", symbols == same, f"not the mixture that ntprl.theory lists for d = {d}")


def check_heads(
    size: Formula = lambda head, d: {"first": d, "stop": 2 * d + 2}.get(head) or 2 * d + head - 1,
) -> None:
    """def-chain: numbers of features, none above 3d, and the answers' probabilities add up to one."""
    rng = numpy_rng(0, "init")
    for d in (3, 4, 5):
        x = prompts(d)[5]
        for head in heads_of(d):
            found = len(exact_chain.margin(head, x, True))
            agree("def-chain", f"size of head {head} at d = {d}", size(head, d), found)
            hold("def-chain", found <= 3 * d, f"head {head} has {found} > 3d features at d = {d}")
        model = ExactChain({head: rng.normal(size=int(size(head, d))) for head in heads_of(d)})
        total = sum(model.probability(x, answer) for n in (1, d) for answer in prompts(n))
        agree("def-chain", "probability of all answers", 1, total, 1e-12)


def check_loss(slope: Callable = lambda z: -1 / (1 + sympy.exp(z)), steepest: float = 1.0) -> None:
    """def-training: ell' = -sigma(-z); ln sigma and ln sigma' are 1-Lipschitz, sigma is 1/4-Lipschitz."""
    z = sympy.symbols("z", real=True)
    sigma = 1 / (1 + sympy.exp(-z))
    loss = sympy.log(1 + sympy.exp(-z))
    hold("def-training", sympy.simplify(sympy.diff(loss, z) - slope(z)) == 0, "wrong derivative of the loss")
    grid = np.linspace(-30, 30, 2001)
    for name, function in (("ln sigma", sympy.log(sigma)), ("ln sigma'", sympy.log(sympy.diff(sigma, z)))):
        found = np.abs(sympy.lambdify(z, sympy.simplify(sympy.diff(function, z)))(grid)).max()
        hold("def-training", found <= steepest + 1e-9, f"{name} has a slope of {found:.4f} > {steepest}")
    hold("def-training", (expit(grid) * expit(-grid)).max() <= 0.25, "sigma has a slope above 1/4")


def ideal(d: int, p: float, high: float = 40.0) -> ExactChain:
    """The calibrated chain: logits of Lemma 3 without ridge, where `high` stands for infinity."""
    first, stop = np.zeros(d), np.zeros(2 * d + 2)
    first[0] = log((1 + p) / (1 - p))
    alpha = log((1 - p) / (2 * p))
    stop[d + 1], stop[-1] = (alpha - high) / 2, (alpha + high) / 2
    weights = {"first": first, "stop": stop}
    for l in range(2, d + 1):  # noqa: E741
        weights[l] = np.zeros(2 * d + l - 1)
        weights[l][d + l - 1 + l - 1] = high
    return ExactChain(weights)


def check_calibrated(accuracy: Formula = lambda p: (1 + p) / 2) -> float:
    """def-decoding: the ideal chain exists in the class, is calibrated, and its sampled accuracy is (1 + p)/2.

    Calibration alone leaves the accuracy open: (1 - p)/2 on long wrong chains that end in the parity makes it 1.
    """
    worst = 0.0
    for d, p in product((3, 4), (0.1, 0.25, 1 / 3, 0.5)):
        model = ideal(d, p)
        for x in prompts(d):
            right = chain(x)
            worst = max(worst, agree("def-decoding", "pi(chain)", p, model.probability(x, right), 1e-12))
            short = model.probability(x, right[-1:])
            worst = max(worst, agree("def-decoding", "pi(short)", (1 - p) / 2, short, 1e-12))
            found = sum(model.probability(x, a) for n in (1, d) for a in prompts(n) if a[-1] == right[-1])
            worst = max(worst, agree("def-decoding", "accuracy", accuracy(p), found, 1e-12))
            wrong = (*(-bit for bit in right[:-1]), right[-1])  # no link of it is right but its end
            other = {right: p, right[-1:]: (1 - p) / 2, wrong: (1 - p) / 2}
            agree("def-decoding", "mass of the other calibrated model", 1, sum(other.values()), 1e-12)
            ends = sum(mass for answer, mass in other.items() if answer[-1] == right[-1])
            hold("def-decoding", ends > accuracy(p), "calibration alone would fix the accuracy")
    for sign in (1, -1):  # ties: a score of 0 means -1 and going on
        zero = ExactChain({head: np.zeros(len(exact_chain.margin(head, (1, 1, 1), True))) for head in heads_of(3)})
        hold("def-decoding", zero.greedy((sign, 1, 1)) == (-1, -1, -1), "a tie is not broken towards -1 and going on")
    return worst


def check_reduction(lean: float = 0.0) -> float:
    """lem-reduction: coordinates of conditional mean `lean` = 0 get no weight, on a random law."""
    rng = numpy_rng(1, "init")
    relevant = np.array(list(product((1, -1), repeat=2)), float)
    chances = rng.dirichlet(np.ones(4))
    rows, weights = [], []
    for u, chance in zip(relevant, chances, strict=True):
        rest = rng.choice([-1.0, 1.0], size=3)
        for sign in (1, -1):  # the other three agree or disagree with `rest` together: far from independent
            rows.append([*u, *(sign * rest)])
            weights.append(chance * (1 + sign * lean) / 2)
    full = exact_chain.minimiser(np.array(rows), np.array(weights), 0.05)
    small = exact_chain.minimiser(relevant, chances, 0.05)
    worst = np.abs(full - np.concatenate([small, np.zeros(3)])).max()
    hold("lem-reduction", worst < 1e-7, f"an irrelevant coordinate changes the minimiser by {worst:.2g}")
    return float(worst)


def check_margins(sizes: Iterable[int] = (3, 4, 5), go_on: Formula = lambda p: p) -> None:
    """lem-margins: exact conditional means of all margins; d = 2 is not allowed, as the stop decision sees x_2."""
    for d, p in product(sizes, SHARES):
        law = demonstrations(d, p)
        for head in heads_of(d):
            kept = {"first": [0], "stop": [d + 1, 2 * d + 1]}.get(head) or [d + 2 * head - 2]
            groups: dict[tuple, list] = {}
            for u, weight in margin_law(head, law).items():
                groups.setdefault(tuple(u[i] for i in kept), []).append((u, weight))
            for values, members in groups.items():
                for i in set(range(len(members[0][0]))) - set(kept):
                    mean = sum(u[i] * weight for u, weight in members)
                    hold("lem-margins", mean == 0, f"feature {i} of head {head} leans at d = {d} given {values}")
            mass = {values: sum(weight for _, weight in members) for values, members in groups.items()}
            if head == "first":
                stated = {(1,): (1 + p) / 2, (-1,): (1 - p) / 2}
            elif head == "stop":  # (v times label, label)
                stated = {(-1, -1): go_on(p), (1, 1): (1 - p) / 2, (-1, 1): (1 - p) / 2}
            else:
                stated = {(1,): 1}
            hold("lem-margins", mass == stated, f"wrong masses of head {head} at d = {d}, p = {p}")


def coin(q: float, r: float, mu: float) -> float:
    """The z with q sigma(-z) - r sigma(z) = mu z: the ridge logit of a coin."""
    reach = 1 + (q + r) / mu
    return brentq(lambda z: q * expit(-z) - r * expit(z) - mu * z, -reach, reach, xtol=1e-15, rtol=1e-14)


def check_blind(
    equations: Callable = lambda p, lam: {
        "first": coin((1 + p) / 2, (1 - p) / 2, lam),
        "alpha": coin((1 - p) / 2, p, lam / 2),
        "beta": coin((1 - p) / 2, 0, lam / 2),
        "link": coin(1, 0, lam),
    },
) -> float:
    """lem-blind, with ridge: scipy's minimiser over all features is the one of the three scalar equations."""
    worst = 0.0
    for d, p, lam in product((3, 4), (0.1, 0.5), (0.1, 1e-4)):
        stated = equations(p, lam)
        model = exact_chain.fit_exactly(demonstrations(d, p), lam)
        for head in heads_of(d):
            w = np.zeros_like(model.weights[head])
            if head == "first":
                w[0] = stated["first"]
            elif head == "stop":
                w[d + 1], w[-1] = (stated["alpha"] - stated["beta"]) / 2, (stated["alpha"] + stated["beta"]) / 2
            else:
                w[d + 2 * head - 2] = stated["link"]
            gap = np.abs(model.weights[head] - w).max()
            hold("lem-blind", gap < 1e-6, f"head {head} is off by {gap:.2g} at d = {d}, p = {p}, lambda = {lam}")
            worst = max(worst, float(gap))
    return worst


def check_logits(first: Formula = FORMULAS["first-logit"], stop: Formula = FORMULAS["stop-logit"]) -> float:
    """lem-blind, without ridge: the first logit and the stop logit after a right first token, as lambda -> 0."""
    worst = 0.0
    for p in (0.02, 0.25, 1 / 3, 0.7):
        model = exact_chain.fit_exactly(demonstrations(3, p), 1e-7)
        for x in prompts(3):
            worst = max(worst, agree("lem-blind", "first logit", first(p) * x[0], model.score("first", x), 1e-4))
            worst = max(worst, agree("lem-blind", "stop logit", stop(p), model.score("stop", x, x[:1]), 1e-4))
            hold("lem-blind", model.score("stop", x, (-x[0],)) > 8, "EOS is not certain after a wrong first token")
    return worst


def omega(rho: float) -> float:
    """rho ln(1/rho) up to 1/e, and sqrt(rho/e) beyond."""
    return rho * log(1 / rho) if rho <= 1 / e else sqrt(rho / e)


def check_ridge(
    bias: Formula = lambda q, r, mu: mu * abs(log(q / r)) / (q + r),
    log_bound: Formula = lambda rho: rho * log(1 / rho) if rho <= 1 / e else inf,
    root_bound: Formula = lambda rho: sqrt(rho / e),
) -> None:
    """lem-ridge: sign and identity of the ridge logit, and its three bounds."""
    values = (0.0, 1e-3, 0.1, 0.3, 0.5, 0.9)
    for q, r, mu in product(values, values, np.logspace(-9, 1, 21)):
        if not q + r:
            continue
        z = coin(q, r, mu)
        off = abs(expit(z) - q / (q + r))
        where = f"q = {q}, r = {r}, mu = {mu:.1e}"
        hold("lem-ridge", abs(off - mu * abs(z) / (q + r)) < 1e-10, f"the identity fails at {where}")
        hold("lem-ridge", (z > 0) == (q > r) or q == r, f"the ridge moves the sign at {where}")
        if q and r:
            hold("lem-ridge", off <= bias(q, r, mu) + 1e-12, f"{off:.3g} > {bias(q, r, mu):.3g} at {where}")
        rho = mu / max(q, r)
        for bound in (log_bound, root_bound):
            hold("lem-ridge", off <= bound(rho) + 1e-12, f"{off:.3g} > {bound(rho):.3g} at {where}")


def check_calibration(
    first: Formula = FORMULAS["bias-first"],
    stop: Formula = FORMULAS["bias-stop"],
    wrong: Formula = FORMULAS["bias-wrong"],
    root: Formula = FORMULAS["bias-root"],
    link: Formula = FORMULAS["bias-link"],
    doubled: float = 2.0,
    stretched: float = 1.5,
) -> float:
    """cor-calibration: how far each head's ridge minimiser is from the odds of the mixture.

    `doubled` and `stretched`: the factors of lambda under omega in the bounds that are free of p.
    """
    worst = 0.0
    shares = (1e-4, 0.02, 0.25, 0.34, 0.5, 0.75, 0.99, 0.9999)
    for p, lam in product(shares, np.logspace(-10, log(1 / (2 * e), 10) - 1e-9, 15)):
        first_off = expit(coin((1 + p) / 2, (1 - p) / 2, lam)) - (1 + p) / 2
        stop_off = expit(coin((1 - p) / 2, p, lam / 2)) - (1 - p) / (1 + p)
        beta = coin((1 - p) / 2, 0, lam / 2)
        pairs = {
            "first": (first_off, first(lam, p)),
            "first, free of p": (first_off, omega(doubled * lam)),
            "stop": (stop_off, stop(lam, p)),
            "stop, free of p": (stop_off, omega(stretched * lam)),
            "wrong": ((1 - p) / 2 * expit(-beta), wrong(lam)),
            "root": (expit(-beta), root(lam, e, p)),
            "link": (expit(-coin(1, 0, lam)), link(lam)),
        }
        for name, (found, bound) in pairs.items():
            text = f"{name} is off by {abs(found):.3g} > {bound:.3g} at p = {p}, lambda = {lam:.1e}"
            hold("cor-calibration", abs(found) <= bound + 1e-13, text)
            worst = max(worst, float(abs(found) / bound))
    return worst
