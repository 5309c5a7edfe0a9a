# amaranth: UnusedElaboratable=no
"""The blocks of a core whose lanes have two multipliers each, where they differ from those of a core with one.

One multiplier applies the errors of the presentation that has ended, the other one measures. The unperturbed pass of the next presentation
does both: each parameter is updated just before its product with the new operand is accumulated. At the end of a run a flushing pass
applies what is pending.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Signal
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.fanout import read_latency
from rtl_gen.indices import has_lists, next_operand
from rtl_gen.presentation.arithmetic import adds_in_multiplier, alignment, applied_shape, measured_shape, update_width
from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.contract import PresentationContract
from rtl_gen.presentation.controller import PresentationController
from rtl_gen.presentation.lane import LaneTiming, MultiplyAdd, NodeLane
from rtl_gen.presentation.layouts import UNPERTURBED, has_full_layers, is_unperturbed, measures
from rtl_gen.presentation.operands import Operands, activation_banks, hidden_operands, multiple
from rtl_gen.presentation.sequencer import PassSequencer
from rtl_gen.slot import by_layer, delayed

__all__ = [
    "JustInTimeArray",
    "JustInTimeContract",
    "JustInTimeController",
    "JustInTimeLane",
    "JustInTimeOperands",
    "JustInTimeSequencer",
    "JustInTimeTiming",
]


class JustInTimeTiming(LaneTiming):
    """Cycles of a lane that applies and measures in one pass: the updated parameter is a factor in the cycle in which it is valid."""

    def _forward(self) -> tuple[int, int]:
        return self.parameter, self.parameter + 2 + 2 * self.pipelined

    @property
    def forward_read(self) -> int:
        """Cycle in which the read address of a forward pass's weight arrives; it takes the way of a parameter that is updated."""
        return self.parameter_read


class JustInTimeLane(NodeLane):
    """A lane of node perturbation with two multipliers.

    The first one multiplies the neuron's error and the operand of the presentation that has ended; the second one the parameter that
    follows and the operand of the present pass. In a pass that applies no errors, the first operand is 0, or the update is not enabled,
    so that the parameter stays.

    Members
    -------
    x_applied : In(applied_shape(spec))
        Raw operand that the errors multiply, valid at cycle ``weight``; 0 in a pass that applies no errors.
    x : In(measured_shape(spec))
        Raw operand of a forward pass, valid at cycle ``operand``.
    """

    timing_class = JustInTimeTiming

    @staticmethod
    def _sum_width(spec: DesignSpec) -> int:
        return update_width(spec)

    @staticmethod
    def _factors(spec: DesignSpec) -> dict[str, Member]:
        flags = {name: In(1) for name in ("accumulates", "corrects", "loads")}
        return {**flags, "x_applied": In(applied_shape(spec)), "x": In(measured_shape(spec))}

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self._accumulate(m)
        return m

    def _accumulate(self, m):
        """Connect the multiplier of the parameters, and the sum of its products."""
        pipelined, timing = self.timing.pipelined, self.timing
        width = self.spec.accumulator_width
        m.submodules.mac = mac = MultiplyAdd(self.parameter.shape(), self.x.shape(), width, pipelined=pipelined)
        assert mac.latency == timing.accumulator - timing.operand
        m.d.comb += [
            mac.a.eq(self.parameter),
            mac.b.eq(self.x),
            mac.c.eq(mac.o & self._near(m, "accumulates").replicate(width).as_signed()),
            self.accumulator.eq(mac.o),
        ]

    def _multiply(self, m, weight, addend):
        """Connect the multiplier of the errors; return its sum."""
        error = Signal.like(self.error, name="error_applied", reset_less=True)
        stored = self._store_error(m)
        with m.If(self._near(m, "loads")):
            m.d.sync += error.eq(stored)
        m.submodules.update_mac = mac = MultiplyAdd(error.shape(), self.x_applied.shape(), self.width, pipelined=self.timing.pipelined)
        assert mac.latency == self.timing.product - self.timing.weight
        m.d.comb += [mac.a.eq(error), mac.b.eq(self.x_applied)]
        if self.fused:
            m.d.comb += mac.c.eq(addend & self._near(m, "corrects").replicate(self.width).as_signed())
        return mac.o


