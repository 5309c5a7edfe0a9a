"""Loading of samples from generators and from csv, npz and IDX files, and the refusal of invalid files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from mgd_hw.data import Data, load
from mgd_hw.design.reader import parse
from python_ref.datasets import Samples
from python_ref.spec.error import Refusal


def idx(array: np.ndarray) -> bytes:
    """Return the contents of an IDX file of unsigned bytes."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def images(folder: Path, *, train: int = 30, test: int = 10, size: int = 28, packed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Write the four IDX files of a set of the MNIST family; return all images and labels, training samples first."""
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (train + test, size, size), dtype=np.uint8)
    y = np.arange(train + test, dtype=np.uint8) % 10
    folder.mkdir(parents=True, exist_ok=True)
    for part, which in (("train", slice(0, train)), ("t10k", slice(train, None))):
        for name, array in (("images-idx3-ubyte", x[which]), ("labels-idx1-ubyte", y[which])):
            content = gzip.compress(idx(array)) if packed else idx(array)
            (folder / f"{part}-{name}{'.gz' if packed else ''}").write_bytes(content)
    return x, y


def read(folder: Path, text: str) -> Data:
    return load(parse(text, folder / "a.toml").data)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(Refusal) as caught:
        read(folder, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CSV = '[network]\nlayers = [2, 3]\n[data]\ntask = "csv"\npath = "d.csv"\ntest_fraction = 0\n'
NPZ = '[network]\nlayers = [4, 3]\n[data]\ntask = "npz"\npath = "d.npz"\n'


# -- Generated tasks --------------------------------------------------------------------------------------------------


def test_xor_in_both_forms(tmp_path: Path) -> None:
    one = read(tmp_path, '[data]\ntask = "xor"\n')
    assert one.train.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert one.train.targets.ravel().tolist() == [0, 1, 1, 0]
    two = read(tmp_path, '[data]\ntask = "xor"\n[network]\nlayers = [2, 3, 2]\n')
    assert two.train.targets.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert one.test.inputs.tolist() == one.train.inputs.tolist()


def test_targets_take_the_values_given(tmp_path: Path) -> None:
    data = read(tmp_path, '[data]\ntask = "xor"\n[network]\noutput = "tanh"\n')
    assert data.train.targets.ravel().tolist() == [-1, 1, 1, -1]


def test_digits_are_split_as_stated(tmp_path: Path) -> None:
    data = read(tmp_path, '[data]\ntask = "digits"\n')
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert (data.train.inputs.min(), data.train.inputs.max()) == (0, 1)
    assert (data.train.targets.sum(axis=1) == 1).all()
    again = read(tmp_path, '[data]\ntask = "digits"\n')
    assert again.digest == data.digest
    other = read(tmp_path, '[data]\ntask = "digits"\nsplit_seed = 3\n')
    assert other.digest != data.digest


def test_stratified_split_keeps_shares(tmp_path: Path) -> None:
    data = read(tmp_path, '[data]\ntask = "digits"\nstratify = true\ntest_fraction = 0.5\n')
    counts = np.bincount(data.test.labels), np.bincount(data.train.labels)
    assert (abs(counts[0] - counts[1]) <= 1).all()
    assert len(data.train) + len(data.test) == 1797


def test_validation_samples_come_out_of_the_training_part(tmp_path: Path) -> None:
    text = '[data]\ntask = "digits"\nvalidation_fraction = 0.2\n'
    spec = parse(text, tmp_path / "design.toml").data
    whole, kept = load(spec), load(spec, validate=True)
    assert whole.digest == read(tmp_path, '[data]\ntask = "digits"\n').digest, "the key alone changes nothing"
    assert (len(kept.train), len(kept.test), len(whole.test)) == (1149, 288, 360)

    def rows(samples: Samples) -> set[bytes]:
        return {row.tobytes() for row in samples.inputs}

    assert rows(kept.train) | rows(kept.test) == rows(whole.train)
    assert not (rows(kept.train) | rows(kept.test)) & rows(whole.test)
    assert not rows(kept.train) & rows(kept.test)
    assert kept.order.n_samples == 1149
    assert "1,149 to train, 288 to validate, the test samples left alone (seed 0)" in kept.source
    shares = load(parse(text + "stratify = true\n", tmp_path / "design.toml").data, validate=True)
    assert (abs(np.bincount(shares.test.labels) / np.bincount(shares.train.labels) - 0.25) < 0.02).all()


def test_validation_needs_samples(tmp_path: Path) -> None:
    spec = parse('[data]\ntask = "xor"\n', tmp_path / "design.toml").data
    with pytest.raises(Refusal, match=r"data\.validation_fraction = 0: nothing is kept for validation\. Write validation_fraction = 0\.2"):
        load(spec, validate=True)
    spec = parse('[data]\ntask = "xor"\nvalidation_fraction = 0.8\n', tmp_path / "design.toml").data
    with pytest.raises(Refusal, match=r"of 4 training samples none is left to train with"):
        load(spec, validate=True)


def test_random_fits_any_network(tmp_path: Path) -> None:
    data = read(tmp_path, "[network]\nlayers = [5, 7, 3]\n")
    assert data.train.inputs.shape == (256, 5)
    assert data.train.targets.shape == (256, 3)


def test_order_is_the_design_s(tmp_path: Path) -> None:
    shuffled = read(tmp_path, '[data]\ntask = "digits"\nshuffle_seed = 5\n').order
    assert (shuffled.n_samples, shuffled.shuffle, shuffled.seed) == (1437, True, 5)
    assert not read(tmp_path, '[data]\ntask = "xor"\nshuffle = false\n').order.shuffle


def test_limits_take_the_first(tmp_path: Path) -> None:
    data = read(tmp_path, '[data]\ntask = "digits"\ntrain_samples = 100\ntest_samples = 7\n')
    whole = read(tmp_path, '[data]\ntask = "digits"\n')
    assert (len(data.train), len(data.test)) == (100, 7)
    assert (data.train.inputs == whole.train.inputs[:100]).all()


# -- Values out of range ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["column", "range", "none"])
def test_values_beyond_the_models_are_refused(tmp_path: Path, scaling: str) -> None:
    (tmp_path / "d.csv").write_text("1,2,0\n3,-1e300,2\n")
    said = refused(tmp_path, CSV + f'scaling = "{scaling}"\n')
    assert re.search(r"data\.path: .*d\.csv: an input of line 2 is -1e\+300, beyond ±1e\+30\. Scale the values\.$", said)


def test_numbers_of_two_bytes_are_read_in_silence(tmp_path: Path) -> None:
    """The largest value that is taken has no float16, and numpy warned of it."""
    x = np.array([[0.5, -2.0], [6e4, 1.0], [0.25, 0.0], [1.0, 3.0]], dtype=np.float16)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(4) % 2)
    found = read(tmp_path, '[network]\nlayers = [2, 2]\n[data]\ntask = "npz"\npath = "d.npz"\ntest_fraction = 0\n')
    assert found.train.inputs.max() == 1.0


