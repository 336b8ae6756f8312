"""A finished figure as a page shows it: SVG in the page's own colours, stacked on a phone, with number and caption.

Number and caption are part of the output, so they are seen in Colab and Jupyter as well as in the book. In plain text a
figure says what is drawn, which is what two runs of a chapter are compared by: lines, dots and maps, not pixels.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure

from ntprl.book.page import as_html, display

NARROW = 3.7  # inches, shown on a phone's whole width
STYLE = """<style>
.ntprl-figure { margin: 1.2em 0; }
.ntprl-figure svg { display: block; width: 100%; height: auto; }
.ntprl-figure .narrow { display: none; }
.ntprl-figure figcaption { font-size: .92em; line-height: 1.45; margin-top: .5em; }
@media (max-width: 600px) { .ntprl-figure .wide { display: none; } .ntprl-figure .narrow { display: block; } }
</style>"""
# what is drawn in ink follows the page: text, theory's dashes, axes; the grid is a shade of it
INK = {"#000000", "#262626", "#555555"}
GRID = "#e6e6e6"


@dataclass(frozen=True)
class PageFigure:
    """What `show` displays: HTML where that can be shown, else text."""

    number: str
    caption: str
    alt: str
    drawn: tuple[str, ...]  # what is drawn, a line for each panel
    wide: str = field(repr=False)  # SVG
    narrow: str = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join((f"Figure {self.number}. {self.caption}", *self.drawn))

    def _repr_html_(self) -> str:
        label = f'role="img" aria-label="{escape(self.alt)}"'
        wide, narrow = (svg.replace("<svg", f"<svg {label}", 1) for svg in (self.wide, self.narrow))
        return (
            f'{STYLE}\n<figure class="ntprl-figure" data-figure="{self.number}">\n<div class="wide">{wide}</div>\n'
            f'<div class="narrow">{narrow}</div>\n<figcaption><b>Figure {self.number}.</b> {as_html(self.caption)}'
            "</figcaption>\n</figure>"
        )


def show(number: str, caption: str, alt: str, live: bool = False) -> None:
    """Display the current figure, and close it.

    number: as pages cite it, "4.2"; caption: its first sentence is the finding; alt: what is seen, for those who do not
    see it. live: drawn from a run of this machine, so that in plain text it says what is drawn, but not where.
    """
    figure = plt.gcf()
    drawn = tuple(describe_panels(figure, values=not live))
    wide = svg_of(figure, f"f{number.replace('.', '-')}w")
    stack(figure)
    narrow = svg_of(figure, f"f{number.replace('.', '-')}n")
    plt.close(figure)
    display(PageFigure(number, caption, alt, drawn, wide, narrow))


# --- as SVG ---


def svg_of(figure: Figure, prefix: str) -> str:
    """The figure as one <svg> element; every id in it begins with the prefix, so that many fit on a page."""
    for axes in figure.axes:
        for mesh in axes.collections:
            if isinstance(mesh, QuadMesh) and mesh.get_array().size > 400:
                mesh.set_rasterized(True)  # a path for each square would weigh too much
    buffer = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=220, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    for color in INK:
        text = re.sub(rf"\b(stroke|fill): {color}", r"\1: currentColor", text)
    text = re.sub(rf"\b(stroke|fill): {GRID}", r"\1: currentColor; \1-opacity: .14", text)
    # letters take the page's type; an unset fill is black
    text = re.sub(r"(\d(?:px|pt)) (?:'[^']*'|[\w-]+)(?:, (?:'[^']*'|[\w-]+))*", r"\1 system-ui, sans-serif", text)
    text = re.sub(r"<text style=\"(?![^\"]*fill:)", '<text style="fill: currentColor; ', text)
    return re.sub(r"\n\s*\n", "\n", text).strip()


# --- on a phone ---


def panels(figure: Figure) -> list[Axes]:
    """Its axes without colour bars, row by row."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>" and axes.get_subplotspec() is not None]


def stack(figure: Figure) -> None:
    """Put the panels below each other, at most two in a row where they are many, with the labels they shared."""
    found = panels(figure)
    if not found:
        return
    width, height = figure.get_size_inches()
    where = {axes: axes.get_subplotspec() for axes in found}
    rows = 1 + max(spec.rowspan.stop for spec in where.values()) - 1
    for axes, spec in where.items():
        _take_labels(axes, spec, where)
    per_row = 1 if len(found) <= 6 else 2
    lines = -(-len(found) // per_row)
    if len(found) > 1:
        grid = figure.add_gridspec(lines, per_row)
        for i, axes in enumerate(found):
            axes.set_subplotspec(grid[i // per_row, i % per_row])
    each = min(height / rows, 2.9) * (1 if per_row == 1 else 0.8)
    figure.set_size_inches(NARROW, max(2.2, each) * lines + (0.4 if figure.legends else 0))
    for legend in figure.legends:
        legend.set_ncols(min(2, len(legend.get_texts())))


def _take_labels(axes: Axes, spec, where: dict) -> None:
    """From the panel that shows them for its row or column."""
    row = [other for other, place in where.items() if place.rowspan.start == spec.rowspan.start]
    column = [other for other, place in where.items() if place.colspan.start == spec.colspan.start]
    if len(where) == 1:
        return
    axes.tick_params(labelbottom=True, labelleft=True)
    if not axes.get_ylabel():
        axes.set_ylabel(next((other.get_ylabel() for other in row if other.get_ylabel()), ""))
    if not axes.get_xlabel():
        axes.set_xlabel(next((other.get_xlabel() for other in reversed(column) if other.get_xlabel()), ""))
    if not axes.get_title():
        axes.set_title(next((other.get_title() for other in column if other.get_title()), ""), fontsize="medium")


# --- in plain text ---


def describe_panels(figure: Figure, values: bool = True) -> Iterable[str]:
    """One line for each panel: what is drawn over what, and with `values` three digits of where."""
    for axes in panels(figure):
        title = " ".join(filter(None, (axes.get_title(), axes.get_ylabel(), "over", axes.get_xlabel()))).split()
        parts = []
        for line in axes.get_lines():
            if len(line.get_xdata()) > 2:
                parts.append(_described("line", np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), values))
        for found in axes.collections:
            if isinstance(found, PathCollection) and len(found.get_offsets()):
                x, y = np.asarray(found.get_offsets()).T
                parts.append(_described("dots", x, y, values))
            elif isinstance(found, QuadMesh):
                parts.append(_described("map", None, np.asarray(found.get_array()).ravel(), values))
        if axes.containers:
            heights = [bar.get_height() for bars in axes.containers for bar in getattr(bars, "patches", ())]
            if heights:
                parts.append(_described("bars", None, np.asarray(heights), values))
        yield f"  [{' '.join(title)}] {'; '.join(parts)}"


def _described(kind: str, x: np.ndarray | None, y: np.ndarray, values: bool) -> str:
    if not values:
        return kind
    y = np.ma.filled(np.ma.asarray(y, dtype=float), np.nan)
    y = y[np.isfinite(y)]
    if not len(y):
        return f"{kind} without values"
    weights = np.arange(1, len(y) + 1)  # so that an exchange of two values shows
    centre = float((weights * y).sum() / weights.sum())
    text = f"{kind} of {len(y)}, {y.min():.3g} to {y.max():.3g}, centre {centre:.3g}"
    if x is not None and np.issubdtype(np.asarray(x).dtype, np.number):
        x = np.asarray(x, dtype=float)
        text += f", over {np.nanmin(x):.3g} to {np.nanmax(x):.3g}"
    return text
