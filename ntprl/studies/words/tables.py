"""The tables of chapter 7, every configuration and seed stated beforehand."""

from dataclasses import asdict

from ntprl.book.baselines import Baselines
from ntprl.book.recording import Recording, grid
from ntprl.book.run import Run, as_kind, change, steps_for
from ntprl.llama.config import preset
from ntprl.llama.run import LlamaRun
from ntprl.llama.zero_shot import ZeroShot
from ntprl.studies.words import CHAPTER
from ntprl.studies.words.runs import TrlFromOurStart, TrlRun, word_problems
from ntprl.tasks.words import MARKS

# longer than the live run, with more rounds and more problems to measure on
WORDS = word_problems(steps=1000, n_points=5, n_eval=512, rounds=16)
BASELINES = as_kind(WORDS, Baselines, "WordBaselines")
P_COT = (0.0, 0.05, 0.1, 0.25, 0.5)  # 0 is a control
# six steps, meant to be too many for an answer alone; chosen by one run at p_cot = .25 with seed 100
HARD = change(WORDS, low=6, high=6, steps=2000)
# constant rates, which TRL can be given too, and shorter problems
PATHS = word_problems(steps=600, cooldown=0.0, lr=2e-3, high=3, n_eval=512, rounds=10)


def _as_many_long(run: Run, **axes) -> tuple[Run, ...]:
    """A grid with as many long demonstrations at every p_cot."""
    return tuple(change(each, steps=steps_for(each.p_cot, run.pretraining.steps)) for each in grid(run, **axes))


TABLES = (
    Recording(
        "words_seeds",
        "Does the live run of chapter 07 give the same verdicts for every seed?",
        CHAPTER,
        grid(word_problems(), seed=range(5)),
        "20 minutes on two CPU cores, shared with other work",
    ),
    Recording(
        "words",
        "Word problems of 2 to 4 steps: what do fine-tuning and RL do, for rare and for common solutions?",
        CHAPTER,
        _as_many_long(WORDS, p_cot=P_COT, seed=range(3)),
        "100 minutes on two CPU cores, shared with other work",
    ),
    Recording(
        "words_baselines",
        "Word problems, p_cot = .25: what else could be done with the same start and samples?",
        CHAPTER,
        _as_many_long(BASELINES, p_cot=(0.25,), seed=range(3)),
        "7 minutes on two CPU cores, from the starts of `words`",
    ),
    Recording(
        "words_hard",
        "Word problems of 6 steps: what do fine-tuning and RL do at p_cot = .1?",
        CHAPTER,
        grid(HARD, p_cot=(0.0, 0.1), seed=range(3)),
        "55 minutes on two CPU cores, shared with other work",
    ),
    # why accuracy falls under RL at .05 and .1: if it is the size of AdamW's steps, next-token training with the same
    # steps ("continue") loses as much, and a fifth of the rate loses less than .05 by either
    Recording(
        "words_rates",
        "Word problems, p_cot of .05 and .1: does accuracy fall for the reward, or for the size of the steps?",
        CHAPTER,
        _as_many_long(BASELINES, p_cot=(0.05, 0.1), rl_lr=(WORDS.rl.lr, WORDS.rl.lr / 5), seed=range(3)),
        "not yet measured; some 20 minutes on two CPU cores",
    ),
    Recording(
        "words_base",
        "p_cot = .1 from a base that knows solutions: does it matter whether it has seen the answer's format?",
        CHAPTER,
        grid(change(WORDS, p_cot=0.1, steps=300, base_steps=800), base_mark=MARKS, seed=range(3)),
        "30 minutes on two CPU cores, shared with other work",
    ),
    # C17a from a base: the criterion of C17a, unchanged
    Recording(
        "words_base_shares",
        "Word problems, from a base that knows solutions: what do both phases do for rare and for common solutions?",
        CHAPTER,
        grid(change(WORDS, steps=300, base_steps=800), p_cot=(0.0, 0.05, 0.1, 0.25), seed=range(20, 25)),
        "not yet measured; 90 minutes on two CPU cores",
    ),
    Recording(
        "words_paths_own",
        "Word problems of 2 to 3 steps by the loops of this book: what is the curve to compare with TRL's?",
        CHAPTER,
        grid(PATHS, seed=range(3)),
        "8 minutes on two CPU cores, shared with other work",
    ),
    Recording(
        "words_paths_trl",
        "Word problems of 2 to 3 steps by TRL's trainers: is the curve the same?",
        CHAPTER,
        grid(as_kind(PATHS, TrlRun, "WordTrl"), seed=range(3)),
        "10 minutes on two CPU cores, shared with other work",
    ),
    # O4 with ten seeds: held if the 90 % Welch intervals of all four differences lie within .1 of 0 (two one-sided
    # tests at 5 %), failed if one of them lies outside, else undecided
    Recording(
        "words_paths_own_more",
        "The same by the loops of this book, seven more seeds",
        CHAPTER,
        grid(PATHS, seed=range(3, 10)),
        "not yet measured; 6 minutes on two CPU cores",
    ),
    Recording(
        "words_paths_trl_more",
        "The same by TRL's trainers, seven more seeds",
        CHAPTER,
        grid(as_kind(PATHS, TrlRun, "WordTrl"), seed=range(3, 10)),
        "not yet measured; 25 minutes on two CPU cores",
    ),
    # after the two tables above, which differ by more than was asked for: which phase is it?
    Recording(
        "words_paths_shared",
        "Word problems of 2 to 3 steps, RL by TRL from the starts of `words_paths_own`: is the curve the same?",
        CHAPTER,
        grid(as_kind(PATHS, TrlFromOurStart, "WordTrlShared"), seed=range(3)),
        "5 minutes on two CPU cores, from the starts of `words_paths_own`",
    ),
    Recording(
        "words_paper",
        "Word problems of 2 to 8 steps with a larger Llama: what do fine-tuning and RL do?",
        CHAPTER,
        grid(word_problems("paper"), p_cot=(0.05, 0.1, 0.25, 0.5), seed=range(3)),
        "not yet measured",
        needs_gpu=True,
        at_once=2,
    ),
    # No claim, and nothing predicted but this: a few in a hundred. One setting, stated before it was run.
    Recording(
        "smollm2_gsm8k",
        "SmolLM2-135M-Instruct as it is: which share of held-out training questions of GSM8K does it solve?",
        CHAPTER,
        (ZeroShot(),),
        "some 11 minutes of one CPU core, shared with much else for 72; NTPRL_GSM8K names the rows, else the hub",
    ),
    Recording(
        "llama_3b_gsm8k",
        "Llama-3.2-3B on GSM8K: what do fine-tuning and RL do, for rare and for common solutions?",
        CHAPTER,
        grid(LlamaRun(**asdict(preset("llama-3.2-3b"))), p_cot=(0.05, 0.1, 0.25, 0.5), seed=range(3)),
        "by estimate 29 hours on one GPU of 80 GB and 26 GB of disk a run; the weights are gated",
        needs_gpu=True,
    ),
)
