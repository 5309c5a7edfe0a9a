"""Equal statements call one function, which does what they did; what is only alike does not."""

from __future__ import annotations

import re

import pytest

from sim.engines import equal_statements
from sim.engines.equal_statements import EqualStatements, member_types

HEADER = """\
struct p_top : public module {
	/*input*/ value<1> p_clk;
	wire<4> p_a;
	wire<4> p_b;
	// \\init: 0
	wire<8> p_wide;
	value<4> i_c;
	memory<4> memory_p_words { 8u };
	bool eval(performer *performer = nullptr) override;
};
"""
TYPES = member_types(HEADER) | {"posedge_p_clk": "bool"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two uses of a statement of any length are enough for a function."""
    monkeypatch.setattr(equal_statements, "USES", 2)
    monkeypatch.setattr(equal_statements, "SHORTEST", 1)


def found(*statements: list[str]) -> tuple[list[list[str]], list[str]]:
    """The lines of the statements behind the change, and the functions."""
    equal = EqualStatements(statements, TYPES)
    return [equal.lines(statement) for statement in statements], equal.definitions("p_top", str)


def test_members_and_their_types_are_read_from_the_header() -> None:
    assert member_types(HEADER) == {
        "p_a": "wire<4>",
        "p_b": "wire<4>",
        "p_wide": "wire<8>",
        "i_c": "value<4>",
        "memory_p_words": "memory<4>",
    }


def test_statements_that_differ_in_names_call_one_function() -> None:
    def clocked(to: str, of: str) -> list[str]:
        return ["\t// cell $dff", "\tif (posedge_p_clk) {", f"\t\t{to}.next = and_uu<4>({of}.curr, {of}.curr);", "\t}"]

    lines, functions = found(clocked("p_a", "p_b"), clocked("p_b", "p_a"))
    assert lines == [["\tequal_0(posedge_p_clk, p_a, p_b);"], ["\tequal_0(posedge_p_clk, p_b, p_a);"]]
    assert functions == [
        "void p_top::equal_0(bool v0, wire<4> &v1, wire<4> &v2) {\n\tif (v0) {\n\t\tv1.next = and_uu<4>(v2.curr, v2.curr);\n\t}\n}\n"
    ]


def test_temporaries_are_named_anew_and_memories_are_parameters() -> None:
    def read(number: int) -> list[str]:
        return [f"\tauto tmp_{number} = memory_index(p_a.curr, 0, 8);", f"\ti_c = memory_p_words[tmp_{number}.index];"]

    lines, functions = found(read(3), read(14))
    assert lines == [["\tequal_0(p_a, i_c, memory_p_words);"]] * 2
    assert "auto t0 = memory_index(v0.curr, 0, 8);\n\tv1 = v2[t0.index];" in functions[0] and "memory<4> &v2" in functions[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\tp_a.next = xor_uu<4>(p_a.curr, p_b.curr);", "\tp_a.next = xor_uu<4>(p_b.curr, p_a.curr);"),
        ("\tp_a.next = p_b.curr.slice<3>().val();", "\tp_a.next = p_b.curr.slice<2>().val();"),
        ("\tp_a.next = not_u<4>(p_b.curr);", "\tp_a.next = not_u<4>(p_wide.curr);"),
        ("\tp_a.next = p_clk;", "\tp_a.next = p_rst;"),
    ],
    ids=["the same variables in other places", "another bit", "another type", "another port"],
)
def test_what_is_only_alike_stays_as_it_is(one: str, other: str) -> None:
    assert found([one], [other]) == ([[one], [other]], [])


def test_a_statement_that_is_short_long_or_needs_eval_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    short, print_ = ["\tp_a.next = p_b.curr;"], ["\tperformer->on_print(p_a.curr);"]
    assert found(print_, print_) == ([print_, print_], [])
    monkeypatch.setattr(equal_statements, "SHORTEST", 40)
    assert found(short, short) == ([short, short], [])
    monkeypatch.setattr(equal_statements, "SHORTEST", 1)
    monkeypatch.setattr(equal_statements, "_MOST_ARGUMENTS", 1)
    assert found(short, short) == ([short, short], [])


def test_every_function_is_declared() -> None:
    statements = [["\tp_a.next = p_b.curr;"], ["\tp_b.next = p_a.curr;"]]
    equal = EqualStatements(statements, TYPES)
    assert equal.declarations() == ["\tvoid equal_0(wire<4> &v0, wire<4> &v1);"]
    assert re.fullmatch(r"void p_top::equal_0\(.*\) \{\nA\n\}\n", equal.definitions("p_top", lambda line: "A")[0])
