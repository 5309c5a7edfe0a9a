"""Files with which a learner can be simulated beside a virtual chip in Verilog, in any simulator."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from python_ref.spec.learner import LearnerSpec

__all__ = ["FOLDER", "write_simulation"]

FOLDER = "simulation"
"""Folder of these files, beside the Verilog of the learner."""
STEPS = 1_000
"""Number of training steps of the program."""
_SOURCES = ("chip_bench.v", "virtual_chip.v")


def stream_ports(spec: LearnerSpec, each: str) -> str:
    """Return the connections of a learner's streams in Verilog to the vectors ``word``, ``word_valid`` and ``word_ready``, where each
    stream has ``each`` bits, one and one."""
    from python_ref.spec.learner import stream_names

    rows = (
        f".{name}__payload(word[{lane}*{each}+:{each}]), .{name}__valid(word_valid[{lane}]), .{name}__ready(word_ready[{lane}]),"
        for lane, name in enumerate(stream_names(spec))
    )
    return " ".join(rows)


def write_simulation(spec: LearnerSpec, folder: Path) -> None:
    """Write a virtual chip, a bench, and the program of a host that trains a learner from its initial quantities.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose Verilog is ``design.v`` in the folder above.
    folder : Path
        Folder for the files, which is created.
    """
    from python_ref.parameters import initial_parameters, quantise_parameters
    from python_ref.spec.registers import register_map
    from sim import host
    from sim.program import ProgramLink

    link, registers = ProgramLink(), register_map(spec)
    host.prepare(spec, link, quantise_parameters(spec, initial_parameters(spec)))
    host.train(spec, link, 0, STEPS)
    for name in ("status", "steps"):
        link.read(registers[name].address)
    ops = link.program().ops.tolist()
    folder.mkdir()
    for name in _SOURCES:
        shutil.copyfile(Path(__file__).with_name(name), folder / name)
    program = "".join(f"{kind << 40 | address << 32 | data:011x}\n" for kind, address, data in ops)
    (folder / "program.hex").write_text(program, encoding="utf-8")
    passes = sum(n * count for n, count in enumerate(spec.schedule.passes(STEPS), 1))
    sizes = {
        "LEARNER": spec.module,
        "OPS": len(ops),
        "N": spec.quantities,
        "LANES": spec.hardware.lanes,
        "STREAMS": stream_ports(spec, "EACH"),
        "INDEX": max(1, (spec.quantities - 1).bit_length()),
        "WORD": spec.formats.weight.width,
        "ERROR": spec.node_error_format.width if spec.sends_errors else 0,
        "WORD_FRACTION": spec.formats.weight.fraction_bits,
        "COST": spec.formats.cost.width,
        "COST_FRACTION": spec.formats.cost.fraction_bits,
        "SETTLE": spec.outside.settle,
        "SHOWN": max(1, passes * 2**spec.outside.average // 10),
    }
    (folder / "sizes.vh").write_text("".join(f"`define {name} {value}\n" for name, value in sizes.items()), encoding="utf-8")
