"""The plan of the house: imports flow one way, no circle, no study knows another, a public name has one meaning.

tasks, errors, seeds, theory <- the paper <- linear_chain, proofs <- book <- llama <- studies <- records <- the rest
"""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

GROUND = ("errors", "seeds", "theory")
PAPER = ("mixture", "transformer", "sampling", "pretrain", "weightings", "policy_gradient", "posttrain", "measure")
PAPER += ("checkpoint",)
FLOORS = (  # from the ground up; what stands on one floor may import from its own and from those below
    ("ntprl", "ntprl.tasks", *(f"ntprl.{name}" for name in GROUND)),
    tuple(f"ntprl.{name}" for name in PAPER),
    ("ntprl.linear_chain", "ntprl.proofs"),
    ("ntprl.book",),
    ("ntprl.llama",),
    ("ntprl.studies",),
    ("ntprl.records",),
    ("chapters", "tools", "benchmarks"),
)


def floor(module: str) -> int:
    """The floor of a module, that of its longest listed prefix."""
    homes = [(len(home), i) for i, homes in enumerate(FLOORS) for home in homes if f"{module}.".startswith(f"{home}.")]
    assert homes, f"{module} stands on no floor: say in this file where it belongs"
    length, level = max(homes)
    assert length > len("ntprl") or module == "ntprl", f"{module} stands on no floor: say in this file where it belongs"
    return level


def study(module: str) -> str | None:
    """The study that a module belongs to; None for modules that know all studies, and for those below."""
    parts = module.split(".")
    is_inside = len(parts) > 2 and parts[:2] == ["ntprl", "studies"]
    return parts[2] if is_inside and (ROOT / "ntprl" / "studies" / parts[2]).is_dir() else None


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "ntprl").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(source: str, known: dict[str, Path]) -> Iterator[str]:
    """The modules of this package that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "ntprl")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ntprl":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def violations(sources: dict[str, str]) -> list[str]:
    """Imports against the rule, among modules given as name -> source."""
    problems = []
    for module, source in sources.items():
        for other in set(imported(source, MODULES)) - {module}:
            if floor(other) > floor(module):
                problems.append(f"{module} imports {other} from a floor above")
            if study(module) and study(other) not in (None, study(module)):
                problems.append(f"{module} imports {other}, of another study")
    return problems


def circle(sources: dict[str, str]) -> list[str] | None:
    """Modules that import each other in a circle, if there are any. A package's own file counts as its module."""
    graph = {module: set(imported(source, MODULES)) - {module} for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


FLOOR_ON_PAGE = re.compile(r'(?m)^<div class="floor \w+"><b>([^<]+)</b>(.*)$')
SOURCES = {module: path.read_text() for module, path in MODULES.items()}


def test_there_are_modules_on_every_floor():
    assert {floor(module) for module in MODULES} == set(range(len(FLOORS) - 1))


def test_imports_flow_one_way():
    assert violations(SOURCES) == []


def test_no_circle():
    assert circle(SOURCES) is None


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ntprl.mixture", "from ntprl.book.run import Run"),
        ("ntprl.tasks.parity", "from ntprl.mixture import Mixture"),
        ("ntprl.book.store", "def late():\n    from ntprl.studies.catalogue import TABLES"),
        ("ntprl.linear_chain.chain", "from ntprl.book import readings"),
        ("ntprl.studies.recovery.claims", "from ntprl.studies.threshold import runs"),
        ("ntprl.studies.scorecard", "import ntprl.records"),
    ],
)
def test_the_rule_bites(module, line):
    assert violations(SOURCES | {module: f"{SOURCES[module]}\n{line}\n"})


def test_a_circle_is_found():
    changed = {"ntprl.book.recording": SOURCES["ntprl.book.recording"] + "\nfrom ntprl.book.store import load\n"}
    assert set(circle(SOURCES | changed)) == {"ntprl.book.recording", "ntprl.book.store"}


def test_the_picture_of_the_house_has_all_its_rooms():
    page = (ROOT / "chapters" / "pages" / "layout.md").read_text()
    shown = {title: set(re.findall(r"<span>(\w+)</span>", floor)) for title, floor in FLOOR_ON_PAGE.findall(page)}
    rooms = {"the paper": set(PAPER)}
    for title, folder in (("book", "book"), ("tasks, theory, seeds, errors", "tasks")):
        rooms[title] = {path.stem for path in (ROOT / "ntprl" / folder).glob("[a-z]*.py")}
    rooms["studies"] = {path.parent.name for path in (ROOT / "ntprl" / "studies").glob("*/__init__.py")}
    assert {title: found for title, found in shown.items() if found} == rooms


# --- words ---


def public_names(source: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(source).body if isinstance(node, kinds) and not node.name.startswith("_")}


def is_a_study_or_a_proof(module: str) -> bool:
    """There names repeat on purpose: each study is opened by its own name, and a proof bears its lemma's."""
    return study(module) is not None or module.startswith("ntprl.proofs.") or module == "ntprl.records"


def test_a_public_name_has_one_meaning():
    homes: dict[str, list[str]] = {}
    for module, source in SOURCES.items():
        if not is_a_study_or_a_proof(module):
            for name in public_names(source):
                homes.setdefault(name, []).append(module)
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert twice == {}


def test_every_module_says_what_it_is():
    """In one line, at its top."""
    for module, source in SOURCES.items():
        doc = ast.get_docstring(ast.parse(source))
        assert doc and len(doc.splitlines()[0]) <= 120, module


# --- what others may build on ---

PUBLIC = [module for module in MODULES if module.count(".") == 1 or module.startswith("ntprl.tasks.")]


def undocumented(source: str) -> list[str]:
    """Public functions, classes and methods without a docstring, or with an argument or result without a type.

    What a task's properties are is said once, by the protocol.
    """
    found = []

    def look(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        for inner in node.body:
            if not isinstance(inner, (ast.FunctionDef, ast.ClassDef)) or inner.name.startswith("_"):
                continue
            is_property = any(ast.unparse(decorator) == "property" for decorator in inner.decorator_list)
            if not ast.get_docstring(inner) and not is_property:
                found.append(f"{prefix}{inner.name}: no docstring")
            if isinstance(inner, ast.ClassDef):
                look(inner, f"{prefix}{inner.name}.")
                continue
            arguments = [*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs]
            untyped = [each.arg for each in arguments if each.annotation is None and each.arg not in ("self", "cls")]
            if untyped or inner.returns is None:
                found.append(f"{prefix}{inner.name}: no type for {', '.join(untyped) or 'its result'}")

    look(ast.parse(source), "")
    return found


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_typed_and_documented(module):
    assert undocumented(SOURCES[module]) == []


def test_a_missing_docstring_or_type_is_found():
    assert undocumented("def f(x: int) -> int:\n    return x") == ["f: no docstring"]
    assert undocumented('class C:\n    "A."\n    def f(self, x):\n        "Of x."') == ["C.f: no type for x"]
    assert (ROOT / "ntprl" / "py.typed").is_file()
