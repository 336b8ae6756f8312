"""The claims of chapter 8, all but one ours, each with its criterion: recorded tables -> a verdict.

What counts as held is written in each docstring.
"""

import numpy as np
import pandas as pd
from scipy.special import chdtri

from ntprl import theory
from ntprl.book.readings import final_rows
from ntprl.book.verdict import (
    FAILED,
    HELD,
    NOT_REPRODUCED,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    claim,
    over_seeds,
)
from ntprl.measure import crossing, first_crossing, mean_interval
from ntprl.studies.one_rule.predictions import (
    branch_threshold,
    critical_price,
    flip_shift,
    gated_rest,
    kl_rest,
    kl_rest_tilted,
    leap_thresholds,
    noise_factor,
    odds,
    stop_only_divergence,
    takeoff_rounds,
)
from ntprl.studies.one_rule.readings import (
    first_round_row,
    flip_shifts,
    last_round,
    rest_of,
    starts_and_takeoffs,
    with_times,
)
from ntprl.studies.one_rule.transformers import LEAPS, D


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


MARGIN = 0.02  # how far a transformer's threshold may lie from the prediction, where no rival is nearer
BELOW, ABOVE = 0.05, 0.95  # greedy decoding goes on for hardly any prompt, for nearly all


def placed(name: str, final: pd.DataFrame, column: str, predicted: float, margin: float) -> tuple[str, str]:
    """(verdict, text) of one threshold: held if its t interval over seeds lies within `margin` of the prediction,
    failed if it lies outside of that or some seed never crosses, else undecided."""
    measured, (low, high) = crossing(final, column)
    if np.isnan(measured):
        return FAILED, f"{name}: predicted {predicted:.3f}, not crossed by every seed"
    text = f"{name}: predicted {predicted:.3f}, measured {measured:.3f} [{low:.3f}, {high:.3f}]"
    if low > predicted + margin or high < predicted - margin:
        return FAILED, text
    inside = predicted - margin <= low and high <= predicted + margin
    return HELD if inside else UNDECIDED, text


def together(found: list[tuple[str, str]]) -> Verdict:
    """Held if all parts are, failed if one is, else undecided."""
    words = [word for word, _ in found]
    word = FAILED if FAILED in words else UNDECIDED if UNDECIDED in words else HELD
    return Verdict(word, "; ".join(text for _, text in found))


def outcome(holds: bool, text: str) -> Verdict:
    return Verdict(HELD if holds else FAILED, text)


# --- the third kind of demonstration, and a second chain ---


def generalises(rows: pd.DataFrame) -> bool:
    """Does every seed's greedy decoding answer nearly all prompts, and rightly?"""
    return len(rows) > 0 and bool((rows["greedy_accuracy"] > ABOVE).all())


@claim(
    "C19",
    "A partial (leap-2) chain lets pre-training generalise even below 1/3",
    source="second-hand",
    tables=("leap_alone", "leap_third", "leap_longer"),
)
def partial_chains(alone: pd.DataFrame, third: pd.DataFrame, longer: pd.DataFrame) -> Verdict:
    """Which mixture the paper has is not known to us, so both readings are run. Leaps are the only long demonstrations:
    does some share below 1/3 reach a greedy accuracy above .95 in every seed? Leaps are a third kind: does some mixture
    in which full chains and leaps both have a share below 1/3, with as many steps or with four times as many? The
    longer runs were added after the others were read. Reproduced if both do, partly if one does."""
    alone, third, longer = map(final_rows, (alone, third, longer))
    below = alone[alone["p_cot"] < 1 / 3 - 1e-4]  # tables round to six digits
    first = [p for p, rows in below.groupby("p_cot") if generalises(rows)]
    both_below = third[(third["p_cot"] * LEAPS < 1 / 3) & (third["p_cot"] * (1 - LEAPS) < 1 / 3)]
    long_below = longer[longer["p_cot"] * LEAPS < 1 / 3]
    tried = [rows for table in (both_below, long_below) for _, rows in table.groupby("p_cot")]
    second = sorted({rows["p_cot"].iloc[0] for rows in tried if generalises(rows)})
    text = f"leaps alone, shares {', '.join(f'{p:.2f}' for p in sorted(below['p_cot'].unique()))}: greedy accuracy at "
    text += f"most {below['greedy_accuracy'].max():.3f}; leaps as a third kind: "
    pairs = [f"{p * (1 - LEAPS):.2f} full and {p * LEAPS:.2f} leaps" for p in second]
    text += f"above {ABOVE} in every seed with {' and with '.join(pairs)}" if pairs else "no such mixture"
    if len(both_below):
        most = both_below[both_below["p_cot"] == both_below["p_cot"].max()]
        text += (
            f"; at {most['p_cot'].max():.2f} long demonstrations in all {most['greedy_long'].mean():.2f} of the greedy "
        )
        text += f"answers go on, and of the long ones drawn {most['sampled_long_accuracy'].mean():.2f} end right"
    if len(long_below):
        lowest, highest = long_below["greedy_accuracy"].min(), long_below["greedy_accuracy"].max()
        text += f"; with four times as many steps greedy accuracy is {lowest:.2f} to {highest:.2f}"
    word = REPRODUCED if first and second else PARTLY if first or second else NOT_REPRODUCED
    return Verdict(word, text)


