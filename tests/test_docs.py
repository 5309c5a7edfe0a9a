"""The pages say what the code does: links, tables, examples, refusals, formulas, and the patches that add a kind."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from mgd_hw.design import values
from mgd_hw.design.reader import load, parse, parse_any, shipped
from python_ref import datasets
from python_ref.spec import design as spec_design
from python_ref.spec import formats, learner, network, number, optimizer, schedule, unrolled
from python_ref.spec.bus import Interrupt, SampleSource, byte_address, wrapper_map
from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.events import event_kinds
from python_ref.spec.layers import Leaky
from python_ref.spec.number import Rounding
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.registers import Command, register_map
from rtl_gen.bus.bridge import STARVATION_CYCLES
from rtl_gen.controller import StepController
from rtl_gen.core import contract
from tests.support.designs import random_design
from tests.support.marks import slow_unless
from tests.support.rare_events import RARE_EVENTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
PACKAGES = ("python_ref", "rtl_gen", "sim", "boards", "mgd_hw")


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading, of the second level, up to the next of these."""
    match = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title!r}"
    return match[1]


def rows(text: str) -> list[list[str]]:
    """Cells of all tables, heads and rules left out."""
    found, head = [], True
    for line in text.splitlines():
        if not line.startswith("|"):
            head = True
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if set(line) <= set("|-: "):
            head = False
        elif not head:
            found.append(cells)
    return found


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# -- All pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        assert found.is_file(), target
        assert ROOT in found.resolve().parents, target
        assert not anchor or anchor in anchors(found.read_text(encoding="utf-8")), target


def test_every_page_is_linked_from_the_first() -> None:
    index = text_of("index.md")
    assert "(docs/index.md)" in PAGES[0].read_text(encoding="utf-8")
    for page in PAGES[1:]:
        name = page.relative_to(DOCS).as_posix()
        assert f"({name})" in index or name == "index.md"


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_source_lines_fit_120_columns(page: Path) -> None:
    """But rows of tables and code, which cannot be wrapped."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in prose.splitlines():
        assert len(line) <= 120 or line.startswith(("|", "    ")), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_machine_and_leave_nothing_open(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"/(?:home|root|tmp|work|usr|mnt|Users)/|https?://\S*(?:index|registry|proxy|localhost)", text)
    assert not re.findall(r"\b(?:TODO|FIXME|TBD|XXX)\b", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_named_on_pages_exist(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL))
    for span in spans:
        if re.fullmatch(rf"(?:{'|'.join((*PACKAGES, 'tests', 'docs'))})/[\w./]*", span):
            assert (ROOT / span).exists(), span
        elif re.fullmatch(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+", span):
            parts = span.split(".")
            names = [ROOT.joinpath(*parts[:end]) for end in range(len(parts), 0, -1)]
            assert any(name.is_dir() or name.with_suffix(".py").is_file() for name in names[:2]), span


def test_images_are_small_pictures() -> None:
    for image in (DOCS / "images").iterdir():
        start = b"<?xml" if image.suffix == ".svg" else b"\x89PNG\r\n\x1a\n"
        assert image.read_bytes().startswith(start)
        assert image.stat().st_size < 200_000


FOLLOWED_ELSEWHERE = ("notebook.md", "litex.md")
"""The pages whose blocks other tests run: the next one, and tests.mgd_hw.device.test_litex_guide."""


@pytest.mark.usefixtures("quick_builds")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=slow_unless(page.name != "python.md"))
        for page in PAGES[1:]
        if page.name not in FOLLOWED_ELSEWHERE
    ],
)
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        exec(compile(block, str(page), "exec"), {})


COMPILED = ("mgd_hw.cosim(", 'link="virtual"')
"""What makes a block of the tutorial take long: it compiles the core."""


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["but what is compiled", "whole"])
def test_the_notebook_runs(whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks one after the other, each with what those before have left."""
    monkeypatch.chdir(tmp_path)
    found, shared = blocks(text_of("guides/notebook.md"), "python"), dict[str, object]()
    for word in COMPILED:
        assert any(word in block for block in found)
    for block in found:
        if whole or not any(word in block for word in COMPILED):
            exec(compile(block, "notebook.md", "exec"), shared)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "boards.md"], ids=lambda page: page.name)
