"""The files around the code say the same thing: name, version, address, dependencies, and what is where."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import ntprl

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
BINDER = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())

# What Colab has preinstalled. A dependency that excluded one of these would replace a loaded library while a reader is
# using it.
COLAB_PYTHON = "3.13.0"
COLAB = dict(line.split("==") for line in (ROOT / "tests" / "colab.txt").read_text().splitlines() if "==" in line)

CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {
    extra: [requirement for line in lines if (requirement := Requirement(line)).name != PROJECT["name"]]
    for extra, lines in PROJECT["optional-dependencies"].items()
}
DIRECT = CORE + [requirement for requirements in EXTRAS.values() for requirement in requirements]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_lines():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def locked():
    return {normal(name): version for name, _, version in (line.partition("==") for line in lock_lines())}


def layout_tree():
    """The fenced block of the page on the layout whose lines read `ntprl/parity.py   # phrase`: path -> phrase."""
    for block in re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", (ROOT / "chapters" / "pages" / "layout.md").read_text()):
        tree = dict(re.findall(r"(?m)^(\S+)[ \t]+# (\S.*)$", block))
        if any(path.startswith("ntprl/") for path in tree):
            return tree
    return {}


def test_one_version():
    assert ntprl.__version__ == PROJECT["version"]
    assert CITATION["version"] == PROJECT["version"]


def test_one_repository():
    book = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert book["repository"]["url"] == REPOSITORY
    assert CITATION["repository-code"] == REPOSITORY
    # The chapters' Colab cells are held to the same address and version in test_book.py.


def test_one_paper():
    title = CITATION["preferred-citation"]["title"]
    assert title in PROJECT["description"]
    assert title in (ROOT / "references.bib").read_text()


def test_environment_is_thin():
    *conda, pip = ENVIRONMENT["dependencies"]
    python = next(line.removeprefix("python=") for line in conda if line.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert {line.split("=")[0] for line in conda} == {"python", "pip"}
    (install,) = pip["pip"]
    assert set(re.fullmatch(r"-e \.\[(.*)\]", install)[1].split(",")) <= set(EXTRAS)


def test_binder_installs_no_more_than_chapters_need():
    """Without tests, TRL and the book's builder, for PyTorch on CPUs, in the locked versions."""
    assert [line.split("=")[0] for line in BINDER["dependencies"]] == ["python", "pip"]
    script = ROOT / "binder" / "postBuild"
    text = script.read_text()
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', text)
    assert {name for extra in extras.split(",") for name in with_parts(extra)} >= {"ipykernel", "math-verify"}
    assert not {"trl", "jupyter-book", "pytest"} & {name for extra in extras.split(",") for name in with_parts(extra)}
    assert "whl/cpu" in text and "--constraint requirements.lock" in text and os.access(script, os.X_OK)


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_lock_satisfies(requirement):
    assert requirement.specifier.contains(locked()[normal(requirement.name)])


def with_parts(extra):
    """The requirements of an extra, with those of the extras that it names."""
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            yield from (each for inner in requirement.extras for each in with_parts(inner))
        else:
            yield normal(requirement.name)


def test_all_tests_have_every_package():
    """But for those of the book, which the Makefile installs before them."""
    assert set(with_parts("test")) >= {normal(each.name) for part in EXTRAS if part != "book" for each in EXTRAS[part]}


def test_the_book_and_the_fast_tests_do_without_the_largest():
    (book,) = re.findall(r"(?m)^BOOK := (\S+)$", (ROOT / "Makefile").read_text())
    light = {name for extra in (*book.split(","), "check") for name in with_parts(extra)}
    assert "transformers" in light
    assert not light & {"trl", "datasets", "peft", "accelerate", "distributed", "submitit", "playwright"}


