"""The list of recordings: which tables the book wants, with every configuration and seed stated beforehand."""

from dataclasses import fields, replace

from ntprl.baselines import BaselineRun
from ntprl.errors import require_choice
from ntprl.experiments import LearningOrder, PretrainingRun, pretraining
from ntprl.linear.recordings import LINEAR_RECORDINGS
from ntprl.llama.presets import LlamaRun
from ntprl.llama.recordings import LLAMA_RECORDINGS
from ntprl.multiplication.recordings import MULTIPLICATION_RECORDINGS
from ntprl.recording import Recording, Run, grid
from ntprl.recovery import RecoveryRun, recovery

CHAPTER_02 = "02_pretraining_threshold"
SHORT_RUN = PretrainingRun(d=25, steps=1000, n_points=5)
PAPER = pretraining("paper")
CAPACITY = PretrainingRun(d=16, steps=300, lr=1e-3, n_points=2)
CHAPTER_04 = "04_rl_recovery"
START = RecoveryRun(eval_every=2)  # d = 50, p_cot = .25, 20 rounds of 512 answers
SHORT_START = replace(START, d=25, steps=1000, n_points=2)
RARE_START = RecoveryRun(d=16, batch=256, n_points=2, rounds=40, n_eval_rl=256)
THRESHOLD_P_COT = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.35, 0.4, 0.5, 0.75, 1.0)

