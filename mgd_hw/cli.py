"""The command line: commands that call the functions of the same names in :mod:`mgd_hw`.

Exit codes: 0 success, 1 a comparison failed, 2 bad input or a missing tool, 130 interrupted. With ``--json``, standard output carries
one object, and everything else goes to standard error. Large packages are imported only when a command runs.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import mgd_hw

if TYPE_CHECKING:
    from mgd_hw.terminal import Terminal

__all__ = ["commands", "main"]

TASKS = ("xor", "parity", "nist7x7", "digits", "digits_sparse", "digits_rows", "digits_lif", "mnist", "fashion", "csv", "series")
ALL_TASKS = ("xor", "parity", "nist7x7", "digits", "mnist", "fashion-mnist", "cifar-10", "idx", "csv", "npz")
DATA_SETS = ("mnist", "fashion-mnist", "cifar-10")
PAPER_FIGURES = ("fig3", "fig4", "fig5", "fig6", "table2")
SIMULATORS = ("verilator", "icarus", "cxxrtl")
NETLISTS = ("ice40-up5k", "ecp5-85k", "gowin-gw1nr9", "gowin-gw2ar18")
BUSES = ("axi4-lite", "wishbone")
SAMPLE_SOURCES = ("bus", "axi4-stream")
OUTSIDES = ("registers", "ports")
TARGETS = ("ice40-up5k", "ecp5-85k", "gowin-gw1nr9", "gowin-gw2ar18", "xc7")

SECTIONS = {
    "Start here": ("demo", "doctor"),
    "Design": ("new", "import", "fetch", "fit", "generate"),
    "Prove": ("cosim", "report"),
    "Learn": ("diagnose", "compare"),
    "Build and run": ("boards", "synth", "build", "train", "virtual"),
    "Experiments": ("sweep", "paper"),
}
"""Headings under which ``mgd-hw --help`` lists the commands, and the commands of each, in that order."""


def _terminal(as_json: bool) -> Terminal:
    """Return the terminal of a command, which shows its progress and turns exceptions into a message and an exit code."""
    from mgd_hw.terminal import Terminal

    debug = click.get_current_context().find_root().params["debug"] or bool(os.environ.get("MGD_HW_DEBUG"))
    return Terminal(as_json, debug=debug)


class _SectionedGroup(click.Group):
    """Group of commands that ``--help`` lists under the headings of :data:`SECTIONS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the sections."""
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section of the help per heading, with the descriptions of all sections aligned in one column."""
        longest = max(map(len, self.list_commands(ctx)))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - formatter.current_indent - longest - 2  # two spaces between name and description
                formatter.write_dl([(name.ljust(longest), self.commands[name].get_short_help_str(limit)) for name in names])


@click.group(cls=_SectionedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mgd-hw", prog_name="mgd-hw")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error; so does MGD_HW_DEBUG=1.")
def commands(debug: bool) -> None:
    """Turn one TOML file into an FPGA core that learns on its own, and prove that it does.

    DESIGN is the path of a design file, or the name of a shipped design: xor, digits, nist7x7, mnist, fashion, parity,
    or chip, whose network is outside.

    Exit codes: 0 success, 1 a comparison failed, 2 bad input or a missing tool, 130 interrupted.
    """


def _options(*names: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds shared arguments and options, by their names in this function, to a command."""
    known = {
        "of_board": click.option("--board", metavar="NAME", help="Show how long a run takes on this board (see mgd-hw boards)."),
        "design": click.argument("design"),
        "json": click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to standard error."),
        "clock": click.option(
            "--clock", type=click.FloatRange(1, 1000), metavar="MHZ", help="Clock of the core.  [default: the board's, or the highest met]"
        ),
        "steps_alone": click.option(
            "--steps", type=click.IntRange(1, 10**9), help="Steps that the board trains.  [default: compare.steps]"
        ),
        "samples": click.option(
            "--samples", type=click.IntRange(1), help="Training samples in the flash.  [default: as needed, or as fit]"
        ),
        "held_out": click.option(
            "--held-out", type=click.IntRange(1), help="Samples for the lights.  [default: the test samples, to 1,000]"
        ),
        "baud": click.option("--baud", type=click.IntRange(9600, 20_000_000), help="Rate of the serial line.  [default: the board's]"),
        "out": click.option(
            "-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory for results.  [default: mgd-hw-out/DESIGN]"
        ),
    }

    def decorate(command: Callable) -> Callable:
        for name in reversed(names):
            command = known[name](command)
        return command

    return decorate


class _Column(click.ParamType):
    """Column of a table: a whole number is its position from 0, and anything else its name."""

    name = "column"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,5}", value) else value


@commands.command()
@click.argument("name")
@click.option("--task", type=click.Choice(TASKS), default="xor", show_default=True, help="Task that the design learns.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your csv file, for --task csv or series.  [default: a small example is written]",
)
@click.option("--label", type=_Column(), metavar="COLUMN", help="Column of the labels in that file: its name, or its number from 0.")
@click.option("--drop", type=_Column(), metavar="COLUMN", multiple=True, help="Column to leave out; may be given several times.")
@click.option("--series", type=_Column(), metavar="COLUMN", help="Column that names the series of a row, for --task series.")
@click.option("--force", is_flag=True, help="Replace files that exist already.")
@_options("json")
def new(name: str, as_json: bool, **options: Any) -> None:
    """Write a commented design file to start from.

    The file is NAME.toml. Every guess about the data is printed, with the key that decides otherwise.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.new(name, **options))


@commands.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name", required=False)
@click.option("--task", type=click.Choice(ALL_TASKS), help="Task that the design learns.  [default: csv or npz, by the ending of --data]")
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="Samples to adapt to: csv, npz, or a public set's folder.")
@click.option("--label", type=_Column(), metavar="COLUMN", help="Column of the labels in a csv file: its name, or its number from 0.")
@click.option("--drop", type=_Column(), metavar="COLUMN", multiple=True, help="Column to leave out; may be given several times.")
@click.option("--force", is_flag=True, help="Replace files that exist already.")
@_options("json")
def import_network(file: Path, name: str | None, as_json: bool, **options: Any) -> None:
    """Start from a network trained elsewhere, in an ONNX file.

    FILE holds dense layers, as scikit-learn's or PyTorch's exporters write them. The command writes the design file NAME.toml and the
    parameters NAME.npz, where NAME is by default that of FILE, and says what it could not take over. `mgd-hw compare NAME.toml --start
    NAME.npz` shows the accuracy as exported, in the hardware's numbers, and after training.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.import_network(file, name, **options))


@commands.command()
@_options("design")
@click.option("--board", metavar="NAME", help="Write the whole top level for this board, or for that of a file NAME.toml.")
@click.option("--bus", type=click.Choice(BUSES), help="Put the core behind this bus of a processor, with an interrupt.")
@click.option("--samples", type=click.Choice(SAMPLE_SOURCES), help="How samples reach a core behind a bus.  [default: bus]")
@click.option("--outside", type=click.Choice(OUTSIDES), help="Where a learner behind a bus has its outside.  [default: registers]")
@click.option("--headers", is_flag=True, help="Write C headers, a page and an IP-XACT component of the registers as well.")
@_options("clock", "baud", "out", "json")
def generate(
    design: str,
    board: str | None,
    bus: str | None,
    samples: str | None,
    outside: str | None,
    headers: bool,
    clock: float | None,
    baud: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write Verilog, memory contents, a manifest and a synthesis script.

    The command prints every value that the design file leaves out, and why it follows from the rest.
    """
    with _terminal(as_json) as terminal:
        behind = partial(mgd_hw.generate, bus=bus, samples=samples, outside=outside, headers=headers)
        terminal.finish(behind(design, out, board=board, clock=clock, baud=baud, progress=terminal))


@commands.command()
@_options("json")
def boards(as_json: bool) -> None:
    """List the boards, their resources and the designs that fit."""
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.boards())


@commands.command()
@_options("design")
@click.option("--board", metavar="NAME", required=True, help="Board of `mgd-hw boards`, or path of your own board file.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs of place and route; the fastest is used.")
@click.option("--standalone", is_flag=True, help="Build what learns alone, with the samples in the board's flash.")
@_options("steps_alone", "samples", "held_out", "clock", "baud", "out", "json")
def build(
    design: str,
    board: str,
    seeds: int,
    standalone: bool,
    clock: float | None,
    baud: int | None,
    out: Path | None,
    as_json: bool,
    **of_image: int | None,
) -> None:
    """Build a bitstream for a board.

    Yosys synthesises, nextpnr places and routes from several seeds, and the fastest result is packed. build.json
    holds resources, clock and speed. With --standalone the board needs no host: flash.bin has the bitstream, a program,
    and the samples.
    """
    with _terminal(as_json) as terminal:
        if standalone:
            reason = "it is a setting of the serial line, which a board that learns alone does not have"
            terminal.refuse({"--baud": baud}, reason, "Leave it or --standalone out.")
            terminal.finish(mgd_hw.build_standalone(design, board, seeds=seeds, clock=clock, out=out, progress=terminal, **of_image))
            return
        _need_standalone(terminal, of_image)
        terminal.finish(mgd_hw.build(design, board, seeds=seeds, clock=clock, baud=baud, out=out, progress=terminal))


def _need_standalone(terminal: Terminal, options: dict[str, Any]) -> None:
    """Refuse options that only a board that learns alone has."""
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    terminal.refuse(given, "it is a setting of a board that learns alone", "Add --standalone, or leave it out.")


@commands.command()
@_options("design")
@click.option("--steps", type=click.IntRange(1, 10**9), default=200, show_default=True, help="Training steps.")
@click.option("--simulator", type=click.Choice(SIMULATORS), help="Simulator of the Verilog.  [default: cxxrtl; verilator for a netlist]")
@click.option("--waves", is_flag=True, help="Keep a waveform file of the simulation.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Seed of parameters, signs and sample order.  [default: the design's]")
@click.option(
    "--verilog",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Simulate this file, with a module mgd_NAME_core, in place of the generated Verilog.",
)
@click.option("--netlist", type=click.Choice(NETLISTS), help="Synthesise for this part, and simulate the netlist, cell by cell.")
@_options("out", "json")
def cosim(
    design: str,
    steps: int,
    simulator: str | None,
    waves: bool,
    seed: int | None,
    verilog: Path | None,
    netlist: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Co-simulate the Verilog with the model, bit for bit.

    The Verilog runs in a simulator, the model in a separate process, and every observable of every training step is
    compared. Exit code 1 if a value differs.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.cosim(
            design,
            steps=steps,
            simulator=simulator,
            waves=waves,
            seed=seed,
            verilog=verilog,
            netlist=netlist,
            out=out,
            progress=terminal,
        )
        terminal.finish(result, failed=not result.equal)


@commands.command()
@_options("design")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Runs of each model, one per seed.  [default: the design's]")
@click.option("--steps", type=click.IntRange(1, 10**9), help="Training steps.  [default: the design's]")
@click.option(
    "--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the parameters that the fixed model's first run learned, as npz."
)
@click.option(
    "--start", type=click.Path(path_type=Path), metavar="FILE", help="Start from the parameters in this npz file instead of random ones."
)
@click.option("--validate", is_flag=True, help="Judge by validation samples (data.validation_fraction) instead of test samples.")
@click.option(
    "--until", type=float, metavar="SHARE", help="Give the steps, cycles and seconds that each model takes to this accuracy, such as 0.95."
)
@click.option("--efficiency", is_flag=True, help="Compare MGD of every kind and code with back-propagation, by what each takes.")
@_options("of_board", "out", "json")
def compare(design: str, efficiency: bool, save: Path | None, out: Path | None, as_json: bool, **options: Any) -> None:
    """Compare float MGD, fixed MGD and back-propagation.

    Fixed MGD is the arithmetic of the hardware, bit for bit. All three start from the same parameters and train on
    the same samples in the same order. With --efficiency, fixed MGD of every kind and code of perturbation stands beside
    back-propagation on the same lanes: passes, cycles, seconds on each board, parameter writes, energy and endurance, up to
    the accuracy of --until or, by default, one that the design reaches.
    """
    with _terminal(as_json) as terminal:
        if efficiency:
            reason = "--efficiency trains with many settings, of which none is the design's alone"
            terminal.refuse({"--save": save}, reason, "Leave it or --efficiency out.")
            found = mgd_hw.compare_efficiency(design, out=out, progress=terminal, **options)
            terminal.finish(found, interrupted=found.interrupted, failed=found.diverged)
            return
        options["save"] = save
        result = mgd_hw.compare(design, out=out, progress=terminal, **options)
        terminal.finish(result, interrupted=result.interrupted, failed=result.diverged)


@commands.command()
@_options("design", "out", "json")
def diagnose(design: str, out: Path | None, as_json: bool) -> None:
    """Find what prevents a design from learning, and suggest a remedy.

    The command checks the amplitude, the integration time, the learning rate and the number formats. Exit code 1 if there is a finding.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.diagnose(design, out=out, progress=terminal)
        terminal.finish(result, failed=not result.good)


@commands.command()
@_options("design")
@click.option(
    "--link",
    required=True,
    metavar="LINK",
    help="virtual, serial:DEVICE such as serial:/dev/ttyUSB1, tcp:HOST:PORT, litex:HOST:PORT or mmio:ADDRESS.",
)
@click.option("--steps", type=click.IntRange(1, 10**9), required=True, help="Training steps, including those before a checkpoint.")
@click.option("--verify", is_flag=True, help="Run the fixed model as well, and compare it with the core block by block and at the end.")
@click.option("--resume", is_flag=True, help="Continue from the checkpoint of an earlier run.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Seed of parameters, signs and sample order.  [default: the design's]")
@click.option("--start", type=click.Path(path_type=Path), metavar="FILE", help="Start from the parameters in this npz file.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the learned parameters, as npz.")
@click.option(
    "--baud", type=click.IntRange(300, 10**8), default=3_000_000, show_default=True, help="Rate of a serial line, in bits per second."
)
@click.option(
    "--divisor",
    type=click.IntRange(1, 1 << 16),
    help="Clock cycles per bit of a virtual board's line.  [default: 4, or 2 if the network is outside]",
)
@click.option(
    "--clock", type=click.FloatRange(0, min_open=True), metavar="MHZ", help="Clock of the board's core, to tell what limits speed."
)
@click.option("--verilog", type=click.Path(path_type=Path), metavar="FILE", help="Verilog file for the virtual board to run.")
@_options("of_board", "out", "json")
def train(design: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Train a core on a board or on a virtual board.

    With --verify every block of steps is compared with the model. After an interrupt, --resume continues from the
    last checkpoint, bit for bit.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.train(design, out=out, progress=terminal, **options)
        terminal.finish(result, interrupted=result.interrupted, failed=not result.equal)


@commands.command()
@_options("design")
@click.option("--divisor", type=click.IntRange(1, 1 << 16), help="Clock cycles per bit of its line.  [default: 4]")
@click.option("--verilog", type=click.Path(path_type=Path), metavar="FILE", help="Run this file in place of the generated Verilog.")
@click.option("--standalone", is_flag=True, help="Run a board that learns alone, to its end, and compare it with the model.")
@click.option("--board", metavar="NAME", help="Board that learns alone.  [default: icebreaker]")
@click.option("--image", type=click.Path(path_type=Path), metavar="FILE", help="flash.bin of a build.  [default: made from the design]")
@_options("steps_alone", "samples", "held_out", "out", "json")
def virtual(
    design: str,
    divisor: int | None,
    verilog: Path | None,
    standalone: bool,
    out: Path | None,
    as_json: bool,
    **of_alone: Any,
) -> None:
    """Run a virtual board behind a serial port until interrupted.

    The board runs the same Verilog as an FPGA, compiled to a program. The command prints the name of its port. With
    --standalone, it presses the button of a board that learns alone, and shows its lights.
    """
    with _terminal(as_json) as terminal:
        if standalone:
            of_line = {"--divisor": divisor, "--verilog": verilog}
            terminal.refuse(of_line, "it is a setting of a board with a serial line", "Leave it or --standalone out.")
            given = {name: value for name, value in of_alone.items() if value is not None}
            result = mgd_hw.run_standalone(design, out=out, progress=terminal, **given)
            terminal.finish(result, failed=not result.equal)
            return
        _need_standalone(terminal, of_alone)
        mgd_hw.serve(design, terminal.show, divisor=divisor or 4, verilog=verilog, out=out, progress=terminal)


@commands.command()
@_options("design")
@click.option("--target", type=click.Choice(TARGETS), default="ice40-up5k", show_default=True, help="FPGA family.")
@_options("out", "json")
def synth(design: str, target: str, out: Path | None, as_json: bool) -> None:
    """Synthesise with Yosys, and count the resources."""
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.synth(design, target=target, out=out, progress=terminal))


@commands.command()
@click.argument("design", required=False)
@click.option("--vary", multiple=True, metavar="KEY=V1,V2", help="Key of the design file, and values for it; may be given several times.")
@click.option("--seeds", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Runs of each combination.")
@click.option("--steps", type=click.IntRange(1, 10**9), help="Training steps.  [default: the design's]")
@click.option("--backprop", is_flag=True, help="Train back-propagation as well.")
@click.option("--validate", is_flag=True, help="Judge by validation samples (data.validation_fraction) instead of test samples.")
@click.option(
    "--target", "targets", type=click.Choice(TARGETS), multiple=True, help="Synthesise cores for this part; may be given several times."
)
@click.option("--board", "boards", metavar="NAME", multiple=True, help="The same for a board's part and clock; may be given several times.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes on this machine.  [default: one per processor core]")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler, such as tcp://127.0.0.1:8786.")
@click.option("--best", metavar="CONDITION", help='Print the best design that satisfies this, such as "accuracy>0.9 and lut<5000".')
@click.option("--minimize", metavar="COLUMN", help="Choose the design with the least of this column, such as lut.")
@click.option("--maximize", metavar="COLUMN", help="Choose the design with the most of this column.  [default: accuracy]")
@click.option("--dry-run", is_flag=True, help="Only show the plan, and how long it would take.")
@_options("out", "json")
def sweep(design: str | None, vary: tuple[str, ...], out: Path | None, as_json: bool, **options: Any) -> None:
    """Train a design with every combination of some keys' values.

    After an interrupt, the same command continues the sweep. Without DESIGN, --best chooses from the last sweep in
    the directory.
    """
    with _terminal(as_json) as terminal:
        result: Any = mgd_hw.sweep(design, vary, out=out, progress=terminal, **options)
        terminal.finish(result, interrupted=getattr(result, "interrupted", False), failed=bool(getattr(result, "failed", 0)))


class _Widths(click.ParamType):
    """Whole numbers separated by commas, such as 1,2,4."""

    name = "widths"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return value if isinstance(value, tuple) else tuple(int(each) for each in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of widths of the network, such as 1,2,4.", param, ctx)


@commands.command()
@click.argument("figure", type=click.Choice(PAPER_FIGURES))
@click.option("--n", type=_Widths(), metavar="N1,N2", help="Widths of the network: 439n² + 71n + 10 parameters.  [default: the figure's]")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Runs of each setting.  [default: the figure's]")
@click.option("--iterations", type=click.IntRange(1, 10**9), help="Most iterations of a run.  [default: the figure's]")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: one per processor core]")
@click.option("--dry-run", is_flag=True, help="Only show the plan, and how long it would take.")
@_options("json")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory for results.  [default: mgd-hw-out/paper]")
def paper(figure: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Reproduce a figure of the 2025 paper beside the published points.

    The network learns Fashion-MNIST, at a size of your choice. After an interrupt, the same command continues with the runs that are
    missing.
    """
    with _terminal(as_json) as terminal:
        result: Any = mgd_hw.paper(figure, out=out, progress=terminal, **options)
        terminal.finish(result, interrupted=getattr(result, "interrupted", False), failed=bool(getattr(result, "failed", 0)))


@commands.command()
@_options("design")
@click.option("--proof", type=click.IntRange(1, 10**9), default=200, show_default=True, help="Steps of co-simulation.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Runs to compare.  [default: the design's]")
@click.option("--steps", type=click.IntRange(1, 10**9), help="Steps of a run.  [default: the design's]")
@click.option("--target", type=click.Choice(TARGETS), default="ice40-up5k", show_default=True, help="FPGA family of the synthesis.")
@click.option("--board", metavar="NAME", default="icebreaker", show_default=True, help="Board for which the time of a run is shown.")
@_options("out", "json")
def report(design: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Co-simulate, compare and synthesise a design; report on one page."""
    with _terminal(as_json) as terminal:
        result = mgd_hw.report(design, out=out, progress=terminal, **options)
        terminal.finish(result, failed=not result.good)


@commands.command()
@_options("design", "json")
def fit(design: str, as_json: bool) -> None:
    """Predict, without synthesis, which FPGAs the design fits.

    The prediction covers lanes, look-up tables, flip-flops, multipliers and block memories, each with its error.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.fit(design))


@commands.command()
@click.argument("task", type=click.Choice(DATA_SETS))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory for the files.  [default: the cache, where designs find them]",
)
@_options("json")
def fetch(task: str, out: Path | None, as_json: bool) -> None:
    """Download MNIST, Fashion-MNIST or CIFAR-10.

    The files are verified against their published checksums, and stored where designs find them.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.fetch(task, out, progress=terminal))


@commands.command()
@_options("json")
def doctor(as_json: bool) -> None:
    """List the tools that are installed, and those that are missing.

    Exit code 2 if a required tool is missing.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.doctor()
        terminal.finish(result, code=0 if result.good else 2)


@commands.command()
@_options("out", "json")
def demo(out: Path | None, as_json: bool) -> None:
    """Run everything on two shipped designs; takes a few minutes.

    The results go to one page, report.html.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.demo(out, progress=terminal)
        terminal.finish(result, failed=not result.good)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program ``mgd-hw`` with these arguments, or with those of the command line."""
    if not os.environ.get("MGD_HW_DEBUG"):
        warnings.simplefilter("ignore")  # warnings of the libraries are for their developers
    commands.main(args=None if arguments is None else list(arguments), prog_name="mgd-hw")


if __name__ == "__main__":
    main()
