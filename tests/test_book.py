"""Hygiene of the chapters: what a reader, Colab, papermill and nbval rely on.

Each check takes a chapter's notebook and the text it is paired with, and returns the problems it
finds. The second half of this file breaks a small sound chapter in one way at a time and demands
that the check notices, because a check that cannot fail proves nothing.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from jupytext.compare import NotebookDifference, compare_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COLUMN, PAGE = 76, 78  # characters of code, and of output, that fit
NAMES = sorted({path.stem for suffix in ("md", "ipynb") for path in (ROOT / "chapters").glob(f"*.{suffix}")})

# A chapter opened in Colab is alone: it installs the release it belongs to, before any import.
BOOTSTRAP = f"""\
import sys
if "google.colab" in sys.modules:
    %pip install -q "ntprl @ git+{PROJECT["urls"]["Repository"]}@v{PROJECT["version"]}"
"""


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def output_texts(cell):
    """Every stored output of a cell that is text: streams, plain text, HTML."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def defined_names(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def parse(cell):
    """The cell's syntax tree; IPython's % and ! lines are no Python, so they become `pass`."""
    return ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source))


# --- the checks ---------------------------------------------------------------------------------


def pair_differs(notebook, text):
    try:
        compare_notebooks(notebook, jupytext.reads(text, fmt="md:myst"), fmt="md:myst")
    except NotebookDifference as difference:
        return [f"the notebook and its text differ: {difference}"]
    return []


def not_run_in_order(notebook, text):
    # nbval compares nothing for a cell that was never run, so without this it passes vacuously.
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]


def errors_or_stderr(notebook, text):
    return [
        f"code cell {cell.execution_count} stores {output.get('name', output.output_type)}"
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def tool_leftovers(notebook, text):
    metadata = [notebook.metadata, *(cell.metadata for cell in notebook.cells)]
    unwanted = {"widgets", "papermill", "execution"}
    return [f"metadata.{key} is left" for keys in metadata for key in sorted(unwanted & set(keys))]


def wrong_kernel(notebook, text):
    name = notebook.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"kernelspec is {name!r}, not 'python3'"]


def bad_parameters(notebook, text):
    cells = tagged(notebook, "parameters")
    if len(cells) != 1:
        return [f"{len(cells)} cells are tagged 'parameters', not one"]
    lines, problems, names = cells[0].source.splitlines(), [], set()
    for node in ast.parse(cells[0].source).body:
        if not (isinstance(node, ast.AnnAssign) and node.value):
            problems.append(f"not an annotated parameter: {ast.unparse(node)}")
            continue
        names.add(node.target.id)
        if not re.search(r"#\s*\w", lines[node.end_lineno - 1][node.end_col_offset :]):
            problems.append(f"no comment says what {node.target.id} is")
    missing = {"profile", "seed", "device"} - names
    return problems + [f"no parameter {name}" for name in sorted(missing)]


def figure_calls(notebook):
    """(number, caption, alt) of each call of `show`, in order; what is not a literal is empty."""

    def literal(node):
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

    for cell in code_cells(notebook):
        for node in ast.walk(parse(cell)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "show":
                named = {keyword.arg: keyword.value for keyword in node.keywords}
                number, caption = (literal(each) for each in node.args)
                yield number, caption, literal(named.get("alt"))


def figures_without_words(notebook, text):
    """Figures that are not shown by `show`, or have no caption, no description, or a number out of turn."""
    problems = [
        f"code cell {cell.execution_count} shows a figure without number and caption"
        for cell in code_cells(notebook)
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))
    ]
    for i, (number, caption, alt) in enumerate(figure_calls(notebook), 1):
        if number.split(".")[-1] != str(i):
            problems.append(f"figure {number} is number {i} of its chapter")
        if len(caption) < 20 or len(alt) < 20:
            problems.append(f"figure {number} lacks a caption or a description")
    return problems


def redefinitions(notebook, text):
    library = set().union(*(defined_names(ast.parse(p.read_text())) for p in (ROOT / "ntprl").rglob("*.py")))
    chapter = set().union(*(defined_names(parse(cell)) for cell in code_cells(notebook)))
    return [f"{name} is defined in ntprl already" for name in sorted(library & chapter)]


