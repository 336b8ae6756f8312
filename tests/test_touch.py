"""Figures to touch: the same text every time, numbers of `theory`, and in a browser every control does what it says."""

import json
import re
from fractions import Fraction
from html import unescape
from importlib.resources import files
from itertools import product

import numpy as np
import pytest
from test_browser import ARGUMENTS, BROWSER

from ntprl import theory
from ntprl.book.run import change
from ntprl.book.touch import press, reader
from ntprl.book.touch.film import Film, film_panels
from ntprl.book.touch.press import press_rl
from ntprl.book.touch.reader import calibrated_reader
from ntprl.errors import InputError
from ntprl.linear_chain.training import star_table
from ntprl.studies.recovery.runs import RECOVERY
from ntprl.tasks.parity import Parity

in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed"),
]
SETTINGS = list(product((0.01, 0.1, 0.2, 0.25, 0.33, 0.34, 0.5, 0.75), reader.SYMBOLS, (False, True)))


@pytest.fixture(scope="module")
def film():
    """Invented answers: short and mostly wrong, then some long ones, then all long and right."""
    rows = [[(1, i % 3 == 0) for i in range(6)], [(50 if i % 2 else 1, i % 3 > 0) for i in range(6)], [(50, True)] * 6]
    frames = [{"round": 2 * i, "greedy": row, "sampled": row[::-1]} for i, row in enumerate(rows)]
    return Film(Parity(50), n=6, frames=frames)


@pytest.fixture(params=["reader", "press", "film"])
def figure(request, film):
    return {"reader": calibrated_reader, "press": press_rl, "film": film.figure}[request.param]


# --- text ---


def test_equal_figures_are_equal_text(figure):
    assert figure()._repr_html_() == figure()._repr_html_()
    assert repr(figure()) == repr(figure())


def test_it_needs_nothing_and_names_nothing(figure):
    html = figure()._repr_html_()
    assert not re.search(r"https?:|//\w|\bsrc=|@import|url\(|\bimport\b|\bfetch\b|type=.module|\sid=", html)
    assert len(html) < 40_000
    shown = repr(figure())
    assert shown.count("\n") >= 3 and max(map(len, shown.splitlines())) <= 100


def test_its_values_are_what_its_script_reads(figure):
    found = re.search(r"data-values='([^']*)'", figure()._repr_html_())
    assert json.loads(unescape(found.group(1))) == json.loads(json.dumps(figure().values))


def test_scripts_and_style_travel_with_the_package():
    folder = files("ntprl.book.touch")
    names = {path.name for path in folder.iterdir() if path.name.endswith((".js", ".css"))}
    assert names == {"common.js", "reader.js", "chain.js", "press.js", "film.js", "touch.css"}


# --- the reader ---


@pytest.mark.parametrize(("p", "modulus", "marked"), SETTINGS)
def test_its_bars_are_the_theory(p, modulus, marked):
    first, second = reader.first_rows(p, modulus, marked, 1), reader.second_rows(p, modulus, marked, 1)
    mass = {name: long + short for name, _, long, short, _ in first}
    assert sum(mass.values()) == pytest.approx(1)
    assert sum(long + short for _, _, long, short, _ in second) == pytest.approx(1)
    if not marked:
        assert mass["1"] == pytest.approx(theory.first_token_probability(p, modulus))
        assert second[0][3] == pytest.approx(theory.stop_probability(p, modulus))
        assert {name: pytest.approx(share) for name, share in mass.items()} == {
            str(token): float(share) for token, share in theory.blind_next_token(3, p, 1, (), modulus).items()
        }
    assert reader.goes_on(p, modulus, marked) == (p > theory.threshold(1 if marked else 1 / modulus))


def test_its_prompts_are_answered_as_the_task_answers_them():
    for modulus in reader.SYMBOLS:
        task, listed = Parity(reader.D, modulus), reader.prompts_of(modulus)
        rows = np.pad(listed, ((0, 0), (0, 1)), constant_values=task.separator)
        sums = [reader.running_sums(x, modulus) for x in listed]
        np.testing.assert_array_equal(task.long(rows)[:, :-1], sums)
        assert [total[-1] == x[0] for x, total in zip(listed, sums, strict=True)] == [False, True] * 2


def test_the_reader_says_in_text_what_it_shows():
    shown = repr(calibrated_reader(0.25))
    assert "62.5 %" in shown and "60 %" in shown and "flips at 1/3" in shown
    assert "greedy 100 %" in repr(calibrated_reader(0.34))