@claim(
    "O17",
    "Leaping chains: prompts go on from 1/3 if leaps are alone; as a third kind from f + q = 1/3 or 3 max + min = 1",
    source="ours",
    tables=("leap_alone", "leap_third"),
)
def leaps(alone: pd.DataFrame, third: pd.DataFrame) -> Verdict:
    """Ours. Three thresholds: of leaps alone; and with two in three long demonstrations leaping, of the prompts on
    which both chains agree in their first two tokens, and of the others. Each held if its t interval lies within half
    the distance of the two steps of the third kind, .048; failed if one lies outside; else undecided."""
    agree, other = leap_thresholds(LEAPS)
    margin, third = (other - agree) / 2, final_rows(third)
    return together(
        [
            placed("leaps alone", final_rows(alone), "greedy_long", 1 / 3, margin),
            placed("third kind, chains agree", third, "agree_long", agree, margin),
            placed("third kind, others", third, "other_long", other, margin),
        ]
    )


@claim(
    "O18",
    "Two valid chains: a quarter of the prompts go on from 1/3, all from 1/2",
    source="ours",
    tables=("two_chains",),
)
def staircase(table: pd.DataFrame) -> Verdict:
    """Ours. Held if both steps lie within half their distance, .083, of 1/3 and 1/2 (t intervals over seeds), and
    between them, at p_cot = .41, the share of prompts that go on is within .1 of a quarter on average; failed if a step
    lies outside or the share does; else undecided."""
    final = final_rows(table)
    low, high = float(branch_threshold(1 / 2)), float(branch_threshold(1 / 2, 1 / 2))
    found = [
        placed("chains agree", final, "agree_long", low, (high - low) / 2),
        placed("others", final, "other_long", high, (high - low) / 2),
    ]
    between = final[np.isclose(final["p_cot"], 0.41)]["greedy_long"].mean()
    is_quarter = abs(between - 0.25) <= 0.1
    found.append((HELD if is_quarter else FAILED, f"at p_cot = .41 {between:.3f} of all prompts go on"))
    return together(found)


# --- what reinforcement learning changes ---


@claim("O19", "Training the bias of EOS alone recovers greedy accuracy", source="ours", tables=("stop_bias",))
def bias_alone(table: pd.DataFrame) -> Verdict:
    """Ours. Held if with the bias alone every run ends above .95, the mean probability of a wrong link changes by less
    than .01 in every run of either training, and the logit of EOS has fallen by ln 1.5 = .405, within .1, when half of
    the prompts go on (t interval over seeds of the bias alone)."""
    start, end = first_round_row(table), last_round(table)
    alone = end["trains"] == "stop"
    links = (end["link_error"] - start["link_error"]).abs()
    mean, (low, high) = mean_interval(flip_shifts(table[table["trains"] == "stop"]))
    predicted = flip_shift(0.25)
    holds = bool((end["greedy_accuracy"][alone] > ABOVE).all() and (links < 0.01).all())
    holds &= predicted - 0.1 <= low and high <= predicted + 0.1
    text = f"the bias alone: greedy accuracy {over_seeds(end['greedy_accuracy'][alone])}, P(long) "
    text += f"{over_seeds(end['long_probability'][alone])}; half of the prompts go on after a fall of "
    text += "no size in some run, " if np.isnan(mean) else f"{mean:.3f} [{low:.3f}, {high:.3f}], "
    text += f"predicted {predicted:.3f}; wrong links change by {links[alone].max():.4f} at most, "
    text += f"by {links[~alone].max():.4f} where all weights are trained"
    return outcome(bool(holds), text)


