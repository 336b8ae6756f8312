"""The door to recorded tables.

threshold = table("threshold")           in a chapter: the table, with a line that says where it comes from
verdict("C4", "C5")                      in a chapter: what the tables say about some claims
record_table(record, profile, device)    in a chapter: make the runs of the table that a reader asks for
python -m ntprl.records promote NAME     make data/NAME.csv of finished runs
python -m ntprl.records check            are all tables whole, unaltered and of the configurations asked for?
"""

import sys
from dataclasses import replace

import pandas as pd

from ntprl.book import store
from ntprl.book.badge import SourceLine
from ntprl.book.page import display
from ntprl.book.recording import Recording, rehearsed
from ntprl.book.sweep import record
from ntprl.errors import InputError, require_choice
from ntprl.studies.catalogue import TABLES
from ntprl.studies.scorecard import badges


def recording(name: str, profile: str = "laptop") -> Recording:
    """The recording of that name; an unknown one is refused with the list of all.

    With profile smoke a rehearsal: every run of it, tiny, by the same code. Its results teach nothing.
    """
    require_choice("record", name, TABLES)
    found = TABLES[name]
    if profile != "smoke":
        return found
    return replace(found, configs=tuple(dict.fromkeys(rehearsed(config) for config in found.configs)))


def is_recorded(name: str) -> bool:
    """Is the table of that name in data/?"""
    return store.is_recorded(recording(name))


def source(name: str) -> str:
    """Where a table comes from, or that it is not yet run and how to run it."""
    return store.describe(recording(name))


def table(name: str) -> pd.DataFrame:
    """The recorded table, after a line that says where it comes from."""
    found = store.load(recording(name))
    display(SourceLine(f"data/{name}.csv", source(name)))
    return found


def verdict(*ids: str) -> None:
    """Show what the tables say about some claims."""
    display(badges(*ids))


def record_table(name: str, profile: str, device: str) -> None:
    """Make the runs of a table in runs/ and end the chapter; nothing happens if `name` is empty.

    `python -m ntprl.records promote NAME` makes the table of them.
    """
    if name:
        record([recording(name, profile)], device)
        raise SystemExit(0)


def main(arguments: list[str]) -> int:
    """promote NAME... | check: exit code 0, or 1 with one line that says what is wrong."""
    try:
        match arguments:
            case ["promote", *names] if names and set(names) <= TABLES.keys():
                for name in names:
                    print(f"wrote {store.promote(TABLES[name])}")
            case ["check"]:
                for each in TABLES.values():
                    home = store.home_of(each.name)
                    found = any((home / f"{each.name}.{kind}").is_file() for kind in ("csv", "json"))
                    print(f"{each.name}: {f'{len(store.load(each))} rows' if found else 'not recorded'}")
            case _:
                raise InputError(
                    f"arguments = {arguments} are not allowed: promote NAME... (of {', '.join(TABLES)}) or check"
                )
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
