"""A lane: its memories, the just-in-time correlation and update of each synapse as it is read, and the accumulator.

Every lane does the same in the same cycle; what that is, the array's control says once for all of them.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.number import Overflow
from python_ref.spec.optimizer import Momentum, Sgd
from rtl_gen.broadcast import operand_shape
from rtl_gen.fanout import fanout_latency, read_latency
from rtl_gen.fixed import limit, plus_or_minus, round_value, shift
from rtl_gen.probe import shape_of
from rtl_gen.product import Product
from rtl_gen.slot import NO_READ_WRITE_CHECK, delayed

__all__ = ["Lane", "LaneTiming", "MultiplyAccumulate"]


class MultiplyAccumulate(wiring.Component):
    """o ← load ? c : o + a·b, with registers for the product and c: one UP5K DSP and no logic around it.

    A block of its own, so that synthesis finds it whole. Beyond 32 bits, what a DSP accumulates, only the product is
    one. No part has to multiply and add in one cycle, so that a DSP which only multiplies is as fast. ``load`` is
    taken a cycle after ``a``, ``b`` and ``c``; all come from registers, and wait with them.

    Parameters
    ----------
    a, b : Shape
        Of the factors; ``a`` signed.
    width : int
        Of ``c`` and ``o``, signed.
    far : bool
        Whether the factors come from afar, and are held before they are multiplied; and the product once more on its way to the sum.

    Attributes
    ----------
    latency : int
        Cycles from ``a`` to ``o``.
    """

    WIDEST = 32

    def __init__(self, a, b, width: int, *, pipelined: bool = False):
        self.width = width
        self.pipelined = pipelined
        self.latency = 2 + 2 * pipelined
        super().__init__({"a": In(a), "b": In(b), "c": In(signed(width)), "load": In(1), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = Product(self.a.shape(), self.b.shape(), pipelined=self.pipelined)
        m.d.comb += [product.a.eq(self.a), product.b.eq(self.b)]
        c = Signal.like(self.c, name="c_registered", reset_less=True)
        total = Signal(signed(self.width), reset_less=True)
        held, load = (delayed(m, each, 2 * self.pipelined, name) for name, each in (("c_held", self.c), ("load_held", self.load)))
        near = delayed(m, product.o, int(self.pipelined), "product_held")
        m.d.sync += [c.eq(held), total.eq(Mux(load, c, total + near))]
        m.d.comb += self.o.eq(total)
        return m


class LaneTiming:
    """Cycles of a lane's pipeline, counted from the cycle before the array has the broadcast.

    Attributes
    ----------
    reach : int
        All that the array tells the lanes, they hear so much later.
    read : int
        A word read, from its address on: as many registers stand behind a memory as before a lane.
    gradient : int
        G, accumulated, is valid.
    momentum : int
        m, updated, is valid.
    update : int
        u is valid (with the parameter read beside it).
    parameter : int
        θ, updated, is valid: it is written.
    weight : int
        The weight, θ or in weight perturbation θ + sΔ, goes to the multiplier.
    accumulator : int
        The accumulator holds the slot's product.
    """

    def __init__(self, spec: DesignSpec):
        momentum = spec.momentum is not None
        self.fanout = fanout_latency(spec.hardware.lanes)
        self.read = read_latency(spec.hardware.lanes)
        self.gradient = self.fanout + 3
        self.momentum = self.fanout + 6
        self.update = self.fanout + (1 if spec.direct_update else 8 if momentum else 5)
        self.parameter = self.update + 2
        self.weight = self.parameter if spec.node else self.parameter + 1
        self.accumulator = self.weight + 2 + 2 * self.fanout

    @property
    def parameter_read(self) -> int:
        """When the parameter's read address stands."""
        return self.update - self.read

    @property
    def gradient_read(self) -> int:
        """When the gradient's read address stands."""
        return self.fanout + 1 - self.read

    @property
    def momentum_read(self) -> int:
        """When the momentum's read address stands."""
        return self.gradient - self.read


