"""Many runs: skip what is done, write each result atomically, on any executor.

An executor is anything with `submit(function, *arguments)` whose answer has `result()`:
concurrent.futures pools, Dask's `client.get_executor()`, submitit's. Functions and configurations
pickle, so that workers may sit on other machines that share the folder.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import torch

from ntprl.errors import InputError
from ntprl.experiments import TrainingRun
from ntprl.recording import Recording, Run
from ntprl.records import config_hash, provenance, runs_folder, write_atomically


def run_one(config: Run, folder: Path, device: str = "cpu") -> str:
    """Run one configuration, write folder/<hash>.json, return the hash. A killed run resumes from its checkpoint."""
    name = config_hash(config)
    started, clock = datetime.now(UTC), time.perf_counter()
    checkpoint = Path(folder) / f"{name}.safetensors"
    resumed = checkpoint.exists()
    table = config.run(device, checkpoint)
    facts = provenance(device, started, time.perf_counter() - clock) | {"resumed": resumed}
    result = {"config": repr(config), "provenance": facts, "rows": table.to_dict("records")}
    write_atomically(Path(folder) / f"{name}.json", json.dumps(result))
    checkpoint.unlink(missing_ok=True)
    return name


def prepare(start: TrainingRun, folder: Path, device: str = "cpu") -> None:
    """Train a start that several runs share, so that none of them does it again."""
    start.trained(folder, device)


def one_thread() -> None:
    """For workers that share a machine: one PyTorch thread each, so that they do not fight over cores."""
    torch.set_num_threads(1)


def local_executor(workers: int | None = None) -> ProcessPoolExecutor:
    """One single-threaded process for each CPU core."""
    return ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn"), initializer=one_thread)


def sweep(
    configs: Sequence[Run],
    folder: Path,
    executor: Executor | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = print,
) -> list[Path]:
    """Run every configuration that has no result in `folder` yet; returns the paths of all results, in order.

    Without an executor the runs go one after the other in this process. `report` gets a line for each
    finished run. If a run fails the others still finish; then one InputError names those that failed.
    """
    folder = Path(folder)
    paths = {config_hash(config): folder / f"{config_hash(config)}.json" for config in configs}
    todo = {config_hash(config): config for config in configs if not paths[config_hash(config)].is_file()}
    report(f"{folder.name}: {len(paths) - len(todo)} of {len(paths)} runs are done, {len(todo)} to go")
    failed, done, clock = [], 0, time.perf_counter()
    starts = {config_hash(config.start): config.start for config in todo.values() if config.start is not None}
    if executor is None:
        outcomes = ((name, lambda config=config: run_one(config, folder, device)) for name, config in todo.items())
    else:
        for start in [executor.submit(prepare, start, folder, device) for start in starts.values()]:
            with suppress(Exception):  # the runs that need it will meet the same error and report it
                start.result()
        outcomes = [(name, executor.submit(run_one, config, folder, device).result) for name, config in todo.items()]
    for name, outcome in outcomes:
        try:
            outcome()
            done += 1
            report(f"{folder.name}: {done} of {len(todo)} after {time.perf_counter() - clock:.0f} s: {todo[name]}")
        except Exception as error:  # one bad run must not lose the others
            message = " ".join(str(error).split())
            failed.append(f"{name} ({type(error).__name__}: {message})")
            report(f"{folder.name}: FAILED {todo[name]}: {message}")
    if failed:
        raise InputError(
            f"{len(failed)} of {len(paths)} runs failed, run the same command again to retry: {'; '.join(failed)}"
        )
    return list(paths.values())


def record(
    recordings: Sequence[Recording],
    device: str = "cpu",
    workers: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Make all runs of some recordings in runs/; `python -m ntprl.records promote NAME` makes a table of them."""
    configs = [config for recording in recordings for config in recording.configs]
    if device == "cpu":
        with local_executor(workers) as executor:
            sweep(configs, runs_folder(), executor, device, report)
    else:
        sweep(configs, runs_folder(), None, device, report)
