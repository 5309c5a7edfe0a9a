"""Design files that ``mgd-hw new`` writes: a shipped one under another name, or one for a CSV file of the user, whose rows are samples or
the frames of series."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.data.answers import guess_kind
from mgd_hw.data.loading import readable
from mgd_hw.data.series import rows_to_series
from mgd_hw.data.tasks import KIND_NAMES, MAX_CLASSES, DataSpec
from mgd_hw.design.reader import shipped_folder
from mgd_hw.design.values import NAME
from python_ref.spec.error import Refusal
from python_ref.spec.network import MAX_FRAMES

if TYPE_CHECKING:
    from mgd_hw.data.csv import Table

__all__ = ["OWN", "Starter", "starter"]

_CSV = """\
# {name}: {what} learned from a csv file. One line per sample: its inputs, and its answer.
# Every key is described in docs/reference/design-file.md; whatever is left out has a default, and `mgd-hw generate` prints it.

name = "{name}"

[network]
{layers}# inputs, hidden neurons, outputs{outputs}
hidden = "relu"                 # or "sigmoid", "tanh", "identity", "sign"
output = "identity"

[perturbation]
kind = "node"                   # perturb every neuron; "weight" perturbs every weight and bias
code = "sequential"             # one neuron after another; or "walsh", "walsh-gray", "lfsr": all of them, with signs
amplitude = "2^-6"

[schedule]
# learning_rate = -8            # log2; or a list of [step, log2]. Left out, it follows from the size of the network.
# sample_period = 8             # steps with one sample, each a probe. Left out, there is one probe of each neuron.
difference = "one-sided"        # or "two-sided": twice the passes, a better gradient

[hardware]
{lanes}# neurons computed in parallel

[data]
task = "csv"
path = {path}
{label}# column of the answers: a name, or a number from 0; -1 is the last
{kind}# {why}; or "{other}"
{drop}scaling = "column"              # each input to [0, 1] by its own range
test_fraction = 0.2             # kept for testing

[compare]
# steps = 50_000                # steps that are trained. Left out, they follow from the network: 4,000 samples or more.
"""


_SERIES = """\
# {name}: {what} learned from series in a csv file, one line per frame: its inputs, and the answer of its series.
# Every key is described in docs/reference/design-file.md; whatever is left out has a default, and `mgd-hw generate` prints it.

name = "{name}"

[network]
{layers}# inputs of a frame, neurons with state, outputs{outputs}
hidden = "tanh"                 # of the neurons with state, which follow it with a leak; or kind = "lif": spiking neurons
output = "identity"
{frames}# of the longest series

[perturbation]
kind = "node"                   # perturb the neurons, in every frame
# code = "lfsr"                 # all of them at once, with random signs; or "sequential". Left out, it follows from their number.
amplitude = "2^-6"
hold = 1                        # frames that a sign lasts

[schedule]
# learning_rate = -8            # log2; or a list of [step, log2]. Left out, it follows from the size of the network.
# sample_period = 16            # steps with one sample, each a probe

[hardware]
{lanes}# neurons computed in parallel

[data]
task = "csv"
path = {path}
{series}# column that names the series of a row
{label}# column of the answers: a name, or a number from 0; -1 is the last
{kind}# {why}; or "{other}"
{drop}scaling = "column"              # each input by its own range …
input_values = [-1, 1]          # … around 0, from where a recurrent network learns faster
test_fraction = 0.2             # kept for testing

