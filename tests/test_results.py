"""Results as data: kept by a notebook that papermill runs, read back exactly, found by scrapbook's convention too."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ntprl.book import results
from ntprl.book.results import MIME, keep_results, read_results

ROOT = Path(__file__).resolve().parent.parent
TOY = [
    'profile: str = "laptop"  # size\nseed: int = 0\ndevice: str = "cpu"\np_cot: float = 0.25',
    "from ntprl.book.chapter import start_chapter\nfrom ntprl.book.results import keep_results\n"
    "start_chapter(globals())\nimport pandas as pd\nseed = 5  # not what it was run with",
    'table = pd.DataFrame({"step": [1, 2], "half": [p_cot / 2, None], "word": ["a", "b"], "seconds": [1.5, 2.5]})\n'
    "keep_results(table, globals())",
]


def toy(folder: Path) -> Path:
    cells = [new_code_cell(source) for source in TOY]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "toy.ipynb")
    return folder / "toy.ipynb"


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Keep a table as a notebook would; the path of that notebook."""

    def keep(table: pd.DataFrame, namespace: dict, name: str = "out") -> Path:
        shown = []
        monkeypatch.setattr("IPython.get_ipython", lambda: True)
        monkeypatch.setattr("IPython.display.display", lambda *bundles, **options: shown.append((bundles[0], options)))
        keep_results(table, namespace)
        ((bundle, options),) = shown
        assert options["raw"] and set(bundle) == {MIME}  # readers see nothing
        output = {"output_type": "display_data", "data": bundle, "metadata": options["metadata"]}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": [{"outputs": [output]}]}, allow_nan=False))
        return tmp_path / f"{name}.ipynb"

    return keep


def namespace(**values) -> dict:
    return {results.PARAMETERS: values}


def test_what_is_kept_is_read_to_the_last_digit(kept):
    table = pd.DataFrame(
        {"n": np.arange(3), "x": [1 / 3, np.nan, np.pi], "word": ["a", None, "c"], "yes": [True, False, True]}
    )
    read = read_results(kept(table, namespace(seed=3, p_cot=0.1)))
    assert list(read.columns) == ["notebook", "seed", "p_cot", "n", "x", "word", "yes"]
    pd.testing.assert_frame_equal(read[list(table.columns)], table)
    assert set(read["notebook"]) == {"out"} and set(read["seed"]) == {3} and set(read["p_cot"]) == {0.1}


def test_a_named_index_becomes_a_column_and_a_column_hides_a_parameter(kept):
    table = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index([0.1, 0.2], name="p_cot"))
    read = read_results(kept(table, namespace(p_cot=0.7)))
    assert list(read["p_cot"]) == [0.1, 0.2]


def test_several_notebooks_are_one_table(kept):
    table = pd.DataFrame({"x": [1.0]})
    paths = [kept(table * n, namespace(seed=n), name=f"out{n}") for n in (1, 2)]
    assert read_results(*paths)[["notebook", "seed", "x"]].to_numpy().tolist() == [["out1", 1, 1.0], ["out2", 2, 2.0]]


def test_times_are_left_out(kept):
    assert "seconds" not in read_results(kept(pd.DataFrame({"x": [1], "seconds": [2.5]}), namespace()))


@pytest.mark.parametrize("table", ["text", pd.DataFrame({("a", "b"): [1]}), pd.DataFrame({0: [1]})])
def test_what_is_no_tidy_table_is_refused(refused, table):
    with refused("table", "one level of names"):
        keep_results(table, {})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [3]}', '{"cells": null}'])
def test_a_file_that_is_no_notebook_is_refused(tmp_path, refused, text):
    (tmp_path / "a.ipynb").write_text(text)
    with refused("a.ipynb is no notebook"):
        read_results(tmp_path / "a.ipynb")


def test_a_notebook_without_results_is_refused(tmp_path, refused):
    (tmp_path / "a.ipynb").write_text('{"cells": [{"cell_type": "markdown"}]}')
    with refused("holds no results"):
        read_results(tmp_path / "a.ipynb")
    with refused("b.ipynb", "FileNotFoundError"):
        read_results(tmp_path / "b.ipynb")
    with refused("paths = ()"):
        read_results()


def test_outside_a_notebook_nothing_happens(capsys):
    keep_results(pd.DataFrame({"x": [1]}), {})
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--inject-paths", "--inject-output-path"])
def test_a_notebook_that_papermill_ran_is_read(tmp_path, option):
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(toy(tmp_path)), str(out), "--no-progress-bar", option]
    done = subprocess.run([*command, "-p", "p_cot", "0.5"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = read_results(out)
    assert read[["step", "word"]].to_numpy().tolist() == [[1, "a"], [2, "b"]]
    assert set(read["seed"]) == {0}
    assert read["half"][0] == 0.25 and np.isnan(read["half"][1]) and set(read["p_cot"]) == {0.5}
    cells = nbformat.read(out, as_version=4).cells
    (bundle,) = cells[-1].outputs  # as scrapbook looks for it
    assert bundle.data[MIME]["name"] == bundle.metadata["scrapbook"]["name"] == results.NAME


# --- the page ---

PAGE = (ROOT / "chapters" / "pages" / "sweeping.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "chapters").glob("0*.ipynb")), ids=lambda path: path.stem)
def test_every_chapter_keeps_its_results(path):
    last = nbformat.read(path, as_version=4).cells[-1]
    assert "keep_results(" in last.source and {"remove-cell", "nbval-ignore-output"} <= set(last.metadata["tags"])
    kept = read_results(path)
    assert len(kept) and {"profile", "seed", "device"} <= set(kept.columns)


@pytest.mark.slow
def test_the_page_on_sweeps_does_what_it_says(tmp_path):
    """All its commands and code, in their order, in a folder with the chapter that it takes."""
    (tmp_path / "chapters").mkdir()
    chapter = "chapters/02_pretraining_threshold.ipynb"
    shutil.copy(ROOT / chapter, tmp_path / chapter)
    blocks = re.findall(r"(?ms)^```(sh|python)\n(.*?)^```", PAGE)
    assert [kind for kind, _ in blocks] == ["sh", "python", "python", "python"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    printed = []
    for kind, code in blocks:
        command = ["bash", "-euc", code] if kind == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert "0.2" in printed[1] and "0.4" in printed[1]
    kept = read_results(*sorted((tmp_path / "runs" / "sweep").glob("*.ipynb")))
    assert set(zip(kept["p_cot"], kept["seed"], strict=True)) == {(0.2, 0), (0.4, 0), (0.2, 1), (0.4, 1)}
    # the two ways agree: the chapter's live run is the library's run
    ours = kept.query("p_cot == 0.4 and seed == 1").iloc[-1]
    assert f"{ours['sampled_long']:.6f}" in printed[3]
