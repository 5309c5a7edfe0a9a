"""The figures run, and print what they should; how they come out is for those who run them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner

from mgd_hw.replication import fashion, figures, speed
from python_ref.datasets import Samples


def run(*arguments: str) -> dict:
    done = CliRunner().invoke(figures.main, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few images of noise in place of those of MNIST."""
    random = np.random.default_rng(1)
    samples = Samples(random.random((30, 784)), np.eye(10)[random.integers(10, size=30)])
    monkeypatch.setattr(fashion, "images", lambda task: (samples, samples))
    fashion.centred.cache_clear()
    yield
    fashion.centred.cache_clear()


@pytest.mark.parametrize(
    ("more", "evaluations"),
    [((), 2 * 5 * (1 + 1 + 12)), (("--kind", "weight", "--groups", "2"), 2 * 5 * (1 + 1 + 12)), (("--parts", "9x2"), 2 * 5 * 3)],
)
def test_fashion_counts_every_forward_pass(few: None, more: tuple[str, ...], evaluations: int) -> None:
    observed = run("fashion", "--width", "1", "--batch", "5", "--steps", "2", "--every", "1", "--until", "2", *more)
    assert (observed["parameters"], observed["steps"], observed["evaluations"]) == (520, 2, evaluations)


def test_nist_is_the_median_of_seeds() -> None:
    observed = run(
        "nist", "--seeds", "3", "--batch", "200", "--rule", "plain", "--rate", "20", "--steps", "60", "--every", "10", "--until", "0.6"
    )
    assert len(observed["steps"]) == 3
    assert observed["median_steps"] in observed["steps"]
    assert run("nist", "--seeds", "1", "--steps", "2", "--every", "1", "--variation", "0.25")["steps"] == [None]


@pytest.mark.parametrize("rule", ["adam", "plain"])
def test_updates_of_a_dense_network(few: None, rule: str) -> None:
    observed = run(
        "updates", "--layers", "784-3-10", "--seeds", "3", "--batch", "5", "--parts", "1x2,1x4", "--rule", rule, "--steps", "4",
        "--every", "1", "--until", "2",
    )  # fmt: skip
    assert observed["steps"] == [None] * 3
    assert (observed["median_steps"], observed["median_evaluations"]) == (4, 4 * 5 * (1 + 2 + 4))


def test_parts_that_cannot_be_read_are_refused() -> None:
    done = CliRunner().invoke(figures.main, ["fashion", "--parts", "6y1"])
    assert done.exit_code == 2
    assert "'6y1' is not a list of layers perturbed together and how often" in done.output


def test_speed_without_an_opponent(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(speed, "import_module", absent)
    observed = run("speed", "--batch", "2", "--rounds", "1")
    assert observed["torch"] is None
    assert observed["online_steps_per_second"] > 0
    assert {"forward", "node", "node products", "node x8", "weight", "online"} == set(observed["seconds"])
