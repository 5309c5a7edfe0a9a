"""A learner beside a chip, both in Verilog, and a host: one scenario runs on them and on the model, and all that they show is equal.

The chip is the outside of the core, so that whatever the core sends to it wrongly, or too early, changes the costs: a word, its index, its
end, an error, the index of the sample, and the strobes. It adds a word of a stream of noise to each of its cost words. Where that stream
ends, no cost comes. Its twin in Python is the outside of the model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from python_ref.fixed import learner as model
from python_ref.spec.learner import LearnerSpec, Outside, stream_names
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Command, Memory, Status, register_map
from sim import host
from sim.events import unpack
from sim.ports import Ports
from sim.program import ReplayLink
from sim.run import Outcome
from tests.support.hosted import HostedCore
from tests.support.learner_designs import random_quantities
from tests.support.lockstep import SHOWN_COUNTS, BenchLink, BenchReplay

__all__ = ["SETTLED", "LearnerHost", "LearnerRehearsal", "TwinChip", "bench_ports", "with_chip"]

SETTLED = 4
"""Cycles behind ``apply_stb`` after which the chip shows another cost."""
_DROPPED = 2
"""Bits of a word that the converters of the chip drop."""


def _scale(spec: LearnerSpec) -> int:
    """Bits that the chip drops of a sum of squares, so that the cost words hold what is left."""
    reach = spec.quantities * (1 << 2 * (spec.formats.weight.width - _DROPPED))
    return max(0, reach.bit_length() - spec.formats.cost.width + 1)


class TwinChip:
    """The twin of the chip in Verilog: a sum of squared distances from targets of the sample, a sum of all errors, and noise.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose words the chip takes.
    noise : sequence of int
        Words of the stream of noise.

    Attributes
    ----------
    position, end : int
        Word of the stream that comes next, and the one before which it ends.
    errors : int
        Sum of k + 1 times the error of quantity k, of all errors that were sent.
    """

    def __init__(self, spec: LearnerSpec, noise: Sequence[int]) -> None:
        self.spec, self.noise = spec, noise
        self.reset(0)

    def reset(self, position: int) -> None:
        """Begin anew, at a place of the stream."""
        self.position, self.end, self.errors = position, len(self.noise), 0

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """Return the raw cost words of a measurement; fewer where the stream ends."""
        distances = [(int(word) >> _DROPPED) - ((sample * 37 + k * 11) % 64 - 32) for k, word in enumerate(words)]
        total = (sum(each * each for each in distances) >> _scale(self.spec)) + self.errors
        first, self.position = self.position, min(self.position + count, self.end)
        form = self.spec.formats.cost
        return [(total + each - form.min) % (1 << form.width) + form.min for each in self.noise[first : self.position]]

    def apply(self, errors: np.ndarray) -> None:
        """Take the errors of the nodes."""
        self.errors += sum((k + 1) * error for k, error in enumerate(errors.tolist()))


def bench_ports(spec: LearnerSpec) -> Ports:
    """Return the ports of the module that :func:`with_chip` adds."""
    return replace(Ports.of(spec), top="learner_bench", taken=())


def with_chip(spec: LearnerSpec, selects: str = "") -> str:
    """Return the Verilog of the module ``learner_bench``, in which the core of a learner has a chip beside it.

    Parameters
    ----------
    spec : LearnerSpec
        The learner.
    selects : str
        A further input of both, with its range, such as ``[15:0] mutation``.
    """
    core, lanes, n = Ports.of(spec), spec.hardware.lanes, spec.quantities
    weight, cost, index = spec.formats.weight.width, spec.formats.cost.width, max(1, (n - 1).bit_length())
    error = spec.node_error_format.width if spec.sends_errors else 0
    ports = bench_ports(spec)
    select = selects.split()[-1] if selects else ""
    declared = [f"input [{width - 1}:0] {name}" for name, width in ports.inputs.items()] + ([f"input {selects}"] if selects else [])
    declared += [f"output [{width - 1}:0] {name}" for name, width in ports.outputs.items()]
    own = {*core.inputs, *core.outputs} - {"cost__payload", "cost__valid", "cost__ready"} - {f"{name}__ready" for name in core.taken}
    joined = [f".{name}({name})" for name in sorted(own)] + ([f".{select}({select})"] if select else [])
    joined += [".cost__payload(total)", ".cost__valid(offers & cost__valid)", ".cost__ready(asks)", ".apply_stb(apply)"]
    joined += [".measure_ready(measures)", ".sample__payload(sample)", ".sample__valid(takes)", ".sample__ready(1'b1)"]
    wires, taken = [], []
    for lane, name in enumerate(stream_names(spec)):
        each = f"word{lane}"
        wires.append(f"wire [{weight + index + error}:0] {each}; wire {each}_valid; wire {each}_ready = pace == {lane % 4};")
        joined += [f".{name}__payload({each})", f".{name}__valid({each}_valid)", f".{name}__ready({each}_ready)"]
        place = f"{each}[{weight + index - 1}:{weight}]"
        errors = f"errors[{place}] <= {each}[{weight + index + error}:{weight + index + 1}];" if error else ""
        taken.append(
            f"if ({each}_valid & {each}_ready) begin sent[{place}] <= {each}[{weight - 1}:0]; {errors} "
            f"if ({place} % {lanes} != {lane} || {each}[{weight + index}] != ({place} + {lanes} >= {n})) wrong <= 1; end"
        )
    rows = range(n)
    distances = [
        f"wire signed [31:0] d{k} = (sent[{k}] >>> {_DROPPED}) - $signed({{26'd0, target{k}}}) + 32'sd32;"
        f" wire [5:0] target{k} = shown * 37 + {k * 11};"
        for k in rows
    ]
    added = " + ".join(f"32'sd{k + 1} * errors[{k}]" for k in rows) if error else "0"
    return f"""
