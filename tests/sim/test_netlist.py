"""Netlists: what synthesis made of a core is the same machine, cell by cell, and a fault in one cell is seen."""

import random
import re
import shutil

import numpy as np
import pytest

from boards.parts.netlist import MODELS, write_netlist
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from python_ref.trace import Run
from rtl_gen.emit import emit_verilog
from rtl_gen.toolchain.yosys import YosysError
from sim.cosim import cosim
from sim.error import SimulationError
from sim.netlist import with_models
from tests.support.designs import random_parameters, random_samples

STEPS, FEW_STEPS = 12, 6
"""Steps of a run in the slow suite, and in the ordinary one."""
QUICK = "icarus" if shutil.which("iverilog") else "verilator"
"""Icarus has nothing to build, but does not come with the package."""
ICE40 = "ice40-up5k"


def tiny(kind: Kind = Kind.NODE, schedule: Schedule | None = None, lanes: int = 2, sizes: tuple[int, ...] = (2, 3, 2)) -> DesignSpec:
    formats = {"input": "UQ0.4", "weight": "SQ2.8", "activation": "SQ2.6", "table": "SQ3.3", "cost_change": "SQ4.10", "gradient": "SQ2.10"}
    return DesignSpec(
        "tiny",
        Network(sizes, Activation.TANH, Activation.IDENTITY),
        Perturbation(kind, amplitude_log2=-3),
        schedule or Schedule(((0, -5),)),
        formats=Formats(**{name: Fixed.parse(text) for name, text in formats.items()}),
        hardware=Hardware(lanes, signature=False),
    )


def a_run(spec: DesignSpec, steps: int = STEPS) -> Run:
    rng = random.Random("netlist")
    return Run(spec, random_parameters(rng, spec), *random_samples(rng, spec, 4), np.arange(steps) % 4, steps, 3)


def netlist_of(spec, part, folder):
    """The netlist, and the Verilog that simulates it."""
    made = write_netlist(spec, part, folder, emit_verilog(spec))
    return made, with_models(made.verilog, f"{spec.module}_core", made.models.files, defines=made.models.defines)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The netlist of the tiniest design with a hidden layer for an iCE40."""
    spec = tiny(lanes=1, sizes=(2, 2, 1))
    return spec, *netlist_of(spec, ICE40, tmp_path_factory.mktemp("netlist"))


def test_the_netlist_is_the_same_machine(built, tmp_path):
    spec, made, model = built
    assert made.cells["SB_MAC16"] == spec.hardware.lanes + 1
    assert made.cells["SB_RAM40_4K"] >= 2
    assert made.cells["SB_LUT4"] > 500
    result = cosim(a_run(spec, FEW_STEPS), model, tmp_path, simulator=QUICK)
    assert result.equal, result
    assert result.compared > 0 and result.mismatches == 0


@pytest.mark.slow
def test_the_netlist_of_two_lanes_is_the_same_machine(tmp_path):
    spec = tiny()
    made, model = netlist_of(spec, ICE40, tmp_path)
    assert made.cells["SB_MAC16"] == 3
    assert made.cells["SB_RAM40_4K"] >= 3
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator=QUICK)
    assert result.equal, result


def flip_bit(text: str, cell: str, parameter: str, which: int) -> str:
    """Invert the lowest bit of a parameter of the ``which``-th cell of a type."""
    pattern = re.compile(rf"{cell} #\([^;]*?\.{parameter}\((?:\d+'[bdh])?([0-9a-fx]+)\)", re.DOTALL)
    match = list(pattern.finditer(text))[which]
    digit = match.end(1) - 1
    return text[:digit] + format(int(text[digit], 16) ^ 1, "x") + text[digit + 1 :]


def swap_pins(text: str, cell: str, one: str, other: str, which: int) -> str:
    """Exchange what two pins of the ``which``-th cell of a type are connected to."""
    start = [match.start() for match in re.finditer(rf"^ +{cell} ", text, re.MULTILINE)][which]
    end = text.index(";", start)
    renamed = {one: other, other: one}
    return text[:start] + re.sub(rf"\.({one}|{other})\(", lambda m: f".{renamed[m[1]]}(", text[start:end]) + text[end:]


FAULTS = {
    "multiplier": lambda text: flip_bit(text, "SB_MAC16", "A_SIGNED", 0),
    "look-up table": lambda text: flip_bit(text, "SB_LUT4", "LUT_INIT", 100),
    "memory": lambda text: swap_pins(text, "SB_RAM40_4K", "RADDR", "WADDR", 0),
}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_cell_is_seen(built, tmp_path, fault):
    spec, made, _ = built
    whole = made.verilog.read_text()
    broken = FAULTS[fault](whole)
    assert broken != whole and len(broken) == len(whole)
    (tmp_path / "broken.v").write_text(broken)
    model = with_models(tmp_path / "broken.v", f"{spec.module}_core", made.models.files, defines=made.models.defines)
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec, 4), model, tmp_path / "run", simulator=QUICK)
    assert not result.equal


def test_a_cell_without_a_model_is_named(built, tmp_path):
    _, made, _ = built
    text = "module top(input a, output b); SB_NOVELTY #(.N(1)) it (.I(a), .O(b)); endmodule\n"
    (tmp_path / "unknown.v").write_text(text)
    with pytest.raises(YosysError, match=r"^Yosys failed: .*SB_NOVELTY"):
        with_models(tmp_path / "unknown.v", "top", made.models.files, defines=made.models.defines)
    (tmp_path / "box.v").write_text("module top(input a, output b); (* keep *) DP16KD it (.DIA0(a), .DOA0(b)); endmodule\n")
    with pytest.raises(SimulationError, match=r"box\.v has cells without a model: DP16KD\. Add the files of their models\.$"):
        with_models(tmp_path / "box.v", "top", MODELS["ecp5-85k"].files, defines=MODELS["ecp5-85k"].defines)


def test_a_part_without_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^Netlist must be of one of ice40-up5k, .*, not 'xc7'$"):
        write_netlist(tiny(), "xc7", tmp_path, "")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("part", [name for name in MODELS if name != ICE40])
def test_other_parts_as_far_as_their_models_go(part, tmp_path):
    spec = tiny(lanes=1)
    made, model = netlist_of(spec, part, tmp_path)
    assert made.models.not_covered
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator="verilator")
    assert result.equal, result


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "schedule"),
    [(Kind.WEIGHT, Schedule(((0, -5),))), (Kind.NODE, Schedule(((0, -5),), update_period=3)), (Kind.WEIGHT, Schedule(((0, -5),), 2, 3, 4))],
    ids=["weight", "gradient memory", "weight, periods"],
)
def test_other_structures(kind, schedule, tmp_path):
    spec = tiny(kind, schedule)
    _, model = netlist_of(spec, ICE40, tmp_path)
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator="verilator")
    assert result.equal, result
