"""The oracle of networks with state, against small networks computed by hand."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from python_ref.spec.formats import Cast
from python_ref.spec.number import Fixed, Overflow, Rounding
from tests.support.series_oracle import SeriesOracle

WIDE = Fixed(True, 12, 30)
UNIT = 2**30
"""Of formats in which nothing here is rounded."""


def layer(n_in: int, n_out: int, name: str = "dense", leak: int = 0) -> SimpleNamespace:
    return SimpleNamespace(n_in=n_in, n_out=n_out, kind=SimpleNamespace(name=name, leak=leak))


def spec_of(layers: list[SimpleNamespace], kind: str = "node", lanes: int = 1, **given: object) -> SimpleNamespace:
    """A design of exact formats, of Δ = η = 1/4, hence e = 0, with τ_x = τ_θ = ``probes``; identity everywhere."""
    sizes = (layers[0].n_in, *(each.n_out for each in layers))
    probes = given.pop("probes", 1)
    keys = {"frames": 1, "held": False, "readout": "last", "hold": None, "code": "sequential", "state": WIDE} | given
    keys = {"period": 1, "difference": "one-sided"} | keys
    identity = SimpleNamespace(value="identity")
    cast = Cast(Rounding.HALF_EVEN, Overflow.SATURATE)
    formats = {"input": WIDE, "weight": WIDE, "activation": WIDE, "state": keys["state"], "gradient": WIDE, "cost_change": None}
    casts = {f"{name}_cast": cast for name in ("activation", "state", "gradient", "weight", "cost_change")}
    network = {name: keys[name] for name in ("frames", "held", "readout")}
    return SimpleNamespace(
        network=SimpleNamespace(sizes=sizes, layers=layers, kinds=(), hidden=identity, output=identity, **network),
        formats=SimpleNamespace(**formats, **casts),
        perturbation=SimpleNamespace(
            parts=(),
            kind=SimpleNamespace(value=kind),
            code=SimpleNamespace(name=keys["code"]),
            amplitude_log2=-2,
            hold=keys["hold"],
        ),
        schedule=SimpleNamespace(
            difference=SimpleNamespace(value=keys["difference"]),
            perturbation_period=keys["period"],
            sample_period=probes,
            update_period=probes,
            learning_rate=((0, -2),),
        ),
        optimizer=SimpleNamespace(name="sgd"),
        hardware=SimpleNamespace(gradient_memory=None, lanes=lanes, signature=False),
        gradient_format=WIDE,
    )


def oracle(layers: list[SimpleNamespace], theta: list[Fraction], **given: object) -> SeriesOracle:
    """An oracle of such a design, of node perturbation."""
    cast = Cast(Rounding.HALF_EVEN, Overflow.SATURATE)
    return SeriesOracle(spec_of(layers, **given), [int(value * UNIT) for value in theta], 3, error=WIDE, error_cast=cast)


def raw(*values: float) -> list[int]:
    return [int(Fraction(value) * UNIT) for value in values]


def over(unit: int, *numerators: float) -> list[Fraction]:
    return [Fraction(each) / unit for each in numerators]


LEAKY = [layer(1, 1, "leaky", 1)]
"""One neuron; its parameters are bias, weight of the input, weight of its state."""
THETA = over(4, 1, 2, -2)


def test_two_frames_of_a_leaky_neuron() -> None:
    """z = ¼ + x/2 − h/2 of x = 1, ½: h = 3/8, then 3/8 + ½(5/16 − 3/8) = 11/32. A probe of either frame, by hand."""
    machine = oracle(LEAKY, THETA, frames=2, probes=2)
    first = machine.step(raw(1, 0.5), raw(1))
    assert first["preactivation"] == [over(16, 12, 5), over(16, 16, 4)]
    assert first["activation"] == first["preactivation"]
    assert first["state"] == [over(32, 12, 11), over(32, 16, 12)]
    assert first["cost"] == over(1024, 21**2, 20**2)
    assert first["sign"] == [1, 0]
    assert first["gradient"] == [0, 0, 0]
    second = machine.step(raw(1, 0.5), raw(1))
    assert second["state"][1] == over(32, 12, 15)
    assert second["cost_change"] == Fraction(17**2 - 21**2, 1024)
    assert second["error"] == over(1024, -41, -152)
    assert second["update"] == over(1024, -41 - 152, -41 - 152 / 2, -152 * 3 / 8)
    assert second["parameter"] == [old - moved for old, moved in zip(THETA, second["update"], strict=True)]


def test_a_sign_that_is_held() -> None:
    """The same with one sign for both frames: one quantity, whose error meets the operands of both."""
    machine = oracle(LEAKY, THETA, frames=2, hold=2)
    found = machine.step(raw(1, 0.5), raw(1))
    assert found["sign"] == [1]
    assert found["state"] == [over(32, 12, 11), over(32, 16, 16)]
    assert found["error"] == [Fraction(16**2 - 21**2, 1024)]
    assert found["update"] == [found["error"][0] * each for each in (2, Fraction(3, 2), Fraction(3, 8))]


def test_elman() -> None:
    """Without a leak the state is the output."""
    found = oracle([layer(1, 1, "leaky", 0)], THETA, frames=2).step(raw(1, 0.5), raw(1))
    assert found["state"][0] == found["activation"][0] == over(8, 6, 1)


def test_a_lif_neuron_keeps_the_remainder() -> None:
    """i = ¾ in every frame, k = 1: v' = ¾, then ¾ − 3/8 + ¾ = 9/8, which fires and leaves 1/8, then 1/8 − 1/16 + ¾ = 13/16."""
    machine = oracle([layer(1, 1, "lif", 1)], over(4, 0, 3), frames=3, held=True, readout="sum", hold=2)
    found = machine.step(raw(1), raw(0))
    assert found["activation"][0] == [0, 1, 0]
    assert found["state"][0] == over(16, 12, 2, 13)
    assert found["preactivation"] == [over(4, 3, 3, 3), over(4, 4, 4, 3)]
    assert found["activation"][1] == [1, 1, 0]
    assert found["state"][1] == over(4, 0, 0, 3)
    assert found["cost"] == [1, 4]
    assert found["sign"] == [1, 0]
    assert found["error"] == [3, 0]
    assert found["update"] == [6, 6]


