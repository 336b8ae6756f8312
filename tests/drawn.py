"""What a figure draws, read back from matplotlib, and how tests compare it with tables that they make up.

Every table is of random values, all different, so a figure that draws another column, another group or another mean
draws something else. A `Case` says what a figure has to draw; `missing` is what is not there; and with one column
changed at a time something has to be missing.
"""

from collections.abc import Callable, Iterator
from itertools import product
from types import ModuleType
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

# panel, x or None (not compared: dots stand a little apart), y; and, if said, the name in the legend with whose colour
Series = tuple[int, object, object] | tuple[int, object, object, str]
Drawn = tuple[np.ndarray, np.ndarray, str]  # x, y, colour


class Case(NamedTuple):
    draw: Callable[..., None]
    tables: Callable[[], dict[str, pd.DataFrame]]
    expected: Callable[..., Iterator[Series]]
    columns: dict[str, tuple[str, ...]]  # of each table, those that are drawn
    change: Callable[[pd.Series], pd.Series] = lambda column: 1 - column


def made_up(*columns: str, **keys: object) -> pd.DataFrame:
    """A row for each combination of the keys, and in each column values between 0 and 1 that occur once."""
    rng = np.random.default_rng(len(columns) + len(keys))
    rows = pd.DataFrame(list(product(*keys.values())), columns=list(keys))
    for column in columns:
        rows[column] = rng.uniform(0.02, 0.98, len(rows))
    shared = [
        name for name in ("algorithm", "reward", "temperature", "p_cot", "d", "n_samples", "seed") if name in rows
    ]
    rows["run"] = rows[shared].astype(str).agg(" ".join, axis=1) if shared else "a"
    return rows


def mean(part: pd.DataFrame, x: str, y: str) -> tuple[pd.Index, np.ndarray]:
    found = part.groupby(x)[y].mean()
    return found.index, found.to_numpy()


def color_of(artist: Artist) -> str:
    """Of a line; of dots, bars and areas that of their edge or, without one, of their face."""
    if hasattr(artist, "get_color"):
        colors = artist.get_color()
    else:
        edge = artist.get_edgecolor()
        flat = edge[0] if np.ndim(edge) == 2 and len(edge) else edge
        colors = edge if len(flat) and flat[-1] > 0 and isinstance(artist, PathCollection) else artist.get_facecolor()
    if isinstance(colors, str):
        return to_hex(colors)
    return to_hex(np.atleast_2d(colors)[0]) if len(colors) else ""


def panels_of(figure: plt.Figure) -> list[plt.Axes]:
    """The panels, and after them those that lie inside others."""
    return [*figure.axes, *(inset for ax in figure.axes for inset in ax.child_axes)]


def drawn() -> list[list[Drawn]]:
    """For each panel all (x, y, colour): lines, dots, bars, both ends of error bars, both edges of bands and spans."""
    panels = []
    for ax in panels_of(plt.gcf()):
        found = [(line.get_xdata(), line.get_ydata(), color_of(line)) for line in ax.get_lines()]
        for each in ax.collections:
            color = color_of(each)
            if isinstance(each, PathCollection):
                found.append((*np.asarray(each.get_offsets()).T, color))
            elif isinstance(each, LineCollection) and len(each.get_segments()):  # error bars
                for end in (0, -1):
                    x, y = np.array([segment[end] for segment in each.get_segments()]).T
                    found.append((x, y, color))
            elif isinstance(each, PolyCollection) and len(each.get_paths()):  # a band, in one piece
                x, y = each.get_paths()[0].vertices.T
                for edge in (np.min, np.max):
                    found.append((np.unique(x), [edge(y[x == at]) for at in np.unique(x)], color))
        bars = [container for container in ax.containers if len(getattr(container, "patches", ()))]
        for patches in bars:
            x, y = np.array([(bar.get_x(), bar.get_height()) for bar in patches]).T
            found.append((x, y, color_of(patches[0])))
        in_bars = {id(bar) for patches in bars for bar in patches}
        for span in (each for each in ax.patches if isinstance(each, Rectangle) and id(each) not in in_bars):
            for x in (span.get_x(), span.get_x() + span.get_width()):
                found.append(((x, x), (span.get_y(), span.get_y() + span.get_height()), color_of(span)))
        panels.append([(np.asarray(x, dtype=float), np.asarray(y, dtype=float), color) for x, y, color in found])
    return panels


def legend_colors() -> dict[str, set[str]]:
    """The colours of each name in the legends of a figure."""
    figure, colors = plt.gcf(), {}
    for legend in (*figure.legends, *(ax.get_legend() for ax in panels_of(figure))):
        if legend is not None:
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
                colors.setdefault(text.get_text(), set()).add(color_of(handle))
    return colors


def is_same(found: Drawn, x: object, y: object) -> bool:
    y = np.asarray(list(y), dtype=float)
    same = found[1].shape == y.shape and np.allclose(found[1], y, equal_nan=True)
    return same and (x is None or np.allclose(found[0], np.asarray(list(x), dtype=float)))


def is_drawn(panels: list[list[Drawn]], legend: dict[str, set[str]], series: Series) -> bool:
    panel, x, y, *name = series
    colors = legend.get(name[0], set()) if name else None
    return any(is_same(found, x, y) and (colors is None or found[2] in colors) for found in panels[panel])


def missing(case: Case, shown: dict, said: dict) -> list[Series]:
    """Draw some tables; what others say that is not in the picture."""
    case.draw(*shown.values())
    panels, legend = drawn(), legend_colors()
    return [series for series in case.expected(*said.values()) if not is_drawn(panels, legend, series)]


def missing_if_changed(case: Case, table: str, column: str) -> list[Series]:
    """What is not in the picture any more if a column of a table is another one."""
    said = case.tables()
    changed = said[table].assign(**{column: case.change(said[table][column])})
    return missing(case, said | {table: changed}, said)


def unexpected(case: Case, tables: dict) -> list[tuple[int, Drawn]]:
    """Draw tables; the panel and data of what is in the picture and they do not say."""
    case.draw(*tables.values())
    said = list(case.expected(*tables.values()))
    return [
        (panel, found)
        for panel, all_found in enumerate(drawn())
        for found in all_found
        if len(found[1]) and not any(each[0] == panel and is_same(found, *each[1:3]) for each in said)
    ]


def outside() -> list[tuple[int, Drawn]]:
    """The panel and data of what the figure draws, in part or all of it, beyond the limits of its axes."""
    found = []
    for panel, (ax, all_drawn) in enumerate(zip(panels_of(plt.gcf()), drawn(), strict=True)):
        for x, y, color in all_drawn:
            seen = np.isfinite(x) & np.isfinite(y)
            for values, limits in ((x[seen], ax.get_xlim()), (y[seen], ax.get_ylim())):
                across = list(values) == [0, 1]  # the whole axes, as axvline and axhline have it
                if not across and not ((min(limits) <= values) & (values <= max(limits))).all():
                    found.append((panel, (x, y, color)))
    return found


def changed_columns(cases: dict[str, Case]) -> list[tuple[str, str, str]]:
    """(case, table, column) of every column that is drawn."""
    return [
        (name, table, each) for name, case in cases.items() for table in case.columns for each in case.columns[table]
    ]


def figures_of(module: ModuleType) -> set[str]:
    """The names of the functions that a module defines and does not hide."""
    return {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and callable(value) and not name.startswith("_")
    }
