"""The journal keeps each row once, admits one writer, and loses nothing when its process is killed or the disk is full."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mgd_hw.sweeps.jobs import DONE, FAILED, REFUSED, Row
from mgd_hw.sweeps.journal import JOURNAL, Journal
from python_ref.spec.error import Refusal
from sim.process import child_environment


def row(key: str, status: str = DONE, **columns: object) -> Row:
    return Row(key, status, "", 0.5, columns)


def test_rows_come_back_in_the_order_of_the_plan(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True) as journal:
        journal.plan([("a", 0), ("b", 1), ("shared", 0), ("shared", 1), ("c", 2)], {"keys": ["x"]})
        journal.add([(row("c", accuracy=0.5), "train", {"vary": {"x": 3}})])
        journal.add([(row("shared", lut=7), "fit", {}), (row("a", accuracy=1.0), "train", {"vary": {"x": 1}})])
    with Journal(tmp_path, write=False) as journal:
        assert [(number, found.key) for number, found, _ in journal.planned("train")] == [(0, "a"), (2, "c")]
        assert [(number, found.columns) for number, found, _ in journal.planned("fit")] == [(0, {"lut": 7}), (1, {"lut": 7})]
        assert [about["vary"]["x"] for _, _, about in journal.planned("train")] == [1, 3]
        assert journal.notes()["keys"] == ["x"]
        assert journal.finished() == {"a", "c", "shared"}


def test_a_row_is_written_once_and_one_that_failed_again(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True) as journal:
        journal.plan([("a", 0)], {})
        journal.add([(row("a", FAILED), "train", {})])
        assert journal.finished() == set()
        journal.add([(row("a", DONE, accuracy=0.25), "train", {})])
        journal.add([(row("a", DONE, accuracy=0.75), "train", {})])
        journal.add([(row("a", FAILED), "train", {}), (row("r", REFUSED), "refusal", {})])
        assert [found.columns for _, found, _ in journal.planned("train")] == [{"accuracy": 0.25}]
        assert journal.finished() == {"a", "r"}


def test_a_new_plan_keeps_the_rows_of_the_old(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True) as journal:
        journal.plan([("a", 0)], {"keys": []})
        journal.add([(row("a"), "train", {})])
    with Journal(tmp_path, write=True) as journal:
        journal.plan([("b", 0), ("a", 1)], {"keys": ["x"]})
        assert [(number, found.key) for number, found, _ in journal.planned("train")] == [(1, "a")]


def test_one_sweep_at_a_time_writes_and_others_read(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True) as journal:
        journal.plan([("a", 0)], {})
        with pytest.raises(Refusal, match=rf"another sweep, process {os.getpid()}, is writing to this folder"):
            Journal(tmp_path, write=True)
        journal.add([(row("a"), "train", {})])
        with Journal(tmp_path, write=False) as reader:
            assert reader.finished() == {"a"}
    Journal(tmp_path, write=True).close()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from mgd_hw.sweeps.jobs import Row
    from mgd_hw.sweeps.journal import Journal
    journal = Journal(Path(sys.argv[1]), write=True)
    journal.plan([(str(n), n) for n in range(10)], {})
    for n in range(5):
        journal.add([(Row(str(n), "done", "", 0.0, {"n": n}), "train", {})])
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_written_outlives_a_kill_and_the_folder_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("ready\n", -signal.SIGKILL), done.stderr
    with Journal(tmp_path, write=True) as journal:
        assert [found.columns for _, found, _ in journal.planned("train")] == [{"n": n} for n in range(5)]


def test_a_full_disk_ends_in_one_message_and_loses_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True) as journal:
        journal.plan([(str(n), n) for n in range(100)], {})
        journal.add([(row("0"), "train", {})])
        pages = journal._rows.execute("PRAGMA page_count").fetchone()[0]
        journal._rows.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Refusal, match=r"the journal cannot be written \(database or disk is full\). Free some space, .* it goes on"):
            journal.add([(row(str(n), text="x" * 1000), "train", {}) for n in range(1, 100)])
        assert journal.finished() == {"0"}
        journal._rows.execute("PRAGMA max_page_count = 100000")
        journal.add([(row(str(n), text="x" * 1000), "train", {}) for n in range(1, 100)])
        assert len(journal.finished()) == 100


@pytest.mark.parametrize("content", [b"", b"not a database at all, but a text that is long enough to be one" * 30])
def test_other_files_are_no_journals(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(Refusal, match="it is not the journal of a sweep"):
        Journal(tmp_path, write=False)
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_a_journal_of_another_format_is_left_alone(tmp_path: Path) -> None:
    Journal(tmp_path, write=True).close()
    with sqlite3.connect(tmp_path / JOURNAL) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(Refusal, match="that of another version"):
        Journal(tmp_path, write=True)


def test_a_folder_without_a_sweep_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="there is no sweep in this folder"):
        Journal(tmp_path, write=False)
    assert list(tmp_path.iterdir()) == []
