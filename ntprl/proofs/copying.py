"""Checks of section 6.1 of chapters/proofs/linear_chain.md: a round copies the heads and moves the stop by ln 2.

Everything is enumerated. `Heads` holds the first head and the stop; links are right, but for a chance given by hand.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import floor, log, sqrt

import numpy as np
from scipy.special import expit

from ntprl.proofs import exact_chain
from ntprl.proofs.assertions import Formula, hold
from ntprl.proofs.formulas import FORMULAS
from ntprl.seeds import numpy_rng

LN_2 = log(2)


def first_logit(q: float) -> float:
    """a(q), the ideal score of the first head for x_1."""
    return log((1 + q) / (1 - q))


def stop_logit(q: float) -> float:
    """alpha(q), the ideal score of the stop after y_1 = x_1."""
    return log((1 - q) / (2 * q))


def weight(q: float) -> float:
    """W(q), half of the curvature of the stop's risk at v = 1."""
    return q * (1 - q) / (1 + q)


def norm(values: np.ndarray, where: np.ndarray | None = None) -> float:
    """Root mean square over prompts."""
    return float(np.sqrt(np.mean(np.square(values if where is None else values[where]))))


@cache
def grid(d: int) -> dict[str, np.ndarray]:
    """All prompts (2^d, d); the characters of the stop at v = 1 and of the first head; the product of x_2..x_d."""
    x = np.array(list(product((1.0, -1.0), repeat=d)))
    one, first = np.ones((len(x), 1)), x[:, :1]
    stop = np.hstack([one, first, x[:, 1:], first * x[:, 1:]])  # 1, x_1, x_i, x_1 x_i: 2d of them
    rest = x[:, 1:].prod(axis=1)

    def features(y: np.ndarray) -> np.ndarray:
        return np.hstack([x, y[:, None], y[:, None] * x, one])

    seen = {"same": features(x[:, 0]), "other": features(-x[:, 0])}
    return {"x": x, "stop": stop, "first": np.hstack([one, first * x[:, 1:]]), "rest": rest} | seen


@dataclass(frozen=True)
class Heads:
    """First head (d,) and stop (2d + 2,) of a chain."""

    first: np.ndarray
    stop: np.ndarray

    @property
    def d(self) -> int:
        return len(self.first)

    @property
    def h(self) -> np.ndarray:
        """The first head's score for x_1, by prompt."""
        return grid(self.d)["x"][:, 0] * (grid(self.d)["x"] @ self.first)

    @property
    def s(self) -> np.ndarray:
        """The stop score after y_1 = x_1, by prompt."""
        return grid(self.d)["same"] @ self.stop

    @property
    def s_wrong(self) -> np.ndarray:
        """The stop score after y_1 = -x_1, by prompt."""
        return grid(self.d)["other"] @ self.stop

    def deviations(self, q: float) -> tuple[float, float]:
        """|Delta| and X = ||xi|| against the ideal chain of share q."""
        return norm(self.h - first_logit(q)), norm(self.s - stop_logit(q))


def as_heads(d: int, h: np.ndarray, s: np.ndarray, wrong: float = 30.0) -> Heads:
    """Heads with the scores h and s at v = 1, which must be sums of their characters; `wrong` at v = -1 on average."""
    at = grid(d)
    first = (at["first"].T @ h) / len(h)
    c = (at["stop"].T @ s) / len(s)  # on 1, x_1, x_i, x_1 x_i
    hold("lem-copy", np.allclose(at["stop"] @ c, s) and np.allclose(at["first"] @ first, h), "not in the class")
    stop = np.zeros(2 * d + 2)
    stop[0] = stop[d] = c[1] / 2
    stop[1:d] = c[2 : d + 1]
    stop[d + 2 : 2 * d + 1] = c[d + 1 :]
    stop[d + 1], stop[-1] = (c[0] - wrong) / 2, (c[0] + wrong) / 2
    return Heads(first, stop)


def pushed(d: int, q: float, first: dict[int, float], stop: dict[int, float]) -> Heads:
    """The ideal chain of share q with pushes along characters, given by their column in `grid`."""
    at = grid(d)
    h = first_logit(q) + sum((size * at["first"][:, i] for i, size in first.items()), np.zeros(2**d))
    s = stop_logit(q) + sum((size * at["stop"][:, i] for i, size in stop.items()), np.zeros(2**d))
    return as_heads(d, h, s)


