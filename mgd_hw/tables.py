"""Results as a person reads them on the terminal."""

from __future__ import annotations

import io
import math
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mgd_hw.results import Result, scaled

if TYPE_CHECKING:
    from mgd_hw.building import Boards, Build
    from mgd_hw.comparison import Agreement, Comparison
    from mgd_hw.costs import Costs
    from mgd_hw.data.summary import Summary
    from mgd_hw.diagnosis import Diagnosis
    from mgd_hw.doctor import Doctor
    from mgd_hw.download import Fetched
    from mgd_hw.fitting import Fitted
    from mgd_hw.flow import Cosimulated, Demonstrated, Generated, New, Synthesised
    from mgd_hw.paper.run import PaperFigure, PaperPlan
    from mgd_hw.report import Reported
    from mgd_hw.sweep.run import SweepPlan, Swept
    from mgd_hw.training import Served, Trained

__all__ = ["html", "show", "show_on", "text"]


def show(result: Result) -> None:
    """Print a result on standard output."""
    width = shutil.get_terminal_size((110, 24)).columns if sys.stdout.isatty() else 110
    show_on(Console(file=sys.stdout, width=max(60, width), highlight=False, soft_wrap=False), result)


def show_on(console: Console, result: Result) -> None:
    """Print a result on a console."""
    _SHOW.get(type(result).__name__, _plainly)(console, result)


def text(result: Result, width: int = 110) -> str:
    """What a person reads of a result, without colours."""
    written = io.StringIO()
    show_on(Console(file=written, width=width, highlight=False, color_system=None), result)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def html(result: Result) -> str:
    """The same for a notebook."""
    console = Console(file=io.StringIO(), width=120, highlight=False, record=True, color_system="truecolor")
    show_on(console, result)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.3">{code}</pre>').strip()


def _plainly(console: Console, result: Result) -> None:
    """A part of a result, by its single values."""
    console.print(f"[bold]{type(result).__name__}[/bold]")
    table = _table("", "", numbers=False)
    for name, value in result.rows("result" if "result" in result.tables() else None)[0].items():
        table.add_row(escape(name), escape(f"{value:.6g}" if isinstance(value, float) else str(value)))
    console.print(table)


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f} %"


def _number(value: float, digits: int = 4) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}g}"


def _table(*columns: str, numbers: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and number else "left", overflow="fold")
    return table


def _costs(console: Console, rows: list[tuple[str, Costs | None]]) -> None:
    """What a run of each model costs; the estimate of its energy in a table of its own, with what it is worth."""
    found = [(title, costs) for title, costs in rows if costs is not None]
    if not found:
        return
    boards = sorted({costs.board for _, costs in found if costs.board})
    table = _table("costs of a run", "steps", "cycles", *(f"on {board}" for board in boards), "multiply-adds", "saturations")
    for title, costs in found:
        table.add_row(
            title,
            f"{costs.steps:,}",
            "–" if costs.cycles is None else f"{costs.cycles:,}",
            *(scaled(costs.hardware_seconds, "s") for _ in boards),
            "–" if costs.multiply_accumulates is None else f"{costs.multiply_accumulates:,}",
            "–" if math.isnan(costs.saturations) else f"{costs.saturations:,.0f}",
        )
    console.print(table)
    for costs in (costs for _, costs in found if costs.board):
        console.print(
            f"On {costs.board}: {scaled(costs.core_seconds, 's')} in the core at {costs.clock_hz / 1e6:g} MHz, "
            f"{scaled(costs.line_seconds, 's')} for its samples on the line; both go on at once",
            soft_wrap=True,
        )
    table = _table("energy, estimated", "numbers", "arithmetic", "memory", "both", "all in the design's widths")
    for title, costs in found:
        energy, narrow = costs.energy, costs.energy_fixed
        table.add_row(
            title,
            energy.numbers,
            *(scaled(value, "J") for value in (energy.arithmetic_joules, energy.memory_joules, energy.joules)),
            "–" if narrow is None else scaled(narrow.joules, "J"),
        )
    console.print(table)
    console.print("Operations counted, at the energies of 45 nm (Horowitz, ISSCC 2014): of the arithmetic, not of an FPGA.", soft_wrap=True)


