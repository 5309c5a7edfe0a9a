# amaranth: UnusedElaboratable=no
"""What a core is made of, in numbers to which its look-up tables, flip-flops and logic cells are proportional.

Each feature is a number of bits, a number of bits times lanes, or 1 where something is built and 0 where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

from boards.parts.memories import CoreMemory, memories
from boards.parts.target import Part
from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Rounding
from python_ref.spec.registers import adjustable_periods

__all__ = ["in_logic", "structure"]

Features = dict[str, float]


@lru_cache(maxsize=1024)
def structure(spec: LearningSpec) -> Features:
    """Features of a core and its serial link, by name."""
    match spec:
        case LearnerSpec():
            own = _of_learner(spec)
        case DesignSpec():
            own = _of_network(spec) | _OF_MACHINES[spec.machine](spec)
        case _:
            raise unknown("Design", spec, "boards.parts.fit_features")
    return _of_all(spec) | _of_signs(spec) | _of_optimizer(spec) | _of_pipeline(spec) | own | _of_memories(memories(spec))


def _of_all(spec: LearningSpec) -> Features:
    """Features of every core: control, host access, serial link, and what each lane has."""
    lanes, weight, gradient = spec.hardware.lanes, spec.formats.weight.width, spec.gradient_format.width
    state = sum(variable.format.width for variable in spec.optimizer_state)
    shown = lanes * (weight + 1 + (0 if spec.direct_update else gradient) + state)
    low, high = spec.exponents
    return {
        "core": 1,
        "two-sided": spec.two_sided,
        "periods": len(adjustable_periods(spec)),
        "exponents": (high - low).bit_length(),
        "parameters": spec.n_parameters.bit_length(),
        "cost": spec.cost_format.width,
        "cost change": spec.cost_change_format.width,
        "gradient": gradient,
        "lanes": lanes,
        "lanes: weight": lanes * weight,
        "lanes: gradient": 0 if spec.direct_update else lanes * gradient,
        "lanes: gradient memory": lanes * gradient * spec.gradient_memory,
        "lanes: stochastic rounding": 0 if spec.direct_update else lanes * spec.stochastic_bits,
        "rounding noise": bool(spec.stochastic_bits),
        "rounding noise: bits": spec.stochastic_bits,
        "signature": spec.hardware.signature,
        "signature: bits": shown * spec.hardware.signature,
    }


def _of_signs(spec: LearningSpec) -> Features:
    """Features of the source of signs."""
    generators, lanes = spec.sign_generators, spec.hardware.lanes
    states = sum(generator.degree for generator in generators)
    counted = 0 if generators else spec.quantities.bit_length()
    return {
        "random signs: states": states,
        "random signs: states held": states * spec.holds_signs,
        "counted signs": counted,
        "counted signs: one at a time": counted * spec.code.single,
        "lanes: random signs": lanes * bool(generators),
        "lanes: counted signs": lanes * counted,
    }


def _of_optimizer(spec: LearningSpec) -> Features:
    """Features of the state of an optimiser in each lane; shift-Adam has more than a momentum."""
    lanes = spec.hardware.lanes
    state = sum(variable.format.width for variable in spec.optimizer_state)
    scaled = spec.optimizer.scales_update
    return {
        "lanes: optimiser": lanes * bool(state),
        "lanes: optimiser, bits": lanes * state,
        "lanes: shift-Adam": lanes * scaled,
        "lanes: shift-Adam, bits": lanes * state * scaled,
        "shift-Adam": scaled,
    }


def _of_pipeline(spec: LearningSpec) -> Features:
    """Features of the pipeline of the lanes: what follows a slot through it, and what the signature delays until a parameter is valid."""
    from rtl_gen.core import core_of
    from rtl_gen.learner.core import learner_core

    core: Any = learner_core(spec) if isinstance(spec, LearnerSpec) else core_of(cast(DesignSpec, spec))
    array, lanes = core.array, spec.hardware.lanes
    timing = array.timing
    delays = 0 if spec.direct_update else (timing.parameter - timing.gradient) * spec.gradient_format.width
    for variable in spec.optimizer_state:
        valid = timing.state[variable.name]
        delays += variable.format.width * (2 * timing.parameter - valid - timing.gradient)
    return {
        "pipeline": timing.parameter,
        "pipeline: lanes": timing.parameter * lanes,
        "signature: delays": delays * lanes * spec.hardware.signature,
    }


def _of_learner(spec: LearnerSpec) -> Features:
    """Features that only a learner has: its streams of words, and the registers of its outside."""
    lanes = spec.hardware.lanes
    return {
        "learner": 1,
        "learner: streams": lanes * (lanes > 1),
        "learner: streams, bits": lanes * spec.formats.weight.width * (lanes > 1),
        "learner: direct updates of streams": lanes * spec.gradient_format.width * (lanes > 1 and spec.direct_update),
        "learner: states of streams": (lanes > 1) * (sum(each.degree for each in spec.sign_generators) + 127 * bool(spec.stochastic_bits)),
        "learner: errors": lanes * spec.node_error_format.width * spec.sends_errors,
        "learner: places": spec.quantities.bit_length(),
        "learner: mean of costs": spec.outside.average,
    }


def _of_network(spec: DesignSpec) -> Features:
    """Features of a core with a network inside: its layers, activations and accumulators."""
    from rtl_gen.broadcast import Broadcast
    from rtl_gen.fanout import fanout_latency
    from rtl_gen.presentation.errors import ErrorUnit

    lanes, formats, network = spec.hardware.lanes, spec.formats, spec.network
    weight, accumulator = formats.weight.width, spec.accumulator_width
    scaler = (ErrorUnit(spec) if spec.node else Broadcast(spec)).scaler
    tables = {layer.activation for layer in network.layers if layer.activation.tabulated}
    return {
        "layers": len(network.layers) - 1,
        "layers: sparse": sum(layer.lists is not None for layer in network.layers),
        "layers: neurons": network.n_neurons.bit_length(),
        "samples": spec.sample_width,
        "scaler": scaler.latency * scaler.shape.width,
        "activation": formats.activation.width * len({layer.activation for layer in network.layers}),
        "activation: rounding": accumulator * (formats.activation_cast.rounding is not Rounding.FLOOR),
        "tables": len(tables),
        "residual": spec.residual_format.width,
        "accumulator": accumulator,
        "lanes: accumulator": lanes * accumulator,
        "lanes: accumulator beyond a multiplier's": lanes * accumulator * (accumulator > 32),
        "lanes: fan-out": lanes * (weight + accumulator) * fanout_latency(lanes),
        "fan-out": fanout_latency(lanes),
    }


def _of_weights(spec: DesignSpec) -> Features:
    """Features of a core that perturbs weights of a network without state."""
    lanes = spec.hardware.lanes
    return {
        "weights": 1,
        "weights: lanes": lanes,
        "weights: lanes, weight": lanes * spec.formats.weight.width,
        "weights: one visit": spec.one_visit,
        "weights: lanes, sign sum": lanes * spec.sign_sum_format.width * spec.one_visit,
        "weights: signs of both passes": spec.one_visit and spec.two_sided,
    }


def _of_nodes(spec: DesignSpec) -> Features:
    """Features of a core that perturbs neurons of a network without state."""
    lanes = spec.hardware.lanes
    return {
        "nodes": 1,
        "nodes: lanes": lanes,
        "nodes: lanes, accumulator": lanes * spec.accumulator_width,
        "nodes: incremental": spec.incremental,
        "nodes: lanes, incremental": lanes * spec.incremental,
        "nodes: error": spec.error_format.width,
        "nodes: error sums": spec.error_sum_format.width,
        "nodes: lanes, second multiplier": lanes * spec.accumulator_width * spec.just_in_time,
        "nodes: second multiplier": spec.just_in_time,
        "nodes: thresholds": bool(spec.thresholds),
        "nodes: two memories": lanes * spec.hardware.single_port,
    }


def _of_frames(spec: DesignSpec) -> Features:
    """Features of a core of a network with state, whatever it perturbs."""
    from rtl_gen.series.readout import sums
    from rtl_gen.series.state import states_format

    kinds = {layer.kind for layer in spec.network.layers if layer.kind.stateful}
    spiking = any(not kind.activated for kind in kinds)
    return {
        "series": 1,
        "series: lanes": spec.hardware.lanes,
        "series: evaluations": spec.evaluations.bit_length(),
        "series: states": states_format(spec).width * len(kinds),
        "series: currents": spec.accumulator_width * spiking,
        "series: sums": spec.passed_format(spec.network.framed - 1).width * sums(spec),
        "series: held": spec.network.held,
        "series: sums by group": spec.hardware.lanes * spec.gradient_format.width * spec.sums_by_group,
    }


def _of_node_series(spec: DesignSpec) -> Features:
    """Features of a core that perturbs neurons of a network with state."""
    lanes = spec.hardware.lanes
    return _of_frames(spec) | {
        "node series": 1,
        "node series: lanes": lanes,
        "node series: lanes, accumulator": lanes * spec.accumulator_width,
        "node series: error": spec.error_format.width,
        "node series: two memories": spec.hardware.single_port,
    }


def _of_weight_series(spec: DesignSpec) -> Features:
    """Features of a core that perturbs weights of a network with state."""
    lanes = spec.hardware.lanes
    return _of_frames(spec) | {
        "weight series": 1,
        "weight series: lanes": lanes,
        "weight series: lanes, weight": lanes * spec.formats.weight.width,
    }


_OF_MACHINES: dict[MachineKind, Callable[[DesignSpec], Features]] = {
    MachineKind.WEIGHT: _of_weights,
    MachineKind.NODE: _of_nodes,
    MachineKind.SERIES: _of_node_series,
    MachineKind.SERIES_WEIGHT: _of_weight_series,
}
"""Features that only the core of a machine has."""


def _of_memories(stored: Sequence[CoreMemory]) -> Features:
    """Features of the addresses of the memories."""
    return {"addresses": sum((memory.depth - 1).bit_length() * memory.reads for memory in stored if memory.depth > 2)}


def in_logic(stored: Sequence[CoreMemory], part: Part) -> Features:
    """Bits of the memories, and of the tables, that are not in block memories of a part, and bits of the multiplexers in such memories."""
    here = [memory for memory in stored if not memory.blocks(part) and not memory.large(part)]
    written = [memory for memory in here if not memory.fixed]
    return {
        "memory in logic": sum(memory.count * memory.bits for memory in written),
        "memory in logic: multiplexers": sum(memory.count * memory.joined(part) for memory in written),
        "tables in logic": sum(memory.count * memory.bits for memory in here if memory.fixed),
    }
