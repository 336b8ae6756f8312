"""Record tables, several in one call, each through its chapter. What is stopped goes on in the next call.

    python tools/record.py --device cuda --minutes 30       every table that is wanted and asks for a GPU
    python tools/record.py words words_base                 these two, on the CPU
    python tools/record.py --smoke                          all wanted tables, tiny: does the path work?

Where papermill is not installed the runs are made without Jupyter, by the same function. A table is promoted to data/
as soon as its last run is there; of tiny runs a table is made too, elsewhere.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ntprl.book import store
from ntprl.book.run import require_device
from ntprl.errors import InputError, require_number
from ntprl.records import recording
from ntprl.studies.catalogue import TABLES

ROOT = Path(__file__).resolve().parent.parent
TIME_UP = "the time was up; the same command goes on"


def wanted(device, smoke):
    """Names of the tables that are not recorded yet: of all with `smoke`, else those meant for this kind of device."""
    return [
        name
        for name, table in TABLES.items()
        if not store.is_recorded(table) and (smoke or table.needs_gpu == (device != "cpu"))
    ]


def command(name, device, profile, folder):
    """What makes the runs of one table."""
    chapter = recording(name).chapter
    if find_spec("papermill") and find_spec("ipykernel"):
        made = [sys.executable, "-m", "papermill", f"chapters/{chapter}.ipynb", f"{folder}/out.ipynb"]
        made += ["--log-output", "--no-progress-bar"]
        for pair in (("record", name), ("device", device), ("profile", profile)):
            made += ["-p", *pair]
        return made
    call = f"record_table({name!r}, {profile!r}, {device!r})"
    return [sys.executable, "-c", f"from ntprl.records import record_table; {call}"]


def dies_with_its_parent():
    """Called in a child before it starts: Linux kills it when this script ends, even by a kill -9."""
    with suppress(OSError, AttributeError):  # other systems have no such call
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def end(number, frame):
    """A signal that asks to end, as a scheduler sends at its time limit, ends this script as an interrupt does."""
    raise SystemExit(128 + number)


def stop(process):
    """End it and all that it has started; kernels and workers would go on alone."""
    try:
        import psutil

        family = psutil.Process(process.pid).children(recursive=True)
    except ImportError:  # then Jupyter is not there either, and all are in its group
        family = []
    with suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def make(name, device, profile, limit_s):
    """Record one table; says what became of it."""
    table = recording(name, profile)
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command(name, device, profile, folder), cwd=ROOT, start_new_session=True, preexec_fn=dies_with_its_parent
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            stop(process)
            return TIME_UP
        except BaseException:  # the user's interrupt, or a signal
            stop(process)
            raise
        if code != 0:
            return f"failed with exit code {code}, see above"
        if profile == "smoke":
            return f"wrote {store.promote(table, data=Path(folder)).name}, and removed it: its runs were tiny"
        return f"wrote {store.promote(table)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("names", nargs="*", help="tables; none: all that are wanted")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--minutes", type=float, help="stop after that, ready to go on")
    parser.add_argument("--smoke", action="store_true", help="tiny runs, nothing in data/ changes")
    o = parser.parse_args()
    require_device(o.device)
    if o.minutes is not None:
        require_number("minutes", o.minutes, low=0)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    names = o.names or wanted(o.device, o.smoke)
    for name in names:
        recording(name)  # refuse an unknown one before anything runs
    start, outcomes, left = time.monotonic(), {}, None
    for name in names:
        print(f"\n== {name}", flush=True)
        if o.minutes is not None:
            left = start + 60 * o.minutes - time.monotonic()
        is_late = left is not None and left <= 0
        outcomes[name] = TIME_UP if is_late else make(name, o.device, "smoke" if o.smoke else "laptop", left)
    print()
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
    return int(not all(outcome.startswith("wrote") for outcome in outcomes.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on")
