"""What every chapter begins with: its parameters checked, the style of its figures set."""

from ntprl.book.results import PARAMETERS
from ntprl.book.run import PROFILES, require_device
from ntprl.book.style import use_style
from ntprl.errors import InputError, require, require_choice, require_integer

# What a kernel has by itself, and what `papermill --inject-paths` adds.
NOT_PARAMETERS = {"In", "Out", "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}


def is_plain(value: object) -> bool:
    """Whether papermill could have passed it: what YAML can say. A table of configurations is none."""
    if isinstance(value, dict):
        return all(is_plain(each) for each in value.values())
    return isinstance(value, (str, int, float, list, type(None)))


def start_chapter(namespace: dict) -> None:
    """Call it with globals() before the chapter assigns anything but its parameters.

    The annotations of the `parameters` cell say which parameters exist and of which type they are.
    papermill would let an unknown name or a wrong type pass; here each is refused in one line.
    """
    known = namespace.get("__annotations__", {})
    for name, value in namespace.items():
        if known and is_plain(value) and name not in {*known, *NOT_PARAMETERS} and not name.startswith("_"):
            raise InputError(f"parameter {name} = {value!r} is unknown: known are {', '.join(known)}")
    for name, kind in known.items():
        accepted = (int, float) if kind is float else kind
        is_right = isinstance(namespace[name], accepted) and (kind is bool or not isinstance(namespace[name], bool))
        require(is_right, name, namespace[name], KINDS[kind])
    require_choice("profile", namespace["profile"], PROFILES)
    require_integer("seed", namespace["seed"], low=0)
    require_device(namespace["device"])
    namespace[PARAMETERS] = {name: namespace[name] for name in known}
    use_style()
