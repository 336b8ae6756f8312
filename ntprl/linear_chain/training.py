"""The linear chain in the theorems' three settings: the population's minimiser, SGD on the mixture, STaR.

Population, for d >= 3 (derived; symbols p = p_cot, r = (1 - p)/2, s = 1/(1 + exp(-.))). Every feature and label is a
product of bits. A product has mean 0 unless it is empty, so the gradient at a vector that is supported on one feature
(and the constant, for the stop decision) vanishes in every other coordinate; the loss being convex, and with ridge
strictly so, that vector is the minimiser. What is left are scalar equations, each increasing in its unknown:

    position 1, on x_1:          s(a) - (1 + p)/2 + lambda a = 0;               lambda = 0: a = ln((1 + p)/(1 - p))
    stop, logit at y_1 = x_1:    (p + r) s(g) - r + lambda g/2 = 0;             lambda = 0: g = ln((1 - p)/(2p))
    stop, logit at y_1 = -x_1:   r (s(h) - 1) + lambda h/2 = 0;                 lambda = 0: h = infinity
    link l, on y_(l-1) x_l:      s(c) - 1 + lambda_link c = 0;                  lambda = 0: c = infinity

The weights of the stop decision are (g - h)/2 on y_1 x_1 and (g + h)/2 on 1: since both are regularised alike, the
two logits part into one equation each. With d = 2 the argument fails: after a short answer x_2 = y_1 x_1, so the
feature x_2 tells part of the long ones apart.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import inf, log, sqrt
from numbers import Real

import numba
import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from ntprl import theory
from ntprl.errors import InputError, require, require_choice, require_integer, require_number, require_seed
from ntprl.linear_chain.chain import LONGEST, LinearChain, inputs
from ntprl.linear_chain.sgd import MIXTURE, R_COT, R_E2E, train
from ntprl.seeds import numpy_rng

REWARDS = {"r_cot": R_COT, "r_e2e": R_E2E}


def require_positive(name: str, value: object, below: float = inf) -> None:
    """A real number in (0, below)."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    require(is_number and 0 < value < below, name, value, f"a number above 0 and below {below:g}")


@dataclass(frozen=True)
class Population:
    """What infinitely many samples give: one number for each kind of position."""

    d: int  # bits
    first: float  # weight of x_1, position 1
    stop_same: float  # logit of EOS if y_1 = x_1
    stop_other: float  # logit of EOS if y_1 = -x_1
    link: float  # weight of y_(l-1) x_l, links 2..d

    @property
    def chain_probability(self) -> float:
        """P(the correct chain | x), the same for all x."""
        return float(expit(self.first) * expit(-self.stop_same) * expit(self.link) ** (self.d - 1))

    @property
    def short_probability(self) -> tuple[float, float]:
        """P(the correct short answer | x) where the parity is x_1, and where it is -x_1."""
        return float(expit(self.first) * expit(self.stop_same)), float(expit(-self.first) * expit(self.stop_other))

    def model(self) -> LinearChain:
        """The chain with these weights; they must be finite, that is, with ridge."""
        require(self.link < inf, "lam", 0.0, "above 0 where weights are asked for (without ridge some are infinite)")
        d = self.d
        first, stop, links = np.zeros(d), np.zeros(2 * d + 2), np.zeros((d - 1, 3 * d - 1))
        first[0] = self.first
        stop[d], stop[-1] = (self.stop_same - self.stop_other) / 2, (self.stop_same + self.stop_other) / 2
        links[np.arange(d - 1), d + 1 + np.arange(d - 1)] = self.link
        return LinearChain(first, stop, links)


def population(d: int, p_cot: float, lam: float = 0.0, lam_link: float | None = None) -> Population:
    """The minimisers of the expected loss, with ridge lam (position 1, stop) and lam_link (links; default lam).

    Needs d >= 3 and 0 < p_cot < 1: at p_cot = 0 or 1 a position sees one answer only and its logit is infinite.
    """
    require_integer("d", d, low=3, high=LONGEST)
    require_positive("p_cot", p_cot, below=1)
    lam_link = lam if lam_link is None else lam_link
    require_number("lam", lam, low=0)
    require_number("lam_link", lam_link, low=0)
    r = (1 - p_cot) / 2

    def root(mass: float, target: float, ridge: float) -> float:
        """mass s(z) - target + ridge z = 0, increasing in z; at -bound and bound the signs differ."""
        if ridge == 0:
            return inf if target >= mass else log(target / (mass - target))
        bound = max(target, mass) / ridge
        return brentq(lambda z: mass * expit(z) - target + ridge * z, -bound, bound, xtol=1e-14, rtol=1e-14)

    return Population(d, root(1, 1 - r, lam), root(p_cot + r, r, lam / 2), root(r, r, lam / 2), root(1, 1, lam_link))


def default_ridge(d: int, n_samples: int, n_long: float) -> tuple[float, float]:
    """(lam, lam_link) = (sqrt(d/n_samples)/2, d/n_long), found by trial for d = 10..100 and p_cot = .05...7.

    A smaller one leaves more of the first steps, of size 1/lambda, in the mean; a larger one shrinks more.
    """
    return sqrt(d / n_samples) / 2, d / n_long


def _many(values: object, check: Callable[[object], None]) -> list:
    listed = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    require(len(listed) > 0, "p_cot or seeds", values, "one value or a list of some")
    for value in listed:
        check(value)
    return listed