class JustInTimeArray(NodeArray):
    """The lanes with two multipliers each, and their shared control.

    Members
    -------
    x_applied : In(applied_shape(spec))
        Raw operand that the errors multiply, ``Operands.latency`` cycles after ``slot``.
    x : In(measured_shape(spec))
        Raw operand of a forward pass, ``operand_delay`` cycles later than that.
    """

    lane_class = JustInTimeLane

    @property
    def _operands(self):
        return {"x_applied": In(applied_shape(self.spec)), "x": In(measured_shape(self.spec))}

    def _parameter_read(self, m, before):
        read = self.timing.parameter_read
        return (before[read + 1], before[read]), before[read - 1], before[read].bank

    def _is_counted(self, slot):
        # Where the multiplier adds, what does not count has no neuron and becomes 0, and a parameter without an update does not change.
        return slot.real if self.lanes[0].fused else super()._is_counted(slot)

    def _controls(self, slots, registered):
        timing, loading = self.timing, slots[self.timing.weight - 2 - self.timing.far]
        updates, sums = slots[timing.product - 2 - timing.far], slots[timing.accumulator - 2 - timing.far]
        return {
            "x_applied": self.x_applied,
            "x": self.x,
            "error": self.error,
            "loads": registered(loading.first & loading.apply, "loads"),
            "accumulates": registered(~sums.first, "accumulates"),
            "corrects": registered(updates.real, "corrects"),
        }


