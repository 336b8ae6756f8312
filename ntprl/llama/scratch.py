"""Frozen configurations of the Llama chapter that run here, from scratch: a config -> a table.

A chapter asks for `word_problems(profile, ...)` and calls `.recover()` or `.run()`.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from ntprl.baselines import Baselines
from ntprl.errors import require, require_choice, require_integer
from ntprl.experiments import TrainingRun, from_profile, steps_for
from ntprl.llama.presets import LlamaRun
from ntprl.llama.rows import MARK, Row
from ntprl.llama.word_problems import MARKS, MOST_STEPS, WordProblems, solve
from ntprl.recovery import Reinforced
from ntprl.seeds import numpy_rng, torch_rng

if TYPE_CHECKING:  # transformers is loaded when a model is made, so that tables can be read without it
    from ntprl.llama.adapter import Llama, LlamaShape


@dataclass(frozen=True)
class WordRun(TrainingRun):
    """Train a Hugging Face Llama on generated word problems, from random weights or from a base of worked solutions."""

    style: str = "llama"  # transformers' LlamaForCausalLM, the only one here
    n_layer: int = 3  # depth
    width: int = 128  # size of the residual stream
    low: int = 2  # fewest steps of a problem
    high: int = MOST_STEPS  # most steps
    mark: str = MARK  # what announces the answer
    test_share: float = 0.1  # of problems, never trained on
    base_steps: int = 0  # optimiser steps on worked solutions alone, before the mixture
    base_mark: str = MARK  # what announces the answer in those

    def __post_init__(self) -> None:
        require_choice("style", self.style, ("llama",))
        require_integer("base_steps", self.base_steps, low=0)
        require_choice("base_mark", self.base_mark, MARKS)
        super().__post_init__()

    @property
    def task(self) -> WordProblems:
        return WordProblems(self.low, self.high, self.mark, self.test_share)

    @property
    def transformer_config(self) -> "LlamaShape":
        from ntprl.llama.adapter import LlamaShape

        longest = self.task.prompt_length + self.task.long_length
        return LlamaShape(self.task.vocab_size, longest, self.n_layer, self.width, self.n_head)

    @property
    def base(self) -> "WordRun | None":
        """The run that the weights come from; other problems than this run's. None: they are random."""
        if self.base_steps == 0:
            return None
        own = {field.name: getattr(self, field.name) for field in fields(WordRun)}
        own |= dict(p_cot=1.0, steps=self.base_steps, base_steps=0, mark=self.base_mark, base_mark=MARK, n_points=1)
        return WordRun(**own | dict(seed=self.seed + 1000))

    def new_model(self, device: str, folder: Path | None) -> "Llama":
        from ntprl.llama.adapter import Llama

        if self.base is None:
            return Llama(self.transformer_config, torch_rng(self.seed, "init")).to(device)
        return (self.base.train(device) if folder is None else self.base.trained(folder, device))[0]


@dataclass(frozen=True)
class WordRecovery(WordRun, Reinforced):  # in this order, for WordRun's defaults to win
    """Both phases on word problems."""

    start_kind = WordRun


@dataclass(frozen=True)
class WordBaselines(WordRecovery, Baselines):
    """Reinforcement learning on word problems beside other uses of its start."""

    can_be_forced: ClassVar[bool] = False  # a short answer shows itself by its first token


