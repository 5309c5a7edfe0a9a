"""What cores of all kinds have alike at the host's side: ports, access to settings and memories, counts and signatures in events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec
from rtl_gen.host import request_layout
from rtl_gen.probe import event_layouts

__all__ = [
    "connect_counts",
    "connect_signature",
    "connect_streams",
    "event_ports",
    "host_ports",
    "memory_access",
    "network_ports",
    "register_access",
    "settings",
]


def host_ports() -> dict[str, Member]:
    """The streams of the host's requests and their responses, by name."""
    return {"request": In(stream.Signature(request_layout)), "response": Out(stream.Signature(32))}


def event_ports(spec: LearningSpec) -> dict[str, Member]:
    """The ports of a core's events, by name: the strobes of all, and the payload of each."""
    events = event_layouts(spec)
    return {"probe_stb": Out(len(events)), **{f"probe_{event}": Out(layout) for event, layout in events.items()}}


def network_ports(spec: DesignSpec, *, starved_port: bool) -> dict[str, Member]:
    """The ports of the core of a network, by name; ``starved`` is among them where ``starved_port`` is true."""
    return {
        **host_ports(),
        "sample": In(stream.Signature(spec.sample_width)),
        "busy": Out(1),
        **({"starved": Out(1)} if starved_port else {}),
        **event_ports(spec),
    }


def settings(host: Any, controller: Any, commands: Iterable[str]) -> list[Any]:
    """Statements that give the controller the host's commands, which both have by these names, and its settings."""
    periods = [f"{name}_period" for name in ("perturbation", "sample", "update")]
    return [
        *(getattr(controller, name).eq(getattr(host, name)) for name in (*commands, *periods)),
        controller.count.eq(host.data),
        controller.loaded.eq(host.load),
    ]


def memory_access(host: Any, array: Any, access: Value) -> list[Any]:
    """Statements that let the host address the memories of the lanes where ``access`` is set, and not a run."""
    return [
        array.host_lane.eq(host.lane),
        array.host_memory.eq(host.memory),
        array.host_address.eq(host.address),
        array.host_mode.eq(access),
        array.host_data.eq(host.data),
        array.host_write.eq(host.write_en),
    ]


def register_access(host: Any, array: Any, registers: Any, busy: Value, waits: Sequence[Value]) -> list[Any]:
    """Statements that let the host read: a word of a memory, the status, and the register file.

    Parameters
    ----------
    host, array, registers : Component
        The host port, the array of lanes and the register file of the core.
    busy : Value
        Whether a run is in progress: bit 0 of the status.
    waits : sequence of Value
        What a run waits for: the bits of the status behind bit 0.
    """
    return [
        host.read_data.eq(array.host_read_data),
        host.busy.eq(busy),
        host.status.eq(Cat(busy, *waits)),
        registers.en.eq(host.file_en),
        registers.address.eq(host.file_address),
        registers.clear.eq(host.clear),
        registers.restart.eq(host.restart),
        registers.running.eq(busy),
        host.file_data.eq(registers.o),
        host.file_low.eq(registers.low),
        host.file_high.eq(registers.high),
        host.settled.eq(registers.settled),
    ]


def connect_streams(m: Module, core: Any, host: Any) -> None:
    """Connect the host port to the streams of :func:`host_ports`."""
    wiring.connect(m, wiring.flipped(core.request), host.request)
    wiring.connect(m, wiring.flipped(core.response), host.response)


def connect_counts(m: Module, core: Any, registers: Any) -> None:
    """Connect the counts of the register file to the fields of a core's events "step" and "learned" that show them."""
    built = {counter.name for counter in registers.counters}
    for event in (core.probe_step, core.probe_learned):
        for name in event.shape().members:
            if name in built:
                m.d.comb += event[name].eq(getattr(registers, f"count_{name}"))


def connect_signature(m: Module, name: str, signature: Any, *, clear: Value, registers: Any, shown: Any) -> None:
    """Connect a signature to its register and to the event that shows it; CLEAR empties it.

    Parameters
    ----------
    m : Module
        Module of the core, to which the statements are added.
    name : str
        What the signature covers: ``"forward"``, passes and costs, or ``"learned"``, the words of updates.
    signature : Component
        Block that computes the signature; its ports are ``clear`` and ``o``.
    clear : Value
        Strobe: the signature starts anew.
    registers : Component
        Register file, which has the input ``i_<name>_signature``.
    shown : View
        Payload of the event, with a field ``signature``.
    """
    m.d.comb += [
        signature.clear.eq(clear),
        getattr(registers, f"i_{name}_signature").eq(signature.o),
        shown.signature.eq(signature.o),
    ]