class JustInTimeOperands(Operands):
    """The operands of a pass that applies and measures: those of the sample before, which the errors multiply, and those of the present.

    Parameters
    ----------
    spec : DesignSpec
        The design whose operands are stored.
    delay : int
        Cycles by which the operand of a forward pass comes later than that of an applying pass.
    late : int
        Cycles by which the activation of a perturbed neuron is used later than it would have to be.

    Members
    -------
    turn : In(1)
        Strobe: an unperturbed pass is going to begin, whose activations must not replace those of the one before.
    hold : In(1)
        Strobe: the present sample and activations are those that the errors will multiply.
    x_applied : Out(applied_shape(spec))
        Raw operand that the errors multiply, ``latency`` cycles after ``slot``; 0 unless the slot applies errors.
    x : Out(measured_shape(spec))
        Raw operand of a forward pass, ``delay`` cycles later than that; 0 unless the slot measures.
    """

    def __init__(self, spec: DesignSpec, *, delay: int, late: int):
        self.delay = delay
        self.late = late
        super().__init__(spec)

    @property
    def _own_ports(self):
        operands = {"x_applied": Out(applied_shape(self.spec)), "x": Out(measured_shape(self.spec))}
        return {**operands, "turn": In(1), "hold": In(1)}

    def elaborate(self, platform):
        self._current = Signal(name="current_bank")
        m = super().elaborate(platform)
        self._take_turns(m)
        return m

    def _take_turns(self, m):
        """Let unperturbed passes take the two banks of their activations in turn."""
        with m.If(self.turn):
            m.d.sync += self._current.eq(~self._current)

    def _bank(self, bank):
        """Number of the memory's bank: one of the two of unperturbed passes, behind those of probes, or before that of incremental ones."""
        if has_full_layers(self.spec):
            return Cat(bank[1] & self._current, ~bank[1])
        return self._current if self.spec.incremental else Cat(bank[0] | (bank[1] & self._current), bank[1])

    def _fetch(self, m, inputs, activations, buffer):
        held, bank = Signal.like(buffer, name="held_buffer"), Signal.like(self._bank(self.ahead.bank), name="held_bank")
        with m.If(self.hold):
            m.d.sync += [held.eq(buffer), bank.eq(self._bank(Const(UNPERTURBED, 2)))]
        others = [m.submodules.inputs.read_port(), m.submodules.activations.read_port() if activations is not None else None]
        self._taken = self._listed(m) if has_lists(self.spec) else ()
        self._fetch_applied(m, *others, held, bank)
        self._fetch_measured(m, inputs, activations, buffer)

    def _read(self, m, slot, ahead, ports, buffer, bank, name):
        """Register of the address of a slot's operand, and for each source its data when it is selected, its slots, and its number."""
        spec, behind = self.spec, read_latency(self.spec.hardware.lanes) - 1
        n_in, hidden, layers, banks = spec.network.n_in, spec.network.n_hidden, len(spec.network.layers), activation_banks(spec)
        address = Signal(range(max(2, spec.sample_buffers * n_in, banks * hidden)), name=f"{name}_address")
        base = Signal.like(address, name=f"{name}_base")
        offsets = [0, *(sum(spec.network.sizes[1:layer]) for layer in range(1, layers))]
        of_inputs, of_hidden = multiple(n_in, buffer, spec.sample_buffers), multiple(hidden, bank, banks)
        m.d.sync += base.eq(Mux(ahead.layer == 0, of_inputs, of_hidden + by_layer(offsets, ahead.layer)))
        sources = []
        for source, port in zip(("input", "activation"), ports, strict=True):
            if port is not None:
                m.d.comb += port.addr.eq(address)
                sources.append(delayed(m, port.data, behind, f"{name}_{source}"))
        found = [(sources[0], slot.layer == 0, 0)]
        if len(sources) > 1:  # activations are stored as their complements
            found += [(~sources[1], when, which) for _, when, which in hidden_operands(spec, slot.layer)]
        return address, base, found

    def _fetch_applied(self, m, inputs, activations, buffer, bank):
        """Read the operand that the errors multiply, and align it."""
        spec, slot = self.spec, self.slot
        address, base, sources = self._read(m, slot, self.ahead, (inputs, activations), buffer, bank, "applied")
        following = Mux(slot.first, base, address + 1)
        if self._taken:
            following = next_operand(spec, address, base, slot.first, *self._taken)
        with m.If(slot.real):
            m.d.sync += address.eq(following)
        works, subtracts, terms = slot.real & slot.apply, Const(0, 1), []
        if adds_in_multiplier(spec):
            works, subtracts = works & self.update, works
        for number, (data, here, which) in enumerate(sources):
            one, places = Const(1 << spec.operand_format(which).fraction_bits), alignment(spec)[which]
            terms += [
                (data << places, self._stage(m, works & here & ~slot.first, f"applied{number}")),
                (one << places, self._stage(m, works & here & slot.first, f"applied_bias{number}")),
            ]
        self._choose(m, self.x_applied, terms, self._stage(m, subtracts, "subtracted"), Const(0, 1), "applied_")

    def _fetch_measured(self, m, inputs, activations, buffer):
        """Read the operand of a forward pass; in incremental probes, it is the change of an activation."""
        spec = self.spec
        slot, ahead = delayed(m, self.slot, self.delay, "measured_slot"), delayed(m, self.ahead, self.delay, "measured_ahead")
        full_layers = has_full_layers(spec)
        probing = slot.single if full_layers else ~is_unperturbed(slot.bank) if spec.incremental else Const(0, 1)
        address, base, sources = self._read(m, slot, ahead, (inputs, activations), buffer, self._bank(ahead.bank), "measured")
        following = Mux(slot.first, base, address + 1)
        if self._taken:
            taken = (delayed(m, each, self.delay, f"measured_{name}") for name, each in zip(("listed", "index"), self._taken, strict=True))
            following = next_operand(spec, address, base, slot.first, *taken)
        with m.If(slot.real & ~probing):
            m.d.sync += address.eq(following)
        works, terms = slot.real & measures(spec, slot) & ~probing, []
        for number, (data, here, which) in enumerate(sources):
            one = Const(1 << spec.operand_format(which).fraction_bits)
            terms += [
                (data, self._stage(m, works & here & ~slot.first, f"measured{number}")),
                (one, self._stage(m, works & here & slot.first, f"measured_bias{number}")),
            ]
        negates, addend = Const(0, 1), Const(0, 1)
        if spec.incremental:
            column, moving = (delayed(m, each, self.delay, "replayed") for each in (self.column, self.moves))
            moves, held = moving if full_layers else Signal(), Signal.like(self.x, name="held")
            replayed = None if full_layers else delayed(m, self.replay, self.delay, "replay_late", reset_less=False)
            with m.If(ahead.real & ahead.single if full_layers else replayed):
                m.d.sync += address.eq(column + multiple(spec.network.n_hidden, self._current, 2))
                if not full_layers:
                    m.d.sync += moves.eq(moving)
            begins, follows = (self._stage(m, slot.real & probing & each, "probe") for each in (slot.begin, ~slot.begin))
            negates = slot.real & probing & slot.begin & moves
            terms += [(sources[1][0], self._stage(m, negates, "old")), (held, follows)]
            addend = self._moved(m, delayed(m, self._stage(m, negates, "new"), 1, "new_added"), self.late)
            with m.If(delayed(m, begins, 2, "probe_prepared")):
                m.d.sync += held.eq(self.x)
        self._choose(m, self.x, terms, self._stage(m, negates, "negative"), addend, "measured_")

    def _stage(self, m, value, name):
        """The value when the operand is selected; it comes from a register of its own."""
        return delayed(m, value, read_latency(self.spec.hardware.lanes), f"x_{name}")


