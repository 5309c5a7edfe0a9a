# amaranth: UnusedElaboratable=no
"""The IP-XACT component of a core behind a bus (IEEE 1685-2014): its bus interfaces, ports and files beside its memory map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from python_ref.spec.bus import Bus, Feeding, SampleSource
from python_ref.spec.error import unknown
from python_ref.spec.learning import LearningSpec
from rtl_gen.bus.top import bus_component
from rtl_gen.emit import VERILOG

__all__ = ["completed_component"]

_SPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_BEFORE_MEMORY_MAPS = 4
"""Vendor, library, name and version, behind which the schema has bus interfaces."""


class _Interface(NamedTuple):
    """A bus definition that is not ours.

    Attributes
    ----------
    name : str
        Name of the interface in the component.
    definition : tuple of str
        Vendor, library, name and version of the bus definition.
    abstraction : str
        Name of its abstraction definition, which has the logical names of the ports.
    prefix : str
        Beginning of the names of the ports; what follows, in upper case, is the logical name.
    clock, reset : str
        Logical names of the clock and the reset.
    """

    name: str
    definition: tuple[str, str, str, str]
    abstraction: str
    prefix: str
    clock: str
    reset: str


_BUSES: dict[Bus, _Interface] = {
    Bus.AXI4_LITE: _Interface("s_axi", ("amba.com", "AMBA4", "AXI4-Lite", "r0p0"), "AXI4-Lite_rtl", "s_axi_", "ACLK", "ARESETn"),
    Bus.WISHBONE: _Interface("wb", ("opencores.org", "interface", "wishbone", "b4"), "wishbone_rtl", "wb_", "CLK_I", "RST_I"),
}
"""The bus definition of each bus: that of Arm, and that of the Wishbone specification's publisher."""

_STREAM = _Interface("s_axis", ("amba.com", "AMBA4", "AXI4Stream", "r0p0"), "AXI4Stream_rtl", "s_axis_", "ACLK", "ARESETn")
"""That of the stream of samples."""

_VERSION = ("vendor", "library", "name", "version")


def completed_component(text: str, spec: LearningSpec, bus: Bus, samples: Feeding) -> str:
    """Return an IP-XACT component with bus interfaces, ports and files, of which a tool can make an instance.

    Parameters
    ----------
    text : str
        Component with the memory map alone, as PeakRDL derives it from SystemRDL.
    spec : LearningSpec
        The design of the core.
    bus : Bus
        Bus that the core is behind, whose bus definition the component names.
    samples : SampleSource or OutsidePorts
        Where samples come from.
    """
    if bus not in _BUSES:
        raise unknown("Bus", bus, "rtl_gen.bus.ipxact._BUSES")
    ElementTree.register_namespace("ipxact", _SPACE)
    ElementTree.register_namespace("xsi", _SCHEMA)
    component = ElementTree.fromstring(text)
    top = bus_component(spec, bus, samples)
    flat = ((path, member) for path, member, _ in top.signature.flatten(top))
    ports = {"__".join(map(str, path)): (member.flow == In, Shape.cast(member.shape).width) for path, member in flat}
    shared = (top.port.clock, top.port.reset)
    memory_map = component.findtext(_tag("memoryMaps/memoryMap/name")) or ""
    interfaces = _make("busInterfaces")
    interfaces.append(_interface(_BUSES[bus], ports, shared, memory_map))
    if samples is SampleSource.AXI4_STREAM:
        interfaces.append(_interface(_STREAM, ports, shared, None))
    component.insert(_BEFORE_MEMORY_MAPS, interfaces)
    at = list(component).index(_found(component, "memoryMaps")) + 1
    component.insert(at, _model(component.findtext(_tag("name")) or "", ports))
    source = _make("file", ("name", VERILOG), ("fileType", "verilogSource"))
    component.insert(at + 1, _make("fileSets", _make("fileSet", ("name", "rtl"), source)))
    ElementTree.indent(component)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(component, encoding="unicode") + "\n"


def _tag(path: str) -> str:
    """A path of elements, all of them in the name space of IP-XACT."""
    return "/".join(f"{{{_SPACE}}}{name}" for name in path.split("/"))


def _make(element: str, /, *children: ElementTree.Element | tuple[str, str], **attributes: str) -> ElementTree.Element:
    """An element; a child that is a pair is the name and the text of an element."""
    made = ElementTree.Element(_tag(element), attributes)
    for child in children:
        if isinstance(child, tuple):
            ElementTree.SubElement(made, _tag(child[0])).text = child[1]
        else:
            made.append(child)
    return made


def _found(component: ElementTree.Element, name: str) -> ElementTree.Element:
    found = component.find(_tag(name))
    assert found is not None, f"PeakRDL writes {name}"
    return found


def _interface(
    definition: _Interface, ports: Mapping[str, tuple[bool, int]], shared: tuple[str, str], memory_map: str | None
) -> ElementTree.Element:
    """A slave of a bus, whose registers are those of a memory map; a stream has none."""
    ours = [name for name in ports if name.startswith(definition.prefix) and name not in shared]
    logical = dict(zip(shared, (definition.clock, definition.reset), strict=True))
    logical |= {name: name.removeprefix(definition.prefix).upper() for name in ours}
    maps = (
        _make("portMap", _make("logicalPort", ("name", theirs)), _make("physicalPort", ("name", name))) for name, theirs in logical.items()
    )
    vendor, library, _, version = definition.definition
    reference = _make("abstractionRef", **dict(zip(_VERSION, (vendor, library, definition.abstraction, version), strict=True)))
    mode = _make("slave") if memory_map is None else _make("slave", _make("memoryMapRef", memoryMapRef=memory_map))
    return _make(
        "busInterface",
        ("name", definition.name),
        _make("busType", **dict(zip(_VERSION, definition.definition, strict=True))),
        _make("abstractionTypes", _make("abstractionType", reference, _make("portMaps", *maps))),
        mode,
    )


def _model(module: str, ports: Mapping[str, tuple[bool, int]]) -> ElementTree.Element:
    """The view of the Verilog, and the ports."""
    view = _make("view", ("name", "rtl"), ("componentInstantiationRef", "verilog"))
    instance = _make(
        "componentInstantiation",
        ("name", "verilog"),
        ("language", "verilog"),
        ("moduleName", module),
        _make("fileSetRef", ("localName", "rtl")),
    )
    described = (_port(name, *port) for name, port in ports.items())
    return _make("model", _make("views", view), _make("instantiations", instance), _make("ports", *described))


def _port(name: str, enters: bool, width: int) -> ElementTree.Element:
    """A port by its name, whether it is an input, and its width."""
    wire = _make("wire", ("direction", "in" if enters else "out"))
    if width > 1:
        wire.append(_make("vectors", _make("vector", ("left", str(width - 1)), ("right", "0"))))
    return _make("port", ("name", name), wire)
