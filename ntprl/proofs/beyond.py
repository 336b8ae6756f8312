"""Checks of sections 7 to 9 of chapters/proofs/linear_chain.md: thresholds, short samples, and beyond the paper.

Nearly all of them are counts over every demonstration with exact fractions.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product
from math import comb, prod

import numpy as np
import sympy

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.exact_chain import chain, demonstrations, features, margin_law
from ntprl.proofs.heads import coin, odds, prompts

TINY = Fraction(1, 10**6)
Rows = list[tuple[tuple, Fraction]]  # (answer with EOS, weight), the prompt's visible part being fixed


def greedy_answer(rows: Rows) -> tuple:
    """Follow the likeliest next token through weighted answers; EOS is ".", ties go to the first."""
    prefix: tuple = ()
    while not prefix or prefix[-1] != ".":
        mass: dict[object, Fraction] = {}
        for answer, weight in rows:
            if answer[: len(prefix)] == prefix:
                mass[answer[len(prefix)]] = mass.get(answer[len(prefix)], Fraction(0)) + weight
        prefix += (max(mass, key=mass.get),)
    return prefix


# --- 7. thresholds ------------------------------------------------------------------------------


def check_threshold(threshold: Formula = lambda m: m / (1 + m)) -> None:
    """prop-threshold: exact counts on both sides of p* for sums modulo K and for marked answers."""
    for modulus in (2, 3, 5):
        star = threshold(Fraction(1, modulus))
        agree("prop-threshold", f"p* of sums modulo {modulus}", star, Fraction(1, modulus + 1))
        for p, goes_on in ((star - TINY, False), (star + TINY, True)):
            first = theory.blind_next_token(2, p, 1, (), modulus)
            hold("prop-threshold", max(first, key=first.get) == 1, "greedy does not start with x_1")
            stop = theory.blind_next_token(2, p, 1, (1,), modulus)["."]
            hold("prop-threshold", (stop < 1 - stop) == goes_on, f"wrong side at p = {float(p):.6f}, K = {modulus}")
    star = threshold(Fraction(1))
    for p, goes_on in ((star - TINY, False), (star + TINY, True)):
        rows = [(("chain", "#", 1, "."), p), (("#", 1, "."), (1 - p) / 2), (("#", 0, "."), (1 - p) / 2)]
        hold("prop-threshold", (len(greedy_answer(rows)) == 4) == goes_on, f"marked answers, p = {float(p):.6f}")


# --- 8. short samples, rare samples -------------------------------------------------------------


def check_short_only(sizes: Iterable[int] = (2, 3, 4, 5), lam: float = 1e-6) -> None:
    """prop-short: without long samples the first head is 0, whatever the ridge; its risk is ln 2."""
    for d in sizes:
        law = margin_law("first", demonstrations(d, Fraction(0)))
        means = [sum(u[i] * weight for u, weight in law.items()) for i in range(d)]
        hold("prop-short", not any(means), f"a bit leans towards the parity at d = {d}")
        w = exact_chain.minimiser(*exact_chain.arrays(law), lam)
        hold("prop-short", np.abs(w).max() < 1e-9, f"the minimiser is not 0 at d = {d}")


def check_majority(edge: Formula = lambda d: Fraction(comb(d - 1, (d - 1) // 2), 2**d)) -> None:
    """rem-majority: up to its sign, the majority of d (odd) bits is the parity with probability 1/2 + `edge`."""
    for d in (3, 5, 7, 9):
        agreeing = sum((sum(x) > 0) == (prod(x) > 0) for x in prompts(d))
        found = abs(Fraction(agreeing, 2**d) - Fraction(1, 2))
        agree("rem-majority", f"edge of the majority at d = {d}", edge(d), found)


def check_rare(
    missing: Formula = lambda p, samples: max(0, 1 - samples * p), rounds: Callable[[int], int] = lambda d: d - 1
) -> None:
    """rem-rare: P(no long sample) >= 1 - T p, and from p_0 = 2^-d the recursion needs d - 1 rounds."""
    for p, samples in product((0.01, 2.0**-20, 2.0**-50), (10, 10**4, 10**6)):
        found = (1 - p) ** samples
        hold("rem-rare", missing(p, samples) <= found + 1e-9, f"P(no long sample) = {found:.3g} at p = {p:.2g}")
    for d in (5, 20, 50):
        p = Fraction(1, 2**d)
        agree("rem-rare", f"rounds from 2^-{d}", rounds(d), theory.rounds_to_flip(p))


# --- 9. beyond the paper ------------------------------------------------------------------------


def flips(d: int, eta: Fraction) -> list[tuple[tuple[int, ...], Fraction]]:
    """Every pattern of flipped links 2..d (-1 is a flip) with its probability."""
    return [(nu, eta ** nu.count(-1) * (1 - eta) ** nu.count(1)) for nu in product((1, -1), repeat=d - 1)]


def noisy_chain(x: tuple[int, ...], nu: tuple[int, ...]) -> tuple[int, ...]:
    return chain((x[0], *(bit * flip for bit, flip in zip(x[1:], nu, strict=True))))


def check_noise(
    two_way: Formula = lambda eta: Fraction(1, 3), three_way: Formula = lambda eta: 1 / (3 - 2 * eta), d: int = 3
) -> float:
    """prop-noise: thresholds by counting noisy demonstrations; the link's logit by scipy and its lone feature."""
    x_1, x_2 = 1, -1
    for eta in (Fraction(0), Fraction(1, 10), Fraction(2, 5)):
        for name, star in (("two-way", two_way(eta)), ("three-way", three_way(eta))):
            for p, goes_on in ((star - TINY, False), (star + TINY, True)):
                mass = {"stop": (1 - p) / 2, "right": Fraction(0), "wrong": Fraction(0)}  # after the token x_1
                for nu, chance in flips(d, eta):
                    mass["right" if noisy_chain((x_1, x_2, 1), nu)[1] == x_1 * x_2 else "wrong"] += p * chance
                rival = mass["right"] if name == "three-way" else mass["right"] + mass["wrong"]
                hold("prop-noise", (rival > mass["stop"]) == goes_on, f"{name} side wrong, eta = {eta}, p = {p}")
    worst = 0.0
    for head, eta in product((2, 3), (Fraction(1, 10), Fraction(2, 5))):
        law: dict[tuple[int, ...], Fraction] = {}
        for x in prompts(d):
            for nu, chance in flips(d, eta):
                y = noisy_chain(x, nu)
                u = tuple(y[head - 1] * feature for feature in features(head, x, y[: head - 1]))
                law[u] = law.get(u, Fraction(0)) + chance / 2**d
        w = exact_chain.minimiser(*exact_chain.arrays(law), 1e-3)
        stated = np.zeros(len(w))
        stated[d + 2 * head - 2] = coin(float(1 - eta), float(eta), 1e-3)
        worst = max(worst, np.abs(w - stated).max())
        hold("prop-noise", worst < 1e-7, f"link {head} is off by {worst:.2g} at eta = {eta}")
    return float(worst)


