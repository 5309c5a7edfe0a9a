"""The driver, against a device that keeps the rules by code of its own, over lines that do not."""

from __future__ import annotations

import random

import pytest

from boards.link import LinkLost, PortError, SerialLink, TcpPort, open_port
from python_ref.spec.error import Refusal
from python_ref.spec.frames import RING_BYTES, Frame, Kind, pack_samples, stuffed
from tests.support.fake_device import FakeDevice, Noise, PipePort
from tests.support.faults import DESIGNS

SPEC = DESIGNS["node"]


def linked(noise: Noise | None = None, answers: Noise | None = None, **more):
    device = FakeDevice(SPEC, **more)
    return device, SerialLink(PipePort(device, noise, answers), SPEC, baud=1_000_000_000)


@pytest.mark.parametrize(("share", "actions"), [(0.0, 100), (0.0003, 60), (0.002, 30), (0.005, 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_all_is_executed_once_and_in_order_whatever_the_line_does(share, actions, seed):
    chosen = random.Random(seed)
    device, link = linked(Noise(share, seed, range(100, 110) if share else range(0)))
    resets = device.resets
    writes, samples = [], bytearray()
    for number in range(actions):
        action = chosen.randrange(3) if number else 0
        if action == 0:
            count = chosen.randrange(1, 90) if number else 60  # more than 300 bytes, so that those numbered from 100 on are among them
            several = [(chosen.randrange(0x40, 0x60), chosen.randrange(1 << 32)) for _ in range(count)]
            for address, data in several:
                link.write(address, data)
            writes += several
        elif action == 1:
            data = chosen.randbytes(chosen.randrange(1, 1200))
            link.send_packed(data)
            link.flush()
            samples += data
        elif writes:
            address = chosen.choice(writes)[0]
            expected = next(data for where, data in reversed(writes) if where == address)
            assert link.read(address) == expected
    link.flush()
    assert device.writes == writes
    assert bytes(device.samples) == bytes(samples)
    assert device.resets == resets
    assert device.overflowed == 0, "no more goes out than the device can keep"
    found = link.statistics
    assert bool(found.errors) == bool(share), found
    assert found.sent > 0 and found.received > 0


@pytest.mark.parametrize("share", [0.0, 0.005])
def test_what_is_read_depends_on_what_was_written_with_it(share):
    device, link = linked(Noise(share, 5), Noise(lost=range(500, 510) if share else range(0)))
    registers = device.registers
    device.memory = {(2, word): 7 * word for word in range(400)}

    def position(word):
        return (registers["select"], 2), (registers["address"], word)

    assert link.read_run(position, registers["data"], 400).tolist() == [7 * word for word in range(400)]
    assert (link.statistics.lost > 0) == (share > 0), "an answer was lost, and asked again with its address"


def test_a_device_is_taken_over_in_whatever_state_it_is():
    device = FakeDevice(SPEC, appetite=0)
    device.receive(stuffed([Frame(Kind.WRITE, 0, b"12345").content()]) + b"half a fr")
    device.busy = 5
    port = PipePort(device)
    port._came += b"garbage~of the pro~gram before"
    device.appetite = 100
    link = SerialLink(port, SPEC)
    assert device.resets == 1 and device.busy == 0
    link.write(0x40, 3)
    link.flush()
    assert device.writes[-1] == (0x40, 3) and len(device.writes) <= 2
    assert link.statistics.errors == 0


def test_a_full_device_is_waited_for_and_is_no_error():
    device, link = linked()
    device.appetite = 0
    link.patience = 0.3
    link.send_packed(bytes(4 * RING_BYTES))
    with pytest.raises(
        Refusal,
        match=r"^The device answers, and for 0\.3 s its core has taken nothing\. That is a fault of the core ",
    ):
        link.flush()
    assert device.overflowed == 0
    assert RING_BYTES - 300 < sum(map(len, device.frames)) < RING_BYTES
    assert link.statistics.errors == 0
    device.appetite = 1
    device, link = linked(appetite=1)
    link.send_packed(bytes(range(256)) * 20)
    link.flush()
    assert bytes(device.samples) == bytes(range(256)) * 20 and link.statistics.errors == 0


def test_nobody_answers():
    class Deaf(PipePort):
        def write(self, data):
            return len(data)

    with pytest.raises(LinkLost, match=r"^Nothing has answered for 0\.2 s\. Load the bitstream of "):
        SerialLink(Deaf(FakeDevice(SPEC)), SPEC, silence=0.2)
    _, link = linked()
    link.silence = 0.2
    link.port.write = lambda data: len(data)
    with pytest.raises(LinkLost, match=r"^Nothing has answered for 0\.2 s\. Load the bitstream of "):
        link.read(0)


def test_a_port_that_goes_and_a_device_that_is_reset_are_told():
    device, link = linked()
    link.port.gone = True
    with pytest.raises(LinkLost, match=r"^The port is gone \(Input/output error\)\. Load the bitstream of "):
        link.read(0)
    device, link = linked()
    device.receive(stuffed([Frame(Kind.RESET, 0).content()]))
    device.expected = 40
    with pytest.raises(LinkLost, match=r"^The device has lost count of the frames: it was reset, or switched off and on\. Load "):
        link.read(0)
    device, link = linked()
    link.port._came += device.receive(stuffed([Frame(Kind.RESET, 0).content()]))
    with pytest.raises(LinkLost, match=r"^The device was reset\. Load the bitstream of "):
        link.read(0)
    link.close()
    assert link.port.closed


def test_a_core_that_stays_busy_is_told():
    device, link = linked()
    device.busy = 10**9
    link.patience = 0.1
    device.values[device.registers["steps"]] = 1234
    with pytest.raises(
        Refusal,
        match=r"^The core is busy, and for 0\.1 s has ended no step after 1,234\. That is a fault of the core ",
    ):
        link.wait_idle()


def test_samples_are_words_or_packed():
    device, link = linked()
    row = SPEC.network.n_in + SPEC.network.n_out
    words = list(range(3 * row))
    for word in words:
        link.send([word])
    link.wait_idle()
    import numpy as np

    assert bytes(device.samples) == pack_samples(SPEC, np.array(words).reshape(3, row))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("usb", "it is not a link"),
        ("serial:", "it is not a link"),
        ("tcp:host", "it is not a link"),
        ("serial:/dev/there-is-none", "there is no port /dev/there-is-none"),
        ("serial:/dev/null@fast", "fast is not a number of bits per second"),
        ("serial:/dev/null", r"/dev/null cannot be opened \("),
        ("tcp:127.0.0.1:1", r"127\.0\.0\.1:1 cannot be opened \(.*refused"),
        ("tcp:127.0.0.1:99999", r"127\.0\.0\.1:99999 cannot be opened \("),
    ],
)
def test_ports_that_cannot_be_opened(name, reason):
    with pytest.raises(PortError, match=rf"^{reason}"):
        open_port(name)


def test_a_port_is_opened_once():
    import os

    ours, theirs = os.openpty()
    port = open_port(f"serial:{os.ttyname(theirs)}")
    with pytest.raises(PortError, match=r"^/dev/\S+ is in use by another program\. End that program, or name another port\.$"):
        open_port(f"serial:{os.ttyname(theirs)}")
    port.close()
    os.close(ours)
    os.close(theirs)


def test_a_connection_is_a_port():
    import socket
    import threading

    device = FakeDevice(SPEC)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(device.receive(data))

        thread = threading.Thread(target=serve)
        thread.start()
        port = open_port(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        assert isinstance(port, TcpPort)
        link = SerialLink(port, SPEC)
        link.write(0x40, 0x7E7D7E7D)
        assert link.read(0x40) == 0x7E7D7E7D
        link.close()
        thread.join()
    assert link.statistics.errors == 0
