"""Signs of neurons, of the stream and of the sums of errors, equal the reference's for every code, and a serial shift register's."""

import random
from dataclasses import replace
from itertools import islice

import pytest

from python_ref.fixed.perturbation import SignSource
from python_ref.spec.perturbation import CODES, LfsrCode
from rtl_gen.presentation.signs import sign_source
from tests.rtl_gen.presentation.slots import drive
from tests.rtl_gen.test_perturbation import beats
from tests.support.node_designs import node_design
from tests.support.oracle import serial_bits

STEPS = 9


class Script:
    """Inputs of a source of signs, cycle by cycle, and what must come out.

    Parameters
    ----------
    spec : DesignSpec
        Design whose signs are drawn.
    """

    def __init__(self, spec):
        self.spec, self.source, self.rng = spec, sign_source(spec), random.Random(repr(spec.perturbation))
        self.rows, self.expected = [], {}
        self.reference = SignSource(spec)
        self.held = {}

    def load(self):
        """Load the states of the generators, and restart."""
        for beat in beats(self.spec):
            self.rows += [{"load_en": 1, "load": beat & (1 << self.source.load_width) - 1}, {"load_en": 0}]
        self.rows += [{"restart": 1}, {"restart": 0}, {}]

    def wait(self, cycles):
        """Ask for signs of the banks in use and of the one that is summed for some cycles."""
        for _ in range(cycles):
            row = {}
            for which, names, banks in (
                ("", ("index", "bank", "sign"), (0, 1)),
                ("sweep_", ("sweep_index", None, "sweep_sign"), ("swept",)),
            ):
                known = [bank for bank in banks if bank in self.held]
                if not known:
                    continue
                bank, index = self.rng.choice(known), self.rng.randrange(self.spec.network.n_neurons)
                row[names[0]] = index
                if not which:
                    row["bank"] = bank
                self.expected[len(self.rows) + 1, names[2]] = self.held[bank][index]
            self.rows.append(row)

    def step(self, p, banks, following):
        """Begin the passes of a step with sign vector p, and sum its errors; ``following``: the next step takes a new vector."""
        vector = self.reference.signs(p).tolist()
        for bank in banks:
            last = bank == banks[-1]
            self.rows.append({"begin": 1, "begin_bank": bank, "advance": 0} if not last else {"begin": 1, "begin_bank": bank})
            if last:
                self.rows[-1] |= {"advance": 1, "fresh": int(following)}
            self.held[bank] = vector
            self.rows.append({"begin": 0, "advance": 0})
            self.wait(self.spec.network.n_neurons + 4)
        if self.rng.random() < 0.9:  # otherwise the errors of this step are summed after the next one has begun
            self.sum(banks[-1])

    def sum(self, bank):
        """Sum the errors of a pass."""
        self.rows.append({"sweep_begin": 1, "sweep_bank": bank})
        self.held["swept"] = self.held[bank]
        self.rows.append({"sweep_begin": 0})
        self.wait(5)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("code", [kind() for kind in CODES.values()], ids=lambda code: code.name)
def test_signs_of_neurons_equal_the_reference(code, period, two_sided):
    spec = node_design(sizes=(2, 5, 3), code=code, periods=(period, 4, 4), two_sided=two_sided)
    script, bank = Script(spec), 0
    for restart in range(2):
        script.load()
        script.wait(2 * spec.network.n_neurons)
        for n in range(STEPS - 2 * restart):
            banks = (bank, 1 - bank) if two_sided else (bank,)
            script.step(n // period, banks, (n + 1) % period == 0)
            bank = bank if two_sided else 1 - bank
    found = {}

    def each(ctx, cycle):
        for name, value in script.rows[cycle].items():
            ctx.set(getattr(script.source, name), value)
        for name in ("sign", "sweep_sign"):
            sign = ctx.get(getattr(script.source, name))
            found[cycle, name] = (1 - 2 * sign.negative) * sign.active
        if script.rows[cycle].get("begin"):
            assert ctx.get(script.source.ready)

    drive(script.source, len(script.rows), each)
    assert len(script.expected) > 100
    assert {place: found[place] for place in script.expected if place[0] < len(script.rows)} == {
        place: sign for place, sign in script.expected.items() if place[0] < len(script.rows)
    }


@pytest.mark.parametrize("sizes", [(1, 1), (2, 5, 3), (1, 64)])
def test_random_signs_are_consecutive_bits_of_a_serial_register(sizes):
    spec = node_design(sizes=sizes, code=LfsrCode())
    n = spec.network.n_neurons
    (generator,) = spec.sign_generators
    bits = list(islice(serial_bits(generator.degree, spec.perturbation.seed, generator.stream), 6 * n))
    for lanes in (1, 7):
        reference = SignSource(replace(spec, hardware=replace(spec.hardware, lanes=lanes)))
        for p in range(6):
            assert reference.signs(p).tolist() == [1 - 2 * (bits[p * n + j] ^ (p & 1)) for j in range(n)]


@pytest.mark.parametrize("sizes", [(1, 1), (2, 5, 3)])
def test_a_vector_that_is_not_complete_is_not_ready(sizes):
    spec = node_design(sizes=sizes, code=LfsrCode())
    script = Script(spec)
    n = spec.network.n_neurons
    script.load()
    start = len(script.rows)
    script.rows += [{}] * (n + 4)
    script.rows += [{"advance": 1, "fresh": 1}, {"advance": 0}, *[{}] * (2 * n + 4)]
    ready = []

    def each(ctx, cycle):
        for name, value in script.rows[cycle].items():
            ctx.set(getattr(script.source, name), value)
        ready.append(ctx.get(script.source.ready))

    drive(script.source, len(script.rows), each)
    assert not any(ready[: start - 1])
    assert sum(1 for value in ready[start - 2 : start + n + 4] if not value) in range(n - 1, n + 3)
    advanced = start + n + 5
    assert [ready[advanced - 1], ready[-1]] == [1, 1]
    assert ready[advanced : advanced + n + 2].count(0) == n
