"""A lane of node perturbation: its memories, its multiply-accumulate, and the update of each synapse from its neuron's error."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Overflow, Rounding
from rtl_gen.fanout import are_far, fanout_latency, read_latency
from rtl_gen.fixed import limit, round_value
from rtl_gen.lane import CAST_CYCLES, BaseLane, stage_of
from rtl_gen.presentation.arithmetic import adds_in_multiplier, dropped_bits, largest_update, operand_shape, sum_width
from rtl_gen.probe import shape_of
from rtl_gen.product import Product
from rtl_gen.slot import delayed

__all__ = ["LaneTiming", "MultiplyAdd", "NodeLane"]


class MultiplyAdd(wiring.Component):
    """o = c + a·b with a register for the product and one for the sum, which is one UP5K DSP block without further logic.

    It is a module of its own, so that synthesis maps it as a whole. Beyond the 32 bits that a DSP block adds, only the product is one.
    All factors must come from registers; ``c`` is needed one cycle before ``o``.

    Parameters
    ----------
    a, b : Shape
        Shapes of the two signed factors.
    width : int
        Width of the signed ``c`` and ``o``, in bits.
    pipelined : bool
        Whether the factors are registered before the product, and the product once more before the sum.

    Attributes
    ----------
    latency : int
        Cycles from the factors ``a`` and ``b`` to ``o``.
    """

    WIDEST = 32
    """Widest sum, in bits, that one UP5K DSP block adds."""

    def __init__(self, a, b, width: int, *, pipelined: bool = False):
        self.pipelined = pipelined
        self.latency = 2 + 2 * pipelined
        super().__init__({"a": In(a), "b": In(b), "c": In(signed(width)), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = Product(self.a.shape(), self.b.shape(), pipelined=self.pipelined)
        total = Signal.like(self.o, name="total", reset_less=True)
        m.d.comb += [product.a.eq(self.a), product.b.eq(self.b), self.o.eq(total)]
        m.d.sync += total.eq(self.c + delayed(m, product.o, int(self.pipelined), "product_held"))
        return m


class LaneTiming:
    """Cycles of a lane's pipeline, in which shared signals arrive at the lanes, counted from the slot at the array.

    Attributes
    ----------
    far : bool
        Whether the lanes are so many that there are two fan-out stages, and that each lane has registers of its own for what many of its
        bits read.
    pipelined : bool
        Whether there are fan-out stages at all, and with them more registers in the multipliers.
    fanout, read : int
        Latency of the fan-out stages, and that of a memory read.
    weight : int
        Cycle in which the weight, or in an applying pass the error, is at the multiplier, and the operand as well.
    product : int
        Cycle in which the sum behind that multiplier includes the slot's product.
    operand : int
        Cycle in which the operand of a forward pass is at its multiplier.
    accumulator : int
        Cycle in which the accumulator includes the slot's product.
    gradient : int
        Cycle in which the accumulated G is valid and written.
    state : dict of str to int
        Cycle in which the updated value of each state variable of the optimiser is valid and written, by name.
    update : int
        Cycle in which u is valid, and with it the old parameter that was read.
    noise : dict of str to int
        Cycle in which each stochastic cast needs its rounding noise, by the name of its port.
    parameter : int
        Cycle in which the updated θ is valid and, unless there is a :attr:`write_delay`, written.
    single_port : bool
        Whether the parameters are in memories with one port.
    """

    def __init__(self, spec: DesignSpec):
        stage, lanes = stage_of(spec), spec.hardware.lanes
        self.far, self.pipelined = are_far(lanes), fanout_latency(lanes) > 0
        self.fanout, self.read = fanout_latency(lanes) + self.far, read_latency(lanes)
        self.single_port = spec.parameter_banks
        self.weight = self.fanout + self.read + 2
        self.product = self.weight + 2 + 2 * self.pipelined
        self.gradient = self.product + CAST_CYCLES + 2
        self.state = {variable.name: self.gradient + stage.valid[variable.name] for variable in spec.optimizer_state}
        if adds_in_multiplier(spec):
            # The old parameter is the addend of the sum; it is read into a register, and kept for the comparison with the new one.
            self.update, self.parameter = self.product - 2, self.product + 1
            self.noise = {"update_noise": self.product - 1}
        else:
            source = self.product if spec.direct_update else self.gradient + stage.cycles
            self.update = source + CAST_CYCLES
            self.parameter = self.update + 2
            self.noise = {f"{name}_noise": cycle - CAST_CYCLES for name, cycle in (("update", self.update), *self.state.items())}
        self.operand, self.accumulator = self._forward()

    def _forward(self) -> tuple[int, int]:
        """Cycles in which a forward pass has its operand at the multiplier, and its product in the accumulator."""
        return self.weight, self.product

    @property
    def forward_read(self) -> int:
        """Cycle in which the read address of a forward pass's weight arrives."""
        return self.weight - 1 - self.read

    @property
    def operand_delay(self) -> int:
        """Cycles by which the operand of a forward pass comes later than that of an applying pass."""
        return self.operand - self.weight

    @property
    def read_delay(self) -> int:
        """Cycles by which a probe reads its weights later than its operands would allow."""
        return self.forward_read - (self.weight - 1 - self.read)

    @property
    def parameter_read(self) -> int:
        """Cycle in which the read address of an applying pass's old parameter arrives."""
        return self.update - self.read

    @property
    def write_delay(self) -> int:
        """Cycles by which a parameter is written later than it is valid: so many that those from its read are odd in number, if its memory
        has one port."""
        return (self.parameter - self.parameter_read + 1) % 2 if self.single_port else 0

    @property
    def gradient_read(self) -> int:
        """Cycle in which the gradient's read address arrives, so that the old G comes together with g."""
        return self.product + CAST_CYCLES - self.read

    @property
    def state_read(self) -> int:
        """Cycle in which the read address of the optimiser's state arrives, so that the old value comes together with G."""
        return self.gradient - self.read


