"""Verilator's model in a program of its own: what it shows is what CXXRTL's shows, since one driver drives both."""

import re
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog

from sim.engines.verilated import port_lines
from sim.error import CoreError, VerilogError
from sim.ports import Ports
from sim.run import Outcome, Stalls
from sim.simulators import Options, simulate
from tests.sim.test_amaranth_sim import prepared
from tests.support.mock_core import DESIGNS, MockCore, decoder_of, events, observables

SPEC, STEPS = DESIGNS["momentum"], 7


@pytest.fixture(scope="module")
def core() -> str:
    """Verilog of a stand-in for a core."""
    return verilog.convert(MockCore(SPEC, events(SPEC, observables(SPEC, STEPS))), name=Ports.of(SPEC).top)


def run(path: Path, directory: Path, simulator: str, **options) -> tuple[dict[str, np.ndarray], Outcome]:
    decoder = decoder_of(SPEC, observables(SPEC, STEPS))
    given = Options(compiled=True, **options)
    outcome = simulate(path, Ports.of(SPEC), prepared(SPEC, STEPS), decoder.feed, directory, simulator=simulator, options=given)
    return decoder.take(), outcome


def test_the_ports_of_a_model_are_those_of_its_header() -> None:
    header = """
    VL_IN8(&clk,0,0);
    VL_OUT8(&request___05Fready,0,0);
    VL_OUT16(&probe_error,13,0);
    VL_IN(&sample___05Fpayload,16,0);
    VL_IN64(&request___05Fpayload,40,0);
    VL_OUTW(&probe_learned,351,0,11);
    Vtop___024root* const rootp;
"""
    assert port_lines(header) == [
        'PORT("clk", clk, CXXRTL_INPUT, 1)',
        'PORT("request__ready", request___05Fready, CXXRTL_OUTPUT, 1)',
        'PORT("probe_error", probe_error, CXXRTL_OUTPUT, 14)',
        'PORT("sample__payload", sample___05Fpayload, CXXRTL_INPUT, 17)',
        'PORT("request__payload", request___05Fpayload, CXXRTL_INPUT, 41)',
        'PORT("probe_learned", probe_learned, CXXRTL_OUTPUT, 352)',
    ]


@pytest.mark.slow
def test_it_shows_what_cxxrtl_shows(tmp_path: Path, core: str) -> None:
    path = tmp_path / "core.v"
    path.write_text(core)
    for stalls in (None, Stalls(1, 0.25), Stalls(2, 0.75)):
        found, outcome = run(path, tmp_path / ("build" if stalls else "a folder with spaces"), "verilator", stalls=stalls)
        for key, values in observables(SPEC, STEPS).items():
            np.testing.assert_array_equal(found[key], values, err_msg=key)
        assert outcome == run(path, tmp_path / "cxxrtl", "cxxrtl", stalls=stalls)[1]


@pytest.mark.slow
def test_its_faults_give_one_clear_error(tmp_path: Path, core: str) -> None:
    path = tmp_path / "core.v"
    path.write_text(core.replace("[40:0] request__payload", "[39:0] request__payload"))
    with pytest.raises(VerilogError, match=r"the module's port request__payload must have 41 bits, not 40"):
        run(path, tmp_path / "build", "verilator")
    path.write_text(re.sub(r"assign request__ready = [^;]*;", "assign request__ready = 1'h0;", core))
    with pytest.raises(CoreError, match=r"^The core made no progress for 500 cycles: in cycle \d+ the host waits for it to accept"):
        run(path, tmp_path / "build", "verilator", patience=500)


def test_verilog_that_it_refuses_and_waves_that_it_has_not(tmp_path: Path, core: str) -> None:
    path = tmp_path / "core.v"
    path.write_text(re.sub(r"assign sample__ready = [^;]*;", "assign sample__ready = ;", core))
    line = 1 + next(number for number, text in enumerate(path.read_text().splitlines()) if "sample__ready = ;" in text)
    with pytest.raises(VerilogError, match=rf"it is refused: line {line}: syntax error") as caught:
        run(path, tmp_path / "build", "verilator")
    assert caught.value.line == line
    with pytest.raises(ValueError, match=r"^A compiled model of Verilator must be run without waves$"):
        run(path, tmp_path / "build", "verilator", waves=tmp_path / "waves.vcd")
