"""The pictures and tables of chapters/proofs/linear_chain.md, made from the same formulas as its checks.

python -m ntprl.proofs.pictures    # writes them into the page, between its markers
"""

import re
import sys
from collections.abc import Callable
from math import floor, log, log10
from pathlib import Path

from ntprl.proofs import copying, flows, pretraining, star
from ntprl.proofs.checks import CHECKS, GUARDS
from ntprl.proofs.formulas import FORMULAS, NOTICED

# Mean error on the worst prompt after 4,096,000 samples at p = .25 (data/chain_samples.csv), by number of bits.
MEASURED = {10: 0.0059, 25: 0.0093, 50: 0.0127, 100: 0.0273}
SAMPLES = 4_096_000


def svg(width: int, height: int, label: str, body: list[str]) -> str:
    """An inline picture in the colour of the text, for light and dark pages."""
    style = 'style="max-width: 100%; height: auto; margin: 8px 0; font: 14px sans-serif" fill="currentColor"'
    opening = f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}" {style}>'
    return "\n".join(["```{raw} html", opening, *body, "</svg>", "```"])


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{extra}>{words}</text>'


def line(x: float, y: float, to_x: float, to_y: float, opacity: float = 0.6, width: float = 1.2) -> str:
    return (
        f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="currentColor" stroke-width="{width}" opacity="{opacity}"/>'
    )


def tree() -> str:
    """The three coins: first token, stop or go on, links; with the mass at each end."""
    bold = ' font-weight="bold"'
    body = [
        text(4, 104, "x"),
        *(line(16, 100, *end) for end in ((66, 50), (66, 190))),
        text(70, 46, "x₁"),
        text(70, 64, "(1+p)/2", extra=' font-size="12"'),
        text(70, 188, "−x₁"),
        text(70, 206, "(1−p)/2", extra=' font-size="12"'),
        *(line(122, 50, *end) for end in ((166, 22), (166, 92))),
        text(170, 26, "go on"),
        text(170, 96, "stop"),
        line(122, 190, 166, 190),
        text(170, 194, "stop"),
        *(line(x, y, 236, y) for x, y in ((214, 22), (206, 92), (206, 190))),
        text(240, 18, "p", extra=bold),
        text(240, 36, "right, as links are sure", extra=' font-size="12"'),
        text(240, 88, "(1−p)/2", extra=bold),
        text(240, 106, "right if the parity is x₁", extra=' font-size="12"'),
        text(240, 186, "(1−p)/2", extra=bold),
        text(240, 204, "right if the parity is −x₁", extra=' font-size="12"'),
    ]
    label = (
        "The first token is x1 with probability (1+p)/2. Then the chain goes on, p in all, or stops, (1-p)/2 in all."
    )
    return svg(390, 224, label, body)


def one_budget(d: int, p: float, eps: float, delta: float) -> float:
    """Samples that Theorem 1 asks for if all heads get the accuracy eps/(2(d + 1)), as an easier proof has it."""
    inverse = 576 * d**2 * (d + 1) ** 5 * log(2 * (d + 1) / eps) ** 2 / delta / eps**4
    return 4 * inverse * log(2 * inverse) / p


def ladder() -> str:
    """Samples for the measured error: one accuracy for all heads, Theorem 1, and what was used."""
    shades, scale = (0.25, 0.5, 0.9), 11
    legend = ("one accuracy for all heads", "Theorem 1: each head has its own", "used")
    body = []
    for i, (shade, words) in enumerate(zip(shades, legend, strict=True)):
        body.append(f'<rect x="0" y="{2 + 20 * i}" width="24" height="13" opacity="{shade}"/>')
        body.append(text(32, 13 + 20 * i, words, extra=' font-size="13"'))
    y = 88
    for d, eps in MEASURED.items():
        asked = (one_budget(d, 0.25, eps, 0.05), pretraining.enough_samples(d, 0.25, eps, 0.05), SAMPLES)
        body.append(text(0, y, f"d = {d}, error {eps:g}", extra=' font-weight="bold"'))
        for i, (shade, samples) in enumerate(zip(shades, asked, strict=True)):
            power, top = log10(samples), y + 8 + 20 * i
            body.append(f'<rect x="0" y="{top}" width="{scale * power:.0f}" height="15" opacity="{shade}"/>')
            body.append(text(round(scale * power) + 6, top + 12, f"{power:.1f}", extra=' font-size="12"'))
        y += 92
    return svg(390, y - 14, "Bars of base-10 logarithms of samples: far above the measured ones for each d", body)


