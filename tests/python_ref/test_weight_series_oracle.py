"""The oracle of weight perturbation of networks with state, against small networks computed by hand."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from python_ref.spec.number import Fixed
from tests.python_ref.test_series_oracle import LEAKY, THETA, UNIT, layer, over, raw, spec_of
from tests.support.oracle import serial_bits
from tests.support.weight_series_oracle import WeightSeriesOracle

SEED = 3


def oracle(layers: list[SimpleNamespace], theta: list[Fraction], **given: object) -> WeightSeriesOracle:
    """An oracle of exact formats, of Δ = η = 1/4, hence e = 0; identity everywhere."""
    return WeightSeriesOracle(spec_of(layers, "weight", **given), [int(value * UNIT) for value in theta], SEED)


def test_three_steps_of_a_leaky_neuron() -> None:
    """z = ¼ + x/2 − h/2 of x = 1, ½. Each parameter in turn is ¼ larger in both frames, also that of the state."""
    machine = oracle(LEAKY, THETA, frames=2, probes=3)
    steps = [machine.step(raw(1, 0.5), raw(1)) for _ in range(3)]
    assert steps[0]["preactivation"] == over(16, 12, 5, 16, 8)
    assert steps[0]["activation"] == steps[0]["preactivation"]
    assert steps[0]["state"] == over(32, 12, 11, 16, 16)
    assert steps[1]["state"] == over(32, 12, 11, 16, 14)
    assert steps[2]["state"] == over(64, 24, 22, 24, 25)
    assert [found["cost"] for found in steps] == [over(4096, 42**2, each**2) for each in (32, 36, 39)]
    assert [found["sign"] for found in steps] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    changes = over(4096, 32**2 - 42**2, 36**2 - 42**2, 39**2 - 42**2)
    assert [found["cost_change"] for found in steps] == [[each] for each in changes]
    assert [found["broadcast"] for found in steps] == [[each] * 3 for each in changes]
    assert steps[2]["gradient"] == changes
    assert steps[1]["parameter"] == THETA
    assert steps[2]["parameter"] == [old - moved for old, moved in zip(THETA, changes, strict=True)]


def test_a_parameter_counts_once_whatever_the_frames() -> None:
    """i = ¾ never fires without a leak, and i = ¾ + ¼ in each of three frames: one cost change of 9."""
    machine = oracle([layer(1, 1, "lif", 0)], over(4, 3, 0), frames=3, held=True, readout="sum", probes=2)
    found = machine.step(raw(1), raw(0))
    assert found["preactivation"] == over(4, 3, 3, 3, 4, 4, 4)
    assert found["activation"] == [0, 0, 0, 1, 1, 1]
    assert found["state"] == [*over(4, 3, 3, 3), 0, 0, 0]
    assert found["cost"] == [0, 9]
    assert found["gradient"] == [9, 0]


def test_a_two_sided_difference_and_an_answer() -> None:
    """b = 0 ± ¼ of Elman's neuron whose state has the weight 1: h(2) = ±½; the answer is that of the first pass, +½."""
    machine = oracle([layer(1, 1, "leaky", 0)], over(4, 0, 0, 4), frames=2, difference="two-sided")
    found = machine.step(raw(0, 0), raw(1))
    assert found["state"] == over(4, 1, 2, -1, -2)
    assert found["cost"] == over(4, 1, 9)
    assert found["parameter"] == [Fraction(1), 0, 1]  # −C̃/2 of the bias: no memory of gradients, since each step updates
    assert found["counter"][2] == 1


@pytest.mark.parametrize("length", [1, 2, 3, 0, 4])
def test_a_series_that_ends_early(length: int) -> None:
    """Frames behind the end are not evaluated; all parameters are perturbed, those of the tail too."""
    n = length if 1 <= length <= 3 else 3
    found = oracle([layer(1, 1, "leaky", 0), layer(1, 1)], over(4, 0, 4, 4, 0, 4), frames=3, code="walsh").step(
        raw(1, 2, 3), raw(0), length
    )
    assert found["sign"] == [1] * 5
    h = [Fraction(0)]
    for x in range(1, n + 1):
        h.append(Fraction(1, 4) + Fraction(5, 4) * (x + h[-1]))
    sums = [Fraction(x * (x + 1), 2) for x in range(1, n + 1)]
    blank = [Fraction(0)] * (3 - n)
    assert found["state"] == [*sums, *blank, 0, *h[1:], *blank, 0]
    assert found["activation"] == [*sums, *blank, sums[-1], *h[1:], *blank, Fraction(1, 4) + Fraction(5, 4) * h[-1]]


