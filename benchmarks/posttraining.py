"""How fast is reinforcement learning with ntprl beside TRL's GRPOTrainer, and what does each trick bring?

One model (GPT-2 style but for the last contest, 2 layers, width 64, float32), pre-trained by ntprl on d = 50,
p_cot = .25, in three states:

    before       after pre-training: a quarter of the answers are long
    after        after reinforcement learning: all are long and most are right, so that few groups carry a signal
    after, coin  the same model, a coin for the reward of each answer: nearly every group carries a signal

    grpo      rollouts a second in rounds of GRPO (loss_type "dapo", no KL penalty): 64 prompts x 8 answers at
              temperature 1, their rewards, one step of AdamW. `posttrain` measures every round too (lengths, entropy,
              distance from the start), which is in its time; `one_round` is the same without that
    generate  tokens a second, EOS included, of generation: 8 or 64 answers to each of 64 prompts, 1 to each of 512
    ablation  `one_round` with one of TRICKS at a time taken away
    goal      seconds from random weights to greedy accuracy .99: pre-training, then GRPO with an evaluation after each
              round. Evaluations, and the rollouts drawn before the last of them, are in. Beside it the same by
              Trainer and GRPOTrainer. A repetition is a seed, and all seeds are in the table. Two recipes, in turn
              within one run: "goal mistral", that of the live run of chapter 4 (Mistral style, the laptop profile's
              250 steps; beside it MistralForCausalLM), and "goal", the older one (GPT-2 style, 500 steps, fewer seeds)

1. Equality. From the same answers both sides compute the same gradient, in both styles; both generators write answers
   with the same lengths and rewards within sampling error. Else the script stops with one line.
2. Time. One process; a repetition that does not count, then --rounds of them, the order rotating. A trainer's
   time runs from the end of its first step to the end of its last (a TrainerCallback): set-up is not in it. The
   learning rate is 1e-8 on both sides, so that the weights, hence the lengths, stay. Ratios are within a repetition.
3. Operations and bytes are counted as `limits.py` says, in the repetition that does not count.

TRL has every setting we know to make it faster with the same gradient: the whole round in one forward pass (or in
four, "micro-batches"), no gradient checkpointing, no old log-probabilities (one step needs none), fused AdamW and GELU,
sdpa attention, no dropout, key-value cache, no logging, saving, bars or workers, rewards from token ids. What it does
and we do not: it reads a prompt 8 times to generate and 8 times to learn; goes on with finished answers until the
last one ends, and pads to it; computes equal answers, and those without advantage, one by one; tokenizes prompts and
decodes answers; runs through accelerate. It keeps entropy and clip ratios, as `posttrain` keeps its measures.
"""

import argparse
import contextlib
import copy
import sys
import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path

import common
import numpy as np
import pandas as pd
import torch
import transformers
from common import Clock, Contestant, as_gpt2, as_library, cut, generate, measure, once, say
from limits import shares
from torch.nn import functional as F

from ntprl.book.run import Run, change
from ntprl.book.store import runs_folder
from ntprl.errors import InputError, install_command
from ntprl.policy_gradient import Pack, Part, pack
from ntprl.posttrain import PosttrainConfig, Reward, judged, posttrain, update
from ntprl.pretrain import make_optimizer, pretrain
from ntprl.sampling import greedy, sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.recovery.runs import RECOVERY, recovery
from ntprl.studies.threshold.runs import PRETRAINING
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD, lengths
from ntprl.transformer import Transformer
from ntprl.weightings import grpo

try:
    import trl
except ImportError as error:
    sys.exit(f"{error}: this benchmark needs {install_command('bench')}")


Contestants = dict[str, Contestant]
PEERS = "Trainer and GRPOTrainer"
LIVE, OLDER = "goal mistral", "goal"  # recipes of the race to the goal, as its rows are called
STILL = 1e-8  # a learning rate that leaves the weights as they are


@dataclass(frozen=True)
class Sizes:
    d: int = 50
    steps: int = 600  # of pre-training
    rl_rounds: int = 20  # from state before to state after
    prompts: int = 64  # in a round
    group: int = 8  # answers to each
    timed: int = 2  # rounds of a trainer in one measurement
    checked: int = 256  # prompts whose answers are compared before timing
    seeds: int = 10  # goal: with the recipe of the live run, 0 to 9
    live_steps: int = 0  # its pre-training; 0: the profile's
    gpt2_seeds: int = 3  # goal: with the older recipe, which takes twice as long
    short_steps: int = 500  # its pre-training
    max_rounds: int = 60
    n_eval: int = 512
    goal: float = 0.99

    @property
    def round(self) -> PosttrainConfig:
        return PosttrainConfig(rollouts=self.prompts * self.group, group=self.group, lr=STILL)


