"""Recorded tables: data/<name>.csv with its provenance in data/<name>.json.

Runs are written one file each to runs/<hash>.json; `promote` checks them and makes the table.
"""

import hashlib
import io
import json
import os
import platform
import socket
import subprocess
import textwrap
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ntprl import __version__
from ntprl.book.recording import Recording
from ntprl.book.run import LATER, config_hash, flat, without_later
from ntprl.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
TEXT_WIDTH = 76  # characters in a line of output; a column of the book holds them
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else None


def data_folder() -> Path:
    """data/ of the checkout, else the copy inside the installed package."""
    return CHECKOUT / "data" if CHECKOUT else PACKAGE / "_data"


def runs_folder() -> Path:
    """runs/ of the checkout, else of the current folder."""
    return (CHECKOUT or Path.cwd()) / "runs"


def write_atomically(path: Path, text: str) -> None:
    """Write beside the target, then rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _git(*arguments: str) -> str | None:
    """Output of a git command in the checkout, None without a checkout or git."""
    if CHECKOUT is None or not (CHECKOUT / ".git").exists():
        return None
    try:
        return subprocess.run(
            ("git", "-C", str(CHECKOUT), *arguments), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name(device: str) -> str:
    """The model of the processor or GPU that computes."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@cache
def code_version() -> dict[str, object]:
    """Commit of the checkout as the process found it, and whether ntprl/ differed from it."""
    changed = _git("status", "--porcelain", "--", "ntprl")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def provenance(device: str, started: datetime, wall_s: float) -> dict[str, object]:
    """Where a result comes from; everything needed to ask for it again."""
    return {
        "origin": "measured here",
        "started_utc": started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "wall_s": round(wall_s, 1),
        **code_version(),
        "ntprl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }


def read_run(path: Path) -> dict:
    """One finished run: its config, provenance and rows."""
    try:
        return _read_json(path, {"provenance", "rows"})
    except (OSError, ValueError) as error:
        raise InputError(f"run {path} cannot be read ({error}): delete it and record again") from None


def _read_json(path: Path, keys: set[str]) -> dict:
    """A JSON object with at least these keys; ValueError for anything else."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not keys <= content.keys():
        raise ValueError(f"it lacks one of {', '.join(sorted(keys))}")
    return content


def _split(records: dict[str, dict]) -> tuple[dict, dict[str, dict]]:
    """(what all records have in common, what is left of each), keyed as before."""
    first, *rest = records.values()
    shared = {key: value for key, value in first.items() if all(other.get(key, ...) == value for other in rest)}
    return shared, {name: {k: v for k, v in record.items() if k not in shared} for name, record in records.items()}


def collect(recording: Recording, folder: Path | None = None) -> tuple[pd.DataFrame, dict]:
    """(tidy table, sidecar) of the finished runs of a recording; raises InputError if any is missing."""
    folder = Path(folder or runs_folder())
    hashes = [config_hash(config) for config in recording.configs]
    missing = [h for h in hashes if not (folder / f"{h}.json").is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(hashes)} runs of {recording.name} are missing in {folder}: run {recording.command}"
        )
    runs = {h: read_run(folder / f"{h}.json") for h in hashes}
    fixed, varied = _split({h: flat(config) for h, config in zip(hashes, recording.configs, strict=True)})
    common, own = _split({h: run["provenance"] for h, run in runs.items()})
    rows = [{"run": h, **varied[h], **row} for h, run in runs.items() for row in run["rows"]]
    sidecar = {
        "table": recording.name,
        "question": recording.question,
        "command": recording.command,
        "kind": recording.configs[0].kind,
        "config": without_later(fixed),
        "provenance": common,
        "runs": {h: {"config": varied[h], "provenance": own[h]} for h in hashes},
    }
    return pd.DataFrame(rows), sidecar


def promote(recording: Recording, folder: Path | None = None, data: Path | None = None) -> Path:
    """Make data/<name>.csv and its sidecar from finished runs; returns the table's path."""
    table, sidecar = collect(recording, folder)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    sidecar |= {"rows": len(table), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    data = data or data_folder()
    write_atomically(data / f"{recording.name}.csv", text)
    write_atomically(data / f"{recording.name}.json", json.dumps(sidecar, indent=1) + "\n")
    return data / f"{recording.name}.csv"


def is_recorded(recording: Recording, data: Path | None = None) -> bool:
    return ((data or data_folder()) / f"{recording.name}.json").is_file()


def load_sidecar(recording: Recording, data: Path | None = None) -> dict:
    """Provenance of a recorded table."""
    path = (data or data_folder()) / f"{recording.name}.json"
    if not path.is_file():
        raise InputError(f"table {recording.name} is not recorded yet ({path} does not exist): run {recording.command}")
    try:
        return _read_json(path, {"config", "provenance", "runs", "sha256"})
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): restore it or record {recording.name} again") from None


def run_facts(recording: Recording, data: Path | None = None) -> list[dict]:
    """Whole provenance of each recorded run."""
    sidecar = load_sidecar(recording, data)
    return [sidecar["provenance"] | run["provenance"] for run in sidecar["runs"].values()]


def describe(recording: Recording, data: Path | None = None) -> str:
    """Where a table comes from, or that it is not yet run and how to run it; for the lines under a figure."""
    if not is_recorded(recording, data):
        text = f"not yet run: {recording.question} Command: {recording.command}. Cost: {recording.cost}."
        return textwrap.fill(text, TEXT_WIDTH, break_on_hyphens=False)
    facts = run_facts(recording, data)
    days, devices, commits = (
        ", ".join(sorted({str(fact[key])[:length] for fact in facts}))
        for key, length in (("started_utc", 10), ("device", 60), ("commit", 8))
    )
    seeds = len({config.seed for config in recording.configs})
    text = f"data/{recording.name}.csv, recorded {days}: {len(facts)} runs, {seeds} seeds, on {devices}"
    return textwrap.fill(f"{text} with {facts[0]['threads']} thread a run, commit {commits}", TEXT_WIDTH)


def _first_difference(recording: Recording, sidecar: dict) -> str:
    """The first field in which the recorded configurations differ from those asked for."""
    asked = [flat(config) for config in recording.configs]
    stored = [sidecar["config"] | run["config"] for run in sidecar["runs"].values()]
    for field in asked[0]:
        ours, theirs = (
            {json.dumps(config.get(field, LATER.get(field))) for config in configs} for configs in (asked, stored)
        )
        if ours != theirs:
            return f"{field} in {{{', '.join(sorted(theirs))}}}, this version asks for {{{', '.join(sorted(ours))}}}"
    return "another set of runs"


def load(recording: Recording, data: Path | None = None) -> pd.DataFrame:
    """The recorded table, after checking that it is whole, unaltered and of the configuration asked for."""
    data = data or data_folder()
    sidecar = load_sidecar(recording, data)
    path = data / f"{recording.name}.csv"
    if not path.is_file():
        raise InputError(f"{path} does not exist although its provenance does: restore it or run {recording.command}")
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != sidecar.get("sha256"):
        raise InputError(f"{path} is truncated or altered: its checksum differs from the one in {recording.name}.json")
    if list(sidecar["runs"]) != [config_hash(config) for config in recording.configs]:
        raise InputError(f"{path} was recorded with {_first_difference(recording, sidecar)}: run {recording.command}")
    return pd.read_csv(io.BytesIO(text), dtype={"run": str})
