"""The checks of the host's side can fail: each planted fault is seen by the check that is there for it."""

import pytest

from tests.rtl_gen import test_framing, test_host, test_linked, test_registers, test_uart
from tests.support.faults import Fault, planted
from tests.support.marks import slow_unless


def bytes_of_another_clock():
    for difference in (-0.02, 0.02):
        test_uart.test_bytes_from_another_clock(12, difference)


def counts():
    test_registers.test_counts_and_captures_are_read_back(1, 1)


def samples():
    test_framing.test_samples_are_cut_anywhere_and_requests_come_between("weight")


def a_number_told():
    for before, after in ((7, 8), (63, 0)):
        test_framing.test_a_number_is_told_whole_though_it_changes_meanwhile(before, after)


def registers():
    test_host.test_every_register("accumulating")


def busy():
    for level in (0, 1):
        test_host.test_a_busy_core_takes_no_write_but_stop(level)


def training():
    test_linked.test_a_core_trains_over_the_line(1)


DAMAGED = test_framing.test_damaged_doubled_and_skipped_frames_are_refused
ESCAPED = test_uart.test_what_is_sent_is_escaped

FAULTS = [
    (
        "sampled too late",
        "serial.uart:Receiver.elaborate",
        "(self.divisor - 1) // 2 - 1",
        "self.divisor - 2",
        test_uart.test_a_bit_is_taken_from_its_middle,
    ),
    (
        "a stop bit is not looked at",
        "serial.uart:Receiver.elaborate",
        "self.stb.eq(self.i), self.error.eq(~self.i)",
        "self.stb.eq(1)",
        test_uart.test_a_byte_without_its_stop_bit_is_an_error,
    ),
    (
        "bits a cycle too long",
        "serial.uart:Receiver.elaborate",
        "wait.eq(self.divisor - 1), due.eq(self.divisor == 1)",
        "wait.eq(self.divisor), due.eq(0)",
        bytes_of_another_clock,
    ),
    (
        "an escape is not escaped",
        "serial.uart:Transmitter.elaborate",
        "(byte == FLAG) | (byte == ESCAPE)",
        "byte == FLAG",
        lambda: ESCAPED(1),
    ),
    (
        "an escaped byte is not inverted",
        "serial.uart:Transmitter.elaborate",
        "(escaped & _bit_of(INVERTED, place))",
        "0",
        lambda: ESCAPED(1),
    ),
    (
        "a checksum without its salt",
        "serial.framing:Checksum.elaborate",
        '_register(SALT + checked(b""))',
        '_register(checked(b"")[4:])',
        DAMAGED,
    ),
    (
        "a checksum is not looked at",
        "serial.framing:FrameReceiver.elaborate",
        "accept.eq(flag & right & in_order)",
        "accept.eq(flag & in_order)",
        DAMAGED,
    ),
    ("a number is not looked at", "serial.framing:FrameReceiver.elaborate", "byte[: len(self.expected)] == self.expected", "1", DAMAGED),
    ("an error of the line is not looked at", "serial.framing:FrameReceiver.elaborate", "some.eq(1), bad.eq(1)", "some.eq(1)", DAMAGED),
    ("what a bad frame left stays", "serial.framing:FrameReceiver.elaborate", "m.d.sync += write.eq(start)", "pass", DAMAGED),
    (
        "a damaged reset is obeyed",
        "serial.framing:FrameReceiver.elaborate",
        "self.reset.eq(flag & right & whole_reset)",
        "self.reset.eq(flag & whole_reset)",
        DAMAGED,
    ),
    (
        "a byte is offered before it is read",
        "serial.framing:FrameReceiver._offer",
        "(takes | taken | moved)",
        "(takes | taken)",
        lambda: test_framing.test_what_comes_out_of_the_ring_is_what_was_sent(1),
    ),
    ("escapes stay", "serial.framing:FrameReceiver.elaborate", "Mux(escaped, INVERTED, 0)", "0", DAMAGED),
    (
        "a full ring is not seen",
        "serial.framing:FrameReceiver.elaborate",
        "overflown.eq(1)",
        "overflown.eq(0)",
        test_framing.test_a_frame_without_room_is_refused,
    ),
    (
        "a full device hears no reset",
        "serial.framing:FrameReceiver.elaborate",
        "whole_reset.eq(is_reset & ~bad)",
        "whole_reset.eq(is_reset & ~bad & ~overflown)",
        test_framing.test_a_reset_is_heard_by_a_device_that_is_full,
    ),
    (
        "a reset leaves the number",
        "serial.framing:FrameReceiver.elaborate",
        "write.eq(0), start.eq(0), self.expected.eq(0)",
        "write.eq(0), start.eq(0)",
        test_framing.test_a_reset_is_heard_by_a_device_that_is_full,
    ),
    (
        "a byte is offered twice",
        "serial.framing:FrameReceiver._offer",
        "(takes | taken | moved)",
        "takes",
        lambda: test_framing.test_what_comes_out_of_the_ring_is_what_was_sent(1),
    ),
    (
        "a number is read while it is sent",
        "serial.framing:FrameSender.elaborate",
        "header[0] | ",
        "Cat(self.expected, C(1, 2)).bit_select(place, 1) & ~(in_data | checking).replicate(1) | ",
        a_number_told,
    ),
    (
        "a reset is forgotten",
        "serial.framing:FrameSender.elaborate",
        "m.d.sync += reset.eq(1)",
        'm.d.sync += reset.eq(at["Idle"])',
        test_framing.test_a_reset_is_answered_whole_whatever_it_cuts_short,
    ),
    ("a sample begins anew in each frame", "serial.framing:FrameExecutor._begin_word", 'at["Begin"] & ~begun', 'at["Begin"]', samples),
    (
        "a frame that does nothing ends a cut word",
        "serial.framing:FrameExecutor._begin_word",
        'at["Begin"] & ~begun',
        'at["Begin"] & ~(kind[1] & begun)',
        samples,
    ),
    (
        "targets as wide as inputs",
        "serial.framing:FrameExecutor._begin_word",
        "C(1 << length - 1, len(word))",
        "C(1 << sample.input_width - 1, len(word))",
        samples,
    ),
    ("padding is taken for a word", "serial.framing:FrameExecutor.elaborate", 'at["Shift"] & whole & padded', "C(0, 1)", samples),
    ("a command is given while busy", "host:HostPort._write", "writing if command is Command.STOP else writable", "writing", busy),
    ("a busy core is not stopped", "host:HostPort._write", "writing if command is Command.STOP else writable", "writable", busy),
    (
        "settings change while busy",
        "host:HostPort.elaborate",
        "writable.eq(first & held.write & ~self.busy)",
        "writable.eq(first & held.write)",
        busy,
    ),
    (
        "the address stands still",
        "host:HostPort.elaborate",
        "self.address.eq(self.address + 1)",
        "self.address.eq(self.address)",
        test_host.test_data_goes_to_the_memories_and_counts_the_address,
    ),
    ("what is nowhere is not 0", "host:HostPort.elaborate", "outside, 0, self.file_data", "0, 0, self.file_data", registers),
    (
        "an answer before all is counted",
        "host:HostPort.elaborate",
        "(self.settled | self.busy)",
        "1",
        test_host.test_a_request_waits_until_all_is_counted,
    ),
    (
        "halves exchanged",
        "host:HostPort.elaborate",
        "zip((self.file_low, self.file_high), halves",
        "zip((self.file_high, self.file_low), halves",
        registers,
    ),
    (
        "a count goes round",
        "registers:RegisterFile._count",
        "Mux(taken[each], counted, waiting[each] + counted)",
        "Mux(taken[each], 0, waiting[each] + counted)",
        counts,
    ),
    (
        "a core is not reset",
        "serial.linked:LinkedCore.elaborate",
        "ResetInserter(reset)(core)",
        "core",
        test_linked.test_a_reset_ends_a_run,
    ),
    (
        "a core is reset for a cycle",
        "serial.linked:LinkedCore.elaborate",
        "m.d.sync += left.eq(RESET_CYCLES - 1)",
        "pass",
        test_linked.test_a_reset_lasts_until_nothing_is_in_flight,
    ),
]


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=each[0], marks=slow_unless(number % 4 == 0)) for number, each in enumerate(FAULTS)]
)
def test_a_planted_fault_is_seen(fault, monkeypatch):
    *what, check = fault
    planted(Fault(*what, design=""), monkeypatch.setattr)
    with pytest.raises(AssertionError):
        check()
