"""Series of frames: files of the time-series archive, tables with a row for each frame, images row by row, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgd_hw.data import Data, load
from mgd_hw.design.reader import parse
from python_ref.datasets import quantise
from python_ref.spec.error import Refusal

HEADER = "# a comment\n@problemName Two\n@timeStamps false\n@univariate false\n@dimensions 2\n@classLabel true left right\n@data\n"
TRAIN = HEADER + "1,2,3:0,0,10:left\n4,5:10,5:right\n"
TEST = HEADER + "3:7:right\n1,2:3,4:left\n"
TS = '[network]\nlayers = [2, {neurons = 3, kind = "leaky", leak = 1}, 2]\nframes = 3\n[data]\ntask = "ts"\npath = "Two_TRAIN.ts"\n'
CSV = "id,a,b,class\nx,0,1,p\nx,2,3,p\ny,4,5,q\nz,1,1,p\nz,1,2,p\nz,1,3,p\n"
TABLE = TS.replace('"ts"', '"csv"').replace("Two_TRAIN.ts", "d.csv") + 'series = "id"\ntest_fraction = 0\nscaling = "none"\n'


def write(folder: Path, train: str = TRAIN, test: str | None = TEST) -> None:
    (folder / "Two_TRAIN.ts").write_text(train)
    if test is not None:
        (folder / "Two_TEST.ts").write_text(test)


def read(folder: Path, text: str) -> Data:
    return load(parse(text, folder / "a.toml").data)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(Refusal) as caught:
        read(folder, text)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_a_file_of_the_archive_and_its_test_file(tmp_path: Path) -> None:
    write(tmp_path)
    data = read(tmp_path, TS)
    # Each channel by its own range over the frames of the training series: 1 … 5 and 0 … 10.
    assert data.train.inputs.tolist() == [[0, 0, 0.25, 0, 0.5, 1], [0.75, 1, 1, 0.5, 0, 0]]
    assert data.train.lengths.tolist() == [3, 2]
    np.testing.assert_allclose(data.test.inputs, [[0.5, 0.7, 0, 0, 0, 0], [0, 0.3, 0.25, 0.4, 0, 0]], rtol=1e-6)
    assert data.test.lengths.tolist() == [1, 2]
    assert data.train.labels.tolist() == [0, 1] and data.test.labels.tolist() == [1, 0]
    assert [each.name for each in data.summary.classes] == ["left", "right"]
    assert "split" in [guess.what for guess in data.summary.guesses]


def test_input_values_other_than_0_and_1(tmp_path: Path) -> None:
    write(tmp_path)
    spec = parse(TS + "input_values = [-2, 2]\n", tmp_path / "a.toml").spec
    data = read(tmp_path, TS + "input_values = [-2, 2]\n")
    assert data.train.inputs.tolist() == [[-2, -2, -1, -2, 0, 2], [1, 2, 2, 0, 0, 0]]  # frames that a series does not have are 0
    assert str(spec.formats.input) == "SQ2.6"
    words, _ = quantise(spec, data.train)
    assert words.tolist() == [[3, -128, -128, -64, -128, 0, 127], [2, 64, 127, 127, 0, 0, 0]]


def test_a_file_alone_is_split_and_may_have_targets(tmp_path: Path) -> None:
    text = TRAIN.replace("@classLabel true left right", "@targetLabel true").replace("left", "1.5").replace("right", "-2")
    write(tmp_path, text, None)
    data = read(tmp_path, TS.replace(", 2]\n", ", 1]\n") + "test_fraction = 0\n")
    assert data.kind.name == "regression"
    assert data.train.targets.tolist() == [[1], [0]]


def test_rows_of_a_table_are_frames(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(CSV)
    data = read(tmp_path, TABLE)
    assert data.train.inputs.tolist() == [[0, 1, 2, 3, 0, 0], [4, 5, 0, 0, 0, 0], [1, 1, 1, 2, 1, 3]]
    assert data.train.lengths.tolist() == [2, 1, 3]
    assert data.train.labels.tolist() == [0, 1, 0]


def test_what_lies_behind_the_end_of_a_series_is_no_input(tmp_path: Path) -> None:
    """Of inputs from 5 to 8, the summary shows no 0; and of two judged frames, the second one alone lies outside the range of training."""
    write(tmp_path, HEADER + "5,6,7:5,7,8:left\n6,5:6,5:right\n", HEADER + "7:8:right\n6:9:left\n")
    summary = read(tmp_path, TS).summary
    assert summary.input_range == (5, 9)
    assert [warning for warning in summary.warnings if "range of training" in warning] == [
        "1 of 4 inputs of the judged samples lies outside the range of training, and is cut off there."
    ]


def test_inputs_that_tell_nothing_of_a_series(tmp_path: Path) -> None:
    """One that counts the frames of every series, one that is constant, and one that is neither; of a file without names, by number."""
    rows = [(name, time, a, 7) for name, values in {"x": (0, 2), "y": (4,), "z": (1, 1, 1)}.items() for time, a in enumerate(values, 3)]
    table = TABLE.replace("[2, {", "[3, {")
    (tmp_path / "d.csv").write_text("id,time,a,b,class\n" + "".join(f"{n},{t},{a},{b},{'q' if n == 'y' else 'p'}\n" for n, t, a, b in rows))
    counts, constant = read(tmp_path, table).summary.warnings
    assert counts == 'Input "time" counts the frames: it rises alike in every training series, and tells their lengths alone.'
    assert constant == 'Input "b": the same in every frame of every training series, so nothing can be learned from it.'
    write(tmp_path, HEADER + "1,2,3:0,0,10:left\n1,2:10,5:right\n", HEADER + "3:7:right\n1,2:3,4:left\n")
    assert read(tmp_path, TS).summary.warnings[0].startswith("Input number 0 counts the frames: ")


def test_digits_row_by_row_and_held(tmp_path: Path) -> None:
    rows = read(tmp_path, '[network]\nlayers = [8, {neurons = 3, kind = "leaky", leak = 1}, 10]\n[data]\ntask = "digits"\n')
    held = read(tmp_path, '[network]\nlayers = [64, {neurons = 3, kind = "lif", leak = 1}, 10]\n[data]\ntask = "digits"\n')
    assert rows.train.lengths.tolist() == [8] * len(rows.train)
    assert held.train.lengths is None
    np.testing.assert_array_equal(rows.train.inputs, held.train.inputs)


def test_random_series_have_random_lengths(tmp_path: Path) -> None:
    layers = '[network]\nframes = 4\nlayers = [2, {neurons = 3, kind = "leaky", leak = 1}, 2]\n[data]\ntask = "random"\n'
    assert set(read(tmp_path, layers).train.lengths) == {1, 2, 3, 4}


WRONG = {
    "other channels": (TRAIN.replace("4,5:10,5:", "4,5:"), "the series in line 9 of Two_TRAIN.ts has 1 channels, the network 2 inputs"),
    "too long": (TRAIN.replace("4,5:10,5", "4,5,6,7:1,1,1,1"), "network.frames = 3: the series in line 9 of Two_TRAIN.ts has 4 frames"),
    "ragged": (TRAIN.replace("4,5:10,5", "4,5:10"), "line 9: its channels have different numbers of values: 2, 1"),
    "missing": (TRAIN.replace("4,5", "4,?"), "line 9: a value is missing"),
    "a word": (TRAIN.replace("4,5", "4,five"), "line 9: 'five' is not a finite number"),
    "no colon": (TRAIN + "1,2,3\n", "line 10: it has no colon"),
    "another class": (TRAIN.replace(":right", ":middle"), "line 9: the class 'middle' is not among those of the header"),
    "an empty class": (TRAIN.replace("left right", "left right none"), "class 'none' of its header has no series"),
    "no data": (HEADER, "it has no series behind @data"),
    "no header": ("1,2:3,4:left\n", "line 1: the header ends without @data"),
    "no labels": (TRAIN.replace("@classLabel true left right\n", ""), "its header declares neither classes nor targets"),
    "time stamps": (TRAIN.replace("@timeStamps false", "@timeStamps true"), "its values have time stamps"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_files_that_are_refused(tmp_path: Path, fault: str) -> None:
    content, message = WRONG[fault]
    write(tmp_path, content)
    assert message in refused(tmp_path, TS)


def test_more_files_that_are_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path, TS)
    (tmp_path / "Two_TRAIN.ts").write_bytes(b"\xff\xfe\x00")
    assert "it is not UTF-8 text" in refused(tmp_path, TS)
    (tmp_path / "folder").mkdir()
    assert "it is a folder with no files *_TRAIN.ts" in refused(tmp_path, TS.replace("Two_TRAIN.ts", "folder"))
    write(tmp_path)
    assert "has 2 classes" not in refused(tmp_path, TS.replace("frames = 3", "frames = 2"))


ROWS = {
    "apart": (CSV + "x,1,1,p\n", "series 'x' goes on in line 8 of d.csv, after another series"),
    "two answers": (CSV.replace("x,2,3,p", "x,2,3,q"), "series 'x' has two answers: that of line 3 of d.csv is another one"),
    "too long": (CSV + "z,1,1,p\n", "network.frames = 3: the series in line 5 of d.csv has 4 frames"),
}


@pytest.mark.parametrize("fault", ROWS)
def test_tables_that_are_refused(tmp_path: Path, fault: str) -> None:
    content, message = ROWS[fault]
    (tmp_path / "d.csv").write_text(content)
    assert message in refused(tmp_path, TABLE)


def test_vowels_without_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = '[network]\nlayers = [12, {neurons = 8, kind = "leaky", leak = 1}, 9]\n[data]\ntask = "vowels"\n'
    assert "the package aeon, which has the Japanese Vowels, is not installed" in refused(tmp_path, text)


def test_samples_with_lengths_that_do_not_match(tmp_path: Path) -> None:
    write(tmp_path)
    spec, data = parse(TS, tmp_path / "a.toml").spec, read(tmp_path, TS)
    longer = type(data.train)(data.train.inputs, data.train.targets, data.train.lengths + 1)
    with pytest.raises(ValueError, match="at most 3"):
        quantise(spec, longer)
    with pytest.raises(ValueError, match="positive numbers"):
        type(data.train)(data.train.inputs, data.train.targets, data.train.lengths * 0)
