"""A design file that was read and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mgd_hw.data.tasks import DataSpec
from mgd_hw.design.float_only import ONLY_SOFTWARE, Software
from mgd_hw.errors import UserError
from python_ref.spec.design import DesignSpec

__all__ = ["CompareSpec", "Derived", "Design", "check_hardware"]


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


def check_hardware(design: Design) -> None:
    """Refuse what no hardware does.

    Raises
    ------
    UserError
        If the design asks for such a thing; it names the first.
    """
    for key, value in design.software.asks:
        shown = {"optimizer.name": "sgd or momentum", "network.architecture": "dense", "perturbation.code": "lfsr, walsh or sequential"}
        change = f"Take {shown[key]}" if key in shown else "Remove it"
        reason = f"{ONLY_SOFTWARE[key]} has no hardware yet"
        remedy = f"`mgd-hw compare` and `mgd-hw diagnose` run it. {change} to build the design."
        raise UserError(reason, remedy, file=design.path, key=key, value=value)
