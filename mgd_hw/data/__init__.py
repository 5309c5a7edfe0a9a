"""What a design learns: a generated task, scikit-learn's digits, the MNIST family, or the user's own csv, npz or IDX files.

Everything ends up as :class:`~python_ref.datasets.Samples`: inputs scaled to [0, 1] unless the file says otherwise, and
targets, one-hot for classes.
"""

from __future__ import annotations

import csv
import enum
import gzip
import hashlib
import math
import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.errors import ToolError, UserError, shown
from python_ref.datasets import SampleOrder, Samples, nist7x7, parity

__all__ = ["TASKS", "Data", "DataSpec", "Scaling", "Task", "csv_shape", "load"]

LARGEST_DATA = 4 << 30
"""Bytes of the largest data file that is read."""
MAX_CLASSES = 4096
"""Most classes of a file."""
LARGEST_VALUE = 1e30
"""Largest size of an input or target: the models hold them as float32."""
RANDOM_SAMPLES = 256
"""Samples of the task ``random``."""


class Scaling(enum.Enum):
    """How inputs come to lie in [0, 1]."""

    RANGE = "range"
    """One range for all inputs: that of the task, or of all training inputs together."""
    COLUMN = "column"
    """Each input by its own range over the training samples; what lies outside in the test samples is cut off."""
    NONE = "none"
    """Not at all."""


@dataclass(frozen=True)
class Task:
    """What is known of a task before its samples are.

    Attributes
    ----------
    inputs : int or None
        Inputs it has; None: whatever the network or the file has.
    outputs : tuple of int
        Outputs a network may have; empty: any.
    layers : tuple of int or None
        The network when the file gives none.
    scaling : Scaling
        Default.
    test_fraction : float or None
        Default; None: the file's own split, or 0.2 if it has none.
    needs_path, takes_path : bool
        Whether ``data.path`` must be, or may be, given.
    """

    inputs: int | None = None
    outputs: tuple[int, ...] = ()
    layers: tuple[int, ...] | None = None
    scaling: Scaling = Scaling.RANGE
    test_fraction: float | None = 0.0
    needs_path: bool = False
    takes_path: bool = False


TASKS = {
    "xor": Task(2, (1, 2), (2, 4, 1)),
    "parity": Task(None, (1, 2), (4, 8, 1)),
    "nist7x7": Task(49, (4,), (49, 4, 4)),
    "digits": Task(64, (10,), (64, 32, 10), test_fraction=0.2),
    "mnist": Task(784, (10,), (784, 32, 10), test_fraction=None, takes_path=True),
    "fashion-mnist": Task(784, (10,), (784, 32, 10), test_fraction=None, takes_path=True),
    "cifar-10": Task(3072, (10,), (3072, 32, 10), test_fraction=None, takes_path=True),
    "idx": Task(test_fraction=None, needs_path=True, takes_path=True),
    "csv": Task(scaling=Scaling.COLUMN, test_fraction=0.2, needs_path=True, takes_path=True),
    "npz": Task(scaling=Scaling.COLUMN, test_fraction=None, needs_path=True, takes_path=True),
    "random": Task(),
}
"""The tasks by the name they have in a design file."""


@dataclass(frozen=True)
class DataSpec:
    """The section [data] of a design file, with everything left out filled in.

    Attributes
    ----------
    task : str
        One of :data:`TASKS`.
    n_in, n_out : int
        Of the network.
    design_file : Path
        For messages.
    path : Path or None
        The user's file or folder.
    label : str or int
        Column of the labels, csv only.
    scaling : Scaling
        Of the inputs.
    target_values : tuple of float
        Target of the wrong classes and of the right one.
    test_fraction : float or None
        Part of the samples kept for testing; 0 tests on the training samples; None is the file's own split.
    validation_fraction : float
        Part of the training samples that is kept for choosing settings when :func:`load` is asked to.
    split_seed : int
        Of the choice of test and validation samples.
    stratify : bool
        Whether each class keeps its share.
    train_samples, test_samples : int or None
        Use only so many.
    shuffle : bool
        Whether every epoch has its own order.
    shuffle_seed : int
        Of that order.
    """

    task: str
    n_in: int
    n_out: int
    design_file: Path = Path("design.toml")
    path: Path | None = None
    label: str | int = -1
    scaling: Scaling = Scaling.RANGE
    target_values: tuple[float, float] = (0.0, 1.0)
    test_fraction: float | None = 0.0
    validation_fraction: float = 0.0
    split_seed: int = 0
    stratify: bool = False
    train_samples: int | None = None
    test_samples: int | None = None
    shuffle: bool = True
    shuffle_seed: int = 1

    @property
    def classes(self) -> int:
        """Classes that the network tells apart; two with one output."""
        return max(2, self.n_out)

    def wrong(self, reason: str, remedy: str, key: str = "data.path", value: object = None) -> UserError:
        """A complaint about a key of the design file."""
        return UserError(reason, remedy, file=self.design_file, key=key, value=value)


