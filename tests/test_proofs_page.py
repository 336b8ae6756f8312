"""The proofs page and the code that computes with it: one text for both, and each number of a formula is guarded."""

import math
import re
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
import sympy

from ntprl.proofs import pictures, pretraining
from ntprl.proofs.checks import CHECKS, GUARDS
from ntprl.proofs.formulas import DISPLAYS, FORMULAS, NOTICED
from ntprl.proofs.latex import Expression, plain

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "chapters" / "proofs" / "linear_chain.md").read_text()
DISPLAY = re.compile(r"(?ms)^\$\$\n(.*?)\n\$\$ \(([\w-]+)\)$")
UNREADABLE = (AssertionError, ArithmeticError, ValueError)  # what a changed formula may end in


def displays(page):
    """Label -> text of each labelled display."""
    return {label: body for body, label in DISPLAY.findall(page)}


def filled(template):
    """A display of `DISPLAYS` with its formulas in it."""
    return re.sub("«([^»]+)»", lambda match: FORMULAS[match[1]].tex, template)


def differences(page):
    """Labels of displays that are not what the code computes with."""
    found = displays(page)
    return [label for label, template in DISPLAYS.items() if plain(found.get(label, "")) != plain(filled(template))]


def edits(body):
    """A display with one of its numbers or signs changed, each in turn."""
    for match in re.finditer(r"\d|\+|(?<=[\w)} ])-|\\frac|\\min|\\max", body):
        other = {"+": "-", "-": "+", "\\frac": "\\binom", "\\min": "\\max", "\\max": "\\min"}
        changed = other.get(match[0]) or str((int(match[0]) + 1) % 10)
        yield body[: match.start()] + changed + body[match.end() :]


def test_the_page_prints_what_the_code_computes_with():
    assert differences(PAGE) == []
    used = [name for template in DISPLAYS.values() for name in re.findall("«([^»]+)»", template)]
    assert sorted(used) == sorted(FORMULAS), "each formula stands in one display"


@pytest.mark.parametrize("label", DISPLAYS)
def test_an_edit_of_the_page_is_noticed(label):
    body = displays(PAGE)[label]
    changed = list(edits(body))
    assert changed
    for other in changed:
        assert differences(PAGE.replace(body, other)) == [label], other


@pytest.mark.parametrize("name", FORMULAS)
def test_a_change_of_a_formula_is_noticed_by_its_check(name):
    """Each number of an exact formula, times 2 and times 3; a bound by the factor that the page prints."""
    check, given = GUARDS[name]
    formula = FORMULAS[name]
    changed = [formula.divided(NOTICED[name])] if name in NOTICED else list(formula.changed())
    assert changed
    for other in changed:
        with pytest.raises(UNREADABLE):
            check(**given(other))


def test_every_formula_has_a_guard_that_is_a_check_of_the_page():
    assert set(GUARDS) == set(FORMULAS) and set(NOTICED) < set(FORMULAS)
    known = {check for checks in CHECKS.values() for check in checks}
    assert {check for check, _ in GUARDS.values()} <= known


def test_most_bounds_claim_their_constant():
    """Up to a factor of 2; those beyond are told apart on the page by the factor itself."""
    loose = {name for name, factor in NOTICED.items() if factor > 2}
    assert loose == {"rate", "zeta", "copy-stop", "round-wrong"}
    assert NOTICED["rate"] <= 2.1


def test_pictures_and_tables_are_as_the_code_makes_them():
    assert pictures.renewed(PAGE) == PAGE, "run python -m ntprl.proofs.pictures"


def test_the_ladder_shows_the_measured_errors():
    table = pd.read_csv(ROOT / "data" / "chain_samples.csv")
    last = table[table["n_samples"] == pictures.SAMPLES]
    found = last.assign(error=last[["worst_chain", "worst_short"]].max(axis=1)).groupby("d")["error"].mean()
    assert {d: round(error, 4) for d, error in found.items()} == pictures.MEASURED


def test_a_budget_for_each_head_saves_four_powers_of_ten():
    for d, eps in pictures.MEASURED.items():
        saved = pictures.one_budget(d, 0.25, eps, 0.05) / pretraining.enough_samples(d, 0.25, eps, 0.05)
        assert 4 < math.log10(saved) < 7


def test_no_symbol_of_the_table_stands_there_twice():
    rows = re.search(r"(?s)\| Symbol \| Meaning \|\n\|---\|---\|\n(.*?)\n\n", PAGE)[1].splitlines()
    symbols = [symbol for row in rows for symbol in re.findall(r"\$([^$]+)\$", row.split("|")[1])]
    names = [part.split("=")[0].strip() for part in symbols]
    assert len(names) == len(set(names)) > 40


def test_sections_have_anchors_and_proofs_their_ideas():
    headings = re.findall(r"(?m)^(.*)\n#{2,3} \d", PAGE)
    assert headings and all(re.fullmatch(r"\([\w-]+\)=", line) for line in headings)
    proofs = PAGE.count("```{prf:proof}")
    assert PAGE.count("**Idea.**") == proofs > 25


def test_long_proofs_fold():
    """A proof of more than 14 lines stands in a dropdown."""
    for match in re.finditer(r"(?ms)^```\{prf:proof\}\n(.*?)^```$", PAGE):
        folded = PAGE[: match.start()].endswith("````{dropdown} Proof\n\n")
        assert folded or len(match[1].splitlines()) <= 14, match[1][:80]


# --- the reader of formulas ---


def test_formulas_are_read_as_they_look():
    assert Expression(r"\frac{m}{1 + m}", "m")(Fraction(1, 2)) == Fraction(1, 3)
    assert Expression(r"2^{-d}\binom{d-1}{(d-1)/2}", "d")(5) == 6 / 32
    assert Expression(r"\max\{\tfrac\mu2, \tfrac{1-3\mu}{2}\}", r"\mu")(Fraction(1, 10)) == Fraction(7, 20)
    assert Expression(r"-3x^2 + \ln\tfrac1y \cdot 2", "x y")(2, 1) == -12
    assert Expression(r"a/b c", "a b c")(6, 3, 5) == 10
    assert Expression(r"\ln^2 x + \left|y\right| + |y|", "x y")(math.e, -1) == pytest.approx(3)
    assert Expression(r"\left\lceil x\right\rceil", "x")(1.2) == 2
    p = sympy.symbols("p")
    assert Expression(r"\frac{2p}{1+p}", "p")(p) == 2 * p / (1 + p)
    assert Expression(r"\sqrt{x} + \ln x", "x")(p) == sympy.sqrt(p) + sympy.log(p)


def test_what_cannot_be_read_is_refused():
    for tex in (r"\sum_i x", "x + ", "x)", "y", r"\frac{x}"):
        with pytest.raises((ValueError, IndexError)):
            Expression(tex, "x")(1)


def test_numbers_are_changed_one_at_a_time():
    changed = Expression(r"\frac12 x^2", "x").changed(factors=(2,))
    assert [other(3) for other in changed] == [9, Fraction(9, 4), 40.5]
