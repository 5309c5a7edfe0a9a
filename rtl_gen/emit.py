"""Write the files of a design: Verilog, the manifest that describes it, memory contents and a synthesis script."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec, stream_names
from python_ref.spec.learning import LearningSpec
from python_ref.spec.network import Network
from python_ref.spec.probes import probes, values_per_step
from python_ref.spec.registers import Command, Memory, register_map, stream_words
from python_ref.spec.tables import activation_table
from rtl_gen.activation import activations, is_halved, stored_table
from rtl_gen.broadcast import Multiplier, factors
from rtl_gen.core import Core, core_class, core_of
from rtl_gen.fanout import fanout_latency
from rtl_gen.host import file_depth
from rtl_gen.indices import index_size
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.learner.core import LearnerCore, learner_core
from rtl_gen.operands import sample_stores
from rtl_gen.presentation.core import NodeCore
from rtl_gen.probe import event_tables
from rtl_gen.toolchain.verilog import components_verilog

__all__ = ["CoreWithoutProbes", "Wrapper", "cleaned", "emit", "emit_verilog", "kept_modules", "manifest", "memory_image"]

VERILOG = "design.v"
MANIFEST = "manifest.json"
SCRIPT = "synth.ys"


def kept_modules(spec: LearningSpec, *, macs: bool = True) -> tuple[str, ...]:
    """Name patterns of the modules that synthesis must keep whole: fan-out stages and, with ``macs``, those that become one DSP block.

    A learner has none.
    """
    if isinstance(spec, LearnerSpec):
        return ()
    assert isinstance(spec, DesignSpec)
    fanout = ("*.fanout*",) if fanout_latency(spec.hardware.lanes) else ()
    if not macs:
        return fanout
    sums = core_class(spec).sum_widths(spec)
    lanes = (name if width <= MultiplyAccumulate.WIDEST else f"{name}.product" for name, width in sums.items())
    return (*lanes, *(["*.multiplier"] if max(factors(spec)) <= Multiplier.WIDEST else []), *fanout)


class CoreWithoutProbes(wiring.Component):
    """Wrapper of a core that leaves its probes unconnected: the module to use in a device.

    The core is instantiated by name, so that its own module keeps the ports of the probes for simulation.

    Members
    -------
    request, response, sample, busy, …
        The ports of the core with these names.
    """

    def __init__(self, core: Core | NodeCore | LearnerCore):
        self.spec = core.spec
        super().__init__({name: member for name, member in core.signature.members.items() if not name.startswith("probe_")})

    def elaborate(self, platform):
        m = Module()
        ports = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in self.signature.flatten(self):
            ports[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        m.submodules.core = Instance(f"{self.spec.module}_core", **ports)
        return m


def _core(spec: LearningSpec, *, starved_port: bool = False) -> Core | NodeCore | LearnerCore:
    """Return the core of a design, with its port ``starved`` if a wrapper needs that."""
    match spec:
        case LearnerSpec():
            return learner_core(spec)
        case DesignSpec():
            return core_of(spec, starved_port=starved_port)
        case _:
            raise unknown("Design", spec, "rtl_gen.emit")


@dataclass(frozen=True)
class Wrapper:
    """A module around ``mgd_<name>`` that connects it to something else, such as a bus.

    Attributes
    ----------
    component : Component
        The wrapper, which instantiates ``mgd_<name>``, with its port ``starved``, by name.
    name : str
        Name of the wrapper's module.
    described : dict
        What the manifest says of it, under ``bus``.
    """

    component: wiring.Component
    name: str
    described: dict[str, Any]


def emit_verilog(spec: LearningSpec, wrapper: Wrapper | None = None) -> str:
    """Verilog of a design: module ``mgd_<name>``, and in it ``mgd_<name>_core``, which has the probes; with a wrapper, its module around
    both. The same design always gives the same text."""
    core = _core(spec, starved_port=wrapper is not None)
    outer = [] if wrapper is None else [(wrapper.component, wrapper.name)]
    texts = components_verilog([*outer, (CoreWithoutProbes(core), spec.module), (core, f"{spec.module}_core")])
    *wrapped, bare, inner = (cleaned(text) for text in texts)
    header = f"// {spec.name}: a core that trains itself by multiplexed gradient descent, written by mgd-hw.\n// Structure {spec.digest}.\n"
    return header + _LINT + "".join(wrapped) + _OPEN_PROBES.format(bare) + inner


# Warnings of `verilator -Wall` that concern the style of Yosys's Verilog and not the design. Those that find mistakes stay on: LATCH,
# UNOPTFLAT, MULTIDRIVEN, UNDRIVEN, WIDTHTRUNC and all others; Yosys itself finds nets with two drivers.
_LINT = """\
// For verilator -Wall. Off is what tells of the way a netlist is written as Verilog:
/* verilator lint_off DECLFILENAME */   // all modules are in one file
/* verilator lint_off PROCASSINIT */    // a register's value at reset stands in its declaration too
/* verilator lint_off UNUSEDSIGNAL */   // the carry of a sum that cannot have one, and fields of a structure that only name its bits
/* verilator lint_off WIDTHEXPAND */    // operands of an operator keep their own widths
/* verilator lint_off INITIALDLY */     // the register that starts every always @* gets its value once all of them wait
/* verilator lint_off CASEINCOMPLETE */ // what a case assigns has a value before it (LATCH would tell if not)
"""
_OPEN_PROBES = """\
/* verilator lint_off PINMISSING */     // the probes of the core are left open
{}
/* verilator lint_on PINMISSING */
"""


def cleaned(text: str) -> str:
    """Normalise Verilog written by Yosys: remove its version and the contents of large memories with one port, which have none at the
    start, and write x == 0 as a reduction, which has one bit, not as a negation.

    The register whose first value makes every ``always @*`` run once gets that value by a non-blocking assignment, after all of them have
    begun to wait. In SystemVerilog, a value in its declaration would be there before, and no event would tell of it.
    """
    text = re.sub(r"/\* Generated by .*? \*/\n", "", text)
    text = re.sub(r"\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+", "$begin", text)
    text = _INITIAL.sub(r"\1", text)
    text = "".join(map(_started, re.split(r"(?<=^endmodule\n)", text, flags=re.MULTILINE)))
    return text.replace(" = ! ", " = ~| ")


_INITIAL = re.compile(r'(\(\* ram_style = "huge" \*\)\n(?:  \(\*.*\n)*  reg .*;\n)  initial begin\n(?:    .*\n)*?  end\n')
"""Contents at the start of a memory that cannot have any (:data:`rtl_gen.slot.SINGLE_PORT`), behind its declaration."""


def _started(module: str) -> str:
    """Let every ``always @*`` of a module run once at the start, by the register ``$begin``; Yosys writes it in most of them."""
    start = r"  reg \\$begin ;\n  initial \\$begin <= 0;\n"
    module, found = re.subn(r"^  reg \\\$begin += 0;\n", start, module, flags=re.MULTILINE)
    single = r"^  always @\*\n    (\S.*;)\n"
    module, more = re.subn(single, r"  always @* begin\n    if (\\$begin ) begin end\n    \1\n  end\n", module, flags=re.MULTILINE)
    if more and not found:
        module = re.sub(r"^(module [^;]*;\n)", rf"\1{start}", module, count=1, flags=re.MULTILINE)
    return module


def manifest(spec: LearningSpec) -> dict:
    """Describe a design's core for users and programs, as plain data for JSON."""
    described = _of_learner(spec) if isinstance(spec, LearnerSpec) else _of_network(spec)
    state = {variable.name: str(variable.format) for variable in spec.optimizer_state}
    return {
        "design": spec.name,
        "digest": spec.digest,
        "top": spec.module,
        "core": f"{spec.module}_core",
        **described,
        "formats": {**{name: str(form) for name, form in described["formats"].items()}, **state},
        "ports": {"clk": "rising edge", "rst": "synchronous, active high", **described["ports"], "busy": 1},
        "events": event_tables(spec),
        "observables": [
            {
                "name": probe.name,
                "shape": list(probe.shape),
                "formats": sorted({str(form) for form in probe.formats}),
                "meaning": probe.meaning,
            }
            for probe in probes(spec)
        ],
        "values_per_step": values_per_step(spec),
        "registers": [asdict(register) for register in register_map(spec).values()],
        "commands": {command.name.lower(): int(command) for command in Command if _has(spec, command)},
        "memories": {memory.name.lower(): int(memory) for memory in Memory},
        "stream_words": stream_words(spec),
        "saturation_kinds": list(SATURATION_KINDS),
        "exponents": list(spec.exponents),
        "lanes": spec.hardware.lanes,
        "parameters": spec.n_parameters,
        "memory_bits": memory_bits(spec),
        "cycles": _core(spec).contract.table(),
    }


