"""A campaign of faults: bad parameters, kills at random moments, altered files. Prints what was not caught.

    python tools/campaign.py                          a small one, in a minute or two
    python tools/campaign.py --cases 300 --kills 20   a long one
    python tools/campaign.py --parts files tables     some parts alone

Whatever is wrong must end in an InputError, of one line. Three things are counted that must not be: errors of another
kind (a traceback for the reader), bad values and altered files that are accepted without a word, and results that a
kill has lost, doubled or changed. Who alters a file and the checksum in it on purpose is not found, and not tried here.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from queue import Empty

import torch

from ntprl import checkpoint
from ntprl.book import store
from ntprl.book.recording import Recording, grid
from ntprl.book.run import Run, change, checkpoint_of, config_hash
from ntprl.book.sweep import sweep
from ntprl.errors import InputError, require_integer, shown
from ntprl.pretrain import make_optimizer
from ntprl.studies.catalogue import TABLES
from ntprl.tasks.parity import Parity

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 20  # for the cells that read a chapter's parameters; then a value counts as accepted

SMALL = change(Run(Parity(3)), n_layer=1, width=8, n_head=2, steps=700, batch=8, warmup=1, n_eval=16, n_points=7)
CONFIGS = grid(SMALL, p_cot=(0.1, 0.9), seed=range(2))
RECORDING = Recording("tiny", "Does it hold?", "00_tiny", CONFIGS, "nothing")


class Tally:
    """What became of each case of a part, and the first cases that went wrong."""

    def __init__(self, part: str):
        self.part, self.counts, self.faults = part, Counter(), []

    def add(self, outcome: str, case: str) -> None:
        """outcome  refused, accepted (as it may), recovered; or a fault: silent, traceback, lost"""
        self.counts[outcome] += 1
        if outcome in ("silent", "traceback", "lost"):
            self.faults.append(f"{outcome}: {self.part}: {' '.join(case.split())[:300]}")

    def judge(self, case: str, call, harmless=lambda result: False) -> None:
        """Call something that must be refused in one line, or may be accepted if its result is `harmless`."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                result = call()
        except InputError as error:
            self.add("refused" if len(str(error).splitlines()) == 1 else "traceback", f"{case}: {error}")
        except Exception as error:  # any other is what this looks for
            self.add("traceback", f"{case}: {type(error).__name__}: {error}")
        else:
            self.add("accepted" if harmless(result) else "silent", case)


# --- parameters, as papermill passes them to a kernel ---

ALWAYS_BAD = ["\0", "a\nb", "x" * 5000, float("nan"), float("inf"), -1, -0.5, 10**30, 2**63, [1], {"a": 1}, None]


def bad_values(kind: str, rng: random.Random) -> object:
    """One that no parameter of this type may have: of another type, not finite, or below 0."""
    of = {
        "int": [*ALWAYS_BAD, 1.5, "five", True, 10**400, -(10**9), rng.uniform(-9, 0)],
        "float": [*(v for v in ALWAYS_BAD if v not in (10**30, 2**63)), "many", True, 10**400, rng.uniform(-9, -1)],
        "str": [*(v for v in ALWAYS_BAD), "../..", "-rf", "$(touch x)", "ppo", True, 1.5],
        "bool": [*ALWAYS_BAD, 2, "yes", 0.5],
    }
    return rng.choice(of[kind])


def cells(chapter: Path) -> tuple[str, list[str], str]:
    """(parameters cell, what follows it, the bootstrap cell left out)."""
    notebook = json.loads(chapter.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    first = next(i for i, cell in enumerate(code) if "parameters" in cell["metadata"].get("tags", []))
    sources = ["".join(cell["source"]) for cell in code[first:]]
    return sources[0], sources[1:]


class Kernel:
    """A real kernel, started again after a case that did not end."""

    def __init__(self) -> None:
        self.manager = self.client = None

    def start(self) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(ROOT / "chapters"))

    def stop(self) -> None:
        if self.client is not None:
            self.client.stop_channels()
            self.manager.shutdown_kernel(now=True)
            self.client = None

    def run(self, sources: list[str], seconds: float) -> tuple[str, str]:
        """(ok | late | name of the error, its text) of cells one after the other in an empty namespace."""
        if self.client is None:
            self.start()
        deadline = time.monotonic() + seconds
        for source in ["%reset -f in out", "%reset -f", *sources]:
            message = self.client.execute(source)
            try:
                while True:
                    reply = self.client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
                    if reply["parent_header"].get("msg_id") == message:
                        break
            except Empty:
                self.stop()
                return "late", source
            if reply["content"]["status"] == "error":
                return reply["content"]["ename"], reply["content"]["evalue"]
        return "ok", ""


