"""The Verilog of a learner: clean for other tools, the same in every process, and different where the machine is."""

import json
import random
import re
from dataclasses import replace

import pytest

from python_ref.spec.formats import Cast
from python_ref.spec.learner import Outside
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.perturbation import Kind, Perturbation, SequentialCode
from python_ref.spec.registers import register_map
from python_ref.spec.schedule import Schedule
from rtl_gen.core import core_class
from rtl_gen.emit import MANIFEST, SCRIPT, emit, emit_verilog, manifest
from rtl_gen.learner.core import learner_core
from rtl_gen.toolchain.yosys import run_yosys
from tests.rtl_gen.learner.test_core import ONE_SIDED, TWO_SIDED
from tests.rtl_gen.test_emit import check, lint
from tests.support.learner_designs import random_learner

RANDOM = [random_learner(random.Random(seed)) for seed in range(8)]


@pytest.mark.slow
@pytest.mark.parametrize("spec", (ONE_SIDED, TWO_SIDED, *RANDOM), ids=lambda spec: str(spec.quantities))
def test_verilator_and_yosys_find_nothing(spec, tmp_path):
    verilog = emit_verilog(spec)
    assert lint(verilog, tmp_path) == ""
    check(verilog, tmp_path, spec.module)
    check(verilog, tmp_path, f"{spec.module}_core")


BUILT = {
    "quantities": replace(ONE_SIDED, external=6),
    "code": replace(ONE_SIDED, perturbation=Perturbation(Kind.WEIGHT, SequentialCode(), -3, 4)),
    "amplitude": replace(ONE_SIDED, perturbation=replace(ONE_SIDED.perturbation, amplitude_log2=-4)),
    "cost": replace(ONE_SIDED, formats=replace(ONE_SIDED.formats, cost=Fixed(True, 3, 9))),
    "rounding": replace(
        ONE_SIDED, formats=replace(ONE_SIDED.formats, cost_change=Fixed(True, 3, 5), cost_change_cast=Cast(Rounding.FLOOR))
    ),
    "average": replace(ONE_SIDED, outside=replace(ONE_SIDED.outside, average=3)),
}
"""Designs of other cores."""

RUN = {
    "seed": replace(ONE_SIDED, perturbation=replace(ONE_SIDED.perturbation, seed=9)),
    "periods": replace(ONE_SIDED, schedule=Schedule(ONE_SIDED.schedule.learning_rate, 1, 2, 2)),
    "outside": replace(ONE_SIDED, outside=Outside(9, 2, 77, 4, sample_cycles=100_000, dac_step_log2=-3)),
}
"""Designs of the same core, in which only what the host writes is different."""


def test_the_digest_tells_machines_apart():
    assert len({spec.digest for spec in (ONE_SIDED, *BUILT.values())}) == 1 + len(BUILT)
    assert {spec.digest for spec in RUN.values()} == {ONE_SIDED.digest}
    assert len({spec.run_digest for spec in (ONE_SIDED, *RUN.values())}) == 1 + len(RUN)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BUILT, *RUN])
def test_the_digest_is_that_of_the_verilog(name):
    """Apart from the digest itself, the Verilog is the same, or differs in values at a reset alone, where the digest is the same."""

    def text(spec):
        found = re.sub(r"Structure \w+", "", emit_verilog(spec))
        for part in (spec.digest[:8], spec.digest[8:]):
            found = found.replace(part[:4], "").replace(part[4:], "")
        return re.sub(r"(= )?(24|32)'[hd]\w+", "", found)

    spec = (BUILT | RUN)[name]
    assert (text(spec) == text(ONE_SIDED)) == (name in RUN)


def test_the_manifest_names_ports_and_registers():
    described = manifest(ONE_SIDED)
    assert described["ports"]["perturbed"] == {"value": 10, "index": 3, "last": 1}
    assert {row["name"] for row in described["registers"]} == set(register_map(ONE_SIDED))
    assert "correct" not in register_map(ONE_SIDED) and "timeout" in register_map(ONE_SIDED)
    assert "infer" not in described["commands"]
    ports = learner_core(ONE_SIDED).signature.members
    assert set(described["ports"]) - {"clk", "rst"} == {name for name in ports if not name.startswith("probe_")}


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    described = emit(ONE_SIDED, tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8")) == json.loads(json.dumps(described))
    commands = [line for line in (tmp_path / SCRIPT).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert re.search(r"\d+\s+SB_LUT4", run_yosys(commands, tmp_path))


def test_no_network_is_made_of_a_learner():
    with pytest.raises(TypeError, match=r"rtl_gen\.core\.core_class"):
        core_class(ONE_SIDED)
