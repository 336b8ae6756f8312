"""Sweeps on executors of several kinds, with real processes that are really killed; and the page about them.

The code blocks of chapters/pages/scaling.md are run as they stand, on recordings made small.
"""

import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from held import HELD, SHORT
from test_sweep import Inline, rows_of, silent

from ntprl import records
from ntprl.book import store
from ntprl.book.recording import grid
from ntprl.book.run import change, config_hash
from ntprl.book.sweep import local_executor, run_one, sweep
from ntprl.errors import InputError
from ntprl.studies.catalogue import TABLES

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "chapters" / "pages" / "scaling.md").read_text()
# For worker processes, which import this package and held.py, and for the commands of this environment.
PATHS = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
ENVIRONMENT = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": os.pathsep.join(PATHS),
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",  # one dead worker, and its run is given up
    "DASK_DISTRIBUTED__SCHEDULER__IDLE_TIMEOUT": "20 minutes",  # if nobody is left to stop it
}
PATIENCE = 300  # seconds for what takes five; a machine may be busy
SMOKE = SHORT.start
SHARING = grid(SHORT, algorithm=("grpo", "star"))  # one start for both


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


def block(language: str, word: str) -> str:
    [found] = [text for text in blocks(language) if word in text]
    return found


def on_cpu(script: str) -> str:
    assert script.count('device="cuda"') == 1
    return script.replace('device="cuda"', 'device="cpu"')


# How the page sweeps on one machine is papermill's chapter, which calls `record`.
ONE_MACHINE = """
from ntprl.book.sweep import record
from ntprl.records import recording

if __name__ == "__main__":
    record([recording("threshold")], workers=1)
"""
SCRIPTS = {
    "pool": ONE_MACHINE,
    "dask": block("python", "LocalCluster"),
    "submitit": on_cpu(block("python", "AutoExecutor")),
}
DEATH = {"pool": "BrokenProcessPool", "dask": "KilledWorker", "submitit": "UncompletedJobError"}


def kill_group(process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def started(stack: ExitStack, command: list[str], **options) -> subprocess.Popen:
    """A process that leads a group of its own; the whole group is killed at the end of the stack."""
    environment = os.environ | ENVIRONMENT
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL, **options)
    stack.callback(kill_group, process)
    return process


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def result(folder, config) -> Path:
    return folder / f"{config_hash(config)}.json"


def checkpoint(folder, config) -> Path:
    return result(folder, config).with_suffix(".safetensors")


def facts(path) -> dict:
    return json.loads(path.read_text())["provenance"]


def results(folder) -> dict:
    """When each was written, and what; a file cut short is no JSON."""
    return {path: (path.stat().st_mtime_ns, json.loads(path.read_text())) for path in folder.glob("*.json")}


def assert_as_alone(runs, configs: dict, alone) -> None:
    """All results and their starts and no other file; the rows are those of the runs in turn that `configs` names."""
    names = {f"{config_hash(config)}.json" for config in configs}
    names |= {f"start-{config_hash(config.start)}.safetensors" for config in configs if config.start}
    assert {path.name for path in runs.iterdir() if path.is_file()} == names
    for config, same in configs.items():
        assert rows_of(result(runs, config)) == alone[same]
        assert facts(result(runs, config))["threads"] == 1


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