@pytest.mark.parametrize(
    ("values", "named"),
    [(dict(p_cot=0.255), "p_cot"), (dict(p_cot=0), "p_cot"), (dict(p_cot=0.8), "p_cot"), (dict(modulus=4), "modulus")],
)
def test_other_readers_are_refused(values, named, refused):
    with refused(named):
        calibrated_reader(**values)


# --- pressing RL ---


@pytest.mark.slow
def test_the_still_picture_shows_the_chain_as_it_is_trained():
    found = star_table(press.D, 0.25, press.SAMPLES, len(press.CHAIN) - 1, seeds=press.SEED, n_eval=2**press.D)["long"]
    np.testing.assert_allclose(found, press.CHAIN, atol=2e-4)


def test_its_map_is_the_recursion():
    settings = press.Settings(0.25)
    assert settings.factor == 2
    for n in range(6):
        assert settings.share(n) == pytest.approx(theory.star_recursion(0.25, n))
    assert "map 0.571" in repr(press_rl())


@pytest.mark.parametrize(
    ("values", "named"), [(dict(p_0=0.8), "p_0"), (dict(price=0.1), "price"), (dict(unknown=4), "unknown")]
)
def test_other_settings_are_refused(values, named, refused):
    with refused(named):
        press.Settings(**values)


# --- the film ---


def test_a_film_says_what_was_answered(calibrated):
    task = Parity(6)
    film = Film(task, seed=1, n=40)
    film.take(0, calibrated(task, 0.1))
    film.take(1, calibrated(task, 0.6))
    before, after = film.frames
    assert {length for length, _ in before["greedy"]} == {1} and {length for length, _ in after["greedy"]} == {6}
    assert all(word for _, word in after["greedy"]) and not all(word for _, word in before["greedy"])
    assert (
        2 < sum(length == 6 for length, _ in before["sampled"]) + 2 < sum(length == 6 for length, _ in after["sampled"])
    )
    assert "40 of 40 right, median length 6" in repr(film)


def test_a_film_without_a_frame_is_refused(refused):
    assert "without a frame" in repr(Film(Parity(3)))
    with refused("frame"):
        Film(Parity(3)).figure()
    with pytest.raises(InputError):
        Film(Parity(3), n=0)


def test_a_filmed_run_is_the_run_it_would_have_been():
    tiny = change(
        RECOVERY, d=4, width=16, n_head=2, steps=4, batch=8, n_eval=8, n_eval_rl=8, n_points=1, rounds=2, rollouts=16
    )
    film = Film(tiny.task, tiny.seed, n=5)
    filmed, plain = tiny.recover(watch=film.take).table, tiny.recover().table
    assert [frame["round"] for frame in film.frames] == [0, 1, 2]
    same = [name for name in plain if name != "seconds"]
    assert filmed[same].equals(plain[same])


# --- in a browser ---


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


class Sheet:
    """A page with two copies of a figure, opened as a file; `root` is the first."""

    def __init__(self, chromium, path, html, **context):
        context = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | context
        path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title><body>{html}{html}')
        self.context, self.errors, self.requests = chromium.new_context(**context), [], []
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.root = self.page.locator(".touch").first

    def part(self, name, copy=0):
        return self.page.locator(f'.touch [data-part="{name}"]').nth(copy)

    def drawn(self, name, copy=0):
        return self.part(name, copy).evaluate("svg => svg.innerHTML")

    def set(self, **values):
        for name, value in values.items():
            self.part(name).evaluate(
                "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', {bubbles: true})); }", str(value)
            )


@pytest.fixture
def opened(chromium, tmp_path):
    sheets = []

    def open_(figure, **context):
        sheets.append(Sheet(chromium, tmp_path / "figure.html", figure._repr_html_(), **context))
        return sheets[-1]

    yield open_
    for sheet in sheets:
        assert sheet.errors == []
        assert [url for url in sheet.requests if not url.endswith("/figure.html")] == []
        sheet.context.close()


