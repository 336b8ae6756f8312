"""Many runs: skip what is done, write each result atomically, on any executor.

An executor is anything with `submit(function, *arguments)` whose answer has `result()`:
concurrent.futures pools, Dask's `client.get_executor()`, submitit's. Functions and configurations
pickle, so that workers may sit on other machines that share the folder.
"""

import os
import textwrap
import threading
import time
import traceback
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from ntprl.book.ensemble import ensembles, train_together
from ntprl.book.recording import Recordable, Recording
from ntprl.book.run import Run, config_hash, described
from ntprl.book.store import provenance, runs_folder, write_result
from ntprl.errors import InputError, writing

ERROR_WIDTH = 400  # characters of an error that a sweep repeats; submitit's hold whole logs
FILE_DELAY_S = 60  # after that a network file system shows what another machine has written (NFS's acdirmax)


def run_one(config: Recordable, folder: Path, device: str = "cpu") -> str:
    """Run one configuration, write folder/<hash>.json, return the hash. A killed run resumes from its checkpoint.

    A result that is there stays as it is: a job may have waited in a queue while another one did its work.
    """
    name = config_hash(config)
    path = Path(folder) / f"{name}.json"
    if path.is_file():
        return name
    started, clock = datetime.now(UTC), time.perf_counter()
    resumed = path.with_suffix(".safetensors").exists()
    table = config.run(device, folder)
    facts = provenance(device, started, time.perf_counter() - clock) | {"resumed": resumed}
    write_result(path, config, facts, table)
    return name


def run_together(configs: Sequence[Run], folder: Path, device: str = "cpu") -> None:
    """Run an ensemble and write the result of each member, all at its end: a killed one starts again."""
    paths = {config: Path(folder) / f"{config_hash(config)}.json" for config in configs}
    todo = [config for config in configs if not paths[config].is_file()]
    started, clock = datetime.now(UTC), time.perf_counter()
    tables = train_together(todo, device)
    share_s = (time.perf_counter() - clock) / max(1, len(todo))  # of one member
    facts = provenance(device, started, share_s) | {"resumed": False, "together": len(todo)}
    for config, table in zip(todo, tables, strict=True):
        write_result(paths[config], config, facts, table)


def prepare(start: Run, folder: Path, device: str = "cpu") -> None:
    """Train a start that several runs share, so that none of them does it again."""
    start.trained(folder, device)


def end_with(parent: int) -> None:
    """End this process when its parent has ended, whichever way: a worker would wait for work for ever.

    Called once in each worker. A look each second, since Linux's own signal for it follows the thread that started
    the worker, and other systems have none.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def local_executor(workers: int | None = None) -> ProcessPoolExecutor:
    """One process for each CPU core; they end with this one."""
    context = get_context("spawn")
    return ProcessPoolExecutor(workers or os.cpu_count(), context, initializer=end_with, initargs=(os.getpid(),))


def in_a_line(error: Exception) -> str:
    """Its type and message, cut if it is long."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", ERROR_WIDTH, placeholder=" ...").rstrip(": ")


def attempt(function: Callable, *arguments) -> str | None:
    """Call a function; None if it ends well, else its error in a line."""
    try:
        function(*arguments)
    except Exception as error:  # one bad run must not lose the others
        if not isinstance(error, InputError):
            traceback.print_exc()  # for the log of the worker
        return in_a_line(error)


