"""Measurements in and out: FILE.csv with its provenance and the checksum of the table in FILE.json."""

import hashlib
import io
import json
from pathlib import Path

import pandas as pd

from ntprl.book.store import write_atomically
from ntprl.errors import InputError


def write_files(out: Path, runs: pd.DataFrame, facts: dict) -> None:
    """All measurements to FILE.csv, their provenance to FILE.json."""
    text = runs.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    facts = facts | {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    write_atomically(out, text)
    write_atomically(out.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


def read_files(path: Path) -> tuple[pd.DataFrame, dict] | None:
    """(measurements, provenance); None if they were never written. InputError if one is missing or altered."""
    sidecar = path.with_suffix(".json")
    if not (path.is_file() or sidecar.is_file()):
        return None
    try:
        text, facts = path.read_bytes(), json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} and {sidecar.name} do not make a pair ({error}): run the benchmark again") from None
    if facts.get("sha256", digest := hashlib.sha256(text).hexdigest()) != digest:
        raise InputError(f"{path} is truncated or altered: its checksum differs from the one in {sidecar.name}")
    return pd.read_csv(io.BytesIO(text)), facts
