"""The design files that ``mgd-hw new`` writes: the shipped ones under another name, and one for the user's own csv."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mgd_hw.config import shipped_folder
from mgd_hw.data import csv_shape
from mgd_hw.errors import UserError
from mgd_hw.keys import NAME

__all__ = ["starter"]

_CSV = """\
# {name}: classes learned from a csv file. One line per sample: its inputs, and its class as a whole number from 0.
# Every key is described in docs/design-file.md; whatever is left out has a default, and `mgd-hw generate` prints it.

name = "{name}"

[network]
layers = {layers}              # inputs, hidden neurons, outputs: one per class, or 1 for two classes
hidden = "relu"                 # or "sigmoid", "tanh", "identity", "sign"
output = "identity"

[perturbation]
kind = "node"                   # perturb every neuron; "weight" perturbs every weight and bias
code = "lfsr"                   # random signs; or "walsh", "sequential"
amplitude = "2^-6"

[schedule]
# learning_rate = -8            # log2; or a list of [step, log2]. Left out, it follows from the size of the network.
difference = "one-sided"        # or "two-sided": twice the passes, a better gradient

[hardware]
lanes = {lanes}                       # neurons computed in parallel

[data]
task = "csv"
path = {path}
label = {label}                      # column of the classes: a name, or a number from 0; -1 is the last
scaling = "column"              # each input to [0, 1] by its own range
test_fraction = 0.2             # kept for testing

[compare]
steps = 50_000
"""


def starter(name: str, task: str, folder: Path, data: Path | None) -> dict[Path, str]:
    """The files to write for a new design, by path: the design file, and for a csv task without data a small csv.

    Raises
    ------
    UserError
        If the name or the data will not do.
    """
    if not re.fullmatch(NAME, name):
        raise UserError(
            "it becomes part of a Verilog module's name: letters, digits and underscores, at most 64",
            "Choose another, such as my_net.",
            key="NAME",
            value=name,
        )
    if data is not None and task != "csv":
        raise UserError(f"--task {task} takes none", "Write --task csv as well, or leave --data out.", key="--data", value=str(data))
    if task != "csv":
        text = (shipped_folder() / f"{task}.toml").read_text(encoding="utf-8")
        return {folder / f"{name}.toml": re.sub(r'(?m)^name = ".*$', f'name = "{name}"', text, count=1)}
    files: dict[Path, str] = {}
    if data is None:
        data, example = folder / f"{name}.csv", _example_csv()
        files[data] = example
        inputs, classes = 4, 3
    else:
        inputs, classes = csv_shape(data)
    try:
        path = data.relative_to(folder)
    except ValueError:
        path = data.absolute()
    outputs = 1 if classes == 2 else classes
    hidden = max(4, min(32, 2 * inputs))
    quoted = '"' + path.as_posix().replace("\\", "\\\\").replace('"', '\\"') + '"'
    text = _CSV.format(name=name, layers=[inputs, hidden, outputs], lanes=min(6, hidden), path=quoted, label=-1)
    return {folder / f"{name}.toml": text, **files}


def _example_csv() -> str:
    """Three clouds of points in four dimensions, 50 each."""
    generator = np.random.default_rng(7)
    centres = np.array([[1.0, 1.0, 4.0, 2.0], [3.0, 1.5, 1.0, 3.0], [2.5, 4.0, 2.0, 0.5]])
    lines = ["a,b,c,d,class"]
    for index in generator.permutation(150):
        point = centres[index % 3] + 0.7 * generator.standard_normal(4)
        lines.append(",".join(f"{value:.3f}" for value in point) + f",{index % 3}")
    return "\n".join(lines) + "\n"