_HOST_PORTS = {"request": {"write": 1, "address": 8, "data": 32}, "response": {"data": 32}}


def _has(spec: LearningSpec, command: Command) -> bool:
    """Whether a command has an effect in the core of a design."""
    return not (isinstance(spec, LearnerSpec) and command in (Command.INFER, Command.DISCARD))


def _of_network(spec: LearningSpec) -> dict:
    """Return what only the manifest of a network has."""
    assert isinstance(spec, DesignSpec)
    network = spec.network
    formats = {
        "input": spec.formats.input,
        "weight": spec.formats.weight,
        "activation": spec.formats.activation,
        "cost": spec.cost_format,
        "cost_change": spec.cost_change_format,
        "gradient": spec.gradient_format,
        **core_class(spec).own_formats(spec),
        **{f"preactivation_{n}": spec.preactivation_format(n) for n in range(len(network.layers))},
    }
    return {
        "network": {"sizes": list(network.sizes), "hidden": network.hidden.value, "output": network.output.value, **_of_kinds(network)},
        "formats": formats,
        "ports": {**_HOST_PORTS, "sample": {"word": spec.sample_width, "words": [network.record_inputs, network.n_out]}},
    }


def _of_kinds(network: Network) -> dict:
    """Return what only the manifest of a network has whose layers are not all dense: their kinds, and the frames of a sample."""
    if not network.kinds:
        return {}
    given = ({key: getattr(kind, key) for key in kind.parameters()} for kind in network.kinds)
    kinds = [
        {"kind": kind.name} | {key: value for key, value in values.items() if isinstance(value, int)}
        for kind, values in zip(network.kinds, given, strict=True)
    ]
    frames = {"frames": network.frames, "held": network.held, "readout": network.readout.value} if network.framed else {}
    return {"kinds": kinds, **frames}


