"""From a design to files: Verilog, the manifest that describes it, memory contents and a script for synthesis."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from amaranth.back import verilog
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.optimizer import Momentum
from python_ref.spec.probes import probes, values_per_step
from python_ref.spec.registers import Command, Memory, register_map, stream_words
from python_ref.spec.tables import activation_table
from rtl_gen.broadcast import Multiplier, factors
from rtl_gen.core import Core, contract
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.operands import sample_width
from rtl_gen.probe import event_tables

__all__ = ["Bare", "emit", "emit_verilog", "kept_modules", "manifest", "memory_image"]

VERILOG = "design.v"
MANIFEST = "manifest.json"
SCRIPT = "synth.ys"


def kept_modules(spec: DesignSpec) -> tuple[str, ...]:
    """Patterns of the modules that synthesis must keep whole, so that each becomes one DSP block."""
    lanes = "*.mac" if spec.accumulator_width <= MultiplyAccumulate.WIDEST else "*.mac.product"
    return (lanes, "*.multiplier") if max(factors(spec)) <= Multiplier.WIDEST else (lanes,)


class Bare(wiring.Component):
    """A core without its probes: the module that goes into a device.

    The core itself is an instance, by name, so that it keeps the probes' ports for whoever simulates it.

    Members
    -------
    request, response, sample, busy
        The core's.
    """

    def __init__(self, core: Core):
        self.spec = core.spec
        super().__init__({name: member for name, member in core.signature.members.items() if not name.startswith("probe_")})

    def elaborate(self, platform):
        m = Module()
        ports = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in self.signature.flatten(self):
            ports[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        m.submodules.core = Instance(f"{self.spec.module}_core", **ports)
        return m


def emit_verilog(spec: DesignSpec) -> str:
    """The Verilog of a design: module ``mgd_<name>``, and in it ``mgd_<name>_core``, which has the probes. Same design, same text."""
    core = Core(spec)
    options = {"emit_src": False, "strip_internal_attrs": True}
    bare = verilog.convert(Bare(core), name=spec.module, **options)
    inner = verilog.convert(core, name=f"{spec.module}_core", **options)
    header = f"// {spec.name}: a core that trains itself by multiplexed gradient descent, written by mgd-hw.\n// Structure {spec.digest}.\n"
    return header + bare + "\n" + inner


def manifest(spec: DesignSpec) -> dict:
    """What a user, or a program, has to know of a design's core, as plain JSON."""
    timing = contract(spec)
    network = spec.network
    formats = {
        "input": spec.formats.input,
        "weight": spec.formats.weight,
        "activation": spec.formats.activation,
        "cost": spec.cost_format,
        "cost_change": spec.cost_change_format,
        "gradient": spec.gradient_format,
        **{f"preactivation_{n}": spec.preactivation_format(n) for n in range(len(network.layers))},
    }
    if isinstance(spec.optimizer, Momentum):
        formats["momentum"] = spec.momentum_format
    return {
        "design": spec.name,
        "digest": spec.digest,
        "top": spec.module,
        "core": f"{spec.module}_core",
        "network": {"sizes": list(network.sizes), "hidden": network.hidden.value, "output": network.output.value},
        "formats": {name: str(form) for name, form in formats.items()},
        "ports": {
            "clk": "rising edge",
            "rst": "synchronous, active high",
            "request": {"write": 1, "address": 8, "data": 32},
            "response": {"data": 32},
            "sample": {"word": sample_width(spec), "words": [network.n_in, network.n_out]},
            "busy": 1,
        },
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
        "commands": {command.name.lower(): int(command) for command in Command},
        "memories": {memory.name.lower(): int(memory) for memory in Memory},
        "stream_words": stream_words(spec),
        "saturation_kinds": list(SATURATION_KINDS),
        "exponents": list(spec.exponents),
        "lanes": spec.hardware.lanes,
        "parameters": network.n_parameters,
        "memory_bits": memory_bits(spec),
        "cycles": {
            **asdict(timing),
            "step_one_pass": timing.step_cycles(1),
            "step_two_passes": timing.step_cycles(2),
        },
    }


