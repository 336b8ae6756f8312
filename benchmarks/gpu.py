"""How fast are the book's steps on a GPU, and what do a CUDA graph or an ensemble bring there?

d = 50, p_cot = .25, 2 layers, width 64, 4 heads, float32, both styles. A model this small waits for the launches of its
operators, so what counts is how many there are and who launches them:

    pretraining  demonstrations a second in steps of 128
        ntprl.pretrain   the function that the chapters call
        static shapes    the same step with every shape fixed: what the padding costs, or brings, by itself
        CUDA graph       this step captured once and launched as one, again and again
        ensemble         `pretrain_together` on 16 models that differ in their seed; demonstrations of all of them
    grpo         rollouts a second in rounds of `ntprl.posttrain`, 64 prompts x 8 answers; a coin for the reward, so
                 that nearly every group carries a signal; the model has both phases behind it: its answers are long
    sampling     tokens a second, EOS included, of `ntprl.sample` by that model, 64 prompts x 8 answers and 512 x 1

Static shapes. Z ~ Ber(p_cot) gives every step another number of long and of short demonstrations. Each part gets a
fixed number of rows, five standard deviations above its mean; rows without a demonstration have labels PAD, which have
no loss. A step that does not fit stops the script. The rate is a tensor, since a graph would keep a number for good.

1. Equality. In float64 the losses of EQUAL_STEPS steps and the weights after them must be those of `ntprl.pretrain` to
   1e-8, for static shapes and for the graph; in float32, which is timed, the losses to 1e-4 (there AdamW makes whole
   steps of rounding where a gradient is nothing else), those of the ensemble too. Else the script stops with one line.
2. Time. One process; a repetition that does not count, then --repetitions of them, the order rotating. The GPU is idle
   at both ends of a measurement. Drawing, padding and copying are in it; building, warming up, capture are not.
3. Operations are not counted: they are those of the tables for the CPU, and not what a GPU waits for here.

--device cpu goes with --smoke alone: it rehearses all of this but the capture.
"""

import argparse
import copy
import io
import math
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import common
import numpy as np
import pandas as pd
import torch
import transformers
from common import Clock, Contestant
from pretraining import OURS, WARM_UP, Start, contestant, train_ntprl
from torch.nn import functional as F

from ntprl.book.ensemble import pretrain_together
from ntprl.book.run import Run, change, require_device
from ntprl.errors import InputError, require
from ntprl.posttrain import PosttrainConfig, coin, posttrain
from ntprl.pretrain import PretrainConfig, learning_rate, pretrain
from ntprl.sampling import sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.recovery.runs import recovery
from ntprl.studies.threshold.runs import GPT2
from ntprl.tasks.task import PAD, Task
from ntprl.transformer import STYLES, Transformer

EQUAL_STEPS = 20
STATIC, GRAPH, ENSEMBLE = "static shapes", "CUDA graph", "ensemble"
STILL = 1e-8  # a learning rate that leaves the weights as they are
RECIPES = {"gpt2": {"style": "gpt2", **GPT2}, "mistral": {}}  # style -> what it changes in the laptop's live run


@dataclass(frozen=True)
class Sizes:
    d: int = 50
    batch: int = 128  # demonstrations of one model in a step
    steps: int = 50  # timed steps in one measurement
    members: int = 16  # of the ensemble
    taught: int = 0  # steps of pre-training before GRPO and sampling; 0: those of the live run
    rl_rounds: int = 20  # rounds before them
    prompts: int = 64  # in a round
    group: int = 8  # answers to each
    timed: int = 3  # rounds in one measurement


SMOKE = Sizes(5, 16, 2, 2, 4, 1, 4, 4, 1)


# --- the step with fixed shapes ---


def capacity(batch: int, share: float) -> int:
    """Rows that hold Binomial(batch, share) demonstrations but for five standard deviations."""
    return min(batch, math.ceil(batch * share + 5 * math.sqrt(batch * share * (1 - share))))