SMOKE = Sizes(4, 60, 4, 16, 4, 1, 32, 1, 30, 1, 30, 2, 32, 0.9)
NAMES = ("grpo", "generate", "ablation", "goal")
TRICKS = {  # name -> what is done without it
    "shared answers": "generation reads every prompt 8 times and every answer on its own",
    "merging": "the update computes equal answers apart",
    "shared prompts": "the update reads the prompt once for each answer",
    "signal": "the update computes answers without advantage too",
    "buckets": "the update pads all answers to the longest",
}


def coin(prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return np.random.default_rng(int((answers + 1).sum())).random(len(answers)) < 0.5


def count(answers: np.ndarray) -> int:
    return int((answers != PAD).sum())


# --- a round ---


def pack_without(prompts, answers, advantage, denominator, off: Collection[str] = ()) -> Pack:
    """`pack` with the same loss, but without some of TRICKS."""
    if "merging" in off:  # each answer gets a prompt of its own, and none is equal to another
        prompts = np.repeat(prompts, advantage.shape[1], axis=0)
        advantage, denominator = advantage.reshape(-1, 1), denominator.reshape(-1, 1)
    batch = pack(prompts, answers, advantage, denominator, "cpu", keep_all="signal" in off)
    if not batch.parts:
        return batch
    rows, sizes = torch.cat([part.rows for part in batch.parts]), [len(part.rows) for part in batch.parts]
    texts = batch.prompts
    if "shared prompts" in off:
        texts, rows = texts[rows], torch.arange(len(rows))
    elif "merging" in off:
        texts, owner = texts.unique(dim=0, return_inverse=True)
        rows = owner[rows]
    parts = [part._replace(rows=mine) for part, mine in zip(batch.parts, rows.split(sizes), strict=True)]
    if "buckets" in off:
        width = max(part.tokens.shape[1] for part in parts)
        parts = [p._replace(tokens=F.pad(p.tokens, (0, width - p.tokens.shape[1]), value=PAD)) for p in parts]
        parts = [Part(*map(torch.cat, zip(*parts, strict=True)))]
    return Pack(texts, parts)


def rollouts(model, task, config: PosttrainConfig, reward: Reward, seed: int, off: Collection[str] = (), min_length=0):
    """(prompts, answers, their advantages, denominators), as in `posttrain`."""
    prompts = task.prompts(config.prompts, numpy_rng(seed, "rollouts"))
    copies = np.repeat(prompts, config.group, axis=0)
    asked, group = (copies, 1) if "shared answers" in off else (prompts, config.group)
    max_new, generator = task.long_length + 1, torch_rng(seed, "sampling")
    answers = sample(model, asked, task.eos, max_new, config.temperature, generator, group, min_length)
    rewards, n_tokens = judged(reward, copies, answers), (answers != PAD).sum(axis=1)
    return prompts, answers, *grpo(*(x.reshape(config.prompts, config.group) for x in (rewards, n_tokens)))


def one_round(
    model, task, config: PosttrainConfig, reward: Reward, off: Collection[str] = (), min_length=0
) -> Contestant:
    model = copy.deepcopy(model)
    optimizer = make_optimizer(model, config.lr)

    def work(seed: int) -> np.ndarray:
        prompts, answers, *weights = rollouts(model, task, config, reward, seed, off, min_length)
        update(model, model, optimizer, config, [pack_without(prompts, answers, *weights, off)])
        return answers

    return once(work, len)


# --- equality, before anything is timed ---


class Gradient(transformers.TrainerCallback):
    """Keeps the gradient of one step: a callback of Trainer, and an optimiser for `update` that takes no step."""

    def __init__(self, parameters: list[torch.nn.Parameter] | None = None):
        self.parameters, self.param_groups, self.kept = parameters, [{}], {}

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        self.kept = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    def step(self):
        self.kept = [parameter.grad.clone() for parameter in self.parameters]

    def zero_grad(self):
        pass


def gradient_difference(model: Transformer, task: Parity, config: PosttrainConfig, reward: Reward, splits=1) -> float:
    """|ours - TRL's| / |TRL's| for the gradient, clipped at norm 1, of the same answers; InputError above 1e-3."""
    model = copy.deepcopy(model)
    prompts, answers, *weights = rollouts(model, task, config, reward, seed=0)

    def given(*_):
        copies, ids = np.repeat(prompts, config.group, axis=0).tolist(), [row[row != PAD].tolist() for row in answers]
        return {"prompt_ids": copies, "completion_ids": ids, "logprobs": None}

    theirs, mine = Gradient(), Gradient(list(model.parameters()))
    library, one = as_library(model, task.eos), replace(config, rounds=1)
    trainer = common.make_grpo_trainer(library, task, one, reward, 0, splits, given)
    trainer.add_callback(theirs)
    trainer.train()
    update(model, model, mine, config, [pack_without(prompts, answers, *weights)])
    with torch.no_grad():
        for parameter, gradient in zip(mine.parameters, mine.kept, strict=True):
            parameter.copy_(gradient)  # so that it takes their layout
    layout = dict(as_library(model, task.eos).named_parameters())
    a, b = (torch.cat([of[name].flatten() for name in theirs.kept]) for of in (layout, theirs.kept))
    difference = ((a - b).norm() / b.norm()).item()
    if not difference <= 1e-3:  # NaN stops here too
        raise InputError(f"gradients differ by {difference:.2g} of their norm, so nothing is timed")
    return float(f"{difference:.2g}")


def compare_answers(model: Transformer, task: Parity, s: Sizes) -> dict[str, float]:
    """What both generators write to the same prompts; InputError if they differ by more than chance would."""
    prompts, max_new = task.prompts(s.checked, numpy_rng(0, "evaluation")), task.long_length + 1
    torch.manual_seed(0)
    both = {
        "ntprl": sample(model, prompts, task.eos, max_new, 1.0, torch_rng(0, "evaluation"), s.group),
        "transformers": cut(generate(as_library(model, task.eos), task.eos, prompts, max_new, s.group), task.eos),
    }
    reward = {side: task.r_e2e(np.repeat(prompts, s.group, axis=0), answers) for side, answers in both.items()}
    length = {side: lengths(answers, task.eos) for side, answers in both.items()}
    facts = {
        f"{name}, {side}": round(float(np.mean(values)), 4)
        for name, of in (("mean reward", reward), ("mean length", length))
        for side, values in of.items()
    }
    means = [values.reshape(s.checked, s.group).mean(axis=1) for values in reward.values()]
    gap = means[0] - means[1]
    upto = [np.bincount(values, minlength=task.d + 2).cumsum() / len(values) for values in length.values()]
    facts["share of short answers"] = [round(float(shares[task.short_length]), 4) for shares in upto]
    widest = facts["widest gap between the distributions of length"] = round(float(abs(upto[0] - upto[1]).max()), 4)
    # given the prompts the two are independent; 4 standard errors, and .1 % for Kolmogorov and Smirnov
    if not (abs(gap.mean()) <= 4 * gap.std() / len(gap) ** 0.5 and widest <= 1.95 * (2 / s.checked / s.group) ** 0.5):
        raise InputError(f"the generators write different answers, so nothing is timed: {facts}")
    return facts


# --- what is measured ---


def grpo_contestants(model, task: Parity, config: PosttrainConfig, reward: Reward, timed: int) -> Contestants:
    rounds = replace(config, rounds=1 + timed)  # the first warms up

    def ours(seed, clock):
        posttrain(copy.deepcopy(model), task, rounds, seed, reward, clock.tick)

    def theirs(seed, clock, splits):
        trainer = common.make_grpo_trainer(as_gpt2(model, task.eos), task, rounds, reward, seed, splits)
        trainer.add_callback(clock)
        trainer.train()

    def contestant(repetition, now, train):
        clock = Clock(1, rounds.rounds, now=now)
        train(repetition, clock)
        return clock.seconds, timed * config.rollouts, clock.counted

    return {
        "ntprl.posttrain": partial(contestant, train=ours),
        "ntprl, one_round": one_round(model, task, config, reward),
        "TRL GRPOTrainer": partial(contestant, train=partial(theirs, splits=1)),
        "TRL, 4 micro-batches": partial(contestant, train=partial(theirs, splits=4)),
    }


def generate_contestants(model: Transformer, task: Parity, prompts: int, group: int) -> Contestants:
    gpt2, max_new = as_gpt2(model, task.eos), task.long_length + 1

    def ours(seed: int) -> np.ndarray:
        asked = task.prompts(prompts, numpy_rng(seed, "rollouts"))
        return sample(model, asked, task.eos, max_new, 1.0, torch_rng(seed, "sampling"), group)

    def theirs(seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        return generate(gpt2, task.eos, task.prompts(prompts, numpy_rng(seed, "rollouts")), max_new, group)

    count_theirs = once(theirs, lambda answers: count(cut(answers, task.eos)))
    return {"ntprl.sample": once(ours, count), "transformers generate": count_theirs}


def ablation_contestants(model: Transformer, task: Parity, config: PosttrainConfig, reward: Reward) -> Contestants:
    variants = {"all tricks": (), **{f"without {name}": (name,) for name in TRICKS}, "without any": tuple(TRICKS)}
    return {name: one_round(model, task, config, reward, off) for name, off in variants.items()}


class Reached(Exception):
    """Stops `posttrain`."""


def recipe(benchmark: str, s: Sizes, seed: int) -> Run:
    """The first phase of a run to the goal; the second is GRPO, the same for all."""
    if benchmark == LIVE:
        return recovery("laptop", s.live_steps, d=s.d, p_cot=0.25, seed=seed).start
    return change(PRETRAINING, d=s.d, p_cot=0.25, steps=s.short_steps, seed=seed)


def to_goal(run: Run, s: Sizes, name: str) -> dict:
    """Seconds from random weights to the goal, by ntprl or by Trainer and GRPOTrainer."""
    task, spent, accuracy = run.task, [], []
    model, max_new = run.model.build(run, "cpu", None), task.long_length + 1
    library, peer = as_library(model, task.eos), name == PEERS
    config = replace(s.round, rounds=s.max_rounds, lr=PosttrainConfig.lr)

    def reached(done: int) -> bool:
        begin, prompts = time.perf_counter(), task.prompts(s.n_eval, numpy_rng(run.seed, "evaluation", done))
        if peer:
            answers = cut(generate(library, task.eos, prompts, max_new, sampled=False), task.eos)
        else:
            answers = greedy(model, prompts, task.eos, max_new)
        accuracy.append(task.r_e2e(prompts, answers).mean())
        spent.append(time.perf_counter() - begin)
        return accuracy[-1] >= s.goal

    class Judge(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop |= reached(state.global_step)

    def after_round(done: int, _: Transformer) -> dict:
        if reached(done):
            raise Reached
        return {}

    def seconds(work: Callable) -> float:
        begin = time.perf_counter()
        with contextlib.suppress(Reached):
            work()
        return time.perf_counter() - begin

    if peer:  # the trainers' set-up is not timed
        first = seconds(common.make_trainer(library, run, run.pretraining).train)
        trainer = common.make_grpo_trainer(library, task, config, task.r_e2e, run.seed)
        trainer.add_callback(Judge())
        second = seconds(lambda: reached(0) or trainer.train())
    else:
        first = seconds(lambda: pretrain(model, run.mixture, run.pretraining, run.seed))
        second = seconds(lambda: posttrain(model, task, config, run.seed, callback=after_round))
    say(f"goal, {name}, seed {run.seed}: {accuracy[-1]:.3f} after {len(spent) - 1} rounds, {first + second:.1f} s")
    row = {"state": f"{run.model.style}, {run.pretraining.steps} steps, then GRPO", "contestant": name}
    row |= {"seconds": first + second, "unit": "run", "pretraining_s": first, "evaluation_s": sum(spent)}
    return row | {"rl_rounds": len(spent) - 1, "accuracy": accuracy[-1], "seed": run.seed}


def profiles(model: Transformer, task: Parity, s: Sizes, reward: Reward) -> dict[str, dict[str, float]]:
    """Where the time of a round and of its sampling goes, each after one that is not watched."""
    both = grpo_contestants(model, task, s.round, reward, s.timed)
    both |= generate_contestants(model, task, s.prompts, s.group)
    found = {}
    for name in ("ntprl.posttrain", "ntprl.sample"):
        both[name](0, lambda: np.zeros(2))
        found[name] = shares(partial(both[name], 1, lambda: np.zeros(2)))
    return found


def race_to_goal(s: Sizes, benchmark: str) -> list[dict]:
    """A row for each side and seed, the order rotating; repetition 0, a short run, does not count."""
    rows = []
    for repetition, order, name in common.rotate(["ntprl", PEERS], s.seeds if benchmark == LIVE else s.gpt2_seeds):
        run = recipe(benchmark, s, seed=max(0, repetition - 1))
        if repetition == 0:
            to_goal(change(run, steps=5), replace(s, max_rounds=1), name)
            continue
        row = {"benchmark": benchmark, "repetition": repetition, "order": order}
        rows.append(row | to_goal(run, s, name))
    return sorted(rows, key=lambda row: row["contestant"] == PEERS)


def print_tables(runs: pd.DataFrame) -> None:
    if runs["benchmark"].iloc[0] not in (LIVE, OLDER):
        return common.print_rates(runs)
    columns = ["seconds", "pretraining_s", "evaluation_s", "rl_rounds", "accuracy"]
    table = runs.groupby("contestant", sort=False)[columns].agg(common.STATISTICS).stack(0, future_stack=True)
    title = f"{runs['benchmark'].iloc[0]}, {runs['state'].iloc[0]}"
    print(f"\n{title}\n{table.round(3).rename_axis([None, None]).to_string()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--only", choices=NAMES, nargs="+", default=NAMES, help="measure these alone")
    parser.add_argument("--trained", action="store_true", help="leave out the state before reinforcement learning")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contestant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for torch")
    parser.add_argument("--steps", type=int, default=Sizes.short_steps, help="goal, GPT-2 style: steps of pre-training")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--folder", type=Path, default=runs_folder() / "benchmarks", help="keeps the trained model")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    common.require_options(o.threads, o.out, rounds=o.rounds, steps=o.steps)
    torch.set_num_threads(o.threads)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")  # experimental and deprecated parts of the libraries
    s = SMOKE if o.smoke else Sizes(short_steps=o.steps)
    facts, rows = {"sizes": asdict(s)}, []

    def add(more: list[dict]) -> None:  # what is measured is printed and written at once
        rows.extend(more)
        print_tables(pd.DataFrame(more))
        if o.out is not None:
            common.write_files(o.out, pd.DataFrame(rows), common.facts_of(started, trl=trl.__version__) | facts)

    if {"grpo", "generate", "ablation"} & set(o.only):
        sizes = dict(d=s.d, steps=s.steps, n_points=1, rounds=s.rl_rounds, eval_every=s.rl_rounds)
        run = change(RECOVERY, p_cot=0.25, **sizes)
        say(f"the model in {o.folder}: read, or trained in a minute or two")
        task, recovery = run.task, run.recover(folder=o.folder, report=lambda line: say(line.split(":")[0]))
        states = {"before": (recovery.before, task.r_e2e), "after": (recovery.after, task.r_e2e)}
        facts |= {f"answers {state}": compare_answers(model, task, s) for state, (model, _) in states.items()}
        states["after, coin"] = recovery.after, coin
        for state, splits in product(("before", "after, coin"), (1, 4)):
            difference = gradient_difference(states[state][0], task, s.round, states[state][1], splits)
            facts[f"difference of gradients {state}, in {splits}"] = difference
        print("\n".join(f"{key}: {value}" for key, value in facts.items()), flush=True)
        for state, (model, reward) in states.items():
            if o.trained and state == "before":
                continue
            if "grpo" in o.only:
                add(
                    measure("grpo", state, grpo_contestants(model, task, s.round, reward, s.timed), o.rounds, "rollout")
                )
            if "generate" in o.only and reward != coin:
                for prompts, group in ((s.prompts, s.group), (s.prompts, 8 * s.group), (s.prompts * s.group, 1)):
                    contestants = generate_contestants(model, task, prompts, group)
                    add(measure("generate", f"{state}, {prompts} x {group}", contestants, o.rounds, "token"))
            if "ablation" in o.only:
                contestants = ablation_contestants(model, task, s.round, reward)
                add(measure("ablation", state, contestants, o.rounds, "rollout"))
            if o.profile and state == "after":
                facts["profile"] = profiles(model, task, s, reward)
                common.print_shares(facts["profile"])
    if "goal" in o.only:
        runs = {benchmark: recipe(benchmark, s, seed=0) for benchmark in (LIVE, OLDER)}
        for benchmark, run in runs.items():  # random weights: a coin gives nearly every group a signal
            difference = gradient_difference(run.model.build(run, "cpu", None), run.task, s.round, coin)
            facts[f"difference of gradients {benchmark}"] = difference
        for benchmark in runs:
            add(race_to_goal(s, benchmark))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