@pytest.fixture
def start():
    """Starts a command as the first of a group of processes, which does not outlive the test."""
    with ExitStack() as stack:
        yield partial(started, stack)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Rows of each configuration, run in turn in this process."""
    folder = tmp_path_factory.mktemp("alone")
    configs = [HELD, *SHARING]
    return {config: rows_of(path) for config, path in zip(configs, sweep(configs, folder, report=silent), strict=True)}


# --- in this process ----------------------------------------------------------------------------


def test_a_result_that_is_there_is_left_alone(tmp_path):
    """A job of an earlier sweep may have made it while this one waited in a queue."""
    run_one(change(SMOKE, steps=0), tmp_path)
    before = results(tmp_path)
    assert run_one(change(SMOKE, steps=0), tmp_path) == config_hash(change(SMOKE, steps=0))
    assert results(tmp_path) == before


def test_workers_may_start_in_another_folder(tmp_path, monkeypatch):
    class Elsewhere(Inline):
        def submit(self, function, *arguments):
            with monkeypatch.context() as patch:
                patch.chdir("/")
                return super().submit(function, *arguments)

    monkeypatch.chdir(tmp_path)
    [path] = sweep([change(SMOKE, steps=0)], Path("runs"), Elsewhere(), report=silent)
    assert path.parent == tmp_path / "runs"
    assert path.is_file()


def test_workers_that_do_not_share_the_folder_are_noticed(tmp_path, refused, monkeypatch):
    class OtherDisk(Inline):
        def submit(self, function, config, folder, device):
            return super().submit(function, config, tmp_path / "other", device)

    monkeypatch.setattr("ntprl.book.sweep.FILE_DELAY_S", 0)
    with refused("1 of 1 runs failed", config_hash(SMOKE), "no result in", tmp_path / "runs", "share"):
        sweep([SMOKE], tmp_path / "runs", OtherDisk(), report=silent)
    assert result(tmp_path / "other", SMOKE).is_file()


def test_a_result_that_shows_up_late_is_waited_for(tmp_path):
    class SlowDisk(Inline):
        def submit(self, function, config, folder, device):
            future = super().submit(function, config, tmp_path / "other", device)
            mover = f"sleep 0.3; mv {shlex.quote(str(tmp_path / 'other'))}/*.json {shlex.quote(str(folder))}"
            self.mover = subprocess.Popen(["sh", "-c", mover])
            return future

    executor = SlowDisk()
    [path] = sweep([SMOKE], tmp_path / "runs", executor, report=silent)
    assert path.is_file()
    assert executor.mover.wait() == 0


def test_an_executor_that_refuses_ends_in_one_line(tmp_path, refused):
    class Full:
        def submit(self, *arguments):
            raise RuntimeError("the queue\nis full")

    lines = []
    with refused("2 of 2 runs failed", "RuntimeError: the queue is full", *map(config_hash, SHARING)):
        sweep(SHARING, tmp_path, Full(), report=lines.append)
    assert sum("FAILED" in line for line in lines) == 2


def test_submitit_brings_back_a_line_and_no_traceback(tmp_path, refused):
    checkpoint(tmp_path, SMOKE).write_text("damaged")
    submitit = pytest.importorskip("submitit")
    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="debug")  # which runs jobs in this process
    with refused("1 of 1 runs failed", f"{config_hash(SMOKE)} (InputError: checkpoint", "cannot be read"):
        sweep([SMOKE], tmp_path, executor, report=silent)


@pytest.mark.slow
def test_the_page_trains_runs_at_once(tmp_path, monkeypatch):
    configs = grid(SMOKE, p_cot=(0.1, 0.5), seed=range(2))
    monkeypatch.setattr("ntprl.book.sweep.runs_folder", lambda: tmp_path)
    monkeypatch.setitem(TABLES, "threshold", replace(TABLES["threshold"], configs=configs))
    exec(on_cpu(block("python", "together")), {})
    assert set(tmp_path.iterdir()) == {result(tmp_path, config) for config in configs}
    found = [facts(result(tmp_path, config)) for config in configs]
    assert {(one["together"], one["threads"]) for one in found} == {(4, 1)}


# --- real processes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Of a Dask cluster that is started as the page says, but gives a run up when one worker died of it."""
    distributed, folder = pytest.importorskip("distributed"), tmp_path_factory.mktemp("cluster")
    (folder / "runs").mkdir()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in block("sh", "dask scheduler").splitlines():
            started(stack, shlex.split(line))
        wait_until((folder / "runs" / "dask.json").is_file)
        names = {"Client": distributed.Client}
        exec(block("python", "scheduler_file"), names)
        patch.undo()
        stack.enter_context(names["client"]).wait_for_workers(2, timeout=PATIENCE)
        yield names["client"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCRIPTS)
def test_killed_half_way_a_sweep_goes_on_with_nothing_lost_or_doubled(
    kind, tmp_path, request, start, refused, alone, monkeypatch
):
    """Killed with all its workers when one of two runs is done; called again, a worker dies; at last it ends."""
    submitit = pytest.importorskip("submitit")  # held.py asks for it, whatever the kind
    runs, order, script = tmp_path / "runs", tmp_path / "order", tmp_path / "script.py"
    held = change(HELD, order=str(order))
    order.write_text("wait")
    script.write_text(SCRIPTS[kind])
    driver = start([sys.executable, "-c", f"import held; held.main({str(script)!r}, {str(tmp_path)!r})"])
    wait_until(lambda: result(runs, SHORT).is_file() and checkpoint(runs, held).is_file())
    workers = psutil.Process(driver.pid).children(recursive=True)
    assert workers
    kill_group(driver)
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
    killed = results(runs)
    assert killed.keys() == {result(runs, SHORT)}
    assert facts(result(runs, SHORT))["threads"] == 1
    assert list(runs.glob("*.tmp")) == []

    order.write_text("die")
    monkeypatch.setattr(submitit.LocalJob, "_results_timeout_s", 1, raising=False)  # it would wait 15 s for slow disks
    with ExitStack() as stack, refused("1 of 2 runs failed", config_hash(held), DEATH[kind]):
        if kind == "pool":
            executor = stack.enter_context(local_executor(1))
        elif kind == "dask":
            executor = request.getfixturevalue("client").get_executor()
        else:
            executor = submitit.LocalExecutor(runs / "jobs")
            executor.update_parameters(timeout_min=60)
        sweep([SHORT, held], runs, executor, report=silent)
    assert results(runs) == killed

    order.unlink()
    lines = []
    sweep([SHORT, held], runs, report=lines.append)
    assert "1 of 2 runs are done, 1 to go" in lines[0]
    assert results(runs)[result(runs, SHORT)] == killed[result(runs, SHORT)]
    assert facts(result(runs, held))["resumed"] is True
    assert_as_alone(runs, {SHORT: SHORT, held: HELD}, alone)
    if kind == "submitit":  # the start, two runs, and one again
        assert [len(list((runs / "jobs").glob(f"*_log.{suffix}"))) for suffix in ("out", "err")] == [4, 4]


