"""The claims of chapter 6, each with its criterion: recorded tables -> a verdict.

What counts as reproduced is written in each docstring and was fixed before the tables were made.
"""

import pandas as pd

from ntprl.book.readings import at_round
from ntprl.book.verdict import CALIBRATED, NOT_REPRODUCED, PARTLY, REPRODUCED, Verdict, amount, claim, over_seeds

LEARNED = 0.05  # mean probability of a wrong token of the solution below which solutions are learned
RAISED = 0.2  # how much RL must add to greedy accuracy


def live_verdicts(table: pd.DataFrame, p_cot: float) -> dict[str, str]:
    """What one run of both phases shows, in words that do not depend on the last digit of a float."""
    start, end = at_round(table.assign(run=0), "start").iloc[0], at_round(table.assign(run=0), "end").iloc[0]
    calibrated = abs(start["long_probability"] - p_cot) <= CALIBRATED
    return {
        "tokens of solutions": "learned" if start["link_error"] < LEARNED else "not learned",
        "P(long) before RL": "calibrated" if calibrated else "not calibrated",
        "long greedy answers before RL": amount(start["greedy_long"]),
        "right greedy answers before RL": "less than half" if start["greedy_accuracy"] < 0.5 else "more",
        "right greedy answers after RL": "more than half" if end["greedy_accuracy"] > 0.5 else "fewer",
        "sampled answers after RL": "mostly long" if end["sampled_long"] > 0.5 else "mostly short",
    }


def lifted(start: pd.DataFrame, end: pd.DataFrame, p_cot: float) -> tuple[bool, str]:
    """Both phases at one p_cot, means over seeds: (do they show the phenomenon, the numbers)."""
    before, after = start["greedy_accuracy"].mean(), end["greedy_accuracy"].mean()
    p_long = start["long_probability"] if "long_probability" in start else start["sampled_long"]
    holds = start["greedy_long"].mean() < 0.1 and abs(p_long.mean() - p_cot) <= CALIBRATED
    holds &= after - before >= RAISED and end["greedy_long"].mean() > 0.5
    text = f"p_cot = {p_cot:g}: P(long) {p_long.mean():.3f} before RL, greedy accuracy {over_seeds(start['greedy_accuracy'])}"
    text += f" before and {over_seeds(end['greedy_accuracy'])} after, median greedy length "
    text += f"{start['greedy_median_length'].mean():.0f} before and {end['greedy_median_length'].mean():.0f} after"
    return bool(holds), text


@claim(
    "C17a",
    "A Llama from random weights on generated word problems shows the same",
    source="summary, at our size and on our problems",
    tables=("words",),
)
def words(table: pd.DataFrame) -> Verdict:
    """A Llama from scratch. At each p_cot of .05, .1 and .25, means over seeds: before RL less than a tenth of greedy
    answers are long and P(long) is within .05 of p_cot; RL adds .2 or more to greedy accuracy, and most greedy answers
    are long after it. The control, p_cot = 0: RL adds less than .2. Reproduced if all hold, partly if the control
    and one p_cot do.
    """
    found, texts = [], []
    for p_cot, start in at_round(table, "start").groupby("p_cot"):
        end = at_round(table, "end").query("p_cot == @p_cot")
        if p_cot == 0:
            control = end["greedy_accuracy"].mean() - start["greedy_accuracy"].mean()
            texts.append(f"p_cot = 0 (control): RL adds {control:+.3f}")
        else:
            holds, text = lifted(start, end, p_cot)
            texts.append(text)
            if p_cot < 0.5:  # there the mark of a short answer puts the threshold
                found.append(holds)
    enough = control < RAISED
    verdict = REPRODUCED if enough and all(found) else PARTLY if enough and any(found) else NOT_REPRODUCED
    return Verdict(verdict, "; ".join(texts))


@claim("C17b", "Llama-3 models on GSM8K and MATH mixtures show the same", source="summary", tables=("llama_3b_gsm8k",))
def llama(gsm8k: pd.DataFrame) -> Verdict:
    """Llama-3 weights: as `words` at p_cot of .05, .1 and .25, without the control. Partly at most, since the
    table is of one model on GSM8K alone.
    """
    start = gsm8k[gsm8k["phase"] == "sft"]
    start = start[start["step"] == start["step"].max()]
    end = gsm8k[gsm8k["phase"] == "rl"]
    end = end[end["step"] == end["step"].max()]
    found = {p: lifted(start[start["p_cot"] == p], end[end["p_cot"] == p], p) for p in sorted(start["p_cot"].unique())}
    holds = [found[p][0] for p in found if p < 0.5]
    text = "; ".join(["GSM8K, one model; MATH not yet run", *(text for _, text in found.values())])
    return Verdict(PARTLY if any(holds) else NOT_REPRODUCED, text)


@claim(
    "O4",
    "TRL's trainers bring the same Llama where the loops of this book bring it, before and after RL",
    source="ours",
    tables=("words_paths_own", "words_paths_trl"),
)
def paths(own: pd.DataFrame, trl: pd.DataFrame) -> Verdict:
    """Ours: before and after RL, the means over seeds of greedy accuracy and of P(long) differ by .1 at most."""
    texts, holds = [], True
    for which, words in (("start", "before RL"), ("end", "after RL")):
        ours, theirs = at_round(own, which), at_round(trl, which)
        for column, name in (("greedy_accuracy", "greedy accuracy"), ("long_probability", "P(long)")):
            holds &= abs(ours[column].mean() - theirs[column].mean()) <= 0.1
            texts.append(f"{name} {words} {ours[column].mean():.3f} here, {theirs[column].mean():.3f} by TRL")
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, "; ".join(texts))


# the same criteria on other tables
hard = claim(
    "O5",
    "Word problems of six steps instead of two to four: both phases at p_cot = .1 too",
    source="ours",
    tables=("words_hard",),
)(words.criterion)
shared_starts = claim(
    "O6",
    "From the same starts, TRL's GRPO and the loops of this book bring a Llama to the same place",
    source="ours",
    tables=("words_paths_own", "words_paths_shared"),
)(paths.criterion)
