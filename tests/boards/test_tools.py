"""Tools run as jobs: failures, files of earlier runs, interrupts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from boards.flow import tools
from boards.flow.tools import Job, run_jobs
from python_ref.spec.error import ToolError


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find_tool", lambda tool: [sys.executable, "-c"])


def test_the_end_of_what_a_tool_said_is_told(python: None, tmp_path: Path) -> None:
    job = Job("placer", ("import sys; print('hello'); print('ERROR: no place left'); sys.exit(3)",), "log")
    with pytest.raises(ToolError, match=r"^placer failed: ERROR: no place left\. These are its last lines; "):
        run_jobs([job], tmp_path)


def test_a_file_of_an_earlier_run_is_not_taken_for_this_ones(python: None, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    with pytest.raises(ToolError, match=r"^placer failed: it wrote no report\.json\. "):
        run_jobs([Job("placer", ("pass",), "log", ("report.json",))], tmp_path)


def test_a_failure_ends_the_others(python: None, tmp_path: Path) -> None:
    """The other would write its file after a minute."""
    slow = Job("slow", ("import time, os; open('pid', 'w').write(str(os.getpid())); time.sleep(60)",), "slow.log")
    bad = Job("bad", ("import time, os\nwhile not os.path.exists('pid'): time.sleep(0.01)\nraise SystemExit(1)",), "bad.log")
    with pytest.raises(ToolError, match=r"^bad failed: it printed nothing, and ended with 1\. "):
        run_jobs([slow, bad], tmp_path)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_an_interrupt_ends_all(python: None, tmp_path: Path) -> None:
    slow = Job("slow", ("import time, os; open('pid', 'w').write(str(os.getpid())); time.sleep(60)",), "slow.log")
    quick = Job("quick", ("import time, os\nwhile not os.path.exists('pid'): time.sleep(0.01)",), "quick.log")

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([slow, quick], tmp_path, done=interrupt)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_a_missing_tool_is_known_before_any_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"^icepack: it is not installed\. Run pip install 'mgd-hw\[boards\]'\.$"):
        run_jobs([Job("icepack", (), "log")], tmp_path)
    assert not list(tmp_path.iterdir())
