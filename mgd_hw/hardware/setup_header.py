"""A C header with what a program on a SoC's processor writes to a core behind a bus before its first step."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from python_ref.spec.bus import Bus
    from python_ref.spec.learning import LearningSpec

__all__ = ["SETUP", "setup_header"]

SETUP = "setup.h"
"""Name of the file."""

_LONGEST = 0xFFFF
"""Most words of one group."""
_ROW = 8
"""Words in a line of the file."""

_TEXT = """\
/* How a host sets up {top} for the run of {design} from step 0: structure {digest}, random signs of seed {seed}. Written by mgd-hw. */

#ifndef {guard}_SETUP_H
#define {guard}_SETUP_H

#include "registers.h"

/* The window of the core. Its alignment makes each access one of 32 bits, as the core takes them; the structure alone is packed, and
   compilers may access its words byte by byte. */
typedef volatile {name}_t {name}_window __attribute__((aligned(4)));

/* Groups of writes: a byte offset in the window (bits 0 to 15) and a number of words (bits 16 to 31), then these words, each of which is
   written to that offset. They load the parameters, the other memories, the periods and the random streams, and clear the counters. */
static const uint32_t {name}_setup[{length}] = {{
{words}
}};

/* A step, and the value of the register exponent from that step on: a run ends there, and the next one begins. */
static const struct {{
    uint32_t step;
    int32_t exponent;
}} {name}_rates[{changes}] = {{{rates}}};

/* Set up a core, which must be idle. */
static inline void {name}_set_up({name}_window *window) {{
    const uint32_t *at = {name}_setup, *end = at + {length};
    while (at < end) {{
        volatile uint32_t *word = (volatile uint32_t *)((volatile char *)window + (*at & 0xffff));
        for (uint32_t left = *at++ >> 16; left; left--)
            *word = *at++;
    }}
}}

#endif
"""


def setup_header(spec: LearningSpec, bus: Bus, parameters: np.ndarray) -> str:
    """Return the header of a core behind a bus.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core.
    bus : Bus
        Bus that the core is behind, by which its module and these names are called.
    parameters : array of int, shape (P,)
        Raw parameters from which the run starts.
    """
    from python_ref.spec.bus import bus_commands, wrapper_name
    from python_ref.spec.registers import Command, register_map
    from sim import host
    from sim.program import ProgramLink

    link = ProgramLink()
    if Command.DISCARD in bus_commands(spec):
        link.write(register_map(spec)["command"].address, Command.DISCARD)
    host.prepare(spec, link, parameters)
    words: list[int] = []
    for address, group in groupby(link.program().ops.tolist(), key=lambda op: op[1]):
        values = [value for _, _, value in group]
        for first in range(0, len(values), _LONGEST):
            some = values[first : first + _LONGEST]
            words += [len(some) << 16 | 4 * address, *some]
    lines = [", ".join(f"0x{word:08x}" for word in words[first : first + _ROW]) for first in range(0, len(words), _ROW)]
    name = wrapper_name(spec, bus)
    return _TEXT.format(
        top=name,
        name=name,
        guard=name.upper(),
        design=spec.name,
        digest=spec.digest,
        seed=spec.perturbation.seed,
        length=len(words),
        words=",\n".join(f"    {line}" for line in lines),
        changes=len(spec.exponent_changes),
        rates=", ".join(f"{{{step}, {spec.exponent_at(step)}}}" for step in spec.exponent_changes),
    )
