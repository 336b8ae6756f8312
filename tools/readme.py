"""Write what READMEs take from the recorded tables: the map of claims, the headline picture, and what is wanted.

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
# file -> (what stands between its markers, the function that makes it)
WRITTEN = {
    ROOT / "README.md": ("claim map", scorecard.claim_map),
    ROOT / "data" / "README.md": ("wanted recordings", scorecard.wanted_map),
}


def rewritten(path: Path) -> str:
    """The file's text with everything between its two markers made anew."""
    name, make = WRITTEN[path]
    begin, end = f"<!-- {name}: written by tools/readme.py -->", f"<!-- end of {name} -->"
    head, rest = path.read_text(encoding="utf-8").split(begin)
    return f"{head}{begin}\n\n{make()}\n\n{end}{rest.split(end)[1]}"


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
