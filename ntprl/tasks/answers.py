"""Is the final answer of a completion right? The end-to-end reward on problems in words (GSM8K, MATH).

What a completion says: what stands behind its mark, up to the end of that line; without a mark, what its last
closed \\boxed{...} holds; else nothing.
(1) Several marks must all say the same, else the completion says nothing. A demonstration marks once, so another
    answer is a second guess, or a run-on into another problem; a reward for either would teach it.
(2) Of several boxes the last counts, as in MATH itself. It alone counts, so guessing often gains nothing.
(3) Numbers in prose are no answer: a chain cut short is often right by its last number.
(4) Other text, before or behind, is not read. A text of more than a million characters says nothing.

When it is right: the first of these that applies decides.
(1) The same text is right, up to notation that means nothing.
(2) A true number asks for its value, however written: with separators, currency, percent sign, any unit, a name
    before "=", as 0.5 or \\frac12. Rounded, it is another number. An expression is no number, nor is a fraction
    where a whole one is asked for: 144/2 for 72 would let the checker do the arithmetic.
(3) Words, and numbers with a base (145_8), must be the same text. No other script's digits are read.
(4) The rest is LaTeX, and math-verify compares it.

How long it takes: (1) to (3) microseconds, by regular expressions over at most 500 characters. math-verify limits
its time by a signal, which works in the main thread alone. No look at an answer tells whether SymPy will end: powers,
factorials, sums, even (x+y+z)^{200} take forever. So it runs in a process of its own, killed when its time is up.
"""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from importlib.util import find_spec

from ntprl.errors import InputError, install_command, require, require_number
from ntprl.tasks.rows import MARK

LONGEST_TEXT = 1_000_000  # characters; a longer completion says nothing
LONGEST_ANSWER = 500  # characters; beyond, only the very text of the true answer is right
START_SECONDS = 120.0  # until math-verify is imported; about 1 s, but more from a slow disk
WORKER_BYTES = 2 * 1024**3  # memory of its process, which needs 0.1 GB

_BOX = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)  # opens a box | escape | brace

# A word that, behind a number, makes it another number or one of two answers.
_NO_UNIT = (
    r"\b(?i:and|n?or|to|plus|minus|times|over|dozens?|score|hundreds?|thousands?|[mbtr]+illions?|half|halves|thirds?"
    r"|quarters?|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand)ths?|pi|squared|cubed|factorial|[ap]\.?m)\b"
)
# Letters glued to a number are algebra (3ab), and so is one letter alone (3 x), but for these units.
_GLUED_UNIT = re.compile(r"(?:[mck]m|[mk]g|m[lL]|ft|mi|lbs?|oz|hrs?|mins?|sec|[mk]ph)\b")
_LETTER_UNITS = (" m", " g", " s", " h", " l", " L")

_PLAIN = [  # in this order: what is replaced, by what
    (re.compile(pattern), by)
    for pattern, by in (
        ("\u2212", "-"),  # a printed minus sign
        (r"\\?\$|(?<!\\)\\[][(),;: ]|\b~", " "),  # dollars, what opens or closes a formula, spaces
        (r"\\(?:left|right|displaystyle)(?![a-zA-Z])|(?<!\\)\\!", ""),
        (r"\{,\}", ","),
        (r"\\%", "%"),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"(?:\^ ?\{? ?\\circ ?\}?|°|\\degree(?![a-zA-Z]))(?: ?[CF]\b)?", ""),
        (rf"(?<=[\w}})%]) *\\(?:text|mathrm|mbox) ?\{{(?:(?!{_NO_UNIT})[A-Za-z .])+\}} ?(?:\^ ?\{{?[23]\}}?)?$", ""),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox) ?\{([^{}]*)\}", r" \1 "),
        (r"(\d) ?_ ?\{ ?(\w+) ?\}", r"\1_\2"),  # 145_{8}
        (r"^[ *]*\( ?([A-Za-z]) ?\)[ *.]*$", r"\1"),  # a choice, (A)
    )
]
_NUMBER = re.compile(
    r"[€£¥₹]? ?(?P<sign>[+-]?) ?[€£¥₹]? ?"
    r"(?:(?:(?P<mixed>\d+) )?(?P<top>\d+) ?/ ?(?P<bottom>\d+)"
    r"|(?=\.?\d)(?P<whole>\d{1,3}(?:[, ]\d{3})+|\d*)(?P<decimals>\.\d*)?)"
    r"(?P<unit>(?![\d,.]|/ ?\d).*)",
    re.ASCII,
)
_FRAC = re.compile(r"\\frac ?(?:\{ ?(-?\d+) ?\}|(\d)) ?(?:\{ ?(\d+) ?\}|(\d))(?! ?\d)", re.ASCII)
_UNIT = re.compile(r"(?: ?[%€£¥₹](?= |$))?(?:(?: | ?/ ?| \()?[A-Za-z](?:[A-Za-z .'()/]|\b-\b)*(?:\^ ?\{?[23]\}?)?)?")
_NAME = re.compile(r"^[A-Za-z][A-Za-z ]*= ?")
_WORDS = re.compile(r"(?=.*[A-Za-z]{3})[A-Za-z ,.'()-]+")


