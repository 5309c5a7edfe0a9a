"""A C header and a page of a core's registers, which PeakRDL derives from their SystemRDL."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from python_ref.spec.error import Refusal

__all__ = ["HEADER", "PAGE", "require_peakrdl", "write_headers"]

HEADER, PAGE = "registers.h", "registers.md"
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
        import peakrdl_markdown  # noqa: F401
        import systemrdl  # noqa: F401
    except ImportError:
        raise Refusal("PeakRDL is not installed", "Run: pip install 'mgd-hw[bus]'.", key="--headers") from None


def write_headers(source: Path, folder: Path) -> None:
    """Write a C header and a Markdown page of the registers into a folder.

    Parameters
    ----------
    source : Path
        The address map in SystemRDL.
    folder : Path
        Directory of the two files.

    Raises
    ------
    Refusal
        If PeakRDL is not installed.
    """
    require_peakrdl()
    from peakrdl_cheader.exporter import CHeaderExporter
    from peakrdl_markdown import MarkdownExporter
    from systemrdl import RDLCompiler

    compiler = RDLCompiler()
    with contextlib.redirect_stderr(io.StringIO()):  # which it fills with colours
        compiler.compile_file(str(source))
        top = compiler.elaborate().top
    CHeaderExporter().export(top, str(folder / HEADER))
    MarkdownExporter().export(top, str(folder / PAGE))