def _summary(console: Console, result: Summary) -> None:
    """What was read, and what looks wrong with it."""
    table = _table("data", "", "", numbers=False)
    for what, value, why in result.lines():
        table.add_row(escape(what), escape(value), escape(why))
    console.print(table)
    for warning in result.warnings:
        console.print(f"[bold]Warning:[/bold] {escape(warning)}", soft_wrap=True)


def _read(console: Console, data: Summary | None, missing: str) -> None:
    """What was read, or why it could not be."""
    if data is not None:
        _summary(console, data)
    elif missing:
        console.print(f"Note: the data were not read. {escape(missing)}", soft_wrap=True)


def _new(console: Console, result: New) -> None:
    _read(console, result.data, result.data_missing)
    for note in result.notes:
        word, _, text = note.partition(": ")
        console.print(f"[bold]{word}:[/bold] {escape(text)}", soft_wrap=True)
    console.print(
        f"Wrote {escape(', '.join(map(str, result.files)))}. Next: mgd-hw generate {escape(str(result.files[0]))}", soft_wrap=True
    )


def _generated(console: Console, result: Generated) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold], digest {result.digest}")
    if result.derived:
        table = _table("derived", "value", "because", numbers=False)
        for row in result.derived:
            table.add_row(escape(row.key), escape(row.value), escape(row.why))
        console.print(table)
    _read(console, result.data, result.data_missing)
    cycles = result.manifest["cycles"]
    table = _table("cycles", "", "", numbers=False)
    for name, value, meaning in (
        ("pass", cycles["pass_cycles"], f"N = {cycles['slots']} slots, D = {cycles['depth']}; correlating and updating or not"),
        ("wait", cycles["wait"], "T, from a step's last slot to the next step's first"),
        ("step of one pass", cycles["step_one_pass"], "no new baseline"),
        ("step of two passes", cycles["step_two_passes"], f"{100 * cycles['busy_lanes']:.1f} % of the lanes' cycles at a synapse"),
    ):
        table.add_row(name, f"{value:,}", meaning)
    console.print(table)
    for sentence in result.advice:
        console.print(f"Note: {escape(sentence)}", soft_wrap=True)
    plain_files = [name for name in result.files if "/" not in name]
    folders = Counter(name.partition("/")[0] for name in result.files if "/" in name)
    listed = [*plain_files, *(f"{folder}/ ({count} files)" for folder, count in folders.items())]
    console.print(f"Wrote {escape(', '.join(listed))} to {escape(str(result.directory))}", soft_wrap=True)


def _cosimulated(console: Console, result: Cosimulated) -> None:
    what = f"{result.observables:,} observables × {result.steps:,} steps = {result.compared:,} values"
    speed = f"{result.cycles:,} cycles, {result.cycles_per_step:.1f} per step; {result.seconds:.1f} s"
    if result.equal:
        console.print(
            f"[bold green]Equal[/bold green]: {what}, bit for bit ({escape(result.simulator)} against {result.reference}).", soft_wrap=True
        )
        if result.changed_lines:
            lines = "1 line" if result.changed_lines == 1 else f"{result.changed_lines:,} lines"
            console.print(
                f"Note: {escape(result.verilog)} is not the Verilog of this design: it differs in {lines}, from line "
                f"{result.first_changed_line} on. To this run that made no difference: such a line may drive nothing, or do what these "
                "steps never came to.",
                soft_wrap=True,
            )
    else:
        console.print(f"[bold red]Different[/bold red]: {result.mismatches:,} of {what}.", soft_wrap=True)
        if result.first_difference_text:
            console.print(f"First: {escape(result.first_difference_text)}", soft_wrap=True)
        if result.failure:
            console.print(f"Failure: {escape(result.failure)}", soft_wrap=True)
        if result.by_observable:
            listed = ", ".join(f"{name} {count:,}" for name, count in result.by_observable.items())
            console.print(f"By observable: {escape(listed)}", soft_wrap=True)
    console.print(speed)
    if result.netlist:
        console.print(f"The netlist for {result.netlist}. Not covered:")
        for sentence in result.not_covered:
            console.print(f"- {escape(sentence)}", soft_wrap=True)
    if result.waves:
        console.print(f"Waves: {escape(str(result.waves))}", soft_wrap=True)


