"""The paper's claims, each with a check over recorded tables that returns a verdict.

What counts as reproduced is written beside each check and was fixed before the tables were made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ntprl import records, theory
from ntprl.measure import crossing, interval
from ntprl.mixture import Mixture
from ntprl.parity import Parity
from ntprl.recordings import RECORDINGS, Recording
from ntprl.seeds import numpy_rng

REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN = "reproduced", "partly", "not reproduced", "not yet run"
AT_CHANCE = 0.05  # distance from one half within which an accuracy is at chance
CALIBRATED = 0.05  # distance of one run's P(long) from p_cot within which it is calibrated
POOLED_CALIBRATED = 0.03  # the same for the mean over seeds


class Verdict(NamedTuple):
    verdict: str  # one of the four above
    evidence: str  # the numbers behind it, with intervals


@dataclass(frozen=True)
class Claim:
    id: str
    statement: str  # in our words
    source: str  # how we know that the paper claims it: seed, quote, second-hand
    chapter: str  # where it is shown
    tables: tuple[str, ...] = ()  # recordings that the check reads
    check: Callable[..., Verdict] | None = None  # given the tables; None until the chapter exists
    quote: str = ""  # the paper's own words, where they are known word for word

    @property
    def recordings(self) -> list[Recording]:
        return [RECORDINGS[name] for name in self.tables]

    def verdict(self) -> Verdict:
        """The check over its tables; not yet run without a check or with a table missing."""
        missing = [r.name for r in self.recordings if not records.is_recorded(r)]
        if self.check is None:
            return Verdict(NOT_RUN, "the chapter is not written yet")
        if missing:
            return Verdict(NOT_RUN, f"table {', '.join(missing)} is not recorded")
        return self.check(*(records.load(r) for r in self.recordings))


def final_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The last measurement of each run."""
    return table[table["step"] == table["step"].max()]


def rate_text(rate: float, n: int) -> str:
    """.497 [.484, .510]: a rate with its 95 % interval."""
    low, high = interval(rate, n)
    return " ".join((f"{rate:.3f}", f"[{low:.3f}, {high:.3f}]"))


def pooled(table: pd.DataFrame, column: str) -> str:
    """Mean of a rate over runs of equal size, with the interval of all their draws together."""
    return rate_text(table[column].mean(), int(table["n_eval"].sum()))


def accuracy_in_words(accuracy: float) -> str:
    if np.isnan(accuracy):
        return "none"
    return "at chance" if abs(accuracy - 0.5) <= AT_CHANCE else "near 1" if accuracy > 0.95 else "away from chance"


def live_verdicts(row: dict, p_cot: float) -> dict[str, str]:
    """What one trained parity model shows, in words that do not depend on the last digit of a float."""
    return {
        "chains": "learned" if row["chain_accuracy"] > 0.95 else "not learned",
        "greedy accuracy": accuracy_in_words(row["greedy_accuracy"]),
        "median greedy length": f"{row['greedy_median_length']:g}",
        "P(long)": "calibrated" if abs(row["sampled_long"] - p_cot) <= CALIBRATED else "not calibrated",
        "short answers": accuracy_in_words(row["sampled_short_accuracy"]),
    }


def check_mixture() -> Verdict:
    """Reproduced if p_cot lies in the interval of the drawn share of long demonstrations, and every
    demonstration equals the products of +-1 bits worked out apart from the task's own code."""
    n, right, evidence = 20_000, True, []
    for p_cot in (0.01, 0.25):
        task = Parity(d=50)
        long, short = Mixture(task, p_cot).draw(n, numpy_rng(0, "data"))
        for prompts, answers, keep in ((*long, slice(None)), (*short, slice(-1, None))):
            products = np.cumprod(1 - 2 * prompts[:, :-1], axis=1)[:, keep]
            right &= bool((1 - 2 * answers[:, :-1] == products).all() and (answers[:, -1] == task.eos).all())
        share, (low, high) = len(long.prompts) / n, interval(len(long.prompts) / n, n)
        right &= low <= p_cot <= high
        evidence.append(f"share of long at p_cot = {p_cot}: {rate_text(share, n)}")
    return Verdict(
        REPRODUCED if right else NOT_REPRODUCED, "; ".join(evidence) + ("; every chain exact" if right else "")
    )