def _sgd(
    model: LinearChain | None, source: int, d: int, p: float, n: int, ridge: tuple[float, float], seed: int, step: int
) -> tuple[LinearChain, int, int]:
    """(trained chain, samples kept, long ones among them); no model: from the mixture."""
    rng = numpy_rng(seed, "data" if model is None else "rollouts", step)
    key = rng.integers(2**64, dtype=np.uint64)
    empty = LinearChain(np.zeros(d), np.zeros(2 * d + 2), np.zeros((d - 1, 3 * d - 1)))
    start = model or empty
    lam, lam_link = map(float, ridge)
    *weights, kept, n_long = train(key, source, n, float(p), start.first, start.stop, start.links, lam, lam_link)
    return LinearChain(*weights), kept, n_long


def _require_long(n_long: int, p: float, n: int, when: str = "") -> None:
    if n_long == 0 and p > 0:
        expected = f"{n * p:.3g} long samples are expected{when}, none was drawn"
        raise InputError(f"p_cot = {p:g} is too small for n_samples = {n}: {expected}")


def _pretrained(d: int, n: int, lam: float | None, lam_link: float | None, p: float, seed: int) -> tuple:
    rule = default_ridge(d, n, max(p * n, 1))
    ridge = (rule[0] if lam is None else lam, rule[1] if lam_link is None else lam_link)
    return _sgd(None, MIXTURE, d, p, n, ridge, seed, 0)


def _check_sizes(d: int, n_samples: int, lam: float | None, lam_link: float | None) -> None:
    require_integer("d", d, low=2, high=LONGEST)
    require_integer("n_samples", n_samples, low=1)
    for name, value in (("lam", lam), ("lam_link", lam_link)):
        if value is not None:
            require_positive(name, value)


def _in_threads(run: Callable, runs: list[tuple]) -> list:
    """All runs on NUMBA_NUM_THREADS threads: the compiled loop holds no lock, and no run touches another."""
    with ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS) as pool:
        return list(pool.map(lambda arguments: run(*arguments), runs))


def train_chains(
    d: int,
    p_cot: float | Iterable[float],
    n_samples: int,
    lam: float | None = None,
    lam_link: float | None = None,
    seeds: int | Iterable[int] = 0,
) -> dict[tuple[float, int], LinearChain]:
    """Averaged SGD on n_samples fresh demonstrations, for each p_cot in [0, 1] with each seed: (p_cot, seed) -> chain.

    Runs with the same seed see the same inputs. At p_cot = 0 the links keep weight 0. Ridge by `default_ridge`.
    Theorem 1 speaks of 0 < p_cot < 3/4.
    """
    _check_sizes(d, n_samples, lam, lam_link)
    shares = _many(p_cot, lambda p: require_number("p_cot", p, low=0, high=1))
    runs = list(product(shares, _many(seeds, require_seed)))
    results = _in_threads(partial(_pretrained, d, n_samples, lam, lam_link), runs)
    for (p, _), (_, _, n_long) in zip(runs, results, strict=True):
        _require_long(n_long, p, n_samples)
    return {run: model for run, (model, _, _) in zip(runs, results, strict=True)}


def star_table(
    d: int,
    p_cot: float | Iterable[float],
    n_samples: int,
    rounds: int,
    reward: str = "r_cot",
    lam: float | None = None,
    lam_link: float | None = None,
    seeds: int | Iterable[int] = 0,
    n_eval: int = 256,
    require_long: bool = True,
) -> pd.DataFrame:
    """Pre-training, then rounds of STaR: n_samples rollouts of the current chain, SGD from 0 on the rewarded ones.

    One row for each p_cot, seed and round (0: after pre-training). kept, kept_long: samples the round trained on and
    the share of long ones; predicted: P(long) by Theorem 2, 2^n p/(2^n p + 1 - p), which needs 0 < p_cot < 1; the rest:
    `LinearChain.measure` on all inputs or n_eval seeded ones. The default lam_link counts the long samples of the round
    before. A training without one long sample is refused, or with require_long False leaves the links at 0.
    """
    _check_sizes(d, n_samples, lam, lam_link)
    require_integer("rounds", rounds, low=0)
    require_choice("reward", reward, REWARDS)
    shares = _many(p_cot, lambda p: require_positive("p_cot", p, below=1))
    runs = list(product(shares, _many(seeds, require_seed)))

    def run(p: float, seed: int) -> list[dict]:
        x, rows = inputs(d, n_eval, seed), []
        for n in range(rounds + 1):
            if n == 0:
                expected, model, kept, n_long = p, *_pretrained(d, n_samples, lam, lam_link, p, seed)
            else:
                expected = rows[-1]["chain"]
                rule = default_ridge(d, n_samples, max(n_long, 1))
                ridge = (rule[0] if lam is None else lam, rule[1] if lam_link is None else lam_link)
                model, kept, n_long = _sgd(model, REWARDS[reward], d, p, n_samples, ridge, seed, n)
            if require_long:
                _require_long(n_long, expected, n_samples, f" in round {n} of STaR" if n else "")
            row = {"p_cot": p, "seed": seed, "round": n, "kept": kept, "kept_long": n_long / max(kept, 1)}
            rows.append(row | {"predicted": theory.star_recursion(p, n)} | model.measure(x))
        return rows

    return pd.DataFrame([row for rows in _in_threads(run, runs) for row in rows])
