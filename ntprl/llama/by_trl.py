"""A `Run` by TRL's trainers: which runs they can be given, and their settings and reward in its place.

What differs from our loops: TRL's order of the data, its draws and its padding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ntprl.book.run import Run
from ntprl.errors import require
from ntprl.llama.config import LlamaConfig
from ntprl.tasks.task import PAD, Task


def require_trl_can(run: Run) -> None:
    """Refuse, by an InputError, what is not GRPO with the end-to-end reward and one step a round."""
    second = run.rl
    require(second is not None, "rl", second, "a Reinforcement where TRL trains")
    found = (second.algorithm, second.reward, second.epochs, second.minibatches)
    names = ("algorithm", "reward", "epochs", "minibatches")
    for name, value, needed in zip(names, found, ("grpo", "r_e2e", 1, 1), strict=True):
        require(value == needed, name, value, f"{needed!r} where TRL trains")


def trl_settings(run: Run, device: str, **own: object) -> LlamaConfig:
    """What TRL is told in place of the run's own fields; `own` are settings that a run does not have."""
    first, second = run.pretraining, run.rl
    settings = dict(
        model="from random weights",
        dataset="generated",
        p_cot=run.p_cot,
        sft_steps=first.steps,
        sft_batch=first.batch,
        sft_lr=first.lr,
        rl_steps=second.rounds,
        prompts=second.prompts,
        group=second.group,
        rl_lr=second.lr,
        temperature=second.temperature,
        completion_length=run.task.long_length + 1,
        warmup=first.warmup,
        micro=64,
        sft_every=max(1, first.steps // run.evaluation.n_points),
        rl_every=second.eval_every,
        dtype="float32",
        checkpointing=False,
        gpus=0 if device == "cpu" else 1,
        seed=run.seed,
    )
    return LlamaConfig(**settings | own)


def task_reward(task: Task, read: Callable[[str], list[int]]) -> Callable[..., list[float]]:
    """A task's end-to-end reward as TRL asks for it; `read` gives the tokens of a prompt's text."""

    def right(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        answers = np.full((len(prompts), task.long_length + 1), PAD)
        for row, ids in zip(answers, completion_ids, strict=True):
            row[: len(ids)] = ids
        return task.r_e2e(np.array([read(text) for text in prompts]), answers).astype(float).tolist()

    return right
