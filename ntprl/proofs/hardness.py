"""Checks of section 8 of chapters/proofs/linear_chain.md: short samples alone, and rare long ones."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from math import prod, sqrt

import numpy as np

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.exact_chain import chain, demonstrations, features, margin_law
from ntprl.proofs.formulas import FORMULAS
from ntprl.proofs.heads import prompts
from ntprl.seeds import numpy_rng


def check_short_only(sizes: Iterable[int] = (2, 3, 4, 5), lam: float = 1e-6) -> None:
    """prop-short: without long samples the first head is 0, whatever the ridge; its risk is ln 2, and none is lower."""
    for d in sizes:
        law = margin_law("first", demonstrations(d, Fraction(0)))
        means = [sum(u[i] * weight for u, weight in law.items()) for i in range(d)]
        hold("prop-short", not any(means), f"a bit leans towards the parity at d = {d}")
        margins, weights = exact_chain.arrays(law)
        w = exact_chain.minimiser(margins, weights, lam)
        hold("prop-short", np.abs(w).max() < 1e-9, f"the minimiser is not 0 at d = {d}")
        for other in (np.zeros(d), np.ones(d), np.eye(d)[0]):
            risk = exact_chain.risk(other, margins, weights, 0.0)
            hold("prop-short", risk >= np.log(2) - 1e-12, f"a risk of {risk:.4g}, below ln 2, at d = {d}")


def check_majority(edge: Formula = FORMULAS["majority"], most: Formula = lambda d: 1 / (2 * sqrt(d))) -> None:
    """rem-majority: up to its sign, the majority of d (odd) bits is the parity with probability 1/2 + `edge`.

    And no linear rule among many is right on more than 1/2 + `most`.
    """
    rng = numpy_rng(9, "init")
    for d in (3, 5, 7, 9):
        agreeing = sum((sum(x) > 0) == (prod(x) > 0) for x in prompts(d))
        found = abs(Fraction(agreeing, 2**d) - Fraction(1, 2))
        agree("rem-majority", f"edge of the majority at d = {d}", edge(d), float(found), 1e-12)
        x = np.array(prompts(d), float)
        for w in (np.ones(d), np.eye(d)[0], *rng.normal(size=(20, d))):
            right = abs(np.mean(np.where(x @ w > 0, 1, -1) * x.prod(axis=1))) / 2
            hold("rem-majority", right <= most(d), f"a linear rule with an edge of {right:.3g} > {most(d):.3g}")


def characters(d: int) -> np.ndarray:
    """(2^d sets, 2^d prompts): the parity of each set of bits on each prompt."""
    x = np.array(prompts(d), float)
    return np.array([np.prod(x[:, list(map(bool, chosen))], axis=1) for chosen in product((0, 1), repeat=d)])


def short_losses(w: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses on (+1, EOS) and on (-1, EOS) of a small network that sees the first token when it decides to stop."""
    d = x.shape[1]
    a, b, c, s = w[: d * d].reshape(d, d), w[d * d : d * d + d], w[d * d + d : d * d + 2 * d], w[-1]
    hidden = np.tanh(x @ a)
    first, stop = hidden @ b, hidden @ c
    return tuple(np.log1p(np.exp(-y * first)) + np.log1p(np.exp(-(stop * y + s))) for y in (1, -1))


