"""Generated series: each answer follows from its frames by a rule that is written here once more."""

import importlib
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from mgd_hw.data import Data, load
from mgd_hw.data.temporal import SAMPLES
from mgd_hw.design.reader import parse
from python_ref.spec.error import Refusal, ToolError


def read(tmp_path: Path, task: str, layers: list[int], frames: int | None, more: str = "") -> Data:
    given = "" if frames is None else f"frames = {frames}\n"
    text = f'network.layers = {layers}\n[data]\ntask = "{task}"\n{given}{more}'
    return load(parse(text, tmp_path / "design.toml").data)


def whole(data: Data, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames and targets of all samples."""
    both = (data.train,) if data.test is data.train else (data.train, data.test)
    inputs, targets = (np.concatenate([getattr(each, name) for each in both]) for name in ("inputs", "targets"))
    return inputs.reshape(len(inputs), frames, -1), targets


def test_recall(tmp_path: Path) -> None:
    data = read(tmp_path, "recall", [84, 8, 4], 7, "split_seed = 5\n")
    assert "6 pairs of 8 keys and 4 values, seed 5" in data.source
    assert (len(data.train), len(data.test)) == (4000, 1000)
    frames, targets = whole(data, 7)
    for sample, target in zip(frames[:500], targets[:500], strict=True):
        known = {int(frame[:8].argmax()): frame[8:] for frame in sample[:6]}
        assert len(known) == 6
        assert (sample[:6, :8].sum(axis=1) == 1).all()
        assert (sample[:6, 8:].sum(axis=1) == 1).all()
        assert not sample[6, 8:].any()
        np.testing.assert_array_equal(known[int(sample[6, :8].argmax())], target)
    asked = np.einsum("stk,sk->st", frames[:, :6, :8], frames[:, 6, :8]).argmax(axis=1)
    assert min(np.bincount(asked)) > 0.9 * SAMPLES / 6


def test_temporal_xor(tmp_path: Path) -> None:
    data = read(tmp_path, "temporal-xor", [14, 8, 1], 7)
    assert data.test is data.train
    frames, targets = whole(data, 7)
    assert len(frames) == 3 * 4 * 4 == len(np.unique(frames, axis=0))
    for sample, target in zip(frames, targets, strict=True):
        (first, a), (second, b) = np.argwhere(sample)
        assert first < 3 <= second
        assert target == (a + b) % 2


def test_delayed_recall(tmp_path: Path) -> None:
    frames, targets = whole(read(tmp_path, "delayed-recall", [20, 8, 4], 4), 4)
    np.testing.assert_array_equal(frames[:, 0, :4], targets)
    assert not frames[:, :-1, 4].any()
    assert (frames[:, -1, 4] == 1).all()
    noise = frames[:, 1:, :4]
    assert 0 <= noise.min() < 0.01
    assert 0.49 < noise.max() <= 0.5
    assert 0.24 < noise.mean() < 0.26


def test_adding(tmp_path: Path) -> None:
    data = read(tmp_path, "adding", [20, 8, 1], 10)
    assert data.kind.name == "regression"
    frames, targets = whole(data, 10)
    marks = frames[:, :, 1]
    assert (marks[:, :5].sum(axis=1) == 1).all()
    assert (marks[:, 5:].sum(axis=1) == 1).all()
    sums = (frames[:, :, 0] * marks).sum(axis=1)
    assert np.corrcoef(sums, targets[:, 0])[0, 1] > 1 - 1e-9
    assert -0.01 < targets.min() < 0.01
    assert 0.99 < targets.max() < 1.01


def test_rate_digits(tmp_path: Path) -> None:
    spikes, targets = whole(read(tmp_path, "rate-digits", [64 * 32, 8, 10], 32), 32)
    shown, wanted = whole(read(tmp_path, "digits", [64, 8, 10], None), 1)
    assert set(np.unique(spikes)) == {0, 1}
    np.testing.assert_array_equal(targets, wanted)
    assert abs(spikes.mean(axis=1) - shown[:, 0]).mean() < 0.06
    assert abs((spikes - shown).mean()) < 0.001


def test_seeds_draw(tmp_path: Path) -> None:
    one, again, other = (read(tmp_path, "delayed-recall", [20, 8, 4], 4, f"split_seed = {seed}\n") for seed in (1, 1, 2))
    assert one.digest == again.digest != other.digest


@pytest.mark.slow
def test_mnist1d(tmp_path: Path) -> None:
    """The samples are the published ones, and the random numbers of the process stay as they were."""
    package = importlib.import_module("mnist1d.data")
    wanted = package.make_dataset(package.get_dataset_args())
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    data = read(tmp_path, "mnist1d", [40, 8, 10], 40, 'scaling = "none"\n')
    assert (len(data.train), len(data.test)) == (4000, 1000)
    np.testing.assert_array_equal(data.train.inputs, wanted["x"].astype(np.float32))
    np.testing.assert_array_equal(data.test.labels, wanted["y_test"])
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_mnist1d_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    with pytest.raises(ToolError, match=r"mnist1d, which generates the samples, is not installed. Run `pip install mnist1d`"):
        read(tmp_path, "mnist1d", [40, 8, 10], None)


@pytest.mark.parametrize(
    ("task", "layers", "frames", "key", "reason"),
    [
        ("recall", [84, 8, 4], 1, "data.frames", r"has at least 2 frames, and a sample 1\. Write frames = 7"),
        ("recall", [84, 8, 4], 5, "data.frames", "a sample has 84 inputs, which 5 frames do not divide"),
        ("recall", [63, 8, 4], 7, "network.layers", "a frame of 9 inputs has 5 keys beside 4 values, and the 6 keys"),
        ("temporal-xor", [9, 8, 1], 3, "network.layers", "a frame has 2 inputs, one for each bit, not 3"),
        ("delayed-recall", [20, 8, 3], 4, "network.layers", "5 inputs, and 3 classes take 4"),
        ("adding", [9, 8, 1], 3, "network.layers", "a frame has 2 inputs, a number and a mark, not 3"),
        ("rate-digits", [120, 8, 10], 2, "network.layers", "a frame has 64 inputs, a pixel each, not 60"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, task: str, layers: list[int], frames: int | None, key: str, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        read(tmp_path, task, layers, frames)
    assert caught.value.key == key
    assert str(caught.value.file) == str(tmp_path / "design.toml")
