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
from ntprl.book.run import LATER, config_hash, described, flat, without_later
from ntprl.errors import InputError, json_object, shown, writing

PACKAGE = Path(__file__).resolve().parents[1]
TEXT_WIDTH = 76  # characters in a line of output; a column of the book holds them
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else None


def data_folder() -> Path:
    """data/ of the checkout, else the copy inside the installed package, which is for reading alone."""
    return CHECKOUT / "data" if CHECKOUT else PACKAGE / "_data"


def runs_folder() -> Path:
    """runs/ of the checkout, else of the current folder."""
    return (CHECKOUT or Path.cwd()) / "runs"


def own_data_folder() -> Path:
    """Where tables go that are recorded here: data/ of the checkout, else beside the runs they are made of."""
    return data_folder() if CHECKOUT else runs_folder() / "data"


def home_of(name: str) -> Path:
    """The folder that a table is read from: one that was recorded here counts before one that came along."""
    own = own_data_folder()
    return own if any((own / f"{name}.{kind}").is_file() for kind in ("csv", "json")) else data_folder()


def write_atomically(path: Path, text: str) -> None:
    """Write beside the target, then rename: a reader never sees half a file. InputError if that cannot be done."""
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def with_checksum(content: dict) -> dict:
    """The same with a checksum of all of it, so that what is altered by accident is found."""
    text = json.dumps(content, sort_keys=True)
    return content | {"checksum": hashlib.sha256(text.encode()).hexdigest()}


def _read_checked(path: Path, keys: set[str], remedy: str) -> dict:
    """A JSON object from a file, its checksum compared; files of before there were any have none."""
    content = json_object(path, str(path), keys, remedy)
    checksum = content.pop("checksum", None)
    unknown = checksum is None and content.keys() - keys  # as a checksum whose name is damaged
    if unknown or (checksum is not None and with_checksum(content)["checksum"] != checksum):
        raise InputError(f"{path} is altered: its checksum is not that of what it holds: {remedy}")
    return content


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


def write_result(path: Path, config: object, facts: dict, table: pd.DataFrame) -> None:
    """The file of a finished run; its checkpoint goes."""
    result = {"config": described(config), "provenance": facts, "rows": table.to_dict("records")}
    write_atomically(path, json.dumps(with_checksum(result)))
    path.with_suffix(".safetensors").unlink(missing_ok=True)


def read_run(path: Path, config: object | None = None) -> dict:
    """One finished run: its config, provenance and rows. Refused if it is altered, or of another configuration."""
    remedy = "delete it and record again"
    run = _read_checked(path, {"config", "provenance", "rows"}, remedy)
    rows, facts = run["rows"], run["provenance"]
    are_rows = isinstance(rows, list) and rows and all(isinstance(row, dict) and row for row in rows)
    if not are_rows or not isinstance(facts, dict):
        raise InputError(f"run {path} holds no rows of named values with their provenance: {remedy}")
    if len({frozenset(row) for row in rows}) > 1:
        raise InputError(f"run {path} has rows of different columns: {remedy}")
    for name, value in ((name, value) for row in rows for name, value in row.items()):
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise InputError(f"run {path} has {name} = {shown(value)} in a row, no number and no text: {remedy}")
    if config is not None and run["config"] != described(config):
        raise InputError(f"run {path} is of another configuration, {shown(run['config'])}: {remedy}")
    return run


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
    runs = {h: read_run(folder / f"{h}.json", config) for h, config in zip(hashes, recording.configs, strict=True)}
    fixed, varied = _split({h: flat(config) for h, config in zip(hashes, recording.configs, strict=True)})
    common, own = _split({h: run["provenance"] for h, run in runs.items()})
    columns = set(runs[hashes[0]]["rows"][0])
    for h, run in runs.items():
        if set(run["rows"][0]) != columns:
            raise InputError(f"run {folder / h}.json has other columns than {hashes[0]}: delete it and record again")
        for name, value in {"run": h, **varied[h]}.items():  # a measure must not pass for what was asked for
            if name in columns and any(row[name] != value for row in run["rows"]):
                raise InputError(f"run {folder / h}.json has rows with another {name} than {shown(value)}")
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
    data = data or own_data_folder()
    write_atomically(data / f"{recording.name}.csv", text)
    write_atomically(data / f"{recording.name}.json", json.dumps(with_checksum(sidecar), indent=1) + "\n")
    return data / f"{recording.name}.csv"


