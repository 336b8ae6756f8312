"""The picture on the landing page: a prompt with its two answers, runs that end in a coin flip, their jump by RL."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from ntprl.book.readings import at_round, final_rows, rl_rows
from ntprl.book.style import BLUE, GREY, ORANGE
from ntprl.book.touch.figure import mark, percent
from ntprl.book.verdict import AT_CHANCE, RECOVERED
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity

BITS = 7  # of the prompt that is drawn
ACROSS, HIGH, GAP = 226, 196, 18  # units of one panel, and between two: a third of a page's column, so one is a pixel
LEFT, RIGHT, TOP, BOTTOM = 40, 222, 24, 164  # of a plot in its panel
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
STYLE = f"""<style>
.ntprl-headline {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: {GAP}px; margin: 1.2em 0 0; }}
.ntprl-headline svg {{ display: block; width: 100%; height: auto; font: 12px {FONT}; }}
.ntprl-headline + p {{ font-size: .92em; line-height: 1.45; }}
@media (max-width: 640px) {{ .ntprl-headline {{ grid-template-columns: minmax(0, 320px); }} }}
</style>"""
ALONE = """<style>svg { color: #1f2328; } @media (prefers-color-scheme: dark) { svg { color: #e6edf3; } }</style>"""


@dataclass(frozen=True)
class HeadlinePanel:
    """One of the three: its heading, what is drawn in ACROSS by HIGH units, and that in words."""

    heading: str
    drawn: str
    described: str


def _text(x: float, y: float, content: str, anchor: str = "start", color: str = "currentColor", **more: object) -> str:
    return mark("text", content, x=x, y=y, text_anchor=anchor, fill=color, **more)


def _tokens(y: float, symbols: list[str], color: str) -> str:
    """A row of tokens in boxes."""
    drawn = ""
    for i, symbol in enumerate(symbols):
        x = 2 + 27 * i
        look = dict(fill=color, fill_opacity=0.22, stroke=color, stroke_width=1.2)
        drawn += mark("rect", x=x, y=y, width=23, height=23, rx=4, **look)
        drawn += _text(x + 11.5, y + 16, symbol, "middle", font_family="ui-monospace, Menlo, monospace")
    return drawn


def answers_panel(p_cot: float) -> HeadlinePanel:
    """One prompt and the two ways to answer it."""
    task = Parity(BITS)
    drawn_prompts = task.prompts(16, numpy_rng(0, "data"))
    is_clear = task.short(drawn_prompts)[:, 0] != drawn_prompts[:, 0]  # else both answers begin alike
    prompt = drawn_prompts[is_clear][:1]
    rows = [
        ("prompt: is the number of 1s odd?", task.text(prompt[0]).split(), GREY),
        (f"long answer, {percent(p_cot)}: bit by bit", task.text(task.long(prompt)[0]).split(), ORANGE),
        (f"short answer, {percent(1 - p_cot)}: at once", task.text(task.short(prompt)[0]).split(), BLUE),
    ]
    drawn = ""
    for i, (label, symbols, color) in enumerate(rows):
        drawn += _text(2, 36 + 54 * i, label) + _tokens(43 + 54 * i, symbols, color)
    said = "; ".join(f"{label}: {' '.join(symbols)}" for label, symbols, _ in rows)
    return HeadlinePanel("One question, two answers", drawn, said)


def _runs(rows: pd.DataFrame, below: str, shows_levels: bool) -> str:
    """Greedy accuracy, a thin line for each run, over steps or rounds."""
    last = rows["step"].max()

    def place(step: float, share: float) -> str:
        at = (LEFT + (RIGHT - LEFT) * step / last, BOTTOM - (BOTTOM - TOP) * share)
        return " ".join(f"{x:.1f}" for x in at)

    drawn = ""
    for share in (0, 0.5, 1):
        dash = {"stroke_dasharray": "4 4"} if share == 0.5 else {}
        path = f"M{place(0, share)}L{place(last, share)}"
        drawn += mark("path", d=path, fill="none", stroke="currentColor", stroke_opacity=0.35, **dash)
        y = BOTTOM - (BOTTOM - TOP) * share + 4
        drawn += _text(LEFT - 4, y, percent(share).replace(" ", ""), "end") if shows_levels else ""
    for _, run in rows.groupby("run"):
        points = "L".join(place(*point) for point in run[["step", "greedy_accuracy"]].itertuples(index=False))
        drawn += mark("path", d=f"M{points}", fill="none", stroke=BLUE, stroke_width=1.3, stroke_opacity=0.75)
    return drawn + _text((LEFT + RIGHT) / 2, BOTTOM + 18, below, "middle")


def tokens_in_words(lengths: pd.Series) -> str:
    """The median lengths of several runs: one number where all agree, else their range; never a mean of 1 and 50."""
    low, high = lengths.min(), lengths.max()
    if low == high:
        return f"{low:g} token{'' if low == 1 else 's'}"
    return f"{low:g} to {high:g} tokens"


def headline_panels(table: pd.DataFrame, p_cot: float) -> list[HeadlinePanel]:
    """The three panels, from the recorded runs of both phases."""
    before, rl = table[table["phase"] == "pretraining"], rl_rows(table)
    ends, after = final_rows(before), at_round(table, "end")
    written = [tokens_in_words(rows["greedy_median_length"]) for rows in (ends, after)]
    steps, rounds = (f"{rows['step'].max():g}" for rows in (before, rl))
    middle = _runs(before, f"{steps} training steps", shows_levels=True)
    middle += _text(LEFT + 4, TOP + 15, "right answers")
    middle += _text(RIGHT, BOTTOM - 32, "ends in a coin flip,", "end", font_weight="650")
    middle += _text(RIGHT, BOTTOM - 16, f"writes {written[0]}", "end", font_weight="650")
    last = _runs(rl, f"{rounds} rounds", shows_levels=True)
    last += _text(LEFT + 30, BOTTOM - 50, "right, and", font_weight="650")
    last += _text(LEFT + 30, BOTTOM - 34, f"writes {written[1]}", font_weight="650")
    last += _text(LEFT + 4, BOTTOM - 8, "↑ RL starts")
    n = table["run"].nunique()

    def ranged(rows: pd.DataFrame) -> str:
        return f"{percent(rows['greedy_accuracy'].min())} to {percent(rows['greedy_accuracy'].max())}"

    return [
        answers_panel(p_cot),
        HeadlinePanel(
            "Next-token prediction",
            middle,
            f"Greedy accuracy of {n} runs over {steps} training steps. It ends at {ranged(ends)}; the median greedy "
            f"answer then has {written[0]}.",
        ),
        HeadlinePanel(
            "Then reinforcement learning",
            last,
            f"Greedy accuracy of the same runs over {rounds} rounds. It ends at {ranged(after)}; the median greedy "
            f"answer then has {written[1]}.",
        ),
    ]


def headline_caption(table: pd.DataFrame, d: int) -> str:
    """What the picture shows, first its finding: Markdown for the landing page and the README. d: bits of a prompt."""
    n, ends, after = table["run"].nunique(), final_rows(table[table["phase"] == "pretraining"]), at_round(table, "end")
    guessing = ((ends["greedy_accuracy"] - 0.5).abs() <= AT_CHANCE) & (ends["greedy_median_length"] == 1)
    solved = (after["greedy_accuracy"] > RECOVERED) & (after["greedy_median_length"] == d)
    rounds, lowest = f"{after['step'].max():g}", percent(after["greedy_accuracy"].min())
    return (
        f"**Trained to predict the next token, {guessing.sum()} of {n} small transformers end in a coin flip; after "
        f"{rounds} rounds of reinforcement learning {solved.sum()} of {n} write every step and are right.** Prompts of "
        f"the runs have {d} bits. A thin line is one run: the share of its greedy answers that are right, at the end "
        f"{lowest} or more."
    )


def _panel_svg(panel: HeadlinePanel, x: float = 0, y: float = 0) -> str:
    heading = _text(2, 13, panel.heading, font_weight="650", font_size="13.5px")
    return f'<g transform="translate({x:g} {y:g})">{heading}{panel.drawn}</g>'


def headline_html(panels: list[HeadlinePanel]) -> str:
    """The panels beside each other, and below each other on a phone, in the page's own colours."""
    drawn = "\n".join(
        f'<svg viewBox="0 0 {ACROSS} {HIGH}" role="img" aria-label="{escape(panel.described)}">'
        f"{_panel_svg(panel)}</svg>"
        for panel in panels
    )
    return f'{STYLE}\n<div class="ntprl-headline">\n{drawn}\n</div>'


def headline_file(panels: list[HeadlinePanel], columns: int) -> str:
    """The same as one SVG that stands alone, with so many panels in a row, dark where the reader's screen is."""
    places = [((ACROSS + GAP) * (i % columns), (HIGH + GAP) * (i // columns)) for i in range(len(panels))]
    width = columns * (ACROSS + GAP) - GAP
    height = -(-len(panels) // columns) * (HIGH + GAP) - GAP
    drawn = "\n".join(_panel_svg(panel, *place) for panel, place in zip(panels, places, strict=True))
    label = escape(" ".join(panel.described for panel in panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{label}" style="font: 12px {FONT}">\n{ALONE}\n{drawn}\n</svg>\n'
    )