@dataclass(frozen=True)
class Data:
    """Samples, ready to train with.

    Attributes
    ----------
    train, test : Samples
        To train with, and to judge by: the test samples, or those kept for validation. The same if nothing was kept.
    order : SampleOrder
        How training visits its part.
    source : str
        Where they come from and how they were split, in a sentence.
    """

    train: Samples
    test: Samples
    order: SampleOrder
    source: str

    @property
    def digest(self) -> str:
        """First 64 bits of SHA-256 of the samples and their order, as 16 hexadecimal digits."""
        sha = hashlib.sha256(repr(self.order).encode())
        for samples in (self.train, self.test):
            for table in (samples.inputs, samples.targets):
                sha.update(f"{table.dtype.str}{table.shape}".encode() + table.tobytes())
        return sha.hexdigest()[:16]


@dataclass(frozen=True)
class _Raw:
    """Samples as they came: inputs (n, n_in), and either labels (n,) or real targets (n, n_out)."""

    inputs: np.ndarray
    answers: np.ndarray
    source: str
    n_train: int | None = None
    full_scale: tuple[float, float] | None = None
    where: str = ""


def load(spec: DataSpec, *, validate: bool = False) -> Data:
    """Read or generate the samples of a design.

    Parameters
    ----------
    spec : DataSpec
        What the design file says of them.
    validate : bool
        Whether to judge by samples taken out of the training part, so that settings can be chosen without a look at the
        test samples. Otherwise they are trained with.

    Raises
    ------
    UserError
        If they are not there, or are not what the design says.
    """
    raw = _SOURCES[spec.task](spec)
    if not len(raw.inputs):
        raise spec.wrong("it holds no samples", "Give a file with samples.", value=raw.where)
    if raw.inputs.shape[1] != spec.n_in:
        raise spec.wrong(
            f"{raw.where or spec.task} has {raw.inputs.shape[1]} inputs per sample, the network {spec.n_in}",
            f"Begin network.layers with {raw.inputs.shape[1]}.",
            key="network.layers",
        )
    for name, table in (("an input", raw.inputs), ("a target", raw.answers)):
        beyond = np.argwhere(np.abs(table.astype(np.float64)) > LARGEST_VALUE)
        if len(beyond):
            value = float(table[tuple(beyond[0])])
            reason = f"{raw.where}: {name} of sample {beyond[0][0] + 1} is {value:g}, beyond ±{LARGEST_VALUE:g}"
            raise spec.wrong(reason, "Scale the values.")
    targets = _targets(spec, raw)
    train, test, split = _split(spec, raw)
    if validate:
        train, test, purpose = *_validation(spec, raw, train), "to validate, the test samples left alone"
    else:
        purpose = "to test"
    if spec.train_samples is not None:
        train = train[: spec.train_samples]
    if spec.test_samples is not None:
        test = test[: spec.test_samples]
    inputs = _scaled(spec, raw, train)
    parts = [Samples(inputs[part], targets[part]) for part in (train, test)]
    order = SampleOrder(len(parts[0]), spec.shuffle, spec.shuffle_seed)
    return Data(parts[0], parts[1], order, f"{raw.source}; {len(train):,} to train, {len(test):,} {purpose} ({split})")


# -- From raw samples to ours -----------------------------------------------------------------------------------------