[compare]
# steps = 50_000                # steps that are trained. Left out, they follow from the network: 4,000 samples or more.
"""


def starter(
    name: str,
    task: str,
    folder: Path,
    data: Path | None,
    label: str | int | None = None,
    drop: tuple[str | int, ...] = (),
    series: str | int | None = None,
) -> Starter:
    """Return the files to write for a new design: the design file, and an example CSV file for a task of the user's without data.

    Parameters
    ----------
    name, task : str
        Name of the design; name of the shipped design that it starts from, or one of :data:`OWN`.
    folder : Path
        Folder that the files are written to.
    data : Path or None
        Path of the user's CSV file; None adds an example of one.
    label, drop : str or int, tuple of them
        Column of the answers; columns to leave out. See ``data.label`` and ``data.drop``.
    series : str, int or None
        Column that names the series of a row, for the task "series"; None takes "series".

    Raises
    ------
    Refusal
        If the name or the data are invalid.
    """
    if not re.fullmatch(NAME, name):
        raise Refusal(
            "it becomes part of a Verilog module's name: letters, digits and underscores, at most 64",
            "Choose another, such as my_net.",
            key="NAME",
            value=name,
        )
    options = {"--data": None if data is None else str(data), "--label": label, "--drop": list(drop) or None, "--series": series}
    for key, given in options.items():
        takers = ["series"] if key == "--series" else list(OWN)
        if given is not None and task not in takers:
            remedy = f"Write --task {' or --task '.join(takers)} as well, or leave {key} out."
            raise Refusal(f"--task {task} takes none", remedy, key=key, value=given)
        if given is not None and data is None:
            raise Refusal("no file is named", "Write --data FILE as well.", key=key, value=given)
    if task not in OWN:
        text = (shipped_folder() / f"{task}.toml").read_text(encoding="utf-8")
        return Starter({folder / f"{name}.toml": re.sub(r'(?m)^name = ".*$', f'name = "{name}"', text, count=1)})
    own, files = OWN[task], dict[Path, str]()
    if data is None:
        data = folder / f"{name}.csv"
        files[data] = own.example()
        found = own.of_example
    else:
        found = own.look(data, label, drop, "series" if series is None else series)
    try:
        path = data.relative_to(folder)
    except ValueError:
        path = data.absolute()
    text = own.template.format(**_filled(name, path, found, own))
    return Starter({folder / f"{name}.toml": text, **files}, tuple(_notes(found, drop)))


def _filled(name: str, path: Path, found: _Table, own: _Own) -> dict[str, str]:
    """Return what a template leaves open: whole assignments, padded to the column of their comments, and words of the comments."""
    hidden = own.hidden(found.inputs)
    layers = [found.inputs, {"neurons": hidden, "kind": "leaky", "leak": 1} if found.frames else hidden, found.outputs]
    return {
        "name": name,
        "what": "classes" if found.kind == "classification" else "real numbers",
        "layers": _assigned("layers", layers),
        "outputs": ": one per class, or 1 for two classes" if found.kind == "classification" else ": one per target",
        "frames": _assigned("frames", found.frames),
        "lanes": _assigned("lanes", min(6, hidden)),
        "path": _toml(path.as_posix()),
        "series": _assigned("series", found.series),
        "label": _assigned("label", found.label),
        "kind": _assigned("kind", found.kind),
        "why": found.why,
        "other": next(kind for kind in KIND_NAMES if kind != found.kind),
        "drop": f"{_assigned('drop', list(found.drop))}# columns that are left out, such as an index\n" if found.drop else "",
    }


def _notes(found: _Table, drop: tuple[str | int, ...]) -> Iterator[str]:
    """Yield a sentence for each setting of the design file that was guessed from the CSV file."""
    if found.label_why:
        yield f"Chosen: label = {_toml(found.label)}: {found.label_why}; `--label` or data.label overrides it."
    yield f'Chosen: kind = "{found.kind}": {found.why}; data.kind overrides it.'
    left_out = ", ".join(_toml(column) for column in found.drop if column not in drop)
    if left_out:
        yield f"Warning: column {left_out} looks like an index, and the design file leaves it out (data.drop)."


@dataclass(frozen=True)
class Starter:
    """Files of a new design.

    Attributes
    ----------
    files : dict of Path to str
        Contents of the files by path, with the design file first.
    notes : tuple of str
        Remarks on the design file for the user, as sentences.
    """

    files: dict[Path, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Table:
    """Settings of a design file that follow from its CSV file.

    Attributes
    ----------
    kind, why : str
        Kind of task; reason for it.
    inputs, outputs : int
        Numbers of inputs and outputs of the network.
    label : str or int
        Column of the answers.
    drop : tuple of str or int
        Columns to leave out, such as an index.
    label_why : str
        Reason for the column of the answers; "" if the user names it.
    series : str or int
        Column that names the series of a row; "" if a row is a sample.
    frames : int
        Number of frames of the longest series; 0 if a row is a sample.
    """

    kind: str
    why: str
    inputs: int
    outputs: int
    label: str | int
    drop: tuple[str | int, ...]
    label_why: str = ""
    series: str | int = ""
    frames: int = 0


def _look(data: Path, label: str | int | None, drop: tuple[str | int, ...], series: str | int | None = None) -> _Table:
    """Read a CSV file, and return the settings that follow from it; ``series`` is ignored, since every row is a sample.

    Raises
    ------
    Refusal
        If the file cannot be read, or has too many classes.
    """
    from mgd_hw.data.csv import read_csv

    path = readable(DataSpec("csv", 1, 1, Path("--data"), data))
    table = read_csv(path, label=label, drop=drop)
    return _settings(data, table, table.answers, drop)


def _look_at_series(data: Path, label: str | int | None, drop: tuple[str | int, ...], series: str | int) -> _Table:
    """Read a CSV file whose rows are the frames of series, which the column ``series`` names, and return the settings that follow.

    Raises
    ------
    Refusal
        If the file cannot be read, if it has too many classes or too long series, or if its rows do not form series.
    """
    from mgd_hw.data.csv import read_csv

    path = readable(DataSpec("csv", 1, 1, Path("--data"), data))
    table = read_csv(path, label=label, drop=(*drop, series))
    names = read_csv(path, label=series, drop=(*drop, *table.answer_columns)).answers
    ends = np.flatnonzero(np.append(names[1:] != names[:-1], True))
    longest = int(np.diff(ends, prepend=-1).max())
    if longest > MAX_FRAMES:
        reason = f"its longest series has {longest:,} frames, and a sample has at most {MAX_FRAMES:,}"
        raise Refusal(reason, "Cut the series into shorter ones, or name the column of the series by --series.", file=data)
    spec = DataSpec("csv", table.inputs.shape[1], 1, data, data, frames=longest, series=series)
    found = rows_to_series(spec, table.inputs, names, table.answers, table.lines, path)
    # A number that counts the frames is no index of samples, so it is not left out.
    return replace(_settings(data, replace(table, index_columns=()), found.answers, drop), series=series, frames=longest)


def _settings(data: Path, table: Table, answers: np.ndarray, drop: tuple[str | int, ...]) -> _Table:
    """Return the settings that follow from a table with an answer for each sample."""
    kind, why = guess_kind(answers)
    outputs = 1
    if kind == "classification":
        classes = len(np.unique(answers))
        if classes > MAX_CLASSES:
            reason = f"its answers are {classes:,} different words, and there are at most {MAX_CLASSES} classes"
            raise Refusal(reason, "Put the column of the answers last, or call it label.", file=data)
        outputs = 1 if classes <= 2 else classes
    (label,) = table.answer_columns
    label_why = next((guess.why for guess in table.guesses if guess.key == "data.label"), "")
    return _Table(kind, why, table.inputs.shape[1] - len(table.index_columns), outputs, label, (*drop, *table.index_columns), label_why)


def _assigned(key: str, value: object) -> str:
    """Return an assignment for a design file, padded with blanks to the column of its comment."""
    return f"{key} = {_toml(value)} ".ljust(32)


def _toml(value: object) -> str:
    """Return a value in the notation of TOML."""
    import tomlkit

    return tomlkit.item(value).as_string()


def _example_csv() -> str:
    """Return a CSV file of three clusters in four dimensions, with 50 points each."""
    generator = np.random.default_rng(7)
    centres = np.array([[1.0, 1.0, 4.0, 2.0], [3.0, 1.5, 1.0, 3.0], [2.5, 4.0, 2.0, 0.5]])
    lines = ["a,b,c,d,class"]
    for index in generator.permutation(150):
        point = centres[index % 3] + 0.7 * generator.standard_normal(4)
        lines.append(",".join(f"{value:.3f}" for value in point) + f",{index % 3}")
    return "\n".join(lines) + "\n"


def _example_series() -> str:
    """Return a CSV file of 120 series: a point that goes round a circle, one way or the other, which no single frame shows."""
    generator = np.random.default_rng(7)
    lines = ["series,x,y,class"]
    for number in range(120):
        way, phase, frames = ("left", "right")[number % 2], generator.uniform(0, 2 * np.pi), int(generator.integers(8, 13))
        for frame in range(frames):
            angle = phase + (1 if way == "left" else -1) * 0.6 * frame
            x, y = np.array([np.cos(angle), np.sin(angle)]) + 0.1 * generator.standard_normal(2)
            lines.append(f"{number},{x:.3f},{y:.3f},{way}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Own:
    """How a task of the user's own data becomes a design file.

    Attributes
    ----------
    template : str
        Text of the design file, with fields in braces.
    example : callable
        Returns an example of the CSV file.
    of_example : _Table
        Settings that follow from the example.
    look : callable
        Returns the settings that follow from the user's file.
    hidden : callable
        Returns the number of hidden neurons for a number of inputs.
    """

    template: str
    example: Callable[[], str]
    of_example: _Table
    look: Callable[[Path, str | int | None, tuple[str | int, ...], str | int], _Table]
    hidden: Callable[[int], int]


OWN: dict[str, _Own] = {
    "csv": _Own(
        _CSV,
        _example_csv,
        _Table("classification", "the answers count from 0 to 2", 4, 3, -1, ()),
        _look,
        lambda inputs: max(4, min(32, 2 * inputs)),
    ),
    "series": _Own(
        _SERIES,
        _example_series,
        _Table("classification", "the answers are words", 2, 1, -1, (), series="series", frames=12),
        _look_at_series,
        lambda inputs: max(8, min(32, 2 * inputs)),
    ),
}
"""Tasks that start from data of the user's own, by the name that ``--task`` selects."""
