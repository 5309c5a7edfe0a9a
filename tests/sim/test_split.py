"""The C++ of a large model, in pieces: the same logic in the same order."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import mgd_hw
from sim.engines import cxxrtl, equal_statements, split
from sim.engines.split import split_model

WIDE = """
name = "wide"
network = {{layers = [64, {lanes}, 10], hidden = "relu"}}
perturbation = {{kind = "node", amplitude = "2^-5"}}
schedule = {{learning_rate = -11}}
formats = {{input = "UQ1.4", weight = "SQ3.12", activation = "SQ3.9"}}
hardware = {{lanes = {lanes}}}
data = {{task = "digits"}}
"""
DECLARATION = "\tbool eval(performer *performer = nullptr) override;\n"
STATEMENTS = """\
	// cell $and
	p_a = and_uu<4>(p_in.slice<3,0>().val(), value<4>{0x5u});
	auto tmp_0 = memory_index(p_a, 0, 8);
	CXXRTL_ASSERT(tmp_0.valid && "out of bounds read");
	if(tmp_0.valid) {
		p_b = memory_p_words[tmp_0.index];
	} else {
		p_b = value<4> {};
	}
	p_c = not_u<4>(p_b);
	if (posedge_p_clk) {
		p_state.next = (p_rst ? value<4>{0u} : xor_uu<4>(p_a, p_c));
	}
"""


def source(statements: str = STATEMENTS) -> str:
    """A model as CXXRTL writes it."""
    opening = "\tbool converged = true;\n\tbool posedge_p_clk = this->posedge_p_clk();\n"
    declared = "".join(f"\t// \\src: core.v:1\n\tvalue<4> p_{name};\n" for name in "abc")
    evaluated = f"bool p_top::eval(performer *performer) {{\n{opening}{declared}{statements}\treturn converged;\n}}\n"
    return f'#include "model.h"\n\nnamespace cxxrtl_design {{\n\nvoid p_top::reset() {{\n}}\n\n{evaluated}\n}} // namespace cxxrtl_design\n'


def header() -> str:
    return f"struct p_top : public module {{\n\twire<4> p_state;\n{DECLARATION}}};\n"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement is a piece, however short ``eval`` is."""
    monkeypatch.setattr(split, "_SPLIT_LINES", 1)
    monkeypatch.setattr(split, "PIECE_LINES", 1)


def test_a_short_model_stays_as_it_is() -> None:
    found = split_model(source(), header(), files=2)
    assert (found.source, found.header, found.parts) == (source(), header(), ())


def test_statements_keep_their_order_and_shared_variables_become_members(short: None) -> None:
    found = split_model(source(), header(), files=2)
    assert len(found.parts) == 2
    pieces = re.findall(r"^void p_top::(\w+)\(performer \*performer, bool &converged\) \{\n(.*?)^\}", "\n".join(found.parts), re.M | re.S)
    assert [name for name, _ in pieces] == [f"eval_piece_{number}" for number in range(4)]
    code = "".join(body for _, body in pieces)
    wanted = [line for line in STATEMENTS.splitlines() if not line.startswith("\t//")]
    assert [line for line in code.splitlines() if not re.match(r"\t(value|bool)\b", line)] == wanted
    assert code.count("posedge_p_clk = this->") == 1 and "posedge_p_clk" in pieces[-1][1]
    assert all(f"\tvalue<4> p_{name};\n" in found.header for name in "abc"), "each is used by two pieces"
    called = re.findall(r"^\t(eval_piece_\d)\(performer, converged\);$", found.source, re.M)
    assert called == [name for name, _ in pieces]
    assert all(found.header.count(f"void {name}(performer *performer, bool &converged);") == 1 for name in called)


def test_a_variable_of_one_piece_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "_SPLIT_LINES", 1)
    found = split_model(source(), header(), files=1)
    assert "value<4>" not in found.header and found.parts[0].count("\tvalue<4> p_") == 3


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("\tp_c = not_u", "\twhile (true)\n\tp_c = not_u"),
        lambda text: text.replace("\tp_a = and_uu<4>(p_in", "\tp_x = p_a;\n\tp_a = and_uu<4>(p_in"),
        lambda text: text + text.replace("p_top", "p_other"),
    ],
    ids=["a statement of an unknown form", "a variable read before it is assigned", "two modules"],
)
def test_what_is_not_understood_is_left_as_it_is(short: None, edit: Callable[[str], str]) -> None:
    text = edit(source())
    assert text != source()
    assert split_model(text, header(), files=2).parts == ()


def test_a_memory_of_equal_words_is_filled() -> None:
    def table(words: list[str]) -> str:
        listed = ",\n\t\t".join(f"value<4>{{{word}}}" for word in words)
        copied = "\tstd::copy(std::begin(mem_init_1), std::end(mem_init_1), &memory_p_words.data[0]);\n"
        return f"\tstatic const value<4> mem_init_1[{len(words)}] {{\n\t\t{listed},\n\t}};\n{copied}"

    reset = "void p_top::reset() {\n"
    same = split_model(source().replace(reset, reset + table(["0x3u"] * 5)), header(), files=1).source
    assert "\tstd::fill_n(&memory_p_words.data[0], 5, value<4>{0x3u});\n" in same and "mem_init" not in same
    different = source().replace(reset, reset + table(["0x3u", "0x4u"]))
    assert split_model(different, header(), files=1).source == different


def memory(*blocks: str, name: str = "words") -> str:
    """A module with a memory of two words, and these initial blocks."""
    return (
        f"module m(input clk);\n  reg [3:0] {name} [1:0];\n" + "".join(f"  initial begin\n{each}  end\n" for each in blocks) + "endmodule\n"
    )


ZERO = "    words[0] = 4'h0;\n    words[1] = 4'h0;\n"


