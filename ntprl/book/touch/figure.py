"""What all figures to touch share: one output of HTML with SVG, style, values and a classic script in it.

A figure is drawn twice by the same rules: here, so that there is a picture where scripts do not run, and by its script
whenever something is touched. tests/test_touch.py compares the two, letter for letter.

Nothing in it has an id: a script looks for figures of its kind that are not alive yet and stays inside each, and the
style is scoped by a class. So copies on a page do not know of each other, and equal figures are equal text.
"""

import json
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from math import floor

PANEL = 340  # units of width of every panel's SVG: about as many pixels, on a phone as on a wide page


@dataclass(frozen=True)
class TouchFigure:
    """A figure to touch: shown as HTML where that can be shown, else as text."""

    kind: str  # a script of this name lies beside this file
    title: str
    body: str  # controls and panels
    text: str  # for terminals
    values: dict = field(repr=False, default_factory=dict)  # what the script is told, as JSON
    before: tuple[str, ...] = ()  # scripts that its own needs

    def __repr__(self) -> str:
        return f"{self.title}\n{self.text}"

    def _repr_html_(self) -> str:
        values = json.dumps(self.values, separators=(",", ":"))
        values = values.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;")
        script = "".join(_source(f"{name}.js") for name in ("common", *self.before, self.kind))
        return (
            f"<style>{_source('touch.css')}</style>\n"
            f'<div class="touch" role="group" aria-label="{escape(self.title)}" data-touch="{self.kind}" '
            f"data-values='{values}'>\n<div class=\"title\">{escape(self.title)}</div>\n{self.body}\n</div>\n"
            f'<script>(() => {{\n"use strict";\n{script}}})();</script>'
        )


def _source(name: str) -> str:
    """A file beside this one, without the comments that fill whole lines."""
    lines = files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not line.lstrip().startswith(("//", "/*")))


# --- numbers, rounded as the scripts round them ---


def number(x: float) -> str:
    """A coordinate: at most two decimals."""
    return f"{floor(x * 100 + 0.5) / 100 + 0.0:g}"


def percent(share: float) -> str:
    """62.5 %: at most one decimal."""
    return f"{floor(share * 1000 + 0.5) / 10 + 0.0:g} %"


def decimals(x: float, n: int = 2) -> str:
    """.40, 1.00: always n decimals."""
    return f"{floor(x * 10**n + 0.5) / 10**n + 0.0:.{n}f}"


# --- elements ---


def mark(tag: str, content: str = "", **attributes: object) -> str:
    """One SVG element: mark("rect", x=1, class_="long"); a _ at the end of a name is left out, another is a hyphen."""
    listed = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, (int, float)) else value}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{listed}>{content}</{tag}>"


def words(x: float, y: float, content: str, class_: str = "", anchor: str = "") -> str:
    """A line of text, whose baseline is y."""
    kind = {"class_": class_} if class_ else {}
    side = {"text_anchor": anchor} if anchor else {}
    return mark("text", content, x=x, y=y, **kind, **side)


def bar(x: float, y: float, width: float, height: float, class_: str) -> str:
    return mark("rect", x=x, y=y, width=max(width, 0), height=height, rx=2, class_=class_)


def line(points: list[tuple[float, float]], class_: str) -> str:
    """A line through points."""
    path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return mark("path", d=path, class_=class_)


def token(x: float, y: float, symbol: str, class_: str, size: float = 22) -> str:
    """One token in its box, whose corner is (x, y)."""
    box = mark("rect", x=x, y=y, width=size, height=size, rx=4, class_=f"token {class_}")
    return box + words(x + size / 2, y + size / 2 + 4.5, symbol, "mono", "middle")


def panel(name: str, heading: str, height: float, drawn: str, described: str, below: str = "") -> str:
    """A panel with its heading, its SVG, what is said of it to those who do not see it, and what stands below it."""
    return (
        f'<div class="panel"><div class="head" data-part="{name}-head">{heading}</div>'
        f'<svg viewBox="0 0 {PANEL} {number(height)}" role="img" aria-label="{escape(described)}" data-part="{name}">'
        f"{drawn}</svg>{below}</div>"
    )


def slider(
    name: str, label: str, low: float, high: float, step: float, value: float, shown: str, more: str = ""
) -> str:
    """A labelled range with its value in words (no <output>, which would take the label); `more` stands below it."""
    return (
        f'<label class="control"><span>{label} <b data-part="{name}-shown">{shown}</b></span>'
        f'<input type="range" data-part="{name}" min="{low:g}" max="{high:g}" step="{step:g}" value="{value:g}" '
        f'aria-valuetext="{shown}" autocomplete="off">{more}</label>'
    )


def choice(name: str, label: str, options: dict[str, str], value: str) -> str:
    """A labelled select: value -> what is shown."""
    listed = "".join(
        f'<option value="{key}"{" selected" if key == value else ""}>{shown}</option>' for key, shown in options.items()
    )
    return (
        f'<label class="control small"><span>{label}</span>'
        f'<select data-part="{name}" autocomplete="off">{listed}</select></label>'
    )


def button(name: str, label: str, class_: str = "") -> str:
    return f'<button type="button" data-part="{name}"{f" class={class_}" if class_ else ""}>{label}</button>'
