"""Press RL: the map that a round of STaR is, its odds, and a linear chain that is trained where the figure is shown.

One number says what a round does: the odds of long grow by the chance that a long answer is kept over the chance that a
short one is (`theory.kept_chances`). It is 2 where long answers are right and short ones guesses. Noise, unknown links
and the chain reward lower what a long answer earns; a price on length lowers what is kept of both.

The chain beside it has the algorithm of `linear_chain.sgd` and its random numbers, so that with no noise, no unknown
link and no price it is the run that `linear_chain.training.star_table` makes of the same seed. Its odds are not told:
it draws answers, keeps what the settings keep, and is trained on those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

import numpy as np

from ntprl import theory
from ntprl.book.touch.figure import (
    PANEL,
    TouchFigure,
    bar,
    button,
    choice,
    decimals,
    line,
    mark,
    panel,
    percent,
    slider,
    words,
)
from ntprl.errors import require, require_choice, require_integer, require_number
from ntprl.seeds import numpy_rng

D = 10  # bits
SAMPLES = 100_000  # demonstrations, and answers of a round, that the chain draws
ROUNDS = 10  # at most
SEED = 0
HEIGHT = 200  # units, of every panel
REWARDS = {"r_e2e": "last bit right", "r_cot": "all links right"}
UNKNOWN = {"0": "none", "1": "one", "2": "two", "3": "three"}

# P(long) over all inputs, of star_table(D, .25, SAMPLES, 5) with seed 0: dots of the still picture
CHAIN = (0.2508, 0.4068, 0.5990, 0.7671, 0.8682, 0.9198)


@dataclass(frozen=True)
class Settings:
    """What the controls say."""

    p_0: float = 0.25  # share of long answers at the start
    reward: str = "r_e2e"  # or r_cot
    price: float = 0.0  # of a token
    noise: float = 0.0  # chance that a link is flipped
    unknown: int = 0  # links that are coins

    def __post_init__(self) -> None:
        require_number("p_0", self.p_0, low=0.05, high=0.7)
        require_choice("reward", self.reward, REWARDS)
        require_number("price", self.price, low=0, high=0.09)
        require_number("noise", self.noise, low=0, high=0.2)
        require_integer("unknown", self.unknown, low=0)
        require(self.unknown < len(UNKNOWN), "unknown", self.unknown, "at most 3")

    @property
    def kept(self) -> tuple[float, float]:
        """Chances that a long and a short answer are kept."""
        long, short = theory.kept_chances(D, self.noise, self.unknown, self.price, self.reward)
        return float(long), float(short)

    @property
    def factor(self) -> float:
        """By which a round multiplies the odds of long."""
        long, short = self.kept
        return long / short

    def share(self, n: int) -> float:
        """Share of long answers after n rounds."""
        grown = self.factor**n * self.p_0
        return grown / (grown + 1 - self.p_0)


def keys() -> list[str]:
    """What the chain's generator starts from, for pre-training and for each round, in hexadecimal."""
    streams = [numpy_rng(SEED, "rollouts" if step else "data", step) for step in range(ROUNDS + 1)]
    return [f"{int(rng.integers(2**64, dtype=np.uint64)):016x}" for rng in streams]