def final_answer(text: str, mark: str = MARK) -> str | None:
    """What a completion finally says, white space collapsed; None if nothing. The rules are those of the module."""
    require(isinstance(mark, str) and bool(mark.strip()), "mark", mark, "a text that is not blank")
    if len(text) > LONGEST_TEXT:
        return None
    _, *marked = text.split(mark)
    if not marked:
        return _collapsed(_last_box(text) or "") or None
    first, *others = dict.fromkeys(_collapsed(part.split("\n", 1)[0]) for part in marked)
    return first if first and all(_agree(first, other) for other in others) else None


def is_right(text: str, truth: str, mark: str = MARK, seconds: float = 1.0) -> bool:
    """Does a completion finally say the true answer? Total: any text gets a verdict, in any thread.

    If `truth` is LaTeX, math-verify has `seconds` to compare, and what takes longer is wrong. Its process starts
    with the first such answer, and anew after each that took too long; that takes about a second more.
    Raises InputError only for a bad `mark` or `seconds`, and for LaTeX if math-verify cannot be used.
    """
    require_number("seconds", seconds, low=0.001, high=3600)
    answer, truth = final_answer(text, mark), _collapsed(truth)
    if answer is None or not truth:
        return False
    if max(len(answer), len(truth)) > LONGEST_ANSWER:
        return answer == truth
    answer, truth = _plain(answer), _plain(truth)
    if answer == truth:
        return bool(answer)
    number = _number(truth)
    if number is not None:
        return _number(_NAME.sub("", answer), fractions=number.denominator > 1) == number
    if _WORDS.fullmatch(truth):
        return answer.casefold() == truth.casefold()
    if re.search(r"\d ?_", f"{truth} {answer}"):
        return False
    return _ask(truth, answer, seconds)


def rewards(completions: Sequence[str], truths: Sequence[str], mark: str = MARK) -> list[float]:
    """1.0 for each completion that says its true answer, else 0.0."""
    require(len(truths) == len(completions), "truths", len(truths), f"as many as completions, {len(completions)}")
    return [float(is_right(text, truth, mark)) for text, truth in zip(completions, truths, strict=True)]


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _last_box(text: str) -> str | None:
    """What the last closed box to open holds."""
    last, content = 0, None
    opened = []  # for each open brace, where the box begins that it opens, or 0
    for token in _BOX.finditer(text):
        if token[0] == "}" and opened:
            start = opened.pop()
            if start > last:
                last, content = start, text[start : token.start()]
        elif token["box"] or token[0] == "{":
            opened.append(token.end() if token["box"] else 0)
    return content


def _agree(answer: str, other: str) -> bool:
    """Do two marks say the same, by notation and numbers alone?"""
    if max(len(answer), len(other)) > LONGEST_ANSWER:
        return False
    plain = _plain(answer), _plain(other)
    first, second = (_number(_NAME.sub("", text)) for text in plain)
    return plain[0] == plain[1] or (first is not None and first == second)


def _plain(answer: str) -> str:
    """An answer without notation that means nothing: boxes, dollars, \\left, \\text, degrees, units in \\text."""
    answer = _collapsed(_last_box(answer) or answer)
    for pattern, by in _PLAIN:
        answer = pattern.sub(by, answer)
    return _collapsed(answer).lstrip(" *`").rstrip(" *`.,;:")


def _number(answer: str, fractions: bool = True) -> Fraction | None:
    """The value of a plain answer that is a number, perhaps with a unit; else None."""
    parts = _NUMBER.fullmatch(_collapsed(_FRAC.sub(r" \1\2/\3\4", answer)))
    if not parts or not _is_unit(parts["unit"]):
        return None
    if parts["top"]:
        if not fractions or int(parts["bottom"]) == 0:
            return None
        value = int(parts["mixed"] or 0) + Fraction(int(parts["top"]), int(parts["bottom"]))
    else:
        value = Fraction(re.sub("[, ]", "", parts["whole"]) + (parts["decimals"] or ""))
    return -value if parts["sign"] == "-" else value