class TestInBrowser:
    pytestmark = in_browser

    def test_without_scripts_there_is_a_picture(self, figure, opened):
        sheet = opened(figure(), java_script_enabled=False)
        assert sheet.root.locator("svg").first.is_visible() and sheet.root.locator(".still").is_visible()
        assert not sheet.root.locator("input, select, button").first.is_visible()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_it_is_legible(self, figure, width, scheme, opened):
        sheet = opened(figure(), viewport={"width": width, "height": 900}, color_scheme=scheme)
        letters, overflow, columns = sheet.root.evaluate(
            """root => [
                [...root.querySelectorAll('svg text')].map(t => parseFloat(getComputedStyle(t).fontSize)
                    * t.ownerSVGElement.getBoundingClientRect().width / 340),
                document.documentElement.scrollWidth - innerWidth,
                new Set([...root.querySelectorAll('.panel')].map(p => Math.round(p.getBoundingClientRect().x))).size,
            ]"""
        )
        assert min(letters) >= 9 and overflow <= 0 and columns == (2 if width == 1280 else 1)
        colors = sheet.root.evaluate(
            """root => Object.fromEntries(['ink', 'soft', 'face', 'well', 'go', 'on-go'].map(
                name => [name, getComputedStyle(root).getPropertyValue('--' + name).trim()]))"""
        )
        assert (luminance(colors["face"]) < 0.1) == (scheme == "dark")
        for over, under in (("ink", "face"), ("soft", "face"), ("soft", "well"), ("on-go", "go")):
            assert contrast(colors[over], colors[under]) >= 4.5, (over, under)

    def test_the_theme_has_the_last_word_on_darkness(self, opened):
        sheet = opened(calibrated_reader(), color_scheme="dark")
        face = "() => getComputedStyle(document.querySelector('.touch')).getPropertyValue('--face').trim()"
        assert luminance(sheet.page.evaluate(face)) < 0.1
        sheet.page.evaluate("document.documentElement.dataset.theme = 'light'")
        assert luminance(sheet.page.evaluate(face)) > 0.9
        sheet.page.evaluate("document.documentElement.dataset.theme = 'dark'")
        assert luminance(sheet.page.evaluate(face)) < 0.1

    def test_it_lives_where_a_notebook_puts_it(self, figure, opened):
        """Jupyter sets the HTML of an output, which runs no script, and then puts its scripts in anew."""
        sheet = opened(figure())
        alive = sheet.page.evaluate(
            """html => {
                document.body.innerHTML = '<div class="jp-OutputArea"></div>'.repeat(2);
                for (const area of document.body.children) {
                    area.innerHTML = html;
                    for (const old of area.querySelectorAll('script')) {
                        const fresh = document.createElement('script');
                        fresh.textContent = old.textContent;
                        old.replaceWith(fresh);
                    }
                }
                return [...document.querySelectorAll('.touch')].map(root => root.hasAttribute('data-alive'));
            }""",
            figure()._repr_html_(),
        )
        assert alive == [True, True]

    def test_every_control_is_reached_by_key_and_has_a_name(self, figure, opened):
        sheet = opened(figure())
        controls = sheet.root.locator("input, select, button")
        for i in range(controls.count()):
            sheet.page.keyboard.press("Tab")
            assert controls.nth(i).evaluate("e => e === document.activeElement")
            named = controls.nth(i).evaluate("e => (e.labels?.[0] ?? e).textContent.trim()")
            assert named
        for svg in sheet.root.locator("svg").all():
            assert svg.get_attribute("role") == "img" and svg.get_attribute("aria-label")

    # --- the reader

    def test_the_script_begins_where_the_still_picture_is(self, opened):
        sheet = opened(calibrated_reader(0.34, 3, True))
        x = reader.prompts_of(3)[0]
        for name, (drawn, said) in reader.reader_panels(0.34, 3, True, x).items():
            assert sheet.drawn(name) == drawn
            assert sheet.part(name).get_attribute("aria-label") == said

    def test_reader_draws_what_theory_says(self, opened):
        sheet = opened(calibrated_reader())
        other = [sheet.drawn(name, copy=1) for name in ("first", "second", "said")]
        for p, modulus, marked in SETTINGS:
            sheet.set(p=round(100 * p), modulus=modulus, marked="marked" if marked else "bare")
            x = reader.prompts_of(modulus)[0]
            for name, (drawn, _) in reader.reader_panels(p, modulus, marked, x).items():
                assert sheet.drawn(name) == drawn, (name, p, modulus, marked)
            assert sheet.part("verdict").text_content() == reader.verdict(p, modulus, marked, x)
            assert sheet.part("second-head").text_content() == reader.headings(x, modulus, marked, p)["second"]
        assert [sheet.drawn(name, copy=1) for name in ("first", "second", "said")] == other

    def test_reader_formulas_are_those_of_theory(self, opened):
        sheet = opened(calibrated_reader())
        shares, symbols = [n / 200 for n in range(201)], [1, 2, 3, 5, 11]
        found = sheet.root.evaluate(
            """(root, [shares, symbols]) => symbols.map(k => shares.map(p => [root.touch.firstToken(p, k),
                root.touch.stop(p, k), root.touch.accuracy(p, k), root.touch.flip(k)]))""",
            [shares, symbols],
        )
        p, k = np.array(shares)[None, :], np.array(symbols)[:, None]
        expected = [theory.first_token_probability(p, k), theory.stop_probability(p, k)]
        expected += [theory.calibrated_accuracy(p, k), theory.threshold(1 / k) + 0 * p]
        np.testing.assert_allclose(np.array(found), np.stack(expected, axis=-1), rtol=1e-12, atol=1e-15)

    def test_reader_flips_by_the_arrow_key(self, opened):
        sheet = opened(calibrated_reader(0.33))
        assert "Below 1/3" in sheet.part("verdict").text_content()
        sheet.part("p").focus()
        sheet.page.keyboard.press("ArrowRight")
        assert sheet.part("p-shown").text_content() == "34 %" == sheet.part("p").get_attribute("aria-valuetext")
        assert "Above 1/3" in sheet.part("verdict").text_content()
        assert "Below 1/3" in sheet.part("verdict", copy=1).text_content()

    def test_reader_moves_its_mark_and_its_prompt(self, opened):
        sheet = opened(calibrated_reader())
        for modulus, marked, star in ((2, "bare", "1/3"), (3, "bare", "1/4"), (5, "bare", "1/6"), (5, "marked", "1/2")):
            sheet.set(modulus=modulus, marked=marked)
            assert sheet.part("flip").text_content().endswith(star)
            place = float(sheet.part("flip").evaluate("e => e.style.getPropertyValue('--at')"))
            p = float(Fraction(star))
            assert place == pytest.approx((100 * p - 1) / 74, abs=1e-4)
        sheet.set(modulus=2, marked="bare")
        for i in (1, 2, 3, 0):
            sheet.part("prompt").click()
            x = reader.prompts_of(2)[i]
            assert sheet.drawn("seen") == reader.reader_panels(0.25, 2, False, x)["seen"][0]

    def test_reader_writes_token_by_token_unless_motion_is_reduced(self, opened):
        sheet = opened(calibrated_reader(0.33), reduced_motion="no-preference")
        sheet.set(p=34)
        assert sheet.part("said").locator("rect.token").count() < 6
        sheet.page.wait_for_function(
            "document.querySelectorAll('[data-part=said]')[0].querySelectorAll('.token').length == 6"
        )
        sheet.page.wait_for_function("document.querySelector('[data-part=said]').textContent.includes('right')")
        assert sheet.drawn("said") == reader.reader_panels(0.34, 2, False, reader.prompts_of(2)[0])["said"][0]

    # --- pressing RL

    def trained(self, sheet, rounds):
        sheet.page.wait_for_function(
            "n => document.querySelector('.touch').touch.trained().length === n + 1", arg=rounds, timeout=60_000
        )
        return [each["measures"] for each in sheet.root.evaluate("root => root.touch.trained()")]

    @pytest.mark.parametrize("reward", ["r_cot", "r_e2e"])
    def test_the_chain_in_the_page_is_the_chain_of_the_book(self, reward, opened):
        """The same draws, so the same run: P(long) to one in a million, not only within what chance allows."""
        sheet = opened(press_rl())
        sheet.set(p_0=40, reward=reward)
        for _ in range(3):
            sheet.part("round").click()
        found = self.trained(sheet, 3)
        expected = star_table(press.D, 0.4, press.SAMPLES, 3, reward, seeds=press.SEED, n_eval=2**press.D)
        np.testing.assert_allclose([row["long"] for row in found], expected["long"], atol=1e-6)
        np.testing.assert_allclose([row["greedyLong"] for row in found], expected["greedy_long"])
        np.testing.assert_allclose([row["greedyRight"] for row in found], expected["greedy_r_e2e"])

    @pytest.mark.parametrize(
        "values",
        [{}, {"price": 0.06}, {"noise": 0.1}, {"unknown": 1}, {"unknown": 2, "reward": "r_cot", "noise": 0.03}],
        ids=str,
    )
    def test_the_chain_goes_where_the_map_goes(self, values, opened):
        """Within .08 over three rounds: it is told the settings, not the map."""
        settings = press.Settings(0.4, **values)
        sheet = opened(press_rl())
        controls = {"p_0": 40, "price": round(1000 * settings.price), "noise": round(100 * settings.noise)}
        sheet.set(**controls, unknown=settings.unknown, reward=settings.reward)
        for _ in range(3):
            sheet.part("round").click()
        found = [row["long"] for row in self.trained(sheet, 3)]
        np.testing.assert_allclose(found, [settings.share(n) for n in range(4)], atol=0.08)
        for name, (drawn, said) in press.press_panels(settings, 3, found).items():
            assert sheet.drawn(name) == drawn, name
            assert sheet.part(name).get_attribute("aria-label") == said
        assert sheet.part("after").text_content() == press.after(settings, 3)
        assert sheet.part("rung").text_content() == press.rung_in_words(settings.factor)

    def test_kept_chances_are_those_of_theory(self, opened):
        sheet = opened(press_rl())
        cases = list(product((0, 0.02, 0.1, 0.09), (0, 0.01, 0.1, 0.2), (0, 1, 2, 3), ("r_e2e", "r_cot")))
        found = sheet.root.evaluate(
            "(root, cases) => cases.map(([price, noise, unknown, reward]) => "
            "root.touch.kept({price, noise, unknown, reward}))",
            cases,
        )
        expected = [
            tuple(map(float, theory.kept_chances(press.D, noise, unknown, price, reward)))
            for price, noise, unknown, reward in cases
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)

    def test_reset_begins_again_and_ten_rounds_are_all(self, opened):
        sheet = opened(press_rl())
        for _ in range(12):
            sheet.part("round").dispatch_event("click")  # not click(), which waits for what is disabled
        assert sheet.part("after").text_content() == press.after(press.Settings(), 10)
        assert sheet.part("round").get_attribute("aria-disabled") == "true"
        sheet.part("reset").click()
        assert sheet.part("after").text_content() == "Start: 25 % long."
        assert sheet.part("round").get_attribute("aria-disabled") == "false"
        assert sheet.part("after", copy=1).text_content() == "Start: 25 % long."

    def test_the_page_stays_awake_while_the_chain_learns(self, opened):
        sheet = opened(press_rl())
        ticks = sheet.page.evaluate(
            """async () => {
                const root = document.querySelector('.touch');
                let ticks = 0;
                const timer = setInterval(() => ticks += 1, 1);
                for (let i = 0; i < 3; i++) root.querySelector('[data-part=round]').click();
                while (root.touch.trained().length < 4) await new Promise(done => setTimeout(done, 5));
                clearInterval(timer);
                return ticks;
            }"""
        )
        assert ticks >= 8

    # --- the film

    def test_the_film_shows_each_round(self, film, opened):
        sheet = opened(film.figure())
        for i, frame in enumerate(film.frames):
            sheet.set(frame=i)
            assert sheet.part("frame-shown").text_content() == str(frame["round"])
            for way, (drawn, said) in film_panels(frame, 50).items():
                assert sheet.drawn(way) == drawn
                assert sheet.part(way).get_attribute("aria-label") == said
                assert sheet.part(f"{way}-head").text_content() == said
        assert sheet.part("frame-shown", copy=1).text_content() == "0"

    def test_the_film_plays_to_its_end_and_again(self, film, opened):
        sheet = opened(film.figure(), reduced_motion="no-preference")
        sheet.part("play").focus()
        sheet.page.keyboard.press("Enter")
        assert sheet.part("play").text_content() == "Pause"
        sheet.page.wait_for_function("document.querySelector('[data-part=play]').textContent === 'Play'")
        assert sheet.part("frame-shown").text_content() == "4"
        sheet.part("play").click()
        assert sheet.part("frame-shown").text_content() == "0"
        sheet.part("play").click()
        assert sheet.part("play").text_content() == "Play"
        sheet.set(frame=1)
        sheet.part("back").click()
        assert sheet.part("frame-shown").text_content() == "0"


def luminance(color: str) -> float:
    """Relative luminance of #rgb or #rrggbb."""
    digits = color.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    rgb = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
