# amaranth: UnusedElaboratable=no
"""The memories of a core and of its serial link, and the block memories that they take of a part, by the rules of Yosys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from boards.parts.target import Part
from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

__all__ = ["CoreMemory", "memories", "on_blocks", "on_large_blocks"]


@dataclass(frozen=True)
class _Costs:
    """Costs by which Yosys chooses where to place a memory: of a block, of a read-only bit, of look-up-table memories by their depth
    and width, and whether the latter scale with the width that is used."""

    block: int
    fixed_bit: float
    tiles: tuple[tuple[int, int, int], ...] = ()
    scaled: bool = False


_COSTS: Mapping[str, _Costs] = {
    "ice40": _Costs(71, 1 / 16),  # 64, plus the multiplexers of the rows of flip-flops
    "ecp5": _Costs(128, 1 / 16, ((16, 4, 4),)),
    "gowin": _Costs(128, 1 / 16, ((16, 4, 4),), scaled=True),
    "xc7": _Costs(129, 1 / 64, ((32, 6, 8), (64, 3, 8)), scaled=True),
}


@dataclass(frozen=True)
class CoreMemory:
    """A memory of a core or of its serial link.

    Attributes
    ----------
    name : str
        Name of the memory in the Verilog.
    depth, width : int
        Number of words, and bits of each.
    count : int
        Number of such memories in the core.
    reads : int
        Number of read ports; each needs a copy of the memory.
    fixed : bool
        Whether the memory is read-only, and never written.
    single_port : bool
        Whether it reads or writes in a cycle, so that it may be a large memory with one port.
    """

    name: str
    depth: int
    width: int
    count: int = 1
    reads: int = 1
    fixed: bool = False
    single_port: bool = False

    @property
    def bits(self) -> int:
        """Number of bits in one such memory."""
        return self.depth * self.width

    def blocks(self, part: Part) -> int:
        """Number of block memories that one such memory needs on a part; 0 where Yosys finds look-up tables or flip-flops cheaper.

        The costs are those of Yosys's memory libraries, plus a cost for the multiplexers between rows that was inferred from its
        choices.
        """
        if self.large(part):
            return 0
        costs = _COSTS[part.family]
        needed = part.blocks(self.depth, self.width) * self.reads
        if self.fixed:
            return needed if self.bits * costs.fixed_bit > needed * costs.block else 0
        elsewhere = [float(self.bits)]
        for depth, width, cost in costs.tiles:
            rows = -(-self.depth // depth)
            columns = self.width / width if costs.scaled else -(-self.width // width)
            joined = 0.39 * ((1 << (rows - 1).bit_length()) - 1) * self.width
            elsewhere.append(self.reads * (rows * columns * cost + joined))
        return needed if needed * costs.block < min(elsewhere) else 0

    def joined(self, part: Part) -> int:
        """Number of bits that multiplexers choose for the read ports, between rows of memories made of look-up tables; 0 where there are
        no such rows, or one alone."""
        depths = [depth for depth, _, _ in _COSTS[part.family].tiles]
        return self.reads * self.width * (-(-self.depth // max(depths)) - 1) if depths else 0

    def large(self, part: Part) -> int:
        """Number of large memories with one port that one such memory needs on a part; 0 where it needs others."""
        return part.large_blocks(self.depth, self.width) if self.single_port else 0


def memories(spec: LearningSpec) -> tuple[CoreMemory, ...]:
    """All memories of a core and of its serial link."""
    from python_ref.spec.frames import RING_BYTES
    from rtl_gen.host import file_depth

    words = max(2, spec.layout.words)
    stored = [CoreMemory(f"{memory.name.lower()}s", words, form.width, spec.hardware.lanes) for memory, form in spec.memories.items()]
    match spec:
        case LearnerSpec():
            own = (*stored, *_of_learner(spec))
        case DesignSpec():
            own = _of_network(spec, stored)
        case _:
            raise unknown("Design", spec, "boards.parts.memories")
    return (*own, CoreMemory("words", 2 * file_depth(spec), 16), CoreMemory("ring", RING_BYTES, 8))


def _of_learner(spec: LearnerSpec) -> tuple[CoreMemory, ...]:
    """Memories that only a learner has: the queues of its words, and what the host reads of a pass."""
    from python_ref.spec.relay import packed_words
    from rtl_gen.learner.core import learner_core

    packed, weight = packed_words(spec), spec.formats.weight.width
    error = spec.node_error_format.width if spec.sends_errors else 0
    queues = CoreMemory("queued", learner_core(spec).room, weight + error, spec.hardware.lanes)
    shown = CoreMemory("shown", -(-spec.quantities // packed), packed * weight)
    return (queues, shown, *([CoreMemory("errors", max(2, spec.quantities), error)] if error else []))


def _of_network(spec: DesignSpec, stored: list[CoreMemory]) -> tuple[CoreMemory, ...]:
    """Memories of a core with a network inside; those of its lanes are given."""
    from rtl_gen.activation import activations, stored_table
    from rtl_gen.core import core_class
    from rtl_gen.indices import index_size
    from rtl_gen.operands import sample_stores

    network, lanes, activation, found = spec.network, spec.hardware.lanes, spec.formats.activation.width, list(stored)
    if spec.parameter_banks:
        words = stored[0].depth
        halves = [CoreMemory(f"{half}_parameters", max(2, -(-words // 2)), spec.formats.weight.width, lanes) for half in ("even", "odd")]
        found[:1] = [replace(half, single_port=True) for half in halves]
    core = core_class(spec)
    reads, stores = core.operand_reads(spec), sample_stores(spec)
    found += [CoreMemory(name, *stores[name], reads=reads) for name in ("samples", "inputs") if name in stores]
    banks = core.activation_banks(spec)
    if banks and network.n_hidden:
        found.append(CoreMemory("activations", max(2, banks * network.n_hidden), activation, reads=reads))
    found += [CoreMemory("targets", *stores["targets"])] if "targets" in stores else []
    found += _OF_MACHINES[spec.machine](spec)
    depth, width = index_size(spec)
    found += [CoreMemory("indices", depth, width, fixed=True)] if depth else []
    tables = {each for each in activations(spec) if each.tabulated}
    for table in sorted(tables, key=lambda table: table.value):
        rows = stored_table(spec, table)
        # Yosys does not store a bit that is the same in all rows.
        varying = int(np.bitwise_or.reduce(rows ^ rows[0])) & ((1 << activation) - 1)
        found.append(CoreMemory(f"{table.value}_table", len(rows), max(1, varying.bit_count()), fixed=True))
    return tuple(found)


def _of_presentations(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """Memories that only a core of node perturbation without frames has: the kept pre-activations, those of probes and of draws."""
    from rtl_gen.presentation.draws import draw_memories
    from rtl_gen.presentation.neurons import kept_words

    drawn = draw_memories(spec).items() if spec.network.random else ()
    kept = CoreMemory("kept", kept_words(spec), spec.accumulator_width)
    return (kept, *(CoreMemory(name, *size) for name, size in drawn), *_of_probes(spec))


def _of_probes(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """Memories of E, random signs, and rounding noise, which every core of node perturbation has."""
    from rtl_gen.presentation.noise import noise_words
    from rtl_gen.presentation.signs import RandomNeuronSigns
    from rtl_gen.series.banks import bank_words

    found = [CoreMemory("sums", max(2, spec.quantities), spec.error_sum_format.width)]
    if spec.series and spec.hardware.single_port:
        found = [CoreMemory(f"{half}_sums", bank_words(spec), spec.error_sum_format.width, single_port=True) for half in ("even", "odd")]
    if spec.sign_generators:
        found.append(CoreMemory("vectors", RandomNeuronSigns.memory_bits(spec), 1, reads=1 if spec.series else 2))
    if spec.stochastic_bits:
        found.append(CoreMemory("noise", noise_words(spec), spec.stochastic_bits))
    return tuple(found)


def _of_frames(spec: DesignSpec) -> tuple[CoreMemory, ...]:
    """Memories that only a core of a network with state has: outputs, states, and sums of a group and of outputs; and in node perturbation
    those of its probes."""
    from rtl_gen.series.array import group_sums
    from rtl_gen.series.frames import stored_outputs
    from rtl_gen.series.layouts import operand_outputs_format
    from rtl_gen.series.readout import sums, sums_range
    from rtl_gen.series.state import states_format

    found = [
        CoreMemory("outputs", max(2, stored_outputs(spec)), operand_outputs_format(spec).width),
        CoreMemory("states", max(2, spec.unrolled.framed_neurons), states_format(spec).width),
    ]
    if spec.sums_by_group:
        found.append(CoreMemory("group_sums", group_sums(spec), spec.hardware.lanes * spec.gradient_format.width))
    if sums(spec):
        found.append(CoreMemory("totals", len(sums_range(spec)), spec.passed_format(spec.network.framed - 1).width))
    return (*found, *(_of_probes(spec) if spec.node else ()))


_OF_MACHINES: dict[MachineKind, Callable[[DesignSpec], tuple[CoreMemory, ...]]] = {
    MachineKind.WEIGHT: lambda spec: (),
    MachineKind.NODE: _of_presentations,
    MachineKind.SERIES: _of_frames,
    MachineKind.SERIES_WEIGHT: _of_frames,
}
"""Memories that only the core of a machine has."""


def on_blocks(spec: LearningSpec, part: Part) -> int:
    """Number of block memories that a core and its serial link need on a part."""
    return sum(memory.count * memory.blocks(part) for memory in memories(spec))


def on_large_blocks(spec: LearningSpec, part: Part) -> int:
    """Number of large memories with one port that a core needs on a part."""
    return sum(memory.count * memory.large(part) for memory in memories(spec))
