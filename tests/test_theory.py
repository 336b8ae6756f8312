"""The closed forms against numbers worked out beforehand, exact enumeration and simulation."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from ntprl import theory
from ntprl.seeds import numpy_rng

SHARES = [Fraction(1, 10), Fraction(1, 4), Fraction(1, 3), Fraction(2, 5), Fraction(5, 6)]
SIZES = [(d, modulus) for d in (2, 3, 4) for modulus in (2, 3)]


@pytest.mark.parametrize(
    ("p", "accuracy"), [(0.01, 0.505), (0.1, 0.55), (0.25, 0.625), (1 / 3, 2 / 3), (0, 0.5), (1, 1)]
)
def test_calibrated_accuracy_of_parity(p, accuracy):
    assert theory.calibrated_accuracy(p) == pytest.approx(accuracy)


@pytest.mark.parametrize("modulus", [2, 3, 5])
def test_calibrated_accuracy_by_simulation(modulus):
    """Long with probability p, else a guess: right as often as the formula says, to 5 sigma."""
    n, p, rng = 100_000, 0.2, numpy_rng(0, "evaluation")
    right = (rng.random(n) < p) | (rng.integers(modulus, size=n) == 0)
    expected = theory.calibrated_accuracy(p, modulus)
    assert abs(right.mean() - expected) < 5 * (expected * (1 - expected) / n) ** 0.5


def test_threshold_is_a_half_if_all_short_demonstrations_agree_with_the_prefix():
    assert theory.threshold(1) == 0.5
    assert theory.threshold(0) == 0


@pytest.mark.parametrize("p", SHARES)
def test_rewarded_long_share_is_the_map_of_theorem_2(p):
    assert theory.rewarded_long_share(p) == 2 * p / (1 + p)


@pytest.mark.parametrize(
    ("p_0", "flip", "sure"),
    [
        *[(Fraction(1, 4), 1, 9), (Fraction(1, 10), 3, 10), (Fraction(1, 20), 4, 11), (Fraction(1, 50), 5, 13)],
        *[(Fraction(1, 100), 6, 14), (Fraction(1, 1000), 9, 17), (Fraction(1, 2**20), 19, 27)],
    ],
)
def test_rounds_worked_by_hand(p_0, flip, sure):
    """To the threshold and to .99: by hand, by applying the map of rewarded sampling, and by the closed forms."""
    shares = [p_0]
    while shares[-1] <= Fraction(99, 100):
        shares.append(theory.rewarded_long_share(shares[-1]))
    assert sum(share <= theory.parity_threshold() for share in shares) == flip == theory.rounds_to_flip(float(p_0))
    assert len(shares) - 1 == sure == theory.rounds_until(float(p_0), 0.99)
    assert shares[5] == 2**5 * p_0 / (2**5 * p_0 + 1 - p_0)


@pytest.mark.parametrize(("d", "modulus"), SIZES)
def test_demonstrations_are_enumerated_whole(d, modulus):
    p = Fraction(1, 7)
    rows = theory.enumerate_demonstrations(d, p, modulus)
    assert sum(weight for _, _, weight in rows) == 1
    assert sum(weight for _, answer, weight in rows if len(answer) == d + 1) == p
    assert {x for x, _, _ in rows} == set(product(range(modulus), repeat=d))
    assert all(answer[-1] == "." and answer[-2] == sum(x) % modulus for x, answer, _ in rows)
    assert all(answer[0] == x[0] for x, answer, _ in rows if len(answer) > 2)


@pytest.mark.parametrize(("d", "modulus"), SIZES)
@pytest.mark.parametrize("p", SHARES)
def test_closed_forms_equal_the_enumerated_blind_reader(d, modulus, p):
    for x_1 in range(modulus):
        first = theory.blind_next_token(d, p, x_1, (), modulus)
        assert first.pop(x_1) == theory.first_token_probability(p, modulus)
        assert set(first.values()) == {(1 - p) / modulus}
        second = theory.blind_next_token(d, p, x_1, (x_1,), modulus)
        assert second.pop(".") == theory.stop_probability(p, modulus)
        assert len(set(second.values())) == 1  # without the next symbol every link is as likely
        for other in set(range(modulus)) - {x_1}:
            assert theory.blind_next_token(d, p, x_1, (other,), modulus) == {".": 1}


@pytest.mark.parametrize(("d", "modulus"), [(2, 2), (3, 2), (4, 2), (3, 3), (2, 5)])
def test_greedy_decoding_flips_exactly_at_the_threshold(d, modulus):
    """By enumeration: just below the threshold the likeliest decision is to stop, just above to go on."""
    for difference in (Fraction(-1, 10**9), Fraction(1, 10**9)):
        p = theory.parity_threshold(modulus) + difference
        first = theory.blind_next_token(d, p, 1, (), modulus)
        assert max(first, key=first.get) == 1
        stop = theory.blind_next_token(d, p, 1, (1,), modulus)["."]
        assert (stop > 1 - stop) == (difference < 0)


@pytest.mark.parametrize("modulus", [2, 3, 5])
@pytest.mark.parametrize("p", SHARES)
def test_the_recursion_is_the_reweighting_again_and_again(p, modulus):
    share = p
    for n in range(6):
        assert theory.star_recursion(p, n, modulus) == share
        share = theory.rewarded_long_share(share, modulus)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("delta", [Fraction(0), Fraction(1, 10), Fraction(1, 2)])
def test_rewards_of_a_chain_with_wrong_links_by_enumeration(d, delta):
    """Every pattern of wrong links: an even number leaves the last bit right, none leaves the chain right."""
    end_to_end = chain = Fraction(0)
    for wrong in product((0, 1), repeat=d):
        weight = delta ** sum(wrong) * (1 - delta) ** (d - sum(wrong))
        end_to_end += weight * (sum(wrong) % 2 == 0)
        chain += weight * (sum(wrong) == 0)
    assert theory.chain_success(delta, d) == (end_to_end, chain)


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_half_known_chains_earn_what_counting_says(k):
    """All 2^k ways in which k coins fall, each wrong or right: the last bit is right if an even number is wrong."""
    falls = list(product((0, 1), repeat=k))
    last = Fraction(sum(sum(fall) % 2 == 0 for fall in falls), len(falls))
    whole = Fraction(sum(not any(fall) for fall in falls), len(falls))
    assert theory.half_known_rewards(k) == (last, whole)


@pytest.mark.parametrize("reward", ["r_e2e", "r_cot"])
@pytest.mark.parametrize(("unknown", "price"), [(0, 0), (1, 0), (2, Fraction(1, 20)), (0, Fraction(1, 9))])
def test_kept_chances_are_what_counting_says(reward, unknown, price, d=5, noise=Fraction(1, 10)):
    """All 2^(d - 1) ways in which links are right or wrong; the first `unknown` of them by a fair coin."""
    kept = Fraction(0)
    chances = [Fraction(1, 2)] * unknown + [noise] * (d - 1 - unknown)
    for wrong in product((0, 1), repeat=d - 1):
        weight = Fraction(1)
        for chance, is_wrong in zip(chances, wrong, strict=True):
            weight *= chance if is_wrong else 1 - chance
        is_right = sum(wrong) % 2 == 0 if reward == "r_e2e" else not any(wrong)
        kept += weight * is_right * (1 - price * d)
    long, short = theory.kept_chances(d, noise, unknown, price, reward)
    assert (long, short) == (kept, Fraction(1, 2) * (1 - price))


def test_the_odds_of_long_double_and_a_price_stops_them():
    long, short = theory.kept_chances(10)
    assert long / short == 2
    long, short = theory.kept_chances(10, price=Fraction(1, 19))
    assert long == pytest.approx(short)
    p = Fraction(1, 4)
    long, short = theory.kept_chances(10)
    assert long * p / (long * p + short * (1 - p)) == pytest.approx(theory.star_recursion(p, 1))


def test_the_least_divergence_is_met_by_moving_the_length_alone():
    """Any new law over (short, long) x (2 answers each) with P(long) = q costs more than the one that moves q alone."""
    old = np.array([0.45, 0.30, 0.05, 0.20])  # two short, two long: P(long) = .25
    q, rng = 0.9, np.random.default_rng(0)
    moved = np.concatenate((old[:2] / old[:2].sum() * (1 - q), old[2:] / old[2:].sum() * q))
    least = theory.length_divergence(0.25, q)
    assert least == pytest.approx((moved * np.log(moved / old)).sum())
    for _ in range(50):
        within = rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(2))
        new = np.concatenate((within[0] * (1 - q), within[1] * q))
        assert (new * np.log(new / old)).sum() >= least - 1e-12
    assert theory.length_divergence(0.25, 1.0) == pytest.approx(np.log(4))
    assert theory.length_divergence(0.25, 0.25) == 0


@pytest.mark.parametrize(
    ("p_0", "level"), [(0, 0.5), (0.0, 0.5), (1e-320, 0.5), (-1, 0.5), (0.5, 1), (0.5, 2), ("x", 0.5)]
)
def test_rounds_that_never_come_are_refused(refused, p_0, level):
    with refused("p_0" if level == 0.5 else "level"):
        theory.rounds_until(p_0, level)