def bad_bootstrap(notebook, text):
    first = code_cells(notebook)[0]
    problems = [] if "remove-cell" in first.metadata.get("tags", []) else ["first code cell: no tag remove-cell"]
    parts = ("ntprl.llama", "ntprl.studies.words")
    needs_words = any(part in cell.source for cell in code_cells(notebook)[1:] for part in parts)
    bootstrap = BOOTSTRAP.replace("ntprl @", "ntprl[words] @") if needs_words else BOOTSTRAP
    if [line for line in first.source.splitlines() if line.strip()] != bootstrap.splitlines():
        problems.append(f"the first code cell is not the Colab bootstrap of {PROJECT['version']}:\n{bootstrap}")
    return problems


def machine_paths(notebook, text):
    """An absolute path in an output belongs to the machine that recorded it."""
    pattern = re.compile(r"""(?:^|[\s"'(=:])((?:/[\w.@-]+){2,}|[A-Z]:\\\w+)""")
    home = str(Path.home())
    found = []
    for cell in code_cells(notebook):
        for output in output_texts(cell):
            found += pattern.findall(output) + [home] * (len(home) > 1 and home in output)
    return [f"an output shows the path {path}" for path in found]


def too_wide(notebook, text):
    """A line of visible code that a column of the book cuts off."""
    visible = [cell for cell in code_cells(notebook) if "remove-cell" not in cell.metadata.get("tags", [])]
    lines = [line for cell in visible for line in cell.source.splitlines() if len(line) > COLUMN]
    return [f"{len(line)} characters, {COLUMN} fit: {line.strip()}" for line in lines]


def wide_outputs(notebook, text):
    """A printed line that runs out of its box."""
    streams = [output.text for cell in code_cells(notebook) for output in cell.outputs if output.get("name")]
    lines = [line for stream in streams for line in stream.splitlines() if len(line) > PAGE]
    return [f"{len(line)} characters, {PAGE} fit: {line}" for line in lines]


DECIMAL = r"(?<![\w.,])\d*\.\d+(?![\w.]|,\d)"
NOT_MEASURED = r"(?s)```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|“[^”]*”|\]\([^)]*\)|https?://\S+|(?m:^#+ \d\.\d+)"


def typed_decimals(notebook, text):
    """A decimal number in prose that no code or output of the chapter explains; formulas and quotations are let be."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    sections = set(re.findall(r"(?m)^#+ (\d\.\d+)", prose))
    shown = [cell.source for cell in code_cells(notebook)]
    shown += [value for cell in code_cells(notebook) for value in output_texts(cell)]
    known = {float(number) for number in re.findall(r"\d*\.\d+", "\n".join(map(str, shown)))}
    elsewhere = r"(?i)sections? \d\.\d+|\[\d\.\d+\]"  # sections of other chapters
    prose = re.sub(elsewhere, "", re.sub(NOT_MEASURED, "", prose))
    typed = [n for n in re.findall(DECIMAL, prose) if n not in sections]
    return [f"{number} is typed: no cell of the chapter shows it" for number in typed if float(number) not in known]


CHECKS = [
    pair_differs,
    not_run_in_order,
    errors_or_stderr,
    tool_leftovers,
    wrong_kernel,
    bad_parameters,
    figures_without_words,
    redefinitions,
    bad_bootstrap,
    machine_paths,
    too_wide,
    wide_outputs,
    typed_decimals,
]


def toc_files(toc):
    """The pages of a _toc.yml, in reading order, without suffix."""

    def below(entry):
        for key in ("parts", "chapters", "sections"):
            for child in entry.get(key, []):
                yield from [child["file"]] if "file" in child else []
                yield from below(child)

    return [toc["root"], *below(toc)]


def toc_problems(toc, names, root):
    listed = toc_files(toc)
    problems = [f"not in _toc.yml: chapters/{name}" for name in names if f"chapters/{name}" not in listed]
    for page in listed:
        if not any((root / f"{page}{suffix}").exists() for suffix in ("", ".md", ".ipynb")):
            problems.append(f"in _toc.yml without a file: {page}")
    return problems


# --- the book -----------------------------------------------------------------------------------


def test_there_are_chapters():
    assert NAMES, "no chapter found: every test below would pass without looking at anything"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_chapter(name, check):
    path = ROOT / "chapters" / f"{name}.ipynb"
    problems = check(nbformat.read(path, as_version=4), path.with_suffix(".md").read_text())
    assert not problems, "\n".join(problems)


def test_toc():
    problems = toc_problems(TOC, NAMES, ROOT)
    assert not problems, "\n".join(problems)


# --- each check fails where it should -----------------------------------------------------------


def sound():
    """A small chapter with nothing wrong, and the text it is paired with."""
    notebook = new_notebook(
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        cells=[
            new_code_cell(BOOTSTRAP.rstrip(), metadata={"tags": ["remove-cell"]}),
            new_markdown_cell("# A toy"),
            new_code_cell(
                'profile: str = "laptop"  # size\nseed: int = 0  # of draws\ndevice: str = "cpu"  # where',
                metadata={"tags": ["parameters"]},
            ),
            new_code_cell("print(1 + 1)", outputs=[new_output("stream", name="stdout", text="2\n")]),
            new_code_cell(
                'show("1.1", "The line rises to one half.", alt="A line that rises.  ")',
                outputs=[new_output("display_data", data={"text/html": "<svg>", "text/plain": "Figure 1.1."})],
            ),
        ],
    )
    for count, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
    return notebook, jupytext.writes(notebook, fmt="md:myst")


PARAMETERS, PRINT, FIGURE = 2, 3, 4  # where the cells of `sound` are


def replace(cell, old, new):
    """Edit a cell's source (the text is left alone, as only one check reads it)."""

    def edit(notebook):
        assert old in notebook.cells[cell].source
        notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)

    return edit