def test_targets_beyond_the_models_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((4, 2)), y=np.full((4, 3), 1e300))
    said = refused(tmp_path, '[network]\nlayers = [2, 3]\n[data]\ntask = "npz"\npath = "d.npz"\n')
    assert "a target of sample 1 is 1e+300, beyond ±1e+30" in said


@pytest.mark.parametrize("label", [2**64 - 1, 1e29, 2**62, 4096])
def test_labels_may_be_any_number(tmp_path: Path, label: float) -> None:
    np.savez(tmp_path / "d.npz", x=np.eye(2), y=np.array([label, 0], dtype=np.uint64 if isinstance(label, int) else float))
    data = read(tmp_path, '[network]\nlayers = [2, 3]\n[data]\ntask = "npz"\npath = "d.npz"\ntest_fraction = 0\n')
    assert data.train.labels.tolist() == [1, 0]
    assert data.kind.classes[0] == "0" and float(data.kind.classes[1]) == float(label)


def test_more_classes_than_a_layer_has_neurons_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((5000, 2)), y=np.arange(5000))
    said = refused(tmp_path, '[network]\nlayers = [2, 3]\n[data]\ntask = "npz"\npath = "d.npz"\n')
    assert "has 5,000 classes (0, 1, 2, 3, 4, 5, …), the network tells apart 3. There are at most 4096 classes." in said


