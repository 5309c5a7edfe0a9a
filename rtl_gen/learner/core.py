# amaranth: UnusedElaboratable=no
"""The core of a learner: the composition of its blocks, and the cycle contract that follows from their latencies."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.events import event_kinds
from python_ref.spec.learner import LearnerSpec, stream_names
from rtl_gen.host import HostPort, gradient_exponent, register_file
from rtl_gen.host_side import (
    connect_counts,
    connect_signature,
    connect_streams,
    event_ports,
    host_ports,
    memory_access,
    register_access,
    settings,
)
from rtl_gen.learner.array import LearnerArray
from rtl_gen.learner.controller import LearnerController
from rtl_gen.learner.measuring import CostChange, Measurement
from rtl_gen.learner.sending import PASS_KINDS, PassSequencer, WordQueue, word_stream
from rtl_gen.learner.signature import PassSignature
from rtl_gen.learner.signs import sign_source
from rtl_gen.learner.streams import PassEnd, broadcast_of, noise_of
from rtl_gen.perturbation import load_streams
from rtl_gen.probe import shape_of
from rtl_gen.signature import Signature
from rtl_gen.slot import delayed

__all__ = ["LearnerContract", "LearnerCore", "learner_core"]


@dataclass(frozen=True)
class LearnerContract:
    """Clock cycles of a learner whose outside takes a word in every cycle, and offers cost words without a pause.

    Attributes
    ----------
    words : int
        Number ⌈N/L⌉ of words of the longest stream in a pass; N with one lane.
    latency : int
        Cycles from the start of a pass to ``apply_stb``, less that number.
    settling : int
        Cycles from ``apply_stb`` to the first cost word, less the host's ``settle``.
    between : int
        Cycles from the last cost word of pass 0 to the start of pass 1.
    wait : int
        Cycles T from the last cost word of a step to the start of the next, where no sample is due.
    """

    words: int
    latency: int
    settling: int
    between: int
    wait: int

    @property
    def pass_cycles(self) -> int:
        """Cycles of a pass, from its start to ``apply_stb``, whether or not it correlates or updates."""
        return self.words + self.latency

    def step_cycles(self, passes: int, settle: int, average: int) -> int:
        """Cycles of a step with ``passes`` passes, from its first start to that of the next step."""
        measured = self.pass_cycles + self.settling + settle + 2**average - 1
        return passes * measured + (passes - 1) * self.between + self.wait

    def first_steps(self, spec: LearnerSpec, steps: int) -> int:
        """Cycles of the first steps of a run, without its last pass, with the waits of the design file."""
        settle, average = spec.outside.settle, spec.outside.average
        one, two = spec.schedule.passes(steps)
        shown = -(-steps // spec.schedule.sample_period)
        return one * self.step_cycles(1, settle, average) + two * self.step_cycles(2, settle, average) + shown

    def figures(self) -> dict[str, float]:
        """Cycles of a pass, by name; those of a step depend on the outside."""
        return {"pass": self.pass_cycles}

    def summary(self) -> str:
        """Cycles of a pass in words."""
        return f"{self.pass_cycles:,} a pass; settling and cost words included, without the outside's own time"

    def table(self) -> dict[str, float]:
        """The contract as plain data for the manifest."""
        return {**asdict(self), "pass_cycles": self.pass_cycles}

    def rows(self, spec: LearnerSpec) -> list[tuple[str, float, str]]:
        """Quantities of the contract for the user: name, cycles, and meaning."""
        settle, average = spec.outside.settle, spec.outside.average
        lanes = spec.hardware.lanes
        words = f"N = {self.words} words" if lanes == 1 else f"⌈N/{lanes}⌉ = {self.words} words in each of {lanes} streams"
        of_step = f"with settle = {settle} and {2**average} cost words a pass"
        return [
            ("pass", self.pass_cycles, f"{words}, from the start to apply_stb"),
            ("measurement", self.settling + settle + 2**average - 1, f"{of_step}, without the outside's own time"),
            ("wait", self.wait, "T, from the last cost word of a step to the start of the next"),
            ("step of one pass", self.step_cycles(1, settle, average), of_step),
            ("step of two passes", self.step_cycles(2, settle, average), of_step),
        ]


class LearnerCore(wiring.Component):
    """A learner: it sends perturbed quantities to the outside, takes costs from it, and learns by weight perturbation.

    Parameters
    ----------
    spec : LearnerSpec
        The learner that the core implements.

    Members
    -------
    request, response : In(stream), Out(stream)
        Accesses of the host to the registers, and their answers.
    sample : Out(stream)
        Index of the sample that the outside shows from now on.
    perturbed : Out(stream)
        Words of a pass, see :func:`rtl_gen.learner.sending.word_layout`. With several lanes, there is a stream
        for each: ``perturbed0``, ``perturbed1`` and so on.
    apply_stb : Out(1)
        Strobe: all words of a pass have been taken.
    measure_ready : Out(1)
        The cost may be measured.
    cost : In(stream)
        Cost words as the outside measured them, signed, in the format of the design file.
    busy : Out(1)
        A run is in progress.
    probe_stb, probe_presented, … : Out
        Strobes and payloads of the core's events, see :mod:`rtl_gen.probe`; unconnected on a board.

    Attributes
    ----------
    contract : LearnerContract
        Clock cycles of the core's passes and steps.
    """

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        self.broadcast = broadcast_of(spec)
        self.array = LearnerArray(spec)
        # A run is over when the last word of its last pass has been taken; by then, it has been written and counted.
        assert self.array.timing.parameter + self.array.count_latency < self.array.latency + WordQueue.latency
        self.room = self._room()
        self.contract = LearnerContract(
            words=spec.layout.slots,
            latency=PassSequencer.latency + self.broadcast.latency + self.array.latency + WordQueue.latency,
            settling=2,
            between=Measurement.latency + 1,
            wait=Measurement.latency + CostChange.latency + LearnerController.begin_latency,
        )
        super().__init__(
            {
                **host_ports(),
                "sample": LearnerController(spec).signature.members["sample"],
                **{name: Out(word_stream(spec, lane)) for lane, name in enumerate(stream_names(spec))},
                "apply_stb": Out(1),
                "measure_ready": Out(1),
                "cost": In(stream.Signature(shape_of(spec.formats.cost))),
                "busy": Out(1),
                **event_ports(spec),
            }
        )

    @property
    def _queue_names(self) -> tuple[str, ...]:
        """Names of the queues, one for each lane."""
        lanes = self.spec.hardware.lanes
        return ("queue",) if lanes == 1 else tuple(f"queue{lane}" for lane in range(lanes))

    def _room(self) -> int:
        """Number of words for which there is room in the array and in the queue, a power of two.

        A word is in flight from its slot to the queue, through it, and until the sequencer is told. There is room for as many words as that
        takes cycles, so that one can leave in every cycle.
        """
        flight = 1 + self.broadcast.latency + self.array.latency + WordQueue.latency + 1
        return 1 << (flight - 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        blocks = {
            "controller": LearnerController(spec),
            "sequencer": PassSequencer(spec, room=self.room),
            "signs": sign_source(spec),
            "broadcast": self.broadcast,
            "array": self.array,
            **{name: WordQueue(spec, lane, depth=self.room) for lane, name in enumerate(self._queue_names)},
            "measurement": Measurement(spec),
            "cost_change": CostChange(spec),
            "host": HostPort(spec),
            "registers": register_file(spec),
        }
        if spec.stochastic_bits:
            blocks["rounding_noise"] = noise_of(spec)
        for name, block in blocks.items():
            setattr(m.submodules, name, block)
        queues = [blocks[name] for name in self._queue_names]
        self._connect_passes(m, queues=queues, **blocks)
        self._connect_outside(m, queues=queues, **blocks)
        self._connect_streams(m, blocks)
        self._connect_host(m, **blocks)
        self._connect_probes(m, **blocks)
        return m

    def _connect_passes(self, m, *, controller, sequencer, signs, broadcast, array, queues, cost_change, **_):
        """Connect the pipeline of slots, and the blocks whose values join it."""
        m.d.comb += [getattr(sequencer, name).eq(getattr(controller, name)) for name in ("start", *PASS_KINDS)]
        m.d.comb += [
            sequencer.taken.eq(Cat(queue.taken for queue in queues) if len(queues) > 1 else queues[0].taken),
            broadcast.slot.eq(sequencer.slot),
            broadcast.cost_change.eq(cost_change.cost_change),
            broadcast.update.eq(controller.update),
            array.slot.eq(broadcast.slot_o),
            array.broadcast.eq(broadcast.o),
            array.broadcast_outside.eq(broadcast.outside),
            array.update.eq(controller.update),
            array.replay.eq(signs.replay),
            array.live.eq(signs.live),
            signs.replay_slot.eq(broadcast.slot_ahead),
            signs.live_slot.eq(array.live_slot),
            signs.advance.eq(controller.advance),
            signs.fresh.eq(controller.fresh),
        ]
        if len(queues) == 1:
            m.d.comb += [queues[0].stb.eq(array.sent_slot.valid), queues[0].value.eq(array.value)]
        for lane, queue in enumerate(queues if self.spec.sends_errors else []):
            m.d.comb += queue.error.eq(array.errors[lane])
        for lane, queue in enumerate(queues if len(queues) > 1 else []):
            has = lane < self.spec.layout.last_lanes
            m.d.comb += [
                queue.stb.eq(array.sent_slot.valid if has else array.sent_slot.valid & ~array.sent_slot.last),
                queue.value.eq(array.value[lane]),
            ]
        if self.spec.direct_update:
            m.d.comb += array.update_outside.eq(broadcast.update_outside)

    def _connect_outside(self, m, *, controller, queues, measurement, cost_change, host, **_):
        """Connect the ports to the outside, and the measurement to the controller."""
        for name, queue in zip(stream_names(self.spec), queues, strict=True):
            wiring.connect(m, queue.o, wiring.flipped(getattr(self, name)))
        applied = queues[0].apply_stb
        if len(queues) > 1:
            m.submodules.pass_end = end = PassEnd(len(queues))
            m.d.comb += end.ends.eq(Cat(queue.apply_stb for queue in queues))
            applied = end.o
        wiring.connect(m, controller.sample, wiring.flipped(self.sample))
        wiring.connect(m, wiring.flipped(self.cost), measurement.cost)
        m.d.comb += [
            self.apply_stb.eq(applied),
            self.measure_ready.eq(measurement.measure_ready),
            measurement.begin.eq(applied & controller.measured),
            *(getattr(measurement, name).eq(getattr(host, name)) for name in ("settle", "timeout", "average")),
            controller.samples.eq(host.samples),
            controller.applied.eq(applied),
            controller.done.eq(measurement.done),
            controller.late.eq(measurement.late),
            controller.change_stb.eq(cost_change.change_stb),
            cost_change.stb.eq(measurement.done),
            cost_change.second.eq(controller.second),
            cost_change.total.eq(measurement.total),
        ]

    def _show_words(self, m, array):
        """Connect the words of a slot to their event, with 0 for a lane without a quantity."""
        shown, spec = self.probe_presented.value, self.spec
        if spec.hardware.lanes == 1:
            m.d.comb += shown.eq(array.value)
        for lane in range(spec.hardware.lanes if spec.hardware.lanes > 1 else 0):
            value = array.value[lane]
            m.d.comb += shown[lane].eq(value if lane < spec.layout.last_lanes else Mux(array.sent_slot.last, 0, value))

    def _connect_streams(self, m, blocks):
        """Connect the rounding noise to the block that uses it, and the loaded states to all random streams."""
        host, signs = blocks["host"], blocks["signs"]
        streams = [signs]
        if self.spec.stochastic_bits:
            noise, user = blocks["rounding_noise"], blocks["broadcast" if self.spec.direct_update else "array"]
            m.d.comb += [noise.slot.eq(user.noise_slot), user.noise.eq(noise.o), noise.update.eq(blocks["controller"].update)]
            streams.append(noise)
        load_streams(m, self.spec, host, streams)

    def _connect_host(self, m, *, host, controller, array, cost_change, broadcast, registers, **_):
        """Connect the host port to commands, settings, memories and registers."""
        connect_streams(m, self, host)
        m.d.comb += settings(host, controller, ("train", "stop", "restart", "clear", "count_en"))
        m.d.comb += [
            *gradient_exponent(self.spec, host.exponent, broadcast, array),
            # The host has access to the memories from one cycle after a run to some cycles before the next run's first slot.
            *memory_access(host, array, delayed(m, ~controller.busy, 1, "host_mode", reset_less=False)),
            *register_access(host, array, registers, controller.busy, [controller.starved, controller.timed_out]),
            registers.i_steps.eq(controller.advance),
            registers.i_cycles.eq(delayed(m, controller.busy & ~controller.starved, 1, "cycle", reset_less=False)),
            registers.i_cost0.eq(~cost_change.cost0),
            registers.i_cost1.eq(cost_change.cost1),
            registers.i_cost_change.eq(cost_change.cost_change),
            self.busy.eq(controller.busy),
        ]
        m.d.comb += [getattr(registers, f"i_{name}").eq(getattr(array, name)) for name in array.counts]

    def _connect_probes(self, m, *, controller, sequencer, array, measurement, cost_change, host, registers, **_):
        """Connect the events that :mod:`rtl_gen.probe` describes, and their signatures."""
        presented = array.sent_slot.valid & array.sent_slot.measured
        learned_stb = delayed(m, array.learned_stb, 1, "learned_stb", reset_less=False)
        strobes = {
            "presented": presented,
            "cost": measurement.done,
            "step": delayed(m, cost_change.change_stb, PassSignature.latency, "step_stb", reset_less=False),
            "word": array.word_stb,
            "learned": learned_stb,
        }
        m.d.comb += [
            registers.i_saturated_cost_change.eq(cost_change.change_stb & cost_change.outside),
            registers.i_updates.eq(array.learned_stb & controller.update),
            self.probe_stb.eq(Cat(strobes[event] for event in event_kinds(self.spec))),
            self.probe_presented["pass"].eq(array.sent_slot.second),
            self.probe_cost["pass"].eq(controller.second),
            self.probe_cost.cost.eq(measurement.total),
            self.probe_step.cost_change.eq(cost_change.cost_change),
            self.probe_word.eq(array.word_event),
        ]
        self._show_words(m, array)
        connect_counts(m, self, registers)
        if not self.spec.hardware.signature:
            return
        m.submodules.forward_signature = forward = PassSignature(self.spec)
        m.submodules.learned_signature = learned = Signature(len(Value.cast(self.probe_word)))
        m.d.comb += [
            forward.begin.eq(controller.start & controller.measured),
            forward.second.eq(controller.second),
            forward.stb.eq(presented),
            forward.word.eq(self.probe_presented),
            forward.change_stb.eq(cost_change.change_stb),
            forward.both.eq(controller.both),
            *(getattr(forward, name).eq(getattr(cost_change, name)) for name in ("cost0", "cost1", "cost_change")),
            learned.stb.eq(array.word_stb),
            learned.payload.eq(self.probe_word),
        ]
        for name, signature, shown in (("forward", forward, self.probe_step), ("learned", learned, self.probe_learned)):
            connect_signature(m, name, signature, clear=host.clear, registers=registers, shown=shown)


def learner_core(spec: LearnerSpec) -> LearnerCore:
    """Return the core of a learner."""
    return LearnerCore(spec)
