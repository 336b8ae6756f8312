"""STaR, REINFORCE and GRPO: how rewards become weights. Everything else about them is the same.

Each function maps the rewards R of B prompts with G answers each and the lengths of those answers (EOS
counted), both (B, G), to an advantage A and a denominator D, both (B, G). `policy_gradient` makes the loss

    - sum over answers i and their tokens t of  A_i / D_i * ratio_it,   ratio_it = pi / pi_old

of them. For STaR and REINFORCE pi_old is the current pi, so that the gradient is that of A_i / D_i * log pi;
for GRPO it is the pi that wrote the answers, and the ratio is clipped.

Departures from the published algorithms: (1) STaR (Zelikman et al., 2022) starts each round from the base model
and adds hints; here, as in the paper, it goes on from the current weights, without hints. (2) REINFORCE's
baseline is the mean reward of the batch, the answer itself included, which scales the gradient by 1 - 1/(BG).
(3) GRPO (Shao et al., 2024) divides each answer by its own length; `grpo` divides by the tokens of the batch, as DAPO
(Yu et al., 2025) and TRL's default do, and `grpo_published` by the length. (4) GRPO's penalty for leaving
a reference is off unless asked for, and then it is the published one, without the later correction of its bias.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def centred(rewards: np.ndarray, axis: int | None) -> np.ndarray:
    """Rewards minus their mean; exactly 0 where they are all equal, whatever the rounding of the mean."""
    equal = rewards.max(axis=axis, keepdims=True) == rewards.min(axis=axis, keepdims=True)
    return np.where(equal, 0.0, rewards - rewards.mean(axis=axis, keepdims=True))


def star(rewards: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A = 1 if R > 0 else 0; D = tokens of all kept answers: the cross-entropy on what is kept."""
    kept = (rewards > 0).astype(float)
    return kept, np.full_like(kept, max(1.0, (kept * lengths).sum()))


def reinforce(rewards: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A = R - mean of all R; D = B G, the number of answers."""
    return centred(rewards, axis=None), np.full_like(rewards, rewards.size)


def group_advantage(rewards: np.ndarray) -> np.ndarray:
    """(R - mean of the group) / (standard deviation of the group + 1e-4), with G - 1 in the latter, as in TRL."""
    return centred(rewards, axis=1) / (rewards.std(axis=1, ddof=1, keepdims=True) + 1e-4)


def grpo(rewards: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A = group advantage; D = tokens of all answers: every token counts alike."""
    return group_advantage(rewards), np.full_like(rewards, lengths.sum())


def grpo_published(rewards: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A = group advantage; D = B G x length of the answer: every answer counts alike."""
    return group_advantage(rewards), rewards.size * lengths


class Algorithm(NamedTuple):
    """An entry of ALGORITHMS: all that the loop and the figures ask of an algorithm."""

    weigh: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    clipped: bool  # is pi_old the policy that wrote the answers, with a clipped ratio?
    tempered: bool  # is pi what was sampled from (softmax(logits / temperature)), or the model at temperature 1?
    label: str = ""  # what figures call it; empty: its name in ALGORITHMS


ALGORITHMS = {
    "star": Algorithm(star, clipped=False, tempered=False, label="STaR"),  # next-token training knows no temperature
    "reinforce": Algorithm(reinforce, clipped=False, tempered=True, label="REINFORCE"),
    "grpo": Algorithm(grpo, clipped=True, tempered=True, label="GRPO"),
    "grpo_published": Algorithm(grpo_published, clipped=True, tempered=True, label="GRPO, per answer"),
}
