"""Several tables in one call: rehearsed, stopped, continued."""

import importlib.util
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ntprl.book import store
from ntprl.book.recording import SMALL
from ntprl.book.run import config_hash, flat
from ntprl.records import recording
from ntprl.studies.catalogue import TABLES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("record", ROOT / "tools" / "record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ends_with(monkeypatch):
    """Runs the script with some arguments: its exit code, or the text that it ends with."""

    def run(*arguments: str) -> int | str:
        monkeypatch.setattr(sys, "argv", ["record.py", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "tools" / "record.py"), run_name="__main__")
        return end.value.code

    return run


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_rehearsal(name):
    """The same kinds of runs, none larger than allowed."""
    rehearsal, real = recording(name, "smoke"), recording(name)
    assert real is TABLES[name]
    for what in (type, lambda config: config.kind):
        assert {what(config) for config in rehearsal.configs} == {what(config) for config in real.configs}
    sizes = [(field, value) for config in rehearsal.configs for field, value in flat(config).items() if field in SMALL]
    is_dry = all(flat(config).get("dry_run", False) for config in rehearsal.configs)
    assert is_dry or (sizes and all(value <= SMALL[field] for field, value in sizes))


@pytest.mark.slow
@pytest.mark.parametrize("jupyter", [True, False])
def test_runs_are_made_and_a_table_of_them(tool, monkeypatch, tmp_path, jupyter):
    monkeypatch.setattr(tool, "find_spec", lambda name: jupyter)
    made = []
    promote = store.promote
    monkeypatch.setattr(store, "promote", lambda *a, **k: made.append(promote(*a, data=tmp_path)) or made[0])
    hashes = [config_hash(config) for config in recording("learning_order", "smoke").configs]
    for name in hashes:
        (store.runs_folder() / f"{name}.json").unlink(missing_ok=True)
    assert tool.make("learning_order", "cpu", "smoke", None).startswith("wrote")
    table = pd.read_csv(made[0], dtype={"run": str})
    assert sorted(table["run"].unique()) == sorted(hashes)
    assert "papermill" in " ".join(tool.command("learning_order", "cpu", "smoke", tmp_path)) or not jupyter


def test_what_a_stopped_table_has_started_is_stopped_too(tool, tmp_path):
    """A kernel has a session of its own; killing its parent alone would leave it computing."""
    flag = tmp_path / "pid"
    grandchild = f"import os, time; open({str(flag)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    while not (flag.is_file() and flag.read_text()):
        time.sleep(0.05)
    started = psutil.Process(int(flag.read_text()))
    tool.stop(process)
    assert process.returncode != 0
    started.wait(10)


RECORDING = """
import runpy, sys
sys.argv = ["record.py", "--smoke", "threshold"]
tool = runpy.run_path({tool!r})
waits = [sys.executable, "-c", "import os, time; open({flag!r}, 'w').write(str(os.getpid())); time.sleep(600)"]
tool["make"].__globals__["command"] = lambda *_: waits
{main}
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_the_script_and_what_it_started_in_one_line(tmp_path, number):
    """A scheduler sends SIGTERM at its time limit, a closed terminal SIGHUP, Ctrl-C SIGINT."""
    source = (ROOT / "tools" / "record.py").read_text()
    main = source[source.index('if __name__ == "__main__"') :].split("\n", 1)[1]
    flag, script = tmp_path / "pid", tmp_path / "script.py"
    inner = "globals().update(tool)\n" + "\n".join(line[4:] for line in main.splitlines())
    script.write_text(RECORDING.format(tool=str(ROOT / "tools" / "record.py"), flag=str(flag), main=inner))
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, text=True, env=environment)
    while not (flag.is_file() and flag.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    started = psutil.Process(int(flag.read_text()))
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode != 0 and len(error.splitlines()) == (1 if number == signal.SIGINT else 0)
    started.wait(10)
    left = {path.name for path in tmp_path.iterdir()} - {"pid", "script.py"}
    assert not left or number == signal.SIGKILL


def test_no_time_left(ends_with, capsys):
    assert ends_with("--smoke", "--minutes", "0", "rl_paper", "threshold_paper") == 1
    assert capsys.readouterr().out.count("the time was up; the same command goes on") == 2


@pytest.mark.parametrize("arguments", [["nothing"], ["--device", "tpu"], ["--minutes", "-1"], ["--minutes", "soon"]])
def test_bad_options_end_in_one_line(ends_with, arguments):
    text = ends_with(*arguments)  # which the interpreter prints, with exit code 1
    assert arguments[-1] in text and len(text.strip().splitlines()) == 1
