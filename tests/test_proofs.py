"""The proofs page against its checks: every statement has one, each passes, and each fails on a wrong formula."""

import re
from fractions import Fraction
from itertools import pairwise
from math import e, inf, log, log2, sqrt
from pathlib import Path

import pytest
import sympy

from ntprl.proofs import beyond, copying, flows, hardness, heads, pretraining, star
from ntprl.proofs import checks as proof_checks

PAGE = (Path(__file__).resolve().parent.parent / "chapters" / "proofs" / "linear_chain.md").read_text()
KINDS = "definition|lemma|theorem|corollary|proposition|remark"


def statements(page):
    """(kind, label or None) of every statement on a page, in order."""
    found = re.findall(rf"(?ms)^```\{{prf:({KINDS})\}}[^\n]*\n(.*?)^```", page)
    labels = [(kind, re.search(r"(?m)^:label: (\S+)$", body)) for kind, body in found]
    return [(kind, label and label[1]) for kind, label in labels]


def unproved(page):
    """Labels of lemmas, theorems, corollaries and propositions that no proof follows."""
    blocks = [*re.findall(rf"(?ms)^```\{{prf:({KINDS}|proof)\}}[^\n]*\n(.*?)^```", page), ("end", "")]
    bare = {"definition", "remark", "proof", "end"}
    return [
        re.search(r":label: (\S+)", body)[1]
        for (kind, body), (after, _) in pairwise(blocks)
        if kind not in bare and after != "proof"
    ]


def test_every_statement_has_a_check_and_every_check_a_statement():
    labels = [label for _, label in statements(PAGE)]
    assert len(labels) > 30
    assert labels == list(proof_checks.CHECKS), "the page and CHECKS list other statements, or in another order"
    assert all(proof_checks.CHECKS.values())


def test_every_statement_is_proved():
    assert unproved(PAGE) == []


def test_a_statement_without_label_or_proof_is_noticed():
    page = "```{prf:lemma} One\n:label: lem-one\nx\n```\n\n```{prf:theorem}\nno label\n```\n"
    assert statements(page) == [("lemma", "lem-one"), ("theorem", None)]
    assert unproved("```{prf:lemma} One\n:label: lem-one\nx\n```\n") == ["lem-one"]


@pytest.mark.parametrize("label", proof_checks.CHECKS)
def test_statement(label):
    proof_checks.check(label)