def _comparison(console: Console, result: Comparison) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold]: {escape(result.source)}", soft_wrap=True)
    _summary(console, result.data)
    console.print(f"{result.steps:,} steps of MGD, {result.seeds} {'seed' if result.seeds == 1 else 'seeds'}")
    first, *others = result.kind.shown_measures
    heads = (first.title, "± std", "95 % interval", *(measure.title for measure in others))
    table = _table("", *heads, "cost C/n", "evaluations", "writes", "seconds")
    models = [("float MGD", result.float), ("fixed MGD", result.fixed), ("back-propagation", result.backprop)]
    for title, model in models:
        if not model.runs:
            continue
        half = model.interval(first.name)
        table.add_row(
            title + (" (diverged)" if model.diverged else ""),
            first.text(model.mean(first.name)),
            first.text(model.std(first.name)),
            "–" if math.isnan(half) else f"± {first.text(half)}",
            *(measure.text(model.mean(measure.name)) for measure in others),
            _number(model.cost_mean),
            f"{model.evaluations_mean:,.0f}",
            f"{model.writes_mean:,.0f}",
            f"{model.seconds:.1f}",
        )
    baseline = result.kind.baseline
    values = [first.text(baseline[first.name]), "", "", *(measure.text(baseline[measure.name]) for measure in others)]
    table.add_row(escape(result.kind.baseline_title), *values)
    console.print(table)
    for note in result.notes():
        console.print(f"[bold red]{escape(note[:1].upper() + note[1:])}[/bold red]", soft_wrap=True)
    _costs(console, [(title, model.costs) for title, model in models])
    for title, paired in (("fixed less float", result.fixed_less_float), ("float less back-propagation", result.float_less_backprop)):
        if not math.isnan(paired.mean):
            interval = "" if math.isnan(paired.interval) else " (95 %)"
            console.print(f"{title}, seed by seed: {first.difference(paired.mean, paired.interval)}{interval}")
    for model in (result.fixed, result.backprop):
        if model.note:
            console.print(escape(model.note), soft_wrap=True)
    saturated = {kind: count for kind, count in result.fixed.saturations.items() if count}
    if result.fixed.runs:
        together = f", {len(result.fixed.runs)} runs together" if len(result.fixed.runs) > 1 else ""
        counts = ", ".join(f"{kind} {count:,}" for kind, count in saturated.items()) or "none"
        console.print(f"Saturations of the fixed model{together}: {counts}")
    if result.agreement:
        _agreement(console, result.agreement)


def _agreement(console: Console, found: Agreement) -> None:
    console.print(
        f"Gradient, mean of {found.steps:,} estimates: cosine with the true one {found.cosine_float:.3f} float, "
        f"{found.cosine_fixed:.3f} fixed "
        f"({found.quantities:,} perturbed quantities; {found.single_sample:.3f} is what random signs give on a single sample)",
        soft_wrap=True,
    )


