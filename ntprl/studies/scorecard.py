"""Verdicts as text: under a figure, on the scorecard's cards, and in one table."""

from collections.abc import Iterable

import pandas as pd

from ntprl.book import store
from ntprl.book.badge import Badge, Badges
from ntprl.book.recording import Recording
from ntprl.book.verdict import DEFINITION, NOT_RUN, WORDS, Claim, Verdict
from ntprl.errors import require_choice
from ntprl.studies.catalogue import CLAIMS, TABLES

PAGE = "09_scorecard.html"  # where every claim has its card


def recordings_of(claim: Claim) -> list[Recording]:
    return [TABLES[name] for name in claim.tables]


def chapters_of(claim: Claim) -> list[str]:
    """All chapters that show it, in reading order: its own, and those of its tables."""
    return sorted({claim.chapter} | {recording.chapter for recording in recordings_of(claim)})


def verdict_of(claim: Claim) -> Verdict:
    """The claim's criterion over its tables; not yet run if one is missing."""
    missing = [recording.name for recording in recordings_of(claim) if not store.is_recorded(recording)]
    if missing:
        return Verdict(NOT_RUN, f"table {', '.join(missing)} is not recorded")
    return claim.criterion(*map(store.load, recordings_of(claim)))


def badges(*ids: str) -> Badges:
    """Claims with their verdicts, as pages show them."""
    for id in ids:
        require_choice("claim", id, CLAIMS)
    claims = [CLAIMS[id] for id in ids]
    return Badges(
        tuple(
            Badge(claim.id, claim.statement, verdict_of(claim), provenance_line(claim), f"{PAGE}#{claim.id.lower()}")
            for claim in claims
        )
    )


def provenance_line(claim: Claim) -> str:
    """Seeds, hardware and date of the recordings behind a verdict, in one line; empty if there are none."""
    lines = []
    for recording in filter(store.is_recorded, recordings_of(claim)):
        facts = store.run_facts(recording)
        devices, days = ({fact[key] for fact in facts} for key in ("device", "started_utc"))
        seeds = len({config.seed for config in recording.configs})
        lines.append(f"{len(facts)} runs, {seeds} seeds, {', '.join(sorted(devices))}, recorded {max(days)[:10]}")
    return "; ".join(lines)


def wanted() -> list[Recording]:
    """Recordings that have not been made."""
    return [recording for recording in TABLES.values() if not store.is_recorded(recording)]


def wanted_map() -> str:
    """The datasheet's table: recordings that have not been made -> question -> cost -> command."""
    lines = ["| table | question | cost | command |", "|---|---|---|---|"]
    for each in wanted():
        lines.append(f"| `{each.name}` | {each.question} | {each.cost} | `{each.command}` |")
    return "\n".join(lines)


def open_questions() -> str:
    """The page of what is open: claims without a verdict, and recordings that have not been made, by hardware."""
    parts = []
    pending = [claim for claim in CLAIMS.values() if verdict_of(claim).verdict == NOT_RUN]
    if pending:
        parts += ["## Claims without a verdict", ""]
        for claim in pending:
            names = [each.name for each in recordings_of(claim) if not store.is_recorded(each)]
            waits = f" Waits for {', '.join(f'`{name}`' for name in names)}." if names else ""
            parts.append(f"- **{claim.id}.** {claim.statement}.{waits}")
        parts.append("")
    for title, needs_gpu in (("Recordings for a CPU", False), ("Recordings for a GPU", True)):
        found = [each for each in wanted() if each.needs_gpu == needs_gpu]
        if found:
            parts += [f"## {title}", ""]
            for each in found:
                parts.append(f"`{each.name}`\n: {each.question} {each.cost[0].upper()}{each.cost[1:]}.\n")
                parts.append(f"  ```sh\n  {each.command}\n  ```\n")
    return "\n".join(parts).rstrip() or "Nothing: every recording has been made."


def counts() -> str:
    """How many claims of the paper, and how many of ours, have which verdict, in one sentence each."""
    sentences = []
    for whose, claims in (("the paper's", of_the_paper()), ("our own", ours())):
        words = [verdict_of(claim).verdict for claim in claims]
        counted = [word for word in WORDS if word in words and word != DEFINITION]
        n = sum(word != DEFINITION for word in words)
        sentences.append(f"Of {whose} {n} claims: " + ", ".join(f"{words.count(w)} {w}" for w in counted) + ".")
    return " ".join(sentences)


def of_the_paper() -> list[Claim]:
    return [claim for claim in CLAIMS.values() if claim.source != "ours"]


def ours() -> list[Claim]:
    return [claim for claim in CLAIMS.values() if claim.source == "ours"]


def card_table() -> pd.DataFrame:
    """One row for each claim of the paper: id, statement, source, verdict, evidence, provenance, chapter."""
    return pd.DataFrame(
        [
            {
                "id": claim.id,
                "claim": claim.statement,
                "source": claim.source,
                **verdict_of(claim)._asdict(),
                "provenance": provenance_line(claim),
                "chapter": claim.chapter,
            }
            for claim in of_the_paper()
        ]
    )


def markdown_cards(claims: Iterable[Claim]) -> str:
    """Each claim as a short Markdown paragraph: verdict, the paper's words, our numbers, link and command."""
    cards = []
    for claim in claims:
        word, evidence = verdict_of(claim)
        words = f" In the paper: “{claim.quote}”." if claim.quote else ""
        lines = [
            evidence + ".",
            provenance_line(claim) + "." if provenance_line(claim) else "",
            "" if claim.tables else "Checked on the spot.",
            ", ".join(f"[Chapter {chapter[:2]}]({chapter}.ipynb)" for chapter in chapters_of(claim)),
            *(f"`{recording.command}`: {recording.cost}" for recording in recordings_of(claim)),
        ]
        bullets = "\n".join(f"- {line}" for line in lines if line)
        cards.append(
            f'<a id="{claim.id.lower()}"></a>**{claim.id}, {word}.** {claim.statement}. '
            f"*({claim.source})*{words}\n{bullets}"
        )
    return "\n\n".join(cards)


def claim_map() -> str:
    """All claims in one table: claim -> verdict -> chapter -> table -> cost; links from the repository's root."""
    lines = ["| | claim | verdict | chapter | table | cost to record |", "|---|---|---|---|---|---|"]
    for claim in CLAIMS.values():
        chapters = ", ".join(f"[{name[:2]}](chapters/{name}.ipynb)" for name in chapters_of(claim))
        tables = "<br>".join(f"`{recording.name}`" for recording in recordings_of(claim)) or "live"
        cost = "<br>".join(recording.cost for recording in recordings_of(claim)) or "seconds"
        word = verdict_of(claim).verdict
        lines.append(f"| {claim.id} | {claim.statement} | {word} | {chapters} | {tables} | {cost} |")
    return "\n".join(lines)
