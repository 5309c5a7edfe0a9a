"""Who may import whom, read from the source: imports point down, and nothing heavy stands in the way of the command line."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mgd_hw

ROOT = Path(__file__).parents[1]
PACKAGES = ("python_ref", "rtl_gen", "sim", "boards", "mgd_hw")
OURS = (*PACKAGES, "tests")

ALLOWED = {
    "python_ref.spec": {"python_ref.spec", "numpy"},
    "python_ref": {"python_ref", "numpy"},
    "rtl_gen": {"rtl_gen", "python_ref.spec", "numpy", "amaranth"},
    "sim": {"sim", "python_ref", "rtl_gen", "numpy", "amaranth", "cocotb", "cocotb_tools"},
    "boards": {"boards", "python_ref.spec", "rtl_gen", "numpy", "amaranth", "amaranth_boards", "serial", "litex"},
    "mgd_hw": {
        *PACKAGES,
        *("numpy", "click", "rich", "matplotlib", "jinja2", "markupsafe", "pandas", "pooch", "sklearn", "mnist1d"),
        *(
            "tomlkit",
            "distributed",
            "pyarrow",
            "systemrdl",
            "peakrdl_cheader",
            "peakrdl_ipxact",
            "peakrdl_markdown",
            "onnx",
            "google.protobuf",
        ),
    },
}
"""What each package may import, beside the standard library."""

BELOW = {"common": set[str](), "data": {"common"}, "design": {"common", "data"}}
ROOMS = {
    **BELOW,
    "hardware": {*BELOW},
    "learn": {*BELOW, "hardware"},
    "device": {*BELOW, "hardware", "learn"},
    "importing": {*BELOW, "learn"},
    "sweeps": {*BELOW, "hardware", "learn", "device"},
    "efficiency": {*BELOW, "hardware", "learn", "sweeps"},
    "replication": {*BELOW, "learn", "sweeps"},
    "reports": {*BELOW, "hardware", "learn", "device", "sweeps", "replication"},
}
"""Which rooms of mgd_hw each of them may import, beside itself."""

TOP = {
    "mgd_hw": {*ROOMS} - {"common"},
    "mgd_hw.__main__": {"mgd_hw.cli"},
    "mgd_hw.chip": set[str](),
    "mgd_hw.cli": {"mgd_hw", "mgd_hw.terminal"},
    "mgd_hw.config": {"design"},
    "mgd_hw.flow": {"mgd_hw"},
    "mgd_hw.terminal": {"common"},
}
"""The same of the modules that stand in no room."""

COMPILED = {"python_ref/compiled.py"}
"""The module of python_ref that may import numba."""

HEAVY = {
    *("numba", "amaranth", "matplotlib", "sklearn", "scipy", "rich", "jinja2", "cocotb", "pandas", "pooch"),
    *("tomlkit", "distributed", "pyarrow", "systemrdl", "onnx", "google", "mnist1d"),
}
"""What may be imported only where it is used: it takes longer than the command line may."""


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, at_start: bool = False) -> Iterator[str]:
    """Modules that a file imports, or only those that importing it imports: not in functions, not for types alone."""

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module.split(".")[0] in OURS)
        elif at_start and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return
        elif at_start and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from walk(child)
        else:
            for child in ast.iter_child_nodes(node):
                yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))


def package_of(name: str) -> str:
    return "python_ref.spec" if name == "python_ref.spec" or name.startswith("python_ref.spec.") else name.split(".")[0]


def covers(allowed: set[str], name: str) -> bool:
    return any(name == each or name.startswith(each + ".") for each in allowed)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_down(path: Path) -> None:
    allowed = ALLOWED[package_of(name_of(path))] | {"__future__"}
    if path.relative_to(ROOT).as_posix() in COMPILED:
        allowed |= {"numba"}
    for found in imports(path):
        if found.split(".")[0] not in sys.stdlib_module_names:
            if found == "python_ref" and "python_ref.spec" in allowed:
                continue  # "from python_ref.spec import …" names its parent
            assert covers(allowed, found), f"{name_of(path)} imports {found}"


@pytest.mark.parametrize("start", ["mgd_hw.cli", "mgd_hw.flow", "mgd_hw.design.reader"])
def test_nothing_heavy_at_the_start(start: str) -> None:
    """Follow the imports that run when a module is imported."""
    known = {name_of(path): path for path in modules()}
    todo, seen = [start], set()
    while todo:
        name = todo.pop()
        if name in seen or name not in known:
            continue
        seen.add(name)
        for found in imports(known[name], at_start=True):
            assert found.split(".")[0] not in HEAVY, f"{start} reaches {found} through {name}"
            todo.append(found)
            todo += [".".join(found.split(".")[:n]) for n in range(1, found.count(".") + 1)]
    assert len(seen) > 1 or start == "mgd_hw.cli"


def test_help_imports_nothing_that_takes_long() -> None:
    """Counted in modules, since time is the machine's: what --help loads beside click and the standard library."""
    code = (
        "import sys\nfrom mgd_hw.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert not loaded & (HEAVY | {"numpy"}), loaded
    assert loaded & set(PACKAGES) == {"mgd_hw"}


def edges(path: Path, known: Collection[str]) -> set[str]:
    """The modules that a file imports, in functions and for types alone as well.

    ``from package import module`` is an edge to the module; ``from package import name``, one to the package's ``__init__``.
    """
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for parts in (name.split(".") for name in named):
            found.add(next((whole for n in range(len(parts), 0, -1) if (whole := ".".join(parts[:n])) in known), ""))
    return found - {""}


@cache
def graph() -> dict[str, set[str]]:
    """What every module of the product imports; of the verbs that ``mgd_hw`` loads by name, their modules."""
    known = {name_of(path): path for path in modules()}
    found = {name: edges(path, known) for name, path in known.items()}
    found["mgd_hw"] |= set(mgd_hw._MODULES.values())
    return found


def room_of(name: str) -> str:
    """The room of a module of mgd_hw; of a module at the top its own name."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else name


def test_no_circle_of_imports() -> None:
    """Of no kind: imports in functions and for types alone count as well."""
    found = graph()
    assert sum(map(len, found.values())) > 2 * len(found)
    order = list(TopologicalSorter(found).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(found)


@pytest.mark.parametrize("name", sorted(name_of(path) for path in modules() if package_of(name_of(path)) == "mgd_hw"))
def test_rooms(name: str) -> None:
    """A room imports those below it, whenever and for whatever; what stands at the top is imported by no room."""
    room, found = room_of(name), {room_of(each) for each in graph()[name] if each.split(".")[0] == "mgd_hw"}
    allowed = ROOMS[room] | {room} if room in ROOMS else TOP[name]
    assert found <= allowed, f"{name} imports {found - allowed}"


def test_every_room_is_used() -> None:
    """Neither table allows what nobody does."""
    found = {(room_of(name), room_of(each)) for name, those in graph().items() for each in those if each.split(".")[0] == "mgd_hw"}
    rooms = {room_of(name) for name in graph() if package_of(name) == "mgd_hw"}
    assert rooms == set(ROOMS) | set(TOP)
    assert all((name, each) in found for name, those in TOP.items() for each in those), "mgd_hw's top"


def test_every_package_is_installed() -> None:
    """A package that pyproject.toml does not list is missing from the wheel, though not from this folder."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {name_of(path) for path in modules() if path.name == "__init__.py"}
    assert set(listed) == found


def test_every_package_is_looked_at() -> None:
    looked = {package_of(name_of(path)) for path in modules()}
    assert looked == set(ALLOWED)


def test_the_fixed_model_knows_nothing_of_the_float_side() -> None:
    paths = [path for path in modules() if name_of(path).startswith("python_ref.fixed.")]
    assert len(paths) > 5
    for path in paths:
        assert not any(found.startswith("python_ref.floating") for found in imports(path)), name_of(path)


def test_the_oracles_share_nothing_with_the_models() -> None:
    """They import the description of a design, other oracles, and nothing that computes."""
    names = ("oracle", "narrowing", "adam_oracle", "float_oracle", "probe_oracle", "series_oracle", "probe_signature", "learner_oracle")
    names = (*names, "neuron_inputs")
    oracles = {f"tests.support.{name}" for name in names}
    for name in names:
        shared = {found for found in imports(ROOT / f"tests/support/{name}.py") if found.split(".")[0] in OURS}
        shared = {found for found in shared if found not in oracles and found.rpartition(".")[0] not in oracles}
        assert shared and shared <= {
            "python_ref.spec.design",
            "python_ref.spec.design.Cast",
            "python_ref.spec.design.DesignSpec",
            "python_ref.spec.learner",
            "python_ref.spec.learner.LearnerSpec",
            "python_ref.spec.number",
            "python_ref.spec.number.Fixed",
        }
