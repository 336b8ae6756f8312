"""The runs of chapter 3: one linear chain, pre-trained, and reinforced by STaR.

A chapter asks for `chain_run(profile, ...)` and calls `.train()` or `.run()`.
"""

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import expit

from ntprl.book.run import from_profile
from ntprl.book.verdict import RECOVERED
from ntprl.errors import require, require_choice, require_integer, require_seed
from ntprl.linear_chain.chain import LONGEST, LinearChain, inputs
from ntprl.linear_chain.training import REWARDS, default_ridge, population, require_positive, star_table, train_chains

# Chains lighter than this are not added up: an untrained chain of 50 links has millions of them, and only r_e2e needs
# the sum. Its column `unresolved` says how much was left out.
LIGHT = 1e-3


def require_cpu(device: str) -> str:
    """The compiled loop runs on the processor; another device would be written down as what computed a table."""
    require(device == "cpu", "device", device, "cpu, for which the linear chain is compiled")
    return device


def worst(model: LinearChain, p_cot: float, x: np.ndarray) -> dict[str, float]:
    """Theorem 1 speaks of all x, so the largest distances among the rows of x: |P(right chain | x) - p| and
    |P(right short answer | x) - (1 - p)/2|.
    """
    rows = model.distribution(x, tol=1.0)  # these two need no sum over chains
    right_short = (rows["short"] - (1 - p_cot) / 2).abs().max()
    return {"worst_chain": float((rows["chain"] - p_cot).abs().max()), "worst_short": float(right_short)}


@dataclass(frozen=True)
class ChainRun:
    """Pre-train one linear chain on D(p_cot) by averaged SGD and measure it: one row."""

    kind: ClassVar[str] = "ChainRun"

    d: int = 50  # input bits
    p_cot: float = 0.25  # share of long demonstrations
    n_samples: int = 500_000  # fresh demonstrations; in STaR also the rollouts of a round
    seed: int = 0  # of data, rollouts and evaluation
    n_eval: int = 256  # inputs measured; all 2^d if these are not more

    def __post_init__(self) -> None:
        require_integer("d", self.d, low=2, high=LONGEST)
        require_seed(self.seed)
        for name in ("n_samples", "n_eval"):
            require_integer(name, getattr(self, name), low=1)
        require_positive("p_cot", self.p_cot, below=1)

    @property
    def start(self) -> None:
        """It shares no trained model with other runs."""
        return None

    def train(self) -> LinearChain:
        (model,) = train_chains(self.d, self.p_cot, self.n_samples, seeds=self.seed).values()
        return model

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """`LinearChain.measure` and `worst`; seconds of work, so there is no checkpoint."""
        require_cpu(device)
        model, x = self.train(), inputs(self.d, self.n_eval, self.seed)
        return pd.DataFrame([model.measure(x, tol=LIGHT) | worst(model, self.p_cot, x)])


@dataclass(frozen=True)
class ChainStarRun(ChainRun):
    """Pre-training, then rounds of STaR with fresh heads each: one row a round, 0 after pre-training."""

    kind: ClassVar[str] = "ChainStarRun"

    rounds: int = 10  # rounds of STaR
    reward: str = "r_cot"  # r_cot or r_e2e
    require_long: bool = True  # refuse a training without a long sample; False: its links stay at 0

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, low=0)
        require_choice("reward", self.reward, REWARDS)
        require(isinstance(self.require_long, bool), "require_long", self.require_long, "True or False")
        super().__post_init__()

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """The table of `training.star_table` for this share and seed."""
        require_cpu(device)
        table = star_table(
            self.d,
            self.p_cot,
            self.n_samples,
            self.rounds,
            self.reward,
            seeds=self.seed,
            n_eval=self.n_eval,
            require_long=self.require_long,
        )
        return table.drop(columns=["p_cot", "seed"])


