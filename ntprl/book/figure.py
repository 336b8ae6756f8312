"""A finished figure as a page shows it: SVG in the page's own colours, stacked on a phone, with number and caption.

Number and caption are part of the output, so they are seen in Colab and Jupyter as well as in the book. In plain text a
figure says what is drawn, which is what two runs of a chapter are compared by: lines, dots and maps, not pixels.
"""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend

from ntprl.book.page import as_html, display
from ntprl.book.store import TEXT_WIDTH
from ntprl.errors import InputError

NARROW = 3.7  # inches: a phone's whole width
STYLE = """<style>
.ntprl-figure { margin: 1.2em 0; }
.ntprl-figure svg { display: block; width: 100%; height: auto; margin: 0 auto; }
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
    moved: str = field(default="", repr=False)  # where panels stand on a phone, if the caption says where they stand

    def __repr__(self) -> str:
        lines = [textwrap.fill(f"Figure {self.number}. {self.caption}", TEXT_WIDTH)]
        for line in self.drawn:
            lines.append(textwrap.fill(line, TEXT_WIDTH, initial_indent="  ", subsequent_indent="    "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        label = f'role="img" aria-label="{escape(self.alt)}"'
        wide, narrow = (svg.replace("<svg", f"<svg {label}", 1) for svg in (self.wide, self.narrow))
        moved = f' <span class="narrow">{escape(self.moved)}</span>' if self.moved else ""
        return (
            f'{STYLE}\n<figure class="ntprl-figure" data-figure="{self.number}">\n<div class="wide">{wide}</div>\n'
            f'<div class="narrow">{narrow}</div>\n<figcaption><b>Figure {self.number}.</b> {as_html(self.caption)}'
            f"{moved}</figcaption>\n</figure>"
        )


def show(number: str, caption: str, alt: str, live: bool = False) -> None:
    """Display the current figure, and close it.

    number: as pages cite it, "4.2"; caption: its first sentence is the finding; alt: what is seen, for those who do not
    see it. live: drawn from a run of this machine, so that in plain text it says what is drawn, but not where.
    Without a figure there is an InputError.
    """
    if not plt.get_fignums():
        raise InputError(f"figure {number}: nothing is drawn; call `show` in the cell that draws, once")
    figure = plt.gcf()
    drawn = tuple(describe_panels(figure, values=not live))
    wide = svg_of(figure, f"f{number.replace('.', '-')}w")
    moved = where_moved(caption, stack(figure))
    narrow = svg_of(figure, f"f{number.replace('.', '-')}n")
    plt.close(figure)
    display(PageFigure(number, caption, alt, drawn, wide, narrow, moved))


# --- as SVG ---


def svg_of(figure: Figure, prefix: str) -> str:
    """The figure as one <svg> element, at most of its own size; every id in it begins with the prefix, so that many fit
    on a page."""
    for axes in figure.axes:
        for mesh in axes.collections:
            if isinstance(mesh, QuadMesh) and mesh.get_array().size > 400:
                mesh.set_rasterized(True)  # a path for each square would weigh too much
    buffer = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=220, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # <style> in a page is a rule for all of it: what it says goes to the root, from which its elements inherit
    text = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*|<!--.*?-->\s*", "", text, flags=re.S)
    size = f"max-width: {96 * figure.get_figwidth():.0f}px"
    text = text.replace("<svg", f'<svg stroke-linejoin="round" stroke-linecap="butt" style="{size}"', 1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    for color in INK:
        text = re.sub(rf"\b(stroke|fill): {color}", r"\1: currentColor", text)
    text = re.sub(rf"\b(stroke|fill): {GRID}", r"\1: currentColor; \1-opacity: .14", text)
    # letters take the page's type (Matplotlib says it as `font` or as `font-family`); an unset fill is black
    names = r"(?:'[^']*'|[\w-]+)(?:, (?:'[^']*'|[\w-]+))*"
    text = re.sub(rf"(font-family: |font: [^;\"]*?\d(?:px|pt) ){names}", _page_type, text)
    text = re.sub(r"<text style=\"(?![^\"]*fill:)", '<text style="fill: currentColor; ', text)
    return re.sub(r"\n\s*\n", "\n", text).strip()


def _page_type(match: re.Match) -> str:
    return match[1] + ("ui-monospace, monospace" if "mono" in match[0].lower() else "system-ui, sans-serif")


# --- on a phone ---


def panels(figure: Figure) -> list[list[Axes]]:
    """Its axes without colour bars, row by row; those that share a place, as twins do, are one panel."""
    found: dict[tuple, list[Axes]] = {}
    for axes in figure.axes:
        place = axes.get_subplotspec()
        if axes.get_label() != "<colorbar>" and place is not None:
            found.setdefault((place.num1, place.num2, id(place.get_gridspec())), []).append(axes)
    return list(found.values())


def where_moved(caption: str, moved: str) -> str:
    """A sentence for a caption whose directions hold for the wide figure; moved: as `stack` returns it."""
    if moved == "below" and re.search(r"\b(left|middle)\b|\bright[,:;]", caption, re.I):
        return "On this narrow screen the panels stand below each other, row by row."
    if moved == "turned" and re.search(r"\b(above|below)\b", caption, re.I):
        return "On this narrow screen above is left, and below is right."
    return ""


def stack(figure: Figure) -> str:
    """Put the panels below each other, at most two in a row where they are many, with the labels they shared.

    Returns how panels that stood side by side moved: "below" each other, "turned" so that columns are rows, or "".
    """
    found = panels(figure)
    if not found:
        return ""
    _, height = figure.get_size_inches()
    where = {panel[0]: panel[0].get_subplotspec() for panel in found}
    rows = max(spec.rowspan.stop for spec in where.values())
    for axes, spec in where.items():
        _take_labels(axes, spec, where)
    per_row = 1 if len(found) <= 6 else 2
    moved = "below" if per_row == 1 and rows < len(found) else ""
    lines = -(-len(found) // per_row)
    if len(found) > 1:
        if per_row == rows:  # what stood above each other is compared: it stands side by side now
            moved = "turned" if rows > 1 else moved
            found.sort(key=lambda panel: (where[panel[0]].colspan.start, where[panel[0]].rowspan.start))
        grid = figure.add_gridspec(lines, per_row)
        for i, panel in enumerate(found):
            for axes in panel:
                axes.set_subplotspec(grid[i // per_row, i % per_row])
    each = max(2.2, min(height / rows, 2.9) * (1 if per_row == 1 else 0.8))
    each = max(each, 0.8 + 0.2 * max(len(_ticks(axes)) for panel in found for axes in panel))  # each name needs a line
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(h_pad=0.09)  # inches: else a title touches the label of the panel above it
    figure.set_size_inches(NARROW, (each + 0.1) * lines + (0.4 if figure.legends else 0))
    for axes in (axes for panel in found for axes in panel):
        names = max((len(tick) for tick in _ticks(axes) if "$" not in tick), default=0) if per_row == 1 else 0
        taken = max(0.5, 0.3 + 0.56 * names * _points(axes) / 72 if names > 8 else 0)  # inches beside the axes
        _fit_words(axes, NARROW / per_row - taken, each - 0.6)
        _legend_below(axes)
    for legend in list(figure.legends):
        side = getattr(legend, "_outside_loc", None) or "lower"
        _again(legend, figure, loc=f"outside {side} center")
        legend.remove()
    return moved


def _ticks(axes: Axes) -> list[str]:
    low, high = sorted(axes.get_ylim())
    return [tick.label1.get_text() for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]


def _points(axes: Axes) -> float:
    return axes.yaxis.get_major_ticks()[0].label1.get_fontsize() if axes.yaxis.get_major_ticks() else 0.0


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


def broken(text: str, inches: float, points: float) -> str:
    """The text in lines that fit, at that size of type; formulas between dollars stay whole."""
    fits = inches * 72 / (0.56 * points)  # a letter is about that much wide
    lines, used = [""], 0.0
    for word in re.findall(r"(?:\$[^$]*\$|\S)+", text):
        long = len(re.sub(r"[${}\\_^]", "", word))
        if lines[-1] and used + 1 + long > fits:
            lines, used = [*lines, ""], 0.0
        lines[-1] += f" {word}" if lines[-1] else word
        used += long + 1
    return "\n".join(lines)


def _fit_words(axes: Axes, width: float, height: float) -> None:
    for label, inches in ((axes.title, width), (axes.xaxis.label, width), (axes.yaxis.label, height)):
        label.set_text(broken(label.get_text(), inches, label.get_fontsize()))


def _legend_below(axes: Axes) -> None:
    """A legend that stands beside its axes would take half of a phone's width."""
    legend = axes.get_legend()
    if legend is None:
        return
    place = legend.get_bbox_to_anchor().transformed(axes.transAxes.inverted())
    if place.width < 0.01 and place.x0 > 0.99:
        _again(legend, axes, loc="upper center", bbox_to_anchor=(0.5, -0.3))


