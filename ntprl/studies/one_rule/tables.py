"""The tables of chapter 8, every configuration and seed stated beforehand."""

from ntprl.book.recording import Recording, grid
from ntprl.book.run import Run, change
from ntprl.studies.one_rule import CHAPTER
from ntprl.tasks.parity import Parity

SHORT_RUN = change(Run(Parity(), kind="PretrainingRun"), d=16, steps=1000, n_points=2)

TABLES = (
    Recording(
        "modulus_3",
        "Sums modulo 3: does the threshold move to 1/4?",
        CHAPTER,
        grid(
            change(SHORT_RUN, modulus=3),
            p_cot=(0.1, 0.2, 0.225, 0.25, 0.275, 0.3, 0.4),
            seed=range(5),
        ),
        "10 minutes on two CPU cores",
    ),
    Recording(
        "modulus_5",
        "Sums modulo 5: does the threshold move to 1/6?",
        CHAPTER,
        grid(
            change(SHORT_RUN, modulus=5),
            p_cot=(0.05, 0.1, 0.13, 0.15, 1 / 6, 0.2, 0.3),
            seed=range(5),
        ),
        "10 minutes on two CPU cores",
    ),
)
