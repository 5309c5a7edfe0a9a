"""A lane: its memories, the correlation and update of each synapse just before its weight is used, and the accumulator.

Every lane does the same in the same cycle; what that is, the array's control says once for all of them. Each optimiser is a stage of the
lane's pipeline, from G to the source of the update: a class, and its row in :data:`_STAGES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Overflow
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, ShiftAdam, StateVariable
from rtl_gen.broadcast import operand_shape
from rtl_gen.fanout import fanout_latency, read_latency
from rtl_gen.fixed import limit, plus_or_minus, round_value, shift
from rtl_gen.probe import shape_of
from rtl_gen.product import Product
from rtl_gen.shift_adam import RootShift
from rtl_gen.slot import NO_READ_WRITE_CHECK, SINGLE_PORT, delayed

__all__ = ["CAST_CYCLES", "BaseLane", "CorrelatingLane", "Lane", "LaneTiming", "MultiplyAccumulate", "exponent_places", "stage_of"]


class MultiplyAccumulate(wiring.Component):
    """o ← load ? c : o + a·b, with registers for the product and c, which is one UP5K DSP block without further logic.

    It is a module of its own, so that synthesis maps it as a whole. Beyond the 32 bits that a DSP block accumulates, only the product is
    one. Product and sum take one cycle each, so that a DSP block that only multiplies is as fast. ``load`` is sampled one cycle after
    ``a``, ``b`` and ``c``. All inputs must come from registers.

    Parameters
    ----------
    a, b : Shape
        Shapes of the two factors; ``a`` is signed.
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


class SgdStage:
    """The stage of plain descent, which passes G on, and the base of the stages of all other optimisers.

    A stage turns G into the source of the update, which the lane casts to the format of a parameter.

    Attributes
    ----------
    cycles : int
        Cycles from G to the source.
    valid : mapping of str to int
        Cycles from G until the new value of each state variable is valid and written, by name; the old value comes together with G.
    """

    cycles: ClassVar[int] = 0
    valid: ClassVar[Mapping[str, int]] = {}

    def build(self, lane: BaseLane, m: Module):
        """Build the stage in a lane.

        Parameters
        ----------
        lane : BaseLane
            The lane, with its port ``gradient`` and the ports of the state variables.
        m : Module
            The module of the lane, to which the stage adds its statements.

        Returns
        -------
        Value
            Raw source of the update, in the format ``spec.update_source_format``.
        """
        return lane.gradient


class MomentumStage(SgdStage):
    """The stage of momentum: m ← cast_m(m − m·2⁻ᵏ + G). The source is the new m."""

    cycles = 3
    valid: ClassVar[Mapping[str, int]] = {"momentum": 3}

    def build(self, lane: BaseLane, m: Module):
        """See :class:`SgdStage`."""
        (variable,) = lane.spec.optimizer_state
        old = lane.state_memory(m, variable)
        total = Signal(shape_of(variable.exact), reset_less=True)
        m.d.sync += total.eq(self.decayed_sum(lane, old, lane.gradient))
        lane.keep(m, variable, total)
        return lane.momentum

    def decayed_sum(self, lane: BaseLane, old, gradient):
        """m − m·2⁻ᵏ + G for an ``old`` m and a ``gradient`` G, raw, in the exact format of m."""
        (variable,) = lane.spec.optimizer_state
        fraction, k = variable.exact.fraction_bits, lane.spec.optimizer.k  # type: ignore[attr-defined]  # the row's class has it
        up = fraction - variable.format.fraction_bits
        return shift(old, up) - shift(old, up - k) + shift(gradient, fraction - lane.spec.gradient_format.fraction_bits)