def _synthesised(console: Console, result: Synthesised) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold] for {result.target} ({result.device}), {result.lanes} lanes")
    table = _table("", "LUTs", "flip-flops", "DSPs", "block RAMs")
    kinds = ("lut", "ff", "dsp", "bram")
    for name, counts in result.components.items():
        table.add_row(escape(name), *(f"{counts.get(kind, 0):,}" for kind in kinds))
    table.add_row("[bold]as one[/bold]", *(f"{getattr(result, kind):,}" for kind in kinds))
    table.add_row("the part has", *(f"{result.limits[kind]:,}" if result.limits.get(kind) else "–" for kind in kinds))
    console.print(table)
    console.print(
        f"{result.memory_bits:,} memory bits; {result.cycles_per_step:,.1f} cycles per step ({result.cycles_one_pass:,} with one pass, "
        f"{result.cycles_two_passes:,} with two); {result.seconds:.1f} s",
        soft_wrap=True,
    )
    lanes = f"{result.predicted_lanes} {'lane' if result.predicted_lanes == 1 else 'lanes'}"
    if result.fits:
        console.print(f"[bold green]It fits.[/bold green] At most {lanes} would, as predicted from this.")
    else:
        excess = ", ".join(f"{count:,} {kind}" for kind, count in result.over.items())
        way_out = (
            f"Take hardware.lanes = {result.predicted_lanes}, as predicted from this." if result.predicted_lanes else "Take a larger part."
        )
        if "learned_signature" in result.components:
            saved = sum(result.components[name].get("lut", 0) for name in ("forward_signature", "learned_signature"))
            way_out = f"hardware.signature = false saves about {saved:,} LUTs. {way_out}"
        console.print(f"[bold red]It does not fit:[/bold red] {excess} too many. {way_out}", soft_wrap=True)


def _fitted(console: Console, result: Fitted) -> None:
    lanes = f"{result.lanes} {'lane' if result.lanes == 1 else 'lanes'}"
    console.print(f"[bold]{escape(result.design)}[/bold], {lanes}, with its serial line; predicted, nothing was synthesised")
    table = _table("part", "fits", "most lanes", "LUTs", "± mean, worst", "flip-flops", "DSPs", "block RAMs")
    for name, part in result.parts.items():
        error = part["error"]["lut"]
        table.add_row(
            name,
            "perhaps" if part["close"] else "[bold green]yes[/bold green]" if part["fits"] else "[bold red]no[/bold red]",
            str(part["most_lanes"]),
            f"{part['lut']:,} / {part['limits']['lut']:,}",
            f"{100 * error['mean']:.0f} %, {100 * error['worst']:.0f} %",
            *(f"{part[kind]:,} / {part['limits'].get(kind, 0):,}" for kind in ("ff", "dsp", "bram")),
        )
    console.print(table)
    for name, part in result.parts.items():
        if part["over"]:
            excess = ", ".join(f"{count:,} {kind}" for kind, count in part["over"].items())
            way_out = f"; hardware.lanes = {part['most_lanes']} would fit" if part["most_lanes"] else ""
            console.print(f"{name}: {excess} too many{', within the error' if part['close'] else ''}{way_out}.", soft_wrap=True)
    console.print("Boards: " + ", ".join(f"{escape(board)} ({part})" for board, part in result.boards.items()), soft_wrap=True)
    console.print(f"{result.memory_bits:,} memory bits; {result.cycles_per_step:,.1f} cycles per step, exactly", soft_wrap=True)
    builds = min(part["designs"] for part in result.parts.values())
    stale = "" if result.current else " The generator has changed since: run python -m boards.parts.fit_calibrate."
    console.print(
        f"Errors are those for designs the model had not seen, {builds} or more per part, {result.calibrated}.{stale}", soft_wrap=True
    )


def _trained(console: Console, result: Trained) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold], {result.steps:,} steps over {escape(result.link)}", soft_wrap=True)
    if result.verify and result.equal:
        console.print(f"[bold green]Equal[/bold green]: {result.verified:,} values compared with the model, bit for bit.")
    elif result.verify:
        console.print(f"[bold red]Different[/bold red]: {result.mismatches:,} of {result.verified:,} values compared with the model.")
        console.print(f"First: {escape(result.first_difference_text)}", soft_wrap=True)
    console.print(f"{result.told()}, cost C/n {_number(result.cost)}", soft_wrap=True)
    table = _table("", "steps/s", "")
    earlier = f", the {result.resumed_from:,} steps before it was resumed included" if result.resumed_from else ""
    table.add_row("through the link", _number(result.steps_per_second), f"{result.seconds:,.1f} s{earlier}")
    clock = "" if math.isnan(result.clock_hz) else f" at {result.clock_hz / 1e6:.3g} MHz"
    table.add_row("the core alone", _number(result.core_steps_per_second), f"{_number(result.cycles_per_step, 6)} cycles per step{clock}")
    console.print(table)
    _costs(console, [("the core", result.costs)])
    console.print(
        f"Line: {result.bytes_sent:,} bytes out, {result.bytes_received:,} in; {result.frames:,} frames, {result.frames_repeated:,} "
        f"repeated; {f'{result.link_errors:,} errors, all detected and repeated' if result.link_errors else 'no errors'}",
        soft_wrap=True,
    )
    if result.advice:
        console.print(f"Note: {escape(result.advice)}", soft_wrap=True)
    console.print(f"Checkpoint: {escape(str(result.checkpoint))}, step {result.checkpoint_step:,}", soft_wrap=True)