RECORDINGS = {
    entry.name: entry
    for entry in (
        Recording(
            "threshold",
            "d = 25: for which p_cot does next-token training alone succeed?",
            CHAPTER_02,
            grid(SHORT_RUN, p_cot=THRESHOLD_P_COT, seed=range(5)),
            "40 minutes on two CPU cores",
        ),
        Recording(
            "live_seeds",
            "Does the live run of chapter 02 give the same verdicts for every seed?",
            CHAPTER_02,
            grid(PretrainingRun(), seed=range(10)),
            "8 minutes on two CPU cores",
        ),
        Recording(
            "learning_order",
            "d = 50: which tokens are learned when?",
            CHAPTER_02,
            grid(LearningOrder(steps=400, cooldown=0.0, n_points=40), seed=range(3)),
            "2 minutes on two CPU cores",
        ),
        Recording(
            "long_run",
            "d = 50, p_cot = .25: does a million demonstrations help?",
            CHAPTER_02,
            grid(PretrainingRun(steps=8000, n_points=20), seed=range(3)),
            "20 minutes on two CPU cores",
        ),
        Recording(
            "styles",
            "d = 25: does the threshold depend on the style of transformer?",
            CHAPTER_02,
            grid(replace(SHORT_RUN, style="mistral", n_points=2), p_cot=(0.1, 0.25, 0.35, 0.5), seed=range(3)),
            "8 minutes on two CPU cores",
        ),
        Recording(
            "modulus_3",
            "Sums modulo 3: does the threshold move to 1/4?",
            CHAPTER_02,
            grid(
                replace(SHORT_RUN, d=16, modulus=3, n_points=2),
                p_cot=(0.1, 0.2, 0.225, 0.25, 0.275, 0.3, 0.4),
                seed=range(5),
            ),
            "10 minutes on two CPU cores",
        ),
        Recording(
            "modulus_5",
            "Sums modulo 5: does the threshold move to 1/6?",
            CHAPTER_02,
            grid(
                replace(SHORT_RUN, d=16, modulus=5, n_points=2),
                p_cot=(0.05, 0.1, 0.13, 0.15, 1 / 6, 0.2, 0.3),
                seed=range(5),
            ),
            "10 minutes on two CPU cores",
        ),
        Recording(
            "capacity",
            "d = 16: does more depth or width move the threshold?",
            CHAPTER_02,
            grid(CAPACITY, width=(64,), n_layer=(2, 4, 8), p_cot=(0.15, 0.5), seed=range(3))
            + grid(CAPACITY, width=(128,), n_layer=(2, 4), p_cot=(0.15, 0.5), seed=range(3))
            + grid(CAPACITY, width=(256,), n_layer=(2,), p_cot=(0.15, 0.5), seed=range(3)),
            "15 minutes on two CPU cores; the larger corners are left to capacity_paper",
        ),
        *LINEAR_RECORDINGS,
        Recording(
            "rl_live_seeds",
            "Does the live run of chapter 04 give the same verdicts for every seed?",
            CHAPTER_04,
            grid(RecoveryRun(), seed=range(10)),
            "10 minutes on two CPU cores",
        ),
        Recording(
            "rl_algorithms",
            "d = 50, p_cot = .25: which algorithm, reward and temperature recovers?",
            CHAPTER_04,
            grid(
                START,
                algorithm=("star", "reinforce", "grpo"),
                reward=("r_e2e", "r_cot"),
                temperature=(0.75, 1.0, 1.5),
                seed=range(5),
            )
            + grid(START, algorithm=("grpo_published",), reward=("r_e2e", "r_cot"), seed=range(5)),
            "25 minutes on two CPU cores",
        ),
        Recording(
            "rl_baselines",
            "d = 50: what else does the same with as many samples?",
            CHAPTER_04,
            grid(BaselineRun(eval_every=2), seed=range(5)),
            "5 minutes on two CPU cores",
        ),
        Recording(
            "rl_early_start",
            "d = 50, p_cot = .25: what if RL starts before the chain is learned?",
            CHAPTER_04,
            grid(
                replace(START, cooldown=0.0, n_points=1, rounds=30, eval_every=5, n_eval_rl=256),
                steps=(50, 100, 125, 150, 200, 300, 600),
                algorithm=("star", "grpo"),
                seed=range(3),
            ),
            "12 minutes on two CPU cores",
        ),
        Recording(
            "rl_drift",
            "d = 50: STaR from a start without any chain: where does the share of long answers go?",
            CHAPTER_04,
            grid(
                replace(
                    START,
                    algorithm="star",
                    steps=100,
                    cooldown=0.0,
                    n_points=1,
                    rounds=40,
                    eval_every=10,
                    n_eval_rl=256,
                ),
                seed=range(3, 15),
            ),
            "5 minutes on two CPU cores",
        ),
        Recording(
            "rl_recursion",
            "STaR with each round trained to calibration: does the share of long follow p -> 2p/(1 + p)?",
            CHAPTER_04,
            grid(
                replace(
                    SHORT_START,
                    algorithm="star",
                    reward="r_cot",
                    rounds=7,
                    rollouts=8192,
                    group=1,
                    rl_lr=1e-3,
                    epochs=2,
                    minibatches=64,
                    n_eval_rl=2048,
                    eval_every=1,
                ),
                p_cot=(0.05, 0.1, 0.25),
                seed=range(3),
            ),
            "12 minutes on two CPU cores",
        ),
        Recording(
            "rl_rare_long",
            "p_cot = 2^-d and 0: does RL fail when long demonstrations are exponentially rare?",
            CHAPTER_04,
            tuple(
                replace(RecoveryRun(steps=1000, n_points=2, rounds=50, eval_every=10), d=d, p_cot=p_cot, seed=seed)
                for d, p_cot in [*((d, 2.0**-d) for d in (8, 12, 16, 20)), (20, 0.0), (20, 0.25)]
                for seed in range(3)
            ),
            "4 minutes on two CPU cores",
        ),
        Recording(
            "rl_rare",
            "d = 16: how many rounds until RL takes off, the rarer long demonstrations are?",
            CHAPTER_04,
            tuple(
                replace(RARE_START, p_cot=p_cot, steps=steps, algorithm=algorithm, seed=seed)
                for p_cot, steps in ((0.25, 600), (0.1, 600), (0.05, 1000), (0.02, 1500), (0.01, 2000))
                for algorithm in ("star", "grpo")
                for seed in range(3)
            ),
            "10 minutes on two CPU cores",
        ),
        Recording(
            "rl_rare_starts",
            "d = 16, p_cot = .01: from which checkpoints of pre-training does RL lengthen the answers?",
            CHAPTER_04,
            grid(
                replace(RARE_START, p_cot=0.01, cooldown=0.0, n_points=1, eval_every=5),
                steps=(250, 500, 1000, 2000),
                algorithm=("star", "grpo"),
                seed=range(3),
            ),
            "4 minutes on two CPU cores",
        ),
        Recording(
            "rl_sizes",
            "p_cot = .25: how does the cost of recovery grow with d?",
            CHAPTER_04,
            tuple(
                replace(START, d=d, steps=steps, n_eval=512, n_eval_rl=256, n_points=2, eval_every=4, seed=seed)
                for d, steps in ((10, 600), (25, 600), (50, 600), (100, 600))
                for seed in range(3)
            ),
            "8 minutes on two CPU cores",
        ),
        Recording(
            "rl_size_200",
            "d = 200, p_cot = .25: does it still recover, and at what cost?",
            CHAPTER_04,
            grid(replace(START, d=200, steps=2000, n_eval=512, n_eval_rl=256, n_points=2, eval_every=4), seed=range(3)),
            "40 minutes on two CPU cores",
        ),
        *MULTIPLICATION_RECORDINGS,
        *LLAMA_RECORDINGS,
        Recording(
            "long_run_paper",
            "d = 50, p_cot = .25: do ten million demonstrations help?",
            CHAPTER_02,
            grid(PAPER, style=("gpt2", "mistral"), seed=range(3)),
            "not yet measured",
            needs_gpu=True,
            at_once=8,
        ),
        Recording(
            "capacity_paper",
            "d = 50: does more depth or width help at the paper's batch?",
            CHAPTER_02,
            grid(
                replace(PAPER, steps=5000, n_points=10),
                width=(64, 128, 256),
                n_layer=(2, 4, 8),
                p_cot=(0.25, 0.5),
                seed=range(3),
            ),
            "not yet measured",
            needs_gpu=True,
            at_once=8,
        ),
        Recording(
            "threshold_paper",
            "d = 25 at the paper's batch and length: how sharp is the threshold?",
            CHAPTER_02,
            grid(replace(PAPER, d=25, n_points=10), p_cot=THRESHOLD_P_COT, seed=range(3)),
            "not yet measured",
            needs_gpu=True,
            at_once=8,
        ),
        Recording(
            "rl_paper",
            "d = 50 at the paper's batch and length: does RL recover, with each algorithm?",
            CHAPTER_04,
            grid(recovery("paper"), algorithm=("star", "reinforce", "grpo"), seed=range(3)),
            "not yet measured",
            needs_gpu=True,
            at_once=8,
        ),
    )
}


# the largest sizes of a rehearsal
SMALL = dict(d=6, k=2, low=2, high=3, n_layer=1, width=16, n_head=2, steps=4, base_steps=4, batch=16, warmup=2)
SMALL |= dict(n_eval=16, n_points=1, rounds=2, rollouts=16, group=4, minibatches=2, n_eval_rl=16, n_samples=1000)


def rehearsed(config: Run) -> Run:
    """The same kind of run, in seconds; published weights become a dry run."""
    if isinstance(config, LlamaRun):
        return replace(config, dry_run=True, dataset="generated")
    sizes = {field.name: getattr(config, field.name) for field in fields(config) if field.name in SMALL}
    return replace(config, **{name: min(value, SMALL[name]) for name, value in sizes.items()})


def recording(name: str, profile: str = "laptop") -> Recording:
    """The recording of that name; an unknown one is refused with the list of all.

    With profile smoke a rehearsal: every run of it, tiny, by the same code. Its results teach nothing.
    """
    require_choice("record", name, RECORDINGS)
    found = RECORDINGS[name]
    if profile != "smoke":
        return found
    return replace(found, configs=tuple(dict.fromkeys(rehearsed(config) for config in found.configs)))