class ShiftAdamStage(SgdStage):
    """The stage of Adam by shifts: the means m of G and v of G², and the shift of m. A multiplier of its own squares G, since the lane's
    multipliers take a product in each cycle in which there is a G."""

    cycles = 4 + RootShift.latency
    valid: ClassVar[Mapping[str, int]] = {"momentum": 3, "square": 4}

    def build(self, lane: BaseLane, m: Module):
        """See :class:`SgdStage`."""
        spec, g = lane.spec, lane.gradient
        optimizer = spec.optimizer
        m.submodules.square = product = Product(g.shape(), g.shape())
        m.d.comb += [product.a.eq(g), product.b.eq(g)]
        squared = optimizer.squared(spec.gradient_format)  # type: ignore[attr-defined]  # the row's class has it
        news = {"momentum": (g, spec.gradient_format, optimizer.k1), "square": (product.o, squared, optimizer.k2)}  # type: ignore[attr-defined]
        for variable in spec.optimizer_state:
            new, form, k = news[variable.name]
            old = delayed(m, lane.state_memory(m, variable), self.valid[variable.name] - 3, f"old_{variable.name}")
            self._keep_mean(lane, m, variable, old, shift(new, variable.exact.fraction_bits - form.fraction_bits - k), k)
        later = self.valid["square"] - (self.valid["momentum"] if optimizer.k1 else 0)  # type: ignore[attr-defined]
        m.submodules.root = root = RootShift(spec)
        m.d.comb += [
            root.m.eq(delayed(m, lane.momentum if optimizer.k1 else g, later, "m_kept")),  # type: ignore[attr-defined]
            root.v.eq(lane.square),
            root.places.eq(lane.places),
        ]
        return root.o

    def _keep_mean(self, lane: BaseLane, m: Module, variable: StateVariable, old, new, k: int):
        """old − old·2⁻ᵏ + new, raw in the exact format of a state variable, which is registered and kept."""
        up = variable.exact.fraction_bits - variable.format.fraction_bits
        total = Signal(shape_of(variable.exact), name=f"{variable.name}_total", reset_less=True)
        m.d.sync += total.eq(shift(old, up) - shift(old, up - k) + new)
        lane.keep(m, variable, total)


_STAGES: dict[type[Optimizer], type[SgdStage]] = {Sgd: SgdStage, Momentum: MomentumStage, ShiftAdam: ShiftAdamStage}
"""The stage of each optimiser, by its class in the spec."""

CAST_CYCLES = 2
"""Latency of a cast: a register after the rounding, and one after the limits."""


def stage_of(spec: LearningSpec) -> SgdStage:
    """The stage of a design's optimiser.

    Raises
    ------
    TypeError
        If the lane has no stage for the optimiser.
    """
    stage = _STAGES.get(type(spec.optimizer))
    if stage is None:
        raise unknown("Optimizer", spec.optimizer, "rtl_gen.lane._STAGES")
    for variable in spec.optimizer_state:
        if variable.name not in stage.valid:
            raise unknown("State variable", variable.name, f"rtl_gen.lane.{stage.__name__}.valid")
    return stage()


def exponent_places(m: Module, spec: LearningSpec, array) -> dict[str, Value]:
    """Return the port ``places`` of all lanes, from the ``exponent`` of their array; nothing if the rate does not scale the update."""
    if not spec.optimizer.scales_update:
        return {}
    low, high = spec.exponents
    places = Signal(range(high - low + 1), name="places", reset_less=True)
    m.d.sync += places.eq(high - array.exponent)
    return {"places": places}


class LaneTiming:
    """Cycles of a lane's pipeline, counted from the cycle before the broadcast is valid at the array.

    Attributes
    ----------
    fanout : int
        Latency of the fan-out stages, from the array to the lanes.
    read : int
        Latency of a memory read, from the address to the word.
    gradient : int
        Cycle in which the accumulated G is valid.
    state : dict of str to int
        Cycle in which the updated value of each state variable of the optimiser is valid and written, by name.
    noise : dict of str to int
        Cycle in which each stochastic cast needs its rounding noise, by the name of its port: the update's, then the state variables'.
    update : int
        Cycle in which u is valid, and with it the old parameter that was read.
    parameter : int
        Cycle in which the updated θ is valid and written.
    weight : int
        Cycle in which the weight, θ + sΔ, is at the multiplier, or leaves the lane of a learner.
    accumulator : int
        Cycle in which the accumulator includes the slot's product, and the sign sum the slot's ±x.
    addend : int
        Cycle in which the sign sum takes the slot's sign and operand.
    """

    def __init__(self, spec: LearningSpec):
        stage = stage_of(spec)
        self.fanout = fanout_latency(spec.hardware.lanes)
        self.read = read_latency(spec.hardware.lanes)
        self.gradient = self.fanout + 3
        self.state = {variable.name: self.gradient + stage.valid[variable.name] for variable in spec.optimizer_state}
        self.update = self.fanout + 1 if spec.direct_update else self.gradient + stage.cycles + CAST_CYCLES
        self.noise = {f"{name}_noise": cycle - CAST_CYCLES for name, cycle in (("update", self.update), *self.state.items())}
        self.parameter = self.update + 2
        self.weight = self.parameter + 1
        self.accumulator = self.weight + 2 + 2 * self.fanout
        self.addend = self.accumulator - 2

    @property
    def parameter_read(self) -> int:
        """Cycle in which the parameter's read address is valid."""
        return self.update - self.read

    @property
    def gradient_read(self) -> int:
        """Cycle in which the gradient's read address is valid."""
        return self.fanout + 1 - self.read

    @property
    def state_read(self) -> int:
        """Cycle in which the read address of the optimiser's state is valid, so that the old value comes together with G."""
        return self.gradient - self.read


