# amaranth: UnusedElaboratable=no
"""Player of the program in a flash image, which takes the place of the host."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.flash import ADDRESS_BITS, CHECKED, HEADER, LIGHTS, MAGIC, SAMPLES_BITS, Operation, SampleLayout
from python_ref.spec.registers import Command, register_map
from rtl_gen.alone.reader import WORD
from rtl_gen.host import request_layout

__all__ = ["Player"]


class Player(wiring.Component):
    """Checks the header of an image, and carries out its program: writes registers, and streams samples while the core trains or judges.

    A press begins at the start of the image. A press while the program runs stops it, and the core at its next step.

    Parameters
    ----------
    spec : DesignSpec
        The design whose core is built.
    base : int
        Address of the image in the flash, a multiple of 4.

    Members
    -------
    press : In(1)
        Strobe: the button was pressed.
    seek, address, bits, awake, word : Out, Out, Out, In, In
        Connections of the :class:`~rtl_gen.alone.reader.FlashReader`.
    request, response, sample, busy : Out, In, Out, In
        Connections of the core.
    running : Out(1)
        The program is carried out.
    wrong : Out(1)
        The image is of another design, or none; it stays until the next press.
    done : Out(1)
        The program has ended by itself; it stays until the next press.
    lights : Out(LIGHTS)
        Which thresholds the accuracy of the last judging reached, the lowest first.
    """

    def __init__(self, spec: DesignSpec, base: int):
        if base % 4 or not 0 <= base < 1 << ADDRESS_BITS:
            raise ValueError(f"Base must be a multiple of 4 below {1 << ADDRESS_BITS:,}, not {base!r}")
        self.spec = spec
        self.base = base
        self.layout = SampleLayout.of(spec)
        widest = max(self.layout.input_bits, self.layout.target_bits)
        if widest > WORD:
            raise ValueError(f"Values of samples must have at most {WORD} bits, not {widest!r}")
        super().__init__(
            {
                "press": In(1),
                "seek": Out(1),
                "address": Out(ADDRESS_BITS),
                "bits": Out(range(WORD + 1)),
                "awake": In(1),
                "word": In(stream.Signature(WORD)),
                "request": Out(stream.Signature(request_layout)),
                "response": In(stream.Signature(32)),
                "sample": Out(stream.Signature(spec.sample_width)),
                "busy": In(1),
                **{name: Out(1) for name in ("running", "wrong", "done")},
                "lights": Out(LIGHTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._at = {name: register.address for name, register in register_map(self.spec).items()}
        self._position = Signal(ADDRESS_BITS - 2, init=self.base // 4)  # of the next word of header or program
        self._operand = Signal(ADDRESS_BITS)
        self._left = Signal(16)
        self._infers, self._stops = Signal(), Signal()
        self._there, self._seeks, target = Signal(), Signal(), Signal(ADDRESS_BITS)
        words = Signal()  # the word that comes is one of the header or the program
        m.d.comb += [words.eq(1), self.bits.eq(WORD), target.eq(self._position << 2)]
        self._target = target
        # The strobe is a register, and while it is high the word is still one from before.
        m.d.comb += self._there.eq(self.word.valid & ~self.seek)
        m.d.sync += [self.seek.eq(self._seeks), self.address.eq(target)]
        with m.If(words & self._there & self.word.ready):
            m.d.sync += self._position.eq(self._position + 1)
        with m.If(self.press & self.running):
            m.d.sync += self._stops.eq(1)
        with m.FSM():
            with m.State("Rest"):
                self._rest(m)
            with m.State("Await the flash"), m.If(self.awake):
                m.d.comb += self._seeks.eq(1)
                m.next = "Check the header"
            with m.State("Check the header"):
                self._check(m)
            with m.State("Fetch an instruction"):
                self._fetch(m)
            with m.State("Write words"):
                self._write(m)
            with m.State("Set the count"):
                self._request(m, self._there, Const(self._at["count"]), self.word.payload)
                m.d.comb += self.word.ready.eq(self.request.ready)
                with m.If(self._there & self.word.ready):
                    m.next = "Fetch the number of samples"
            self._samples(m, words)
            with m.State("Compare"):
                self._compare(m)
        return m

    def _request(self, m, valid, address, data, *, write=1):
        request = self.request
        m.d.comb += [
            request.valid.eq(valid),
            request.payload.write.eq(write),
            request.payload.address.eq(address),
            request.payload.data.eq(data),
        ]

    def _end(self, m):
        m.d.sync += self.running.eq(0)
        m.next = "Rest"

    def _rest(self, m):
        with m.If(self.press):
            m.d.sync += [
                *(each.eq(0) for each in (self.wrong, self.done, self.lights, self._stops, self._left)),
                self._position.eq(self.base // 4),
                self.running.eq(1),
            ]
            m.next = "Await the flash"

    def _check(self, m):
        digest = int(self.spec.digest, 16)
        expected = [MAGIC, digest >> 32, digest & 0xFFFFFFFF, *[0] * (len(HEADER) - CHECKED)]
        number, differs = self._left[: (len(HEADER) - 1).bit_length()], Signal(name="differs")
        words = Array([Const(each, WORD) for each in expected])
        m.d.comb += self.word.ready.eq(1)
        m.d.sync += differs.eq(0)
        with m.If(self._there):
            m.d.sync += [self._left.eq(self._left + 1), differs.eq((number < CHECKED) & (self.word.payload != words[number]))]
            with m.If(number == len(HEADER) - 1):
                m.next = "Fetch an instruction"
        with m.If(differs):
            m.d.sync += self.wrong.eq(1)
            self._end(m)

    def _fetch(self, m):
        operation = self.word.payload[28:]
        m.d.comb += self.word.ready.eq(~self._stops)
        with m.If(self._stops):
            self._end(m)
        with m.Elif(self._there):
            m.d.sync += [
                self._operand.eq(self.word.payload),
                self._left.eq(self.word.payload),
                self._infers.eq(operation == Operation.INFER),
            ]
            with m.Switch(operation):
                with m.Case(Operation.WRITE):
                    m.next = "Write words"
                with m.Case(Operation.TRAIN, Operation.INFER):
                    m.next = "Set the count"
                with m.Case(Operation.END):
                    m.d.sync += self.done.eq(1)
                    self._end(m)
                with m.Default():
                    m.d.sync += self.wrong.eq(1)
                    self._end(m)

    def _write(self, m):
        self._request(m, self._there, self._operand[16:], self.word.payload)
        m.d.comb += self.word.ready.eq(self.request.ready)
        with m.If(self._there & self.word.ready):
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 1):
                m.next = "Fetch an instruction"

    def _samples(self, m, words):
        """Give the command, and stream samples until the core is idle."""
        samples, stopped, more = Signal(SAMPLES_BITS), Signal(), Signal(name="more_samples")
        m.d.sync += more.eq(samples != 0)
        with m.State("Fetch the number of samples"):
            m.d.comb += self.word.ready.eq(1)
            m.d.sync += stopped.eq(0)
            with m.If(self._there):
                m.d.sync += samples.eq(self.word.payload)
                m.next = "Command"
        with m.State("Command"):
            self._request(m, 1, Const(self._at["command"]), Mux(self._infers, Command.INFER, Command.TRAIN))
            m.d.comb += self._target.eq(self._operand)
            with m.If(self.request.ready):
                m.d.comb += self._seeks.eq(1)
                m.next = "Stream samples"
        with m.State("Stream samples"):
            m.d.comb += words.eq(0)
            self._stream(m, samples, more)
            self._request(m, self._stops & ~stopped, Const(self._at["command"]), Const(Command.STOP))
            with m.If(self.request.valid & self.request.ready):
                m.d.sync += stopped.eq(1)
            with m.If(~self.busy & ~self.request.valid):
                m.d.comb += self._seeks.eq(1)
                m.next = "Fetch an instruction"
                with m.If(self._infers & ~self._stops):
                    m.next = "Ask"
        with m.State("Ask"):
            self._request(m, 1, Const(self._at["correct"]), Const(0), write=0)
            m.d.sync += self._left.eq(LIGHTS)
            with m.If(self.request.ready):
                m.next = "Compare"

    def _stream(self, m, samples, more):
        """Stream the values of samples to the core, and drop the bits at the end of each."""
        layout = self.layout
        index = Signal(range(max(2, layout.inputs, layout.targets)))
        part, parts = Signal(2), [(layout.inputs, layout.input_bits), (layout.targets, layout.target_bits)]
        if layout.padding:
            parts.append((1, layout.padding))
        ends, value = Signal(), Signal()
        m.d.comb += [
            value.eq(part != 2),
            self.sample.payload.eq(self.word.payload),
            self.sample.valid.eq(self._there & value & more),
        ]
        m.d.comb += self.word.ready.eq(Mux(value, self.sample.ready & more, 1))
        with m.Switch(part):
            for number, (count, width) in enumerate(parts):
                with m.Case(number):
                    m.d.comb += [self.bits.eq(width), ends.eq(index == count - 1)]
        with m.If(self._there & self.word.ready):
            m.d.sync += index.eq(Mux(ends, 0, index + 1))
            with m.If(ends):
                m.d.sync += part.eq(Mux(part == len(parts) - 1, 0, part + 1))
                with m.If(part == len(parts) - 1):
                    m.d.sync += samples.eq(samples - 1)
        with m.If(self.seek):
            m.d.sync += [index.eq(0), part.eq(0)]

    def _compare(self, m):
        """Hold what the core counted against each of the thresholds."""
        reached = self.response.payload[:SAMPLES_BITS] >= self.word.payload[:SAMPLES_BITS]
        m.d.comb += self.word.ready.eq(self.response.valid)
        with m.If(self._there & self.word.ready):
            m.d.sync += [self._left.eq(self._left - 1), self.lights.eq(self.lights << 1 | reached)]
            with m.If(self._left == 1):
                m.d.comb += self.response.ready.eq(1)
                m.next = "Fetch an instruction"
