"""The verb ``import``: make a design file and its parameters of a network in an ONNX file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.common import style
from mgd_hw.common.files import check_file, write_file
from mgd_hw.common.results import Result
from mgd_hw.data import load
from mgd_hw.data.kinds import MEASURES, Regression
from mgd_hw.data.summary import Summary
from mgd_hw.data.tasks import TASKS, Scaling, Task
from mgd_hw.design.description import Design
from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from mgd_hw.design.values import NAME
from mgd_hw.importing.design_file import Choices, design_text, likely_tasks
from mgd_hw.importing.network import TrainedNetwork, read_network
from mgd_hw.importing.precision import Rounded, activation_format, weight_format
from mgd_hw.importing.samples import Adapted, adapt
from mgd_hw.importing.signal import DenseLayer
from mgd_hw.learn.parameters import write_parameters
from python_ref.parameters import join_parameters
from python_ref.spec.error import Refusal, naming

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Imported", "ImportedLayer", "import_network"]


@dataclass(frozen=True)
class ImportedLayer(Result):
    """A layer that was taken over.

    Attributes
    ----------
    node : str
        Name of the node of the file that multiplies by its weights.
    inputs, neurons : int
        Number of its inputs, and of its neurons.
    activation : str
        Name of its activation, as a design file has it.
    largest : float
        Largest magnitude of its weights and biases.
    """

    node: str
    inputs: int
    neurons: int
    activation: str
    largest: float


@dataclass(frozen=True)
class Imported(Result):
    """Design file and parameters made of an ONNX file.

    Attributes
    ----------
    design, source, producer : str
        Name of the design; path of the ONNX file; program that wrote that, or "" if it does not say it.
    opset : int
        Version of ONNX's operators that the file uses.
    files : tuple of Path
        Paths of the design file and of the parameters.
    layers : tuple of ImportedLayer
        The layers in their order, from the inputs on.
    rounded : Rounded
        The format of weights, and what becomes of them in it.
    activation : str
        The format of activations.
    scores : dict of str to float
        Measures of the network as exported, in real numbers, on the test samples; empty without samples.
    scores_taken : dict of str to float
        The same with the slopes that the hardware has below 0; empty where they are those of the file.
    notes : tuple of str
        Sentences on what was taken over in another form, left out or chosen.
    to_fill : tuple of str
        Sentences on the keys of the design file that remain to be filled in.
    data : Summary or None
        Description of the samples; None without samples.
    """

    design: str
    source: str
    producer: str
    opset: int
    files: tuple[Path, ...]
    layers: tuple[ImportedLayer, ...]
    rounded: Rounded
    activation: str
    scores: dict[str, float] = field(default_factory=dict)
    scores_taken: dict[str, float] = field(default_factory=dict, kw_only=True)
    notes: tuple[str, ...] = ()
    to_fill: tuple[str, ...] = ()
    data: Summary | None = None

    def tables(self) -> dict[str, list[dict]]:
        """ "layers", one row for each."""
        return {"layers": [{"design": self.design, **layer.to_json()} for layer in self.layers]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        by = f", by {self.producer}" if self.producer else ""
        yield style.wrapped(f"[bold]{style.escape(self.design)}[/bold]: {style.escape(f'{self.source}{by}, opset {self.opset}')}")
        table = style.table("layer", "inputs", "neurons", "activation", "largest weight")
        for layer in self.layers:
            row = (layer.node, f"{layer.inputs:,}", f"{layer.neurons:,}", layer.activation, style.number(layer.largest))
            table.add_row(*map(style.escape, row))
        yield table
        if self.data is not None:
            yield self.data
        for title, scores in (("As exported", self.scores), ("With the hardware's slopes", self.scores_taken)):
            if scores:
                shown = ", ".join(f"{MEASURES[name].title} {MEASURES[name].text(value)}" for name, value in scores.items())
                yield style.wrapped(f"{title}, in real numbers, on the test samples: {shown}")
        for note in (*self.notes, self.rounded.sentence(), f"Activations are {self.activation}."):
            yield style.wrapped(style.escape(note))
        for line in self.to_fill:
            yield style.wrapped(f"[bold]To fill in:[/bold] {style.escape(line)}")
        design, parameters = (style.escape(str(file)) for file in self.files)
        yield f"Wrote {design}, {parameters}. Next: mgd-hw compare {design} --start {parameters}"


def import_network(
    file: str | Path,
    name: str | None = None,
    *,
    task: str | None = None,
    data: Path | None = None,
    label: str | int | None = None,
    drop: tuple[str | int, ...] = (),
    force: bool = False,
) -> Imported:
    """Write the design file ``name``.toml and the parameters ``name``.npz of a network of dense layers in an ONNX file.

    Parameters
    ----------
    file : str or path
        Path of the ONNX file, with the files of its weights beside it if it has such.
    name : str or None
        Name of the design, with or without ".toml"; a path puts the files into another directory. None takes the ONNX file's own name.
    task : str or None
        Name of the task that the design learns, such as "digits"; None takes "csv" or "npz" by the ending of ``data``, and leaves it
        open without ``data``.
    data : path or None
        Samples to adapt to, csv or npz, or the folder of a public data set.
    label, drop : str or int, tuple of them
        Column of the answers of a csv file; columns to leave out. Each is a name, or a number that counts from 0.
    force : bool
        Whether to overwrite existing files.

    Raises
    ------
    Refusal
        If the file, the samples or the name are invalid, or if a file exists and ``force`` is false.
    ToolError
        If the package ``onnx`` is not installed.
    """
    source = Path(file)
    design_path, parameters_path = files = _files(source, name, data, force)
    keys = _keys(design_path, data, label, drop)
    task = _task(task, data, label, drop)
    network = read_network(source)
    found = _adapted(network, task, keys, design_path, source)
    taken = found.network.in_hardware()
    weight, rounded = weight_format(taken)
    with naming(source):
        activation, largest = activation_format(taken, found.data.train.inputs, found.data.train.targets)
    formats = {"weight": (weight, f"the largest is {rounded.largest:.3g}"), "activation": (activation, f"the largest is {largest:.3g}")}
    regression = None if task is None else isinstance(found.data.kind, Regression)
    choices = Choices(task, keys, found.scaling, found.target_scaling, regression, formats)
    text = design_text(design_path.stem, source.name, found.network, choices)
    design = parse(text, design_path)
    summary = load_design(design).summary
    _write(design, text, found.network, design_path, parameters_path)
    exported, changed = (each.outputs(found.data.test.inputs) for each in (found.network, taken))
    return Imported(
        design=design.name,
        source=str(source),
        producer=network.producer,
        opset=network.opset,
        files=files,
        layers=tuple(_layer(each) for each in found.network.layers),
        rounded=rounded,
        activation=str(activation),
        scores={} if task is None else found.data.kind.scores(exported),
        scores_taken={} if task is None or found.network.exact else found.data.kind.scores(changed),
        notes=(*network.notes, *_order_of_classes(network), *found.notes),
        to_fill=_to_fill(network) if task is None else (),
        data=None if task is None else summary,
    )


def _files(source: Path, name: str | None, data: Path | None, force: bool) -> tuple[Path, Path]:
    """Return the paths of the design file and the parameters, after checking that both may be written."""
    path = Path(re.sub(r"[^A-Za-z0-9_]", "_", source.stem)[:64] or "network") if name is None else Path(name)
    stem = path.name.removesuffix(".toml")
    if not re.fullmatch(NAME, stem):
        reason = "it becomes part of a Verilog module's name: letters, digits and underscores, at most 64"
        raise Refusal(reason, "Choose another, such as my_net.", key="NAME", value=str(path))
    files = path.with_name(f"{stem}.toml"), path.with_name(f"{stem}.npz")
    for file in files:
        for given, option in ((source, "FILE"), (data, "--data")):
            if given is not None and file.absolute() == given.absolute():
                remedy = f"Name the design otherwise: mgd-hw import {source} adapted."
                raise Refusal(f"it is the file of {option}, which would be overwritten", remedy, key="NAME", value=str(file))
        check_file(file, "NAME", force)
    return files


def _keys(design_path: Path, data: Path | None, label: str | int | None, drop: tuple[str | int, ...]) -> dict[str, object]:
    """Return the keys of the section [data] that the options give."""
    if data is None:
        return {}
    if not data.exists():
        raise Refusal("there is no such file", "Give the path of a csv or npz file.", key="--data", value=str(data))
    try:
        path = data.absolute().relative_to(design_path.parent.absolute())
    except ValueError:
        path = data.absolute()
    keys: dict[str, object] = {"path": path.as_posix()}
    return keys | ({} if label is None else {"label": label}) | ({"drop": list(drop)} if drop else {})


def _task(task: str | None, data: Path | None, label: str | int | None, drop: tuple[str | int, ...]) -> str | None:
    """Return the task that the options name, or None if they leave it open."""
    if task is not None and task not in TASKS:
        raise Refusal("there is no such task", f"Take one of: {', '.join(TASKS)}.", key="--task", value=task)
    if task is None and data is not None:
        task = data.suffix.lower().removeprefix(".")
        if task not in ("csv", "npz"):
            remedy = "Give a file that ends in .csv or .npz, or write --task mnist, say, for the folder of a public data set."
            raise Refusal("its ending does not say what it is", remedy, key="--data", value=str(data))
    if task is not None and TASKS[task].needs_path and data is None:
        raise Refusal("no file is named", "Write --data FILE as well.", key="--task", value=task)
    if task is not None and data is not None and not TASKS[task].takes_path:
        raise Refusal(f"the task {task} takes none", "Leave it out, or leave --task out.", key="--data", value=str(data))
    for option, given in (("--label", label), ("--drop", list(drop) or None)):
        if given is not None and task != "csv":
            raise Refusal("only a csv file has columns", f"Write --data FILE.csv as well, or leave {option} out.", key=option, value=given)
    return task


def _adapted(network: TrainedNetwork, task: str | None, keys: dict[str, object], design_path: Path, source: Path) -> Adapted:
    """Return the network for the samples of its design; without a task as it is, beside the random numbers that stand in for samples."""
    n_in, n_out = network.sizes[0], network.sizes[-1]
    known = TASKS[task] if task is not None else Task()
    if known.inputs not in (None, n_in) or (known.outputs and n_out not in known.outputs):
        has = f"{known.inputs or 'any number of'} inputs and {' or '.join(map(str, known.outputs))} outputs"
        reason = f"it has {has}, and the network {n_in} inputs and {n_out} outputs"
        raise Refusal(reason, "Leave it out, or give samples of the network's own by --data.", key="--task", value=task)
    scaling = Scaling.RANGE if task is not None else Scaling.NONE
    first = Choices(task, keys, scaling, Scaling.COLUMN, None, {})
    design = parse(design_text(design_path.stem, source.name, network, first), design_path)
    if task is None:
        return Adapted(network, load(design.data), scaling, Scaling.COLUMN, ())
    return adapt(network, design.data)


def _write(design: Design, text: str, network: TrainedNetwork, design_path: Path, parameters_path: Path) -> None:
    """Write both files, or neither."""
    values, new = join_parameters([(layer.weight, layer.bias) for layer in network.layers]), not parameters_path.exists()
    write_parameters(design.spec, values, parameters_path, "NAME")
    try:
        write_file(design_path, text, "NAME")
    except Refusal:
        if new:
            parameters_path.unlink(missing_ok=True)
        raise


def _layer(layer: DenseLayer) -> ImportedLayer:
    largest = max(float(np.abs(layer.weight).max()), float(np.abs(layer.bias).max()))
    neurons, inputs = layer.weight.shape
    return ImportedLayer(layer.node, inputs, neurons, "" if layer.activation is None else layer.activation.value, largest)


def _order_of_classes(network: TrainedNetwork) -> tuple[str, ...]:
    """Return a sentence with the classes in the order of the outputs, where the file names them by anything but their numbers."""
    classes = network.classes
    if not classes or classes == tuple(map(str, range(len(classes)))):
        return ()
    listed = ", ".join(classes[:12]) + (", …" if len(classes) > 12 else "")
    return (f"The outputs are for the classes {listed}, in this order.",)


def _to_fill(network: TrainedNetwork) -> tuple[str, ...]:
    likely = likely_tasks(network)
    known = f", or data.task, such as {likely[0]}" if likely else ""
    return (
        f"data.path, the samples to adapt to{known}; until then random numbers stand in. With --data FILE the command also looks how they "
        "have to be scaled.",
    )
