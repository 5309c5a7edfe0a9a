"""Links to cores: their names, how they are opened, and a session over one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.device.serve import VIRTUAL
from python_ref.spec.error import naming

if TYPE_CHECKING:
    from mgd_hw.common.progress import Progress
    from mgd_hw.device.session import AnyLink, Session
    from python_ref.spec.learning import LearningSpec

__all__ = ["LITEX", "MEMORY", "check_port", "connector", "keep_former", "run_session"]

MEMORY, LITEX = "mmio:", "litex:"
"""Beginnings of the names of links to a window of memory: this processor's, and that of a LiteX SoC."""


def check_port(link: str, baud: int, name: str) -> None:
    """Refuse a link of the design ``name`` that cannot be opened, before anything is compiled; a TCP server may accept only one
    connection, so skip it."""
    from boards.link import open_litex, open_memory, open_port, require_pyserial

    with naming(key="--link", value=link):
        if link == VIRTUAL:
            require_pyserial()
        elif link.startswith(MEMORY):
            open_memory(link).close()
        elif link.startswith(LITEX):
            open_litex(link, name).close()
        elif not link.startswith("tcp:"):
            open_port(link, baud).close()


def connector(link: str, baud: int, spec: LearningSpec, statistics: Any) -> Callable[[], AnyLink]:
    """Return a function that opens a link to a core, and counts in ``statistics``."""
    from boards.link import MemoryLink, SerialLink, open_litex, open_memory, open_port

    def connect() -> AnyLink:
        if link.startswith((MEMORY, LITEX)):
            window = open_memory(link) if link.startswith(MEMORY) else open_litex(link, spec.name)
            return MemoryLink(window, spec, statistics=statistics)
        port = open_port(link, baud)
        try:
            return SerialLink(port, spec, baud=baud, statistics=statistics)
        except BaseException:
            port.close()
            raise

    return connect


def keep_former(path: Path, begun: object, progress: Progress) -> None:
    """Keep the checkpoint of an earlier run under another name, unless the session resumes from it."""
    if path.exists() and begun is None:
        progress.status(f"Note: {path} is replaced; --resume would continue from it. It is kept as {path.stem}.previous.npz.")
        path.replace(path.with_name(f"{path.stem}.previous.npz"))


def run_session(session: Session, link: str) -> None:
    """Run a session; refusals that concern the link or its other end name the link."""
    from boards.link import LinkLost, PortError
    from sim.error import WrongCore

    with naming(key="--link", value=link, of=(PortError, LinkLost, WrongCore)):
        session.train()
