"""The command line: a thin shell over the functions of the same names in :mod:`mgd_hw`.

Exit codes: 0 good, 1 a comparison failed, 2 bad input or a missing tool, 130 interrupted. With ``--json`` one object goes to
standard output, and everything else to standard error. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import mgd_hw

if TYPE_CHECKING:
    from mgd_hw.terminal import Terminal

__all__ = ["commands", "main"]

TASKS = ("xor", "parity", "nist7x7", "digits", "mnist", "csv")
DATA_SETS = ("mnist", "fashion-mnist", "cifar-10")
PAPER_FIGURES = ("fig3", "fig4", "fig5", "fig6", "table2")
SIMULATORS = ("verilator", "icarus", "cxxrtl")
NETLISTS = ("ice40-up5k", "ecp5-85k", "gowin-gw1nr9", "gowin-gw2ar18")
TARGETS = ("ice40-up5k", "ecp5-85k", "gowin-gw1nr9", "gowin-gw2ar18", "xc7")

SECTIONS = {
    "Start here": ("demo", "doctor"),
    "Design": ("new", "fetch", "fit", "generate"),
    "Prove": ("cosim", "report"),
    "Learn": ("diagnose", "compare"),
    "Build and run": ("boards", "synth", "build", "train", "virtual"),
    "Experiments": ("sweep", "paper"),
}
"""The headings under which ``mgd-hw --help`` lists the commands, and the commands of each, in that order."""


def _terminal(as_json: bool) -> Terminal:
    """Where a command shows what it does; also what turns its failures into a message and an exit code."""
    from mgd_hw.terminal import Terminal

    debug = click.get_current_context().find_root().params["debug"] or bool(os.environ.get("MGD_HW_DEBUG"))
    return Terminal(as_json, debug=debug)


class _SectionedGroup(click.Group):
    """A group of commands that ``--help`` lists under the headings of :data:`SECTIONS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the sections."""
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section of the help for each heading, with the descriptions of all sections in one column."""
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

    DESIGN is the path of a design file, or the name of a shipped design: xor, digits, nist7x7, mnist, parity.

    Exit codes: 0 success, 1 a comparison failed, 2 bad input or a missing tool, 130 interrupted.
    """


def _options(*names: str) -> Callable[[Callable], Callable]:
    """The options that several commands share."""
    known = {
        "of_board": click.option("--board", metavar="NAME", help="Tell the seconds that a run takes on this board (see mgd-hw boards)."),
        "design": click.argument("design"),
        "json": click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to standard error."),
        "clock": click.option(
            "--clock", type=click.FloatRange(1, 1000), metavar="MHZ", help="Clock of the core.  [default: the board's, or the highest met]"
        ),
        "baud": click.option("--baud", type=click.IntRange(9600, 20_000_000), help="Rate of the serial line.  [default: the board's]"),
        "out": click.option(
            "-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where results go.  [default: mgd-hw-out/DESIGN]"
        ),
    }

    def decorate(command: Callable) -> Callable:
        for name in reversed(names):
            command = known[name](command)
        return command

    return decorate


class _Column(click.ParamType):
    """The column of a table: a whole number is its number, anything else its name."""

    name = "column"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,5}", value) else value


@commands.command()
@click.argument("name")
@click.option("--task", type=click.Choice(TASKS), default="xor", show_default=True, help="What it learns.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Your csv file, for --task csv; without it a small one is written."
)
@click.option("--label", type=_Column(), metavar="COLUMN", help="Column of the answers in that file: its name, or its number from 0.")
@click.option("--drop", type=_Column(), metavar="COLUMN", multiple=True, help="A column to leave out; may be given again.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@_options("json")
def new(name: str, task: str, data: Path | None, label: str | int | None, drop: tuple[str | int, ...], force: bool, as_json: bool) -> None:
    """Write a commented design file to start from.

    The file is NAME.toml. Every guess about the data is printed, with the key that decides otherwise.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.new(name, task, data=data, label=label, drop=drop, force=force))


@commands.command()
@_options("design")
@click.option("--board", metavar="NAME", help="The whole top level for this board, or for that of a file NAME.toml.")
@_options("clock", "baud", "out", "json")
def generate(design: str, board: str | None, clock: float | None, baud: int | None, out: Path | None, as_json: bool) -> None:
    """Write Verilog, memory contents, a manifest and a synthesis script.

    The command prints every value that the design file leaves out, and why it follows from the rest.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.generate(design, out, board=board, clock=clock, baud=baud, progress=terminal))


@commands.command()
@_options("json")
def boards(as_json: bool) -> None:
    """List the boards, their resources and the designs that fit."""
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.boards())


@commands.command()
@_options("design")
@click.option("--board", metavar="NAME", required=True, help="A board of `mgd-hw boards`, or the path of a file of your own.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs of place and route; the fastest is taken.")
@_options("clock", "baud", "out", "json")
def build(design: str, board: str, seeds: int, clock: float | None, baud: int | None, out: Path | None, as_json: bool) -> None:
    """Build a bitstream for a board.

    Yosys synthesises, nextpnr places and routes from several seeds, and the fastest result is packed. build.json
    has the figures.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.build(design, board, seeds=seeds, clock=clock, baud=baud, out=out, progress=terminal))


@commands.command()
@_options("design")
@click.option("--steps", type=click.IntRange(1, 10**9), default=200, show_default=True, help="Steps of training.")
@click.option("--simulator", type=click.Choice(SIMULATORS), help="What runs the Verilog.  [default: cxxrtl; verilator for a netlist]")
@click.option("--waves", is_flag=True, help="Keep a waveform file of the simulation.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Of parameters, signs and order of samples.  [default: the design's]")
@click.option(
    "--verilog",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Simulate this file, with a module mgd_NAME_core, in place of the Verilog just generated.",
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

    The Verilog trains in a simulator, the model in a process of its own, and every observable of every step is
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
@click.option("--seeds", type=click.IntRange(1, 1000), help="Runs to take the mean of.  [default: the design's]")
@click.option("--steps", type=click.IntRange(1, 10**9), help="Steps of training.  [default: the design's]")
@click.option(
    "--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the parameters that the fixed model learned first, as npz."
)
@click.option(
    "--start", type=click.Path(path_type=Path), metavar="FILE", help="Start from the parameters in this npz, not from random ones."
)
@click.option("--validate", is_flag=True, help="Judge by samples kept from training (data.validation_fraction), not by the test samples.")
@click.option(
    "--until", type=float, metavar="SHARE", help="Tell the steps, cycles and seconds that each model takes to this accuracy, such as 0.95."
)
@_options("of_board", "out", "json")
def compare(design: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Compare float MGD, fixed MGD and back-propagation.

    Fixed MGD is the arithmetic of the hardware, bit for bit. All three start from the same parameters and see the
    same samples in the same order.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.compare(design, out=out, progress=terminal, **options)
        terminal.finish(result, interrupted=result.interrupted, failed=result.diverged)


@commands.command()
@_options("design", "out", "json")
def diagnose(design: str, out: Path | None, as_json: bool) -> None:
    """Find what keeps a design from learning, and what to write instead.

    Measures the amplitude, the integration time, the learning rate and the number formats. Exit code 1 if there is a finding.
    """
    with _terminal(as_json) as terminal:
        result = mgd_hw.diagnose(design, out=out, progress=terminal)
        terminal.finish(result, failed=not result.good)


@commands.command()
@_options("design")
@click.option("--link", required=True, metavar="LINK", help="virtual, serial:DEVICE such as serial:/dev/ttyUSB1, or tcp:HOST:PORT.")
@click.option("--steps", type=click.IntRange(1, 10**9), required=True, help="Steps of training, those before a checkpoint included.")
@click.option("--verify", is_flag=True, help="Run the fixed model beside the core, and compare the two block by block and at the end.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an earlier run.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Of parameters, signs and order of samples.  [default: the design's]")
@click.option("--start", type=click.Path(path_type=Path), metavar="FILE", help="Start from the parameters in this npz.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the parameters learned, as npz.")
@click.option("--baud", type=click.IntRange(300, 10**8), default=3_000_000, show_default=True, help="Bits per second of a serial line.")
@click.option("--divisor", type=click.IntRange(1, 1 << 16), default=4, show_default=True, help="Cycles per bit of a virtual board's line.")
@click.option("--clock", type=click.FloatRange(0, min_open=True), metavar="MHZ", help="Of the board's core, to tell what limits.")
@click.option("--verilog", type=click.Path(path_type=Path), metavar="FILE", help="A file for the virtual board to run.")
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
@click.option("--divisor", type=click.IntRange(1, 1 << 16), default=4, show_default=True, help="Cycles per bit of its line.")
@click.option("--verilog", type=click.Path(path_type=Path), metavar="FILE", help="Run this file in place of the Verilog just generated.")
@_options("out", "json")
def virtual(design: str, divisor: int, verilog: Path | None, out: Path | None, as_json: bool) -> None:
    """Run a virtual board behind a serial port until it is interrupted.

    The board is the same Verilog as on an FPGA, compiled to a program. The command prints the name of its port.
    """
    with _terminal(as_json) as terminal:
        mgd_hw.serve(design, terminal.show, divisor=divisor, verilog=verilog, out=out, progress=terminal)


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
@click.option("--vary", multiple=True, metavar="KEY=V1,V2", help="A key of the design file, and values for it; may be given again.")
@click.option("--seeds", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Runs of each combination.")
@click.option("--steps", type=click.IntRange(1, 10**9), help="Steps of training.  [default: the design's]")
@click.option("--backprop", is_flag=True, help="Train back-propagation as well.")
@click.option("--validate", is_flag=True, help="Judge by samples kept from training (data.validation_fraction), not by the test samples.")
@click.option("--target", "targets", type=click.Choice(TARGETS), multiple=True, help="Synthesise cores for this part; may be given again.")
@click.option("--board", "boards", metavar="NAME", multiple=True, help="The same for a board's part, and at its clock; may be given again.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes on this machine.  [default: one for each core]")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler, such as tcp://127.0.0.1:8786.")
@click.option("--best", metavar="CONDITION", help='Print the best design that satisfies this, such as "accuracy>0.9 and lut<5000".')
@click.option("--minimize", metavar="COLUMN", help="What the best has least of, such as lut.")
@click.option("--maximize", metavar="COLUMN", help="What the best has most of.  [default: accuracy]")
@click.option("--dry-run", is_flag=True, help="Show the plan and how long it would take, and stop there.")
@_options("out", "json")
def sweep(design: str | None, vary: tuple[str, ...], out: Path | None, as_json: bool, **options: Any) -> None:
    """Train a design with every combination of some keys' values.

    Give the same command again after an interrupt, and the sweep continues. Without DESIGN, --best chooses from the
    last sweep in the folder.
    """
    with _terminal(as_json) as terminal:
        result: Any = mgd_hw.sweep(design, vary, out=out, progress=terminal, **options)
        terminal.finish(result, interrupted=getattr(result, "interrupted", False), failed=bool(getattr(result, "failed", 0)))


class _Widths(click.ParamType):
    """Whole numbers between commas, such as 1,2,4."""

    name = "widths"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return value if isinstance(value, tuple) else tuple(int(each) for each in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not like 1,2,4: widths of the network.", param, ctx)


@commands.command()
@click.argument("figure", type=click.Choice(PAPER_FIGURES))
@click.option("--n", type=_Widths(), metavar="N1,N2", help="Widths of the network: 439n² + 71n + 10 parameters.  [default: the figure's]")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Runs of each setting.  [default: the figure's]")
@click.option("--iterations", type=click.IntRange(1, 10**9), help="The most that a run takes.  [default: the figure's]")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: one for each core]")
@click.option("--dry-run", is_flag=True, help="Show the plan and how long it would take, and stop there.")
@_options("json")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where results go.  [default: mgd-hw-out/paper]")
def paper(figure: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Run a figure of the 2025 paper again, beside the published points.

    The data is Fashion-MNIST, at a network size of your choice. Give the same command again after an interrupt, and it continues after
    the runs that were finished.
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
@click.option("--board", metavar="NAME", default="icebreaker", show_default=True, help="Board of which the seconds of a run are told.")
@_options("out", "json")
def report(design: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Prove, compare and synthesise a design; show it on one page."""
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
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to.  [default: your cache, where designs find it]")
@_options("json")
def fetch(task: str, out: Path | None, as_json: bool) -> None:
    """Download MNIST, Fashion-MNIST or CIFAR-10.

    The files are checked against their published checksums, and kept where designs find them.
    """
    with _terminal(as_json) as terminal:
        terminal.finish(mgd_hw.fetch(task, out, progress=terminal))


@commands.command()
@_options("json")
def doctor(as_json: bool) -> None:
    """List the tools that were found, and those that are missing.

    Exit code 2 if a tool that is needed is missing.
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
    """The program ``mgd-hw``."""
    if not os.environ.get("MGD_HW_DEBUG"):
        warnings.simplefilter("ignore")  # meant for developers of what we use
    commands.main(args=None if arguments is None else list(arguments), prog_name="mgd-hw")


if __name__ == "__main__":
    main()
