"""From a design file to a :class:`~python_ref.spec.design.DesignSpec`: the only reader of the TOML."""

from __future__ import annotations

import difflib
import math
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgd_hw.data.formats import UNSCALED_BITS, UNSCALED_TARGET_BITS, covering
from mgd_hw.data.loading import Ranges, ranges
from mgd_hw.data.tasks import TASKS, DataSpec, Scaling
from mgd_hw.errors import UserError
from mgd_hw.keys import KEYS, SECTIONS, Wrong
from mgd_hw.software import (
    ARCHITECTURES,
    CLASHES,
    FLOAT_CODES,
    FLOAT_OPTIMIZERS,
    NORMALISED,
    ONLY_SOFTWARE,
    OPTIMIZER_KEYS,
    Outside,
    Software,
    layer_count,
)
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, Optimizer, Sgd
from python_ref.spec.perturbation import CODES, Kind, LfsrCode, Perturbation
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["DSP_ACCUMULATOR", "CompareSpec", "Derived", "Design", "find", "load", "parse", "read_values", "shipped", "shipped_folder"]

LARGEST_FILE = 1 << 20
"""Bytes of the largest design file that is read."""
_ONE_RATE = 'Write one whole number, such as -9, or learning.decay = "cosine".'
DSP_ACCUMULATOR = 32
"""Bits that the multiplier block of a small FPGA, the iCE40 UP5K, accumulates by itself."""


# -- Reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Derived:
    """What was left out of a file, what it became, and why."""

    key: str
    value: str
    why: str


@dataclass(frozen=True)
class CompareSpec:
    """What ``mgd-hw compare`` does when its options say nothing."""

    steps: int
    seeds: int
    backprop_epochs: int | None
    backprop_rate: float
    backprop_batch: int


@dataclass(frozen=True)
class Design:
    """A design file, read and checked.

    Attributes
    ----------
    path : Path
        The file.
    text : str
        What it says.
    spec : DesignSpec
        The machine.
    data : DataSpec
        What it learns.
    compare : CompareSpec
        Defaults of a comparison.
    derived : tuple of Derived
        What followed from the rest.
    software : Software
        What no hardware does. Of a network that is not dense, that of the spec has the inputs and outputs, and nothing else.
    """

    path: Path
    text: str
    spec: DesignSpec
    data: DataSpec
    compare: CompareSpec
    derived: tuple[Derived, ...]
    software: Software = Software()

    @property
    def name(self) -> str:
        """Name of the design."""
        return self.spec.name

    def with_seed(self, seed: int) -> Design:
        """The same design with another seed for initial parameters, signs, stochastic rounding and order of samples."""
        initial = replace(self.spec.network.initial, seed=seed)
        spec = replace(
            self.spec,
            network=replace(self.spec.network, initial=initial),
            perturbation=replace(self.spec.perturbation, seed=seed),
        )
        return replace(self, spec=spec, data=replace(self.data, shuffle_seed=seed))


