"""Write the page on performance, and the bars in benchmarks/README.md, from the tables in benchmarks/.

python tools/performance.py
"""

import math
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS, PAGE = ROOT / "benchmarks", ROOT / "chapters" / "pages" / "performance.md"
README = BENCHMARKS / "README.md"
sys.path.insert(0, str(BENCHMARKS))

import summary  # noqa: E402
from tables import read_files  # noqa: E402

from ntprl.book.store import write_atomically  # noqa: E402

LIVE = "random weights to greedy >= .99 at d = 50"  # with the recipe of the live run
# what readers see: title -> rows of the summary
GROUPS = {
    "Training": ("pre-training, sequences/s", "pre-training, Mistral style, sequences/s"),
    "A round of GRPO": (
        "GRPO round, trained model, rollouts/s",
        "GRPO round, trained model, rollouts/s, a signal in every group",
    ),
    "Writing answers": (
        "sampling, 512 x 1 answers, tokens/s",
        "sampling, 64 x 8 answers, tokens/s",
        "sampling, 64 x 64 answers, tokens/s",
    ),
    "From random weights to right answers": (LIVE, f"{LIVE}, GPT-2 style"),
    "The linear chain": ("linear chain, SGD steps/s, one run", "linear chain, SGD steps/s, all cores"),
    "32 small models at once": ("sweep of 32 small models",),
}
ON_THE_PAGE = {  # summary -> page
    "pre-training, sequences/s": "next-token prediction, GPT-2 style",
    "pre-training, Mistral style, sequences/s": "next-token prediction, Mistral style, as in the live runs",
    "GRPO round, trained model, rollouts/s": "a trained model",
    "GRPO round, trained model, rollouts/s, a signal in every group": "every answer counts",
    "sampling, 512 x 1 answers, tokens/s": "512 prompts, 1 answer to each",
    "sampling, 64 x 8 answers, tokens/s": "64 prompts, 8 answers to each",
    "sampling, 64 x 64 answers, tokens/s": "64 prompts, 64 answers to each",
    LIVE: "both phases, d = 50, as in the live run of chapter 4",
    f"{LIVE}, GPT-2 style": "both phases, d = 50, GPT-2 style, twice the steps",
    "linear chain, SGD steps/s, one run": "one run",
    "linear chain, SGD steps/s, all cores": "a run on each core",
    "sweep of 32 small models": "as one batched program",
}
PEERS = {
    "transformers.Trainer": "transformers' Trainer",
    "Trainer, fused GELU": "the same with a fused GELU",
    "padded loop": "a plain loop with padding",
    "TRL GRPOTrainer": "TRL's GRPOTrainer",
    "TRL, 4 micro-batches": "the same in 4 micro-batches",
    "transformers generate": "transformers' generate",
    "Trainer and GRPOTrainer": "Trainer, then GRPOTrainer",
    "SGDClassifier": "scikit-learn's SGDClassifier",
    "its fits alone": "its fits without its features",
    "torch loop": "a loop in torch",
    "one after the other": "one after the other",
    "processes": "a process on each core",
}
LEAST, MOST = 0.5, 100.0  # ends of the scale of ratios, which is logarithmic

INTRODUCTION = """\
# How fast, beside its peers

<!-- written by tools/performance.py from the tables in benchmarks/; edit those -->

A chapter that runs while you read has to be fast on a laptop. How fast is it beside what one would otherwise
use? Both sides get the same model, data and arithmetic, and before anything is timed their losses, gradients,
weights or answers must agree. A time says little without its machine, so the results are ratios: at 3, this
book's code does three times as much in the same time. A dot is the median of five repetitions or more,
or of as many as its label says, its line their range.
"""

WHY = """\
The libraries are general and this code is not. It knows that prompts are shared and answers repeat, and that
only answers have a loss, so it computes less; what is left costs about the same on both sides. Where nothing
can be shared, as with one answer to each prompt, little is gained. Below 1 the other side wins: on a CPU,
processes beside each other do better than one batched program, which is meant for a GPU.

`make bench` repeats all of it on the machine at hand; nothing here was measured on a GPU. How it is measured, what
is fair and what is not, what was hoped for and not reached, and what was tried and did not help stands in
[`benchmarks/README.md`](https://github.com/ntprl/ntprl/blob/main/benchmarks/README.md).
"""

