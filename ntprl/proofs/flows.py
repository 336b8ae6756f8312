"""Checks of section 10.5 of chapters/proofs/linear_chain.md: policy-gradient flows on the one logit of going on."""

from functools import cache
from math import log, sqrt

import sympy
from scipy.integrate import solve_ivp

from ntprl.proofs.assertions import Formula, hold
from ntprl.proofs.formulas import FORMULAS

KINDS = ("reinforce", "grpo", "star", "natural", "unit")
FLOWS: dict[str, Formula] = {kind: FORMULAS[f"flow-{kind}"] for kind in KINDS}
TIMES: dict[str, Formula] = {kind: FORMULAS[f"time-{kind}"] for kind in KINDS}


@cache
def derived() -> dict[str, sympy.Expr]:
    """dp/dt of each kind from its definition: dz/dt is a gradient in the logit z, and dp/dz = p(1 - p)."""
    z = sympy.symbols("z", real=True)
    p = sympy.symbols("p", positive=True)
    sigma = 1 / (1 + sympy.exp(-z))

    def in_p(expression: sympy.Expr) -> sympy.Expr:
        return sympy.simplify(expression.subs(z, sympy.log(p / (1 - p))))

    reward = (1 + sigma) / 2
    slope, speed = in_p(sympy.diff(reward, z)), in_p(sympy.diff(sigma, z))
    mean = (1 + p) / 2
    kept = p / mean
    return {
        "reinforce": speed * slope,
        "grpo": speed * slope / sympy.sqrt(mean * (1 - mean)),
        "star": speed * (kept - p),  # gradient of kept ln sigma(z) + (1 - kept) ln sigma(-z)
        "natural": speed * slope / (p * (1 - p)),
        "unit": speed,
    }


def flow_time(kind: str, p_0: float, p: float = 1 / 3, times: dict[str, Formula] = TIMES) -> float:
    """Time from p_0 to p."""
    at = (lambda q: times[kind](sqrt((1 + q) / (1 - q)))) if kind == "grpo" else times[kind]
    return at(p) - at(p_0)


def check_flows(changed: dict[str, Formula] | None = None, times: dict[str, Formula] | None = None) -> float:
    """prop-flows: dp/dt by sympy, times by solving the equations, and their growth for small p_0.

    Where formulas are changed, only the flows of these kinds are looked at.
    """
    kinds, worst = {*(changed or {}), *(times or {})} or set(KINDS), 0.0
    flows, times = FLOWS | (changed or {}), TIMES | (times or {})
    for kind in kinds:
        expression = derived()[kind]
        p = next(iter(expression.free_symbols))
        for value in (0.01, 0.2, 0.33, 0.8):
            off = abs(float(expression.subs(p, value)) / flows[kind](value) - 1)
            hold("prop-flows", off < 1e-12, f"dp/dt of {kind} is off by {off:.2g} at p = {value}")
        for p_0 in (0.01, 0.1, 0.25):
            stated = flow_time(kind, p_0, times=times)
            there = lambda t, q: q[0] - 1 / 3  # noqa: E731 (an event needs an attribute)
            there.terminal = True
            rate = lambda t, q, kind=kind: [flows[kind](q[0])]  # noqa: E731
            run = solve_ivp(rate, (0, 1e6), [p_0], events=there, rtol=1e-9, atol=1e-12)
            off = abs(run.t_events[0][0] / stated - 1)
            hold("prop-flows", off < 1e-5, f"{kind} takes {run.t_events[0][0]:.5g} from {p_0}, stated {stated:.5g}")
            worst = max(worst, float(off))
    limits = {"reinforce": 2, "grpo": 1, "star": 1}
    small = 1e-6
    for kind, limit in limits.items():
        if kind not in kinds:
            continue
        found = flow_time(kind, small, times=times) * small
        hold("prop-flows", abs(found / limit - 1) < 1e-3, f"{kind} takes {found:.4g}/p_0, stated {limit}/p_0")
    for kind, limit in {"natural": 2, "unit": 1}.items():
        if kind not in kinds:
            continue
        found = flow_time(kind, small, times=times) / log(1 / small)
        hold("prop-flows", abs(found / limit - 1) < 0.1, f"{kind} takes {found:.3g} ln(1/p_0), stated {limit}")
    return worst