def _is_unit(tail: str) -> bool:
    """Is what stands behind a number a unit: words, perhaps with a power, that leave its value alone?"""
    if not _UNIT.fullmatch(tail) or re.search(_NO_UNIT, tail):
        return False
    if tail[:1].isalpha():
        return bool(_GLUED_UNIT.match(tail))
    first = re.search("[A-Za-z]+", tail)
    return not first or len(first[0]) > 1 or tail[:2] in _LETTER_UNITS


class _Worker:
    """A process that compares LaTeX answers, so that it can be killed in the middle of anything.

    By hand, because the workers of pebble are multiprocessing's: they run a script without a `__main__` guard again,
    a fork that exits kills those of its parent, and a child of multiprocessing that has asked never ends.
    """

    def __init__(self) -> None:
        if find_spec("math_verify") is None:
            raise InputError(f"comparing LaTeX answers needs the package math-verify: {install_command('words')}")
        # A plain command: unlike multiprocessing it runs no part of the caller's script again and forks no GPU state.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from ntprl.tasks.answers import _serve; _serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,  # Ctrl-C in a terminal is for the caller alone
        )
        self.ready = self.killed = False

    def ask(self, truth: str, answer: str, seconds: float) -> bool | None:
        """The verdict; None if it took too long, or if the process died of it."""
        if not self.ready and self._reply(START_SECONDS) != "ready":
            raise InputError("math-verify does not start: see what `python -c 'import math_verify'` says")
        self.ready = True
        with suppress(OSError):  # its death shows in the reply
            self.process.stdin.write(json.dumps([truth, answer, seconds]) + "\n")
            self.process.stdin.flush()
        return {"right": True, "wrong": False}.get(self._reply(seconds))

    def _reply(self, seconds: float) -> str:
        """The next line it writes; empty if there was none in time."""
        timer = threading.Timer(seconds, self._kill)
        timer.start()
        try:
            line = self.process.stdout.readline().strip()
        finally:
            timer.cancel()
            timer.join()  # so that no late kill hits the next question
        return "" if self.killed else line

    def _kill(self) -> None:
        self.killed = True
        self.process.kill()

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


_idle: dict[int, list[_Worker]] = {}  # by process id: a fork must not write to the workers of its parent


@atexit.register
def _stop_all() -> None:
    for worker in _idle.pop(os.getpid(), []):
        worker.stop()


def _free_worker() -> _Worker:
    idle = _idle.setdefault(os.getpid(), [])
    with suppress(IndexError):  # until none is left, in whichever thread
        while True:
            worker = idle.pop()
            if worker.process.poll() is None:
                return worker
            worker.stop()  # it died meanwhile
    return _Worker()


def _ask(truth: str, answer: str, seconds: float) -> bool:
    """math-verify's verdict, False if that takes too long; threads that ask at once get a worker each.

    A process that died although it had time left may have been killed from outside, or by the question: it is asked
    once more.
    """
    for _ in range(2):
        worker = _free_worker()
        try:
            verdict = worker.ask(truth, answer, seconds)
        except BaseException:
            worker.stop()
            raise
        if verdict is not None:
            _idle.setdefault(os.getpid(), []).append(worker)
            return verdict
        worker.stop()
        if worker.killed:
            break
    _idle.setdefault(os.getpid(), []).append(_Worker())  # it gets ready while the caller goes on
    return False


def _serve() -> None:
    """The loop of a worker: a JSON line [truth, answer, seconds] in, "right" or "wrong" out."""
    replies, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no verdict
    with suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES, WORKER_BYTES))
    alarm = getattr(signal, "alarm", lambda seconds: None)  # nor this
    _same(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}")  # the first comparison imports and compiles for long
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        truth, answer, seconds = json.loads(line)
        alarm(int(seconds) + 2)  # ends this process if its parent is gone and cannot
        print("right" if _same(truth, answer) else "wrong", file=replies, flush=True)
        alarm(0)


def _same(truth: str, answer: str) -> bool:
    """math-verify's verdict, without a limit on its time."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    # Its own search for boxes and units is off: it takes the t of 3t for a unit.
    rules = NormalizationConfig(units=False, malformed_operators=True, nits=True, boxed="none")
    config = [LatexExtractionConfig(normalization_config=rules)]
    parsed = [parse(f"${text} $", config, "no_fallback", parsing_timeout=None) for text in (truth, answer)]
    # Its six decimals would make 1.414214 the square root of two, and its 15 digits 2^{-60} equal to 3^{-60}.
    return all(parsed) and verify(*parsed, float_rounding=12, numeric_precision=50, timeout_seconds=None)
