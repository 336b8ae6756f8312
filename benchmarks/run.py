"""All benchmarks in one go: each script a process of its own, then one table of all comparisons.

python benchmarks/run.py

A script works in an empty folder; its table and provenance take the place of the old ones only when it has ended well.
One that fails, or is not done when the time is up, is named, and the exit code is 1; the others run all the same.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from summary import COMPARISONS, HERE, NOT_RUN, read_files, summarise
from tables import write_files

from ntprl.book.store import code_version, provenance
from ntprl.errors import InputError, require, require_integer, require_number

DONE, ABSENT = "done", "there is no such script"


@dataclass(frozen=True)
class Script:
    name: str  # of the script, and of its table
    options: str = ""  # those of the committed table
    takes_threads: bool = True  # else it is told by NUMBA_NUM_THREADS


SCRIPTS = (
    Script("pretraining", "--profile --steps 20 --repetitions 5"),
    Script("linear_chain", "--samples 100000 --repetitions 5", takes_threads=False),
    Script("growth", "--repetitions 5"),
    Script("ensemble", "--repetitions 5"),
    Script("posttraining", "--profile --rounds 5 --trained"),
)
SMOKE = {
    "pretraining": "--steps 1 --repetitions 1",
    "growth": "--repetitions 1",
    "ensemble": "--repetitions 1",
    "posttraining": "--rounds 1 --folder models",  # of tiny models, gone with the folder the script works in
}


def run_script(script: Script, folder: Path, threads: int, smoke: bool, limit_s: float) -> str:
    """Run it and put its two files into `folder`; DONE, or what went wrong."""
    options = f"--smoke {SMOKE.get(script.name, '')}" if smoke else script.options
    options += f" --threads {threads}" if script.takes_threads else ""
    out = Path("benchmarks") / f"{script.name}.csv"  # so that the recorded command is the one to type
    command = [sys.executable, str(HERE / f"{script.name}.py"), *options.split(), "--out", str(out)]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".running-") as empty:
        try:
            done = subprocess.run(
                command, cwd=empty, timeout=limit_s, env=os.environ | {"NUMBA_NUM_THREADS": str(threads)}
            )
        except subprocess.TimeoutExpired:
            return f"was stopped after {limit_s:.0f} s: the time was up"
        if done.returncode != 0:
            return f"ended with exit code {done.returncode}"
        written = [Path(empty) / out, (Path(empty) / out).with_suffix(".json")]
        missing = [path.name for path in written if not path.is_file()]
        if missing:
            return f"wrote no {' and no '.join(missing)}"
        for path in written:
            os.replace(path, folder / path.name)
    return DONE


def run_all(scripts: list[Script], folder: Path, threads: int, smoke: bool, limit_s: float) -> dict[str, dict]:
    """What became of each script and its wall seconds, in order."""
    start, notes = time.monotonic(), {}
    for script in scripts:
        begin = time.monotonic()
        left = limit_s - (begin - start)
        if not (HERE / f"{script.name}.py").is_file():
            outcome = ABSENT
        elif left <= 0:
            outcome = "was not started: the time was up"
        else:
            print(f"\n== {script.name}", flush=True)
            outcome = run_script(script, folder, threads, smoke, left)
        notes[script.name] = {"outcome": outcome, "wall_s": round(time.monotonic() - begin, 1)}
    return notes


def tables_used(folder: Path) -> dict[str, dict]:
    """Where the tables behind the summary come from."""
    keys = ("command", "started_utc", "wall_s", "commit", "dirty", "device", "threads", "cores", "ceilings", "sha256")
    used = {}
    for name in sorted({c.table for c in COMPARISONS}):
        found = read_files(folder / f"{name}.csv")
        used[name] = NOT_RUN if found is None else {key: found[1][key] for key in keys if key in found[1]}
    return used


def main() -> int:
    names, cores = [script.name for script in SCRIPTS], os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--only", choices=names, nargs="*", default=names, help="these alone; none: the summary alone")
    parser.add_argument("--threads", type=int, default=min(2, cores), help="threads for each script")
    parser.add_argument("--minutes", type=float, default=30, help="for all of them together")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, into another folder: do they run?")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the tables go")
    o, started = parser.parse_args(), datetime.now(UTC)
    require_integer("threads", o.threads, low=1)
    require(o.threads <= cores, "threads", o.threads, f"from 1 to {cores} here")
    require_number("minutes", o.minutes, low=0)
    require(not o.smoke or o.folder.resolve() != HERE, "folder", str(o.folder), "another than benchmarks/ with --smoke")
    code_version()  # now: somebody may edit the checkout while this runs
    o.folder.mkdir(parents=True, exist_ok=True)
    notes = run_all([s for s in SCRIPTS if s.name in o.only], o.folder, o.threads, o.smoke, 60 * o.minutes)
    table = summarise(o.folder)
    facts = {"command": " ".join(["python", "benchmarks/run.py", *sys.argv[1:]])}
    facts |= provenance("cpu", started, (datetime.now(UTC) - started).total_seconds()) | {"threads": o.threads}
    write_files(o.folder / "summary.csv", table, facts | {"scripts": notes, "tables": tables_used(o.folder)})
    print(f"\n{table.round(2).to_string(index=False)}\n")
    for name, note in notes.items():
        print(f"{name}: {note['outcome']}, {note['wall_s']:.0f} s")
    return int(any(note["outcome"] not in (DONE, ABSENT) for note in notes.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(str(error))
