"""Designs that nobody chose learn over a line full of faults; words that are no bytes, samples longer than a frame."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.link import SerialLink, Statistics, open_port
from mgd_hw.device.session import Model, Session
from python_ref.spec.design import DesignSpec
from python_ref.spec.frames import CHECK_BYTES, HEAD_BYTES, MAX_PAYLOAD, Kind, sample_bytes
from python_ref.spec.number import Fixed
from python_ref.trace import Run
from rtl_gen.serial.linked import emit_linked
from sim.virtual import VirtualBoard, build_virtual
from tests.mgd_hw.device.test_session import Wire
from tests.support.designs import random_design, random_parameters, random_samples
from tests.support.fake_device import Noise
from tests.support.virtual_board import DIVISOR

pytestmark = pytest.mark.usefixtures("without_pictures")

STEPS = 60


class Asking(SerialLink):
    """Puts frames that do nothing between others, as a link does on a line that is slow to answer."""

    def _launch(self, kind: Kind, payload: bytes, *question: Any) -> None:
        super()._launch(kind, payload, *question)
        if self._room(HEAD_BYTES + CHECK_BYTES, 0) and self._next % 3 == 0:
            super()._launch(Kind.WRITE, b"")


def wide_samples(rng: random.Random) -> DesignSpec:
    """A random design whose samples are longer than a frame, in words that are no bytes."""
    spec = random_design(rng, max_size=4, max_layers=2, signature=True)
    form = Fixed(True, 2, rng.choice((3, 4, 5, 7)))
    sizes = (8 * MAX_PAYLOAD // form.width + rng.randint(1, 60), *spec.network.sizes[1:])
    perturbation = replace(spec.perturbation, amplitude_log2=max(-5, spec.perturbation.amplitude_log2))  # a pre-activation has 5 places
    network, formats = replace(spec.network, sizes=sizes), replace(spec.formats, input=form)
    schedule = replace(spec.schedule, learning_rate=((0, -1),))
    return replace(spec, network=network, perturbation=perturbation, schedule=schedule, formats=formats)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_random_design_learns_over_a_line_full_of_faults(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    spec = wide_samples(rng)
    assert sample_bytes(spec) > MAX_PAYLOAD and spec.network.n_parameters < 2000 and spec.formats.input.width % 8
    inputs, targets = random_samples(rng, spec, 16)
    order = np.array([rng.randrange(16) for _ in range(STEPS)])
    run = Run(spec, random_parameters(rng, spec), inputs, targets, order, STEPS, seed)
    verilog = tmp_path / "linked.v"
    verilog.write_text(emit_linked(spec, DIVISOR))
    statistics, noise = Statistics(), Noise(0.0002, seed, range(2000, 2010))
    with VirtualBoard(build_virtual(verilog, f"{spec.module}_linked", tmp_path / "build"), DIVISOR) as board:

        def connect() -> SerialLink:
            return Asking(Wire(open_port(f"serial:{board.port}"), noise), spec, statistics=statistics)

        session = Session(run, connect, tmp_path / "checkpoint.npz", model=Model(run))
        session.train()
    print(spec, statistics)
    assert session.done == STEPS and not session.mismatches, session.difference
    assert statistics.repeated > 0
