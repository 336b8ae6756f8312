"""The runs of chapter 5: both phases on parity, the first until a number of links is known."""

from dataclasses import dataclass

import numpy as np

from ntprl.book.run import Reinforcement, Run
from ntprl.errors import require_integer
from ntprl.measure import chain_probabilities
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import Task
from ntprl.transformer import Transformer

KNOWN = 0.75  # mean probability of the right token, earlier ones given, from which a link is known

RECOVERY = Run(Parity(), rl=Reinforcement(), kind="RecoveryRun")


def unknown_links(model: Transformer, task: Task, seed: int, step: int = 0, n: int = 256) -> list[int]:
    """Positions of the links after the first whose right token has a mean probability below KNOWN, earlier given."""
    prompts = task.prompts(n, numpy_rng(seed, "evaluation", step), test=True)
    known = np.nanmean(chain_probabilities(model, task, prompts)[0], axis=0)  # (L + 1,), the last is EOS
    return [int(i) + 2 for i in np.flatnonzero(known[1:-1] < KNOWN)]


@dataclass(frozen=True)
class UnknownLinks(Run):
    """Both phases; the first ends at the first measurement at which `unknown` links at most are not known.

    All measurements have unknown_links besides: how many links after the first have a mean probability below KNOWN.
    """

    kind: str = "UnknownLinks"
    unknown: int = 0  # links

    def __post_init__(self) -> None:
        require_integer("unknown", self.unknown, low=0)
        super().__post_init__()

    def measure(self, step: int, model: Transformer) -> list[dict]:
        unknown = len(unknown_links(model, self.task, self.seed, step, self.evaluation.n_eval))
        return [row | {"unknown_links": unknown} for row in super().measure(step, model)]

    def is_enough(self, rows: list[dict]) -> bool:
        return rows[0]["unknown_links"] <= self.unknown

    def measure_round(self, done: int, model: Transformer) -> dict:
        row = super().measure_round(done, model)
        if not row:
            return row
        return row | {"unknown_links": len(unknown_links(model, self.task, self.seed, done, self.rl.n_eval_rl))}
