"""Timeline of a training step or presentation: the clock cycles in which the core evaluates the network, learns, and computes the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures
from mgd_hw.common.results import Result
from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.learner import LearnerSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rtl_gen.core import Contract
    from rtl_gen.presentation.contract import PresentationContract

__all__ = ["Span", "Timeline", "contract_rows", "learner_rows", "step_contract", "timeline_of"]

FORWARD, LEARN, COST = "network", "learning", "cost"
"""Activities: the lanes multiply and accumulate; the same lanes correlate and update; the outputs are read out, and C̃ is computed."""


@dataclass(frozen=True)
class Span(Result):
    """Consecutive clock cycles of a step that belong to one activity.

    Attributes
    ----------
    what : str
        Kind of activity: "network", "learning" or "cost".
    name : str
        Description of the activity, such as "baseline, layer 1".
    first, cycles : int
        Number of the first cycle, from 0, and number of cycles.
    """

    what: str
    name: str
    first: int
    cycles: int


@dataclass(frozen=True)
class Timeline(Result):
    """Timeline of a step of two passes, or in node perturbation of a presentation, that does not have to wait for its sample.

    Attributes
    ----------
    design : str
        Name of the design whose step is shown.
    cycles : int
        Length of the whole step, in clock cycles.
    spans : tuple of Span
        Activities in the order of their first cycles. Those of "network" and "cost" do not overlap; in the gaps between them the core
        waits for the last activations of a layer.
    title : str
        What the timeline shows, as a phrase.
    """

    design: str
    cycles: int
    spans: tuple[Span, ...]
    title: str = "One step of two passes"

    @property
    def second_pass(self) -> int:
        """First cycle of the second pass or of the probes, or of the wait for the cost if both passes share the network's only layer."""
        passes = [span.name.partition(",")[0] for span in self.spans if span.what == FORWARD]
        return next(span.first for span in self.spans if span.what == COST or span.name.partition(",")[0] == passes[-1] != passes[0])

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table "spans", one row per span."""
        return {"spans": [span.to_json() for span in self.spans]}

    def plot(self) -> Figure:
        """Draw the spans of the step over its clock cycles, one row per kind of activity."""
        rows = {FORWARD: (2, figures.BLUE, ""), LEARN: (1, figures.ORANGE, "////"), COST: (0, figures.GREEN, "....")}
        with figures.style():
            figure = figures.empty_figure(figures.COLUMN, 2.5)
            axes = figures.plain_axes(figure, xlabel="cycle", title=f"{self.title}: {self.cycles:,} cycles")
            for span in self.spans:
                row, colour, hatch = rows[span.what]
                axes.broken_barh([(span.first, span.cycles)], (row - 0.38, 0.76), facecolor=colour, hatch=hatch, edgecolor="white")
            axes.set_yticks([2, 1, 0], ["network", "learning", "cost"])
            axes.set_xlim(0, self.cycles)
            axes.axvline(self.second_pass, color="black", linewidth=0.8, linestyle=":")
        return figure


_contracts: dict[str, Contract | PresentationContract] = {}
"""Cycle contracts by the digest of the design's structure."""


def step_contract(spec: DesignSpec) -> Contract | PresentationContract:
    """Return the cycle contract of a design's core, which is computed once for each structure."""
    if spec.digest not in _contracts:
        from rtl_gen.core import contract

        _contracts[spec.digest] = contract(spec)
    return _contracts[spec.digest]


def contract_rows(spec: DesignSpec) -> tuple[tuple[str, float, str], ...]:
    """Return the quantities of a design's cycle contract: name, cycles, and meaning."""
    return tuple(step_contract(spec).rows())


def learner_rows(spec: LearnerSpec) -> tuple[tuple[str, float, str], ...]:
    """Return the quantities of a learner's cycle contract as :func:`contract_rows` does."""
    from rtl_gen.learner.core import learner_core

    return tuple(learner_core(spec).contract.rows(spec))


def timeline_of(spec: DesignSpec) -> Timeline:
    """Return the timeline of a step of two passes, or in node perturbation of the longest presentation, from its cycle contract."""
    return _TIMELINES[spec.machine](spec)


