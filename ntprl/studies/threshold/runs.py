"""The runs of chapter 2: next-token prediction on parity, or on sums modulo K.

A chapter asks for `pretraining(profile, ...)` and calls `.train()` or `.run()`.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ntprl.book.run import PROFILES, Run, from_profile
from ntprl.measure import chain_probabilities
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import same_answers
from ntprl.transformer import Transformer

PRETRAINING = Run(Parity(), kind="PretrainingRun")


# what a laptop's run needs with learned positions, which find the links later
GPT2 = dict(steps=600, warmup=50)


def pretraining(profile: str = "laptop", **overrides) -> Run:
    """Pre-training at the size of a profile, with some fields changed."""
    if profile == "laptop" and overrides.get("style") == "gpt2":
        overrides = GPT2 | overrides
    return from_profile(PRETRAINING, PROFILES, profile, overrides)


@dataclass(frozen=True)
class FirstBitRun(Run):
    """The same run, with greedy_first_bit besides: the share of greedy answers that are exactly (x_1, EOS).

    Such an answer is right for half of all prompts: the best that can be said at once.
    """

    kind: str = "FirstBitRun"

    def measure(self, step: int, model: Transformer) -> list[dict]:
        n = self.evaluation.n_eval
        prompts = self.task.prompts(n, numpy_rng(self.seed, "evaluation", step), test=True)
        answers = greedy(model, prompts, self.task.eos, 2)
        guesses = np.column_stack((self.task.long(prompts)[:, 0], np.full(n, self.task.eos)))
        guessed = float(same_answers(answers, guesses).mean())
        return [row | {"greedy_first_bit": guessed} for row in super().measure(step, model)]


@dataclass(frozen=True)
class LearningOrder(Run):
    """The same run, measured token by token: one row for each measured step and position.

    kind long: mean probability of the right link at position 1..d+1 of the chain, all earlier links given;
    kind short: mean probability of the right answer as the first token.
    """

    kind: str = "LearningOrder"

    def measure(self, step: int, model: Transformer) -> list[dict]:
        prompts = self.task.prompts(self.evaluation.n_eval, numpy_rng(self.seed, "evaluation", step), test=True)
        links = chain_probabilities(model, self.task, prompts)[0].mean(axis=0)  # (d + 1,)
        with torch.inference_mode():
            logits = model(torch.as_tensor(prompts, device=model.embed.weight.device), n_out=1)[:, 0].cpu()
        answer = torch.as_tensor(self.task.short(prompts)[:, :1])
        short = logits.softmax(-1).gather(1, answer).mean().item()
        rows = [{"kind": "long", "position": i + 1, "probability": float(p)} for i, p in enumerate(links)]
        return [*rows, {"kind": "short", "position": 1, "probability": short}]
