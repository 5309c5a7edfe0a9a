"""Axes of a sweep: values as they are typed, keys that are refused, and edited texts that contain the given values."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgd_hw.design.keys import KEYS
from mgd_hw.design.reader import load, parse, shipped
from mgd_hw.sweeps.vary import MAX_COMBINATIONS, Editor, axes_of, combinations, paths_made_absolute, read_axes
from python_ref.spec.error import Refusal


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("formats.weight=SQ4.4,SQ4.8", ["SQ4.4", "SQ4.8"]),
        ("schedule.learning_rate=-9, [[0, -8], [100, -9]]", [-9, [[0, -8], [100, -9]]]),
        ("network.layers=[2,3,1],[2,4,4,1]", [[2, 3, 1], [2, 4, 4, 1]]),
        ("perturbation.amplitude=2^-5,0.25", ["2^-5", 0.25]),
        ("hardware.signature=true,false", [True, False]),
        ('data.path=\'a, b.csv\',"c\\",d.csv",e/f.csv', ["a, b.csv", 'c",d.csv', "e/f.csv"]),
        ("name=007", ["007"]),
        ("network.scale=1e-3,1_000", [0.001, 1000]),
    ],
)
def test_values_are_toml_or_bare_words(text: str, values: list) -> None:
    assert read_axes([text]) == {text.partition("=")[0]: values}


scalar = st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(st.characters(codec="ascii", min_codepoint=32), max_size=8))


@given(st.lists(st.one_of(scalar, st.lists(scalar, max_size=3)), min_size=1, max_size=5))
def test_whatever_toml_writes_is_read(values: list) -> None:
    assert read_axes(["k=" + ",".join(map(json.dumps, values))]) == {"k": values}


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["formats.weight"], "it is not of the form key=v1,v2"),
        (["=3"], "it is not of the form key=v1,v2"),
        (["a=1", "a=2"], "the key is varied twice"),
        (["a="], "a value is empty"),
        (["a=1,,2"], "a value is empty"),
        (["a=[1,2"], "brackets or quotation marks do not match"),
        (["a='1"], "brackets or quotation marks do not match"),
        (["a={x}"], "it is not a TOML value"),
    ],
)
def test_other_texts_are_refused(texts: list[str], reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_axes(texts)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({"schedule.learnig_rate": [-3]}, "Did you mean schedule.learning_rate?"),
        ({"learning_rate": [-3]}, "Did you mean schedule.learning_rate?"),
        ({"formats": [1]}, "it is a table, not a value"),
        ({"hardware.lanes": [1, 300]}, "hardware.lanes = 300: it must be a whole number from 1 to 256"),
        ({"network.scale": [1, 1.0]}, "the value 1.0 is given twice"),
        ({"formats.weight": []}, "there is no value"),
        ({"formats.weight": "SQ4.4"}, "there is no value"),
    ],
)
def test_keys_and_values_are_those_of_a_design_file(vary: dict, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        axes_of(vary)
    assert said in str(caught.value)


def test_every_documented_key_can_be_varied() -> None:
    for key in KEYS:
        with pytest.raises(Refusal) as caught:
            axes_of({key.dotted: [object()]})
        assert caught.value.key == key.dotted, "the value is refused, not the key"


def test_combinations_are_all_there_and_not_too_many() -> None:
    axes = axes_of({"hardware.lanes": [1, 2], "network.seed": [3, 4, 5]})
    assert list(combinations(axes)) == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    keys = ("network.seed", "perturbation.seed", "data.split_seed")
    side = 1 + round(MAX_COMBINATIONS ** (1 / 3))
    with pytest.raises(Refusal, match=r"--vary: there are 1,030,301 combinations, more than a sweep takes"):
        axes_of({key: range(side) for key in keys})


# -- Edited texts -----------------------------------------------------------------------------------------------------

VALUES = {
    "name": "other",
    "formats.weight": "SQ5.11",
    "formats.rounding.weight": "floor",
    "schedule.learning_rate": [[0, -4], [50, -5]],
    "hardware.lanes": 2,
    "data.split_seed": 7,
}


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize("key", VALUES)
def test_an_edited_text_differs_in_that_key_alone_and_keeps_its_comments(name: str, key: str) -> None:
    text = load(name).text
    edited = Editor(text, [key]).edited([VALUES[key]])
    expected = tomllib.loads(text)
    table = expected
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
    table[last] = VALUES[key]
    assert tomllib.loads(edited) == expected
    assert {line for line in text.splitlines() if line.startswith("#")} <= set(edited.splitlines())


def test_an_editor_takes_other_values_again_and_again() -> None:
    editor = Editor(load("xor").text, ["hardware.lanes", "formats.overflow.weight"])
    for lanes, mode in ((1, "wrap"), (2, "saturate"), (1, "wrap")):
        design = parse(editor.edited([lanes, mode]), "x.toml")
        assert (design.spec.hardware.lanes, design.spec.formats.weight_cast.overflow.value) == (lanes, mode)


@pytest.mark.parametrize(
    "text",
    [
        'data.task = "xor"\nperturbation.kind = "weight"',
        'network = {layers = [2, 4, 1]}\ndata = {task = "xor"}',
        '[formats]\nweight = "SQ4.8"\n[data]\ntask = "xor"\n[formats.rounding]\nweight = "floor"\n',
        '[data]\r\ntask = "xor"\r\n',
    ],
)
def test_any_way_to_write_a_file_can_be_edited(text: str) -> None:
    editor = Editor(text, ["formats.weight", "formats.overflow.weight", "network.seed"])
    for number in (1, 2):
        design = parse(editor.edited([f"SQ4.1{number}", "wrap", number]), "x.toml")
        assert (str(design.spec.formats.weight), design.spec.network.initial.seed) == (f"SQ4.1{number}", number)


def test_a_text_that_the_library_gets_wrong_loses_its_comments_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    text = load("xor").text
    monkeypatch.setattr("tomlkit.TOMLDocument.as_string", lambda _: text)
    for lanes in (1, 3):
        assert parse(Editor(text, ["hardware.lanes"]).edited([lanes]), "x.toml").spec.hardware.lanes == lanes


def test_paths_are_found_from_anywhere(tmp_path) -> None:
    text = '[data]\npath = "mine.csv" # mine\n'
    made = paths_made_absolute(text, tmp_path / "design.toml")
    assert tomllib.loads(made)["data"]["path"] == str(tmp_path / "mine.csv")
    assert "# mine" in made
    assert paths_made_absolute(made, tmp_path / "elsewhere" / "design.toml") == made
    assert paths_made_absolute("[data]\n", tmp_path / "design.toml") == "[data]\n"
