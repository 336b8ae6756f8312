"""How fast is `ntprl.pretrain` beside transformers' Trainer and beside a plain padded loop?

The contestants train the same model (2 layers, width 64, 4 heads, float32, no dropout) from the same weights on the
same demonstrations (d = 50, p_cot = .25, 128 in a step), same AdamW, same rates. In the GPT-2 style:

    ntprl.pretrain         long and short demonstrations apart, last layer on answer positions only
    transformers.Trainer   GPT2LMHeadModel, labels -100 on the prompt, padded right, attention mask
    Trainer, fused GELU    the same with GELU in one operator, where GPT-2's default takes several
    padded loop            ntprl's model on all positions of the padded batch: where a gain comes from

In the Mistral style, which the book's live runs have, the first two, with MistralForCausalLM; its rows are
"pretraining mistral". MistralForCausalLM takes RMSNorm, rotary positions and SwiGLU operator by operator, and query,
key and value as three products: we know of no other setting for a CPU.

1. Equality, for each style. Both models must give the same logits, to 1e-4. Each contestant trains 1 step, then afresh
   WARM_UP steps; the mean losses must agree to 1e-4, else the script stops with one line. So all do the same work:
   data, model, loss, clipping, optimiser, rates.
2. Time. One process, one round that does not count, then `--repetitions` rounds, their order rotating. A run
   is timed from the end of step WARM_UP to the end of its last: drawing and padding are in, set-up is not.
   Ratios are taken within a round, between runs seconds apart, since a machine's speed drifts.
3. Operations and bytes are counted as `limits.py` says; `--profile` adds where the time of ntprl.pretrain goes.
"""

import argparse
import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import common
import numpy as np
import pandas as pd
import torch
import transformers
from common import Clock, Contestant
from limits import shares
from torch.nn import functional as F

from ntprl.book.run import Run, change, require_device
from ntprl.errors import InputError
from ntprl.pretrain import PretrainConfig, learning_rate, make_optimizer, pretrain
from ntprl.studies.threshold.runs import PRETRAINING
from ntprl.transformer import Transformer

RUN = change(PRETRAINING, d=50, p_cot=0.25, n_layer=2, width=64, n_head=4, batch=128, seed=0)
SMOKE = change(RUN, d=5, batch=16)
BENCHMARKS = {"gpt2": "pretraining", "mistral": "pretraining mistral"}  # style -> what its rows are called
WARM_UP = 5  # steps of every run before its clock starts
Library = Callable[[Transformer, int], transformers.PreTrainedModel]


@dataclass(frozen=True)
class Start:
    """What all contestants start from."""

    run: Run
    initial: Transformer  # weights, on the device

    @property
    def train(self) -> dict[str, Callable[["Start", PretrainConfig, Clock], float]]:
        """The contestants in its style."""
        return TRAIN[self.initial.config.style]

    def config(self, steps: int) -> PretrainConfig:
        return PretrainConfig(steps, self.run.pretraining.batch)


def train_ntprl(start: Start, config: PretrainConfig, clock: Clock) -> float:
    log = pretrain(copy.deepcopy(start.initial), start.run.mixture, config, start.run.seed, clock.tick)
    return torch.stack([row["loss"] for row in log[1:]]).mean().item()


def train_padded(start: Start, config: PretrainConfig, clock: Clock) -> float:
    model, losses = copy.deepcopy(start.initial), []
    optimizer = make_optimizer(model, config.lr)
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        batch = {name: tensor.to(clock.device) for name, tensor in common.pad(start.run, step).items()}
        logits = model(batch["input_ids"][:, :-1])  # causal: no position before the padding sees it
        loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())  # leaves -100 out
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        clock.tick(step + 1)
    return torch.stack(losses).mean().item()


def train_trainer(start: Start, config: PretrainConfig, clock: Clock, library: Library = common.as_library) -> float:
    theirs = library(start.initial, start.run.task.eos)
    trainer = common.make_trainer(theirs, start.run, config, clock.device)
    trainer.add_callback(clock)
    return trainer.train().training_loss