class BaseLane(wiring.Component, ABC):
    """What the lanes of both kinds of perturbation share: the memories with the host's access to them, the optimiser's state, and the
    update of a parameter, which is limited to its range.

    The members ``host_*`` belong to the host's access, which is possible only while the core is idle.

    Parameters
    ----------
    spec : LearningSpec
        The design whose lanes are built.
    ports : mapping of str to Member
        Members that the kind of perturbation adds.

    Members
    -------
    accumulator : Out(signed)
        Sum of the products; only where the design has a network.
    parameter, gradient : Out
        θ, and G before it is cleared, each when valid.
    places : In(unsigned)
        Largest exponent of the host less the present one, of an optimiser whose rate scales the update; stable during a run.
    momentum, … : Out
        Each state variable of the optimiser under its name, when it is valid.
    counted : In(1)
        The parameter is written and belongs to a neuron, so that it counts; valid two cycles before the parameter.
    weight_outside, changed : Out(1)
        A parameter that counts was out of range, or changes; valid with the parameter.
    *_outside : Out(1)
        Other casts were out of range; each is valid with its value.
    *_read, *_write, *_en : In
        Read address, write address and write enable of each memory.
    host_mode, host_word : In(1), In(32)
        In host mode, ``host_word`` is the value that every memory writes two cycles later; otherwise ``host_word`` is 0.
    host_parameter, host_gradient, … : Out
        Word read from each memory.
    """

    def __init__(self, spec: LearningSpec, ports: Mapping[str, Member]):
        self.spec = spec
        weight, words = shape_of(spec.formats.weight), range(max(2, spec.layout.words))

        def stored(name, shape):
            return {f"{name}_read": In(words), f"{name}_write": In(words), f"{name}_en": In(1), f"host_{name}": Out(shape)}

        shared = {
            **({"accumulator": Out(signed(spec.accumulator_width))} if isinstance(spec, DesignSpec) else {}),
            "parameter": Out(weight),
            "counted": In(1),
            "weight_outside": Out(1),
            "changed": Out(1),
            "host_mode": In(1),
            "host_word": In(32),
            **stored("parameter", weight),
        }
        if not spec.direct_update:
            shared |= {"gradient": Out(shape_of(spec.gradient_format)), "gradient_outside": Out(1)}
        if spec.gradient_memory:
            shared |= {"gradient_clear": In(1), **stored("gradient", shape_of(spec.gradient_format))}
        for variable in spec.optimizer_state:
            name, value = variable.name, shape_of(variable.format)
            shared |= {name: Out(value), f"{name}_outside": Out(1), **stored(name, value)}
        if spec.optimizer.scales_update:
            shared |= {"places": In(range(spec.exponents[1] - spec.exponents[0] + 1))}
        super().__init__({**shared, **ports})

    @abstractmethod
    def outside(self, parameter) -> Value:
        """Whether a new parameter, which has one bit more than its format, is out of the range of the parameters."""

    def _memory(self, m, name, value, read_address, write_address, enable):
        """Build a memory of the lane with one word per slot that is not padding; return the word read from it."""
        if name == "parameter" and self.spec.parameter_banks:
            return self._found(m, name, self._banks(m, value, read_address, write_address, enable))
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
        return self._found(m, name, read.data)

    def _found(self, m, name, data):
        """The word that was read, when it is used; the host sees it as well."""
        found = delayed(m, data, read_latency(self.spec.hardware.lanes) - 1, f"{name}_found")
        m.d.comb += getattr(self, f"host_{name}").eq(found)
        return found

    def _banks(self, m, value, read_address, write_address, enable):
        """Build the memory of parameters as two memories with one port each, of the even and of the odd words.

        A pass that updates reads and writes an odd number of words apart (:attr:`write_delay`), so never in the same memory.
        """
        later = self.write_delay
        value, write_address = delayed(m, value, later, "kept_parameter"), delayed(m, write_address, later, "kept_address")
        enable = delayed(m, enable, later, "kept_enable", reset_less=False)
        found = []
        for odd, name in enumerate(("even_parameters", "odd_parameters")):
            depth = max(2, -(-self.spec.layout.words // 2))
            m.submodules[name] = store = memory.Memory(shape=value.shape(), depth=depth, init=[], attrs=SINGLE_PORT)
            write, read = store.write_port(), store.read_port()
            here, address = Signal(name=f"{name}_en"), Signal(range(depth), name=f"{name}_address")
            m.d.comb += [
                here.eq(enable & (write_address[0] == odd)),
                address.eq(Mux(here, write_address[1:], read_address[1:])),
                *(port.addr.eq(address) for port in (write, read)),
                write.data.eq(value),
                write.en.eq(here),
                read.en.eq(~here),
            ]
            found.append(read.data)
        chosen = Signal.like(value, name="parameter_read_data")
        m.d.comb += chosen.eq(Mux(delayed(m, read_address[0], 1, "reads_odd"), found[1], found[0]))
        return chosen

    @property
    def write_delay(self) -> int:
        """Cycles by which a parameter is written later than it is valid, where its memory has one port."""
        return 0

    def _hold(self, m, name, value, narrowed, outside):
        """Register the cast of ``value``, from which a memory is written. In host mode the value is 0, and the host's word is XORed in, so
        that no multiplexer is needed."""
        register = getattr(self, name)
        with m.If(self.host_mode):
            m.d.sync += value.eq(0)
        m.d.sync += register.eq(narrowed.as_unsigned() ^ self.host_word[: len(register)])
        if f"{name}_outside" in self.signature.members:
            m.d.sync += getattr(self, f"{name}_outside").eq(outside)

    def _old_gradient(self, m):
        """The old G, which an update clears in its memory; 0 without a gradient memory."""
        if not self.spec.gradient_memory:
            return Const(0, signed(1))
        cleared = Signal.like(self.gradient)
        m.d.comb += cleared.eq(Mux(self.gradient_clear, 0, self.gradient))
        return self._memory(m, "gradient", cleared, self.gradient_read, self.gradient_write, self.gradient_en)

    def state_memory(self, m, variable: StateVariable):
        """Build the memory of a state variable; return its old value, which comes together with G."""
        name = variable.name
        ports = (getattr(self, f"{name}_{port}") for port in ("read", "write", "en"))
        return self._memory(m, name, getattr(self, name), *ports)

    def keep(self, m, variable: StateVariable, value):
        """Cast ``value``, raw in the exact format of a state variable, to its format, and write it. It takes :data:`CAST_CYCLES`."""
        noise = getattr(self, f"{variable.name}_noise") if self.spec.stochastic_bits else 0
        rounded_value = round_value(value, variable.exact.fraction_bits - variable.format.fraction_bits, variable.rounding, noise)
        rounded = Signal(rounded_value.shape(), reset_less=True)
        m.d.sync += rounded.eq(rounded_value)
        self._hold(m, variable.name, rounded, *limit(rounded, variable.format, variable.overflow))

    def _cast_update(self, m, old, source, fraction_bits: int):
        """θ ← saturate(θ − cast_weight(source)), valid at cycle ``parameter``."""
        spec, cast = self.spec, self.spec.formats.weight_cast
        noise = self.update_noise if spec.stochastic_bits else 0
        rounded_value = round_value(source, fraction_bits - spec.formats.weight.fraction_bits, cast.rounding, noise)
        rounded = Signal(rounded_value.shape(), reset_less=True)
        m.d.sync += rounded.eq(rounded_value)
        limited, outside = limit(rounded, spec.update_format, cast.overflow)
        # The inverse is registered, since the adder needs it without logic in front.
        inverse = Signal(shape_of(spec.update_format), reset_less=True)
        m.d.sync += [inverse.eq(~Mux(self.update_en, limited, 0)), self.update_outside.eq(outside)]
        self._update(m, old, ~inverse, Const(1, 1), Const(1, 1))

    def note_update(self, m, u, minus, active):
        """Do what else follows from an update u, valid at cycle ``update`` like all arguments of :meth:`_update`; here nothing."""

    def _update(self, m, old, u, minus, active):
        """θ ← saturate(θ ± u), valid at cycle ``parameter``."""
        self.note_update(m, u, minus, active)
        low, high = self.spec.parameter_limits
        difference = Signal(signed(len(old) + 1), reset_less=True)
        nonzero, counted = Signal(reset_less=True), Signal(reset_less=True)
        # Whether θ is at a limit, three bits at a time. The low limit is the complement of the high one, so one comparison covers both.
        magnitude = old[:-1] ^ old[-1].replicate(len(old) - 1)
        at_limit = Signal(-(-len(magnitude) // 3), reset_less=True)
        m.d.sync += [
            difference.eq(plus_or_minus(old, u, minus, active)),
            at_limit.eq(Cat(magnitude[first : first + 3] == (high >> first & 7) for first in range(0, len(magnitude), 3))),
            counted.eq(self.counted & active),
            nonzero.eq(u.any()),
        ]
        outside = Signal()
        m.d.comb += outside.eq(self.outside(difference))
        limited = Mux(outside, Mux(difference[-1], low, high), difference)[: len(old)]
        self._hold(m, "parameter", difference, limited, outside)
        m.d.sync += [
            self.weight_outside.eq(counted & outside),
            # A parameter with a nonzero update changes, unless it is at the limit and pushed against it.
            self.changed.eq(counted & nonzero & ~(outside & at_limit.all())),
        ]


class CorrelatingLane(BaseLane):
    """What the lanes that perturb parameters share: the correlation of each parameter with its own sign, and its perturbation.

    The cycles that the members name are those of :class:`LaneTiming`.

    Parameters
    ----------
    spec : LearningSpec
        The design whose lanes are built.
    ports : mapping of str to Member
        Members that the lane has beside those below.

    Members
    -------
    u : In
        Raw update at cycle ``update``, 0 where nothing is updated (direct updates only).
    g : In
        Raw broadcast at cycle 1 (all other updates).
    negative, active : In(1)
        Replayed sign at cycle 1.
    live_negative, live_active : In(1)
        Sign of the current step, including the direction of the pass, at cycle ``parameter``; inactive in an unperturbed pass.
    """

    SIGNS = ("negative", "active", "live_negative", "live_active")
    """Members that are a sign, or a part of one."""

    def __init__(self, spec: LearningSpec, ports: Mapping[str, Member]):
        self.timing = LaneTiming(spec)
        ports = dict(ports)
        if spec.direct_update:
            ports |= {"u": In(shape_of(spec.formats.weight))}
        else:
            ports |= {"g": In(shape_of(spec.gradient_format)), "update_en": In(1), "update_outside": Out(1)}
            ports |= {name: In(spec.stochastic_bits) for name in self.timing.noise if spec.stochastic_bits}
        super().__init__(spec, ports)

    def learn(self, m):
        """Correlate a parameter, and update it if an update is due."""
        spec = self.spec
        read = self._memory(m, "parameter", self.parameter, self.parameter_read, self.parameter_write, self.parameter_en)
        if spec.direct_update:
            # θ − s·u
            self._update(m, read, self.u, ~self.negative, self.active)
        else:
            self._correlate(m)
            self._cast_update(m, read, stage_of(spec).build(self, m), spec.update_source_format.fraction_bits)

    def outside(self, parameter) -> Value:
        """See :class:`BaseLane`. The margin to the format's range is a power of two, so only the bits above it are compared."""
        low, high = self.spec.parameter_limits
        places = self.spec.formats.weight.fraction_bits + self.spec.perturbation.amplitude_log2
        above = shift(parameter, -places)
        return (above >= (high + 1) >> places) | (above < low >> places)

    def _correlate(self, m):
        """G ← saturate(G + s·g), valid at cycle ``gradient``; an update clears it in the memory."""
        total = Signal(signed(len(self.g) + 1), reset_less=True)
        m.d.sync += total.eq(plus_or_minus(self._old_gradient(m), self.g, self.negative, self.active))
        self._hold(m, "gradient", total, *limit(total, self.spec.gradient_format, Overflow.SATURATE))

    def perturbed(self, m):
        """θ + sΔ, valid at cycle ``weight``."""
        weight = self.spec.formats.weight
        a = Signal(shape_of(weight), reset_less=True)
        place = weight.fraction_bits + self.spec.perturbation.amplitude_log2
        one = Const(1, signed(2))
        moved = plus_or_minus(self.parameter.shift_right(place), one, self.live_negative, self.live_active)
        m.d.sync += a.eq(Cat(self.parameter[:place], moved))
        return a


class Lane(CorrelatingLane):
    """One lane of weight perturbation, with its memories, its multiply-accumulate and its sum of signs.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.

    Members
    -------
    sum_negative, sum_active, sum_x : In(1), In(1), In
        Sign of the current step, and raw input of the first layer, at cycle ``addend``.
    sum_load : In(1)
        The slot is a bias; valid one cycle after ``addend``.
    load : In(1)
        The slot is a bias; valid one cycle after ``weight``.
    hidden : In(1)
        The slot's layer reads activations, not inputs; valid at cycle ``weight``.
    x : In(operand_shape(spec))
        Raw operand at cycle ``weight``.
    accumulator : Out(signed)
        Sum of the products, including the slot's from cycle ``accumulator`` on.
    sign_sum : Out(signed)
        Σs·x of the group so far, 1 for x at its bias, in the same cycles; only in the first layer is it x.
    """

    def __init__(self, spec: DesignSpec):
        ports = {
            **{name: In(1) for name in (*self.SIGNS, "sum_negative", "sum_active", "load", "hidden", "sum_load")},
            "x": In(operand_shape(spec)),
            "sum_x": In(shape_of(spec.formats.input)),
            "sign_sum": Out(shape_of(spec.sign_sum_format)),
        }
        super().__init__(spec, ports)

    def elaborate(self, platform):
        m = Module()
        self.learn(m)
        self._perturb(m)
        self._add_signs(m)
        return m

    def _perturb(self, m):
        """Weight of the multiplier, θ + sΔ, and the same value as a bias, aligned to the accumulator."""
        spec = self.spec
        weight = spec.formats.weight
        m.submodules.mac = mac = MultiplyAccumulate(
            shape_of(weight), self.x.shape(), spec.accumulator_width, pipelined=self.timing.fanout > 0
        )
        assert mac.latency == self.timing.accumulator - self.timing.weight
        a = self.perturbed(m)
        fractions = spec.formats.input.fraction_bits, spec.formats.activation.fraction_bits
        preload = Mux(self.hidden, shift(a, fractions[1]), shift(a, fractions[0]))
        # The result of an operator, so that no constant bits enter the module, where they would keep it from becoming one DSP block.
        m.d.comb += mac.c.eq(preload | Const(0, signed(spec.accumulator_width)))
        m.d.comb += [mac.a.eq(a), mac.b.eq(self.x), mac.load.eq(self.load), self.accumulator.eq(mac.o)]

    def _add_signs(self, m):
        """Σs·x of the first layer, by an adder: s·x, or −x with its carry missing, is registered, then added."""
        fraction, negative, active = self.spec.formats.input.fraction_bits, self.sum_negative, self.sum_active
        bits = Cat(self.sum_x, self.sum_x[-1] if self.sum_x.shape().signed else 0)
        addend = Signal(signed(len(bits)), reset_less=True)
        minus, counts = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            addend.eq((bits ^ negative.replicate(len(bits))) & active.replicate(len(bits))),
            minus.eq(negative & active),
            counts.eq(active),
        ]
        # The bias counts as 1 with the input's fraction bits: −1 has that bit and all bits above it set.
        bias = Cat(Const(0, fraction), counts, minus).as_signed()
        total = (Cat(Const(1, 1), self.sign_sum).as_signed() + Cat(minus, addend).as_signed())[1:]
        m.d.sync += self.sign_sum.eq(Mux(self.sum_load, bias, total.as_signed()))
