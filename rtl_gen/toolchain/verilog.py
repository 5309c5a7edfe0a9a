"""Verilog from an Amaranth component, always by the Yosys in Amaranth's own wheel: the same design has the same Verilog everywhere."""

from __future__ import annotations

import os
import threading

from amaranth.back import verilog
from amaranth.lib import wiring

__all__ = ["component_verilog"]

_VARIABLE = "AMARANTH_USE_YOSYS"
_lock = threading.Lock()


def component_verilog(component: wiring.Component, name: str) -> str:
    """The Verilog of a component.

    Amaranth by default takes a Yosys on PATH before its own, and each version writes other text. Neither that one nor ``MGD_YOSYS``
    (:func:`rtl_gen.toolchain.yosys.find_yosys`) has an influence here.

    Parameters
    ----------
    component : Component
        The component.
    name : str
        The name of its module.

    Returns
    -------
    str
        The Verilog, without references to source lines.
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