def _targets(spec: DataSpec, raw: _Raw) -> np.ndarray:
    """Targets (n, n_out): one-hot, 0 or 1 for one output, or the file's own real ones."""
    low, high = spec.target_values
    if raw.answers.ndim == 2:
        if raw.answers.shape[1] != spec.n_out:
            raise spec.wrong(
                f"{raw.where} has {raw.answers.shape[1]} targets per sample, the network {spec.n_out} outputs",
                f"End network.layers with {raw.answers.shape[1]}.",
                key="network.layers",
            )
        return raw.answers.astype(np.float64)
    outside = (raw.answers < 0) | (raw.answers >= spec.classes)
    if outside.any():
        number = int(np.flatnonzero(outside)[0])
        raise spec.wrong(
            f"{raw.where}: the label of sample {number + 1} is {int(raw.answers[number])}, the network tells apart 0 to {spec.classes - 1}",
            f"Count labels from 0, or end network.layers with at least {max(2, int(raw.answers.max()) + 1)}.",
        )
    labels = raw.answers.astype(np.int64)
    hot = labels[:, None].astype(np.float64) if spec.n_out == 1 else np.eye(spec.n_out)[labels]
    return low + (high - low) * hot


def _split(spec: DataSpec, raw: _Raw) -> tuple[np.ndarray, np.ndarray, str]:
    """Indices of the training and of the test samples, and how they were chosen."""
    n, fraction = len(raw.inputs), spec.test_fraction
    if fraction is None and raw.n_train is not None:
        return np.arange(raw.n_train), np.arange(raw.n_train, n), "the file's own split"
    fraction = 0.2 if fraction is None else fraction
    everything = np.random.default_rng(spec.split_seed).permutation(n)
    if fraction == 0:
        return np.arange(n), np.arange(n), "testing on what was trained"
    test = _share(spec, raw, everything, fraction)
    train = everything[~np.isin(everything, test)]
    if not len(train):
        raise spec.wrong(f"of {n} samples none is left to train with", "Take a smaller fraction.", "data.test_fraction", spec.test_fraction)
    return train, test, f"seed {spec.split_seed}" + (", stratified" if spec.stratify else "")