def is_recorded(recording: Recording, data: Path | None = None) -> bool:
    return ((data or home_of(recording.name)) / f"{recording.name}.json").is_file()


def load_sidecar(recording: Recording, data: Path | None = None) -> dict:
    """Provenance of a recorded table."""
    path = (data or home_of(recording.name)) / f"{recording.name}.json"
    if not path.is_file():
        raise InputError(f"table {recording.name} is not recorded yet ({path} does not exist): run {recording.command}")
    remedy = f"restore it or record {recording.name} again"
    names = {"table", "question", "command", "kind", "config", "provenance", "runs", "rows", "sha256"}
    sidecar = _read_checked(path, names, remedy)
    parts = [sidecar["config"], sidecar["provenance"], sidecar["runs"]]
    parts += sidecar["runs"].values() if isinstance(sidecar["runs"], dict) else []
    parts += [run.get(name) for run in parts[3:] if isinstance(run, dict) for name in ("config", "provenance")]
    if not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{path} is damaged, its configurations or its provenance are no named values: {remedy}")
    if sidecar["table"] != recording.name:
        raise InputError(f"{path} describes table {shown(sidecar['table'])}: {remedy}")
    return sidecar


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


def _first_difference(recording: Recording, sidecar: dict) -> str | None:
    """The first field in which the recorded configurations, in order, differ from those asked for; None: in none."""
    asked = {config_hash(config): flat(config) for config in recording.configs}
    stored = {name: LATER | sidecar["config"] | run["config"] for name, run in sidecar["runs"].items()}
    fields = next(iter(asked.values()))
    for field in fields:
        ours, theirs = ({json.dumps(each.get(field)) for each in configs.values()} for configs in (asked, stored))
        if ours != theirs:
            return f"{field} in {{{', '.join(sorted(theirs))}}}, this version asks for {{{', '.join(sorted(ours))}}}"
    if list(asked) != list(stored):
        return "another set of runs"
    if sidecar["kind"] != recording.configs[0].kind:
        return f"runs of kind {shown(sidecar['kind'])}, which are {recording.configs[0].kind} here"
    for name, values in asked.items():
        for field in values.keys() | (stored[name].keys() - LATER.keys()):
            if (theirs := stored[name].get(field)) != values.get(field):
                return f"{field} = {shown(theirs)} in run {name}, which has {shown(values.get(field))}"
    return None


def _require_rows(path: Path, table: pd.DataFrame, sidecar: dict, wanted: str) -> None:
    """Refuse a table whose rows are not those of the runs in its sidecar: their number, their runs, what these had."""
    found = list(table["run"].unique()) if "run" in table else []
    if len(table) != sidecar["rows"] or found != list(sidecar["runs"]):
        raise InputError(
            f"{path} holds {len(table)} rows of {len(found)} runs, not the {shown(sidecar['rows'])} rows of "
            f"{len(sidecar['runs'])} runs in its sidecar: {wanted}"
        )
    for name in next(iter(sidecar["runs"].values()))["config"]:
        stored = table["run"].map({run: each["config"].get(name) for run, each in sidecar["runs"].items()})
        as_written = pd.read_csv(io.StringIO(stored.to_frame(name).to_csv(index=False, float_format="%.6g")))[name]
        if name not in table or not table[name].equals(as_written):
            raise InputError(f"{path} has rows with another {name} than their run had: {wanted}")


def load(recording: Recording, data: Path | None = None) -> pd.DataFrame:
    """The recorded table, after checking that it is whole, unaltered and of the configuration asked for."""
    data = data or home_of(recording.name)
    sidecar = load_sidecar(recording, data)
    path = data / f"{recording.name}.csv"
    if not path.is_file():
        raise InputError(f"{path} does not exist although its provenance does: restore it or run {recording.command}")
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != sidecar.get("sha256"):
        raise InputError(f"{path} is truncated or altered: its checksum differs from the one in {recording.name}.json")
    if difference := _first_difference(recording, sidecar):
        raise InputError(f"{path} was recorded with {difference}: run {recording.command}")
    wanted = f"run {recording.command}"
    try:
        table = pd.read_csv(io.BytesIO(text), dtype={"run": str})
    except ValueError as error:  # pandas' own errors are
        raise InputError(f"{path} is no table ({' '.join(str(error).split())}): {wanted}") from None
    _require_rows(path, table, sidecar, wanted)
    return table
