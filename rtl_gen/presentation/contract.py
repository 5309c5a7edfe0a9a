"""The cycle contract of node perturbation: how many clock cycles a presentation takes, from the latencies of the components.

It follows the controller from event to event, so that it is exact for small networks as well, whose probes wait for one another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from math import lcm

from python_ref.spec.design import DesignSpec
from python_ref.spec.presentation import FACTOR_BITS
from python_ref.spec.schedule import Schedule
from rtl_gen.cost import CostUnit
from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.draws import output_latency
from rtl_gen.presentation.errors import ErrorUnit
from rtl_gen.presentation.layouts import has_full_layers, noisy_layers, overtakes
from rtl_gen.presentation.neurons import NeuronStream
from rtl_gen.presentation.sequencer import PassSequencer

__all__ = ["Latencies", "PresentationContract", "outputs_to_change"]

_LONG = 24
"""Least number of probes of a presentation from which the average cycles of a probe are taken."""


@dataclass(frozen=True)
class Latencies:
    """Latencies of the core's components, in cycles.

    Attributes
    ----------
    accumulator : int
        Cycles from a slot to the slot of the accumulators.
    replay_wait : int
        Cycles by which a probe's pass waits after its replay.
    sweep_wait : int
        Cycles by which a probe of the last layer alone waits after the cost change of the step before.
    change : int
        Cycles from the last output's activation to the cost change.
    first_errors : int
        Cycles from a presentation's last cost change until the first group's errors are output.
    learned : int
        Cycles from the last slot of an applying pass until its words are counted.
    """

    accumulator: int
    replay_wait: int
    sweep_wait: int
    change: int
    first_errors: int
    learned: int

    @classmethod
    def of(cls, spec: DesignSpec, array: NodeArray, errors: ErrorUnit, waits: tuple[int, int]) -> Latencies:
        """Return the latencies of a core with these blocks."""
        first = spec.layout.layers[0].lanes_of(0)
        return cls(array.latency, *waits, CostUnit.latency(spec), errors.pace * (first - 1) + errors.change_latency, array.learned_latency)


@dataclass(frozen=True, eq=False)
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
        return (_presentation_cycles(self, 2 * self._long) - _presentation_cycles(self, self._long)) / self._long

    @property
    def cycle(self) -> int:
        """Number of probes after which the parts or layers that they perturb, and their waits for signs, repeat."""
        if has_full_layers(self.spec):
            return self._sign_steps * (self.spec.passes - 1)
        return lcm(self.spec.round.probes, self._sign_steps) * (self.spec.passes - 1) if self.spec.in_parts else 1

    def layer_at(self, step: int) -> int:
        """Number of the layer that an incremental probe of a step perturbs."""
        network = self.spec.network
        return network.layer_of(step // self.spec.schedule.perturbation_period % network.n_neurons)

    @property
    def _long(self) -> int:
        """Number of probes of a long presentation: whole rounds."""
        return -(-_LONG // self.cycle) * self.cycle

    @property
    def wait(self) -> float:
        """Cycles T of a long presentation beyond its passes: the last cost, its errors, and the latencies of the pipeline."""
        probes = 2 * self._long
        return _presentation_cycles(self, probes) - self.unperturbed_cycles - probes * self.probe_cycles - self.apply_cycles

    @property
    def busy_lanes(self) -> float:
        """Share of the lanes' cycles in a presentation in which a lane processes an existing synapse, or each of its multipliers does."""
        steps, hardware = self.spec.longest_presentation, self.spec.hardware
        return self._visits(steps) / (hardware.lanes * hardware.multipliers_per_lane * self.presentation_cycles(steps))

    def _visits(self, steps: int, first: int = 0) -> int:
        """Number of visits of synapses and biases in a presentation: two of each, and one per probe of those behind the first layer of its
        part; in incremental probes of one per neuron of the layer behind the perturbed one, and of all of those behind it."""
        network, order = self.spec.network, self.spec.round.order
        if self.spec.incremental:
            counts = network.probed_layers(first, steps, self.spec.schedule.perturbation_period)
            return 2 * network.n_parameters + (self.spec.passes - 1) * sum(
                count * network.changed_synapses(number) for number, count in enumerate(counts)
            )
        behind = [sum(layer.n_parameters for layer in network.layers[part.first + 1 :]) for part in self.spec.round.parts]
        rounds, more = divmod(steps, len(order))
        visits = rounds * sum(behind[number] for number in order) + sum(behind[number] for number in order[:more])
        return 2 * network.n_parameters + (self.spec.passes - 1) * visits

    def presentation_cycles(self, steps: int, first: int = 0, *, opens: bool = False) -> int:
        """Cycles of a presentation of ``steps`` steps, from step ``first`` on, that ends, and does not wait for its sample.

        With ``opens``, it is the first one of a run.
        """
        return _presentation_cycles(self, steps * (self.spec.passes - 1), first % self._sign_steps, opens)

    def first_steps(self, spec: DesignSpec, steps: int) -> int:
        """Cycles of the first steps of a run of a design with this contract, without :attr:`flush_cycles`; an open presentation at their
        end counts in full."""
        found = self._presentations(spec.schedule, steps).items()
        presented = sum(count * self.presentation_cycles(length, first) for (length, first), count in found)
        length = min(steps, spec.longest_presentation)
        return presented - self.presentation_cycles(length) + self.presentation_cycles(length, opens=True) if steps else 0

    @property
    def flush_cycles(self) -> int:
        """Cycles of the flushing pass, which applies the errors of a run's last presentation; 0 where the presentation has such a pass."""
        return 0

    @property
    def _applied_cycles(self) -> int:
        """Cycles from the start of an applying pass until the controller goes on."""
        return PassSequencer.latency + self.sequencer.apply_cycles + self.latencies.learned + 3

    def next_start(self, errors: int) -> int:
        """Cycle of the next unperturbed pass, if the errors of the first group are in the lanes in the cycle before ``errors``."""
        return errors + self._applied_cycles

    def first_visits(self, spec: DesignSpec, steps: int) -> int:
        """Number of visits of synapses and biases in the first steps of a run."""
        found = self._presentations(spec.schedule, steps).items()
        return sum(count * self._visits(length, first) for (length, first), count in found)

    @property
    def _sign_steps(self) -> int:
        """Steps after which the cycles of signs repeat: those in which each neuron is perturbed, if the layers behind it matter; or τ_p of
        random signs. Probes wait for these only if they perturb parts of the network."""
        if has_full_layers(self.spec):
            return self.spec.schedule.perturbation_period * self.spec.network.n_neurons
        return self.spec.schedule.perturbation_period if self.spec.in_parts and self.spec.sign_generators else 1

    def _presentations(self, schedule: Schedule, steps: int) -> Counter[tuple[int, int]]:
        """Numbers of presentations in the first steps of a run, by their lengths in steps and by their first steps.

        The latter are modulo :attr:`_sign_steps`, and thus 0 where they do not matter.
        """
        cycle = lcm(schedule.sample_period, schedule.update_period, self._sign_steps)
        found: Counter[tuple[int, int]] = Counter()
        for limit, times in ((cycle, steps // cycle), (steps % cycle, 1)):
            edges = sorted({*range(0, limit, schedule.sample_period), *range(0, limit, schedule.update_period), limit}) if times else []
            for first, last in pairwise(edges):
                found[last - first, first % self._sign_steps] += times
        return found

    def figures(self) -> dict[str, float]:
        """Cycles of the longest presentation and of its parts, by name."""
        steps = self.spec.longest_presentation
        parts = {"unperturbed": self.unperturbed_cycles, "probe": self.probe_cycles, "apply": self.apply_cycles}
        return {"presentation": self.presentation_cycles(steps), **parts}

    def table(self) -> dict[str, float]:
        """The contract as plain data for the manifest."""
        return {
            "slots": self.slots,
            "depth": self.depth,
            **{f"{name}_cycles": value for name, value in self.figures().items()},
            "wait": self.wait,
            "steps": self.spec.longest_presentation,
            "busy_lanes": self.busy_lanes,
        }

    def rows(self) -> list[tuple[str, float, str]]:
        """Quantities of the contract for the user: name, cycles, and meaning."""
        steps = self.spec.longest_presentation
        probes = f"{steps * (self.spec.passes - 1):,} probes" if steps * (self.spec.passes - 1) > 1 else "one probe"
        busy = f"{probes}; {100 * self.busy_lanes:.1f} % of the lanes' cycles at a synapse"
        return [
            ("unperturbed pass", self.unperturbed_cycles, f"N = {self.slots} slots, D = {self.depth}{self._also}"),
            ("probe", round(self.probe_cycles, 2), f"{self._kind_of_probes}; from one to the next, on average in a long presentation"),
            self._applying_row,
            ("wait", round(self.wait, 2), "T, for the last cost and its errors"),
            ("presentation", self.presentation_cycles(steps), busy),
        ]

    @property
    def _also(self) -> str:
        """What an unperturbed pass does besides measuring, as the end of a phrase."""
        return ""

    @property
    def _applying_row(self) -> tuple[str, float, str]:
        """Row of the pass that does nothing but apply errors."""
        return "applying pass", self.apply_cycles, "errors times inputs, and the update"

    def unperturbed_layers(self) -> list[tuple[int, int]]:
        """Return the first cycle of each layer in the unperturbed pass, and the number of cycles to the end of its last slot."""
        found, cycle = [], 0
        for number, placed in enumerate(self.spec.layout.layers):
            inner, tail = self.sequencer._unperturbed(number)
            found.append((cycle, (placed.groups - 1) * inner + placed.group_slots))
            cycle += (placed.groups - 1) * inner + tail
        return found

    def applied(self, total: int) -> tuple[str, int, int]:
        """Return what applies errors in a presentation of ``total`` cycles, its first cycle and the number of its cycles."""
        return "apply: errors times inputs", total - self.apply_cycles, self.apply_cycles

    @property
    def sample_cycles(self) -> int:
        """Cycles in which a stream of one word per cycle loads a sample.

        A presentation takes more: its first layer takes a cycle for each input, and its outputs leave the lanes one by one. So such a
        stream never keeps the core waiting.
        """
        return self.spec.network.n_in + self.spec.network.n_out + 3

    @property
    def _kind_of_probes(self) -> str:
        """Whether probes are incremental, and why one neuron's are not, as a phrase."""
        spec = self.spec
        if spec.in_parts:
            return f"the layers behind the first of a part, in rounds of {spec.round.probes:,}"
        if has_full_layers(spec):
            return "incremental, one synapse of each neuron of the next layer, and the layers behind it"
        if spec.incremental:
            return "incremental, one synapse of each output"
        if not spec.code.single or len(spec.network.layers) == 1:
            return "the layers behind the first" if len(spec.network.layers) > 1 else "no synapse"
        if spec.network.random:
            return "in full, since a stochastic layer follows its inputs by chance"
        if any(layer.lists is not None for layer in spec.network.layers[1:]):
            return "in full, since a sparse layer behind the first has the input that changes in few of its lists"
        return f"in full, since activations have more than {FACTOR_BITS - 1} bits"

    def summary(self) -> str:
        """Cycles of the longest presentation in words."""
        steps = self.spec.longest_presentation
        return f"{self.presentation_cycles(steps):,} per presentation of {steps:,} {'step' if steps == 1 else 'steps'}"


def outputs_to_change(spec: DesignSpec) -> int:
    """Return the cycles from the cycle in which the last output leaves the lanes, or would leave them, to the cost change."""
    return NeuronStream.latency - 2 + output_latency(spec) + CostUnit.latency(spec)


@lru_cache(maxsize=256)
def _presentation_cycles(contract: PresentationContract, probes: int, first: int = 0, opens: bool = False) -> int:
    """Cycles from the start of an unperturbed pass to the start of the next one, with ``probes`` probes from step ``first`` on; ``opens``
    tells that the pass is the first one of a run."""
    return _Walk(contract, probes, first, opens=opens).cycles()


class _Walk:
    """Walk through one presentation: the cycle of each event, counted from the start of its unperturbed pass."""

    def __init__(self, contract: PresentationContract, probes: int, first: int, *, opens: bool) -> None:
        self.contract = contract
        self.opens = opens
        self.spec = contract.spec
        self.probes = probes
        self.first = first
        self.leaving: set[int] = set()
        self.noisy = noisy_layers(self.spec)
        self.ordered = overtakes(self.spec)
        self.drawn = 0
        """Cycle in which the last stochastic neuron of the latest pass leaves the lanes, or of its replay."""

    def _leaves(self, start: int, layer: int) -> tuple[int, int]:
        """Note in which cycles the neurons of a pass leave the lanes; return those of the last one that is kept, and of the last one."""
        sequencer, lat = self.contract.sequencer, self.contract.latencies
        slot = start + 1 + PassSequencer.latency
        kept, probing = 0, layer > 0 and self.spec.incremental
        last_kept = len(self.spec.network.layers) - 1 if self.spec.incremental else self.spec.round.parts[-1].first
        for number, placed in enumerate(self.spec.layout.layers):
            if number < layer:
                continue
            single = probing and number == layer
            row = sequencer._probe if single else sequencer._behind if probing else sequencer._forward
            inner, tail = row(number)
            if layer == 0:
                inner, tail = sequencer._unperturbed(number, opens=self.opens)
            for group in range(placed.groups):
                seen = slot + (0 if single else placed.group_words - 1) + lat.accumulator + 2
                self.leaving.update(range(seen, seen + placed.lanes_of(group)))
                last = seen + placed.lanes_of(group) - 1
                slot += tail if group == placed.groups - 1 else inner
            if number == last_kept:
                kept = last
            if self.ordered and number == self.noisy[-1]:
                self.drawn = last
        return kept, last

    def _phase(self, probe: int) -> tuple[tuple[int, ...], int]:
        """What the probes behind an incremental one depend on, and the number of probes up to which they do.

        Within a layer, that is the layer with the next one to come; where the next probe perturbs another layer, it is all the same from
        there on when that comes again.
        """
        contract, pairs = self.contract, self.spec.passes - 1
        spec, step = self.spec, self.first + probe // pairs
        layer, times = contract.layer_at(step), spec.schedule.perturbation_period
        end = sum(spec.network.sizes[1 : layer + 2]) * times
        until = (end - step % (spec.network.n_neurons * times) + step - self.first) * pairs
        return ((layer,), self.probes) if probe + 1 == until else ((layer, until), min(until, self.probes))

    def cycles(self) -> int:
        """Cycles of the presentation."""
        spec, contract = self.spec, self.contract
        lat, sequencer = contract.latencies, contract.sequencer
        layers, order = spec.network.layers, spec.round.order if spec.in_parts else (0,)
        kept, last = self._leaves(0, 0)
        settling = outputs_to_change(spec)
        ready = kept + 3  # found, kept, and the state in which the first probe is prepared
        free, prepared_before, lanes_before = sequencer._cycles(partial(sequencer._unperturbed, opens=self.opens), 0), None, True
        settled = [last + settling]
        seen: dict[tuple[object, ...], tuple[int, int]] = {}
        random, times = bool(spec.sign_generators), spec.schedule.perturbation_period
        pairs, phases, probe, several = spec.passes - 1, contract.cycle * (spec.passes - 1), 0, has_full_layers(spec)
        while probe < self.probes:
            part = spec.round.parts[order[probe // pairs % len(order)]]
            count = 1 if spec.incremental else layers[part.first].n_out
            deep = part.first < len(layers) - 1
            prepared = ready
            if spec.in_parts and not deep and lanes_before:
                prepared = max(prepared, settled[-1] + 1 + lat.sweep_wait)
            if probe >= 1:
                prepared = max(prepared, settled[-2] + 1)
            if random and prepared_before is not None and probe % pairs == 0 and (self.first + probe // pairs) % times == 0:
                prepared = max(prepared, prepared_before + spec.network.n_neurons + 2)
            if self.ordered and part.first in self.noisy:
                prepared = max(prepared, self.drawn + 2)
            prepared_before = prepared
            read = prepared + 2
            for _ in range(count):
                while read + 1 in self.leaving:
                    read += 1
                read += 1
            last_read = read - 1
            if self.ordered and part.first == self.noisy[-1]:
                self.drawn = last_read + 1
            joined = last_read + 2 + lat.replay_wait
            if several:
                begin = min(contract.layer_at(self.first + probe // pairs) + 1, len(layers) - 1)
                joined = max(joined, free)
                free = joined + sequencer.probe_cycles_from(begin)
                _, last = self._leaves(joined, begin)
            elif deep:
                joined = max(joined, free)
                free = joined + (sequencer.part_cycles(part) if spec.in_parts else sequencer.probe_cycles)
                _, last = self._leaves(joined, part.first + 1)
            else:
                last = last_read + 1
            settled = [settled[-1], last + settling]
            lanes_before = deep
            ready = joined + 2
            # What comes next depends on this alone; once it repeats, with all cycles moved by the same number, so does what follows, while
            # the same probes follow: to the end, or as long as they perturb the same layer.
            self.leaving = {cycle for cycle in self.leaving if cycle > ready}
            drawn = (self.drawn,) if self.ordered else ()
            ahead = *(cycle - prepared for cycle in (ready, free, *settled, *drawn)), frozenset(cycle - prepared for cycle in self.leaving)
            phase, limit = self._phase(probe) if several else ((probe + 1) % phases, self.probes)
            before, at_first = seen.setdefault((deep, phase, *ahead), (probe, prepared))
            rounds = (limit - 1 - probe) // (probe - before) if before < probe else 0
            moved = rounds * (prepared - at_first)
            probe += 1 + rounds * (probe - before)
            ready, free, prepared_before, settled = ready + moved, free + moved, prepared + moved, [each + moved for each in settled]
            self.leaving = {cycle + moved for cycle in self.leaving}
            self.drawn += moved
        applied = settled[-1] + 1 + lat.first_errors + 2
        return contract.next_start(applied)
