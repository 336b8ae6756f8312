"""Verdicts of chapter 8 follow from tables: right ones pass, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest
from made_up import measured
from scipy.optimize import brentq

from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED
from ntprl.studies.one_rule import claims, predictions
from ntprl.weightings import group_advantage


def grid_around(switch: float) -> pd.DataFrame:
    """Five seeds whose switches lie around one value, measured at shares a hundredth apart."""
    shares = np.arange(0.05, 0.5, 0.01)
    rows = [measured(p, seed, switch=switch + 0.004 * (seed - 2)) for p in shares for seed in range(5)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("modulus", [3, 5])
def test_the_moved_threshold_is_told_from_those_of_other_moduli(modulus):
    check = {3: claims.modulus_3, 5: claims.modulus_5}[modulus].criterion
    assert check(grid_around(1 / (modulus + 1))).verdict == HELD
    for other in (modulus - 1, modulus + 1, 2):
        assert check(grid_around(1 / (other + 1))).verdict != HELD
    assert check(grid_around(1 / 3)).verdict == FAILED
    far = grid_around(1 / (modulus + 1))
    far = far.assign(
        greedy_long=[float(p > 0.1 + 0.1 * seed) for p, seed in zip(far["p_cot"], far["seed"], strict=True)]
    )
    assert check(far).verdict in (UNDECIDED, FAILED)  # seeds too far apart to tell


# --- transformers: made-up tables of an ideal reader, and what must not pass ---


def mixtures(agree: float = 1 / 3, other: float = 3 / 7, **changed) -> pd.DataFrame:
    """A quarter of the prompts goes on from one share, the others from another, each within .02 of it."""
    rows = []
    for p in (*np.arange(0.25, 0.62, 0.02).round(2), 0.41, 0.45, 0.48):
        for seed in range(3):
            on = [float(np.clip((p - step) / 0.04 + 0.5 + 0.05 * (seed - 1), 0, 1)) for step in (agree, other)]
            long = on[0] / 4 + on[1] * 3 / 4
            row = measured(p, seed, greedy_long=long, greedy_accuracy=0.5 + long / 2)
            rows.append(row | dict(agree_long=on[0], other_long=on[1], sampled_long_accuracy=1.0) | changed)
    return pd.DataFrame(rows).drop_duplicates(["p_cot", "seed"])


def test_leaps_alone_and_as_a_third_kind():
    check = claims.leaps.criterion
    assert check(mixtures(other=1 / 3), mixtures()).verdict == HELD
    assert check(mixtures(other=0.45, agree=0.45), mixtures()).verdict == FAILED
    assert check(mixtures(other=1 / 3), mixtures(agree=3 / 7)).verdict == FAILED
    assert check(mixtures(other=1 / 3), mixtures(other=1 / 3)).verdict == FAILED
    assert check(mixtures(other=1 / 3), mixtures(other=1 / 2)).verdict == FAILED
    assert check(mixtures(other=1 / 3), mixtures(agree_long=0.0)).verdict == FAILED  # never crossed


def test_partial_chains_in_both_readings():
    check = claims.partial_chains.criterion
    alone, third = mixtures(other=1 / 3), mixtures(other=0.4)
    none = mixtures(other=0.6)
    assert check(alone, third, none).verdict == PARTLY  # the second reading alone
    assert check(alone, none, third).verdict == PARTLY  # the same with more steps
    assert check(mixtures(agree=0.2, other=0.2), third, none).verdict == REPRODUCED
    assert check(mixtures(agree=0.2, other=0.2), none, none).verdict == PARTLY
    assert check(alone, none, none).verdict == NOT_REPRODUCED
    one_seed = third.assign(greedy_accuracy=third["greedy_accuracy"].where(third["seed"] != 1, 0.9))
    assert check(alone, one_seed, one_seed).verdict == NOT_REPRODUCED
    far = third[third["p_cot"] > 0.5]  # leaps above 1/3 say nothing
    assert check(alone, far, far).verdict == NOT_REPRODUCED


def test_two_chains_make_two_steps():
    check = claims.staircase.criterion
    assert check(mixtures(other=1 / 2)).verdict == HELD
    assert check(mixtures(other=1 / 3)).verdict == FAILED
    assert check(mixtures(agree=1 / 2, other=1 / 2)).verdict == FAILED
    assert check(mixtures(other=1 / 2, greedy_long=0.5)).verdict == FAILED  # not a quarter between
    assert check(mixtures(other=0.58)).verdict != HELD


def rounds(settings: list[dict], path, n: int = 20, every: int = 1) -> pd.DataFrame:
    """A run for each setting; path(setting, round) -> measures. Rounds between measured ones have no measures."""
    rows = []
    for i, setting in enumerate(settings):
        for step in range(0, n + 1):
            found = path(setting, step)
            if step % every:
                found = {name: np.nan for name in found if name != "rollout_long"} | {
                    "rollout_long": found.get("rollout_long", 0.0)
                }
            rows.append({"run": f"r{i}", "step": step} | setting | found)
    return pd.DataFrame(rows)


def stops(shift_a_round: float = 0.1, flip: float = 0.405, end: float = 1.0, link: float = 0.001, kl: float = 1.0):
    """The bias of EOS falls round by round; greedy decoding goes on once it has fallen by `flip`."""

    def path(setting: dict, step: int) -> dict:
        fallen = shift_a_round * step
        on = float(np.clip((fallen - flip) / 0.2 + 0.5 + 0.02 * (setting["seed"] - 2), 0, 1))
        q = 0.25 + 0.25 * step / 20
        row = dict(greedy_long=on, greedy_accuracy=0.5 + on / 2 * end, long_probability=q, stop_gap=0.405 - fallen)
        row |= dict(link_error=0.001 + link * step / 20, kl_from_start=kl * predictions.stop_only_divergence(0.25, q))
        return row

    return rounds([dict(trains=t, seed=s) for t in ("stop", "all") for s in range(5)], path)


def test_the_bias_alone_must_recover_and_flip_where_it_should():
    check = claims.bias_alone.criterion
    assert check(stops()).verdict == HELD
    for changed in (dict(end=0.8), dict(flip=0.8), dict(flip=0.1), dict(link=0.05), dict(shift_a_round=0.0)):
        assert check(stops(**changed)).verdict == FAILED


def test_each_start_flips_at_its_own_gap():
    def gaps(flip) -> pd.DataFrame:
        """flip(own gap) -> the fall at which half of the prompts go on."""

        def path(setting: dict, step: int) -> dict:
            own, fallen = 0.405 + 0.04 * (setting["seed"] - 4.5), 0.05 * step
            return dict(stop_gap=own - fallen, greedy_long=float(np.clip((fallen - flip(own)) / 0.2 + 0.5, 0, 1)))

        return rounds([dict(seed=seed) for seed in range(10)], path)

    check = claims.own_gaps.criterion
    assert check(gaps(lambda own: own)).verdict == HELD
    for flip in (lambda own: 0.405, lambda own: own + 0.1, lambda own: 2 * own, lambda own: 5.0):
        assert check(gaps(flip)).verdict == FAILED


def test_attention_alone_explains_what_is_said():
    def looks(share, after=-2.0, old=-1.5, start=0.4) -> pd.DataFrame:
        """Five runs in which attention alone brings `share` of the fall of the gap."""
        found = dict(stop_gap=after, start_gap=start, old_look_gap=old, attention_moved=0.1)
        found["new_look_gap"] = start - share * (start - after)
        before = dict(step=0, stop_gap=start, start_gap=start, old_look_gap=start, new_look_gap=start)
        rows = [row | dict(run=i, seed=i) for i in range(5) for row in (before, found | dict(step=20))]
        return pd.DataFrame(rows).assign(attention_moved=0.1)

    check = claims.looks_where_it_looked.criterion
    assert check(looks(0.1)).verdict == HELD and check(looks(-0.3)).verdict == HELD
    assert check(looks(0.2)).verdict == FAILED  # the start goes on once it looks elsewhere
    assert check(looks(0.1, old=0.1)).verdict == FAILED  # the new weights stop without the new look
    assert check(looks(0.55, start=2.0, after=-0.1, old=-0.1)).verdict == FAILED
    assert check(looks(0.1, after=0.1)).verdict == UNDECIDED and check(looks(0.1, start=-0.1)).verdict == UNDECIDED
    spread = looks(0.1, start=2.0, after=-0.1)
    ends = spread.index[spread["step"] == 20]
    spread.loc[ends, "new_look_gap"] = 2.0 - np.array([0.1, 0.3, 0.5, 0.7, 0.9]) * 2.1
    assert check(spread).verdict == UNDECIDED


def test_the_divergence_of_a_stop():
    check = claims.stop_divergence.criterion
    assert check(stops()).verdict == HELD
    assert check(stops(kl=2.0)).verdict == check(stops(kl=0.5)).verdict == FAILED
    assert check(stops(kl=1.3)).verdict != HELD


def test_the_divergence_is_the_sum_over_all_answers():
    """Three kinds of answers: a wrong first token, the right one and a stop, the right one and a chain."""
    p, q = 0.25, 0.5
    before = np.array([(1 - p) / 2, (1 - p) / 2, p])
    after = np.array([(1 - p) / 2, (1 + p) / 2 - q, q])
    assert predictions.stop_only_divergence(p, q) == pytest.approx((after * np.log(after / before)).sum())
    assert predictions.flip_shift(p) == pytest.approx(np.log(before[1] / before[2]))


def noisy_table(rule) -> pd.DataFrame:
    """rule(noise, place) -> threshold."""
    rows = []
    for eta, place in [(0.0, "links"), (0.1, "links"), (0.2, "links"), (0.3, "links"), (0.3, "final")]:
        for p in np.arange(0.25, 0.5, 0.02):
            for seed in range(3):
                on = float(np.clip((p - rule(eta, place)) / 0.04 + 0.5 + 0.05 * (seed - 1), 0, 1))
                rows.append(measured(p, seed, greedy_long=on) | dict(noise=eta, place=place))
    return pd.DataFrame(rows)


def test_noise_moves_the_threshold_on_links_alone():
    check = claims.noise_moves.criterion
    assert check(noisy_table(lambda eta, place: 1 / (3 - 2 * eta * (place == "links")))).verdict == HELD
    assert check(noisy_table(lambda eta, place: 1 / (3 - 2 * eta))).verdict == FAILED
    assert check(noisy_table(lambda eta, place: 1 / 3)).verdict == FAILED
    assert check(noisy_table(lambda eta, place: 1 / (3 - 4 * eta * (place == "links")))).verdict == FAILED


def star_table(factor) -> pd.DataFrame:
    """factor(noise, judge) -> factor of the odds."""

    def path(setting: dict, step: int) -> dict:
        grown = factor(setting["noise"], setting["judge"]) * (1 + 0.01 * (setting["seed"] - 1)) if step else 1.0
        return dict(long_probability=grown / (1 + grown), greedy_long=0.0)

    names = ("chain", "end-to-end", "process")
    settings = [dict(noise=e, judge=j, seed=s) for e in (0.0, 0.1, 0.2, 0.3) for j in names for s in range(3)]
    return rounds(settings, path, n=1)


def test_factors_of_a_noisy_round():
    check = claims.noise_rounds.criterion
    assert check(star_table(lambda eta, judge: predictions.noise_factor(eta, 16, judge))).verdict == HELD
    assert check(star_table(lambda eta, judge: 2.0)).verdict == FAILED
    assert check(star_table(lambda eta, judge: predictions.noise_factor(eta, 16, "chain"))).verdict == FAILED
    assert check(star_table(lambda eta, judge: predictions.noise_factor(eta / 2, 16, judge))).verdict == FAILED


PRICE_CASES = [(0.5, 0, 0.0), (2.0, 0, 0.0), (2.0, 20, 0.0), (2.0, 0, 0.875)]


def prices(cheap=0.97, dear=0.0, late=0.0, gated=0.53, right=1.0, patience=30) -> pd.DataFrame:
    settings = [
        dict(charged=charged, price=times * predictions.critical_price(16, charged), free_rounds=free, gate=gate)
        | dict(seed=seed)
        for charged in ("all", "right")
        for times, free, gate in PRICE_CASES
        for seed in range(3)
    ]

    def path(setting: dict, step: int) -> dict:
        if setting["gate"]:
            long = 0.25 + (gated - 0.25) * min(1, step / 20)
        elif setting["free_rounds"]:
            long = 0.25 + 0.7 * min(1, step / 20) if step < 20 + patience else late
        else:
            is_dear = setting["price"] > 1 / 20
            long = 0.25 + ((dear if is_dear else cheap) - 0.25) * min(1, step / 15)
        return dict(long_probability=long, greedy_long=float(long > 1 / 3), greedy_accuracy=right)

    return rounds(settings, path, n=60, every=5)


def test_a_price_is_all_or_nothing():
    check = claims.all_or_nothing.criterion
    assert check(prices()).verdict == HELD
    assert check(prices(cheap=0.5)).verdict == check(prices(dear=0.2)).verdict == FAILED
    assert check(prices(dear=0.97)).verdict == FAILED


def test_a_late_or_gated_price():
    check = claims.gate.criterion
    assert check(prices()).verdict == HELD
    assert check(prices(late=0.97)).verdict == HELD  # it never falls
    for changed in (dict(gated=0.1), dict(gated=0.97), dict(right=0.5), dict(patience=5), dict(patience=-10)):
        assert check(prices(**changed)).verdict == FAILED


@pytest.mark.parametrize("charged", ["all", "right"])
def test_the_rest_under_a_gate_if_guesses_are_alike(charged):
    """By all 2^8 groups of long and short answers, for prompts whose guess is right and those whose guess is wrong."""
    d, group, needed = 16, 8, 7
    price = 1.5 * predictions.critical_price(d, charged)
    q = predictions.gated_rest(price, d, group, needed / group, charged, guess=1.0)
    earned = {True: 0.0, False: 0.0}
    for lucky in (True, False):
        for long in np.ndindex(*(2,) * group):
            long = np.array(long, bool)
            right = long | lucky
            asked = right.sum() >= needed
            reward = right - price * np.where(long, d, 1) * asked * (right if charged == "right" else 1)
            chance = np.prod(np.where(long[1:], q, 1 - q))  # the first answer is looked at, given the others
            earned[bool(long[0])] += chance * reward[0]
    assert 0.5 < q < 0.9 and earned[True] == pytest.approx(earned[False], abs=1e-9)
    assert predictions.gated_rest(2 * price, d, group, needed / group, charged, guess=1.0) == 0
    assert predictions.gated_rest(price / 2, d, group, needed / group, charged, guess=1.0) == 1


def test_a_gate_with_guesses_alike():
    def gated(rest=0.0, end=0.01) -> pd.DataFrame:
        settings = [
            dict(charged=charged, price=times * predictions.critical_price(16, charged), seed=seed, times=times)
            for charged in ("all", "right")
            for times in (1.5, 3.0)
            for seed in range(3)
        ]

        def path(setting: dict, step: int) -> dict:
            price, charged = setting["price"], setting["charged"]
            alike = predictions.gated_rest(price, 16, 8, 0.875, charged, guess=1.0) + rest
            long = end if setting["times"] == 3 and step > 50 else alike
            return dict(long_probability=long, greedy_long=float(long > 1 / 3))

        return rounds(settings, path, n=100, every=5)

    check = claims.gate_alike.criterion
    assert check(gated()).verdict == HELD
    assert (
        check(gated(rest=-0.15)).verdict == check(gated(rest=0.15)).verdict == check(gated(end=0.4)).verdict == FAILED
    )


def test_a_gate_with_guesses_as_they_are():
    def gated(off=0.0, guess=0.8, said=None) -> pd.DataFrame:
        """Runs that rest where `guess` lets them, and say `said`."""
        settings = [
            dict(charged=charged, price=times * predictions.critical_price(16, charged), gate=0.875, seed=seed)
            for charged in ("all", "right")
            for times in (1.5, 2.0, 3.0)
            for seed in range(3)
        ]
        rests = {
            (s["charged"], s["price"]): predictions.gated_rest(s["price"], 16, 8, 0.875, s["charged"], guess=guess)
            for s in settings
        }

        def path(setting: dict, step: int) -> dict:
            long = rests[setting["charged"], setting["price"]] + off
            named = guess if said is None else said
            return dict(long_probability=long, greedy_long=float(long > 1 / 3), guess=named, sampled_long_accuracy=1.0)

        return rounds(settings, path, n=100, every=5)

    check = claims.gate_as_alike.criterion
    assert check(gated()).verdict == check(gated(off=0.05)).verdict == HELD
    assert check(gated(off=0.12)).verdict == check(gated(off=-0.12)).verdict == FAILED
    assert check(gated(said=0.5)).verdict == check(gated(guess=1.0, said=0.5)).verdict == FAILED
    assert check(gated(guess=0.5, said=0.5)).verdict == FAILED  # tells nothing from independent guesses


def rare(growth: float = 2.0, rarities=(6, 9, 12), n: int = 18, first=lambda rarity: 0) -> pd.DataFrame:
    def path(setting: dict, step: int) -> dict:
        odds = 2.0 ** -setting["rarity"] * growth**step
        drawn = float(step >= first(setting))
        return dict(long_probability=odds / (1 + odds), greedy_long=float(odds > 0.5), rollout_long=drawn)

    return rounds([dict(rarity=r, seed=s) for r in rarities for s in range(5)], path, n=n)


def test_takeoff_takes_logarithmically_many_rounds():
    check = claims.takeoff_is_logarithmic.criterion
    assert check(rare()).verdict == check(rare(growth=1.75)).verdict == HELD
    assert check(rare(growth=1.2)).verdict == FAILED  # some never take off
    assert check(rare(growth=1.4, n=40)).verdict == FAILED  # too late
    assert check(rare(growth=4.0)).verdict == FAILED  # faster than doubling


def test_what_takes_off_must_be_drawn_often_enough():
    cells = ((6, 1024), (9, 1024), (9, 8192))

    def verdict(*take_off: int) -> str:
        """Of five runs in each cell, so many take off."""

        def path(setting: dict, step: int) -> dict:
            goes = setting["seed"] < take_off[cells.index((setting["rarity"], setting["rollouts"]))]
            return dict(long_probability=0.5, greedy_long=float(goes and step > 5), rollout_long=0.0)

        settings = [dict(rarity=r, rollouts=n, seed=s) for r, n in cells for s in range(5)]
        return claims.enough_are_drawn.criterion(rounds(settings, path, n=14)).verdict

    assert verdict(5, 0, 5) == verdict(5, 2, 5) == HELD
    assert verdict(5, 3, 5) == verdict(4, 0, 5) == verdict(5, 0, 4) == FAILED


def test_waiting_for_the_first_long_answer():
    check = claims.waiting.criterion
    quantiles = -np.log(1 - (np.arange(5) + 0.5) / 5)  # of an exponential law

    def table(scale: float) -> pd.DataFrame:
        def first(setting: dict) -> float:
            return scale * quantiles[setting["seed"]] * 2.0 ** setting["rarity"] / 512 - 1

        return rare(growth=1.0, rarities=(12, 14), n=100, first=first)

    assert check(table(1.0)).verdict == HELD
    assert check(table(0.1)).verdict == check(table(6.0)).verdict == FAILED
    assert check(table(1000.0)).verdict == FAILED  # none sees one


def test_a_chain_is_learned_link_after_link_only():
    def table(**accuracy) -> pd.DataFrame:
        settings = [dict(lesson=lesson, seed=seed) for lesson in accuracy for seed in range(3)]
        return rounds(settings, lambda s, step: dict(greedy_accuracy=accuracy[s["lesson"]] if step else 0.5), n=50)

    check = claims.link_after_link.criterion
    assert check(table(growing=1.0, whole=0.5, chain=0.55)).verdict == HELD
    for changed in (dict(growing=0.5), dict(whole=0.7), dict(chain=0.7)):
        assert check(table(**dict(growing=1.0, whole=0.5, chain=0.5) | changed)).verdict == FAILED


def resting(settings: list[dict], rest) -> pd.DataFrame:
    def path(setting: dict, step: int) -> dict:
        q = 0.25 + (rest(setting) - 0.25) * min(1, step / 20) + 0.01 * (setting["seed"] - 2)
        return dict(long_probability=q, greedy_long=float(q > 1 / 3))

    return rounds(settings, path, n=60, every=5)


def test_where_a_penalty_lets_long_answers_rest():
    check, settings = claims.kl_rests.criterion, [dict(kl=k, seed=s) for k in (0.3, 1.0, 3.0) for s in range(5)]
    assert check(resting(settings, lambda s: predictions.kl_rest(0.25, s["kl"], 8))).verdict == HELD
    assert check(resting(settings, lambda s: predictions.kl_rest_tilted(0.25, s["kl"], 8))).verdict == FAILED
    assert check(resting(settings, lambda s: 1.0)).verdict == FAILED
    assert check(resting(settings, lambda s: predictions.kl_rest(0.25, 2 * s["kl"], 8))).verdict == FAILED


def test_groups_leave_the_mean_path_alone_unless_there_is_a_penalty():
    check = claims.group_sizes.criterion
    settings = [dict(kl=k, group=g, seed=s) for k in (0.0, 0.5) for g in (2, 8, 32) for s in range(5)]

    def right(s: dict) -> float:
        return predictions.kl_rest(0.25, s["kl"], s["group"]) if s["kl"] else 0.95

    assert check(resting(settings, right)).verdict == HELD
    assert check(resting(settings, lambda s: right(s) if s["kl"] else 0.95 - 0.3 * (s["group"] == 2))).verdict == FAILED
    assert check(resting(settings, lambda s: 0.64 if s["kl"] else 0.95)).verdict == FAILED
    assert check(resting(settings, lambda s: right({**s, "group": 32}))).verdict == FAILED


# --- the predictions behind them, by brute force and by chance ---


@pytest.mark.parametrize("charged", ["all", "right"])
def test_the_rest_is_where_the_drift_turns(charged):
    for times, guess in ((1.5, 0.5), (2.0, 0.5), (2.0, 0.8), (3.0, 0.5), (3.0, 0.65)):
        args = (times * predictions.critical_price(16, charged), 16, 8, 0.875, charged, guess, 0.98)
        rest = predictions.gated_rest(*args)
        below, above = (predictions.gated_drift(rest + step, *args) for step in (-0.01, 0.01))
        assert 0.1 < rest < 0.8 and below > 0 > above
        assert all(predictions.gated_drift(q, *args) < 0 for q in np.linspace(rest + 0.01, 0.999, 20))


@pytest.mark.parametrize(("guess", "well"), [(0.5, 1.0), (0.8, 1.0), (1.0, 0.9)])
@pytest.mark.parametrize(("charged", "gate"), [("all", 0.0), ("all", 0.875), ("right", 0.875), ("right", 1.0)])
def test_the_gated_drift_is_that_of_drawn_groups(charged, gate, guess, well):
    q, price, d, group, rng = 0.4, 1 / 15, 16, 8, np.random.default_rng(0)
    is_long = rng.random((400_000, group)) < q
    names_first = rng.random(is_long.shape) < guess
    right = np.where(is_long, rng.random(is_long.shape) < well, names_first == (rng.random((400_000, 1)) < 0.5))
    cost = price * np.where(is_long, d, 1) * (right if charged == "right" else 1)
    rewards = right - cost * (right.mean(axis=1, keepdims=True) >= gate)
    drift = ((is_long - q) * rewards).mean()
    assert predictions.gated_drift(q, price, d, group, gate, charged, guess, well) == pytest.approx(drift, abs=1.5e-3)


def test_without_a_gate_the_price_is_critical_where_it_says():
    for charged in ("all", "right"):
        price = predictions.critical_price(16, charged)
        assert predictions.gated_drift(0.3, price, 16, 8, 0.0, charged) == pytest.approx(0, abs=1e-12)
        assert predictions.gated_rest(0.9 * price, 16, 8, 0.0, charged) == 1
        assert predictions.gated_rest(1.1 * price, 16, 8, 0.0, charged) == 0


@pytest.mark.parametrize("group", [2, 8, 32])
def test_the_advantage_gap_is_that_of_the_algorithm(group):
    right = np.random.default_rng(0).random((100_000, group)) < 0.7
    advantage = group_advantage(right.astype(float))
    gap = advantage[right].mean() - advantage[~right].mean()
    assert predictions.advantage_gap(0.7, group) == pytest.approx(gap, abs=0.02)
    assert predictions.advantage_gap(0.7, 4000) == pytest.approx(1 / np.sqrt(0.21), rel=1e-2)


@pytest.mark.parametrize("weight", [0.1, 0.5, 3.0])
def test_at_rest_the_gradient_of_reward_and_penalty_vanishes(weight):
    """The mean of what `policy_loss` differentiates, over all four answers of a two-step reader, by finite differences
    of log-probabilities: A log pi less weight x (pi_start/pi - log ... - 1), token by token."""
    p, group = 0.25, 8
    q = predictions.kl_rest(p, weight, group)

    def step(a: float, g: float) -> tuple[float, float]:
        """Gradient by the two logits, from the reward's covariance and the penalty's own derivative."""
        h = predictions.advantage_gap((1 + a * g) / 2, group)
        outcomes = [(1 - a, (1 - a, None), 0.5), (a * (1 - g), (a, 1 - g), 0.5), (a * g, (a, g), 1.0)]
        gradient = np.zeros(2)
        for chance, (first, second), right in outcomes:
            score_a = (1 - a) if first == a and second is not None else -a
            score_g = 0.0 if second is None else ((1 - g) if right == 1.0 else -g)
            old_first = (1 + p) / 2 if second is not None else (1 - p) / 2
            on = 2 * p / (1 + p)
            old_second = 1.0 if second is None else (on if right == 1.0 else 1 - on)
            penalty_a = 1 - old_first / first  # d/d log pi of (q - log q - 1), q = old/new
            penalty_g = 0.0 if second is None else 1 - old_second / second
            gradient += chance * np.array(
                [score_a * (h * right - weight * penalty_a), score_g * (h * right - weight * penalty_g)]
            )
        return tuple(gradient)

    a = brentq(lambda a: step(a, q / a)[0], max(q, (1 + p) / 2) + 1e-9, 1 - 1e-9)
    assert np.allclose(step(a, q / a), 0, atol=1e-6)


def test_prompts_and_not_groups_decide_the_pace():
    def paths(rate) -> pd.DataFrame:
        """rate(prompts, group) -> growth of P(long) a round."""
        settings = [dict(group=g, rollouts=n, seed=s) for g, n in ((8, 128), (8, 512), (32, 2048)) for s in range(5)]

        def path(setting: dict, step: int) -> dict:
            grown = 0.25 + rate(setting["rollouts"] // setting["group"], setting["group"]) * step
            return dict(long_probability=min(grown, 1.0), greedy_long=1.0)

        return rounds(settings, path, n=24, every=2)

    check = claims.prompts_decide.criterion
    assert check(paths(lambda prompts, group: prompts / 2000)).verdict == HELD
    assert check(paths(lambda prompts, group: 0.03)).verdict == FAILED  # nothing decides
    assert check(paths(lambda prompts, group: group / 500)).verdict == FAILED
    assert check(paths(lambda prompts, group: 0.0)).verdict == FAILED
