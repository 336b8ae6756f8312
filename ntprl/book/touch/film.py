"""A film of answers: what a model writes to the same prompts, greedily and sampled, round by round of RL.

Its camera goes to `Run.recover(watch=film.take)`, which shows it the model at every round. Nothing is drawn from the
generators of the run, so that a filmed run is the run it would have been.
"""

from dataclasses import dataclass, field

import numpy as np

from ntprl.book.touch.figure import PANEL, TouchFigure, button, line, mark, panel, slider, words
from ntprl.errors import InputError, require_integer
from ntprl.sampling import greedy, sample
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.task import Task, lengths
from ntprl.transformer import Transformer

WAYS = {"greedy": "Greedy answers", "sampled": "Sampled answers"}
PITCH = 10  # units from one answer to the next


@dataclass
class Film:
    """Answers to `n` fixed test prompts at every round that it is shown; itself the figure, in a notebook."""

    task: Task
    seed: int = 0
    n: int = 24  # prompts
    frames: list[dict] = field(default_factory=list, repr=False)  # round; greedy, sampled: (tokens, is right) each

    def __post_init__(self) -> None:
        require_integer("n", self.n, low=1)

    def take(self, done: int, model: Transformer) -> None:
        """One frame, of the model after `done` rounds."""
        prompts = self.task.prompts(self.n, numpy_rng(self.seed, "evaluation", 1), test=True)
        generator = torch_rng(self.seed, "evaluation", done, device=str(model.embed.weight.device))
        longest = self.task.long_length + 1
        answers = {
            "greedy": greedy(model, prompts, self.task.eos, longest),
            "sampled": sample(model, prompts, self.task.eos, longest, generator=generator),
        }
        frame: dict = {"round": done}
        for way, rows in answers.items():
            tokens, right = lengths(rows, self.task.eos), self.task.r_e2e(prompts, rows)
            frame[way] = [(int(length), bool(word)) for length, word in zip(tokens, right, strict=True)]
        self.frames.append(frame)

    def figure(self) -> TouchFigure:
        """The film as a figure that begins with its first round; InputError without one."""
        if not self.frames:
            raise InputError("a film without a frame: give its `take` to Run.recover(watch=...)")
        longest, last = self.task.long_length, len(self.frames) - 1
        # The still picture is where the answers change: sampled ones are long about half of the time.
        means = [np.mean([length for length, _ in frame["sampled"]]) for frame in self.frames]
        shown = int(np.argmin(np.abs(np.array(means) - longest / 2)))
        drawn = film_panels(self.frames[shown], longest)
        rounds = [frame["round"] for frame in self.frames]
        controls = (
            '<div class="controls"><div class="whole">'
            + slider("frame", "After round", 0, last, 1, 0, str(rounds[0]))
            + "</div></div>"
        )
        body = (
            f"<p>A row is a prompt, a dash is a token, {longest} of them a whole chain. Thick and ✓: the last token is "
            "right; thin and ✗: it is wrong.</p>\n"
            f'<p class="still">A still picture, of round {rounds[shown]}. Where scripts run it is a film.</p>\n'
            f"{controls}\n"
            '<div class="panels">\n'
            + "\n".join(panel(way, heading(way, self.frames[shown]), 8 + PITCH * self.n, *drawn[way]) for way in WAYS)
            + '\n</div>\n<div class="buttons sticky">'
            + button("play", "Play", "main")
            + button("back", "Back to the start")
            + "</div>"
        )
        text = "\n".join(
            f"round {frame['round']:2d}  " + "   ".join(f"{way} {answers_in_words(frame[way])}" for way in WAYS)
            for frame in self.frames[:: max(1, last // 5)]
        )
        frames = [
            {way: [[length, int(word)] for length, word in frame[way]] for way in WAYS} | {"round": frame["round"]}
            for frame in self.frames
        ]
        return TouchFigure("film", "A film of answers", body, text, {"longest": longest, "frames": frames})

    def __repr__(self) -> str:
        return repr(self.figure()) if self.frames else f"a film of {self.n} answers without a frame"

    def _repr_html_(self) -> str:
        return self.figure()._repr_html_()


# --- what is drawn; film.js has the same functions ---


def answers_in_words(answers: list[tuple[int, bool]]) -> str:
    """13 of 24 right, median length 1."""
    median = np.median([length for length, _ in answers])
    return f"{sum(word for _, word in answers)} of {len(answers)} right, median length {median:g}"


def heading(way: str, frame: dict) -> str:
    return f"{WAYS[way]}: {answers_in_words(frame[way])}"


def film_panels(frame: dict, longest: int) -> dict[str, tuple[str, str]]:
    """name -> (what is drawn, what it says in words)."""
    unit = (PANEL - 24) / (longest + 1)  # of one token, gap included
    dashes = f"{unit * 0.75:.3f} {unit * 0.25:.3f}"
    found = {}
    for way in WAYS:
        drawn = line([(20 + unit * longest, 0), (20 + unit * longest, 8 + PITCH * len(frame[way]))], "thin")
        for row, (length, is_right) in enumerate(frame[way]):
            y = 8 + PITCH * row
            kind = "yes" if is_right else "no"
            drawn += words(8, y + 4.5, "✓" if is_right else "✗", kind, "middle")
            path = f"M20 {y}H{20 + unit * length:.2f}"
            drawn += mark("path", d=path, class_=kind, stroke_dasharray=dashes)
        found[way] = (drawn, heading(way, frame))
    return found
