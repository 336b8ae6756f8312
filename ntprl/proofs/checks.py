"""Every labelled statement of chapters/proofs/linear_chain.md, with the checks that would notice if it were wrong.

    from ntprl.proofs.checks import CHECKS, check
    check("thm-star")     # runs its checks; an AssertionError of one line says what differs

Each check takes the stated formula as its argument, so `check_kept(share=lambda p: 2 * p / (1 + 2 * p))` shows
how a wrong one is noticed. The checks are numerical or exact at small d: they guard the page, they prove nothing.
"""

from collections.abc import Callable

from ntprl.proofs import beyond, copying, flows, hardness, heads, pretraining, star
from ntprl.proofs.assertions import Formula

CHECKS: dict[str, tuple[Callable, ...]] = {
    "def-mixture": (heads.check_mixture,),
    "def-chain": (heads.check_heads,),
    "def-training": (heads.check_loss, pretraining.check_code),
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
    "lem-copy": (copying.check_copy, copying.check_weight, copying.check_moments),
    "lem-nearby": (copying.check_nearby,),
    "cor-flip": (copying.check_flip,),
    "lem-round": (copying.check_round, copying.check_round_links),
    "thm-star": (star.check_star_constants, star.check_star),
    "rem-growth": (copying.check_growth_in_practice,),
    "prop-outcome": (star.check_outcome,),
    "prop-half": (star.check_half,),
    "prop-threshold": (beyond.check_threshold,),
    "prop-short": (hardness.check_short_only,),
    "rem-majority": (hardness.check_majority,),
    "prop-hardness": (hardness.check_hardness,),
    "prop-rare": (hardness.check_rare,),
    "prop-noise": (beyond.check_noise,),
    "prop-noise-star": (beyond.check_noise_star,),
    "prop-skip": (beyond.check_skip,),
    "prop-three": (beyond.check_three_lengths,),
    "cor-three-chain": (beyond.check_three_lengths_chain,),
    "prop-weights": (beyond.check_weights,),
    "cor-no-rest": (beyond.check_no_rest,),
    "prop-process": (beyond.check_process,),
    "prop-flows": (flows.check_flows,),
}

Guard = tuple[Callable, Callable[[Formula], dict]]


def _named(argument: str) -> Callable[[Formula], dict]:
    return lambda changed: {argument: changed}


# Which check computes with which formula, and how it is given another one: name -> (check, formula -> arguments).
GUARDS: dict[str, Guard] = {
    name: (check, _named(argument))
    for check, arguments in {
        heads.check_mixture: {"first-token": "first"},
        heads.check_logits: {"first-logit": "first", "stop-logit": "stop"},
        heads.check_calibration: {f"bias-{kind}": kind for kind in ("first", "stop", "wrong", "root", "link")},
        pretraining.check_sgd: {"rate": "bound"},
        pretraining.check_head: {"zeta": "distance"},
        pretraining.check_steps: {"steps": "steps"},
        pretraining.check_pretraining_constants: {
            "ridge": "ridge",
            "ridge-link": "ridge_link",
            "budget": "inverse",
            "budget-link": "inverse_link",
        },
        star.check_kept: {"kept": "share"},
        star.check_recursion: {"map": "share", "solution": "solution", "doubling": "double", "growth": "grown"},
        star.check_rounds: {"rounds": "flip", "safe-rounds": "safe"},
        copying.check_weight: {"weight": "curvature"},
        copying.check_copy: {"slope": "slope", "copy-stop": "stop", "copy-first": "first"},
        copying.check_round: {"round-stop": "stop", "round-first": "first", "round-wrong": "wrong"},
        star.check_star_constants: {
            "star-size": "size",
            "star-ridge": "ridge",
            "star-ridge-link": "ridge_link",
            "star-budget": "inverse",
            "star-budget-link": "inverse_link",
        },
        star.check_outcome: {"outcome": "bound"},
        star.check_half: {"half-chain": "factor"},
        beyond.check_threshold: {"pstar": "threshold"},
        hardness.check_majority: {"majority": "edge"},
        hardness.check_hardness: {"hardness": "share"},
        hardness.check_rare: {"rare": "bound"},
        beyond.check_noise: {"noise-threshold": "three_way"},
        beyond.check_noise_star: {
            "noise-chain": "chain_factor",
            "noise-outcome": "outcome_factor",
            "noise-left": "left",
        },
        beyond.check_three_lengths: {"three": "odds_needed"},
        beyond.check_three_lengths_chain: {"three-chain": "odds_needed"},
        beyond.check_weights: {"weights": "factor"},
        beyond.check_process: {"process-left": "left"},
    }.items()
    for name, argument in arguments.items()
} | {
    f"{what}-{kind}": (flows.check_flows, lambda changed, key=key, kind=kind: {key: {kind: changed}})
    for what, key in (("flow", "changed"), ("time", "times"))
    for kind in flows.KINDS
}
GUARDS["skip"] = (beyond.check_skip, lambda changed: {"flip": changed()})


def check(*labels: str) -> dict[str, float | None]:
    """Run the checks of these statements, or of all; label -> the largest deviation met (None: nothing to measure)."""
    found = {}
    for label in labels or CHECKS:
        deviations = [one() for one in CHECKS[label]]
        found[label] = max((value for value in deviations if value is not None), default=None)
    return found
