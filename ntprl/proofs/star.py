"""Checks of section 6 of chapters/proofs/linear_chain.md, second part: kept answers, the recursion, Theorem 2."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import ceil, exp, floor, log, log2, sqrt

import numpy as np
import sympy

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.deviations import (
    Deviations,
    near_ideal,
    shares_of,
)
from ntprl.proofs.exact_chain import ExactChain, chain, demonstrations, fit_exactly
from ntprl.proofs.heads import odds, prompts
from ntprl.proofs.pretraining import enough
from ntprl.seeds import numpy_rng

GROWTH = 20  # of the deviations in a round


def check_kept(share: Formula = lambda p: 2 * p / (1 + p), sizes: Iterable[int] = (2, 3, 4)) -> None:
    """lem-kept: what a calibrated reader gets rewarded for is D(2p/(1 + p)) exactly, prompts uniform."""
    for d, p in product(sizes, (Fraction(1, 50), Fraction(1, 4), Fraction(1, 3))):
        kept = []
        for x in prompts(d):
            symbol = (1 - x[0]) // 2
            first = theory.blind_next_token(d, p, symbol, ())
            stop = theory.blind_next_token(d, p, symbol, (symbol,))["."]
            right = chain(x)[-1] == x[0]
            kept.append((x, True, first[symbol] * (1 - stop) / 2**d))
            kept.append((x, False, (first[symbol] * stop if right else first[1 - symbol]) / 2**d))
        total = sum(weight for *_, weight in kept)
        agree("lem-kept", "probability to be kept", (1 + p) / 2, total)
        stated = demonstrations(d, share(p))
        hold("lem-kept", [(*r[:2], r[2] / total) for r in kept] == stated, f"not D({share(p)}) at d = {d}, p = {p}")


def check_recursion(
    share: Formula = lambda p: 2 * p / (1 + p),
    solution: Formula = lambda p, n: 2**n * p / (2**n * p + 1 - p),
    slope: Formula = lambda p: 2 / (1 + p) ** 2,
) -> None:
    """lem-recursion: the odds double, the closed form solves the recursion, and the slope is at most 2 (sympy)."""
    p, n = sympy.symbols("p n", positive=True)
    claims = {
        "the odds do not double": odds(share(p)) - 2 * odds(p),
        "the closed form is no solution": solution(p, n + 1) - share(solution(p, n)),
        "the closed form does not start at p": solution(p, 0) - p,
        "wrong slope": sympy.diff(share(p), p) - slope(p),
        "the slope at 0 is not 2": slope(sympy.Integer(0)) - 2,
    }
    for message, difference in claims.items():
        hold("lem-recursion", sympy.simplify(difference) == 0, message)
    for p_0, k in product((0.01, 0.3), (0, 1, 7)):
        agree("lem-recursion", "theory.star_recursion", solution(p_0, k), theory.star_recursion(p_0, k), 1e-12)


def above(value: float) -> int:
    """The smallest whole number n >= 0 that is larger than `value`."""
    return max(0, floor(value) + 1)


def check_rounds(
    flip: Formula = lambda p: above(log2((1 - p) / (2 * p))),
    reach: Formula = lambda p, delta: above(log2((1 - p) * (1 - delta) / (p * delta))),
    safe: Formula = lambda p: ceil(log2((1 - p) / p) - 0.5),
) -> None:
    """cor-rounds: rounds to p_n > 1/3 and to p_n > 1 - delta by exact iteration; n_0 is n* or n* + 1."""
    oracle = {"1/4": (1, 9), "1/10": (3, 10), "1/20": (4, 11), "1/50": (5, 13), "1/100": (6, 14), "1/1000": (9, 17)}
    oracle[f"1/{2**20}"] = (19, 27)  # numbers worked out beforehand
    for text, numbers in oracle.items():
        p_0, shares = Fraction(text), [Fraction(text)]
        while shares[-1] <= Fraction(99, 100):
            shares.append(theory.rewarded_long_share(shares[-1]))
        counted = (sum(p <= Fraction(1, 3) for p in shares), len(shares) - 1)
        stated = (flip(p_0), reach(p_0, 0.01))
        hold("cor-rounds", counted == numbers == stated, f"from {text}: counted {counted}, stated {stated}")
        later = safe(p_0) - counted[0]
        hold("cor-rounds", later in (0, 1), f"n_0 - n* = {later} from {text}")
        grown = 2 ** safe(p_0) * odds(p_0)
        hold("cor-rounds", 0.7071 < grown < 1.4143, f"odds of {float(grown):.3f} after n_0 rounds from {text}")


def star_ridge(d: int, p_0: float, eps: float, divisor: float = 64) -> float:
    """A lambda with lambda <= 4 eps^2/9 and sqrt(lambda) ln(1/lambda) <= p_0/(divisor N d^1.5), N = 20^n_0."""
    rounds = ceil(log2((1 - p_0) / p_0) - 0.5)
    limit = p_0 / (divisor * GROWTH**rounds * d**1.5)
    lam = min(4 * eps**2 / 9, 1e-2)
    while sqrt(lam) * log(1 / lam) > limit:
        lam /= 1.1
    return lam


def check_star_constants(divisor: float = 64, growth: float = GROWTH) -> None:
    """thm-star: with the stated lambda, every inequality that the proof uses on its way holds."""
    for d, p_0, eps in product((4, 50, 1000), (1 / 3, 0.25, 0.1, 1e-2, 1e-4), (0.25, 1e-3)):
        lam = star_ridge(d, p_0, eps, divisor)
        n_0 = ceil(log2((1 - p_0) / p_0) - 0.5)
        big = log(1 / lam)
        never = 2 * d * lam * big  # e
        zeta = lam  # SGD error of a head
        rho = 11 * lam * log(1 / p_0) / p_0
        deviations = [rho]
        for _ in range(n_0):
            deviations.append(growth * (deviations[-1] + 2 * never) + rho)
        high = 32 * GROWTH**n_0 * d * lam * big / p_0  # H
        last = deviations[-2] if n_0 else 0.0
        k = 1.25 * (last + 2 * never)
        weight = 3 - 2 * sqrt(2)  # the largest W
        stop = 4 * lam * log(1 / p_0) / p_0 + 16 / 3 * k  # X_+
        push = lam * log(1 / p_0) / 2 + weight * (1 + sqrt(2)) * k  # G
        null = k * big + sqrt(push * stop / lam)  # Y_+
        inequalities = {
            "one round grows by 20": growth >= 1.25 * (10 + 16 / 3),
            "the rest of a round is below rho": 18 * lam + 4 * lam * log(1 / p_0) / p_0 + 2.5 * zeta <= rho,
            "E_n <= H": deviations[-1] <= high,
            "sup of the log ratios": sqrt(2 * d) * high + 2 * never <= min(1 / 8, eps / 2),
            "sum of the drifts": 2.5 * sum(v + 2 * never for v in deviations[:-1]) <= min(1 / 20, eps / 5),
            "radius of the first head": sqrt(d) * (10 * k + 18 * lam) < 1 / 4,
            "radius of the stop, v = 1": sqrt(2 * d) * stop < 1 / 4,
            "radius of the stop, v = -1": sqrt(2 * d + 2) * null < 1 / 4,
            "radius of the links": 3 * sqrt(d) * k * big < 1 / 4,
            "small ridge": lam * big**2 <= p_0 / 8,
            "scores moved by SGD": sqrt(3 * d) * zeta <= 1 / 4,
            "what never happens": max(sqrt(exp(1)) * d * lam * big, 2.5 * sqrt(exp(1)) * lam * big) <= never,
        }
        for name, holds in inequalities.items():
            hold("thm-star", holds, f"{name}: fails at d = {d}, p_0 = {p_0:.3g}, eps = {eps}")
        steps = enough(0.1 * lam**4 / (12 * d * (d + 1) * (n_0 + 1)))
        sgd = sqrt(4 * 3 * d * (d + 1) * (n_0 + 1) * (1 + log(steps)) / (0.1 * lam**2 * steps))
        hold("thm-star", sgd <= zeta * (1 + 1e-9), f"SGD error {sgd:.3g} > {zeta:.3g} at d = {d}, p_0 = {p_0:.3g}")


def star_rounds(d: int, p_0: float, lam: float, size: float, rounds: int) -> list[tuple[ExactChain, float]]:
    """Chains after 0, 1, ... rounds of STaR with the chain reward, and the long share each was trained on."""
    rng = numpy_rng(5, "init")

    def nudge(head: exact_chain.Head, m: int) -> np.ndarray:
        direction = rng.normal(size=m)
        return size * direction / np.linalg.norm(direction)

    law, history = demonstrations(d, p_0), []
    for _ in range(rounds + 1):
        share = float(sum(w for _, is_long, w in law if is_long) / sum(w for *_, w in law))
        model = fit_exactly(law, lam, nudge)
        history.append((model, share))
        law = model.kept()
    return history


def check_star(
    share: Formula = lambda p: 2 * p / (1 + p), growth: float = GROWTH, eps: float = 0.01, d: int = 4
) -> float:
    """thm-star: whole runs by enumeration. Shares, answers of every prompt, growth of deviations, the greedy flip."""
    worst, lam, size = 0.0, 1e-6, 1e-4
    for p_0 in (0.05, 0.24):
        n_0 = ceil(log2((1 - p_0) / p_0) - 0.5)
        history = star_rounds(d, p_0, lam, size, n_0)
        p, before = p_0, None
        for n, (model, q) in enumerate(history):
            agree("thm-star", f"share of long in round {n}", p, q, eps)
            for x in prompts(d):
                right = chain(x)
                found = (model.probability(x, right), model.probability(x, right[-1:]))
                worst = max(worst, agree("thm-star", f"pi_{n}(chain)", p, found[0], eps))
                worst = max(worst, agree("thm-star", f"pi_{n}(short)", (1 - p) / 2, found[1], eps))
                expected = right if n == n_0 else x[:1] if p < 0.32 else None
                hold("thm-star", expected in (None, model.greedy(x)), f"greedy says {model.greedy(x)} in round {n}")
            now = Deviations.of(model, q)
            rho = 11 * lam * log(1 / p_0) / p_0 + 2.5 * size
            limit = rho if before is None else growth * before.size + rho
            hold("thm-star", now.first + now.stop <= limit, f"deviation {now.first + now.stop:.3g} > {limit:.3g}")
            p, before = share(p), now
    return worst


def check_growth_in_practice(limit: float = 1.5) -> float:
    """rem-growth: the factor by which deviations really grow in a round, on enumerated runs (the proof allows 20)."""
    worst, lam = 0.0, 1e-7
    for seed, q, size in product(range(3), (0.1, 0.25), (1e-4, 1e-3)):
        before = near_ideal(4, q, size, seed, lam)
        law = before.kept()
        now = Deviations.of(fit_exactly(law, lam), shares_of(law)[0])
        worst = max(worst, (now.first + now.stop) / Deviations.of(before, q).size)
    hold("rem-growth", worst < limit, f"deviations grew by {worst:.2f} in a round, stated {limit}")
    return worst


def check_outcome(bound: Formula = lambda never, kept: 2 * never / kept) -> float:
    """prop-outcome: distance between what the two rewards keep, by listing every answer; none if nothing is wrong."""
    worst = 0.0
    for q, link, lam in product((0.1, 0.4), (2.0, 4.0, 40.0), (1e-2, 1e-5)):
        model = fit_exactly(demonstrations(3, q), lam)
        for l in (2, 3):  # noqa: E741
            model.weights[l][:] = 0
            model.weights[l][3 + 2 * l - 2] = link
        if link == 40.0:  # nothing is ever wrong
            model.weights["stop"][[4, -1]] += (-40, 40)
        chain_mass, extra = 0.0, 0.0
        for x, answer in product(prompts(3), prompts(3)):
            if answer[-1] == chain(x)[-1]:
                mass = model.probability(x, answer) / 8
                chain_mass, extra = (chain_mass + mass, extra) if answer == chain(x) else (chain_mass, extra + mass)
        kept = chain_mass + sum(model.probability(x, chain(x)[-1:]) / 8 for x in prompts(3))
        never = Deviations.of(model, q).never
        distance = extra / (kept + extra)
        text = f"the kept laws differ by {distance:.3g} > {bound(never, kept):.3g}"
        hold("prop-outcome", distance <= bound(never, kept) + 1e-15, text)
        hold("prop-outcome", link < 40 or distance < 1e-12, "right links, and yet the rewards differ")
        worst = max(worst, distance)
    return worst