def memory_bits(spec: DesignSpec) -> int:
    """Bits of all memories a core has, tables included."""
    network, words, lanes = spec.network, spec.layout.words, spec.hardware.lanes
    activation = spec.formats.activation.width
    per_word = spec.formats.weight.width
    per_word += spec.gradient_format.width if spec.gradient_memory else 0
    per_word += spec.momentum_format.width if isinstance(spec.optimizer, Momentum) else 0
    bits = lanes * words * per_word
    bits += spec.sample_buffers * (network.n_in * spec.formats.input.width + network.n_out * activation)
    bits += (2 if spec.node else 1) * network.n_hidden * activation
    last = spec.layout.layers[-1]
    bits += last.group_words * (spec.gradient_format.width + 1) if spec.node and last.groups > 1 else 0
    tables = {layer.activation for layer in network.layers if layer.activation.tabulated}
    return bits + len(tables) * (activation << spec.formats.table.width)


def memory_image(spec: DesignSpec, parameters: np.ndarray) -> dict[str, str]:
    """Contents of the memories as hexadecimal text, a word a line, as ``$readmemh`` reads them.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    parameters : array of int64, shape (P,)
        Raw parameters in the canonical order.

    Returns
    -------
    dict of str to str
        By file name: the parameters of each lane (0 where a lane has no neuron), and the activation tables.
    """
    layout = spec.layout
    words = np.zeros((spec.hardware.lanes, layout.words), dtype=np.int64)
    words[layout.parameter_lane, layout.parameter_word] = parameters
    files = {f"lane{lane}_parameters.hex": _hexadecimal(row, spec.formats.weight.width) for lane, row in enumerate(words)}
    for activation in sorted({layer.activation for layer in spec.network.layers}, key=lambda a: a.value):
        if activation.tabulated:
            table = activation_table(activation, spec.formats.table, spec.formats.activation)
            files[f"{activation.value}_table.hex"] = _hexadecimal(table, spec.formats.activation.width)
    return files


def _hexadecimal(values: np.ndarray, width: int) -> str:
    digits = -(-width // 4)
    return "".join(f"{int(value) & ((1 << width) - 1):0{digits}x}\n" for value in values)


def synthesis_script(spec: DesignSpec) -> str:
    """A Yosys script for one family; the others differ in their last but two lines."""
    return (
        f"# yosys -s {SCRIPT}: {spec.name} for the iCE40 UP5K. Each multiply-accumulate is kept whole and becomes one DSP block.\n"
        f"read_verilog {VERILOG}\n"
        f"hierarchy -check -top {spec.module}\n"
        + "".join(f"setattr -mod -set keep_hierarchy 1 {pattern}\n" for pattern in kept_modules(spec))
        + f"synth_ice40 -dsp -device u -top {spec.module} -json {spec.name}.json\n"
        "check -assert\n"
        "stat\n"
    )


def emit(spec: DesignSpec, directory: Path, parameters: np.ndarray | None = None) -> dict:
    """Write a design's files into an existing directory.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    directory : Path
        Where: ``design.v``, ``manifest.json``, ``synth.ys`` and, with ``parameters``, ``memory/*.hex``.
    parameters : array of int64, shape (P,), or None
        Raw parameters in the canonical order.

    Returns
    -------
    dict
        The manifest.
    """
    described = manifest(spec)
    (directory / VERILOG).write_text(emit_verilog(spec), encoding="utf-8")
    (directory / MANIFEST).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (directory / SCRIPT).write_text(synthesis_script(spec), encoding="utf-8")
    if parameters is not None:
        (directory / "memory").mkdir(exist_ok=True)
        for name, text in memory_image(spec, parameters).items():
            (directory / "memory" / name).write_text(text, encoding="utf-8")
    return described
