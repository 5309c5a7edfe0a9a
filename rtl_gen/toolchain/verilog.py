"""Verilog of an Amaranth component, always written by the Yosys of Amaranth's own dependency, so that it is the same on every machine."""

from __future__ import annotations

import os
import threading

from amaranth.back import verilog
from amaranth.lib import wiring

__all__ = ["component_verilog"]

_VARIABLE = "AMARANTH_USE_YOSYS"
_lock = threading.Lock()


def component_verilog(component: wiring.Component, name: str) -> str:
    """Convert a component to Verilog.

    By default Amaranth prefers a Yosys on PATH, and every version of Yosys writes different text. Neither that Yosys nor ``MGD_YOSYS``
    (:func:`rtl_gen.toolchain.yosys.find_yosys`) affects this function.

    Parameters
    ----------
    component : Component
        The component to convert.
    name : str
        Name of the top module in the Verilog.

    Returns
    -------
    str
        Text of the Verilog, without references to source lines.
    """
    with _lock:
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = "builtin"
        try:
            return verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before