def _of_learner(spec: LearnerSpec) -> dict:
    """Return what only the manifest of a learner has."""
    formats = {
        "weight": spec.formats.weight,
        "cost_word": spec.formats.cost,
        "cost": spec.cost_format,
        "cost_change": spec.cost_change_format,
        "gradient": spec.gradient_format,
    }
    core = _core(spec)
    ports = {
        **_HOST_PORTS,
        "sample": len(core.sample.payload),
        **{name: {part: field.width for part, field in getattr(core, name).payload.shape()} for name in stream_names(spec)},
        "apply_stb": 1,
        "measure_ready": 1,
        "cost": spec.formats.cost.width,
    }
    return {"external": spec.external, "outside": asdict(spec.outside), "formats": formats, "ports": ports}


def memory_bits(spec: LearningSpec) -> int:
    """Number of bits in all memories of a core, tables included. Every memory has at least two words."""
    if isinstance(spec, LearnerSpec):
        stored = max(2, spec.layout.words) * sum(form.width for form in spec.memories.values())
        return spec.hardware.lanes * (stored + learner_core(spec).room * spec.formats.weight.width) + 32 * file_depth(spec)
    assert isinstance(spec, DesignSpec)
    network, core = spec.network, core_class(spec)
    activation = spec.formats.activation.width
    per_word = sum(form.width for form in spec.memories.values())
    bits = spec.hardware.lanes * max(2, spec.layout.words) * per_word
    bits += sum(depth * width for depth, width in sample_stores(spec).values())
    banks = core.activation_banks(spec)
    bits += max(2, banks * network.n_hidden) * activation if banks and network.n_hidden else 0
    bits += core.own_memory_bits(spec)
    tables = {each for each in activations(spec) if each.tabulated}
    bits += sum(len(stored_table(spec, each)) * (activation - is_halved(spec, each)) for each in tables)
    bits += math.prod(index_size(spec))
    return bits + 32 * file_depth(spec)


