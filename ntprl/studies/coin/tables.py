"""The tables of chapter 7 on parity in words, every configuration and seed stated beforehand.

Chosen by one run with seed 100 that is in no table, and by one of another program: steps, rates, and rounds of
`PUBLISHED`. One thread a run, some 8 GB of memory, 1.6 GB on disk for each start; two such runs at once at most.
"""

from ntprl.book.recording import Recording, grid
from ntprl.book.run import as_kind, change
from ntprl.studies.coin import CHAPTER
from ntprl.studies.coin.runs import PUBLISHED, CoinContinued, CoinTrl, CoinTuned, coin

TUNED = change(as_kind(PUBLISHED, CoinTuned, CoinTuned.kind), rl=None, n_eval=96)
BY_TRL = as_kind(PUBLISHED, CoinTrl, CoinTrl.kind)
CONTINUED = as_kind(PUBLISHED, CoinContinued, CoinContinued.kind)

TABLES = (
    # Size, steps and rates were chosen with seeds from 101 on, none of which is in a table. With 3e-3 the chain was
    # not learned in time; with 1e-3 and five people it was for 101, 102 and 104 but not for 103; with four people it
    # was for 103, 105, 106 and 107. Twelve rounds left 106 at .89, so there are 30. Predicted: all five say that the
    # chain is known, P(long) calibrated, hardly any greedy answer long and about half of them right before RL, nearly
    # all right after it, and their median length that of the chain.
    Recording(
        "coin_seeds",
        "Does the live run of chapter 07 give the same verdicts for every seed?",
        CHAPTER,
        grid(coin(), seed=range(5)),
        "some 12 minutes of one CPU core; five at once on a crowded machine took 20 to 23 minutes each",
    ),
    # C17c. Predicted: P(long) within .05 of .25 before RL (mean over seeds), hardly a greedy answer long, about half of
    # them right; greedy accuracy above .9 and the chain's length after 8 rounds, in every run.
    Recording(
        "coin_published",
        "SmolLM2-135M-Instruct on parity in words, p_cot = .25: do both phases show?",
        CHAPTER,
        grid(PUBLISHED, seed=range(3)),
        "21 minutes for RL and 35 for the starts, of one crowded CPU core",
    ),
    # O29. Predicted: without long demonstrations, and with a coin for a reward, RL adds less than .2 to greedy
    # accuracy, and fewer than half of the greedy answers are long after it, in every run.
    Recording(
        "coin_published_controls",
        "SmolLM2-135M-Instruct: what does RL do without long demonstrations, and with a coin for a reward?",
        CHAPTER,
        (*grid(PUBLISHED, p_cot=(0.0,), seed=range(3)), *grid(PUBLISHED, reward=("coin",), seed=range(3))),
        "48 minutes for RL and some 70 for six starts, of one crowded CPU core",
    ),
    # O42, asked after O29 had failed: with a coin for a reward P(long) drifts. Does the true reward do more than that?
    # Both from the same five new starts. Predicted: P(long) rises by more with the true reward, in every pair.
    Recording(
        "coin_published_pairs",
        "SmolLM2-135M-Instruct: does P(long) rise more with the true reward than with a coin, from the same starts?",
        CHAPTER,
        grid(PUBLISHED, reward=("r_e2e", "coin"), seed=range(3, 8)),
        "not yet measured; two and a half hours on one CPU core",
    ),
    # O30. Predicted: greedy answers turn long within .05 of m/(1 + m): of 1/3 here ...
    Recording(
        "coin_published_thresholds",
        "SmolLM2-135M-Instruct, fine-tuning alone: at which p_cot do greedy answers turn long?",
        CHAPTER,
        grid(TUNED, p_cot=(0.1, 0.2, 0.3, 0.35, 0.4, 0.5), seed=range(3)),
        "not yet measured; two hours on one CPU core",
    ),
    # ... and of 1/2 here, where short answers are marked
    Recording(
        "coin_published_marked",
        "The same where short answers begin with a word of their own: does the switch move to one half?",
        CHAPTER,
        grid(change(TUNED, marked=True), p_cot=(0.3, 0.4, 0.5, 0.6), seed=range(3)),
        "not yet measured; 90 minutes on one CPU core",
    ),
    # O31. Predicted: on the same mixture greedy accuracy changes by less than .2; on long demonstrations alone, where
    # one has them, more than half of the greedy answers are long at the end.
    Recording(
        "coin_published_continued",
        "SmolLM2-135M-Instruct, from the same starts: what does more next-token training do instead of RL?",
        CHAPTER,
        grid(CONTINUED, next_p_cot=(0.25, 1.0), seed=range(3)),
        "not yet measured; 90 minutes on one CPU core, from the starts of `coin_published`",
    ),
    # O40. Predicted: P(long) rises in every run by TRL's trainer too, and in the mean over seeds it and greedy accuracy
    # end within .1 of where they end by our loops.
    Recording(
        "coin_published_trl",
        "SmolLM2-135M-Instruct, from the same starts: does RL by TRL's trainer do the same?",
        CHAPTER,
        grid(BY_TRL, seed=range(3)),
        "not yet measured; two hours on one CPU core, from the starts of `coin_published`",
    ),
    # No claim: rarer long answers, with twice the rounds, and a share beyond the threshold.
    Recording(
        "coin_published_shares",
        "SmolLM2-135M-Instruct at p_cot of .1 and .5: what do both phases do?",
        CHAPTER,
        grid(change(PUBLISHED, rounds=16), p_cot=(0.1, 0.5), seed=range(3)),
        "not yet measured; two hours on one CPU core",
    ),
)
