"""The paper's claims, each with a check over recorded tables that returns a verdict."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ntprl import checks_pretraining as ntp
from ntprl import checks_recovery as rl
from ntprl import records
from ntprl.linear import checks as linear
from ntprl.llama import checks as llama
from ntprl.multiplication import checks as multiplication
from ntprl.recordings import RECORDINGS, Recording
from ntprl.verdicts import NOT_RUN, Verdict, both_sides


@dataclass(frozen=True)
class Claim:
    id: str
    statement: str  # in our words
    source: str  # how we know that the paper claims it: seed, quote, second-hand
    chapter: str  # where it is shown first; a table of another chapter is shown there
    tables: tuple[str, ...] = ()  # recordings that the check reads
    check: Callable[..., Verdict] | None = None  # given the tables; None until the chapter exists
    quote: str = ""  # the paper's own words, where they are known word for word

    @property
    def recordings(self) -> list[Recording]:
        return [RECORDINGS[name] for name in self.tables]

    @property
    def chapters(self) -> list[str]:
        """All chapters that show it, in reading order."""
        return sorted({self.chapter} | {recording.chapter for recording in self.recordings})

    def verdict(self) -> Verdict:
        """The check over its tables; not yet run without a check or with a table missing."""
        missing = [r.name for r in self.recordings if not records.is_recorded(r)]
        if self.check is None:
            return Verdict(NOT_RUN, "the chapter is not written yet")
        if missing:
            return Verdict(NOT_RUN, f"table {', '.join(missing)} is not recorded")
        return self.check(*(records.load(r) for r in self.recordings))


def check_rounds(chain_star: pd.DataFrame, rl_recursion: pd.DataFrame) -> Verdict:
    """Both sides, each by its own criterion; the weaker decides."""
    return both_sides(linear.check_rounds(chain_star), rl.check_rounds(rl_recursion))


def check_rare(chain_rare: pd.DataFrame, rl_rare_long: pd.DataFrame) -> Verdict:
    """Both sides, each by its own criterion; the weaker decides."""
    return both_sides(linear.check_rare(chain_rare), rl.check_exponentially_rare(rl_rare_long))


MIX, NTP, CHAIN, RL, MULTIPLY, LLAMA = (
    "01_data_mixture",
    "02_pretraining_threshold",
    "03_linear_chain",
    "04_rl_recovery",
    "05_multiplication",
    "06_llama",
)

CLAIMS = (
    Claim(
        "C1", "The data are a mixture of full chains (share p_cot) and bare answers", "seed", MIX, (), ntp.check_mixture
    ),
    Claim(
        "C2",
        "d = 50, p_cot = .25: greedy accuracy stays near 50 % up to about 10^7 demonstrations",
        "seed, quote",
        NTP,
        ("long_run",),
        ntp.check_stalls,
        "even with access to ~10^7 training samples",
    ),
    Claim("C3", "Meanwhile the median greedy answer stays short", "seed, quote", NTP, ("long_run",), ntp.check_short),
    Claim(
        "C4",
        "Models are calibrated in length: long answers come with probability p_cot",
        "seed, quote",
        NTP,
        ("threshold",),
        ntp.check_calibrated,
        "generate long responses with probability p_cot",
    ),
    Claim(
        "C5",
        "d = 25: pre-training succeeds from p_cot of about 1/3 on and fails below",
        "seed",
        NTP,
        ("threshold",),
        ntp.check_threshold,
    ),
    Claim(
        "C6",
        "More depth or width does not help: the failure is not one of capacity",
        "seed",
        NTP,
        ("capacity",),
        ntp.check_capacity,
    ),
    Claim(
        "C7",
        "Once RL starts, greedy accuracy goes from about 50 % to about 100 % in some 20 rounds",
        "seed",
        RL,
        ("rl_live_seeds",),
        rl.check_recovers,
    ),
    Claim(
        "C8",
        "The length grows from 1 to d at the same time, unasked",
        "seed",
        RL,
        ("rl_live_seeds",),
        rl.check_lengthens,
    ),
    Claim(
        "C9",
        "STaR, REINFORCE and GRPO all do it, with either reward",
        "seed",
        RL,
        ("rl_algorithms",),
        rl.check_algorithms,
    ),
    Claim(
        "C10",
        "So do sampling temperatures .75, 1 and 1.5, but for hot STaR with the end-to-end reward",
        "seed; exception second-hand",
        RL,
        ("rl_algorithms",),
        rl.check_temperatures,
    ),
    Claim(
        "C11",
        "Started too early, RL can lengthen the answers without making them right",
        "quote",
        RL,
        ("rl_early_start", "rl_drift"),
        rl.check_early,
        "if post-training starts too early, then it might not lead to a generalizing model despite the length increase",
    ),
    Claim(
        "C12",
        "Theorem 1: the linear chain is calibrated, and its greedy answer flips at 1/3",
        "seed",
        CHAIN,
        ("chain_threshold", "chain_samples"),
        linear.check_theorem_1,
    ),
    Claim(
        "C13",
        "Theorem 2: STaR on the linear chain follows p -> 2p/(1 + p)",
        "seed, quote",
        CHAIN,
        ("chain_star",),
        linear.check_theorem_2,
        "converges to 1 exponentially fast",
    ),
    Claim(
        "C14",
        "Of the order of log((1 - p_cot)/p_cot) rounds are enough",
        "seed",
        CHAIN,
        ("chain_star", "rl_recursion"),
        check_rounds,
    ),
    Claim(
        "C15",
        "With p_cot exponentially small in d, RL fails too",
        "seed",
        CHAIN,
        ("chain_rare", "rl_rare_long"),
        check_rare,
    ),
    Claim(
        "C16",
        "Multi-digit multiplication shows the same; its hardest case fails",
        "seed; hardest case second-hand",
        MULTIPLY,
        ("multiplication_seeds", "multiplication_3", "multiplication_hard"),
        multiplication.check_multiplication,
    ),
    Claim(
        "C17a",
        "A Llama from random weights on generated word problems shows the same",
        "seed, at our size and on our problems",
        LLAMA,
        ("words",),
        llama.check_words,
    ),
    Claim(
        "C17b",
        "Llama-3 models on GSM8K and MATH mixtures show the same",
        "seed",
        LLAMA,
        ("llama_3b_gsm8k",),
        llama.check_llama,
    ),
    Claim(
        "C18",
        "At p_cot = .01 the length grows from almost every checkpoint",
        "quote",
        RL,
        ("rl_rare_starts",),
        rl.check_rare_lengthens,
        "we observe length increase for almost all checkpoints",
    ),
)

# Not in the paper: what its theory says about other data.
OURS = (
    Claim("O1", "Sums modulo 3: the threshold moves to 1/4", "ours", NTP, ("modulus_3",), ntp.check_modulus(3)),
    Claim("O2", "Sums modulo 5: the threshold moves to 1/6", "ours", NTP, ("modulus_5",), ntp.check_modulus(5)),
    Claim(
        "O3",
        "Multiplication: the threshold is 1/2 with marked short answers, and near m/(1 + m) with bare ones",
        "ours",
        MULTIPLY,
        ("multiplication_threshold",),
        multiplication.check_branch,
    ),
    Claim(
        "O4",
        "TRL's trainers bring the same Llama where the loops of this book bring it, before and after RL",
        "ours",
        LLAMA,
        ("words_paths_own", "words_paths_trl"),
        llama.check_paths,
    ),
    Claim(
        "O5",
        "Word problems of six steps instead of two to four: both phases at p_cot = .1 too",
        "ours",
        LLAMA,
        ("words_hard",),
        llama.check_words,
    ),
    Claim(
        "O6",
        "From the same starts, TRL's GRPO and the loops of this book bring a Llama to the same place",
        "ours",
        LLAMA,
        ("words_paths_own", "words_paths_shared"),
        llama.check_paths,
    ),
)
