"""The core file by which FuseSoC and Edalize find a core behind a bus."""

from __future__ import annotations

from python_ref.spec.bus import Bus, wrapper_name
from python_ref.spec.learning import LearningSpec

__all__ = ["core_file"]


def core_file(spec: LearningSpec, bus: Bus) -> str:
    """Return the core file, in version 2 of FuseSoC's format.

    The core is ``mgd-hw:learners:<module>``. Its target ``default`` has the Verilog, for a design that depends on it; with ``lint``
    Verilator checks it.
    """
    name = wrapper_name(spec, bus)
    return f"""\
CAPI=2:
name: mgd-hw:learners:{name}:0
description: "{spec.name}, a core that trains itself by multiplexed gradient descent, behind {bus.value}; structure {spec.digest}"

filesets:
  rtl:
    files:
      - design.v
    file_type: verilogSource

targets:
  default: &default
    filesets: [rtl]
    toplevel: {name}
  lint:
    <<: *default
    flow: lint
    flow_options:
      tool: verilator
"""
