"""Demonstrations other than the paper's two, and rewards that see more than the last bit.

Bits are +1 and -1. Answers to n prompts are an array (n, d): tokens, and 0 after the end. All functions read arrays
and return new ones. A mixture is a list of parts, each (share, kind), where a kind maps (x, rng) to answers.

    x =  1 -1 -1  1       full    1 -1  1  1        all running products
                          short   1  0  0  0        the parity
                          strided(2)  -1  1  0  0   every 2nd running product
                          cut(2)  1 -1  1  0        two running products, then the parity
                          marked  0  0  0  0        a mark in place of a first token; what follows it does not matter
"""

from collections.abc import Callable, Sequence

import numpy as np

from ntprl.errors import require, require_integer, require_number

Kind = Callable[[np.ndarray, np.random.Generator], np.ndarray]
AnswerWeight = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (prompts, answers) -> weights in [0, 1]
Parts = Sequence[tuple[float, Kind]]


def prompts(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """n fair prompts, (n, d)."""
    return 1.0 - 2.0 * rng.integers(2, size=(n, d))


# --- kinds of demonstrations ---


def full(x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """All running products: 1 -1 -1 1 -> 1 -1 1 1."""
    return np.cumprod(x, axis=1)


def short(x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """The parity: 1 -1 -1 1 -> 1 0 0 0."""
    return _filled(np.prod(x, axis=1, keepdims=True), x)


def marked(x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """A short answer that a mark of its own announces: 1 -1 -1 1 -> 0 0 0 0."""
    return np.zeros_like(x)


def noisy(eta: float) -> Kind:
    """Running products of which each, from the second on, takes its bit flipped with probability eta."""
    require_number("eta", eta, low=0, high=0.5)

    def kind(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        flips = np.where(rng.random(x.shape) < eta, -1, 1)
        flips[:, 0] = 1
        return np.cumprod(x * flips, axis=1)

    return kind


def strided(stride: int) -> Kind:
    """Every stride-th running product; with 2, 1 -1 -1 1 -> -1 1 0 0."""
    require_integer("stride", stride, low=2)

    def kind(x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        d = x.shape[1]
        require(d % stride == 0 and stride < d, "stride", stride, f"a divisor of d = {d} below it")
        return _filled(np.cumprod(x, axis=1)[:, stride - 1 :: stride], x)

    return kind


def cut(links: int) -> Kind:
    """So many running products, then the parity; with 2, 1 -1 -1 1 -> 1 -1 1 0."""
    require_integer("links", links, low=1)

    def kind(x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        require(links < x.shape[1], "links", links, f"below d = {x.shape[1]}")
        return _filled(np.hstack((np.cumprod(x, axis=1)[:, :links], np.prod(x, axis=1, keepdims=True))), x)

    return kind


def _filled(answers: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.hstack((answers, np.zeros((len(x), x.shape[1] - answers.shape[1]))))


def draw_answers(parts: Parts, n: int, d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n fresh demonstrations: prompts and answers, (n, d) each. The shares of the parts add up to 1."""
    shares = [share for share, _ in parts]
    for share in shares:
        require_number("share", share, low=0, high=1)
    require(abs(sum(shares) - 1) < 1e-9, "shares", shares, "numbers that add up to 1")
    require_integer("n", n, low=1)
    require_integer("d", d, low=3)
    x = prompts(n, d, rng)
    part = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
    y = np.zeros((n, d))
    for i, (_, kind) in enumerate(parts):
        rows = part == i
        y[rows] = kind(x[rows], rng)
    return x, y


# --- rewards ---


def answer_lengths(y: np.ndarray) -> np.ndarray:
    """Tokens of each answer, (n,)."""
    return (y != 0).sum(axis=1)


def wrong_links(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Is y_l, l = 2..d, there and other than y_(l-1) x_l? (n, d - 1)."""
    return (y[:, 1:] != 0) & (y[:, 1:] != y[:, :-1] * x[:, 1:])


def r_e2e(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 if the last token is the parity, else 0; an answer without a token is wrong."""
    last = np.take_along_axis(y, np.maximum(answer_lengths(y) - 1, 0)[:, None], axis=1)[:, 0]
    return (last == np.prod(x, axis=1)).astype(float)


def r_cot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 for all running products and for the bare parity, else 0."""
    return ((y == full(x)).all(axis=1) | (y == short(x)).all(axis=1)).astype(float)


def r_process(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A long answer's share of right links, 2..d; 1 for the bare parity, else 0."""
    share = 1 - wrong_links(x, y).sum(axis=1) / np.maximum(answer_lengths(y) - 1, 1)
    return np.where(answer_lengths(y) > 1, share, r_e2e(x, y))


def with_length_cost(reward: AnswerWeight, cost: float) -> AnswerWeight:
    """reward times 1 - cost * tokens; an answer of d tokens must keep a positive weight."""
    require_number("cost", cost, low=0, high=1)

    def charged(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        require(cost * y.shape[1] < 1, "cost", cost, f"below 1/d = 1/{y.shape[1]}")
        return reward(x, y) * (1 - cost * answer_lengths(y))

    return charged