def check_noise_star(
    chain_factor: Formula = lambda eta, d: 2 * (1 - eta) ** (d - 1),
    outcome_factor: Formula = lambda eta, d: 1 + (1 - 2 * eta) ** (d - 1),
    left: Formula = lambda eta, d: eta * (1 - (1 - 2 * eta) ** (d - 2)) / (1 + (1 - 2 * eta) ** (d - 1)),
) -> None:
    """prop-noise-star: factors of the odds and the noise left in what is kept, by counting flip patterns."""
    for d, eta, p in product((3, 4, 6), (Fraction(1, 10), Fraction(2, 5)), (Fraction(1, 4),)):
        patterns = flips(d, eta)
        right = sum(chance for nu, chance in patterns if -1 not in nu)
        even = sum(chance for nu, chance in patterns if prod(nu) == 1)
        for name, mass, factor in (("chain", right, chain_factor), ("end-to-end", even, outcome_factor)):
            kept = p * mass / ((1 - p) / 2)
            agree("prop-noise-star", f"odds after the {name} reward", factor(eta, d) * odds(p), kept)
        noise = {sum(chance for nu, chance in patterns if prod(nu) == 1 and nu[i] < 0) / even for i in range(d - 1)}
        hold("prop-noise-star", noise == {left(eta, d)}, f"noise left {noise}, stated {left(eta, d)}")
        hold("prop-noise-star", left(eta, d) < eta, "the noise does not shrink")


def check_skip(stride: int = 2) -> None:
    """prop-skip: a chain that lists every k-th product has no head with a useful feature but the stop's bias."""
    d, p = 6, Fraction(1, 4)
    for head in ("first", "stop", 2, 3):
        total: np.ndarray | int = 0
        for x in prompts(d):
            listed = chain(x)[stride - 1 :: stride]
            if head == "first":
                parts = [(listed[0], x, p), (chain(x)[-1], x, 1 - p)]
            elif head == "stop":
                parts = [(-1, features("stop", x, listed[:1])[:-1], p)]
                parts.append((1, features("stop", x, chain(x)[-1:])[:-1], 1 - p))
            else:
                parts = [(listed[head - 1], features(head, x, listed[: head - 1]), p)] if head <= d // stride else []
            for label, seen, weight in parts:
                total = total + weight * np.array([Fraction(label * bit) for bit in seen])
        hold("prop-skip", not np.any(total), f"a feature of head {head} leans when every {stride}-th product is listed")


def three_lengths(d: int, k: int, full: Fraction, cut: Fraction) -> Rows:
    """Answers to prompts whose first k + 2 bits are +1, the other ones unseen: short, cut after k links, and full."""
    rows: Rows = []
    for rest in product((1, -1), repeat=d - k - 2):
        links = chain((1,) * (k + 2) + rest)
        chance = Fraction(1, 2 ** len(rest))
        rows.append(((*links, "."), full * chance))
        rows.append(((*links[:k], links[-1], "."), cut * chance))
        rows.append(((links[-1], "."), (1 - full - cut) * chance))
    return rows


