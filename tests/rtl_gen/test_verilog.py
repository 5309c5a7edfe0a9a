# amaranth: UnusedElaboratable=no
"""Verilog of several components at once is what Amaranth writes for each of them."""

import pytest
from amaranth.back import verilog as amaranth_verilog
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.emit import cleaned
from rtl_gen.toolchain import verilog
from rtl_gen.toolchain.verilog import component_verilog, components_verilog
from rtl_gen.toolchain.yosys import YosysError


class Delayed(wiring.Component):
    """A memory behind a register, so that a process, a memory and names chosen by Yosys occur."""

    i: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = kept = memory.Memory(shape=8, depth=16, init=[])
        write, read, count = kept.write_port(), kept.read_port(domain="sync"), Signal(4)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [write.en.eq(self.i[0]), write.addr.eq(count), write.data.eq(self.i), read.addr.eq(self.i[:4]), self.o.eq(read.data)]
        with m.If(self.i == 3):
            m.d.sync += count.eq(0)
        return m


class Inverted(wiring.Component):
    """Another component, with a port of the same name."""

    i: In(3)
    o: Out(3)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(~self.i)
        return m


def test_one_process_writes_what_one_for_each_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    kinds = (("first", Delayed), ("second", Inverted), ("third", Delayed))
    expected = [amaranth_verilog.convert(kind(), name=name, emit_src=False, strip_internal_attrs=True) for name, kind in kinds]
    found = components_verilog([(kind(), name) for name, kind in kinds])
    assert [cleaned(text) for text in found] == [cleaned(text) for text in expected]
    assert found[:2] == expected[:2]
    assert component_verilog(Inverted(), "second") == expected[1]


def test_a_failure_of_yosys_is_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(verilog.rtlil, "convert", lambda *_, **__: "nonsense")
        with pytest.raises(YosysError, match=r"^Yosys failed: ERROR: .*"):
            component_verilog(Inverted(), "second")
    monkeypatch.setattr(verilog, "_YOSYS", "no_such_yosys")
    with pytest.raises(YosysError, match=r"^Yosys failed: .*: No module named no_such_yosys\. "):
        component_verilog(Inverted(), "second")