STYLE = """\
<style>
.ratios { font-size: .9rem; line-height: 1.35; margin: 1rem 0 1.5rem; }
.ratios .row { display: grid; grid-template-columns: 16rem 1fr 10.8rem; gap: .25rem .8rem; align-items: center;
  padding: .2rem 0; }
.ratios .group { font-weight: 700; margin-top: .7rem; border-bottom: 1px solid var(--pst-color-border, #ccc); }
.ratios .track { position: relative; height: 1.2rem; }
.ratios .one { position: absolute; top: -.2rem; bottom: -.2rem; width: 0; border-left: 1.5px dashed #8c8c8c; }
.ratios .range { position: absolute; top: calc(50% - 2px); height: 4px; min-width: 2px; border-radius: 2px;
  background: #2b8cc4; }
.ratios .dot { position: absolute; top: calc(50% - 6px); width: 12px; height: 12px; margin-left: -6px;
  border-radius: 6px; background: #2b8cc4; }
.ratios .tick { position: absolute; transform: translateX(-50%); }
.ratios .row > :last-child { white-space: nowrap; }
@media (max-width: 600px) { .ratios .row { grid-template-columns: 1fr auto; } .ratios .track { grid-column: 1 / 3;
  grid-row: 2; } }
</style>
"""

LIMITS = """\
Operations are multiply-adds, twice. Bytes are what the same operators must read and write, each operand once; caches
serve many of them, so that the share of a large copy may exceed 1. The limit is the larger of the two shares: of a
large matrix product, and of a large copy, both measured in the same run. A model this narrow has thin matrices and
small operators.
"""

PROFILES = """\
As `torch.profiler` sees it, its own cost included: four groups that add up, then single operators out of them.
"""

WAIT = """\
In seconds, on the machine below: with the recipe of the live run of chapter 4, both phases take {live}
from random weights until greedy decoding is right on 99 % of fresh prompts, at d = 50; in the GPT-2 style, with
twice the steps, {gpt2}. These are medians and ranges over seeds. What the chapter measures on the way, and
the rounds that it adds, come on top.
"""

METHOD = """\
- One process. A repetition that does not count, then five or more (or as many as the line says), in which the order of
  the contestants rotates.
  A ratio is taken within a repetition, since a machine's speed drifts. Shown are the median of those ratios and
  their range.
- The peers have every setting that we know to make them faster without changing what is learned.
- A bar is met if the median meets it. Seconds are those of the recorded machine.
- The tables below took {minutes} there, one script after the other; each repeats its own with `--only NAME`.
"""