class NodeLane(BaseLane):
    """One lane of node perturbation, with its memories and its multiply-accumulate.

    In a forward pass it multiplies its weight and the operand, and accumulates; in an applying pass it multiplies its neuron's error and
    the operand, and updates the parameter. The cycles that the members name are those of :class:`LaneTiming`.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.

    Members
    -------
    x : In(operand_shape(spec))
        Raw operand, valid at cycle ``weight``; in an applying pass of designs that add in the multiplier its aligned negative.
    accumulates, corrects : In(1)
        The sum continues, or in an applying pass the parameter is the addend; with neither, the sum starts anew; valid one cycle before
        ``accumulator``.
    applies : In(1)
        The multiplier keeps its error; valid at cycle ``weight`` − 1, as the next one.
    loads : In(1)
        The multiplier takes the lane's error.
    error, error_en : In, In(1)
        Raw error, and a strobe that stores it for the next group.
    silent, found : In(1), Out
        In host mode, in designs that add in the multiplier: the host reads another lane; and the parameter that was read, 0 if ``silent``.
    accumulator : Out(signed)
        Sum of the products, including the slot's from cycle ``accumulator`` on.
    changed : Out(1)
        As in :class:`~rtl_gen.lane.BaseLane`, but ``change_latency`` cycles after the parameter.

    Attributes
    ----------
    change_latency : int
        Cycles from a parameter until it is known whether it changes.
    """

    timing_class: ClassVar[type[LaneTiming]] = LaneTiming

    def __init__(self, spec: DesignSpec):
        self.timing = self.timing_class(spec)
        self.fused = adds_in_multiplier(spec)
        self.change_latency = 2 * self.fused
        self.width = self._sum_width(spec)
        ports = {**self._factors(spec), "error_en": In(1), "error": In(shape_of(spec.error_format))}
        if spec.stochastic_bits:
            ports |= {name: In(spec.stochastic_bits) for name in self.timing.noise}
        if self.fused:
            ports |= {"silent": In(1), "found": Out(shape_of(spec.formats.weight))}
        else:
            ports |= {"update_en": In(1), "update_outside": Out(1)}
        super().__init__(spec, ports)

    @staticmethod
    def _sum_width(spec: DesignSpec) -> int:
        """Width of the sum behind the multiplier that applies the errors, in bits."""
        return sum_width(spec)

    @staticmethod
    def _factors(spec: DesignSpec) -> dict[str, Member]:
        """Ports of the operands and of what the multipliers do with them."""
        return {**{name: In(1) for name in ("accumulates", "corrects", "applies", "loads")}, "x": In(operand_shape(spec))}

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        read = self._memory(m, "parameter", self.parameter, self.parameter_read, self.parameter_write, self.parameter_en)
        if self.fused:
            total = self._multiply(m, read, self._addend(m, read))
            self._replace(m, total)
            return m
        total = self._multiply(m, read, Const(0, signed(self.width)))
        fraction = spec.error_format.fraction_bits + max(spec.operand_format(n).fraction_bits for n in range(len(spec.network.layers)))
        if spec.direct_update:
            self._cast_update(m, read, total, fraction)
        else:
            self._sum(m, total, fraction)
            self._cast_update(m, read, stage_of(spec).build(self, m), spec.update_source_format.fraction_bits)
        return m

    @property
    def write_delay(self) -> int:
        """See :class:`~rtl_gen.lane.BaseLane`."""
        return self.timing.write_delay

    def outside(self, parameter) -> Value:
        """See :class:`~rtl_gen.lane.BaseLane`. The range of the parameters is that of their format."""
        return parameter[-1] ^ parameter[-2]

    def _multiply(self, m, weight, addend):
        """Connect the multiply-accumulate; return its sum."""
        a = Signal(signed(max(self.spec.formats.weight.width, self.spec.error_format.width)), reset_less=True)
        stored = self._store_error(m)
        loads, applies = self._near(m, "loads"), self._near(m, "applies")
        with m.If(loads | ~applies):
            m.d.sync += a.eq(Mux(applies, stored, weight))
        m.submodules.mac = mac = MultiplyAdd(a.shape(), self.x.shape(), self.width, pipelined=self.timing.pipelined)
        assert mac.latency == self.timing.product - self.timing.weight
        accumulates, corrects = (self._near(m, name).replicate(self.width) for name in ("accumulates", "corrects"))
        carried = mac.o & accumulates.as_signed()
        m.d.comb += [
            mac.a.eq(a),
            mac.b.eq(self.x),
            mac.c.eq(carried if isinstance(addend, Const) else carried | (addend & corrects.as_signed())),
            self.accumulator.eq(mac.o),
        ]
        return mac.o

    def _near(self, m, name):
        """A port of the lane, which comes a cycle earlier if the lane keeps it in a register of its own, as one of many lanes does."""
        return delayed(m, getattr(self, name), int(self.timing.far), f"{name}_near")

    def _store_error(self, m):
        """The error of the lane's neuron in the next group."""
        stored = Signal.like(self.error, name="error_stored", reset_less=True)
        with m.If(self.error_en):
            m.d.sync += stored.eq(self.error)
        return stored

    def _addend(self, m, old):
        """θ·2^k + 2^k − 1 − r, from which err·x is subtracted: without its low k bits, the result is θ − ⌊err·x + r⌋."""
        spec, places = self.spec, dropped_bits(self.spec)
        self._old = Signal(shape_of(spec.formats.weight), name="old", reset_less=True)
        m.d.sync += self._old.eq(old)
        with m.If(self.silent):
            m.d.sync += self._old.eq(0)
        m.d.comb += self.found.eq(self._old)
        match spec.formats.weight_cast.rounding:
            case Rounding.STOCHASTIC:
                low = ~self._near(m, "update_noise")[:places] if spec.stochastic_bits else Const(0, 0)
            case Rounding.FLOOR:
                low = Const((1 << places) - 1, places)
            case Rounding.HALF_UP:
                low = Const((1 << places) - 1 - (1 << places - 1 if places else 0), places)
            case _:
                raise ValueError("Rounding must be one that adds_in_multiplier accepts")
        extended = Signal(signed(self.width))
        m.d.comb += extended.eq(Cat(low, self._old).as_signed())
        return extended

    def _replace(self, m, total):
        """Limit the new parameter to its range, and write it."""
        spec, places = self.spec, dropped_bits(self.spec)
        limited, outside = limit(total.shift_right(places), spec.formats.weight, Overflow.SATURATE)
        # Only the bits that the largest update reaches are compared, two at a time.
        compared = min(len(self.parameter), largest_update(spec).bit_length())
        before, differs = delayed(m, self._old[:compared], 2, "before"), Signal(-(-compared // 2))
        counted = delayed(m, self.counted, 1, "counted")
        shown = (self.parameter, self.weight_outside, self.changed)
        register, weight_outside, changed = shown
        if self.timing.far:  # a reset would have wires to all lanes, and lasts until what is in these registers has left them
            kept = [Signal.like(each, name=f"{each.name}_kept", reset_less=True) for each in shown]
            register, weight_outside, changed = kept
            differs = Signal.like(differs, reset_less=True)
            m.d.comb += [each.eq(register) for each, register in zip(shown, kept, strict=True)]
        m.d.sync += register.eq(limited.as_unsigned() ^ self.host_word[: len(register)])
        with m.If(~counted & ~self.host_mode):  # there is no neuron
            m.d.sync += register.eq(0)
        m.d.sync += [
            weight_outside.eq(counted & outside),
            # The register is compared, since the limits would take logic of their own without it; and in two cycles.
            differs.eq(Cat((register[:compared][first : first + 2] != before[first : first + 2]) for first in range(0, compared, 2))),
            changed.eq(delayed(m, counted, 2, "counted_before") & differs.any()),
        ]

    def _sum(self, m, total, fraction):
        """G ← saturate(G + cast_gradient(err·x)), valid at cycle ``gradient``; an update clears it in the memory."""
        spec = self.spec
        form, cast = spec.gradient_format, spec.formats.gradient_cast
        rounded_value = round_value(total, fraction - form.fraction_bits, cast.rounding)
        rounded = Signal(rounded_value.shape(), name="g_rounded", reset_less=True)
        limited, outside = limit(rounded, form, cast.overflow)
        g, g_outside = Signal(shape_of(form), reset_less=True), Signal(reset_less=True)
        m.d.sync += [rounded.eq(rounded_value), g.eq(limited), g_outside.eq(outside)]
        added = Signal(signed(form.width + 1), reset_less=True)
        m.d.sync += added.eq(self._old_gradient(m) + g)
        kept, beyond = limit(added, form, Overflow.SATURATE)
        with m.If(self.host_mode):
            m.d.sync += added.eq(0)
        m.d.sync += [
            self.gradient.eq(kept.as_unsigned() ^ self.host_word[: len(self.gradient)]),
            self.gradient_outside.eq(beyond | delayed(m, g_outside, 1, "g_outside")),
        ]
