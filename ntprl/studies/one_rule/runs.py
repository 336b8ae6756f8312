"""What chapters/proofs/linear_chain.md says beyond the paper, on trained linear chains.

An experiment fits `variants.GeneralChain` to fresh samples and returns a tidy table: one row for each case and
seed, the prediction of `one_rule.predictions` beside what was measured.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ntprl import theory
from ntprl.book.readings import final_rows
from ntprl.errors import require, require_integer, require_number
from ntprl.linear_chain.answers import (
    Kind,
    Parts,
    answer_lengths,
    cut,
    full,
    marked,
    noisy,
    r_cot,
    r_e2e,
    r_process,
    short,
    strided,
    with_length_cost,
)
from ntprl.linear_chain.chain import inputs
from ntprl.linear_chain.variants import measure_chain, pretrain_chain, star_models
from ntprl.measure import crossing
from ntprl.studies.one_rule.predictions import (
    length_cost_factor,
    noise_factor,
    noise_left,
    noise_threshold,
    odds,
    share,
    three_lengths_odds,
)

SIZES = {  # profile: samples of each fit, and the seeds
    "smoke": {"n": 2000, "seeds": (0, 1)},
    "laptop": {"n": 8000, "seeds": (0, 1, 2, 3, 4)},
    "paper": {"n": 64_000, "seeds": (0, 1, 2, 3, 4)},
}
D, LINKS = 8, 3  # bits, and the running products of a cut chain
REWARDS = {"chain": r_cot, "end-to-end": r_e2e, "process": r_process}


def case_table(run: Callable[[dict, int], Iterable[dict]], cases: list[dict], seeds: Iterable[int]) -> pd.DataFrame:
    """The rows of run(case, seed) for all cases and seeds; the compiled fits run side by side in threads."""
    seeds = list(seeds)
    require(len(seeds) > 0, "seeds", seeds, "one seed or more")
    for seed in seeds:
        require_integer("seed", seed, low=0)
    pairs = [(case, seed) for case in cases for seed in seeds]
    with ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS) as pool:
        found = pool.map(lambda pair: list(run(*pair)), pairs)
    return pd.DataFrame(
        [case | {"seed": seed} | row for (case, seed), rows in zip(pairs, found, strict=True) for row in rows]
    )


def flip(goes_on: Callable[[float], float], low: float = 0.02, high: float = 0.98, halvings: int = 9) -> float:
    """The share at which goes_on(share), a share of prompts, rises through one half, by bisection to .002.

    Samples of one seed are the same at all shares, but for the demonstrations that change from short to long.
    """
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (low, middle) if goes_on(middle) >= 0.5 else (middle, high)
    return (low + high) / 2


def _flip(mixture: Callable[[float], Parts], tokens: int, n: int, seed: int, likeliest: bool = False) -> float:
    """The share p at which half of all greedy answers to mixture(p) have so many tokens."""

    def goes_on(p: float) -> float:
        model = pretrain_chain(mixture(p), D, n, seed, cap=tokens)  # what follows does not matter here
        return float((answer_lengths(model.greedy(inputs(D), likeliest)) >= tokens).mean())

    return flip(goes_on)


def two_kinds(long: Kind, other: Kind, p: float) -> Parts:
    return [(p, long), (1 - p, other)]


def three_kinds(mu: float, f: float) -> Parts:
    """Full chains f, cut ones mu(1 - f), short ones."""
    return [(f, full), (mu * (1 - f), cut(LINKS)), ((1 - mu) * (1 - f), short)]


def noise_thresholds(n: int, seeds: Iterable[int], etas: Iterable[float] = (0.0, 0.1, 0.2, 0.3, 0.4)) -> pd.DataFrame:
    """Where greedy decoding of noisy chains flips, for both ways of deciding."""

    def run(case: dict, seed: int) -> list[dict]:
        mixture = partial(two_kinds, noisy(case["eta"]), short)
        return [{"flip": _flip(mixture, 2, n, seed, likeliest=case["decoding"] == "likeliest token")}]

    predicted = {"stop first": lambda eta: 1 / 3, "likeliest token": noise_threshold}
    cases = [{"decoding": name, "eta": eta, "predicted": rule(eta)} for eta in etas for name, rule in predicted.items()]
    return case_table(run, cases, seeds)


def other_thresholds(n: int, seeds: Iterable[int]) -> pd.DataFrame:
    """Where greedy decoding flips for marked answers and for chains that skip."""
    kinds = {"marked": (partial(two_kinds, full, marked), 1), "skip": (partial(two_kinds, strided(2), short), 2)}

    def run(case: dict, seed: int) -> list[dict]:
        return [{"flip": _flip(*kinds[case["kind"]], n, seed)}]

    return case_table(run, [{"kind": kind, "predicted": 1 / 2} for kind in kinds], seeds)


def skipping(n: int, seeds: Iterable[int], shares: Iterable[float] = (0.2, 0.4, 0.6, 0.8)) -> pd.DataFrame:
    """Chains of every 2nd product: greedy accuracy, P(long), and P(long) after four rounds of STaR."""

    def run(case: dict, seed: int) -> list[dict]:
        model = pretrain_chain([(case["p"], strided(2)), (1 - case["p"], short)], D, n, seed)
        before = measure_chain(model, seed)
        after = measure_chain(star_models(model, [r_e2e] * 4, n, seed)[-1], seed)
        return [before | {"long_after": after["long"]}]

    return case_table(run, [{"p": p} for p in shares], seeds)


def three_lengths(
    n: int, seeds: Iterable[int], cases: Iterable[tuple[bool, float]], shares: np.ndarray
) -> pd.DataFrame:
    """Greedy answers at each share f of full chains, for cases (links checked?, mu): shares of all prompts.

    at_once: one token; full: the whole right chain; first, later: goes on after token 1, and after the parity's place
    in a cut chain, the tokens before it being right.
    """
    x = inputs(D)

    def run(case: dict, seed: int) -> list[dict]:
        rows = []
        for f in shares:
            model = pretrain_chain(three_kinds(case["mu"], f), D, n, seed, checks=case["checks"])
            greedy = model.greedy(x)
            first, later = (model.logits(x, full(x), token)[0] <= 0 for token in (2, LINKS + 2))
            is_full = (greedy == full(x)).all(axis=1)
            found = {"at_once": answer_lengths(greedy) == 1, "full": is_full, "first": first, "later": later}
            rows.append({"f": float(f)} | {name: float(mask.mean()) for name, mask in found.items()})
        return rows

    return case_table(run, [{"checks": checks, "mu": float(mu)} for checks, mu in cases], seeds)


def tips(n: int, seeds: Iterable[int]) -> pd.DataFrame:
    """`three_lengths` at the mu with the lowest threshold: 1/4 with checked links, 1/5 without."""
    return three_lengths(n, seeds, [(True, 1 / 4), (False, 1 / 5)], np.linspace(0.05, 0.25, 9))


def length_cost(
    n: int,
    seeds: Iterable[int],
    costs: Iterable[float] = (1 / 30, 1 / 15, 1 / 10),
    starts: Iterable[int] = (0, 3),
    rounds: int = 7,
    p: float = 0.25,
) -> pd.DataFrame:
    """STaR with the reward 1 for right answers, and after round `start` 1 - cost * tokens."""
    require_number("p", p, low=0.01, high=0.99)

    def run(case: dict, seed: int) -> list[dict]:
        rewards = [r_e2e] * case["start"] + [with_length_cost(r_e2e, case["cost"])] * (rounds - case["start"])
        before = pretrain_chain([(p, full), (1 - p, short)], D, n, seed)
        rows = []
        for number, model in enumerate([before, *star_models(before, rewards, n, seed)]):
            free, charged = min(number, case["start"]), max(0, number - case["start"])
            grown = odds(p) * 2.0**free * length_cost_factor(case["cost"], D) ** charged
            rows.append({"round": number, "predicted": share(grown), **measure_chain(model, seed)})
        return rows

    return case_table(run, [{"cost": cost, "start": start} for cost in costs for start in starts], seeds)


def noisy_star(
    n: int, seeds: Iterable[int], etas: Iterable[float] = (0.05, 0.1, 0.2, 0.3), p: float = 0.5
) -> pd.DataFrame:
    """One round of STaR on noisy chains under each reward: the factor of the odds of long, and the noise left."""

    def run(case: dict, seed: int) -> list[dict]:
        eta = case["eta"]
        start = pretrain_chain([(p, noisy(eta)), (1 - p, short)], D, n, seed)
        before, rows = measure_chain(start, seed), []
        for name, reward in REWARDS.items():
            after = measure_chain(star_models(start, [reward], n, seed)[0], seed)
            rows.append(
                {
                    "reward": name,
                    "factor": odds(after["long"]) / odds(before["long"]),
                    "predicted_factor": noise_factor(eta, D, name),
                    "noise": after["noise"],
                    "predicted_noise": noise_left(eta, D, name),
                }
            )
        return rows

    return case_table(run, [{"eta": eta} for eta in etas], seeds)


# --- summaries ---


def means(rows: pd.DataFrame, by: list[str], column: str, predicted: str = "predicted") -> pd.DataFrame:
    """Mean of a column over seeds with its 95 % interval (Student's t), and the prediction beside it."""
    groups = rows.groupby(by, sort=False)
    count = groups[column].count()
    half = groups[column].sem() * stdtrit(np.maximum(count - 1, 1), 0.975)
    mean = groups[column].mean()
    found = pd.DataFrame({"predicted": groups[predicted].first(), "measured": mean})
    return found.assign(low=mean - half, high=mean + half).reset_index()


def switches(rows: pd.DataFrame) -> pd.DataFrame:
    """Where `first`, `later` and `full` of `tips` rise through one half, with 95 % t intervals over seeds."""
    found = []
    for (checks, mu), part in rows.groupby(["checks", "mu"], sort=False):
        for column in ("first", "later", "full"):
            measured, (low, high) = crossing(part.rename(columns={"f": "p_cot"}), column)
            row = {"checks": checks, "switch": column, "predicted": share(three_lengths_odds(mu, checks))}
            found.append(row | {"measured": measured, "low": low, "high": high})
    return pd.DataFrame(found)


def all_thresholds(
    noise: pd.DataFrame,
    other: pd.DataFrame,
    cuts: pd.DataFrame,
    recorded: dict[int, pd.DataFrame],
    more: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every threshold, predicted and measured, the lowest first.

    noise, other, cuts: `noise_thresholds`, `other_thresholds`, `tips`. recorded: modulus -> table of pre-training.
    more: `transformers.recorded_thresholds`.
    """
    rows = []
    for modulus, trained in recorded.items():
        measured, (low, high) = crossing(final_rows(trained), "greedy_long")
        task = "parity" if modulus == 2 else f"sums modulo {modulus}"
        row = {"case": f"{task}, transformer", "predicted": float(theory.parity_threshold(modulus))}
        rows.append(row | {"measured": measured, "low": low, "high": high})
    likeliest = means(noise[noise["decoding"] == "likeliest token"], ["eta"], "flip")
    noisy_names = {0.0: "parity", 0.2: "noise .2, likeliest token", 0.4: "noise .4, likeliest token"}
    likeliest = likeliest.assign(case=likeliest["eta"].map(noisy_names)).dropna(subset="case")
    kinds = {"marked": "short answers marked", "skip": "every 2nd product"}
    others = means(other, ["kind"], "flip")
    others = others.assign(case=others["kind"].map(kinds))
    whole = switches(cuts).query("switch == 'full'")
    names = {True: "cut chains, links checked", False: "cut chains, links not checked"}
    whole = whole.assign(case=whole["checks"].map(names))
    parts = [pd.DataFrame(rows), likeliest, others, whole, *([] if more is None or more.empty else [more])]
    found = pd.concat(parts, ignore_index=True)
    return found[["case", "predicted", "measured", "low", "high"]].sort_values("predicted", kind="stable")


def agreement(measured: pd.Series, predicted: pd.Series, tolerance: float) -> str:
    """Words that do not change from machine to machine."""
    worst = float((measured - predicted).abs().max())
    return f"as predicted, to within {tolerance:g}" if worst <= tolerance else f"not as predicted: off by {worst:.3f}"
