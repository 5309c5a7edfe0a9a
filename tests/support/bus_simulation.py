"""Simulations of a core behind a bus, in Icarus, by the bench of :mod:`tests.support.bus_bench`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_ref.spec.bus import Bus, Feeding, SampleSource, byte_address, stream_bits, window_map, wrapper_name
from python_ref.spec.learning import LearningSpec
from rtl_gen.bus.top import bus_wrapper
from rtl_gen.emit import emit_verilog
from sim.engines.cocotb_sim import cocotb_environment
from sim.process import call
from sim.program import Op

__all__ = ["BusSimulation", "actions_of"]

_CHILD = """
import json, sys
from cocotb_tools.runner import get_runner
job = json.loads(sys.stdin.read())
runner = get_runner("icarus")
getattr(runner, job["verb"])(**job["arguments"])
"""


def actions_of(spec: LearningSpec, ops: Iterable[Sequence[int]]) -> list[list[Any]]:
    """The accesses of a bus that carry out the operations of a program."""
    status = byte_address(window_map(spec, SampleSource.BUS)["status"])
    actions: list[list[Any]] = []
    for kind, address, data in ops:
        if kind == Op.WRITE:
            actions.append(["write", 4 * address, data])
        elif kind == Op.READ:
            actions.append(["read", 4 * address])
        else:
            actions.append(["wait", status])
    return actions


@dataclass(frozen=True)
class BusSimulation:
    """A core behind a bus, built for simulation.

    Attributes
    ----------
    spec : LearningSpec
        The design.
    bus : Bus
        The bus.
    samples : SampleSource
        Where samples come from.
    directory : Path
        Directory to build and run in.
    timeout : float
        Seconds that a build or a run may take.
    """

    spec: LearningSpec
    bus: Bus
    samples: Feeding
    directory: Path
    timeout: float = 300.0

    @property
    def registers(self) -> dict[str, int]:
        """Byte addresses of all registers, by name."""
        return {name: byte_address(register) for name, register in window_map(self.spec, self.samples).items()}

    def build(self, verilog: str | None = None) -> BusSimulation:
        """Build the simulation, of other Verilog than the generator's if some is given."""
        text = emit_verilog(self.spec, bus_wrapper(self.spec, self.bus, self.samples)) if verilog is None else verilog
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "design.v").write_text(text, encoding="utf-8")
        arguments = {
            "sources": [str(self.directory / "design.v")],
            "hdl_toplevel": wrapper_name(self.spec, self.bus),
            "build_dir": str(self.directory),
            "always": True,
            "build_args": ["-g2005"],
            "timescale": ["1ns", "1ps"],
        }
        self._call("build", arguments)
        return self

    def run(self, actions: Sequence[Sequence[Any]], *, words: Sequence[int] = (), pauses: int | None = None) -> list[Any]:
        """Reset the core and carry out actions; what each of them finds.

        Parameters
        ----------
        actions : sequence of sequences
            Kind of each action, and what it is given.
        words : sequence of int
            Words of the samples that a "wait" writes to the register ``sample``.
        pauses : int or None
            Seed of the random pauses of the bus models; None pauses never.
        """
        at, framed = self.registers, self.samples is SampleSource.AXI4_STREAM
        results, settings = self.directory / "results.json", self.directory / "settings.json"
        results.unlink(missing_ok=True)
        described = {
            "actions": list(actions),
            "words": list(words),
            "bus": self.bus.value,
            "pauses": pauses,
            "stream_bytes": stream_bits(self.spec) // 8 if framed else 0,
            "sample_registers": [] if framed or "sample" not in at else [at["sample"], at["sample_room"]],
            "index_bits": max(1, (self.spec.quantities - 1).bit_length()),
            "results": str(results),
        }
        settings.write_text(json.dumps(described), encoding="utf-8")
        arguments = {
            "hdl_toplevel": wrapper_name(self.spec, self.bus),
            "hdl_toplevel_lang": "verilog",
            "test_module": "tests.support.bus_bench",
            "build_dir": str(self.directory),
            "test_dir": str(self.directory),
            "results_xml": str(self.directory / "results.xml"),
            "extra_env": {
                "MGD_HW_BUS": str(settings),
                "PYTHONPATH": f"{Path(__file__).parents[2]}:{cocotb_environment('icarus')['PYTHONPATH']}",
                "COCOTB_LOG_LEVEL": "WARNING",
            },
            "timescale": ["1ns", "1ps"],
        }
        self._call("test", arguments)
        log = (self.directory / "test.log").read_text(encoding="utf-8", errors="replace")
        assert results.exists(), log[-4000:]
        found = json.loads(results.read_text(encoding="utf-8"))
        assert isinstance(found, list)
        return found

    def _call(self, verb: str, arguments: dict[str, Any]) -> None:
        log, job = self.directory / f"{verb}.log", json.dumps({"verb": verb, "arguments": arguments})
        code = call([sys.executable, "-c", _CHILD], self.directory, log, timeout=self.timeout, env=cocotb_environment("icarus"), stdin=job)
        assert code == 0, log.read_text(encoding="utf-8", errors="replace")[-4000:]
