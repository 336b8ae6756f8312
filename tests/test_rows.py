"""Rows and their two demonstrations; and which packages the parts of this package do without."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntprl.tasks.rows import MARK, Row, completion, is_long, long_ones, prompt, uniform

PEARS = Row("Mia has 7 pears. Tom has 5 more. How many has Tom?", "Tom has 7 + 5 = 12 pears.", "12")
MANY = [Row(f"question {index}", "solution", "1") for index in range(4000)]
texts = st.text(st.characters(blacklist_characters="#@"), min_size=1).filter(lambda text: text.strip())


def test_worked_strings():
    assert prompt(PEARS.question) == "Question: Mia has 7 pears. Tom has 5 more. How many has Tom?\nAnswer:"
    assert completion(PEARS, long=True) == " Tom has 7 + 5 = 12 pears.\n#### 12"
    assert completion(PEARS, long=False) == " #### 12"
    assert completion(PEARS, long=False, mark="@@") == " @@ 12"


@pytest.mark.parametrize(
    ("text", "long"),
    [("", False), (" \n", False), ("#### 3", False), (" #### 3 because", False), ("3", True), ("so #### 3", True)],
)
def test_what_is_long(text, long):
    assert is_long(text) is long


@given(texts, texts, st.booleans(), st.sampled_from([MARK, "@@"]))
def test_a_demonstration_is_as_long_as_it_was_made(solution, answer, long, mark):
    assert is_long(completion(Row("?", solution, answer), long, mark), mark) is long


def test_the_hash_of_a_question_is_uniform():
    values = np.sort([uniform(row.question) for row in MANY])
    assert np.abs(values - np.arange(0.5, 4000) / 4000).max() < 0.03  # Kolmogorov and Smirnov: .026 at 1 %
    assert uniform("question 0") == 0.38091316312946844  # the same on every machine and in every version


def test_draws_deal_independently():
    base, first, second = (np.array([uniform(row.question, draw) for row in MANY]) for draw in (None, 1, 2))
    for one, other in ((base, first), (base, second), (first, second)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


@pytest.mark.parametrize("p_cot", [0.01, 0.25, 0.5])
def test_the_share_of_long_ones_is_p_cot(p_cot):
    assert abs(np.mean(long_ones(MANY, p_cot)) - p_cot) < 3.5 * np.sqrt(p_cot * (1 - p_cot) / len(MANY))


def test_a_long_row_stays_long_at_a_higher_share():
    few, more = (np.array(long_ones(MANY, p_cot)) for p_cot in (0.1, 0.4))
    assert (few <= more).all()
    assert not any(long_ones(MANY, 0))
    assert all(long_ones(MANY, 1))


def test_a_share_outside_is_refused(refused):
    with refused("p_cot = 1.1"):
        long_ones(MANY, 1.1)


LIVE = {"transformers", "tokenizers", "huggingface_hub", "math_verify"}  # with the extra llama
BY_TRL = {"trl", "datasets", "peft", "accelerate", "pyarrow", "vllm"}  # with the extra trl
CLUSTER = {"dask", "distributed", "submitit"}

EVERY_MODULE = """
import importlib, pkgutil
import ntprl
for module in pkgutil.walk_packages(ntprl.__path__, "ntprl."):
    importlib.import_module(module.name)
from ntprl.errors import InputError
from ntprl.llama.config import preset
from ntprl.llama.run import run
from ntprl.studies.words.runs import word_problems
for start in (lambda: run(preset("llama-3.2-3b", dry_run=True), "nowhere"), word_problems("smoke").train):
    try:
        start()
    except InputError as error:
        print(error)
"""
LIVE_RUN = """
from ntprl.studies.words.runs import word_problems
from ntprl.tasks.answers import is_right
print(is_right("#### x+1", "1+x", seconds=30), len(word_problems("smoke", 2).recover().table) > 2)
"""


def without(missing: set[str], script: str) -> list[str]:
    """What a script prints, in lines, where these packages cannot be imported."""
    script = f"import sys; sys.modules.update(dict.fromkeys({missing}))\n{script}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_every_module_imports_without_the_extras_and_a_run_says_what_is_missing():
    by_trl, live = without(LIVE | BY_TRL | CLUSTER, EVERY_MODULE)
    assert "package trl" in by_trl and "pip install -e '.[trl]'" in by_trl
    assert "package transformers" in live and "pip install -e '.[llama]'" in live


@pytest.mark.slow
def test_the_live_llama_needs_the_llama_extra_alone():
    assert without(BY_TRL | CLUSTER, LIVE_RUN) == ["True True"]
