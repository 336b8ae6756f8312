"""From rewards to weights: worked groups, exact zeros, and what shifting and scaling rewards does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ntprl.weightings import ALGORITHMS, grpo, grpo_published, reinforce, star

# a mixed group, one that is all right, one that is all wrong
REWARDS = np.array([[1.0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
LENGTHS = np.array([[2, 3, 4, 1], [2, 2, 2, 2], [5, 5, 5, 5]])
MIXED = 0.5 / (3**-0.5 + 1e-4)  # |A| in the mixed group: its standard deviation is sqrt(4 x .25 / 3)

algorithms = pytest.mark.parametrize("name", ALGORITHMS)
centred_ones = pytest.mark.parametrize("name", ["reinforce", "grpo", "grpo_published"])


def test_star_keeps_what_is_right_and_counts_its_tokens():
    advantage, denominator = star(REWARDS, LENGTHS)
    assert advantage.tolist() == [[1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert denominator.tolist() == [[2 + 1 + 4 * 2] * 4] * 3


def test_star_keeps_an_answer_or_does_not_whatever_the_size_of_its_reward():
    advantage, denominator = star(np.array([[0.001, 7.0], [-3.0, 0.0]]), np.array([[1, 4], [9, 9]]))
    assert advantage.tolist() == [[1, 1], [0, 0]]
    assert denominator.tolist() == [[5, 5], [5, 5]]


def test_star_with_nothing_to_keep_weighs_nothing():
    advantage, denominator = star(np.zeros((2, 3)), np.full((2, 3), 4))
    assert not advantage.any()
    assert (advantage / denominator == 0).all()


def test_reinforce_compares_with_the_mean_of_the_batch():
    advantage, denominator = reinforce(REWARDS, LENGTHS)  # six of twelve are right
    assert advantage.tolist() == [[0.5, -0.5, -0.5, 0.5], [0.5] * 4, [-0.5] * 4]
    assert denominator.tolist() == [[12] * 4] * 3


@pytest.mark.parametrize("algorithm", [grpo, grpo_published])
def test_grpo_compares_within_a_group(algorithm):
    advantage, _ = algorithm(REWARDS, LENGTHS)
    assert advantage[0].tolist() == pytest.approx([MIXED, -MIXED, -MIXED, MIXED], rel=1e-12)
    assert not advantage[1:].any()  # exactly


def test_grpo_of_unequal_rewards_by_hand():
    advantage, _ = grpo(np.array([[3.0, 0.0, 0.0]]), np.ones((1, 3)))
    assert advantage[0].tolist() == pytest.approx(np.array([2, -1, -1]) / (3**0.5 + 1e-4), rel=1e-12)


def test_grpo_divides_by_all_tokens_and_its_published_form_by_those_of_the_answer():
    assert grpo(REWARDS, LENGTHS)[1].tolist() == [[10 + 8 + 20] * 4] * 3
    assert grpo_published(REWARDS, LENGTHS)[1].tolist() == (12 * LENGTHS).tolist()


@centred_ones
@pytest.mark.parametrize("size", [2, 3, 7, 10, 11])
@pytest.mark.parametrize("value", [0, 0.1, 0.7, 1 / 3, 1, -0.3, 1e-7, 1e9 / 7])
def test_equal_rewards_are_worth_exactly_nothing(name, size, value):
    """The mean of three times 0.1 is not 0.1 for a computer."""
    for shape in ((1, size), (size, 3)):
        rewards = np.full(shape, float(value))
        assert not ALGORITHMS[name].weigh(rewards, np.full(shape, 2))[0].any()


def test_equal_rewards_of_one_group_are_worth_exactly_nothing_beside_other_groups():
    rewards = np.array([[0.1, 0.1, 0.1], [0.1, 0.2, 0.3]])
    advantage = grpo(rewards, np.full((2, 3), 2))[0]
    assert not advantage[0].any()
    assert advantage[1].tolist() == pytest.approx([-0.1 / 0.1001, 0, 0.1 / 0.1001], abs=1e-9)


quarters = st.integers(-40, 40).map(lambda i: i / 4)  # sums of these do not round
rewards_of_groups = arrays(float, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8), elements=quarters)


def weigh(name: str, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = 1 + np.arange(rewards.size).reshape(rewards.shape) % 5
    rewards.flags.writeable = lengths.flags.writeable = False
    return ALGORITHMS[name].weigh(rewards, lengths)


@algorithms
@given(rewards=rewards_of_groups)
def test_weights_have_the_shape_of_the_rewards_and_are_finite(name, rewards):
    advantage, denominator = weigh(name, rewards)
    assert advantage.shape == denominator.shape == rewards.shape
    assert np.isfinite(advantage).all()
    assert (denominator > 0).all()


def differences(values: np.ndarray) -> np.ndarray:
    """Each minus each other of its group, (B, G, G)."""
    return values[:, :, None] - values[:, None, :]


@given(rewards=rewards_of_groups)
def test_advantages_add_up_to_nothing(rewards):
    """Over the batch for REINFORCE, over each group for GRPO; better answers get more."""
    assert weigh("reinforce", rewards)[0].sum() == pytest.approx(0, abs=1e-9)
    advantage = weigh("grpo", rewards)[0]
    assert advantage.sum(axis=1).tolist() == pytest.approx([0] * len(rewards), abs=1e-9)
    for values in (weigh("reinforce", rewards)[0], advantage):
        assert (np.sign(differences(values)) == np.sign(differences(rewards))).all()


@given(rewards=rewards_of_groups)
def test_grpo_gives_every_group_with_a_signal_nearly_the_same_spread(rewards):
    spread = rewards.std(axis=1, ddof=1)
    expected = spread / (spread + 1e-4)
    assert weigh("grpo", rewards)[0].std(axis=1, ddof=1).tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@centred_ones
@given(rewards=rewards_of_groups, shift=quarters)
def test_a_constant_added_to_all_rewards_changes_nothing(name, rewards, shift):
    plain, shifted = weigh(name, rewards)[0], weigh(name, rewards + shift)[0]
    np.testing.assert_allclose(shifted, plain, rtol=1e-9, atol=1e-9)


@given(rewards=rewards_of_groups, scale=st.sampled_from([0.25, 0.5, 2, 8]))
def test_what_scaling_the_rewards_does(rewards, scale):
    """STaR: nothing. REINFORCE: as much. GRPO: next to nothing, its smallest spread here being about .09."""
    (star_1, reinforce_1, grpo_1), (star_2, reinforce_2, grpo_2) = (
        [weigh(name, values)[0] for name in ("star", "reinforce", "grpo")] for values in (rewards, rewards * scale)
    )
    assert (star_2 == star_1).all()
    np.testing.assert_allclose(reinforce_2, scale * reinforce_1, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(grpo_2, grpo_1, rtol=6e-3, atol=1e-9)


@algorithms
@given(rewards=rewards_of_groups)
def test_the_order_of_groups_does_not_matter(name, rewards):
    lengths = np.arange(1, rewards.size + 1).reshape(rewards.shape)
    there = ALGORITHMS[name].weigh(rewards, lengths)
    back = ALGORITHMS[name].weigh(rewards[::-1], lengths[::-1])
    for ours, reversed_ones in zip(there, back, strict=True):
        np.testing.assert_allclose(reversed_ones[::-1], ours, rtol=1e-9, atol=1e-12)


def test_which_policies_the_losses_are_of():
    assert {name: (a.clipped, a.tempered) for name, a in ALGORITHMS.items()} == {
        "star": (False, False),
        "reinforce": (False, True),
        "grpo": (True, True),
        "grpo_published": (True, True),
    }
