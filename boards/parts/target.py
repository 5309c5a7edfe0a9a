"""Parts that a core can be synthesised for: the resources of each, its synthesis command in Yosys, and its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

__all__ = ["TARGETS", "Part", "Resources", "target"]


@dataclass(frozen=True)
class Resources:
    """Resources of a part or of a netlist, counted by kind; ``a + b``, ``n * a`` and ``a - b`` work kind by kind.

    Attributes
    ----------
    lut : int
        Number of look-up tables used as logic, with 4 inputs, or 6 on xc7.
    ff : int
        Number of flip-flops, all kinds together.
    dsp : int
        Number of 18×18 multipliers (16×16 on iCE40, 25×18 on xc7), halves rounded up.
    bram : int
        Number of block memories of 18 kbit (4 kbit on iCE40); one of 36 kbit counts as two.
    spram : int
        Number of single-port memories of 256 kbit (iCE40 UP5K only).
    lutram : int
        Number of look-up tables used as memory.
    carry : int
        Number of positions in carry chains.
    logic : int
        Number of logic cells occupied: by look-up tables, by memory made of them, by carry chains, and on iCE40, where a flip-flop
        can only be reached through the look-up table of its cell, by flip-flops that share a cell with no look-up table.
    other : int
        Number of cells whose type is not in the part's table of cells.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram: int = 0
    spram: int = 0
    lutram: int = 0
    carry: int = 0
    logic: int = 0
    other: int = 0

    def to_json(self) -> dict[str, int]:
        """Counts by kind as plain data: those that are not 0, and always lut, ff, dsp and bram."""
        counted = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: count for name, count in counted.items() if count or name in ("lut", "ff", "dsp", "bram")}

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __sub__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))

    def __rmul__(self, times: int) -> Resources:
        return Resources(*(times * getattr(self, each.name) for each in fields(self)))


LARGE_DEPTH, LARGE_WIDTH = 16384, 16
"""Words of a UP5K's large memory with one port, and their width in bits."""

Cells = Mapping[str, tuple[str, float]]
"""Kind and weight of a cell, by the beginning of its type's name; the longest match counts."""

_IGNORED = {"$scopeinfo": ("", 0.0), "VCC": ("", 0.0), "GND": ("", 0.0)}


