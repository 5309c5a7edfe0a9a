"""A C header, a page and an IP-XACT component of a core's registers, which PeakRDL derives from their SystemRDL."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from python_ref.spec.error import Refusal

__all__ = ["COMPONENT", "HEADER", "PAGE", "require_peakrdl", "write_headers"]

HEADER, PAGE, COMPONENT = "registers.h", "registers.md", "component.xml"
"""Names of the files that :func:`write_headers` writes."""


def require_peakrdl() -> None:
    """Check that PeakRDL is installed.

    Raises
    ------
    Refusal
        If one of its packages is not installed.
    """
    try:
        import peakrdl_cheader.exporter  # noqa: F401
        import peakrdl_ipxact  # noqa: F401
        import peakrdl_markdown  # noqa: F401
        import systemrdl  # noqa: F401
    except ImportError:
        raise Refusal("PeakRDL is not installed", "Run: pip install 'mgd-hw[bus]'.", key="--headers") from None


def write_headers(source: Path, folder: Path) -> None:
    """Write a C header, a Markdown page and an IP-XACT component of the registers into a folder.

    Parameters
    ----------
    source : Path
        The address map in SystemRDL.
    folder : Path
        Directory of the three files.

    Raises
    ------
    Refusal
        If PeakRDL is not installed.
    """
    require_peakrdl()
    from peakrdl_cheader.c_standards import CStandard
    from peakrdl_cheader.exporter import CHeaderExporter
    from peakrdl_ipxact import IPXACTExporter, Standard
    from peakrdl_markdown import MarkdownExporter
    from systemrdl import RDLCompiler

    compiler = RDLCompiler()
    with contextlib.redirect_stderr(io.StringIO()):  # which it fills with colours
        compiler.compile_file(str(source))
        top = compiler.elaborate().top
    # Headers of later standards include assert.h, which a compiler for a processor without an operating system lacks.
    CHeaderExporter().export(top, str(folder / HEADER), std=CStandard.gnu99)
    MarkdownExporter().export(top, str(folder / PAGE))
    component = IPXACTExporter(vendor="mgd-hw", library="learners", version="0", standard=Standard.IEEE_1685_2014)
    component.export(top, str(folder / COMPONENT), component_name=top.inst_name)
