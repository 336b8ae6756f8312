"""Reinforcement learning after next-token prediction: one loop for every algorithm of `weightings`.

A round draws B fresh prompts and G answers to each, asks for their rewards and takes one or more optimiser
steps on them. As published, STaR takes several epochs of next-token training on what it kept (`epochs`,
`minibatches`), REINFORCE one step, GRPO one or more.

Departures: (1) the optimiser is AdamW for all, unless plain steps along the gradient are asked for; its moments live on
between rounds, and within a round the learning rate falls linearly over the inner steps; (2) gradients are clipped at
norm 1; (3) a step whose weights are all zero is left out, since AdamW would move by its moments alone; (4) a minibatch
is a fixed share of the prompts with all their answers, and is weighed on its own.
"""

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ntprl import checkpoint
from ntprl.errors import InputError, require, require_choice, require_integer, require_number
from ntprl.measure import length_distribution, share
from ntprl.policy_gradient import Pack, answer_logits, distance, log_probabilities, pack, policy_loss, score
from ntprl.pretrain import make_optimizer, take_step
from ntprl.sampling import sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.task import PAD, Task, lengths
from ntprl.transformer import Transformer
from ntprl.weightings import ALGORITHMS

OPTIMIZERS = {
    "adamw": make_optimizer,
    "sgd": lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),  # no momentum
}
REWARDS = ("r_e2e", "r_cot", "coin")  # methods of every task, and a control
Reward = Callable[[np.ndarray, np.ndarray], np.ndarray]  # prompts (n, P), answers (n, T) -> (n,)
# (rounds done, model) -> what to add to the row of that round
Callback = Callable[[int, Transformer], dict]


@dataclass(frozen=True)
class PosttrainConfig:
    """How a model is reinforced. InputError for values that do not fit together."""

    algorithm: str = "grpo"  # one of ALGORITHMS
    reward: str = "r_e2e"  # one of REWARDS
    temperature: float = 1.0  # of the rollouts
    rounds: int = 20
    rollouts: int = 512  # B G, answers in a round
    group: int = 8  # G, answers to one prompt
    lr: float = 5e-4  # learning rate at the first inner step of a round
    epochs: int = 1  # passes over the answers of a round
    minibatches: int = 1  # optimiser steps in a pass; their number divides B
    clip: float = 0.2  # GRPO: a ratio beyond 1 +- clip gives no more gradient
    kl: float = 0.0  # weight of the penalty for leaving the start
    optimizer: str = "adamw"  # one of OPTIMIZERS

    def __post_init__(self) -> None:
        require_choice("algorithm", self.algorithm, ALGORITHMS)
        require_choice("reward", self.reward, REWARDS)
        require_choice("optimizer", self.optimizer, OPTIMIZERS)
        require_number("temperature", self.temperature, low=0)
        require(self.temperature > 0, "temperature", self.temperature, "a number above 0")
        require_integer("rounds", self.rounds, low=0)
        for name in ("rollouts", "group", "epochs", "minibatches"):
            require_integer(name, getattr(self, name), low=1)
        if ALGORITHMS[self.algorithm].clipped:
            require(self.group >= 2, "group", self.group, "at least 2 for GRPO, which compares answers within a group")
        require(self.rollouts % self.group == 0, "rollouts", self.rollouts, f"a multiple of group = {self.group}")
        require(
            self.prompts % self.minibatches == 0,
            "minibatches",
            self.minibatches,
            f"a divisor of rollouts / group = {self.prompts}",
        )
        for name, high in (("lr", 1.0), ("clip", 1.0), ("kl", float("inf"))):
            require_number(name, getattr(self, name), low=0, high=high)

    @property
    def prompts(self) -> int:
        """B, prompts in a round."""
        return self.rollouts // self.group

    @property
    def loss_temperature(self) -> float:
        """At which the loss reads log pi: that of the rollouts, or 1 for next-token training."""
        return self.temperature if ALGORITHMS[self.algorithm].tempered else 1.0