def _served(console: Console, result: Served) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold] listens at {escape(result.port)}; Ctrl-C ends it.", soft_wrap=True)
    console.print(f"mgd-hw train {escape(result.design)} --link {escape(result.link)} --steps 1000", soft_wrap=True)


def _demonstrated(console: Console, result: Demonstrated) -> None:
    for chapter in result.designs:
        console.print(f"\n[bold]— {escape(chapter.title)} —[/bold]")
        for part in (chapter.cosimulated, chapter.compared, chapter.synthesised):
            if part is not None:
                show_on(console, part)
    console.print(f"\nWrote {escape(str(result.directory / 'report.html'))} and report.json in {result.seconds:.0f} s", soft_wrap=True)


def _reported(console: Console, result: Reported) -> None:
    for part in (result.chapter.cosimulated, result.chapter.compared, result.chapter.synthesised):
        if part is not None:
            show_on(console, part)
    console.print(f"\nWrote {escape(str(result.directory / 'report.html'))} and report.json in {result.seconds:.0f} s", soft_wrap=True)


def _diagnosed(console: Console, result: Diagnosis) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold]: {escape(result.source)}", soft_wrap=True)
    table = _table("measured at the initial parameters", "")
    rows = (
        ("perturbed quantities D, perturbations in an update K", f"{result.quantities:,}, {result.perturbations:,}"),
        ("cosine of G to the true gradient", _number(result.cosine)),
        ("expected of a single sample, √(K/(K + D − 1))", _number(result.cosine_expected)),
        ("C̃: signal, noise", f"{_number(result.signal)}, {_number(result.noise)}"),
        ("C̃: signal to noise", "no noise" if math.isnan(result.signal_to_noise) else _number(result.signal_to_noise)),
        ("C̃: curvature over slope", _number(result.curvature)),
        ("an update: gain by slope, loss by curvature and noise", f"{_number(result.gain)}, {_number(result.loss)}"),
        ("parameters changed per write", _percent(result.changed)),
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if result.scores:
        values, baseline = result.kind.told(result.scores)
        console.print(f"The fixed model after {result.steps:,} steps: {values} ({escape(baseline)})", soft_wrap=True)
    saturated = {kind: share for kind, share in result.saturations.items() if share}
    if result.saturations:
        console.print("Saturations: " + (", ".join(f"{kind} {100 * share:.2g} %" for kind, share in saturated.items()) or "none"))
    for finding in result.findings:
        said = f"{finding.said[:1].upper()}{finding.said[1:]}."
        console.print(
            f"[bold]{escape(finding.what)}[/bold] ({escape(finding.key)}): {escape(said)} {escape(finding.remedy)}", soft_wrap=True
        )
    if not result.findings:
        console.print("Nothing stands in the way of learning.")


def _fetched(console: Console, result: Fetched) -> None:
    console.print(f"{escape(', '.join(result.files))} in {escape(str(result.directory))}", soft_wrap=True)


def _doctor(console: Console, result: Doctor) -> None:
    table = _table("tool", "version", "needed for", "remedy", numbers=False)
    for tool in result.tools:
        shown = escape(tool.version) if tool.found else "[bold red]missing[/bold red]" if tool.needed else "missing"
        table.add_row(tool.name, shown, escape(tool.needed_for), escape(tool.remedy))
    console.print(table)
    optional = [tool.name for tool in result.tools if not (tool.found or tool.needed)]
    there = f"Everything needed is there; {', '.join(optional)} only for what stands beside." if optional else "Everything is there."
    console.print(there if result.good else "[bold red]Something needed is missing.[/bold red]", soft_wrap=True)


def _boards(console: Console, result: Boards) -> None:
    table = _table("board", "part", "clock (core), MHz", "multipliers", "RAM, kbit", "link, Mbaud", "fits, with so many lanes")
    for row in result.boards:
        fitting = {name: of for name, of in row.designs.items() if of["fits"] or of["close"]}
        shown = ", ".join(f"{name} {of['most_lanes']}{'?' if of['close'] else ''}" for name, of in fitting.items())
        table.add_row(
            row.name,
            row.part,
            f"{row.clock_mhz:g} ({row.core_mhz:g})",
            str(row.multipliers),
            f"{row.memory_kbit:,}",
            f"{row.link.split()[-1]}, {row.baud / 1e6:g}",
            shown + ("" if row.bitstream else " *"),
        )
    console.print(table)
    console.print("What fits is predicted as by `mgd-hw fit`; ? is too close to tell before synthesis. * synthesis only, no bitstream.")


def _rates(result: Build) -> str:
    cycles = f"{result.cycles_per_step:,.1f} cycles per step"
    link = f"through the link of {result.baud:,} baud {result.link_steps_per_second:,.0f}"
    if result.steps_per_second is None or result.visits_per_second is None or result.ceiling_percent is None:
        return f"{cycles}; {link} steps per second. UNVERIFIED at {result.clock_mhz:g} MHz: {result.unverified}."
    return (
        f"At {result.clock_mhz:g} MHz: {cycles}, {result.steps_per_second:,.0f} steps per second ({link}), "
        f"{result.visits_per_second / 1e6:,.0f} million synapses per second, {result.ceiling_percent:.1f} % of the part's ceiling"
    )


def _build(console: Console, result: Build) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold] on {result.board}, {result.lanes} lanes, digest {result.digest}")
    table = _table("", "used", "available")
    for kind, count in result.utilisation.items():
        table.add_row(kind, f"{count['used']:,}", f"{count['available']:,}")
    console.print(table)
    console.print(f"{result.lut:,} LUTs, {result.ff:,} flip-flops, {result.dsp} multipliers, {result.bram} block RAMs, link included.")
    for line in result.history:
        console.print(line, soft_wrap=True)
    if result.frequency_mhz is not None:
        console.print(
            f"{result.frequency_mhz:.2f} MHz, median of {result.seeds} seeds ({result.frequency_min_mhz:.2f} to "
            f"{result.frequency_max_mhz:.2f}), limited {result.limited_by}; by {escape(result.frequency_source)}",
            soft_wrap=True,
        )
    console.print(_rates(result), soft_wrap=True)
    console.print(
        f"Learning, host and link apart: {result.learning['lut']:,} LUTs, and {result.inference_only['lut']:,} for inference only: "
        f"{result.learning_lut_per_lane:.0f} per lane, all that is shared included",
        soft_wrap=True,
    )
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.stages.items())
    console.print(f"{stages}; {result.seconds:.1f} s in all", soft_wrap=True)
    if result.bitstream is not None:
        console.print(f"Wrote {escape(str(result.bitstream))}. Load it: {escape(result.program)}", soft_wrap=True)
    else:
        console.print(f"Wrote Verilog and constraints to {escape(str(result.directory))}; this board's bitstreams are its maker's tool's.")