# -- csv --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["1,2,0\n3,4,2\n", "a,b,c\n1,2,0\n\n3,4,2\n", "1;2;0\n3;4;2", '"1","2","0"\r\n3,4,2\r\n', "\ufeffa\tb\tc\n1\t2\t0\n3\t4\t2\n"]
)
def test_csv_in_its_forms(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.csv").write_text(text, encoding="utf-8", newline="")
    data = read(tmp_path, CSV)
    assert data.train.inputs.tolist() == [[0, 0], [1, 1]]
    assert data.train.targets.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_csv_label_by_name_and_number(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("kind,a,b\n2,5,6\n1,7,8\n")
    for label in ('"kind"', "0", "-3"):
        data = read(tmp_path, f'{CSV}label = {label}\nscaling = "none"\n[formats]\ninput = "SQ8.4"\n')
        assert data.train.inputs.tolist() == [[5, 6], [7, 8]]
        assert data.train.labels.tolist() == [2, 1]


CSV_REFUSED = [
    ("1,2,0\n3,,2\n", r".*d\.csv: line 2, column 1: the value is missing\. Fill it in, .*"),
    ("a,b,kind\n1,2,0\n3,x,2\n", r'.*d\.csv: line 3, column 1 \("b"\): the value is not a number: "x"\. .*'),
    ("1,2,0\n3,4\n", r".*d\.csv: line 1 has 3 cells, the other lines 2\. .*"),
    ("1,2,0\n3,4,3\n5,6,7\n8,9,9\n", r".* has 4 classes \(0, 3, 7, 9\), the network tells apart 3\. End network\.layers with 4\. .*"),
    (
        "1,2,0\n3,4,1.5\n",
        r".*d\.csv has 1 target per sample \(a regression, since the answers are not whole numbers\), the network 3 outputs\. .*",
    ),
    ("", r".*d\.csv: it holds no samples\. .*"),
    ("a,b,c\n", r".*d\.csv: it holds a header and no samples\. .*"),
    ("1\n2\n", r".*d\.csv: it has one column\. .*"),
    ("1,2,3,0\n", r".*a\.toml: network\.layers: .*d\.csv has 3 inputs per sample, the network 2\. Begin network\.layers with 3\."),
]
"""Contents of a file, and the pattern of its refusal; :mod:`tests.mgd_hw.data.test_csv` tests the reader itself."""


@pytest.mark.parametrize(("text", "message"), CSV_REFUSED, ids=[str(n) for n in range(len(CSV_REFUSED))])
def test_csv_refused_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    said = refused(tmp_path, CSV)
    assert re.fullmatch(message, said), said


def test_a_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    assert re.fullmatch(r'.*a\.toml: data\.path = ".*": there is no such file\. .*', refused(tmp_path, CSV))
    (tmp_path / "d.csv").mkdir()
    assert "it is a directory" in refused(tmp_path, CSV)
    (tmp_path / "d.csv").rmdir()
    (tmp_path / "d.csv").write_bytes(b"1,2,0\n\xff\xfe,4,1\n")
    assert re.fullmatch(r".*d\.csv: line 2 is not UTF-8 text\. .*", refused(tmp_path, CSV))
    (tmp_path / "d.csv").write_bytes(b"1,2,0\n1\0,4,1\n")
    assert ".csv: line 2" in refused(tmp_path, CSV)
    (tmp_path / "d.csv").write_text("a,b,c\n1,2,0\n")
    assert re.fullmatch(
        r'.*data\.label = "z": .*d\.csv has no column of this name\. Its columns are a, b, c\.',
        refused(tmp_path, CSV + 'label = "z"\n'),
    )
    assert re.fullmatch(r".*data\.label = 3: .*d\.csv has 3 columns\. .*", refused(tmp_path, CSV + "label = 3\n"))
    (tmp_path / "d.csv").write_text("1,2,0\n")
    assert "has no header line" in refused(tmp_path, CSV + 'label = "z"\n')
    assert "none is left to train with" in refused(tmp_path, CSV.replace("test_fraction = 0", "test_fraction = 0.9"))


# -- Scaling ----------------------------------------------------------------------------------------------------------


def test_scaling(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("0,10,0\n2,30,1\n1,50,2\n")
    by_column = read(tmp_path, CSV).train.inputs
    assert by_column.tolist() == [[0, 0], [1, 0.5], [0.5, 1]]
    by_range = read(tmp_path, CSV + 'scaling = "range"\n').train.inputs
    assert np.allclose(by_range, np.array([[0, 10], [2, 30], [1, 50]]) / 50)
    untouched = read(tmp_path, CSV + 'scaling = "none"\n').train.inputs
    assert untouched.tolist() == [[0, 10], [2, 30], [1, 50]]


def test_scale_comes_from_the_training_samples_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([[0.0], [1.0], [9.0]]), y=np.array([0, 1, 1]), n_train=2)
    data = read(tmp_path, '[network]\nlayers = [1, 2]\n[data]\npath = "d.npz"\n')
    assert data.train.inputs.ravel().tolist() == [0, 1]
    assert data.test.inputs.ravel().tolist() == [1]
    assert "1 of 1 inputs of the judged samples lies outside the range of training, and is cut off there." in data.summary.warnings


def test_constant_column_becomes_zero(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("5,1,0\n5,2,1\n")
    assert read(tmp_path, CSV).train.inputs[:, 0].tolist() == [0, 0]


# -- npz --------------------------------------------------------------------------------------------------------------


def test_npz_in_its_forms(tmp_path: Path) -> None:
    x, y = np.arange(24).reshape(6, 2, 2).astype(np.uint8), np.array([0, 1, 2, 0, 1, 2])
    np.savez(tmp_path / "d.npz", x=x, y=y, n_train=4)
    data = read(tmp_path, NPZ + 'scaling = "range"\n')
    assert (len(data.train), len(data.test)) == (4, 2)
    assert np.allclose(data.train.inputs, x[:4].reshape(4, 4) / 255)
    np.savez(tmp_path / "d.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    assert read(tmp_path, NPZ + 'scaling = "range"\n').digest == data.digest
    np.savez(tmp_path / "d.npz", x=x.astype(float), y=np.eye(3)[y] * 0.5)
    assert read(tmp_path, NPZ + 'test_fraction = 0\ntarget_scaling = "none"\n').train.targets.max() == 0.5


NAMES = [
    ("X_train", "y_train", "X_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("training_images", "training_labels", "test_images", "test_labels"),
]


@pytest.mark.parametrize("names", NAMES, ids=[names[0] for names in NAMES])
def test_npz_under_the_names_of_public_sets(tmp_path: Path, names: tuple[str, ...]) -> None:
    x, y = np.arange(24).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])
    np.savez(tmp_path / "d.npz", **dict(zip(names, (x[:4], y[:4, None], x[4:], y[4:, None]), strict=True)))  # type: ignore[arg-type]
    data = read(tmp_path, NPZ)
    assert (len(data.train), len(data.test)) == (4, 2)
    assert data.train.labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("names", [("X", "y"), ("images", "labels"), ("data", "target"), ("data", "labels")])
def test_npz_without_a_split(tmp_path: Path, names: tuple[str, str]) -> None:
    np.savez(tmp_path / "d.npz", **{names[0]: np.arange(40).reshape(10, 4), names[1]: np.arange(10) % 3, "notes": np.zeros(3)})  # type: ignore[arg-type]
    data = read(tmp_path, NPZ)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert "d.npz holds arrays that are not used: notes." in data.summary.warnings


def test_npz_with_samples_under_two_names_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 4)), y=np.zeros(3), images=np.ones((3, 4)), labels=np.zeros(3))
    assert "it has samples under several names: x, images" in refused(tmp_path, NPZ)


