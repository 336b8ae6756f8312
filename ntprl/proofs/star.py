"""Checks of section 6 of chapters/proofs/linear_chain.md: rounds of STaR on the linear chain, Theorem 2.

`Deviations` measures a chain against the calibrated one, as the page does: Delta for the first head, X for the
stop, e for what should never happen. Everything is enumerated; the error of SGD is played by small random vectors.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil, exp, floor, log, log2, sqrt

import numpy as np
import sympy
from scipy.special import expit

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.exact_chain import Law, LinearChain, arrays, chain, demonstrations, fit, margin_law
from ntprl.proofs.pretraining import Formula, agree, coin, enough, hold, prompts
from ntprl.seeds import numpy_rng

GROWTH = 20  # of the deviations in a round


def odds(p: Formula) -> Formula:
    return p / (1 - p)


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


# --- how far a chain is from the calibrated one -------------------------------------------------


def first_logit(q: float) -> float:
    return log((1 + q) / (1 - q))


def stop_logit(q: float) -> float:
    return log((1 - q) / (2 * q))


def root_mean_square(values: list[float]) -> float:
    return sqrt(sum(v * v for v in values) / len(values))


@dataclass(frozen=True)
class Deviations:
    first: float  # |Delta|
    stop: float  # X
    never: float  # e

    @property
    def size(self) -> float:
        """|Delta| + X + 2 e: what all bounds of the next round are made of."""
        return self.first + self.stop + 2 * self.never

    @classmethod
    def of(cls, model: LinearChain, q: float) -> "Deviations":
        d = model.d
        delta = model.weights["first"] - first_logit(q) * np.eye(d)[0]
        stop = [model.score("stop", x, x[:1]) - stop_logit(q) for x in prompts(d)]
        links = [
            max(float(expit(-chain(x)[i] * model.score(i + 1, x, chain(x)[:i]))) for x in prompts(d))
            for i in range(1, d)
        ]
        wrong = max(float(expit(-model.score("stop", x, (-x[0],)))) for x in prompts(d))
        return cls(float(np.linalg.norm(delta)), root_mean_square(stop), max(sum(links), wrong))


def shares_of(law: Law) -> tuple[float, list[float], list[float]]:
    """The long share of a law and its densities kappa_L, kappa_S against D of that share."""
    long = [weight for _, is_long, weight in law if is_long]
    short = [weight for _, is_long, weight in law if not is_long]
    densities = ([w * len(part) / sum(part) for w in part] for part in (long, short))
    return sum(long) / (sum(long) + sum(short)), *densities


def spread(law: Law) -> float:
    """k: the larger root mean square of kappa - 1."""
    _, long, short = shares_of(law)
    return max(root_mean_square([v - 1 for v in part]) for part in (long, short))


def near_ideal(d: int, q: float, size: float, seed: int, lam: float = 1e-5) -> LinearChain:
    """Ridge minimisers on D(q), pushed by vectors of length `size`, the first one along x_1."""
    rng = numpy_rng(seed, "init")

    def push(head: exact_chain.Head, m: int) -> np.ndarray:
        direction = rng.normal(size=m)
        if head == "first" and seed == 0:
            direction = np.eye(m)[0]
        return size * direction / np.linalg.norm(direction)

    return fit(demonstrations(d, q), lam, push)


def near_cases() -> Iterable[tuple[LinearChain, float, Deviations]]:
    for seed, q, size in product(range(3), (0.05, 0.3), (1e-4, 3e-3)):
        model = near_ideal(4, q, size, seed)
        yield model, q, Deviations.of(model, q)


# --- lemmas of the proof ------------------------------------------------------------------------


def check_nearby(factor: float = 0.5) -> float:
    """lem-nearby: factor * Q(delta) + lambda |delta|^2 <= -<g, delta> at the minimiser under a nearby law."""
    rng, lam, least = numpy_rng(4, "init"), 1e-4, float("inf")
    for seed, head in product(range(4), ("first", "stop")):
        law = demonstrations(4, 0.3)
        margins, weights = arrays(margin_law(head, law))
        old = exact_chain.minimiser(margins, weights, lam) + 0.01 * rng.normal(size=margins.shape[1])
        density = 1 + 0.02 * rng.uniform(-1, 1, len(weights))
        density /= density @ weights
        delta = exact_chain.minimiser(margins, weights * density, lam) - old
        hold("lem-nearby", np.abs(margins @ delta).max() <= 0.25 and density.min() >= 0.75, "the case is too wild")
        curvature = weights @ (expit(margins @ old) * expit(-margins @ old) * (margins @ delta) ** 2)
        given = -exact_chain.risk_gradient(old, margins, weights * density, lam) @ delta
        needed = factor * curvature + lam * delta @ delta
        hold("lem-nearby", needed <= given, f"{needed:.4g} > {given:.4g} for the {head} head, seed {seed}")
        least = min(least, given / needed)
    return float(least)


def check_near_kept(drift: float = 2.5, ripple: float = 1.25) -> float:
    """lem-near-kept: drift of the odds and spread of the densities of what a nearby chain gets rewarded for."""
    worst = 0.0
    for model, q, deviations in near_cases():
        law = model.kept()
        share, long, short = shares_of(law)
        moved = abs(log(odds(share) / (2 * odds(q))))
        text = f"the odds drift by {moved:.3g} > {drift} * {deviations.size:.3g}"
        hold("lem-near-kept", moved <= drift * deviations.size, text)
        k = spread(law)
        hold("lem-near-kept", k <= ripple * deviations.size, f"spread {k:.3g} > {ripple} * {deviations.size:.3g}")
        hold("lem-near-kept", min(long + short) >= 0.75, "a density below 3/4")
        worst = max(worst, moved / (drift * deviations.size), k / (ripple * deviations.size))
    return worst


def check_near_heads(first: Formula = (10, 18), stop: Formula = (4, 16 / 3), link: float = sqrt(3)) -> float:
    """lem-near-heads: the minimisers under a nearby law, against |Delta| <= 10k + 18 lambda and its companions."""
    worst, lam = 0.0, 1e-5
    for model, _, _ in near_cases():
        law = model.kept()
        q, k = shares_of(law)[0], spread(law)
        if 2 * (first[0] * k + first[1] * lam) >= 1 / 4:  # the lemma asks for sqrt(d) times it to be below
            continue
        new = fit(law, lam)
        p_0 = min(q, 1 / 3)
        found = Deviations.of(new, q)
        bounds = {
            "first": (found.first, first[0] * k + first[1] * lam),
            "stop": (found.stop, stop[0] * lam * log(1 / p_0) / p_0 + stop[1] * k),
        }
        a = coin(1, 0, lam)
        for l in range(2, 5):  # noqa: E741
            scores = [chain(x)[l - 1] * new.score(l, x, chain(x)[: l - 1]) for x in prompts(4)]
            bounds[f"link {l}"] = (max(abs(s - a) for s in scores), link * a * k * sqrt(12))
        for name, (value, bound) in bounds.items():
            hold("lem-near-heads", value <= bound + 1e-9, f"{name}: {value:.3g} > {bound:.3g} with k = {k:.2g}")
            worst = max(worst, value / bound)
    return worst


# --- Theorem 2 ----------------------------------------------------------------------------------


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


def star_rounds(d: int, p_0: float, lam: float, size: float, rounds: int) -> list[tuple[LinearChain, float]]:
    """Chains after 0, 1, ... rounds of STaR with the chain reward, and the long share each was trained on."""
    rng = numpy_rng(5, "init")

    def nudge(head: exact_chain.Head, m: int) -> np.ndarray:
        direction = rng.normal(size=m)
        return size * direction / np.linalg.norm(direction)

    law, history = demonstrations(d, p_0), []
    for _ in range(rounds + 1):
        share = float(sum(w for _, is_long, w in law if is_long) / sum(w for *_, w in law))
        model = fit(law, lam, nudge)
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
        now = Deviations.of(fit(law, lam), shares_of(law)[0])
        worst = max(worst, (now.first + now.stop) / Deviations.of(before, q).size)
    hold("rem-growth", worst < limit, f"deviations grew by {worst:.2f} in a round, stated {limit}")
    return worst


def check_outcome(bound: Formula = lambda never, kept: 2 * never / kept) -> float:
    """prop-outcome: distance between what the two rewards keep, by listing every answer; none if nothing is wrong."""
    worst = 0.0
    for q, link, lam in product((0.1, 0.4), (2.0, 4.0, 40.0), (1e-2, 1e-5)):
        model = fit(demonstrations(3, q), lam)
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
