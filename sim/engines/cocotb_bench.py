"""The cocotb test bench: it runs a host's program on a core, and writes the core's events and responses as frames.

The environment variable MGD_HW_BENCH names its settings file, a JSON object with the program, the output, the ports, the patience and
the stalls.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from sim.engines.frames import DONE, PROGRESS, RESPONSE, STUCK, FrameWriter
from sim.program import Op, Program

_BLOCK = 2048
"""Number of events of one kind after which all collected events are written."""


class _Refused(Exception):
    """The module under test cannot be run as a core."""


class _Undefined(Exception):
    """An output of the core has bits that are neither 0 nor 1."""


def _check_ports(dut: Any, inputs: dict[str, int], outputs: dict[str, int]) -> None:
    for direction, ports in (("input", inputs), ("output", outputs)):
        for name, width in ports.items():
            handle = getattr(dut, name, None)
            if handle is None:
                raise _Refused(f"the module has no {direction} {name}")
            if len(handle) != width:
                raise _Refused(f"the module's port {name} must have {width} bits, not {len(handle)}")


def _bits(handle: Any) -> int:
    """Value of a signal; undefined bits raise an error."""
    text = str(handle.value)
    try:
        return int(text, 2)
    except ValueError:
        raise _Undefined(f"The core shows undefined bits at its port {handle._name}: {text}") from None


@cocotb.test()
async def bench(dut: Any) -> None:
    """Run the program of the settings file."""
    settings = json.loads(Path(os.environ["MGD_HW_BENCH"]).read_text(encoding="utf-8"))
    with Path(settings["output"]).open("wb") as file:
        try:
            _check_ports(dut, settings["inputs"], settings["outputs"])
            await _run(dut, settings, FrameWriter(file))
        except _Refused as error:
            Path(settings["refused"]).write_text(str(error), encoding="utf-8")
        except _Undefined as error:
            Path(settings["undefined"]).write_text(str(error), encoding="utf-8")


class _Record:
    """What the core shows, gathered and written block by block.

    Parameters
    ----------
    dut : handle
        Handle of the simulated core, whose ports the bench reads and drives.
    outputs : dict of str to int
        Widths of the core's outputs, by name.
    writer : FrameWriter
        Where the frames go.
    """

    def __init__(self, dut: Any, outputs: dict[str, int], writer: FrameWriter) -> None:
        widths = {name: width for name, width in outputs.items() if name.startswith("probe_") and name != "probe_stb"}
        self._sizes = [4 * -(-width // 32) for width in widths.values()]
        self._payloads = [getattr(dut, name) for name in widths]
        self._found: list[list[bytes]] = [[] for _ in widths]
        self._writer = writer
        self.responses: list[int] = []

    def events(self, strobes: int) -> None:
        """Take the payload of every event whose strobe is set."""
        for event, payload in enumerate(self._payloads):
            if strobes >> event & 1:
                self._found[event].append(_bits(payload).to_bytes(self._sizes[event], "little"))
                if len(self._found[event]) >= _BLOCK:
                    self.flush()

    def flush(self) -> None:
        """Write all that was gathered."""
        for kind, rows in enumerate(self._found):
            if rows:
                self._writer.rows(kind, len(rows), b"".join(rows))
                rows.clear()
        if self.responses:
            self._writer.rows(RESPONSE, len(self.responses), b"".join(value.to_bytes(4, "little") for value in self.responses))
            self.responses.clear()


class _Inputs:
    """The inputs of the core, which are set only where they have to change; they change just after a rising edge."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self._driven: dict[str, int] = {}

    def drive(self, name: str, value: int) -> None:
        """Set an input if it has to change."""
        if self._driven.get(name) != value:
            self._driven[name] = value
            getattr(self._dut, name).value = value


async def _reset(dut: Any, inputs: dict[str, int], cycles: int) -> tuple[RisingEdge, FallingEdge]:
    """Start the clock and reset the core for so many cycles; the clock's two edges, to wait for."""
    for name in inputs:
        if name != "clk":
            getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
    rising, falling = RisingEdge(dut.clk), FallingEdge(dut.clk)
    for _ in range(cycles + 1):
        await rising
    dut.rst.value = 0
    return rising, falling


async def _run(dut: Any, settings: dict[str, Any], writer: FrameWriter) -> None:
    program = Program.load(Path(settings["program"]))
    patience, share = settings["patience"], settings["stall_share"]
    chance = random.Random(settings["stall_seed"]).random
    record, drive = _Record(dut, settings["outputs"], writer), _Inputs(dut).drive
    stb, busy = dut.probe_stb, dut.busy
    stream, others = settings["stream"], [f"{name}__ready" for name in settings["taken"]]
    request_ready, response_valid, sample_ready = dut.request__ready, dut.response__valid, getattr(dut, f"{stream}__ready")
    response = dut.response__payload
    rising, falling = await _reset(dut, settings["inputs"], settings["reset_cycles"])
    ops, words = program.ops.tolist(), program.words()
    op = cycles = busy_cycles = taken = idle = 0
    word = next(words, None)
    requesting = offering = asked = False
    grace, reported = 4, time.monotonic()
    while op < len(ops):
        kind, address, data = ops[op]
        requesting = requesting or (kind != Op.WAIT and not asked and not (share and chance() < share))
        offering = offering or (word is not None and not (share and chance() < share))
        taking = not (share and chance() < share)
        drive("request__valid", int(requesting))
        if requesting:
            drive("request__payload", (kind == Op.WRITE) | address << 1 | data << 9)
        drive(f"{stream}__valid", int(offering))
        if offering and word is not None:
            drive(f"{stream}__payload", word)
        drive("response__ready", int(taking))
        for name in others:
            drive(name, int(not (share and chance() < share)))
        advance = False
        while True:  # cycles in which no input changes
            await falling
            cycles += 1
            progress = requested = responded = accepted = False
            if strobes := _bits(stb):
                progress = True
                record.events(strobes)
            is_busy = _bits(busy)
            busy_cycles += is_busy
            if requesting:
                requested = bool(_bits(request_ready))
            if taking and _bits(response_valid):
                responded = True
                record.responses.append(_bits(response))
            if offering and _bits(sample_ready):
                accepted = progress = True
                taken += 1
            if kind == Op.WAIT:
                if grace:
                    grace -= 1
                else:
                    advance = not is_busy
            elif requested:
                requesting, progress = False, True
                asked = kind == Op.READ
                advance = kind == Op.WRITE
            if responded and asked:
                asked, advance = False, True
            idle = 0 if progress or advance else idle + 1
            if cycles % 256 == 0 and time.monotonic() > reported + 1.0:
                reported = time.monotonic()
                record.flush()
                writer.state(PROGRESS, (cycles, busy_cycles, taken, op))
            if idle > patience:
                record.flush()
                writer.state(STUCK, (cycles, busy_cycles, taken, op))
                return
            if advance or requested or responded or accepted or share:
                break
        if accepted:
            word, offering = next(words, None), False
        if advance:
            op, grace = op + 1, 4
        await rising
    record.flush()
    writer.state(DONE, (cycles, busy_cycles, taken, op))
