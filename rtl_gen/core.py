# amaranth: UnusedElaboratable=no
"""The core of a design: the class that the kind of its machine needs, and the cycle contract that follows from its blocks."""

from __future__ import annotations

from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import unknown
from rtl_gen.presentation.contract import PresentationContract
from rtl_gen.presentation.core import NodeCore
from rtl_gen.presentation.random_core import RandomCore
from rtl_gen.series.core import SeriesCore
from rtl_gen.series.weight_core import SeriesWeightCore
from rtl_gen.weight_core import Contract, Core

__all__ = ["Contract", "Core", "contract", "core_class", "core_of"]


_CORES: dict[tuple[MachineKind, bool], type[Core] | type[NodeCore]] = {
    (MachineKind.WEIGHT, False): Core,
    (MachineKind.NODE, False): NodeCore,
    (MachineKind.NODE, True): RandomCore,
    (MachineKind.SERIES, False): SeriesCore,
    (MachineKind.SERIES_WEIGHT, False): SeriesWeightCore,
}
"""The class of the core of each machine, and of a network with or without random outputs."""


def core_class(spec: DesignSpec) -> type[Core] | type[NodeCore]:
    """Return the class of a design's core, which depends on the machine that computes its steps.

    Raises
    ------
    TypeError
        If there is no core for the machine, or the design is no network.
    """
    if not isinstance(spec, DesignSpec):
        raise unknown("Design", spec, "rtl_gen.core.core_class")
    kind = spec.machine, spec.network.random
    if kind not in _CORES:
        raise unknown("Machine", spec.machine, "rtl_gen.core._CORES")
    return _CORES[kind]


def core_of(spec: DesignSpec, *, starved_port: bool = False) -> Core | NodeCore:
    """Return the core of a design, with its port ``starved`` if a wrapper needs that; see :func:`core_class`."""
    return core_class(spec)(spec, starved_port=starved_port)


def contract(spec: DesignSpec) -> Contract | PresentationContract:
    """Return the cycle contract of a design's core."""
    return core_of(spec).contract