@claim(
    "O20",
    "The divergence of a trained stop is that of one coin behind the first token",
    source="ours",
    tables=("stop_bias",),
)
def stop_divergence(table: pd.DataFrame) -> Verdict:
    """Ours. KL from the start of the bias alone, over what `stop_only_divergence` says for its P(long) before and after
    20 rounds. Held if the t interval over seeds lies within [.75, 1.25], failed if it lies outside, else undecided."""
    start, end = first_round_row(table), last_round(table)
    alone = end.index[end["trains"] == "stop"]
    ratios = [
        end["kl_from_start"][run]
        / stop_only_divergence(start["long_probability"][run], min(end["long_probability"][run], 0.62))
        for run in alone
    ]
    mean, (low, high) = mean_interval(ratios)
    text = f"KL over its prediction {mean:.2f} [{low:.2f}, {high:.2f}]"
    word = HELD if 0.75 <= low <= high <= 1.25 else FAILED if low > 1.25 or high < 0.75 else UNDECIDED
    return Verdict(word, text)


@claim(
    "O35",
    "Trained by its bias of EOS alone, each start flips when its own gap is closed",
    source="ours",
    tables=("stop_gaps",),
)
def own_gaps(table: pd.DataFrame) -> Verdict:
    """Ours, asked after O19 had failed. Held if the fall of the logit at the flip, less the run's own gap at the start,
    has a t interval over seeds within .05 of 0, and lies nearer to the own gap than to ln 1.5 (mean square over runs);
    failed if either does not hold."""
    shifts, own = flip_shifts(table), first_round_row(table)["stop_gap"]
    spare = shifts - own[shifts.index]
    mean, (low, high) = mean_interval(spare)
    squares = np.sqrt((spare**2).mean()), np.sqrt(((shifts - flip_shift(0.25)) ** 2).mean())
    text = f"fall less own gap {mean:.3f} [{low:.3f}, {high:.3f}] over {len(spare)} seeds; root mean square "
    text += f"{squares[0]:.3f}, from ln 1.5 {squares[1]:.3f}; own gaps {own.min():.3f} to {own.max():.3f}"
    return outcome(bool(low >= -0.05 and high <= 0.05 and squares[0] < squares[1]), text)


@claim(
    "O39",
    "RL changes what a model makes of what it sees, and not where it looks",
    source="ours",
    tables=("stop_attention",),
)
def looks_where_it_looked(table: pd.DataFrame) -> Verdict:
    """Ours, behind the right first token, after all rounds. Held if in every run the reinforced weights go on with the
    attention of their start (`old_look_gap` below 0), the start stops with the attention of the reinforced model
    (`new_look_gap` above 0), and the t interval over seeds of the part of the fall of the gap that attention alone
    brings about, (start_gap - new_look_gap)/(start_gap - stop_gap), lies below 1/2; failed if some run does not flip as
    said, or the interval lies above 1/2; undecided if it holds 1/2. A run in which greedy decoding does not go on at
    the end, or did not stop at the start, has nothing to explain, and the verdict is undecided."""
    end = last_round(table)
    flips = bool((end["stop_gap"] < 0).all() and (end["start_gap"] > 0).all())
    goes_on, stops, n = int((end["old_look_gap"] < 0).sum()), int((end["new_look_gap"] > 0).sum()), len(end)
    mean, (low, high) = mean_interval((end["start_gap"] - end["new_look_gap"]) / (end["start_gap"] - end["stop_gap"]))
    text = f"given the new attention the start still stops in {stops} of {n} runs, given the old one the reinforced "
    text += f"model goes on in {goes_on} of {n}; attention alone brings {mean:.2f} [{low:.2f}, {high:.2f}] of the fall "
    text += f"of the EOS logit; gap of the start {over_seeds(end['start_gap'])}, with the new attention "
    text += f"{over_seeds(end['new_look_gap'])}, after RL {over_seeds(end['stop_gap'])}, with the old attention "
    text += f"{over_seeds(end['old_look_gap'])}; total variation of the attention {over_seeds(end['attention_moved'])}"
    if not flips:
        return Verdict(UNDECIDED, f"some run does not flip; {text}")
    if min(goes_on, stops) < n or low > 0.5:
        return Verdict(FAILED, text)
    return Verdict(HELD if high < 0.5 else UNDECIDED, text)


# --- noise ---


