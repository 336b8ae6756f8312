"""Bad input ends in one line: what it is, its value, what is allowed."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path

LONGEST_SHOWN = 80  # characters of a value that a message repeats
LARGEST_SIZE = 10**9  # of anything that is counted; what fits a machine is far below
LARGEST_SEED = 2**63 - 1  # what NumPy and PyTorch can both hold


class InputError(ValueError):
    """A parameter, file, table or checkpoint that cannot be used, described in one line."""

    def _render_traceback_(self) -> list[str]:
        """Notebooks show this instead of a traceback (an IPython hook)."""
        return [f"InputError: {self}"]


def shown(value: object) -> str:
    """A value as messages repeat it: in one line, cut in the middle if it is long."""
    try:
        text = " ".join(repr(value).split())  # an array takes several lines
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        text = f"a whole number of about {value.bit_length() * 3 // 10:,} digits"
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} ... {text[-half + 5 :]}"


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise an InputError that names the parameter, its value and what is allowed."""
    if not condition:
        raise InputError(f"{name} = {shown(value)} is not allowed: {name} must be {allowed}")


def require_integer(name: str, value: object, low: int, high: int = LARGEST_SIZE) -> None:
    """A whole number in [low, high]; booleans are refused, and floats."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    is_large = is_integer and value > high
    allowed = f"a whole number of at least {low}" + (f" and at most {high:,}" if is_large else "")
    require(is_integer and low <= value <= high, name, value, allowed)


def require_seed(value: object, name: str = "seed") -> None:
    """A whole number that every random generator takes."""
    require_integer(name, value, low=0, high=LARGEST_SEED)


def require_number(name: str, value: object, low: float, high: float = float("inf")) -> None:
    """A real number in [low, high]; text, NaN and booleans are refused, and what no float can hold."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    is_number = is_number and not (isinstance(value, Integral) and abs(value) >= 2**1023)
    allowed = f"a number in [{low}, {high}]" if high < float("inf") else f"a finite number of at least {low}"
    require(is_number and low <= value <= high and value != float("inf"), name, value, allowed)


def install_command(extra: str) -> str:
    """How to install an extra: from the checkout. By name an index would give whatever somebody put there."""
    return f"pip install -e '.[{extra}]' in a checkout of ntprl"


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """One of the names in `choices`."""
    require(isinstance(value, str) and value in choices, name, value, "one of " + ", ".join(sorted(choices)))


def existing_path(name: str, value: str) -> Path | None:
    """The file or folder that a parameter names, ~ expanded; None if there is none. Refuses what can be no path."""
    try:
        path = Path(value).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError) as error:  # too long; the home of nobody; a zero byte
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(f"{name} = {shown(value)} is not allowed: it can be no path ({reason})") from None


def _named_once(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object whose names are all different; `json` would keep the last of equal ones without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names {shown(next(name for name in names if names.count(name) > 1))} twice")
    return content


def json_object(source: Path | str | bytes, what: str, keys: Collection[str] = (), remedy: str = "") -> dict:
    """A JSON object with at least these keys, from a file or a text; else an InputError with the remedy. A name that
    stands twice is refused: it is a piece written twice, or one of two values that would be lost."""
    try:
        text = source.read_bytes() if isinstance(source, Path) else source
        content = json.loads(text, object_pairs_hook=_named_once)
        if not isinstance(content, dict):
            raise ValueError(f"it holds {shown(content)}")
        if missing := sorted(set(keys) - content.keys()):
            raise ValueError(f"it lacks {', '.join(missing)}")
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: brackets too deep
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(f"{what} is no JSON object that can be read ({reason}){remedy and f': {remedy}'}") from None
    return content


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses to write (a full disk, a read-only folder, a file where a folder should be), as an
    InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
