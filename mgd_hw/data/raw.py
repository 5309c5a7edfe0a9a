"""Samples as a source delivers them, before classes are numbered, values scaled and the samples split."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Guess", "RawSamples"]


@dataclass(frozen=True)
class Guess:
    """Decision that a reader takes where the design file leaves it open.

    Attributes
    ----------
    what : str
        Subject of the decision, such as "label".
    value : str
        Chosen value, such as 'column 5 ("species")'.
    why : str
        Evidence for the decision, as a clause.
    key : str
        Key of the design file that overrides the decision, such as "data.label"; "" if none does.
    """

    what: str
    value: str
    why: str
    key: str


@dataclass(frozen=True)
class RawSamples:
    """Samples as read from a source, not yet scaled or split.

    Attributes
    ----------
    inputs : array, shape (n, n_in)
        Input values, numbers of any type.
    answers : array, shape (n,) or (n, k)
        Labels or targets, one or k per sample: numbers, booleans or text.
    source : str
        Description of the source, as a phrase.
    where : str
        Path of the file or folder, for messages; "" for a generated task.
    n_train : int or None
        Number of leading samples that the source designates for training; None if it has no split.
    full_scale : tuple of float or None
        Least and greatest value that an input can have by definition; None if only the samples show it.
    names : tuple of str
        Names of the inputs; empty if they have none.
    answer_names : tuple of str
        Names of the answer columns; empty if they have none.
    class_names : tuple of str
        Names of the classes 0, 1, … of the task; empty if the answers determine them.
    guesses : tuple of Guess
        Decisions of the reader that the design file leaves open.
    warnings : tuple of str
        Whole sentences that warn the user of peculiarities of the file.
    lines : array of int64, shape (n,), or None
        Line of each sample in the file, counted from 1; None if the file has no lines.
    lengths : array of int64, shape (n,), or None
        Number of frames of each series, whose inputs are those of its frames and then 0; None if samples are not series, or all have
        T frames.
    """

    inputs: np.ndarray
    answers: np.ndarray
    source: str
    where: str = ""
    n_train: int | None = None
    full_scale: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    answer_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    guesses: tuple[Guess, ...] = ()
    warnings: tuple[str, ...] = ()
    lines: np.ndarray | None = field(default=None, compare=False)
    lengths: np.ndarray | None = field(default=None, compare=False)

    def of_frames(self, values: np.ndarray, n_in: int, samples: np.ndarray) -> np.ndarray:
        """Return the values of the frames that some samples have, one after the other (shape (k,)); of all where no series ends early.

        Parameters
        ----------
        values : array, shape (n, inputs)
            Inputs of all samples, or what was made of them.
        n_in : int
            Number of inputs of a frame.
        samples : array of int64
            Number of each sample that is wanted, from 0, in the order of the result.
        """
        chosen = values[samples]
        if self.lengths is None:
            return chosen.ravel()
        return chosen[np.arange(values.shape[1]) // n_in < self.lengths[samples][:, None]]

    def sample(self, index: int) -> str:
        """Return the designation of a sample in messages: its line in the file, or its number counted from 1."""
        return f"sample {index + 1}" if self.lines is None else f"line {self.lines[index]}"