@claim(
    "O21",
    "Noise on links moves the threshold to 1/(3 - 2 eta), noise on the final token does not",
    source="ours",
    tables=("noise_threshold",),
)
def noise_moves(table: pd.DataFrame) -> Verdict:
    """Ours. Held if every mean threshold lies within .02 of its prediction, and with noise .3 on the links the interval
    lies above that of noise .3 on the final token; failed if one t interval lies farther off than .02, or these two are
    in the wrong order; else undecided."""
    final, found, intervals = final_rows(table), [], {}
    for (place, eta), rows in final.groupby(["place", "noise"]):
        predicted = branch_threshold(1 / 2, 1 - eta if place == "links" else 1)
        measured, (low, high) = intervals[place, round(eta, 3)] = crossing(rows, "greedy_long")
        word, text = placed(f"noise {eta:g} on the {place}", rows, "greedy_long", predicted, MARGIN)
        found.append((HELD if word == UNDECIDED and abs(measured - predicted) <= MARGIN else word, text))
    links, last = intervals["links", 0.3], intervals["final", 0.3]
    if links[1][0] > last[1][1]:
        found.append((HELD, "the two kinds of noise are told apart"))
    else:
        found.append((FAILED if links[0] <= last[0] else UNDECIDED, "the two kinds of noise are not told apart"))
    return together(found)


@claim(
    "O22",
    "Noisy links: a round of STaR multiplies the odds of long by 2(1 - eta)^(d-1), 1 + (1 - 2 eta)^(d-1) or 2(1 - eta)",
    source="ours",
    tables=("noise_star",),
)
def noise_rounds(table: pd.DataFrame) -> Verdict:
    """Ours, d = 16; by the chain, the end-to-end and the process reward. Held if the mean factor over seeds lies within
    .25 of the prediction for every reward and noise; failed if a t interval lies farther off than that; else
    undecided."""
    start, end = first_round_row(table), last_round(table)
    factors = odds(end["long_probability"]) / odds(start["long_probability"])
    found = []
    for (judge, eta), rows in factors.groupby([end["judge"], end["noise"]]):
        predicted, (mean, (low, high)) = noise_factor(eta, D, judge), mean_interval(rows)
        text = f"{judge}, noise {eta:g}: x {mean:.2f} [{low:.2f}, {high:.2f}], predicted {predicted:.2f}"
        far = low > predicted + 0.25 or high < predicted - 0.25
        found.append((HELD if abs(mean - predicted) <= 0.25 else FAILED if far else UNDECIDED, text))
    return together(found)


# --- a price on length ---


@claim(
    "O23",
    "A price on length is all or nothing: below the critical price length grows as without, above it falls to 1",
    source="ours",
    tables=("length_price",),
)
def all_or_nothing(table: pd.DataFrame) -> Verdict:
    """Ours, REINFORCE without a gate. Held if every run at half the critical price ends with P(long) above .9, and
    every run at twice it, asked from the start, below .05; failed otherwise."""
    ends = with_times(last_round(table)).query("gate == 0 and free_rounds == 0")
    low, high = (ends.loc[ends["times"] == times, "long_probability"] for times in (0.5, 2.0))
    text = f"P(long) at half the critical price {low.min():.3f} or more, at twice it {high.max():.3f} or less"
    return outcome(bool((low > 0.9).all() and (high < 0.05).all()), text)


@claim(
    "O24",
    "A high price that is asked late, or only in groups that are right, does not collapse accuracy early",
    source="ours",
    tables=("length_price",),
)
def gate(table: pd.DataFrame) -> Verdict:
    """Ours, at twice the critical price. Held if (a) asked from round 20 on, P(long) is above 1/3 at round 20 in every
    run and takes more rounds after it to fall below 1/3 than the share takes from the start to fall below half of what
    it was, or never does; and (b) asked only in groups of which 7 of 8 are right, every run ends with greedy accuracy
    above .95 and the mean of P(long) over runs lies within .15 of `gated_rest`; failed otherwise."""
    high = with_times(table.dropna(subset="greedy_long")).query("times == 2")
    late = high[high["free_rounds"] == 20]
    at_start = late[late["step"] == 20].set_index("run")["long_probability"]
    fell = late[(late["step"] > 20) & (late["long_probability"] < 1 / 3)].groupby("run")["step"].min() - 20
    early = high[(high["free_rounds"] == 0) & (high["gate"] == 0)]
    halved = early[early["long_probability"] < 0.125].groupby("run")["step"].min()
    slower = fell.empty or fell.min() > halved.max()
    gated = last_round(high[high["gate"] > 0])
    rest, predicted = gated["long_probability"].mean(), gated_rest(2 * critical_price(D, "all"), D, 8, 0.875)
    holds = (at_start > 1 / 3).all() and slower
    holds &= (gated["greedy_accuracy"] > ABOVE).all() and abs(rest - predicted) <= 0.15
    text = f"asked late: P(long) {at_start.min():.3f} or more at round 20, below 1/3 after "
    text += f"{'no round' if fell.empty else f'{fell.min():g} rounds or more'} of the price (asked early, halved after "
    text += f"{'no round' if halved.empty else f'{halved.max():g}'}); gated: P(long) rests at "
    text += f"{over_seeds(gated['long_probability'])}, predicted {predicted:.2f}, greedy accuracy "
    text += f"{gated['greedy_accuracy'].min():.3f} or more"
    return outcome(bool(holds), text)