class OnWorker:
    """A function as an executor gets it: on one thread, with its error brought back as a line of text.

    One thread, since workers share machines and the last bits of a run depend on the number of threads. Text, since
    not every error pickles and submitit brings back a traceback only.
    """

    def __init__(self, function: Callable):
        self.function, self.__name__ = function, function.__name__
        self.token = uuid.uuid4().hex  # Dask would answer an equal call from memory, with an old error too

    def __call__(self, *arguments) -> str | None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return attempt(self.function, *arguments)
        finally:
            torch.set_num_threads(threads)  # the worker may be this very process

    def __submitit_checkpoint__(self, *arguments):
        """What submitit queues again at a job's time limit: the same call, which goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)

    checkpoint = __submitit_checkpoint__  # its name in submitit up to 1.5


def submit(executor: Executor, function: Callable, *arguments) -> Future:
    """Its future. An executor that refuses (a pool that broke, a full queue) fails this run, not the whole sweep."""
    try:
        return executor.submit(OnWorker(function), *arguments)
    except Exception as error:
        refused = Future()
        refused.set_exception(error)
        return refused


def wait_for(paths: Iterable[Path]) -> None:
    """Until the files are seen; not for ever, as a worker may have written them where this machine cannot look."""
    missing, deadline = list(paths), time.monotonic() + FILE_DELAY_S
    while (missing := [path for path in missing if not path.is_file()]) and time.monotonic() < deadline:
        time.sleep(0.5)


def sweep(
    configs: Sequence[Recordable],
    folder: Path,
    executor: Executor | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = print,
    together: int = 1,
) -> list[Path]:
    """Run every configuration that has no result in `folder` yet; returns the paths of all results, in order.

    Without an executor the runs go one after the other in this process. `report` gets a line for each
    finished run. If a run fails the others still finish; then one InputError names those that failed. So it does if
    a worker dies, which may take other runs along. A second call does what is left, from the last checkpoints.

    together  how many runs that differ in p_cot and seed alone are trained at once, at most (`book.ensemble`, for
              a GPU). They also fail at once, and have no checkpoints.
    """
    folder = Path(folder).absolute()  # workers may start elsewhere
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = {config_hash(config): folder / f"{config_hash(config)}.json" for config in configs}
    todo = {config_hash(config): config for config in configs if not paths[config_hash(config)].is_file()}
    report(f"{folder.name}: {len(paths) - len(todo)} of {len(paths)} runs are done, {len(todo)} to go")
    units = ensembles(list(todo.values()), together)
    jobs = [(run_one, *unit) if len(unit) == 1 else (run_together, unit) for unit in units]
    done, clock = 0, time.perf_counter()
    if executor is None:
        outcomes = [partial(attempt, *job, folder, device) for job in jobs]
    else:
        starts = {config_hash(config.start): config.start for config in todo.values() if config.start is not None}
        for start in [submit(executor, prepare, start, folder, device) for start in starts.values()]:
            with suppress(Exception):  # the runs that need it will meet the same error and report it
                start.result()
        outcomes = [submit(executor, *job, folder, device).result for job in jobs]
    errors: dict[str, str] = {}
    for unit, outcome in zip(units, outcomes, strict=True):
        try:
            error = outcome()
        except Exception as death:  # of the worker; what a run raises comes back as text
            error = in_a_line(death)
        seconds = time.perf_counter() - clock
        for config in unit:
            if error is None:
                done += 1
                report(f"{folder.name}: {done} of {len(todo)} after {seconds:.0f} s: {described(config)}")
            else:
                errors[config_hash(config)] = error
                report(f"{folder.name}: FAILED {described(config)}: {error}")
    wait_for(paths[name] for name in todo if name not in errors)
    failed = defaultdict(list)
    for name in todo:
        if not paths[name].is_file():
            failed[errors.get(name, f"ended well but left no result in {folder}: do workers share it?")].append(name)
    if failed:
        raise InputError(
            f"{sum(map(len, failed.values()))} of {len(paths)} runs failed, run the same command again to retry: "
            + "; ".join(f"{', '.join(names)} ({error})" for error, names in failed.items())
        )
    return list(paths.values())


def record(
    recordings: Sequence[Recording],
    device: str = "cpu",
    workers: int | None = None,
    report: Callable[[str], None] = print,
    together: int = 1,
) -> None:
    """Make all runs of some recordings in runs/; `python -m ntprl.records promote NAME` makes a table of them.

    `workers` processes, by default one for each CPU core, and on a GPU as many as the recordings say share it.
    """
    configs = [config for recording in recordings for config in recording.configs]
    if device != "cpu":
        workers = workers or min((recording.at_once for recording in recordings), default=1)
    if workers == 1 and device != "cpu":
        sweep(configs, runs_folder(), None, device, report, together)
    else:
        with local_executor(workers) as executor:
            sweep(configs, runs_folder(), executor, device, report, together)
