"""Single changes of a core's netlist: the comparison sees those that matter, and what is proved equivalent never shows anything else."""

import pytest

from rtl_gen.toolchain.yosys import run_yosys
from tests.mutate.__main__ import Campaign, spec_of
from tests.mutate.equivalence import equal_by_induction, equal_from_state_to_state
from tests.mutate.netlist import Mutant, unread

COUNT = 24
"""Number of changes of each design."""
SEEN = 0.7
"""Least share of the changes that are killed or proved equivalent."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return Campaign(spec_of("node"), COUNT, 5, tmp_path_factory.mktemp("node"))


@pytest.mark.long
@pytest.mark.slow
def test_a_change_is_seen_or_equivalent(campaign, capsys):
    """The others are in parts that the scenarios do not reach, such as the high halves of counters; they are printed."""
    results = campaign.run(2)
    left = [f"{each.outcome}: {each.place}" for each in results if each.outcome in ("unseen", "undecided")]
    with capsys.disabled():
        print(*left, sep="\n  ")
    assert not any(each.outcome == "unseen" for each in results), "what a core shows is compared"
    assert len(results) - len(left) >= SEEN * COUNT
    assert sum(each.outcome == "killed" for each in results) > COUNT // 2
    assert campaign.done() == {each.number: each for each in results}, "an interrupted campaign goes on with these"


def cell_that_reads(base: str, wire: str) -> str:
    """Name of the cell that has a wire at its input A."""
    cell = ""
    for line in base.splitlines():
        if line.startswith("  cell "):
            cell = line.split()[2]
        if line.startswith("    connect \\A ") and line.split()[-1] == wire:
            return cell
    raise AssertionError(f"no cell reads {wire}")


def test_the_logic_of_a_cycle_is_compared(tmp_path):
    """x AND (x OR z) is x, whatever z is; and bit 3 of ``kept`` is not read."""
    (tmp_path / "small.v").write_text(
        "module small(input clk, input [3:0] x, input [3:0] z, output reg [3:0] y);\n"
        "  reg [3:0] kept = 0; reg [3:0] store [3:0];\n"
        "  wire [3:0] either = x | z;\n"
        "  wire [3:0] both = either & x;\n"
        "  always @(posedge clk) begin kept <= z; y <= both ^ {1'b0, kept[2:0]} ^ store[x[1:0]]; store[z[1:0]] <= z; end\n"
        "endmodule\n",
        encoding="utf-8",
    )
    run_yosys(["read_verilog small.v", "hierarchy -top small", "proc", "flatten", "write_rtlil base.il"], tmp_path)
    base = (tmp_path / "base.il").read_text(encoding="utf-8")
    either, both = (cell_that_reads(base, wire) for wire in ("\\x", "\\either"))
    kept = next(line.split()[2] for line in base.splitlines() if line.startswith("  cell $dff ") and cell_that_drives(base, line, "\\kept"))

    def proved(cell: str, mode: str, port: str, bit: int) -> bool | None:
        command = f"-mode {mode} -module small -cell {cell} -port {port} -portbit {bit} -wire w -wirebit 0 -src small.v:1"
        return equal_from_state_to_state(Mutant(1, command, ""), tmp_path / "base.il", tmp_path / "proof")

    assert proved(either, "const0", "B", 2) is True
    assert proved(either, "inv", "B", 2) is True
    assert proved(either, "const0", "A", 2) is None
    assert proved(both, "const1", "Y", 0) is None
    assert proved(kept, "inv", "Q", 3) is True
    assert proved(kept, "inv", "Q", 2) is None


def test_what_no_output_depends_on_is_not_read(tmp_path):
    """Bit 3 of the sum is not read, and bit 3 of ``kept`` by itself alone. That bits 2 are read by each other alone is not found."""
    (tmp_path / "small.v").write_text(
        "module small(input clk, input [3:0] x, output reg [1:0] y);\n"
        "  reg [3:0] kept = 0;\n"
        "  wire [3:0] sum = x + kept;\n"
        "  always @(posedge clk) begin kept <= {kept[3] ^ x[3], sum[2:0]}; y <= sum[1:0]; end\n"
        "endmodule\n",
        encoding="utf-8",
    )
    run_yosys(["read_verilog small.v", "hierarchy -top small", "proc", "flatten", "write_rtlil base.il"], tmp_path)
    base = (tmp_path / "base.il").read_text(encoding="utf-8")
    add = cell_that_reads(base, "\\x")
    kept = next(line.split()[2] for line in base.splitlines() if line.startswith("  cell $dff ") and cell_that_drives(base, line, "\\kept"))
    places = [(add, "Y", 3), (add, "Y", 1), (add, "A", 2), (add, "A", 0), (kept, "Q", 3), (kept, "Q", 2), (kept, "Q", 1), (kept, "D", 3)]
    commands = [f"-mode inv -module small -cell {cell} -port {port} -portbit {bit}" for cell, port, bit in places]
    mutants = [Mutant(number, command, "") for number, command in enumerate(commands, 1)]
    assert unread(mutants, tmp_path) == {1, 5, 8}


def cell_that_drives(base: str, header: str, wire: str) -> bool:
    """Whether a cell has a wire at its output Q."""
    return f"    connect \\Q {wire}\n" in base.split(f"{header}\n", 1)[1].split("  end\n", 1)[0]


@pytest.mark.slow
def test_induction_proves_only_what_is_equivalent(tmp_path):
    """y is x AND 1, so that its second operand is 1 already; inverting it is another function."""
    (tmp_path / "small.v").write_text(
        "module small(input clk, input [3:0] x, output reg [3:0] y);\n"
        "  reg one = 1; reg zero = 0;\n"
        "  wire [3:0] gated = x & {4{one}};\n"
        "  always @(posedge clk) begin one <= one | zero; zero <= zero & one; y <= gated; end\n"
        "endmodule\n",
        encoding="utf-8",
    )
    run_yosys(["read_verilog small.v", "hierarchy -top small", "proc", "flatten", "write_rtlil base.il"], tmp_path)
    cell = cell_that_reads((tmp_path / "base.il").read_text(encoding="utf-8"), "\\x")

    def proved(mode: str, port: str) -> bool | None:
        command = f"-mode {mode} -module small -cell {cell} -port {port} -portbit 0"
        return equal_by_induction(Mutant(1, command, ""), "small", tmp_path / "base.il", tmp_path / mode / port)

    assert proved("const1", "B") is True
    assert proved("inv", "B") is None
    assert proved("const1", "A") is None
