"""A linear chain for answers of any length: the theorem's model, with stop or go on asked before every token.

Before token l an answer knows x and y_1..y_(l-1). Two linear classifiers look at the same features:

    features  [1, x, y_1..y_(l-1), y_(l-1) x]          and with `checks` also y_(l-1) y_(l-2) x, with y_0 = 1
    stop l    logit of EOS                             l = 1..d; an answer of d tokens ends
    sign l    logit of y_l = +1, given that there is a token

With `checks` a classifier sees whether the last token was a right link, y_(l-1) = y_(l-2) x_(l-1). For l = 2 the
features y_(l-1) x have it already, which is all that the theorem's chain needs (its stop is asked at l = 2 alone).

A classifier is the ridge minimiser over the samples that reach it, by Newton's method. One that has seen a single
label always gives it, and one that has seen nothing is a coin. So where no demonstration stops, the model does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log1p

import numpy as np
from scipy.linalg import solve
from scipy.special import expit, log_expit

from ntprl.errors import InputError, require, require_integer, require_number
from ntprl.linear_chain.answers import (
    AnswerWeight,
    Parts,
    answer_lengths,
    draw_answers,
    full,
    prompts,
    r_e2e,
    wrong_links,
)
from ntprl.linear_chain.sgd import compiled, logistic
from ntprl.seeds import numpy_rng

CERTAIN = 40.0  # logit of a classifier that has seen a single label
RIDGE = 1e-4  # of the mean loss; a link that is never wrong is then right with probability .999
TOLERANCE = 1e-9  # of the gradient; its entries start near 1
ROUNDING = 1e-12  # by which a risk may seem to rise


def features(x: np.ndarray, y: np.ndarray, token: int, checks: bool = False) -> np.ndarray:
    """What is known before token 1..d of answers y to prompts x, (n, m)."""
    one, past = np.ones((len(x), 1)), y[:, : token - 1]
    if token == 1:
        return np.hstack((one, x))
    parts = [one, x, past, past[:, -1:] * x]
    if checks and token > 2:
        parts.append(past[:, -2:-1] * parts[-1])
    return np.hstack(parts)


@compiled
def _moments(u, share, w):
    """(risk, gradient, second derivatives) of the weighted mean of ln(1 + exp(-<w, u>)).

    A loop and not BLAS: for matrices this thin, BLAS loses more by waking its threads than it gains.
    """
    n, m = u.shape
    risk, gradient, second = 0.0, np.zeros(m), np.zeros((m, m))
    for i in range(n):
        score = 0.0
        for j in range(m):
            score += w[j] * u[i, j]
        wrong = logistic(-score)
        risk += share[i] * (log1p(exp(-abs(score))) + max(-score, 0.0))
        slope, curve = share[i] * wrong, share[i] * wrong * (1.0 - wrong)
        for j in range(m):
            gradient[j] -= slope * u[i, j]
            c = curve * u[i, j]
            for k in range(j + 1):
                second[j, k] += c * u[i, k]
    for j in range(m):
        for k in range(j):
            second[k, j] = second[j, k]
    return risk, gradient, second


def logistic_ridge(phi: np.ndarray, labels: np.ndarray, weights: np.ndarray, lam: float) -> np.ndarray:
    """argmin over w of the weighted mean of ln(1 + exp(-label <w, phi>)), plus lam |w|^2/2; labels +1 and -1."""
    u, share, ridge = phi * labels[:, None], weights / weights.sum(), lam * np.eye(phi.shape[1])

    def at(w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        risk, gradient, second = _moments(u, share, w)
        return risk + lam / 2 * (w @ w), gradient + lam * w, second + ridge

    w = np.zeros(phi.shape[1])
    risk, gradient, second = at(w)
    for _ in range(100):
        if np.abs(gradient).max() < TOLERANCE:
            return w
        step = solve(second, gradient, assume_a="pos")
        size, old = 1.0, risk
        while size > 1e-8:  # far from the minimum a whole step may overshoot
            risk, gradient, second = at(w - size * step)
            if risk <= old + ROUNDING:
                break
            size /= 2
        w = w - size * step
    raise InputError(f"lam = {lam:g} is not allowed: lam must be larger, the fit does not converge")


def _classifier(phi: np.ndarray, labels: np.ndarray, weights: np.ndarray, lam: float) -> np.ndarray:
    seen = labels[weights > 0]
    if len(seen) and seen.min() < seen.max():
        return logistic_ridge(phi, labels, weights, lam)
    w = np.zeros(phi.shape[1])
    w[0] = CERTAIN * seen[0] if len(seen) else 0
    return w


@dataclass(frozen=True, eq=False)
class GeneralChain:
    """Weights on `features` of the classifiers of tokens 1..T; an answer of T tokens ends (T = d unless capped)."""

    stops: tuple[np.ndarray, ...]
    signs: tuple[np.ndarray, ...]
    checks: bool = False

    @property
    def d(self) -> int:
        return len(self.signs[0]) - 1

    def logits(self, x: np.ndarray, y: np.ndarray, token: int) -> tuple[np.ndarray, np.ndarray]:
        """(logit of EOS, logit of +1 if there is a token) before token 1..T, (n,) each."""
        phi = features(x, y, token, self.checks)
        return phi @ self.stops[token - 1], phi @ self.signs[token - 1]

    def _answers(self, x: np.ndarray, decide: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        is_good = x.ndim == 2 and x.shape[1] == self.d and bool(np.all(np.abs(x) == 1))
        require(is_good, "x", x.shape, f"rows of {self.d} entries, each +1 or -1")
        y, going = np.zeros_like(x), np.arange(len(x))
        for token in range(1, len(self.signs) + 1):
            chosen = decide(*self.logits(x[going], y[going], token))
            y[going, token - 1] = chosen
            going = going[chosen != 0]
        return y

    def greedy(self, x: np.ndarray, likeliest: bool = False) -> np.ndarray:
        """Answers (n, d): first stop or go on, then the sign; or the likeliest of the three tokens +1, -1, EOS."""

        def decide(stop: np.ndarray, sign: np.ndarray) -> np.ndarray:
            rival = log_expit(-stop) + (log_expit(np.abs(sign)) if likeliest else 0)
            return np.where(log_expit(stop) > rival, 0, np.where(sign > 0, 1, -1))

        return self._answers(x, decide)

    def sample(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Answers drawn at temperature 1, (n, d)."""

        def decide(stop: np.ndarray, sign: np.ndarray) -> np.ndarray:
            token = np.where(rng.random(len(sign)) < expit(sign), 1, -1)
            return np.where(rng.random(len(stop)) < expit(stop), 0, token)

        return self._answers(x, decide)