def shipped() -> tuple[str, ...]:
    """Names of the shipped designs."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.toml")))


def shipped_folder() -> Path:
    """Where the shipped designs are."""
    return Path(__file__).parent / "designs"


def find(design: str | Path) -> Path:
    """The file of a design given by its path, or by the name of a shipped one.

    Raises
    ------
    UserError
        If there is none.
    """
    text = str(design)
    if not text.strip() or "\0" in text:
        raise UserError("no design was named", "Give the path of a design file, or the name of a shipped design.")
    path = Path(text)
    try:
        if path.exists() and not (path.is_dir() and text in shipped()):
            return path
    except OSError as error:
        raise UserError(f"the path cannot be read ({error.strerror})", "Give another path.", file=text[:100]) from None
    if text in shipped():
        return shipped_folder() / f"{text}.toml"
    if path.with_name(path.name + ".toml").exists():
        return path.with_name(path.name + ".toml")
    near = difflib.get_close_matches(text, shipped(), 1)
    raise UserError(
        "there is no such file",
        (f"Did you mean the shipped design {near[0]}? " if near else "")
        + f"Give the path of a design file, or one of the shipped designs ({', '.join(shipped())}); `mgd-hw new` writes one to start from.",
        file=text,
    )


def load(design: str | Path) -> Design:
    """Read a design file, or the shipped design of that name.

    Raises
    ------
    UserError
        If there is none, or it does not describe a design that can be built.
    """
    path = find(design)
    try:
        if path.is_dir():
            raise UserError("it is a directory", "Give the path of a design file.", file=path)
        if not path.is_file():
            raise UserError("it is not a regular file", "Give the path of a design file.", file=path)
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(
                f"it has {path.stat().st_size:,} bytes, more than a design file can have ({LARGEST_FILE:,})",
                "Give the path of a design file; data belong in a file of their own, named by data.path.",
                file=path,
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", file=path) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"line {line} is not UTF-8 text", "Save the file as UTF-8.", file=path) from None
    return parse(text, path)


def parse(text: str, path: str | Path) -> Design:
    """Read the text of a design file; ``path`` is where messages say it is, and where relative paths begin.

    Raises
    ------
    UserError
        If it does not describe a design that can be built.
    """
    path = Path(path)
    values = _collect(path, _toml(path, text))
    try:
        return _Builder(path, text, values).design()
    except DesignError as error:
        left_out = "" if error.key in values else " (a value that was left out and derived)"
        raise UserError(f"{error.reason}{left_out}", error.remedy, file=path, key=error.key, value=error.value) from None


def read_values(values: Mapping[str, object], where: str) -> dict[str, Any]:
    """What values of dotted keys mean; ``where`` is what messages say they stand in.

    Raises
    ------
    UserError
        If a key is unknown, or does not take its value.
    """
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        *sections, name = dotted.split(".")
        table = tree
        for section in sections:
            table = table.setdefault(section, {})
        table[name] = value
    return _collect(Path(where), tree)


def _toml(path: Path, text: str) -> dict:
    if not text.strip():
        raise UserError("it is empty", "`mgd-hw new` writes a design file to start from.", file=path)
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        raise UserError("it is nested too deeply", "A design file needs no more than tables in tables.", file=path) from None
    except ValueError as error:  # TOMLDecodeError, and numbers longer than Python reads
        said = str(error)
        match = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)$", said)
        said = said[: match.start()].strip() if match else said
        if match and match[1]:
            place = f"line {match[1]}, column {match[2]}"
        elif match:
            place = f"line {text.count(chr(10)) + 1}, the end of the file"
        else:
            place, said = "a number", "it has more digits than are read"
        raise UserError(f"{place} is not TOML: {said}", "See https://toml.io, or start from what `mgd-hw new` writes.", file=path) from None


def _collect(path: Path, tree: dict) -> dict[str, Any]:
    """Check every key and value of a file; what was given, by dotted key."""
    known = {key.dotted: key for key in KEYS}
    values: dict[str, Any] = {}

    def walk(prefix: str, table: dict) -> None:
        for name, value in table.items():
            dotted = f"{prefix}.{name}" if prefix else name
            if dotted in SECTIONS:
                if not isinstance(value, dict):
                    raise UserError(
                        "it is a table, not a value", f"Write [{dotted}], and its keys below.", file=path, key=dotted, value=value
                    )
                walk(dotted, value)
            elif dotted not in known:
                raise _unknown(path, prefix, name, dotted)
            else:
                try:
                    values[dotted] = known[dotted].read(value)
                except Wrong as wrong:
                    raise UserError(wrong.args[0], wrong.args[1], file=path, key=dotted, value=value) from None

    walk("", tree)
    return values


def _unknown(path: Path, prefix: str, name: str, dotted: str) -> UserError:
    """A key that no file has, with the nearest that one can have: by its last part, in its own section if equally near."""

    def nearness(candidate: str) -> tuple[float, bool]:
        section, _, last = candidate.rpartition(".")
        return difflib.SequenceMatcher(None, name[:100], last).ratio(), section == prefix

    every = [*SECTIONS, *(key.dotted for key in KEYS)]
    nearest = max(every, key=nearness)
    siblings = [full.rpartition(".")[2] for full in every if full.rpartition(".")[0] == prefix]
    listed = f"Known {'in [' + prefix + ']' if prefix else 'at the top'}: {', '.join(siblings)}."
    hint = f"Did you mean {nearest}?" if nearness(nearest)[0] >= 0.6 else listed
    return UserError("there is no such key", hint, file=path, key=dotted[:100])


# -- Building ---------------------------------------------------------------------------------------------------------


class _Builder:
    """Fills in what a file leaves out, and notes it."""

    def __init__(self, path: Path, text: str, values: dict[str, Any]) -> None:
        self.path, self.text, self.values = path, text, values
        self.derived: list[Derived] = []

    def get(self, key: str, default: object, why: str | None = None, show: object = None) -> Any:
        """What the file says, or a default; noted when a reason is given."""
        if key in self.values:
            return self.values[key]
        if why is not None:
            self.derived.append(Derived(key, str(default if show is None else show), why))
        return default

    def refuse(self, key: str, reason: str, remedy: str, value: object = None) -> UserError:
        return UserError(reason, remedy, file=self.path, key=key, value=value)

    def design(self) -> Design:
        self.check_software()
        name = self.name()
        task = self.task()
        network = self.network(task)
        self.check_layers(network)
        data = self.data(task, network)
        seen = self.unscaled(data)
        formats_known = self.formats(network, data, seen)
        perturbation = self.perturbation(network, formats_known)
        optimizer = self.optimizer()
        schedule = self.schedule(network, perturbation, optimizer, seen)
        hardware = self.hardware(network, schedule)
        try:
            spec = DesignSpec(name, network, perturbation, schedule, optimizer, formats_known, hardware)
        except DesignError as error:
            if data.target_scaling is not Scaling.NONE or seen is None or seen.targets is None or "formats.activation" in self.values:
                raise
            reason = f"the targets reach from {seen.targets[0]:g} to {seen.targets[1]:g}, for which {error.key} is too wide: {error.reason}"
            raise self.refuse("data.target_scaling", reason, "Leave it out, so that targets are scaled.", "none") from None
        spec = self.within_accumulator(spec)
        self.note_formats(spec)
        return Design(self.path, self.text, spec, data, self.compare(spec, task), tuple(self.derived), self.software())

    def name(self) -> str:
        stem = re.sub(r"[^A-Za-z0-9_]", "_", self.path.stem)[:64] or "design"
        return str(self.get("name", stem, "the file's name"))

    def task(self) -> str:
        """The task, from its name or the ending of the path."""
        path = str(self.values.get("data.path", "")).lower()
        for ending in ("csv", "npz"):
            if "data.task" not in self.values and path.endswith(f".{ending}"):
                return str(self.get("data.task", ending, "the ending of data.path"))
        if "data.path" in self.values and "data.task" not in self.values:
            raise self.refuse(
                "data.task", "it was left out, and the ending of data.path does not say it", 'Add task = "mnist", say, to [data].'
            )
        if not {"data.task", "network.layers", "network.architecture"} & self.values.keys():
            raise self.refuse(
                "network.layers",
                "it was left out, and so was data.task, from which it would follow",
                "Write layers = [2, 4, 1], say, in [network].",
            )
        return str(self.get("data.task", "random", "no task was given: noise, enough to generate, co-simulate and synthesise"))

    def software(self) -> Software:
        """What no hardware does, all keys of which are checked against each other."""
        given, get = self.values, self.get
        name = str(get("optimizer.name", "sgd"))
        found = Software(
            architecture=str(get("network.architecture", "dense")),
            width=get("network.width", 1),
            code=str(get("perturbation.code", "lfsr")),
            apart=get("perturbation.apart", False),
            optimizer=name,
            options=tuple((key, given[f"optimizer.{key}"]) for key in OPTIMIZER_KEYS[name] if f"optimizer.{key}" in given),
            batch=get("learning.batch", 1),
            repeats=get("learning.repeats", 1),
            cost=str(get("learning.cost", "squared-error")),
            smoothing=get("learning.smoothing", 0.0),
            normalise=get("learning.normalise", False),
            decay=str(get("learning.decay", "constant")),
            precision=str(get("learning.precision", "float64")),
            sparing=get("learning.sparing", False),
            parts=get("learning.parts", None),
            groups=get("learning.groups", None),
            layer_factors=get("learning.layer_factors", None),
            form=str(get("learning.form", "discrete")),
            highpass=get("learning.highpass", 10.0),
            lowpass=get("learning.lowpass", 100.0),
            outside=self.outside(),
            device=tuple((key.removeprefix("device."), value) for key, value in given.items() if key.startswith("device.")),
        )
        built: dict[str, tuple] = {
            "network.architecture": ("dense",),
            "perturbation.code": tuple(CODES),
            "optimizer.name": tuple(OPTIMIZERS),
            "learning.batch": (1,),
            "learning.repeats": (1,),
            "learning.cost": ("squared-error",),
            "learning.decay": ("constant",),
            "learning.form": ("discrete",),
        }
        asks = tuple((key, given[key]) for key in ONLY_SOFTWARE if key in given and given[key] not in built.get(key, (False, 0.0)))
        if asks and len(get("schedule.learning_rate", ((0, 0),))) > 1:
            key, value = "schedule.learning_rate", [list(pair) for pair in given["schedule.learning_rate"]]
            raise self.refuse(key, f"a list of rates is the hardware's, and {ONLY_SOFTWARE[asks[0][0]]} has none", _ONE_RATE, value)
        return replace(found, asks=asks)

    def check_software(self) -> None:
        """Refuse keys that need another, or that do not go with it."""
        given = self.values
        analog = dict.fromkeys(("learning.highpass", "learning.lowpass"), ("learning.form", "analog"))
        outside = {f"outside.{key}": ("outside.command", None) for key in ("parameters", "frames", "timeout")}
        needed: dict[str, tuple[str, object]] = {"learning.smoothing": ("learning.cost", "cross-entropy"), **analog, **outside}
        needed |= dict.fromkeys(("device.weight_limit", "device.stochastic"), ("device.weight_step", None))
        for key, (other, value) in needed.items():
            if key in given and (other not in given or value not in (None, given[other])):
                shown = other + (f' = "{value}"' if value else "")
                raise self.refuse(key, f"only {shown} has it", f"Remove it, or give {shown}.", given[key])
        off = {"learning.form": "discrete"}
        for key, other, shown, why in CLASHES:
            if key in given and other in given and given[other] != off.get(other):
                raise self.refuse(key, f"it does not go with {shown}: {why}", f"Remove it, or {other}.")
        weight = given.get("perturbation.kind", Kind.NODE) is Kind.WEIGHT
        for key in ("learning.form", "outside.command"):
            if key in given and given[key] != off.get(key) and not weight:
                raise self.refuse(key, "only parameters can be perturbed there", 'Write kind = "weight" in [perturbation].', given[key])
        if given.get("learning.sparing") and weight:
            raise self.refuse("learning.sparing", "only nodes can be spared", 'Remove it, or write kind = "node" in [perturbation].', True)
        groups, batch = given.get("learning.groups"), given.get("learning.batch", 1)
        if groups is not None and not weight:
            reason = "in node perturbation each sample has a perturbation of its own"
            raise self.refuse("learning.groups", reason, 'Remove it, or write kind = "weight" in [perturbation].', groups)
        if groups is not None and groups > batch:
            raise self.refuse(
                "learning.groups", f"a batch has {batch} samples", "Give at most so many, or a larger learning.batch.", groups
            )
        if "learning.layer_factors" in given and given.get("optimizer.name") == "shift-adam":
            reason = "the rate of shift-adam is a shift"
            raise self.refuse(
                "learning.layer_factors", reason, "Remove it, or take another optimiser.", list(given["learning.layer_factors"])
            )

    def check_layers(self, network: Network) -> None:
        """Refuse what is given for other layers than the network has."""
        for key, count in (("learning.parts", lambda value: sum(together for together, _ in value)), ("learning.layer_factors", len)):
            if key in self.values:
                value, there = self.values[key], layer_count(str(self.get("network.architecture", "dense")), network)
                if count(value) != there:
                    shown = [list(each) if isinstance(each, tuple) else each for each in value]
                    reason = f"it is for {count(value)} layers, and the network has {there}"
                    raise self.refuse(key, reason, "Say something of every layer.", shown)

    def outside(self) -> Outside | None:
        """A forward pass outside."""
        if "outside.command" not in self.values:
            return None
        command = str(self.values["outside.command"])
        try:
            words = tuple(shlex.split(command))
        except ValueError:
            words = ()
        if not words:
            raise self.refuse("outside.command", "its quotation marks do not match", 'Write command = "python chip.py", say.', command)
        if "outside.parameters" not in self.values:
            reason = "it was left out, and nothing else says how many parameters the forward pass has"
            raise self.refuse("outside.parameters", reason, "Write parameters = 25, say, in [outside].")
        get = self.get
        return Outside(words, get("outside.parameters", 0), get("outside.frames", False), get("outside.timeout", 10.0))

    def convolutional(self, architecture: str, task: str) -> Network:
        """Inputs and outputs of a network whose layers are fixed."""
        ends = ARCHITECTURES[architecture]
        assert ends is not None
        for key in ("network.layers", "network.hidden", "network.output", "network.scheme"):
            if key in self.values:
                reason = f'network.architecture = "{architecture}" says what it is'
                raise self.refuse(key, reason, "Remove it.", self.values[key])
        facts = TASKS[task]
        if (facts.inputs is not None and facts.inputs != ends[0]) or (facts.outputs and ends[1] not in facts.outputs):
            reason = f'it has {ends[0]} inputs and {ends[1]} outputs, and data.task = "{task}" has not'
            raise self.refuse("network.architecture", reason, "Take another task, or another network.", architecture)
        return Network(ends, initial=Initialization(scale=self.get("network.scale", 1.0), seed=self.get("network.seed", 1)))

    def network(self, task: str) -> Network:
        usual = TASKS[task].layers
        architecture = str(self.get("network.architecture", "dense"))
        if architecture != "dense":
            return self.convolutional(architecture, task)
        if "network.width" in self.values:
            reason = "a dense network says how wide it is in network.layers"
            raise self.refuse("network.width", reason, "Remove it, or give network.architecture.", self.values["network.width"])
        if "network.layers" not in self.values and usual is None:
            raise self.refuse(
                "network.layers",
                f'it was left out, and does not follow from data.task = "{task}"',
                "Write layers = [4, 8, 3], say, in [network].",
            )
        sizes = self.get("network.layers", usual, f"usual for {task}", None if usual is None else list(usual))
        hidden = self.get("network.hidden", Activation.RELU)
        output = self.get("network.output", Activation.IDENTITY)
        deep = len(sizes) > 2
        rectifies = deep and hidden.rectifies
        scheme = Scheme.HE if rectifies else Scheme.GLOROT
        why = f"usual for {hidden.value}" if rectifies else "usual without relu"
        initial = Initialization(
            self.get("network.scheme", scheme, why, scheme.value),
            self.get("network.scale", 1.0),
            self.get("network.seed", 1),
        )
        return Network(sizes, hidden, output, initial)

    def data(self, task: str, network: Network) -> DataSpec:
        facts = TASKS[task]
        bipolar = network.output.bipolar
        files, answers = ([name for name, each in TASKS.items() if getattr(each, what)] for what in ("takes_path", "any_answers"))
        takers = {"data.path": files, "data.kind": answers, "data.target_scaling": answers}
        takers |= {f"data.{key}": ["csv"] for key in ("label", "drop", "header", "delimiter", "decimal")}
        for key, tasks in takers.items():
            if key in self.values and task not in tasks:
                listed = ", ".join(tasks)
                raise self.refuse(
                    key, f'data.task = "{task}" takes none', f"Remove it, or take one of these tasks: {listed}.", self.values[key]
                )
        if facts.needs_path and "data.path" not in self.values:
            raise self.refuse(
                "data.path",
                f'it was left out, and data.task = "{task}" needs it',
                f'Add path = "{"folder" if task == "idx" else "my." + task}" to [data].',
            )
        self.check_shape(task, network)
        get = self.get
        path = get("data.path", None)
        return DataSpec(
            task=task,
            n_in=network.n_in,
            n_out=network.n_out,
            design_file=self.path,
            path=None if path is None else (self.path.parent / Path(str(path)).expanduser()),
            kind=get("data.kind", None),
            label=get("data.label", None),
            drop=get("data.drop", ()),
            header=get("data.header", None),
            delimiter=get("data.delimiter", None),
            decimal=get("data.decimal", None),
            scaling=get("data.scaling", facts.scaling),
            target_scaling=get("data.target_scaling", Scaling.COLUMN),
            target_values=get(
                "data.target_values", (-1.0, 1.0) if bipolar else (0.0, 1.0), f"the output is {network.output.value}" if bipolar else None
            ),
            test_fraction=get("data.test_fraction", facts.test_fraction),
            validation_fraction=get("data.validation_fraction", 0.0),
            split_seed=get("data.split_seed", 0),
            stratify=get("data.stratify", False),
            train_samples=get("data.train_samples", None),
            test_samples=get("data.test_samples", None),
            shuffle=get("data.shuffle", True),
            shuffle_seed=get("data.shuffle_seed", 1),
        )

    def check_shape(self, task: str, network: Network) -> None:
        facts, sizes = TASKS[task], list(network.sizes)
        if facts.inputs is not None and network.n_in != facts.inputs:
            raise self.refuse(
                "network.layers", f'data.task = "{task}" has {facts.inputs} inputs', f"Begin the list with {facts.inputs}.", sizes
            )
        if task == "parity" and network.n_in > 16:
            raise self.refuse("network.layers", "parity is built for 1 to 16 bits", "Begin the list with 4, say.", sizes)
        if facts.outputs and network.n_out not in facts.outputs:
            outputs = " or ".join(map(str, facts.outputs))
            raise self.refuse(
                "network.layers", f'data.task = "{task}" takes {outputs} outputs', f"End the list with {facts.outputs[0]}.", sizes
            )

    def unscaled(self, data: DataSpec) -> Ranges | None:
        """Ranges of the samples, where something that was left out follows from them: only values that are not scaled have any range."""
        followers = ["formats.input", "schedule.learning_rate"] if data.scaling is Scaling.NONE else []
        followers += ["formats.activation"] if data.target_scaling is Scaling.NONE else []
        if not any(key not in self.values for key in followers):
            return None
        found = ranges(data)
        return found if data.scaling is Scaling.NONE else replace(found, power=0.0)

    def formats(self, network: Network, data: DataSpec, seen: Ranges | None) -> Formats:
        used = {network.output} | ({network.hidden} if len(network.sizes) > 2 else set())
        scaled = data.scaling is not Scaling.NONE
        bounded = all(function.bounded for function in used)
        signed = any(function.signed for function in used) or min(data.target_values) < 0
        activation = Fixed(signed, (2 if bounded else 4), 10)
        low, high = data.target_values
        shown = " and ".join(sorted(function.value for function in used))
        while activation.max < high * 2**10 or activation.min > low * 2**10:
            activation = replace(activation, integer_bits=activation.integer_bits + 1)
        if seen is not None and seen.targets is not None and data.target_scaling is Scaling.NONE:
            shown += f", and targets reach from {seen.targets[0]:g} to {seen.targets[1]:g}"
            activation = covering(*seen.targets, activation, UNSCALED_TARGET_BITS)
        get = self.get
        unscaled, why = Fixed(True, 4, 8), "inputs are not scaled"
        if seen is not None:
            unscaled = covering(*seen.inputs, unscaled, UNSCALED_BITS)
            why = f"inputs are not scaled, and reach from {seen.inputs[0]:g} to {seen.inputs[1]:g}"

        def cast(name: str, rounding: Rounding) -> Cast:
            return Cast(get(f"formats.rounding.{name}", rounding), get(f"formats.overflow.{name}", Overflow.SATURATE))

        return Formats(
            input=get(
                "formats.input",
                Fixed(False, 0, 8) if scaled else unscaled,
                "inputs from 0 to 1" if scaled else why,
            ),
            weight=get("formats.weight", Fixed(True, 4, 12), "the usual"),
            activation=get("formats.activation", activation, f"activations are {shown}"),
            table=get("formats.table", Fixed(True, 4, 6), "the usual" if any(function.tabulated for function in used) else None),
            cost_change=get("formats.cost_change", None),
            gradient=get("formats.gradient", None),
            activation_cast=cast("activation", Rounding.HALF_EVEN),
            cost_change_cast=cast("cost_change", Rounding.HALF_EVEN),
            gradient_cast=cast("gradient", Rounding.FLOOR),
            weight_cast=cast("weight", Rounding.STOCHASTIC),
        )

    def perturbation(self, network: Network, formats: Formats) -> Perturbation:
        kind = self.get("perturbation.kind", Kind.NODE, "one perturbation per neuron learns faster than one per weight", Kind.NODE.value)
        places = [formats.weight.fraction_bits]
        if kind is Kind.NODE:
            operands = [formats.input] + [formats.activation] * (len(network.sizes) > 2)
            places = [formats.weight.fraction_bits + operand.fraction_bits for operand in operands]
            places += [formats.table.fraction_bits] * any(layer.activation.tabulated for layer in network.layers)
        amplitude = max(-6, -min(places))
        why = "the usual" if amplitude == -6 else "the last place of what is perturbed"
        code = str(self.get("perturbation.code", "lfsr"))
        return Perturbation(
            kind,
            LfsrCode() if code in FLOAT_CODES else CODES[code](),  # a code without hardware stands in `software` alone
            self.get("perturbation.amplitude", amplitude, why, f"2^{amplitude}"),
            self.get("perturbation.seed", 1),
        )

    def optimizer(self) -> Optimizer:
        """The optimiser of the machine; one that no machine has is in :meth:`software`."""
        chosen = str(self.get("optimizer.name", "sgd"))
        for name in dict.fromkeys(key for keys in OPTIMIZER_KEYS.values() for key in keys):
            if f"optimizer.{name}" in self.values and name not in OPTIMIZER_KEYS[chosen]:
                owners = " or ".join(f'"{owner}"' for owner, keys in OPTIMIZER_KEYS.items() if name in keys)
                raise self.refuse(f"optimizer.{name}", f"only optimizer.name = {owners} has it", f"Remove it, or write name = {owners}.")
        if chosen in FLOAT_OPTIMIZERS:
            return Sgd()  # an optimiser without hardware stands in `software` alone
        kind = OPTIMIZERS[chosen]
        return kind(**{name: self.values[f"optimizer.{name}"] for name in OPTIMIZER_KEYS[chosen] if f"optimizer.{name}" in self.values})

    def schedule(self, network: Network, perturbation: Perturbation, optimizer: Optimizer, seen: Ranges | None) -> Schedule:
        period = self.get("schedule.update_period", 1)
        fan_in = max(network.sizes[:-1])
        power = 0.3 * fan_in if seen is None else max(0.3 * fan_in, seen.power)
        quantities = network.n_neurons if perturbation.kind is Kind.NODE else network.n_parameters
        gain, chosen = optimizer.gain_log2, str(self.get("optimizer.name", "sgd"))
        if gain is None or chosen in NORMALISED:
            usual = -9
            fixed = self.get("schedule.learning_rate", ((0, usual),), f"usual for {chosen}", usual)
            return self.periods(fixed, period)
        # A step along x is stable for η·2‖x‖² < 1; the noise of D perturbations, averaged over τ_θ, makes that (τ_θ + D).
        rate = max(-48, -math.ceil(math.log2(2 * (power + 1) * (quantities + period))) - gain)
        said = f"fan-in {fan_in}" if power == 0.3 * fan_in else f"‖x‖² = {power:.3g} in the mean, since inputs are not scaled"
        why = f"{said}, {quantities} perturbed quantities, τ_θ = {period}" + (f", {chosen} moves 2^{gain} times as far" if gain else "")
        return self.periods(self.get("schedule.learning_rate", ((0, rate),), why, rate), period)

    def periods(self, learning_rate: tuple[tuple[int, int], ...], period: int) -> Schedule:
        return Schedule(
            learning_rate=learning_rate,
            perturbation_period=self.get("schedule.perturbation_period", 1),
            sample_period=self.get("schedule.sample_period", 1),
            update_period=period,
            difference=self.get("schedule.difference", Difference.ONE_SIDED),
        )

    def hardware(self, network: Network, schedule: Schedule) -> Hardware:
        widest = max(network.sizes[1:])
        why = "what a small FPGA has multipliers for" if widest > 6 else "the widest layer"
        memory = self.get("hardware.gradient_memory", None)
        if memory is None:
            self.derived.append(
                Derived("hardware.gradient_memory", str(schedule.update_period > 1).lower(), f"update_period = {schedule.update_period}")
            )
        return Hardware(self.get("hardware.lanes", min(6, widest), why), memory, self.get("hardware.signature", True))

    def within_accumulator(self, spec: DesignSpec) -> DesignSpec:
        """Take a fraction bit from a format that was left out, if just that keeps the sums within a multiplier block."""
        for name in ("activation", "weight"):
            if spec.accumulator_width <= DSP_ACCUMULATOR:
                break
            key, wide = f"formats.{name}", getattr(spec.formats, name)
            narrow = replace(wide, fraction_bits=wide.fraction_bits - 1)
            if key in self.values:
                continue
            try:
                found = replace(spec, formats=replace(spec.formats, **{name: narrow}))
            except DesignError:  # an amplitude that the file gives may need the bit
                continue
            if found.accumulator_width <= DSP_ACCUMULATOR:
                why = f"a bit less than {wide}, so that sums stay within {DSP_ACCUMULATOR} bits"
                self.derived = [Derived(key, str(narrow), why) if row.key == key else row for row in self.derived]
                return found
        return spec

    def note_formats(self, spec: DesignSpec) -> None:
        """Note the formats that the spec derives by itself."""
        self.get("formats.cost_change", None, "exact difference of two costs", spec.cost_change_format)
        self.get("formats.gradient", None, "range of a weight, 8 fraction bits more", spec.gradient_format)
        for variable in spec.optimizer_state:
            self.get(variable.key, None, variable.default, variable.format)

    def compare(self, spec: DesignSpec, task: str) -> CompareSpec:
        period = spec.schedule.update_period
        steps = min(200_000, max(10_000, 10 * spec.quantities * period))
        steps = max(steps, 2 * spec.schedule.learning_rate[-1][0])
        get = self.get
        return CompareSpec(
            get("compare.steps", steps, "enough to see it learn"),
            get("compare.seeds", 3),
            get("compare.backprop_epochs", None),
            get("compare.backprop_rate", 0.003),
            get("compare.backprop_batch", 32),
        )
