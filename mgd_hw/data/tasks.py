"""The tasks that a design can learn, and the section [data] of its file: what is known of samples before they are read."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from python_ref.spec.error import Refusal

__all__ = ["KIND_NAMES", "LARGEST_DATA", "MAX_CLASSES", "TASKS", "DataSpec", "Label", "Scaling", "Task"]

LARGEST_DATA = 4 << 30
"""Size of the largest data file that is read, in bytes."""
MAX_CLASSES = 4096
"""Largest number of classes: the largest number of neurons of a layer."""
KIND_NAMES = ("classification", "regression")
"""What ``data.kind`` takes: the names of the kinds of :mod:`mgd_hw.data.kinds`."""

Label = str | int | tuple[str | int, ...]
"""What ``data.label`` takes: the name or number of a column, or several of them."""


class Scaling(enum.Enum):
    """How values are brought into the range that the number formats hold."""

    RANGE = "range"
    """One range for all values: that of the task, or of the whole training part."""
    COLUMN = "column"
    """Each column by its own range over the training samples."""
    NONE = "none"
    """Values are used as they are."""


@dataclass(frozen=True)
class Task:
    """What is known of a task before its samples are read.

    Attributes
    ----------
    inputs : int or None
        Number of inputs; None where the network or the file decides.
    outputs : tuple of int
        Numbers of outputs that a network may have; empty where any number will do.
    layers : tuple of int or None
        The network when the design file gives none.
    scaling : Scaling
        Default of ``data.scaling``.
    test_fraction : float or None
        Default of ``data.test_fraction``; None takes the file's own split, or 0.2 where the file has none.
    needs_path, takes_path : bool
        Whether ``data.path`` must be given, and whether it may be given.
    any_answers : bool
        Whether the user's file decides what the answers are: classes of any name, or real numbers.
    """

    inputs: int | None = None
    outputs: tuple[int, ...] = ()
    layers: tuple[int, ...] | None = None
    scaling: Scaling = Scaling.RANGE
    test_fraction: float | None = 0.0
    needs_path: bool = False
    takes_path: bool = False
    any_answers: bool = False


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
    "random": Task(),
}
"""The tasks by the name that they have in a design file."""


@dataclass(frozen=True)
class DataSpec:
    """The section [data] of a design file, with everything that was left out filled in.

    Attributes
    ----------
    task : str
        A key of :data:`TASKS`.
    n_in, n_out : int
        Numbers of inputs and outputs of the network.
    design_file : Path
        The design file, for messages.
    path : Path or None
        The user's file or folder.
    kind : str or None
        "classification" or "regression"; None derives it from the answers.
    label : str, int, tuple, or None
        The column or columns of the answers in a csv file, by name or by number from 0; None looks for a column whose name
        says so, and takes the last one otherwise.
    drop : tuple of str or int
        Columns of a csv file that are left out.
    header : bool or None
        Whether the first line of a csv file names its columns; None decides by what it holds.
    delimiter, decimal : str or None
        The delimiter and the decimal mark of a csv file; None decides by what the file holds.
    scaling : Scaling
        How inputs come to lie in [0, 1].
    target_scaling : Scaling
        How the targets of a regression come to lie between the two ``target_values``.
    target_values : tuple of float
        Classification: the target of the wrong classes and of the right one. Regression: the targets that the least and the
        greatest answer of the training samples become.
    test_fraction : float or None
        Share of the samples that is kept for testing; 0 tests on the training samples; None takes the file's own split.
    validation_fraction : float
        Share of the training samples that is kept for choosing settings, when :func:`mgd_hw.data.load` is asked to.
    split_seed : int
        Seed of the choice of test and validation samples.
    stratify : bool
        Whether each class keeps its share in the test samples.
    train_samples, test_samples : int or None
        Largest numbers of samples that are used; None uses all.
    shuffle : bool
        Whether every epoch visits the training samples in an order of its own.
    shuffle_seed : int
        Seed of these orders.
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

    def refuse(self, reason: str, remedy: str, key: str = "data.path", value: object = None) -> Refusal:
        """The error of a key of the design file."""
        return Refusal(reason, remedy, file=self.design_file, key=key, value=value)
