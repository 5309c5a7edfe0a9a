"""The cycle contract of node perturbation: how many clock cycles a presentation takes, from the latencies of the components.

It follows the controller from event to event, so that it is exact for small networks as well, whose probes wait for one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import ActivationUnit
from rtl_gen.cost import CostUnit
from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.errors import ErrorUnit
from rtl_gen.presentation.neurons import NeuronStream
from rtl_gen.presentation.sequencer import PassSequencer

__all__ = ["Latencies", "PresentationContract"]

_STEADY = 12
"""Number of equal distances between probes after which all further ones are equal."""


@dataclass(frozen=True)
class Latencies:
    """Latencies of the core's components, in cycles.

    Attributes
    ----------
    accumulator : int
        Cycles from a slot to the slot of the accumulators.
    replay_wait : int
        Cycles by which a probe's pass waits after its replay.
    change : int
        Cycles from the last output's activation to the cost change.
    first_errors : int
        Cycles from a presentation's last cost change until the first group's errors are output.
    learned : int
        Cycles from the last slot of an applying pass until its words are counted.
    """

    accumulator: int
    replay_wait: int
    change: int
    first_errors: int
    learned: int

    @classmethod
    def of(cls, spec: DesignSpec, array: NodeArray, errors: ErrorUnit, replay_wait: int) -> Latencies:
        """Return the latencies of a core with these blocks."""
        first = spec.layout.layers[0].lanes_of(0)
        return cls(array.latency, replay_wait, CostUnit.latency(spec), first - 1 + errors.change_latency, array.learned_latency)


@dataclass(frozen=True)
class PresentationContract:
    """Clock cycles of a core of node perturbation; simulation asserts them.

    Attributes
    ----------
    spec : DesignSpec
        Design whose core it describes.
    sequencer : PassSequencer
        The core's sequencer, which knows the cycles of passes.
    latencies : Latencies
        Latencies of the core's components.
    """

    spec: DesignSpec
    sequencer: PassSequencer
    latencies: Latencies

    @property
    def slots(self) -> int:
        """Number of slots N of an unperturbed pass."""
        return self.spec.layout.slots

    @property
    def depth(self) -> int:
        """Pipeline depth D: cycles from the read of a layer's last operand to the next layer's read of the resulting activation."""
        return self.sequencer.depth

    @property
    def unperturbed_cycles(self) -> int:
        """Cycles of the unperturbed pass."""
        return self.sequencer.unperturbed_cycles

    @property
    def apply_cycles(self) -> int:
        """Cycles of the pass that applies the errors."""
        return self.sequencer.apply_cycles

    @cached_property
    def probe_cycles(self) -> float:
        """Cycles from one probe to the next in a long presentation, on average."""
        return (self.probes_cycles(4 * _STEADY) - self.probes_cycles(2 * _STEADY)) / (2 * _STEADY)

    @property
    def wait(self) -> float:
        """Cycles T of a long presentation beyond its passes: the last cost, its errors, and the latencies of the pipeline."""
        probes = 4 * _STEADY
        return self.probes_cycles(probes) - self.unperturbed_cycles - probes * self.probe_cycles - self.apply_cycles

    @property
    def busy_lanes(self) -> float:
        """Share of the lanes' cycles in a presentation in which a lane processes an existing synapse."""
        spec = self.spec
        steps = spec.longest_presentation
        behind = spec.network.n_parameters - spec.network.layers[0].n_parameters
        visits = 2 * spec.network.n_parameters + steps * (spec.passes - 1) * behind
        return visits / (spec.hardware.lanes * self.presentation_cycles(steps))

    def presentation_cycles(self, steps: int) -> int:
        """Cycles of a presentation of ``steps`` steps that ends, and does not wait for its sample."""
        return self.probes_cycles(steps * (self.spec.passes - 1))

    def run_cycles(self, steps: int) -> int:
        """Cycles of the first ``steps`` steps of a run, without the open presentation's unused rest, if there is one."""
        schedule = self.spec.schedule
        found, first = 0, 0
        lengths: dict[int, int] = {}
        period = schedule.sample_period * schedule.update_period
        whole, rest = divmod(steps, period) if period <= steps else (0, steps)
        for limit, times in ((period, whole), (rest, 1)):
            if not times or not limit:
                continue
            lengths.clear()
            first = 0
            while first < limit:
                last = schedule.next_beginning(first)
                length = min(last, limit) - first
                lengths[length] = lengths.get(length, 0) + times
                first += length
            found += sum(count * self.presentation_cycles(length) for length, count in lengths.items())
        return found

    def probes_cycles(self, probes: int) -> int:
        """Cycles from the start of an unperturbed pass to the start of the next one, with ``probes`` probes, in one sample's presentation."""
        return _Walk(self, probes).cycles()


