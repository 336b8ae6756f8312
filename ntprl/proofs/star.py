"""Checks of section 6 of chapters/proofs/linear_chain.md, second part: kept answers, the recursion, Theorem 2."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import exp, floor, log, log2, log10, sqrt

import numpy as np
import sympy

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.copying import first_logit, stop_logit
from ntprl.proofs.exact_chain import ExactChain, chain, demonstrations, fit_exactly
from ntprl.proofs.formulas import FORMULAS
from ntprl.proofs.heads import odds, omega, prompts
from ntprl.proofs.pretraining import enough
from ntprl.seeds import numpy_rng


def check_kept(share: Formula = FORMULAS["kept"], sizes: Iterable[int] = (2, 3, 4)) -> None:
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
    share: Formula = FORMULAS["map"],
    solution: Formula = FORMULAS["solution"],
    slope: Formula = lambda p: 2 / (1 + p) ** 2,
    double: Formula = FORMULAS["doubling"],
    grown: Formula = FORMULAS["growth"],
) -> None:
    """lem-recursion: the odds double, the closed form solves the recursion, and the slope is at most 2 (sympy)."""
    p, n = sympy.symbols("p n", positive=True)
    claims = {
        "the odds do not double": odds(share(p)) - double(odds(p)),
        "the closed form is no solution": solution(p, n + 1) - share(solution(p, n)),
        "the closed form does not start at p": solution(p, 0) - p,
        "the odds do not grow like 2^n": odds(solution(p, n)) - grown(p, n),
        "wrong slope": sympy.diff(share(p), p) - slope(p),
        "the slope at 0 is not 2": slope(sympy.Integer(0)) - 2,
        "the stop does not fall by ln 2": sympy.expand_log(
            sympy.log((1 - share(p)) / (2 * share(p)) * 2 * p / (1 - p)) + sympy.log(2), force=True
        ),
    }
    for message, difference in claims.items():
        hold("lem-recursion", sympy.simplify(difference) == 0, message)
    for p_0, k in product((0.01, 0.3), (0, 1, 7)):
        agree("lem-recursion", "theory.star_recursion", solution(p_0, k), theory.star_recursion(p_0, k), 1e-12)


def above(value: float) -> int:
    """The smallest whole number n >= 0 that is larger than `value`."""
    return max(0, floor(value) + 1)


def check_rounds(
    flip: Formula = FORMULAS["rounds"],
    reach: Formula = lambda p, delta: above(log2((1 - p) * (1 - delta) / (p * delta))),
    safe: Formula = FORMULAS["safe-rounds"],
) -> None:
    """cor-rounds: rounds to p_n > 1/3 and to p_n > 1 - delta by exact iteration; n_0 is n* or n* + 1."""
    oracle = {"1/4": (1, 9), "1/10": (3, 10), "1/20": (4, 11), "1/50": (5, 13), "1/100": (6, 14), "1/1000": (9, 17)}
    hold("cor-rounds", above(flip(Fraction(1, 3))) == 1, "from 1/3 on it takes one round, as 1/3 is no more than 1/3")
    oracle[f"1/{2**20}"] = (19, 27)  # numbers worked out beforehand
    for text, numbers in oracle.items():
        p_0, shares = Fraction(text), [Fraction(text)]
        while shares[-1] <= Fraction(99, 100):
            shares.append(theory.rewarded_long_share(shares[-1]))
        counted = (sum(p <= Fraction(1, 3) for p in shares), len(shares) - 1)
        stated = (above(flip(p_0)), reach(p_0, 0.01))
        hold("cor-rounds", counted == numbers == stated, f"from {text}: counted {counted}, stated {stated}")
        later = safe(p_0) - counted[0]
        hold("cor-rounds", later in (0, 1), f"n_0 - n* = {later} from {text}")
        grown = 2 ** safe(p_0) * odds(p_0)
        hold("cor-rounds", 0.7071 < grown < 1.4143, f"odds of {float(grown):.3f} after n_0 rounds from {text}")
    for p_0 in np.logspace(-4, log10(1 / 3), 200):
        grown = 2 ** safe(p_0) * odds(p_0)
        hold("cor-rounds", 0.7071 < grown < 1.4143, f"odds of {grown:.3f} after n_0 rounds from {p_0:.4g}")


def sizes(d: int, p_0: float, eps: float) -> tuple[float, int]:
    """(E hat, n_0) of thm-star."""
    rounds = FORMULAS["safe-rounds"](p_0)
    return FORMULAS["star-size"](eps, d, rounds), rounds


def largest_ridge(limit: float) -> float:
    """The largest lambda (up to 1e-12 of it) with lambda ln(1/lambda) <= limit."""
    low, high = 0.0, 0.1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if omega(middle) <= limit else (low, middle)
    return low


def star_pairs(d: int, p_0: float, eps: float, delta: float) -> float:
    """thm-star: the pairs that a round draws."""
    size, n_0 = sizes(d, p_0, eps)
    lam = largest_ridge(FORMULAS["star-ridge"](p_0, size))
    lam_link = largest_ridge(FORMULAS["star-ridge-link"](size, d, n_0))
    t = enough(1 / FORMULAS["star-budget"](d, n_0, delta, lam, size))
    t_link = enough(1 / FORMULAS["star-budget-link"](d, n_0, delta, lam_link))
    return max(5 * t, 3 / p_0 * t_link, 9 / p_0 * log(2 * (n_0 + 1) / delta))


def check_star_constants(
    size: Formula = FORMULAS["star-size"],
    ridge: Formula = FORMULAS["star-ridge"],
    ridge_link: Formula = FORMULAS["star-ridge-link"],
    inverse: Formula = FORMULAS["star-budget"],
    inverse_link: Formula = FORMULAS["star-budget-link"],
    square: float = 8.5,
) -> float:
    """thm-star: with the stated ridges and steps, every inequality that the proof uses on its way holds.

    `square`: the factor of n_0 E^2 in the sum of all errors. Returns the largest sum of errors as a share of E hat.
    """
    worst = 0.0
    starts = (1 / 3, 0.3, 0.2611, 0.25, 0.1501, 0.1, 1e-2, 1e-4, 1e-9)
    for d, p_0, eps in product((4, 50, 1000), starts, (1.0, 0.25, 0.01, 1e-3)):
        n_0 = FORMULAS["safe-rounds"](p_0)
        big = size(eps, d, n_0)
        lam, lam_link = largest_ridge(ridge(p_0, big)), largest_ridge(ridge_link(big, d, n_0))
        tau = max(FORMULAS["round-wrong"](lam), 1.65 * d * omega(lam_link))
        zeta = big / (13 * (n_0 + 1))
        o = [2**n * odds(p_0) for n in range(n_0 + 1)]
        inverse_weights = sum(1 / v + 3 + 2 * v for v in o)
        slopes = sum(2 * v / (1 + 2 * v) / (1 + 4 * v) for v in o[:-1])
        bent = max(abs(log(2 * v)) for v in o)
        stop = (
            lam * bent * inverse_weights
            + n_0 * (2 * big**2 + 2 * tau)
            + 1.5 * omega(lam) * inverse_weights * (big + 2 * tau)
            + sqrt(2) * (n_0 + 1) * zeta
        )
        first = 1.6 * slopes * stop + n_0 * (4.1 * big**2 + 6 * tau) + (n_0 + 1) * (22 * lam + zeta)
        summed = (
            27 * lam / p_0 * log(1 / p_0)
            + 20 * omega(lam) / p_0 * (big + 2 * tau)
            + square * n_0 * big**2
            + 10.4 * n_0 * tau
            + 4.2 * (n_0 + 1) * zeta
        )
        ratios = sqrt(2 * d) * big + 2 * tau  # sup of the log ratios
        inequalities = {
            "weights of all rounds": inverse_weights <= 6 / p_0,
            "slopes of all rounds": slopes <= 0.75,
            "stop scores": bent <= log(1 / p_0) * (1 + 1e-9),
            "the sum in the text": stop + first <= summed,
            "E_n <= E hat": summed <= big,
            "the five terms": all(
                term <= share * big * (1 + 1e-9)
                for term, share in (
                    (27 * omega(lam) / p_0, 0.135),
                    (20 * omega(lam) / p_0 * (big + 2 * tau), 0.004),
                    (square * n_0 * big**2, 0.25),
                    (10.4 * n_0 * tau, 0.25),
                    (4.2 * (n_0 + 1) * zeta, 0.33),
                )
            ),
            "tau": tau <= big / (42 * n_0) * (1 + 1e-9),
            "radius": sqrt(2 * d) * big <= 1 / 32,
            "tau, wide": sqrt(d) * tau <= 1 / 100,
            "small ridges": lam <= 1 / 100 and lam_link <= 1 / 16,
            "scores moved by SGD": sqrt(2 * d + 2) * zeta <= 1 / 16,
            "answers": exp(ratios) - 1 <= eps and ratios <= 1 / 30,
            "greedy": log(2) / 2 > 1 / 32 and first_logit(odds(p_0) * 2**n_0 / (1 + odds(p_0) * 2**n_0)) >= 0.88,
            "pairs kept": 0.5 * exp(-1 / 32 - 2 * tau) >= 0.47 and exp(-ratios) >= 0.95,
        }
        for name, holds in inequalities.items():
            hold("thm-star", holds, f"{name}: fails at d = {d}, p_0 = {p_0:.3g}, eps = {eps}")
        delta, m = 0.1, 2 * d + 2
        b = 1 / inverse(d, n_0, delta, lam, big)
        asked = 1 / lam * sqrt(m * b * 4 * (n_0 + 1) / delta)
        agree("thm-star", "SGD error of first head and stop", zeta, asked, 1e-9 * zeta)
        b, m = 1 / inverse_link(d, n_0, delta, lam_link), 3 * d
        agree("thm-star", "SGD error of a link", 0.25, m / lam_link * sqrt(b * 2 * (d - 1) * (n_0 + 1) / delta), 1e-9)
        worst = max(worst, summed / big)
    return worst


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


def deviations(model: ExactChain, q: float) -> tuple[float, float]:
    """(|Delta|, ||xi||) of a chain against the ideal one of share q."""
    x = prompts(model.d)
    delta = model.weights["first"] - first_logit(q) * np.eye(model.d)[0]
    stop = [model.score("stop", each, each[:1]) - stop_logit(q) for each in x]
    return float(np.linalg.norm(delta)), sqrt(sum(v * v for v in stop) / len(x))


def check_star(share: Formula = FORMULAS["kept"], adds: float = 1.0, eps: float = 0.01, d: int = 4) -> float:
    """thm-star: whole runs by enumeration. Shares, answers of every prompt, the sum of errors, the greedy flip.

    Errors of the heads add up: after n rounds they are below what n + 1 fresh errors of the bound make (`adds` times).
    """
    worst, lam, size = 0.0, 1e-7, 1e-4
    for p_0 in (0.05, 0.24):
        n_0 = FORMULAS["safe-rounds"](p_0)
        history = star_rounds(d, p_0, lam, size, n_0)
        p = p_0
        for n, (model, q) in enumerate(history):
            agree("thm-star", f"share of long in round {n}", p, q, eps)
            for x in prompts(d):
                right = chain(x)
                found = (model.probability(x, right), model.probability(x, right[-1:]))
                worst = max(worst, agree("thm-star", f"pi_{n}(chain)", p, found[0], eps * p))
                worst = max(worst, agree("thm-star", f"pi_{n}(short)", (1 - p) / 2, found[1], eps * (1 - p) / 2))
                expected = right if n == n_0 else x[:1] if p < 0.32 else None
                hold("thm-star", expected in (None, model.greedy(x)), f"greedy says {model.greedy(x)} in round {n}")
            fresh = 4.2 * (n + 1) * size + 27 * lam / p_0 * log(1 / p_0)
            now = sum(deviations(model, p))
            hold("thm-star", now <= adds * fresh, f"an error of {now:.3g} > {adds} * {fresh:.3g} in round {n}")
            p = share(p)
    return worst


def check_outcome(bound: Formula = FORMULAS["outcome"]) -> float:
    """prop-outcome: distance between what the two rewards keep, by listing every answer; none if nothing is wrong.

    Links fail where it hurts: link 2 fails, or the first token is wrong, and link 3 repairs the end. Returns the
    largest share of the bound.
    """
    worst = 0.0
    for q, tau in product((0.1, 0.4, 0.99), (0.4, 0.05, 1e-9)):
        kept, extra = 0.0, 0.0
        for x, answer in product(prompts(3), prompts(3)):
            right = chain(x)
            first = answer[0] == right[0]
            mass = (q if first else (1 - q) / 2 * tau) / 8  # first token, and going on
            if first:
                mass *= 1 - tau if answer[1] == right[1] else tau
            else:
                mass *= answer[1] != right[1]
            mass *= answer[2] == right[2]
            kept, extra = (kept + mass, extra) if answer == right else (kept, extra + mass)
        for x in prompts(3):
            kept += ((1 - q) / 2 if chain(x)[-1] == x[0] else (1 - q) / 2 * (1 - tau)) / 8
        distance, stated = extra / (kept + extra), bound(tau, kept)
        hold("prop-outcome", distance <= stated + 1e-15, f"the kept laws differ by {distance:.3g} > {stated:.3g}")
        hold("prop-outcome", tau > 1e-6 or distance < 1e-8, "nothing is wrong, and yet the rewards differ")
        worst = max(worst, distance / stated)
    return worst


def check_half(
    factor: Formula = FORMULAS["half-chain"],
    outcome: Formula = lambda k: 1,
    left: Formula = lambda k: 0 if k == 1 else Fraction(1, 2),
) -> None:
    """prop-half: rewards with k of d - 1 links unknown, by listing all patterns of wrong links."""
    d = 6
    for k in range(1, d):
        patterns = list(product((1, -1), repeat=k))  # -1: this link falls wrong
        chance = Fraction(1, len(patterns))
        right = sum(chance for nu in patterns if -1 not in nu)
        even = sum(chance for nu in patterns if nu.count(-1) % 2 == 0)
        earned = theory.half_known_rewards(k)
        hold("prop-half", (even, right) == earned, f"theory pays {earned} with {k} links unknown")
        agree("prop-half", f"odds after the chain reward, k = {k}", factor(k), right / Fraction(1, 2))
        agree("prop-half", f"odds after the end-to-end reward, k = {k}", outcome(k), even / Fraction(1, 2))
        wrong = sum(chance for nu in patterns if nu.count(-1) % 2 == 0 and nu[0] < 0) / even
        agree("prop-half", f"an unknown link is wrong in what is kept, k = {k}", left(k), wrong)
