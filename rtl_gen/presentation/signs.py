# amaranth: UnusedElaboratable=no
"""Sources of the neurons' signs, one per cycle for the stream of neurons, and one for the sums of their errors.

Up to three steps are in progress at once: one whose neurons are replayed, one whose neurons leave the lanes, and one whose cost change is
correlated. Each pass refers to its sign vector by the bank of its activations.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.registers import phase_bits
from rtl_gen.fanout import are_far
from rtl_gen.perturbation import CountedSigns, RandomSigns, leap, source_class
from rtl_gen.presentation.layouts import part_shape, sign_layout
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["CountedNeuronSigns", "NeuronSigns", "RandomNeuronSigns", "sign_latency", "sign_source"]


def sign_latency(spec: DesignSpec) -> int:
    """Cycles from the number of a neuron to its sign: 1, and 1 more for a register behind the memory in a core with many lanes, which gives
    the number a cycle earlier."""
    return 1 + (are_far(spec.hardware.lanes) and not spec.series)


class NeuronSigns(wiring.Component):
    """Base class of the sources of signs, with their ports.

    Members
    -------
    begin, begin_bank : In(1)
        Strobe: a pass begins whose neurons have the current sign vector; and its bank.
    advance, fresh : In(1)
        Strobe after the last ``begin`` of a step, and whether the next step takes a new sign vector.
    ready : Out(1)
        The current sign vector is known.
    index, bank, sign : In, In, Out
        A neuron of the stream and the bank of its pass, and its sign :func:`sign_latency` cycles later.
    sweep_begin, sweep_bank : In(1)
        Strobe: the errors of a pass are going to be summed, so that its bank may serve another one; and its bank.
    sweep_index, sweep_sign : In, Out
        A neuron whose error is summed, and its sign :func:`sign_latency` cycles later.
    column, sweep_column : Out(unsigned)
        In incremental probes, the perturbed neuron of the current sign vector, valid with ``begin``, and of the pass whose errors are going
        to be summed, valid with ``sweep_begin``.
    sweeps : In(1)
        In a network with state: errors are being summed, so that no neuron of the stream needs its sign.
    part, sweep_part : In(unsigned), Out(unsigned)
        Where probes perturb parts of the network, the part of the pass that begins, valid with ``begin``, and that of the pass whose errors
        are going to be summed, valid with ``sweep_begin``. The signs of the stream's neurons behind the part are 0.
    load_en, load : In(1), In(load_width)
        Strobe and data that set p and shift bits into the top of the generator's state, as in :mod:`rtl_gen.perturbation`.
    restart : In(1)
        Strobe: the next step takes the first sign vector of the loaded states.

    Attributes
    ----------
    load_width : int
        Width of a beat: the bits of p, and the number of bits that a generator draws at once.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.generators = spec.code.generators(1)
        self.load_width = phase_bits(spec) + sum(generator.outputs for generator in self.generators)
        index = unsigned(max(1, (spec.quantities - 1).bit_length()))
        super().__init__(
            {
                **({"column": Out(index), "sweep_column": Out(index)} if spec.incremental else {}),
                **({"sweeps": In(1)} if spec.series else {}),
                **({"part": In(part_shape(spec)), "sweep_part": Out(part_shape(spec))} if spec.in_parts else {}),
                **{name: In(1) for name in ("begin", "begin_bank", "advance", "fresh", "restart", "load_en", "bank")},
                **{name: In(1) for name in ("sweep_begin", "sweep_bank")},
                "ready": Out(1),
                "index": In(index),
                "sweep_index": In(index),
                "sign": Out(sign_layout()),
                "sweep_sign": Out(sign_layout()),
                "load": In(self.load_width),
            }
        )

    def _by_bank(self, m, current):
        """Values of ``current`` that belong to the passes of bank 0 and of bank 1."""
        kept = [Signal.like(current, name=f"{current.name}{bank}", reset_less=True) for bank in range(2)]
        for bank, value in enumerate(kept):
            with m.If(self.begin & (self.begin_bank == bank)):
                m.d.sync += value.eq(current)
        return kept

    def _perturbs(self, m):
        """Whether the stream's neuron is perturbed in its pass, which evaluates no neuron before those of its part."""
        if not self.spec.in_parts:
            return Const(1, 1)
        kept = self._by_bank(m, self.part)
        m.d.comb += self.sweep_part.eq(Mux(self.sweep_bank, kept[1], kept[0]))
        return self.index < by_layer([part.end for part in self.spec.round.parts], Mux(self.bank, kept[1], kept[0]))

    def _keep(self, m, current):
        """Value of ``current`` that belongs to the stream's pass, and to the pass whose errors are summed."""
        kept = self._by_bank(m, current)
        swept = Signal.like(current, name=f"{current.name}_swept", reset_less=True)
        sweeping = Mux(self.sweep_bank, kept[1], kept[0])
        with m.If(self.sweep_begin):
            m.d.sync += swept.eq(sweeping)
        if sign_latency(self.spec) > 1:  # the first neuron's number comes with the strobe
            swept = Mux(self.sweep_begin, sweeping, swept)
        if self.spec.incremental:
            m.d.comb += [self.column.eq(current), self.sweep_column.eq(sweeping)]
        return Mux(self.bank, kept[1], kept[0]), swept


