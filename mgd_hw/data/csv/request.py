"""Check the parameters of :func:`~mgd_hw.data.csv.read_csv`, and build the errors about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from python_ref.spec.error import Refusal

__all__ = ["Request", "can_delimit"]


def can_delimit(text: str) -> bool:
    """Return whether a text is one ASCII character that cannot occur in a number, a word, a quoted cell or a line end."""
    return len(text) == 1 and text.isascii() and not text.isalnum() and text not in '"\r\n\0.+-'


@dataclass(frozen=True)
class Request:
    """Parameters of :func:`~mgd_hw.data.csv.read_csv`, which describes them."""

    path: Path
    label: str | int | tuple[str | int, ...] | None
    drop: tuple[str | int, ...]
    header: bool | None
    delimiter: str | None
    decimal: str | None
    design_file: Path | None

    def refuse(self, key: str, reason: str, remedy: str, value: object = None) -> Refusal:
        """Return the error about a key of the section [data] in the design file.

        Parameters
        ----------
        key : str
            Key within [data], such as "label".
        reason : str
            What is wrong, as a clause.
        remedy : str
            What to do instead, as a full sentence.
        value : object
            Value of the key; None shows no value.
        """
        return Refusal(reason, remedy, file=self.design_file, key=f"data.{key}", value=value)

    def check(self) -> None:
        """Check the parameters that can be checked without the file.

        Raises
        ------
        Refusal
            If the delimiter cannot separate cells, if the decimal mark is neither a point nor a comma, or if both are the comma.
        """
        if self.delimiter is not None and not can_delimit(self.delimiter):
            remedy = 'Write ",", ";", "\\t", "|" or " " (any run of spaces), for example.'
            raise self.refuse("delimiter", "it is not a character that can stand between cells", remedy, self.delimiter)
        if self.decimal not in (None, ".", ","):
            raise self.refuse("decimal", "it is neither a point nor a comma", 'Write "." or ",".', self.decimal)
        if self.decimal == "," == self.delimiter:
            raise self.refuse("decimal", "the comma is the delimiter as well", "Separate the cells with semicolons or tabs.", self.decimal)

    def drop_line(self, *more: str | int) -> str:
        """Return the line of a design file that drops these columns as well as those already dropped, such as ``drop = ["id"]``."""
        return f"drop = {json.dumps(list(dict.fromkeys([*self.drop, *more])), ensure_ascii=False)}"