def test_what_looks_wrong_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((20, 4))
    x[:, 2] = 5.0
    x[17] = x[3]
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(20) % 2, n_train=15)
    assert list(read(tmp_path, NPZ).summary.warnings) == [
        "Class 2: there is no sample at all.",
        "Input number 2: the same in every training sample, so nothing can be learned from it.",
        *[warning for warning in read(tmp_path, NPZ).summary.warnings if "cut off" in warning],
        "1 of 5 judged samples has the same inputs as a training sample.",
    ]


NPZ_REFUSED = [
    ({"x": np.zeros((3, 4))}, r"it lacks the arrays x and y; it has x\. .*"),
    ({"x": np.zeros((3, 4)), "y": np.zeros(2, int)}, r"x has 3 samples, y 2\. .*"),
    ({"x": np.zeros((4, 4)), "y": np.array([0, 1, 3, 7])}, r".* has 4 classes \(0, 1, 3, 7\), the network tells apart 3\. .*"),
    ({"x": np.zeros((3, 4)), "y": np.array([0, 0.5, 1])}, r".* has 1 target per sample \(a regression, .*"),
    ({"x": np.zeros((3, 4)), "y": np.array([b"\xff", b"a", b"b"])}, r"y holds bytes that are not UTF-8 text\. .*"),
    ({"x": np.zeros((3, 4)), "y": np.array([1j, 2, 3])}, r"y holds complex128, not numbers or text\. .*"),
    ({"x": np.array([[0, np.nan, 0, 0]]), "y": np.array([0])}, r"x has a value that is missing or infinite in sample 1\. .*"),
    ({"x": np.array([["a"] * 4]), "y": np.array([0])}, r"x holds <U1, not numbers\. .*"),
    ({"x": np.array([[None] * 4]), "y": np.array([0])}, r"it cannot be read as npz \(Object arrays cannot be loaded.*"),
    ({"x": np.zeros((0, 4)), "y": np.zeros(0, int)}, r"x is empty: its shape is \(0, 4\)\. .*"),
    ({"x": np.float64(3), "y": np.zeros(1, int)}, r"x is empty: its shape is \(\)\. .*"),
    ({"x": np.zeros((3, 4)), "y": np.zeros(3, int), "n_train": 3}, r"n_train = 3 must be from 1 to 2\. .*"),
    ({"x": np.zeros((3, 4)), "y": np.zeros(3, int), "n_train": 1.5}, r"n_train must be one whole number\. .*"),
    ({"x": np.zeros((3, 4)), "y": np.zeros((3, 2))}, r".* has 2 targets per sample \(.*\), the network 3 outputs\. .*"),
    ({"x": np.zeros((3, 5)), "y": np.zeros(3, int)}, r".* has 5 inputs per sample, the network 4\. .*"),
]


