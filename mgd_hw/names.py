"""Names that a Verilog module cannot have."""

from __future__ import annotations

import re

__all__ = ["KEYWORDS", "reserved_word"]

KEYWORDS = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins binsof bit
    break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const constraint context
    continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge else end endcase endchecker
    endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram
    endproperty endspecify endsequence endtable endtask enum event eventually expect export extends extern final first_match for
    force foreach forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins
    implements implies import incdir include initial inout input inside instance int integer interconnect interface intersect join
    join_any join_none large let liblist library local localparam logic longint macromodule matches medium modport module nand
    negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge
    primitive priority program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand
    randc randcase randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
    rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small
    soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on
    table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type
    typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait wait_order wand weak
    weak0 weak1 while wildcard wire with within wor xnor xor
    """.split()  # noqa: SIM905 - two hundred words read better unquoted
)
"""Keywords of IEEE 1800-2017, Annex B (table B.1), which include those of Verilog."""

_PRIMITIVES = re.compile(
    r"SB_\w+|ICESTORM_\w+|"  # iCE40
    r"TRELLIS_\w+|EHXPLLL|MULT\d+X\d+\w*|ALU54\w|DP16KD|PDPW16KD|CCU2C|PFUMX|L6MUX21|LUT4|DCCA|"  # ECP5
    r"SDPX?9?B?|DPX?9?B?|SPX?9?|rPLL|r?PLL\w*|MULTALU\w+|MULTADDALU\w+|ALU|DFF\w*|LUT\d\w*|MUX2_\w+|"  # Gowin
    r"RAMB\w+|DSP48\w*|CARRY[48]|FD[RSPC]E\w*|BUFG\w*|IBUF\w*|OBUF\w*|SRL\w+|MMCME2\w*|PLLE2\w*|RAM\d+\w+|INV|MUXF\d|"  # Xilinx
    r"GSR|GND|VCC|VLO|VHI",
    re.IGNORECASE,
)

_TAKEN = frozenset({"clk", "rst", "top", "sync", "busy", "request", "response", "sample", "main", "work", "std"})
"""Ports and domains of a core, and names that tools keep for themselves."""


def reserved_word(name: str) -> str | None:
    """What stands in the way of a module called ``name``; None if nothing does."""
    if name in KEYWORDS:
        return "a keyword of Verilog"
    if _PRIMITIVES.fullmatch(name):
        return "the name of a library cell"
    if name.lower() in _TAKEN or name.startswith("probe_"):
        return "a name that the tools or the ports of a core use"
    return None