@dataclass(frozen=True)
class Kept:
    """What the chain reward keeps, by prompt and not normalised: chains, short answers with v = 1 and with v = -1."""

    long: np.ndarray
    short: np.ndarray
    other: np.ndarray

    @classmethod
    def of(cls, heads: Heads, links: np.ndarray | float = 1.0) -> "Kept":
        """`links`: the chance that all links are right."""
        agrees = (1 + grid(heads.d)["rest"]) / 2
        right, stops = expit(heads.h), expit(heads.s)
        other = (1 - right) * (1 - agrees) * expit(heads.s_wrong)
        return cls(right * (1 - stops) * links, right * stops * agrees, other)

    @property
    def total(self) -> float:
        return float((self.long + self.short + self.other).sum())

    @property
    def share(self) -> float:
        """q': of long among the kept."""
        return float(self.long.sum() / self.total)


def refit(d: int, kept: Kept, lam: float = 0.0) -> Heads:
    """The heads' minimisers under what was kept; without ridge the stop at v = -1 is set by hand to 30 on average."""
    at = grid(d)
    margins = np.vstack([at["first"], -at["first"]])
    masses = np.concatenate([kept.long + kept.short, kept.other])
    first = exact_chain.minimiser(margins, masses / kept.total, lam)
    if lam:
        margins = np.vstack([-at["same"], at["same"], at["other"]])
        masses = np.concatenate([kept.long, kept.short, kept.other])
        return Heads(first, exact_chain.minimiser(margins, masses / kept.total, lam))
    margins, masses = np.vstack([-at["stop"], at["stop"]]), np.concatenate([kept.long, kept.short])
    c = exact_chain.minimiser(margins, masses / kept.total, 0.0)
    return as_heads(d, at["first"] @ first, at["stop"] @ c)


def hostile(d: int, size: float) -> Iterator[tuple[str, dict[int, float], dict[int, float]]]:
    """(name, pushes of the first head, pushes of the stop) along directions that hurt: constant, x_1, pairs of bits."""
    x_1x_2, x_2, x_3 = d + 1, 2, 3  # columns of the stop's characters
    for sign in (size, -size):
        yield f"constant {sign}", {}, {0: sign}
        yield f"x_1 {sign}", {}, {1: sign}
        yield f"x_2 and x_3 {sign}", {}, {x_2: sign, x_3: size}
        yield f"x_1x_2 {sign}", {}, {x_1x_2: sign}
        yield f"x_1x_2 of the first head, x_3 of the stop {sign}", {1: sign}, {x_3: size}
        yield f"first head {sign}", {0: sign, 1: sign}, {}


def check_copy(
    stop: Formula = FORMULAS["copy-stop"],
    first: Formula = FORMULAS["copy-first"],
    slope: Formula = FORMULAS["slope"],
    step: float = LN_2,
) -> float:
    """lem-copy: gradient at s - ln 2 and minimisers after a round without ridge, under hostile pushes.

    Where a deviation has fewer than d - 2 factors of x_2..x_d, the copy is exact. Returns the largest share of a bound.
    """
    worst = 0.0
    for d, q in product((4, 5), (0.005, 0.2, 0.41)):
        at, later = grid(d), 2 * q / (1 + q)
        for size in (1 / (16 * sqrt(4 * d)), 1e-4):
            for name, on_first, on_stop in hostile(d, size):
                heads = pushed(d, q, on_first, on_stop)
                kept = Kept.of(heads)
                where = f"d = {d}, q = {q}, {name}"
                z = heads.s - step
                found = (kept.long * expit(z) - kept.short * expit(-z)) @ at["stop"] / len(z)
                psi = expit(heads.h) * expit(heads.s) * expit(LN_2 - heads.s)
                stated = -(psi * at["rest"]) @ at["stop"] / len(z) / 2
                hold("lem-copy", np.allclose(found, stated, rtol=0, atol=1e-12), f"another gradient: {where}")
                new, (delta, x) = refit(d, kept), heads.deviations(q)
                moved = norm(new.s - (heads.s - step))
                big = delta + x
                hold("lem-copy", moved <= stop(big) + 1e-11, f"stop off by {moved:.3g} > {stop(big):.3g}: {where}")
                bend = norm(new.h - first_logit(later) - (heads.h - first_logit(q)))
                bound = first(slope(q), x, big)
                hold("lem-copy", bend <= bound + 1e-11, f"first head moves {bend:.3g} > {bound:.3g}: {where}")
                if size < 1e-3 and name.startswith("x_1x_2 ") and "head" not in name:
                    near = slope(q) * x
                    hold("lem-copy", abs(bend - near) <= 2e-3 * near, f"gamma |xi| is {near:.3g}, found {bend:.3g}")
                if "x_3" not in name or d > 4:
                    hold("lem-copy", moved < 1e-10 or "first" in name, f"not an exact copy: {where}")
                worst = max(worst, moved / stop(big), bend / bound)
    return worst