module learner_bench({", ".join(name.split()[-1] for name in declared)});
  {"; ".join(declared)};
  wire apply, measures, takes, asks;
  wire [23:0] sample;
  reg [1:0] pace = 0;
  reg [2:0] settling = 0;
  reg [23:0] shown = 0;
  reg signed [{weight - 1}:0] sent[0:{(1 << index) - 1}];
  reg signed [{max(error, 1) - 1}:0] errors[0:{(1 << index) - 1}];
  reg signed [31:0] analog = 0, learned = 0;
  reg wrong = 0;
  {" ".join(wires)}
  {" ".join(distances)}
  wire signed [31:0] squares = {" + ".join(f"d{k} * d{k}" for k in rows)};
  wire offers = measures;
  wire signed [{cost - 1}:0] total = analog + learned + cost__payload + (wrong ? 32'sd77 : 32'sd0);
  assign cost__ready = asks & offers;
  {core.top} learner({", ".join(joined)});
  always @(posedge clk)
    if (rst) begin
      pace <= 0; settling <= 0; shown <= 0; analog <= 0; learned <= 0; wrong <= 0;
    end else begin
      pace <= pace + 1;
      if (takes) shown <= sample;
      {" ".join(taken)}
      if (apply) begin settling <= {SETTLED}; learned <= learned + {added}; end
      else if (settling != 0) settling <= settling - 1;
      if (settling == 1) analog <= squares >>> {_scale(spec)};
    end