def parameters(n: int, rng: random.Random) -> Tally:
    """n bad values, each of one parameter of one chapter; n // 10 of a name that there is not."""
    from papermill.translators import PythonTranslator

    tally, kernel, types = Tally("parameters"), Kernel(), ("int", "float", "str", "bool")
    chapters = sorted((ROOT / "chapters").glob("*.ipynb"))
    try:
        for chapter in sorted(rng.choices(chapters, k=n)):
            first, rest = cells(chapter)
            known = [line.split(":", 1)[0] for line in first.splitlines() if ": " in line.split("=")[0]]
            name = rng.choice(known)
            kind = (
                next(line for line in first.splitlines() if line.startswith(f"{name}: ")).split(": ")[1].split(" ")[0]
            )
            name, value = ("unknown", rng.choice(ALWAYS_BAD)) if rng.random() < 0.1 else (name, bad_values(kind, rng))
            assert kind in types
            values = {"profile": "smoke"} | {name: value}
            case = f"{chapter.stem} {name} = {shown(value)}"
            status, text = kernel.run([first, PythonTranslator.codify(values), *rest], SECONDS)
            if status == "InputError":
                tally.add("refused" if len(text.splitlines()) == 1 else "traceback", f"{case}: {text}")
            elif status in ("ok", "late", "SystemExit"):
                tally.add("silent", f"{case} ({status})")
            else:
                tally.add("traceback", f"{case}: {status}: {text}")
    finally:
        kernel.stop()
    return tally


# --- files ---


def finished(folder: Path) -> Path:
    """The runs of RECORDING, and the checkpoint of one of them as it was before its end."""
    folder.mkdir()
    sweep(CONFIGS, folder, report=lambda line: None)
    CONFIGS[0].train("cpu", checkpoint_of(CONFIGS[0], folder))
    return folder


