"""Verdicts of chapter 8 follow from tables: right ones pass, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest
from made_up import measured

from ntprl.book.verdict import FAILED, HELD, UNDECIDED
from ntprl.studies.one_rule import claims


def grid_around(switch: float) -> pd.DataFrame:
    """Five seeds whose switches lie around one value, measured at shares a hundredth apart."""
    shares = np.arange(0.05, 0.5, 0.01)
    rows = [measured(p, seed, switch=switch + 0.004 * (seed - 2)) for p in shares for seed in range(5)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("modulus", [3, 5])
def test_the_moved_threshold_is_told_from_those_of_other_moduli(modulus):
    check = {3: claims.modulus_3, 5: claims.modulus_5}[modulus].criterion
    assert check(grid_around(1 / (modulus + 1))).verdict == HELD
    for other in (modulus - 1, modulus + 1, 2):
        assert check(grid_around(1 / (other + 1))).verdict != HELD
    assert check(grid_around(1 / 3)).verdict == FAILED
    far = grid_around(1 / (modulus + 1))
    far = far.assign(
        greedy_long=[float(p > 0.1 + 0.1 * seed) for p, seed in zip(far["p_cot"], far["seed"], strict=True)]
    )
    assert check(far).verdict in (UNDECIDED, FAILED)  # seeds too far apart to tell
