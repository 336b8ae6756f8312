"""How many steps a second does a sweep of 32 small models take if all are trained at once?

Eight p_cot from .05 to .6 by four seeds (GPT-2 style, 2 layers, width 32, 4 heads, float32, d = 16, 32 demonstrations
in a step). All contestants train the same models from the same weights on the same demonstrations, same AdamW, same
rates, same clipping:

    together                  `pretrain_together` on all models
    together, 8 at a time     the same on neighbours in p_cot, one ensemble after the other
    one after the other       `pretrain`
    processes                 `pretrain` in --threads processes of one thread each, as `sweep` does
    processes, 8 at a time    ensembles in these processes

1. Equality. Each trains EQUAL_STEPS steps; the last loss of every model must agree to 1e-4, else the script stops
   with one line.
2. Time. A repetition that does not count, then --repetitions of them, their order rotating. Making the models and
   drawing their data are in the time; starting the processes is not. Ratios are taken within a repetition.
3. Operations and bytes are counted as `limits.py` says; what other processes compute is not seen. The operations of
   an ensemble beyond those of one after the other are padding: members differ in the number of long demonstrations.

Only training is timed: a sweep measures its models one after the other whatever trains them. On a GPU the processes
share it.
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import common
import numpy as np
import pandas as pd
import torch
from common import Contestant

from ntprl.book.ensemble import ensembles, pretrain_together
from ntprl.book.recording import grid
from ntprl.book.run import Run, change, require_device
from ntprl.errors import InputError
from ntprl.pretrain import pretrain
from ntprl.studies.threshold.runs import PRETRAINING

EQUAL_STEPS = 3
PROCESSES = "processes"
Training = Callable[[int], np.ndarray]  # any number -> loss of each model at the last step, in the order of the runs


@dataclass(frozen=True)
class Sizes:
    d: int = 16
    width: int = 32
    batch: int = 32  # demonstrations of one model in a step
    steps: int = 10  # of each model in one measurement
    p_cot: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)  # ascending, as `ensembles` sorts
    seeds: int = 4  # for each p_cot
    few: int = 8  # models in a small ensemble

    def runs(self, steps: int) -> tuple[Run, ...]:
        base = change(PRETRAINING, d=self.d, width=self.width, batch=self.batch, steps=steps)
        return grid(base, p_cot=self.p_cot, seed=range(self.seeds))


SMOKE = Sizes(d=3, width=8, batch=8, steps=1, p_cot=(0.2, 0.6), seeds=2, few=2)


def train_together(runs: Sequence[Run], device: str) -> np.ndarray:
    models, losses = [run.model.build(run, device, None) for run in runs], []
    mixtures, seeds = [run.mixture for run in runs], [run.seed for run in runs]
    with redirect_stderr(io.StringIO()):  # no progress bar
        pretrain_together(models, mixtures, seeds, runs[0].pretraining, lambda *seen: losses.append(seen[2]))
    return losses[-1].cpu().numpy()  # read at the end, so that a GPU is idle then


def train_alone(run: Run, device: str) -> float:
    model = run.model.build(run, device, None)
    with redirect_stderr(io.StringIO()):
        log = pretrain(model, run.mixture, run.pretraining, run.seed, lambda *seen: {"loss": seen[2]})
    return log[-1]["loss"].item()


def trainings(s: Sizes, steps: int, device: str, pool: Executor) -> dict[str, Training]:
    """name -> a function that trains all models."""
    runs = s.runs(steps)
    lists = ensembles(runs, s.few)
    at_once, alone = partial(train_together, device=device), partial(train_alone, device=device)
    return {
        "together": lambda _: at_once(runs),
        f"together, {s.few} at a time": lambda _: np.concatenate([at_once(few) for few in lists]),
        "one after the other": lambda _: np.array([alone(run) for run in runs]),
        PROCESSES: lambda _: np.array(list(pool.map(alone, runs))),
        f"{PROCESSES}, {s.few} at a time": lambda _: np.concatenate(list(pool.map(at_once, lists))),
    }


def require_equal_losses(found: dict[str, Training]) -> None:
    losses = pd.DataFrame({name: train(0) for name, train in found.items()})
    gap = (losses.max(axis=1) - losses.min(axis=1)).max()
    line = f"last losses of {len(losses)} models after {EQUAL_STEPS} steps differ by {gap:.1e} at most"
    if not (gap <= 1e-4 and losses.notna().all(axis=None)):
        raise InputError(f"{line}, {losses.isna().sum().sum()} are NaN, so nothing is timed")
    print(f"{line}: {'; '.join(found)}")


def uncounted(contestant: Contestant) -> Contestant:
    """The same, for work in other processes, where nothing is counted."""
    return lambda repetition, _: contestant(repetition, lambda: np.full(2, np.nan))


def measure(s: Sizes, repetitions: int, device: str, pool: Executor) -> pd.DataFrame:
    require_equal_losses(trainings(s, EQUAL_STEPS, device, pool))
    contestants = {}
    for name, train in trainings(s, s.steps, device, pool).items():
        one = common.once(train, lambda losses: len(losses) * s.steps)
        contestants[name] = uncounted(one) if name.startswith(PROCESSES) else one
    state = f"{len(s.runs(0))} models of width {s.width}"
    return pd.DataFrame(common.measure("sweep", state, contestants, repetitions, "model step"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each contestant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads, or processes of one")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    common.require_options(o.threads, o.out, repetitions=o.repetitions)
    require_device(o.device)
    torch.set_num_threads(o.threads)
    sizes = SMOKE if o.smoke else Sizes()
    with ProcessPoolExecutor(o.threads, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        runs = measure(sizes, o.repetitions, o.device, pool)
    common.print_rates(runs)
    if o.out is not None:
        common.write_files(o.out, runs, common.facts_of(started, o.device) | {"sizes": asdict(sizes)})


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
