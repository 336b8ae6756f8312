"""Run chapters and keep their outputs.

    python tools/execute.py                      every chapter, outputs stored in chapters/*.ipynb
    python tools/execute.py 02                   one chapter, by the start of its name
    python tools/execute.py --into _build/book   copies; nothing under chapters/ is written
    python tools/execute.py --pairs              run nothing: do the texts and their notebooks say the same?

What runs is the text, NN_name.md. The notebook beside it lends its cell ids, so that a second run
of an unchanged chapter writes the same bytes.
"""

import argparse
import hashlib
import json
import os
import subprocess
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


def same(a, b):
    """Whether two notebooks say the same: their cells and tags, whatever their outputs are."""
    try:
        compare_notebooks(a, b, fmt="md:myst")
    except NotebookDifference:
        return False
    return True


def committed(text):
    """The chapter as its committed text says; None without git or before the first commit."""
    show = ["git", "-C", str(text.parent), "show", f"HEAD:./{text.name}"]
    try:
        done = subprocess.run(show, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return jupytext.reads(done.stdout.decode(), fmt="md:myst")


def digest(notebook):
    """Of what a notebook says."""
    cells = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def stamp(text):
    """Where the digest stands of the notebook that this tool wrote last."""
    return text.parent.parent / "_build" / "stored" / f"{text.stem}.sha256"


def differ(text):
    """One line, with the command that keeps either side."""
    name = f"{text.parent.name}/{text.stem}"
    return (
        f"{name}: the notebook and its text differ, and both may have been edited. "
        f"Keep the notebook: jupytext --to md:myst {name}.ipynb; "
        f"keep the text: jupytext --update --to ipynb {name}.md"
    )


def pairs(texts):
    """Lines for the chapters whose notebook does not say what the text says."""
    read = {text: text.with_suffix(".ipynb") for text in texts}
    return [
        differ(text)
        for text, stored in read.items()
        if not (stored.exists() and same(nbformat.read(stored, as_version=4), jupytext.read(text)))
    ]


def load(text):
    """The chapter as its text says, with the cell ids of the stored notebook.

    Times of files say nothing after a checkout. So the text is taken only where the notebook has nothing of its own:
    where it says what the text says, or what the committed text says, or is as this tool wrote it.
    """
    notebook, stored_path = jupytext.read(text), text.with_suffix(".ipynb")
    if not stored_path.exists():
        return notebook
    stored = nbformat.read(stored_path, as_version=4)
    if not same(stored, notebook):
        before = committed(text)
        is_ours = stamp(text).is_file() and stamp(text).read_text() == digest(stored)
        if not is_ours and (before is None or not same(stored, before)):
            sys.exit(differ(text))
    return combine_inputs_with_outputs(notebook, stored, fmt="md:myst")


def execute(notebook, name, traceback=False):
    """Run all cells in one fresh kernel in chapters/, a line of progress for each that takes a second or more.

    Whole lines with the chapter's name, since chapters may run side by side. A cell that fails ends the program in one
    line, after the whole traceback if that is asked for.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    started, number = 0.0, 0

    def before(cell, cell_index):
        nonlocal started, number
        started, number = time.perf_counter(), next(i for i, c in enumerate(code, 1) if c is cell)

    def after(cell, cell_index, execute_reply):
        seconds = time.perf_counter() - started
        if seconds >= 1:
            first = cell.source.strip().splitlines()[0][:50]
            print(f"{name}  {number:2d}/{len(code)}  {first:50} {seconds:6.1f} s", flush=True)

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=SECONDS,
        extra_arguments=["--log-level=50"],  # what happens in cells is reported below, once
        record_timing=False,  # no timestamps, and streams as they end up on screen:
        coalesce_streams=True,  # two runs of one chapter store the same
        resources={"metadata": {"path": str(CHAPTERS)}},
        on_cell_execute=before,
        on_cell_executed=after,
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        if traceback:
            print(error, file=sys.stderr)
        reason = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        sys.exit(f"chapters/{name}, code cell {number}: {reason.strip().splitlines()[0]}")


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


def keep(notebook, text, into=None):
    """Store a run beside its text, or a copy in another folder."""
    write(notebook, (into or text.parent) / f"{text.stem}.ipynb")
    if into is None:
        stamp(text).parent.mkdir(parents=True, exist_ok=True)
        stamp(text).write_text(digest(notebook))


def main():
    parser = argparse.ArgumentParser(description="Run chapters and keep their outputs.")
    parser.add_argument("chapter", nargs="*", help="the start of a chapter's name, such as 02 (default: all)")
    parser.add_argument("--into", type=Path, help="write executed copies to this folder (default: chapters/)")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of a failing cell")
    parser.add_argument("--pairs", action="store_true", help="run nothing; name the pairs that differ")
    args = parser.parse_args()
    if args.pairs:
        sys.exit("\n".join(pairs(find(args.chapter))) or 0)
    os.environ.pop("MPLBACKEND", None)  # figures must reach the notebook, whatever the caller's shell says
    os.environ["PYTHONHASHSEED"] = "0"  # an order taken from a set would differ from run to run

    for text in find(args.chapter):
        clock = time.perf_counter()
        notebook = load(text)
        execute(notebook, text.stem, args.traceback)
        keep(notebook, text, args.into)
        print(f"{text.stem}: run in {time.perf_counter() - clock:.0f} s", flush=True)


if __name__ == "__main__":
    main()
