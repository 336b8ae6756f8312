"""Sweeps: every run once, whatever is interrupted or fails, on any executor."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace

import psutil
import pytest
import torch

from ntprl import pretrain
from ntprl.book.recording import Recording, grid
from ntprl.book.run import Run, change, checkpoint_of, config_hash, described
from ntprl.book.store import collect
from ntprl.book.sweep import local_executor, record, run_one, sweep
from ntprl.studies.recovery.runs import RECOVERY
from ntprl.studies.threshold.runs import PRETRAINING

SIZES = dict(d=3, n_layer=1, width=8, n_head=2, steps=4, batch=8, warmup=1, n_eval=16, n_points=2)
BASE = change(PRETRAINING, **SIZES)
CONFIGS = grid(BASE, p_cot=(0.1, 0.9), seed=range(2))
NAMES = [config_hash(config) for config in CONFIGS]


def silent(line: str) -> None:
    pass


class Inline:
    """An executor that does the work at once and counts it."""

    def __init__(self):
        self.submitted = []

    def submit(self, function, *arguments):
        self.submitted.append(arguments)
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def table(folder):
    return collect(Recording("tiny", "Does it work?", "00_tiny", CONFIGS, "nothing"), folder)[0]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(CONFIGS, folder, report=silent)
    return table(folder)


def fail_on(monkeypatch, *bad: str, error: BaseException) -> None:
    """Make the runs of these names raise, leaving the others as they are."""

    def run(self, device="cpu", folder=None):
        if config_hash(self) in bad:
            raise error
        return self.train(device, checkpoint_of(self, folder))[1]

    monkeypatch.setattr(Run, "run", run)


def test_results_are_whole_files_in_order_and_nothing_else(tmp_path, undisturbed):
    paths = sweep(CONFIGS, tmp_path, report=silent)
    assert [path.stem for path in paths] == NAMES
    assert sorted(tmp_path.iterdir()) == sorted(paths)  # no checkpoint, no temporary file is left
    assert table(tmp_path).equals(undisturbed)


def test_a_result_says_what_was_run(tmp_path):
    name = run_one(CONFIGS[0], tmp_path)
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert result["config"] == described(CONFIGS[0])
    assert result["provenance"]["resumed"] is False
    assert result["provenance"]["threads"] == torch.get_num_threads()
    assert [row["step"] for row in result["rows"]] == [0, 2, 4]


def test_any_executor_gives_the_same_table(tmp_path, undisturbed):
    executor = Inline()
    sweep(CONFIGS, tmp_path, executor, report=silent)
    assert [config for config, _, _ in executor.submitted] == list(CONFIGS)
    assert table(tmp_path).equals(undisturbed)


@pytest.mark.slow
def test_worker_processes_give_the_same_table(tmp_path, undisturbed):
    with local_executor(2) as executor:
        paths = sweep(CONFIGS, tmp_path, executor, report=silent)
    assert table(tmp_path).equals(undisturbed)
    assert {json.loads(path.read_text())["provenance"]["threads"] for path in paths} == {1}


def test_finished_runs_are_skipped(tmp_path):
    paths = sweep(CONFIGS[1:3], tmp_path, report=silent)
    before = [path.read_bytes() for path in paths]
    executor, lines = Inline(), []
    sweep(CONFIGS, tmp_path, executor, report=lines.append)
    assert [config for config, _, _ in executor.submitted] == [CONFIGS[0], CONFIGS[3]]
    assert "2 of 4 runs are done, 2 to go" in lines[0]
    assert [path.read_bytes() for path in paths] == before
    again = Inline()
    assert len(sweep(CONFIGS, tmp_path, again, report=silent)) == 4
    assert again.submitted == []


@pytest.mark.parametrize("executor", [None, Inline()], ids=["in turn", "executor"])
def test_a_failing_run_is_named_and_loses_no_other(tmp_path, refused, monkeypatch, executor, undisturbed):
    lines = []
    with monkeypatch.context() as patch:
        fail_on(patch, NAMES[1], error=MemoryError("too large"))
        with refused("1 of 4 runs failed", NAMES[1], "MemoryError: too large"):
            sweep(CONFIGS, tmp_path, executor, report=lines.append)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(set(NAMES) - {NAMES[1]})
    assert sum("FAILED" in line and described(CONFIGS[1]) in line for line in lines) == 1
    sweep(CONFIGS, tmp_path, executor, report=silent)
    assert table(tmp_path).equals(undisturbed)


def test_a_sweep_that_is_killed_half_way_resumes(tmp_path, monkeypatch, undisturbed):
    with monkeypatch.context() as patch:
        fail_on(patch, NAMES[2], error=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            sweep(CONFIGS, tmp_path, report=silent)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(NAMES[:2])
    sweep(CONFIGS, tmp_path, report=silent)
    assert table(tmp_path).equals(undisturbed)


def test_a_run_that_is_killed_half_way_resumes_from_its_checkpoint(tmp_path, monkeypatch):
    """Killed after the training and before the result: nothing is trained again, the rows are the same."""
    whole = json.loads((tmp_path / "whole" / f"{run_one(CONFIGS[3], tmp_path / 'whole')}.json").read_text())

    def killed(path, text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ntprl.book.store.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            run_one(CONFIGS[3], tmp_path)
    assert (tmp_path / f"{NAMES[3]}.safetensors").is_file()
    with monkeypatch.context() as patch:
        patch.setattr("ntprl.pretrain.next_token_loss", None)  # a step would fail
        run_one(CONFIGS[3], tmp_path)
    resumed = json.loads((tmp_path / f"{NAMES[3]}.json").read_text())
    assert resumed["rows"] == whole["rows"]
    assert resumed["provenance"]["resumed"] is True
    assert not (tmp_path / f"{NAMES[3]}.safetensors").exists()


def test_the_same_configuration_twice_is_one_run(tmp_path):
    executor = Inline()
    sweep((CONFIGS[0], replace(CONFIGS[0])), tmp_path, executor, report=silent)
    assert len(executor.submitted) == 1


@pytest.mark.parametrize(
    ("device", "at_once", "wanted"),
    [("cpu", (1, 1), "a pool of None"), ("cuda", (8, 4), "a pool of 4"), ("cuda", (8, 1), None)],
)
def test_record_runs_whole_recordings_on_what_it_is_told(tmp_path, monkeypatch, device, at_once, wanted):
    """Processes for the cores of a CPU; on a GPU as many as the most demanding recording allows, none but this one
    where that is one. Here with the work taken out."""
    calls = []
    monkeypatch.setattr("ntprl.book.sweep.runs_folder", lambda: tmp_path)
    monkeypatch.setattr("ntprl.book.sweep.sweep", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr("ntprl.book.sweep.local_executor", lambda workers: nullcontext(f"a pool of {workers}"))
    two = [Recording("a", "?", "00_tiny", CONFIGS[i::2], "", at_once=n) for i, n in enumerate(at_once)]
    record(two, device, report=silent, together=3)
    assert calls == [([*CONFIGS[::2], *CONFIGS[1::2]], tmp_path, wanted, device, silent, 3)]


BOTH_PHASES = change(RECOVERY, **SIZES, rounds=2, rollouts=8, group=2, n_eval_rl=8)
RECOVERIES = grid(BOTH_PHASES, algorithm=("star", "grpo"), seed=range(2))
STARTS = [config_hash(config.start) for config in RECOVERIES[:2]]


@pytest.fixture
def trained_steps(monkeypatch):
    """Grows by one with every step of pre-training."""
    steps, loss = [], pretrain.next_token_loss
    monkeypatch.setattr(pretrain, "next_token_loss", lambda *arguments: steps.append(1) or loss(*arguments))
    return steps


def rows_of(path) -> str:
    """Text that differs if a single bit does, but for the time it took."""
    rows = json.loads(path.read_text())["rows"]
    return json.dumps([{key: value for key, value in row.items() if key != "seconds"} for row in rows])


@pytest.mark.parametrize("executor", [None, Inline()], ids=["in turn", "executor"])
def test_a_start_that_runs_share_is_trained_once(tmp_path, trained_steps, executor):
    """Four runs of two seeds: two starts, each of four steps; results as of a run alone."""
    paths = sweep(RECOVERIES, tmp_path / "sweep", executor, report=silent)
    assert len(trained_steps) == 2 * 4
    assert [path.stem for path in paths] == [config_hash(config) for config in RECOVERIES]
    left = {path.name for path in (tmp_path / "sweep").iterdir()} - {path.name for path in paths}
    assert left == {f"start-{name}.safetensors" for name in STARTS}
    for path in paths:
        rows = json.loads(path.read_text())["rows"]
        assert [(row["phase"], row["step"]) for row in rows] == [("pretraining", s) for s in (0, 2, 4)] + [
            ("rl", r) for r in (0, 1, 2)
        ]
    name = run_one(RECOVERIES[3], tmp_path / "alone")
    assert rows_of(tmp_path / "alone" / f"{name}.json") == rows_of(paths[3])


def test_starts_are_submitted_first_and_each_once(tmp_path):
    executor = Inline()
    sweep(RECOVERIES, tmp_path, executor, report=silent)
    asked = [config for config, _, _ in executor.submitted]
    assert asked == [RECOVERIES[0].start, RECOVERIES[1].start, *RECOVERIES]
    again = Inline()
    sweep(RECOVERIES, tmp_path, again, report=silent)
    assert again.submitted == []


def test_only_the_starts_of_what_is_left_to_do_are_asked_for(tmp_path, trained_steps):
    sweep(RECOVERIES[:1], tmp_path, report=silent)
    executor = Inline()
    sweep(RECOVERIES[::2], tmp_path, executor, report=silent)  # one seed, one run of it is done
    assert [config for config, _, _ in executor.submitted] == [RECOVERIES[2].start, RECOVERIES[2]]
    assert len(trained_steps) == 4


def test_a_start_that_fails_costs_only_the_runs_that_need_it(tmp_path, refused, monkeypatch):
    train = Run.train

    def fail(self, *arguments):
        if self.seed == 1:
            raise MemoryError("too large")
        return train(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "train", fail)
        with refused("2 of 4 runs failed", "MemoryError: too large", *map(config_hash, RECOVERIES[1::2])):
            sweep(RECOVERIES, tmp_path, Inline(), report=silent)
    done = {path.stem for path in tmp_path.glob("*.json")}
    assert done == set(map(config_hash, RECOVERIES[::2]))
    assert len(sweep(RECOVERIES, tmp_path, Inline(), report=silent)) == 4


WAITING = """
import os, time
from ntprl.book.sweep import local_executor
if __name__ == "__main__":
    executor = local_executor(2)
    futures = [executor.submit(time.sleep, 600) for _ in range(2)]
    while len(executor._processes) < 2 or not all(future.running() for future in futures):
        time.sleep(0.05)
    time.sleep(3)
    print(*executor._processes, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_end_with_the_process_that_made_them(tmp_path):
    """Even if that is killed, so that it can tell nobody."""
    (tmp_path / "wait.py").write_text(WAITING)
    with subprocess.Popen([sys.executable, tmp_path / "wait.py"], stdout=subprocess.PIPE, text=True) as process:
        workers = [psutil.Process(int(word)) for word in process.stdout.readline().split()]
        assert len(workers) == 2 and all(worker.is_running() for worker in workers)
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(worker.is_running() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(worker.is_running() for worker in workers)