def memory_image(spec: LearningSpec, parameters: np.ndarray) -> dict[str, str]:
    """Contents of the memories as hexadecimal text with one word per line, in the format of ``$readmemh``.

    Parameters
    ----------
    spec : LearningSpec
        The design whose memories are filled.
    parameters : array of int64, shape (P,)
        Raw parameters in the canonical order.

    Returns
    -------
    dict of str to str
        Text by file name: the parameters of each lane (0 where a lane has no neuron), and the activation tables.
    """
    layout = spec.layout
    words = np.zeros((spec.hardware.lanes, layout.words), dtype=np.int64)
    words[layout.parameter_lane, layout.parameter_word] = parameters
    files = {f"lane{lane}_parameters.hex": _hexadecimal(row, spec.formats.weight.width) for lane, row in enumerate(words)}
    if not isinstance(spec, DesignSpec):
        return files
    for activation in sorted(set(activations(spec)), key=lambda a: a.value):
        if activation.tabulated:
            table = activation_table(activation, spec.formats.table, spec.formats.activation)
            files[f"{activation.value}_table.hex"] = _hexadecimal(table, spec.formats.activation.width)
    return files


def _hexadecimal(values: np.ndarray, width: int) -> str:
    digits = -(-width // 4)
    return "".join(f"{int(value) & ((1 << width) - 1):0{digits}x}\n" for value in values)


def synthesis_script(spec: LearningSpec, top: str) -> str:
    """Yosys script for the iCE40 UP5K; for other families the ``synth_ice40`` line differs."""
    kept = kept_modules(spec)
    note = " Each multiply-accumulate is kept whole and becomes one DSP block." if kept else ""
    return (
        f"# yosys -s {SCRIPT}: {spec.name} for the iCE40 UP5K.{note}\n"
        f"read_verilog {VERILOG}\n"
        f"hierarchy -check -top {top}\n"
        + "".join(f"setattr -mod -set keep_hierarchy 1 {pattern}\n" for pattern in kept)
        + f"synth_ice40 -dsp -device u -top {top} -json {spec.name}.json\n"
        "check -assert\n"
        "stat\n"
    )


def emit(spec: LearningSpec, directory: Path, parameters: np.ndarray | None = None, *, wrapper: Wrapper | None = None) -> dict:
    """Write the files of a design into an existing directory.

    Parameters
    ----------
    spec : LearningSpec
        The design to write.
    directory : Path
        Existing directory for ``design.v``, ``manifest.json``, ``synth.ys`` and, with ``parameters``, ``memory/*.hex``.
    parameters : array of int64, shape (P,), or None
        Raw parameters in the canonical order.
    wrapper : Wrapper or None
        Module around the core, which becomes the top; None for the core alone.

    Returns
    -------
    dict
        Contents of the manifest, as written.
    """
    described = manifest(spec)
    if wrapper is not None:
        described |= {"top": wrapper.name, "bus": wrapper.described}
    (directory / VERILOG).write_text(emit_verilog(spec, wrapper), encoding="utf-8")
    (directory / MANIFEST).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / SCRIPT).write_text(synthesis_script(spec, described["top"]), encoding="utf-8")
    if parameters is not None:
        (directory / "memory").mkdir(exist_ok=True)
        for name, text in memory_image(spec, parameters).items():
            (directory / "memory" / name).write_text(text, encoding="utf-8")
    return described