def prints(text, stream="stdout"):
    def edit(notebook):
        notebook.cells[PRINT].outputs = [new_output("stream", name=stream, text=text)]

    return edit


def some_library_function():
    source = (ROOT / "ntprl" / "tasks" / "task.py").read_text()
    return sorted(defined_names(ast.parse(source)))[0]


BREAKS = {
    "code edited on one side": (pair_differs, replace(PRINT, "1 + 1", "1 + 2")),
    "prose edited on one side": (pair_differs, replace(1, "toy", "tool")),
    "tag lost on one side": (pair_differs, lambda nb: nb.cells[PARAMETERS].metadata.pop("tags")),
    "cell never run": (not_run_in_order, lambda nb: nb.cells[PRINT].update(execution_count=None)),
    "cell run twice": (not_run_in_order, lambda nb: nb.cells[FIGURE].update(execution_count=7)),
    "cell added, not run": (not_run_in_order, lambda nb: nb.cells.append(new_code_cell("1"))),
    "stderr stored": (errors_or_stderr, prints("a warning", stream="stderr")),
    "error stored": (
        errors_or_stderr,
        lambda nb: nb.cells[PRINT].outputs.append(new_output("error", ename="E", evalue="", traceback=[])),
    ),
    "widget state": (tool_leftovers, lambda nb: nb.metadata.update(widgets={})),
    "papermill's notes": (tool_leftovers, lambda nb: nb.cells[PRINT].metadata.update(papermill={})),
    "another kernel": (wrong_kernel, lambda nb: nb.metadata.kernelspec.update(name="my-env")),
    "no parameters": (bad_parameters, lambda nb: nb.cells[PARAMETERS].metadata.pop("tags")),
    "two parameters cells": (bad_parameters, lambda nb: nb.cells.append(nb.cells[PARAMETERS])),
    "parameter without a type": (bad_parameters, replace(PARAMETERS, "seed: int", "seed")),
    "parameter without a comment": (bad_parameters, replace(PARAMETERS, "# of draws", "")),
    "comment inside a string": (bad_parameters, replace(PARAMETERS, '"laptop"  # size', '"# size"')),
    "no device": (bad_parameters, replace(PARAMETERS, "device", "machine")),
    "figure without alt text": (figures_without_words, replace(FIGURE, "A line that rises.  ", "")),
    "figure without a caption": (figures_without_words, replace(FIGURE, "The line rises to one half.", "")),
    "figure out of turn": (figures_without_words, replace(FIGURE, "1.1", "1.2")),
    "figure shown as pixels": (
        figures_without_words,
        lambda nb: nb.cells[FIGURE].outputs.append(new_output("display_data", data={"image/png": ""})),
    ),
    "library function again": (
        redefinitions,
        lambda nb: nb.cells[PRINT].update(source=f"%time\ndef {some_library_function()}():\n    pass"),
    ),
    "bootstrap of another release": (bad_bootstrap, replace(0, f"@v{PROJECT['version']}", "@v9.9.9")),
    "bootstrap of another project": (bad_bootstrap, replace(0, PROJECT["urls"]["Repository"], "https://x.y")),
    "bootstrap shown": (bad_bootstrap, lambda nb: nb.cells[0].metadata.pop("tags")),
    "no bootstrap": (bad_bootstrap, lambda nb: nb.cells.pop(0)),
    "path printed": (machine_paths, prints("saved to /srv/someone/table.csv")),
    "home printed": (machine_paths, prints(f"{Path.home()}")),
    "a line of code that is cut off": (too_wide, replace(PRINT, "1 + 1", "1 + " * 20 + "1")),
    "a printed line that is cut off": (wide_outputs, prints("a long line " * 8)),
    "a number typed": (typed_decimals, replace(1, "A toy", "A toy that is right on .737 of all")),
    "Windows path printed": (machine_paths, prints(r"saved to C:\Users\someone")),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sound_chapter_passes(check):
    assert check(*sound()) == []


@pytest.mark.parametrize("check, breaks", BREAKS.values(), ids=BREAKS)
def test_check_notices(check, breaks):
    notebook, text = sound()
    breaks(notebook)
    assert check(notebook, text)


def test_every_check_has_a_break():
    assert {check for check, _ in BREAKS.values()} == set(CHECKS)


def test_toc_check_notices(tmp_path):
    (tmp_path / "index.md").touch()
    assert toc_problems({"root": "index"}, [], tmp_path) == []
    assert toc_problems({"root": "index"}, ["01_a"], tmp_path) == ["not in _toc.yml: chapters/01_a"]
    nested = {"root": "index", "parts": [{"chapters": [{"file": "gone"}]}]}
    assert toc_problems(nested, [], tmp_path) == ["in _toc.yml without a file: gone"]


def toy(folder, output, source="print(1 + 1)"):
    cell = new_code_cell(source, execution_count=1)
    cell.outputs = [new_output("stream", name="stdout", text=output)]
    folder.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=[cell]), folder / "toy.ipynb")