def test_random_signs_come_from_lanes_and_slots() -> None:
    """Of 1-4-2-1 on three lanes: a group of several has at least three slots, and a leaky neuron has slots for its states."""
    layers = [layer(1, 4), layer(4, 2, "leaky", 0), layer(2, 1)]
    machine = oracle(layers, [Fraction(0)] * 25, frames=2, code="lfsr", lanes=3, period=2)
    place = [(neuron % 3, 3 * (neuron // 3) + k) for neuron in range(4) for k in range(2)]
    place += [(neuron, 6 + k) for neuron in range(2) for k in range(7)]
    place += [(0, 13 + k) for k in range(3)]
    source = serial_bits(63, SEED, "signs")
    for p in range(4):
        bits = [next(source) for _ in range(16 * 3)]
        wanted = [(-1) ** (bits[slot * 3 + lane] + p) for lane, slot in place]
        for length in (1, 2):  # τ_p = 2, and a shorter series has the same signs
            assert machine.step(raw(0, 0), raw(0), length)["sign"] == wanted


def test_counted_codes_take_slots_before_lanes() -> None:
    """Of two leaky neurons of one input on two lanes: biases, weights, weights of the first state, then of the second."""
    machine = oracle([layer(1, 2, "leaky", 0)], [Fraction(0)] * 8, lanes=2)
    order = []
    for _ in range(8):
        order.append(machine.step(raw(0), raw(0, 0))["sign"].index(1))
    assert order == [0, 4, 1, 5, 2, 6, 3, 7]


def test_state_saturations_are_counted_per_evaluation() -> None:
    """z = 3 beyond a state of −2 to 7/4, in two frames of both passes; a baseline that holds is not counted again, nor is an inference."""
    machine = oracle([layer(1, 1, "lif", 1)], over(4, 0, 4), frames=2, held=True, state=Fixed(True, 2, 2), probes=2)
    place = 14
    counts = [machine.step(raw(3), raw(0))["counter"][place] for _ in range(2)]
    machine.infer(raw(3), raw(0))
    counts.append(machine.step(raw(3), raw(0))["counter"][place])
    assert counts == [4, 6, 10]


def test_what_makes_a_sample_and_a_baseline_due() -> None:
    """The second of three steps of a sample judges and measures after a load, an inference or a restart, and not after a stop."""

    def outside() -> tuple[WeightSeriesOracle, list]:
        machine = oracle([layer(1, 1, "lif", 1)], over(4, 0, 4), frames=1, state=Fixed(True, 2, 2), probes=3, code="walsh")
        return machine, machine.step(raw(3), raw(0))["counter"]

    machine, before = outside()
    assert before[-1] == 2
    machine.stop()
    assert machine.step(raw(3), raw(0))["counter"][-1] == 3
    machine, _ = outside()
    machine.load(raw(0, 1))
    assert machine.step(raw(3), raw(0))["counter"][-1] == 4
    machine, _ = outside()
    assert machine.infer(raw(0.5), raw(0)) == {"cost": 0, "outputs": [0], "judged": True}
    found = machine.step(raw(3), raw(0))
    assert found["counter"][-1] == 4
    assert found["counter"][0] == 2
    machine, _ = outside()
    machine.restart(SEED)
    found = machine.step(raw(3), raw(0))
    assert found["counter"][-1] == 4
    assert found["counter"][0] == 1


def test_what_the_oracle_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"neither hold nor parts$"):
        oracle(LEAKY, THETA, frames=2, hold=2)
    with pytest.raises(ValueError, match=r"^The oracle perturbs weights, not nodes$"):
        WeightSeriesOracle(spec_of(LEAKY, "node"), [0, 0, 0], SEED)