class StaticStep:
    """A step of `pretrain` whose shapes never change; `capture` makes it a CUDA graph."""

    def __init__(self, start: Start, config: PretrainConfig):
        self.run, self.config, self.model = start.run, config, copy.deepcopy(start.initial)
        task, self.device = start.run.task, self.model.embed.weight.device
        rows = [capacity(config.batch, share) for share in (start.run.p_cot, 1 - start.run.p_cot)]
        widths = [(task.prompt_length, length + 1) for length in (task.long_length, task.short_length)]
        self.shapes = [(n, width) for n, of_part in zip(rows, widths, strict=True) for width in of_part]
        self.host = np.zeros(sum(math.prod(shape) for shape in self.shapes), dtype=np.int64)
        self.tokens = torch.from_numpy(self.host.copy()).to(self.device)  # one copy brings a whole step
        self.rate = torch.tensor(0.0, device=self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.rate, weight_decay=config.weight_decay, fused=True, capturable=True
        )
        self.loss, self.graph = self.model.embed.weight.new_zeros(()), None

    def views(self, flat: np.ndarray | torch.Tensor) -> list:
        """[long prompts, long answers, short prompts, short answers] in one flat array."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes]).tolist()
        spans = zip([0, *ends[:-1]], ends, self.shapes, strict=True)
        return [flat[begin:end].reshape(shape) for begin, end, shape in spans]

    def load(self, step: int) -> None:
        """Draw the demonstrations of `pretrain`'s step, pad them, and set its rate."""
        drawn = self.run.mixture.draw(self.config.batch, numpy_rng(self.run.seed, "data", step))
        tables = self.views(self.host)
        for part, prompts, answers in zip(drawn, tables[::2], tables[1::2], strict=True):
            n = len(part.prompts)
            if n > len(prompts):
                raise InputError(f"step {step} draws {n} demonstrations of a kind, where {len(prompts)} have room")
            prompts[:n], answers[:n] = part.prompts, part.answers
            prompts[n:], answers[n:] = 0, PAD  # any token, without a loss
        self.tokens.copy_(torch.from_numpy(self.host))
        self.rate.fill_(learning_rate(self.config, step))

    def take(self) -> None:
        """`next_token_loss` and `take_step` without a word from the device to the processor."""
        self.optimizer.zero_grad()
        total, n_tokens, tables = 0, 0, self.views(self.tokens)
        for prompts, answers in zip(tables[::2], tables[1::2], strict=True):
            inputs = torch.cat((prompts, answers[:, :-1].clamp(min=0)), dim=1)
            logits = self.model(inputs, n_out=answers.shape[1])
            total = total + F.cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=PAD, reduction="sum")
            n_tokens = n_tokens + (answers != PAD).sum()
        loss = total / n_tokens
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.loss.copy_(loss.detach())

    def capture(self) -> None:
        """Record `take`; the warm-up that torch asks for moves the weights, so they and the moments are put back."""
        before = copy.deepcopy(self.model.state_dict())
        self.load(0)
        aside = torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.take()
        torch.cuda.current_stream(self.device).wait_stream(aside)
        self.optimizer.zero_grad()  # gradients are made anew inside the graph's own memory
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.take()
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(before[name])
            for moments in self.optimizer.state.values():
                for tensor in moments.values():
                    tensor.zero_()

    def train(self, tick: Callable) -> list[torch.Tensor]:
        """All steps of the configuration; their losses, still on the device."""
        losses = []
        for step in range(self.config.steps):
            self.load(step)
            self.take() if self.graph is None else self.graph.replay()
            losses.append(self.loss.clone())
            tick(step + 1)
        return losses


def static_step(start: Start, config: PretrainConfig, captured: bool) -> StaticStep:
    step = StaticStep(start, config)
    if captured:
        step.capture()
    return step


def train_static(start: Start, config: PretrainConfig, clock: Clock, captured: bool) -> float:
    losses = static_step(start, config, captured).train(clock.tick)
    return torch.stack(losses).mean().item()


# --- the ensemble ---


def members(start: Start, n: int) -> list[Run]:
    return [change(start.run, seed=seed) for seed in range(n)]


def train_ensemble(runs: list[Run], config: PretrainConfig, clock: Clock) -> list[torch.Tensor]:
    """The losses of every step, one for each member."""
    models, losses = [run.model.build(run, clock.device, None) for run in runs], []

    def after(done: int, _, step_losses: torch.Tensor | None) -> None:
        clock.tick(done)
        losses.append(step_losses)

    with redirect_stderr(io.StringIO()):  # no progress bar
        pretrain_together(models, [run.mixture for run in runs], [run.seed for run in runs], config, after)
    return losses[1:]


# --- equality, before anything is timed ---


def plain(start: Start, config: PretrainConfig) -> tuple[Transformer, torch.Tensor]:
    """What `pretrain` leaves: model, losses."""
    model = copy.deepcopy(start.initial)
    log = pretrain(model, start.run.mixture, config, start.run.seed, lambda *seen: {"loss": seen[2]})
    return model, torch.stack([row["loss"] for row in log[1:]])


def require_close(what: str, gap: float, limit: float) -> None:
    if not gap <= limit:  # NaN stops here too
        raise InputError(f"{what} differ by {gap:.1e}, above {limit:.0e}, so nothing is timed")
    print(f"{what} differ by {gap:.1e} at most")


