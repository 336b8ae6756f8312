"""Verdicts and sources as a page shows them: a coloured word, the claim, one number; the rest folds.

Everything is plain HTML in the page's own colours; the one script, a filter of the board, is inlined and not missed
where scripts do not run.
"""

import textwrap
from dataclasses import dataclass
from html import escape

from ntprl.book.page import as_html
from ntprl.book.store import TEXT_WIDTH
from ntprl.book.verdict import (
    DEFINITION,
    FAILED,
    HELD,
    NOT_REPRODUCED,
    NOT_RUN,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    WORDS,
    Verdict,
)

# white letters on each reach a contrast of 4.5
COLORS = {REPRODUCED: "#00734f", HELD: "#00734f", PARTLY: "#8a5700", UNDECIDED: "#8a5700"}
COLORS |= {NOT_REPRODUCED: "#b3261e", FAILED: "#b3261e"}
OTHER = "#5f6368"
SIGNS = {REPRODUCED: "✓", HELD: "✓", PARTLY: "◐", UNDECIDED: "?", NOT_REPRODUCED: "✗", FAILED: "✗"}
SIGNS |= {NOT_RUN: "…", DEFINITION: "="}  # so that a verdict is not told by its colour alone
STYLE = """<style>
.ntprl-verdict { margin: .7em 0; line-height: 1.45; }
.ntprl-verdict .word { color: #fff; border-radius: .3em; padding: .1em .5em; font-size: .85em; font-weight: 600; }
.ntprl-verdict details, .ntprl-source details { font-size: .87em; }
.ntprl-verdict summary, .ntprl-source summary { cursor: pointer; }
.ntprl-verdict :is(details:not([open]), details:not([open]) > summary) { display: inline; white-space: nowrap; }
.ntprl-verdict details:not([open]) > summary::before { content: "▸ "; }
.ntprl-verdict .from { font-size: .87em; }
</style>"""


def word_badge(word: str) -> str:
    return f'<span class="word" style="background:{COLORS.get(word, OTHER)}">{word}</span>'


@dataclass(frozen=True)
class Badge:
    """One claim with its verdict."""

    id: str
    statement: str
    verdict: Verdict
    source: str  # where its numbers come from, in one line
    link: str = ""  # to its card

    def __repr__(self) -> str:
        return textwrap.fill(f"{self.id}, {self.verdict.verdict}: {self.verdict.evidence}", width=TEXT_WIDTH)

    def as_html(self, beside: str = "", more: str = "") -> str:
        """With further lines to be seen, and further lines to fold."""
        name = f'<a href="{self.link}">{self.id}</a>' if self.link else self.id
        decides, _, rest = self.verdict.evidence.partition("; ")
        source = f" {escape(self.source)}." if self.source else ""
        numbers = ((f"{as_html(rest)}." if rest else "") + source).strip() + more
        folded = f" <details><summary>more</summary>{numbers}</details>" if numbers else ""
        return (
            f'<div class="ntprl-verdict">{word_badge(self.verdict.verdict)} <b>{name}</b> {as_html(self.statement)}.'
            f"<br>{as_html(decides[:1].upper() + decides[1:])}.{beside}{folded}</div>"
        )


@dataclass(frozen=True)
class Badges:
    """Claims with their verdicts, one below the other: HTML where that can be shown, else text."""

    entries: tuple[Badge, ...]

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.entries))

    def _repr_html_(self) -> str:
        return "\n".join((STYLE, *(badge.as_html() for badge in self.entries)))


@dataclass(frozen=True)
class SourceLine:
    """Where a table comes from: a line that folds, or its text."""

    name: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return (
            f'{STYLE}\n<div class="ntprl-source"><details><summary>source: <code>{escape(self.name)}</code></summary>'
            f"{escape(' '.join(self.text.split()))}</details></div>"
        )


# --- all claims on one board ---

BOARD_STYLE = """<style>
.ntprl-board [hidden] { display: none !important; }
.ntprl-board:not([data-alive]) .filters { display: none; }
.ntprl-board h3 { margin: 1.4rem 0 .5rem; }
.ntprl-board .filters { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; margin: 1rem 0; }
.ntprl-board label { margin: 0; }
.ntprl-board select { font: inherit; min-height: 2.2em; color: inherit; background: transparent;
  border: 1px solid; border-radius: .3em; }
.ntprl-board option { color: #1f2328; background: #fff; }
.ntprl-board .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.6rem, 1fr)); gap: .35rem;
  list-style: none; margin: 0; padding: 0; }
.ntprl-board .grid li { margin: 0; }
.ntprl-board .grid a { display: block; padding: .3rem .5rem; border-radius: .3em; line-height: 1.25; height: 100%;
  font-size: .8rem; text-decoration: none; }
.ntprl-board .grid a:is(:link, :visited, :hover, :focus) { color: #fff; }
.ntprl-board .grid a:is(:hover, :focus-visible) { outline: 3px solid #e69f00; outline-offset: 1px; }
.ntprl-board .grid b { display: block; font-size: 1rem; }
.ntprl-board .claim { margin: .6rem 0; padding: .1rem .8rem .5rem; scroll-margin-top: 5rem; line-height: 1.45;
  border: 1px solid rgba(128, 128, 128, .45); border-radius: .4em; }
.ntprl-board .claim:target { outline: 3px solid #e69f00; }
.ntprl-board .claim .ntprl-verdict { margin: .5em 0 .1em; }
.ntprl-board .claim p { margin: .3em 0; }
.ntprl-board code { overflow-wrap: anywhere; white-space: normal; }
</style>"""
FILTER = """<script>
for (const board of document.querySelectorAll(".ntprl-board:not([data-alive])")) {
  board.dataset.alive = "";
  const [verdict, source] = board.querySelectorAll("select");
  const apply = () => {
    for (const entry of board.querySelectorAll("[data-verdict]"))
      entry.hidden = !((verdict.value === "" || entry.dataset.verdict === verdict.value)
        && (source.value === "" || entry.dataset.source.split(" ").includes(source.value)));
    const shown = board.querySelectorAll(".claim:not([hidden])").length;
    board.querySelector("output").textContent = `${shown} of ${board.querySelectorAll(".claim").length} claims`;
  };
  verdict.onchange = source.onchange = apply;
  apply();
}
</script>"""
SOURCES = {  # how we know that the paper makes a claim
    "summary": "a published summary",
    "quote": "a verbatim quote",
    "second-hand": "second-hand",
    "ours": "ours, not the paper's",
}