class RandomNeuronSigns(NeuronSigns):
    """Random signs: a generator writes the sign vector of the next step into a memory, one neuron per cycle.

    The memory has room for four vectors: those of the three steps in progress, and the next one. Where the steps do not overlap, it has
    room for two, and one port reads for the stream and for the sums.
    """

    @staticmethod
    def vector_bits(spec: DesignSpec) -> int:
        """Number of bits of the number of a vector in the memory."""
        return 1 if spec.series else 2

    @staticmethod
    def memory_bits(spec: DesignSpec) -> int:
        """Number of bits in the memory of the vectors."""
        return 1 << RandomNeuronSigns.vector_bits(spec) + max(1, (spec.quantities - 1).bit_length())

    def elaborate(self, platform):
        m = Module()
        spec, (generator,) = self.spec, self.generators
        count, bits, numbers = spec.quantities, len(self.index), self.vector_bits(spec)
        m.submodules.vectors = store = memory.Memory(shape=1, depth=1 << numbers + bits, init=[], attrs=NO_READ_WRITE_CHECK)
        write, stream = store.write_port(), store.read_port()
        sweep = stream if spec.series else store.read_port()
        vector, filled, place = Signal(numbers), Signal(numbers), Signal(range(max(2, count)))
        enabled, filling, odd = Signal(init=1), Signal(), Signal()
        state = Signal(generator.degree, reset_less=True)
        loads = delayed(m, self.load_en, 1, "loads", reset_less=False)
        m.d.comb += [
            filling.eq(enabled & (filled == vector)),
            self.ready.eq(enabled & (filled != vector)),
            write.en.eq(filling),
            write.addr.eq(Cat(place, filled) if bits == len(place) else Cat(place[:bits], filled)),
            write.data.eq(state[0] ^ odd),
        ]
        with m.If(filling):
            m.d.sync += place.eq(place + 1)
            with m.If(place == count - 1):
                m.d.sync += [place.eq(0), filled.eq(filled + 1), odd.eq(~odd)]
        with m.If(filling | loads):
            m.d.sync += state.eq(leap(generator, state, loads, self.load[phase_bits(spec) :]))
        with m.If(self.advance & self.fresh):
            m.d.sync += vector.eq(vector + 1)
        with m.If(self.load_en):
            m.d.sync += [enabled.eq(0), odd.eq(self.load[0]), filled.eq(vector), place.eq(0)]
        with m.If(self.restart):
            m.d.sync += enabled.eq(1)
        of_stream, of_sweep = self._keep(m, vector)
        late = sign_latency(spec) - 1
        if spec.series:
            m.d.comb += stream.addr.eq(Mux(self.sweeps, Cat(self.sweep_index, of_sweep), Cat(self.index, of_stream)))
        else:
            m.d.comb += [stream.addr.eq(Cat(self.index, of_stream)), sweep.addr.eq(Cat(self.sweep_index, of_sweep))]
        m.d.comb += [
            self.sign.negative.eq(delayed(m, stream.data, late, "stream_found")),
            self.sweep_sign.negative.eq(delayed(m, sweep.data, late, "sweep_found")),
            self.sign.active.eq(delayed(m, self._perturbs(m), 1 + late, "perturbs") if spec.in_parts else 1),
            self.sweep_sign.active.eq(1),
        ]
        return m


class CountedNeuronSigns(NeuronSigns):
    """Signs computed from a neuron's number and from the phase, which counts sign vectors.

    Parameters
    ----------
    spec : DesignSpec
        The design whose signs are computed.
    code : CountedSigns
        The code's source of the lanes' signs, of which the logic of a sign is taken; it is no part of the core itself.
    """

    def __init__(self, spec: DesignSpec, code: CountedSigns):
        self.code = code
        super().__init__(spec)

    def elaborate(self, platform):
        m = Module()
        phase = Signal(phase_bits(self.spec), name="phase")
        with m.If(self.advance & self.fresh):
            m.d.sync += phase.eq(self.code.following(phase))
        with m.If(self.load_en):
            m.d.sync += phase.eq(self.load)
        of_stream, of_sweep = self._keep(m, phase)
        streamed, swept = (self.index, of_stream, self.sign), (self.sweep_index, of_sweep, self.sweep_sign)
        for index, of_pass, sign in (streamed, swept):
            negative, active = self.code.sign(index, of_pass)
            if self.spec.in_parts and sign is self.sign:
                active &= self._perturbs(m)
            late = sign_latency(self.spec) - 1
            negative, active = (delayed(m, each, late, "early_sign") for each in (negative, active))
            m.d.sync += [sign.negative.eq(negative), sign.active.eq(active)]
        m.d.comb += self.ready.eq(1)
        return m


def sign_source(spec: DesignSpec) -> NeuronSigns:
    """Return the source of the neurons' signs for a design's code.

    Raises
    ------
    TypeError
        If there is no source of signs for the code.
    """
    source = source_class(spec.code)
    if source is RandomSigns:  # exactly: this source has no part in what a class derived from it computes
        return RandomNeuronSigns(spec)
    if issubclass(source, CountedSigns):
        return CountedNeuronSigns(spec, source(spec))
    raise unknown("Code", spec.code, "rtl_gen.presentation.signs.sign_source")