class Lane(wiring.Component):
    """One lane.

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    All times are those of :class:`LaneTiming`; ``host_*`` serve the host while the core is idle, in host mode: its word is what every
    memory is given to write, two cycles later. Otherwise the word is 0.

    u : In
        The update, at ``update`` (without a gradient memory; 0 where nothing is updated).
    g : In
        The broadcast, at 1 (otherwise).
    negative, active : In(1)
        The replayed sign, at 1.
    live_negative, live_active : In(1)
        The live sign with its direction, at ``parameter``; inactive where nothing is perturbed (weight perturbation).
    load : In(1)
        The slot is a bias. A cycle after ``weight``.
    hidden : In(1)
        Its layer reads activations, not inputs. At ``weight``.
    x : In
        The operand, at ``weight``.
    accumulator : Out
        At ``accumulator``.
    parameter, gradient, momentum : Out
        θ, G before it is cleared, and m, each when valid.
    counted : In(1)
        The parameter is written, and a neuron's. At ``update``.
    weight_outside, changed : Out(1)
        A parameter that is counted was out of range, or changes; with the parameter.
    *_outside : Out(1)
        Other casts that were out of range, each with its value.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.timing = LaneTiming(spec)
        if type(spec.optimizer) not in (Sgd, Momentum):
            raise unknown("Optimizer", spec.optimizer, "rtl_gen.lane.Lane")
        self.momentum_built = spec.momentum is not None
        weight = shape_of(spec.formats.weight)
        words = range(max(2, spec.layout.words))
        ports = {
            "negative": In(1),
            "active": In(1),
            "load": In(1),
            "hidden": In(1),
            "x": In(operand_shape(spec)),
            "accumulator": Out(signed(spec.accumulator_width)),
            "parameter": Out(weight),
            "counted": In(1),
            "weight_outside": Out(1),
            "changed": Out(1),
            "parameter_read": In(words),
            "parameter_write": In(words),
            "parameter_en": In(1),
            "host_mode": In(1),
            "host_word": In(32),
            "host_parameter": Out(weight),
        }
        if not spec.node:
            ports |= {"live_negative": In(1), "live_active": In(1)}
        if spec.direct_update:
            ports |= {"u": In(weight)}
        else:
            gradient = shape_of(spec.gradient_format)
            ports |= {
                "g": In(gradient),
                "gradient": Out(gradient),
                "gradient_outside": Out(1),
                "update_outside": Out(1),
                "update_en": In(1),
            }
            if spec.stochastic_bits:
                ports |= {"update_noise": In(spec.stochastic_bits)}
        if spec.gradient_memory:
            ports |= {
                "gradient_read": In(words),
                "gradient_write": In(words),
                "gradient_en": In(1),
                "gradient_clear": In(1),
                "host_gradient": Out(gradient),
            }
        if self.momentum_built:
            ports |= {
                "momentum_read": In(words),
                "momentum_write": In(words),
                "momentum_en": In(1),
                "momentum": Out(shape_of(spec.momentum_format)),
                "momentum_outside": Out(1),
                "host_momentum": Out(shape_of(spec.momentum_format)),
            }
            if spec.stochastic_bits:
                ports |= {"momentum_noise": In(spec.stochastic_bits)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        read = self._memory(m, "parameter", self.parameter, self.parameter_read, self.parameter_write, self.parameter_en)
        if spec.direct_update:
            # θ − s·u
            self._update(m, read, self.u, ~self.negative, self.active)
        else:
            source, rounding, overflow = self.gradient, spec.formats.weight_cast.rounding, spec.formats.weight_cast.overflow
            self._correlate(m)
            if self.momentum_built:
                self._decay(m)
                source = self.momentum
            dropped = spec.update_source_format.fraction_bits - spec.formats.weight.fraction_bits
            rounded_value = round_value(source, dropped, rounding, self.update_noise if spec.stochastic_bits else 0)
            rounded = Signal(rounded_value.shape(), reset_less=True)
            m.d.sync += rounded.eq(rounded_value)
            limited, outside = limit(rounded, spec.update_format, overflow)
            # Its inverse is held: the adder takes it as it is.
            inverse = Signal(shape_of(spec.update_format), reset_less=True)
            m.d.sync += [inverse.eq(~Mux(self.update_en, limited, 0)), self.update_outside.eq(outside)]
            self._update(m, read, ~inverse, Const(1, 1), Const(1, 1))
        self._perturb(m)
        return m

    def _memory(self, m, name, value, read_address, write_address, enable):
        """A memory of the lane, one word per slot that is not padding; the read value."""
        m.submodules[f"{name}s"] = store = memory.Memory(
            shape=value.shape(), depth=max(2, self.spec.layout.words), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        m.d.comb += [
            read.addr.eq(read_address),
            write.addr.eq(write_address),
            write.data.eq(value),
            write.en.eq(enable),
        ]
        found = delayed(m, read.data, self.timing.read - 1, f"{name}_found")
        m.d.comb += getattr(self, f"host_{name}").eq(found)
        return found

    def _hold(self, m, name, value, narrowed, outside):
        """The register from which a memory is written takes what ``value`` is narrowed to. In host mode the value is 0, and the host's
        word takes that way too: it costs no place of a multiplexer."""
        register = getattr(self, name)
        with m.If(self.host_mode):
            m.d.sync += value.eq(0)
        m.d.sync += register.eq(narrowed.as_unsigned() ^ self.host_word[: len(register)])
        if f"{name}_outside" in self.signature.members:
            m.d.sync += getattr(self, f"{name}_outside").eq(outside)

    def _correlate(self, m):
        """G ← saturate(G + s·g), valid at ``gradient``; cleared in memory by an update."""
        spec = self.spec
        old = Const(0, signed(1))
        if spec.gradient_memory:
            cleared = Signal.like(self.gradient)
            m.d.comb += cleared.eq(Mux(self.gradient_clear, 0, self.gradient))
            old = self._memory(m, "gradient", cleared, self.gradient_read, self.gradient_write, self.gradient_en)
        total = Signal(signed(len(self.g) + 1), reset_less=True)
        m.d.sync += total.eq(plus_or_minus(old, self.g, self.negative, self.active))
        self._hold(m, "gradient", total, *limit(total, spec.gradient_format, Overflow.SATURATE))

    def _decay(self, m):
        """m ← cast_m(m − m·2⁻ᵏ + G), valid at ``momentum``."""
        spec, k = self.spec, self.spec.optimizer.k
        exact, target = spec.momentum_sum_format, spec.momentum_format
        old = self._memory(m, "momentum", self.momentum, self.momentum_read, self.momentum_write, self.momentum_en)
        kept = shift(old, exact.fraction_bits - target.fraction_bits) - shift(old, exact.fraction_bits - target.fraction_bits - k)
        total = Signal(shape_of(exact), reset_less=True)
        m.d.sync += total.eq(kept + shift(self.gradient, exact.fraction_bits - spec.gradient_format.fraction_bits))
        dropped = exact.fraction_bits - target.fraction_bits
        rounded_value = round_value(total, dropped, spec.optimizer.rounding, self.momentum_noise if spec.stochastic_bits else 0)
        rounded = Signal(rounded_value.shape(), reset_less=True)
        m.d.sync += rounded.eq(rounded_value)
        self._hold(m, "momentum", rounded, *limit(rounded, target, spec.optimizer.overflow))

    def _update(self, m, old, u, minus, active):
        """θ ← saturate(θ ± u), valid at ``parameter``."""
        spec = self.spec
        low, high = spec.parameter_limits
        difference = Signal(signed(len(old) + 1), reset_less=True)
        nonzero, counted = Signal(reset_less=True), Signal(reset_less=True)
        # Whether θ is at a limit, three places at a time: both limits are one, since the low one is the other's complement.
        magnitude = old[:-1] ^ old[-1].replicate(len(old) - 1)
        at_limit = Signal(-(-len(magnitude) // 3), reset_less=True)
        m.d.sync += [
            difference.eq(plus_or_minus(old, u, minus, active)),
            at_limit.eq(Cat(magnitude[first : first + 3] == (high >> first & 7) for first in range(0, len(magnitude), 3))),
            counted.eq(self.counted & active),
            nonzero.eq(u.any()),
        ]
        # The margin is a power of two, or nothing: only the places above it are compared.
        places = spec.formats.weight.fraction_bits + spec.perturbation.amplitude_log2 if not spec.node else 0
        outside = Signal()
        if spec.node:
            m.d.comb += outside.eq(difference[-1] ^ difference[-2])
        else:
            above = shift(difference, -places)
            m.d.comb += outside.eq((above >= (high + 1) >> places) | (above < low >> places))
        limited = Mux(outside, Mux(difference[-1], low, high), difference)[: len(old)]
        self._hold(m, "parameter", difference, limited, outside)
        m.d.sync += [
            self.weight_outside.eq(counted & outside),
            # What moves, changes, but for what is pushed against the limit where it stands.
            self.changed.eq(counted & nonzero & ~(outside & at_limit.all())),
        ]

    def _perturb(self, m):
        """Weight and preload of the multiplier: θ, or θ + sΔ, as it is and as the bias in its place."""
        spec = self.spec
        weight = spec.formats.weight
        m.submodules.mac = mac = MultiplyAccumulate(
            shape_of(weight), self.x.shape(), spec.accumulator_width, pipelined=self.timing.fanout > 0
        )
        assert mac.latency == self.timing.accumulator - self.timing.weight
        a = Signal(shape_of(weight), reset_less=True)
        if spec.node:
            m.d.comb += a.eq(self.parameter)
        else:
            place = weight.fraction_bits + spec.perturbation.amplitude_log2
            one = Const(1, signed(2))
            moved = plus_or_minus(self.parameter.shift_right(place), one, self.live_negative, self.live_active)
            m.d.sync += a.eq(Cat(self.parameter[:place], moved))
        fractions = spec.formats.input.fraction_bits, spec.formats.activation.fraction_bits
        preload = Mux(self.hidden, shift(a, fractions[1]), shift(a, fractions[0]))
        # An operator's result, so that no constant bit reaches into the block, where it would break up the DSP.
        m.d.comb += mac.c.eq(preload | Const(0, signed(spec.accumulator_width)))
        m.d.comb += [mac.a.eq(a), mac.b.eq(self.x), mac.load.eq(self.load), self.accumulator.eq(mac.o)]
