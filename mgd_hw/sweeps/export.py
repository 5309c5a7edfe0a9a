"""Export of a sweep: its rows as CSV and Parquet, its designs and their figures as JSON, and the plot of the Pareto front."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mgd_hw.common.files import atomic_directory
from mgd_hw.common.results import plain
from mgd_hw.sweeps.choice import Found
from mgd_hw.sweeps.jobs import DONE, FIT, SYNTH, TRAIN
from mgd_hw.sweeps.journal import Journal
from mgd_hw.sweeps.plan import REFUSAL
from python_ref.spec.error import Refusal

__all__ = ["export", "rows_of"]

PIECE = 10_000
"""Number of rows that are written to the Parquet file at once."""


def rows_of(journal: Journal) -> Iterator[dict[str, Any]]:
    """Yield the planned rows of the journal as flat dictionaries: refused combinations and runs, in the order of the plan.

    A run whose core was judged for several parts yields one row for each of them.
    """
    cores: dict[int, list[dict[str, Any]]] = {}
    for number, row, _ in journal.planned(FIT, SYNTH):
        known = row.columns if row.status == DONE else {"area_message": row.message}
        cores.setdefault(number, []).append(known)
    for number, row, about in journal.planned(REFUSAL, TRAIN):
        said = {name: value for name, value in about.items() if name != "vary"}
        vary = {key: value if isinstance(value, (str, int, float)) else json.dumps(plain(value)) for key, value in about["vary"].items()}
        first = {"combination": number, **vary, **said, "status": row.status, "message": row.message, "seconds": row.seconds}
        for core in cores.get(number) or [{}]:
            yield first | row.columns | core


def export(journal: Journal, directory: Path, found: Sequence[Found], described: dict[str, Any]) -> tuple[str, ...]:
    """Write rows.csv, rows.parquet (if pyarrow is installed), sweep.json and pareto.svg (if there is a design); return their names.

    Raises
    ------
    Refusal
        If a file cannot be written.
    """
    from mgd_hw.common.figures import saved
    from mgd_hw.sweeps.picture import pareto

    columns = list(dict.fromkeys(name for row in rows_of(journal) for name in row))
    with _failures(directory), atomic_directory(directory) as folder:
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows_of(journal))
        _parquet(journal, columns, folder / "rows.parquet")
        text = json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "sweep.json").write_text(text + "\n", encoding="utf-8")
        if found:
            (folder / "pareto.svg").write_bytes(saved(pareto(found), "svg", "mgd-hw-sweep"))
        return tuple(sorted(path.name for path in folder.iterdir()))


def _parquet(journal: Journal, columns: Sequence[str], path: Path) -> None:
    """Write the rows as Parquet, ``PIECE`` rows at a time; the type of a column is the narrowest that holds all its values."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    types: dict[str, pyarrow.DataType] = dict.fromkeys(columns, pyarrow.null())
    for row in rows_of(journal):
        for name, value in row.items():
            types[name] = _wider(types[name], value)
    schema = pyarrow.schema(list(types.items()))
    with parquet.ParquetWriter(path, schema) as writer:
        piece: list[dict[str, Any]] = []
        for row in rows_of(journal):
            piece.append({name: _converted(types[name], row.get(name)) for name in columns})
            if len(piece) == PIECE:
                writer.write_table(pyarrow.Table.from_pylist(piece, schema=schema))
                piece = []
        writer.write_table(pyarrow.Table.from_pylist(piece, schema=schema))


def _wider(known: Any, value: object) -> Any:
    """Return the narrowest pyarrow type that holds both the values of type ``known`` and this value."""
    import pyarrow

    if value is None or known == pyarrow.string():
        return known
    own = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}.get(type(value), pyarrow.string())
    if known in (pyarrow.null(), own):
        return own
    return pyarrow.float64() if {known, own} == {pyarrow.int64(), pyarrow.float64()} else pyarrow.string()


def _converted(kind: Any, value: object) -> object:
    import pyarrow

    if value is None:
        return None
    return str(value) if kind == pyarrow.string() else float(value) if kind == pyarrow.float64() else value  # type: ignore[arg-type]


@contextmanager
def _failures(directory: Path) -> Iterator[None]:
    """Turn an OS error within the block, such as a full disk, into a refusal; the journal keeps the rows."""
    try:
        yield
    except OSError as error:
        raise Refusal(
            f"writing failed ({error.strerror or error})",
            "Free some space, and give the same command again: all rows are kept, none is run again.",
            key="-o",
            value=str(directory),
        ) from error
