"""Figures and badges as a page shows them: safe to inline, in the page's ink, told apart in plain text."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntprl.book import figure as page_figure
from ntprl.book.badge import Badge, Badges, SourceLine, word_badge
from ntprl.book.figure import broken, describe_panels, panels, show, stack, where_moved
from ntprl.book.page import as_html
from ntprl.book.store import TEXT_WIDTH
from ntprl.book.style import use_style
from ntprl.book.verdict import WORDS, Verdict
from ntprl.errors import InputError

COLOR = re.compile(r"(?:fill|stroke): (#[0-9a-f]{6})")


@pytest.fixture(autouse=True)
def clean():
    use_style()
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What `show` displays, newest last."""
    found = []
    monkeypatch.setattr(page_figure, "display", found.append)
    return found


def two_panels(y=(0.1, 0.5, 0.9), title="GRPO, per answer"):
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3), sharey=True)
    for ax in axes:
        ax.plot([1, 2, 3], y, color="black", label="a")
        ax.fill_between([1, 2, 3], 0, y, alpha=0.2)
        ax.scatter([1, 2, 3], y)
        ax.set_xlabel("round $p_{cot}$")
    axes[0].set(ylabel="accuracy", title=title)
    axes[1].legend()
    return fig


def drawn(shown, **more):
    show("4.1", "It rises with p_cot from 2^-d on.", alt='A line, "rising" & more', **more)
    return shown[-1]


def test_it_can_be_inlined(shown):
    two_panels()
    html = drawn(shown)._repr_html_()
    for svg in (shown[-1].wide, shown[-1].narrow):
        ET.fromstring(svg)  # well formed
    assert not re.search(r"<\?xml|<!DOCTYPE|<!--|<metadata", html)
    assert html.count("<style") == 1  # ours; one of matplotlib's would be a rule for the whole page
    assert html.count('aria-label="A line, &quot;rising&quot; &amp; more"') == 2
    assert "<i>p</i><sub>cot</sub>" in html and "2<sup>−d</sup>" in html


def test_ids_are_unique_and_every_reference_is_met(shown):
    pages = []
    for number in ("4.1", "4.2"):
        two_panels()
        plt.gcf().axes[0].pcolormesh(np.random.default_rng(0).random((30, 30)))
        show(number, "A caption.", alt="alt")
        pages.append(shown[-1]._repr_html_())
    html = "\n".join(pages)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]*)', html)) <= set(ids)
    assert "data:image/png" in html  # a map of many squares is one picture


def fills(element, inherited=""):
    """The fill of each text below an element."""
    found = re.search(r"fill: ([^;]+)", element.get("style", ""))
    fill = found[1] if found else inherited
    if element.tag.endswith("}text"):
        yield fill
    for child in element:
        yield from fills(child, fill)


def test_ink_follows_the_page(shown):
    two_panels()
    plt.gcf().axes[0].text(1, 0.5, "words")
    plt.gcf().axes[0].text(1, 0.7, "tokens", family="monospace")
    found = drawn(shown)
    for svg in (found.wide, found.narrow):
        assert "currentColor" in svg
        assert not set(COLOR.findall(svg)) & {"#000000", "#262626", "#555555", "#e6e6e6"}
        assert set(fills(ET.fromstring(svg))) == {"currentColor"}
        assert "DejaVu" not in svg and svg.count("monospace, monospace") == 1


def test_the_same_figure_is_the_same_text(shown):
    for _ in range(2):
        two_panels()
        drawn(shown)
    assert shown[0]._repr_html_() == shown[1]._repr_html_() and repr(shown[0]) == repr(shown[1])


def test_a_phone_gets_a_stack_with_all_labels():
    fig = two_panels()
    stack(fig)
    fig.canvas.draw()
    upper, lower = (panel[0] for panel in panels(fig))
    assert upper.get_position().y0 > lower.get_position().y1
    assert fig.get_figwidth() == page_figure.NARROW
    for ax in (upper, lower):
        assert ax.get_ylabel() == "accuracy" and ax.get_xlabel()
        assert any(label.get_visible() for label in ax.get_yticklabels())
        assert ax.get_title() == "GRPO, per answer" or ax is lower


def inside(fig):
    """Do all titles and labels lie on the canvas, and no title over the next panel's?"""
    fig.canvas.draw()
    box = fig.bbox
    for (ax,) in panels(fig):
        for label in (ax.title, ax.xaxis.label, ax.yaxis.label):
            extent = label.get_window_extent()
            if label.get_text() and not (extent.x0 >= -1 and extent.x1 <= box.x1 + 1 and extent.y1 <= box.y1 + 1):
                return False
    titles = [ax.title.get_window_extent() for (ax,) in panels(fig) if ax.get_title()]
    return not any(a.overlaps(b) for i, a in enumerate(titles) for b in titles[:i])


def test_titles_over_half_a_phone_are_not_clipped():
    fig, axes = plt.subplots(2, 4, figsize=(7.2, 4))
    for ax in axes.flat:
        ax.set_title("GRPO as published, per answer", fontsize="medium")
        ax.set(xlabel="rounds of reinforcement learning", ylabel="share")
    stack(fig)
    assert inside(fig)


