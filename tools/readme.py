"""Write what the README takes from the recorded tables: the map of claims and the headline picture.

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
README, PICTURE = ROOT / "README.md", ROOT / "_static" / "headline.png"
BEGIN, END = "<!-- claim map: written by tools/readme.py -->", "<!-- end of claim map -->"


def with_map(text: str) -> str:
    """`text` with everything between the two markers replaced by today's map."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{scorecard.claim_map()}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    store.write_atomically(README, with_map(README.read_text(encoding="utf-8")))
    use_style()
    figures.recovery(store.load(recording("rl_live_seeds")), d=50, size=(9, 4.4))
    temporary = PICTURE.with_suffix(".tmp")
    plt.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    temporary.replace(PICTURE)
    print(f"wrote {README.name} and {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
