"""A pytest plugin: nbval compares stored outputs with those of a run that was already made.

    python -m pytest -p tools.replay --replay _build/executed --nbval ... chapters

The book is built from chapters that `tools/execute.py` has just run, and nbval would run each of them once more. Here
it asks for every cell as always, compares as always, and gets its answers from the executed copy in the folder instead
of from a kernel. Without the plugin, `pytest --nbval` starts kernels and says the same.
"""

from pathlib import Path

import nbformat
import pytest
from nbval import plugin


class Replay:
    """What nbval asks of a kernel, answered from an executed copy of a notebook."""

    def __init__(self, path):
        if not path.is_file():
            raise pytest.UsageError(f"{path} does not exist: run tools/execute.py --into {path.parent} first")
        cells = nbformat.read(path, as_version=4).cells
        self.path, self.cells = path, [cell for cell in cells if cell.cell_type == "code"]
        self.next, self.messages = 0, []

    def execute_cell_input(self, source, allow_stdin=None):
        """The id of a request, whose messages are then ready. The cells must be those that were run, in their order."""
        number, self.next = self.next, self.next + 1
        if number >= len(self.cells) or self.cells[number].source != source:
            raise RuntimeError(f"code cell {number + 1} is not the one that was run in {self.path}: run it again")
        outputs = [dict(output) for output in self.cells[number].outputs]
        self.messages = [self.message(number, output.pop("output_type"), output) for output in outputs]
        self.messages.append(self.message(number, "status", {"execution_state": "idle"}))
        return number

    def message(self, number, kind, content):
        return {"parent_header": {"msg_id": number}, "msg_type": kind, "content": content}

    def get_message(self, stream, timeout=None):
        return self.messages.pop(0)

    def await_reply(self, number, timeout=None):
        """Nothing to wait for."""

    def await_idle(self, number, timeout=None):
        """Nothing to wait for."""

    def is_alive(self):
        return True

    def stop(self):
        """Nothing runs."""


def pytest_addoption(parser):
    parser.addoption("--replay", type=Path, help="folder of executed notebooks that nbval compares with")


def pytest_configure(config):
    folder = config.getoption("--replay")
    if folder is None:
        return

    def setup(self):
        self.kernel = Replay(folder / Path(self.fspath).name)
        self.setup_sanitize_files()

    plugin.IPyNbFile.setup = setup
