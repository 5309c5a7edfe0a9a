"""Sections of a report: paragraphs, tables and figures that present the results for one design."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup, escape

from mgd_hw.common.style import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from mgd_hw.learn.compare import Comparison
    from mgd_hw.learn.profile import Values
    from mgd_hw.reports.chapter import Chapter

__all__ = ["Section", "inline", "sections"]

MODELS = (("float", "float MGD"), ("fixed", "fixed MGD, the hardware’s bits"), ("backprop", "back-propagation"))


@dataclass(frozen=True)
class Paragraph:
    """Paragraph, with an emphasised lead-in ``strong`` whose ``tone`` is "good", "bad" or "" for neutral."""

    text: str
    strong: str = ""
    tone: str = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font, such as a file or commands."""

    label: str
    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Table:
    """Table whose first cell of a row is the row's heading; ``words`` is true if its columns hold text."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """SVG element of a page, with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Figures:
    """Pictures side by side, or each as wide as the page if ``wide`` is true."""

    pictures: tuple[Picture, ...]
    wide: bool = False
    kind: ClassVar[str] = "figures"


Block = Paragraph | Code | Table | Figures


@dataclass(frozen=True)
class Section:
    """Section of a chapter, with the identifier that links refer to."""

    id: str
    title: str
    blocks: tuple[Block, ...]


# -- Numbers and pictures ---------------------------------------------------------------------------------------------


def _missing(value: float | None) -> bool:
    """Whether a value is None or NaN."""
    return value is None or math.isnan(value)


def percent(value: float | None) -> str:
    """Format a share in per cent with two decimals; a dash if it is missing."""
    return "–" if value is None or _missing(value) else f"{100 * value:.2f} %"


def number(value: float | None) -> str:
    """Format a number with four significant digits; a dash if it is missing."""
    return "–" if value is None or _missing(value) else f"{value:,.4g}"


def whole(value: float | None) -> str:
    """Format a count, with commas between thousands; a dash if it is missing."""
    return "–" if value is None or _missing(value) else f"{value:,.0f}"


def inline(svg: str, identifier: str, title: str, description: str) -> Markup:
    """Prepare an SVG file for use as an element of a page.

    Parameters
    ----------
    svg : str
        Text of the SVG file; its XML header, metadata and global styles are removed.
    identifier : str
        Prefix that makes the identifiers in the picture unique within the page.
    title, description : str
        Title and description that assistive technology reads out.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>\*\{[^}]*\}</style>", "", svg)  # it would apply to the whole page
    svg = re.sub(r'\s(width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{identifier}-\1"', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{identifier}-", svg)
    head = f'<svg role="img" aria-labelledby="{identifier}-t {identifier}-d" style="stroke-linejoin: round; stroke-linecap: butt"'
    words = f'<title id="{identifier}-t">{escape(title)}</title><desc id="{identifier}-d">{escape(description)}</desc>'
    start = svg.index(">") + 1
    return Markup(head + svg[len("<svg") : start] + words + svg[start:])


def _picture(figure: Figure, identifier: str, title: str, description: str, caption: str) -> Picture:
    """Render a figure of matplotlib as a picture of the page; see :func:`inline`."""
    from mgd_hw.common.figures import saved

    return Picture(inline(saved(figure, "svg", identifier).decode("utf-8"), identifier, title, description), caption)


# -- Sections ---------------------------------------------------------------------------------------------------------


def sections(chapter: Chapter, identifier: str) -> tuple[Section, ...]:
    """Return the sections of a chapter for which there are results; identifiers of elements begin with ``identifier``."""
    makers = (
        ("design", "The design", _design),
        ("data", "What does it learn?", _data),
        ("proof", "Is it the same machine?", _proof),
        ("learning", "Does it learn?", _learning),
        ("chip", "Does it learn with its chip?", _chip),
        ("costs", "What does a run cost?", _costs),
        ("efficiency", "What would another way to learn cost?", _efficiency),
        ("numbers", "Do the numbers fit their formats?", _numbers),
        ("gradient", "Does the gradient point the right way?", _gradient),
        ("hardware", "What does it take of an FPGA?", _hardware),
        ("step", "What happens in a step?", _step),
        ("placement", "Where does it sit?", _placement),
        ("again", "How to do it again", _again),
    )
    found = ((name, title, tuple(maker(chapter, f"{identifier}-{name}"))) for name, title, maker in makers)
    return tuple(Section(f"{identifier}-{name}", title, blocks) for name, title, blocks in found if blocks)


def _design(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the size of the network, the design file, its derived values, and advice."""
    generated = chapter.generated
    manifest = generated.manifest
    if "external" in manifest:
        yield Paragraph(f"A learner of {whole(manifest['external'])} quantities, whose network is outside. Structure {generated.digest}.")
    else:
        lanes = "lane" if manifest["lanes"] == 1 else "lanes"
        size = f"{whole(manifest['parameters'])} parameters, {manifest['lanes']} {lanes}"
        yield Paragraph(f"Network {_layers(manifest['network'])}, {size}. Structure {generated.digest}.")
    yield Code("the design file", chapter.text)
    if generated.derived:
        rows = tuple((row.key, row.value, row.why) for row in generated.derived)
        yield Table("Values that the file leaves out, derived from the others", ("key", "value", "because"), rows, words=True)
    for sentence in generated.advice:
        yield Paragraph(sentence)


