"""The outbox as any application sees it: an SQLite file and plain SQL."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_for

from demo import stage

_PENDING = "SELECT count(*) FROM upload_outbox WHERE status IN ('pending', 'running')"

#: Twenty times what the slowest act takes.
_ACT_SECONDS = 120

_BUSY_SECONDS = 10


class Outbox:
    """A database file that a daemon has set up."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.client = shutil.which("sqlite3")

    def run(self, statement: str) -> None:
        """Show a statement and run it: by the sqlite3 program, or by Python where there is none."""
        stage.quote(statement, "sql>")
        if not self.client:
            self._query(statement)
            return
        timeout = f".timeout {_BUSY_SECONDS * 1000}"
        command = [self.client, "-batch", "-bail", "-cmd", timeout, str(self.file), statement]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - our own SQL

    def show(self, query: str) -> list[Sequence[Any]]:
        """Show a query and the rows that it finds."""
        stage.quote(query, "sql>")
        headings, rows = self._query(query)
        stage.table(headings, rows)
        return rows

    def ask(self, query: str, *values: object) -> list[Sequence[Any]]:
        """The rows of a query that is no part of the show."""
        return self._query(query, *values)[1]

    def wait_until_settled(self) -> None:
        """Return once no job is pending or running."""
        wait_for(lambda: self.ask(_PENDING) == [(0,)], _ACT_SECONDS, "all jobs to end")

    def _query(self, query: str, *values: object) -> tuple[list[str], list[Sequence[Any]]]:
        with closing(sqlite3.connect(self.file, timeout=_BUSY_SECONDS)) as connection, connection:
            cursor = connection.execute(query, values)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()
