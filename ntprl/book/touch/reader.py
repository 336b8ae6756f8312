"""Be the calibrated reader: a share of long answers, and what such a reader writes, token by token."""

from fractions import Fraction

from ntprl import theory
from ntprl.book.touch.figure import (
    PANEL,
    TouchFigure,
    bar,
    button,
    choice,
    line,
    panel,
    percent,
    slider,
    token,
    words,
)
from ntprl.errors import require, require_integer
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity

D = 5  # symbols of a prompt
SYMBOLS = (2, 3, 5)  # K
IN_WORDS = {2: "two", 3: "three", 5: "five"}
HIGHEST = 75  # per cent: the end of the slider, as in Theorem 1
PROMPTS = 4  # for each K
HEIGHT = 152  # units, of every panel

Row = tuple[str, str, float, float, bool]  # token or word, its class, mass from long, from short, is it picked


def parting(modulus: int, marked: bool) -> int:
    """1/m: of so many short answers one agrees with the long one up to the token where both part.

    A bare short answer agrees if it happens to be x_1, a marked one always, since it parts at its first token.
    """
    return 1 if marked else modulus


def prompts_of(modulus: int) -> list[list[int]]:
    """Prompts whose sum is not their first symbol, so that stopping there is wrong, but for every second one."""
    task = Parity(D, modulus)
    drawn = task.prompts(64, numpy_rng(0, "evaluation"))
    agrees = task.short(drawn)[:, 0] == drawn[:, 0]
    pairs = zip(drawn[~agrees], drawn[agrees], strict=False)
    return [row[:D].tolist() for pair in pairs for row in pair][:PROMPTS]


def calibrated_reader(p_cot: float = 0.25, modulus: int = 2, marked: bool = False) -> TouchFigure:
    """The figure, set to a share of long answers in whole per cent, K symbols, bare or marked short answers."""
    require(modulus in SYMBOLS, "modulus", modulus, "2, 3 or 5")
    share = round(100 * p_cot)
    require(abs(share - 100 * p_cot) < 1e-9, "p_cot", p_cot, "a whole number of per cent")
    require_integer("p_cot in per cent", share, low=1)
    require(share <= HIGHEST, "p_cot", p_cot, f"at most {HIGHEST / 100}")
    values = {
        "prompts": {str(k): prompts_of(k) for k in SYMBOLS},
        "flips": {str(k): str(theory.threshold(Fraction(1, k))) for k in (1, *SYMBOLS)},  # 1: marked
        "highest": HIGHEST,
    }
    x = prompts_of(modulus)[0]
    drawn = reader_panels(share / 100, modulus, marked, x)
    heads = headings(x, modulus, marked, share / 100)
    star = theory.threshold(Fraction(1, parting(modulus, marked)))
    flip = f'<span style="--at:{_place(float(star))}" data-part="flip">▲ flips at {star}</span>'
    controls = (
        '<div class="controls"><div class="whole">'
        + slider(
            "p",
            "Share of long answers among its examples:",
            1,
            HIGHEST,
            1,
            share,
            f"{share} %",
            f'<div class="flip">{flip}</div>',
        )
        + "</div>"
        + choice("modulus", "Symbols", {"2": "two: parity", "3": "three", "5": "five"}, str(modulus))
        + choice(
            "marked", "Short answers", {"bare": "bare", "marked": "begin with a mark #"}, "marked" if marked else "bare"
        )
        + "</div>"
    )
    body = (
        "<p>Long answers write every running sum, short ones only the last. A reader has seen many of both, and "
        "reports what comes next exactly as often as it did. Which answer is the likeliest?</p>\n"
        f'<p class="still">A still picture, at {share} %. Where scripts run it has controls.</p>\n{controls}\n'
        '<div class="panels">\n'
        + "\n".join(panel(name, heads[name], HEIGHT, *drawn[name]) for name in drawn)
        + '\n</div>\n<div class="buttons">'
        + button("prompt", "Another prompt")
        + f'<output data-part="verdict" aria-live="polite">{verdict(share / 100, modulus, marked, x)}</output></div>'
    )
    k = parting(modulus, marked)
    text = (
        f"p_cot = {share} %, sums modulo {modulus}, {'marked' if marked else 'bare'} short answers\n"
        f"P(first token of a long answer)  {percent(theory.first_token_probability(share / 100, k))}\n"
        f"P(stop | that token)             {percent(theory.stop_probability(share / 100, k))}\n"
        f"flips at {star}: greedy answers are {'long' if share / 100 > star else 'short'} here\n"
        f"right: greedy {percent(likeliest_accuracy(share / 100, modulus, marked))}, "
        f"sampled {percent(theory.calibrated_accuracy(share / 100, modulus))}"
    )
    return TouchFigure("reader", "Be the calibrated reader", body, text, values)


