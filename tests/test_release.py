"""`make release`: version and address are written wherever they stand, and a place that was missed is named.

The copy that is rewritten is the whole checkout; what is left is looked for by git grep, not by the tool.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from tools import release
from tools.release import Refused, Release

ROOT = Path(__file__).resolve().parent.parent
TEXTS = release.read(ROOT)
OLD = release.current(TEXTS)
NEW = Release("97.8.6", "https://github.com/Some-Owner/some.book", "https://some-owner.github.io/some.book/")
ARGUMENTS = ["--version", NEW.version, "--repository", NEW.repository]
RECORDED = [":!data/*.json", ":!data/*.csv", ":!benchmarks/*.json", ":!benchmarks/*.csv", ":!requirements.lock"]


def git(folder, *arguments):
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path) -> Path:
    """All files under version control, as they are now, in a repository of their own."""
    folder = tmp_path / "copy"
    for name in filter(None, git(ROOT, "ls-files", "-z").stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    return folder


def contents(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in git(folder, "ls-files").stdout.splitlines()}


def test_no_old_address_or_version_is_left_and_every_place_says_the_new_one(copy):
    before = contents(copy)
    release.main(ARGUMENTS, copy)
    for old in (OLD.slug, OLD.site.removeprefix("https://").rstrip("/"), f"v{OLD.version}"):
        assert git(copy, "grep", "-nwF", old, "--", ".", *RECORDED, ":!tools/release.py").stdout == ""
    assert git(copy, "grep", "-n", f"^\\(__\\)\\?version.*{re.escape(OLD.version)}").stdout == ""

    chapters = sorted((copy / "chapters").glob("*.ipynb"))
    assert len(chapters) == len(list((copy / "chapters").glob("*.md"))) > 5
    for path in chapters:
        notebook = nbformat.read(path, as_version=4)
        bootstrap = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
        assert f'git+{NEW.repository}@v{NEW.version}"' in bootstrap
        assert f'git+{NEW.repository}@v{NEW.version}"' in path.with_suffix(".md").read_text()
    book = yaml.safe_load((copy / "_config.yml").read_text())
    assert book["repository"]["url"] == NEW.repository and book["repository"]["branch"] == f"v{NEW.version}"
    assert book["html"]["baseurl"] == book["sphinx"]["config"]["ogp_site_url"] == NEW.site
    assert book["sphinx"]["config"]["notfound_urls_prefix"] == "/some.book/"
    citation = yaml.safe_load((copy / "CITATION.cff").read_text())
    assert citation["version"] == NEW.version and citation["repository-code"] == NEW.repository
    assert f'__version__ = "{NEW.version}"' in (copy / "ntprl" / "__init__.py").read_text()

    changed = {name for name, content in contents(copy).items() if content != before[name]}
    recorded = [name for name in changed if name.startswith(("data/", "tests/")) or name.endswith((".csv", ".lock"))]
    assert recorded == []  # tables keep the version that they were recorded with
    assert len(changed) >= 25


def test_there_and_back_is_the_same():
    assert release.agreed(release.agreed(TEXTS, NEW), OLD) == TEXTS


def test_a_second_call_changes_nothing():
    once = release.agreed(TEXTS, NEW)
    assert release.agreed(once, NEW) == once


def test_this_checkout_agrees_with_itself():
    release.main(["--check"])


BREAKS = {
    "another version of the package": ("ntprl/__init__.py", OLD.version, "3.3.3"),
    "another version to cite": ("CITATION.cff", f"version: {OLD.version}", "version: 3.3.3"),
    "a cell that installs another tag": ("chapters/01_data_mixture.ipynb", f"@v{OLD.version}", "@v3.3.3"),
    "a text that installs another tag": ("chapters/01_data_mixture.md", f"@v{OLD.version}", "@main"),
    "a cell that installs another's code": ("chapters/02_pretraining_threshold.md", OLD.slug, "other/elsewhere"),
    "a link to a fork": ("README.md", OLD.slug, f"other/{OLD.slug.partition('/')[2]}"),
    "a button for another branch": ("_config.yml", f"branch: v{OLD.version}", "branch: main"),
    "another book": ("_config.yml", f"  url: {OLD.repository}", "  url: https://github.com/other/book"),
    "a picture elsewhere": ("_config.yml", f"ogp_image: {OLD.site}", "ogp_image: https://example.org/"),
    "a lost prefix": ("_config.yml", f"notfound_urls_prefix: {OLD.prefix}", "notfound_urls_prefix: /"),
}


MENDED = "another version of the package", "another version to cite", "a lost prefix"  # by writing: places of its own


def broken(case):
    """(name of the file in which one place disagrees, all texts with it)."""
    name, old, wrong = BREAKS[case]
    assert old in TEXTS[name]
    return name, TEXTS | {name: TEXTS[name].replace(old, wrong)}


@pytest.mark.parametrize("case", BREAKS)
def test_a_place_that_disagrees_is_named(case):
    name, texts = broken(case)
    with pytest.raises(Refused, match=re.escape(name)):
        release.agreed(texts, OLD, write=False)


@pytest.mark.parametrize("case", [case for case in BREAKS if case not in MENDED])
def test_where_a_place_disagrees_nothing_is_written(case):
    name, texts = broken(case)
    with pytest.raises(Refused, match=re.escape(name)):
        release.agreed(texts, NEW)


@pytest.mark.parametrize("case", MENDED)
def test_places_of_its_own_are_mended(case):
    _, texts = broken(case)
    assert release.agreed(texts, NEW) == release.agreed(TEXTS, NEW)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version", "2"], "version = '2' is not allowed"),
        (["--version", "1.2.3 "], "version = '1.2.3 ' is not allowed"),
        (["--repository", "https://gitlab.com/a/b"], "repository = 'https://gitlab.com/a/b' is not allowed"),
        (["--repository", "https://github.com/a"], "repository"),
        (["--repository", "https://github.com/a/b/c"], "repository"),
        (["--site", "http://example.org"], "site"),
    ],
)
def test_bad_values_are_refused_in_one_line(arguments, words):
    with pytest.raises(Refused) as refusal:
        release.main([*arguments, "--check"])
    assert words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


def test_a_tag_that_exists_is_not_used_again(copy):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    git(copy, *identity, "commit", "-qm", "all")
    git(copy, "tag", f"v{NEW.version}")
    with pytest.raises(Refused, match="exists"):
        release.main(ARGUMENTS, copy)


def test_without_git_nothing_is_guessed(tmp_path):
    with pytest.raises(Refused, match="no git checkout"):
        release.main(ARGUMENTS, tmp_path)


@pytest.mark.parametrize(
    ("repository", "site"),
    [
        ("https://github.com/Ann/book", "https://ann.github.io/book/"),
        ("https://github.com/ann/Ann.github.io", "https://ann.github.io/"),
    ],
)
def test_where_github_publishes(repository, site):
    assert release.pages_of(repository) == site


@pytest.mark.slow
def test_the_book_of_a_released_copy_passes_its_tests(copy):
    """The one command, then the book, then what is tested of it; all in the copy."""
    for package in ("notfound", "sphinx_reredirects", "sphinx_sitemap", "sphinxext.opengraph", "jupyter_book"):
        pytest.importorskip(package)
    values = [f"VERSION={NEW.version}", f"REPOSITORY={NEW.repository}", f"PYTHON={sys.executable}"]
    done = subprocess.run(["make", "release", *values], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0 and f"{NEW.repository} at v{NEW.version}" in done.stdout, done.stdout + done.stderr
    env = os.environ | {"PYTHONPATH": str(copy)}
    book = [Path(sys.executable).parent / "jupyter-book", "build", ".", "--path-output", ".", "-n", "-W", "--quiet"]
    built = subprocess.run(book, cwd=copy, env=env, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_site.py"]
    tested = subprocess.run(tests, cwd=copy, env=env, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    assert "skipped" not in tested.stdout.splitlines()[-1]
