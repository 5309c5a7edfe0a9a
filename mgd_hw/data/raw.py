"""Samples as a source delivers them, before classes are mapped, values scaled and parts split."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Guess", "RawSamples"]


@dataclass(frozen=True)
class Guess:
    """A decision of a reader that the design file leaves open.

    Attributes
    ----------
    what : str
        Subject of the decision, such as "label".
    value : str
        What was taken, such as 'column 5 ("species")'.
    why : str
        The evidence, as a clause.
    key : str
        The key of the design file that decides otherwise, such as "data.label".
    """

    what: str
    value: str
    why: str
    key: str


@dataclass(frozen=True)
class RawSamples:
    """Samples as they came.

    Attributes
    ----------
    inputs : array, shape (n, n_in)
        Numbers of any type.
    answers : array, shape (n,) or (n, k)
        Numbers, booleans or text: one answer a sample, or k of them.
    source : str
        Where they come from, as a phrase.
    where : str
        The file, for messages; "" for a task that is generated.
    n_train : int or None
        Number of leading samples that the source means for training; None where it has no split.
    full_scale : tuple of float or None
        Range of the inputs that the task is known to have; None where only the samples tell.
    names : tuple of str
        Names of the inputs; empty where they have none.
    answer_names : tuple of str
        Names of the answers' columns; empty where they have none.
    class_names : tuple of str
        Names of the classes 0, 1, … of the task; empty where only the answers tell.
    guesses : tuple of Guess
        Decisions of the reader that the design file leaves open.
    warnings : tuple of str
        What the user should know of the file, in sentences.
    lines : array of int64, shape (n,), or None
        The line of each sample in the file, counted from 1; None where the file has no lines.
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

    def sample(self, index: int) -> str:
        """How a message calls a sample: by its line, or by its number counted from 1."""
        return f"sample {index + 1}" if self.lines is None else f"line {self.lines[index]}"