def _validation(spec: DataSpec, raw: _Raw, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training indices without those kept for validation, and these."""
    key = "data.validation_fraction"
    if spec.validation_fraction == 0:
        raise spec.wrong("nothing is kept for validation", "Write validation_fraction = 0.2, say, in [data].", key, 0)
    shuffled = np.random.default_rng([spec.split_seed, 1]).permutation(train)
    kept = _share(spec, raw, shuffled, spec.validation_fraction)
    rest = train[~np.isin(train, kept)]
    if not len(rest):
        reason = f"of {len(train)} training samples none is left to train with"
        raise spec.wrong(reason, "Take a smaller fraction.", key, spec.validation_fraction)
    return rest, kept


def _share(spec: DataSpec, raw: _Raw, shuffled: np.ndarray, fraction: float) -> np.ndarray:
    """The first part of shuffled indices, or where the design wants it the first of every class."""
    if not spec.stratify or raw.answers.ndim != 1:
        return shuffled[: math.ceil(fraction * len(shuffled))]
    labels = raw.answers[shuffled]
    groups = (shuffled[labels == label] for label in np.unique(labels))
    chosen = np.concatenate([group[: math.ceil(fraction * len(group))] for group in groups])
    return shuffled[np.isin(shuffled, chosen)]


def _scaled(spec: DataSpec, raw: _Raw, train: np.ndarray) -> np.ndarray:
    """Inputs (n, n_in, float64), scaled by what is known of the task or by the training samples."""
    inputs = raw.inputs.astype(np.float64)
    if spec.scaling is Scaling.NONE:
        return inputs
    if spec.scaling is Scaling.COLUMN:
        low, high = inputs[train].min(axis=0), inputs[train].max(axis=0)
    else:
        low, high = (np.float64(end) for end in raw.full_scale or (inputs[train].min(), inputs[train].max()))
    return np.clip((inputs - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)


# -- Generated tasks and digits ---------------------------------------------------------------------------------------


def _generated(spec: DataSpec) -> _Raw:
    if spec.task == "nist7x7":
        samples, source = nist7x7(), "the letters N, I, S, T on 7×7 pixels, up to two flipped"
    else:
        samples, source = parity(spec.n_in), f"all {1 << spec.n_in} patterns of {spec.n_in} bits"
    return _Raw(samples.inputs, samples.labels, source, full_scale=(0, 1))


def _random(spec: DataSpec) -> _Raw:
    generator = np.random.default_rng(spec.split_seed)
    inputs = generator.random((RANDOM_SAMPLES, spec.n_in))
    return _Raw(inputs, generator.integers(spec.classes, size=RANDOM_SAMPLES), "random numbers with random labels", full_scale=(0, 1))


def _digits(spec: DataSpec) -> _Raw:
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise ToolError(
            "scikit-learn, which ships the digits, is not installed", "Run `pip install scikit-learn`.", file=spec.design_file
        ) from None
    inputs, labels = load_digits(return_X_y=True)
    return _Raw(inputs, labels, "scikit-learn's digits, 8×8 pixels", full_scale=(0, 16))


# -- Files ------------------------------------------------------------------------------------------------------------


def _readable(spec: DataSpec) -> Path:
    """The user's file, known to be one."""
    path = spec.path
    assert path is not None
    try:
        if path.is_dir():
            raise spec.wrong("it is a directory", "Give the path of a file.", value=str(path))
        if not path.is_file():
            raise spec.wrong("there is no such file", "Paths begin at the folder of the design file.", value=str(path))
        size = path.stat().st_size
    except OSError as error:
        raise spec.wrong(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", value=str(path)) from None
    except ValueError:
        raise spec.wrong("it is not a path", "Give the path of a file.", value=str(path)) from None
    if size > LARGEST_DATA:
        raise spec.wrong(f"it has {size:,} bytes, more than {LARGEST_DATA:,}", "Give a smaller file.", value=str(path))
    return path


def _csv(spec: DataSpec) -> _Raw:
    path = _readable(spec)
    rows, header = _csv_rows(path)
    table = np.array([row for _, row in rows])
    column = _csv_label(spec, path, header, table.shape[1])
    answers = table[:, column]
    wrong = (answers != np.floor(answers)) | (answers < 0) | (answers >= spec.classes)
    if wrong.any():
        number = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"line {rows[number][0]}, {_column_name(header, column)}: the label {answers[number]:g} is not one of 0 to {spec.classes - 1}",
            f"Count labels from 0 in whole numbers; the network tells apart {spec.classes} classes (network.layers).",
            file=path,
        )
    inputs = np.delete(table, column, axis=1)
    return _Raw(inputs, answers.astype(np.int64), f"{path.name}, {len(rows):,} rows", where=str(path))


def csv_shape(path: Path) -> tuple[int, int]:
    """Inputs and classes of a csv file whose last column is the label.

    Raises
    ------
    UserError
        If it is not such a file.
    """
    rows, header = _csv_rows(_readable(DataSpec("csv", 1, 1, Path("--data"), path)))
    labels = [row[-1] for _, row in rows]
    for (line, _), label in zip(rows, labels, strict=True):
        if label != math.floor(label) or not 0 <= label < MAX_CLASSES:
            place = f"line {line}, {_column_name(header, len(rows[0][1]) - 1)}"
            raise UserError(f"{place}: the label {label:g} is not a whole number from 0", "Put the class last, counted from 0.", file=path)
    return len(rows[0][1]) - 1, max(2, int(max(labels)) + 1)


def _column_name(header: list[str] | None, column: int) -> str:
    return f"column {column + 1}" + (f" ({shown(header[column])})" if header else "")


def _csv_label(spec: DataSpec, path: Path, header: list[str] | None, columns: int) -> int:
    """Index of the column of the labels."""
    label = spec.label
    if isinstance(label, int):
        if not -columns <= label < columns:
            raise spec.wrong(f"{path} has {columns} columns", "Columns count from 0; -1 is the last.", "data.label", label)
        return label % columns
    if header is None:
        raise spec.wrong(f"{path} has no header line", "Give the number of the column, from 0.", "data.label", label)
    if header.count(label) != 1:
        listed = ", ".join(header[:12]) + (", …" if len(header) > 12 else "")
        count = "twice" if label in header else "not"
        raise spec.wrong(
            f"{path} does {count} have a column of this name" if count == "not" else f"{path} has it more than once",
            f"Its columns are {listed}.",
            "data.label",
            label,
        )
    return header.index(label)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if "_" not in cell else None


def _csv_rows(path: Path) -> tuple[list[tuple[int, list[float]]], list[str] | None]:
    """Rows of numbers with the line each stands in, and the header, if there is one."""

    def wrong(line: int, reason: str, remedy: str) -> UserError:
        return UserError(f"line {line}{reason}", remedy, file=path)

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(error.object[: error.start].count(b"\n") + 1, " is not UTF-8 text", "Save the file as UTF-8.") from None
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror})", "Check its permissions.", file=path) from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    rows: list[tuple[int, list[float]]] = []
    header: list[str] | None = None
    width = None
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if width is None:
                width = len(cells)
                if all(_number(cell) is None for cell in cells):
                    header = [cell.strip() for cell in cells]
                    continue
            if len(cells) != width:
                raise wrong(line, f" has {len(cells)} columns, the first line {width}", "Give every line the same number of columns.")
            row = []
            for column, cell in enumerate(cells):
                value = _number(cell)
                if value is None or not math.isfinite(value):
                    reason = "is missing" if not cell.strip() else f"is not a number: {shown(cell)}"
                    raise wrong(line, f", {_column_name(header, column)}: the value {reason}", "Fill it in, or remove the line.")
                row.append(value)
            rows.append((line, row))
    except csv.Error as error:
        raise wrong(reader.line_num, f" is not csv: {error}", "Mend the line.") from None
    if not rows:
        raise UserError("it holds no rows of numbers", "Give one line per sample: its inputs and its label.", file=path)
    if width == 1:
        raise UserError("it has one column", "Give the inputs and the label of a sample in one line, with commas between.", file=path)
    return rows, header