BEGIN, END = "<!-- bars: written by tools/performance.py -->", "<!-- end of bars -->"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table, or the words for one without rows."""
    if not rows:
        return f"*{summary.NOT_RUN}*"
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3g}"


def spread(row: pd.Series) -> str:
    """Median and range; the number of repetitions where there are fewer than five."""
    if row["n"] == 0:
        return summary.NOT_RUN
    few = "" if row["n"] >= 5 else f", only {row['n']} measured"
    return f"{number(row['median'])} ({number(row['min'])} to {number(row['max'])}{few})"


def hardware(tables: dict[str, tuple | None]) -> str:
    keys = ("device", "threads", "torch", "started_utc", "commit")
    rows = []
    for name, found in tables.items():
        facts = {} if found is None else found[1]
        cells = [str(facts.get(key, "-")) for key in keys] if facts else [summary.NOT_RUN, *"----"]
        cells[3:] = cells[3][:10], cells[4][:8] + (" and changes" if facts.get("dirty") else "")
        rows.append([name, *cells])
    return markdown(["table", "processor", "threads", "torch", "measured", "commit"], rows)


def comparisons(table: pd.DataFrame) -> str:
    """One line each."""
    rows = []
    for _, row in table.iterrows():
        least = "at least" if summary.QUANTITIES[row["quantity"]][1] else "at most"
        bars = [
            "-" if pd.isna(row[bar]) else f"{least} {row[bar]:g}: **{row[met]}**"
            for bar, met in (("bar", "met"), ("aim", "aim_met"))
        ]
        rows.append([row["what"], row["beside"], row["quantity"], spread(row), *bars])
    return markdown(["what", "beside", "quantity", "median (range)", "bar", "aim"], rows)


def not_met(table: pd.DataFrame) -> str:
    lines = [
        f"- {c.what}, beside {row['beside']}: {number(row['median'])} where {c.bar:g} is the bar. {c.why}".rstrip()
        for c, (_, row) in zip(summary.COMPARISONS, table.iterrows(), strict=True)
        if row["met"] == "not met"
    ]
    return "\n".join(lines) or "None of those measured."


def growth(found: tuple | None) -> str:
    if found is None:
        return f"*{summary.NOT_RUN}*: `python benchmarks/run.py --only growth`"
    (runs, facts), rows = found, []
    for part, of_part in runs.groupby("benchmark", sort=False):
        for d, medians in summary.relative(of_part).groupby("d").median().iterrows():
            share = summary.share_of_limit(of_part[of_part["contestant"] == f"d = {d}"], "per_s", facts)["of limit"]
            rows.append([str(part), str(d), *map(number, medians), percent(share)])
    slopes = summary.growths(runs)
    fitted = [[str(row[0]), *map(number, row[1:])] for row in slopes.itertuples(index=False)]
    return "\n\n".join(
        (
            markdown(["part", "d", "time", "operations", "bytes", "of limit"], rows),
            "Exponents of d, fitted to all sizes, and growth of time over growth of operations, smallest to largest d:",
            markdown(list(slopes), fitted),
        )
    )


def minutes(tables: dict[str, tuple | None]) -> str:
    """How long all scripts took when they wrote their tables."""
    if any(found is None for found in tables.values()):
        return f"(*{summary.NOT_RUN}*)"
    return f"{sum(facts['wall_s'] for _, facts in tables.values()) / 60:.0f} minutes"


def percent(share: float) -> str:
    return summary.NOT_RUN if pd.isna(share) else f"{share:.1%}"


def limits(table: pd.DataFrame) -> str:
    shares = list(table.columns[1:])
    return markdown(["what", *shares], [[row["what"], *map(percent, row[shares])] for _, row in table.iterrows()])


def profiles(tables: dict[str, tuple | None]) -> str:
    found = [profile for both in tables.values() if both for profile in both[1].get("profile", {}).items()]
    rows = [[name, part, f"{share:.1%}"] for name, parts in found for part, share in parts.items()]
    return markdown(["what", "part", "share of its time"], rows)


def place(ratio: float) -> float:
    """Where a ratio stands on the scale, in per cent of its width."""
    share = math.log(max(ratio, LEAST) / LEAST) / math.log(MOST / LEAST)
    return round(100 * min(1.0, max(0.0, share)), 1)


def dots(table: pd.DataFrame) -> str:
    """The ratios as a picture that is made of text, so that it reads aloud, fits a phone and follows the theme."""
    ticks = "".join(f'<span class="tick" style="left:{place(ratio)}%">{ratio}</span>' for ratio in (1, 3, 10, 30))
    lines = [f'<div class="row"><span></span><span class="track">{ticks}</span><span>times as much</span></div>']
    for title, names in GROUPS.items():
        lines.append(f'<div class="group">{title}</div>')
        for row in table[table["what"].isin(names) & table["quantity"].isin(RATIOS)].to_dict("records"):
            label = f"{ON_THE_PAGE[row['what']]}, beside {PEERS[row['beside']]}"
            if row["n"] == 0:
                lines.append(f'<div class="row"><span>{label}</span><span></span><span>{summary.NOT_RUN}</span></div>')
                continue
            if row["n"] < 5:
                label += f", {row['n']} repetitions"
            left, right, dot = (place(row[key]) for key in ("min", "max", "median"))
            marks = f'<span class="one" style="left:{place(1)}%"></span>'
            marks += f'<span class="range" style="left:{left}%;width:{round(right - left, 1)}%"></span>'
            marks += f'<span class="dot" style="left:{dot}%"></span>'
            text = f"<b>{number(row['median'])}</b> ({number(row['min'])}–{number(row['max'])})"
            lines.append(
                f'<div class="row"><span>{label}</span><span class="track">{marks}</span><span>{text}</span></div>'
            )
    return "\n".join(("```{raw} html", STYLE + '<div class="ratios">', *lines, "</div>", "```"))


RATIOS = ("rate, ours / beside", "time, beside / ours")


def wait(table: pd.DataFrame) -> str:
    """How long a reader waits for both phases."""
    times = table[table["quantity"] == "seconds"].set_index("what")
    rows = [times.loc[what] for what in (LIVE, f"{LIVE}, GPT-2 style")]
    live, gpt2 = (f"{spread(row)} s, {row['n']} seeds," if row["n"] else f"({summary.NOT_RUN})" for row in rows)
    return WAIT.format(live=live, gpt2=gpt2.rstrip(","))


def page(folder: Path = BENCHMARKS) -> str:
    """What a reader sees, from the tables in `folder`."""
    tables, table = read(folder), summary.summarise(folder)
    parts = (INTRODUCTION, dots(table), wait(table), WHY, "## On which machine", hardware(tables))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def bars(folder: Path = BENCHMARKS) -> str:
    """What a maintainer sees: every comparison beside its bars, growth, limits and profiles."""
    tables, table = read(folder), summary.summarise(folder)
    sections = {
        "Results and bars": f"{METHOD.format(minutes=minutes(tables))}\n{comparisons(table)}",
        "Bars that are not met": not_met(table),
        "As d grows": "Of one sequence, as multiples of the smallest d; medians.\n\n" + growth(tables["growth"]),
        "How near to the machine's limit": f"{LIMITS}\n{limits(summary.fractions(folder))}",
        "Where the time goes": f"{PROFILES}\n{profiles(tables)}",
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())


def read(folder: Path) -> dict[str, tuple | None]:
    return {name: read_files(folder / f"{name}.csv") for name in dict.fromkeys(c.table for c in summary.COMPARISONS)}


def with_bars(text: str, folder: Path = BENCHMARKS) -> str:
    """`text` with everything between the two markers replaced by today's."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{bars(folder)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    write_atomically(PAGE, page())
    write_atomically(README, with_bars(README.read_text(encoding="utf-8")))
    print(f"wrote {PAGE.relative_to(ROOT)} and {README.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
