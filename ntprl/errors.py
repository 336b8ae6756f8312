"""Bad input ends in one line: what it is, its value, what is allowed."""

from collections.abc import Collection
from numbers import Integral, Real


class InputError(ValueError):
    """A parameter, file, table or checkpoint that cannot be used, described in one line."""

    def _render_traceback_(self) -> list[str]:
        """Notebooks show this instead of a traceback (an IPython hook)."""
        return [f"InputError: {self}"]


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise an InputError that names the parameter, its value and what is allowed."""
    if not condition:
        shown = " ".join(repr(value).split())  # an array takes several lines
        raise InputError(f"{name} = {shown} is not allowed: {name} must be {allowed}")


def require_integer(name: str, value: object, low: int) -> None:
    """A whole number of at least `low`; booleans are refused, and floats."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    require(is_integer and value >= low, name, value, f"a whole number of at least {low}")


def require_number(name: str, value: object, low: float, high: float = float("inf")) -> None:
    """A real number in [low, high]; text, NaN and booleans are refused."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    allowed = f"a number in [{low}, {high}]" if high < float("inf") else f"a finite number of at least {low}"
    require(is_number and low <= value <= high and value != float("inf"), name, value, allowed)


def install_command(extra: str) -> str:
    """How to install an extra: from the checkout. By name an index would give whatever somebody put there."""
    return f"pip install -e '.[{extra}]' in a checkout of ntprl"


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """One of the names in `choices`."""
    require(isinstance(value, str) and value in choices, name, value, "one of " + ", ".join(sorted(choices)))
