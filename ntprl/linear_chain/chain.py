"""The linear chain of Theorems 1 and 2: one linear classifier for each token of an answer.

Bits are +1 and -1. A long answer is y_l = x_1 ... x_l for l = 1..d, a short one y_1 = x_1 ... x_d and then EOS.

    H_1    y_1:              logit of +1   = <w, x>
    H_2a   stop after y_1?   logit of EOS  = <w, [x, y_1 x, y_1]> + b
    H_l    y_l, l = 2..d:    logit of +1   = <w, [x, y_(l-1) x, y_1..y_(l-1)]>

EOS is decided once: an answer that goes on runs to y_d. Source: paper facts, section 3 (formulas second-hand).
Choices of ours: b is regularised like a weight (the feature that is always 1), which the theorem may do otherwise;
lambda may differ between the two decisions that all samples see (`lam`) and the links (`lam_link`); a logit of
exactly 0 goes to -1, and to going on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit

from ntprl.errors import require, require_integer, require_number
from ntprl.linear_chain.sgd import compiled, link_score, logistic
from ntprl.seeds import numpy_rng

LONGEST = 5_000  # bits: the weights of the links grow with their square, to 0.6 GB


def inputs(d: int, n: int = 4096, seed: int = 0) -> np.ndarray:
    """All 2^d inputs if these are at most n, else n seeded fair draws; (at most n, d), entries +1. and -1."""
    require_integer("d", d, low=2, high=LONGEST)
    require_integer("n", n, low=1)
    if d < 63 and 2**d <= n:
        return np.array(list(product((1.0, -1.0), repeat=d)))
    return 1.0 - 2.0 * numpy_rng(seed, "evaluation").integers(2, size=(n, d))


@compiled
def _right_end(links, x, plus, minus, tol):
    """(mass of long answers that end in the parity, mass not followed), from P(go on, y_1 = +1) and P(go on, y_1 = -1).

    Goes through all chains, depth first; a prefix lighter than tol is not followed.
    """
    d, parity = len(x), 1.0
    for j in range(d):
        parity *= x[j]
    y, mass, other = np.ones(d), np.empty(d), np.empty(d)  # other: what y_l = -1 gets after this, < 0 once done
    mass[0], other[0], k = plus, minus, 0
    right = unresolved = 0.0
    while k >= 0:
        m = mass[k]
        mass[k] = -1.0
        if m < 0 and other[k] < 0:
            k -= 1
        elif m < 0:
            y[k], mass[k], other[k] = -1.0, other[k], -1.0
        elif k == d - 1:
            right += m * (y[k] == parity)
        elif m < tol:
            unresolved += m
        else:
            q = logistic(link_score(links[k], x, y, k))
            k += 1
            y[k], mass[k], other[k] = 1.0, m * q, m * (1.0 - q)
    return right, unresolved


@dataclass(frozen=True, eq=False)
class LinearChain:
    """Weights of all positions for d bits."""

    first: np.ndarray  # (d,) on x
    stop: np.ndarray  # (2d + 2,) on [x, y_1 x, y_1, 1]
    links: np.ndarray  # (d - 1, 3d - 1); row l - 2 is H_l on [x, y_(l-1) x, y_1..y_(d-1)], 0 from y_l on

    def __post_init__(self) -> None:
        d = len(self.first)
        require_integer("d", d, low=2, high=LONGEST)
        shapes = (self.stop.shape, self.links.shape)
        allowed = ((2 * d + 2,), (d - 1, 3 * d - 1))
        require(shapes == allowed, "shapes of stop and links", shapes, f"{allowed} for d = {d}")

    @property
    def d(self) -> int:
        return len(self.first)

    def _require_inputs(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        is_good = x.ndim == 2 and x.shape[1] == self.d and len(x) > 0 and bool(np.all(np.abs(x) == 1))
        require(is_good, "x", x.shape, f"one or more rows of {self.d} entries, each +1 or -1")
        return x

    def stop_logits(self, x: np.ndarray, y_1: np.ndarray) -> np.ndarray:
        """Logit of EOS after y_1: (n, d), (n,) -> (n,)."""
        w, d = self.stop, self.d
        return x @ w[:d] + y_1 * (x @ w[d : 2 * d] + w[2 * d]) + w[2 * d + 1]

    def link_logits(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Logit of y_l = +1 for l = 2..d, the links before it given: (n, d), (n, d) -> (n, d - 1)."""
        w, d, past = self.links, self.d, y[:, :-1]
        return x @ w[:, :d].T + past * (x @ w[:, d : 2 * d].T) + past @ w[:, 2 * d :].T

    def _answers(self, x: np.ndarray, decide: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        x, d = self._require_inputs(x), self.d
        y = np.zeros((len(x), d), dtype=np.int8)
        y[:, 0] = np.where(decide(x @ self.first), 1, -1)
        goes_on = np.flatnonzero(~decide(self.stop_logits(x, y[:, 0])))
        x, long = x[goes_on], y[goes_on]
        on_x, on_product = x @ self.links[:, :d].T, x @ self.links[:, d : 2 * d].T  # (n_long, d - 1)
        for k in range(d - 1):
            past = long[:, : k + 1]
            logits = on_x[:, k] + past[:, k] * on_product[:, k] + past @ self.links[k, 2 * d : 2 * d + k + 1]
            long[:, k + 1] = np.where(decide(logits), 1, -1)
        y[goes_on] = long
        return y

    def greedy(self, x: np.ndarray) -> np.ndarray:
        """The likeliest token each time: answers (n, d) of +1 and -1; a short answer is y_1 and then zeros."""
        return self._answers(x, lambda logits: logits > 0)

    def sample(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Answers drawn at temperature 1, written as in `greedy`."""
        return self._answers(x, lambda logits: rng.random(len(logits)) < expit(logits))

    def distribution(self, x: np.ndarray, tol: float | None = None) -> pd.DataFrame:
        """Exact probabilities of what is answered to each x, one row for each; nothing is drawn.

        chain, short: P(the correct chain | x), P(the correct short answer | x); long, stop: P(y_2 | x), P(EOS | x)
        r_cot, r_e2e: expected rewards. r_e2e adds up every chain that ends in the parity, 2^(d-1) of them; prefixes
        lighter than tol are not followed (default: 0 up to d = 12, else 1e-6), count half, and `unresolved` is
        their mass: r_e2e is off by at most unresolved/2.
        """
        x = self._require_inputs(x)
        tol = (0.0 if self.d <= 12 else 1e-6) if tol is None else tol
        require_number("tol", tol, low=0, high=1)
        correct = np.cumprod(x, axis=1)
        logit = x @ self.first
        go = {y: expit(y * logit) * expit(-self.stop_logits(x, np.full(len(x), y))) for y in (1.0, -1.0)}  # (n,)
        ends = {y: expit(y * logit) * expit(self.stop_logits(x, np.full(len(x), y))) for y in (1.0, -1.0)}
        links = log_expit(correct[:, 1:] * self.link_logits(x, correct)).sum(axis=1)
        rows = pd.DataFrame({"chain": np.where(x[:, 0] > 0, go[1.0], go[-1.0]) * np.exp(links)})
        rows["short"] = np.where(correct[:, -1] > 0, ends[1.0], ends[-1.0])
        rows["long"], rows["stop"] = go[1.0] + go[-1.0], ends[1.0] + ends[-1.0]
        rows["r_cot"] = rows["chain"] + rows["short"]
        found = [_right_end(self.links, *row, tol) for row in zip(x, go[1.0], go[-1.0], strict=True)]
        right, unresolved = np.array(found).T
        rows["r_e2e"] = rows["short"] + right + unresolved / 2
        return rows.assign(unresolved=unresolved)

    def measure(self, x: np.ndarray, tol: float | None = None) -> dict[str, float]:
        """Means over the rows of x: of `distribution`, and of the greedy answers' rewards and length.

        greedy_r_cot, greedy_r_e2e: share that is exactly right, and that ends in the parity; greedy_long: that goes on.
        """
        rows, y, correct = self.distribution(x, tol), self.greedy(x), np.cumprod(x, axis=1)
        is_long = y[:, 1] != 0
        end = np.where(is_long, y[:, -1], y[:, 0]) == correct[:, -1]
        exact = np.where(is_long, (y == correct).all(axis=1), end)
        greedy = {"greedy_r_cot": exact.mean(), "greedy_r_e2e": end.mean(), "greedy_long": is_long.mean()}
        return {name: float(value) for name, value in (rows.mean().to_dict() | greedy).items()}
