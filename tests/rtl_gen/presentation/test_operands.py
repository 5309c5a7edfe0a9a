"""The operands of every slot: inputs, activations of the pass's own bank, the 1 of a bias, and their form in an applying pass."""

import random
from fractions import Fraction

import pytest

from rtl_gen.presentation.arithmetic import adds_in_multiplier
from rtl_gen.presentation.operands import Operands
from tests.rtl_gen.presentation.slots import IDLE, drive, pass_slots
from tests.support.faults import DESIGNS
from tests.support.node_designs import SHAPES

SPECS = {
    name: SHAPES[name] for name in ("plain", "deep", "pipelined", "one-layer", "fine-input", "signed-input", "more-lanes-than-neurons")
}
SPECS |= {name: DESIGNS[name] for name in ("floor_probes", "fused_probes")}


@pytest.mark.parametrize("name", SPECS)
def test_every_slot_has_its_operand(name):
    spec, rng = SPECS[name], random.Random(name)
    operands, latency = Operands(spec), Operands.latency(spec)
    form, n, n_in = spec.formats.activation, spec.network.n_neurons, spec.network.n_in
    limits = [(spec.formats.input, n_in), (form, spec.network.n_out)]
    sample = [[rng.randint(each.min, each.max) for each, count in limits for _ in range(count)] for _ in range(2)]
    y = {bank: [rng.randint(form.min, form.max) for _ in range(n)] for bank in range(3)}
    numbers = [number for number, placed in enumerate(spec.layout.layers) for _ in range(placed.layer.n_out)]
    passes = [{"bank": 2}, {"bank": 1, "probe": 1}, {"bank": 0, "probe": 1, "minus": 1}, {"bank": 2, "apply": 1}, {"bank": 2, "apply": 1}]
    passes = [kind for kind in passes if len(numbers) > spec.network.n_out or not kind.get("probe")]
    load = 4 * len(sample[0]) + 8
    rows = [IDLE] * (load + 3 * n + 3)
    wanted, updates = {}, [1] * len(rows)
    for place, kind in enumerate(passes):
        due = place < len(passes) - 1
        k, group_layer = 0, 0
        for slot in pass_slots(spec, **kind, wait=2):
            k = 0 if slot["first"] else k + 1
            if slot["real"]:
                group_layer = slot["layer"]
                fraction = spec.operand_format(group_layer).fraction_bits
                first = sum(placed.layer.n_out for placed in spec.layout.layers[: group_layer - 1]) if group_layer else 0
                x = 1 << fraction if k == 0 else sample[0][k - 1] if group_layer == 0 else y[kind["bank"]][first + k - 1]
                used = due or not adds_in_multiplier(spec)
                wanted[len(rows) + latency] = Fraction(x, 1 << fraction) * used, kind.get("apply", 0), fraction
            else:
                wanted[len(rows) + latency] = Fraction(0), 0, 0
            rows.append(slot)
            updates.append(due)
    rows += [IDLE] * (latency + 2)
    updates += [0] * (latency + 2)
    queue, found, taken = [value for each in sample for value in each], [], [False]

    def each(ctx, cycle):
        after = rows[cycle + 1] if cycle + 1 < len(rows) else IDLE
        for field, value in rows[cycle].items():
            ctx.set(operands.slot[field], value)
        for field, value in after.items():
            ctx.set(operands.ahead[field], value)
        ctx.set(operands.update, updates[min(cycle + 1, len(updates) - 1)])
        ctx.set(operands.sample.valid, bool(queue))
        if queue:
            ctx.set(operands.sample.payload, queue[0])
        if queue and ctx.get(operands.sample.ready):
            queue.pop(0)
        take = bool(ctx.get(operands.available)) and not taken[0]
        taken[0] = taken[0] or take
        ctx.set(operands.take, take)
        written = cycle - load
        valid = 0 <= written < 3 * n
        ctx.set(operands.neuron.valid, valid)
        if valid:
            bank, index = divmod(written, n)
            ctx.set(operands.neuron.bank, bank)
            ctx.set(operands.neuron.index, index)
            ctx.set(operands.neuron.layer, numbers[index])
            ctx.set(operands.neuron.last, index == n - 1)
            ctx.set(operands.y, y[bank][index])
        found.append(ctx.get(operands.x))

    drive(operands, len(rows), each)
    finest = max(spec.operand_format(number).fraction_bits for number in range(len(spec.layout.layers)))
    sign = -1 if adds_in_multiplier(spec) else 1
    for cycle, (x, apply, fraction) in wanted.items():
        assert found[cycle] == (sign * x * 2**finest if apply else x * 2**fraction), cycle


@pytest.mark.parametrize("stall", [0, 3])
def test_targets_follow_the_outputs_of_any_pass(stall):
    spec, rng = SHAPES["plain"], random.Random(stall)
    operands, n_in, n_out = Operands(spec), spec.network.n_in, spec.network.n_out
    form = spec.formats.activation
    targets = [rng.randint(form.min, form.max) for _ in range(n_out)]
    queue, taken, found = [*[0] * n_in, *targets], [False], []
    outputs = [index for _ in range(3) for index in range(n_out)]
    start = 4 * (n_in + n_out) + 8

    def each(ctx, cycle):
        ctx.set(operands.sample.valid, bool(queue))
        if queue:
            ctx.set(operands.sample.payload, queue[0])
        if queue and ctx.get(operands.sample.ready):
            queue.pop(0)
        take = bool(ctx.get(operands.available)) and not taken[0]
        taken[0] = taken[0] or take
        ctx.set(operands.take, take)
        place, rest = divmod(cycle - start, stall + 1)
        valid = 0 <= place < len(outputs) and rest == 0
        neuron = operands.target_neuron
        ctx.set(neuron.valid, valid)
        if valid:
            ctx.set(neuron.layer, 1)
            ctx.set(neuron.last, outputs[place] == n_out - 1)
            ctx.set(neuron.bank, place % 3)
        if cycle - start > 0 and (cycle - start - 1) % (stall + 1) == 0 and (cycle - start - 1) // (stall + 1) < len(outputs):
            found.append(ctx.get(operands.target))

    drive(operands, start + (stall + 1) * len(outputs) + 2, each)
    assert found == [targets[index] for index in outputs]
