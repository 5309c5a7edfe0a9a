"""The host's end of a serial line, in Amaranth's simulator: frames in, replies out."""

from __future__ import annotations

from amaranth.sim import Simulator

from python_ref.spec.frames import SEQUENCE, Decoder, Frame, Kind, Reply, stuffed

__all__ = ["SerialLine"]


class SerialLine:
    """A host at the line of a component with ``rx`` and ``tx``.

    Attributes
    ----------
    replies : list of Reply
        What the device said so far.
    number : int
        Of the next frame.
    """

    def __init__(self, device, divisor: int):
        self.device = device
        self.divisor = divisor
        self.replies: list[Reply] = []
        self.number = 0
        self._decoder = Decoder()

    def run(self, *procedures, background=()):
        """Run procedures of a simulation context to their ends."""
        simulator = Simulator(self.device)
        simulator.add_clock(1e-6)
        for procedure in procedures:
            simulator.add_testbench(procedure)
        for procedure in (self._listen, *background):
            simulator.add_testbench(procedure, background=True)
        simulator.run()

    async def put(self, ctx, data: bytes, gap=lambda: 0):
        """Send bytes as they are, with ``gap()`` cycles in front of each."""
        for byte in data:
            for _ in range(gap()):
                await ctx.tick()
            for bit in (0, *(byte >> number & 1 for number in range(8)), 1):
                ctx.set(self.device.rx, bit)
                for _ in range(self.divisor):
                    await ctx.tick()

    async def send(self, ctx, kind: Kind, payload: bytes = b""):
        """Send the next frame."""
        await self.put(ctx, stuffed([Frame(kind, self.number, payload).content()]))
        self.number = 0 if kind is Kind.RESET else (self.number + 1) % SEQUENCE

    async def ask(self, ctx, kind: Kind, payload: bytes = b"", patience: int = 100_000) -> Reply:
        """Send the next frame, and return the reply."""
        before = len(self.replies)
        await self.send(ctx, kind, payload)
        await self.until(ctx, before + 1, patience)
        return self.replies[before]

    async def until(self, ctx, count: int, patience: int = 100_000):
        """Wait for as many replies."""
        while len(self.replies) < count:
            patience -= 1
            assert patience > 0, f"the device says no more than {self.replies}"
            await ctx.tick()

    async def _listen(self, ctx):
        while True:
            while ctx.get(self.device.tx):
                await ctx.tick()
            for _ in range(self.divisor + (self.divisor - 1) // 2):
                await ctx.tick()
            byte = 0
            for number in range(8):
                byte |= ctx.get(self.device.tx) << number
                for _ in range(self.divisor):
                    await ctx.tick()
            assert ctx.get(self.device.tx), "a byte must have a stop bit"
            self.replies += [Reply.of(content) for content in self._decoder.feed(bytes((byte,)))]
