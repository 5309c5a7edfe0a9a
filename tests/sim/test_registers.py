"""Registers side by side: one loop commits what ``wire::commit`` commits one by one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sim.engines import cxxrtl, registers
from sim.engines.registers import Registers

HEADER = """\
namespace cxxrtl_design {

struct p_top : public module {
	// \\init: 0
	// \\src: core.v:1
	wire<4> p_a;
	/*output*/ wire<4> p_out;
	wire<40> p_wide;
	wire<4> p_unclocked;
	value<4> i_c;
	/*input*/ value<1> p_clk;
	memory<4> memory_p_words { 8u };
};
"""
COMMIT = "".join(f"\t\tif ({name}.commit(observer)) changed = true;\n" for name in ("p_a", "p_out", "p_wide", "memory_p_words"))
PROGRAM = """
#include <cxxrtl/cxxrtl.h>
#include <cstdio>
using namespace cxxrtl;
{loop}
template<size_t Bits>
bool same(uint32_t seed, uint32_t few) {{
    wire<Bits> one[9], other[9];
    observer observer;
    for (int round = 0; round < 300; round++) {{
        for (int n = 0; n < 9; n++)
            for (size_t chunk = 0; chunk < value<Bits>::chunks; chunk++) {{
                seed = seed * 1664525 + 1013904223;
                if (seed >> 20 & few) continue;
                uint32_t mask = chunk + 1 == value<Bits>::chunks && Bits % 32 ? (1u << Bits % 32) - 1 : ~0u;
                one[n].next.data[chunk] = other[n].next.data[chunk] = (seed >> 13 ^ seed << 7) & mask;
            }}
        bool changed = false;
        for (auto &each : one) changed |= each.commit(observer);
        if (commit_registers<Bits>(other, 9) != changed) return false;
        for (int n = 0; n < 9; n++)
            if (one[n].curr != other[n].curr || one[n].next != other[n].next) return false;
    }}
    return true;
}}
int main() {{
    std::printf("%d%d%d%d%d%d\\n", same<1>(1, 0), same<1>(2, 15), same<16>(3, 63), same<33>(4, 127), same<64>(5, 127), same<100>(6, 255));
}}
"""


def test_the_loop_commits_what_each_register_would(tmp_path: Path) -> None:
    """Registers of one, two and four words, of which often none changes; without ``gcc_faults.h``, GCC 12.2 finds them different."""
    (tmp_path / "commit.cc").write_text(PROGRAM.format(loop=registers._LOOP), encoding="utf-8")
    runtime = cxxrtl.yosys_share() / "include/backends/cxxrtl/runtime"
    command = [
        *cxxrtl.find_compiler(),
        "-std=c++17",
        "-O1",
        "-w",
        "-include",
        str(cxxrtl.GCC_FAULTS),
        f"-I{runtime}",
        "-o",
        "commit",
        "commit.cc",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "commit"], capture_output=True, text=True, check=True).stdout == "111111\n"


def test_registers_become_members_of_bases() -> None:
    found = Registers(HEADER, COMMIT)
    moved = found.moved("p_top", HEADER)
    assert (
        "struct registers_4 {\n\twire<4> p_a;\n\twire<4> p_out;\n};\n" in moved
        and "struct registers_40 {\n\twire<40> p_wide;\n};\n" in moved
    )
    assert "sizeof(registers_4) == 2 * sizeof(wire<4>)" in moved
    rest = moved[moved.index("struct p_top") :]
    assert rest.startswith("struct p_top : public module, public registers_4, public registers_40 {\n")
    assert "p_a" not in rest and "p_out" not in rest and "p_wide" not in rest
    assert all(f"\t{line};\n" in rest for line in ("wire<4> p_unclocked", "value<4> i_c", "memory<4> memory_p_words { 8u }"))


def test_what_is_no_register_is_committed_as_before() -> None:
    found = Registers(HEADER, COMMIT)
    assert found.without(COMMIT) == "\t\tif (memory_p_words.commit(observer)) changed = true;\n"
    assert [line.split("(")[0] + line[line.index(" *>(this)") :] for line in found.calls().splitlines()] == [
        "\t\tchanged |= commit_registers<4> *>(this), 2);",
        "\t\tchanged |= commit_registers<40> *>(this), 1);",
    ]


def test_a_model_without_registers_stays_as_it_is() -> None:
    found = Registers(HEADER, "")
    assert found.calls() == "" and found.without(COMMIT) == COMMIT