def altered(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """(what was done, content) after an accident: a bit, a byte, a piece lost, doubled or swapped."""
    at, size = rng.randrange(len(content)), rng.randint(1, 40)
    kind = rng.choice(["bit", "cut", "lost", "doubled", "empty", "garbage", "crlf"])
    flipped = bytes([content[at] ^ (1 << rng.randrange(8))])
    changed = {
        "bit": content[:at] + flipped + content[at + 1 :],
        "cut": content[:at],
        "lost": content[:at] + content[at + size :],
        "doubled": content[: at + size] + content[at:],
        "empty": b"",
        "garbage": rng.randbytes(size),
        "crlf": content.replace(b"\n", b"\r\n"),
    }[kind]
    return f"{kind} at {at}", changed


def files(n: int, rng: random.Random) -> Tally:
    """n accidents to run files before promotion, and n to a checkpoint."""
    tally = Tally("files")
    with tempfile.TemporaryDirectory() as name:
        folder = finished(Path(name) / "runs")
        path = checkpoint_of(CONFIGS[0], folder)
        expected = store.collect(RECORDING, folder)[0]
        for _ in range(n):
            spoil(
                tally,
                folder / f"{config_hash(rng.choice(CONFIGS))}.json",
                rng,
                lambda: store.collect(RECORDING, folder)[0],
                expected.equals,  # a last digit of 0.6666666666666666 that stands twice is the same number
            )
            spoil(tally, path, rng, lambda: restored(path))
        for first, second in ((CONFIGS[0], CONFIGS[1]), (CONFIGS[2], CONFIGS[0])):
            source, target = (folder / f"{config_hash(config)}.json" for config in (first, second))
            kept = target.read_bytes()
            shutil.copy(source, target)
            tally.judge(f"{source.name} copied over {target.name}", lambda: store.collect(RECORDING, folder))
            target.write_bytes(kept)
    return tally


def restored(path: Path) -> dict:
    """A checkpoint in a new model and optimiser, whose facts are what it should have; checks that a refusal changes
    nothing."""
    model = CONFIGS[0].model.build(CONFIGS[0], "cpu", None)
    before = [parameter.clone() for parameter in model.parameters()]
    try:
        return checkpoint.restore(path, model, make_optimizer(model, 1e-3), {})
    except Exception:
        if not all(map(torch.equal, before, model.parameters())):
            raise RuntimeError("a refused checkpoint has changed the model") from None
        raise


def spoil(tally: Tally, path: Path, rng: random.Random, call, harmless=lambda result: False) -> None:
    """Alter a file, call what reads it, put it back. What is read may be accepted if it is `harmless`."""
    content = path.read_bytes()
    what, changed = altered(content, rng)
    if changed != content:
        path.write_bytes(changed)
        tally.judge(f"{path.name}: {what}", call, harmless=harmless)
        path.write_bytes(content)


def tables(n: int, rng: random.Random) -> Tally:
    """n alterations of recorded tables: accidents to the table, other values in its sidecar."""
    tally = Tally("tables")
    recorded = [recording for recording in TABLES.values() if store.is_recorded(recording)]
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        for recording in rng.choices(recorded, k=n):
            for kind in ("csv", "json"):
                shutil.copy(store.home_of(recording.name) / f"{recording.name}.{kind}", data)
            if rng.random() < 0.5:
                spoil(tally, data / f"{recording.name}.csv", rng, partial(store.load, recording, data))
                continue
            path = data / f"{recording.name}.json"
            sidecar = json.loads(path.read_text(encoding="utf-8"))
            before = json.dumps(sidecar)
            where = rng.choice(["config", "run", "rows", "sha256", "table", "kind", "runs", "order"])
            value = rng.choice([None, [], {}, 7, "x", -1.5, True])
            match where:
                case "config":
                    sidecar["config"][rng.choice(list(sidecar["config"]))] = value
                case "run":
                    config = sidecar["runs"][rng.choice(list(sidecar["runs"]))]["config"]
                    config[rng.choice(list(config))] = value
                case "order":
                    sidecar["runs"] = dict(reversed(sidecar["runs"].items()))
                case _:
                    sidecar[where] = value
            path.write_text(json.dumps(sidecar), encoding="utf-8")
            if json.dumps(sidecar) != before:
                tally.judge(f"{path.name}: {where} = {value!r}", partial(store.load, recording, data))
    return tally


# --- kills ---

SWEEP = """
import sys
from pathlib import Path
sys.path.insert(0, {tools!r})
from campaign import CONFIGS
from ntprl.book.sweep import local_executor, sweep
if __name__ == "__main__":
    with local_executor(2) as executor:
        sweep(CONFIGS, Path({folder!r}), executor)
"""


def kills(n: int, rng: random.Random) -> Tally:
    """n times: a sweep on two processes, killed three times at random; in the end the table must be the same."""
    tally = Tally("kills")
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        sweep(CONFIGS, whole, report=lambda line: None)
        expected = store.collect(RECORDING, whole)[0]
        for trial in range(n):
            folder, script = Path(name) / f"runs-{trial}", Path(name) / "script.py"
            script.write_text(SWEEP.format(tools=str(ROOT / "tools"), folder=str(folder)))
            killed = 0
            while True:
                process = subprocess.Popen(
                    [sys.executable, script], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
                try:
                    _, error = process.communicate(timeout=rng.uniform(2, 12) if killed < 3 else 600)
                    break
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    killed += 1
            try:
                same = store.collect(RECORDING, folder)[0].equals(expected)
                left = [path.name for path in folder.iterdir() if path.suffix != ".json"]
            except InputError as refusal:
                same, left = False, [str(refusal)]
            case = f"trial {trial}, {killed} kills, exit {process.returncode}, left {left} {error[-200:]!r}"
            tally.add("recovered" if same and process.returncode == 0 else "lost", case)
    return tally


PARTS = {"parameters": parameters, "files": files, "tables": tables, "kills": kills}


def main(arguments: list[str]) -> int:
    """Exit code 0 if nothing went wrong, else 1 after a line for each case that did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = sys.exit  # the message alone, without the usage
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cases", type=int, default=20, help="of each kind of fault")
    parser.add_argument("--kills", type=int, default=2, help="sweeps that are killed")
    parser.add_argument("--seed", type=int, default=0)
    o = parser.parse_args(arguments)
    for name in ("cases", "kills"):
        require_integer(name, getattr(o, name), low=0)
    torch.set_num_threads(1)  # as the workers of a sweep have
    faults = []
    for part in o.parts:
        clock = time.monotonic()
        tally = PARTS[part](o.kills if part == "kills" else o.cases, random.Random(f"{o.seed} {part}"))
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.counts.items()))
        print(f"{part}: {counts or 'nothing tried'} ({time.monotonic() - clock:.0f} s)", flush=True)
        faults += tally.faults
    print(*faults, f"{len(faults)} faults", sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
