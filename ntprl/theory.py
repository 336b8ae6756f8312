"""Closed forms for a model that knows everything about the mixture but the parity.

Such a model is *calibrated*: it writes the long answer with probability p and treats the short one
as a fair draw among the K symbols. Symbols: p = p_cot, K = modulus (2 for parity).
The threshold and the calibration for K = 2 are the paper's; every other K is ours.
"""

from fractions import Fraction
from itertools import product

import numpy as np
from scipy.special import rel_entr

from ntprl.errors import require, require_number

Number = float | Fraction


def first_token_probability(p: Number, modulus: int = 2) -> Number:
    """P(y_1 = x_1) = p + (1 - p)/K: every long answer starts with x_1, and a K-th of the short ones do."""
    return p + (1 - p) / modulus


def stop_probability(p: Number, modulus: int = 2) -> Number:
    """P(EOS | y_1 = x_1) = ((1 - p)/K) / (p + (1 - p)/K); for K = 2 it is (1 - p)/(1 + p)."""
    return ((1 - p) / modulus) / first_token_probability(p, modulus)


def calibrated_accuracy(p: Number, modulus: int = 2) -> Number:
    """Accuracy of sampled answers, p + (1 - p)/K: long ones are right, a K-th of the short ones are."""
    return p + (1 - p) / modulus


def rewarded_long_share(p: Number, modulus: int = 2) -> Number:
    """Share of long answers among the right ones, p / (p + (1 - p)/K); for K = 2 it is 2p/(1 + p)."""
    return p / calibrated_accuracy(p, modulus)


def threshold(shared: Number) -> Number:
    """p* = m/(1 + m): greedy decoding goes on iff p > p*.

    m is the share of short demonstrations that agree with the greedy prefix up to the token where long
    and short part, and continue with their likeliest token there.
    """
    return shared / (1 + shared)


def parity_threshold(modulus: int = 2) -> Fraction:
    """m = 1/K for sums modulo K, so p* = 1/(K + 1): 1/3 for parity."""
    return threshold(Fraction(1, modulus))


def enumerate_demonstrations(d: int, p: Fraction, modulus: int = 2) -> list[tuple[tuple, tuple, Fraction]]:
    """Every (prompt, answer, probability) of D(p) for d symbols, by brute force; EOS is written as "."."""
    rows = []
    weight = Fraction(1, modulus**d)
    for x in product(range(modulus), repeat=d):
        sums = tuple(sum(x[:i]) % modulus for i in range(1, d + 1))
        rows += [(x, (*sums, "."), p * weight), (x, (sums[-1], "."), (1 - p) * weight)]
    return rows


def blind_next_token(d: int, p: Fraction, x_1: int, prefix: tuple, modulus: int = 2) -> dict[object, Fraction]:
    """Exact next-token distribution for a reader who sees x_1 and the answer so far, but no other symbol.

    This is what the best predictor without the parity feature says about the first two answer tokens.
    """
    mass: dict[object, Fraction] = {}
    for x, answer, weight in enumerate_demonstrations(d, p, modulus):
        if x[0] == x_1 and answer[: len(prefix)] == prefix and len(answer) > len(prefix):
            token = answer[len(prefix)]
            mass[token] = mass.get(token, Fraction(0)) + weight
    total = sum(mass.values())
    return {token: m / total for token, m in sorted(mass.items(), key=lambda item: str(item[0]))}


def star_recursion(p_0: Number, n: int, modulus: int = 2) -> Number:
    """p_n = K^n p_0 / (K^n p_0 + 1 - p_0), the solution of p -> p / (p + (1 - p)/K): calibrated STaR (C13)."""
    grown = modulus**n * p_0
    return grown / (grown + 1 - p_0)


def rounds_until(p_0: Number, level: Number, modulus: int = 2) -> int:
    """Smallest n with p_n > level; InputError where there is none."""
    require_number("p_0", p_0, low=0, high=1)
    require(p_0 >= 1e-280, "p_0", p_0, "at least 1e-280: what is never written is never rewarded")
    require_number("level", level, low=0, high=1)
    require(level < 1, "level", level, "below 1, which no round reaches")
    n = 0
    while star_recursion(p_0, n, modulus) <= level:
        n += 1
    return n


def rounds_to_flip(p_0: Number, modulus: int = 2) -> int:
    """Rounds of calibrated STaR until greedy decoding goes on: p_n > 1/(K + 1) (C14).

    For K = 2 the smallest n above log2((1 - p_0)/(2 p_0)).
    """
    return rounds_until(p_0, parity_threshold(modulus), modulus)


def chain_success(delta: Number, d: int) -> tuple[Number, Number]:
    """(end-to-end, chain) reward of a long answer whose links are each wrong with probability delta, K = 2.

    The last bit is right if an even number of d links is wrong, (1 + (1 - 2 delta)^d)/2; the chain is if
    none is, (1 - delta)^d.
    """
    return (1 + (1 - 2 * delta) ** d) / 2, (1 - delta) ** d


def half_known_rewards(k: int) -> tuple[Fraction, Fraction]:
    """(end to end, chain): what a long answer earns with k links unknown, each a fair coin, and all others known.

    One coin makes the last bit a coin, however many there are; all links must fall right for the whole chain.
    """
    return (Fraction(1, 2) if k else Fraction(1)), Fraction(1, 2**k)


def kept_chances(
    d: int, noise: Number = 0, unknown: int = 0, price: Number = 0, reward: str = "r_e2e"
) -> tuple[Number, Number]:
    """(long, short): with what chance STaR keeps an answer, K = 2; a round multiplies the odds of long by long/short.

    For if it keeps long answers with chance a and short ones with chance b, of p : (1 - p) it leaves a p : b (1 - p).

    A long answer has d tokens and d - 1 links, of which `unknown` are fair coins and each other one is wrong with
    probability noise (`chain_success`, `half_known_rewards`); a short one is right half of the time. A right answer is
    kept with probability 1 - price * tokens, so price < 1/d. With nothing else the factor is 1/(1/2) = 2, and a price
    of 1/(2 d - 1) makes it 1.
    """
    noisy, coins = chain_success(noise, d - 1 - unknown), half_known_rewards(unknown)
    # a product is right if both of its parts are, or neither
    end_to_end = (1 + (2 * noisy[0] - 1) * (2 * coins[0] - 1)) / 2
    right = end_to_end if reward == "r_e2e" else noisy[1] * coins[1]
    return right * (1 - price * d), (1 - price) / 2


def length_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The least KL(new | old), in nats for an answer, of a policy whose P(long) goes from p to q: KL of the two coins.

    By the chain rule of KL every policy pays this for its length, and the rest for what it changes within long or
    within short answers.
    """
    return rel_entr(q, p) + rel_entr(1 - np.asarray(q), 1 - np.asarray(p))
