"""Prove a property of real blocks with Yosys's SAT solver, show that it is not vacuous, and that planted faults break it.

A property is a component, a :class:`Bench`, in which blocks of ``rtl_gen`` stand among free inputs, assumptions on them, and assertions.
The bench says by its output ``reached`` that what the property is about has happened. Three questions are put to the solver:

- *proof*: no assertion can fail. Either by induction, so in any number of cycles: none fails in the first cycles after a reset, nor in the
  cycle after k cycles without a failure, whatever the state before; or *bounded*, in the first cycles alone, which is no proof beyond them.
- *reach*: there is a run within the assumptions, from the reset on, in which ``reached`` rises. If not, the proof would be worth nothing.
- *control*: with a line of the block's source changed, there is a run from the reset on in which an assertion fails.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, NamedTuple

from amaranth.back import rtlil
from amaranth.hdl import Assert, Module, Signal, UnusedElaboratable, Value
from amaranth.hdl._ast import AnyConst, SignalSet
from amaranth.lib import wiring
from amaranth.lib.wiring import Member, Out

from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.support.faults import Fault, planted

__all__ = [
    "Bench",
    "Bounded",
    "Control",
    "EveryInput",
    "How",
    "Induction",
    "Outcome",
    "Property",
    "always",
    "control",
    "examine",
    "opened",
    "whichever",
]

PREPARE = (
    "hierarchy -check -top top",
    "proc",
    "flatten",
    "opt_clean",
    "memory_map",
    "async2sync",
    "chformal -lower",
    "opt_clean",
    "opt -full",
)
"""Commands that make one module of gates and flip-flops out of a bench."""


class Bench(wiring.Component):
    """Blocks among free inputs, assumptions and assertions. The reset is a free input too, unless the bench says otherwise.

    Parameters
    ----------
    free : mapping of str to Member
        Free inputs.

    Members
    -------
    reached : Out(1)
        What the property is about has happened.
    """

    def __init__(self, free: Mapping[str, Member]):
        super().__init__({**free, "reached": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self.state(m)
        return m

    def state(self, m: Module) -> None:
        """Add the blocks, the assumptions and the assertions."""
        raise NotImplementedError

    def reach(self, m: Module, happens: Any) -> None:
        """Raise ``reached`` from the cycle in which something ``happens`` on."""
        seen = Signal(name="seen")
        m.d.sync += seen.eq(seen | happens)
        m.d.comb += self.reached.eq(seen | happens)


def always(m: Module, *conditions: Any) -> None:
    """Assert conditions in every cycle. Each is a signal that has the number of the caller's line, so that a counterexample shows it."""
    line = sys._getframe(1).f_lineno
    for place, condition in enumerate(conditions):
        claim = Signal(name=f"claim_{line}_{place}")
        m.d.comb += [claim.eq(Value.cast(condition).bool()), Assert(claim)]


def whichever(m: Module, name: str, shape: Any) -> Signal:
    """A free constant: whatever is proved about it holds for each of its values."""
    signal = Signal(shape, name=name)
    m.d.comb += signal.eq(AnyConst(signal.shape()))
    return signal


class Opened(NamedTuple):
    """A block that has been elaborated, and what its source calls the signals and memories within.

    Attributes
    ----------
    module : Module
        The module of the block, to which ports of its memories can still be added.
    names : dict
        Values of the local variables of its methods, by name; of a method that is called more than once, those of the last call.
    """

    module: Module
    names: dict[str, Any]

    def signal(self, name: str) -> Signal:
        """The signal of this name that the module drives, which no variable keeps; an error if there is none, or more than one."""
        self.module._flush()
        driven = SignalSet(one for every in self.module._statements.values() for each in every for one in each._lhs_signals())
        found = [signal for signal in driven if signal.name == name]
        assert len(found) == 1, f"{len(found)} signals have the name {name}, of {sorted(each.name for each in driven)}"
        return found[0]

    def within(self, name: str) -> Opened:
        """Open a submodule too; only once."""
        block, place = self.module._named_submodules[name]
        inner = opened(block)
        self.module._named_submodules[name] = (inner.module, place)
        return inner


def opened(block: Any) -> Opened:
    """Elaborate a block, and note what its methods call things, since most of its registers are no ports."""
    names: dict[str, Any] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_locals.get("self") is block:
            names.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        module = block.elaborate(None)
    finally:
        sys.setprofile(before)
    block._MustUse__used = True  # as Fragment.get notes, which elaborates all others
    assert isinstance(module, Module)
    return Opened(module, names)


