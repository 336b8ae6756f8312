"""Does the time grow with d as the counted operations do?

One model (GPT-2 style, 2 layers, width 64, 4 heads, float32) for each d = 25, 50, 100, 200, 400, random weights, and
the same number of sequences at every d:

    pretraining  demonstrations a second in steps of `ntprl.pretrain`, p_cot = .25
    grpo         rollouts a second in rounds of GRPO (sampling and one update), a coin for the reward, EOS forbidden,
                 so that each answer has d + 1 tokens, hardly two are alike and nearly all carry a signal
    sampling     answers a second by `ntprl.sample`, of d + 1 tokens each

1. A repetition that does not count, in which operations and bytes are counted (`limits.py`), then --repetitions of
   them, the order of the sizes rotating.
2. Growth of time: seconds per sequence at the largest d over that at the smallest, within a repetition. Growth of the
   count: the same of counted operations. Their quotient is 1 if both grow alike, and above 1 if time grows faster.
3. Slopes: least squares of log(seconds) and of log(operations) on log(d), all sizes.
"""

import argparse
import sys
import warnings
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import common
import numpy as np
import pandas as pd
import torch
import transformers
from posttraining import STILL, coin, one_round
from pretraining import Start, contestant, train_ntprl
from summary import growths

from ntprl.book.run import change
from ntprl.errors import InputError
from ntprl.posttrain import PosttrainConfig
from ntprl.sampling import sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.threshold.runs import PRETRAINING
from ntprl.tasks.parity import Parity
from ntprl.transformer import Transformer


@dataclass(frozen=True)
class Sizes:
    d: tuple[int, ...] = (25, 50, 100, 200, 400)
    batch: int = 64  # demonstrations in a step
    steps: int = 2  # timed steps in one measurement
    prompts: int = 16  # in a round
    group: int = 8  # answers to each


SMOKE = Sizes((3, 6), 8, 1, 2, 2)


def starts(s: Sizes) -> dict[str, Start]:
    """A model with random weights for each d, and the run it belongs to."""
    shape = dict(p_cot=0.25, n_layer=2, width=64, n_head=4, batch=s.batch, seed=0)
    runs = [change(PRETRAINING, d=d, **shape) for d in s.d]
    return {f"d = {run.task.d}": Start(run, run.model.build(run, "cpu", None)) for run in runs}


def sampling(model: Transformer, task: Parity, s: Sizes) -> common.Contestant:
    def work(seed: int) -> np.ndarray:
        asked, n = task.prompts(s.prompts, numpy_rng(seed, "rollouts")), task.d + 1
        return sample(model, asked, task.eos, n, 1.0, torch_rng(seed, "sampling"), s.group, min_length=n)

    return common.once(work, len)


def measure(s: Sizes, repetitions: int) -> pd.DataFrame:
    models = starts(s)
    a_round = PosttrainConfig(rollouts=s.prompts * s.group, group=s.group, lr=STILL)
    rows = common.measure(
        "pretraining",
        f"{s.batch} in a step",
        {name: contestant(train_ntprl, start, s.steps, "cpu") for name, start in models.items()},
        repetitions,
        "demonstration",
    )
    rollouts = f"{s.prompts} x {s.group}"
    rounds, samplers = {}, {}
    for name, start in models.items():
        task = start.run.task
        rounds[name] = one_round(start.initial, task, a_round, coin, min_length=task.d + 1)
        samplers[name] = sampling(start.initial, task, s)
    rows += common.measure("grpo", rollouts, rounds, repetitions, "rollout")
    rows += common.measure("sampling", rollouts, samplers, repetitions, "answer")
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--repetitions", type=int, default=5, help="measurements at each d")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for torch")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    common.require_options(o.threads, o.out, repetitions=o.repetitions)
    torch.set_num_threads(o.threads)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")  # experimental and deprecated parts of the libraries
    sizes = SMOKE if o.smoke else Sizes()
    runs = measure(sizes, o.repetitions)
    common.print_rates(runs)
    print(f"\n{growths(runs).round(2).to_string(index=False)}")
    if o.out is not None:
        common.write_files(o.out, runs, common.facts_of(started) | {"sizes": asdict(sizes)})


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
