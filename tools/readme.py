"""Write what READMEs take from the recorded tables: the map of claims, their count, the headline picture, what is open.

python tools/readme.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

from ntprl.book import store
from ntprl.book.style import use_style
from ntprl.records import recording
from ntprl.studies import scorecard
from ntprl.studies.recovery import figures

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "_static" / "headline.png"
# file -> {what stands between two markers: the function that makes it}
WRITTEN = {
    ROOT / "README.md": {"claim map": scorecard.claim_map, "counts": scorecard.counts},
    ROOT / "data" / "README.md": {"wanted recordings": scorecard.wanted_map},
    ROOT / "chapters" / "pages" / "open.md": {"open questions": scorecard.open_questions},
}


def rewritten(path: Path) -> str:
    """The file's text with everything between each pair of markers made anew."""
    text = path.read_text(encoding="utf-8")
    for name, make in WRITTEN[path].items():
        begin, end = f"<!-- {name}: written by tools/readme.py -->", f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{make()}\n\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    for path in WRITTEN:
        store.write_atomically(path, rewritten(path))
    use_style()
    figures.recovery(store.load(recording("rl_live_seeds")), d=50, size=(9, 4.4))
    temporary = PICTURE.with_suffix(".tmp")
    plt.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    temporary.replace(PICTURE)
    print("wrote " + ", ".join(str(path.relative_to(ROOT)) for path in (*WRITTEN, PICTURE)))


if __name__ == "__main__":
    main()
