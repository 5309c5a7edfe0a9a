"""The published points, out of ``published.toml``, the one place where they stand."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Published", "parameters_of", "published"]


@dataclass(frozen=True)
class Published:
    """A point of the paper.

    Attributes
    ----------
    series : str
        "weight", "node" or "backprop"; "plain" or "adam".
    quantity : str
        What was measured: "iterations", "writes", "updates" or "accuracy".
    n, parameters : int
        Width of the network, and its parameters.
    period : int
        τ_θ, in iterations; 0 where it is not what was varied.
    value : float
        Median over the authors' runs.
    sources : tuple of str
        P: their code or figure data; D: derived from these.
    """

    series: str
    quantity: str
    n: int
    parameters: int
    period: int
    value: float
    sources: tuple[str, ...]


def parameters_of(n: int) -> int:
    """Parameters of the network of width n: 439n² + 71n + 10."""
    return 439 * n * n + 71 * n + 10


def published(figure: str) -> tuple[Published, ...]:
    """The points of a figure, in the order of the file."""
    text = (Path(__file__).parent / "published.toml").read_text(encoding="utf-8")
    found = []
    for each in tomllib.loads(text).get(figure, ()):
        values = each["values"]
        widths = each["n"] if isinstance(each["n"], list) else [each["n"]] * len(values)
        periods = each.get("period", [0] * len(values))
        for n, period, value in zip(widths, periods, values, strict=True):
            found.append(Published(each["series"], each["quantity"], n, parameters_of(n), period, float(value), tuple(each["sources"])))
    return tuple(found)
