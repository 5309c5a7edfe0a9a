"""A lane: its memories, the just-in-time correlation and update of each synapse as it is read, and the accumulator.

Every lane does the same in the same cycle; what that is, the array's control says once for all of them. What an optimiser makes of G is
a stage of the lane's pipeline: a class and a row in :data:`_STAGES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.number import Overflow
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, StateVariable
from rtl_gen.broadcast import operand_shape
from rtl_gen.fixed import limit, plus_or_minus, round_value, shift
from rtl_gen.probe import shape_of
from rtl_gen.product import Product
from rtl_gen.slot import NEVER_COLLIDES, delayed
from rtl_gen.station import reach_of, read_latency_of

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

    def __init__(self, a, b, width: int, *, far: bool = False):
        self.width = width
        self.far = far
        self.latency = 2 + 2 * far
        super().__init__({"a": In(a), "b": In(b), "c": In(signed(width)), "load": In(1), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = Product(self.a.shape(), self.b.shape(), far=self.far)
        m.d.comb += [product.a.eq(self.a), product.b.eq(self.b)]
        c = Signal.like(self.c, name="c_registered", reset_less=True)
        total = Signal(signed(self.width), reset_less=True)
        held, load = (delayed(m, each, 2 * self.far, name) for name, each in (("c_held", self.c), ("load_held", self.load)))
        near = delayed(m, product.o, int(self.far), "product_held")
        m.d.sync += [c.eq(held), total.eq(Mux(load, c, total + near))]
        m.d.comb += self.o.eq(total)
        return m


class SgdStage:
    """The stage of an optimiser in a lane: from G to what is cast into an update. This one passes G on.

    Attributes
    ----------
    cycles : int
        Cycles from G to the source of the cast into the weight.
    valid : mapping of str to int
        Cycles from G to the new value of each state variable, by name; it is written then. Old values are read with G.
    """

    cycles: ClassVar[int] = 0
    valid: ClassVar[Mapping[str, int]] = {}

    def build(self, lane: Lane, m: Module):
        """Build the stage in a lane.

        Parameters
        ----------
        lane : Lane
            The lane, whose ports ``gradient`` and those of the state variables the stage uses.
        m : Module
            The lane's module.

        Returns
        -------
        Value
            The source, in the format ``spec.update_source_format``.
        """
        return lane.gradient


class MomentumStage(SgdStage):
    """m ← cast_m(m − m·2⁻ᵏ + G). The source is m."""

    cycles = 3
    valid: ClassVar[Mapping[str, int]] = {"momentum": 3}

    def build(self, lane: Lane, m: Module):
        """See :class:`SgdStage`."""
        (variable,) = lane.spec.optimizer_state
        old = lane.state_memory(m, variable)
        total = Signal(shape_of(variable.exact), reset_less=True)
        m.d.sync += total.eq(self.decayed_sum(lane, old, lane.gradient))
        lane.keep(m, variable, total)
        return lane.momentum

    def decayed_sum(self, lane: Lane, old, gradient):
        """m − m·2⁻ᵏ + G, in the exact format of m."""
        (variable,) = lane.spec.optimizer_state
        fraction, k = variable.exact.fraction_bits, lane.spec.optimizer.k  # type: ignore[attr-defined]  # the row's class has it
        up = fraction - variable.format.fraction_bits
        return shift(old, up) - shift(old, up - k) + shift(gradient, fraction - lane.spec.gradient_format.fraction_bits)


_STAGES: dict[type[Optimizer], type[SgdStage]] = {Sgd: SgdStage, Momentum: MomentumStage}
"""The stage of each optimiser."""

CAST_CYCLES = 2
"""Cycles of a cast: the rounded value is registered, then what it is limited to."""


def stage_of(spec: DesignSpec) -> SgdStage:
    """The stage of a design's optimiser.

    Raises
    ------
    TypeError
        If the optimiser has none.
    """
    stage = _STAGES.get(type(spec.optimizer))
    if stage is None:
        raise unknown("Optimizer", spec.optimizer, "rtl_gen.lane._STAGES")
    return stage()


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
    state : dict of str to int
        A state variable of the optimiser, by its name, updated, is valid.
    words : dict of str to int
        A stochastic cast takes its random word, by the name of its port: that into the update, then those of the state variables.
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
        stage = stage_of(spec)
        self.reach = reach_of(spec.hardware.lanes)
        self.read = read_latency_of(spec.hardware.lanes)
        self.gradient = self.reach + 3
        self.state = {name: self.gradient + cycles for name, cycles in stage.valid.items()}
        self.update = self.reach + 1 if spec.plain else self.gradient + stage.cycles + CAST_CYCLES
        self.words = {f"{name}_word": cycle - CAST_CYCLES for name, cycle in (("update", self.update), *self.state.items())}
        self.parameter = self.update + 2
        self.weight = self.parameter if spec.node else self.parameter + 1
        self.accumulator = self.weight + 2 + 2 * self.reach

    @property
    def parameter_read(self) -> int:
        """When the parameter's read address stands."""
        return self.update - self.read

    @property
    def gradient_read(self) -> int:
        """When the gradient's read address stands."""
        return self.reach + 1 - self.read

    @property
    def state_read(self) -> int:
        """When the read address of the optimiser's state stands: its old value is there with G."""
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
    parameter, gradient : Out
        θ, and G before it is cleared, each when valid.
    momentum : Out
        A state variable of the optimiser, by its name, when it is valid.
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
        if spec.plain:
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
                ports |= {"update_word": In(spec.stochastic_bits)}
        if spec.gradient_memory:
            ports |= {
                "gradient_read": In(words),
                "gradient_write": In(words),
                "gradient_en": In(1),
                "gradient_clear": In(1),
                "host_gradient": Out(gradient),
            }
        for variable in spec.optimizer_state:
            name, value = variable.name, shape_of(variable.format)
            ports |= {
                f"{name}_read": In(words),
                f"{name}_write": In(words),
                f"{name}_en": In(1),
                name: Out(value),
                f"{name}_outside": Out(1),
                f"host_{name}": Out(value),
            }
            if spec.stochastic_bits:
                ports |= {f"{name}_word": In(spec.stochastic_bits)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        read = self._memory(m, "parameter", self.parameter, self.parameter_read, self.parameter_write, self.parameter_en)
        if spec.plain:
            # θ − s·u
            self._update(m, read, self.u, ~self.negative, self.active)
        else:
            rounding, overflow = spec.formats.weight_cast.rounding, spec.formats.weight_cast.overflow
            self._correlate(m)
            source = stage_of(spec).build(self, m)
            dropped = spec.update_source_format.fraction_bits - spec.formats.weight.fraction_bits
            rounded_value = round_value(source, dropped, rounding, self.update_word if spec.stochastic_bits else 0)
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
            shape=value.shape(), depth=max(2, self.spec.layout.words), init=[], attrs=NEVER_COLLIDES
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

    def state_memory(self, m, variable: StateVariable):
        """The memory of a state variable; its old value, with G."""
        name = variable.name
        ports = (getattr(self, f"{name}_{port}") for port in ("read", "write", "en"))
        return self._memory(m, name, getattr(self, name), *ports)

    def keep(self, m, variable: StateVariable, value):
        """Cast ``value``, in the exact format of a state variable, into its register, from which it is written: :data:`CAST_CYCLES`."""
        word = getattr(self, f"{variable.name}_word") if self.spec.stochastic_bits else 0
        rounded_value = round_value(value, variable.exact.fraction_bits - variable.format.fraction_bits, variable.rounding, word)
        rounded = Signal(rounded_value.shape(), reset_less=True)
        m.d.sync += rounded.eq(rounded_value)
        self._hold(m, variable.name, rounded, *limit(rounded, variable.format, variable.overflow))

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
        m.submodules.mac = mac = MultiplyAccumulate(shape_of(weight), self.x.shape(), spec.accumulator_width, far=self.timing.reach > 0)
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