OURS, PADDED = "ntprl.pretrain", "padded loop"
TRAIN = {  # style -> contestants; each returns its mean loss
    "gpt2": {
        OURS: train_ntprl,
        "transformers.Trainer": partial(train_trainer, library=partial(common.as_gpt2, gelu="gelu_new")),
        "Trainer, fused GELU": train_trainer,
        PADDED: train_padded,
    },
    "mistral": {OURS: train_ntprl, "transformers.Trainer": train_trainer},
}


def new_clock(config: PretrainConfig, device: str, *now: common.Counted) -> Clock:
    return Clock(WARM_UP, config.steps, device, *now)


@torch.no_grad()
def require_equal_logits(start: Start) -> None:
    """On one batch of demonstrations, padded, at every position that is not padding."""
    batch = {name: tensor.to(start.initial.embed.weight.device) for name, tensor in common.pad(start.run, 0).items()}
    theirs = common.as_library(start.initial, start.run.task.eos)
    ours, others = start.initial(batch["input_ids"][:, :-1]), theirs(**batch).logits[:, :-1]
    gap = (ours - others).abs()[batch["attention_mask"][:, :-1] == 1].max().item()
    line = f"logits of {type(theirs).__name__} differ by {gap:.1e} at most"
    if not gap <= 1e-4:  # NaN stops here too
        raise InputError(f"{line}, so nothing is timed")
    print(line)


def require_equal_losses(start: Start, steps: int, device: str) -> None:
    config = start.config(steps)
    losses = {name: train(start, config, new_clock(config, device)) for name, train in start.train.items()}
    line = f"mean loss of {steps} steps: " + ", ".join(f"{name} {loss:.6f}" for name, loss in losses.items())
    if not max(losses.values()) - min(losses.values()) <= 1e-4:  # NaN stops here too
        raise InputError(f"losses differ by more than 1e-4, so nothing is timed; {line}")
    print(line)


def contestant(train, start: Start, steps: int, device: str) -> Contestant:
    """Trains WARM_UP steps, then `steps` by the clock."""
    config = start.config(WARM_UP + steps)

    def run(repetition, now):
        clock = new_clock(config, device, now)
        train(start, config, clock)
        return clock.seconds, steps * start.run.pretraining.batch, clock.counted

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--steps", type=int, default=20, help="timed steps in one measurement")
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each contestant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    common.require_options(o.threads, o.out, steps=o.steps, repetitions=o.repetitions)
    if require_device(o.device) != "cpu" and torch.cuda.device_count() > 1:
        raise InputError("Trainer would use every GPU it sees: set CUDA_VISIBLE_DEVICES to one of them")
    torch.set_num_threads(o.threads)
    transformers.logging.set_verbosity_error()
    base, rows, profiles = SMOKE if o.smoke else RUN, [], {}
    state = f"d = {base.task.d}, p_cot = {base.p_cot}, {base.pretraining.batch} in a step"
    for style, benchmark in BENCHMARKS.items():
        run = change(base, style=style)
        start = Start(run, run.model.build(run, o.device, None))
        require_equal_logits(start)
        require_equal_losses(start, 1, o.device)
        require_equal_losses(start, WARM_UP, o.device)
        contestants = {name: contestant(train, start, o.steps, o.device) for name, train in start.train.items()}
        rows += common.measure(benchmark, state, contestants, o.repetitions, "demonstration")
        if o.profile:
            work = partial(contestants[OURS], 1, lambda: np.zeros(2))
            profiles[OURS if style == "gpt2" else f"{OURS}, {style}"] = shares(work, o.device)
    runs = pd.DataFrame(rows)
    common.print_rates(runs)
    facts = common.facts_of(started, o.device) | {"steps": o.steps}
    if o.profile:
        facts["profile"] = profiles
        common.print_shares(profiles)
    if o.out is not None:
        common.write_files(o.out, runs, facts)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