def test_the_leak_rounds_down_and_the_state_saturates() -> None:
    """Of a state in quarters from −½ to ¼: −¼ leaks completely, since −¼ >>> 1 is −¼."""
    narrow = Fixed(True, 2, 2)
    machine = oracle([layer(1, 1, "lif", 1)], over(4, -1, 0), frames=2, state=narrow)
    assert machine.step(raw(0, 0), raw(0))["state"][0] == over(4, -1, -1)
    assert machine.count["state"] == 0
    machine = oracle([layer(1, 1, "lif", 1)], over(4, 0, 4), frames=2, state=narrow)
    found = machine.step(raw(-1.75, -1.75), raw(0))
    assert found["state"][0] == over(4, -7, -8)  # −7/4 leaks by −1, then −3/4 − 7/4 is out of range
    assert found["counter"]["state"] == 2  # the second frame, of the unperturbed pass and of the probe
    machine = oracle([layer(1, 1, "lif", 1)], over(4, 0, 4), frames=1, state=narrow)
    assert machine.step(raw(3), raw(0))["counter"]["state"] == 2  # the cast of z = 3, of both passes; the sum is 7/4


@pytest.mark.parametrize("length", [1, 2, 3, 0, 4])
def test_a_series_that_ends_early(length: int) -> None:
    """Frames behind the end are not evaluated, and their segment is not perturbed; a length out of range is T."""
    network = [layer(1, 2), layer(2, 1, "leaky", 0), layer(1, 1)]
    theta = over(8, 1, 8, 0, 8, 0, 8, 8, 2, 0, 16)
    machine = oracle(network, theta, frames=3, hold=2, code="walsh")
    n = length if 1 <= length <= 3 else 3
    found = machine.step(raw(1, 2, 3), raw(0), length)
    assert found["evaluated"][0] == [t < n for t in range(3) for _ in range(3)] + [True]
    signs = [(-1) ** bin((q + 1) & 0).count("1") for q in range(7)]
    assert found["sign"] == [sign if segment * 2 < n else 0 for sign, segment in zip(signs, [0] * 3 + [1] * 3 + [0], strict=True)]
    h = Fraction(0)
    for x in range(1, n + 1):
        h = 2 * x + Fraction(1, 8) + h / 4
    assert found["activation"][0][-1] == 2 * h
    assert found["state"][0][3 * n - 1] == h
    assert found["activation"][0][3 * n : 9] == [0] * (9 - 3 * n)


def test_random_signs_are_drawn_for_all_quantities() -> None:
    """Vector p has D bits of the stream, also where segments are dropped."""
    whole, short = (oracle([layer(1, 2, "leaky", 0), layer(2, 1)], [Fraction(0)] * 11, frames=3, code="lfsr") for _ in range(2))
    for _ in range(5):
        full = whole.step(raw(0, 0, 0), raw(0))["sign"]
        cut = short.step(raw(0, 0, 0), raw(0), 1)["sign"]
        assert len(full) == 7
        assert 0 not in full
        assert cut == [*full[:2], 0, 0, 0, 0, full[6]]


def test_the_tail_meets_its_operands_once() -> None:
    """A dense layer behind a sum over frames: its error is multiplied by the sum, and the framed layer's by each frame's input."""
    machine = oracle([layer(1, 1, "lif", 0), layer(1, 1)], over(4, 0, 4, 0, 4), frames=2, readout="sum", probes=3)
    for _ in range(3):
        found = machine.step(raw(1, 1), raw(0))
    assert found["activation"][0] == [1, 1, 2]
    assert found["error"] == [0, 0, Fraction(9, 4) ** 2 - 4]
    assert found["update"] == [0, 0, found["error"][2], 2 * found["error"][2]]


def test_stopping_between_probes_changes_nothing() -> None:
    network, theta = [layer(1, 1, "leaky", 1), layer(1, 1)], over(4, 1, 2, -2, 1, 3)
    one, other = (oracle(network, theta, frames=2, code="walsh", probes=4) for _ in range(2))
    for _ in range(8):
        wanted = one.step(raw(1, 0.5), raw(1))
        other.stop()
        assert other.step(raw(1, 0.5), raw(1)) == wanted
    one.infer(raw(1, 0.5), raw(1), 1)
    assert one.step(raw(1, 0.5), raw(1))["begins"]