class JustInTimeSequencer(PassSequencer):
    """Issues also the passes that apply the errors of a presentation and measure the next one.

    Parameters
    ----------
    written : int
        Least number of cycles from a slot that updates a parameter to one that reads it.

    Members
    -------
    measure : In(1)
        The requested pass measures, whether or not it applies errors as well.
    """

    kinds = (*PassSequencer.kinds, "measure")

    def __init__(self, spec: DesignSpec, *, depth: int, error_cycles: int, written: int, error_pace: int = 1):
        self.written = written
        super().__init__(spec, depth=depth, error_cycles=error_cycles, error_pace=error_pace)

    def _both(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of a layer in a pass that applies and measures, and of its last group."""
        (inner, tail), applying = self._forward(layer), self._apply(layer)
        last = self._placed[-1]
        inner, tail = self._spaced(layer, inner), self._spaced(layer, tail)
        waits = 0
        if layer == len(self._placed) - 1 and not self.spec.incremental:  # whose probes wait for the last neuron
            waits = max(0, self.written - (last.groups - 1) * last.group_slots - tail)
        if layer == len(self._placed) - 1 and self.spec.hardware.single_port:
            # What follows may begin at any word, so it reads only after the last one is written.
            waits = max(waits, last.group_words + self.written - tail)
        return max(inner, applying[0]), max(tail + waits, applying[1])

    def _unperturbed(self, layer: int, *, opens: bool = False) -> tuple[int, int]:
        return self._forward(layer) if opens else self._both(layer)

    def _end(self, m, begins, before_last, apply, forward):
        self._measuring = measure = Signal(name="measuring")
        with m.If(begins):
            m.d.sync += measure.eq(self.measure)
        return Mux(apply, Mux(measure, before_last("both"), before_last("apply")), forward)

    def _mark(self, m, counted):
        m.d.sync += counted.measure.eq(self._measuring)

    def _rows(self):
        return {**super()._rows(), "both": self._both}


class JustInTimeController(PresentationController):
    """Runs presentations whose errors are applied in the unperturbed pass of the next one, or at the end of a run in a flushing pass.

    The errors of a presentation that is complete are pending until such a pass begins, also while the core waits for a sample.

    Members
    -------
    measure : Out(1)
        The requested pass measures.
    turn, hold : Out(1)
        Strobes: an unperturbed pass is going to begin; and the errors of a presentation are pending, with its sample and activations.
    """

    own = ("measure", "turn", "hold")

    def elaborate(self, platform):
        self._pending = Signal(name="pending")
        return super().elaborate(platform)

    def _applies(self, run):
        return [self.apply.eq(run.apply | (run.begin & self._pending)), self.measure.eq(~run.apply)]

    def _update_due(self, m, applies):
        due = Signal(name="update_due")
        with m.If(applies):  # the next presentation decides anew before the pass that applies the errors has ended
            m.d.sync += self.update.eq(due)
        return due

    def _clears(self, begins):
        return begins & ~self._pending  # errors that are pending are cleared when they are cast

    def _follow(self, m, run, *, ends, applies, taking, **moments):
        super()._follow(m, run, ends=ends, applies=applies, taking=taking, **moments)
        self._keep_pending(m, run, applies, taking)
        # Errors that are there wait for the next sample, and are applied alone where the run ends before.
        over = run.await_sample & ends
        m.d.sync += [
            run.settle.eq(moments["starts"] | run.count | (run.applied & self.learned_stb) | applies),
            run.apply.eq((over & self._pending) | (run.apply & ~self.started)),
            run.finish.eq((over & ~self._pending) | moments["rests"]),
        ]

    def _keep_pending(self, m, run, applies, taking):
        """Keep whether errors are pending: from ``applies`` on, until a pass begins that applies them."""
        m.d.sync += [
            self._pending.eq(applies | (self._pending & ~(self.apply & self.started))),
            self.hold.eq(applies),
            self.turn.eq(taking),
        ]


class JustInTimeContract(PresentationContract):
    """Clock cycles of a core whose unperturbed passes apply the errors of the presentation before."""

    @property
    def apply_cycles(self) -> int:
        """Cycles of a presentation in which the lanes only apply errors."""
        return 0

    @property
    def flush_cycles(self) -> int:
        """Cycles of the flushing pass, which applies the errors of a run's last presentation."""
        return self._applied_cycles + 1

    def table(self) -> dict[str, float]:
        """The contract as plain data for the manifest."""
        return {**super().table(), "flush_cycles": self.flush_cycles}

    @property
    def _also(self) -> str:
        return "; applies the errors of the presentation before"

    @property
    def _applying_row(self) -> tuple[str, float, str]:
        return "flushing pass", self.flush_cycles, "once in a run: errors of its last presentation times inputs, and the update"

    def applied(self, total: int) -> tuple[str, int, int]:
        """Return what applies errors in a presentation of ``total`` cycles, its first cycle and the number of its cycles."""
        first, cycles = self.unperturbed_layers()[-1]
        return "the presentation before: errors times inputs", 0, first + cycles

    def next_start(self, errors: int) -> int:
        """Cycle of the next unperturbed pass, if the errors of the first group are in the lanes in the cycle before ``errors``."""
        return errors + 1  # the controller settles what is due, and awaits the sample
