"""Single changes of a core's netlist: the comparison sees those that matter, and what is proved equivalent never shows anything else."""

import re

import pytest

from rtl_gen.toolchain.yosys import run_yosys
from tests.mutate.__main__ import Campaign, Progress, Result, main, spec_of
from tests.mutate.equivalence import equal_by_induction, equal_from_state_to_state
from tests.mutate.netlist import Mutant, unread
from tests.mutate.reachable import blocks, equal_from_power_up, find_abc

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


RING = """
module ring(input clk, input rst, input [1:0] x, input write, output reg [1:0] y, output reg [1:0] seen);
  reg [1:0] turn = 1; reg [1:0] store [1:0]; initial seen = 0;
  wire both = turn[0] & turn[1];
  wire [1:0] data = write ? x : 2'b00;
  wire [1:0] chosen = x ^ {2{both}};
  always @(posedge clk) begin
    turn <= rst ? 2'b01 : {turn[0], turn[1]}; y <= chosen + store[turn[0]]; seen <= seen + turn;
    if (write) store[x[0]] <= data;
  end
endmodule
module small(input clk, input rst, input [1:0] x, input write, output [1:0] y, output [1:0] probe_seen);
  ring ring(.clk(clk), .rst(rst), .x(x), .write(write), .y(y), .seen(probe_seen));
endmodule
"""
"""A bit goes round, so that never two are set; the data of a memory matter while it is written alone; and a probe counts."""


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ring")
    (directory / "small.v").write_text(RING, encoding="utf-8")
    run_yosys(["read_verilog small.v", "hierarchy -top small", "proc", "flatten", "clean", "write_rtlil base.il"], directory)
    return directory


def of_line(directory, kind: str, line: int, mode: str, port: str, bit: int) -> Mutant:
    """The change of the cell of a kind that a line of the ring has."""
    base = (directory / "base.il").read_text(encoding="utf-8")
    (cell,) = re.findall(rf"^  cell \${kind} (\S+small\.v:{line}\S+)$", base, re.MULTILINE)
    return Mutant(1, f"-mode {mode} -module small -cell {cell} -port {port} -portbit {bit} -src small.v:1", "")


@pytest.mark.skipif(find_abc() is None, reason="ABC is in the native package of Yosys alone")
@pytest.mark.parametrize(
    ("change", "equal"),
    [
        (("and", 4, "const0", "Y", 0), True),  # two turns at a time, which no state from power-up on has
        (("and", 4, "const1", "Y", 0), False),
        (("and", 4, "const1", "A", 0), False),
        (("mux", 5, "const1", "A", 0), True),  # the data while nothing is written
        (("mux", 5, "const1", "B", 0), False),
        (("xor", 6, "inv", "A", 1), False),
        (("and", 4, "const1", "B", 0), False),
    ],
)
def test_a_block_is_equal_from_power_up(ring, tmp_path, change, equal):
    mutant = of_line(ring, *change)
    assert equal_from_power_up(mutant, ring / "base.il", tmp_path, seconds=5) == ("ring" if equal else "")
    assert equal_from_power_up(mutant, ring / "base.il", tmp_path, whole=True, seconds=5) == ("ring" if equal else "")


TWO = """
module controller(input clk, input rst, output reg [1:0] turn = 1);
  always @(posedge clk) turn <= rst ? 2'b01 : {turn[0], turn[1]};
endmodule
module sequencer(input clk, input [1:0] turn, output reg y);
  always @(posedge clk)
    y <= turn[0] & turn[1];
endmodule
module small(input clk, input rst, output y);
  wire [1:0] turn;
  controller controller(.clk(clk), .rst(rst), .turn(turn)); sequencer sequencer(.clk(clk), .turn(turn), .y(y));
endmodule
"""
"""A block that is never told two turns at a time, which only the other one keeps it from."""


@pytest.mark.skipif(find_abc() is None, reason="ABC is in the native package of Yosys alone")
def test_two_blocks_are_equal_together(tmp_path):
    (tmp_path / "small.v").write_text(TWO, encoding="utf-8")
    run_yosys(["read_verilog small.v", "hierarchy -top small", "proc", "flatten", "clean", "write_rtlil base.il"], tmp_path)
    changes = {mode: of_line(tmp_path, "and", 7, mode, "Y", 0) for mode in ("const0", "const1")}
    found = {mode: equal_from_power_up(change, tmp_path / "base.il", tmp_path / mode, seconds=5) for mode, change in changes.items()}
    assert found == {"const0": "controller and sequencer", "const1": ""}


def test_two_turns_at_a_time_are_not_equal_in_every_state(ring, tmp_path):
    assert equal_from_state_to_state(of_line(ring, "and", 4, "const0", "Y", 0), ring / "base.il", tmp_path) is None


def test_what_the_probes_alone_read(ring):
    base = (ring / "base.il").read_text(encoding="utf-8")
    cell = cell_that_reads(base, "\\ring.seen")
    read, seen = (f"-mode inv -module small -cell {each} -port Y -portbit 0" for each in (cell_that_reads(base, "\\ring.chosen"), cell))
    mutants = [Mutant(1, read, ""), Mutant(2, seen, "")]
    assert unread(mutants, ring) == set()
    assert unread(mutants, ring, probes=False) == {2}


def test_blocks_of_a_cell():
    assert blocks(r"$flatten\errors.\scaler.$or$core.v:60$18") == ["errors", r"errors.\scaler"]
    assert blocks(r"$flatten\cost$313.$procdff$1") == ["cost$313"]
    assert blocks("$procmux$93") == []


def test_an_unknown_design_is_refused_by_name(capsys):
    assert main(["series:leak", "--count", "3"]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.startswith("series:leak: there is no such file. ")
    assert "did you mean series:leaky" in shown.err


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "65536", "many"])
def test_a_count_of_mutants_is_refused(count, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["node", f"--count={count}"])
    assert ended.value.code == 2
    assert f"it must be a whole number from 1 to 65535, not {count}" in capsys.readouterr().err


class Interrupted(Campaign):
    """A campaign without a simulator, which the mutant ``last`` interrupts."""

    def __init__(self, work, last: int):
        self.mutants = [Mutant(number, "", f"place {number}") for number in range(1, 10)]
        self.again, self._results, self.last, self.ran = (), work / "results.jsonl", last, []

    def result(self, mutant: Mutant) -> Result:
        if mutant.number == self.last:
            raise KeyboardInterrupt
        self.ran.append(mutant.number)
        return Result(mutant.number, mutant.place, "killed", "plain")


def test_an_interrupted_campaign_goes_on(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        Interrupted(tmp_path, 4).run(1)
    assert Interrupted(tmp_path, 0).done().keys() == {1, 2, 3}
    again = Interrupted(tmp_path, 0)
    results = again.run(1, Progress(9))
    assert again.ran == [4, 5, 6, 7, 8, 9]
    assert [result.number for result in results] == list(range(1, 10))
    assert capsys.readouterr().err == "9 of 9 mutants after 0 s: 9 killed\n"
