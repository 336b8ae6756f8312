"""How fast is the compiled SGD of the linear chain beside scikit-learn's SGDClassifier and a plain torch loop?

One step is one sample at one position. All contestants take the same averaged steps 1/(lambda t), at lambda = .01, on
D(p_cot), in float64:

    ntprl, one run       `linear_chain.sgd.train` on one thread; drawing the samples is in its time
    ntprl, all cores     `linear_chain.training.train_chains`, one run for each thread
    SGDClassifier        one fit for each position, all positions one after the other; building their features is in its
                         time, as in that of the others, drawing is NOT
    its fits alone       the same, without the building of features
    torch loop           one sample after the other, all positions of it at once, gradients written by hand, one thread;
                         drawing is NOT in its time

1. Equality. The weights of ntprl, SGDClassifier and the torch loop must agree to 1e-8 of the largest, else the script
   stops with one line.
2. Time. One process, a round that does not count, then `--repetitions` rounds, their order rotating. Ratios are taken
   within a round, since a machine's speed drifts.
3. Growth. ntprl, one run, for d = 10..200, as a share of what one core reaches in a large float64 matrix product
   measured next to it. Counted: the multiply-adds of scores, of w and of the mean; nothing else. Bytes: a compiled
   loop is one operator, so that w and the mean are read and written once a run; samples are drawn where they are used.
"""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import common
import numba
import numpy as np
import pandas as pd
import torch

from ntprl.errors import InputError, require_integer, require_number
from ntprl.linear_chain.sgd import MIXTURE, draw_demonstration, train
from ntprl.linear_chain.training import train_chains

try:
    import sklearn
    from sklearn.linear_model import SGDClassifier
except ImportError as error:
    sys.exit(f"{error}: this benchmark needs pip install scikit-learn")

LAM, KEY = 0.01, np.uint64(0)
OURS = "ntprl, one run"


def run_ntprl(d: int, p: float, n: int) -> tuple:
    return train(KEY, MIXTURE, n, p, np.zeros(d), np.zeros(2 * d + 2), np.zeros((d - 1, 3 * d - 1)), LAM, LAM)