def check_weight(curvature: Formula = FORMULAS["weight"]) -> None:
    """The abbreviation W(q): twice it is the second derivative of the stop's risk at v = 1 under D(q)."""
    for q in (0.02, 0.3, 0.6):
        z = stop_logit(q)
        found = (q + (1 - q) / 2) * expit(z) * expit(-z)
        hold("lem-copy", abs(found - curvature(q)) < 1e-12, f"W({q}) is {found:.4g}, stated {curvature(q):.4g}")


def check_nearby(share: float = 1.0) -> float:
    """lem-nearby: share * Q(theta) <= -<g, theta> for the shortened way to minimisers near and far (factor below 1)."""
    rng, least, factors = numpy_rng(4, "init"), float("inf"), []
    for far, lam in 4 * ((0.01, 1e-4), (0.5, 1e-4), (3.0, 1e-2)):
        law = exact_chain.demonstrations(4, 0.3)
        margins, weights = exact_chain.arrays(exact_chain.margin_law("stop", law))
        best = exact_chain.minimiser(margins, weights, lam)
        start = best + far * rng.normal(size=len(best)) / sqrt(len(best))
        way = best - start
        seen = margins[:, 5] * margins[:, 9] > 0  # v = 1: only these scores count
        factor = min(1.0, 0.25 / np.abs(margins[seen] @ way).max())
        theta = factor * way

        places = (start + z * theta for z in np.linspace(0, 1, 51))
        steps = [exact_chain.risk_hessian(place, margins[seen], weights[seen], lam) for place in places]
        least_on_way = min(way @ hessian @ way for hessian in steps) / (way @ way)
        given = -exact_chain.risk_gradient(start, margins, weights, lam) @ theta
        needed = share * least_on_way * theta @ theta
        hold("lem-nearby", needed <= given * (1 + 1e-9), f"{needed:.4g} > {given:.4g}, factor {factor:.3g}")
        factors.append(factor)
        least = min(least, given / needed)
    hold("lem-nearby", min(factors) < 1 == max(factors), "no case on one side of a factor of 1")
    return float(least)


def uneven(d: int = 6, p_0: float = 0.02, size: float = 0.12) -> Heads:
    """A start whose stop scores are spread out: the ideal chain of share p_0 with random deviations of the stop."""
    rng = numpy_rng(6, "init")
    return pushed(d, p_0, {}, {i: float(v) for i, v in enumerate(size * rng.normal(size=2 * d))})


def falling(rounds: int, heads: Heads | None = None) -> list[Heads]:
    """The heads after 0, 1, .. rounds with the chain reward, right links, no ridge, on the whole population."""
    found = [heads or uneven()]
    for _ in range(rounds):
        found.append(refit(found[-1].d, Kept.of(found[-1])))
    return found


def check_flip(own: Callable[[float], int] = lambda s: floor(s / LN_2) + 1, error: float = 2e-3) -> float:
    """cor-flip: at d = 6 each of 64 prompts goes on from its own round on; returns how far the scores are off."""
    history = falling(7)
    start = history[0].s
    worst = max(norm(heads.s - (start - n * LN_2)) for n, heads in enumerate(history))
    hold("cor-flip", worst <= error, f"scores are off by {worst:.3g}")
    rounds = [next(n for n, heads in enumerate(history) if heads.s[i] <= 0) for i in range(len(start))]
    stated = [own(float(s)) for s in start]
    wrong = sum(a != b for a, b in zip(rounds, stated, strict=True))
    hold("cor-flip", wrong == 0, f"{wrong} of {len(start)} prompts flip in another round")
    hold("cor-flip", len(set(rounds)) > 1, "all prompts flip in one round: nothing is tested")
    return worst