def test_what_stood_above_each_other_stands_side_by_side():
    fig, axes = plt.subplots(2, 5, figsize=(7.2, 4))
    for (row, column), ax in np.ndenumerate(axes):
        ax.set_title(f"{column}{'ab'[row]}")
    stack(fig)
    fig.canvas.draw()
    place = {ax.get_title(): ax.get_position() for ax in axes.flat}
    for column in range(5):
        assert place[f"{column}a"].y0 == pytest.approx(place[f"{column}b"].y0, abs=1e-6)
        assert place[f"{column}a"].x0 < place[f"{column}b"].x0


@pytest.mark.parametrize(
    "shape, caption, words",
    [
        ((1, 2), "It falls. Left, one; right, another.", "below each other"),
        ((1, 2), "The right answer is found by both.", ""),
        ((2, 5), "It rises. Above, one; below, another.", "above is left"),
        ((2, 1), "It rises. Above, one; below, another.", ""),
        ((1, 1), "Left, it falls.", ""),
    ],
)
def test_a_caption_says_where_panels_stand_on_a_phone(shape, caption, words):
    fig, _ = plt.subplots(*shape)
    found = where_moved(caption, stack(fig))
    assert words in found
    assert bool(words) == bool(found)
    plt.close(fig)


def test_many_names_keep_a_line_each_and_the_label_stays_inside():
    fig, ax = plt.subplots(layout="constrained")
    names = [f"kind of data, number {i}" for i in range(18)]
    ax.plot(np.arange(18) / 18, names, "o")
    ax.set_xlabel("share of long demonstrations at which greedy decoding goes on")
    fig.canvas.draw()
    stack(fig)
    fig.canvas.draw()
    boxes = sorted((label.get_window_extent() for label in ax.get_yticklabels()), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert ax.xaxis.label.get_window_extent().x1 <= fig.bbox.x1
    plt.close(fig)


def test_a_title_keeps_off_the_label_above_it():
    fig, axes = plt.subplots(1, 2, layout="constrained")
    for ax in axes:
        ax.set(title="title", xlabel="label")
    stack(fig)
    fig.canvas.draw()
    gap = axes[0].xaxis.label.get_window_extent().y0 - axes[1].title.get_window_extent().y1
    assert gap / fig.dpi > 0.1  # inches
    plt.close(fig)


def test_a_formula_is_not_broken():
    assert broken("the odds of $p_{cot} + q$ here", 1.0, 10) == "the odds of\n$p_{cot} + q$\nhere"
    assert broken("short", 3, 10) == "short"
    assert broken("", 3, 10) == ""


def test_twins_stay_together_and_colour_bars_are_no_panels():
    fig, (left, right) = plt.subplots(1, 2)
    twin = left.twinx()
    fig.colorbar(right.pcolormesh(np.eye(3)), label="share")
    assert panels(fig) == [[left, twin], [right]]
    stack(fig)
    fig.canvas.draw()
    assert left.get_position().bounds == pytest.approx(twin.get_position().bounds)


def test_a_legend_beside_its_axes_goes_below_them():
    fig, ax = plt.subplots(figsize=(7.2, 3))
    ax.bar([1, 2], [0.3, 0.4], label="long")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set_xlabel("digit")
    stack(fig)
    fig.canvas.draw()
    assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0
    assert ax.get_window_extent().width > 0.7 * fig.bbox.width


def test_a_wide_legend_breaks_into_rows():
    fig, ax = plt.subplots(figsize=(7.2, 3))
    for label in ("measured, with its interval", "predicted", "greedy goes on"):
        ax.plot([1, 2], label=label)
    fig.legend(loc="outside lower center", ncols=3)
    fig.canvas.draw()
    stack(fig)
    fig.canvas.draw()
    (legend,) = fig.legends
    assert legend.get_window_extent().width < fig.bbox.width
    assert [text.get_text() for text in legend.get_texts()][1] == "predicted"


# --- plain text ---

MARKS = {
    "line": lambda ax, y: ax.plot([1, 2, 3, 4], y),
    "cloud": lambda ax, y: ax.scatter([1, 2, 3, 4], y),
    "bar group": lambda ax, y: ax.bar([1, 2, 3, 4], y),
    "lying bars": lambda ax, y: ax.barh([1, 2, 3, 4], y),
    "band": lambda ax, y: ax.fill_between([1, 2, 3, 4], 0, y),
    "error bars": lambda ax, y: ax.errorbar([1, 2, 3, 4], [1, 1, 1, 1], y, fmt="o"),
    "map": lambda ax, y: ax.pcolormesh(np.reshape(y, (2, 2))),
    "image": lambda ax, y: ax.imshow(np.reshape(y, (2, 2))),
    "level": lambda ax, y: ax.axhline(y[0]),
    "upright": lambda ax, y: ax.axvline(y[0]),
    "dashes": lambda ax, y: ax.hlines(y, 0, 1),
    "span": lambda ax, y: ax.axvspan(y[0], 1.0),
    "inset": lambda ax, y: ax.inset_axes([0.5, 0.5, 0.3, 0.3]).plot([1, 2, 3, 4], y),
}


def described(mark, y, values=True):
    fig, ax = plt.subplots()
    MARKS[mark](ax, y)
    return list(describe_panels(fig, values))


@pytest.mark.parametrize("mark", MARKS)
def test_other_values_are_another_text(mark):
    """One value that changes, and two that change places."""
    first = described(mark, [0.2, 0.4, 0.6, 0.9])
    assert first == described(mark, [0.2, 0.4, 0.6, 0.9])
    assert first != described(mark, [0.25, 0.4, 0.6, 0.9])
    if mark not in ("level", "upright", "span"):
        assert first != described(mark, [0.2, 0.6, 0.4, 0.9])
    assert "nan" not in "".join(first)


@pytest.mark.parametrize("mark", MARKS)
def test_a_live_figure_says_what_is_drawn_and_not_where(mark):
    first = described(mark, [0.2, 0.4, 0.6, 0.9], values=False)
    assert first == described(mark, [0.25, 0.4, 0.6, 0.9], values=False)
    assert not re.search(r"\d\.\d", "".join(first))
    fig, ax = plt.subplots()
    assert first != list(describe_panels(fig, values=False))


def test_plain_text_fits_a_line(shown):
    two_panels(title="a title that is longer than most of the others are " * 2)
    text = repr(drawn(shown))
    assert max(map(len, text.splitlines())) <= TEXT_WIDTH
    assert text.startswith("Figure 4.1. It rises") and "accuracy" in text
    two_panels()
    assert "0.1 to 0.9" in text and "0.1" not in repr(drawn(shown, live=True)).replace("4.1", "")


def test_gaps_are_left_out():
    assert "0.2 to 0.9" in described("line", [np.nan, 0.2, 0.4, 0.9])[0]
    assert described("line", [np.nan] * 4)


def test_without_a_figure_there_is_one_clear_line(shown):
    with pytest.raises(InputError, match=r"figure 4\.1: nothing is drawn"):
        drawn(shown)
    two_panels()
    drawn(shown)
    assert not plt.get_fignums()


# --- badges ---


def contrast(color: str, other: str = "#ffffff") -> float:
    """WCAG 2: (lighter + .05)/(darker + .05) of relative luminances."""

    def luminance(code):
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(color), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("word", WORDS)
def test_every_word_can_be_read_on_its_badge(word):
    (color,) = re.findall(r"background:(#\w{6})", word_badge(word))
    assert contrast(color) >= 4.5 and f">{word}<" in word_badge(word)


def badge(evidence="0.5 [0.4, 0.6]; 3 seeds; chain < 1", source="3 runs"):
    return Badge("C4", "P(long) is p_cot", Verdict("reproduced", evidence), source, "09_scorecard.html#c4")


def test_a_badge_shows_one_number_and_folds_the_rest():
    html = Badges((badge(), badge("one number alone", "")))._repr_html_()
    assert "<br>One number alone." in html
    open_part, folded = html.split("<details>")[:2]
    assert "0.5 [0.4, 0.6]." in open_part and "3 seeds" not in open_part
    assert "3 seeds; chain &lt; 1. 3 runs." in folded
    assert 'href="09_scorecard.html#c4"' in html
    assert html.count("<details>") == 1  # nothing to fold, no fold
    on_its_card = badge("one number alone", "").as_html("<br>Seen.", "<p>Folded.</p>")
    assert on_its_card.index("Seen.") < on_its_card.index("<details>") < on_its_card.index("Folded.")


def test_a_badge_in_plain_text_has_all_of_it_in_lines_that_fit():
    text = repr(Badges((badge("0.5; " + "many words " * 20), badge())))
    assert text.startswith("C4, reproduced: 0.5;") and "\n\nC4, reproduced: 0.5 [0.4, 0.6]; 3 seeds" in text
    assert max(map(len, text.splitlines())) <= TEXT_WIDTH


def test_a_source_folds():
    line = SourceLine("data/a.csv", "data/a.csv, recorded <today>\nby x")
    assert repr(line) == "data/a.csv, recorded <today>\nby x"
    assert "recorded &lt;today&gt; by x</details>" in line._repr_html_()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("p_cot <= 10^7", "<i>p</i><sub>cot</sub> ≤ 10<sup>7</sup>"),
        ("p -> 2p/(1 + p), 2^-d", "p → 2p/(1 + p), 2<sup>−d</sup>"),
        ("greedy_long, x_1", "greedy_long, <i>x</i><sub>1</sub>"),
        ("a & b < c", "a &amp; b &lt; c"),
        ("100 d^2, 2^{-d}", "100 d<sup>2</sup>, 2<sup>−d</sup>"),
        ("2(1 - eta)^(d-1), theta", "2(1 - η)<sup>d−1</sup>, theta"),
    ],
)
def test_short_statements_are_set(text, html):
    assert as_html(text) == html
