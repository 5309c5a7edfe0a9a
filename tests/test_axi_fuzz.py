"""Whatever is done to a core behind AXI4-Lite and AXI4-Stream, it goes on, and learns from whole frames alone; a fault in it is seen."""

import pytest

from tests.fuzz import axi
from tests.fuzz.run import fuzz
from tests.fuzz.targets import TARGETS
from tests.support.faults import Fault, planted

_END, _BRIDGE, _PORT = "bus.frames:FrameBuffer._end", "bus.bridge:Bridge", "bus.axi4lite:Axi4LitePort.elaborate"

FAULTS = (
    Fault("a short frame is trained on", _END, "commit.eq(right & whole & ~long)", "commit.eq(right)", "learned|a run|become"),
    Fault("a long frame is trained on", _END, "commit.eq(right & whole & ~long)", "commit.eq(right & whole)", "learned|a run|become"),
    Fault("a dropped frame counts twice", f"{_BRIDGE}.of_samples", "count.eq(count + 1)", "count.eq(count + 2)", "counted as dropped"),
    Fault(
        "the rest of a frame is a frame",
        _END,
        "skipped.eq(begun & ~(taken & ends))",
        "skipped.eq(0)",
        "learned|a run|become|rest of a frame|steps",
    ),
    Fault("a write of some bytes is executed", f"{_BRIDGE}._check", "~access.strobes.all()", "~access.strobes.any()", "is not refused"),
    Fault("an unaligned address is a register", f"{_BRIDGE}._check", "unaligned | Mux", "Mux", "is not refused|answers"),
    Fault("a run does not refuse a write", f"{_BRIDGE}._check", "& ~self.always(words, stops))", "& 0)", "is not refused"),
    Fault("a refused read shows the register", f"{_BRIDGE}.elaborate", "with m.If(~refused & ~access.write)", "with m.If(1)", "answers"),
    Fault("a response that waits is lost", _PORT, "(self.s_axi_bvalid & ~self.s_axi_bready)", "0", "have not ended"),
    Fault(
        "a refused read has no answer",
        f"{_BRIDGE}.elaborate",
        "with m.If(core & ~refused)",
        "with m.If(core & ~(refused & access.write))",
        "answers|have not ended",
    ),
)
"""Faults, each with a part of what is said of it."""

INPUTS = 120


@pytest.fixture
def fresh(monkeypatch):
    """Boards are built anew, as quickly as can be."""
    axi.end_board()
    monkeypatch.setattr(axi.Driver.__init__, "__defaults__", ("-O0",))
    yield
    axi.end_board()


@pytest.mark.slow
def test_a_core_takes_anything(fresh):
    counts = fuzz(TARGETS["axi"], INPUTS).counts
    assert counts.total() == INPUTS and counts["refused"] > INPUTS // 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=[] if number < 3 else pytest.mark.long) for number, fault in enumerate(FAULTS)]
)
def test_a_fault_is_seen(fault, monkeypatch, fresh):
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError, match=fault.design):
        fuzz(TARGETS["axi"], INPUTS, shrink=False)
