# amaranth: UnusedElaboratable=no
"""The sequencer of weight perturbation with state issues the slots of its frames and of the tail, in the cycles that it promises."""

import pytest

from python_ref.spec.layers import DENSE, Lif
from rtl_gen.series.weight_sequencer import WeightSequencer
from tests.rtl_gen.series.weight_slots import FLAGS, framed_slots
from tests.support.bench import cycles
from tests.support.series_weight_shapes import WEIGHT_SERIES_SHAPES, weight_series

DEPTH = 12
KINDS = ({"correlate": 1, "perturb": 0, "second": 0, "forward": 1}, {"correlate": 0, "perturb": 1, "second": 1, "forward": 1})
FLUSH = {"correlate": 1, "perturb": 0, "second": 0, "forward": 0}


def issued(spec, length, kinds):
    """Rows of a run of the sequencer: passes that follow one another, as a controller asks for them."""
    sequencer = WeightSequencer(spec, depth=DEPTH)
    fields = [f"slot.{name}" for name in (*FLAGS, *KINDS[0])]
    total = sum(sequencer.pass_cycles_of(length if kind["forward"] else 1) for kind in kinds)
    # The kind of the second pass is there as soon as the first one has started.
    stimuli = [{"start": 1, "length": length, "again": int(len(kinds) > 1), **kinds[0]}, {"start": 0, **kinds[-1]}]
    stimuli += [{}] * (WeightSequencer.START + sequencer.pass_cycles_of(length)) + [{"again": 0}]
    rows = cycles(sequencer, stimuli, [*fields, "done"], extra=total + 10)
    return sequencer, rows, total


@pytest.mark.parametrize("name", ["leaky", "elman", "two-lif", "behind-a-dense-layer", "padded"])
@pytest.mark.parametrize("length", [1, 2])
def test_the_slots_of_a_step_are_those_of_its_passes(name, length):
    spec = WEIGHT_SERIES_SHAPES[name]
    sequencer, rows, total = issued(spec, length, KINDS)
    expected = []
    for kind in KINDS:
        for slot in framed_slots(spec, length):
            correlates = kind["correlate"] and (slot["initial"] or slot["layer"] >= spec.network.framed)
            expected.append({name: slot[name] for name in FLAGS} | kind | {"correlate": int(correlates)})
    shown = [{key.removeprefix("slot."): value for key, value in row.items() if key != "done"} for row in rows if row["slot.valid"]]
    assert shown == expected
    one = sequencer.pass_cycles_of(length)
    assert [n for n, row in enumerate(rows) if row["done"]] == [WeightSequencer.START + one, WeightSequencer.START + total]
    begins = [n for n, row in enumerate(rows) if row["slot.begin"] and row["slot.initial"]]
    assert begins == [WeightSequencer.START + 1 + WeightSequencer.latency + each for each in (0, one)]


def test_a_flush_has_one_frame_and_correlates_every_word():
    spec = WEIGHT_SERIES_SHAPES["leaky"]
    sequencer, rows, _ = issued(spec, 3, (FLUSH,))
    shown = [row for row in rows if row["slot.valid"]]
    assert len(shown) == spec.layout.slots
    assert all(row["slot.correlate"] and not row["slot.forward"] and row["slot.final"] for row in shown)
    assert [n for n, row in enumerate(rows) if row["done"]] == [WeightSequencer.START + sequencer.pass_cycles_of(1)]


def test_a_frame_waits_for_its_outputs_and_a_pass_for_its_neurons():
    sequencer = WeightSequencer(WEIGHT_SERIES_SHAPES["elman"], depth=DEPTH)
    assert (sequencer.frame_cycles, sequencer.tail_cycles) == (5 + DEPTH, 0)
    assert WeightSequencer(WEIGHT_SERIES_SHAPES["leaky"], depth=DEPTH).tail_cycles == 4
    # The 20 neurons of the tail leave one by one; the first group of the next pass has 3 words, and the padding gives them no time.
    late = WeightSequencer(weight_series((1, 2, 20), (Lif(1), DENSE), lanes=20), depth=DEPTH)
    assert late.tail_cycles == 3 + 20 - 2