def require_equal_steps(start: Start, captured: bool, n_members: int) -> None:
    """The static step, and the graph if it can be captured, against `pretrain`; then the ensemble."""
    # rates that float32 holds exactly, for the fused optimiser reads a tensor of that kind
    config = PretrainConfig(EQUAL_STEPS, start.run.pretraining.batch, lr=2**-9, warmup=3, cooldown=0.0)
    double, style = Start(start.run, copy.deepcopy(start.initial).double()), start.run.model.style
    expected, losses = plain(double, config)
    single = plain(start, config)[1]
    for name, is_graph in ((STATIC, False), (GRAPH, True)):
        if is_graph and not captured:
            continue
        step, what = static_step(double, config, is_graph), f"{name}, {style}, {EQUAL_STEPS} steps:"
        found = torch.stack(step.train(lambda done: None))
        require_close(f"{what} losses in float64", (found - losses).abs().max().item(), 1e-8)
        pairs = zip(step.model.parameters(), expected.parameters(), strict=True)
        require_close(f"{what} weights in float64", max((a - b).abs().max().item() for a, b in pairs), 1e-8)
        found = torch.stack(static_step(start, config, is_graph).train(lambda done: None))
        require_close(f"{what} losses in float32", (found - single).abs().max().item(), 1e-4)
    runs, device = members(start, n_members), str(start.initial.embed.weight.device)
    found = torch.stack(train_ensemble(runs, config, Clock(0, config.steps, device)), dim=1)  # (members, steps)
    alone = torch.stack([plain(Start(run, run.model.build(run, device, None)), config)[1] for run in runs])
    require_close(f"{ENSEMBLE}, {style}: losses in float32", (found - alone).abs().max().item(), 1e-4)


# --- what is measured ---


def pretraining_contestants(start: Start, s: Sizes, device: str) -> dict[str, Contestant]:
    found = {
        OURS: contestant(train_ntprl, start, s.steps, device),
        STATIC: contestant(partial(train_static, captured=False), start, s.steps, device),
    }
    if device != "cpu":
        found[GRAPH] = contestant(partial(train_static, captured=True), start, s.steps, device)
    runs, config = members(start, s.members), start.config(WARM_UP + s.steps)

    def together(repetition: int, now: common.Counted) -> tuple[float, int, np.ndarray]:
        clock = Clock(WARM_UP, config.steps, device, now)
        train_ensemble(runs, config, clock)
        return clock.seconds, len(runs) * s.steps * s.batch, clock.counted

    return found | {f"{ENSEMBLE} of {s.members}": together}


def rounds(model: Transformer, task: Task, s: Sizes, device: str) -> Contestant:
    config = PosttrainConfig(rounds=1 + s.timed, rollouts=s.prompts * s.group, group=s.group, lr=STILL)

    def run(seed: int, now: common.Counted) -> tuple[float, int, np.ndarray]:
        clock = Clock(1, config.rounds, device, now)  # the first round warms up
        posttrain(copy.deepcopy(model), task, config, seed, coin, clock.tick)
        return clock.seconds, s.timed * config.rollouts, clock.counted

    return run


def sampler(model: Transformer, task: Task, prompts: int, group: int, device: str) -> Contestant:
    def work(seed: int) -> np.ndarray:
        asked = task.prompts(prompts, numpy_rng(seed, "rollouts"))
        generator = torch_rng(seed, "sampling", device=device)
        return sample(model, asked, task.eos, task.long_length + 1, 1.0, generator, group)

    return common.once(work, lambda answers: int((answers != PAD).sum()), device)


def measure(s: Sizes, repetitions: int, device: str) -> pd.DataFrame:
    """A row for each style, contest, contestant and repetition."""
    rows, uncounted = [], partial(common.measure, repetitions=repetitions, counted=False)
    for style in STYLES:
        sizes = dict(d=s.d, p_cot=0.25, batch=s.batch, rounds=s.rl_rounds, rollouts=s.prompts * s.group, group=s.group)
        both = recovery("laptop", **RECIPES[style] | sizes | dict(n_points=1, eval_every=max(1, s.rl_rounds)))
        both = change(both, steps=s.taught) if s.taught else both
        start = Start(both.start, both.start.model.build(both.start, device, None))
        require_equal_steps(start, device != "cpu", min(3, s.members))
        contestants = pretraining_contestants(start, s, device)
        rows += uncounted("pretraining", style, contestants, unit="demonstration")
        common.say(f"{style}: {both.start.pretraining.steps} steps and {s.rl_rounds} rounds, then its rounds are timed")
        model = both.recover(device).after
        rows += uncounted("grpo", style, {"ntprl.posttrain": rounds(model, both.task, s, device)}, unit="rollout")
        for prompts, group in ((s.prompts, s.group), (s.prompts * s.group, 1)):
            one = {"ntprl.sample": sampler(model, both.task, prompts, group, device)}
            rows += uncounted("sampling", f"{style}, {prompts} x {group}", one, unit="token")
    return pd.DataFrame(rows).drop(columns=["mflop", "mbyte"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N; cpu to rehearse, with --smoke")
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each contestant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for torch")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    require_device(o.device)
    require(o.device != "cpu" or o.smoke, "device", o.device, "a GPU, or cpu with --smoke")
    common.require_options(o.threads, o.out, repetitions=o.repetitions)
    torch.set_num_threads(o.threads)
    transformers.logging.set_verbosity_error()
    if o.device != "cpu":
        torch.cuda.set_device(o.device)  # a graph is captured on the current one
    sizes = SMOKE if o.smoke else Sizes()
    runs = measure(sizes, o.repetitions, o.device)
    common.print_rates(runs)
    if o.out is not None:
        common.write_files(o.out, runs, common.facts_of(started, o.device) | {"sizes": asdict(sizes)})


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
