"""The registers of a core behind a bus as SystemRDL, which tools for drivers, documentation and verification read."""

from __future__ import annotations

from python_ref.spec.bus import Bus, Feeding, Interrupt, SampleSource, byte_address, window_map, wrapper_name
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Register, Status

__all__ = ["systemrdl"]

_ACCESS = {"r": "sw = r; hw = w;", "w": "sw = w; hw = r;", "rw": "sw = rw; hw = rw;"}
"""Properties of a field, by the accesses that a register permits."""


def systemrdl(spec: LearningSpec, bus: Bus, samples: Feeding) -> str:
    """Return the address map of a core behind a bus in SystemRDL 2.0.

    A register of several words is an array of registers of 32 bits, low word first. The bits of ``status`` and of the interrupts are
    fields of their own; all other registers have one field ``value``.
    """
    name = wrapper_name(spec, bus)
    lines = [
        f"// The registers of {name}, structure {spec.digest}, written by mgd-hw.",
        f"addrmap {name} {{",
        f'  name = "{name}";',
        f'  desc = "A core that trains itself by multiplexed gradient descent, behind {bus.value}.";',
        "  littleendian;",
        "  default regwidth = 32;",
        "  default accesswidth = 32;",
    ]
    for register in window_map(spec, samples).values():
        lines += _register(register, _fields(register, samples))
    return "\n".join([*lines, "};", ""])


def _fields(register: Register, samples: Feeding) -> list[tuple[str, str, str]]:
    """The fields of a register: name, range of bits, and properties."""
    access = _ACCESS[register.access]
    if register.name == "status":
        return [((each.name or "").lower(), _bit(each), access) for each in Status]
    if register.name in ("interrupt_status", "interrupt_enable"):
        clears = " onwrite = woclr;" if register.name == "interrupt_status" else " reset = 0;"
        bits = [each for each in Interrupt if samples is SampleSource.AXI4_STREAM or each is not Interrupt.FRAME_ERROR]
        return [((each.name or "").lower(), _bit(each), access + clears) for each in bits]
    return [("value", "[31:0]", access)]


def _bit(flag: int) -> str:
    place = flag.bit_length() - 1
    return f"[{place}:{place}]"


def _register(register: Register, fields: list[tuple[str, str, str]]) -> list[str]:
    meaning = register.meaning.replace("\\", "\\\\").replace('"', '\\"')
    many = f"[{register.words}]" if register.words > 1 else ""
    return [
        "  reg {",
        f'    name = "{register.name}";',
        f'    desc = "{meaning}";',
        *(f"    field {{ {properties} }} {name}{bits};" for name, bits, properties in fields),
        f"  }} {register.name}{many} @ 0x{byte_address(register):03X};",
    ]