def check_stalls(long_run: pd.DataFrame) -> Verdict:
    """At a million demonstrations: reproduced in part if every seed knows the chain (accuracy > .95) and
    answers greedily at chance at the end; the paper's ten million decide the rest."""
    last = final_rows(long_run)
    holds = bool((last["chain_accuracy"] > 0.95).all() and ((last["greedy_accuracy"] - 0.5).abs() <= AT_CHANCE).all())
    later = long_run[long_run["step"] >= long_run["step"].max() / 2]
    away = int(((later["greedy_accuracy"] - 0.5).abs() > AT_CHANCE).sum())
    text = f"greedy accuracy after 10^6: {pooled(last, 'greedy_accuracy')}; "
    text += f"chain known to {last['chain_accuracy'].min():.3f} or better; "
    text += f"away from chance in {away} of {len(later)} measurements of the second half; 10^7 not yet run"
    return Verdict(PARTLY if holds else NOT_REPRODUCED, text)


def check_short(long_run: pd.DataFrame) -> Verdict:
    """Reproduced if the median greedy length is 1 at the end of every run and in nine measurements of ten
    of its second half."""
    later = long_run[long_run["step"] >= long_run["step"].max() / 2]
    holds = (final_rows(long_run)["greedy_median_length"] == 1).all() and (
        later["greedy_median_length"] == 1
    ).mean() >= 0.9
    counts = f"{int((later['greedy_median_length'] == 1).sum())} of {len(later)}"
    return Verdict(
        REPRODUCED if holds else NOT_REPRODUCED,
        f"median length 1 in {counts} measurements of the second half of 10^6 demonstrations",
    )