def falling_lines() -> str:
    """s_n(x) of the 64 prompts of `copying.uneven`: parallel lines that fall by ln 2 a round, each to its own flip."""
    history = copying.falling(7)
    start = history[0].s
    high, body = 4.3, []

    def at(n: float, score: float) -> tuple[float, float]:
        return 40 + 48 * n, 10 + 28 * (high - score)

    for n in range(8):
        body.append(line(*at(n, -2.9), *at(n, high), opacity=0.12))
        body.append(text(at(n, 0)[0], at(0, -3.2)[1] + 6, str(n), "middle"))
    body += [line(*at(0, 0), *at(7, 0), opacity=0.9), text(34, at(0, 0)[1] + 5, "0", "end")]
    body += [text(34, at(0, 4)[1] + 5, "4", "end"), text(34, at(0, -2)[1] + 5, "−2", "end")]
    for i in range(len(start)):
        points = " ".join("{:.0f},{:.0f}".format(*at(n, float(heads.s[i]))) for n, heads in enumerate(history))
        style = 'fill="none" stroke="currentColor" stroke-width="0.7" opacity="0.45"'
        body.append(f'<polyline points="{points}" {style}/>')
    rounds = [floor(s / copying.LN_2) + 1 for s in start]
    counts = ", ".join(f"{rounds.count(n)} in round {n}" for n in sorted(set(rounds)))
    body.append(text(40, at(0, -3.9)[1] + 6, "rounds; prompts whose score falls below 0:", extra=' font-size="13"'))
    body.append(text(40, at(0, -4.6)[1] + 6, counts, extra=' font-size="13"'))
    label = "64 parallel lines fall by ln 2 in each round and cross zero in rounds of their own"
    return svg(390, round(at(0, -4.8)[1]) + 8, label, body)


def pairs_table() -> str:
    """Pairs a round of Theorem 2, as powers of ten."""
    cases = ((10, 0.25), (10, 0.1), (50, 0.25), (25, 0.01))
    rows = [f"| {d} | {p_0:g} | $10^{{{log10(star.star_pairs(d, p_0, 0.1, 0.1)):.0f}}}$ |" for d, p_0 in cases]
    return "\n".join(["| $d$ | $p_0$ | pairs a round |", "|---|---|---|", *rows])


def times_table() -> str:
    """Rows of times to 1/3 for the flows, and the rounds of STaR with refit."""
    names = {"reinforce": "REINFORCE", "grpo": "GRPO", "star": "STaR, no refit", "natural": "natural gradient"}
    starts = (0.1, 0.01, 0.001)
    rows = ["| Time to $\\frac13$ from $p_0$ | .1 | .01 | .001 |", "|---|---|---|---|"]
    for kind in flows.KINDS:
        digits = 1 if kind in ("natural", "unit") else 0
        times = " | ".join(f"{flows.flow_time(kind, p_0):,.{digits}f}" for p_0 in starts)
        rows.append(f"| {names.get(kind, 'unit steps')} | {times} |")
    rounds = " | ".join(str(star.above(FORMULAS["rounds"](p_0))) for p_0 in starts)
    return "\n".join([*rows, f"| STaR with refit, rounds | {rounds} |"])


def noticed(label: str) -> str:
    """What the checks of a statement notice in its central formulas: "any", or the factors."""
    found = []
    for name, (check, _) in GUARDS.items():
        if check in CHECKS[label]:
            found.append(f"{NOTICED[name]:g}" if name in NOTICED else "any")
    return ", ".join(dict.fromkeys(found))


def checks_table() -> str:
    """One row for each statement: its number on the page, the label, its checks, and what they notice."""
    rows = ["| Statement | Checks in `ntprl.proofs` | Notices |", "|---|---|---|"]
    for label, checks in CHECKS.items():
        names = ", ".join(f"`{check.__module__.rsplit('.', 1)[1]}.{check.__name__}`" for check in checks)
        rows.append(f"| {{prf:ref}}`{label}` | {names} | {noticed(label)} |")
    return "\n".join(rows)


PIECES: dict[str, Callable[[], str]] = {
    "tree": tree,
    "ladder": ladder,
    "falling": falling_lines,
    "pairs": pairs_table,
    "times": times_table,
    "checks": checks_table,
}
MARKED = r"(?s)(<!-- made: {name} -->\n\n).*?(\n\n<!-- end -->)"


def renewed(page: str) -> str:
    """The page with all its pieces as the code makes them."""
    for name, make in PIECES.items():
        piece = make()
        page, found = re.subn(MARKED.format(name=name), lambda m, piece=piece: m[1] + piece + m[2], page)
        assert found == 1, f"no place for {name} on the page"
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "chapters/proofs/linear_chain.md")
    path.write_text(renewed(path.read_text()))
