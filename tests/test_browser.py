"""The built book as a reader meets it, in headless Chromium, wide and narrow, without network."""

import functools
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from test_book import TOC, toc_files

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# One process that stays on this machine: no first-run pages, updates or background requests.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = {"wide": (1280, "light"), "phone": (390, "dark")}  # each page once in either mode
SMALLEST = 9  # px: letters below it cannot be read on a phone

pytestmark = [
    pytest.mark.slow,  # a browser opens every page
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed"),
    pytest.mark.skipif(not (HTML / "index.html").exists(), reason="no book in _build/html: run make html"),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site():
    """The address of a local server over the built book."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=WIDTHS)
def width(request):
    return WIDTHS[request.param]


@pytest.fixture(scope="module", params=[f"{name}.html" for name in toc_files(TOC)])
def visit(request, width, browser, site):
    """One page, loaded once for all tests below and unfolded, with the console errors and foreign requests it made."""
    pixels, mode = width
    context = browser.new_context(viewport={"width": pixels, "height": 900}, color_scheme=mode)
    errors, foreign = [], []

    def route(route):
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    context.route("**/*", route)
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    response = page.goto(site + request.param, wait_until="load")
    assert response.ok, f"{request.param}: status {response.status}"
    page.wait_for_load_state("networkidle")
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.evaluate("() => document.querySelectorAll('article details').forEach(e => { e.open = true; })")
    yield page, errors, foreign
    context.close()


def test_nothing_from_another_host(visit):
    _, _, foreign = visit
    assert foreign == []


def test_console_is_silent(visit):
    _, errors, _ = visit
    assert errors == []


def test_formulas_are_rendered(visit):
    page, _, _ = visit
    raw = page.evaluate(
        """() => [...document.querySelectorAll('article .math')]
            .filter(e => !e.querySelector('mjx-container') || e.querySelector('mjx-merror'))
            .map(e => e.textContent)"""
    )
    assert raw == []


def test_pictures_load_and_have_alt_text(visit):
    page, _, _ = visit
    bad = page.evaluate(
        """async () => {
            const bad = [];
            for (const image of document.images) {
                image.loading = 'eager';  // else one below the fold counts as missing
                await image.decode().catch(() => {});
                if (!image.naturalWidth || !image.alt.trim() || image.alt.includes('_images/'))
                    bad.push(image.src + ' alt=' + image.alt);
            }
            return bad;
        }"""
    )
    assert bad == []


def test_page_does_not_scroll_sideways(visit):
    page, _, _ = visit
    content, window = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert content <= window


def test_nothing_is_clipped(visit):
    """What is wider than the page lies in a box that scrolls."""
    page, _, _ = visit
    clipped = page.evaluate(
        """() => {
            const scrolls = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
            const found = [];
            for (const e of document.querySelectorAll('article :is(pre, table, svg, img, figure)')) {
                if (!e.getClientRects().length) continue;
                let box = e;
                while (box.tagName !== 'ARTICLE' && !scrolls(box)) box = box.parentElement;
                const edge = document.documentElement.clientWidth;
                const cut = e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'hidden';
                if (cut || (box.tagName === 'ARTICLE' && e.getBoundingClientRect().right > edge + 1))
                    found.push(e.tagName + ' ' + e.textContent.trim().slice(0, 60));
            }
            return found;
        }"""
    )
    assert clipped == []


def test_letters_can_be_read(visit):
    """Every visible text of the article, in pictures too, where their scale counts."""
    page, _, _ = visit
    small = page.evaluate(
        """smallest => {
            const found = new Set();
            const walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const e = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
                if (!text || e.closest('script, style, title, mjx-container') || !e.getClientRects().length) continue;
                const style = getComputedStyle(e), matrix = e.ownerSVGElement && e.getScreenCTM();
                if (style.visibility === 'hidden') continue;
                const size = parseFloat(style.fontSize) * (matrix ? Math.hypot(matrix.a, matrix.b) : 1);
                if (size > 0 && size < smallest) found.add(`${size.toFixed(1)} px: ${text.slice(0, 40)}`);
            }
            return [...found];
        }""",
        SMALLEST,
    )
    assert small == []


@pytest.fixture(scope="module")
def axe():
    """The rules of axe-core, to be run inside of a page."""
    package = pytest.importorskip("axe_playwright_python.base")
    return package.AXE_FILE_PATH.read_text(encoding="utf-8")


def test_no_serious_barrier(visit, axe):
    """Nothing that axe-core calls serious or critical in what is ours: not the theme's bars, nor its code colours."""
    page, _, _ = visit
    page.evaluate(axe)
    found = page.evaluate(
        """async () => {
            const what = {include: [['article']], exclude: [['.highlight'], ['mjx-container'], ['.headerlink'],
                ['.citation-list']]};
            const result = await axe.run(what, {resultTypes: ['violations']});
            return result.violations.filter(v => ['serious', 'critical'].includes(v.impact))
                .flatMap(v => v.nodes.slice(0, 5).map(n => `${v.id}: ${n.html.slice(0, 120)} ${n.failureSummary}`));
        }"""
    )
    assert found == []


