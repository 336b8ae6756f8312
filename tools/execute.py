"""Run chapters and keep their outputs.

    python tools/execute.py                      every chapter, outputs stored in chapters/*.ipynb
    python tools/execute.py 02                   one chapter, by the start of its name
    python tools/execute.py --into _build/book   copies; nothing under chapters/ is written

What runs is the text, NN_name.md. The notebook beside it lends its cell ids, so that a second run
of an unchanged chapter writes the same bytes.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from jupytext.compare import NotebookDifference, compare_notebooks
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"
SECONDS = 3600  # allowed to one cell: many times what it takes, for machines that are busy


def find(names):
    """The .md files whose names start with one of `names`; all of them for no name."""
    every = sorted(CHAPTERS.glob("*.md"))
    chosen = [p for p in every if not names or p.stem.startswith(tuple(Path(n).stem for n in names))]
    for name in names:
        if not any(p.stem.startswith(Path(name).stem) for p in chosen):
            sys.exit(f"no chapter {name!r}; there are: {', '.join(p.stem for p in every)}")
    return chosen


def load(text):
    """The chapter as its text says, with the cell ids of the stored notebook."""
    notebook, stored_path = jupytext.read(text), text.with_suffix(".ipynb")
    if not stored_path.exists():
        return notebook
    stored = nbformat.read(stored_path, as_version=4)
    try:
        compare_notebooks(stored, notebook, fmt="md:myst")
    except NotebookDifference:
        # Somebody may have edited the notebook itself, in Jupyter or Colab: do not write over that.
        if stored_path.stat().st_mtime > text.stat().st_mtime:
            sys.exit(
                f"chapters/{text.stem}: the notebook is newer than its text and differs. Keep the notebook: "
                f"jupytext --sync {stored_path.name}; keep the text: touch {text.name}"
            )
    return combine_inputs_with_outputs(notebook, stored, fmt="md:myst")


def execute(notebook, name):
    """Run all cells in one fresh kernel in chapters/, a line of progress for each that takes a second or more.

    Whole lines with the chapter's name, since chapters may run side by side.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    started = 0.0

    def before(cell, cell_index):
        nonlocal started
        started = time.perf_counter()

    def after(cell, cell_index, execute_reply):
        seconds = time.perf_counter() - started
        if seconds >= 1:
            number = next(i for i, c in enumerate(code, 1) if c is cell)
            first = cell.source.strip().splitlines()[0][:50]
            print(f"{name}  {number:2d}/{len(code)}  {first:50} {seconds:6.1f} s", flush=True)

    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=SECONDS,
        extra_arguments=["--log-level=50"],  # what happens in cells is reported below, once
        record_timing=False,  # no timestamps, and streams as they end up on screen:
        coalesce_streams=True,  # two runs of one chapter store the same
        resources={"metadata": {"path": str(CHAPTERS)}},
        on_cell_execute=before,
        on_cell_executed=after,
    ).execute()


def write(notebook, path):
    """Without what differs from run to run, and never half: a temporary file first, then a rename."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".ipynb.tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def main():
    parser = argparse.ArgumentParser(description="Run chapters and keep their outputs.")
    parser.add_argument("chapter", nargs="*", help="the start of a chapter's name, such as 02 (default: all)")
    parser.add_argument("--into", type=Path, help="write executed copies to this folder (default: chapters/)")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of a failing cell")
    args = parser.parse_args()
    os.environ.pop("MPLBACKEND", None)  # figures must reach the notebook, whatever the caller's shell says
    os.environ["PYTHONHASHSEED"] = "0"  # an order taken from a set would differ from run to run

    for text in find(args.chapter):
        clock = time.perf_counter()
        notebook = load(text)
        try:
            execute(notebook, text.stem)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            number = sum(1 for c in notebook.cells if c.get("execution_count"))
            if args.traceback:
                print(error, file=sys.stderr)
            reason = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
            sys.exit(f"chapters/{text.stem}, code cell {number}: {reason.strip().splitlines()[0]}")
        write(notebook, (args.into or CHAPTERS) / f"{text.stem}.ipynb")
        print(f"{text.stem}: run in {time.perf_counter() - clock:.0f} s", flush=True)


if __name__ == "__main__":
    main()
