# amaranth: UnusedElaboratable=no
"""The buffer of samples: whole samples in order, and nothing of any other frame, whatever the stalls of both sides."""

import random
from itertools import chain

import pytest
from amaranth.sim import Simulator

from rtl_gen.bus.frames import FrameBuffer

SHARES = [(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4)]


def run(buffer, offered, *, stalls=(0, 0), seed=1, discards=()):
    """Words that leave, number of frames dropped, and number of cycles until all offered words are taken.

    Parameters
    ----------
    buffer : FrameBuffer
        The buffer.
    offered : list of (int, int)
        Words, each with ``last``.
    stalls : (float, float)
        Share of the cycles in which each side stalls.
    seed : int
        Seed of the stalls.
    discards : sequence of int
        Numbers of offered words before each of which the buffer is emptied.
    """
    rng, gone = random.Random(seed), []
    counts = {"dropped": 0, "cycles": 0}

    async def watch(ctx):
        async for _, _, dropped in ctx.tick().sample(buffer.dropped):
            counts["dropped"] += dropped

    async def receive(ctx):
        while True:
            ctx.set(buffer.sample.ready, rng.random() >= stalls[1])
            _, _, valid, ready, word = await ctx.tick().sample(buffer.sample.valid, buffer.sample.ready, buffer.sample.payload)
            if valid and ready:
                gone.append(word)

    async def send(ctx):
        for number, (word, last) in enumerate(offered):
            if number in discards:
                gone.clear()
                ctx.set(buffer.discard, 1)
                await ctx.tick().repeat(2)
                ctx.set(buffer.discard, 0)
                gone.clear()
            while rng.random() < stalls[0]:
                await ctx.tick()
            ctx.set(buffer.i.payload, {"word": word, "last": last})
            ctx.set(buffer.i.valid, 1)
            taken = False
            while not taken:
                _, _, taken = await ctx.tick().sample(buffer.i.ready)
                counts["cycles"] += 1
            ctx.set(buffer.i.valid, 0)
        await ctx.tick().repeat(100)

    simulator = Simulator(buffer)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=True)
    simulator.add_process(watch)
    simulator.run()
    return gone, counts["dropped"], counts["cycles"]


def frame(words):
    return [(word, number == len(words) - 1) for number, word in enumerate(words)]


@pytest.mark.parametrize("stalls", SHARES)
@pytest.mark.parametrize("words", [2, 3, 8])
def test_frames_of_the_right_length_leave_and_no_others(words, stalls):
    rng = random.Random(words)
    given = [[rng.randrange(256) for _ in range(rng.choice((words, words, words, words - 1, words + 1, 1, 3 * words)))] for _ in range(30)]
    gone, dropped, _ = run(FrameBuffer(8, words, framed=True), list(chain(*map(frame, given))), stalls=stalls)
    assert gone == list(chain(*(each for each in given if len(each) == words)))
    assert dropped == sum(len(each) != words for each in given) > 0


@pytest.mark.parametrize("stalls", SHARES)
def test_without_frames_every_few_words_are_a_sample(stalls):
    given = [random.Random(2).randrange(256) for _ in range(32)]
    gone, dropped, _ = run(FrameBuffer(8, 3, framed=False), [(word, word & 1) for word in given], stalls=stalls)
    assert gone == given[:30] and dropped == 0


@pytest.mark.parametrize("framed", [False, True])
def test_a_word_is_taken_in_every_cycle(framed):
    given = list(chain(*(frame([number] * 5) for number in range(20))))
    gone, _, cycles = run(FrameBuffer(8, 5, framed=framed), given)
    assert cycles == len(given) == len(gone)


def test_what_is_discarded_never_leaves_and_the_rest_of_its_frame_is_skipped():
    given = [*frame([1, 2, 3]), *frame([4, 5, 6]), *frame([7, 8, 9]), *frame([10, 11, 12])]
    expected = {6: [7, 8, 9, 10, 11, 12], 7: [10, 11, 12], 8: [10, 11, 12], 9: [10, 11, 12]}
    for place, left in expected.items():
        gone, dropped, _ = run(FrameBuffer(8, 3, framed=True), given, discards=[place])
        assert (gone, dropped) == (left, 0), place
    gone, _, _ = run(FrameBuffer(8, 3, framed=False), given[:11], discards=[5])
    assert gone == [6, 7, 8, 9, 10, 11]


def test_a_sample_of_one_word_is_refused():
    with pytest.raises(ValueError, match=r"^A sample must have 2 words or more, not 1$"):
        FrameBuffer(8, 1, framed=True)
