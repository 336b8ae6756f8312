"""The runs of chapter 7 that need no published weights: a Llama from scratch on generated word problems.

A chapter asks for `word_problems(profile, ...)` and calls `.recover()` or `.run()`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from ntprl.book.run import Reinforcement, Run, as_kind, change, from_profile, steps_for
from ntprl.errors import require
from ntprl.llama.adapter import Llama, tokenizer
from ntprl.llama.by_trl import require_trl_can, trl_settings
from ntprl.llama.config import LlamaConfig
from ntprl.llama.models import LlamaModel
from ntprl.seeds import numpy_rng
from ntprl.tasks.rows import Row
from ntprl.tasks.words import WordProblems, solve

WORDS = Run(WordProblems(), model=LlamaModel(), rl=Reinforcement(), kind="WordRecovery")


@dataclass(frozen=True)
class TrlRun(Run):
    """The same two phases on the same problems and the same kind of model by TRL's trainers, measured as the others.

    What differs: TRL's data order, draws and padding, and that it may reward an answer that is cut behind its number,
    where ours must end. GRPO alone, one step a round, and a constant learning rate after the warm-up: a run by our
    own loops is its like with cooldown = 0.
    """

    kind: str = "WordTrl"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_trl_can(self)
        cooldown = self.pretraining.cooldown
        require(cooldown == 0, "cooldown", cooldown, "0.0 where TRL trains")

    @property
    def start(self) -> None:
        """TRL trains its own."""
        return None

    def rows(self, n: int, stream: str) -> list[Row]:
        return [solve(question) for question in self.task.questions(n, numpy_rng(self.seed, stream))]

    def settings(self, device: str) -> LlamaConfig:
        return trl_settings(self, device, mark=self.task.mark)

    def fine_tuned(self, device: str, starts: Path | None) -> tuple[Llama, list[dict]]:
        """The model after the first phase, and its measurements; `starts` is a folder of trained starts."""
        from ntprl.llama import training  # which loads TRL's world

        llama, table = self.model.build(self, device, None), []

        def measured(step: int, _: object) -> None:  # TRL trains llama.model in place
            table.extend(row | {"step": step} for row in self.measure(step, llama))

        rows = self.rows(self.pretraining.steps * self.pretraining.batch, "data")
        with TemporaryDirectory() as folder:
            training.trl_sft(llama.model, tokenizer(), rows, self.settings(device), Path(folder), measured)
        return llama, table

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        from ntprl.llama import training

        llama, table = self.fine_tuned(device, folder)
        table = [row | {"phase": "pretraining"} for row in table]

        def measured(step: int, _: object) -> None:
            table.append(self.measure_round(step, llama) | {"phase": "rl", "step": step})

        config = replace(self.settings(device), warmup=0)
        rows = self.rows(self.rl.rounds * config.prompts, "rollouts")
        with TemporaryDirectory() as own:
            training.trl_grpo(llama.model, tokenizer(), rows, config, Path(own), measured)
        return pd.DataFrame(table)


@dataclass(frozen=True)
class TrlFromOurStart(TrlRun):
    """The second phase alone by TRL, from a start that our loops have trained."""

    kind: str = "WordTrlShared"

    @property
    def start(self) -> Run:
        return by_our_loops(self).start

    def fine_tuned(self, device: str, starts: Path | None) -> tuple[Llama, list[dict]]:
        llama, table = self.start.train(device) if starts is None else self.start.trained(starts, device)
        return llama, table.to_dict("records")


def by_our_loops(run: TrlRun) -> Run:
    return as_kind(run, Run, WORDS.kind)


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


def word_problems(profile: str = "laptop", steps: int = 0, **overrides) -> Run:
    """Both phases at the size of a profile, with some fields changed; steps = 0 takes `steps_for` on a laptop."""
    run = from_profile(WORDS, PROFILES, profile, overrides)
    if steps == 0:
        usual = run.pretraining.steps
        steps = steps_for(run.p_cot, usual) if profile == "laptop" else usual
    return change(run, steps=steps)
