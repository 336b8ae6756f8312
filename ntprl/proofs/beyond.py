"""Checks of sections 7 and 10 of chapters/proofs/linear_chain.md: thresholds, and beyond the paper.

Nearly all of them are counts over every demonstration with exact fractions.
"""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import prod

import numpy as np
import sympy

from ntprl import theory
from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, agree, hold
from ntprl.proofs.exact_chain import chain, features
from ntprl.proofs.formulas import FORMULAS
from ntprl.proofs.heads import coin, odds, prompts

TINY, HALF, THIRD = Fraction(1, 10**6), Fraction(1, 2), Fraction(1, 3)
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


def check_threshold(threshold: Formula = FORMULAS["pstar"]) -> None:
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


# --- 10. beyond the paper -----------------------------------------------------------------------


def flips(d: int, eta: Fraction) -> list[tuple[tuple[int, ...], Fraction]]:
    """Every pattern of flipped links 2..d (-1 is a flip) with its probability."""
    return [(nu, eta ** nu.count(-1) * (1 - eta) ** nu.count(1)) for nu in product((1, -1), repeat=d - 1)]


def noisy_chain(x: tuple[int, ...], nu: tuple[int, ...]) -> tuple[int, ...]:
    return chain((x[0], *(bit * flip for bit, flip in zip(x[1:], nu, strict=True))))


def check_noise(
    two_way: Formula = lambda eta: Fraction(1, 3),
    three_way: Formula = FORMULAS["noise-threshold"],
    d: int = 3,
    low: Fraction = THIRD,
) -> float:
    """prop-noise: thresholds by counting noisy demonstrations; the link's logit by scipy and its lone feature.

    First head and stop are fitted to noisy demonstrations, and greedy decoding is run; it goes on above `low`.
    """
    x_1, x_2 = 1, -1
    for eta in (Fraction(0), Fraction(1, 10), Fraction(2, 5)):
        for name, star in (("two-way", two_way(eta)), ("three-way", three_way(eta))):
            for p, goes_on in ((star - TINY, False), (star + TINY, True)):
                mass = {"stop": (1 - p) / 2, "right": Fraction(0), "wrong": Fraction(0)}  # after the token x_1
                for nu, chance in flips(d, eta):
                    mass["right" if noisy_chain((x_1, x_2, 1), nu)[1] == x_1 * x_2 else "wrong"] += p * chance
                rival = mass["right"] if name == "three-way" else mass["right"] + mass["wrong"]
                hold("prop-noise", (rival > mass["stop"]) == goes_on, f"{name} side wrong, eta = {eta}, p = {p}")
    for eta, p in product((Fraction(1, 10), Fraction(2, 5)), (Fraction(1, 5), Fraction(1, 2))):
        check_noisy_start(d, eta, p, low)
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


def check_noisy_start(d: int, eta: Fraction, p: Fraction, low: Fraction) -> None:
    """prop-noise (a), (c): first head and stop are those of clean chains, and greedy answers are right above `low`."""
    laws: dict[exact_chain.Head, dict[tuple[int, ...], Fraction]] = {head: {} for head in exact_chain.heads_of(d)}
    for x in prompts(d):
        for nu, chance in flips(d, eta):
            y = noisy_chain(x, nu)
            rows = [("first", x, y[0], p), ("first", x, chain(x)[-1], 1 - p)]
            rows += [("stop", features("stop", x, y[:1]), -1, p)]
            rows += [("stop", features("stop", x, chain(x)[-1:]), 1, 1 - p)]
            rows += [(i, features(i, x, y[: i - 1]), y[i - 1], p) for i in range(2, d + 1)]
            for head, seen, label, share in rows:
                u = tuple(label * bit for bit in seen)
                laws[head][u] = laws[head].get(u, Fraction(0)) + share * chance / 2**d
    model = exact_chain.ExactChain(
        {head: exact_chain.minimiser(*exact_chain.arrays(law), 1e-5) for head, law in laws.items()}
    )
    clean = exact_chain.fit_exactly(exact_chain.demonstrations(d, p), 1e-5)
    for head in ("first", "stop"):
        off = float(np.abs(model.weights[head] - clean.weights[head]).max())
        hold("prop-noise", off < 1e-5, f"the {head} head is off by {off:.2g} at eta = {eta}")
    for x in prompts(d):
        expected = chain(x) if p > low else x[:1]
        hold("prop-noise", model.greedy(x) == expected, f"greedy says {model.greedy(x)} at p = {p}, eta = {eta}")


