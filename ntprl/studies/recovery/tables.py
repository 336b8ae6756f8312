"""The tables of chapter 4, every configuration and seed stated beforehand."""

from ntprl.book.baselines import Baselines
from ntprl.book.recording import Recording, grid
from ntprl.book.run import change
from ntprl.studies.recovery import CHAPTER
from ntprl.studies.recovery.runs import RECOVERY, recovery
from ntprl.tasks.parity import Parity

START = change(RECOVERY, eval_every=2)  # d = 50, p_cot = .25, 20 rounds of 512 answers
BASELINES = Baselines(Parity(), rl=START.rl)

TABLES = (
    Recording(
        "rl_live_seeds",
        "Does the live run of chapter 04 give the same verdicts for every seed?",
        CHAPTER,
        grid(recovery(), seed=range(10)),
        "18 minutes on one CPU core",
    ),
    Recording(
        "rl_baselines",
        "d = 50: what else does the same with as many samples?",
        CHAPTER,
        grid(BASELINES, seed=range(5)),
        "5 minutes on two CPU cores",
    ),
    # The control: a coin for a reward. Predicted: P(long) drifts without direction, so its mean change over the ten
    # seeds has 0 in its 95 % t interval for either algorithm, while the true reward of the same seeds brings every run
    # above .95.
    Recording(
        "rl_coin",
        "d = 50, p_cot = .25: what does RL do when a coin is the reward?",
        CHAPTER,
        grid(START, algorithm=("star", "grpo"), reward=("coin", "r_e2e"), seed=range(10, 20)),
        "20 minutes on two CPU cores",
    ),
    Recording(
        "rl_paper",
        "d = 50 at the paper's batch and length: does RL recover, with each algorithm?",
        CHAPTER,
        grid(recovery("paper"), algorithm=("star", "reinforce", "grpo"), seed=range(3)),
        "not yet measured",
        needs_gpu=True,
        at_once=8,
    ),
)