def _place(share: float) -> str:
    """Where on the slider a share lies, 0 to 1."""
    return f"{(100 * share - 1) / (HIGHEST - 1):.4f}"


def goes_on(p: float, modulus: int, marked: bool) -> bool:
    """Whether the likeliest answer is the long one."""
    return p > float(theory.threshold(Fraction(1, parting(modulus, marked))))


def likeliest_accuracy(p: float, modulus: int, marked: bool) -> float:
    """Share of prompts whose likeliest answer is right: all, or those that a guess gets."""
    return 1.0 if goes_on(p, modulus, marked) else 1 / modulus


# --- what is drawn; reader.js has the same functions ---


def running_sums(x: list[int], modulus: int) -> list[int]:
    return [sum(x[: i + 1]) % modulus for i in range(len(x))]


def first_rows(p: float, modulus: int, marked: bool, x_1: int) -> list[Row]:
    """The first token: mass of each candidate from long answers and from short ones."""
    if marked:
        is_long = goes_on(p, modulus, marked)
        return [(str(x_1), "long", p, 0.0, is_long), ("#", "short", 0.0, 1 - p, not is_long)]
    short = theory.first_token_probability(p, modulus) - p
    return [(str(k), "given", p if k == x_1 else 0.0, short, k == x_1) for k in range(modulus)]


def second_rows(p: float, modulus: int, marked: bool, x_1: int) -> list[Row]:
    """What follows the greedy first token: stop or go on, or after a mark the guess."""
    is_long = goes_on(p, modulus, marked)
    if marked and not is_long:
        return [(str(k), "given", 0.0, 1 / modulus, k == 0) for k in range(modulus)]
    stop = 0.0 if marked else theory.stop_probability(p, modulus)
    return [("stop", "", 0.0, stop, not is_long), ("go on", "", 1 - stop, 0.0, is_long)]


def likeliest(p: float, modulus: int, marked: bool, x: list[int]) -> list[str]:
    """The greedy answer, token by token; a guess among equals is the first of them."""
    if goes_on(p, modulus, marked):
        return [*map(str, running_sums(x, modulus)), "."]
    return ["#", "0", "."] if marked else [str(x[0]), "."]


def rows_drawn(rows: list[Row], note: str) -> str:
    """One bar a row, in two colours for where its mass comes from; the picked one in bold with an arrow; a note."""
    pitch = min(34, 120 / len(rows))
    drawn = ""
    for i, (name, kind, long, short, is_picked) in enumerate(rows):
        y = 4 + i * pitch + (pitch - 22) / 2
        drawn += words(4, y + 15.5, "▸") if is_picked else ""
        if kind:
            drawn += token(22, y, name, kind)
        else:
            drawn += words(18, y + 15.5, name, "bold" if is_picked else "")
        drawn += bar(66, y + 3, 200, 16, "track") + bar(66, y + 3, 200 * long, 16, "long")
        drawn += bar(66 + 200 * long, y + 3, 200 * short, 16, "short")
        drawn += words(PANEL - 4, y + 15.5, percent(long + short), "bold" if is_picked else "", "end")
    return drawn + words(4, 145, note, "soft")


