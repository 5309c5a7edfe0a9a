"""A lane: its memories, the just-in-time correlation and update of each synapse as it is read, and the accumulator.

Every lane does the same in the same cycle; what that is, the array's control says once for all of them.
"""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Overflow
from python_ref.spec.optimizer import Momentum
from rtl_gen.broadcast import operand_shape
from rtl_gen.fixed import limit, round_value, shift
from rtl_gen.probe import shape_of
from rtl_gen.slot import NEVER_COLLIDES

__all__ = ["Lane", "LaneTiming", "MultiplyAccumulate"]


class Product(wiring.Component):
    """o = a·b, combinational: a block of its own, so that synthesis gives it one DSP and leaves the sum outside."""

    def __init__(self, a, b):
        super().__init__({"a": In(a), "b": In(b), "o": Out(signed(a.width + b.width + (not b.signed)))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.a * self.b)
        return m


class MultiplyAccumulate(wiring.Component):
    """o ← load ? c : o + a·b, with registers for a and c: one UP5K DSP and no logic around it.

    A block of its own, so that synthesis finds it whole. Beyond 32 bits, what a DSP accumulates, only the product is
    one. ``a`` and ``c`` are taken a cycle before ``b`` and ``load``, which come from registers that all lanes share.

    Parameters
    ----------
    a, b : Shape
        Of the factors; ``a`` signed.
    width : int
        Of ``c`` and ``o``, signed.
    """

    latency = 2
    """Cycles from ``a`` to ``o``."""

    WIDEST = 32

    def __init__(self, a, b, width: int):
        self.width = width
        super().__init__({"a": In(a), "b": In(b), "c": In(signed(width)), "load": In(1), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        # A register has its operand's own width and the product all bits that it can have: only so are they found in the DSP.
        a = Signal.like(self.a, name="a_registered", reset_less=True)
        c = Signal.like(self.c, name="c_registered", reset_less=True)
        m.d.sync += [a.eq(self.a), c.eq(self.c)]
        total = Signal(signed(self.width), reset_less=True)
        if self.width > self.WIDEST:
            m.submodules.product = multiplier = Product(self.a.shape(), self.b.shape())
            m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(self.b)]
            product = multiplier.o
        else:
            a_wide, b_wide = Signal(signed(max(16, len(a)))), Signal(signed(max(16, len(self.b) + 1)))
            m.d.comb += [a_wide.eq(a), b_wide.eq(self.b)]
            product = a_wide * b_wide
        m.d.sync += total.eq(Mux(self.load, c, total + product))
        m.d.comb += self.o.eq(total)
        return m


class LaneTiming:
    """Cycles of a lane's pipeline, counted from the cycle in which the first memory's read address stands.

    Attributes
    ----------
    gradient : int
        G, accumulated, is valid.
    momentum : int
        m, updated, is valid.
    update : int
        u is valid (with the parameter read beside it).
    parameter : int
        θ, updated, is valid: it is written and goes to the multiplier.
    accumulator : int
        The accumulator holds the slot's product.
    """

    def __init__(self, spec: DesignSpec):
        momentum = isinstance(spec.optimizer, Momentum)
        self.gradient = 3
        self.momentum = 6
        self.update = 1 if spec.plain else 8 if momentum else 5
        self.parameter = self.update + 2
        self.accumulator = self.parameter + MultiplyAccumulate.latency

    @property
    def parameter_read(self) -> int:
        """When the parameter's read address stands."""
        return self.update - 1

    @property
    def momentum_read(self) -> int:
        """When the momentum's read address stands."""
        return self.gradient - 1


class Lane(wiring.Component):
    """One lane.

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    All times are those of :class:`LaneTiming`; ``host_*`` serve the host while the core is idle.

    u, minus_u : In
        The update and its negative, at ``update`` (without a gradient memory; 0 where nothing is updated).
    g : In
        The broadcast, at 1 (otherwise).
    negative, active : In(1)
        The replayed sign, at 1.
    live_negative, live_active : In(1)
        The live sign with its direction, at ``parameter``; inactive where nothing is perturbed.
    load : In(1)
        The slot is a bias. A cycle after ``parameter``.
    hidden : In(1)
        Its layer reads activations, not inputs. At ``parameter``.
    x : In
        The operand, a cycle after ``parameter``.
    accumulator : Out
        At ``accumulator``.
    parameter, gradient, momentum : Out
        θ, G before it is cleared, and m, each when valid.
    *_outside, changed : Out(1)
        What the counters count, each with its value.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.timing = LaneTiming(spec)
        self.momentum_built = isinstance(spec.optimizer, Momentum)
        weight = shape_of(spec.formats.weight)
        words = range(max(2, spec.layout.words))
        ports = {
            "negative": In(1),
            "active": In(1),
            "live_negative": In(1),
            "live_active": In(1),
            "load": In(1),
            "hidden": In(1),
            "x": In(operand_shape(spec)),
            "accumulator": Out(signed(spec.accumulator_width)),
            "parameter": Out(weight),
            "weight_outside": Out(1),
            "changed": Out(1),
            "parameter_read": In(words),
            "parameter_write": In(words),
            "parameter_en": In(1),
            "host_data": In(32),
            "host_parameter_en": In(1),
            "host_parameter": Out(weight),
        }
        if spec.plain:
            ports |= {"u": In(weight), "minus_u": In(signed(weight.width + 1))}
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
                ports |= {"update_word": In(spec.stochastic_bits)}
        if spec.gradient_memory:
            ports |= {
                "gradient_read": In(words),
                "gradient_write": In(words),
                "gradient_en": In(1),
                "gradient_clear": In(1),
                "host_gradient_en": In(1),
                "host_gradient": Out(gradient),
            }
        if self.momentum_built:
            ports |= {
                "momentum_read": In(words),
                "momentum_write": In(words),
                "momentum_en": In(1),
                "momentum": Out(shape_of(spec.momentum_format)),
                "momentum_outside": Out(1),
                "host_momentum_en": In(1),
                "host_momentum": Out(shape_of(spec.momentum_format)),
            }
            if spec.stochastic_bits:
                ports |= {"momentum_word": In(spec.stochastic_bits)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        read = self._memory(m, "parameter", self.parameter, self.parameter_read, self.parameter_write, self.parameter_en)
        if spec.plain:
            self._update(m, read, Mux(self.negative, self.minus_u, self.u), self.active)
        else:
            source, rounding, overflow = self.gradient, spec.formats.weight_cast.rounding, spec.formats.weight_cast.overflow
            self._correlate(m)
            if self.momentum_built:
                self._decay(m)
                source = self.momentum
            dropped = spec.update_source_format.fraction_bits - spec.formats.weight.fraction_bits
            rounded_value = round_value(source, dropped, rounding, self.update_word if spec.stochastic_bits else 0)
            rounded = Signal(rounded_value.shape(), reset_less=True)
            m.d.sync += rounded.eq(rounded_value)
            limited, outside = limit(rounded, spec.update_format, overflow)
            u = Signal(shape_of(spec.update_format))
            m.d.sync += [u.eq(Mux(self.update_en, limited, 0)), self.update_outside.eq(outside)]
            self._update(m, read, u, 1)
        self._perturb(m)
        return m

    def _memory(self, m, name, value, read_address, write_address, enable):
        """A memory of the lane, one word per slot that is not padding; the read value."""
        m.submodules[f"{name}s"] = store = memory.Memory(
            shape=value.shape(), depth=max(2, self.spec.layout.words), init=[], attrs=NEVER_COLLIDES
        )
        write, read = store.write_port(), store.read_port()
        host_en = getattr(self, f"host_{name}_en")
        m.d.comb += [
            read.addr.eq(read_address),
            write.addr.eq(write_address),
            write.data.eq(Mux(host_en, self.host_data[: len(value)], value)),
            write.en.eq(enable | host_en),
            getattr(self, f"host_{name}").eq(read.data),
        ]
        return read.data

    def _correlate(self, m):
        """G ← saturate(G + s·g), valid at ``gradient``; cleared in memory by an update."""
        spec = self.spec
        step = Mux(self.active, Mux(self.negative, -self.g, self.g), 0)
        if spec.gradient_memory:
            cleared = Signal.like(self.gradient)
            m.d.comb += cleared.eq(Mux(self.gradient_clear, 0, self.gradient))
            step = step + self._memory(m, "gradient", cleared, self.gradient_read, self.gradient_write, self.gradient_en)
        total = Signal(step.shape(), reset_less=True)
        m.d.sync += total.eq(step)
        limited, outside = limit(total, spec.gradient_format, Overflow.SATURATE)
        m.d.sync += [self.gradient.eq(limited), self.gradient_outside.eq(outside)]

    def _decay(self, m):
        """m ← cast_m(m − m·2⁻ᵏ + G), valid at ``momentum``."""
        spec, k = self.spec, self.spec.optimizer.k
        exact, target = spec.momentum_sum_format, spec.momentum_format
        old = self._memory(m, "momentum", self.momentum, self.momentum_read, self.momentum_write, self.momentum_en)
        kept = shift(old, exact.fraction_bits - target.fraction_bits) - shift(old, exact.fraction_bits - target.fraction_bits - k)
        total = Signal(shape_of(exact), reset_less=True)
        m.d.sync += total.eq(kept + shift(self.gradient, exact.fraction_bits - spec.gradient_format.fraction_bits))
        dropped = exact.fraction_bits - target.fraction_bits
        rounded_value = round_value(total, dropped, spec.optimizer.rounding, self.momentum_word if spec.stochastic_bits else 0)
        rounded = Signal(rounded_value.shape(), reset_less=True)
        m.d.sync += rounded.eq(rounded_value)
        limited, outside = limit(rounded, target, spec.optimizer.overflow)
        m.d.sync += [self.momentum.eq(limited), self.momentum_outside.eq(outside)]

    def _update(self, m, old, u, active):
        """θ ← saturate(θ − u), valid at ``parameter``."""
        spec = self.spec
        low, high = spec.parameter_limits
        difference = Signal(signed(len(old) + 2), reset_less=True)
        moved, at_low, at_high = Signal(reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            difference.eq(old - Mux(active, u, 0)),
            moved.eq(active & u.any()),
            at_low.eq(old == low),
            at_high.eq(old == high),
        ]
        # The margin is a power of two, or nothing: only the places above it are compared.
        places = spec.formats.weight.fraction_bits + spec.perturbation.amplitude_log2 if not spec.node else 0
        above = shift(difference, -places)
        too_high = above > high if spec.node else above >= (high + 1) >> places
        too_low = above < low if spec.node else above < low >> places
        limited = Mux(too_high, high, Mux(too_low, low, difference))
        # What moves, changes, but for what is pushed against the limit where it stands.
        m.d.sync += [
            self.parameter.eq(limited),
            self.weight_outside.eq(too_high | too_low),
            self.changed.eq(moved & ~(too_high & at_high) & ~(too_low & at_low)),
        ]

    def _perturb(self, m):
        """Weight and preload of the multiplier: θ + sΔ, or the bias in its place with sΔ added."""
        spec = self.spec
        weight = spec.formats.weight
        delta = spec.amplitude_raw(weight.fraction_bits) if not spec.node else 0
        m.submodules.mac = mac = MultiplyAccumulate(shape_of(weight), self.x.shape(), spec.accumulator_width)
        a = Signal(shape_of(weight))
        m.d.comb += a.eq(self.parameter)
        if delta:
            with m.If(self.live_active):
                m.d.comb += a.eq(Mux(self.live_negative, self.parameter - delta, self.parameter + delta))
        fractions = spec.formats.input.fraction_bits, spec.formats.activation.fraction_bits
        preload = Mux(self.hidden, shift(a, fractions[1]), shift(a, fractions[0]))
        if spec.node:
            deltas = [spec.amplitude_raw(spec.preactivation_format(n).fraction_bits) for n in range(len(spec.network.layers))]
            step = Mux(self.hidden, deltas[-1], deltas[0])
            preload = preload + Mux(self.live_active, Mux(self.live_negative, -step, step), 0)
        # An operator's result, so that no constant bit reaches into the block, where it would break up the DSP.
        m.d.comb += mac.c.eq(preload | Const(0, signed(spec.accumulator_width)))
        m.d.comb += [mac.a.eq(a), mac.b.eq(self.x), mac.load.eq(self.load), self.accumulator.eq(mac.o)]
