"""Checks of section 6 of chapters/proofs/linear_chain.md, first part: what small deviations do in a round of STaR.

`Deviations` measures a chain against the calibrated one, as the page does: Delta for the first head, X for the
stop, e for what should never happen. Everything is enumerated; the error of SGD is played by small random vectors.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from math import log, sqrt

import numpy as np
from scipy.special import expit

from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, hold
from ntprl.proofs.exact_chain import ExactChain, Law, arrays, chain, demonstrations, fit_exactly, margin_law
from ntprl.proofs.heads import coin, odds, prompts
from ntprl.seeds import numpy_rng


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
    def of(cls, model: ExactChain, q: float) -> "Deviations":
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


def near_ideal(d: int, q: float, size: float, seed: int, lam: float = 1e-5) -> ExactChain:
    """Ridge minimisers on D(q), pushed by vectors of length `size`, the first one along x_1."""
    rng = numpy_rng(seed, "init")

    def push(head: exact_chain.Head, m: int) -> np.ndarray:
        direction = rng.normal(size=m)
        if head == "first" and seed == 0:
            direction = np.eye(m)[0]
        return size * direction / np.linalg.norm(direction)

    return fit_exactly(demonstrations(d, q), lam, push)


def near_cases() -> Iterable[tuple[ExactChain, float, Deviations]]:
    for seed, q, size in product(range(3), (0.05, 0.3), (1e-4, 3e-3)):
        model = near_ideal(4, q, size, seed)
        yield model, q, Deviations.of(model, q)


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
        new = fit_exactly(law, lam)
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