NEEDS_IT = """
import pytest
here = pytest.importorskip("{}")
def test_that_needs_more():
    pytest.importorskip("{}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("packages", [("json", "json"), ("no_such", "json"), ("json", "no_such")])
def test_no_test_skips_itself_where_all_is_installed(tmp_path, packages):
    """With the plugin that `make test` names; without it nothing fails."""
    assert "-p tools.complete tests" in (ROOT / "Makefile").read_text()
    (tmp_path / "test_toy.py").write_text(NEEDS_IT.format(*packages))
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path)]
    plain, strict = (
        subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
        for options in ((), ("-p", "tools.complete"))
    )
    assert plain.returncode in (0, 5)  # 5: a file that skips itself has no test
    assert (strict.returncode != 0) == ("no_such" in packages)
    assert ("could not import 'no_such'" in strict.stdout) == ("no_such" in packages)


def test_lock_is_exact():
    assert [line for line in lock_lines() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def in_colab():
    """What the first cells of all chapters install: the core, and the extras that one of them names."""
    cells = "".join(path.read_text() for path in (ROOT / "chapters").glob("*.md"))
    named = set(re.findall(r"%pip install -q \"ntprl\[([\w,]+)\] @", cells))
    for extra in {extra for extras in named for extra in extras.split(",")}:
        yield from (each for part in {extra, *inner_extras(extra)} for each in EXTRAS[part])
    yield from CORE


def inner_extras(extra):
    """The extras that an extra names, and those that they name."""
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            for inner in requirement.extras:
                yield inner
                yield from inner_extras(inner)


@pytest.mark.parametrize("requirement", sorted(in_colab(), key=str), ids=str)
def test_nothing_of_colab_is_replaced(requirement):
    """math-verify is not there and comes new; all else is."""
    if requirement.name != "math-verify":
        assert requirement.specifier.contains(COLAB[requirement.name])


def test_chapter_7_installs_nothing_of_trl_in_colab():
    """Transformers is there already."""
    assert {each.name for each in in_colab()} - {each.name for each in CORE} == {"math-verify"}


def test_python_admits_colab():
    assert SpecifierSet(PROJECT["requires-python"]).contains(COLAB_PYTHON)


def test_the_tree_on_the_page_of_the_layout_is_true():
    tree = layout_tree()
    assert [path for path in tree if not (ROOT / path).exists()] == []
    modules = {f"ntprl/{path.name}" for path in (ROOT / "ntprl").glob("*.py")} - {"ntprl/__init__.py"}
    assert sorted(modules - set(tree)) == []


def test_the_book_is_rebuilt_when_any_module_changes():
    """The Makefile's list of what chapters depend on has every module and every table."""
    (patterns,) = re.findall(r"(?m)^CODE := \$\(wildcard ([^)]*)\)", (ROOT / "Makefile").read_text())
    watched = {path for pattern in patterns.split() for path in ROOT.glob(pattern)}
    assert {path for path in (ROOT / "ntprl").rglob("*.py")} <= watched
    assert {path for path in (ROOT / "data").iterdir()} <= watched


def test_readme_opens_every_chapter_in_colab():
    """At the repository's own address and at the release that their first cell installs."""
    text = (ROOT / "README.md").read_text()
    slug = REPOSITORY.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{slug}/blob/v{PROJECT['version']}/"
    opened = {link.removeprefix(colab) for link in re.findall(r"\]\((https://colab[^)]*)\)", text)}
    assert opened == {f"chapters/{path.name}" for path in (ROOT / "chapters").glob("*.ipynb")}
    assert f'pip install "{PROJECT["name"]} @ git+{REPOSITORY}@v{PROJECT["version"]}"' in text


def test_readme_links_lead_to_files():
    """On the forge they are paths; and the README stays short, since the book has the rest."""
    text = (ROOT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)]*)\)", text) if "://" not in link]
    links += re.findall(r'(?:src|srcset)="([^"]*)"', text)
    assert len(links) > 10 and [link for link in links if not (ROOT / link).exists()] == []
    assert len(text.splitlines()) < 90


def test_files_that_pages_name_exist():
    """A path in backticks on a page, as `ntprl/pretrain.py`, is there."""
    pages = [ROOT / "README.md", ROOT / "index.md", *ROOT.glob("*/README.md"), *(ROOT / "chapters").rglob("*.md")]
    path = re.compile(r"`((?:ntprl|tests|tools|data)/[\w./*]+)`")
    named = {name for page in pages for name in path.findall(page.read_text())}
    assert len(named) > 10
    assert [name for name in sorted(named) if not (any(ROOT.glob(name)) or "NAME" in name or "HASH" in name)] == []
