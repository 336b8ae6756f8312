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
3. `--profile` adds where the time of ntprl.pretrain goes, and how near it comes to a large matrix product.
"""

import argparse
import copy
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from common import (
    STATISTICS,
    Clock,
    as_gpt2,
    facts_of,
    make_trainer,
    pad,
    rates_and_ratios,
    require_options,
    rotate,
    transformers,
    write_files,
)
from torch.nn import functional as F
from torch.utils.benchmark import Timer

from ntprl.errors import InputError
from ntprl.experiments import PretrainingRun, require_device
from ntprl.pretrain import PretrainConfig, learning_rate, make_optimizer, pretrain
from ntprl.seeds import torch_rng
from ntprl.transformer import Transformer

RUN = PretrainingRun(d=50, p_cot=0.25, n_layer=2, width=64, n_head=4, batch=128, seed=0)
WARM_UP = 5  # steps of every run before its clock starts


def new_clock(config: PretrainConfig, device: str) -> Clock:
    return Clock(WARM_UP, config.steps, device)


def train_ntprl(initial: Transformer, config: PretrainConfig, clock: Clock) -> float:
    log = pretrain(copy.deepcopy(initial), RUN.mixture, config, RUN.seed, clock.tick)
    return torch.stack([row["loss"] for row in log[1:]]).mean().item()


def train_padded(initial: Transformer, config: PretrainConfig, clock: Clock) -> float:
    model, losses = copy.deepcopy(initial), []
    optimizer = make_optimizer(model, config.lr)
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        batch = {name: tensor.to(clock.device) for name, tensor in pad(RUN, step).items()}
        logits = model(batch["input_ids"][:, :-1])  # causal: no position before the padding sees it
        loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())  # leaves -100 out
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        clock.tick(step + 1)
    return torch.stack(losses).mean().item()


def train_trainer(initial: Transformer, config: PretrainConfig, clock: Clock, gelu: str = "gelu_new") -> float:
    trainer = make_trainer(as_gpt2(initial, RUN.task.eos, gelu), RUN, config, clock.device)
    trainer.add_callback(clock)
    return trainer.train().training_loss


OURS, PADDED = "ntprl.pretrain", "padded loop"
TRAIN = {  # each returns its mean loss
    OURS: train_ntprl,
    "transformers.Trainer": train_trainer,
    "Trainer, fused GELU": partial(train_trainer, gelu="gelu_pytorch_tanh"),
    PADDED: train_padded,
}


def require_equal_losses(initial: Transformer, steps: int, device: str) -> None:
    config = PretrainConfig(steps, RUN.batch)
    losses = {name: train(initial, config, new_clock(config, device)) for name, train in TRAIN.items()}
    line = f"mean loss of {steps} steps: " + ", ".join(f"{name} {loss:.6f}" for name, loss in losses.items())
    if not max(losses.values()) - min(losses.values()) <= 1e-4:  # NaN stops here too
        raise InputError(f"losses differ by more than 1e-4, so nothing is timed; {line}")
    print(line)


def measure(initial: Transformer, config: PretrainConfig, repetitions: int, device: str) -> pd.DataFrame:
    rows, n = [], (config.steps - WARM_UP) * RUN.batch
    for repetition, order, name in rotate(list(TRAIN), repetitions):
        clock = new_clock(config, device)
        TRAIN[name](initial, config, clock)
        rows.append((repetition, order, name, clock.seconds, n / clock.seconds))
    columns = ["repetition", "order", "contestant", "seconds", "demonstrations_per_s"]
    return pd.DataFrame(rows[len(TRAIN) :], columns=columns)


def flops(name: str) -> float:
    """Floating-point operations of one step: 2 for each multiply-add forward, twice that backward.

    Multiply-adds of a layer: keys and values 2 W^2 at each position read; query, output and feed-forward
    2 W^2 + 2 W F at each position written; 2 W for each pair the causal mask lets through. The head: W V.
    """
    c, n_long, total = RUN.transformer_config, RUN.batch * RUN.p_cot, 0.0
    apart = [(n_long, c.max_length, RUN.d + 1), (RUN.batch - n_long, RUN.d + 2, 2)]
    together = [(RUN.batch, *[c.max_length + (name != PADDED)] * 2)]
    for n, read, answer in apart if name == OURS else together:  # sequences, positions, those with an output
        for write in [read] * (c.n_layer - 1) + [answer]:
            pairs = write * read - write * (write - 1) / 2
            total += n * 2 * c.width * (read * c.width + write * (c.width + c.hidden_size) + pairs)
        total += n * c.width * answer * c.vocab_size
    return 6 * total


def print_profile(initial: Transformer, config: PretrainConfig, device: str, rate: float) -> None:
    with torch.profiler.profile() as profiler:
        start = time.perf_counter()
        train_ntprl(initial, config, new_clock(config, device))
        wall = 1e6 * (time.perf_counter() - start)  # microseconds, as the profiler counts
    spent = "self_cpu_time_total" if device == "cpu" else "self_device_time_total"
    share = pd.Series({e.key: getattr(e, spent) / wall for e in profiler.key_averages() if "aten::" in e.key})
    attention, products = share.filter(like="attention").sum(), share.filter(regex="mm$").sum()
    parts = {"matrix products": products, "attention": attention, "outside torch": 1 - share.sum()}
    parts["element-wise operations, norms, copies, optimiser"] = share.sum() - attention - products
    print(f"\n{OURS}, shares of its wall time, the profiler's own cost included")
    for name, value in (parts | share.nlargest(12).to_dict()).items():
        print(f"{value:6.1%} {name}")
    a, n_threads = torch.randn(2048, 2048, device=device), torch.get_num_threads()
    product = Timer("a @ a", globals={"a": a}, num_threads=n_threads).blocked_autorange(min_run_time=2)
    needed, limit = flops(OURS) * rate / RUN.batch / 1e9, 2 * 2048**3 / product.median / 1e9
    print(f"counted {needed:.1f} GFLOP/s, one large matrix product {limit:.1f}: {needed / limit:.1%} of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--steps", type=int, default=20, help="timed steps in one measurement")
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each contestant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    require_options(o.threads, o.out, steps=o.steps, repetitions=o.repetitions)
    if require_device(o.device) != "cpu" and torch.cuda.device_count() > 1:
        raise InputError("Trainer would use every GPU it sees: set CUDA_VISIBLE_DEVICES to one of them")
    torch.set_num_threads(o.threads)
    transformers.logging.set_verbosity_error()
    initial = Transformer(RUN.transformer_config, torch_rng(RUN.seed, "init")).to(o.device)
    require_equal_losses(initial, 1, o.device)
    require_equal_losses(initial, WARM_UP, o.device)
    config = PretrainConfig(WARM_UP + o.steps, RUN.batch)
    runs = measure(initial, config, o.repetitions, o.device)
    rate, ratio = rates_and_ratios(runs, "demonstrations_per_s", OURS, list(TRAIN))
    table = rate.agg(STATISTICS).T.round().astype(int).join(ratio.agg(STATISTICS).T.round(2).add_prefix("x "))
    table["GFLOP/step"] = [round(flops(name) / 1e9, 2) for name in TRAIN]
    facts = facts_of(started, o.device)
    print(f"\n{facts['device']}, {o.threads} threads, {o.repetitions} x {o.steps} steps; demonstrations/s,")
    print(f"x: {OURS} as a multiple of each, pair by pair\n{table.rename_axis(None).to_string()}")
    if o.profile:
        print_profile(initial, config, o.device, rate[OURS].median())
    if o.out is not None:
        write_files(o.out, runs, facts)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
