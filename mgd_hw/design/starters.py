"""Design files that ``mgd-hw new`` writes: a shipped one under another name, or one for a CSV file of the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.data.answers import guess_kind
from mgd_hw.data.loading import readable
from mgd_hw.data.tasks import KIND_NAMES, MAX_CLASSES, DataSpec
from mgd_hw.design.reader import shipped_folder
from mgd_hw.design.values import NAME
from python_ref.spec.error import Refusal

__all__ = ["starter"]

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


def starter(
    name: str, task: str, folder: Path, data: Path | None, label: str | int | None = None, drop: tuple[str | int, ...] = ()
) -> Starter:
    """Return the files to write for a new design: the design file, and an example CSV file for a csv task without data.

    Parameters
    ----------
    name, task : str
        Name of the design; name of the shipped design that it starts from, or "csv".
    folder : Path
        Folder that the files are written to.
    data : Path or None
        Path of the user's CSV file; None adds an example of one.
    label, drop : str or int, tuple of them
        Column of the answers; columns to leave out. See ``data.label`` and ``data.drop``.

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
    options = {"--data": None if data is None else str(data), "--label": label, "--drop": list(drop) or None}
    for key, given in options.items():
        if given is not None and task != "csv":
            raise Refusal(f"--task {task} takes none", f"Write --task csv as well, or leave {key} out.", key=key, value=given)
        if given is not None and data is None:
            raise Refusal("no file is named", "Write --data FILE as well.", key=key, value=given)
    if task != "csv":
        text = (shipped_folder() / f"{task}.toml").read_text(encoding="utf-8")
        return Starter({folder / f"{name}.toml": re.sub(r'(?m)^name = ".*$', f'name = "{name}"', text, count=1)})
    files: dict[Path, str] = {}
    if data is None:
        data = folder / f"{name}.csv"
        files[data] = _example_csv()
        found = _Table("classification", "the answers count from 0 to 2", 4, 3, -1, ())
    else:
        found = _look(data, label, drop)
    try:
        path = data.relative_to(folder)
    except ValueError:
        path = data.absolute()
    hidden = max(4, min(32, 2 * found.inputs))
    outputs = ": one per class, or 1 for two classes" if found.kind == "classification" else ": one per target"
    dropped = f"{_assigned('drop', list(found.drop))}# columns that are left out, such as an index\n" if found.drop else ""
    text = _CSV.format(
        name=name,
        what="classes" if found.kind == "classification" else "real numbers",
        layers=_assigned("layers", [found.inputs, hidden, found.outputs]),
        outputs=outputs,
        lanes=_assigned("lanes", min(6, hidden)),
        path=_toml(path.as_posix()),
        label=_assigned("label", found.label),
        kind=_assigned("kind", found.kind),
        why=found.why,
        other=next(kind for kind in KIND_NAMES if kind != found.kind),
        drop=dropped,
    )
    return Starter({folder / f"{name}.toml": text, **files}, tuple(_notes(found, drop)))


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
    """

    kind: str
    why: str
    inputs: int
    outputs: int
    label: str | int
    drop: tuple[str | int, ...]
    label_why: str = ""


def _look(data: Path, label: str | int | None, drop: tuple[str | int, ...]) -> _Table:
    """Read a CSV file, and return the settings that follow from it.

    Raises
    ------
    Refusal
        If the file cannot be read, or has too many classes.
    """
    from mgd_hw.data.csv import read_csv

    path = readable(DataSpec("csv", 1, 1, Path("--data"), data))
    table = read_csv(path, label=label, drop=drop)
    kind, why = guess_kind(table.answers)
    outputs = 1
    if kind == "classification":
        classes = len(np.unique(table.answers))
        if classes > MAX_CLASSES:
            reason = f"its answers are {classes:,} different words, and there are at most {MAX_CLASSES} classes"
            raise Refusal(reason, "Put the column of the answers last, or call it label.", file=data)
        outputs = 1 if classes <= 2 else classes
    (answers,) = table.answer_columns
    label_why = next((guess.why for guess in table.guesses if guess.key == "data.label"), "")
    return _Table(kind, why, table.inputs.shape[1] - len(table.index_columns), outputs, answers, (*drop, *table.index_columns), label_why)


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