SCORECARD = "chapters/09_scorecard.html"


def test_the_board_is_filtered_by_keyboard(browser, site):
    page = browser.new_page()
    page.goto(site + SCORECARD)
    board = page.locator(".ntprl-board")
    total = board.locator(".claim:visible").count()
    verdict, source = board.locator("select").all()
    verdict.focus()
    page.keyboard.type("partly")
    shown = board.locator(".claim:visible")
    assert 0 < shown.count() < total
    assert set(shown.evaluate_all("cards => cards.map(c => c.dataset.verdict)")) == {"partly"}
    assert board.locator(".grid li:visible").count() == shown.count()
    assert board.locator("output").text_content() == f"{shown.count()} of {total} claims"
    source.select_option("ours")  # none of ours is partly so
    assert shown.count() == 0
    verdict.select_option("")
    assert shown.count() == board.locator('.claim[data-source="ours"]').count() > 0
    page.close()


def test_the_board_is_whole_without_scripts(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site + SCORECARD)
    board = page.locator(".ntprl-board")
    assert board.locator(".claim:visible").count() == board.locator(".grid li:visible").count() > 30
    assert board.locator("select:visible").count() == 0
    context.close()


def test_a_badge_leads_to_its_card(browser, site):
    page = browser.new_page()
    page.goto(site + "chapters/06_multiplication.html")
    page.locator(".ntprl-verdict a").first.click()
    assert SCORECARD in page.url
    assert page.locator(".claim:target").count() == 1
    page.close()


def test_no_raw_directive(visit):
    page, _, _ = visit
    prose = page.evaluate(
        """() => {
            const article = document.querySelector('article').cloneNode(true);
            article.querySelectorAll('pre, code, script, style').forEach(e => e.remove());
            return article.textContent;
        }"""
    )
    assert re.findall(r":::.*|\{(?:prf|cite|numref|ref|eq|doc)\b.*", prose) == []


def test_one_search_field(visit):
    # Some pairs of theme versions show a second header with a second search box.
    page, _, _ = visit
    assert page.locator(".search-button-field:visible").count() <= 1
    assert page.locator(".bd-header:visible").count() == 0


def test_internal_links_lead_somewhere(visit, site):
    page, _, _ = visit
    dead = []
    for link in page.eval_on_selector_all("a[href]", "links => links.map(a => a.getAttribute('href'))"):
        url = urljoin(page.url, link)
        if not url.startswith(site):
            continue
        target = HTML / unquote(urlsplit(url).path).lstrip("/")
        target = target / "index.html" if target.is_dir() else target
        fragment = unquote(urlsplit(url).fragment)
        if not target.exists() or (fragment and f'id="{fragment}"' not in target.read_text()):
            dead.append(link)
    assert dead == []