def check_three_lengths(
    odds_needed: Formula = lambda mu: max(mu / 2, (1 - 3 * mu) / 2), least: Fraction = Fraction(1, 9)
) -> None:
    """prop-three: the greedy length on both sides of the threshold, the best mu, and the recursion."""
    d, k = 6, 2
    for mu in (Fraction(0), Fraction(1, 10), Fraction(1, 4), Fraction(2, 5), Fraction(9, 10)):
        star = odds_needed(mu) / (1 + odds_needed(mu))
        for full, long in ((star - TINY, False), (star + TINY, True)):
            answer = greedy_answer(three_lengths(d, k, full, mu * (1 - full)))
            found = len(answer) - 1 > k + 1
            hold("prop-three", found == long, f"greedy length {len(answer) - 1} at mu = {mu}, f = {float(full):.6f}")
    best = min(odds_needed(Fraction(i, 1000)) for i in range(1001))
    agree("prop-three", "lowest threshold", least, best / (1 + best))
    full, cut = Fraction(1, 20), Fraction(1, 5)
    kept = {"full": full, "cut": cut / 2, "short": (1 - full - cut) / 2}
    total = sum(kept.values())
    agree("prop-three", "full chains after a round", 2 * full / (1 + full), kept["full"] / total)
    agree("prop-three", "cut to short after a round", cut / (1 - full - cut), kept["cut"] / kept["short"])


def check_three_lengths_chain(
    odds_needed: Formula = lambda mu: max(mu, (1 - 3 * mu) / 2), least: Fraction = Fraction(1, 6)
) -> None:
    """cor-three-chain: after token k + 1 no feature tells cut from full chains; then the two comparisons by mass."""
    for d, k in ((4, 2), (5, 2), (5, 3)):
        for name, last in (("full", k), ("cut", d - 1)):  # which product token k + 1 is
            rows = [features(k + 2, x, (*chain(x)[:k], chain(x)[last])) for x in prompts(d)]
            hold("cor-three-chain", not np.any(np.sum(rows, axis=0)), f"a feature leans on {name} chains, d = {d}")
    for mu in (Fraction(0), Fraction(1, 10), Fraction(1, 5), Fraction(2, 5), Fraction(9, 10)):
        star = odds_needed(mu) / (1 + odds_needed(mu))
        for full, long in ((star - TINY, False), (star + TINY, True)):
            cut = mu * (1 - full)
            found = full + cut > (1 - full - cut) / 2 and full > cut
            hold("cor-three-chain", found == long, f"wrong side of the threshold at mu = {mu}, f = {float(full):.6f}")
    best = min(odds_needed(Fraction(i, 1000)) for i in range(1001))
    agree("cor-three-chain", "lowest threshold", least, best / (1 + best))


def check_weights(
    factor: Formula = lambda long, short: 2 * long / short,
    cost: Formula = lambda d: 1 / (2 * d - 1),
    discount: Formula = lambda d: 2 ** (-1 / (d - 1)),
) -> None:
    """prop-weights: the odds grow by 2 r_L/r_S, and where a cost of length or a discount stops the growth."""
    p, long, short = sympy.symbols("p r_L r_S", positive=True)
    kept = p * long / (p * long + (1 - p) * short / 2)
    hold("prop-weights", sympy.simplify(odds(kept) / odds(p) - factor(long, short)) == 0, "wrong factor of the odds")
    for d in (3, 25, 50):
        for side, grows in ((1 - 1e-6, True), (1 + 1e-6, False)):
            c, gamma = cost(d) * side, discount(d) / side
            hold("prop-weights", (factor(1 - c * d, 1 - c) > 1) == grows, f"wrong cost at d = {d}")
            hold("prop-weights", (factor(gamma**d, gamma) > 1) == grows, f"wrong discount at d = {d}")


def check_process(
    weight: Formula = lambda eta: 1 - eta, left: Formula = lambda eta, d: eta * Fraction(d - 2, d - 1)
) -> None:
    """prop-process: mean weight of a long answer that is kept by its share of right links, and the noise left."""
    for d, eta in product((3, 5), (Fraction(1, 10), Fraction(2, 5))):
        shares = [(nu, chance * Fraction(nu.count(1), d - 1)) for nu, chance in flips(d, eta)]
        total = sum(share for _, share in shares)
        agree("prop-process", "weight of long answers", weight(eta), total)
        noise = sum(share for nu, share in shares if nu[0] < 0) / total
        agree("prop-process", "noise left", left(eta, d), noise)


def check_no_rest(factors: Iterable[float] = (0.5, 0.9, 1.1, 2.0)) -> None:
    """cor-no-rest: with a factor other than 1 no share inside (0, 1) stays where it is."""
    p = sympy.symbols("p", positive=True)
    for factor in factors:
        rate = sympy.Rational(str(factor))
        fixed = sympy.solve(sympy.Eq(rate * p / (rate * p + 1 - p), p), p)
        inside = [value for value in fixed if 0 < value < 1]
        hold("cor-no-rest", fixed and not inside, f"a share stays where it is at factor {factor}: {fixed}")
