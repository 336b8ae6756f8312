"""Write the page on performance from the tables in benchmarks/.

python tools/performance.py
"""

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS, PAGE = ROOT / "benchmarks", ROOT / "chapters" / "pages" / "performance.md"
sys.path.insert(0, str(BENCHMARKS))

import summary  # noqa: E402
from tables import read_files  # noqa: E402

from ntprl.book.store import write_atomically  # noqa: E402

METHOD = """\
# How fast, beside its peers

<!-- written by tools/performance.py from the tables in benchmarks/; edit those -->

`make bench` runs every comparison on the machine at hand and writes the tables from which this page is made. A time
says little without its machine, so the results are ratios. What is not measured yet says so.

## How it is measured

- Each comparison has the same model, data, batch and arithmetic on both sides. Before anything is timed, the
  losses, the gradients, the weights or the distributions of the answers must agree; else it stops.
- One process. A repetition that does not count, then five or more, in which the order of the contestants rotates.
  A ratio is taken within a repetition, since a machine's speed drifts. Shown are the median of those ratios and
  their range.
- A bar is met if the median meets it.
- The peers have every setting that we know to make them faster without changing what is learned. They are general
  and this code is not: it knows that prompts are shared and answers repeat, and that only the answers have a loss. The
  gain depends on that. What is fair and what is not stands in
  [`benchmarks/README.md`](https://github.com/ntprl/ntprl/blob/main/benchmarks/README.md).
"""


LIMITS = """\
Operations are multiply-adds, twice. Bytes are what the same operators must read and write, each operand once; caches
serve many of them, so that the share of a large copy may exceed 1. The limit is the larger of the two shares: of a
large matrix product, and of a large copy, both measured in the same run. A model this narrow has thin matrices and
small operators.
"""

RESULTS = """\
Seconds are those of the machine above, and stand only beside a bar that is in seconds.
"""

PROFILES = """\
As `torch.profiler` sees it, its own cost included: four groups that add up, then single operators out of them.
"""


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


def percent(share: float) -> str:
    return summary.NOT_RUN if pd.isna(share) else f"{share:.1%}"


def limits(table: pd.DataFrame) -> str:
    shares = list(table.columns[1:])
    return markdown(["what", *shares], [[row["what"], *map(percent, row[shares])] for _, row in table.iterrows()])


def profiles(tables: dict[str, tuple | None]) -> str:
    found = [profile for both in tables.values() if both for profile in both[1].get("profile", {}).items()]
    rows = [[name, part, f"{share:.1%}"] for name, parts in found for part, share in parts.items()]
    return markdown(["what", "part", "share of its time"], rows)


def page(folder: Path = BENCHMARKS) -> str:
    """The whole page, from the tables in `folder`."""
    tables = {name: read_files(folder / f"{name}.csv") for name in dict.fromkeys(c.table for c in summary.COMPARISONS)}
    table = summary.summarise(folder)
    sections = {
        "Machines": hardware(tables),
        "Results": f"{RESULTS}\n{comparisons(table)}",
        "Bars that are not met": not_met(table),
        "As d grows": "Of one sequence, as multiples of the smallest d; medians.\n\n" + growth(tables["growth"]),
        "How near to the machine's limit": f"{LIMITS}\n{limits(summary.fractions(folder))}",
        "Where the time goes": f"{PROFILES}\n{profiles(tables)}",
    }
    return "\n\n".join((METHOD.rstrip(), *(f"## {title}\n\n{text}" for title, text in sections.items()))) + "\n"


def main() -> None:
    write_atomically(PAGE, page())
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
