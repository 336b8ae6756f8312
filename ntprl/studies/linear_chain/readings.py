"""What the page of chapter 3 reads from its tables, and what ridge alone would make of a round of STaR."""

import numpy as np
import pandas as pd
from scipy.special import expit

from ntprl.linear_chain.training import default_ridge, population
from ntprl.studies.linear_chain.claims import with_predictions
from ntprl.studies.linear_chain.runs import ridge_long


def ridge_wrong(d: int, share: float, n_samples: int) -> float:
    """The part of `runs.ridge_long` that goes on after a wrong first token, which no demonstration does."""
    best = population(d, share, *default_ridge(d, n_samples, max(share * n_samples, 1)))
    return float((1 - expit(best.first)) * expit(-best.stop_other))


def ridge_growth(d: int, n_samples: int, shares: np.ndarray) -> pd.DataFrame:
    """One round of STaR by the chain reward with those minimisers in the place of SGD, for each share of long samples.

    long: P(long) before the round; factor, right: by how much the odds of long, and of a right chain, grow in it. The
    links are taken to be known, and half of the short answers to be right.
    """
    rows = []
    for share in shares:
        long, wrong = (ridge(d, share, n_samples) for ridge in (ridge_long, ridge_wrong))
        kept = (long - wrong) / (long - wrong + (1 - long) / 2)
        after, wrong_after = (ridge(d, kept, n_samples) for ridge in (ridge_long, ridge_wrong))
        odds = [p / (1 - p) for p in (long, after, long - wrong, after - wrong_after)]
        rows.append({"long": long, "factor": odds[1] / odds[0], "right": odds[3] / odds[2]})
    return pd.DataFrame(rows)


def growth(star: pd.DataFrame) -> pd.DataFrame:
    """Rounds of STaR by the chain reward, means over seeds, by p_cot and round.

    long: P(long) before the round; factor, right: by how much the odds of long, and of a right chain, grow in it.
    """
    rows = with_predictions(star)
    odds = rows["chain"] / (1 - rows["chain"])
    rows["right"] = odds / odds.groupby(rows["run"]).shift()
    rows["long"] = rows.groupby("run")["long"].shift()
    return rows.groupby(["p_cot", "round"])[["long", "factor", "right"]].mean().dropna()
