"""The results of a chapter as data: the last cell keeps a tidy table in the notebook, a reader finds it there.

keep_results(table, globals())           in the chapter
read_results("a.ipynb", "b.ipynb")       afterwards: one table of all, with the parameters of each
"""

import json
from pathlib import Path

import pandas as pd

from ntprl.errors import InputError, require

# The bundle of scrapbook's `glue`, whose readers find it too.
MIME = "application/scrapbook.scrap.json+json"
NAME = "results"
PARAMETERS = "_parameters"  # what `start_chapter` found, whatever the chapter makes of these names later


def keep_results(table: pd.DataFrame, namespace: dict) -> None:
    """Store a chapter's results in its notebook, unseen by readers, with the parameters it was run with.

    table      one row for each measurement, one column for each quantity; `seconds` is left out, as it would make
               every run of the same chapter another one
    namespace  globals() of the chapter, in which `start_chapter` has noted the parameters

    Outside a notebook nothing happens.
    """
    is_flat = isinstance(table, pd.DataFrame) and all(isinstance(name, str) for name in table.columns)
    require(is_flat, "table", type(table).__name__, "a DataFrame whose columns have one level of names")
    if any(table.index.names):
        table = table.reset_index()
    table = table.drop(columns="seconds", errors="ignore")
    cells = table.astype(object).where(table.notna(), None)  # JSON has no NaN
    data = {
        "parameters": namespace.get(PARAMETERS, {}),
        "columns": list(table.columns),
        "rows": [[value.item() if hasattr(value, "item") else value for value in row] for row in cells.to_numpy()],
    }
    try:
        from IPython import get_ipython
        from IPython.display import display as show_bundle
    except ImportError:
        return
    if get_ipython() is not None:
        shown = {"name": NAME, "encoder": "json", "version": 1}
        metadata = {"scrapbook": {"name": NAME, "data": True, "display": False}}
        show_bundle({MIME: shown | {"data": data}}, metadata=metadata, raw=True)


def kept_in(path: Path) -> dict:
    """The parameters, columns and rows that a notebook holds."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found = [
            output["data"][MIME]["data"]
            for cell in cells
            for output in cell.get("outputs", [])
            if MIME in output.get("data", {})
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no notebook that can be read ({type(error).__name__})") from None
    if not found:
        raise InputError(f"{path} holds no results: its last cell has not been run, or it was stopped before")
    return found[-1]


def read_results(*paths: str | Path) -> pd.DataFrame:
    """The results kept in one or more notebooks, one below the other.

    A column `notebook` says which file a row is from, and each parameter of the run has a column, unless the table
    has one of that name. Raises InputError for a file that is no notebook or holds no results.
    """
    require(len(paths) > 0, "paths", paths, "one notebook or more")
    tables = []
    for path in map(Path, paths):
        kept = kept_in(path)
        table = pd.DataFrame(kept["rows"], columns=kept["columns"])
        own = {name: value for name, value in kept["parameters"].items() if name not in kept["columns"]}
        tables.append(
            pd.concat([pd.DataFrame([{"notebook": path.stem, **own}] * len(table), index=table.index), table], axis=1)
        )
    return pd.concat(tables, ignore_index=True)
