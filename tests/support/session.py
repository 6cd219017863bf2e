"""Somebody else's session on the daemon's database: it locks, looks who waits, ends sessions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from outhaul.outbox.engine import open_engine

if TYPE_CHECKING:
    from types import TracebackType

_LOCK_TABLE = {
    "postgresql": "LOCK TABLE upload_outbox IN ACCESS EXCLUSIVE MODE",
    "mysql": "LOCK TABLES upload_outbox WRITE",
}

# Not innodb_trx: InnoDB renews that table only when nobody has read it for 100 ms.
_WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT (SELECT count(*) FROM information_schema.processlist"
    " WHERE db = DATABASE() AND state LIKE 'Waiting for table%')"
    " + (SELECT variable_value FROM information_schema.global_status"
    " WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS')",
}

_OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist"
    " WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}

_KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL CONNECTION {}"}


class Session:
    """One session with a transaction of its own; a context manager. It ends without a trace.

    On SQLite it can do no more than lock, and a lock is on the whole database.
    """

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(database_url)
        self._dialect = self._engine.dialect.name

    def __enter__(self) -> Self:
        self._connection = self._engine.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
        self._connection.close()
        self._engine.dispose()

    def lock_row(self, job_id: int) -> None:
        """Lock a row against writers."""
        lock = "" if self._dialect == "sqlite" else " FOR UPDATE"
        self._connection.execute(
            text(f"SELECT id FROM upload_outbox WHERE id = :id{lock}"), {"id": job_id}
        )

    def is_locked(self, job_id: int) -> bool:
        """Whether somebody else has the row locked, or on SQLite the database."""
        nowait = "" if self._dialect == "sqlite" else " FOR UPDATE NOWAIT"
        try:
            self._connection.execute(
                text(f"SELECT id FROM upload_outbox WHERE id = :id{nowait}"), {"id": job_id}
            )
        except OperationalError:
            return True
        finally:
            self._connection.rollback()
        return False

    def lock_table(self) -> None:
        """Lock the outbox against everybody."""
        self._connection.execute(text(_LOCK_TABLE[self._dialect]))

    def release(self) -> None:
        """Let the others go on."""
        self._connection.rollback()
        if self._dialect == "mysql":
            self._connection.execute(text("UNLOCK TABLES"))

    def someone_waits(self) -> bool:
        """Whether some session waits for a lock."""
        return bool(self._connection.execute(text(_WAITING[self._dialect])).scalar_one())

    def kill_others(self) -> int:
        """End all other sessions of the database; returns how many there were."""
        killed = 0
        for number in self._connection.execute(text(_OTHERS[self._dialect])).scalars().all():
            # MariaDB says so when it has gone by itself meanwhile.
            with contextlib.suppress(OperationalError):
                self._connection.execute(text(_KILL[self._dialect].format(number)))
                killed += 1
        return killed