@claim(
    "O36",
    "A gated price: once x_1 is certain guesses are all alike, and P(long) rests higher or falls to 0",
    source="ours",
    tables=("gate_alike",),
)
def gate_alike(table: pd.DataFrame) -> Verdict:
    """Ours, asked after O24 had failed. Held if at 1.5 times the critical price the mean of P(long), over runs and the
    last third of the rounds, lies within .1 of `gated_rest` with guess = 1, whichever answers pay, and at three times
    it every run ends below .05; failed otherwise."""
    priced, rests, ends = with_times(first_round_row(table)), rest_of(table), last_round(table)
    found, holds = [], True
    for charged, rows in priced[priced["times"] == 1.5].groupby("charged"):
        predicted = gated_rest(rows["price"].iloc[0], D, 8, 0.875, charged, guess=1.0)
        mean = rests[rows.index].mean()
        holds &= abs(mean - predicted) <= 0.1
        found.append(f"{mean:.3f} where {charged} answers pay (predicted {predicted:.3f})")
    most = ends["long_probability"][priced.index[priced["times"] == 3]].max()
    independent = gated_rest(3 * critical_price(D, "all"), D, 8, 0.875)
    text = f"1.5 times the critical price: P(long) rests at {', '.join(found)}; three times: ends at {most:.3f} or "
    text += f"less, where independent guesses would leave {independent:.2f}"
    return outcome(bool(holds and most < BELOW), text)


@claim(
    "O41",
    "A gated price: P(long) rests where guesses that are as much alike as they are let it",
    source="ours",
    tables=("gate_guesses",),
)
def gate_as_alike(table: pd.DataFrame) -> Verdict:
    """Ours, asked after O24 and O36 had failed. P(long) of a run, mean over the last third of its rounds, against
    `gated_rest` with `guess` and the share of right long answers as measured in the same rounds of the same run. Held
    if the root mean square of the difference over runs is at most .1 and below that of independent guesses and that of
    guesses all alike; failed otherwise."""
    rests, first = rest_of(table), first_round_row(table)
    measured = {name: rest_of(table, name) for name in ("guess", "sampled_long_accuracy")}
    ways = pd.DataFrame(index=first.index, columns=["as measured", "independent", "all alike"], dtype=float)
    for run, row in first.iterrows():
        settings = (row["price"], D, 8, 0.875, row["charged"])
        guess, right = (measured[name][run] for name in ("guess", "sampled_long_accuracy"))
        with_both = gated_rest(*settings, guess=guess, right=right)
        ways.loc[run] = with_both, gated_rest(*settings), gated_rest(*settings, guess=1.0)
    squares = ways.sub(rests, axis=0) ** 2
    misses, standing = np.sqrt(squares.mean()), np.sqrt(squares[rests > 0.1].mean())
    best = misses.pop("as measured")
    text = f"P(long) misses its rest by {best:.3f}, root mean square over {len(rests)} runs, "
    text += ", ".join(f"by {miss:.3f} if guesses were {name}" for name, miss in misses.items())
    text += f"; over the {(rests > 0.1).sum()} that rest above .1 by "
    text += ", ".join(f"{miss:.3f} {name}" for name, miss in standing.items())
    for (charged, times), rows in with_times(first).groupby(["charged", "times"]):
        said = ways["as measured"][rows.index].mean()
        text += f"; {times:g} times, {charged} charged: {over_seeds(rests[rows.index], 2)}, predicted {said:.2f}, "
        text += f"guess {measured['guess'][rows.index].mean():.2f}"
    return outcome(bool(best <= 0.1 and best < misses.min()), text)


