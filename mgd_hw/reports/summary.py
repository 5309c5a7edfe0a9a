"""Summary of a report: one line per question, with its answer, the figures behind it, and a link to the details."""

from __future__ import annotations

from dataclasses import dataclass

from mgd_hw.reports.chapter import Chapter
from mgd_hw.reports.sections import number, whole

__all__ = ["QUESTIONS", "Answer", "summary"]

QUESTIONS = ("Is it proven?", "Does it learn?", "Does it fit?", "How fast is it?")
"""Questions of a summary, in the order in which it answers them."""

KINDS = {"lut": "LUTs", "ff": "flip-flops", "dsp": "DSPs", "bram": "block RAMs"}
"""Name of each kind of resource, as a page shows it."""


@dataclass(frozen=True)
class Answer:
    """Answer to one question about a design.

    Attributes
    ----------
    question : str
        One of :data:`QUESTIONS`.
    verdict : str
        Answer in a word or two: "Yes", "No", "Not run" or "Not built"; "" where the figure alone is the answer.
    figure : str
        Evidence for the verdict, as a sentence without its full stop.
    tone : str
        "good" or "bad"; "" for a verdict that is neither.
    section : str
        Short name of the report's section that has the details; "" where the report has none.
    """

    question: str
    verdict: str
    figure: str
    tone: str = ""
    section: str = ""


def summary(chapter: Chapter) -> tuple[Answer, ...]:
    """Return the answers to all questions, in the order of :data:`QUESTIONS`."""
    makers = (_proven, _learns, _fits, _fast)
    return tuple(maker(chapter, question) for maker, question in zip(makers, QUESTIONS, strict=True))


def _verdict(question: str, good: bool, figure: str, section: str) -> Answer:
    """Return the answer "Yes" or "No" to a question."""
    return Answer(question, "Yes" if good else "No", figure, "good" if good else "bad", section)


def _proven(chapter: Chapter, question: str) -> Answer:
    """Answer whether the co-simulated core equals its model."""
    found = chapter.cosimulated
    if found is None:
        return Answer(question, "Not run", "the core was not co-simulated")
    if found.equal:
        figure = f"all {whole(found.compared)} values of {whole(found.steps)} steps equal those of the model, bit for bit"
    elif found.mismatches:
        figure = f"{whole(found.mismatches)} of {whole(found.compared)} values differ from those of the model"
    else:
        figure = f"the core failed: {found.failure}"
    return _verdict(question, found.equal, figure, "proof")


def _learns(chapter: Chapter, question: str) -> Answer:
    """Answer whether the fixed model, or else the float model, is better than the baseline; with a chip, than before it was trained."""
    found = chapter.compared
    if chapter.chip_compared is not None and chapter.chip_diagnosed is not None:
        before, runs = chapter.chip_diagnosed.cost, chapter.chip_compared.fixed
        figure = f"the learner's bits bring the mean cost of the chip's samples from {number(before)} to {number(runs.cost)}"
        return _verdict(question, max(runs.costs) < before, figure, "chip")
    if found is None:
        return Answer(question, "Not run", "no model was trained")
    name, model = ("fixed MGD", found.fixed) if found.fixed.runs else ("float MGD", found.float)
    first = found.measure
    value, baseline, interval = model.mean(first.name), found.kind.baseline[first.name], model.interval(first.name)
    spread = "" if interval != interval else f" ± {first.text(interval)}"  # NaN for a single run
    better = value > baseline if first.larger_is_better else value < baseline
    figure = (
        f"{name} comes to {first.title} {first.text(value)}{spread} on the {found.judged_by} samples; "
        f"{found.kind.baseline_title} has {first.text(baseline)}"
    )
    if model.diverged:
        figure = f"{name} diverged, or its numbers saturated throughout"
    return _verdict(question, better and not model.diverged, figure, "learning")


def _fits(chapter: Chapter, question: str) -> Answer:
    """Answer whether the synthesised core fits the part."""
    found = chapter.synthesised
    if found is None:
        return Answer(question, "Not run", "the core was not synthesised")
    device = f"{found.target} ({found.device})"
    if found.fits:
        parts = (f"{whole(getattr(found, kind))} of {whole(found.limits[kind])} {title}" for kind, title in KINDS.items())
        figure = f"the core takes {', '.join(parts)} of {device}"
    else:
        excess = ", ".join(f"{whole(count)} {KINDS.get(kind, kind)}" for kind, count in found.over.items())
        figure = f"{excess} too many for {device}"
    return _verdict(question, found.fits, figure, "hardware")


def _fast(chapter: Chapter, question: str) -> Answer:
    """Answer how many steps per second the core makes: from a bitstream, else from the board's clock, else in clock cycles."""
    built = chapter.built
    if built is not None and built["steps_per_second"] is not None:
        figure = (
            f"{whole(built['steps_per_second'])} steps per second on {built['board']} at {number(built['clock_mhz'])} MHz, "
            f"{whole(built['link_steps_per_second'])} through its link; timing analysis of the bitstream allows "
            f"{number(built['frequency_mhz'])} MHz"
        )
        return Answer(question, "", figure, section="placement")
    costs = chapter.compared and (chapter.compared.fixed.costs or chapter.compared.float.costs)
    if costs and costs.board and costs.cycles:
        cycles = costs.cycles / costs.steps
        figure = (
            f"{number(cycles)} cycles per step: {whole(costs.clock_hz / cycles)} steps per second at the "
            f"{number(costs.clock_hz / 1e6)} MHz of {costs.board}, if the build meets that clock, and "
            f"{whole(costs.steps / costs.hardware_seconds)} through its link"
        )
        return Answer(question, "Not built", figure, section="costs")
    name, cycles, _ = chapter.generated.contract[-1]
    return Answer(question, "Not built", f"{whole(cycles)} cycles for a {name}", section="step")
