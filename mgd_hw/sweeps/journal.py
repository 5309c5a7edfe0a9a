"""Journal of a sweep: an SQLite file that receives each row once, as soon as its job finishes.

Only one sweep at a time may write to a folder. An open transaction on a second SQLite file is the lock; the operating system releases it
when the process ends, even if the process is killed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mgd_hw.sweeps.jobs import DONE, REFUSED, TRAIN, Row
from python_ref.spec.error import Refusal

__all__ = ["JOURNAL", "SHARED", "Entry", "Journal"]

JOURNAL = "sweep.sqlite"
"""Name of the file that holds the journal of a sweep."""
SHARED = "shared"
"""Name of the note with what a row says of each combination that shares it: by number, "about", and "columns" of a finished row."""
FORMAT = 1
"""Version number of the tables below."""
_TABLES = """
CREATE TABLE rows (
    key TEXT PRIMARY KEY, kind TEXT, status TEXT, message TEXT, seconds REAL, columns TEXT, about TEXT,
    finished TEXT DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE plan (position INTEGER PRIMARY KEY, key TEXT, combination INTEGER);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""

Entry = tuple[str, int]
"""Entry of a plan: key of a job, and number of a combination that the job is for."""


class Journal:
    """Rows of all sweeps in a folder, and the plan of the last sweep.

    Parameters
    ----------
    directory : Path
        Directory that holds the journal file of its sweeps.
    write : bool
        Whether to open the journal for writing, which locks the folder.

    Raises
    ------
    Refusal
        If another sweep is writing to the folder, if there is no journal to read, or if the file is not a journal of this version.
    """

    FILE, LOCK, WHAT = JOURNAL, ".sweep.lock", "sweep"
    """File name of the journal and of its lock; noun for messages. A subclass may override them."""

    def __init__(self, directory: Path, *, write: bool) -> None:
        self.path = directory / self.FILE
        self._lock: sqlite3.Connection | None = None
        if not write and not self.path.is_file():
            raise Refusal(
                f"there is no {self.WHAT} in this folder", "Run one first, or name its folder with -o.", key="-o", value=str(directory)
            )
        with self._failures():
            if write:
                directory.mkdir(parents=True, exist_ok=True)
                self._lock = self._locked_connection(directory)
            self._rows = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            try:
                self._open(write)
            except BaseException:
                self.close()
                raise

    @classmethod
    @contextmanager
    def of(cls, directory: Path) -> Iterator[Journal | None]:
        """Open the journal of a folder for reading within a block; yield None if there is none yet."""
        if not (directory / cls.FILE).is_file():
            yield None
            return
        with cls(directory, write=False) as journal:
            yield journal

    def _locked_connection(self, directory: Path) -> sqlite3.Connection:
        lock = sqlite3.connect(directory / self.LOCK, isolation_level=None, timeout=0)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            reason = f"another {self.WHAT}{self._lock_holder()} is writing to this folder"
            raise Refusal(reason, "Wait until it ends, or name another folder.", key="-o", value=str(directory)) from None
        return lock

    def _lock_holder(self) -> str:
        """Return the process that holds the lock, in words; "" if the journal does not name it."""
        with suppress(sqlite3.Error, TypeError), closing(sqlite3.connect(self.path)) as rows:
            (process,) = rows.execute("SELECT value FROM notes WHERE name = 'process'").fetchone()
            return f", process {process},"
        return ""

    def _open(self, write: bool) -> None:
        found = self._rows.execute("PRAGMA user_version").fetchone()[0]
        tables = self._rows.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found not in ((0, FORMAT) if write and not tables else (FORMAT,)):
            reason = f"it is not the journal of a {self.WHAT}, or that of another version"
            raise Refusal(reason, "Name another folder with -o.", file=self.path)
        if write:
            self._rows.execute("PRAGMA journal_mode = WAL")
            self._rows.execute("PRAGMA synchronous = FULL")
            if not tables:
                self._rows.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn an error of SQLite or of the operating system within the block into a refusal."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", None)
            said = getattr(error, "strerror", None) or str(error)
            if code == sqlite3.SQLITE_NOTADB:
                reason = f"it is not the journal of a {self.WHAT}"
                raise Refusal(reason, "Name another folder with -o.", file=self.path) from None
            raise Refusal(
                f"the journal cannot be written ({said})",
                "Free some space, or mend what is wrong, and give the same command again: it goes on after the rows that were kept.",
                file=self.path,
            ) from error

    def close(self) -> None:
        """Close the journal, and release the lock of the folder."""
        with suppress(sqlite3.Error):
            self._rows.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self, entries: Iterable[Entry], notes: Mapping[str, Any]) -> None:
        """Replace the plan and the notes of the last sweep by those of this one."""
        with self._failures(), self._transaction():
            self._rows.execute("DELETE FROM plan")
            self._rows.executemany("INSERT INTO plan (key, combination) VALUES (?, ?)", entries)
            self._rows.execute("DELETE FROM notes")
            given = {"process": os.getpid(), **notes}
            self._rows.executemany("INSERT INTO notes VALUES (?, ?)", ((name, json.dumps(value)) for name, value in given.items()))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._rows.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._rows.execute("ROLLBACK")
            raise
        self._rows.execute("COMMIT")

    def finished(self) -> set[str]:
        """Return the keys of the jobs that are done or refused, and need not run again."""
        with self._failures():
            return {key for (key,) in self._rows.execute("SELECT key FROM rows WHERE status IN (?, ?)", (DONE, REFUSED))}

    def add(self, rows: Iterable[tuple[Row, str, Mapping[str, Any]]]) -> None:
        """Write rows, each with the kind of its job and the columns known beforehand.

        A row replaces a failed row with the same key; any other row that exists already stays as it is.
        """
        values = [
            (row.key, kind, row.status, row.message, row.seconds, json.dumps(row.columns), json.dumps(about)) for row, kind, about in rows
        ]
        with self._failures(), self._transaction():
            self._rows.executemany(
                "INSERT INTO rows (key, kind, status, message, seconds, columns, about) VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET status = excluded.status, message = excluded.message, seconds = excluded.seconds, "
                "columns = excluded.columns, finished = excluded.finished WHERE rows.status = 'failed'",
                values,
            )

    def of_kind(self, kind: str) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Yield all rows of a kind, even if the last plan does not contain them, each with its columns known beforehand."""
        query = "SELECT key, status, message, seconds, columns, about FROM rows WHERE kind = ?"
        with self._failures():
            for key, status, message, seconds, columns, about in self._rows.execute(query, (kind,)):
                yield Row(key, status, message, seconds, json.loads(columns)), json.loads(about)

    def notes(self) -> dict[str, Any]:
        """Return the notes that were stored with the plan."""
        with self._failures():
            return {name: json.loads(value) for name, value in self._rows.execute("SELECT name, value FROM notes")}

    def planned(self, *kinds: str) -> Iterator[tuple[int, Row, dict[str, Any]]]:
        """Yield the rows of the last plan that exist, in its order: number of the combination, row, and columns known beforehand.

        A row that several combinations share is yielded for each of them, with the columns that are its own.
        """
        shared: dict[str, Any] = self.notes().get(SHARED, {}) if TRAIN in kinds else {}
        marks = ", ".join("?" * len(kinds))
        query = (
            "SELECT combination, kind, rows.key, status, message, seconds, columns, about FROM plan JOIN rows USING (key) "
            f"WHERE kind IN ({marks}) ORDER BY position"
        )
        with self._failures():
            for combination, kind, key, status, message, seconds, columns, about in self._rows.execute(query, kinds):
                own = shared.get(str(combination), {}) if kind == TRAIN else {}
                found = json.loads(columns) | (own.get("columns", {}) if status == DONE else {})
                yield combination, Row(key, status, message, seconds, found), json.loads(about) | own.get("about", {})
