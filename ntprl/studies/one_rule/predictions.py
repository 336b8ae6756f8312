"""Closed forms of section 10 of chapters/proofs/linear_chain.md, beyond the paper.

Symbols: p, f, c shares of long, full and cut demonstrations, eta noise on a link, d bits. Each also takes a Fraction.
"""

from ntprl.theory import Number


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