@dataclass(frozen=True)
class WordTrl(WordRecovery):
    """The same two phases on the same problems and the same kind of model by TRL's trainers, measured as the others.

    What differs: TRL's data order, draws and padding, and that it may reward an answer that is cut behind its number,
    where ours must end. GRPO alone, one step a round, and a constant learning rate after the warm-up: a run by our
    own loops is its like with cooldown = 0.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("algorithm", "grpo"), ("reward", "r_e2e"), ("cooldown", 0.0), ("epochs", 1)):
            require(getattr(self, name) == value, name, getattr(self, name), f"{value!r} where TRL trains")

    @property
    def start(self) -> None:
        """TRL trains its own."""
        return None

    def rows(self, n: int, stream: str) -> list[Row]:
        return [solve(question) for question in self.task.questions(n, numpy_rng(self.seed, stream))]

    def settings(self, device: str) -> LlamaRun:
        return LlamaRun(
            model="from random weights",
            dataset="generated",
            p_cot=self.p_cot,
            mark=self.mark,
            sft_steps=self.steps,
            sft_batch=self.batch,
            sft_lr=self.lr,
            rl_steps=self.rounds,
            prompts=self.rollouts // self.group,
            group=self.group,
            rl_lr=self.rl_lr,
            temperature=self.temperature,
            completion_length=self.task.long_length + 1,
            warmup=self.warmup,
            micro=64,
            sft_every=max(1, self.steps // self.n_points),
            rl_every=self.eval_every,
            dtype="float32",
            checkpointing=False,
            gpus=0 if device == "cpu" else 1,
            seed=self.seed,
        )

    def fine_tuned(self, device: str, starts: Path | None) -> tuple["Llama", list[dict]]:
        """The model after the first phase, and its measurements; `starts` is a folder of trained starts."""
        from ntprl.llama import trl_path
        from ntprl.llama.adapter import tokenizer

        llama, table = self.new_model(device, None), []

        def measured(step: int, _: object) -> None:  # TRL trains llama.model in place
            table.extend(row | {"step": step} for row in self.measure(step, llama))

        rows = self.rows(self.steps * self.batch, "data")
        with TemporaryDirectory() as folder:
            trl_path.sft(llama.model, tokenizer(), rows, self.settings(device), Path(folder), measured)
        return llama, table

    def run(self, device: str = "cpu", checkpoint_path: Path | None = None) -> pd.DataFrame:
        from ntprl.llama import trl_path
        from ntprl.llama.adapter import tokenizer

        llama, table = self.fine_tuned(device, None if checkpoint_path is None else Path(checkpoint_path).parent)
        table = [row | {"phase": "pretraining"} for row in table]

        def measured(step: int, _: object) -> None:
            table.append(self.measure_round(step, llama) | {"phase": "rl", "step": step})

        config = replace(self.settings(device), warmup=0)
        rows = self.rows(self.rounds * config.prompts, "rollouts")
        with TemporaryDirectory() as folder:
            trl_path.grpo(llama.model, tokenizer(), rows, config, Path(folder), measured)
        return pd.DataFrame(table)


@dataclass(frozen=True)
class WordTrlShared(WordTrl):
    """The second phase alone by TRL, from a start that our loops have trained."""

    @property
    def start(self) -> WordRun:
        return super(WordTrl, self).start  # as in WordRecovery; WordTrl has none

    def fine_tuned(self, device: str, starts: Path | None) -> tuple["Llama", list[dict]]:
        llama, table = self.start.train(device) if starts is None else self.start.trained(starts, device)
        return llama, table.to_dict("records")


PROFILES = {
    # the path in seconds; learns nothing
    "smoke": dict(n_layer=1, width=32, n_head=2, steps=20, batch=16, n_eval=32, n_points=1, rounds=2, rollouts=32)
    | dict(group=4, n_eval_rl=32, high=3),
    # two CPU cores, under three minutes: problems of 2 to 4 steps, 610,000 parameters, 44,800 demonstrations
    "laptop": dict(high=4, steps=700, batch=64, lr=3e-3, n_points=4, n_eval=256, rounds=8, n_eval_rl=256)
    | dict(eval_every=2),
    # a GPU; 2 to 8 steps, 25 million parameters, 5 million demonstrations
    "paper": dict(n_layer=8, width=512, n_head=8, steps=20_000, batch=256, lr=5e-4, warmup=500, n_eval=2048)
    | dict(n_points=20, rounds=40, rollouts=1024, rl_lr=1e-4, n_eval_rl=1024),
}


def word_problems(profile: str = "laptop", steps: int = 0, **overrides) -> WordRecovery:
    """Both phases at the size of a profile, with some fields changed; steps = 0 takes `steps_for` on a laptop."""
    run = from_profile(WordRecovery, PROFILES, profile, overrides)
    if steps == 0:
        steps = steps_for(run.p_cot, run.steps) if profile == "laptop" else run.steps
    return replace(run, steps=steps)
