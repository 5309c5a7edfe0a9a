"""The link for a window of memory: which accesses it makes, and what it refuses. `tests.rtl_gen.bus` trains a core over it."""

import mmap
import re
from collections import Counter

import numpy as np
import pytest

from boards.link import DeviceMemory, MemoryLink, PortError, open_memory
from python_ref.spec.bus import SampleSource, byte_address, window_map
from python_ref.spec.error import Refusal
from python_ref.spec.frames import pack_samples, unpack_samples
from python_ref.spec.registers import Command, Status
from tests.support.faults import DESIGNS

SPEC = DESIGNS["weight"]
AT = {name: byte_address(register) for name, register in window_map(SPEC, SampleSource.BUS).items()}


DISCARD = (AT["command"], int(Command.DISCARD))


class Stored:
    """A window of a core that is busy until it has taken so many words, with room for a few at once, and idle before the first write."""

    def __init__(self, needed, room=4):
        self.needed, self.room, self.words, self.written, self.reads = needed, room, [], [], Counter()

    def read(self, offset):
        self.reads[offset] += 1
        busy = self.written and len(self.words) < self.needed
        if offset == AT["status"]:
            return Status.BUSY if busy else 0
        return self.room if offset == AT["sample_room"] and busy else 0

    def write(self, offset, value):
        assert 0 <= value < 1 << 32
        if offset == AT["sample"]:
            self.words.append(value)
        else:
            self.written.append((offset, value))


def test_samples_are_written_while_the_core_is_busy_and_no_more_than_there_is_room_for():
    window = Stored(needed=10)
    link = MemoryLink(window, SPEC)
    link.send([-1, *range(19)])
    link.write(5, -3)
    link.wait_idle()
    assert window.written == [DISCARD, (20, 0xFFFFFFFD)]
    assert window.words == [0xFFFFFFFF, *range(11)]
    window.needed = 20
    link.wait_idle()
    assert window.words == [0xFFFFFFFF, *range(19)]


def test_a_core_that_keeps_up_is_read_once_for_each_room_it_offers():
    """Over the bridge of a SoC each read is a round trip: none is made of the status and the steps while samples are taken."""
    window = Stored(needed=400)
    link = MemoryLink(window, SPEC)
    link.write(5, 1)
    window.reads.clear()
    link.send(range(400))
    link.wait_idle()
    assert len(window.words) == 400
    assert window.reads == {AT["sample_room"]: 100, AT["status"]: 1}


def test_a_link_ends_what_was_under_way():
    class Busy(Stored):
        def read(self, offset):
            stopped = (AT["command"], int(Command.STOP)) in self.written
            return int(not stopped) if offset == AT["status"] else super().read(offset)

    window = Busy(needed=0)
    MemoryLink(window, SPEC)
    assert window.written == [(AT["command"], int(Command.STOP)), DISCARD]


@pytest.mark.parametrize("name", DESIGNS)
def test_packed_samples_are_unpacked(name):
    spec = DESIGNS[name]
    shape = (5, spec.network.n_in + spec.network.n_out)
    words = np.random.default_rng(1).integers(-(1 << 20), 1 << 20, shape)
    widths = [spec.formats.input.width] * spec.network.n_in + [spec.formats.activation.width] * spec.network.n_out
    np.testing.assert_array_equal(unpack_samples(spec, pack_samples(spec, words)), words & ((1 << np.array(widths)) - 1))


def test_a_core_that_waits_for_ever_is_reported():
    link = MemoryLink(Stored(needed=10), SPEC, patience=0.01)
    link.send([1] * 4)
    with pytest.raises(Refusal, match=r"^The core is busy, and for 0\.01 s has ended no step after 0; no samples are left to send\. Queue"):
        link.wait_idle()
    stuck = MemoryLink(Stored(needed=10, room=0), SPEC, patience=0.01)
    stuck.send([1])
    with pytest.raises(Refusal, match=r"^The core is busy, and for 0\.01 s has ended no step after 0\. That is a fault of the core"):
        stuck.wait_idle()


def test_a_file_is_mapped_at_an_address(tmp_path):
    page = mmap.ALLOCATIONGRANULARITY
    path = tmp_path / "memory"
    path.write_bytes(bytes(page) + b"\x01\x02\x03\x04\x05\x06\x07\x08" + bytes(page))
    window = DeviceMemory(page, str(path))
    assert (window.read(0), window.read(4)) == (0x04030201, 0x08070605)
    window.write(4, 0xAABBCCDD)
    window.close()
    assert path.read_bytes()[page : page + 8] == b"\x01\x02\x03\x04\xdd\xcc\xbb\xaa"


def test_a_link_names_an_address_and_a_file(tmp_path):
    path = tmp_path / "memory"
    path.write_bytes(b"\x07" + bytes(mmap.ALLOCATIONGRANULARITY))
    window = open_memory(f"mmio:0x0@{path}")
    assert window.read(0) == 7
    window.close()
    for name in ("mmio:", "mmio:43c0g", "mmio:0xzz", "mmio:-4096", "mem:0x0"):
        with pytest.raises(PortError, match=r"^it is not a link to a window of memory\. Write mmio:ADDRESS, such as mmio:0x43c00000, or "):
            open_memory(name)


def test_what_cannot_be_mapped_is_refused(tmp_path):
    with pytest.raises(PortError, match=r"^0x43c00010 is not the address of a page\. Name a multiple of 0x"):
        DeviceMemory(0x43C00010)
    missing = str(tmp_path / "missing")
    with pytest.raises(PortError, match=rf"^{re.escape(missing)} cannot be mapped at 0x0 \(.*No such file.*\)\. Run as root, or name"):
        DeviceMemory(0, missing)