# --- rare long answers, the chain being known ---


@claim(
    "O25",
    "The chain known, takeoff takes log2(1/p) rounds where a round draws 1/p answers",
    source="ours",
    tables=("rare_chain",),
)
def takeoff_is_logarithmic(table: pd.DataFrame) -> Verdict:
    """Ours. With n = log2((1 - p)/(2 p)) from the measured p of each start: held if every run takes off, none before
    round n - 1 and none after round 1.5 n + 1; failed otherwise."""
    found = starts_and_takeoffs(table)
    predicted = found["p"].map(takeoff_rounds)
    ratio = found["takeoff"] / predicted
    holds = ((found["takeoff"] >= predicted - 1) & (found["takeoff"] <= 1.5 * predicted + 1)).all()
    rounds = [
        f"p = 2^{np.log2(rows['p'].mean()):.1f}: {rows['takeoff'].min():g} to {rows['takeoff'].max():g} rounds"
        for _, rows in found.dropna(subset="takeoff").groupby("rarity")
    ]
    text = f"{found['takeoff'].notna().sum()} of {len(found)} runs take off; {', '.join(rounds)}; "
    text += "" if ratio.isna().all() else f"{ratio.min():.2f} to {ratio.max():.2f} times the prediction"
    return outcome(bool(holds), text)


@claim(
    "O26",
    "Rarer than that, RL waits for the first long answer, 1/(512 p) rounds in the mean",
    source="ours",
    tables=("rare_waiting",),
)
def waiting(table: pd.DataFrame) -> Verdict:
    """Ours. The first round with a long answer, counted from 1, over 1/(512 p), p of the start: the mean of such ratios
    is 1, and their law nearly exponential. Runs that see none count with all their rounds. Held if the sum of ratios
    over the number of runs that saw one has 1 in the 95 % interval for exponential waits (a chi-squared law), failed
    if not."""
    found, rounds = starts_and_takeoffs(table), table.groupby("run")["step"].max()
    waited = (found["first"] + 1).fillna(rounds + 1)
    total, seen = float((waited * 512 * found["p"]).sum()), int(found["first"].notna().sum())
    low, high = (2 * total / chdtri(2 * max(seen, 1), q) for q in (0.025, 0.975))
    text = (
        f"{seen} of {len(found)} runs see a long answer; mean wait {total / max(seen, 1):.2f} [{low:.2f}, {high:.2f}] "
    )
    text += "times 1/(512 p)"
    return outcome(seen > 0 and low <= 1 <= high, text)


ENOUGH = 16  # long answers that a round draws in the mean


@claim(
    "O38",
    "Whether rare long answers take off is decided by how many a round draws, not by their share",
    source="ours",
    tables=("rare_enough",),
)
def enough_are_drawn(table: pd.DataFrame) -> Verdict:
    """Ours, asked after O25 had failed. Held if all runs in which a round draws 16 long answers in the mean take off,
    and at most half of those in which it draws fewer; failed otherwise."""
    found = starts_and_takeoffs(table)
    off = found["takeoff"].notna()
    cells = [
        f"{off[rows.index].sum()} of {len(rows)} at p = 2^-{rarity} with {rollouts:,} answers"
        for (rarity, rollouts), rows in found.groupby(["rarity", "rollouts"])
    ]
    enough = found["rollouts"] * 2.0 ** -found["rarity"] >= ENOUGH
    return outcome(bool(off[enough].all() and off[~enough].mean() <= 0.5), f"runs that take off: {', '.join(cells)}")


# --- the length known, the chain not ---


@claim(
    "O34",
    "Answers of the right length and random links: rewarded at their end RL learns nothing, link after link all",
    source="ours",
    tables=("lessons",),
)
def link_after_link(table: pd.DataFrame) -> Verdict:
    """Ours. Held if every run that asks for one token after the other ends with greedy accuracy above .95, and every
    run that asks for the last token, or for the whole chain, below .6; failed otherwise."""
    ends = last_round(table).groupby("lesson")["greedy_accuracy"]
    low, high = ends.min(), ends.max()
    text = f"greedy accuracy after {table['step'].max():g} rounds: one token after the other {low['growing']:.3f} or "
    text += f"more, the last token {high['whole']:.3f} or less, the whole chain {high['chain']:.3f} or less"
    return outcome(bool(low["growing"] > ABOVE and max(high["whole"], high["chain"]) < 0.6), text)