def test_toml_examples_are_designs(page: Path) -> None:  # that of boards.md is a board: tests.boards.test_board reads it
    for block in blocks(page.read_text(encoding="utf-8"), "toml"):
        parse_any(block, "example.toml")


# -- The machine ------------------------------------------------------------------------------------------------------


def test_the_table_of_registers() -> None:
    shown = [row for row in rows(text_of("design/host.md")) if len(row) == 5 and row[1].startswith("0x")]
    registers = register_map(load("xor").spec).values()
    assert shown == [[f"`{r.name}`", f"0x{r.address:02X}", str(r.words), r.access, r.meaning] for r in registers]


def test_the_map_behind_a_bus() -> None:
    spec, text = load("xor").spec, text_of("design/buses.md")
    maps = {samples: wrapper_map(spec, samples) for samples in SampleSource}
    merged = {name: register for found in maps.values() for name, register in found.items()}
    merged |= maps[SampleSource.AXI4_STREAM]  # whose meanings have one bit more
    where = {name: [samples.value for samples, found in maps.items() if name in found] for name in merged}
    expected = [
        [f"`{name}`", f"0x{byte_address(each):03X}", each.access, "both" if len(where[name]) == 2 else where[name][0], each.meaning]
        for name, each in sorted(merged.items(), key=lambda item: item[1].address)
    ]
    assert [row for row in rows(text) if len(row) == 5] == expected
    bits = [[str(each.bit_length() - 1), f"`{(each.name or '').lower()}`"] for each in Interrupt]
    assert [row[:2] for row in rows(section(text, "The interrupt"))] == bits
    assert f"for {STARVATION_CYCLES} cycles" in text


def test_the_table_of_commands() -> None:
    shown = [row[0] for row in rows(text_of("design/host.md").partition("## Events")[0]) if len(row) == 2 and row[0][0].isdigit()]
    assert shown == [f"{int(command)} {command.name.lower()}" for command in Command]


def test_events_and_saturation_counters_are_named() -> None:
    events = section(text_of("design/host.md"), "Events and signatures")
    assert [row[0] for row in rows(events)] == [f"`{event}`" for event in event_kinds(load("xor").spec)]
    presented = section(text_of("design/presentations.md"), "Events and signatures")
    assert [row[0] for row in rows(presented)] == [f"`{event}`" for event in event_kinds(load("digits").spec)]
    casts = {row[0] for row in rows(text_of("design/arithmetic.md"))}
    assert set(SATURATION_KINDS) <= casts


