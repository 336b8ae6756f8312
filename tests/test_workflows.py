"""What runs on GitHub: pinned actions, little permission, nothing published before its tests. And the order of make."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tools import pdf

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
RELEASE = WORKFLOWS["release"]["jobs"]
PUBLISHES = {"pages", "package", "files"}


def before(job: str) -> set[str]:
    """The jobs that must have passed before one of the release begins."""
    needs = RELEASE[job].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*map(before, direct))


def writes(job: dict) -> bool:
    return "write" in job.get("permissions", {}).values()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_commit(name):
    uses = re.findall(r"(?m)uses: (\S+)(.*)$", (ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    assert uses
    for action, comment in uses:
        is_own = action.startswith("./")
        assert is_own or (re.search(r"@[0-9a-f]{40}$", action) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment)), action


def test_one_version_of_each_action():
    texts = "\n".join((ROOT / ".github" / "workflows" / f"{name}.yml").read_text() for name in WORKFLOWS)
    pins = {tuple(pin.split("@")) for pin in re.findall(r"uses: ([\w./-]+@[0-9a-f]{40})", texts)}
    assert len(pins) == len({action for action, _ in pins}) > 3


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    writing = {job for job, content in WORKFLOWS[name]["jobs"].items() if writes(content)}
    assert writing == (PUBLISHES if name == "release" else set())


@pytest.mark.parametrize("job", sorted(PUBLISHES))
def test_nothing_is_published_before_all_tests_have_passed(job):
    assert {"agree", "test", "build"} <= before(job)
    assert "always()" not in str(RELEASE[job].get("if", ""))
    assert RELEASE["test"]["uses"] == "./.github/workflows/test.yml"
    assert "workflow_call" in WORKFLOWS["test"][True]  # YAML reads `on` as true


def test_only_a_tag_publishes():
    assert WORKFLOWS["release"][True] == {"push": {"tags": ["v*"]}}


def test_dependabot_looks_at_actions():
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions"]


def test_the_container_sets_up_what_the_makefile_knows():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    (target,) = re.findall(r"make (\.venv/\.\w+)$", container["postCreateCommand"])
    assert f"{target} ##" in (ROOT / "Makefile").read_text()


def test_commands_of_the_hooks_exist():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = {hook["id"]: hook["entry"] for hook in repository["hooks"]}
    assert set(entries) == {"ruff-check", "ruff-format", "pairs"}
    assert all(entry.startswith(".venv/bin/") for entry in entries.values())


# --- make ---

FAKE = """#!/usr/bin/env bash
echo "begin {name}" >> log; sleep .3; echo "end {name}" >> log
"""


@pytest.fixture
def made(tmp_path):
    """What make runs, as lines "begin PROGRAM" and "end PROGRAM", which the programs of .venv write here."""
    (tmp_path / "tools").mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "tools/execute.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("pip", "python", "pytest", "ruff", "python3"):
        (programs / name).write_text(FAKE.format(name=name))
        (programs / name).chmod(0o755)
    (tmp_path / "chapters").mkdir()
    for name in ("01_a", "02_b"):
        (tmp_path / "chapters" / f"{name}.md").touch()

    def make(*arguments: str) -> list[str]:
        command = ["make", *arguments, f"PYTHON={programs}/python3", "JOBS=2"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "log").read_text().splitlines()

    return make


def test_two_verbs_at_once_do_not_install_at_once(made):
    events = made("-j2", "check", "bench")
    installs = [event for event in events if event.endswith("pip")]
    assert len(installs) == 6  # the book's part, and one for each verb
    assert all(event.startswith("begin") for event in events[::2])  # nothing begins before the last has ended
    assert all(event.startswith("end") for event in events[1::2])


def test_chapters_do_run_side_by_side(made):
    events = [event for event in made("executed") if event.endswith(" python")]
    assert events == ["begin python"] * 2 + ["end python"] * 2


# --- the PDF ---


@pytest.mark.slow
def test_a_page_is_printed(tmp_path):
    if not any(map(shutil.which, pdf.BROWSERS)):
        pytest.skip("no Chromium or Chrome is installed")
    (tmp_path / "a.html").write_text("<p>one</p><p style='break-before: page'>two</p>")
    pdf.print_page(tmp_path / "a.html", tmp_path / "a.pdf")
    assert pdf.pages(tmp_path / "a.pdf") == 2


def test_without_a_browser_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="no Chromium"):
        pdf.print_page(tmp_path / "a.html", tmp_path / "a.pdf")
