"""How a check says that the page and what it found differ: one line that names the statement."""

from collections.abc import Callable

Formula = Callable[..., float]


def hold(label: str, condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(f"{label}: {message}")


def agree(label: str, what: str, stated: float, found: float, tolerance: float = 0.0) -> float:
    hold(label, abs(stated - found) <= tolerance, f"{what} is {float(found):.6g}, stated {float(stated):.6g}")
    return float(abs(stated - found))