def fit_chain(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    lam: float = RIDGE,
    checks: bool = False,
    cap: int | None = None,
) -> GeneralChain:
    """The chain that fits answers y, (n, d), to prompts x, each sample with its weight (default 1).

    cap: how many tokens are learned and then written at most (default d).
    """
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)
    same = x.ndim == 2 and x.shape == y.shape and weights.shape == (len(x),)
    require(same, "shapes", (x.shape, y.shape, weights.shape), "(n, d), (n, d) and (n,)")
    require(bool(np.isin(y, (-1, 0, 1)).all()), "y", y, "+1, -1, and 0 after the end")
    require(not ((y[:, 1:] != 0) & (y[:, :-1] == 0)).any(), "y", y, "0 from its end on")
    require(bool((weights >= 0).all() and np.isfinite(weights).all()), "weights", weights, "finite and at least 0")
    require_number("lam", lam, low=1e-12)
    cap = x.shape[1] if cap is None else cap
    require_integer("cap", cap, low=1)
    require(cap <= x.shape[1], "cap", cap, f"at most d = {x.shape[1]}")
    if weights.sum() == 0:
        raise InputError(f"none of {len(x)} answers has a weight above 0: there is nothing to fit")
    kept = weights > 0
    x, y, weights = x[kept], y[kept], weights[kept]
    stops, signs = [], []
    for token in range(1, cap + 1):
        phi, label = features(x, y, token, checks), y[:, token - 1]
        stops.append(_classifier(phi, np.where(label == 0, 1.0, -1.0), weights, lam))
        x, y, weights, phi = x[label != 0], y[label != 0], weights[label != 0], phi[label != 0]
        signs.append(_classifier(phi, label[label != 0], weights, lam))
    return GeneralChain(tuple(stops), tuple(signs), checks)


def pretrain_chain(parts: Parts, d: int, n: int, seed: int = 0, **options) -> GeneralChain:
    """The fit to n fresh demonstrations; options as in `fit_chain`. Runs with the same seed see the same prompts."""
    return fit_chain(*draw_answers(parts, n, d, numpy_rng(seed, "data")), **options)


def star_models(
    model: GeneralChain, rewards: list[AnswerWeight], n: int, seed: int = 0, lam: float = RIDGE
) -> list[GeneralChain]:
    """The models after each round of STaR, one reward a round: a fit to n rollouts, each weighted by its reward."""
    require_integer("n", n, low=1)
    models = []
    for number, reward in enumerate(rewards, start=1):
        rng = numpy_rng(seed, "rollouts", number)
        x = prompts(n, model.d, rng)
        y = model.sample(x, rng)
        model = fit_chain(x, y, reward(x, y), lam, model.checks)
        models.append(model)
    return models


def measure_chain(model: GeneralChain, seed: int = 0, n: int = 10_000) -> dict[str, float]:
    """Rates on n fresh prompts: of sampled answers those of more than one token, `long`, and the wrong links in these,
    `noise`; of greedy ones the right, `accuracy`, the whole right chains, `full`, and their `length`."""
    rng = numpy_rng(seed, "evaluation")
    x = prompts(n, model.d, rng)
    drawn, greedy = model.sample(x, rng), model.greedy(x)
    links = (drawn[:, 1:] != 0).sum()
    return {
        "long": float((answer_lengths(drawn) > 1).mean()),
        "noise": float(wrong_links(x, drawn).sum() / links) if links else float("nan"),
        "accuracy": float(r_e2e(x, greedy).mean()),
        "full": float((greedy == full(x)).all(axis=1).mean()),
        "length": float(answer_lengths(greedy).mean()),
    }
