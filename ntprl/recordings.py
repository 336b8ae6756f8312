"""The list of recordings: which tables the book wants, with every configuration and seed stated beforehand."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product

from ntprl.errors import require_choice
from ntprl.experiments import LearningOrder, PretrainingRun, pretraining


@dataclass(frozen=True)
class Recording:
    """A table that is recorded once and shown by the book ever after."""

    name: str  # data/<name>.csv
    question: str  # what it answers, in one line
    chapter: str  # the chapter that makes and shows it
    configs: tuple[PretrainingRun, ...]
    cost: str  # what to expect on which hardware
    needs_gpu: bool = False

    @property
    def command(self) -> str:
        device = " -p device cuda" if self.needs_gpu else ""
        return f"papermill chapters/{self.chapter}.ipynb out.ipynb -p record {self.name}{device}"


def grid(base: PretrainingRun, **axes: Collection) -> tuple[PretrainingRun, ...]:
    """All combinations of the given field values, the last axis fastest."""
    return tuple(replace(base, **dict(zip(axes, values, strict=True))) for values in product(*axes.values()))


CHAPTER_02 = "02_pretraining_threshold"
SHORT_RUN = PretrainingRun(d=25, steps=1000, n_points=5)
PAPER = pretraining("paper")
CAPACITY = PretrainingRun(d=16, steps=300, lr=1e-3, n_points=2)
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
        Recording(
            "long_run_paper",
            "d = 50, p_cot = .25: do ten million demonstrations help?",
            CHAPTER_02,
            grid(PAPER, style=("gpt2", "mistral"), seed=range(3)),
            "not yet measured",
            needs_gpu=True,
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
        ),
        Recording(
            "threshold_paper",
            "d = 25 at the paper's batch and length: how sharp is the threshold?",
            CHAPTER_02,
            grid(replace(PAPER, d=25, n_points=10), p_cot=THRESHOLD_P_COT, seed=range(3)),
            "not yet measured",
            needs_gpu=True,
        ),
    )
}


def recording(name: str) -> Recording:
    """The recording of that name; an unknown one is refused with the list of all."""
    require_choice("record", name, RECORDINGS)
    return RECORDINGS[name]
