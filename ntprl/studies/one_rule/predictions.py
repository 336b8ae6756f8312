"""Closed forms beyond the paper: of section 10 of chapters/proofs/linear_chain.md, and what chapter 8 derives.

Symbols: p, f, c shares of long, full and cut demonstrations, eta noise on a link, d bits. Each also takes a Fraction.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln, logit, xlog1py, xlogy

from ntprl.theory import Number, length_divergence


def binomial(k: np.ndarray, n: int, p: float | np.ndarray) -> np.ndarray:
    """P(k right answers of n), each right with probability p; `scipy.stats` has it too, and loads slowly."""
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.exp(ways + xlogy(k, p) + xlog1py(n - k, -p))


def odds(p: Number) -> Number:
    return p / (1 - p)


def share(odds_of: Number) -> Number:
    """The share with these odds."""
    return odds_of / (1 + odds_of)


def noise_threshold(eta: Number) -> Number:
    """1/(3 - 2 eta), if the likeliest of the three tokens is taken (prop-noise)."""
    return 1 / (3 - 2 * eta)


def noise_factor(eta: Number, d: int, reward: str) -> Number:
    """By which a round of STaR multiplies the odds of long: 2 x the mean reward of a noisy chain (prop-noise-star)."""
    means = {
        "chain": (1 - eta) ** (d - 1),
        "end-to-end": (1 + (1 - 2 * eta) ** (d - 1)) / 2,
        "process": 1 - eta,
    }
    return 2 * means[reward]


def noise_left(eta: Number, d: int, reward: str) -> Number:
    """Noise on the links of what is kept (prop-noise-star, prop-process)."""
    if reward == "chain":
        return 0 * eta
    if reward == "process":
        return eta * (d - 2) / (d - 1)
    return eta * (1 - (1 - 2 * eta) ** (d - 2)) / (1 + (1 - 2 * eta) ** (d - 1))


def three_lengths_odds(mu: Number, checks: bool = True) -> Number:
    """odds(f) above which greedy writes the full chain; mu = c/(1 - f), c the share of cut chains (prop-three).

    A reader who checks the last link: max(mu/2, (1 - 3 mu)/2). One who cannot see, after the cut, whether the token
    was a link or the parity has to stop against all cut chains, not half of them: max(mu, (1 - 3 mu)/2)
    (cor-three-chain).
    """
    return max(mu / 2 if checks else mu, (1 - 3 * mu) / 2)


def length_cost_factor(cost: Number, d: int) -> Number:
    """2 r_L/r_S with the reward 1 - cost * tokens for right answers of d tokens and of one (prop-weights)."""
    return 2 * (1 - cost * d) / (1 - cost)


# --- transformers: the rule with both sides, its consequences, and reinforcement ---


def branch_threshold(m: Number, kappa: Number = 1) -> Number:
    """p* = m/(m + kappa): greedy decoding goes on iff p kappa > (1 - p) m.

    At the token where answers part, kappa is the mass of the strongest long continuation among the long demonstrations,
    m that of the strongest short one among the short ones, both for a reader with a coarser view of the prompt.
    """
    return m / (m + kappa)


def leap_thresholds(leap: Number) -> tuple[Number, Number]:
    """Shares of long demonstrations, a share `leap` of them leaping, from which prompts go on: (those on whose first
    two tokens the chains agree, the others). m = 1/2; kappa is 1 where both chains write the second token, else that
    of the commoner chain. In terms of f full and q leaping: f + q > 1/3, and 3 max(f, q) + min(f, q) > 1."""
    half = type(leap)(1) / 2
    return branch_threshold(half), branch_threshold(half, max(leap, 1 - leap))


def flip_shift(p: Number) -> float:
    """ln((1 - p)/(2 p)): by how much the logit of EOS has to fall until greedy decoding goes on, parity."""
    return math.log((1 - p) / (2 * p))


def stop_only_divergence(p: float, q: float) -> float:
    """KL(new | old) in nats for an answer, parity, if only the stop behind the right first token moves, P(long) from p
    to q <= (1 + p)/2: for the first token stays, and answers that begin otherwise stop."""
    first = (1 + p) / 2
    return float(first * length_divergence(p / first, q / first))


def critical_price(d: int, charged: str) -> float:
    """The price of a token at which long and short answers earn alike: 1 - c d = 1/2 - c if all answers are charged,
    1 - c d = (1 - c)/2 if right ones only."""
    return 1 / (2 * (d - 1)) if charged == "all" else 1 / (2 * d - 1)


def gated_drift(
    q: float | np.ndarray,
    price: float,
    d: int,
    group: int,
    gate: float,
    charged: str = "all",
    guess: float = 0.5,
    right: float = 1.0,
) -> float | np.ndarray:
    """Mean of (is it long) x (reward less its mean given the group's lengths' share q), up to a factor: its sign is
    the direction in which a policy gradient moves the share q of long answers.

    The price is asked in groups of which at least a share `gate` is right. Long answers are right with chance `right`.
    A short answer names x_1 with chance `guess`, so that on half of the prompts it is right with that chance, and on
    the others with 1 - guess: 1/2 are independent guesses, 1 is one guess for all. E[long R] - q E[R] for one answer of
    a group, given the prompt, the others independent.
    """
    shares, others = np.atleast_1d(q), np.arange(group)[:, None]
    gain = np.zeros(len(shares))
    for lucky in (guess, 1 - guess):
        chance = binomial(others, group - 1, shares * right + (1 - shares) * lucky)  # right ones among the others
        if_right, if_wrong = (((others + own) / group >= gate - 1e-9) * chance for own in (1, 0))
        costs = if_right.sum(axis=0), if_wrong.sum(axis=0) * (charged == "all")  # chance to pay, of an answer
        long, short = (
            well * (1 - price * length * costs[0]) - (1 - well) * price * length * costs[1]
            for length, well in ((d, right), (1, lucky))
        )
        gain += (long - short) / 2
    drift = shares * (1 - shares) * gain
    return drift if np.ndim(q) else float(drift[0])


def gated_rest(
    price: float,
    d: int,
    group: int,
    gate: float,
    charged: str = "all",
    guess: float = 0.5,
    right: float = 1.0,
) -> float:
    """Where the share of long answers rests: the largest root of `gated_drift` below which it grows; 0 if it grows
    nowhere, 1 if it grows up to the end."""
    args = (price, d, group, gate, charged, guess, right)
    shares = np.linspace(1e-4, 1 - 1e-4, 400)
    growing = np.flatnonzero(gated_drift(shares, *args) > 1e-12)
    if not len(growing):
        return 0.0
    last = int(growing[-1])
    return 1.0 if last == len(shares) - 1 else float(brentq(gated_drift, shares[last], shares[last + 1], args=args))


def advantage_gap(right: float, group: int) -> float:
    """E[A | right] - E[A | wrong] of GRPO's advantage in groups of this size, answers being right with chance `right`
    each. It tends to 1/sqrt(right (1 - right)) in large groups."""
    others = np.arange(group)
    chance = binomial(others, group - 1, right)

    def mean(own: int) -> float:
        k = others + own
        spread = np.sqrt(k * (group - k) / (group * (group - 1))) + 1e-4
        return float((chance * (own - k / group) / spread).sum())

    return mean(1) - mean(0)


def kl_rest(p: float, weight: float, group: int) -> float:
    """P(long) where GRPO with a penalty for leaving a calibrated start comes to rest, parity.

    The first token is right with chance a (at the start (1 + p)/2), and the answer goes on behind it with chance g (at
    the start 2p/(1 + p)). Per unit of the logit of each, the reward gives a (1 - a) h g/2 and g (1 - g) h/2, h being
    `advantage_gap`; the penalty on tokens that the model drew, as GRPO writes it, has the gradient of KL(start |
    model), weight (a - a_0) and weight (g - g_0). At rest both are equal.
    """
    first, on = (1 + p) / 2, 2 * p / (1 + p)

    def settled(gain: float, start: float) -> float:
        """The root between start and 1 of x (1 - x) gain = weight (x - start)."""
        lead = gain - weight
        return (lead + math.sqrt(lead**2 + 4 * gain * weight * start)) / (2 * gain)

    def excess(q: float) -> float:
        gain = advantage_gap((1 + q) / 2, group) / 2
        g = settled(gain, on)
        return settled(gain * g, first) * g - q

    return float(brentq(excess, p, 1 - 1e-12))


def kl_rest_tilted(p: float, weight: float, group: int) -> float:
    """The same if the penalty were KL(model | start), exactly: then the best policy tilts the start by e^(A/weight), as
    Mroueh (arXiv 2503.06639) has it: odds(q) = odds(p) e^(h/(2 weight)), with h at q."""

    def excess(z: float) -> float:
        q = expit(z)
        return float(z - logit(p) - advantage_gap((1 + q) / 2, group) / (2 * weight))

    return float(expit(brentq(excess, logit(p) - 1, 60)))


def takeoff_rounds(p: float) -> float:
    """log2((1 - p)/(2 p)): rounds until greedy decoding goes on, if each doubles the odds of long."""
    return math.log2((1 - p) / (2 * p))
