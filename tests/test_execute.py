"""`tools/execute.py`: what runs is the text, what was edited elsewhere is not lost, and the failing cell is named."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import execute

TOOLS = Path(sys.executable).parent
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


@pytest.fixture
def pair(tmp_path) -> Path:
    """A chapter, committed: its text; the notebook lies beside it."""
    folder = tmp_path / "chapters"
    folder.mkdir()
    cells = [new_markdown_cell("# A toy"), new_code_cell("x = 1"), new_code_cell("print(x)")]
    notebook = new_notebook(metadata={**KERNEL, "jupytext": {"formats": "ipynb,md:myst"}}, cells=cells)
    nbformat.write(notebook, folder / "01_toy.ipynb")
    jupytext.write(notebook, folder / "01_toy.md", fmt="md:myst")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return folder / "01_toy.md"


def git(folder, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def commit(folder):
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "state")


def edit(path, old="x = 1", new="x = 2"):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def test_an_edited_text_is_taken(pair):
    edit(pair)
    assert sources(execute.load(pair))[1] == "x = 2"


def test_a_text_edited_again_after_a_run_is_taken(pair):
    edit(pair)
    notebook = execute.load(pair)
    execute.keep(notebook, pair)
    edit(pair, "x = 2", "x = 3")
    assert sources(execute.load(pair))[1] == "x = 3"


def test_a_copy_elsewhere_is_no_permission_to_overwrite(pair, tmp_path):
    edit(pair)
    execute.keep(execute.load(pair), pair, into=tmp_path / "copies")
    assert not execute.stamp(pair).exists()


@pytest.mark.parametrize("newer", ["md", "ipynb"])
@pytest.mark.parametrize("is_committed", [True, False])
def test_an_edited_notebook_is_not_overwritten(pair, newer, is_committed):
    """Whatever the times of the two files are: a checkout writes both."""
    edit(pair.with_suffix(".ipynb"))
    if is_committed:
        commit(pair.parent.parent)
    pair.with_suffix(f".{newer}").touch()
    with pytest.raises(SystemExit, match="differ"):
        execute.load(pair)


def test_a_notebook_edited_after_a_run_is_not_overwritten(pair):
    execute.keep(execute.load(pair), pair)
    edit(pair.with_suffix(".ipynb"))
    with pytest.raises(SystemExit, match="differ"):
        execute.load(pair)


def test_both_edited_are_both_kept(pair):
    edit(pair, "A toy", "A tool")
    edit(pair.with_suffix(".ipynb"))
    with pytest.raises(SystemExit, match="differ"):
        execute.load(pair)


def test_without_git_nothing_is_guessed(pair, monkeypatch):
    monkeypatch.setenv("PATH", "")
    edit(pair)
    with pytest.raises(SystemExit, match="differ"):
        execute.load(pair)


def test_pairs_that_differ_are_named(pair):
    assert execute.pairs([pair]) == []
    edit(pair)
    (line,) = execute.pairs([pair])
    assert "chapters/01_toy" in line and "keep the text: " in line


@pytest.mark.slow
@pytest.mark.parametrize(("side", "value"), [("notebook", 2), ("text", 3)])
def test_each_side_can_be_kept_by_the_command_that_the_refusal_names(pair, side, value):
    edit(pair.with_suffix(".ipynb"))
    edit(pair, new="x = 3")
    with pytest.raises(SystemExit) as refusal:
        execute.load(pair)
    (command,) = re.findall(rf"(?i)keep the {side}: ([^;]+)", str(refusal.value))
    program, *arguments = shlex.split(command)
    subprocess.run([TOOLS / program, "--quiet", *arguments], cwd=pair.parent.parent, check=True, capture_output=True)
    for path in (pair, pair.with_suffix(".ipynb")):
        assert f"x = {value}" in path.read_text()
    assert sources(execute.load(pair))[1] == f"x = {value}"
    if side == "notebook":  # its text has the head that pairs them
        assert "formats: ipynb,md:myst" in pair.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["1 / 0", "import os; os._exit(1)"])
def test_the_cell_that_fails_is_named(fails):
    """By its number among the cells of code, though those after it still have the counts of an older run."""
    cells = [new_markdown_cell("a"), new_code_cell("1"), new_code_cell(fails), new_code_cell("2"), new_code_cell("3")]
    for count, cell in enumerate(cells[1:], 1):
        cell.execution_count = count
    with pytest.raises(SystemExit, match="chapters/01_toy, code cell 2: "):
        execute.execute(new_notebook(cells=cells, metadata=KERNEL), "01_toy")
