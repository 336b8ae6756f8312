"""How fast is `ntprl.pretrain` beside transformers' Trainer and beside a plain padded loop?

Four contestants train the same GPT-2 style model (2 layers, width 64, 4 heads, float32, no dropout) from
the same weights on the same demonstrations (d = 50, p_cot = .25, 128 in a step), same AdamW, same rates:

    ntprl.pretrain         long and short demonstrations apart, last layer on answer positions only
    transformers.Trainer   GPT2LMHeadModel, labels -100 on the prompt, padded right, attention mask
    Trainer, fused GELU    the same with GELU in one operator, where GPT-2's default takes several
    padded loop            ntprl's model on all positions of the padded batch: where a gain comes from

1. Equality. Each trains 1 step, then afresh WARM_UP steps; the mean losses must agree to 1e-4, else the
   script stops with one line. So all do the same work: data, model, loss, clipping, optimiser, rates.
2. Time. One process, one round that does not count, then `--repetitions` rounds, their order rotating. A run
   is timed from the end of step WARM_UP to the end of its last: drawing and padding are in, set-up is not.
   Ratios are taken within a round, between runs seconds apart, since a machine's speed drifts.
3. Operations and bytes are counted as `limits.py` says; `--profile` adds where the time of ntprl.pretrain goes.
"""

import argparse
import copy
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import common
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
WARM_UP = 5  # steps of every run before its clock starts


@dataclass(frozen=True)
class Start:
    """What all contestants start from."""

    run: Run
    initial: Transformer  # weights, on the device

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


def train_trainer(start: Start, config: PretrainConfig, clock: Clock, gelu: str = "gelu_new") -> float:
    gpt2 = common.as_gpt2(start.initial, start.run.task.eos, gelu)
    trainer = common.make_trainer(gpt2, start.run, config, clock.device)
    trainer.add_callback(clock)
    return trainer.train().training_loss


OURS, PADDED = "ntprl.pretrain", "padded loop"
TRAIN = {  # each returns its mean loss
    OURS: train_ntprl,
    "transformers.Trainer": train_trainer,
    "Trainer, fused GELU": partial(train_trainer, gelu="gelu_pytorch_tanh"),
    PADDED: train_padded,
}


def new_clock(config: PretrainConfig, device: str, *now: common.Counted) -> Clock:
    return Clock(WARM_UP, config.steps, device, *now)


def require_equal_losses(start: Start, steps: int, device: str) -> None:
    config = start.config(steps)
    losses = {name: train(start, config, new_clock(config, device)) for name, train in TRAIN.items()}
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
    run = SMOKE if o.smoke else RUN
    start = Start(run, run.model.build(run, o.device, None))
    require_equal_losses(start, 1, o.device)
    require_equal_losses(start, WARM_UP, o.device)
    contestants = {name: contestant(train, start, o.steps, o.device) for name, train in TRAIN.items()}
    state = f"d = {run.task.d}, p_cot = {run.p_cot}, {run.pretraining.batch} in a step"
    runs = pd.DataFrame(common.measure("pretraining", state, contestants, o.repetitions, "demonstration"))
    common.print_rates(runs)
    facts = common.facts_of(started, o.device) | {"steps": o.steps}
    if o.profile:
        config = start.config(WARM_UP + o.steps)
        facts["profile"] = {OURS: shares(lambda: train_ntprl(start, config, new_clock(config, o.device)), o.device)}
        common.print_shares(facts["profile"])
    if o.out is not None:
        common.write_files(o.out, runs, facts)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