def check_calibrated(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if at every p_cot > 0 the mean of P(long) over seeds lies within .03 of p_cot."""
    last = final_rows(threshold)
    error = (last.groupby("p_cot")["sampled_long"].mean() - last["p_cot"].unique()).abs()
    inside = [
        low <= p <= high
        for p, rate, n in zip(last["p_cot"], last["sampled_long"], last["n_eval"], strict=True)
        for low, high in [interval(rate, n)]
    ]
    text = f"largest |mean P(long) - p_cot| = {error.max():.3f} (at p_cot = {error.idxmax():.3g}); "
    text += f"p_cot inside the 95 % interval of {sum(inside)} of {len(inside)} single runs"
    return Verdict(REPRODUCED if error.max() <= POOLED_CALIBRATED else NOT_REPRODUCED, text)


def check_threshold(threshold: pd.DataFrame) -> Verdict:
    """Reproduced if every p_cot from .1 to .25 ends at chance and every one from .4 on above .95 (means
    over seeds), and the interval of the crossing is within .05 of 1/3."""
    last = final_rows(threshold)
    means = last.groupby("p_cot")["greedy_accuracy"].mean()
    low, high = means[(means.index >= 0.1) & (means.index <= 0.25)], means[means.index >= 0.4]
    estimate, (left, right) = crossing(last, "greedy_long")
    holds = (low - 0.5).abs().max() <= AT_CHANCE and high.min() > 0.95 and 1 / 3 - 0.05 <= left <= right <= 1 / 3 + 0.05
    text = f"greedy accuracy {low.min():.3f} to {low.max():.3f} for p_cot in [.1, .25]; "
    text += f"{high.min():.3f} or more from .4 on; "
    text += f"half of all prompts get the chain at p_cot = {estimate:.3f} [{left:.3f}, {right:.3f}]"
    return Verdict(REPRODUCED if holds else PARTLY if high.min() > 0.95 else NOT_REPRODUCED, text)


def check_capacity(capacity: pd.DataFrame) -> Verdict:
    """Reproduced if every size knows the chain on both sides, ends at chance below the threshold and
    above .95 beyond it (means over seeds)."""
    last = final_rows(capacity)
    means = last.groupby(["p_cot", "n_layer", "width"])["greedy_accuracy"].mean()
    p_cot = means.index.get_level_values("p_cot")
    below, above = means[p_cot < 1 / 3], means[p_cot > 1 / 3]
    holds = (below - 0.5).abs().max() <= AT_CHANCE and above.min() > 0.95 and last["chain_accuracy"].min() > 0.95
    depth, width = (sorted(last[field].unique()) for field in ("n_layer", "width"))
    text = f"{len(below)} sizes of depth {depth[0]} to {depth[-1]} and width {width[0]} to {width[-1]}, d = 16: "
    text += f"greedy accuracy {below.min():.3f} to {below.max():.3f} below 1/3, {above.min():.3f} or more above; "
    text += f"chain known to {last['chain_accuracy'].min():.3f} or better in every run"
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)


def check_modulus(modulus: int) -> Callable[[pd.DataFrame], Verdict]:
    """Ours: the interval of the crossing lies within .04 of 1/(K + 1)."""

    def check(table: pd.DataFrame) -> Verdict:
        predicted = float(theory.parity_threshold(modulus))
        estimate, (low, high) = crossing(final_rows(table), "greedy_long")
        holds = predicted - 0.04 <= low <= high <= predicted + 0.04
        inside = "inside" if low <= predicted <= high else "just outside" if holds else "outside"
        text = f"predicted {predicted:.3f}, {inside} the measured {estimate:.3f} [{low:.3f}, {high:.3f}]"
        return Verdict(REPRODUCED if holds else NOT_REPRODUCED, text)

    return check


MIX, NTP, CHAIN, RL, MULTIPLY, LLAMA = (
    "01_data_mixture",
    "02_pretraining_threshold",
    "03_linear_chain",
    "04_rl_recovery",
    "05_multiplication",
    "06_llama",
)

CLAIMS = (
    Claim("C1", "The data are a mixture of full chains (share p_cot) and bare answers", "seed", MIX, (), check_mixture),
    Claim(
        "C2",
        "d = 50, p_cot = .25: greedy accuracy stays near 50 % up to about 10^7 demonstrations",
        "seed, quote",
        NTP,
        ("long_run",),
        check_stalls,
        "even with access to ~10^7 training samples",
    ),
    Claim("C3", "Meanwhile the median greedy answer stays short", "seed, quote", NTP, ("long_run",), check_short),
    Claim(
        "C4",
        "Models are calibrated in length: long answers come with probability p_cot",
        "seed, quote",
        NTP,
        ("threshold",),
        check_calibrated,
        "generate long responses with probability p_cot",
    ),
    Claim(
        "C5",
        "d = 25: pre-training succeeds from p_cot of about 1/3 on and fails below",
        "seed",
        NTP,
        ("threshold",),
        check_threshold,
    ),
    Claim(
        "C6",
        "More depth or width does not help: the failure is not one of capacity",
        "seed",
        NTP,
        ("capacity",),
        check_capacity,
    ),
    Claim("C7", "Once RL starts, greedy accuracy goes from about 50 % to about 100 % in some 20 rounds", "seed", RL),
    Claim("C8", "The length grows from 1 to d at the same time, unasked", "seed", RL),
    Claim("C9", "STaR, REINFORCE and GRPO all do it, with either reward", "seed", RL),
    Claim(
        "C10",
        "So do sampling temperatures .75, 1 and 1.5, but for hot STaR with the end-to-end reward",
        "seed; exception second-hand",
        RL,
    ),
    Claim(
        "C11",
        "Started too early, RL can lengthen the answers without making them right",
        "quote",
        RL,
        quote="if post-training starts too early, then it might not lead to a generalizing model "
        "despite the length increase",
    ),
    Claim("C12", "Theorem 1: the linear chain is calibrated, and its greedy answer flips at 1/3", "seed", CHAIN),
    Claim(
        "C13",
        "Theorem 2: STaR on the linear chain follows p -> 2p/(1 + p)",
        "seed, quote",
        CHAIN,
        quote="converges to 1 exponentially fast",
    ),
    Claim("C14", "Of the order of log((1 - p_cot)/p_cot) rounds are enough", "seed", RL),
    Claim("C15", "With p_cot exponentially small in d, RL fails too", "seed", RL),
    Claim(
        "C16",
        "Multi-digit multiplication shows the same; its hardest case fails",
        "seed; hardest case second-hand",
        MULTIPLY,
    ),
    Claim("C17", "Llama models on GSM8K and MATH mixtures show the same", "seed", LLAMA),
    Claim(
        "C18",
        "At p_cot = .01 the length grows from almost every checkpoint",
        "quote",
        RL,
        quote="we observe length increase for almost all checkpoints",
    ),
)

# Not in the paper: what its theory says about other data.
OURS = (
    Claim("O1", "Sums modulo 3: the threshold moves to 1/4", "ours", NTP, ("modulus_3",), check_modulus(3)),
    Claim("O2", "Sums modulo 5: the threshold moves to 1/6", "ours", NTP, ("modulus_5",), check_modulus(5)),
)