def press_rl(p_0: float = 0.25) -> TouchFigure:
    """The figure, set to a share of long answers, in whole per cent, that the model starts with."""
    settings = Settings(p_0)
    shown = 5 if p_0 == 0.25 else 0
    drawn = press_panels(settings, shown, CHAIN if shown else ())
    controls = (
        '<div class="controls">'
        + slider("p_0", "Long at the start:", 5, 70, 1, round(100 * p_0), percent(p_0))
        + slider("price", "Price of a token:", 0, 90, 5, 0, "0")
        + slider("noise", "A link is flipped:", 0, 20, 1, 0, "0 %")
        + choice("unknown", "Links that are coins", UNKNOWN, "0")
        + choice("reward", "Kept if", REWARDS, "r_e2e")
        + "</div>"
    )
    below = {
        "odds": f'<p data-part="rung">{rung_in_words(settings.factor)}</p>',
        "chain": '<p data-part="status" aria-live="polite">Dots: P(long) of the chain. Dashed: the map.</p>',
    }
    body = (
        f"<p>A model writes a long answer with probability p; its {D - 1} links are right, so it is right. A short "
        "answer is a guess. Keep what is right, learn from it, and again.</p>\n"
        f'<p class="still">A still picture, of {shown} rounds. Where scripts run it has controls.</p>\n{controls}\n'
        '<div class="buttons sticky">'
        + button("round", "One round", "main")
        + button("reset", "Reset")
        + f'<output data-part="after" aria-live="polite">{after(settings, shown)}</output></div>\n'
        + '<div class="panels">\n'
        + "\n".join(panel(name, HEADS[name], HEIGHT, *drawn[name], below.get(name, "")) for name in drawn)
        + "\n</div>\n"
        '<p class="end">A right answer is kept with chance 1 − price × tokens. A long answer has '
        f"{D} tokens, a short one 1. The chain is the model of the two theorems, with {D} bits: every round it draws "
        f"{SAMPLES:,} answers and is trained on those it keeps, here in this page. Flips and coins are put in while it "
        "writes. Its dots lie near the map, not on it: the map is for all answers there are.</p>"
    )
    long, short = settings.kept
    lines = [f"kept: long {long:.2f}, short {short:.2f}; the odds of long grow by {settings.factor:.2f}"]
    lines += [f"round {n}  map {settings.share(n):.3f}" for n in range(shown + 1)]
    if shown:
        lines = lines[:1] + [f"{row}  chain {share:.3f}" for row, share in zip(lines[1:], CHAIN, strict=True)]
    values = {"d": D, "samples": SAMPLES, "rounds": ROUNDS, "keys": keys()}
    return TouchFigure("press", "Press RL", body, "\n".join(lines), values, before=("chain",))


# --- what is drawn; press.js has the same functions ---

HEADS = {
    "earned": "1. How often an answer is kept",
    "map": "2. A round as a map",
    "odds": "3. The same as odds",
    "chain": "4. A chain that learns, here",
}


def after(settings: Settings, n: int) -> str:
    share = percent(settings.share(n))
    return f"Start: {share} long." if n == 0 else f"After round {n}: {share} long."


def what_happens(factor: float) -> str:
    if abs(factor - 1) < 0.005:
        return "the odds of long stay"
    return f"the odds of long {'grow' if factor > 1 else 'shrink'}"


def rung_in_words(factor: float) -> str:
    return f"A round multiplies the odds by {decimals(factor)}. Greedy answers are long from odds of 1 : 2 on, a third."


def odds_in_words(odds: float) -> str:
    """4.0 : 1, or 1 : 4.0."""
    return f"{decimals(odds, 1)} : 1" if odds >= 1 else f"1 : {decimals(1 / odds, 1)}"


