"""The claims of chapter 8, all ours, each with its criterion: recorded tables -> a verdict.

What counts as held is written in each docstring.
"""

import numpy as np
import pandas as pd

from ntprl import theory
from ntprl.book.readings import final_rows
from ntprl.book.verdict import FAILED, HELD, UNDECIDED, Verdict, claim
from ntprl.measure import crossing


def moved(table: pd.DataFrame, modulus: int) -> Verdict:
    """Ours. Held if the t interval of the crossing over seeds lies within half the distance to the nearest threshold of
    another modulus, so that K can be read off; failed if it lies outside of that, else undecided.

    Half the distance: between 1/(K + 1) and 1/(K + 2).
    """
    predicted = float(theory.parity_threshold(modulus))
    margin = (predicted - float(theory.parity_threshold(modulus + 1))) / 2
    estimate, (low, high) = crossing(final_rows(table), "greedy_long")
    text = f"predicted {predicted:.3f}, measured {estimate:.3f} [{low:.3f}, {high:.3f}] over "
    text += f"{table['seed'].nunique()} seeds; within {margin:.3f} it is no other modulus"
    if predicted - margin <= low <= high <= predicted + margin:
        return Verdict(HELD, text)
    apart = low > predicted + margin or high < predicted - margin or np.isnan(estimate)
    return Verdict(FAILED if apart else UNDECIDED, text)


@claim("O1", "Sums modulo 3: the threshold moves to 1/4", source="ours", tables=("modulus_3",))
def modulus_3(table: pd.DataFrame) -> Verdict:
    """As `moved`, K = 3."""
    return moved(table, 3)


@claim("O2", "Sums modulo 5: the threshold moves to 1/6", source="ours", tables=("modulus_5",))
def modulus_5(table: pd.DataFrame) -> Verdict:
    """As `moved`, K = 5. Seeds 3 and 4 were added after the first three, whose interval had left out 1/6."""
    word, text = moved(table, 5)
    three = crossing(final_rows(table[table["seed"] <= 2]), "greedy_long")[0]
    return Verdict(word, f"{text}; seeds 3 and 4 were added after the first three, which gave {three:.3f}")
