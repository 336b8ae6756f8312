"""What every chapter begins with: its parameters checked, the style of its figures set."""

import ast
from contextlib import suppress

from ntprl.book.results import PARAMETERS
from ntprl.book.run import PROFILES, require_device
from ntprl.book.style import use_style
from ntprl.errors import InputError, require, require_choice, require_seed, shown

# What a kernel has by itself, and what `papermill --inject-paths` adds.
NOT_PARAMETERS = {"In", "Out", "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}


def annotations(namespace: dict) -> dict[str, type]:
    """What the cells of a notebook have annotated: name -> type.

    From Python 3.14 on annotations are lazy, and a notebook, which runs each statement on its own, keeps those of the
    last one alone. Then they are read from the text of its cells.
    """
    found = dict(namespace.get("__annotations__") or {})
    if not found:
        types = {kind.__name__: kind for kind in KINDS}
        for cell in namespace.get("In", []):
            with suppress(SyntaxError):  # a cell of magic
                for node in ast.parse(cell).body:
                    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) in types:
                        found[ast.unparse(node.target)] = types[ast.unparse(node.annotation)]
    return found


def is_plain(value: object) -> bool:
    """Whether papermill could have passed it: what YAML can say. A table of configurations is none."""
    if isinstance(value, dict):
        return all(is_plain(each) for each in value.values())
    return isinstance(value, (str, int, float, list, tuple, set, type(None)))


def start_chapter(namespace: dict) -> None:
    """Call it with globals() before the chapter assigns anything but its parameters.

    The annotations of the `parameters` cell say which parameters exist and of which type they are.
    papermill would let an unknown name or a wrong type pass; here each is refused in one line.
    """
    known = annotations(namespace)
    if not known:
        raise InputError("no parameter of this chapter says its type, as in `seed: int = 0`: none could be checked")
    for name, value in namespace.items():
        if is_plain(value) and name not in {*known, *NOT_PARAMETERS} and not name.startswith("_"):
            raise InputError(f"parameter {name} = {shown(value)} is unknown: known are {', '.join(known)}")
    for name, kind in known.items():
        accepted = (int, float) if kind is float else kind
        is_right = isinstance(namespace[name], accepted) and (kind is bool or not isinstance(namespace[name], bool))
        require(is_right, name, namespace[name], KINDS[kind])
    require_choice("profile", namespace["profile"], PROFILES)
    require_seed(namespace["seed"])
    require_device(namespace["device"])
    namespace[PARAMETERS] = {name: namespace[name] for name in known}
    use_style()
