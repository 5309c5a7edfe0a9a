"""Checked contents of a design file, with the values derived from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import DataSpec
from mgd_hw.design.float_only import FLOAT_ONLY_KEYS, FloatOnly
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES

__all__ = ["CompareSpec", "Derived", "Design", "check_hardware"]


@dataclass(frozen=True)
class Derived:
    """A value that a design file leaves out, and that is derived from its other values.

    Attributes
    ----------
    key : str
        Dotted key of the design file, such as ``"formats.weight"``.
    value : str
        The derived value, as a design file would write it.
    why : str
        The reason for this value, as a clause.
    """

    key: str
    value: str
    why: str


@dataclass(frozen=True)
class CompareSpec:
    """Default settings of ``mgd-hw compare``, which its options override.

    Attributes
    ----------
    steps : int
        Number of steps that each run trains.
    seeds : int
        Number of runs, each with a different seed.
    backprop_epochs : int or None
        Number of epochs of back-propagation; None derives it from the samples.
    backprop_rate : float
        Learning rate of back-propagation.
    backprop_batch : int
        Number of samples in an update of back-propagation.
    """

    steps: int
    seeds: int
    backprop_epochs: int | None
    backprop_rate: float
    backprop_batch: int


@dataclass(frozen=True)
class Design:
    """Design that was read from a file and checked.

    Attributes
    ----------
    path : Path
        Path of the design file.
    text : str
        Text of the design file.
    spec : DesignSpec
        The machine that the file describes.
    data : DataSpec
        The task, and how its samples are read, scaled and split.
    compare : CompareSpec
        Settings of a comparison that its options may override.
    derived : tuple of Derived
        The values that the file leaves out, in the order they were derived.
    float_only : FloatOnly
        Requests of the file that only the float model can meet. If the network is not dense, ``spec.network`` has only its inputs
        and outputs.
    raw : RawSamples or None
        Samples as read from their file, if a value was derived from them; None if they have not been read.
    """

    path: Path
    text: str
    spec: DesignSpec
    data: DataSpec
    compare: CompareSpec
    derived: tuple[Derived, ...]
    float_only: FloatOnly = FloatOnly()
    raw: RawSamples | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Name of the design, from which the name of its Verilog module follows."""
        return self.spec.name

    def with_seed(self, seed: int) -> Design:
        """Return a copy with another seed for initial parameters, signs, stochastic rounding and order of samples."""
        initial = replace(self.spec.network.initial, seed=seed)
        spec = replace(
            self.spec,
            network=replace(self.spec.network, initial=initial),
            perturbation=replace(self.spec.perturbation, seed=seed),
        )
        return replace(self, spec=spec, data=replace(self.data, shuffle_seed=seed))


def _either(names: Iterable[str]) -> str:
    """Join names to a choice for a sentence, such as "lfsr, walsh or sequential"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def check_hardware(design: Design) -> None:
    """Check that hardware can do everything that a design requests.

    Raises
    ------
    Refusal
        If it requests something that only the float model can do; the message names the first such key.
    """
    for key, value in design.float_only.requests:
        shown = {"optimizer.name": _either(OPTIMIZERS), "network.architecture": "dense", "perturbation.code": _either(CODES)}
        change = f"Take {shown[key]}" if key in shown else "Remove it"
        reason = f"{FLOAT_ONLY_KEYS[key]} has no hardware yet"
        remedy = f"`mgd-hw compare` and `mgd-hw diagnose` run it. {change} to build the design."
        raise Refusal(reason, remedy, file=design.path, key=key, value=value)
