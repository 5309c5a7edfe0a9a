"""The LiteX module of a core behind Wishbone: LiteX itself makes a SoC of it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from python_ref.spec.bus import Bus, SampleSource, wrapper_name
from rtl_gen.bus.litex import litex_file
from rtl_gen.bus.top import emit_bus
from tests.support.faults import DESIGNS

SPEC = DESIGNS["weight"]
SIGNALS = {
    **{f"wb_{name}_i": f"bus_{name}" for name in ("sel", "we", "cyc", "stb")},
    "wb_dat_i": "bus_dat_w",
    "wb_dat_o": "bus_dat_r",
    "wb_ack_o": "bus_ack",
    "wb_err_o": "bus_err",
    "irq": "trigger",
    "wb_clk_i": "sys_clk",
    "wb_rst_i": "sys_rst",
}
"""Ports of the core, and how the names of LiteX's signals at them end."""


def module_of(folder: Path) -> ModuleType:
    """The module in a folder, imported."""
    path = folder / litex_file(SPEC)
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def soc_of(learner: ModuleType, **options: Any) -> tuple[Any, str]:
    """A SoC without a processor that has the core, and its Verilog."""
    from litex.build.generic_platform import GenericPlatform, Pins
    from litex.build.io import CRG
    from litex.soc.integration.soc_core import SoCMini

    platform = GenericPlatform("simulated", [("clk", 0, Pins(1)), ("rst", 0, Pins(1))])
    with contextlib.redirect_stderr(io.StringIO()):  # in which LiteX reports
        soc = SoCMini(platform, 1_000_000)
        soc.crg = CRG(platform.request("clk"), platform.request("rst"))
        soc.learner = learner.add_learner(soc, platform, **options)
        soc.finalize()
        return soc, str(platform.get_verilog(soc, name="soc"))


@pytest.mark.parametrize("samples", SampleSource)
def test_a_soc_has_the_core(samples: SampleSource, tmp_path: Path) -> None:
    """Its instance names every port of the core's Verilog and no other, and the window lies where it should."""
    emit_bus(SPEC, Bus.WISHBONE, samples, tmp_path)
    top = wrapper_name(SPEC, Bus.WISHBONE)
    learner = module_of(tmp_path)
    soc, verilog = soc_of(learner) if samples is SampleSource.BUS else soc_of(learner, address=0xB0000000)
    region = soc.bus.regions[f"mgd_{SPEC.name}"]
    assert (region.origin, region.size) == (0xA0000000 if samples is SampleSource.BUS else 0xB0000000, 4096)
    instance = re.search(rf"^{top} .*?\);$", verilog, re.MULTILINE | re.DOTALL)
    declared = re.search(rf"^module {top}\((.*?)\);", (tmp_path / "design.v").read_text(), re.MULTILINE | re.DOTALL)
    assert instance and declared
    connected = dict(re.findall(r"\.(\w+)\s*\((.*?)\),?$", instance[0], re.MULTILINE))
    assert connected.keys() == {name.strip() for name in declared[1].split(",")}
    assert re.fullmatch(r"\{\w*adr\[9:0\], 2'd0\}", connected["wb_adr_i"])  # LiteX counts words
    assert all(re.search(rf"{end}$", connected[port]) for port, end in SIGNALS.items())
    assert hasattr(soc.learner, "sink") == (samples is SampleSource.AXI4_STREAM)
    assert [path for path, *_ in soc.platform.sources] == [str(tmp_path.resolve() / "design.v")]
