"""Run chapters as in Colab: no checkout, each notebook alone in an empty folder, at smoke size.

pip install -r tests/colab.txt ".[llama]"     Colab's versions, and the package beside them
python tools/colab.py                         every chapter
python tools/colab.py 01 09                   these two
"""

import os
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"


def smoke(path):
    """The notebook with the parameter profile set to smoke."""
    notebook = nbformat.read(path, as_version=4)
    (at,) = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell('profile = "smoke"'))
    return notebook


def run(path):
    """None if the chapter runs and leaves nothing behind, else what went wrong in a line."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            NotebookClient(
                smoke(path),
                kernel_name="python3",
                timeout=1800,
                extra_arguments=["--log-level=50"],
                resources={"metadata": {"path": folder}},
            ).execute()
        except CellExecutionError as error:
            return textwrap.shorten(f"{error.ename}: {error.evalue}", 300)
        left = sorted(each.name for each in Path(folder).iterdir())
        return f"left {', '.join(left)} behind" if left else None


def main():
    os.environ.pop("MPLBACKEND", None)
    wanted = tuple(sys.argv[1:]) or ("",)
    failed = 0
    for path in sorted(CHAPTERS.glob("*.ipynb")):
        if path.name.startswith(wanted):
            clock = time.perf_counter()
            problem = run(path)
            failed += problem is not None
            print(f"{path.stem}: {problem or 'runs'} ({time.perf_counter() - clock:.0f} s)", flush=True)
    sys.exit(f"{failed} chapters fail" if failed else 0)


if __name__ == "__main__":
    main()
