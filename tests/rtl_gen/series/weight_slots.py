"""The slots of a pass of weight perturbation with state, written down from the layout rather than by the sequencer."""

from __future__ import annotations

from python_ref.spec.design import DesignSpec

__all__ = ["FLAGS", "framed_slots"]

FLAGS = ("valid", "real", "first", "last", "tail", "begin", "initial", "final", "turns", "recurrent", "layer")
"""Fields of a slot that do not depend on the kind of its pass."""


def framed_slots(spec: DesignSpec, frames: int) -> list[dict[str, int]]:
    """Slots of a pass of so many frames and of the tail, without the cycles between them, each with the numbers of its frame and slot."""
    layers, framed, found = spec.layout.layers, spec.network.framed, []
    visits = [(frame, number) for frame in range(frames) for number in range(framed)]
    for frame, number in [*visits, *((frames - 1, number) for number in range(framed, len(layers)))]:
        placed, n_in = layers[number], spec.network.layers[number].n_in
        turning = n_in if spec.network.layers[number].kind.recurrent else -1
        for group in range(placed.groups):
            for k in range(placed.group_slots):
                found.append(
                    {
                        "valid": 1,
                        "real": int(k < placed.group_words),
                        "first": int(k == 0),
                        "last": int(k == placed.group_words - 1),
                        "tail": int(group == placed.groups - 1),
                        "begin": int(number == group == k == 0),
                        "initial": int(frame == 0),
                        "final": int(frame == frames - 1),
                        "turns": int(k == turning),
                        "recurrent": int(turning >= 0 and turning < k < placed.group_words),
                        "layer": number,
                        "frame": frame,
                        "slot": placed.first_slot + group * placed.group_slots + k,
                    }
                )
    return found
