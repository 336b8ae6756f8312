"""What else could be done with the same pre-trained model and the same number of samples."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ntprl.book.run import Run
from ntprl.measure import answer_measures, share
from ntprl.mixture import Mixture
from ntprl.pretrain import make_optimizer, next_token_loss, take_step
from ntprl.sampling import sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.task import PAD
from ntprl.transformer import Transformer

SAMPLES = (1, 5, 25, 125)  # answers to one prompt; odd, so that a vote between two has no ties


@dataclass(frozen=True)
class Baselines(Run):
    """Reinforcement learning beside other uses of its start. One row for each method and size.

    Training methods take one optimiser step a round on as many samples, at the same learning rate; `size`
    is the number of rounds. `accuracy` and `long` are those of greedy answers.
        rl           the configured algorithm on its own samples
        continue     next-token training on the same mixture
        reweighted   next-token training on demonstrations of which as many are long as among the
                     answers that RL rewarded in that round
        long only    next-token training on long demonstrations
    Decoding methods leave the start as it is; `size` is the number of answers to a prompt, at temperature 1.
        majority     the commonest final answer
        best of      right if any answer is: what a perfect verifier could pick
        forced       greedy, with EOS forbidden until the answer is longer than a short one; only where some long
                     and short answers begin alike
    """

    kind: str = "BaselineRun"

    def greedy_row(self, model: Transformer, method: str, size: int, min_length: int = 0) -> dict:
        prompts = self.task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation", size), test=True)
        answers = sample(model, prompts, self.task.eos, self.task.long_length + 1, 0, min_length=min_length)
        row = answer_measures(self.task, prompts, answers, "greedy")
        return self.row(method, size, row["greedy_accuracy"], row["greedy_long"], (answers != PAD).sum(axis=1).mean())

    def row(self, method: str, size: int, accuracy: float, long: float, tokens: float) -> dict:
        """tokens: written for one prompt, EOS included."""
        row = {"method": method, "size": size, "accuracy": accuracy, "long": long}
        return row | {"tokens": float(tokens), "n_eval": self.rl.n_eval_rl}

    def next_token_rows(self, start: Transformer, method: str, shares: Sequence[float]) -> list[dict]:
        """Next-token training from the start; round r uses a share of shares[r] long demonstrations."""
        model = copy.deepcopy(start)
        optimizer = make_optimizer(model, self.rl.lr)
        rows = [self.greedy_row(model, method, 0)]
        for done, p in enumerate(shares, start=1):
            parts = Mixture(self.task, p).draw(self.rl.rollouts, numpy_rng(self.seed, "rollouts", done))
            take_step(model, optimizer, next_token_loss(model, parts), self.rl.lr)
            if done % self.rl.eval_every == 0 or done == self.rl.rounds:
                rows.append(self.greedy_row(model, method, done))
        return rows

    def decoding_rows(self, start: Transformer) -> list[dict]:
        from scipy.stats import mode  # loads slowly, and only these rows need it

        task, n = self.task, max(SAMPLES)
        prompts = task.prompts(self.rl.n_eval_rl, numpy_rng(self.seed, "evaluation"), test=True)
        generator = torch_rng(self.seed, "evaluation", device=str(start.embed.weight.device))
        answers = sample(start, prompts, task.eos, task.long_length + 1, generator=generator, group=n)
        final = task.final(answers).reshape(-1, n)  # (prompts, n)
        truth = task.final(task.short(prompts))
        tokens = (answers != PAD).sum(axis=1).reshape(-1, n)
        is_long = tokens > task.short_length + 1
        rows = []
        for size in SAMPLES:
            vote = mode(final[:, :size], axis=1).mode
            any_right = (final[:, :size] == truth[:, None]).any(axis=1)
            facts = share(is_long[:, :size]), tokens[:, :size].sum(axis=1).mean()
            rows += [self.row("majority", size, share(vote == truth), *facts)]
            rows += [self.row("best of", size, share(any_right), *facts)]
        if (task.long(prompts)[:, 0] == task.short(prompts)[:, 0]).any():
            rows.append(self.greedy_row(start, "forced", 1, min_length=task.short_length + 1))
        return rows

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        recovery, rounds = self.recover(device, folder), self.rl.rounds
        rl = recovery.table[recovery.table["phase"] == "rl"]
        rows = [
            self.row("rl", row["step"], row["greedy_accuracy"], row["greedy_long"], np.nan)
            for row in rl.dropna(subset="greedy_accuracy").to_dict("records")
        ]
        shares = rl["rewarded_long"].fillna(self.p_cot).iloc[:rounds]
        for method, p in (
            ("continue", [self.p_cot] * rounds),
            ("reweighted", list(shares)),
            ("long only", [1.0] * rounds),
        ):
            rows += self.next_token_rows(recovery.before, method, p)
        return pd.DataFrame(rows + self.decoding_rows(recovery.before))