@pytest.mark.slow
def test_two_dask_workers_give_the_rows_of_runs_in_turn(tmp_path, client, alone):
    """Two runs with one start."""
    sweep(SHARING, tmp_path, client.get_executor(), report=silent)
    assert_as_alone(tmp_path, dict(zip(SHARING, SHARING, strict=True)), alone)


@pytest.mark.slow
def test_a_run_that_failed_is_tried_again_by_the_same_client(tmp_path, client, refused):
    """Dask knows the call and its old answer; the second sweep must not get that."""
    checkpoint(tmp_path, SMOKE).write_text("damaged")
    executor = client.get_executor()
    with pytest.raises(InputError, match=r"1 of 1 runs failed.*InputError: checkpoint .* cannot be read") as kept:
        sweep([SMOKE], tmp_path, executor, report=silent)
    checkpoint(tmp_path, SMOKE).unlink()
    [path] = sweep([SMOKE], tmp_path, executor, report=silent)
    assert path.is_file()
    assert kept.value  # as in a notebook, the old error and with it the old answer are still in memory


# Slurm on this machine: a job starts at once, and once more if it ends in an error, as if it were queued again.
STAND_IN = {
    "sbatch": """
        cp "$1" "$0.job"
        export SLURM_JOB_ID=$$
        (bash "$1" || bash "$1"; touch "$0.over") >"$0.log" 2>&1 &
        echo "Submitted batch job $$"
    """,
    "srun": """
        while [[ $1 == --* ]]; do case $1 in --output|--error) shift ;; esac; shift; done
        echo $$ >"$0.pid"
        exec "$@"
    """,
    "scontrol": 'echo "$@" >>"$0.log"',
    "sacct": """
        echo "JobID|State|NodeList"
        [[ -e ${0%sacct}sbatch.over ]] && echo "${!#}|COMPLETED|here" || echo "${!#}|RUNNING|here"
    """,
}


@pytest.mark.slow
def test_the_slurm_script_with_a_stand_in_for_slurm(tmp_path, alone, monkeypatch):
    """The script of the page; its job gets the signal that comes before a time limit, is queued again and goes on.

    submitit takes the signal for that only near the limit: with a limit of five minutes, always.
    """
    pytest.importorskip("submitit")
    programs, runs, order, script = (tmp_path / name for name in ("bin", "runs", "order", "script.py"))
    programs.mkdir()
    for name, text in STAND_IN.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{textwrap.dedent(text)}\n")
        (programs / name).chmod(0o755)
    held = change(HELD, order=str(order))
    order.write_text("wait")
    assert SCRIPTS["submitit"].count("timeout_min=240,") == 1
    script.write_text(SCRIPTS["submitit"].replace("timeout_min=240,", "timeout_min=5,"))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(store, "runs_folder", lambda: runs)
    monkeypatch.setitem(TABLES, "threshold_paper", replace(TABLES["threshold_paper"], configs=(held,)))

    def interrupt():
        try:
            wait_until(checkpoint(runs, held).is_file)
            job = psutil.Process(int((programs / "srun.pid").read_text()))
            job.send_signal(signal.SIGUSR2)
            job.wait(PATIENCE)
        finally:
            order.unlink()  # or the job would wait for ever

    with ThreadPoolExecutor(1) as pool:
        interrupted = pool.submit(interrupt)
        runpy.run_path(str(script), run_name="__main__")
        interrupted.result()
    assert_as_alone(runs, {held: HELD}, alone)
    assert facts(result(runs, held))["resumed"] is True
    assert re.fullmatch(r"requeue \d+\n", (programs / "scontrol.log").read_text())
    asked = set(re.findall(r"(?m)^#SBATCH --(\S+)$", (programs / "sbatch.job").read_text()))
    assert asked >= {"job-name=threshold_paper", "partition=gpu", "time=5", "mem=16GB", "cpus-per-task=2"}
    assert "gpus-per-node=1" in asked

    monkeypatch.setattr(store, "data_folder", lambda: tmp_path / "data")
    [promote] = blocks("sh")[-1].splitlines()
    assert promote.startswith("python -m ntprl.records ")
    assert records.main(shlex.split(promote)[3:]) == 0
    assert (tmp_path / "data" / "threshold_paper.csv").is_file()


def test_what_the_page_says_in_passing(tmp_path):
    """Numbers and options that no script above has run."""
    for name in re.findall(r"`(\w+)` of \d+", PAGE):
        assert f"`{name}` of {len(TABLES[name].configs)}" in PAGE
    executor = pytest.importorskip("submitit").AutoExecutor(tmp_path, cluster="local", slurm_max_num_timeout=10)
    executor.update_parameters(**dict.fromkeys(re.findall(r"`(slurm_\w+)`", PAGE), "mine"))