endmodule
"""


class LearnerHost(HostedCore):
    """A host whose every action is done to a core beside its chip, and to the model; see :class:`tests.support.lockstep.Lockstep`.

    The model follows while a program is recorded, too, as far as the program alone determines what happens.

    Attributes
    ----------
    comparing : bool
        Whether the actions are compared with what the core answered.
    state : LearnerState
        Present state of the model.
    shown : dict of str to dict of str to list
        Values of all events that the core must show, by event and field.
    """

    def __init__(self, spec: LearnerSpec, link: Any, chip: TwinChip, parameters: np.ndarray) -> None:
        self.spec, self.link, self.chip = spec, link, chip
        self.comparing = isinstance(link, ReplayLink)
        self.state = model.initial_learner(spec, parameters)
        self.presets = np.zeros(len(COUNTERS), dtype=np.uint64)
        self.cycles: int | None = None
        self.taken = 0
        self._forget()

    def _forget(self) -> None:
        self.shown: dict[str, dict[str, list]] = {
            event: {field.name: [] for field in fields} for event, fields in bench_ports(self.spec).events.items()
        }
        self.last: dict[str, np.ndarray] | None = None
        self._costs = [0, 0]

    @property
    def steps(self) -> int:
        """Number of steps since the streams began."""
        return self.state.steps

    def prepare(self, seed: int | None = None) -> None:
        """Set both up for step 0."""
        host.prepare(self.spec, self.link, self.state.parameters, seed)
        self.state = model.initial_learner(self.spec, self.state.parameters, seed=seed)

    def train(self, steps: int) -> None:
        """Train; a step that was abandoned begins anew, with the stream of noise at its next word."""
        target = self.steps + steps
        while self.steps < target:
            first, count = next(host.runs(self.spec, self.steps, target - self.steps))
            host.set_rate(self.spec, self.link, first)
            self.write("count", count)
            self.command(Command.TRAIN)
            self.link.wait_idle()
            late, status = self.follow(count), self.read("status")
            if self.comparing:
                assert status == (Status.LATE if late else 0), f"status {status:#x} behind a run"
            if late:
                self.seek(self.chip.position)

    def follow(self, steps: int) -> bool:
        """Let the model do at most so many steps; whether it has abandoned the last one."""
        for _ in range(steps):
            before, schedule, n = self.state, self.spec.schedule, self.state.steps
            new = before.due or n % schedule.sample_period == 0
            both = new or before.late or n % schedule.update_period == 0 or self.spec.two_sided
            passes = iter((0, 1) if both else (1,))
            self.state, observed = model.step(self.spec, before, _Noted(self, passes))
            self.taken += new
            if observed is None:
                return True
            self._note(observed)
        return False

    def note_pass(self, number: int, words: np.ndarray, costs: list[int], count: int) -> None:
        """Note what the core must show of a measurement."""
        shown = self.shown["presented"]
        for row in self._rows(words):
            shown["pass"].append([number])
            shown["value"].append(row)
        if len(costs) == count:
            self.shown["cost"]["pass"].append([number])
            self._costs[number] = sum(costs) << (self.spec.outside.average - self.state.average)
            self.shown["cost"]["cost"].append([self._costs[number]])

    def _note(self, observed: dict[str, np.ndarray]) -> None:
        self.last = observed
        counters = dict(zip(COUNTERS, (self.counters() & SHOWN_COUNTS).tolist(), strict=True))
        for event, place in (("step", 0), ("learned", 1)):
            for name, rows in self.shown[event].items():
                of_observed = {"signature": place, "cost_change": 0}
                rows.append([int(observed[name][of_observed[name]]) if name in of_observed else counters[name]])
        for name, rows in self.shown["word"].items():
            rows += self._rows(observed[name])

    def _rows(self, values: np.ndarray) -> list[list[int]]:
        """Values of the quantities as the lanes show them, with zeros at the end."""
        lanes = self.spec.hardware.lanes
        padded = values.tolist() + [0] * (-len(values) % lanes)
        return [padded[first : first + lanes] for first in range(0, len(padded), lanes)]

    def clear(self) -> None:
        """Clear the counters."""
        host.clear_counters(self.spec, self.link)
        self.state, self.presets = self.state.with_clear(), np.zeros(len(COUNTERS), dtype=np.uint64)

    def restart(self, seed: int | None = None, spec: LearnerSpec | None = None) -> None:
        """Back to step 0 with another seed and, with ``spec``, other periods, rates and settings of the outside."""
        self.spec = spec or self.spec
        host.set_periods(self.spec, self.link)
        host.set_outside(self.spec, self.link)
        host.restart(self.spec, self.link, seed)
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        seed = self.spec.perturbation.seed if seed is None else seed
        begun = model.initial_learner(self.spec, self.state.parameters, seed=seed)
        kept = {"gradient": self.state.gradient, "optimizer": self.state.optimizer, "signature": self.state.signature}
        self.state = replace(begun, counters=counters, average=self.spec.outside.average, **kept)

    def reset(self, sample: int, parameters: np.ndarray) -> None:
        """Reset both, and the chip; the host then loads the memories and the streams, and what it knows of the outside."""
        self.link.reset(sample)
        self.chip.reset(sample)
        self._forget()
        self.presets = np.zeros(len(COUNTERS), dtype=np.uint64)
        self.state = model.initial_learner(self.spec, parameters)
        status, counters = self.read("status"), host.read_counters(self.spec, self.link)
        if self.comparing:
            assert status == 0, f"status {status:#x} behind a reset"
            assert not any(counters.values()), f"behind a reset, counters are {counters}"
        host.load_parameters(self.spec, self.link, parameters)
        for memory in self.spec.memories:
            if memory is not Memory.PARAMETER:
                host.clear_memory(self.spec, self.link, memory)
        host.restart(self.spec, self.link)

    def seek(self, position: int, words: int = 0) -> None:
        """Let the stream of noise go on with this word, and with ``words`` end after so many."""
        self.link.seek(position, words)
        self.chip.position, self.chip.end = position, position + words if words else len(self.chip.noise)

    def tell(self, outside: Outside) -> None:
        """Tell the core of another outside; the streams have just begun."""
        for name, value in (("settle", outside.settle), ("timeout", outside.timeout_cycles)):
            self.write(name, value)
        for name in ("average", "samples"):
            self.write(name, getattr(outside, name))
        self.state = replace(self.state, average=outside.average, samples=outside.samples)

    def infer(self, samples: int) -> None:
        """Give the command INFER, of which a learner knows nothing."""
        host.infer(self.spec, self.link, samples)

    def resume(self) -> None:
        """Let the core forget where the run is, and tell it."""
        host.restart(self.spec, self.link, 0)
        host.restart(self.spec, self.link, step=self.steps)
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        self.state = replace(self.state, counters=counters, taken=0, due=True, late=False)

    def check_cycles(self) -> None:
        """Read the cycles: those in which the core was busy, without one for each sample that the chip takes at once."""
        self.cycles = self.read("cycles") + self.taken

    def check_registers(self) -> None:
        """Read everything back."""
        spec, built = self.spec, register_map(self.spec)
        counters = {name: self.read(name) if name in built else 0 for name in COUNTERS}
        contents = {memory: host.read_memory(spec, self.link, memory) for memory in spec.memories}
        cost, change = self.read("cost"), self.read("cost_change")
        signature = self.read("signature") if spec.hardware.signature else 0
        if not self.comparing:
            return
        expected = dict(zip(COUNTERS, self.counters().tolist(), strict=True))
        assert counters == expected, {name: (counters[name], expected[name]) for name in expected if counters[name] != expected[name]}
        kept = {"parameter": self.state.parameters, "gradient": self.state.gradient, **self.state.optimizer}
        for memory, values in contents.items():
            np.testing.assert_array_equal(values, kept[memory.name.lower()], err_msg=memory.name)
        wide = 32 * built["cost_change"].words
        assert [cost >> 64 * n & (1 << 64) - 1 for n in (0, 1)] == [each & (1 << 64) - 1 for each in self._costs]
        assert change == (int(self.last["cost_change"][0]) & (1 << wide) - 1 if self.last else 0)
        assert signature == (self.state.signature[0] | self.state.signature[1] << 32 if spec.hardware.signature else 0)


class _Noted:
    """The chip of the model, whose measurements are noted."""

    def __init__(self, of: LearnerHost, passes: Any) -> None:
        self.host, self.passes = of, passes

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        costs = self.host.chip(words, sample, count)
        self.host.note_pass(next(self.passes), words, costs, count)
        return costs

    def apply(self, errors: np.ndarray) -> None:
        self.host.chip.apply(errors)


class LearnerRehearsal:
    """A scenario whose actions are recorded as a program, which a learner beside its chip runs before the model is compared with it.

    Parameters
    ----------
    spec : LearnerSpec
        The learner.
    scenario : callable
        Actions of the host, on the :class:`LearnerHost` that it is given.
    rng : random.Random
        Source of the initial quantities, and of the noise.
    words : int
        Number of words of the stream of noise.

    Attributes
    ----------
    program : Program
        Operations of the host, and the stream of noise.
    ports : Ports
        Ports of both.
    presets : (str, str)
        Name of the memory that the program may preset, in Verilog of Amaranth, and in that of Yosys.
    """

    presets = "learner registers words", "learner registers.words"

    def __init__(self, spec: LearnerSpec, scenario: Callable[[LearnerHost], None], rng: random.Random, words: int = 20_000) -> None:
        self._spec, self._scenario = spec, scenario
        self.ports = bench_ports(spec)
        self._parameters = np.array(random_quantities(rng, spec))
        reach = [1 << max(0, spec.formats.cost.width - less) for less in (5, 5, 5, 5, 3, 1)]
        self._noise = [
            max(spec.formats.cost.min, min(spec.formats.cost.max, rng.randint(-few, few))) for few in rng.choices(reach, k=words)
        ]
        recorder = BenchLink()
        scenario(self._attempt(recorder))
        table = (np.array(self._noise, dtype=np.int64) & np.int64((1 << spec.formats.cost.width) - 1)).astype(np.uint64)
        self.program = recorder.program(table.reshape(-1, 1), np.arange(words, dtype=np.int64))

    def _attempt(self, link: Any) -> LearnerHost:
        return LearnerHost(self._spec, link, TwinChip(self._spec, self._noise), self._parameters)

    def judge(self, rows: Mapping[str, np.ndarray], outcome: Outcome) -> None:
        """Fail where the model differs from a core that ran the program, and showed these payloads of events."""
        second = self._attempt(BenchReplay(outcome.responses))
        self._scenario(second)
        for event, fields in bench_ports(self._spec).events.items():
            for field in fields:
                found, expected = unpack(rows[event], field).tolist(), second.shown[event][field.name]
                assert len(found) == len(expected), f"{len(found)} events of {event} rather than {len(expected)}"
                different = [number for number, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]]
                assert not different, f"{event}.{field.name}: event {different[0]} has {found[different[0]]}, not {expected[different[0]]}"
        if second.cycles is not None:
            assert second.cycles == outcome.busy_cycles, f"{second.cycles} cycles, and {outcome.busy_cycles} in which the core was busy"
