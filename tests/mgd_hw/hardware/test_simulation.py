"""The files beside a learner's Verilog with which any simulator can run it beside a virtual chip."""

import re
import subprocess
from pathlib import Path

import pytest

import mgd_hw
from mgd_hw.design.reader import parse_any
from mgd_hw.hardware import simulation
from python_ref.fixed import learner as model
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Memory
from sim import host
from sim.program import ProgramLink, ReplayLink
from tests.support.verilog_virtual_chip import VerilogTwin

DESIGN = """
name = "tiny"
[network]
external = 3
[schedule]
learning_rate = -4
difference = "two-sided"
[external]
settle = 8
samples = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "STEPS", 60)
        found = mgd_hw.generate(parse_any(DESIGN, "tiny.toml"), tmp_path / "out")
    assert {f"simulation/{name}" for name in ("chip_bench.v", "virtual_chip.v", "program.hex", "sizes.vh")} <= set(found.files)
    return tmp_path / "out" / "simulation"


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("streams")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "STEPS", 60)
        text = DESIGN.replace("external = 3", "external = 5") + "[hardware]\nlanes = 2\n"
        mgd_hw.generate(parse_any(text, "tiny.toml"), tmp_path / "out")
    return tmp_path / "out" / "simulation"


SIGNED = "[hardware]\nsignature = true\n"
NODES = """
name = "nodes"
network = {external = 5}
perturbation = {kind = "node", code = "sequential", amplitude = "2^-5"}
schedule = {difference = "two-sided", learning_rate = -1, sample_period = 5, update_period = 5}
external = {settle = 8, samples = 4, average = 1}
hardware.signature = true
"""
CARRIES = {"LAG": 40, "DRIFT": 3, "NOISE": 20}
"""A chip whose readout carries a sixth of the last reading."""


def run_beside(design, folder, figures, steps):
    """Train a learner's Verilog beside the virtual chip with these figures, and the fixed model beside its twin; return, of both, the raw
    quantities, the counters and the signatures, and then the costs of the model."""
    spec, chip, costs = design.spec, folder / "virtual_chip.v", []
    text = chip.read_text(encoding="utf-8")
    for name, value in figures.items():
        text, count = re.subn(rf"(parameter {name} = )\d+", rf"\g<1>{value}", text)
        assert count == 1
    chip.write_text(text, encoding="utf-8")
    start = quantise_parameters(spec, initial_parameters(spec))

    def procedure(link):
        host.prepare(spec, link, start)
        host.train(spec, link, 0, steps)
        counters = host.read_counters(spec, link)
        counters.pop("cycles")
        return host.read_memory(spec, link, Memory.PARAMETER).tolist(), counters, host.read_register(spec, link, "signature")

    link = ProgramLink()
    procedure(link)
    ops = link.program().ops.tolist()
    program = "".join(f"{kind << 40 | address << 32 | data:011x}\n" for kind, address, data in ops)
    (folder / "program.hex").write_text(program, encoding="utf-8")
    sizes = re.sub(r"`define OPS \d+", f"`define OPS {len(ops)}", (folder / "sizes.vh").read_text(encoding="utf-8"))
    (folder / "sizes.vh").write_text(sizes, encoding="utf-8")
    answers = [int(word, 16) for word in re.findall(r"register 0x\w\w reads 0x(\w{8})", run(folder))]
    twin, state = VerilogTwin(spec, chip), model.initial_learner(spec, start)

    class Logged:
        def __call__(self, words, sample, count):
            costs.append(found := twin(words, sample, count))
            return found

        def apply(self, errors):
            twin.apply(errors)

    for _ in range(steps):
        state, _ = model.step(spec, state, Logged())
    counters = dict(zip(COUNTERS, state.counters.tolist(), strict=True))
    expected = state.parameters.tolist(), counters, state.signature[0] | state.signature[1] << 32
    assert spec.sends_errors == any(map(any, twin.weights))
    return procedure(ReplayLink(answers)), expected, costs


@pytest.mark.parametrize(
    ("text", "figures"),
    [(DESIGN + SIGNED, {}), (DESIGN + SIGNED + "lanes = 2\n", CARRIES), (NODES, CARRIES), (NODES + "hardware.lanes = 2\n", {})],
    ids=["quantities", "in two streams, with a lag", "node currents, with a lag", "node currents in two streams"],
)
def test_the_verilog_chip_is_its_twin(text: str, figures: dict[str, int], tmp_path: Path) -> None:
    """Bit for bit with noise and drift, since it draws them itself: so the learner's Verilog learns what the fixed model does."""
    design = parse_any(text, "twin.toml")
    mgd_hw.generate(design, tmp_path / "out")
    found, expected, costs = run_beside(design, tmp_path / "out" / "simulation", figures, 40)
    assert found == expected and len(costs) == 80


@pytest.mark.slow
def test_its_weights_learn_by_the_errors(tmp_path):
    """They take the cost below what currents alone reach, since each sample shifts the targets."""
    design = parse_any(NODES, "nodes.toml")
    mgd_hw.generate(design, tmp_path / "out")
    figures = {"NOISE": 0, "DRIFT": 0}
    found, expected, costs = run_beside(design, tmp_path / "out" / "simulation", figures, 600)
    assert found == expected

    def last(costs):
        return sum(map(sum, costs[-80:])) / 160 / 2**design.spec.formats.cost.fraction_bits

    class Deaf(VerilogTwin):
        def apply(self, errors):
            pass

        def __call__(self, words, sample, count):
            without.append(found := super().__call__(words, sample, count))
            return found

    deaf, without = Deaf(design.spec, tmp_path / "out" / "simulation" / "virtual_chip.v"), []
    state = model.initial_learner(design.spec, quantise_parameters(design.spec, initial_parameters(design.spec)))
    for _ in range(600):
        state, _ = model.step(design.spec, state, deaf)
    assert last(costs) < last(without) / 2


def run(folder):
    build = ["iverilog", "-g2012", "-o", "simulation.vvp", "../design.v", "chip_bench.v", "virtual_chip.v"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, text=True)
    return subprocess.run(["vvp", "-n", "simulation.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", ["folder", "streams"])
def test_the_cost_falls(name, request):
    said = run(request.getfixturevalue(name))
    costs = [float(value) for value in re.findall(r"mean of the last 12: ([-\d.]+)", said)]
    assert len(costs) == 10 and costs[-1] < costs[0] / 2
    assert "register 0x03 reads 0x00000000" in said and "register 0x10 reads 0x0000003c" in said
    assert "settle" not in said and "marked" not in said


def test_a_chip_that_has_not_settled_is_told(folder):
    sizes = folder / "sizes.vh"
    text = sizes.read_text(encoding="utf-8")
    assert "`define SETTLE 8\n" in text
    sizes.write_text(text.replace("`define SETTLE 8", "`define SETTLE 20"), encoding="utf-8")
    assert "cycles before the chip has settled: settle is too small" in run(folder)
