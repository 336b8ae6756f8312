"""Reads the small part of LaTeX in which the page's central formulas are written, and computes with it.

`Expression(r"\\frac{m}{1 + m}", "m")(Fraction(1, 2))` is Fraction(1, 3). Numbers stay exact where the arguments are
fractions, and sympy symbols may be arguments. Known: + - juxtaposition \\cdot / ^ \\frac \\tfrac \\sqrt \\ln \\log_2
\\exp \\max \\min \\binom |.| \\lceil.\\rceil parentheses, numbers, and letters with subscripts and primes.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

LAYOUT = re.compile(
    r"\\begin\{aligned\}|\\end\{aligned\}|\\\\(?=\s|$)|\\[,;!]|\\[Bb]ig(?![a-zA-Z])|\\left|\\right|&|\s+"
)
LETTER = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]")
NUMBER = re.compile(r"\d+(\.\d+)?|\.\d+")


def plain(tex: str) -> str:
    """LaTeX without what only arranges it: spaces, rows, sizes of brackets and of fractions."""
    tex = re.sub(r"\\q?quad\s*", "", tex)
    tex = re.sub(r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])", r"\1{}", tex)  # \ln T: the space ends the command
    for shown, token in (
        (r"\tfrac", r"\frac"),
        (r"\{", "⟦"),
        (r"\}", "⟧"),
        (r"\left|", "⌊"),
        (r"\right|", "⌋"),
    ):
        tex = tex.replace(shown, token)
    tex = LAYOUT.sub("", tex)
    return re.sub(r"(\\[a-zA-Z]+)\{\}(?![a-zA-Z])", r"\1", tex).rstrip(".,")


def _divide(a: Any, b: Any) -> Any:
    exact = isinstance(a, (int, Fraction)) and isinstance(b, (int, Fraction))
    return Fraction(a) / b if exact else a / b


class _Anything:
    """Stands for a value when only the places of the numbers matter."""

    def same(self, *_: Any) -> "_Anything":
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = same
    __pow__ = __rpow__ = __neg__ = __abs__ = __ceil__ = same

    def __lt__(self, _: Any) -> bool:
        return False

    __gt__ = __lt__


def _function(name: str, value: Any) -> Any:
    if isinstance(value, _Anything):
        return value
    if hasattr(value, "free_symbols"):
        import sympy

        return {"ln": sympy.log, "log_2": lambda x: sympy.log(x, 2), "sqrt": sympy.sqrt, "exp": sympy.exp}[name](value)
    return {"ln": math.log, "log_2": math.log2, "sqrt": math.sqrt, "exp": math.exp}[name](value)


class _Reader:
    """A recursive descent over the plain text that computes as it goes; remembers where numbers stood."""

    def __init__(self, tex: str, values: dict[str, Any]) -> None:
        self.tex, self.at, self.values, self.numbers = tex, 0, values, []

    def sees(self, *openings: str) -> bool:
        return self.tex.startswith(openings, self.at)

    def take(self, opening: str) -> None:
        if not self.sees(opening):
            raise ValueError(f"{opening} expected at {self.tex[self.at : self.at + 20]!r} of {self.tex!r}")
        self.at += len(opening)

    def whole(self) -> Any:
        value = self.sum()
        if self.at < len(self.tex):
            raise ValueError(f"cannot read {self.tex[self.at :]!r} of {self.tex!r}")
        return value

    def sum(self) -> Any:
        value = -self.sign_taken("-") if self.sees("-") else self.product()
        while self.sees("+", "-"):
            value = value + self.sign_taken("+") if self.sees("+") else value - self.sign_taken("-")
        return value

    def sign_taken(self, sign: str) -> Any:
        self.take(sign)
        return self.product()

    def product(self) -> Any:
        value = self.power()
        while self.at < len(self.tex) and not self.sees("+", "-", ")", "}", ",", "⟧", "|", "⌋", "\\rceil", "]"):
            if self.sees("/"):
                self.take("/")
                value = _divide(value, self.power())
            else:
                if self.sees("\\cdot"):
                    self.take("\\cdot")
                value = value * self.power()
        return value

    def power(self) -> Any:
        base = self.base()
        if self.sees("^"):
            self.take("^")
            base = base ** self.argument()
        return base

    def argument(self) -> Any:
        """What follows ^ or \\frac: {an expression}, or one digit or letter."""
        if self.sees("{"):
            return self.enclosed("{", "}")
        if self.tex[self.at].isdigit():
            return self.number(self.at + 1)
        return self.symbol()

    def enclosed(self, opening: str, closing: str) -> Any:
        self.take(opening)
        if self.sees("{}"):
            self.take("{}")
        value = self.sum()
        self.take(closing)
        return value

    def number(self, end: int) -> Any:
        start, self.at = self.at, end
        self.numbers.append((start, end))
        text = self.tex[start:end]
        return int(text) if text.isdigit() else float(text)

    def symbol(self) -> Any:
        for name in sorted(self.values, key=len, reverse=True):  # a letter may be written with several, as |x|
            if len(name) > 1 and self.sees(name):
                self.take(name)
                if self.sees("{}"):
                    self.take("{}")
                return self.values[name]
        found = LETTER.match(self.tex, self.at)
        if not found:
            raise ValueError(f"cannot read {self.tex[self.at :]!r} of {self.tex!r}")
        name, self.at = found[0], found.end()
        after = re.compile(r"\{\}|_(\{[^}]*\}|\w)|'").match
        while mark := after(self.tex, self.at):
            name, self.at = name + (mark[0] if mark[0] != "{}" else ""), mark.end()
        if name not in self.values:
            raise ValueError(f"{name} has no value in {self.tex!r}")
        return self.values[name]

    def base(self) -> Any:
        if self.sees("\\frac"):
            self.take("\\frac")
            return _divide(self.argument(), self.argument())
        if self.sees("\\binom"):
            self.take("\\binom")
            n, k = self.argument(), self.argument()
            return n if isinstance(n, _Anything) else math.comb(int(n), int(k))
        for name in ("sqrt", "ln", "log_2", "exp"):
            if self.sees(f"\\{name}"):
                return self.function(name)
        for name, choose in (("\\max⟦", max), ("\\min⟦", min)):
            if self.sees(name):
                self.take(name)
                return choose(self.listed())
        for opening, closing in (("(", ")"), ("{", "}"), ("[", "]")):
            if self.sees(opening):
                return self.enclosed(opening, closing)
        for opening, closing in (("|", "|"), ("⌊", "⌋")):
            if self.sees(opening):
                return abs(self.enclosed(opening, closing))
        if self.sees("\\lceil"):
            return math.ceil(self.enclosed("\\lceil", "\\rceil"))
        found = NUMBER.match(self.tex, self.at)
        return self.number(found.end()) if found else self.symbol()

    def function(self, name: str) -> Any:
        self.take(f"\\{name}")
        power = 1
        if self.sees("^"):
            self.take("^")
            power = self.argument()
        if self.sees("{}"):
            self.take("{}")
        value = _function(name, self.argument() if name == "sqrt" else self.power())
        return value**power if power != 1 else value

    def listed(self) -> list:
        values = [self.sum()]
        while self.sees(","):
            self.take(",")
            values.append(self.sum())
        self.take("⟧")
        return values


@dataclass(frozen=True)
class Expression:
    """A formula as the page writes it, and a function of its letters in the order of `letters`."""

    tex: str
    letters: str
    _plain: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_plain", plain(self.tex))

    def __call__(self, *values: Any) -> Any:
        """The value at these values of the letters."""
        return self._reader(values).whole()

    def _reader(self, values: tuple) -> _Reader:
        return _Reader(self._plain, dict(zip(self.letters.split(), values, strict=True)))

    def changed(self, factors: tuple[int, ...] = (2, 3)) -> Iterator["Expression"]:
        """The same formula with one of its numbers multiplied, each number and factor in turn."""
        reader = self._reader(tuple(_Anything() for _ in self.letters.split()))
        reader.whole()
        for start, end in sorted(set(reader.numbers)):
            for factor in factors:
                number = float(self._plain[start:end]) * factor
                yield Expression(f"{self._plain[:start]}{{{number:g}}}{self._plain[end:]}", self.letters)

    def divided(self, divisor: float) -> Callable[..., Any]:
        """The formula's value over a divisor: a bound that claims too much."""
        return lambda *values: self(*values) / divisor
