"""Hypothesis draws the same examples in continuous integration, and takes its time everywhere: examples here simulate machines."""

import hashlib
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure():
    """Commands under test hear interrupts and hang-ups, even where what runs the tests ignores them (nohup, a shell's background)."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_report_header():
    """Say whether Icarus, which no package brings, is tested as well."""
    return f"Icarus Verilog: {shutil.which('iverilog') or 'not installed, and so not tested'}"


@pytest.fixture
def quick_builds(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile simulations without optimising, since they are short, and the same Verilog only once; the results are the same."""
    from sim import cxxrtl

    build, kept = cxxrtl.build_cxxrtl, tmp_path_factory.getbasetemp() / "builds"

    def build_once(verilog: Path, ports: object, directory: Path, **options: object) -> Path:
        name = hashlib.sha256(verilog.read_bytes()).hexdigest()[:16]
        return build(verilog, ports, kept / name, **options, optimize="-O0")

    monkeypatch.setattr(cxxrtl, "build_cxxrtl", build_once)