_NPZ_FORM = (
    "Give x (n, inputs) and y (n) of labels or (n, outputs) of targets, n_train if the first so many are for training; "
    "or x_train, y_train, x_test, y_test."
)


def _npz(spec: DataSpec) -> _Raw:
    return _read_npz(_readable(spec))


def _read_npz(path: Path) -> _Raw:
    def wrong(reason: str) -> UserError:
        return UserError(reason, _NPZ_FORM, file=path)

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_DATA:
                raise wrong(f"it unpacks to more than {LARGEST_DATA:,} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if name in ("x", "y", "n_train", "x_train", "y_train", "x_test", "y_test")}
            names = ", ".join(arrays.files[:10])
    except (
        OSError,
        ValueError,
        zipfile.BadZipFile,
        EOFError,
        KeyError,
        zlib.error,
        NotImplementedError,
        MemoryError,
        RuntimeError,
    ) as error:
        raise wrong(f"it cannot be read as npz ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    n_train: int | None = None
    if {"x_train", "y_train"} <= found.keys():
        parts = [("x_train", "y_train")] + [("x_test", "y_test")] * ({"x_test", "y_test"} <= found.keys())
        n_train = len(np.atleast_1d(found["x_train"])) if len(parts) == 2 else None
    elif {"x", "y"} <= found.keys():
        parts = [("x", "y")]
        if "n_train" in found:
            count = found["n_train"]
            if count.size != 1 or count.dtype.kind not in "iu":
                raise wrong("n_train must be one whole number")
            n_train = int(count.reshape(()))
    else:
        raise wrong(f"it lacks the arrays x and y; it has {names or 'none'}")
    inputs, answers = zip(*(_npz_part(found[x], found[y], x, y, wrong) for x, y in parts), strict=True)
    if len({part.shape[1] for part in inputs}) > 1 or len({part.shape[1:] for part in answers}) > 1:
        raise wrong("training and test arrays have different widths")
    if n_train is not None and not 0 < n_train < sum(map(len, inputs)):
        raise wrong(f"n_train = {n_train} must be from 1 to {sum(map(len, inputs)) - 1}")
    x_name = parts[0][0]
    full_scale = (0.0, 255.0) if found[x_name].dtype == np.uint8 else None
    samples = np.concatenate(inputs)
    return _Raw(samples, np.concatenate(answers), f"{path.name}, {len(samples):,} samples", n_train, full_scale, str(path))


def _npz_part(x: np.ndarray, y: np.ndarray, x_name: str, y_name: str, wrong) -> tuple[np.ndarray, np.ndarray]:
    for name, array in ((x_name, x), (y_name, y)):
        if array.dtype.kind not in "biuf":
            raise wrong(f"{name} holds {array.dtype}, not numbers")
        if array.ndim < 1 or 0 in array.shape:
            raise wrong(f"{name} is empty: its shape is {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise wrong(f"{name} has a value that is missing or infinite in sample {row + 1}")
    if len(x) != len(y):
        raise wrong(f"{x_name} has {len(x)} samples, {y_name} {len(y)}")
    if y.ndim > 2:
        raise wrong(f"{y_name} has {y.ndim} dimensions")
    if y.ndim == 1 and (y != np.floor(y)).any():
        row = int(np.flatnonzero(y != np.floor(y))[0])
        raise wrong(f"{y_name}: the label of sample {row + 1} is {y[row]:g}, not a whole number")
    if y.ndim == 1 and (y.astype(np.float64) >= MAX_CLASSES).any():
        row = int(np.argmax(y.astype(np.float64) >= MAX_CLASSES))
        raise wrong(f"{y_name}: the label of sample {row + 1} is {y[row]:g}, and there are at most {MAX_CLASSES} classes")
    return x.reshape(len(x), -1), y.astype(np.int64) if y.ndim == 1 else y.astype(np.float64)


# -- The MNIST family -------------------------------------------------------------------------------------------------

_SOURCE_OF_IMAGES = (
    "Put mnist.npz (fashion_mnist.npz) or the four IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
    "t10k-labels-idx1-ubyte, each also as .gz; `mgd-hw fetch` downloads them) into a folder, and name it with data.path or the "
    "environment variable MGD_DATA."
)
_SOURCE_OF_CIFAR = (
    "Put cifar-10-binary.tar.gz, unpacked or not, or cifar_10.npz (`mgd-hw fetch` downloads the first) into a folder, and name it with "
    "data.path or the environment variable MGD_DATA."
)


def _fetched(task: str) -> Path | None:
    """Where `mgd-hw fetch` has put a data set, if it has."""
    from mgd_hw.download import SOURCES, cached

    if task not in SOURCES:
        return None
    try:
        place = cached(task)
    except ImportError:
        return None
    return place if all((place / name).is_file() for name in SOURCES[task].files) else None


def _images(spec: DataSpec) -> _Raw:
    """The MNIST family and CIFAR-10 from a folder or an npz file."""
    given, key = spec.path, "data.path"
    way_out = _SOURCE_OF_CIFAR if spec.task == "cifar-10" else _SOURCE_OF_IMAGES
    if given is None and os.environ.get("MGD_DATA", "").strip():
        given, key = Path(os.environ["MGD_DATA"]).expanduser(), "MGD_DATA"
    elif given is None:
        given = _fetched(spec.task)
        if given is None:
            reason = f"the images of {spec.task} are not shipped, and neither data.path nor MGD_DATA says where they are"
            raise spec.wrong(reason, way_out, "data.task", spec.task)
    try:
        if given.is_file():
            raw = _read_npz(given)
        elif given.is_dir():
            raw = _folder(spec, given, key)
        else:
            raise spec.wrong("there is no such folder", way_out, key, str(given))
    except OSError as error:
        raise spec.wrong(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", key, str(given)) from None
    return raw


def _folder(spec: DataSpec, folder: Path, key: str) -> _Raw:
    stem = spec.task.replace("-", "_")
    folders = [folder, folder / spec.task, folder / stem]
    folders += {"mnist": [folder / "MNIST" / "raw"], "fashion-mnist": [folder / "FashionMNIST" / "raw"]}.get(spec.task, [])
    names = [f"{stem}.npz", f"{spec.task}.npz"]
    for place in folders:
        for name in names:
            if (place / name).is_file():
                return _read_npz(place / name)
    if spec.task == "cifar-10":
        return _cifar(spec, folders, key)
    for place in folders:
        if _idx_file(place, "train", "images", 3):
            return _read_idx(place)
    raise spec.wrong(f"the folder has neither {names[0]} nor train-images-idx3-ubyte", _SOURCE_OF_IMAGES, key, str(folder))


def _idx_file(folder: Path, part: str, what: str, dimensions: int) -> Path | None:
    for dash in "-.":
        for ending in ("", ".gz"):
            path = folder / f"{part}-{what}{dash}idx{dimensions}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def _read_idx(folder: Path) -> _Raw:
    """The IDX files of a folder; without a test pair there is no split of its own."""
    images, labels = [], []
    for part in ("train", "t10k"):
        found = [_idx_file(folder, part, what, dimensions) for what, dimensions in (("images", 3), ("labels", 1))]
        if found == [None, None] and part == "t10k":
            continue
        for path, name in zip(found, ("images-idx3-ubyte", "labels-idx1-ubyte"), strict=True):
            if path is None:
                raise UserError(f"it lacks {part}-{name}", _SOURCE_OF_IMAGES, file=folder)
        x, y = _idx_array(found[0], 3), _idx_array(found[1], 1)  # type: ignore[arg-type]
        if len(x) != len(y):
            raise UserError(f"{len(y)} labels for {len(x)} images", "Fetch both files again.", file=found[1])
        images.append(x.reshape(len(x), -1))
        labels.append(y.astype(np.int64))
    if len({part.shape[1] for part in images}) > 1:
        raise UserError("training and test images differ in size", "Fetch the files again.", file=folder)
    n_train = len(images[0]) if len(images) == 2 else None
    samples = np.concatenate(images)
    return _Raw(samples, np.concatenate(labels), f"{len(samples):,} images of {folder.name}", n_train, (0.0, 255.0), str(folder))


def _idx_array(path: Path, dimensions: int) -> np.ndarray:
    """The bytes of an IDX file: magic 0, 0, 8 (unsigned byte), number of dimensions; sizes, big-endian; data."""

    def wrong(reason: str) -> UserError:
        return UserError(reason, "Fetch the file again.", file=path)

    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise wrong(f"it cannot be read ({error})") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, 8, dimensions]):
        raise wrong(f"it is not an IDX file of bytes with {dimensions} dimension{'s' * (dimensions > 1)}")
    sizes = tuple(int.from_bytes(content[4 + 4 * d : 8 + 4 * d], "big") for d in range(dimensions))
    if len(content) - head != math.prod(sizes) or not math.prod(sizes):
        raise wrong(f"it holds {len(content) - head:,} bytes of data where its head says {' × '.join(map(str, sizes))}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(sizes)


# -- CIFAR-10 ---------------------------------------------------------------------------------------------------------

_CIFAR_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_CIFAR_RECORD = 1 + 3 * 32 * 32
"""A label, then red, green and blue, each row by row."""


def _cifar(spec: DataSpec, folders: list[Path], key: str) -> _Raw:
    """The binary version of CIFAR-10, from its archive or unpacked; nothing is unpickled, and nothing unpacked on the disk."""
    for folder in folders:
        for place in (folder, folder / "cifar-10-batches-bin"):
            if all((place / name).is_file() for name in _CIFAR_FILES):
                return _cifar_records([(place / name).read_bytes() for name in _CIFAR_FILES], place)
        archive = folder / "cifar-10-binary.tar.gz"
        if archive.is_file():
            try:
                with tarfile.open(archive, "r:gz") as packed:
                    members = [packed.extractfile(f"cifar-10-batches-bin/{name}") for name in _CIFAR_FILES]
                    return _cifar_records([b"" if member is None else member.read() for member in members], archive)
            except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
                raise UserError(f"it cannot be read ({error})", "Fetch the file again.", file=archive) from None
    raise spec.wrong("the folder has neither cifar_10.npz nor cifar-10-binary.tar.gz", _SOURCE_OF_CIFAR, key, str(folders[0]))


def _cifar_records(contents: list[bytes], where: Path) -> _Raw:
    for name, content in zip(_CIFAR_FILES, contents, strict=True):
        if not content or len(content) % _CIFAR_RECORD:
            raise UserError(f"{name} has {len(content):,} bytes, not a multiple of {_CIFAR_RECORD:,}", "Fetch it again.", file=where)
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, _CIFAR_RECORD)
    n_train = len(records) - len(contents[-1]) // _CIFAR_RECORD
    source = f"{len(records):,} images of CIFAR-10"
    return _Raw(records[:, 1:], records[:, 0].astype(np.int64), source, n_train, (0.0, 255.0), str(where))


_SOURCES = {
    "xor": _generated,
    "parity": _generated,
    "nist7x7": _generated,
    "random": _random,
    "digits": _digits,
    "csv": _csv,
    "npz": _npz,
    "idx": _images,
    "mnist": _images,
    "fashion-mnist": _images,
    "cifar-10": _images,
}
