"""Published points of the paper, read from ``published.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Published", "parameters_of", "published"]


@dataclass(frozen=True)
class Published:
    """One published point of a figure.

    Attributes
    ----------
    series : str
        Training method, "weight", "node" or "backprop", or optimiser, "plain" or "adam".
    quantity : str
        Measured quantity: "iterations", "writes", "updates" or "accuracy".
    n, parameters : int
        Width of the network, and number of its parameters.
    period : int
        Update period τ_θ, in iterations; 0 in figures that do not vary it.
    value : float
        Median of the quantity over the authors' runs.
    sources : tuple of str
        Origin of the value: "P" for the authors' code or figure data, "D" for values derived from these.
    """

    series: str
    quantity: str
    n: int
    parameters: int
    period: int
    value: float
    sources: tuple[str, ...]


def parameters_of(n: int) -> int:
    """Return the number of parameters of the network of width n: 439n² + 71n + 10."""
    return 439 * n * n + 71 * n + 10


def published(figure: str) -> tuple[Published, ...]:
    """Return the published points of a figure, in the order of the file."""
    text = (Path(__file__).parent / "published.toml").read_text(encoding="utf-8")
    found = []
    for each in tomllib.loads(text).get(figure, ()):
        values = each["values"]
        widths = each["n"] if isinstance(each["n"], list) else [each["n"]] * len(values)
        periods = each.get("period", [0] * len(values))
        for n, period, value in zip(widths, periods, values, strict=True):
            found.append(Published(each["series"], each["quantity"], n, parameters_of(n), period, float(value), tuple(each["sources"])))
    return tuple(found)
