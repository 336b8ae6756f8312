"""The runs of chapter 4: both phases on parity.

A chapter asks for `recovery(profile, ...)` and calls `.recover()` or `.run()`.
"""

from dataclasses import dataclass

import numpy as np

from ntprl.book.run import PROFILES, Reinforcement, Run, change, from_profile, steps_for
from ntprl.errors import require_integer
from ntprl.measure import chain_probabilities
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.transformer import Transformer

KNOWN = 0.75  # mean probability of the right token, earlier ones given, from which a link is known

RECOVERY = Run(Parity(), rl=Reinforcement(), kind="RecoveryRun")


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

    def unknown_links(self, step: int, model: Transformer, n: int) -> int:
        prompts = self.task.prompts(n, numpy_rng(self.seed, "evaluation", step), test=True)
        known = np.nanmean(chain_probabilities(model, self.task, prompts)[0], axis=0)  # (L + 1,), the last is EOS
        return int((known[1:-1] < KNOWN).sum())

    def measure(self, step: int, model: Transformer) -> list[dict]:
        unknown = self.unknown_links(step, model, self.evaluation.n_eval)
        return [row | {"unknown_links": unknown} for row in super().measure(step, model)]

    def is_enough(self, rows: list[dict]) -> bool:
        return rows[0]["unknown_links"] <= self.unknown

    def measure_round(self, done: int, model: Transformer) -> dict:
        row = super().measure_round(done, model)
        return row and row | {"unknown_links": self.unknown_links(done, model, self.rl.n_eval_rl)}


RL_PROFILES = {
    "smoke": PROFILES["smoke"] | dict(rounds=3, rollouts=64, group=4, n_eval_rl=64),
    "laptop": PROFILES["laptop"] | dict(eval_every=2),
    "paper": PROFILES["paper"] | dict(rounds=40, rollouts=1024, rl_lr=3e-4, n_eval_rl=4096),
}


def recovery(profile: str = "laptop", steps: int = 0, **overrides) -> Run:
    """Both phases at the size of a profile, with some fields changed.

    steps = 0 takes the profile's; laptop's are meant for p_cot = .25, so rarer long demonstrations get
    more of them, in proportion, up to twenty times as many.
    """
    run = from_profile(RECOVERY, RL_PROFILES, profile, overrides)
    if steps == 0:
        usual = run.pretraining.steps
        steps = steps_for(run.p_cot, usual) if profile == "laptop" else usual
    return change(run, steps=steps)
