"""What is refused is said in one line with its name, its value and what is allowed. Other tests rely on it."""

import numpy as np
import pytest

from ntprl.errors import (
    LARGEST_SIZE,
    LONGEST_SHOWN,
    InputError,
    existing_path,
    json_object,
    require,
    require_choice,
    require_integer,
    require_number,
    require_seed,
    writing,
)

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


@pytest.mark.parametrize("value", [10**30, 10**400, 10**5000, np.uint64(2**63)], ids=["30", "400", "5000", "uint64"])
def test_numbers_that_no_machine_holds_are_refused_by_their_own_name(refused, value):
    with refused("n = ", f"at most {LARGEST_SIZE:,}"):
        require_integer("n", value, low=1)
    with refused("seed = ", "at most 9,223,372,036,854,775,807"):
        require_seed(value)
    if value >= 2**1023:
        with refused("lr = ", "a finite number of at least 0"):
            require_number("lr", value, low=0)
    require_seed(2**63 - 1)


@pytest.mark.parametrize("value", ["x" * 5000, list(range(9999)), 10**4000, {"a": "y" * 300}], ids=type)
def test_a_message_repeats_the_ends_of_a_long_value(value):
    with pytest.raises(InputError) as caught:
        require_choice("profile", value, ["laptop"])
    text = str(caught.value)
    assert len(text) < LONGEST_SHOWN + 80 and repr(value)[:20] in text and repr(value)[-10:] in text and " ... " in text


TWICE = ('{"key": 1, "key": 1}', '{"key": {"a": 1, "a": 2}}')  # equal or not, one of them would be lost


@pytest.mark.parametrize(
    "text", [*TWICE, "", "{", "[]", "null", "1", '"a"', "[" * 100_000, '{"a": ' + "1" * 5000 + "}", "{}"]
)
def test_what_is_no_json_object_is_refused_in_one_line(refused, tmp_path, text):
    (tmp_path / "file").write_text(text)
    for source in (text, tmp_path / "file"):
        with refused("the file", "no JSON object", "do this"):
            json_object(source, "the file", ["key"], "do this")
    for source in (b"\xff\xfe", tmp_path, tmp_path / "none"):
        with refused("the file", "no JSON object"):
            json_object(source, "the file")
    assert json_object('{"key": 1}', "the file", ["key"]) == {"key": 1}


@pytest.mark.parametrize("value", ["x" * 5000, "~nobody-of-that-name/x"], ids=["long", "nobody"])
def test_what_can_be_no_path_is_refused_in_one_line(refused, value):
    with refused("dataset = ", "no path"):
        existing_path("dataset", value)


def test_paths_are_found(tmp_path):
    assert existing_path("dataset", str(tmp_path)) == tmp_path
    assert existing_path("dataset", str(tmp_path / "none")) is None
    assert existing_path("dataset", "a\0b") is None or pytest.fail("a zero byte names no file")


def test_what_the_system_does_not_write_is_said_in_one_line(refused, tmp_path):
    (tmp_path / "file").touch()
    with refused(tmp_path / "file" / "inner", "cannot be written"), writing(tmp_path / "file" / "inner"):
        (tmp_path / "file" / "inner").mkdir()