@pytest.mark.parametrize(("arrays", "message"), NPZ_REFUSED, ids=[str(n) for n in range(len(NPZ_REFUSED))])
def test_npz_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    said = refused(tmp_path, NPZ)
    assert re.fullmatch(rf".*(d\.npz|a\.toml)(: [a-z.]+( = \S+)?)?: {message}", said), said


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", b"just text"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    assert re.fullmatch(r".*d\.npz: it cannot be read as npz \(.*\)\. .*", refused(tmp_path, NPZ))


def test_npz_torn_in_the_middle(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.random.default_rng(1).random((90, 4)), y=np.zeros(90, int))
    content = bytearray((tmp_path / "d.npz").read_bytes())
    content[200:300] = bytes(100)
    (tmp_path / "d.npz").write_bytes(content)
    assert re.fullmatch(r".*d\.npz: it cannot be read as npz \(.*\)\. .*", refused(tmp_path, NPZ))


# -- The MNIST family -------------------------------------------------------------------------------------------------

MNIST = '[data]\ntask = "mnist"\n'


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_idx_files_are_found(tmp_path: Path, folder: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images(tmp_path / "data" / folder, packed=packed)
    monkeypatch.setenv("MGD_DATA", str(tmp_path / "data"))
    data = read(tmp_path, MNIST)
    assert (len(data.train), len(data.test)) == (30, 10)
    assert np.allclose(data.train.inputs, x[:30].reshape(30, -1) / 255)
    assert data.test.labels.tolist() == y[30:].tolist()


def test_npz_of_the_family_is_found(tmp_path: Path) -> None:
    x = np.zeros((20, 28, 28), np.uint8)
    np.savez(tmp_path / "fashion_mnist.npz", x=x, y=np.zeros(20, np.uint8), n_train=15)
    data = read(tmp_path, '[data]\ntask = "fashion-mnist"\npath = "."\n')
    assert (len(data.train), len(data.test)) == (15, 5)
    assert len(read(tmp_path, '[data]\ntask = "mnist"\npath = "fashion_mnist.npz"\n').train) == 15


def test_idx_of_any_size(tmp_path: Path) -> None:
    images(tmp_path / "d", size=3)
    data = read(tmp_path, '[network]\nlayers = [9, 10]\n[data]\ntask = "idx"\npath = "d"\n')
    assert data.train.inputs.shape == (30, 9)


def test_idx_without_test_files_is_split(tmp_path: Path) -> None:
    images(tmp_path / "d", size=3)
    for name in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        (tmp_path / "d" / f"t10k-{name}").unlink()
    data = read(tmp_path, '[network]\nlayers = [9, 10]\n[data]\ntask = "idx"\npath = "d"\n')
    assert (len(data.train), len(data.test)) == (24, 6)


def test_missing_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MGD_DATA", raising=False)
    way_out = r"Put mnist\.npz .* into a folder, and name it with data\.path or the environment variable MGD_DATA\."
    assert re.fullmatch(
        rf'.*a\.toml: data\.task = "mnist": the images of mnist are not shipped, and neither .*\. {way_out}', refused(tmp_path, MNIST)
    )
    monkeypatch.setenv("MGD_DATA", str(tmp_path / "none"))
    assert re.fullmatch(rf'.*: MGD_DATA = ".*none": there is no such folder\. {way_out}', refused(tmp_path, MNIST))
    monkeypatch.setenv("MGD_DATA", str(tmp_path))
    assert re.fullmatch(rf'.*: MGD_DATA = ".*": the folder has neither mnist\.npz nor train-.*\. {way_out}', refused(tmp_path, MNIST))


def test_idx_files_that_are_torn(tmp_path: Path) -> None:
    text = '[data]\ntask = "mnist"\npath = "d"\n'
    images(tmp_path / "d")
    pixels, labels = tmp_path / "d" / "train-images-idx3-ubyte", tmp_path / "d" / "train-labels-idx1-ubyte"
    whole = pixels.read_bytes()
    pixels.write_bytes(whole[:-1])
    assert re.fullmatch(
        r".*ubyte: it holds 23,519 bytes of data where its head says 30 × 28 × 28\. Fetch the file again\.", refused(tmp_path, text)
    )
    pixels.write_bytes(b"\0\0\x0d" + whole[3:])
    assert re.fullmatch(r".*ubyte: it is not an IDX file of bytes with 3 dimensions\. .*", refused(tmp_path, text))
    pixels.write_bytes(whole)
    labels.write_bytes(idx(np.zeros(29)))
    assert re.fullmatch(r".*: 29 labels for 30 images\. .*", refused(tmp_path, text))
    labels.write_bytes(idx(np.full(30, 11)))
    assert "the label of sample 1 is 11" in refused(tmp_path, text)
    labels.unlink()
    assert re.fullmatch(r".*d: it lacks train-labels-idx1-ubyte\. .*", refused(tmp_path, text))
    labels.with_suffix(".gz").write_bytes(b"\x1f\x8b torn")
    (tmp_path / "d" / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b torn")
    assert re.fullmatch(r".*ubyte\.gz: it cannot be read \(.*\)\. .*", refused(tmp_path, text))
