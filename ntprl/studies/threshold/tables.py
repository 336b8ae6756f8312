"""The tables of chapter 2, every configuration and seed stated beforehand."""

from ntprl.book.recording import Recording, grid
from ntprl.book.run import change
from ntprl.studies.threshold import CHAPTER
from ntprl.studies.threshold.runs import PRETRAINING, FirstBitRun, LearningOrder, pretraining
from ntprl.tasks.parity import Parity

SHORT_RUN = change(PRETRAINING, d=25, steps=1000, n_points=5)
ORDER = change(LearningOrder(Parity()), steps=400, cooldown=0.0, n_points=40)
# the paper's batch and number of demonstrations, at width 64
TEN_MILLION = change(FirstBitRun(Parity()), batch=256, steps=39_063, n_points=40)
CAPACITY = change(PRETRAINING, d=16, steps=300, lr=1e-3, n_points=2)
THRESHOLD_P_COT = (0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.35, 0.4, 0.5, 0.75, 1.0)
PAPER = pretraining("paper")

TABLES = (
    Recording(
        "threshold",
        "d = 25: for which p_cot does next-token training alone succeed?",
        CHAPTER,
        grid(SHORT_RUN, p_cot=THRESHOLD_P_COT, seed=range(5)),
        "40 minutes on two CPU cores",
    ),
    Recording(
        "live_seeds",
        "Does the live run of chapter 02 give the same verdicts for every seed?",
        CHAPTER,
        grid(pretraining(), seed=range(10)),
        "13 minutes on one CPU core",
    ),
    Recording(
        "learning_order",
        "d = 50: which tokens are learned when?",
        CHAPTER,
        grid(ORDER, seed=range(3)),
        "2 minutes on two CPU cores",
    ),
    Recording(
        "long_run",
        "d = 50, p_cot = .25: does a million demonstrations help?",
        CHAPTER,
        grid(change(PRETRAINING, steps=8000, n_points=20), seed=range(3)),
        "20 minutes on two CPU cores",
    ),
    # C2 and C3 are reproduced, at this width, if in each seed, at the end: chain accuracy above .95 and P(long) within
    # .03 of p_cot; and in nine of ten measurements of the second half the median greedy length is 1 and more than .95
    # of the greedy answers are exactly (x_1, EOS)
    Recording(
        "ten_million",
        "d = 50, p_cot = .25: do ten million demonstrations help?",
        CHAPTER,
        grid(TEN_MILLION, seed=(20, 21, 22)),
        "not yet measured; 3 to 4 hours on two CPU cores",
    ),
    Recording(
        "styles",
        "d = 25: does the threshold depend on the style of transformer?",
        CHAPTER,
        grid(change(SHORT_RUN, style="mistral", n_points=2), p_cot=(0.1, 0.25, 0.35, 0.5), seed=range(3)),
        "8 minutes on two CPU cores",
    ),
    Recording(
        "capacity",
        "d = 16: does more depth or width move the threshold?",
        CHAPTER,
        grid(CAPACITY, width=(64,), n_layer=(2, 4, 8), p_cot=(0.15, 0.5), seed=range(3))
        + grid(CAPACITY, width=(128,), n_layer=(2, 4), p_cot=(0.15, 0.5), seed=range(3))
        + grid(CAPACITY, width=(256,), n_layer=(2,), p_cot=(0.15, 0.5), seed=range(3)),
        "15 minutes on two CPU cores; the larger corners are left to capacity_paper",
    ),
    # with these C6 is judged by its criterion on all sizes together, and at d = 50 apart
    Recording(
        "capacity_corners",
        "d = 16: does depth and width at once move the threshold?",
        CHAPTER,
        tuple(
            change(CAPACITY, n_layer=n_layer, width=width, p_cot=p_cot, seed=seed)
            for n_layer, width in ((4, 256), (8, 128), (8, 256))
            for p_cot in (0.15, 0.5)
            for seed in range(3)
        ),
        "not yet measured; 40 minutes on two CPU cores",
    ),
    Recording(
        "capacity_50",
        "d = 50: does a wider or deeper model move the threshold?",
        CHAPTER,
        tuple(
            change(PRETRAINING, n_points=2, lr=1e-3, n_layer=n_layer, width=width, p_cot=p_cot, seed=seed)
            for n_layer, width in ((2, 128), (4, 64))
            for p_cot in (0.25, 0.5)
            for seed in range(3)
        ),
        "not yet measured; 20 minutes on two CPU cores",
    ),
    Recording(
        "long_run_paper",
        "d = 50, p_cot = .25: do ten million demonstrations help?",
        CHAPTER,
        grid(PAPER, style=("gpt2", "mistral"), seed=range(3)),
        "not yet measured",
        needs_gpu=True,
        at_once=8,
    ),
    Recording(
        "capacity_paper",
        "d = 50: does more depth or width help at the paper's batch?",
        CHAPTER,
        grid(
            change(PAPER, steps=5000, n_points=10),
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
        CHAPTER,
        grid(change(PAPER, d=25, n_points=10), p_cot=THRESHOLD_P_COT, seed=range(3)),
        "not yet measured",
        needs_gpu=True,
        at_once=8,
    ),
)