# What a careless reader could write instead, and which check must notice it: label -> (check, changed formula).
WRONG = {
    "first token: a third agrees": ("def-mixture", heads.check_mixture, {"first": lambda p: p + (1 - p) / 3}),
    "links see no prefix": ("def-chain", heads.check_heads, {"size": lambda head, d: 2 * d}),
    "slope of the loss without minus": (
        "def-training",
        heads.check_loss,
        {"slope": lambda z: -1 / (1 + sympy.exp(-z))},
    ),
    "slopes at most a half": ("def-training", heads.check_loss, {"steepest": 0.5}),
    "calibrated accuracy (1 + 2p)/2": ("def-decoding", heads.check_calibrated, {"accuracy": lambda p: 0.5 + p}),
    "a feature that leans": ("lem-reduction", heads.check_reduction, {"lean": 0.2}),
    "two bits": ("lem-margins", heads.check_margins, {"sizes": (2,)}),
    "long has mass p/2": ("lem-margins", heads.check_margins, {"go_on": lambda p: p / 2}),
    "half of the ridge": (
        "lem-blind",
        heads.check_blind,
        {
            "equations": lambda p, lam: {
                "first": heads.coin((1 + p) / 2, (1 - p) / 2, lam),
                "alpha": heads.coin((1 - p) / 2, p, lam),
                "beta": heads.coin((1 - p) / 2, 0, lam / 2),
                "link": heads.coin(1, 0, lam),
            }
        },
    ),
    "stop logit ln((1 - p)/p)": ("lem-blind", heads.check_logits, {"stop": lambda p: log((1 - p) / p)}),
    "first logit ln(p/(1 - p))": ("lem-blind", heads.check_logits, {"first": lambda p: log(p / (1 - p))}),
    "bias 5 % too small": (
        "lem-ridge",
        heads.check_ridge,
        {"bias": lambda q, r, mu: 0.95 * mu * abs(log(q / r)) / (q + r)},
    ),
    "bias rho": ("lem-ridge", heads.check_ridge, {"log_bound": lambda rho: rho}),
    "bias sqrt(rho)/4": ("lem-ridge", heads.check_ridge, {"root_bound": lambda rho: sqrt(rho) / 4}),
    "iterates within sqrt(m)/(3 lambda)": (
        "lem-sgd",
        pretraining.check_sgd,
        {"radius": lambda m, lam: sqrt(m) / (3 * lam)},
    ),
    "short answers (1 - p)/3": ("thm-pretraining", pretraining.check_pretraining, {"short": lambda p: (1 - p) / 3}),
    "long answers 2p/(1 + p)": ("thm-pretraining", pretraining.check_pretraining, {"long": lambda p: 2 * p / (1 + p)}),
    "ln 6": ("rem-three-quarters", pretraining.check_three_quarters, {"bound": 6.0}),
    "kept share 2p/(1 + 2p)": ("lem-kept", star.check_kept, {"share": lambda p: 2 * p / (1 + 2 * p)}),
    "kept share p": ("lem-kept", star.check_kept, {"share": lambda p: p}),
    "map 2p/(1 + 2p)": ("lem-recursion", star.check_recursion, {"share": lambda p: 2 * p / (1 + 2 * p)}),
    "solution 2^n p": ("lem-recursion", star.check_recursion, {"solution": lambda p, n: 2**n * p}),
    "slope 2/(1 + p)": ("lem-recursion", star.check_recursion, {"slope": lambda p: 2 / (1 + p)}),
    "rounds to .99 without the 99": (
        "cor-rounds",
        star.check_rounds,
        {"reach": lambda p, delta: star.above(log2((1 - p) / (p * 2)) + 1)},
    ),
    "STaR with 2p/(1 + 2p)": ("thm-star", star.check_star, {"share": lambda p: 2 * p / (1 + 2 * p)}),
    "STaR stands still": ("thm-star", star.check_star, {"share": lambda p: p}),
    "p* = m": ("prop-threshold", beyond.check_threshold, {"threshold": lambda m: m}),
    "p* = 0.34 for parity": (
        "prop-threshold",
        beyond.check_threshold,
        {"threshold": lambda m: Fraction(34, 100) if m == Fraction(1, 2) else m / (1 + m)},
    ),
    "p* of marks 1/3": (
        "prop-threshold",
        beyond.check_threshold,
        {"threshold": lambda m: Fraction(1, 3) if m == 1 else m / (1 + m)},
    ),
    "noise moves the two-way threshold": ("prop-noise", beyond.check_noise, {"two_way": lambda eta: 1 / (3 - 2 * eta)}),
    "noise leaves the three-way one": ("prop-noise", beyond.check_noise, {"three_way": lambda eta: Fraction(1, 3)}),
    "d noisy links": ("prop-noise-star", beyond.check_noise_star, {"chain_factor": lambda eta, d: 2 * (1 - eta) ** d}),
    "noise kills half": ("prop-noise-star", beyond.check_noise_star, {"outcome_factor": lambda eta, d: 1}),
    "noise stays": ("prop-noise-star", beyond.check_noise_star, {"left": lambda eta, d: eta}),
    "cut chains do not help": ("prop-three", beyond.check_three_lengths, {"odds_needed": lambda mu: Fraction(1, 2)}),
    "mu instead of mu/2": (
        "prop-three",
        beyond.check_three_lengths,
        {"odds_needed": lambda mu: max(mu, (1 - 3 * mu) / 2)},
    ),
    "lowest threshold 1/8": ("prop-three", beyond.check_three_lengths, {"least": Fraction(1, 8)}),
    "mu/2 for the chain": (
        "cor-three-chain",
        beyond.check_three_lengths_chain,
        {"odds_needed": lambda mu: max(mu / 2, (1 - 3 * mu) / 2)},
    ),
    "the chain's lowest threshold 1/7": (
        "cor-three-chain",
        beyond.check_three_lengths_chain,
        {"least": Fraction(1, 7)},
    ),
    "factor r_L/r_S": ("prop-weights", beyond.check_weights, {"factor": lambda long, short: long / short}),
    "cost 1/d": ("prop-weights", beyond.check_weights, {"cost": lambda d: 1 / d}),
    "discount 2^(-1/d)": ("prop-weights", beyond.check_weights, {"discount": lambda d: 2 ** (-1 / d)}),
    "factor one rests": ("cor-no-rest", beyond.check_no_rest, {"factors": (1.0,)}),
    "process weight (1 - eta)^2": ("prop-process", beyond.check_process, {"weight": lambda eta: (1 - eta) ** 2}),
    "process reward cleans": ("prop-process", beyond.check_process, {"left": lambda eta, d: 0}),
    "code: the mean of w_0..w_(T-1)": ("def-training", pretraining.check_code, {"first": 0}),
    "bias omega(.6 lambda)": ("cor-calibration", heads.check_calibration, {"doubled": 0.6}),
    "bias of the stop omega(.6 lambda)": ("cor-calibration", heads.check_calibration, {"stretched": 0.6}),
    "rate without the logarithm": (
        "lem-sgd",
        pretraining.check_sgd,
        {"bound": lambda m, lam, steps: m / (2 * lam * steps) * 0.7},
    ),
    "weights twice as near": (
        "cor-head",
        pretraining.check_head,
        {"distance": lambda m, lam, steps, delta: sqrt(m * (1 + log(steps)) / (8 * delta * steps)) / lam},
    ),
    "half the steps": ("lem-steps", pretraining.check_steps, {"steps": lambda bound: log(4 / bound) / bound}),
    "ridge eps/8": ("thm-pretraining", pretraining.check_pretraining_constants, {"ridge": lambda eps: eps / 8}),
    "half of the samples": (
        "thm-pretraining",
        pretraining.check_pretraining_constants,
        {"inverse": lambda d, delta, lam, eps: 32 * (d + 1) ** 2 / (delta * lam**2 * eps**2)},
    ),
    "threshold .36": ("thm-pretraining", pretraining.check_pretraining, {"threshold": lambda: 0.36}),
    "threshold .3": ("thm-pretraining", pretraining.check_pretraining, {"threshold": lambda: 0.3}),
    "answers within eps/4": ("thm-pretraining", pretraining.check_pretraining, {"accuracy": 0.25}),
    "rounds above log2((1 - p)/p)": ("cor-rounds", star.check_rounds, {"flip": lambda p: log2((1 - p) / p)}),
    "n_0 without the half": ("cor-rounds", star.check_rounds, {"safe": lambda p: star.above(log2((1 - p) / p)) + 1}),
    "a round moves the stop by ln 2.2": ("lem-copy", copying.check_copy, {"step": log(2.2)}),
    "copies are exact": ("lem-copy", copying.check_copy, {"stop": lambda size: 1e-3 * size**2}),
    "first head does not feel the stop": ("lem-copy", copying.check_copy, {"first": lambda g, x, size: 4.1 * size**2}),
    "weight q": ("lem-copy", copying.check_weight, {"curvature": lambda q: q}),
    "fourth moments of one fair coin": ("lem-copy", copying.check_moments, {"ratio": 3.0}),
    "curvature 5 % better": ("lem-nearby", copying.check_nearby, {"share": 1.05}),
    "one round later": ("cor-flip", copying.check_flip, {"own": lambda s: int(s / log(2)) + 2}),
    "all prompts with the mean": ("cor-flip", copying.check_flip, {"own": lambda s: 5}),
    "scores exact to 1e-4": ("cor-flip", copying.check_flip, {"error": 1e-4}),
    "a round without ridge": (
        "lem-round",
        copying.check_round,
        {"stop": lambda size, tau, lam, weight, alpha: 2 * size**2 + 2 * tau},
    ),
    "links stay sure": (
        "lem-round",
        copying.check_round,
        {"first": lambda slope, x, size, tau, lam: 1.6 * slope * x + 4.1 * size**2},
    ),
    "links do not move": ("lem-round", copying.check_round_links, {"moved": 1e-3}),
    "half as many errors add up": ("thm-star", star.check_star, {"adds": 0.1}),
    "squares count three times": ("thm-star", star.check_star_constants, {"square": 25}),
    "first order at d = 4": ("rem-growth", copying.check_growth_in_practice, {"order": lambda d: 1}),
    "copied twice as well": (
        "rem-growth",
        copying.check_growth_in_practice,
        {"stated": {3: 0.11, 4: 1.1e-3, 5: 4.3e-4, 6: 2e-5}.__getitem__},
    ),
    "rewards agree always": ("prop-outcome", star.check_outcome, {"bound": lambda tau, kept: 0.0}),
    "end-to-end pays 2^-k": ("prop-half", star.check_half, {"outcome": lambda k: 2.0 ** (1 - k)}),
    "end-to-end cleans": ("prop-half", star.check_half, {"left": lambda k: 0}),
    "parity of one bit": ("prop-short", hardness.check_short_only, {"sizes": (1,)}),
    "majority at chance": ("rem-majority", hardness.check_majority, {"edge": lambda d: 0}),
    "linear rules at half of 1/sqrt(d)": ("rem-majority", hardness.check_majority, {"most": lambda d: 0.25 / sqrt(d)}),
    "targets at random": ("prop-hardness", hardness.check_hardness, {"average": lambda d: 0.5}),
    "gradient split without the half": ("prop-hardness", hardness.check_hardness, {"half": 1.0}),
    "one round only": ("prop-rare", hardness.check_rare, {"bound": lambda n, p, rounds, d: n * p + n / 2 ** (d - 1)}),
    "d rounds": ("prop-rare", hardness.check_rare, {"rounds": lambda d: d}),
    "the end teaches a product": ("prop-rare", hardness.check_rare, {"label": 1}),
    "noisy chains go on above 1/2 only": ("prop-noise", beyond.check_noise, {"low": Fraction(51, 100)}),
    "no skip": ("prop-skip", beyond.check_skip, {"stride": 1}),
    "skipping flips at 1/3": ("prop-skip", beyond.check_skip, {"flip": Fraction(1, 3), "accuracy": inf}),
    "skipping is rewarded": ("prop-skip", beyond.check_skip, {"after": lambda p: 2 * p / (1 + p)}),
    "skipping is right": ("prop-skip", beyond.check_skip, {"accuracy": Fraction(3, 4)}),
    "GRPO is REINFORCE": ("prop-flows", flows.check_flows, {"changed": {"grpo": flows.FLOWS["reinforce"]}}),
    "all take log time": ("prop-flows", flows.check_flows, {"times": {"star": flows.TIMES["unit"]}}),
}


@pytest.mark.parametrize(("label", "check", "change"), WRONG.values(), ids=WRONG)
def test_wrong_formula_is_noticed(label, check, change):
    assert check in proof_checks.CHECKS[label]
    with pytest.raises(AssertionError) as caught:
        check(**change)
    message = str(caught.value)
    assert message.startswith(f"{label}: ") and len(message.splitlines()) == 1, message


def test_every_check_notices_something():
    broken = {check for _, check, _ in WRONG.values()}
    assert broken == {check for checks in proof_checks.CHECKS.values() for check in checks}


def test_checks_can_be_called_by_label():
    assert proof_checks.check("lem-kept") == {"lem-kept": None}
    assert 0 < proof_checks.check("lem-sgd")["lem-sgd"] < 1
    assert heads.omega(1 / e) == pytest.approx(1 / e)