def _sweep_plan(console: Console, result: SweepPlan) -> None:
    console.print(f"[bold]{escape(result.design)}[/bold], to {escape(str(result.directory))}", soft_wrap=True)
    for sentence in result.sentences():
        console.print(escape(sentence), soft_wrap=True)


MOST_DESIGNS = 30
"""Designs of a sweep in a table; of more, only those that no other beats."""


def _swept(console: Console, result: Swept) -> None:
    if result.best is not None:
        console.print(result.best.commented(), end="", markup=False, soft_wrap=True)
        return
    console.print(
        f"[bold]{escape(result.design)}[/bold]: {result.runs:,} runs of {result.combinations:,} combinations, {result.refused:,} of these "
        f"refused; {result.finished_now:,} jobs done now",
        soft_wrap=True,
    )
    shown = result.found if len(result.found) <= MOST_DESIGNS else tuple(each for each in result.found if each.unbeaten)[:MOST_DESIGNS]
    measure = result.measure
    table = _table(*result.vary, measure.title, "± std", "runs", "LUTs", "memory bits", "steps/s", "part", "unbeaten")
    for each in shown:
        figures = each.figures
        table.add_row(
            *(escape(str(each.vary[key])) for key in result.vary),
            "diverged" if figures.get("diverged") else measure.text(figures.get(measure.name)),
            measure.text(figures.get(f"{measure.name}_std")),
            str(each.runs),
            *("–" if figures.get(name) is None else f"{figures[name]:,.0f}" for name in ("lut", "memory_bits", "steps_per_second")),
            figures.get("target", "–"),
            "*" if each.unbeaten else "",
        )
    console.print(table)
    if len(shown) < len(result.found):
        console.print(f"Of {len(result.found):,} designs {len(shown)} that no other beats; rows.csv has all.")
    for sentence in (*result.notes, *(f"Failed: {why}" for why in result.failures)):
        console.print(escape(sentence), soft_wrap=True)
    if result.failed:
        console.print(f"{result.failed:,} jobs failed; give the same command again to try them again.")
    console.print(f"Wrote {escape(', '.join(result.files))} to {escape(str(result.directory))}", soft_wrap=True)