class _Walk:
    """Walk through one presentation: the cycle of each event, counted from the start of its unperturbed pass."""

    def __init__(self, contract: PresentationContract, probes: int) -> None:
        self.contract = contract
        self.spec = contract.spec
        self.probes = probes
        self.leaving: set[int] = set()

    def _leaves(self, start: int, layer: int) -> tuple[int, int]:
        """Note in which cycles the neurons of a pass leave the lanes; return the cycles of the first layer's last one, and of the last one."""
        sequencer, lat = self.contract.sequencer, self.contract.latencies
        slot = start + 1 + PassSequencer.latency
        first_layer = 0
        for number, placed in enumerate(self.spec.layout.layers):
            if number < layer:
                continue
            inner, tail = sequencer._forward(number)
            for group in range(placed.groups):
                seen = slot + placed.group_words - 1 + lat.accumulator + 2
                self.leaving.update(range(seen, seen + placed.lanes_of(group)))
                last = seen + placed.lanes_of(group) - 1
                slot += tail if group == placed.groups - 1 else inner
            if number == 0:
                first_layer = last
        return first_layer, last

    def cycles(self) -> int:
        """Cycles of the presentation."""
        spec, contract = self.spec, self.contract
        lat, sequencer = contract.latencies, contract.sequencer
        deep = len(spec.network.layers) > 1
        count = spec.network.layers[0].n_out
        kept, _ = self._leaves(0, 0)
        ready = kept + 3  # found, kept, and the state in which the first probe is prepared
        free, settled, prepared_before = sequencer.unperturbed_cycles, [], None
        changes: list[int] = []
        random = bool(spec.sign_generators)
        pairs = spec.passes - 1
        for probe in range(self.probes):
            prepared = ready
            if probe >= 2:
                prepared = max(prepared, settled[probe - 2] + 1)
            if random and prepared_before is not None and probe % pairs == 0 and (probe // pairs) % spec.schedule.perturbation_period == 0:
                prepared = max(prepared, prepared_before + spec.network.n_neurons + 2)
            prepared_before = prepared
            read = prepared + 2
            for _ in range(count):
                while read + 1 in self.leaving:
                    read += 1
                read += 1
            last_read = read - 1
            joined = last_read + 2 + lat.replay_wait
            if deep:
                joined = max(joined, free)
                free = joined + sequencer.probe_cycles
                _, last = self._leaves(joined, 1)
            else:
                last = last_read + 1
            settled.append(last + (NeuronStream.latency - 2) + ActivationUnit.latency + lat.change)
            ready = joined + 2
            changes.append(prepared)
            distances = [b - a for a, b in zip(changes[-_STEADY - 1 :], changes[-_STEADY:], strict=False)]
            left = self.probes - 1 - probe
            if len(changes) > _STEADY and len(set(distances)) == 1 and left:
                settled[-1] += left * distances[0]
                break
        applied = settled[-1] + 1 + lat.first_errors + 2
        learned = applied + PassSequencer.latency + sequencer.apply_cycles + lat.learned + 1
        return learned + 2