def reader_panels(
    p: float, modulus: int, marked: bool, x: list[int], written: int | None = None
) -> dict[str, tuple[str, str]]:
    """name -> (what is drawn, what it says in words); of the greedy answer `written` tokens stand already, or all."""
    sums, is_long = running_sums(x, modulus), goes_on(p, modulus, marked)
    seen = ""
    for row, (name, kind, symbols) in enumerate(
        (
            ("prompt", "given", [*map(str, x), "|"]),
            ("long", "long", [*map(str, sums), "."]),
            ("short", "short", [*(["#"] if marked else []), str(sums[-1]), "."]),
        )
    ):
        seen += words(4, 22 + 34 * row, name, "bold" if row else "soft")
        seen += "".join(token(58 + 28 * i, 6 + 34 * row, symbol, kind) for i, symbol in enumerate(symbols))
        if row:
            seen += words(PANEL - 4, 22 + 34 * row, percent(p if row == 1 else 1 - p), "bold", "end")
    seen += bar(4, 122, 332 * p, 16, "long") + bar(4 + 332 * p, 122, 332 * (1 - p), 16, "short")

    first = first_rows(p, modulus, marked, x[0])
    second = second_rows(p, modulus, marked, x[0])
    answer = likeliest(p, modulus, marked, x)
    shown = answer if written is None else answer[:written]
    kind = "long" if is_long else "short"
    said = "".join(token(4 + 28 * i, 6, symbol, kind) for i, symbol in enumerate(shown))
    if len(shown) == len(answer):
        end = 4 + 28 * len(answer) + 8
        is_right = answer[-2] == str(sums[-1])
        said += words(end, 22, "✓ right" if is_right else f"✗ wrong: it is {sums[-1]}", "bold")
    said += words(4, 58, "right, over all prompts:", "soft")
    rates = {
        "greedy": likeliest_accuracy(p, modulus, marked),
        "sampled": float(theory.calibrated_accuracy(p, modulus)),
    }
    for i, (name, rate) in enumerate(rates.items()):
        y = 68 + 28 * i
        said += words(4, y + 14, name) + bar(66, y + 2, 200, 16, "track") + bar(66, y + 2, 200 * rate, 16, "right")
        said += words(PANEL - 4, y + 14, percent(rate), "bold", "end")
    chance = 66 + 200 / modulus
    said += line([(chance, 66), (chance, 124)], "thin") + words(chance, 138, "a guess", "soft", "middle")

    first_note = f"All long ones begin with {x[0]}, and one in {IN_WORDS[modulus]} short ones."
    second_note = f"Of all examples that begin with {x[0]}, so many stop here."
    if marked:
        first_note = f"Long ones begin with {x[0]}, short ones with the mark."
        second_note = f"Only long ones begin with {x[0]}: none stops here."
        if not is_long:
            second_note = "The reader cannot add up in one go: all are alike."

    def listed(rows: list[Row]) -> str:
        return ", ".join(f"{name} {percent(long + short)}" for name, _, long, short, _ in rows)

    return {
        "seen": (seen, f"Long answers {percent(p)}, short answers {percent(1 - p)}"),
        "first": (rows_drawn(first, first_note), f"Probability of each first token: {listed(first)}"),
        "second": (rows_drawn(second, second_note), f"Probability of what comes next: {listed(second)}"),
        "said": (
            said,
            f"Likeliest answer {' '.join(answer)}; right: greedy {percent(rates['greedy'])}, "
            f"sampled {percent(rates['sampled'])}",
        ),
    }


def headings(x: list[int], modulus: int, marked: bool, p: float) -> dict[str, str]:
    is_guess = marked and not goes_on(p, modulus, marked)
    return {
        "seen": "1. What it has seen",
        "first": "2. Its first token",
        "second": "3. After the mark: a guess" if is_guess else f"3. After the {x[0]}: stop or go on?",
        "said": "4. The likeliest answer",
    }


def verdict(p: float, modulus: int, marked: bool, x: list[int]) -> str:
    """One sentence on what happens at this share."""
    star = theory.threshold(Fraction(1, parting(modulus, marked)))
    if abs(p - float(star)) < 1e-9:
        return f"Exactly {star}: a tie between long and short."
    if goes_on(p, modulus, marked):
        return f"Above {star} it writes the whole chain, and is always right."
    return f"Below {star} it {'takes the mark' if marked else f'stops after the {x[0]}'}, which is a guess."
