"""The claims and their verdicts as text: the scorecard's cards and the README's map."""

import textwrap

import pandas as pd

from ntprl import records
from ntprl.claims import CLAIMS, OURS, Claim


def provenance_line(claim: Claim) -> str:
    """Seeds, hardware and date of the recordings behind a verdict, in one line; empty if there are none."""
    lines = []
    for recording in claim.recordings:
        if records.is_recorded(recording):
            facts = records.run_facts(recording)
            devices, days = ({fact[key] for fact in facts} for key in ("device", "started_utc"))
            seeds = len({config.seed for config in recording.configs})
            lines.append(f"{len(facts)} runs, {seeds} seeds, {', '.join(sorted(devices))}, recorded {max(days)[:10]}")
    return "; ".join(lines)


def table(claims: tuple[Claim, ...] = CLAIMS) -> pd.DataFrame:
    """One row a claim: id, statement, source, verdict, evidence, provenance, chapter."""
    return pd.DataFrame(
        [
            {
                "id": claim.id,
                "claim": claim.statement,
                "source": claim.source,
                **claim.verdict()._asdict(),
                "provenance": provenance_line(claim),
                "chapter": claim.chapter,
            }
            for claim in claims
        ]
    )


def verdict_text(*ids: str) -> str:
    """Claims with their verdicts and evidence as plain text, for the line below a figure."""
    chosen = [claim for claim in CLAIMS + OURS if claim.id in ids]
    return "\n\n".join(
        textwrap.fill(f"{claim.id}, {verdict}: {evidence}", width=records.TEXT_WIDTH)
        for claim in chosen
        for verdict, evidence in [claim.verdict()]
    )


def markdown_cards(claims: tuple[Claim, ...]) -> str:
    """Each claim as a short Markdown paragraph: verdict, the paper's words, our numbers, link and command."""
    cards = []
    for claim in claims:
        verdict, evidence = claim.verdict()
        words = f" In the paper: “{claim.quote}”." if claim.quote else ""
        card = f"**{claim.id}, {verdict}.** {claim.statement}. *({claim.source})*{words}"
        if claim.check is not None:
            lines = [
                evidence + ".",
                f"{provenance_line(claim)}." if claim.recordings else "Checked on the spot.",
                ", ".join(f"[Chapter {chapter[:2]}]({chapter}.ipynb)" for chapter in claim.chapters),
            ]
            lines += [f"`{recording.command}`: {recording.cost}" for recording in claim.recordings]
            card += "\n" + "\n".join(f"- {line}" for line in lines)
        cards.append(card)
    return "\n\n".join(cards)


def claim_map() -> str:
    """The README's table: claim -> chapter -> command -> cost -> verdict."""
    lines = ["| | claim | verdict | chapter | table | cost to record |", "|---|---|---|---|---|---|"]
    for claim in CLAIMS + OURS:
        chapter = claim.chapter[:2]
        if claim.check is not None:
            chapter = ", ".join(f"[{name[:2]}](chapters/{name}.ipynb)" for name in claim.chapters)
        commands = "<br>".join(f"`{r.name}`" for r in claim.recordings) or ("live" if claim.check else "")
        cost = "<br>".join(r.cost for r in claim.recordings) or ("seconds" if claim.check else "")
        lines.append(
            f"| {claim.id} | {claim.statement} | {claim.verdict().verdict} | {chapter} | {commands} | {cost} |"
        )
    return "\n".join(lines)
