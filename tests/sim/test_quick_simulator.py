"""The simulator of these tests, which compiles circuits to shorter code, does what Amaranth's does."""

from pathlib import Path

import pytest
from amaranth.sim import _pyrtl

from rtl_gen.core import core_of
from sim.engines.amaranth_sim import run_amaranth
from sim.ports import Ports
from sim.program import training_program
from tests.rtl_gen.test_faults import a_run
from tests.support import quick_simulator
from tests.support.faults import DESIGNS

AMARANTH = quick_simulator.QuickEmitter.__base__


def waves(path: Path) -> list[list[str]]:
    """What each moment of a VCD file holds; the order of changes at one moment varies from run to run."""
    _, _, text = path.read_text(encoding="utf-8").partition("$timescale")
    return [sorted(moment.splitlines()) for moment in text.split("\n#")]


def test_every_signal_has_the_same_waves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, run = DESIGNS["sequential"], a_run(DESIGNS["sequential"], steps=2)
    program = training_program(spec, run.parameters, run.inputs, run.targets, run.order, run.steps, seed=run.seed)
    compiled: dict[str, list[str]] = {}
    for name, emitter in (("plain", AMARANTH), ("quick", quick_simulator.QuickEmitter)):
        flush = emitter.flush
        functions = compiled.setdefault(name, [])

        def noted(self, indent: str = "", flush=flush, functions=functions) -> str:
            functions.append(flush(self, indent))
            return functions[-1]

        monkeypatch.setattr(_pyrtl, "_PythonEmitter", type("Noted", (emitter,), {"flush": noted}))
        run_amaranth(core_of(spec), Ports.of(spec), program, lambda event, rows: None, waves=tmp_path / f"{name}.vcd")
    plain, quick = ("".join(functions) for functions in compiled.values())
    assert plain.count(".update(") == quick.count(".update(") == quick.count(".next != ") > 100
    assert "slots[" in plain and "return" not in quick and ".next != " not in plain
    first, second = (waves(tmp_path / f"{name}.vcd") for name in compiled)
    assert first == second
    assert len(first) > 1_000


def test_it_is_the_one_in_use() -> None:
    assert _pyrtl._PythonEmitter is quick_simulator.QuickEmitter
