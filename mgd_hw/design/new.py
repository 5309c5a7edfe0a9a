"""The verb ``new``: write a commented design file to start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mgd_hw.common import style
from mgd_hw.common.files import check_file, write_file
from mgd_hw.common.results import Result
from mgd_hw.data.summary import Summary, shown_or_missing
from mgd_hw.design.reader import load
from mgd_hw.design.samples import summary_or_reason
from mgd_hw.design.starters import starter

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["New", "new"]


@dataclass(frozen=True)
class New(Result):
    """Files written for a new design.

    Attributes
    ----------
    design, task : str
        Name of the design; name of its task.
    files : tuple of Path
        Paths of the files, with the design file first.
    data : Summary or None
        Summary of the samples; None if they cannot be read.
    data_missing : str
        Reason why the samples cannot be read; "" if they can.
    notes : tuple of str
        Remarks on the design file for the user, as sentences.
    """

    design: str
    task: str
    files: tuple[Path, ...]
    data: Summary | None = None
    data_missing: str = ""
    notes: tuple[str, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from shown_or_missing(self.data, self.data_missing)
        for note in self.notes:
            word, _, text = note.partition(": ")
            yield f"[bold]{word}:[/bold] {style.escape(text)}"
        yield (f"Wrote {style.escape(', '.join(map(str, self.files)))}. Next: mgd-hw generate {style.escape(str(self.files[0]))}")


def new(
    name: str,
    task: str = "xor",
    *,
    data: Path | None = None,
    label: str | int | None = None,
    drop: tuple[str | int, ...] = (),
    series: str | int | None = None,
    force: bool = False,
) -> New:
    """Write a commented design file ``name``.toml that runs as it is.

    Parameters
    ----------
    name : str
        Name of the design, with or without ".toml"; a path puts its files into another directory.
    task : str
        Name of a shipped design, such as "xor", or "csv" or "series": data of your own, whose rows are samples or the frames of series.
    data : path or None
        CSV file to learn from, if ``task`` is "csv" or "series"; None writes an example of one.
    label, drop : str or int, tuple of them
        Column of the answers; columns to leave out. Each is a name, or a number that counts from 0.
    series : str, int or None
        Column that names the series of a row, if ``task`` is "series"; None takes the one called "series".
    force : bool
        Whether to overwrite existing files.

    Raises
    ------
    Refusal
        If the name or the data are invalid, or if a file exists and ``force`` is false.
    """
    path = Path(name)
    stem = path.name[: -len(".toml")] if path.name.endswith(".toml") else path.name
    made = starter(stem, task, path.parent, data, label, drop, series)
    files = made.files
    for file in files:
        check_file(file, "NAME", force)
    for file, text in files.items():
        write_file(file, text, "NAME")
    design = load(next(iter(files)))
    return New(design.name, task, tuple(files), *summary_or_reason(design), made.notes)
