"""Reports of timing, read."""

from __future__ import annotations

import json

import pytest

from boards.flow.timing import component, of_icetime, of_nextpnr, read_report

ICETIME = """
Report for critical path:
-------------------------

        lc40_4_11_4 (LogicCell40) [clk] -> lcout: 1.491 ns
     1.491 ns net_16335 (linked.core.controller.old_SB_LUT4_I0_O[1])
        odrv_4_11_16335_20293 (Odrv12) I -> O: 1.232 ns
     6.947 ns net_76756 (linked.core.array.lane3.mac.o[1])

Total number of logic levels: 1
Total path delay: 25.00 ns (40.00 MHz)
"""


def hop(start: str, end: str) -> dict:
    return {"delay": 1.0, "type": "routing", "from": {"cell": start, "port": "O"}, "to": {"cell": end, "port": "I"}}


REPORT = {
    "fmax": {"core": {"achieved": 40.5, "constraint": 60.0}, "other": {"achieved": 300.0, "constraint": 12.0}},
    "utilization": {"LC": {"used": 7, "available": 9}, "PLL": {"used": 0, "available": 1}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge core", "path": [hop("rx", "linked.synchronizer.stage0")]},
        {"from": "posedge core", "to": "posedge core", "path": [hop("linked.framing.a", "x"), hop("x", "linked.core.broadcast$12.b")]},
    ],
}


def test_icetime() -> None:
    found = of_icetime(ICETIME)
    assert (found.mhz, found.start, found.end) == (40.0, "controller", "lanes")
    with pytest.raises(ValueError, match=r"^Report must have a total path delay$"):
        of_icetime(ICETIME.replace("Total path", "Some path"))


def test_nextpnr() -> None:
    timing, used = read_report(json.dumps(REPORT))
    assert (timing.mhz, timing.start, timing.end) == (40.5, "link", "broadcast")
    assert used == {"LC": (7, 9)}
    with pytest.raises(ValueError, match=r"^Report must have a clock's frequency$"):
        of_nextpnr({"fmax": {}})


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("linked.core.array.lane12$300.mac.product", "lanes"),
        ("linked.core.array$7.live", "array"),
        ("linked.core.busy", "core"),
        ("linked.uart.wait", "link"),
        ("$nextpnr_ICESTORM_LC_4", "place and route"),  # names as nextpnr's three programs write them
        ("$PACKER_VCC_DRV", "place and route"),
        ("$gbuf_$PACKER_GND_NET_$glb_clk", "place and route"),
        ("GSR", "place and route"),
        ("$gbuf_linked.core.broadcast$14.amount_SB_DFFESR_Q_E_SB_LUT4_O_I3_SB_LUT4_I2_7_O_$glb_ce", "broadcast"),
        ("$gbuf_linked.framing.receiver.content__valid_SB_DFFSR_Q_D_SB_LUT4_O_I0[1]_$glb_sr", "link"),
        ("tx_SB_LUT4_O_I3_SB_DFFESR_Q_D_SB_LUT4_O_LC", "link"),
        ("rx$sb_io", "pins"),
        ("clk$tr_io", "pins"),
        ("led_OBUF_O", "pins"),
        ("count_SB_DFF_Q", "clock and reset"),
        ("ready.stage0_SB_LUT4_I3_LC", "clock and reset"),
        ("pll_PLL", "clock and reset"),
    ],
)
def test_component(cell: str, name: str) -> None:
    assert component(cell) == name