def _layers(network: dict[str, Any]) -> str:
    """Return the sizes of a network with the kinds of layers that are not dense, and the frames of a sample, from its manifest."""
    first, *sizes = network["sizes"]
    kinds = network.get("kinds", [{"kind": "dense"}] * len(sizes))
    found = [str(first)]
    for size, kind in zip(sizes, kinds, strict=True):
        given = "".join(f", {key.replace('_', '-')} {value}" for key, value in kind.items() if key not in ("kind", "seed"))
        found.append(str(size) if kind["kind"] == "dense" else f"{size} ({kind['kind']}{given})")
    text = "–".join(found)
    if "frames" in network:
        text += f", samples of {'' if network['held'] else 'up to '}{whole(network['frames'])} frames"
        text += " with the same inputs" if network["held"] else ""
        text += ", read out by their sum" if network["readout"] == "sum" else ""
    return text


def _proof(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the result of the co-simulation."""
    found = chapter.cosimulated
    if found is None:
        return
    values = f"{whole(found.observables)} observables × {whole(found.steps)} steps = {whole(found.compared)} values"
    if found.equal:
        text = (
            f"{values} of the Verilog, simulated with {found.simulator}, and of the model {found.reference}, from traces that two "
            "separate processes recorded."
        )
        yield Paragraph(text, "Equal, bit for bit:", "good")
    else:
        yield Paragraph(f"{whole(found.mismatches)} of {values}. {found.first_difference_text} {found.failure}", "Different:", "bad")
        rows = tuple((name, whole(count)) for name, count in found.by_observable.items())
        if rows:
            yield Table("Values that differ", ("observable", "values"), rows)
    yield Paragraph(f"{whole(found.cycles)} cycles, {number(found.cycles_per_step)} per step.")
    for sentence in found.not_covered:
        yield Paragraph(sentence, "Not covered:")


def _data(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the summary of the samples, and warnings about them."""
    found = chapter.compared.data if chapter.compared else chapter.generated.data
    if found is None:
        return
    yield Paragraph(f"A {found.kind}.")
    yield Table("What was read", ("what", "value", "why, or what decides otherwise"), tuple(found.lines()), words=True)
    for warning in found.warnings:
        yield Paragraph(warning, "Warning:", "bad")


def _learning(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the learning curves of all models, and their measures at the end."""
    found = chapter.compared
    if found is None:
        return
    seeds = "seed" if found.seeds == 1 else "seeds"
    yield Paragraph(
        f"The data: {found.source}. {whole(found.steps)} steps, {found.seeds} {seeds}; every model starts from the "
        "same parameters and sees the same samples in the same order."
    )
    for note in found.notes():
        yield Paragraph(f"{note[:1].upper()}{note[1:]}", "Note:", "bad")
    band = "Mean over seeds, with the range of the seeds as a band." if found.seeds > 1 else "One seed."
    description = f"At the end: {_results(found)}."
    titles = {"accuracy": f"{found.judged_by.capitalize()} accuracy", "cost": f"Cost on the {found.judged_by} samples"}
    yield Figures(
        tuple(
            _picture(
                found.plot_curve(quantity),
                f"{identifier}-{quantity}",
                titles[quantity],
                f"{titles[quantity]} over {found.drawn_over}. {description}",
                band,
            )
            for quantity in found.quantities
        )
    )
    yield _measured(found)
    if not _missing(found.fixed_less_float.mean):
        paired = found.fixed_less_float
        interval = "" if _missing(paired.interval) else " (95 %)"
        yield Paragraph(f"{found.measure.difference(paired.mean, paired.interval)}{interval}.", "Fixed less float, seed by seed:")
    for model in (found.fixed, found.backprop):
        if model.note:
            yield Paragraph(f"{model.note[:1].upper()}{model.note[1:]}.")
    yield from _confusion(found)


def _measured(found: Comparison) -> Table:
    """Return the table of the measures of every model, and of the best answer that ignores the inputs."""
    first, *others = found.kind.shown_measures if not found.classes else found.kind.measures
    rows = [
        (
            title + (" (diverged)" if model.diverged else ""),
            first.text(model.mean(first.name)),
            first.text(model.std(first.name)),
            "–" if _missing(model.interval(first.name)) else f"± {first.text(model.interval(first.name))}",
            *(measure.text(model.mean(measure.name)) for measure in others),
            number(model.cost_mean),
            number(model.cost_std),
            number(model.seconds),
        )
        for title, model in _models(found)
    ]
    baseline = found.kind.baseline
    values = [first.text(baseline[first.name]), "–", "–", *(measure.text(baseline[measure.name]) for measure in others)]
    rows.append((found.kind.baseline_title, *values, "–", "–", "–"))
    titles = (first.title, "± std", "95 % interval", *(measure.title for measure in others))
    return Table(
        f"Results on the {found.judged_by} samples", ("model", *titles, "cost, C/outputs", "± std", "seconds of all runs"), tuple(rows)
    )


def _chip(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield what the chip of a learner shows before training, its learning curves, and the findings."""
    found, compared = chapter.chip_diagnosed, chapter.chip_compared
    if found is None or compared is None:
        return
    runs, title = (compared.float_mgd, compared.fixed), "Cost of the chip"
    yield Paragraph(f"The chip: {compared.chip}. {whole(compared.steps)} steps, each run on a process that has just begun.")
    ends = ", ".join(f"{each.name} {number(each.cost)}" for each in runs)
    caption = "Mean of the costs that were measured in each part of a run, one curve a seed."
    yield Figures((_picture(compared.plot(), f"{identifier}-cost", title, f"{title} over steps. At the end: {ends}.", caption),))
    rows = tuple((each.name, number(each.cost), number(max(each.costs)), percent(each.accuracy), number(each.seconds)) for each in runs)
    yield Table("At the end of the runs", ("model", "mean cost", "of the worst seed", "samples right", "seconds of all runs"), rows)
    measured = (
        ("mean cost of the samples", number(found.cost)),
        ("C̃: signal", number(found.signal)),
        ("C̃: noise", number(found.noise)),
        ("C̃: curvature over slope", number(found.curvature)),
        ("an update: gain by slope", number(found.gain)),
        ("an update: loss by curvature", number(found.loss)),
    )
    yield Table("Measured at the initial quantities", ("what", "value"), measured)
    for each in found.findings:
        yield Paragraph(f"{each.message[:1].upper()}{each.message[1:]}. {each.remedy}", f"{each.key}:", "bad")


MOST_CONFUSED = 20
"""Largest number of classes for which a page shows a confusion matrix; report.json has it for up to 64."""


def _confusion(found: Comparison) -> Iterator[Block]:
    """Yield the confusion matrix of the fixed model, or else of the float model, if there is one and it is not too large."""
    model = found.fixed if found.fixed.runs else found.float
    matrix = model.confusion
    if matrix is None or len(matrix) > MOST_CONFUSED:
        return
    runs = "all runs together" if len(model.runs) > 1 else "one run"
    title = "fixed MGD" if model is found.fixed else "float MGD"
    rows = tuple((name, *(whole(count) for count in row)) for name, row in zip(found.classes, matrix.tolist(), strict=True))
    yield Table(f"Confusion matrix of {title}, {runs}: samples by their class (rows) and the answer", ("class", *found.classes), rows)


def _models(found: Comparison) -> list[tuple[str, Any]]:
    """Return the title and the results of each model that has runs."""
    return [(title, getattr(found, name)) for name, title in MODELS if getattr(found, name).runs]


def _results(found: Comparison) -> str:
    """Return the first measure of each model as a phrase."""
    first = found.measure
    return ", ".join(f"{title} {first.title} {first.text(model.mean(first.name))}" for title, model in _models(found))


def _costs(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the costs of a run of each model, and the estimate of its energy."""
    compared = chapter.compared
    found = [(title, model.costs) for title, model in _models(compared)] if compared else []
    if compared is None or not found or any(costs is None for _, costs in found):
        return
    boards = sorted({costs.board for _, costs in found if costs.board})
    columns = ("model", "steps", "evaluations", "multiply-adds", "parameters written", "saturations", "cycles")
    rows = tuple(
        (
            title,
            whole(costs.steps),
            whole(costs.evaluations),
            whole(costs.multiply_accumulates),
            whole(costs.writes),
            whole(costs.saturations),
            whole(costs.cycles),
            *(scaled(costs.hardware_seconds, "s") for _ in boards),
        )
        for title, costs in found
    )
    yield Table("Costs of one run, averaged over the seeds", (*columns, *(f"on {board}" for board in boards)), rows)
    for costs in (costs for _, costs in found if costs.board):
        yield Paragraph(
            f"On {costs.board}, the core takes {scaled(costs.core_seconds, 's')} at {number(costs.clock_hz / 1e6)} MHz, and its samples "
            f"{scaled(costs.line_seconds, 's')} on the line; the two overlap."
        )
    description = ", ".join(f"{title} {scaled(costs.energy.joules, 'J')}" for title, costs in found)
    title = "Estimated energy of a run"
    caption = "Operations on numbers of each model's own width: 32-bit floating point, or the design's formats."
    yield Figures((_picture(compared.plot_energies(), f"{identifier}-energy", title, f"{title}: {description}.", caption),))
    rows = tuple(
        (
            title,
            costs.energy.numbers,
            whole(costs.energy.multiplications),
            whole(costs.energy.additions),
            whole(costs.energy.memory_bits),
            scaled(costs.energy.arithmetic_joules, "J"),
            scaled(costs.energy.memory_joules, "J"),
            scaled(costs.energy_fixed.joules, "J") if costs.energy_fixed else "–",
        )
        for title, costs in found
    )
    heads = ("multiplications", "additions", "memory bits", "arithmetic", "memory", "both, in the design’s formats")
    yield Table("Estimated energy of one run", ("model", "numbers", *heads), rows)
    yield Paragraph(
        "Operations are counted from the equations and multiplied by published energies; so this estimates arithmetic and its memory "
        f"accesses in one technology, not the energy that an FPGA needs. {found[0][1].energy_source}."
    )


def _efficiency(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield what MGD of every kind and code and back-propagation take, from the file of `mgd-hw compare --efficiency`."""
    found = chapter.efficiency
    if found is None:
        return
    trained = [(each, each["counts"]) for each in found["variants"] if each["counts"] is not None]
    bounds = [">" if found["until"] is not None and not each["reached"] else "" for each, _ in trained]
    rows, lasting = list[tuple[str, ...]](), list[tuple[str, ...]]()
    for (each, counts), bound in zip(trained, bounds, strict=True):
        texts = [whole(counts[key]) for key in ("evaluations", "cycles", "writes", "changed", "most_written", "most_changed")]
        energy = [scaled(math.nan if counts["energy"][key] is None else counts["energy"][key], "J") for key in ("joules", "low", "high")]
        reached = f"{each['reached']} of {len(each['runs'])}"
        rows.append((each["title"], reached, *(text if text == "–" else bound + text for text in (*texts, *energy))))
        lasting.append((each["title"], *(f"{whole(wear['always'])} / {whole(wear['if_changed'])}" for wear in each["wear"])))
    yield Paragraph(f"{found['until_why']} Counts with > are of whole runs, none of which reached it.")
    heads = ("reached", "passes", "cycles", "parameters written", "changed", "writes of one cell", "changes", "energy", "from", "to")
    yield Table("What each way to learn takes", ("way", *heads), tuple(rows))
    if trained:
        endurances = tuple(f"{whole(wear['endurance'])} writes" for wear in trained[0][0]["wear"])
        caption = "Whole trainings that a cell survives: if every update writes it / if only changes are written"
        yield Table(caption, ("way", *endurances), tuple(lasting))
    for each in found["variants"]:
        if each["refused"]:
            yield Paragraph(each["refused"], f"{each['title']}:")
    for sentence in found["uncertainties"]:
        yield Paragraph(sentence)


def _numbers(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the ranges of the values in a run, compared with those of their formats."""
    found = chapter.observed
    if found is None:
        return
    yield Paragraph(
        f"Values of the fixed model, seed {found.seed}, {whole(found.steps)} steps, observed for {found.window} steps from each of "
        f"{len(found.moments)} moments of the run; saturations are those of the whole run."
    )
    rows = tuple(
        (
            values.name,
            values.key or "derived",
            values.format,
            f"{number(values.lowest)} … {number(values.highest)}",
            f"{number(values.least)} … {number(values.greatest)}",
            str(values.idle_high),
            str(values.idle_low),
            "exact" if values.saturated is None else whole(values.saturated),
        )
        for values in found.values
    )
    heads = ("format", "range", "values observed", "high bits never used", "low bits never used", "saturated")
    yield Table("Values and the ranges of their formats", ("values", "key", *heads), rows)
    caption = (
        "Bars: values by the position of their highest bit, and those that are 0 (grey). Hatched: bits that were never used. The line on "
        "the right marks the end of the format."
    )
    yield Figures(
        tuple(
            _picture(
                values.plot(), f"{identifier}-{place}", f"Magnitudes of {values.name}", _describe(values), caption if not place else ""
            )
            for place, values in enumerate(found.values)
        )
    )


def _describe(values: Values) -> str:
    """Return a sentence with the statistics of one kind of value."""
    share = percent(values.zero / max(1, values.count))
    at = percent(values.at_limits / max(1, values.count))
    return (
        f"{whole(values.count)} values in {values.format}, from {number(values.least)} to {number(values.greatest)} of "
        f"{number(values.lowest)} to {number(values.highest)}; {share} are zero, {at} at an end of the range; {values.idle_high} high and "
        f"{values.idle_low} low bits are never used."
    )


def _gradient(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the cosine of the gradient estimates to the true gradient over a run."""
    found = chapter.observed
    if found is None or not found.directions:
        return
    first, last = found.directions[0], found.directions[-1]
    title = "Direction of the gradient over a run"
    description = (
        f"Cosine of the mean of {whole(found.estimates)} estimates to the true gradient: {number(first.cosine_float)} in real numbers and "
        f"{number(first.cosine_fixed)} in the hardware's bits at the start, {number(last.cosine_float)} and {number(last.cosine_fixed)} at "
        "the end."
    )
    yield Paragraph(
        f"At several moments of the run, the parameters are held constant while the estimates of {whole(found.estimates)} steps are "
        "summed; the sum is compared with the gradient that back-propagation computes over the same samples. "
        f"{whole(found.quantities)} quantities are perturbed. Near a minimum the true gradient is small, and so is the cosine."
    )
    caption = "1 is the true direction."
    yield Figures((_picture(found.plot(), f"{identifier}-cosine", title, description, caption),))
    rows = tuple((whole(each.step), number(each.cosine_float), number(each.cosine_fixed)) for each in found.directions)
    yield Table("Cosine to the true gradient", ("steps done", "real numbers", "the hardware’s bits"), rows)


def _hardware(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the resources that the core and its components need."""
    found = chapter.synthesised
    if found is None:
        return
    kinds = ("lut", "ff", "dsp", "bram")
    columns = ("component", "LUTs", "flip-flops", "DSPs", "block RAMs")
    lanes = "lane" if found.lanes == 1 else "lanes"
    taken = (f"the core, {found.lanes} {lanes}", *(whole(getattr(found, kind)) for kind in kinds))
    part = ("the part has", *(whole(found.limits.get(kind)) for kind in kinds))
    if found.fits:
        text = "" if found.network_outside else f"At most {found.predicted_lanes} lanes would fit, as predicted from this synthesis."
        yield Paragraph(text, "It fits.", "good")
    else:
        excess = ", ".join(f"{whole(count)} {kind}" for kind, count in found.over.items())
        text = f"{excess} too many; {found.predicted_lanes} lanes would fit, as predicted from this synthesis."
        yield Paragraph(text, "It does not fit:", "bad")
    rows = tuple((name.replace("_", " "), *(whole(counts.get(kind, 0)) for kind in kinds)) for name, counts in found.components.items())
    yield Table(f"Synthesis for {found.target} ({found.device}); components are synthesised separately", columns, (*rows, taken, part))
    if found.components:
        largest = sorted(found.components.items(), key=lambda item: -item[1].get("lut", 0))[:3]
        description = ", ".join(f"{name.replace('_', ' ')} {whole(counts.get('lut', 0))}" for name, counts in largest)
        title = "Logic cells by component"
        picture = _picture(
            found.plot(title), f"{identifier}-cells", title, f"{title}. Most LUTs: {description}.", "Each synthesised separately."
        )
        yield Figures((picture,))
    yield Paragraph(f"{whole(found.memory_bits)} memory bits.")


def _step(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the timeline of a step, and the cycle contract."""
    found = chapter.generated.timeline
    caption = _how_a_step_goes(chapter.cycles, "frames" in chapter.generated.manifest.get("network", {}))
    if found is not None:
        description = "; ".join(f"cycles {span.first} to {span.first + span.cycles - 1}: {span.name}" for span in found.spans)
        title = f"{found.title}, {whole(found.cycles)} cycles"
        yield Figures((_picture(found.plot(), f"{identifier}-time", title, f"{description}.", caption),))
        rows = tuple((span.name, span.what, whole(span.first), whole(span.cycles)) for span in found.spans)
        yield Table("The activities in cycles", ("activity", "row", "from", "cycles"), rows)
    cycles = tuple((name.replace("_", " "), number(value)) for name, value in chapter.cycles.items() if not isinstance(value, (dict, list)))
    if cycles:
        yield Table("Cycles from the manifest, which simulation verifies", ("quantity", "value"), cycles)


def _how_a_step_goes(cycles: dict[str, Any], frames: bool) -> str:
    """Return the caption of the timeline of a core with this cycle contract, whose network has state or not."""
    if "probe_cycles" not in cycles:
        return (
            "The network is evaluated twice; the second pass begins at the dotted line. During the first pass, the same lanes learn "
            "from the step before. Then the cost is computed."
        )
    if frames:
        return (
            "The network is evaluated once without perturbation, frame by frame. Each probe evaluates all frames again. After the cost of "
            "the last probe, the same lanes multiply the neurons' errors by the inputs of each frame, once more frame by frame."
        )
    return "The network is evaluated once without perturbation. Each probe evaluates the layers behind the first one. " + (
        "During the unperturbed pass, a second multiplier of each lane multiplies the neurons' errors of the presentation before by "
        "its inputs."
        if "flush_cycles" in cycles
        else "After the cost of the last probe, the same lanes multiply the neurons' errors by the inputs."
    )


def _placement(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the clock, the speed and the picture of a bitstream."""
    found = chapter.built
    if found is None:
        return
    seeds = "one seed" if found["seeds"] == 1 else f"median of {found['seeds']} seeds"
    rate = "not known" if found["frequency_mhz"] is None else f"{number(found['frequency_mhz'])} MHz, {seeds}"
    yield Paragraph(
        f"A bitstream for {found['board']}: timing allows {rate}; at its {number(found['clock_mhz'])} MHz the core makes "
        f"{whole(found['steps_per_second'])} steps per second, and {whole(found['link_steps_per_second'])} through its link."
    )
    rows = tuple((kind, whole(count["used"]), whole(count["available"])) for kind, count in found["utilisation"].items())
    yield Table("Sites used", ("kind", "used", "available"), rows)
    if chapter.placement:
        title = f"The placed design on {found['board']}"
        description = "Every cell at its location on the device, in the colour of its component. The legend and build.json have the counts."
        yield Figures((Picture(inline(chapter.placement, f"{identifier}-cells", title, description), description),), wide=True)


def _again(chapter: Chapter, identifier: str) -> Iterator[Block]:
    """Yield the commands, digests, seeds and versions that reproduce the results."""
    found = chapter.provenance
    if found is None:
        return
    yield Code("commands", "\n".join(found.commands))
    rows = (
        ("structure", found.digest),
        ("structure and run", found.run_digest),
        *([("samples and their order", found.data_digest)] if found.data_digest else []),
        ("seeds", ", ".join(map(str, found.seeds))),
    )
    yield Table("Digests and seeds", ("of", "value"), rows, words=True)
    yield Table("Versions", ("package", "version"), tuple(found.versions.items()), words=True)