@dataclass(frozen=True)
class Part:
    """An FPGA that cores are synthesised for, and how Yosys does it.

    Attributes
    ----------
    name : str
        Name by which the user calls it.
    device : str
        Name that its maker gives it.
    family : str
        Family, "ice40", "ecp5", "gowin" or "xc7": parts that Yosys maps to alike, with the same tools for place and route. For "xc7"
        there are no such tools here.
    capacity : Resources
        Resources of the part; a kind that is 0 is not checked.
    block_shapes : tuple of (int, int)
        Depths and widths into which one block memory can be configured.
    synthesis : str
        Yosys's synthesis command without ``-top``, preceded by the settings that it needs.
    cells : Cells
        Kinds and weights of the part's cells; multiplexers that join look-up tables count as nothing.
    block_byte : int
        Bits of a block memory's word that one write enable covers.
    keeps_mac : bool
        Whether a multiply-accumulate becomes one DSP block if synthesis keeps its module whole.
    large_mhz : float or None
        Clock, in MHz, that cores meet whose parameters are in large memories with one port; None where the part has none.
    source : str
        Document that the capacity was taken from.
    """

    name: str
    device: str
    family: str
    capacity: Resources
    block_shapes: tuple[tuple[int, int], ...]
    synthesis: str
    cells: Cells
    source: str
    block_byte: int = 9
    keeps_mac: bool = False
    large_mhz: float | None = None

    @property
    def block_bits(self) -> int:
        """Number of bits in all block memories of the part."""
        return self.capacity.bram * max(depth * width for depth, width in self.block_shapes)

    def blocks(self, depth: int, width: int) -> int:
        """Smallest number of block memories, all configured alike, that hold a memory of this depth and width.

        It follows Yosys's packing: a memory deeper than a block is split into pieces placed side by side, each with its own write
        enable.
        """

        def number(each_depth: int, each_width: int) -> int:
            pieces = -(-depth // each_depth)
            if pieces == 1:
                return -(-width // each_width)
            if each_width < self.block_byte:
                return pieces * -(-width // each_width)
            return -(-pieces * -(-width // self.block_byte) * self.block_byte // each_width)

        return min(number(*shape) for shape in self.block_shapes)

    def large_blocks(self, depth: int, width: int) -> int:
        """Number of the part's large memories with one port that hold a memory of this depth and width; 0 where it has none."""
        return -(-depth // LARGE_DEPTH) * -(-width // LARGE_WIDTH) if self.capacity.spram else 0

    def kind_of(self, cell: str) -> tuple[str, float]:
        """Kind and weight of a cell by its type: ("", 0) for a cell that occupies nothing, "other" for an unknown type."""
        known = [start for start in self.cells if cell.startswith(start)]
        return self.cells[max(known, key=len)] if known else ("other", 1.0)


_ICE40: Cells = MappingProxyType(
    {
        **_IGNORED,
        "SB_LUT4": ("lut", 1),
        "SB_DFF": ("ff", 1),
        "SB_CARRY": ("carry", 1),
        "SB_MAC16": ("dsp", 1),
        "SB_RAM40_4K": ("bram", 1),
        "SB_SPRAM256KA": ("spram", 1),
    }
)
_ECP5: Cells = MappingProxyType(
    {
        **_IGNORED,
        "LUT4": ("lut", 1),
        "TRELLIS_FF": ("ff", 1),
        "CCU2C": ("carry", 2),  # a slice's two look-up tables
        "MULT18X18D": ("dsp", 1),
        "MULT9X9D": ("dsp", 0.5),
        "DP16KD": ("bram", 1),
        "PDPW16KD": ("bram", 1),
        "TRELLIS_DPR16X4": ("lutram", 6),  # two slices of memory, and one that drives their write port
        "PFUMX": ("", 0),
        "L6MUX21": ("", 0),
    }
)
_GOWIN: Cells = MappingProxyType(
    {
        **_IGNORED,
        "LUT": ("lut", 1),
        "INV": ("lut", 1),
        "DFF": ("ff", 1),
        "ALU": ("carry", 1),
        "MULT9X9": ("dsp", 0.5),
        "MULT18X18": ("dsp", 1),
        "MULT36X36": ("dsp", 4),
        "DPB": ("bram", 1),
        "DPX9B": ("bram", 1),
        "SDPB": ("bram", 1),
        "SDPX9B": ("bram", 1),
        "SPX9": ("bram", 1),
        "SP": ("bram", 1),
        "pROM": ("bram", 1),
        "RAM16S": ("lutram", 4),
        "RAM16SDP1": ("lutram", 1),
        "RAM16SDP2": ("lutram", 2),
        "RAM16SDP4": ("lutram", 4),
        "MUX2_": ("", 0),
    }
)
_XC7: Cells = MappingProxyType(
    {
        **_IGNORED,
        "LUT": ("lut", 1),
        "INV": ("lut", 1),
        "FD": ("ff", 1),
        "CARRY4": ("", 0),  # beside its look-up tables, which are counted
        "DSP48E1": ("dsp", 1),
        "RAMB18E1": ("bram", 1),
        "RAMB36E1": ("bram", 2),
        "RAM16X1": ("lutram", 1),
        "RAM32X1": ("lutram", 1),
        "RAM64X1": ("lutram", 1),
        "RAM128X1": ("lutram", 2),
        "RAM256X1": ("lutram", 4),
        "RAM16X1D": ("lutram", 2),
        "RAM32X1D": ("lutram", 2),
        "RAM64X1D": ("lutram", 2),
        "RAM128X1D": ("lutram", 4),
        "RAM32M": ("lutram", 4),
        "RAM64M": ("lutram", 4),
        "SRL": ("lutram", 1),
        "MUXF": ("", 0),
    }
)

_SHAPES_18K = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))

WIRE_PS = 1800
"""Delay of a UP5K's wire and its multiplexers, in picoseconds, as icetime finds it between neighbouring cells.

Yosys assumes 750 by default. It then takes carry chains for the longest paths, and saves look-up tables elsewhere at the price of
more logic levels."""

FEWEST = 6
"""Fewest flip-flops for which a UP5K's clock enable or reset input is used; for fewer it is built from logic in front of them.

The eight flip-flops of a tile share one enable and one reset, so a small group with its own pair occupies a tile of its own, far from
the logic that it belongs to."""

SMALL_BLOCKS = "setattr -unset ram_style */a:ram_style=huge; "
"""Command of Yosys for a part without large memories: it chooses for a memory with one port (:data:`rtl_gen.slot.SINGLE_PORT`) as for any
other. Yosys ends with an error where a memory is to be large and the part has none."""

TARGETS: Mapping[str, Part] = MappingProxyType(
    {
        part.name: part
        for part in (
            Part(
                "ice40-up5k",
                "Lattice iCE40UP5K",
                "ice40",
                Resources(lut=5280, ff=5280, logic=5280, dsp=8, bram=30, spram=4),
                ((2048, 2), (1024, 4), (512, 8), (256, 16)),
                f"scratchpad -set synth_ice40.abc9.W {WIRE_PS}; scratchpad -set dfflegalize.minsrst {FEWEST}; "
                f"synth_ice40 -dsp -device u -dffe_min_ce_use {FEWEST}",
                _ICE40,
                "Lattice FPGA-DS-02008, iCE40 UltraPlus Family Data Sheet, as nextpnr-ice40 counts it",
                block_byte=1,
                keeps_mac=True,
                large_mhz=40.0,  # mnist, 784-32-10 on two lanes: 43.8 to 44.9 MHz by icetime
            ),
            Part(
                "ecp5-85k",
                "Lattice LFE5U-85F",
                "ecp5",
                Resources(lut=83640, ff=83640, logic=83640, dsp=156, bram=208, lutram=62730),
                _SHAPES_18K,
                f"{SMALL_BLOCKS}synth_ecp5",
                _ECP5,
                "Lattice FPGA-DS-02012, ECP5 and ECP5-5G Family Data Sheet, as nextpnr-ecp5 counts it",
            ),
            Part(
                "gowin-gw1nr9",
                "Gowin GW1NR-9",
                "gowin",
                Resources(lut=8640, ff=6480, logic=8640, dsp=20, bram=26, lutram=1080, carry=6480),
                _SHAPES_18K,
                f"{SMALL_BLOCKS}synth_gowin -family gw1n -noiopads",
                _GOWIN,
                "Gowin DS117, GW1NR series of FPGA Products Data Sheet, as nextpnr-himbaechel counts a GW1N-9C",
            ),
            Part(
                "gowin-gw2ar18",
                "Gowin GW2AR-18",
                "gowin",
                Resources(lut=20736, ff=15552, logic=20736, dsp=48, bram=46, lutram=2592, carry=15552),
                _SHAPES_18K,
                f"{SMALL_BLOCKS}synth_gowin -family gw2a -noiopads",
                _GOWIN,
                "Gowin DS226, GW2AR series of FPGA Products Data Sheet, as nextpnr-himbaechel counts a GW2A-18C",
            ),
            Part(
                "xc7",
                "AMD XC7A35T",
                "xc7",
                Resources(lut=20800, ff=41600, logic=20800, dsp=90, bram=100, lutram=9600),
                _SHAPES_18K,
                f"{SMALL_BLOCKS}synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
                _XC7,
                "AMD DS180, 7 Series FPGAs Data Sheet: Overview, and Vivado's report_utilization",
            ),
        )
    }
)
"""The parts by their names, such as those that `mgd-hw synth --target` takes."""


def target(name: str) -> Part:
    """Return the part of that name.

    Raises
    ------
    ValueError
        If there is no part of that name.
    """
    if name not in TARGETS:
        raise ValueError(f"Target must be one of {', '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]