def check_noise_star(
    chain_factor: Formula = FORMULAS["noise-chain"],
    outcome_factor: Formula = FORMULAS["noise-outcome"],
    left: Formula = FORMULAS["noise-left"],
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


def skip_demonstrations(d: int, stride: int, p: Fraction) -> list[tuple[tuple, tuple, bool, Fraction]]:
    """(prompt, answer, is long, weight): long answers list every `stride`-th product."""
    rows = []
    for x in prompts(d):
        rows.append((x, chain(x)[stride - 1 :: stride], True, p / 2**d))
        rows.append((x, chain(x)[-1:], False, (1 - p) / 2**d))
    return rows


def skip_kept(d: int, stride: int, p: Fraction) -> list[tuple[tuple, tuple, bool, Fraction]]:
    """What the end-to-end reward keeps of a chain whose heads are all 0 but for the share p of long answers."""
    rows = []
    for x in prompts(d):
        for n, is_long, share in ((d // stride, True, p), (1, False, 1 - p)):
            for y in product((1, -1), repeat=n):
                if y[-1] == chain(x)[-1]:
                    rows.append((x, y, is_long, share / 2**n / 2**d))
    return rows


def check_skip(
    stride: int = 2, flip: Fraction | None = None, accuracy: Fraction = HALF, after: Formula = lambda p: p
) -> None:
    """prop-skip: all means are 0 *given the label*, in demonstrations and in what STaR keeps; flip, accuracy, share.

    Greedy decoding is that of the heads as they then are: 0 but for the stop's bias.
    """
    d = 6
    for p, source in product((Fraction(1, 4), Fraction(2, 3)), (skip_demonstrations, skip_kept)):
        rows = source(d, stride, p)
        where = f"when every {stride}-th product is listed, p = {p}, {source.__name__}"
        for head in ("first", "stop", *range(2, d // stride + 1)):
            sums: dict[int, np.ndarray] = {}
            for x, y, is_long, weight in rows:
                place = {"first": 0, "stop": 1}.get(head, 0 if isinstance(head, str) else head - 1)
                if isinstance(head, int) and not is_long:
                    continue
                label = (-1 if is_long else 1) if head == "stop" else y[place]
                seen = features(head, x, y[:place])
                seen = seen[:-1] if head == "stop" else seen
                group = label if head == "stop" else 0  # the bias knows the label, so means are needed given it
                margins = np.array([Fraction(label * bit) * weight for bit in seen])
                sums[group] = sums.get(group, 0) + margins
            leans = any(np.any(total) for total in sums.values())
            hold("prop-skip", not leans, f"a feature of head {head} leans {where}")
        total = sum(weight for *_, weight in rows)
        share = sum(weight for *_, is_long, weight in rows if is_long) / total
        agree("prop-skip", f"share of long {where}", after(p), share)
    flip = FORMULAS["skip"]() if flip is None else flip
    for p in (flip - TINY, flip, flip + TINY):
        bias = (1 - p) - p  # the sign of ln((1 - p)/p)
        goes_on = not bias > 0
        hold("prop-skip", goes_on == (p >= flip), f"greedy is on the wrong side at p = {float(p):.6f}")
        last = -1  # all other scores are 0, and a tie is -1
        right = Fraction(sum(chain(x)[-1] == last for x in prompts(d)), 2**d)
        agree("prop-skip", "accuracy of greedy decoding", accuracy, right)
        kept = sum(weight for *_, weight in skip_kept(d, stride, p))
        agree("prop-skip", "accuracy of sampling", accuracy, kept)


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


def check_three_lengths(odds_needed: Formula = FORMULAS["three"], least: Fraction = Fraction(1, 9)) -> None:
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
    for mu, odd, length in ((Fraction(1, 10), Fraction(1, 5), 1), (Fraction(1, 2), Fraction(1, 8), k + 1)):
        full = odd / (1 + odd)  # between the two lines: the first stop binds below mu = 1/4, the second above
        found = len(greedy_answer(three_lengths(d, k, full, mu * (1 - full)))) - 1
        hold("prop-three", found == length, f"greedy length {found} between the lines at mu = {mu}, stated {length}")
    full, cut = Fraction(1, 20), Fraction(1, 5)
    kept = {"full": full, "cut": cut / 2, "short": (1 - full - cut) / 2}
    total = sum(kept.values())
    agree("prop-three", "full chains after a round", 2 * full / (1 + full), kept["full"] / total)
    agree("prop-three", "cut to short after a round", cut / (1 - full - cut), kept["cut"] / kept["short"])


def stop_law(d: int, k: int, after: int, full: Fraction, cut: Fraction) -> dict[tuple[int, ...], Fraction]:
    """Margins of a stop that is asked after token `after`, with their masses (not normalised): def-chain's features."""
    law: dict[tuple[int, ...], Fraction] = {}
    for x in prompts(d):
        y = chain(x)
        answers = ((y, full), ((*y[:k], y[-1]), cut), (y[-1:], 1 - full - cut))
        for answer, share in answers:
            if len(answer) >= after and share:
                prefix, label = answer[:after], 1 if len(answer) == after else -1
                u = tuple(label * bit for bit in features("stop", x, prefix))
                law[u] = law.get(u, Fraction(0)) + share / 2**d
    return law


def check_three_lengths_chain(odds_needed: Formula = FORMULAS["three-chain"], least: Fraction = Fraction(1, 6)) -> None:
    """cor-three-chain: fitted stops after token 1 and after token k + 1, on both sides of the threshold.

    The stop is a head like any other, fitted to all demonstrations that reach it; the chain goes on for every prompt
    whose tokens so far are the right links, or for none.
    """
    d, k, lam, near = 5, 2, 1e-6, Fraction(1, 200)
    for mu in (Fraction(0), Fraction(1, 10), Fraction(1, 5), Fraction(2, 5), Fraction(9, 10)):
        star = odds_needed(mu) / (1 + odds_needed(mu))
        for full, long in ((star - near, False), (star + near, True)):
            cut, goes_on = mu * (1 - full), True
            for after in (1, k + 1):
                margins, masses = exact_chain.arrays(stop_law(d, k, after, full, cut))
                w = exact_chain.minimiser(margins, masses / masses.sum(), lam)
                scores = [w @ np.array(features("stop", x, chain(x)[:after])) for x in prompts(d)]
                hold("cor-three-chain", np.ptp(scores) < 1e-3, f"the stop after token {after} sees more than its bias")
                goes_on = goes_on and max(scores) <= 0
            text = f"wrong side of the threshold at mu = {mu}, f = {float(full):.6f}"
            hold("cor-three-chain", goes_on == long, text)
    best = min(odds_needed(Fraction(i, 1000)) for i in range(1001))
    agree("cor-three-chain", "lowest threshold", least, best / (1 + best))


def check_weights(
    factor: Formula = FORMULAS["weights"],
    cost: Formula = lambda d: 1 / (2 * d - 1),
    discount: Formula = lambda d: 2 ** (-1 / (d - 1)),
) -> None:
    """prop-weights: the odds grow by 2 r_L/r_S, and where a cost of length or a discount stops the growth.

    Counted over what a calibrated reader of d = 3 bits answers; the flip after such a round is still at 1/3.
    """
    d, p = 3, Fraction(1, 5)
    for long, short in ((Fraction(1), Fraction(1)), (Fraction(1, 3), Fraction(3, 4)), (Fraction(1), Fraction(1, 10))):
        kept = {"long": Fraction(0), "short": Fraction(0)}
        for x in prompts(d):
            bit = (1 - x[0]) // 2
            first = theory.blind_next_token(d, p, bit, ())
            stop = theory.blind_next_token(d, p, bit, (bit,))["."]
            agrees = chain(x)[-1] == x[0]
            kept["long"] += long * first[bit] * (1 - stop)
            kept["short"] += short * (first[bit] * stop if agrees else first[1 - bit])
        found = kept["long"] / kept["short"] / odds(p)
        agree("prop-weights", "factor of the odds", factor(long, short), found)
        share = kept["long"] / sum(kept.values())
        stop = theory.blind_next_token(d, share, 0, (0,))["."]
        hold("prop-weights", (stop < Fraction(1, 2)) == (share > Fraction(1, 3)), "the threshold moves")
    for d in (3, 25, 50):
        for side, grows in ((1 - 1e-6, True), (1 + 1e-6, False)):
            c, gamma = cost(d) * side, discount(d) / side
            hold("prop-weights", (factor(1 - c * d, 1 - c) > 1) == grows, f"wrong cost at d = {d}")
            hold("prop-weights", (factor(gamma**d, gamma) > 1) == grows, f"wrong discount at d = {d}")


def check_process(weight: Formula = lambda eta: 1 - eta, left: Formula = FORMULAS["process-left"]) -> None:
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