def _paper_plan(console: Console, result: PaperPlan) -> None:
    console.print(f"[bold]{result.figure}[/bold], to {escape(str(result.directory))}", soft_wrap=True)
    for sentence in result.sentences():
        console.print(escape(sentence), soft_wrap=True)


def _paper(console: Console, result: PaperFigure) -> None:
    console.print(f"[bold]{result.figure}[/bold]: {result.title}; {result.runs:,} runs, {result.finished_now:,} of them done now")
    theirs = {(each.series, each.quantity, each.n, each.period): each.value for each in result.published}
    periodic = any(each.period for each in result.published)

    def number(value: float | None, quantity: str) -> str:
        return "–" if value is None else f"{100 * value:.1f} %" if quantity == "accuracy" else f"{value:,.0f}"

    table = _table("series", "n", "τ_θ", "what", "median", "least", "most", "reached", "published")
    for each in result.points:
        median = number(each.median, each.quantity) if each.beyond is None or each.reached else f"> {number(each.beyond, each.quantity)}"
        known = theirs.get((each.series, each.quantity, each.n, each.period if periodic else 0))
        table.add_row(
            each.series, str(each.n), str(each.period), each.quantity, median, number(each.low, each.quantity),
            number(each.high, each.quantity), f"{each.reached} of {each.seeds}", number(known, each.quantity),
        )  # fmt: skip
    console.print(table)
    for sentence in (*result.notes, *(f"Failed: {why}" for why in result.failures)):
        console.print(escape(sentence), soft_wrap=True)
    if result.missing or result.failed:
        console.print(f"{result.missing + result.failed:,} runs are left; give the same command again.")
    console.print(f"Wrote {escape(', '.join(result.files))} to {escape(str(result.directory))}", soft_wrap=True)


_SHOW: dict[str, Callable[[Console, Any], None]] = {
    "New": _new,
    "Boards": _boards,
    "Build": _build,
    "Generated": _generated,
    "Cosimulated": _cosimulated,
    "Comparison": _comparison,
    "Summary": _summary,
    "Synthesised": _synthesised,
    "Fitted": _fitted,
    "Demonstrated": _demonstrated,
    "Diagnosis": _diagnosed,
    "Fetched": _fetched,
    "Trained": _trained,
    "Reported": _reported,
    "Served": _served,
    "Swept": _swept,
    "SweepPlan": _sweep_plan,
    "PaperFigure": _paper,
    "PaperPlan": _paper_plan,
    "Doctor": _doctor,
}
