"""The linear chain on its whole population: every prompt is listed, so nothing here is sampled.

This is what the proofs (chapters/proofs/linear_chain.md) are checked against, for d up to about 6.
Bits are +1 and -1. A law is a list of (prompt, is_long, weight); weights may be Fractions or floats.
A head is "first", "stop" or the number l = 2..d of a link. A margin is the head's features times its label.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Number = float | Fraction
Law = list[tuple[tuple[int, ...], bool, Number]]
Head = str | int


def heads_of(d: int) -> list[Head]:
    return ["first", "stop", *range(2, d + 1)]


def chain(x: tuple[int, ...]) -> tuple[int, ...]:
    """Products of the first 1, 2, ..., d bits: (1, -1, -1) -> (1, -1, 1)."""
    sums = [x[0]]
    for bit in x[1:]:
        sums.append(sums[-1] * bit)
    return tuple(sums)


def demonstrations(d: int, p: Number) -> Law:
    """D(p): every prompt, long with weight p/2^d and short with weight (1 - p)/2^d (def-mixture)."""
    one = Fraction(1, 2**d)
    return [row for x in product((1, -1), repeat=d) for row in ((x, True, p * one), (x, False, (1 - p) * one))]


def features(head: Head, x: tuple[int, ...], prefix: tuple[int, ...]) -> tuple[int, ...]:
    """What a head sees after `prefix`: x; or x, the prefix, and its last entry times each bit (the stop: and 1)."""
    if head == "first":
        return x
    seen = (*x, *prefix, *(prefix[-1] * bit for bit in x))
    return (*seen, 1) if head == "stop" else seen


def margin(head: Head, x: tuple[int, ...], is_long: bool) -> tuple[int, ...] | None:
    """Features times label in one demonstration, or None if the head does not learn from it."""
    answer = chain(x) if is_long else chain(x)[-1:]
    if head == "first":
        label, prefix = answer[0], ()
    elif head == "stop":
        label, prefix = (-1 if is_long else 1), answer[:1]
    elif is_long:
        label, prefix = answer[head - 1], answer[: head - 1]
    else:
        return None
    return tuple(label * feature for feature in features(head, x, prefix))


def margin_law(head: Head, law: Law) -> dict[tuple[int, ...], Number]:
    """The distribution of a head's margin: exact where the weights are Fractions."""
    mass: dict[tuple[int, ...], Number] = {}
    for x, is_long, weight in law:
        u = margin(head, x, is_long)
        if u is not None and weight:
            mass[u] = mass.get(u, 0) + weight
    total = sum(mass.values())
    return {u: weight / total for u, weight in mass.items()}


def arrays(mass: dict[tuple[int, ...], Number]) -> tuple[np.ndarray, np.ndarray]:
    """Margins (n, m) and their weights (n,) as floats."""
    return np.array(list(mass), float), np.array([float(weight) for weight in mass.values()])


def risk(w: np.ndarray, margins: np.ndarray, weights: np.ndarray, lam: float) -> float:
    """E ln(1 + exp(-<w, u>)) + lam/2 |w|^2."""
    return float(-weights @ log_expit(margins @ w) + lam / 2 * w @ w)


def risk_gradient(w: np.ndarray, margins: np.ndarray, weights: np.ndarray, lam: float) -> np.ndarray:
    return -(weights * expit(-margins @ w)) @ margins + lam * w


def risk_hessian(w: np.ndarray, margins: np.ndarray, weights: np.ndarray, lam: float) -> np.ndarray:
    curvature = weights * expit(margins @ w) * expit(-margins @ w)
    return (margins * curvature[:, None]).T @ margins + lam * np.eye(len(w))


# Not `linear_chain.variants.logistic_ridge`: each checks the other in the tests, so they share no code; and this one
# goes on to a gradient of 1e-12, which the smallest ridges of the proofs need.
def minimiser(margins: np.ndarray, weights: np.ndarray, lam: float) -> np.ndarray:
    """The ridge minimiser, by scipy; the gradient left over is below 1e-9 of lam or an AssertionError tells."""
    start = np.zeros(margins.shape[1])
    found = minimize(
        risk,
        start,
        args=(margins, weights, lam),
        jac=risk_gradient,
        hess=risk_hessian,
        method="trust-exact",
        options={"gtol": 1e-12},
    ).x
    for _ in range(3):  # scipy stops where the risk, a float, no longer changes; Newton's steps go on from there
        found = found - np.linalg.solve(
            risk_hessian(found, margins, weights, lam), risk_gradient(found, margins, weights, lam)
        )
    left = np.abs(risk_gradient(found, margins, weights, lam)).max()
    assert left <= 1e-9 * max(lam, 1e-3), f"no minimiser found: a gradient of {left:.1e} is left"
    return found


@dataclass(frozen=True)
class ExactChain:
    """One weight vector a head; the stop's last entry is its bias."""

    weights: dict[Head, np.ndarray]

    @property
    def d(self) -> int:
        return len(self.weights["first"])

    def score(self, head: Head, x: tuple[int, ...], prefix: tuple[int, ...] = ()) -> float:
        return float(np.dot(self.weights[head], features(head, x, prefix)))

    def probability(self, x: tuple[int, ...], answer: tuple[int, ...]) -> float:
        """pi(answer, EOS | x) for an answer of 1 or d bits."""
        odds = expit(answer[0] * self.score("first", x))
        stop = expit(self.score("stop", x, answer[:1]))
        if len(answer) == 1:
            return float(odds * stop)
        odds *= 1 - stop
        for l in range(2, self.d + 1):  # noqa: E741 (l is the page's symbol)
            odds *= expit(answer[l - 1] * self.score(l, x, answer[: l - 1]))
        return float(odds)

    def greedy(self, x: tuple[int, ...]) -> tuple[int, ...]:
        answer = (1 if self.score("first", x) > 0 else -1,)
        if self.score("stop", x, answer) > 0:
            return answer
        for l in range(2, self.d + 1):  # noqa: E741
            answer += (1 if self.score(l, x, answer) > 0 else -1,)
        return answer

    def kept(self) -> Law:
        """The law of rollouts that earn the chain reward (not normalised): what one round of STaR trains on."""
        rows = []
        for x in product((1, -1), repeat=self.d):
            right = chain(x)
            rows.append((x, True, self.probability(x, right) / 2**self.d))
            rows.append((x, False, self.probability(x, right[-1:]) / 2**self.d))
        return rows


def fit_exactly(
    law: Law, lam: float, nudge: Callable[[Head, int], np.ndarray] | None = None, lam_link: float | None = None
) -> ExactChain:
    """All heads at their ridge minimisers (lam_link: of the links, if another); `nudge(head, m)` is added.

    The nudge stands in for the error of SGD.
    """
    d = len(law[0][0])
    weights = {}
    for head in heads_of(d):
        margins, masses = arrays(margin_law(head, law))
        own = lam if lam_link is None or head in ("first", "stop") else lam_link
        weights[head] = minimiser(margins, masses, own)
        if nudge is not None:
            weights[head] = weights[head] + nudge(head, margins.shape[1])
    return ExactChain(weights)
