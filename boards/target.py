"""The parts that a core is synthesised for: what each has, how Yosys maps to it, and what its cells are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

__all__ = ["TARGETS", "Part", "Resources", "target"]


@dataclass(frozen=True)
class Resources:
    """Counts of what a part has, or a netlist takes; ``a + b``, ``n * a`` and ``a - b`` work kind by kind.

    Attributes
    ----------
    lut : int
        Look-up tables that compute, of 4 inputs, or 6 on xc7.
    ff : int
        Flip-flops.
    dsp : int
        Multipliers of 18×18 (16×16 on iCE40, 25×18 on xc7); half of one is one.
    bram : int
        Block memories, of 18 kbit (4 kbit on iCE40); one of 36 kbit is two.
    spram : int
        Single-port memories of 256 kbit (iCE40 UP5K).
    lutram : int
        Look-up tables that serve as memory.
    carry : int
        Places of carry chains.
    logic : int
        Places of the fabric that are taken: by look-up tables, by memory made of them, by carry chains, and on iCE40,
        whose flip-flop has no input but its look-up table, by flip-flops that share with none.
    other : int
        Cells of a kind that is not known here.
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
        """The kinds of which there are any, and the four that a report always names."""
        counted = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: count for name, count in counted.items() if count or name in ("lut", "ff", "dsp", "bram")}

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __sub__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))

    def __rmul__(self, times: int) -> Resources:
        return Resources(*(times * getattr(self, each.name) for each in fields(self)))


Cells = Mapping[str, tuple[str, float]]
"""Kind and weight by beginning of a cell's type; the longest beginning counts."""

_IGNORED = {"$scopeinfo": ("", 0.0), "VCC": ("", 0.0), "GND": ("", 0.0)}


@dataclass(frozen=True)
class Part:
    """A part, with its family's flow in Yosys.

    Attributes
    ----------
    name : str
        What the user calls it.
    device : str
        What its maker calls it.
    capacity : Resources
        What it has, of the kinds that are checked.
    block_shapes : tuple of (int, int)
        Depths and widths that one block memory can have.
    synthesis : str
        Yosys's command, but for ``-top``, and what must be set before it.
    cells : Cells
        Its cells; of those that join the outputs of look-up tables nothing is counted.
    block_byte : int
        Bits of a block memory's word that one write enable covers.
    keeps_mac : bool
        Whether a multiply-accumulate is one DSP block, if synthesis keeps its module whole.
    source : str
        Where the capacity stands.
    """

    name: str
    device: str
    capacity: Resources
    block_shapes: tuple[tuple[int, int], ...]
    synthesis: str
    cells: Cells
    source: str
    block_byte: int = 9
    keeps_mac: bool = False

    @property
    def block_bits(self) -> int:
        """Bits of all its block memories."""
        return self.capacity.bram * max(depth * width for depth, width in self.block_shapes)

    def blocks(self, depth: int, width: int) -> int:
        """Least number of block memories of one shape that make a memory.

        As Yosys packs it: what is deeper than a block is cut into pieces that stand side by side, each with a write enable of
        its own.
        """

        def number(each_depth: int, each_width: int) -> int:
            pieces = -(-depth // each_depth)
            if pieces == 1:
                return -(-width // each_width)
            if each_width < self.block_byte:
                return pieces * -(-width // each_width)
            return -(-pieces * -(-width // self.block_byte) * self.block_byte // each_width)

        return min(number(*shape) for shape in self.block_shapes)

    def kind_of(self, cell: str) -> tuple[str, float]:
        """Kind and weight of a cell's type: ("", 0) for what takes no place, "other" for what is not known."""
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
"""What a UP5K's wire takes, with its multiplexers, in picoseconds: as icetime finds it between neighbours. Yosys supposes 750, takes
carry chains for the longest paths, and saves look-up tables at the price of levels elsewhere."""

FEWEST = 6
"""Flip-flops that a clock enable or a reset must have in a UP5K to be one; else it is logic in front of them. Eight that share both
share a tile, and the few of a pair of their own stand in a tile of their own, far from what they are to be near."""

TARGETS: Mapping[str, Part] = MappingProxyType(
    {
        part.name: part
        for part in (
            Part(
                "ice40-up5k",
                "Lattice iCE40UP5K",
                Resources(lut=5280, ff=5280, logic=5280, dsp=8, bram=30, spram=4),
                ((2048, 2), (1024, 4), (512, 8), (256, 16)),
                f"scratchpad -set synth_ice40.abc9.W {WIRE_PS}; scratchpad -set dfflegalize.minsrst {FEWEST}; "
                f"synth_ice40 -dsp -device u -dffe_min_ce_use {FEWEST}",
                _ICE40,
                "Lattice FPGA-DS-02008, iCE40 UltraPlus Family Data Sheet, as nextpnr-ice40 counts it",
                block_byte=1,
                keeps_mac=True,
            ),
            Part(
                "ecp5-85k",
                "Lattice LFE5U-85F",
                Resources(lut=83640, ff=83640, logic=83640, dsp=156, bram=208, lutram=62730),
                _SHAPES_18K,
                "synth_ecp5",
                _ECP5,
                "Lattice FPGA-DS-02012, ECP5 and ECP5-5G Family Data Sheet, as nextpnr-ecp5 counts it",
            ),
            Part(
                "gowin-gw1nr9",
                "Gowin GW1NR-9",
                Resources(lut=8640, ff=6480, logic=8640, dsp=20, bram=26, lutram=1080, carry=6480),
                _SHAPES_18K,
                "synth_gowin -family gw1n -noiopads",
                _GOWIN,
                "Gowin DS117, GW1NR series of FPGA Products Data Sheet, as nextpnr-himbaechel counts a GW1N-9C",
            ),
            Part(
                "gowin-gw2ar18",
                "Gowin GW2AR-18",
                Resources(lut=20736, ff=15552, logic=20736, dsp=48, bram=46, lutram=2592, carry=15552),
                _SHAPES_18K,
                "synth_gowin -family gw2a -noiopads",
                _GOWIN,
                "Gowin DS226, GW2AR series of FPGA Products Data Sheet, as nextpnr-himbaechel counts a GW2A-18C",
            ),
            Part(
                "xc7",
                "AMD XC7A35T",
                Resources(lut=20800, ff=41600, logic=20800, dsp=90, bram=100, lutram=9600),
                _SHAPES_18K,
                "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
                _XC7,
                "AMD DS180, 7 Series FPGAs Data Sheet: Overview, and Vivado's report_utilization",
            ),
        )
    }
)
"""The parts by their names, such as those that `mgd-hw synth --target` takes."""


def target(name: str) -> Part:
    """The part of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in TARGETS:
        raise ValueError(f"Target must be one of {', '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]