def coin(prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """A control: 0 or 1 by a fair coin for each answer, whatever it says, (n,). Seeded by all of them together."""
    digest = hashlib.sha256(np.ascontiguousarray(prompts).tobytes() + np.ascontiguousarray(answers).tobytes())
    return np.random.default_rng(list(digest.digest())).integers(2, size=len(answers)).astype(float)


def judged(reward: Reward, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Rewards as float64, (n,); an InputError that names the function if it raises or returns anything else."""
    name = getattr(reward, "__name__", repr(reward))
    try:
        values = np.asarray(reward(prompts, answers), dtype=float)
    except InputError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise InputError(f"reward {name} failed with {type(error).__name__}: {message}") from error
    if values.shape != (len(answers),):
        raise InputError(f"reward {name} returned shape {values.shape}: it must return {(len(answers),)}")
    if not np.isfinite(values).all():
        raise InputError(f"reward {name} returned {values[~np.isfinite(values)][0]}: rewards must be finite")
    return values


def packs(
    prompts: np.ndarray, answers: np.ndarray, rewards: np.ndarray, config: PosttrainConfig, device: torch.device
) -> list[Pack]:
    """The answers of a round, (B G, T), weighed by their rewards, (B, G): a pack for each minibatch of prompts."""
    n_tokens = (answers != PAD).sum(axis=1).reshape(rewards.shape)
    by_prompt = answers.reshape(*rewards.shape, -1)  # (B, G, T)
    found = []
    for rows in np.split(np.arange(len(prompts)), config.minibatches):
        advantage, denominator = ALGORITHMS[config.algorithm].weigh(rewards[rows], n_tokens[rows])
        chosen = by_prompt[rows].reshape(-1, answers.shape[1])
        found.append(pack(prompts[rows], chosen, advantage, denominator, device, keep_all=config.kl > 0))
    return found


def update(
    model: Transformer,
    start: Transformer,
    optimizer: torch.optim.Optimizer,
    config: PosttrainConfig,
    batches: list[Pack],
) -> float:
    """All inner steps of a round; the mean norm of the gradient before clipping, 0 if there was no signal."""
    tau, clipped = config.loss_temperature, ALGORITHMS[config.algorithm].clipped
    batches = [batch for batch in batches if batch.parts]
    n_steps = config.epochs * len(batches)
    olds = [score(model, batch, tau) if clipped and n_steps > 1 else None for batch in batches]
    references = [score(start, batch, tau) if config.kl else None for batch in batches]
    norms = []
    for step in range(n_steps):
        batch, old, reference = (x[step % len(batches)] for x in (batches, olds, references))
        loss = torch.zeros((), device=batch.prompts.device)
        for i, (logits, part) in enumerate(zip(answer_logits(model, batch), batch.parts, strict=True)):
            logp = log_probabilities(logits, part.tokens, tau)
            now = logp.detach() if old is None else old[i]
            loss = loss + policy_loss(logp, now, reference and reference[i], part, config.clip, config.kl)
        norms.append(take_step(model, optimizer, loss, config.lr * (1 - step / n_steps)).item())
    return float(np.mean(norms)) if norms else 0.0


def describe_rollouts(task: Task, answers: np.ndarray, rewards: np.ndarray) -> dict:
    """What a round's answers (B G, T) and rewards (B, G) look like. Long is longer than a short answer.

    mean_reward            of all answers
    rollout_long           share of long answers
    rewarded_long          share of long answers among those with a positive reward, NaN if there are none
    long_reward            mean reward of long answers, short_reward that of the others; NaN if there are none
    groups_without_signal  share of prompts whose answers all have the same reward
    mean_length            tokens before EOS
    tokens                 tokens written, EOS included
    length_share           share of answers at each length 0..L+1
    """
    length = lengths(answers, task.eos)
    is_long, flat = length > task.short_length, rewards.ravel()
    means = {
        name: float(flat[mask].mean()) if mask.any() else float("nan")
        for name, mask in (("long_reward", is_long), ("short_reward", ~is_long))
    }
    return {
        "mean_reward": float(flat.mean()),
        "rollout_long": share(is_long),
        "rewarded_long": share(is_long[flat > 0]),
        **means,
        "groups_without_signal": share(rewards.max(axis=1) == rewards.min(axis=1)),
        "mean_length": float(length.mean()),
        "tokens": int((answers != PAD).sum()),
        "length_share": length_distribution(answers, task).tolist(),
    }


def fingerprint(model: Transformer) -> str:
    """Twelve hex digits that name the weights."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def posttrain(
    model: Transformer,
    task: Task,
    config: PosttrainConfig,
    seed: int,
    reward: Reward | None = None,
    callback: Callback | None = None,
    checkpoint_path: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> list[dict]:
    """Train `model` in place by reinforcement learning; return one row for each round, 0..rounds.

    Row r describes the model after r rounds: the answers that it writes (see `describe_rollouts`), how far
    it has moved (see `distance`), what `callback` adds, and the update that follows: grad_norm (NaN in the
    last row, which no update follows) and seconds (rollouts and update). `reward` replaces config.reward;
    checkpoints know it by its name.

    Prompts and draws of round r come from (seed, r). If `checkpoint_path` exists, training goes on from it
    as if it had never stopped, bit for bit (same machine, same threads); it is written after every round.
    `report` gets a line for each round without any signal.
    """
    reward_name = getattr(reward, "__name__", repr(reward)) if reward else config.reward
    reward = reward or (coin if config.reward == "coin" else getattr(task, config.reward))
    device = model.embed.weight.device
    start = copy.deepcopy(model).requires_grad_(False)
    optimizer = OPTIMIZERS[config.optimizer](model, config.lr)
    identity = {"seed": seed, "task": repr(task), "posttrain": asdict(config), "reward": reward_name}
    identity["start"] = fingerprint(start)
    first, log = 0, []
    if checkpoint_path is not None and Path(checkpoint_path).exists():
        facts = checkpoint.restore(checkpoint_path, model, optimizer, identity)
        first, log = facts.get("step", 0), facts.get("log", [])
    shape = (config.prompts, config.group)
    for done in tqdm(range(first, config.rounds + 1), initial=first, total=config.rounds + 1, disable=None):
        clock = time.perf_counter()
        prompts = task.prompts(config.prompts, numpy_rng(seed, "rollouts", done))
        generator = torch_rng(seed, "sampling", done, device=str(device))
        answers = sample(
            model, prompts, task.eos, task.long_length + 1, config.temperature, generator, group=config.group
        )
        rewards = judged(reward, np.repeat(prompts, config.group, axis=0), answers).reshape(shape)
        seconds = time.perf_counter() - clock
        row = {"round": done, **describe_rollouts(task, answers, rewards), **distance(model, start, prompts, answers)}
        row |= callback(done, model) if callback else {}
        clock, grad_norm = time.perf_counter(), float("nan")
        if done < config.rounds:
            grad_norm = update(model, start, optimizer, config, packs(prompts, answers, rewards, config, device))
            if grad_norm == 0 and report:
                report(f"round {done}: no answer carries a signal (mean reward {row['mean_reward']:.3g}); going on")
        row |= {"grad_norm": grad_norm, "seconds": seconds + time.perf_counter() - clock}
        log.append(row)
        if checkpoint_path is not None and done < config.rounds:
            checkpoint.save(checkpoint_path, model, optimizer, step=done + 1, log=log, **identity)
    return log
