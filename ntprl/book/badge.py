"""Verdicts and sources as a page shows them: a coloured word, the claim, one number; the rest folds."""

import textwrap
from dataclasses import dataclass
from html import escape

from ntprl.book.page import as_html
from ntprl.book.store import TEXT_WIDTH
from ntprl.book.verdict import FAILED, HELD, NOT_REPRODUCED, PARTLY, REPRODUCED, UNDECIDED, Verdict

# white letters on each reach a contrast of 4.5
COLORS = {REPRODUCED: "#00734f", HELD: "#00734f", PARTLY: "#8a5700", UNDECIDED: "#8a5700"}
COLORS |= {NOT_REPRODUCED: "#b3261e", FAILED: "#b3261e"}
OTHER = "#5f6368"
STYLE = """<style>
.ntprl-verdict { margin: .7em 0; line-height: 1.45; }
.ntprl-verdict .word { color: #fff; border-radius: .3em; padding: .1em .5em; font-size: .85em; font-weight: 600; }
.ntprl-verdict details, .ntprl-source details { font-size: .87em; }
.ntprl-verdict summary, .ntprl-source summary { cursor: pointer; }
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

    def as_html(self) -> str:
        name = f'<a href="{self.link}">{self.id}</a>' if self.link else self.id
        decides, _, rest = self.verdict.evidence.partition("; ")
        source = f" {escape(self.source)}." if self.source else ""
        numbers = ((f"{as_html(rest)}." if rest else "") + source).strip()
        folded = f"<details><summary>more numbers, and source</summary>{numbers}</details>" if numbers else ""
        return (
            f'<div class="ntprl-verdict">{word_badge(self.verdict.verdict)} <b>{name}</b> {as_html(self.statement)}.'
            f"<br>{as_html(decides)}.{folded}</div>"
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
