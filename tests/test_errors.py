"""What is refused is said in one line with its name, its value and what is allowed. Other tests rely on it."""

import numpy as np
import pytest

from ntprl.errors import InputError, require, require_choice, require_integer, require_number

NO_NUMBERS = ["1", None, True, [1], float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("value", [1, 7, np.int64(1)])
def test_whole_numbers_are_accepted(value):
    require_integer("n", value, low=1)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, np.float64(2), *NO_NUMBERS], ids=repr)
def test_other_whole_numbers_are_refused(refused, value):
    with refused(f"n = {value!r}", "n must be a whole number of at least 1"):
        require_integer("n", value, low=1)


@pytest.mark.parametrize("value", [0, 1, 0.25, np.float32(0.5), np.int64(1)])
def test_numbers_are_accepted(value):
    require_number("p", value, low=0, high=1)
    require_number("p", value, low=-9)


@pytest.mark.parametrize("value", [-0.1, -1, *NO_NUMBERS], ids=repr)
def test_other_numbers_are_refused(refused, value):
    with refused(f"p = {value!r}", "p must be a number in [0, 1]"):
        require_number("p", value, low=0, high=1)
    with refused(f"p = {value!r}", "p must be a finite number of at least 0"):
        require_number("p", value, low=0)


def test_numbers_have_an_upper_end(refused):
    with refused("p = 1.1", "[0, 1]"):
        require_number("p", 1.1, low=0, high=1)


@pytest.mark.parametrize("value", ["ppo", "", 1, None, True, ["star"]], ids=repr)
def test_choices(refused, value):
    require_choice("algorithm", "star", {"star": 1, "grpo": 2})
    with refused(f"algorithm = {value!r}", "algorithm must be one of grpo, star"):
        require_choice("algorithm", value, {"star": 1, "grpo": 2})


def test_a_message_has_one_line_whatever_the_value(refused):
    require(True, "x", np.zeros((3, 3)), "anything")
    for value in (np.zeros((3, 3)), "a\nb"):
        with refused("x = ", "x must be shorter"):
            require(False, "x", value, "shorter")
    assert issubclass(InputError, ValueError)
    assert InputError("one line")._render_traceback_() == ["InputError: one line"]  # instead of a notebook's traceback