class How(ABC):
    """Way in which the solver is asked for a proof.

    Attributes
    ----------
    claim : str
        What has been shown if no assertion fails.
    """

    claim: ClassVar[str] = "proved"

    @abstractmethod
    def options(self) -> str:
        """Options of Yosys's command ``sat``."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Induction(How):
    """In every cycle, by induction over up to ``depth`` cycles."""

    depth: int

    def options(self) -> str:
        """See :class:`How`."""
        return f"-seq 0 -tempinduct -maxsteps {self.depth}"

    def __str__(self) -> str:
        return f"induction, k ≤ {self.depth}"


@dataclass(frozen=True)
class Bounded(How):
    """In the first ``cycles`` after the start alone."""

    cycles: int
    claim = "not refuted"

    def options(self) -> str:
        """See :class:`How`."""
        return f"-seq {self.cycles}"

    def __str__(self) -> str:
        return f"bounded, {self.cycles} cycles"


@dataclass(frozen=True)
class EveryInput(How):
    """For every value of the inputs of logic without a state."""

    def options(self) -> str:
        """See :class:`How`."""
        return ""

    def __str__(self) -> str:
        return "every input"


@dataclass(frozen=True)
class Control:
    """A negative control: a fault, and the number of cycles within which it breaks the property."""

    fault: Fault
    cycles: int


def control(name: str, where: str, right: str, wrong: str, cycles: int) -> Control:
    """A negative control; see :class:`~tests.support.faults.Fault` for the first arguments."""
    return Control(Fault(name, where, right, wrong, "formal"), cycles)


@dataclass(frozen=True)
class Property:
    """A property of blocks.

    Attributes
    ----------
    name : str
        Name, which is unique.
    block : str
        The blocks, as they are named in ``rtl_gen``.
    build : callable
        Builds the bench, from the blocks as they are then.
    how : How
        How it is proved.
    reach : int
        Number of cycles within which ``reached`` rises.
    controls : tuple of Control
        Faults that break it.
    """

    name: str
    block: str
    build: Callable[[], Bench]
    how: How
    reach: int
    controls: tuple[Control, ...]


@dataclass(frozen=True)
class Outcome:
    """What the solver found.

    Attributes
    ----------
    holds : bool
        No assertion can fail, as far as the property's way of proof goes.
    reached : bool
        What the property is about can happen.
    refuted : tuple of str
        Names of the faults for which there is a run that breaks the property.
    missed : tuple of str
        Names of those for which there is none.
    seconds : float
        Seconds that the proof took; those of reach and controls do not count.
    """

    holds: bool
    reached: bool
    refuted: tuple[str, ...]
    missed: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the property holds, is not vacuous, and every control breaks it."""
        return self.holds and self.reached and not self.missed and bool(self.refuted)


def examine(given: Property) -> Outcome:
    """Put all questions about a property to the solver."""
    with tempfile.TemporaryDirectory(prefix="mgd-hw-formal-") as folder:
        directory = Path(folder)
        start = time.perf_counter()
        holds = proved(given, directory)
        seconds = time.perf_counter() - start
        found = {each.fault.name: refuted(given, each, directory) for each in given.controls}
        names = {broken: tuple(name for name, is_broken in found.items() if is_broken is broken) for broken in (True, False)}
        return Outcome(holds, reachable(given, directory), names[True], names[False], seconds)


def proved(given: Property, directory: Path) -> bool:
    """Whether no assertion can fail."""
    return not _fails(given.build(), directory, f"-prove-asserts {given.how.options()}")


def reachable(given: Property, directory: Path) -> bool:
    """Whether ``reached`` rises in a run."""
    return _fails(given.build(), directory, f"-prove reached 0 {_first(given, given.reach)}")


def refuted(given: Property, broken: Control, directory: Path) -> bool:
    """Whether a fault breaks the property, in a run from the start on."""
    with _planted(broken.fault), warnings.catch_warnings():
        # A block that only serves to ask it for a number is not unused, but its changed source does not say so as its module does.
        warnings.simplefilter("ignore", UnusedElaboratable)
        bench = given.build()
        return _fails(bench, directory, f"-prove-asserts {_first(given, broken.cycles)}")


def _first(given: Property, cycles: int) -> str:
    """Options that ask about the first cycles."""
    return EveryInput().options() if isinstance(given.how, EveryInput) else Bounded(cycles).options()


@contextmanager
def _planted(fault: Fault) -> Iterator[None]:
    """The hardware with a fault, for as long as the context lasts."""
    before: list[tuple[Any, str, Any]] = []

    def patch(owner: Any, name: str, value: Any) -> None:
        before.append((owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    try:
        planted(fault, patch)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def _fails(bench: Bench, directory: Path, question: str) -> bool:
    """Whether Yosys finds that what it is asked to prove does not hold; any other refusal is an error."""
    (directory / "top.il").write_text(rtlil.convert(bench, name="top", emit_src=False), encoding="utf-8")
    try:
        run_yosys(["read_rtlil top.il", *PREPARE, f"sat -verify -set-assumes {question} top"], directory, timeout=600.0)
    except YosysError as error:
        if "proof did fail" not in str(error):
            raise
        return True
    return False