def cycles_as_the_page_has_them(spec: DesignSpec) -> dict[str, int]:
    """The cycle contract, computed from the words of docs/design/machine.md."""
    sizes, lanes, state = spec.network.sizes, spec.hardware.lanes, bool(spec.optimizer_state)
    direct, adam = not spec.gradient_memory and not state, spec.optimizer.name == "shift-adam"
    groups = [-(-n_out // lanes) for n_out in sizes[1:]]
    slots = [max(n_in + 1, lanes) if count > 1 else n_in + 1 for n_in, count in zip(sizes, groups, strict=False)]
    n = sum(count * each for count, each in zip(groups, slots, strict=True))
    pipelined = lanes > 8
    d = 7 + 4 * pipelined
    m = sizes[-1] - (groups[-1] - 1) * lanes
    padding = slots[-1] - (sizes[-2] + 1)
    a = (20 if adam else 13 if state else 6 if direct else 10) + 3 * pipelined
    low, high = spec.exponents
    w = (high - low).bit_length()
    b = (1 if adam else -(-w // 2)) + (spec.formats.gradient_cast.rounding is not Rounding.FLOOR) + 2 * direct
    waits = [max(0, d - (count - 1) * lanes) for count in groups[:-1]]
    before, m1 = (groups[0] - 1) * lanes, sizes[1] - (groups[0] - 1) * lanes
    follows = max(0, d - before, m1 - 1 - (slots[0] - sizes[0] - 1) - before) if waits else m1
    behind = n - groups[0] * slots[0] + sum(waits[1:])
    pair = (groups[0] - 1) * max(slots[0], 2 * lanes) + slots[0] + follows + 2 * behind
    return {
        "slots": n,
        "depth": d,
        "pass_cycles": n + sum(waits),
        "pair_cycles": pair,
        "wait": max(6, m + a + b + 9 + pipelined - padding),
    }


def test_the_cycle_contract_is_the_page_s() -> None:
    rng = random.Random(1)
    drawn = [random_design(rng, max_lanes=lanes, kinds=(Kind.WEIGHT,)) for lanes in (6, 20) for _ in range(40)]
    specs = [spec for spec in (load(name).spec for name in shipped()) if not spec.node] + drawn
    xor = load("xor").spec  # and one whose last group is nearly all padding
    specs.append(replace(xor, network=replace(xor.network, sizes=(2, 33)), hardware=replace(xor.hardware, lanes=32)))
    assert contract(specs[-1]).wait == StepController.begin_latency
    for spec in specs:
        built = contract(spec)
        expected = cycles_as_the_page_has_them(spec)
        expected["pair_cycles"] += built.gap
        assert {name: getattr(built, name) for name in expected} == expected, spec
        assert built.step_cycles(2) == built.pair_cycles + built.wait


def test_cycles_of_shipped_designs() -> None:
    shown = [row for row in rows(section(text_of("design/machine.md"), "The cycle contract")) if len(row) == 7]
    built = []
    for spec in (load(name).spec for name in shipped()):
        if spec.node:
            continue
        found, name = contract(spec), spec.name
        figures = (spec.hardware.lanes, found.slots, found.pass_cycles, found.wait, found.step_cycles(2))
        built.append([f"`{name}`", *(f"{figure:,}" for figure in figures), f"{100 * found.busy_lanes:.0f} %"])
    assert sorted(shown) == built, "\n".join(f"| {' | '.join(row)} |" for row in built)


def test_cycles_of_shipped_presentations() -> None:
    """Those of the design file, and of 16 and 64 probes of a sample."""
    shown = rows(section(text_of("design/presentations.md"), "The cycle contract of presentations"))
    built = []
    for spec in (load(name).spec for name in shipped()):
        for steps in sorted({spec.longest_presentation, 16, 64}) if spec.node and not spec.series else ():
            longer = replace(spec, schedule=replace(spec.schedule, sample_period=steps, update_period=steps))
            found = contract(spec if steps == spec.longest_presentation else longer)
            whole = found.presentation_cycles(steps)
            parts = (found.unperturbed_cycles, found.probe_cycles, found.apply_cycles, found.wait, whole)
            cells = (f"`{spec.name}`", spec.hardware.lanes, steps, *(f"{each:,.10g}" for each in parts), f"{whole / steps:,.0f}")
            built.append([*map(str, cells), f"{100 * found.busy_lanes:.0f} %"])
    assert [row for row in shown if len(row) == 10] == built, "\n".join(f"| {' | '.join(row)} |" for row in built)


def test_cycles_of_lanes_with_two_multipliers() -> None:
    shown = rows(section(text_of("design/presentations.md"), "Two multipliers"))
    shipped_as = {load(name).spec.network.sizes: load(name).spec for name in ("digits", "mnist")}
    assert len(shown) > 5
    for sizes, lanes, multipliers, steps, *figures in shown:
        spec = shipped_as[tuple(map(int, sizes.split("-")))]
        found = contract(replace(spec, hardware=replace(spec.hardware, lanes=int(lanes), multipliers_per_lane=int(multipliers))))
        whole = found.presentation_cycles(int(steps))
        parts = (found.unperturbed_cycles, found.probe_cycles, found.apply_cycles, found.wait, whole)
        assert figures == [f"{each:,.10g}" for each in parts]
        assert int(steps) == spec.longest_presentation


# -- What is compared -------------------------------------------------------------------------------------------------


def test_the_table_of_observables() -> None:
    shown = {
        name
        for row in rows(section(text_of("design/verification.md"), "What a co-simulation compares"))
        for name in re.findall(r"`(\w+)`", row[0])
    }
    adam = RARE_EVENTS["saturated_square"].spec  # a design that shows all that a machine of its kind can show
    assert adam.hardware.signature
    other = replace(adam, perturbation=replace(adam.perturbation, kind=Kind.WEIGHT if adam.node else Kind.NODE))
    plain = replace(adam if adam.node else other, optimizer=optimizer.Sgd())
    with_state = replace(plain, network=replace(plain.network, kinds=(Leaky(0),) * len(plain.network.layers)))
    assert shown == {probe.name for spec in (adam, other, with_state) for probe in probes(spec)}
    assert f"| {len(COUNTERS)}: " in text_of("design/verification.md")
    assert f"saturations of {len(SATURATION_KINDS)} kinds" in text_of("design/verification.md")


# -- What is refused --------------------------------------------------------------------------------------------------


def test_limits() -> None:
    limits = {row[0]: (row[1], row[2]) for row in rows(section(text_of("reference/refused.md"), "Limits"))}
    expected = {
        "layers": network.MAX_LAYERS,
        "inputs, and neurons of a layer": network.MAX_NEURONS,
        "weights and biases": network.MAX_PARAMETERS,
        "frames": network.MAX_FRAMES,
        "perturbed quantities of a network with state": unrolled.MAX_SIGNS,
        "lanes": spec_design.MAX_LANES,
        "τ_p, τ_x, τ_θ, in steps": schedule.MAX_PERIOD,
        "bits of a format, and of any intermediate": number.MAX_BITS,
        "bits of the address of an activation table": formats.MAX_TABLE_BITS,
        "entries of a learning-rate list": values.MAX_RATES,
        "inputs of the task parity": datasets.MAX_PARITY_BITS,
        "quantities of a network outside": learner.MAX_QUANTITIES,
        "log₂ of the cost words of a mean": learner.MAX_AVERAGE,
    }
    for what, most in expected.items():
        assert limits.pop(what)[1] == str(most), what
    written = {
        "log₂ Δ": 'perturbation.amplitude = "2^{}"',
        "log₂ η": "schedule.learning_rate = {}",
        "momentum's k": 'optimizer.name = "momentum"\noptimizer.k = {}',
        "k₁ of Adam by shifts": 'optimizer.name = "shift-adam"\noptimizer.k1 = {}',
        "k₂ of Adam by shifts": 'optimizer.name = "shift-adam"\noptimizer.k2 = {}',
    }
    for what, line in written.items():
        low, high = (int(value) for value in limits.pop(what))
        for value in (low - 1, high + 1):
            with pytest.raises(Refusal, match=rf"(?:between|from) (?:2\^)?{low} (?:and|to) (?:2\^)?{high}\b"):
                parse(f'data.task = "xor"\n{line.format(value)}\n', "x.toml")
    assert limits.pop("seeds") == ("0", "2^63 - 1")
    assert values.MAX_SEED == 2**63 - 1
    assert not limits


REFUSED = rows(section(text_of("reference/refused.md"), "Combinations, by key"))


@pytest.mark.parametrize("written, key, reason", REFUSED, ids=[f"{number} {row[1]}" for number, row in enumerate(REFUSED)])
def test_combinations_are_refused(written: str, key: str, reason: str) -> None:
    lines = re.findall(r"`([^`]+)`", written)
    if not any(line.startswith(("data.task", "network.external")) for line in lines):
        lines.append('data.task = "xor"')
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    with pytest.raises(Refusal) as caught:
        parse(text, "x.toml")
    assert f"`{caught.value.key}`" == key
    assert caught.value.reason == reason
    assert caught.value.remedy


def test_the_message_that_is_shown() -> None:
    shown = re.search(r"^    (letters\.toml: .*)$", text_of("reference/refused.md"), re.MULTILINE)
    with pytest.raises(Refusal) as caught:
        parse('data.task = "nist7x7"\nnetwork.output = "tanh"\nformats.activation = "UQ2.10"\n', "letters.toml")
    assert shown and str(caught.value) == shown[1]


# -- The patch --------------------------------------------------------------------------------------------------------


def apply(patch: str, root: Path) -> None:
    """Apply hunks that say their context, not their line: each must match exactly one place."""
    for part in re.split(r"^--- ", patch, flags=re.MULTILINE)[1:]:
        name, _, hunks = part.partition("\n")
        path = root / name
        text = path.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@\n", hunks, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(old) == 1, f"{name}: {text.count(old)} places have\n{old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


SOFTSIGN = """
import tempfile
from pathlib import Path

import numpy as np

from mgd_hw.design.reader import parse
from mgd_hw.data import load
from mgd_hw.design.run import run_of
from python_ref.fixed import fast
from python_ref.floating import of_design, online
from python_ref.floating.of_design import evaluate
from python_ref.fixed.machine import initial_state
from python_ref.spec.activations import Activation
from python_ref.spec.number import Fixed
from python_ref.spec.tables import activation_table
from rtl_gen.core import core_of
from sim.cosim import cosim

address, value = Fixed(True, 4, 3), Fixed(True, 2, 10)
table = activation_table(Activation.SOFTSIGN, address, value)
inputs = np.arange(address.min, address.max + 1)
assert np.abs(table[inputs & 127] / 1024 - Activation.SOFTSIGN.activate(inputs / 8)).max() <= 1 / 2048

text = 'network.layers = [2, 3, 1]\\nnetwork.hidden = "softsign"\\nnetwork.output = "softsign"\\ndata.task = "xor"\\nhardware.lanes = 2\\n'
design = parse(text, "softsign.toml")
assert design.data.target_values == (-1.0, 1.0) and design.spec.formats.activation == Fixed(True, 2, 10)
spec, run = design.spec, run_of(design, load(design.data), 8)
assert of_design.network(spec).differentiable
with tempfile.TemporaryDirectory() as folder:
    result = cosim(run, core_of(spec), Path(folder), simulator="amaranth")
assert result.equal and result.compared, result

trained = fast.train(spec, initial_state(spec, run.parameters), run.inputs, run.targets, run.order, 8).state
assert trained.steps == 8
start = spec.formats.weight.to_real(run.parameters)
samples = load(design.data).train
online.train(spec, start, samples.inputs, samples.targets, load(design.data).order, 8)
gradient = of_design.gradient(spec, start, samples.inputs, samples.targets)
h = 1e-6 * np.eye(len(start))
plus, minus = ([evaluate(spec, start + sign * row, samples.inputs, samples.targets)[1] for row in h] for sign in (1, -1))
assert np.abs(gradient - (np.array(plus) - np.array(minus)) / 2e-6).max() < 1e-6 < np.abs(gradient).max()
print("done")
"""

ALTERNATING = """
import tempfile
from pathlib import Path

import numpy as np

from python_ref.floating import of_design, online
from python_ref.fixed.perturbation import SignSource
from python_ref.spec.perturbation import AlternatingCode, Kind
from python_ref.spec.registers import phase_bits
from rtl_gen.core import core_of
from sim.cosim import cosim
from tests.test_kinds import run_of, spec_of

for quantities in (1, 7, 8, 9):
    for kind in Kind:
        spec = spec_of(AlternatingCode(), kind, quantities)
        count = spec.quantities
        assert phase_bits(spec) == max(1, (2 * count - 1).bit_length())
        rows = np.zeros((4 * count, count))
        for p in range(len(rows)):
            rows[p, p % count] = -1 if p // count % 2 else 1
        order = np.arange(count) if spec.node else spec.layout.parameter_order
        found = SignSource(spec).block(0, len(rows))
        assert np.array_equal(found, rows[:, order])
        for p in (0, count - 1, count, len(rows) - 1):
            assert np.array_equal(online.signs(spec, 1, p), found[p])
        assert np.array_equal(of_design.code(spec).rows(1, 3 * count, count), found[1 : 3 * count + 1])
        with tempfile.TemporaryDirectory() as folder:
            result = cosim(run_of(spec, 2 * count + 3), core_of(spec), Path(folder), simulator="amaranth")
        assert result.equal and result.compared, result
print("done")
"""

NESTEROV = """
import tempfile
from pathlib import Path

from python_ref.spec.optimizer import Nesterov
from python_ref.spec.perturbation import Kind
from python_ref.spec.schedule import Difference
from tests import test_kinds
from tests.python_ref.floating import test_of_design

for optimizer in test_kinds.variants(Nesterov):
    for kind in Kind:
        for period in (1, 3):
            test_kinds.test_an_optimizer_is_the_oracle_s_in_every_model(optimizer, kind, period)
            with tempfile.TemporaryDirectory() as folder:
                test_kinds.test_a_core_learns_by_every_optimizer(optimizer, kind, period, Path(folder))
    for difference in Difference:
        test_of_design.test_steps_are_the_oracle_s(Kind.NODE, "walsh", difference, (1, 1, 2), optimizer)
test_kinds.test_an_optimizer_s_float_rule_and_gain_are_those_of_its_integers(Nesterov)
print("done")
"""

COMMANDS = """
import sys
from mgd_hw.cli import main
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as end:
        assert not end.code, (command, end.code)
print("done")
"""
EVERY = """
network.layers = [2, 3, 1]
network.hidden = "softsign"
network.output = "softsign"
perturbation.code = "alternating"
optimizer.name = "nesterov"
data.task = "xor"
hardware.lanes = 2
compare.steps = 1000
compare.seeds = 1
compare.backprop_epochs = 5
"""
"""A design file that asks for every addition of the guide."""

QUICK = ("generate every.toml", "fit every.toml", "diagnose every.toml", "compare every.toml")
SLOW = (
    "cosim every.toml --steps 40",
    "train every.toml --link virtual --steps 20 --verify",
    "synth every.toml",
    "sweep every.toml --vary schedule.learning_rate=-6,-5 --steps 50 --workers 1",
    "report every.toml --proof 20",
)


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and of the tests with the guide's patches."""
    root = tmp_path_factory.mktemp("patched")
    for package in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    apply("".join(blocks(text_of("guides/extending.md"), "diff")), root)
    (root / "every.toml").write_text(EVERY, encoding="utf-8")
    return root


def runs(root: Path, script: str, *arguments: str, compiled: bool = False) -> None:
    """Run a script on the patched copy; it says at its end that it is done."""
    environment = {**os.environ, "PYTHONPATH": str(root)} | ({} if compiled else {"NUMBA_DISABLE_JIT": "1"})
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout[-1000:] + done.stderr[-3000:]


def test_the_patch_that_adds_an_activation(patched: Path) -> None:
    runs(patched, SOFTSIGN)


@pytest.mark.slow
def test_the_patch_that_adds_a_code(patched: Path) -> None:
    runs(patched, ALTERNATING)


@pytest.mark.slow
def test_the_patch_that_adds_an_optimizer(patched: Path) -> None:
    runs(patched, NESTEROV)


def test_the_patches_are_short() -> None:
    """The guide's promise: an addition takes at most 60 lines, and one file of each package."""
    for patch in blocks(text_of("guides/extending.md"), "diff"):
        files = re.findall(r"^--- (.*)$", patch, re.MULTILINE)
        packages = [name.rpartition("/")[0] for name in files]
        assert len(set(packages)) == len(packages), files
        assert len(re.findall(r"^\+", patch, re.MULTILINE)) <= 60, files


@pytest.mark.slow
def test_what_the_patches_add_goes_through_the_quick_commands(patched: Path) -> None:
    runs(patched, COMMANDS, *QUICK)


@pytest.mark.long
@pytest.mark.slow
def test_what_the_patches_add_goes_through_the_other_commands(patched: Path) -> None:
    runs(patched, COMMANDS, *SLOW, compiled=True)


def test_the_commands_are_all_tried() -> None:
    """Of those that take a design; `build` and `virtual` do with its Verilog what `synth` and `train` do."""
    from mgd_hw.cli import commands

    take = {name for name, command in commands.commands.items() if any(each.name == "design" for each in command.params)}
    assert {line.split()[0] for line in (*QUICK, *SLOW)} == take - {"build", "virtual"}
