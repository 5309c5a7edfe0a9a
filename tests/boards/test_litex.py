"""The link to a core in a LiteX SoC, over LiteX's own server: what it reads and writes, and what it refuses."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.link import LinkLost, LitexWindow, MemoryLink, PortError, open_litex
from boards.link import litex as litex_link
from python_ref.spec.bus import SampleSource, byte_address, window_map
from python_ref.spec.registers import Command
from tests.support.faults import DESIGNS

BASE = 0xA0000000
SPEC = DESIGNS["weight"]
AT = {name: byte_address(register) for name, register in window_map(SPEC, SampleSource.BUS).items()}
MAP = f"# by LiteX\ncsr_base,ctrl,0x0,,\nmemory_region,mgd_{SPEC.name},0x{BASE:x},4096,io\nmemory_region,csr,0x00000000,65536,io\n"


class CommMemory:
    """A bridge that LiteX's server drives, to a memory that is a dict."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.silent = False

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def write(self, address: int, data: list[int]) -> None:
        self.words |= {address + 4 * place: word for place, word in enumerate(data)}

    def read(self, address: int, length: int, burst: str) -> list[int]:
        if self.silent:
            raise TimeoutError
        return [self.words.get(address + 4 * place, 0) for place in range(length)]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[CommMemory, int]]:
    """A bridge, and the port at which LiteX's server serves it."""
    from litex.tools.litex_server import RemoteServer

    monkeypatch.setattr(litex_link, "PATIENCE", 0.2)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    bridge = CommMemory()
    server = RemoteServer(bridge, "localhost", port)
    with contextlib.redirect_stdout(io.StringIO()):
        server.open()

        def serve() -> None:
            with contextlib.suppress(OSError, AttributeError):  # when it is closed, or its bridge says nothing
                server._serve_thread()

        threading.Thread(target=serve, daemon=True).start()
        yield bridge, port
        server.socket.shutdown(socket.SHUT_RDWR)
        server.close()


def test_words_are_read_and_written_at_the_address_of_the_window(served: tuple[CommMemory, int]) -> None:
    bridge, port = served
    window = LitexWindow("localhost", port, BASE)
    bridge.words[BASE + 8] = 0x12345678
    assert window.read(8) == 0x12345678
    window.write(12, 0xFFFFFFFF)
    assert window.read(12) == bridge.words[BASE + 12] == 0xFFFFFFFF
    window.close()


def test_a_link_over_the_server_has_the_map_of_the_soc(
    served: tuple[CommMemory, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge, port = served
    (tmp_path / "csr.csv").write_text(MAP)
    monkeypatch.chdir(tmp_path)
    link = MemoryLink(open_litex(f"litex:localhost:{port}", SPEC.name), SPEC)
    link.write(AT["count"] // 4, 7)
    assert link.read(AT["count"] // 4) == 7 == bridge.words[BASE + AT["count"]]
    assert bridge.words[BASE + AT["command"]] == Command.DISCARD
    link.close()
    open_litex(f"litex:localhost:{port}@{tmp_path}/csr.csv", SPEC.name).close()
    window = open_litex(f"litex:localhost:{port}@0x{BASE + 0x1000:x}", SPEC.name)
    assert window.address == BASE + 0x1000
    window.close()


def test_a_server_that_falls_silent_is_no_zero(served: tuple[CommMemory, int]) -> None:
    """LiteX's own client takes an answer that does not come for a 0."""
    bridge, port = served
    window = LitexWindow("localhost", port, BASE)
    bridge.silent = True
    with pytest.raises(LinkLost, match=r"^The LiteX server does not answer \(.*\)\. Look whether litex_server still runs"):
        window.read(0)
    window.close()
    with pytest.raises(LinkLost, match=r"^The LiteX server does not answer"):
        window.write(0, 1)


def test_links_that_are_refused(served: tuple[CommMemory, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, port = served
    monkeypatch.chdir(tmp_path)
    for name in ("litex:", "litex:localhost", "litex:localhost:", "litex::1", "litex:localhost:99999", "litex:localhost:x@0x0", "tcp:a:1"):
        with pytest.raises(PortError, match=r"^it is not a link to a LiteX server\. Write litex:HOST:PORT, such as litex:loc"):
            open_litex(name, "xor")
    with pytest.raises(PortError, match=r"^csr\.csv, which says where the core is, cannot be read \(No such file or directory\)\. Run"):
        open_litex(f"litex:localhost:{port}", "xor")
    Path("other.csv").write_text(MAP)
    reason = re.escape(f"other.csv has no region mgd_else (it has: mgd_{SPEC.name}, csr). Add the core by add_learner of mgd_else_")
    with pytest.raises(PortError, match=f"^{reason}"):
        open_litex(f"litex:localhost:{port}@other.csv", "else")
    with pytest.raises(PortError, match=r"^no LiteX server can be reached at localhost:1 \(.*refused\)\. Start it: litex_server --uart"):
        open_litex("litex:localhost:1@0x0", "xor")


def test_what_is_no_litex_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts, and says nothing, while LiteX's server names itself."""
    with socket.create_server(("localhost", 0)) as mute:
        monkeypatch.setattr(litex_link, "HELLO", 0.1)
        with pytest.raises(PortError, match=r"\(it does not answer as LiteX's server\)\. Start it"):
            LitexWindow("localhost", mute.getsockname()[1], 0)


def test_without_litex_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "litex.tools.litex_client", None)
    with pytest.raises(PortError, match=r"^LiteX is not installed\. Run: pip install 'mgd-hw\[litex\]'\.$"):
        LitexWindow("localhost", 1, 0)
