"""The pages that show how to use the package: what they show is run as it stands, what they warn of is tried."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ntprl.book.run import Reinforcement
from ntprl.tasks.coin import CoinProblems
from ntprl.tasks.multiplication import Multiplication
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import check_task, said
from ntprl.tasks.words import WordProblems
from ntprl.weightings import ALGORITHMS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "chapters" / "pages").glob("howto_*.md"))


def run_page(path):
    """Its Python blocks, one after the other in one namespace, which is returned."""
    namespace = {"__name__": path.stem}
    blocks = re.findall(r"(?ms)^```python\n(.*?)^```", path.read_text())
    assert blocks
    for block in blocks:
        exec(compile(block, path.name, "exec"), namespace)
    return namespace


def test_there_are_pages():
    assert len(PAGES) == 5


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_a_page_shows_runs(path, capsys):
    if path.stem == "howto_model":
        pytest.importorskip("transformers")
    try:
        run_page(path)
        assert path.stem == "howto_task" or capsys.readouterr().out
    finally:
        ALGORITHMS.pop("rloo", None)


@pytest.mark.parametrize(
    "task",
    [Parity(1), Parity(5, modulus=3), Multiplication(2, marked=False), WordProblems(), CoinProblems(3)],
    ids=lambda task: type(task).__name__,
)
def test_our_own_tasks_are_sound(task):
    check_task(task)


def without_eos(self, prompts):
    return Parity.long(self, prompts)[:, :-1]


def after_eos(self, prompts):
    return np.pad(Parity.short(self, prompts)[:, :1], ((0, 0), (1, 0)), constant_values=self.eos)


def boom(self, *arguments, **options):
    return [][0]


UNSOUND = {
    "vocab_size": (3, "token 3"),
    "eos": (7, "eos = 7 is no token"),
    "long_length": (2, "long gives 4 tokens"),
    "prompt_length": (9, "prompts(test=False) gives 4 tokens"),
    "short_length": (0, "short_length"),
    "long": (without_eos, "without EOS"),
    "short": (after_eos, "goes on after EOS"),
    "prompts": (lambda self, n, rng, test=False: Parity.prompts(self, n, np.random.default_rng(), test), "elsewhere"),
    "r_e2e": (lambda self, prompts, answers: np.ones(len(answers), bool), "empty answer is right"),
    "r_cot": (
        lambda self, prompts, answers: Parity.r_e2e(self, prompts, answers) & (answers.shape[1] == 2),
        "wrong: [",
    ),
    "text": (boom, "text fails with IndexError: list index out of range"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_is_wrong_with_a_task_is_said_in_one_line(refused, name):
    value, words = UNSOUND[name]
    task = type("Mine", (Parity,), {name: value})(3)
    with refused("Mine", words):
        check_task(task)


def test_demonstrations_must_end_in_the_same_answer(refused):
    class Mine(Parity):
        def short(self, prompts):
            rows = super().short(prompts)
            return np.where(rows < 2, 1 - rows, rows)

        def r_e2e(self, prompts, answers):
            return said(answers, self.eos).any(axis=1)

        r_cot = r_e2e

    with refused("Mine", "different answers"):
        check_task(Mine(3))


def test_what_a_task_lacks_is_said(refused):
    @dataclass(frozen=True)
    class Nothing:
        d: int = 1

    with refused("task Nothing: it has no vocab_size"):
        check_task(Nothing())


def test_an_algorithm_must_be_there_before_the_run(refused):
    with refused("algorithm = 'rloo'"):
        Reinforcement(algorithm="rloo")


# --- the page of public names ---

API = PAGES[0].with_name("api.md")


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_public_names_is_that_of_the_code():
    assert API.read_text() == load_tool("api").page(), "run python tools/api.py"


def test_links_to_public_names_have_a_target():
    anchors = re.findall(r"(?m)^\((ntprl[\w.-]+)\)=$", API.read_text())
    assert len(anchors) == len({anchor.lower() for anchor in anchors}) > 100
    pages = [*API.parent.glob("*.md"), *API.parent.parent.glob("*.md")]
    linked = {name for page in pages for name in re.findall(r"\]\((ntprl\.[\w.-]+)\)", page.read_text())}
    assert linked and linked <= set(anchors)


# --- the campaign of faults ---


@pytest.mark.slow
def test_a_small_campaign_finds_no_fault(capsys):
    campaign = load_tool("campaign")
    code = campaign.main(["--cases", "8", "--kills", "1"])
    assert code == 0, capsys.readouterr().out


def test_the_campaign_counts_what_it_should():
    """Each kind of fault is one."""
    tally = load_tool("campaign").Tally("toy")
    tally.judge("caught", lambda: check_task(object()))
    tally.judge("crash", lambda: 1 / 0)
    tally.judge("nothing said", lambda: None)
    tally.judge("the same", lambda: 7, harmless=(7).__eq__)
    tally.judge("another", lambda: 8, harmless=(7).__eq__)
    assert tally.counts == {"refused": 1, "traceback": 1, "silent": 2, "accepted": 1}
    assert [fault.split(":")[0] for fault in tally.faults] == ["traceback", "silent", "silent"]
