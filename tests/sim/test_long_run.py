"""A whole run of ``digits`` on CXXRTL: the signatures of every step, and everything of the last ones."""

from __future__ import annotations

import pytest

from mgd_hw.data import load as load_data
from mgd_hw.design.reader import load
from mgd_hw.design.run import run_of
from python_ref.datasets import quantise
from python_ref.fixed.fast import evaluate
from python_ref.spec.probes import values_per_step
from python_ref.trace import Trace
from rtl_gen.emit import emit_verilog
from sim.cosim import cosim

STEPS, WINDOW = 100_000, 250


@pytest.mark.long
@pytest.mark.slow
def test_a_whole_run_of_digits(tmp_path):
    design = load("digits")
    spec, data = design.spec, load_data(design.data)
    verilog = tmp_path / "design.v"
    verilog.write_text(emit_verilog(spec))
    run = run_of(design, data, STEPS)
    result = cosim(run, verilog, tmp_path, simulator="cxxrtl", first=STEPS - WINDOW, fast_reference=True)
    assert result.equal, result
    assert result.compared == 2 * (STEPS - WINDOW) + WINDOW * values_per_step(spec)
    for _, block in Trace.open(tmp_path / "hardware").blocks():
        learned = block["parameter"][-1].astype(int)
    accuracy, _ = evaluate(spec, learned, *quantise(spec, data.test))
    print(
        f"\ndigits on CXXRTL: {STEPS:,} steps, {result.cycles:,} cycles ({result.cycles_per_step:.2f} a step), {result.compared:,} values "
        f"compared, none different; {result.seconds:.0f} s, compiling included; {100 * accuracy:.1f} % of the test images"
    )
    assert accuracy >= 0.85, "it learned what the model learns in as many steps"