# --- the penalty and the group ---


@claim(
    "O27",
    "A penalty for leaving the start lets P(long) rest where reward and penalty balance",
    source="ours",
    tables=("kl_start",),
)
def kl_rests(table: pd.DataFrame) -> Verdict:
    """Ours. Held if for every weight the mean over seeds of P(long), over the last third of the rounds, lies within .08
    of `kl_rest`, and at weight .3 nearer to it than to `kl_rest_tilted`; failed if a t interval lies farther off than
    .08 or the latter does not hold; else undecided."""
    rests, start = rest_of(table), first_round_row(table)
    found = []
    for weight, runs in start.groupby("kl").groups.items():
        predicted, (mean, (low, high)) = kl_rest(0.25, weight, 8), mean_interval(rests[runs])
        text = f"weight {weight:g}: {mean:.3f} [{low:.3f}, {high:.3f}], predicted {predicted:.3f}"
        word = HELD if abs(mean - predicted) <= 0.08 else FAILED
        if word == FAILED and low <= predicted + 0.08 and high >= predicted - 0.08:
            word = UNDECIDED
        tilted = kl_rest_tilted(0.25, weight, 8)
        if np.isclose(weight, 0.3):
            text += f", with the exact divergence {tilted:.3f}"
            word = FAILED if abs(mean - tilted) < abs(mean - predicted) else word
        found.append((word, text))
    return together(found)


@claim(
    "O28",
    "The size of a group leaves the mean path of GRPO alone, unless there is a penalty to balance",
    source="ours",
    tables=("group_size",),
)
def group_sizes(table: pd.DataFrame) -> Verdict:
    """Ours. Held if without a penalty the means over seeds of P(long) for groups of 2, 8 and 32 lie within .15 of each
    other at every measured round, and with one (.5) the mean rests lie in the order of the groups and each within .1 of
    `kl_rest`; failed otherwise."""
    free = table[(table["kl"] == 0) & table["greedy_long"].notna()]
    paths = free.pivot_table(index="step", columns="group", values="long_probability")
    apart = float((paths.max(axis=1) - paths.min(axis=1)).max())
    held_back = table[table["kl"] > 0]
    groups = first_round_row(held_back)["group"]
    rests = rest_of(held_back).groupby(groups).mean().sort_index()
    predicted = {group: kl_rest(0.25, 0.5, int(group)) for group in rests.index}
    near = all(abs(rests[group] - predicted[group]) <= 0.1 for group in rests.index)
    text = f"without a penalty the mean paths lie {apart:.3f} apart at most; with one P(long) rests at "
    text += ", ".join(f"{rests[g]:.3f} for groups of {g:g} (predicted {predicted[g]:.3f})" for g in rests.index)
    return outcome(bool(apart <= 0.15 and near and rests.is_monotonic_increasing), text)


@claim(
    "O37",
    "How fast P(long) grows under GRPO depends on the number of prompts, not on the size of a group",
    source="ours",
    tables=("group_prompts",),
)
def prompts_decide(table: pd.DataFrame) -> Verdict:
    """Ours, asked after O28 had failed. Held if with 64 prompts the mean paths of groups of 8 and 32 lie within .1 of
    each other at every measured round, and groups of 8 on 16 prompts reach a mean P(long) of 1/2 later than both;
    failed otherwise."""
    rows = table[table["greedy_long"].notna()]
    rows = rows.assign(prompts=rows["rollouts"] // rows["group"])
    paths = rows.pivot_table(index="step", columns=["prompts", "group"], values="long_probability")
    apart = float((paths[64, 8] - paths[64, 32]).abs().max())
    half = {case: first_crossing(paths.index.to_numpy(), path.to_numpy(), 0.5) for case, path in paths.items()}
    text = f"64 prompts: groups of 8 and 32 lie {apart:.3f} apart at most; P(long) of one half after "
    text += ", ".join(f"{at:.1f} rounds ({p} prompts, groups of {g})" for (p, g), at in half.items())
    slowest = np.maximum(half[64, 8], half[64, 32])  # NaN if one never gets there
    later = slowest < np.nan_to_num(half[16, 8], nan=np.inf)
    return outcome(bool(apart <= 0.1 and later), text)