def _of_presentation(spec: DesignSpec) -> Timeline:
    """Return the timeline of the longest presentation of node perturbation, computed from its contract layer by layer."""
    contract: Any = step_contract(spec)
    cycle, steps = contract.unperturbed_cycles, spec.longest_presentation
    visits = zip(_visits(spec), contract.unperturbed_layers(), strict=True)
    spans = [Span(FORWARD, f"unperturbed pass, {visit}", first, cycles) for visit, (first, cycles) in visits]
    total, applying = contract.presentation_cycles(steps), contract.apply_cycles
    probes = steps * (spec.passes - 1)
    ends = round(total - applying - contract.wait)
    spans.append(Span(FORWARD, "one probe" if probes == 1 else f"{probes:,} probes", cycle, ends - cycle))
    spans.append(Span(COST, "last cost, C̃, errors of the neurons", ends, total - applying - ends))
    spans.append(Span(LEARN, *contract.applied(total)))
    title = f"One presentation of {steps:,} {'step' if steps == 1 else 'steps'}"
    if spec.series:
        frames = spec.network.frames
        title += f", a sample of {frames:,} {'frame' if frames == 1 else 'frames'}"
    return Timeline(spec.name, total, tuple(sorted(spans, key=lambda span: span.first)), title)


def _visits(spec: DesignSpec) -> list[str]:
    """Return the names of the visits of layers in a pass: a framed layer is visited in every frame, and the others once."""
    framed, layers = spec.network.framed, range(1, len(spec.network.layers) + 1)
    frames = [f"frame {frame}, layer {layer}" for frame in range(1, spec.network.frames + 1) for layer in layers[:framed]]
    return [*frames, *(f"layer {layer}" for layer in layers[framed:])]


def _of_step(spec: DesignSpec) -> Timeline:
    """Return the timeline of a step of weight perturbation with two passes, computed from its contract layer by layer."""
    contract: Any = step_contract(spec)
    layers, lanes = spec.layout.layers, spec.hardware.lanes
    titles = ("+ pass", "− pass") if spec.two_sided else ("baseline", "+ pass")
    waits = [*(max(0, contract.depth - (placed.groups - 1) * lanes) for placed in layers[:-1]), 0]
    slots = [placed.groups * placed.group_slots for placed in layers]
    behind = sum(slots[1:]) + sum(waits[1:])
    shared = contract.pair_cycles - 2 * behind - contract.gap if spec.one_visit else 0
    spans, cycle = [Span(LEARN, "step n − 1: correlate and update", 0, shared + behind if shared else contract.pass_cycles)], shared
    if shared:
        first = layers[0]
        served = (first.groups - 1) * max(first.group_slots, 2 * lanes) + first.group_slots
        spans.append(Span(FORWARD, "both passes, layer 1", 0, served))
    for number, title in enumerate(titles):
        for layer in range(bool(shared), len(layers)):
            spans.append(Span(FORWARD, f"{title}, layer {layer + 1}", cycle, slots[layer]))
            cycle += slots[layer] + waits[layer]
        cycle += 0 if number else contract.gap
    spans.append(Span(COST, "outputs drain, cost, C̃", cycle, contract.wait))
    return Timeline(spec.name, cycle + contract.wait, tuple(sorted(spans, key=lambda span: span.first)))


def _of_series_step(spec: DesignSpec) -> Timeline:
    """Return the timeline of a step of weight perturbation with two passes of T frames, in a network with state."""
    contract: Any = step_contract(spec)
    passes = ("+ pass", "− pass") if spec.two_sided else ("baseline", "+ pass")
    spans, behind = [Span(LEARN, "step n − 1: correlate and update", 0, contract.frame_cycles)], contract.tail_cycles
    if behind:
        spans.append(Span(LEARN, "step n − 1: correlate and update the tail", contract.pass_cycles - behind, behind))
    for number, title in enumerate(passes):
        for visit, (first, cycles) in zip(_visits(spec), contract.layers, strict=True):
            spans.append(Span(FORWARD, f"{title}, {visit}", number * contract.pass_cycles + first, cycles))
    spans.append(Span(COST, "outputs drain, cost, C̃", contract.pair_cycles, contract.wait))
    frames = spec.network.frames
    title = f"One step of two passes, a sample of {frames:,} {'frame' if frames == 1 else 'frames'}"
    return Timeline(spec.name, contract.step_cycles(2), tuple(sorted(spans, key=lambda span: span.first)), title)


_TIMELINES = {
    MachineKind.WEIGHT: _of_step,
    MachineKind.NODE: _of_presentation,
    MachineKind.SERIES: _of_presentation,
    MachineKind.SERIES_WEIGHT: _of_series_step,
}
"""Timeline of each machine."""