def check_round(
    stop: Formula = FORMULAS["round-stop"],
    first: Formula = FORMULAS["round-first"],
    wrong: Formula = FORMULAS["round-wrong"],
) -> float:
    """lem-round (a) to (c): minimisers with ridge after a round whose chains fail where it hurts.

    Links are wrong with probability tau where a character is positive. Returns the largest share of a bound.
    """
    worst, d = 0.0, 4
    for q, lam, tau, size in product((0.01, 0.41), (1e-3, 1e-5), (0.0, 1e-3), (1e-4, 1 / (32 * sqrt(4 * d)))):
        for name, on_first, on_stop in hostile(d, size):
            heads = pushed(d, q, on_first, on_stop)
            links = 1 - tau * (grid(d)["stop"][:, 2] > 0)
            new, (delta, x) = refit(d, Kept.of(heads, links), lam), heads.deviations(q)
            later = 2 * q / (1 + q)
            right = (
                stop(delta + x, tau, lam, weight(later), stop_logit(later)),
                first(FORMULAS["slope"](q), x, delta + x, tau, lam),
            )
            if max(right) > 1 / (16 * sqrt(2 * d)):
                continue
            moved = norm(new.s - (heads.s - LN_2))
            bend = norm(new.h - first_logit(later) - (heads.h - first_logit(q)))
            on = float(expit(-new.s_wrong).max())
            found = zip(("stop", "first head", "going on"), (moved, bend, on), (*right, wrong(lam)), strict=True)
            for what, value, bound in found:
                text = f"{what}: {value:.3g} > {bound:.3g} at q = {q}, lambda = {lam}, tau = {tau}, {name}"
                hold("lem-round", value <= bound + 1e-10, text)
                worst = max(worst, value / bound if bound > 1e-9 else 0.0)
    return worst


def check_round_links(moved: float = 0.25) -> float:
    """lem-round (d): scores of right links after a round, trained on densities as uneven as the lemma allows."""
    worst, d = 0.0, 4
    for name, on_first, on_stop in hostile(d, 1 / (32 * sqrt(4 * d))):
        heads = pushed(d, 0.2, on_first, on_stop)
        masses = Kept.of(heads).long
        x = grid(d)["x"]
        for l in range(2, d + 1):  # noqa: E741 (l is the page's symbol)
            y = np.cumprod(x, axis=1)
            seen = np.hstack([x, y[:, : l - 1], y[:, l - 2 : l - 1] * x])
            margins = seen * y[:, l - 1 : l]
            w = exact_chain.minimiser(margins, masses / masses.sum(), 1e-3)
            b = exact_chain.minimiser(np.ones((1, 1)), np.ones(1), 1e-3)[0]
            least = float((margins @ w).min())
            hold("lem-round", least >= b - moved, f"link {l}: a score of {least:.4g} < {b:.4g} - {moved}, {name}")
            worst = max(worst, (b - least) / moved)
    return worst


def check_moments(ratio: float = 6.0) -> float:
    """Fact 3 of section 6.1: E f^4 <= 6 (E f^2)^2 for sums of the stop's characters; and fact 2, on random ones."""
    rng, worst, d = numpy_rng(8, "init"), 0.0, 5
    at = grid(d)
    cases = [rng.normal(size=2 * d) for _ in range(50)] + [np.eye(2 * d)[[2, 3, 4]].sum(0)]
    half = np.zeros(2 * d)
    half[2:6] = half[d + 1 : d + 5] = 1.0  # all its size on x_1 = 1
    for c in (*cases, half):
        f = at["stop"] @ c
        found = float(np.mean(f**4) / np.mean(f**2) ** 2)
        hold("lem-copy", found <= ratio, f"a fourth moment of {found:.3g} > {ratio}")
        for sign in (1, -1):
            same = norm(f, at["rest"] == sign)
            hold("lem-copy", abs(same - norm(f)) < 1e-9, "the parity is seen by a sum of characters")
        worst = max(worst, found)
    return worst


def copy_error(d: int, size: float = 0.24, q: float = 0.1, seeds: Iterable[int] = range(8)) -> float:
    """How far from s - ln 2 the stop is after a round, if it deviated by `size` in a random direction: the mean."""
    found = []
    for seed in seeds:
        rng = numpy_rng(seed, "init")
        c = rng.normal(size=2 * d)
        c *= size / np.linalg.norm(c)
        heads = pushed(d, q, {}, dict(enumerate(map(float, c))))
        found.append(norm(refit(d, Kept.of(heads)).s - (heads.s - LN_2)))
    return float(np.mean(found))


def check_growth_in_practice(
    stated: Callable[[int], float] = {3: 0.22, 4: 2.3e-3, 5: 8.6e-4, 6: 3.9e-5}.__getitem__,
    order: Formula = lambda d: d - 2,
) -> float:
    """rem-growth: the errors that the remark reports, up to 5 %, and their order, from a push of half the size."""
    worst = 0.0
    for d in (3, 4, 5, 6):
        found, halved = copy_error(d), copy_error(d, 0.12)
        off = abs(found / stated(d) - 1)
        hold("rem-growth", off <= 0.05, f"copied up to {found:.3g} at d = {d}, stated {stated(d):.3g}")
        power = log(found / halved, 2)
        hold("rem-growth", abs(power - order(d)) <= 0.25, f"order {power:.2f} at d = {d}, stated {order(d)}")
        worst = max(worst, off)
    return worst
