"""The LiteX module of a core behind Wishbone: a Python file that a SoC imports, without this project."""

from __future__ import annotations

from python_ref.spec.bus import ADDRESS_BITS, Bus, SampleSource, sample_words, stream_bits, wrapper_name
from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec

__all__ = ["litex_file", "litex_module"]

ORIGIN = 0xA000_0000
"""Default address of the window: LiteX's 32-bit processors do not cache from 0x80000000 on, and its peripherals end elsewhere."""

_MODULE = '''\
"""LiteX module of {design}, a core that trains itself by multiplexed gradient descent; structure {digest}.

    from {module} import add_learner

    add_learner(soc, platform)

gives a SoC the core, its window of {size:,} bytes and its interrupt. The file design.v lies beside this one.
"""

from pathlib import Path

from litex.gen import LiteXModule
from litex.soc.integration.soc import SoCRegion
from litex.soc.interconnect import {imports}
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import C, Cat, ClockSignal, Instance, ResetSignal

WINDOW = 0x{size:x}


class Learner(LiteXModule):
    """The core as a slave of a Wishbone bus, with an event while its interrupt is raised.

    Its registers are described in registers.rdl, and their byte addresses begin at that of its window.{sink_doc}
    """

    def __init__(self, platform):
        self.bus = bus = wishbone.Interface(data_width=32, adr_width=30)
{sink}        self.ev = EventManager()
        self.ev.core = EventSourceLevel(description="The core's interrupt, which its register interrupt_enable enables.")
        self.ev.finalize()
        self.specials += Instance(
            "{top}",
            i_wb_clk_i=ClockSignal("sys"),
            i_wb_rst_i=ResetSignal("sys"),
            i_wb_adr_i=Cat(C(0, 2), bus.adr[:{words}]),
            i_wb_dat_i=bus.dat_w,
            i_wb_sel_i=bus.sel,
            i_wb_we_i=bus.we,
            i_wb_cyc_i=bus.cyc,
            i_wb_stb_i=bus.stb,
            o_wb_dat_o=bus.dat_r,
            o_wb_ack_o=bus.ack,
            o_wb_err_o=bus.err,
{ports}            o_irq=self.ev.core.trigger,
        )
        platform.add_source(str(Path(__file__).resolve().with_name("design.v")))


def add_learner(soc, platform, name="{name}", address=0x{origin:x}):
    """Add the core to a SoC, at an address among those that its processor does not cache, and return its module."""
    learner = Learner(platform)
    soc.add_module(name=name, module=learner)
    soc.bus.add_slave(name, learner.bus, SoCRegion(origin=address, size=WINDOW, cached=False))
    if soc.irq.enabled:
        soc.irq.add(name, use_loc_if_exists=True)
    return learner
'''

_SINK = """\
        self.sink = sink = stream.Endpoint([("data", {bits})])
"""
_SINK_PORTS = """\
            i_s_axis_tdata=sink.data,
            i_s_axis_tvalid=sink.valid,
            i_s_axis_tlast=sink.last,
            o_s_axis_tready=sink.ready,
"""


def litex_file(spec: LearningSpec) -> str:
    """Return the name of the Python file, whose stem is the module's."""
    return f"mgd_{spec.name}_litex.py"


def litex_module(spec: LearningSpec, samples: SampleSource) -> str:
    """Return the text of the module; with samples as an AXI4-Stream it has a sink for them."""
    streamed, frame, bits = samples is SampleSource.AXI4_STREAM, "", 0
    if streamed:
        assert isinstance(spec, DesignSpec), "a learner has no samples"
        frame, bits = f"\n    Samples enter by sink, a frame of {sample_words(spec)} words for each.", stream_bits(spec)
    return _MODULE.format(
        design=spec.name,
        digest=spec.digest,
        module=litex_file(spec).removesuffix(".py"),
        name=f"mgd_{spec.name}",
        top=wrapper_name(spec, Bus.WISHBONE),
        size=1 << ADDRESS_BITS,
        origin=ORIGIN,
        words=ADDRESS_BITS - 2,
        imports="stream, wishbone" if streamed else "wishbone",
        sink_doc=frame,
        sink=_SINK.format(bits=bits) if streamed else "",
        ports=_SINK_PORTS if streamed else "",
    )