def test_initial_words_that_are_all_zero_are_left_out() -> None:
    found = split.without_zero_words(memory(ZERO) + memory("    other[0] = 4'h1;\n"))
    assert found == memory(ZERO).replace("  initial begin\n" + ZERO + "  end\n", "\n" * 4) + memory("    other[0] = 4'h1;\n")
    assert found.count("\n") == (memory(ZERO) + memory("    other[0] = 4'h1;\n")).count("\n"), "messages name lines"


@pytest.mark.parametrize(
    "text",
    [
        memory("    words[0] = 4'h0;\n    words[1] = 4'h8;\n"),
        memory("    words[1] = 4'h8;\n", ZERO),
        memory(ZERO, "    words[1] = 4'h8;\n"),
        memory("    words[0] = 4'h0;\n    other[1] = 4'h0;\n"),
    ],
    ids=["another word", "another block before", "another block after", "another memory"],
)
def test_other_initial_words_are_kept(text: str) -> None:
    assert split.without_zero_words(text) == text


CHAIN = """
#include <cxxrtl/cxxrtl.h>
#include <cstdio>
using namespace cxxrtl_yosys;
int main() {{
    value<3> a[{count}];
    for (unsigned n = 0; n < {count}; n++) a[n].set<unsigned>(n * 5 % 8);
    value<1> c{{1u}};
    value<{width}> one = {one};
    value<{width}> other = {other};
    std::puts(one == other && !one.is_zero() ? "equal" : "different");
}}
"""


@pytest.mark.parametrize("count", [33, 48, *(pytest.param(count, marks=pytest.mark.slow) for count in (32, 47, 100))])
def test_a_long_chain_in_groups_has_the_same_value(count: int, tmp_path: Path) -> None:
    """With a chain inside one of its links, and a conditional expression in another."""
    links = [f"a[{number}]" for number in range(count)]
    links[7] = "(c ? a[7] : a[8])"
    links[20] = f"not_u<3>({'a[0]' + ''.join(f'.concat(a[{number % count}])' for number in range(1, 40))}.slice<4,2>().val())"
    one = links[0] + "".join(f".concat({link})" for link in links[1:]) + ".val()"
    other = split._grouped(one)
    assert other != one and other.count(".concat(") == one.count(".concat(")
    (tmp_path / "chain.cc").write_text(CHAIN.format(count=count, width=3 * count, one=one, other=other), encoding="utf-8")
    runtime = cxxrtl.yosys_share() / "include/backends/cxxrtl/runtime"
    command = [*cxxrtl.find_compiler(), "-std=c++17", "-w", f"-I{runtime}", "-o", "chain", "chain.cc"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "chain"], capture_output=True, text=True, check=True).stdout == "equal\n"


def test_links_that_are_no_operands_are_left_alone() -> None:
    """Without parentheses ``.concat`` would bind to the last operand."""
    chain = "a" + ".concat(b)" * 20 + ".concat(c ? d : e)" + ".concat(b)" * 20
    assert split._grouped(chain) == chain


@pytest.mark.slow
def test_a_split_core_is_the_model_bit_for_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []

    def recorded(*texts: str, files: int) -> split.SplitModel:
        found.append(split_model(*texts, files=files))
        return found[-1]

    monkeypatch.setattr(split, "_SPLIT_LINES", 100)
    monkeypatch.setattr(split, "PIECE_LINES", 50)
    monkeypatch.setattr(split, "_GROUP", 2)
    monkeypatch.setattr(split, "_EQUAL_LINES", 100)
    monkeypatch.setattr(equal_statements, "USES", 2)
    monkeypatch.setattr(equal_statements, "SHORTEST", 1)
    monkeypatch.setattr(cxxrtl, "split_model", recorded)
    assert mgd_hw.cosim("xor", steps=60, out=tmp_path).equal
    (model,) = found
    assert len(model.parts) == 4 and sum(part.count("::eval_piece_") for part in model.parts) > 20
    assert any(").concat(" in part and ".val().concat(" in part for part in model.parts)
    written = "".join(model.parts)
    assert len(re.findall(r"^\tequal_\d+\(", written, re.M)) > 2 * written.count("::equal_") > 20
    assert "::commit_piece_0()" in written and "commit<>" not in model.header
    assert "changed |= commit_registers<1>(static_cast<registers_1 *>(this), " in model.header and ".commit(observer)" not in model.header
    named = re.findall(r'items->add\(path, "([^"]*)"', model.source)
    assert {"registers words", "array lane0 parameters", "busy"} <= set(named), "ports and memories have names"
    assert "array lane0 a" not in named


@pytest.mark.parametrize("large", [True, False])
def test_a_large_core_is_announced_with_the_time_that_it_takes(large: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    said: list[str] = []
    monkeypatch.setattr(cxxrtl, "_translate", refused)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (tmp_path / "driver.cc").write_text("", encoding="utf-8")
    (tmp_path / "core.v").write_text("//" * (3_500_000 if large else 300_000), encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        cxxrtl.build_model(tmp_path / "core.v", "core", tmp_path / "driver.cc", tmp_path / "build", notify=said.append)
    assert said == (["Compiling the simulator takes about 20 s on an idle machine."] if large else [])


@pytest.mark.long
@pytest.mark.slow
def test_a_core_of_256_lanes_is_split_and_is_the_model(tmp_path: Path) -> None:
    """It takes about two minutes of two processors; before it was split, ``eval`` alone took the compiler more than ten."""
    text = WIDE.format(lanes=256)
    (tmp_path / "wide.toml").write_text(text, encoding="utf-8")
    assert mgd_hw.cosim(tmp_path / "wide.toml", steps=5, out=tmp_path / "out").equal