def _again(legend: Legend, home: Axes | Figure, **place) -> None:
    """The same legend in as many columns as a phone holds; a drawn one does not change its columns."""
    texts = legend.get_texts()
    words, points = [text.get_text() for text in texts], texts[0].get_fontsize()
    column = points * (0.56 * max(map(len, words)) + 4)  # with the handle before it
    ncols = min(len(words), max(1, int(NARROW * 72 // column)))
    title = legend.get_title().get_text() or None
    home.legend(legend.legend_handles, words, title=title, fontsize=points, ncols=ncols, handlelength=1.4, **place)


# --- in plain text ---


def describe_panels(figure: Figure, values: bool = True) -> Iterator[str]:
    """One line for each panel: what is drawn over what, and with `values` where: range, and mean to four digits.

    Means give later points more weight, so that two values that change places are seen. Marks of one kind are described
    together; a range of x is said where it differs from the one before it.
    """
    for axes in (axes for panel in panels(figure) for axes in _with_insets(panel)):
        over_what = f"over {axes.get_xlabel()}" if axes.get_xlabel() else ""
        title = f"{axes.get_title()} {axes.get_ylabel()} {over_what}".split()
        found: dict[str, list] = {}
        for kind, x, y in _drawn(axes):
            found.setdefault(kind, []).append((x, y))
        parts, over = [], ""
        for kind, marks in found.items():
            part = f"{len(marks)} {kind}s" if len(marks) > 1 else kind
            if values:
                x, y = (np.concatenate([np.ravel(mark[i]) for mark in marks]) for i in (0, 1))
                where, before = _range(x, mean=kind == "cloud"), over
                over = where or over
                part += f" {_range(y)}" + (f" over {where}" if where and where != before else "")
            parts.append(part)
        yield f"[{' '.join(title)}] {'; '.join(parts)}"


def _with_insets(panel: Iterable[Axes]) -> Iterator[Axes]:
    for axes in panel:
        yield axes
        yield from axes.child_axes


def _drawn(axes: Axes) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(kind, x, y) of every mark; a map has its values for y, and no x."""
    bars = {bar for group in axes.containers if isinstance(group, BarContainer) for bar in group.patches}
    for line in axes.get_lines():
        x, y = (np.asarray(data) for data in (line.get_xdata(), line.get_ydata()))
        if len(x) == 2 and y[0] == y[1]:  # as axhline draws it
            yield "level", np.empty(0), y
        elif len(x) == 2 and x[0] == x[1]:
            yield "upright", np.empty(0), x
        elif len(x):
            yield "line", x, y
    for found in axes.collections:
        if isinstance(found, PathCollection):
            x, y = np.ma.asarray(found.get_offsets()).reshape(-1, 2).T
            if len(x):
                yield "cloud", x, y
        elif isinstance(found, QuadMesh):
            yield "map", np.empty(0), np.ma.asarray(found.get_array()).ravel()
        elif isinstance(found, (LineCollection, PolyCollection)):
            corners = [path.vertices for path in found.get_paths() if len(path.vertices)]
            if corners:
                yield ("dash" if isinstance(found, LineCollection) else "band"), *np.concatenate(corners).T
    for image in axes.images:
        yield "map", np.empty(0), np.ma.asarray(image.get_array()).ravel()
    for group in axes.containers:
        if isinstance(group, BarContainer) and group.patches:
            ends = [(bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height()) for bar in group.patches]
            x, y = np.array(ends, dtype=float).T
            yield "bar group", *((y, x) if group.orientation == "horizontal" else (x, y))
    for patch in axes.patches:
        if patch not in bars:
            yield "shape", *patch.get_patch_transform().transform(patch.get_path().vertices).T


def _range(found: np.ndarray, mean: bool = True) -> str:
    try:
        values = np.ma.filled(np.ma.asarray(found, dtype=float), np.nan)
    except (TypeError, ValueError):  # names of categories
        return f"{found[0]} to {found[-1]}"
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    if values.min() == values.max():
        return f"{values[0]:.4g}"
    return f"{values.min():.3g} to {values.max():.3g}" + (f" mean {weighted_mean(values):.4g}" if mean else "")


def weighted_mean(values: np.ndarray) -> float:
    weights = np.linspace(1, 2, len(values)) ** 2  # not linear, else pairs around one centre would not be told apart
    return float((weights * values).sum() / weights.sum())
