"""The Python API is the command line: one function for each command, loaded when first used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import mgd_hw
from mgd_hw import cli, flow
from mgd_hw.common.results import Result
from python_ref.spec.bus import Bus, SampleSource
from python_ref.spec.error import Refusal

ROOT = Path(__file__).parents[2]
VERBS = tuple(name for name in mgd_hw.__all__ if name not in ("ToolError", "Refusal", "read"))
NAMES = {"import": "import_network", "virtual": "serve"}
"""Commands whose function has another name."""
BESIDE = {
    "compare": ("mgd_hw.learn.compare_learner",),
    "train": ("mgd_hw.device.train_learner",),
    "diagnose": ("mgd_hw.learn.diagnose_series", "mgd_hw.learn.diagnose_learner"),
}
"""Modules of the results of verbs whose result for a network outside, or with state, is another one."""
OPTIONS = {"build_standalone", "compare_efficiency", "run_standalone"}
"""Functions of the options --standalone and --efficiency."""


def test_each_command_is_a_verb() -> None:
    assert {NAMES.get(name, name) for name in cli.commands.commands} | OPTIONS == set(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_has_one_result_type(name: str) -> None:
    """Its own, or a plan of the same where nothing is run, in the module of the function; that of another kind of design is beside it."""
    function = getattr(mgd_hw, name)
    module = import_module(function.__module__)
    assert function.__module__ == mgd_hw._MODULES[name]
    hints = typing.get_type_hints(function, {**vars(typing), **vars(module)})
    told = hints["ready"] if name == "serve" else hints["return"]
    kinds = [kind for each in typing.get_args(told) or (told,) for kind in (each if isinstance(each, list) else [each])]
    results = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Result)]
    assert results and all(kind.__module__ in (function.__module__, *BESIDE.get(name, ())) for kind in results), kinds


def test_the_command_line_calls_verbs_and_nothing_else() -> None:
    tree = ast.parse(Path(cli.__file__).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mgd_hw"}
    assert used == set(VERBS)
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mgd_hw")}
    assert imported == {"mgd_hw.terminal"}


@pytest.mark.parametrize("name", mgd_hw.__all__)
def test_no_module_hides_a_verb(name: str) -> None:
    """The import of a module mgd_hw.NAME would put it in the place of the function."""
    assert not (ROOT / "mgd_hw" / name).exists() and not (ROOT / "mgd_hw" / f"{name}.py").exists()


def test_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(mgd_hw.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "importlib", "typing")
        for alias in node.names
    }
    assert seen == mgd_hw._MODULES
    assert sorted(seen) == sorted(mgd_hw.__all__)
    assert set(mgd_hw.__all__) <= set(dir(mgd_hw))


def test_the_former_name_of_a_refusal_still_works() -> None:
    assert mgd_hw.Refusal is mgd_hw.Refusal


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = "import sys, mgd_hw; print([name for name in sys.modules if name.startswith(('mgd_hw.', 'numpy'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip() == "[]"


def test_an_unknown_name_is_refused() -> None:
    for module in (mgd_hw, flow):
        with pytest.raises(AttributeError, match="has no attribute 'gnerate'"):
            module.gnerate  # noqa: B018


def test_the_former_module_has_the_same_functions() -> None:
    assert set(VERBS) <= set(flow.__all__)
    for name in flow.__all__:
        found = getattr(flow, name)
        assert found is getattr(import_module(found.__module__), name)
    assert flow.generate is mgd_hw.generate


def test_a_clock_without_a_board_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^--clock = 20\.0: it is a setting of a board, and no board is named\. Name one with --board"):
        mgd_hw.generate("xor", clock=20.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bus": "avalon"}, r"^--bus = \"avalon\": it is not known\. Name axi4-lite or wishbone\.$"),
        ({"bus": "wishbone", "samples": "spi"}, r"^--samples = \"spi\": it is not known\. Name bus or axi4-stream\.$"),
        ({"samples": "bus"}, r"^--samples = \"bus\": it says how samples reach a core behind a bus, and no bus is named\. Name one with"),
        ({"bus": "wishbone", "board": "icebreaker"}, r"^--bus = \"wishbone\": a board has its serial line, and no bus of a processor\. "),
    ],
)
def test_buses_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Refusal, match=message):
        mgd_hw.generate("xor", **given)


def test_a_core_behind_a_bus_has_files_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = mgd_hw.generate("xor", bus="axi4-lite", samples="axi4-stream")
    assert made.directory == Path("mgd-hw-out/xor/axi4-lite")
    assert made.manifest["top"] == "mgd_xor_axi4_lite"
    assert not (made.directory / "mgd_xor_litex.py").exists()  # LiteX's bus is Wishbone
    assert made.manifest["bus"]["stream"] == {"tdata_bits": 16, "words": 3}
    assert "-top mgd_xor_axi4_lite" in (made.directory / "synth.ys").read_text()
    assert "module mgd_xor_axi4_lite(" in (made.directory / "design.v").read_text()


def test_the_command_line_offers_every_bus() -> None:
    assert list(cli.BUSES) == [bus.value for bus in Bus]
    assert list(cli.SAMPLE_SOURCES) == [source.value for source in SampleSource]


def test_a_header_of_the_registers_compiles(tmp_path: Path) -> None:
    made = mgd_hw.generate("xor", tmp_path / "made", bus="wishbone", headers=True)
    described = {"registers.rdl", "registers.h", "setup.h", "registers.md", "component.xml"}
    assert described | {"mgd_xor_wishbone.core", "mgd_xor_litex.py"} <= set(made.files)
    program = tmp_path / "program.c"
    checks = {"interrupt_status": 0x400, "sample": 0x408, "sample_room": 0x40C, "digest": 4, "status": 0x0C}
    lines = [f'_Static_assert(offsetof(mgd_xor_wishbone_t, {name}) == {place}, "{name}");' for name, place in checks.items()]
    lines.append('_Static_assert(_Alignof(mgd_xor_wishbone_window) == 4, "else compilers access bytes");')
    lines.append(
        "void begin(mgd_xor_wishbone_window *core) { mgd_xor_wishbone_set_up(core); core->exponent = mgd_xor_wishbone_rates[0].exponent; }"
    )
    program.write_text("\n".join(['#include "made/setup.h"', "#include <stddef.h>", *lines, ""]))
    subprocess.run(["gcc", "-Wall", "-Werror", "-std=gnu11", "-c", str(program), "-o", str(tmp_path / "program.o")], check=True)
    assert "0x408" in (made.directory / "registers.md").read_text()
    assert component_registers(made.directory / "component.xml") == rdl_registers(made.directory / "registers.rdl")


def component_registers(path: Path) -> dict[str, tuple[int, int, int]]:
    """Byte address, bits and number of words of each register of an IP-XACT component, as another reader has them."""
    from ipyxact.ipyxact import Component

    component = Component()
    component.load(str(path))
    assert (component.vendor, component.name) == ("mgd-hw", "mgd_xor_wishbone")
    (block,) = (block for each in component.memoryMaps.memoryMap for block in each.addressBlock)
    return {each.name: (each.addressOffset, each.size, each.dim or 1) for each in block.register}


def rdl_registers(path: Path) -> dict[str, tuple[int, int, int]]:
    """The same of a SystemRDL description."""
    from systemrdl import RDLCompiler
    from systemrdl.node import RegNode

    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    nodes = [node for node in compiler.elaborate().top.children() if isinstance(node, RegNode)]
    assert len(nodes) > 30
    found = {}
    for node in nodes:
        words = node.array_dimensions[0] if node.array_dimensions else 1
        found[node.inst_name] = (node.raw_address_offset, node.get_property("regwidth"), words)
    return found


def test_headers_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal, match=r"^--headers: the registers have byte addresses only behind a bus, and no bus is named\. Name one "):
        mgd_hw.generate("xor", headers=True)
    monkeypatch.setitem(sys.modules, "systemrdl", None)
    with pytest.raises(Refusal, match=r"^--headers: PeakRDL is not installed\. Run: pip install 'mgd-hw\[bus\]'\.$"):
        mgd_hw.generate("xor", bus="wishbone", headers=True)
