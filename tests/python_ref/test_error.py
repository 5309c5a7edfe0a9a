"""What a refusal says, where it says that it is, and that it comes whole from another process."""

from __future__ import annotations

import copy
import datetime
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from python_ref.spec.error import DesignError, Refusal, ToolError, naming, shown
from rtl_gen.toolchain.yosys import YosysError
from sim.error import VerilogError, WrongCore

REASON, REMEDY = "it must be even", "Write 2, say."


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({}, "it must be even. Write 2, say."),
        ({"key": "network.lanes"}, "network.lanes: it must be even. Write 2, say."),
        ({"key": "network.lanes", "value": 3}, "network.lanes = 3: it must be even. Write 2, say."),
        ({"key": "--steps", "value": 0}, "--steps = 0: it must be even. Write 2, say."),
        ({"file": Path("x.toml")}, "x.toml: it must be even. Write 2, say."),
        ({"file": "x.toml", "key": "name", "value": "tö"}, 'x.toml: name = "tö": it must be even. Write 2, say.'),
        ({"file": "two\nlines.toml", "value": 3}, "two lines.toml: it must be even. Write 2, say."),
    ],
)
def test_a_message_names_file_key_value_reason_and_remedy(place: dict, message: str) -> None:
    assert str(Refusal(REASON, REMEDY, **place)) == message


def test_a_reason_of_several_lines_becomes_one() -> None:
    assert str(Refusal("one\ntwo", REMEDY)) == f"one two. {REMEDY}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (0.5, "0.5"),
        ("a\nb", '"a\\nb"'),
        ([1, (2, "x")], '[1, [2, "x"]]'),
        ({"k": [False]}, "{k = [false]}"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (1 << 4000, "(a number of 4001 bits)"),
    ],
)
def test_a_value_is_shown_as_a_design_file_has_it(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("value", ["x" * 1000, list(range(1000)), {str(n): n for n in range(1000)}])
def test_a_long_value_is_shortened(value: object) -> None:
    assert len(shown(value)) == 120 and shown(value).endswith("…")


def test_a_bad_design_is_a_refusal_and_a_value_error() -> None:
    error = DesignError("formats.weight", "UQ4.12", "weights have negative values", "Take SQ4.12.")
    assert isinstance(error, Refusal) and isinstance(error, ValueError)
    assert str(error) == 'formats.weight = "UQ4.12": weights have negative values. Take SQ4.12.'


def test_a_missing_tool_is_named_first() -> None:
    error = ToolError("it is not installed", "Run apt.", tool="yosys")
    assert str(error) == "yosys: it is not installed. Run apt." and error.tool == "yosys"
    assert str(ToolError("Dask is not installed", "Run pip.")) == "Dask is not installed. Run pip."


# -- adding the place -------------------------------------------------------------------------------------------------


def named(error: Refusal, *blocks: dict) -> Refusal:
    """The refusal that leaves nested blocks, the innermost first, each of which names a place."""
    with pytest.raises(Refusal) as caught:
        _raise_within(error, *reversed(blocks))
    assert caught.value is error
    return error


def _raise_within(error: Refusal, *blocks: dict) -> None:
    if not blocks:
        raise error
    with naming(**blocks[0]):
        _raise_within(error, *blocks[1:])


def test_the_file_is_added_once() -> None:
    error = named(DesignError("a.b", 1, REASON, REMEDY), {"file": "inner.toml"}, {"file": "outer.toml"})
    assert str(error) == f"inner.toml: a.b = 1: {REASON}. {REMEDY}"


def test_the_key_and_its_value_are_added_once() -> None:
    error = named(Refusal(REASON, REMEDY), {"key": "a.b", "value": 1}, {"key": "c.d", "value": 2, "file": "x.toml"})
    assert (error.key, error.value, error.file) == ("a.b", 1, "x.toml")


def test_a_value_does_not_come_without_its_key() -> None:
    error = named(Refusal(REASON, REMEDY, key="a.b"), {"key": "c.d", "value": 2})
    assert (error.key, error.value) == ("a.b", None)


def test_an_option_stands_in_no_file() -> None:
    error = named(DesignError("--clock", 14.0, REASON, REMEDY), {"file": "x.toml"})
    assert str(error) == f"--clock = 14.0: {REASON}. {REMEDY}"


def test_an_option_names_its_file_together_with_it() -> None:
    error = named(Refusal(REASON, REMEDY), {"file": "mine.v", "key": "--verilog"})
    assert str(error) == f"mine.v: --verilog: {REASON}. {REMEDY}"


def test_others_pass_unchanged() -> None:
    error = named(ToolError(REASON, REMEDY), {"file": "x.toml", "of": DesignError}, {"key": "a", "of": (DesignError, VerilogError)})
    assert str(error) == f"{REASON}. {REMEDY}"
    with pytest.raises(ZeroDivisionError, match=r"^division by zero$"), naming("x.toml"):
        _ = 1 / 0


# -- from another process ---------------------------------------------------------------------------------------------

MADE = [
    Refusal(REASON, REMEDY, key="a.b", value=[1, 2], file="x.toml"),
    DesignError("a.b", "x", REASON, REMEDY).about(file="x.toml"),
    ToolError(REASON, REMEDY, tool="yosys"),
    YosysError("Yosys failed: no", "one\ntwo\n"),
    VerilogError(REASON, file=Path("x.v"), line=7),
    WrongCore(REASON, "xor"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_it_comes_back_whole(error: Refusal, again) -> None:
    found = again(error)
    assert type(found) is type(error) and found is not error
    assert str(found) == str(error) and vars(found) == vars(error)


def _refuse(error: Refusal) -> None:
    raise error


def test_it_comes_from_another_process() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for error in MADE:
            found = pool.submit(_refuse, error).exception()
            assert type(found) is type(error) and str(found) == str(error)
            assert {name: value for name, value in vars(found).items() if name != "__notes__"} == {
                name: value for name, value in vars(error).items() if name != "__notes__"
            }