def nbval(folder, *options):
    """The exit code, and the text, of a comparison of folder/toy.ipynb with what it gives."""
    sanitize = f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"
    command = [sys.executable, "-m", "pytest", *options, "--nbval", "--nbval-current-env", sanitize]
    done = subprocess.run([*command, f"{folder}/toy.ipynb"], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stored, code", [("2\n", 0), ("3\n", 1)])
def test_nbval_compares_stored_outputs(tmp_path, stored, code):
    toy(tmp_path, stored)
    assert nbval(tmp_path)[0] == code


@pytest.mark.slow
@pytest.mark.parametrize("run, code", [("2\n", 0), ("3\n", 1), ("2", 1)])
def test_nbval_compares_with_a_run_that_was_made(tmp_path, run, code):
    toy(tmp_path, "2\n")
    toy(tmp_path / "executed", run)
    assert nbval(tmp_path, "-p", "tools.replay", "--replay", str(tmp_path / "executed"))[0] == code


@pytest.mark.slow
def test_a_run_of_other_cells_is_no_run_of_these(tmp_path):
    toy(tmp_path, "2\n")
    toy(tmp_path / "executed", "2\n", source="print(2)")
    code, text = nbval(tmp_path, "-p", "tools.replay", "--replay", str(tmp_path / "executed"))
    assert code == 1 and "code cell 1 is not the one that was run" in text


@pytest.mark.slow
def test_a_chapter_that_was_not_run_is_named(tmp_path):
    toy(tmp_path, "2\n")
    code, text = nbval(tmp_path, "-p", "tools.replay", "--replay", str(tmp_path / "executed"))
    assert code != 0 and "toy.ipynb does not exist: run tools/execute.py" in text
