"""The sequencer issues the slots of the layout, and leaves the cycles between them that activations, neurons and errors need."""

import itertools

import pytest

from rtl_gen.presentation.sequencer import PassSequencer
from tests.rtl_gen.presentation.slots import FLAGS, drive, pass_slots
from tests.support.node_designs import DEEP_SHAPES, SHAPES, node_design

KINDS = ({"bank": 2}, {"probe": 1, "bank": 1, "minus": 1}, {"probe": 1, "bank": 0}, {"apply": 1, "bank": 2})
DESIGNS = {name: SHAPES[name] for name in ("plain", "one-layer", "one-of-each", "deep", "pipelined", "wide-output")}
DESIGNS["many-groups"] = node_design(sizes=(2, 13, 7), lanes=3)


@pytest.mark.parametrize(("depth", "error_cycles"), [(9, 7), (2, 1), (14, 11)])
@pytest.mark.parametrize("name", DESIGNS)
def test_passes_have_the_slots_of_the_layout_and_wait_as_long_as_they_must(name, depth, error_cycles):
    spec = DESIGNS[name]
    sequencer = PassSequencer(spec, depth=depth, error_cycles=error_cycles)
    kinds = [kind for kind in KINDS if len(spec.network.layers) > 1 or not kind.get("probe")] * 2
    requests, started, rows, ahead = list(kinds), [], [], []

    def each(ctx, cycle):
        kind = requests[0] if requests else {}
        for field in ("probe", "apply", "minus", "bank"):
            ctx.set(getattr(sequencer, field), kind.get(field, 0))
        ctx.set(sequencer.request, bool(requests))
        rows.append({field: ctx.get(sequencer.slot[field]) for field in (*FLAGS, "layer", "bank")})
        ahead.append({field: ctx.get(sequencer.ahead[field]) for field in (*FLAGS, "layer", "bank")})
        if ctx.get(sequencer.started):
            started.append(cycle)
            requests.pop(0)

    cycles = [
        sequencer.apply_cycles if kind.get("apply") else sequencer.probe_cycles if kind.get("probe") else sequencer.unperturbed_cycles
        for kind in kinds
    ]
    drive(sequencer, sum(cycles) + 10, each)
    assert [after - before for before, after in itertools.pairwise(started)] == cycles[:-1]
    assert ahead[:-1] == rows[1:]
    real = [(cycle, row) for cycle, row in enumerate(rows) if row["real"]]
    expected = [slot for kind in kinds for slot in pass_slots(spec, **kind)]
    assert [row for _, row in real] == expected
    for (start, kind), length in zip(zip(started, kinds, strict=True), cycles, strict=True):
        mine = [(cycle - start, row) for cycle, row in real if start < cycle - PassSequencer.latency <= start + length]
        assert mine[0][0] == 1 + PassSequencer.latency
        check_waits(spec, kind, mine, depth, error_cycles)


def check_waits(spec, kind, slots, depth, error_cycles):
    """The waits of a pass, by what they are for; ``slots`` are pairs of a cycle and its fields."""
    placed = spec.layout.layers
    firsts = [(cycle, row["layer"]) for cycle, row in slots if row["first"]]
    lasts = [cycle for cycle, row in slots if row["last"]]
    groups = {layer: [cycle for cycle, number in firsts if number == layer] for _, layer in firsts}
    for (before, layer), (after, following), last in zip(firsts, firsts[1:], lasts, strict=False):
        if kind.get("apply"):
            # The errors of the group that follows come while this one is applied.
            index = groups[following].index(after)
            assert after - before >= placed[following].lanes_of(index) + error_cycles
        elif layer == following:
            assert after - before >= spec.hardware.lanes  # so many neurons leave
        else:
            # The neurons of the layer leave one after the other; the last group's first one is written when the next layer reads it.
            assert after - last - 1 >= depth - (placed[layer].groups - 1) * spec.hardware.lanes


@pytest.mark.parametrize("depth", [2, 11])
@pytest.mark.parametrize("name", ["two-hidden", "three-hidden", "one-output", "wide-inside", "pipelined"])
def test_incremental_probes_have_one_slot_for_each_group_of_the_next_layer(name, depth):
    """The layers behind it have the slots of the layout, from when their inputs are there; no neurons of two probes leave at once."""
    spec = DEEP_SHAPES[name]
    sequencer, placed = PassSequencer(spec, depth=depth, error_cycles=7), spec.layout.layers
    last, lanes = len(placed) - 1, spec.hardware.lanes
    begins = [first for pair in itertools.product(range(1, last + 1), repeat=2) for first in pair]
    requests, started, rows, fields = list(begins), [], [], (*FLAGS, "single", "layer", "bank")

    def each(ctx, cycle):
        ctx.set(sequencer.layer, requests[0] if requests else 0)
        ctx.set(sequencer.bank, len(requests) % 2)
        ctx.set(sequencer.probe, 1)
        ctx.set(sequencer.request, bool(requests))
        rows.append({field: ctx.get(sequencer.slot[field]) for field in fields})
        if ctx.get(sequencer.started):
            started.append(cycle)
            requests.pop(0)

    lengths = [sequencer.probe_cycles_from(layer) for layer in begins]
    drive(sequencer, sum(lengths) + 10, each)
    assert [after - before for before, after in itertools.pairwise(started)] == lengths[:-1]
    real = [(cycle, row) for cycle, row in enumerate(rows) if row["real"]]
    expected, groups = [], []
    for place, first in enumerate(begins):
        bank = (len(begins) - place) % 2
        for number in range(first, last + 1):
            for group in range(placed[number].groups):
                words = placed[number].group_words if number > first else 1
                groups.append((place, number, placed[number].lanes_of(group), group == placed[number].groups - 1, words))
                expected += [
                    {
                        "real": 1,
                        "first": int(k == 0),
                        "last": int(k == words - 1),
                        "tail": int(groups[-1][3]),
                        "apply": 0,
                        "minus": 0,
                        "begin": int(group == k == 0),
                        "single": int(number == first),
                        "layer": number,
                        "bank": bank,
                    }
                    for k in range(words)
                ]
    assert [row for _, row in real] == expected
    firsts, lasts = ([cycle for cycle, row in real if row[name]] for name in ("first", "last"))
    for (before, following), end, (start, after) in zip(
        itertools.pairwise(groups), lasts, zip(firsts[1:], lasts[1:], strict=True), strict=False
    ):
        place, number, neurons, is_tail, _ = before
        assert after - end >= neurons + (following[0] != place)
        if is_tail and following[0] == place:
            assert start - end - 1 >= depth - (placed[number].groups - 1) * lanes
    # The cost changes of two probes are apart, also where a short one follows a long one.
    ends = [
        end for end, (before, following) in zip(lasts, itertools.pairwise([*groups, (None,)]), strict=True) if before[0] != following[0]
    ]
    for (before, first), (after, second) in itertools.pairwise(zip(ends, begins, strict=True)):
        assert after - before >= 5 or first == second == last
