"""The mixture D(p_cot): rare long demonstrations, common short ones."""

from dataclasses import dataclass

import numpy as np

from ntprl.errors import require_number
from ntprl.tasks.task import Demonstrations, Task


@dataclass(frozen=True)
class Mixture:
    """Z ~ Ber(p_cot) for each prompt: a long demonstration if Z = 1, else a short one (C1)."""

    task: Task
    p_cot: float = 0.25  # share of long demonstrations

    def __post_init__(self) -> None:
        require_number("p_cot", self.p_cot, low=0, high=1)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Demonstrations, Demonstrations]:
        """n fresh demonstrations as (long, short): neither is padded to the other, either may be empty."""
        prompts = self.task.prompts(n, rng)  # (n, P)
        is_long = rng.random(n) < self.p_cot
        return (
            Demonstrations(prompts[is_long], self.task.long(prompts[is_long])),
            Demonstrations(prompts[~is_long], self.task.short(prompts[~is_long])),
        )
