"""Every labelled statement of chapters/proofs/linear_chain.md, with the checks that would notice if it were wrong.

    from ntprl.proofs.checks import CHECKS, check
    check("thm-star")     # runs its checks; an AssertionError of one line says what differs

Each check takes the stated formula as its argument, so `check_kept(share=lambda p: 2 * p / (1 + 2 * p))` shows
how a wrong one is noticed. The checks are numerical or exact at small d: they guard the page, they prove nothing.
"""

from collections.abc import Callable

from ntprl.proofs import beyond, deviations, heads, pretraining, star

CHECKS: dict[str, tuple[Callable, ...]] = {
    "def-mixture": (heads.check_mixture,),
    "def-chain": (heads.check_heads,),
    "def-training": (heads.check_loss,),
    "def-decoding": (heads.check_calibrated,),
    "lem-reduction": (heads.check_reduction,),
    "lem-margins": (heads.check_margins,),
    "lem-blind": (heads.check_blind, heads.check_logits),
    "lem-ridge": (heads.check_ridge,),
    "cor-calibration": (heads.check_calibration,),
    "lem-sgd": (pretraining.check_sgd,),
    "cor-head": (pretraining.check_head,),
    "lem-steps": (pretraining.check_steps,),
    "thm-pretraining": (pretraining.check_pretraining_constants, pretraining.check_pretraining),
    "rem-three-quarters": (pretraining.check_three_quarters,),
    "lem-kept": (star.check_kept,),
    "lem-recursion": (star.check_recursion,),
    "cor-rounds": (star.check_rounds,),
    "lem-near-kept": (deviations.check_near_kept,),
    "lem-nearby": (deviations.check_nearby,),
    "lem-near-heads": (deviations.check_near_heads,),
    "thm-star": (star.check_star_constants, star.check_star),
    "rem-growth": (star.check_growth_in_practice,),
    "prop-outcome": (star.check_outcome,),
    "prop-threshold": (beyond.check_threshold,),
    "prop-short": (beyond.check_short_only,),
    "rem-majority": (beyond.check_majority,),
    "rem-rare": (beyond.check_rare,),
    "prop-noise": (beyond.check_noise,),
    "prop-noise-star": (beyond.check_noise_star,),
    "prop-skip": (beyond.check_skip,),
    "prop-three": (beyond.check_three_lengths,),
    "cor-three-chain": (beyond.check_three_lengths_chain,),
    "prop-weights": (beyond.check_weights,),
    "cor-no-rest": (beyond.check_no_rest,),
    "prop-process": (beyond.check_process,),
}


def check(*labels: str) -> dict[str, float | None]:
    """Run the checks of these statements, or of all; label -> the largest deviation met (None: nothing to measure)."""
    found = {}
    for label in labels or CHECKS:
        deviations = [one() for one in CHECKS[label]]
        found[label] = max((value for value in deviations if value is not None), default=None)
    return found