def gradient_of(function: Callable[[np.ndarray], np.ndarray], w: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """(weights, prompts): central differences of a function that has one value for each prompt."""
    return np.array([(function(w + step * e) - function(w - step * e)) / (2 * step) for e in np.eye(len(w))])


def check_hardness(
    share: Formula = FORMULAS["hardness"], average: Formula = lambda d: 0.5 + 0.5 * 2 ** (-d / 2), half: float = 0.5
) -> float:
    """prop-hardness: gradients of a small network for all 2^d targets, against the split and Parseval's bound.

    A function that is one parity itself makes the bound tight. Returns the largest share of the bound.
    """
    d, rng, worst = 4, numpy_rng(7, "init"), 0.0
    x, chi = np.array(prompts(d), float), characters(d)
    w = rng.normal(size=d * d + 2 * d + 1)
    plus, minus = (gradient_of(lambda v, i=i: short_losses(v, x)[i], w) for i in (0, 1))
    h = half * (plus - minus)
    seen = chi @ h.T / 2**d  # (sets, weights): E chi_I grad h
    for target, part in zip(chi, seen, strict=True):
        whole = gradient_of(lambda v, t=target: np.where(t > 0, *short_losses(v, x)), w).mean(axis=1)
        free = ((plus + minus) / 2).mean(axis=1)
        hold("prop-hardness", np.abs(whole - free - part).max() < 1e-6, "the gradient does not split in two")
    bound = sqrt(float((h**2).sum(axis=0).mean()))
    for name, lengths, big in (
        ("the network", np.linalg.norm(seen, axis=1), bound),
        ("one parity", np.array([1.0] + [0.0] * (2**d - 1)), 1.0),
    ):
        for accuracy in (*np.quantile(lengths, (0.5, 0.9)), 0.999 * lengths.max()):
            if accuracy > 0:
                found, stated = float((lengths > accuracy).mean()), share(big, float(accuracy), d)
                hold("prop-hardness", found <= stated, f"{name}: {found:.3g} of the sets are seen > {stated:.3g}")
                worst = max(worst, found / stated)
    rule = np.where(short_losses(w, x)[0] < short_losses(w, x)[1], 1, -1)
    both = np.where((x[:, ::2] < 0) & (x[:, 1::2] < 0), -1, 1)  # of bits 1 and 2, and of 3 and 4
    for name, values in (("the network", rule), ("a bent function", both.prod(axis=1))):
        agreement = float(np.mean([max(np.mean(t == values), np.mean(t != values)) for t in chi]))
        text = f"{name} agrees with {agreement:.4g} > {average(d):.4g} on average"
        hold("prop-hardness", agreement <= average(d) + 1e-12, text)
    hold("prop-hardness", agreement >= average(d) - 1e-12, "no predictor reaches the average")
    return worst


def check_rare(
    bound: Formula = FORMULAS["rare"], rounds: Callable[[int], int] = lambda d: d - 1, label: int | None = None
) -> float:
    """prop-rare: the chance that a right chain is ever met, exactly; margins of what an end-to-end reward keeps.

    `label`: 1 teaches the last link the product that it sees (None: the parity).
    """
    worst = 0.0
    for samples, p_0, n, d in product((1, 10**4), (1e-3, 2.0**-50), (1, 20), (5, 20, 50)):
        lucky = 2.0 ** -(d - 1)  # the first token may be right and the stop go on
        none = samples * np.log1p(-p_0) + n * samples * np.log1p(-lucky)
        found, stated = -np.expm1(none), bound(samples, p_0, n, d)
        hold("prop-rare", found <= stated * (1 + 1e-12), f"a right chain is met with {found:.3g} > {stated:.3g}")
        worst = max(worst, found / stated)
    for d in (5, 20, 50):
        p = Fraction(1, 2**d)
        agree("prop-rare", f"rounds from 2^-{d}", rounds(d), theory.rounds_to_flip(p))
    d = 3
    for head in ("first", 2, 3):  # a model of coins under the end-to-end reward
        total: np.ndarray | int = 0
        for x, y in product(prompts(d), prompts(d)):
            parity = chain(x)[-1]
            if y[-1] == parity:
                place = 0 if head == "first" else head - 1
                answer = y[place] if label is None or place < d - 1 else label * y[d - 2] * x[d - 1]
                total = total + answer * np.array(features(head, x, y[:place]))
        if head == "first":
            total = total + sum(2**d * chain(x)[-1] * np.array(x) for x in prompts(d))
        hold("prop-rare", not np.any(total), f"a feature of head {head} leans in what is kept")
    return worst
