# amaranth: UnusedElaboratable=no
"""The core of weight perturbation: the composition of all blocks, and the cycle contract that follows from their latencies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from amaranth.hdl import Cat, Module, Shape, Signal, Value, ValueCastable
from amaranth.lib import wiring

from python_ref.spec.design import DesignSpec
from python_ref.spec.events import event_kinds
from python_ref.spec.number import Fixed
from rtl_gen.activation import ActivationUnit, NeuronSerializer
from rtl_gen.array import LaneArray
from rtl_gen.broadcast import Broadcast, operand_shape
from rtl_gen.controller import StepController
from rtl_gen.cost import AnswerCheck, CostUnit
from rtl_gen.fanout import fanout_latency
from rtl_gen.host import HostPort, gradient_exponent, register_file
from rtl_gen.host_side import connect_counts, connect_signature, connect_streams, memory_access, network_ports, register_access, settings
from rtl_gen.operands import Operands
from rtl_gen.perturbation import RoundingNoise, load_streams, sign_source
from rtl_gen.sequencer import Sequencer
from rtl_gen.signature import ForwardSignature, Signature
from rtl_gen.slot import delayed, in_last_layer

__all__ = ["Contract", "Core"]


@dataclass(frozen=True)
class Contract:
    """Clock cycles of a core's passes and steps, each a sum of its components' latencies; simulation asserts them.

    Attributes
    ----------
    slots : int
        Number of slots N of a pass.
    depth : int
        Pipeline depth D: cycles from the read of a layer's last operand to the next layer's read of the resulting activation, less
        the two slots between them.
    pass_cycles : int
        Cycles of a pass, N + Σ max(0, D − (groups − 1)·L) over all layers but the last, whether or not it correlates or updates.
    pair_cycles : int
        Cycles of the two passes of a step, which share one visit of the first layer, with the gap between them.
    gap : int
        Cycles between the two passes of a step; 0 except for very small networks.
    wait : int
        Cycles T from the last slot of a step to the first slot of the next.
    correlate_latency : int
        Cycles from a slot to the arrival of its broadcast at the lanes.
    accumulate_latency : int
        Cycles from a slot until the accumulator includes its product.
    busy_lanes : float
        Share of the lanes' cycles in a two-pass step in which a lane processes an existing synapse.
    """

    slots: int
    depth: int
    pass_cycles: int
    pair_cycles: int
    gap: int
    wait: int
    correlate_latency: int
    accumulate_latency: int
    busy_lanes: float

    def step_cycles(self, passes: int) -> int:
        """Cycles of a step with ``passes`` passes that does not have to wait for its sample."""
        return {1: self.pass_cycles, 2: self.pair_cycles}[passes] + self.wait

    def run_cycles(self, passes: list[int] | tuple[int, ...]) -> int:
        """Cycles of a run whose steps have these numbers of passes, without the flushing pass."""
        return sum(self.step_cycles(count) for count in passes)

    def first_steps(self, spec: DesignSpec, steps: int) -> int:
        """Cycles of the first steps of a run of a design with this contract, without the flushing pass."""
        one, two = spec.schedule.passes(steps)
        return one * self.step_cycles(1) + two * self.step_cycles(2)

    def first_visits(self, spec: DesignSpec, steps: int) -> int:
        """Number of visits of synapses and biases in the first steps of a run."""
        one, two = spec.schedule.passes(steps)
        return (one + 2 * two) * spec.network.n_parameters

    def figures(self) -> dict[str, float]:
        """Cycles of a step, by name."""
        return {"one_pass": self.step_cycles(1), "two_passes": self.step_cycles(2)}

    def table(self) -> dict[str, float]:
        """The contract as plain data for the manifest."""
        return {**asdict(self), "step_one_pass": self.step_cycles(1), "step_two_passes": self.step_cycles(2)}

    def rows(self) -> list[tuple[str, float, str]]:
        """Quantities of the contract for the user: name, cycles, and meaning."""
        busy = f"{100 * self.busy_lanes:.1f} % of the lanes' cycles at a synapse"
        return [
            ("pass", self.pass_cycles, f"N = {self.slots} slots, D = {self.depth}; correlating and updating or not"),
            ("wait", self.wait, "T, from a step's last slot to the next step's first"),
            ("step of one pass", self.step_cycles(1), "no new baseline"),
            ("step of two passes", self.step_cycles(2), busy),
        ]

    def summary(self) -> str:
        """Cycles of a step in words."""
        return f"{self.step_cycles(1):,} with one pass, {self.step_cycles(2):,} with two"


class Core(wiring.Component):
    """A network that trains itself by weight perturbation, with the streams that connect it to a host.

    Parameters
    ----------
    spec : DesignSpec
        The design that the core implements.
    starved_port : bool
        Whether the core has the port ``starved``, which a wrapper for a bus needs for its interrupt.

    Members
    -------
    request, response : In(stream), Out(stream)
        Accesses of the host to the registers, and their answers.
    sample : In(stream)
        Raw inputs of a sample, then its raw targets, one word per transfer.
    busy : Out(1)
        A run is in progress.
    starved : Out(1)
        A step waits for a sample; only with ``starved_port``.
    probe_stb, probe_neuron, … : Out
        Strobes and payloads of the core's events, see :mod:`rtl_gen.probe`; unconnected on a board.

    Attributes
    ----------
    contract : Contract
        Clock cycles of the core's passes and steps.
    """

    def __init__(self, spec: DesignSpec, *, starved_port: bool = False):
        self.spec = spec
        self.starved_port = starved_port
        self.broadcast = Broadcast(spec)
        self._plan()
        super().__init__(network_ports(spec, starved_port=starved_port))

    def _plan(self) -> None:
        """Choose the blocks on whose latencies the cycles of passes depend."""
        self.array = LaneArray(self.spec)
        self.sequencer = Sequencer(self.spec, depth=self._depth(), gap=self._gap())
        self.contract = self._contract()

    @staticmethod
    def sum_widths(spec: DesignSpec) -> dict[str, int]:
        """Widths of the sums behind a lane's multipliers in bits, by the name patterns of their modules."""
        return {"*.mac": spec.accumulator_width}

    @staticmethod
    def factors(spec: DesignSpec) -> list[tuple[int, Shape]]:
        """Width of the signed factor, and shape of the operand, of each of a lane's multipliers."""
        return [(spec.formats.weight.width, operand_shape(spec))]

    @staticmethod
    def operand_reads(spec: DesignSpec) -> int:
        """Number of operands that the lanes take in one cycle, each of which has read ports of its own."""
        return 1

    @staticmethod
    def own_formats(spec: DesignSpec) -> dict[str, Fixed]:
        """Formats, by name, of the quantities that only this kind of perturbation has."""
        return {}

    @staticmethod
    def activation_banks(spec: DesignSpec) -> int:
        """Number of passes whose hidden activations the core stores at once."""
        return 2

    @staticmethod
    def own_memory_bits(spec: DesignSpec) -> int:
        """Number of bits in the memories that only this kind of perturbation has."""
        return 0

    # -- The cycle contract --------------------------------------------------------------------------------------

    _write_activation = 1

    @property
    def _neuron_latency(self) -> int:
        """Cycles from ``accumulator_slot`` to the group's first activation."""
        return NeuronSerializer.latency + ActivationUnit.latency

    def _depth(self) -> int:
        """The pipeline depth D of the contract."""
        to_drain = self.array.latency - self.array.operand_latency
        return to_drain + self._neuron_latency + self._write_activation - 2

    @property
    def _begin_latency(self) -> int:
        """Cycles from the controller's ``complete_stb`` to the next step's first slot."""
        return StepController.begin_latency + 1 + self.sequencer.latency

    @property
    def _complete_lead(self) -> int:
        """Cycles by which ``complete_stb`` is delayed after a step's last pre-activation, so that the next step's first slot comes as early
        as C̃, which its broadcast needs, allows."""
        return max(0, ActivationUnit.latency + CostUnit.latency(self.spec) - self._begin_latency)

    def _gap(self) -> int:
        """Cycles between two passes, so that parameters are written before they are read, and all neurons have left the serializer."""
        layers, sequencer = self.spec.layout.layers, Sequencer(self.spec, depth=self._depth())
        written, last = self.array.timing.parameter - self.array.timing.parameter_read + 1, layers[-1]
        if len(layers) == 1:
            return 0
        padding = last.group_slots - last.group_words
        return max(0, written - sequencer.behind_cycles, last.last_lanes - layers[1].group_words - padding)

    def _contract(self) -> Contract:
        spec = self.spec
        last = spec.layout.layers[-1]
        padding = last.group_slots - last.group_words
        cycles, pair, gap = self.sequencer.pass_cycles, self.sequencer.pair_cycles, self.sequencer.gap
        to_drain = self.broadcast.latency + self.array.latency + NeuronSerializer.latency + last.last_lanes - 1
        wait = max(StepController.begin_latency, to_drain + self._complete_lead + self._begin_latency - 1 - padding)
        visits = 2 * spec.network.n_parameters - spec.network.layers[0].n_parameters
        total = spec.hardware.lanes * (pair + wait)
        return Contract(
            slots=spec.layout.slots,
            depth=self.sequencer.depth,
            pass_cycles=cycles,
            pair_cycles=pair,
            gap=gap,
            wait=wait,
            correlate_latency=self.broadcast.latency + 1,
            accumulate_latency=self.broadcast.latency + self.array.timing.accumulator,
            busy_lanes=visits / total,
        )

    # -- Composition ---------------------------------------------------------------------------------------------

    def _blocks(self) -> dict[str, Any]:
        """Return the blocks of the core, by their names."""
        spec = self.spec
        blocks = {
            "controller": StepController(spec),
            "sequencer": self.sequencer,
            "signs": sign_source(spec),
            "broadcast": self.broadcast,
            "array": self.array,
            "operands": Operands(spec),
            "neuron_serializer": NeuronSerializer(spec),
            "activation": ActivationUnit(spec),
            "cost": CostUnit(spec),
            "answer_check": AnswerCheck(spec),
            "host": HostPort(spec),
            "registers": register_file(spec),
        }
        if spec.stochastic_bits:
            blocks["rounding_noise"] = RoundingNoise(spec)
        return blocks

    def elaborate(self, platform):
        m = Module()
        blocks = self._blocks()
        for name, block in blocks.items():
            setattr(m.submodules, name, block)
        self._connect_passes(m, **blocks)
        self._connect_neurons(m, **blocks)
        self._connect_streams(m, blocks)
        self._connect_host(m, **blocks)
        self._connect_probes(m, **blocks)
        return m

    _kinds: ClassVar[tuple[str, ...]] = ("start", "again", "correlate", "perturb", "second", "forward", "both")
    """What the controller tells the sequencer of a pass."""

    def _connect_passes(self, m, *, controller, sequencer, signs, broadcast, array, operands, cost, **blocks):
        """Connect the pipeline of slots, and the blocks whose values join it."""
        spec = self.spec
        wiring.connect(m, wiring.flipped(self.sample), operands.sample)
        m.d.comb += [getattr(sequencer, name).eq(getattr(controller, name)) for name in self._kinds]
        m.d.comb += [
            controller.done.eq(sequencer.done),
            broadcast.slot.eq(sequencer.slot),
            broadcast.cost_change.eq(cost.cost_change),
            broadcast.update.eq(controller.update),
            array.slot.eq(broadcast.slot_o),
            array.slot_ahead.eq(broadcast.slot_ahead),
            array.broadcast.eq(broadcast.o),
            array.broadcast_outside.eq(broadcast.outside),
            array.update.eq(controller.update),
            array.replay.eq(signs.replay),
            signs.replay_slot.eq(broadcast.slot_ahead),
            signs.live_slot.eq(array.live_slot),
            signs.advance.eq(controller.advance),
            signs.fresh.eq(controller.fresh),
            operands.slot.eq(array.operand_slot),
            operands.ahead.eq(array.operand_ahead),
            array.x.eq(operands.x),
            operands.take.eq(controller.take),
            controller.available.eq(operands.available),
        ]
        if spec.direct_update:
            m.d.comb += array.update_outside.eq(broadcast.update_outside)
        m.d.comb += array.live.eq(signs.live)
        self._connect_lanes(m, sequencer=sequencer, broadcast=broadcast, array=array, operands=operands, **blocks)

    def _connect_lanes(self, m, *, array, neuron_serializer, **_):
        """Connect what only the lanes of this kind of core have."""
        m.d.comb += neuron_serializer.sign_sums.eq(array.sign_sums)

    def _connect_neurons(
        self, m, *, controller, array, neuron_serializer, activation, operands, cost, answer_check, broadcast, registers, **_
    ):
        """Connect accumulators to activations, and activations to the operands, the cost and the answer check."""
        neuron = activation.neuron_o
        output = Signal()
        m.d.comb += [
            neuron_serializer.slot.eq(array.accumulator_slot),
            neuron_serializer.accumulators.eq(array.accumulators),
            activation.neuron.eq(neuron_serializer.neuron),
            activation.z.eq(neuron_serializer.z),
            operands.neuron.eq(neuron),
            operands.y.eq(activation.y),
            # A target is read one cycle before its output is valid.
            operands.target_neuron.eq(delayed(m, neuron_serializer.neuron, ActivationUnit.latency - 1, "target_neuron", reset_less=False)),
            output.eq(neuron.valid & in_last_layer(self.spec, neuron)),
            cost.stb.eq(output),
            cost.last.eq(neuron.last),
            cost.first.eq(~neuron.second),
            cost.second.eq(neuron.second),
            cost.y.eq(activation.y),
            cost.target.eq(operands.target),
            answer_check.stb.eq(output & ~neuron.second & controller.check_answer),
            answer_check.last.eq(neuron.last),
            answer_check.y.eq(activation.y),
            answer_check.target.eq(operands.target),
            broadcast.error.eq(cost.error),
            cost.square.eq(broadcast.square),
            registers.i_saturated_activation.eq(neuron.valid & controller.training & activation.outside),
        ]
        left = neuron_serializer.neuron
        ends_step = left.valid & left.last & (left.second | ~controller.training)
        m.d.comb += controller.complete_stb.eq(delayed(m, ends_step, self._complete_lead, "complete", reset_less=False))

    def _connect_streams(self, m, blocks):
        """Connect the rounding noise to the block that uses it, and the loaded states to all random streams."""
        host, signs, broadcast, array = (blocks[name] for name in ("host", "signs", "broadcast", "array"))
        streams = [signs]
        if self.spec.stochastic_bits:
            noise = blocks["rounding_noise"]
            user = broadcast if self.spec.direct_update else array
            m.d.comb += [noise.slot.eq(user.noise_slot), user.noise.eq(noise.o), noise.update.eq(blocks["controller"].update)]
            streams.append(noise)
        load_streams(m, self.spec, host, streams)

    def _connect_host(self, m, *, host, controller, array, operands, answer_check, cost, broadcast, registers, **_):
        """Connect the host port to commands, settings, memories and registers."""
        connect_streams(m, self, host)
        m.d.comb += settings(host, controller, ("train", "infer", "stop", "restart", "count_en"))
        m.d.comb += [
            operands.discard.eq(delayed(m, host.discard, 1, "discard", reset_less=False)),
            *gradient_exponent(self.spec, host.exponent, broadcast, array),
            # The host has access to the lanes' memories from one cycle after a run to some cycles before the next run's first slot.
            *memory_access(host, array, delayed(m, ~controller.busy, 1, "host_mode", reset_less=False)),
            *register_access(host, array, registers, controller.busy, [controller.starved]),
            registers.i_steps.eq(controller.advance),
            registers.i_correct.eq(answer_check.correct),
            registers.i_cycles.eq(delayed(m, controller.busy & ~controller.starved, 1, "cycle", reset_less=False)),
            registers.i_cost0.eq(cost.cost0_complement),
            registers.i_cost1.eq(cost.cost1),
            registers.i_cost_change.eq(cost.cost_change),
            self.busy.eq(controller.busy),
            *([self.starved.eq(controller.starved)] if self.starved_port else []),
        ]
        m.d.comb += [getattr(registers, f"i_{name}").eq(getattr(array, name)) for name in array.counts]

    def _signed_fields(self) -> ValueCastable | Value:
        """Return what signatures cover of a neuron's event."""
        return self.probe_neuron

    def _connect_probes(self, m, *, controller, array, activation, cost, host, registers, **_):
        """Connect the events that :mod:`rtl_gen.probe` describes, and their signatures."""
        neuron, signed = activation.neuron_o, self._signed_fields()
        training = controller.training
        to_change = CostUnit.latency(self.spec) - CostUnit.cost_latency(self.spec)
        change_stb = delayed(m, cost.cost_stb & cost.cost_second, to_change, "change_stb", reset_less=False)
        pipelined = fanout_latency(self.spec.hardware.lanes) > 0
        widths = [len(Value.cast(each)) for each in (signed, self.probe_cost, cost.cost_change)]
        forward, learned = ForwardSignature(*widths, in_parts=pipelined), Signature(len(Value.cast(self.probe_word)), in_parts=pipelined)
        # The event "step" comes when the signature is ready, which takes as long as the counts; "learned", when the update is counted.
        step_stb = delayed(m, change_stb & training, forward.latency, "step_stb", reset_less=False)
        learned_stb = delayed(m, array.learned_stb, 1, "learned_stb", reset_less=False)
        m.d.comb += [
            registers.i_saturated_cost_change.eq(change_stb & cost.outside),
            registers.i_updates.eq(array.learned_stb & controller.update),
            controller.learned_stb.eq(learned_stb),
        ]
        strobes = {
            "neuron": neuron.valid & training,
            "cost": cost.cost_stb & training,
            "step": step_stb,
            "word": array.word_stb,
            "learned": learned_stb,
        }
        m.d.comb += [
            self.probe_stb.eq(Cat(strobes[event] for event in event_kinds(self.spec))),
            self.probe_neuron["pass"].eq(neuron.second),
            self.probe_neuron.preactivation.eq(activation.z_o),
            self.probe_neuron.activation.eq(activation.y),
            self.probe_cost["pass"].eq(cost.cost_second),
            self.probe_cost.cost.eq(cost.total),
            self.probe_step.cost_change.eq(cost.cost_change),
            self.probe_word.eq(array.word_event),
        ]
        connect_counts(m, self, registers)
        if not self.spec.hardware.signature:
            return
        m.d.comb += [
            forward.neuron_stb.eq(strobes["neuron"]),
            forward.neuron.eq(signed),
            forward.neuron_second.eq(neuron.second),
            forward.cost_stb.eq(strobes["cost"]),
            forward.cost.eq(self.probe_cost),
            forward.cost_second.eq(cost.cost_second),
            forward.change_stb.eq(change_stb & training),
            forward.change.eq(cost.cost_change),
            learned.stb.eq(strobes["word"]),
            learned.payload.eq(self.probe_word),
        ]
        for name, signature, shown in (("forward", forward, self.probe_step), ("learned", learned, self.probe_learned)):
            m.submodules[f"{name}_signature"] = signature
            connect_signature(m, name, signature, clear=host.clear, registers=registers, shown=shown)
