"""Every claim with its verdict: under a figure, on the scorecard, and in the README's map."""

import pandas as pd

from ntprl.book import store
from ntprl.book.badge import Badge, Badges, Board, Card
from ntprl.book.page import as_html
from ntprl.book.recording import Recording
from ntprl.book.verdict import DEFINITION, NOT_RUN, WORDS, Claim, Verdict
from ntprl.errors import require_choice
from ntprl.studies.catalogue import CLAIMS, TABLES

PAGE = "09_scorecard.html"  # where every claim has its card
PROOFS = "proofs/linear_chain.html"


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
    return Badges(tuple(badge_of(CLAIMS[id], PAGE) for id in ids))


def badge_of(claim: Claim, page: str = "") -> Badge:
    """Linked to its card on a page."""
    link = f"{page}#{claim.id.lower()}"
    return Badge(claim.id, claim.statement, verdict_of(claim), provenance_line(claim), link)


def card_of(claim: Claim) -> Card:
    chapters = tuple((chapter[:2].lstrip("0"), f"{chapter}.html") for chapter in chapters_of(claim))
    recordings = tuple((recording.command, recording.cost) for recording in recordings_of(claim))
    proof = tuple((each.name, f"{PROOFS}#{each.label}", each.proves) for each in claim.proof)
    return Card(badge_of(claim), claim.source, claim.quote, chapters, recordings, proof, claim.measured)


def board() -> Board:
    """All claims, the paper's and ours, as the scorecard's page shows them."""
    groups = (("The paper's claims", of_the_paper()), ("Our own", ours()))
    return Board(tuple((heading, tuple(map(card_of, claims))) for heading, claims in groups))


def verdicts() -> pd.DataFrame:
    """One row for each claim: its id, whose it is, its verdict and the evidence."""
    rows = [(claim.id, claim.source, *verdict_of(claim)) for claim in CLAIMS.values()]
    return pd.DataFrame(rows, columns=["claim", "source", "verdict", "evidence"])


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
            parts.append(f"- **{claim.id}.** {as_html(claim.statement)}.{waits}")
        parts.append("")
    for title, needs_gpu in (("Recordings for a CPU", False), ("Recordings for a GPU", True)):
        found = [each for each in wanted() if each.needs_gpu == needs_gpu]
        if found:
            parts += [f"## {title}", ""]
            for each in found:
                question = each.question if each.question.endswith(("?", ".")) else f"{each.question}."
                parts.append(f"`{each.name}`\n: {as_html(question)} {each.cost[0].upper()}{each.cost[1:]}.\n")
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