@dataclass(frozen=True)
class Card:
    """One claim with all that is known about it."""

    badge: Badge
    source: str  # how we know that the paper makes it, or "ours"
    quote: str  # the paper's own words, or none
    chapters: tuple[tuple[str, str], ...]  # (number, page) of all that show it
    recordings: tuple[tuple[str, str], ...]  # (command, cost) of its tables; none: it is checked on the spot
    proof: tuple[tuple[str, str, str], ...] = ()  # (name, page, what is proved) of the statements that it rests on
    measured: str = ""  # what is measured beyond these

    @property
    def anchor(self) -> str:
        return self.badge.id.lower()

    @property
    def data(self) -> str:
        """What the filter reads."""
        kinds = " ".join(kind for kind in SOURCES if kind in self.source)
        return f'data-verdict="{self.badge.verdict.verdict}" data-source="{kinds}"'

    def __repr__(self) -> str:
        lines = [f"{self.badge.id}, {self.badge.verdict.verdict}: {self.badge.statement} ({self.source})"]
        lines.append(f"{self.badge.verdict.evidence}.")
        if self.proof:
            lines.append(f"Proved: {'; '.join(f'{proves} ({name})' for name, _, proves in self.proof)}.")
            lines.append(f"Measured: {self.measured}.")
        if self.badge.source:
            lines.append(f"{self.badge.source}.")
        lines += [f"{command}: {cost}" for command, cost in self.recordings] or ["checked on the spot"]
        return "\n".join(textwrap.fill(line, TEXT_WIDTH, subsequent_indent="  ") for line in lines)

    def cell(self) -> str:
        """In the grid."""
        word = self.badge.verdict.verdict
        return (
            f'<li {self.data}><a href="#{self.anchor}" style="background:{COLORS.get(word, OTHER)}">'
            f'<b>{self.badge.id} <span aria-hidden="true">{SIGNS[word]}</span></b>{word}</a></li>'
        )

    def as_html(self) -> str:
        links = ", ".join(f'<a href="{page}">chapter {number}</a>' for number, page in self.chapters)
        beside = f'<br><span class="from">Source: {escape(self.source)}. Shown in {links}.</span>'
        quote = f"<p>In the paper: “{as_html(self.quote)}”.</p>" if self.quote else ""
        proof = "; ".join(f'{as_html(proves)} (<a href="{page}">{name}</a>)' for name, page, proves in self.proof)
        proof = f"<p>Proved: {proof}. Measured: {as_html(self.measured)}.</p>" if proof else ""
        lines = "<br>".join(f"<code>{escape(command)}</code>: {escape(cost)}" for command, cost in self.recordings)
        record = f"To record it anew:<br>{lines}" if lines else "It is checked on the spot."
        return (
            f'<div class="claim" id="{self.anchor}" {self.data}>'
            f"{self.badge.as_html(beside, f'{quote}{proof}<p>{record}</p>')}</div>"
        )


@dataclass(frozen=True)
class Board:
    """All claims at a glance, and then a card for each; those that are not wanted can be hidden."""

    groups: tuple[tuple[str, tuple[Card, ...]], ...]  # heading -> its cards

    def __repr__(self) -> str:
        parts = []
        for heading, cards in self.groups:
            ids: dict[str, list[str]] = {}
            for card in cards:
                ids.setdefault(card.badge.verdict.verdict, []).append(card.badge.id)
            lines = [f"{word}: {', '.join(ids[word])}" for word in WORDS if word in ids]
            lines = [textwrap.fill(line, TEXT_WIDTH, subsequent_indent="  ") for line in lines]
            parts.append("\n".join((heading, *lines)))
        cards = [repr(card) for _, cards in self.groups for card in cards]
        return "\n\n".join((*parts, *cards))

    def _repr_html_(self) -> str:
        found = {card.badge.verdict.verdict for _, cards in self.groups for card in cards}
        verdicts = {"": "all verdicts"} | {word: word for word in WORDS if word in found}
        filters = _select("Verdict", verdicts) + _select("Source", {"": "all sources"} | SOURCES)
        parts = [STYLE, BOARD_STYLE, '<div class="ntprl-board">']
        for heading, cards in self.groups:
            parts += [f"<h3>{heading}</h3>", f'<ul class="grid">{"".join(card.cell() for card in cards)}</ul>']
        parts.append(f'<div class="filters">{filters}<output aria-live="polite"></output></div>')
        for heading, cards in self.groups:
            parts += [f"<h3>{heading}, one by one</h3>", *(card.as_html() for card in cards)]
        return "\n".join((*parts, "</div>", FILTER))


def _select(label: str, options: dict[str, str]) -> str:
    listed = "".join(f'<option value="{value}">{shown}</option>' for value, shown in options.items())
    return f'<label>{label} <select autocomplete="off">{listed}</select></label>'