def draw(d: int, p: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples that `run_ntprl` sees: x, y, is long."""
    state, x, y = np.array([KEY], dtype=np.uint64), np.zeros((n, d)), np.zeros((n, d))
    return x, y, np.array([draw_demonstration(state, p, x[i], y[i]) for i in range(n)])


def count(d: int, n: int, n_long: int) -> int:
    """Steps: every sample at position 1 and at the stop decision, the long ones at d - 1 links."""
    return 2 * n + (d - 1) * n_long


def multiply_adds(d: int, n: int, n_long: int) -> float:
    """Three for each weight in use: score, sum, weighted sum."""
    return 3.0 * (n * (d + 2 * d + 2) + n_long * sum(2 * d + k for k in range(1, d)))


def per_step(d: int, n: int, n_long: int) -> dict[str, float]:
    """Counted operations and bytes of one step, in millions: two tables of weights in use, 8 bytes a number."""
    weights = d + 2 * d + 2 + sum(2 * d + k for k in range(1, d))
    counted = {"mflop": 2 * multiply_adds(d, n, n_long), "mbyte": 2 * 2 * 8 * weights}
    return {name: value / count(d, n, n_long) / 1e6 for name, value in counted.items()}


def features(x: np.ndarray, y: np.ndarray, is_long: np.ndarray, l: int) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
    """(features, labels) of position 1 (l = 0), of the stop decision (l = 1), of link l."""
    if l == 0:
        return x, y[:, 0]
    if l == 1:
        y_1 = y[:, :1]
        return np.hstack((x, y_1 * x, y_1, np.ones_like(y_1))), np.where(is_long, -1.0, 1.0)
    x, y = x[is_long], y[is_long]
    return np.hstack((x, y[:, l - 2 : l - 1] * x, y[:, : l - 1])), y[:, l - 1]


def run_sklearn(x: np.ndarray, y: np.ndarray, is_long: np.ndarray) -> tuple[list[np.ndarray], float]:
    weights, seconds = [], 0.0
    for l in range(x.shape[1] + 1):  # noqa: E741
        problem = features(x, y, is_long, l)
        sgd = SGDClassifier(
            loss="log_loss", alpha=LAM, learning_rate="invscaling", eta0=1 / LAM, power_t=1.0, average=True,
            shuffle=False, max_iter=1, tol=None, fit_intercept=False,
        )  # fmt: skip
        start = time.perf_counter()
        sgd.fit(*problem)
        seconds += time.perf_counter() - start
        weights.append(sgd.coef_[0])
    return weights, seconds


@torch.inference_mode()
def run_torch(x: np.ndarray, y: np.ndarray, is_long: np.ndarray) -> tuple[list[np.ndarray], float]:
    d, n_long = x.shape[1], 0
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    past = torch.ones(d - 1, d - 1, dtype=x.dtype).tril()
    sizes = ((1, d), (1, 2 * d + 2), (d - 1, 3 * d - 1))
    w, mean = ([torch.zeros(size, dtype=x.dtype) for size in sizes] for _ in range(2))
    one = torch.ones(1, dtype=x.dtype)

    def step(i: int, phi: torch.Tensor, label: torch.Tensor, t: int) -> None:
        slope = label * torch.sigmoid(-label * (w[i] * phi).sum(1))  # minus the derivative by the score
        w[i].mul_(1 - 1 / t).add_(slope[:, None] * phi, alpha=1 / (LAM * t))
        mean[i].lerp_(w[i], 1 / t)

    start = time.perf_counter()
    for t, (bits, links, long) in enumerate(zip(x, y, is_long.tolist(), strict=True), start=1):
        y_1 = links[:1]
        step(0, bits[None], y_1, t)
        step(1, torch.cat((bits, y_1 * bits, y_1, one))[None], -one if long else one, t)
        if long:
            n_long += 1
            before = links[:-1, None]
            step(2, torch.cat((bits.expand(d - 1, d), before * bits, links[:-1] * past), dim=1), links[1:], n_long)
    seconds = time.perf_counter() - start
    rows = [mean[2][k, : 2 * d + k + 1].numpy() for k in range(d - 1)]
    return [mean[0][0].numpy(), mean[1][0].numpy(), *rows], seconds


def require_equal_weights(d: int, p: float, n: int) -> None:
    first, stop, links, _, _ = run_ntprl(d, p, n)
    ours, data = [first, stop, *(links[k, : 2 * d + k + 1] for k in range(d - 1))], draw(d, p, n)
    for name, (weights, _) in (("SGDClassifier", run_sklearn(*data)), ("torch loop", run_torch(*data))):
        gap = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, weights, strict=True))
        print(f"{name}: weights after {n} samples differ from ntprl's by {gap:.1e} of the largest")
        if not gap <= 1e-8:
            raise InputError(f"{name} does something else: its weights differ by {gap:.1e}, so nothing is timed")


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(d: int, p: float, n: int, repetitions: int) -> pd.DataFrame:
    threads = numba.config.NUMBA_NUM_THREADS
    n_long = run_ntprl(d, p, n)[4]
    data, fast = draw(d, p, n // 2), count(d, n, n_long)
    few = [part[: n // 20] for part in data]  # fewer for the slow ones; rates are compared, not times
    half, slow = count(d, n // 2, int(data[2].sum())), count(d, n // 20, int(few[2].sum()))

    def all_cores() -> None:
        train_chains(d, p, n, LAM, LAM, seeds=range(threads))

    contestants = {
        OURS: lambda: fast / timed(lambda: run_ntprl(d, p, n)),
        "ntprl, all cores": lambda: threads * fast / timed(all_cores),
        "SGDClassifier": lambda: half / timed(lambda: run_sklearn(*data)),
        "its fits alone": lambda: half / run_sklearn(*data)[1],
        "torch loop": lambda: slow / run_torch(*few)[1],
    }
    rows, counted = [], per_step(d, n, n_long).values()  # the same for all, by what they compute
    for repetition, order, name in common.rotate(list(contestants), repetitions):
        rows.append(("contest", repetition, order, name, d, contestants[name](), np.nan, *counted))
    return pd.DataFrame(rows[len(contestants) :], columns=COLUMNS)


COLUMNS = ["part", "repetition", "order", "contestant", "d", "steps_per_s", "of_matrix_product", "mflop", "mbyte"]


def measure_growth(sizes: list[int], p: float, n: int, repetitions: int) -> pd.DataFrame:
    rows, matrix = [], torch.randn(1024, 1024, dtype=torch.float64)
    for repetition in range(repetitions + 1):
        for order, d in enumerate(sizes):
            n_d = max(int(n * 2500 / d**2), 400)  # about as long for each d
            start = time.perf_counter()
            *_, n_long = run_ntprl(d, p, n_d)
            seconds = time.perf_counter() - start
            limit = 1024**3 / timed(lambda: matrix @ matrix)  # multiply-adds a second
            share = multiply_adds(d, n_d, n_long) / seconds / limit
            rate, counted = count(d, n_d, n_long) / seconds, per_step(d, n_d, n_long).values()
            rows.append(("growth", repetition, order, OURS, d, rate, share, *counted))
    return pd.DataFrame(rows[len(sizes) :], columns=COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--d", type=int, default=50, help="bits")
    parser.add_argument("--p-cot", type=float, default=0.25, help="share of long demonstrations")
    parser.add_argument("--samples", type=int, default=100_000, help="samples of one ntprl run")
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each contestant")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--out", type=Path, help="FILE.csv for all measurements, provenance to FILE.json")
    o, started = parser.parse_args(), datetime.now(UTC)
    if o.smoke:
        o.d, o.samples, o.repetitions = 5, 1000, 1
    require_integer("d", o.d, low=2)
    require_number("p-cot", o.p_cot, low=0.01, high=1)
    require_integer("samples", o.samples, low=1000)
    common.require_options(1, o.out, repetitions=o.repetitions)
    torch.set_num_threads(1)
    require_equal_weights(o.d, o.p_cot, 500)
    runs = measure(o.d, o.p_cot, o.samples, o.repetitions)
    names, threads = list(runs["contestant"].unique()), numba.config.NUMBA_NUM_THREADS
    rate, ratio = common.rates_and_ratios(runs, "steps_per_s", OURS, names)
    _, of_all = common.rates_and_ratios(runs, "steps_per_s", "ntprl, all cores", names)
    table = rate.agg(common.STATISTICS).T.round().astype(int)
    for mark, values in (("x ", ratio), ("X ", of_all)):
        table = table.join(values.agg(common.STATISTICS).T.round(1).add_prefix(mark))
    sizes = [5, 10] if o.smoke else [10, 25, 50, 100, 200]
    growth = measure_growth(sizes, o.p_cot, o.samples, o.repetitions)
    versions = {"numba": numba.__version__, "scikit-learn": sklearn.__version__}
    facts = common.facts_of(started, dtype=torch.float64, **versions) | {"numba threads": threads}
    print(f"\n{facts['device']}, {threads} threads, d = {o.d}, p_cot = {o.p_cot}; SGD steps/s,")
    print("x: one run of ntprl as a multiple of each, pair by pair; X: ntprl on all cores")
    print(table.rename_axis(None).to_string())
    print("\none run of ntprl as d grows; share of a float64 matrix product's multiply-adds on one core")
    medians = growth.groupby("d")[["steps_per_s", "of_matrix_product"]].median()
    print(medians.round({"steps_per_s": 0, "of_matrix_product": 3}).to_string())
    if o.out is not None:
        common.write_files(o.out, pd.concat((runs, growth)), facts)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
