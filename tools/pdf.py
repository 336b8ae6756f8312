"""Print the whole book to one PDF, _build/book.pdf, with a Chromium or Chrome: no LaTeX is needed.

    python tools/pdf.py

Jupyter Book puts all pages on one (its builder `singlehtml`); the browser sets the formulas and prints it.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BUDGET_MS = 300_000  # of the page's own clock, for its formulas
STYLE = """<style>
@page { size: A4; margin: 18mm 16mm; }
h2 { break-after: avoid; }
h3, h4, figure, svg, img, .cell_output table { break-inside: avoid; }
span[id^="document-"] + section { break-before: page; }
pre { white-space: pre-wrap !important; overflow-wrap: anywhere; }
table { font-size: .8em; }
</style>"""


def print_page(html, pdf):
    """Print one local page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("no Chromium or Chrome is installed, and one of them has to print the book")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        f"--virtual-time-budget={BUDGET_MS}",
    ]
    done = subprocess.run(
        [browser, *options, f"--print-to-pdf={pdf}", html.resolve().as_uri()], capture_output=True, text=True
    )
    if done.returncode or not pdf.is_file():
        sys.exit(f"{browser} did not print {html}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


def pages(pdf):
    """How many pages a PDF has."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def main():
    folder, pdf = ROOT / "_build" / "single", ROOT / "_build" / "book.pdf"
    shutil.rmtree(folder, ignore_errors=True)
    book = Path(sys.executable).parent / "jupyter-book"
    build = [book, "build", ".", "--path-output", folder, "--builder", "singlehtml", "--quiet"]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    html = folder / "_build" / "singlehtml" / "README.html"
    html.write_text(html.read_text(encoding="utf-8").replace("</head>", f"{STYLE}</head>", 1), encoding="utf-8")
    pdf.unlink(missing_ok=True)
    print_page(html, pdf)
    print(f"Printed: {pdf}, {pages(pdf)} pages")


if __name__ == "__main__":
    main()
