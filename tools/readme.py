"""Write what pages take from the recorded tables: the landing page's picture and live figure, counts, what is open.

python tools/readme.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

from ntprl.book import headline, store
from ntprl.book.style import use_style
from ntprl.book.touch.reader import calibrated_reader
from ntprl.records import recording
from ntprl.studies import scorecard
from ntprl.studies.recovery import figures

ROOT = Path(__file__).resolve().parent.parent


def panels() -> list[headline.HeadlinePanel]:
    wanted = recording("rl_live_seeds")
    return headline.headline_panels(store.load(wanted), wanted.configs[0].mixture.p_cot)


def raw_html(content: str) -> str:
    """HTML as it is, on a page of Markdown."""
    return f"```{{raw}} html\n{content}\n```"


def caption() -> str:
    wanted = recording("rl_live_seeds")
    return headline.headline_caption(store.load(wanted), wanted.configs[0].task.d)


# file -> {what stands between two markers: the function that makes it}
WRITTEN = {
    ROOT / "index.md": {
        "headline": lambda: raw_html(headline.headline_html(panels())) + "\n\n" + caption(),
        "calibrated reader": lambda: raw_html(calibrated_reader()._repr_html_()),
        "counts": scorecard.counts,
    },
    ROOT / "README.md": {"headline": caption, "counts": scorecard.counts},
    ROOT / "data" / "README.md": {"wanted recordings": scorecard.wanted_map},
    ROOT / "chapters" / "pages" / "open.md": {"open questions": scorecard.open_questions},
}
# ... and files that are made as a whole: for a wide screen, and for a phone
PICTURES = {
    ROOT / "_static" / "headline.svg": lambda: headline.headline_file(panels(), columns=3),
    ROOT / "_static" / "headline-phone.svg": lambda: headline.headline_file(panels(), columns=1),
}


# what other sites show of a link to the book; they take pixels only
PREVIEW = ROOT / "_static" / "headline.png"


def draw_preview() -> None:
    """Both phases, ten seeds: accuracy and median length, as pixels."""
    use_style()
    figures.recovery(store.load(recording("rl_live_seeds")), d=50, size=(9, 4.7))
    temporary = PREVIEW.with_suffix(".tmp")
    plt.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close()
    temporary.replace(PREVIEW)


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
    for path, make in PICTURES.items():
        store.write_atomically(path, make())
    draw_preview()
    print("wrote " + ", ".join(str(path.relative_to(ROOT)) for path in (*WRITTEN, *PICTURES, PREVIEW)))


if __name__ == "__main__":
    main()