@dataclass(frozen=True)
class SamplesNeeded:
    """How many samples a training STaR needs from p_0 = 2^-d: bisection of log2 n, one row for each n tried.

    A run of n recovers if after d + 1 rounds more than .95 of the greedy answers are exactly right (guesses alone are
    right on one half). What is needed lies between the
    largest n that failed and the smallest that recovered, half an octave apart at the end.
    """

    kind: ClassVar[str] = "SamplesNeeded"

    d: int = 8  # input bits
    seed: int = 0  # of data, rollouts and evaluation
    n_eval: int = 256  # inputs measured; all 2^d if these are not more
    octaves: float = 0.5  # log2 of the factor at which the bisection stops

    def __post_init__(self) -> None:
        require_integer("d", self.d, low=2, high=LONGEST)
        require_seed(self.seed)
        require_integer("n_eval", self.n_eval, low=1)
        require_positive("octaves", self.octaves)

    @property
    def start(self) -> None:
        """It shares no trained model with other runs."""
        return None

    def recovers(self, n_samples: int) -> dict:
        table = star_table(
            self.d,
            2.0**-self.d,
            n_samples,
            self.d + 1,
            seeds=self.seed,
            n_eval=self.n_eval,
            require_long=False,
        )
        last = table.iloc[-1]
        row = {"n_samples": n_samples, "long_samples": float(table["kept"][0] * table["kept_long"][0])}
        return row | {"greedy_r_cot": last["greedy_r_cot"], "recovered": bool(last["greedy_r_cot"] > RECOVERED)}

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """From 2^d, one long sample on average, upwards by factors of 4, then by halves."""
        require_cpu(device)
        low, high, rows = 0.0, self.d - 2.0, []
        while not rows or not rows[-1]["recovered"]:
            low, high = high, high + 2
            rows.append(self.recovers(round(2**high)))
        while high - low > self.octaves:
            middle = (low + high) / 2
            rows.append(self.recovers(round(2**middle)))
            low, high = (low, middle) if rows[-1]["recovered"] else (middle, high)
        return pd.DataFrame(rows)


# profile: (samples for each input bit, most samples times d^2, which is what the links cost)
SAMPLES = {
    "smoke": (1_000, 2e9),  # the path in seconds; learns little
    "laptop": (20_000, 2e10),  # seconds a run
    "paper": (50_000, inf),  # up to half a minute a run at d = 100
}


def default_samples(profile: str, d: int) -> int:
    """How many demonstrations a profile takes for d bits."""
    require_choice("profile", profile, SAMPLES)
    require_integer("d", d, low=2, high=LONGEST)
    per_bit, work = SAMPLES[profile]
    return max(1, int(min(per_bit * d, work / d**2)))


def chain_run(profile: str = "laptop", n_samples: int = 0, **overrides) -> ChainRun:
    """Pre-training at the size of a profile, with some fields changed; n_samples = 0 takes the profile's."""
    run = from_profile(ChainRun(), {name: {} for name in SAMPLES}, profile, overrides)
    return replace(run, n_samples=n_samples if n_samples != 0 else default_samples(profile, run.d))


def locate_flip(
    d: int, n_samples: int, seed: int = 0, low: float = 0.2, high: float = 0.5, tolerance: float = 0.01
) -> tuple[float, float]:
    """(last p_cot at which most inputs get the short answer, first at which most get the chain), by bisection.

    Every step trains a chain anew, so the noise of training is in it. At low and high the answers must differ.
    """
    require_positive("tolerance", tolerance)
    x = inputs(d, 1024, seed)

    def goes_on(p: float) -> bool:
        (model,) = train_chains(d, p, n_samples, seeds=seed).values()
        return bool((model.greedy(x)[:, 1] != 0).mean() > 0.5)

    require(not goes_on(low) and goes_on(high), "low, high", (low, high), "on the two sides of the flip")
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if goes_on(middle) else (middle, high)
    return low, high


def ridge_long(d: int, p_cot: float, n_samples: int) -> float:
    """P(long) of the population's minimisers at the default ridge of n_samples.

    Ridge adds to the mass of going on what is small only beside a large p_cot: with the stop logits g and h of
    `training`, P(long) would be p + lambda (g + h)/2 if the first token had no ridge of its own.
    """
    best = population(d, p_cot, *default_ridge(d, n_samples, max(p_cot * n_samples, 1)))
    right_first = expit(best.first)
    return float(right_first * expit(-best.stop_same) + (1 - right_first) * expit(-best.stop_other))