def press_panels(settings: Settings, n: int, chain: Sequence[float]) -> dict[str, tuple[str, str]]:
    """name -> (what is drawn, what it says in words), after n rounds; chain: its P(long), round by round."""
    long, short = settings.kept
    factor = settings.factor
    earned = ""
    for i, (name, kind, chance) in enumerate((("a long answer", "long", long), ("a short answer", "short", short))):
        y = 8 + 44 * i
        earned += words(4, y + 10, name, "soft") + bar(4, y + 16, 270, 14, "track")
        earned += bar(4, y + 16, 270 * chance, 14, kind) + words(PANEL - 4, y + 28, decimals(chance), "bold", "end")
    earned += words(4, 142, f"× {decimals(factor)}", "big") + words(4, 164, what_happens(factor), "bold")
    earned += words(4, 182, f"{decimals(long)} / {decimals(short)}, every round", "soft")

    shares = [settings.share(i) for i in range(n + 1)]

    def at(x: float, y: float) -> tuple[float, float]:
        return 34 + 296 * x, 172 - 164 * y

    def stepped(x: float) -> float:
        return factor * x / (factor * x + 1 - x)

    drawn = line([at(0, 1), at(0, 0), at(1, 0)], "axis") + line([at(0, 0), at(1, 1)], "thin")
    drawn += line([at(1 / 3, 0), at(1 / 3, 1)], "thin")
    drawn += line([at(i / 40, stepped(i / 40)) for i in range(41)], "curve")
    stairs = [at(shares[0], shares[0])]
    for before, share in pairwise(shares):
        stairs += [at(before, share), at(share, share)]
    drawn += line(stairs, "step")
    x, y = at(shares[-1], shares[-1])
    drawn += mark("circle", cx=x, cy=y, r=6, class_="now")
    drawn += words(28, 176, "0", "soft", "end") + words(28, 14, "1", "soft", "end")
    drawn += words(at(1 / 3, 0)[0], 186, "1/3", "soft", "middle") + words(42, 18, "after it", "soft")
    drawn += words(330, 196, "share of long before a round", "soft", "end")

    def rung(i: int, odds: float) -> tuple[float, float]:
        return 50 + 28 * i, 92 - 10 * log2(odds)

    ladder = line([(50, 8), (50, 174), (330, 174)], "axis")
    for odds, label in ((1 / 256, "1 : 256"), (1 / 16, "1 : 16"), (1, "1 : 1"), (16, "16 : 1"), (256, "256 : 1")):
        ladder += words(44, rung(0, odds)[1] + 4, label, "soft", "end")
    ladder += line([rung(0, 1 / 2), rung(10, 1 / 2)], "thin")
    ladder += words(330, rung(0, 1 / 2)[1] + 13, "greedy long above", "soft", "end")
    start = settings.p_0 / (1 - settings.p_0)
    inside = [i for i in range(ROUNDS + 1) if abs(log2(start * factor**i)) <= 8]
    ladder += line([rung(i, start * factor**i) for i in inside], "dash")
    reached = [i for i in inside if i <= n]
    ladder += line([rung(i, start * factor**i) for i in reached], "step")
    for i in reached:
        x, y = rung(i, start * factor**i)
        ladder += mark("circle", cx=x, cy=y, r=6 if i == n else 3.5, class_="now" if i == n else "long")
    ladder += words(58, 20, f"now {odds_in_words(start * factor**n)}", "bold")
    ladder += words(330, 194, f"rounds 0 to {ROUNDS}", "soft", "end")

    def dot(i: int, share: float) -> tuple[float, float]:
        return 34 + 29.6 * i, 172 - 164 * share

    live = line([at(0, 1), at(0, 0), at(1, 0)], "axis") + line([at(0, 1 / 3), at(1, 1 / 3)], "thin")
    live += line([dot(i, settings.share(i)) for i in range(ROUNDS + 1)], "dash")
    for i, share in enumerate(chain):
        x, y = dot(i, share)
        live += mark("circle", cx=x, cy=y, r=5.5, class_="chain")
    live += words(28, 176, "0", "soft", "end") + words(28, 14, "1", "soft", "end")
    live += words(28, at(0, 1 / 3)[1] + 4, "1/3", "soft", "end") + words(42, 18, "P(long)", "soft")
    live += words(330, 194, f"rounds 0 to {ROUNDS}", "soft", "end")
    listed = ", ".join(map(decimals, chain)) or "not yet trained"
    return {
        "earned": (
            earned,
            f"A long answer is kept with chance {decimals(long)}, a short one with {decimals(short)}: "
            f"{what_happens(factor)}, times {decimals(factor)}",
        ),
        "map": (drawn, f"Share of long answers after {n} rounds: {percent(shares[-1])}"),
        "odds": (ladder, f"Odds of long after {n} rounds: {odds_in_words(start * factor**n)}"),
        "chain": (
            live,
            f"P(long) of the chain, round by round: {listed}",
        ),
    }
