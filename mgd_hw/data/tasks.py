"""Tasks that a design can learn, and the section [data] of its design file: everything known before samples are read."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from python_ref.spec.error import Refusal

__all__ = ["KIND_NAMES", "LARGEST_DATA", "MAX_CLASSES", "TASKS", "DataSpec", "Label", "Scaling", "Task"]

LARGEST_DATA = 4 << 30
"""Size limit of a data file, in bytes."""
MAX_CLASSES = 4096
"""Largest number of classes, equal to the largest number of neurons in a layer."""
KIND_NAMES = ("classification", "regression")
"""Values of ``data.kind``: the names of the kinds in :mod:`mgd_hw.data.kinds`."""

Label = str | int | tuple[str | int, ...]
"""Value of ``data.label``: the name or number of a column, or a tuple of several."""


class Scaling(enum.Enum):
    """Scaling of values into the range that the number formats represent."""

    RANGE = "range"
    """Scale all values by one range: the full scale of the task, or the range of the training samples."""
    COLUMN = "column"
    """Scale each column by its own range over the training samples."""
    NONE = "none"
    """Use the values unchanged."""


@dataclass(frozen=True)
class Task:
    """Properties of a task that are known before its samples are read.

    Attributes
    ----------
    inputs : int or None
        Number of inputs; None if the network or the file determines it.
    outputs : tuple of int
        Permitted numbers of outputs of a network; empty if any number is permitted.
    layers : tuple of int or None
        Default of ``network.layers``; None if the design file must set it.
    scaling : Scaling
        Default of ``data.scaling``.
    test_fraction : float or None
        Default of ``data.test_fraction``; None takes the file's own split, or 0.2 if the file has none.
    needs_path, takes_path : bool
        Whether ``data.path`` is required, and whether it is permitted.
    any_answers : bool
        Whether the answers are whatever the user's file holds: classes of any name, or real numbers.
    series : bool
        Whether samples are series of frames by themselves, so that ``inputs`` are those of a frame.
    frames : int or None
        Number of frames of the longest series; None if the design file must set it.
    regression : bool
        Whether the answers of a generated task are real numbers.
    in_frames : bool
        Whether samples are generated as series of frames, which a network without frames takes at once.
    """

    inputs: int | None = None
    outputs: tuple[int, ...] = ()
    layers: tuple[int, ...] | None = None
    scaling: Scaling = Scaling.RANGE
    test_fraction: float | None = 0.0
    needs_path: bool = False
    takes_path: bool = False
    any_answers: bool = False
    series: bool = False
    frames: int | None = None
    regression: bool = False
    in_frames: bool = False


TASKS = {
    "xor": Task(2, (1, 2), (2, 4, 1)),
    "parity": Task(None, (1, 2), (4, 8, 1)),
    "nist7x7": Task(49, (4,), (49, 4, 4)),
    "digits": Task(64, (10,), (64, 32, 10), test_fraction=0.2),
    "mnist": Task(784, (10,), (784, 32, 10), test_fraction=None, takes_path=True),
    "fashion-mnist": Task(784, (10,), (784, 32, 10), test_fraction=None, takes_path=True),
    "cifar-10": Task(3072, (10,), (3072, 32, 10), test_fraction=None, takes_path=True),
    "idx": Task(test_fraction=None, needs_path=True, takes_path=True),
    "csv": Task(scaling=Scaling.COLUMN, test_fraction=0.2, needs_path=True, takes_path=True, any_answers=True),
    "npz": Task(scaling=Scaling.COLUMN, test_fraction=None, needs_path=True, takes_path=True, any_answers=True),
    "ts": Task(scaling=Scaling.COLUMN, test_fraction=None, needs_path=True, takes_path=True, any_answers=True, series=True),
    "vowels": Task(12, (9,), (12, 32, 9), scaling=Scaling.COLUMN, test_fraction=None, takes_path=True, series=True, frames=29),
    "random": Task(),
    "recall": Task(test_fraction=0.2, in_frames=True),
    "temporal-xor": Task(None, (1, 2), in_frames=True),
    "delayed-recall": Task(test_fraction=0.2, in_frames=True),
    "adding": Task(None, (1,), test_fraction=0.2, regression=True, in_frames=True),
    "rate-digits": Task(None, (10,), test_fraction=0.2, in_frames=True),
    "mnist1d": Task(None, (10,), test_fraction=None, in_frames=True),
}
"""Tasks by the name that ``data.task`` selects."""


@dataclass(frozen=True)
class DataSpec:
    """Section [data] of a design file, with defaults filled in.

    Attributes
    ----------
    task : str
        Name of the task, a key of :data:`TASKS`.
    n_in, n_out : int
        Number of inputs, of a frame where samples are series, and of outputs of the network.
    design_file : Path
        Path of the design file, for messages.
    path : Path or None
        Path of the user's file or folder; None if the design names none.
    kind : str or None
        Kind of task, "classification" or "regression"; None derives it from the answers.
    label : str, int, tuple, or None
        Label column or columns of a csv file, by name or by number from 0; None takes the column with a usual name of a
        label, or else the last column that does not look like an index.
    drop : tuple of str or int
        Columns of a csv file that are left out.
    header : bool or None
        Whether the first line of a csv file names its columns; None decides by its cells.
    delimiter, decimal : str or None
        Delimiter and decimal mark of a csv file; None decides by its contents.
    scaling : Scaling
        Scaling of the inputs to the range of ``input_values``.
    input_values : tuple of float
        What the least and the greatest input of the range become.
    target_scaling : Scaling
        Scaling of the targets of a regression to the range of ``target_values``.
    target_values : tuple of float
        Classification: targets of the wrong classes and of the right one. Regression: targets that correspond to the least and
        to the greatest answer of the training samples.
    test_fraction : float or None
        Share of the samples held out for testing; 0 tests on the training samples; None takes the file's own split, or 0.2
        if the file has none.
    validation_fraction : float
        Share of the training samples that :func:`mgd_hw.data.load` holds out for choosing settings if ``validate`` is true.
    split_seed : int
        Seed of the random choice of test and validation samples, and of samples that are drawn.
    stratify : bool
        Whether each class keeps its share in the test samples and the validation samples.
    train_samples, test_samples : int or None
        Largest number of training and of test samples that are used; None uses all.
    shuffle : bool
        Whether each epoch visits the training samples in a new random order.
    shuffle_seed : int
        Seed of the random order of the training samples.
    frames : int or None
        Largest number of frames of a sample, if samples are series of frames; None if a sample has its inputs once.
    series : str, int or None
        Column of a csv file that names the series to which a row belongs, whose rows are its frames; None if each row is a sample.
    frames_at_once : int
        Number of frames of a generated series whose inputs the network takes at once; ``n_in`` are then the inputs of all of them.
    """

    task: str
    n_in: int
    n_out: int
    design_file: Path = Path("design.toml")
    path: Path | None = None
    kind: str | None = None
    label: Label | None = None
    drop: tuple[str | int, ...] = ()
    header: bool | None = None
    delimiter: str | None = None
    decimal: str | None = None
    scaling: Scaling = Scaling.RANGE
    input_values: tuple[float, float] = (0.0, 1.0)
    target_scaling: Scaling = Scaling.COLUMN
    target_values: tuple[float, float] = (0.0, 1.0)
    test_fraction: float | None = 0.0
    validation_fraction: float = 0.0
    split_seed: int = 0
    stratify: bool = False
    train_samples: int | None = None
    test_samples: int | None = None
    shuffle: bool = True
    shuffle_seed: int = 1
    frames: int | None = None
    series: str | int | None = None
    frames_at_once: int = 1

    @property
    def inputs(self) -> int:
        """Number of inputs of a sample, those of all frames together."""
        return self.n_in * (self.frames or 1)

    def refuse(self, reason: str, remedy: str, key: str = "data.path", value: object = None) -> Refusal:
        """Return the error about a key of the design file."""
        return Refusal(reason, remedy, file=self.design_file, key=key, value=value)
