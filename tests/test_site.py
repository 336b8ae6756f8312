"""The built book as others see it: search engines, those who share a link, Colab, readers with an old address."""

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import yaml
from test_book import TOC, toc_files

from tools import release

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
NOW = release.current(release.read(ROOT))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
PAGES = [f"{name}.html" for name in toc_files(TOC)]
CHAPTERS = [name for name in toc_files(TOC) if (ROOT / f"{name}.ipynb").exists()]

needs_book = pytest.mark.skipif(not (HTML / "index.html").exists(), reason="no book in _build/html: run make html")


class Tags(HTMLParser):
    """All opening tags of a page, each as (name, attributes)."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(page: Path) -> list[tuple[str, dict]]:
    return Tags(page.read_text(encoding="utf-8")).found


def meta(page: str) -> dict[str, str]:
    """name or property -> content."""
    return {
        each.get("property") or each.get("name"): each.get("content")
        for tag, each in tags(HTML / page)
        if tag == "meta" and (each.get("property") or each.get("name"))
    }


# What a browser asks for by itself when it shows a page.
REQUESTS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src", "object": "data"}
RELS = {"stylesheet", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "icon", "manifest"}


def requested(found: list[tuple[str, dict]]) -> list[str]:
    """The addresses that a page asks for without a click."""
    asked = [each[REQUESTS[tag]] for tag, each in found if each.get(REQUESTS.get(tag, ""))]
    asked += [each["href"] for tag, each in found if tag == "link" and RELS & set((each.get("rel") or "").split())]
    return asked


# --- Colab ---


def colab_links(page: Path) -> list[str]:
    """Where the buttons of a page lead."""
    return [each["href"] for tag, each in tags(page) if tag == "a" and "colab.research" in (each.get("href") or "")]


def as_of(ref: str, path: str) -> str | None:
    """The text of a file at a tag; of the working tree where the tag is not made yet; None where the tag lacks it."""
    if not release.is_tag(ROOT, ref):
        return (ROOT / path).read_text()
    shown = subprocess.run(["git", "-C", str(ROOT), "show", f"{ref}:{path}"], capture_output=True, text=True)
    return shown.stdout if shown.returncode == 0 else None


def installed(notebook: str) -> tuple[str, str]:
    """(owner/name, tag) of what the first cell of a notebook installs in Colab."""
    source = "".join(next(cell["source"] for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"))
    return re.search(r"git\+https://github\.com/([^@\s]+)@([^\"\s]+)\"", source).groups()


def disagreements(link: str, notebook: str) -> list[str]:
    """What is wrong with a button: it must open the release that the notebook behind it installs."""
    match = re.fullmatch(r"https://colab\.research\.google\.com/github/([^/]+/[^/]+)/blob/([^/]+)/(.+)", link)
    if match is None:
        return [f"{link} opens nothing on GitHub"]
    slug, ref = installed(notebook)
    found = [] if match[1] == slug else [f"opens {match[1]}, installs {slug}"]
    return found + ([] if match[2] == ref else [f"opens {match[2]}, installs {ref}"])


@needs_book
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_button_opens_what_its_first_cell_installs(chapter):
    links = set(colab_links(HTML / f"{chapter}.html"))
    assert len(links) == 1
    (link,) = links
    assert link.endswith(f"/blob/v{NOW.version}/{chapter}.ipynb")
    notebook = as_of(f"v{NOW.version}", f"{chapter}.ipynb")
    if notebook is not None:  # a chapter younger than the release is not published before the next one
        assert disagreements(link, notebook) == []


COLAB = "https://colab.research.google.com/github/{}/blob/{}/chapters/a.ipynb"


@pytest.mark.parametrize(
    ("slug", "ref", "right"),
    [("a/b", "v1.0.0", True), ("a/b", "main", False), ("a/b", "v1.0.1", False), ("c/b", "v1.0.0", False)],
)
def test_a_button_that_opens_something_else_is_noticed(slug, ref, right):
    cell = {"cell_type": "code", "source": ['%pip install "x @ git+https://github.com/a/b@v1.0.0"']}
    assert (disagreements(COLAB.format(slug, ref), json.dumps({"cells": [cell]})) == []) is right


# --- search engines, and links that are shared ---


@needs_book
@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_where_it_is_and_what_it_is_about(page):
    canonical = [each["href"] for tag, each in tags(HTML / page) if tag == "link" and each.get("rel") == "canonical"]
    assert canonical == [NOW.site + page]
    said = meta(page)
    assert said["og:url"] == NOW.site + page and said["og:title"] and said["og:image:alt"]
    assert len(said["description"]) > 40 and said["description"] == said["og:description"]


@needs_book
def test_the_picture_of_a_link_is_in_the_book():
    (picture,) = {meta(page)["og:image"] for page in PAGES}
    assert (HTML / picture.removeprefix(NOW.site)).read_bytes().startswith(b"\x89PNG")


@needs_book
def test_the_descriptions_differ():
    described = [meta(page)["description"] for page in PAGES]
    assert len(set(described)) == len(described)


@needs_book
def test_the_sitemap_has_every_page():
    listed = re.findall(r"<loc>(.*?)</loc>", (HTML / "sitemap.xml").read_text())
    assert sorted(listed) == sorted(NOW.site + page for page in PAGES)


# --- readers with an old address ---


@needs_book
@pytest.mark.parametrize(("old", "new"), CONFIG["redirects"].items())
def test_an_old_address_leads_to_the_chapter(old, new):
    stub = (HTML / f"{old}.html").read_text()
    assert f'url={new}"' in stub
    target = urljoin(f"{old}.html", new)
    assert target in PAGES and (HTML / target).exists()


@needs_book
def test_the_page_for_lost_readers_works_at_any_depth():
    """GitHub shows it under whatever address was asked for, so every address on it begins at the host."""
    found = tags(HTML / "404.html")
    local = [address for address in requested(found) if not address.startswith("data:")]
    local += [each["href"] for tag, each in found if tag == "a" and each.get("href")]
    local = [address for address in local if not re.match(r"https://|#", address)]
    assert len(local) > 20
    assert [address for address in local if not address.startswith(NOW.prefix)] == []
    paths = {urlsplit(address).path.removeprefix(NOW.prefix) for address in local}
    assert [path for path in sorted(paths) if path and not (HTML / path).exists()] == []
    assert "no such page" in (HTML / "404.html").read_text()


# --- nothing from elsewhere ---


@needs_book
def test_no_page_asks_another_host():
    pages = list(HTML.rglob("*.html"))
    assert len(pages) > len(PAGES)
    foreign = [(page.name, address) for page in pages for address in requested(tags(page)) if urlsplit(address).netloc]
    assert foreign == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="preload stylesheet" href="//example.org/a.css">',
        '<img src="https://example.org/pixel.png">',
    ],
)
def test_a_page_that_asks_another_host_is_noticed(text):
    assert urlsplit(requested(Tags(text).found)[0]).netloc
    assert requested(Tags('<link rel="canonical" href="https://a.b/"><a href="https://a.b/">').found) == []
