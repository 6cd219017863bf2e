"""The whole schema: the tables with their indexes, triggers, storage settings and view."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DDL, Index, Table, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import ExecutableDDLElement

from outhaul.outbox.tables import VERSION_TABLE, metadata, outbox

__all__ = ["POSTGRESQL_STORAGE", "RESULTS_VIEW", "VERSION_TABLE", "metadata", "sqlite_due_trigger"]

_MYSQL = {"mysql", "mariadb"}


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def _partial_only(*_parts: object, dialect: Dialect, **_: object) -> bool:
    return dialect.name not in _MYSQL


def _mysql_only(*_parts: object, dialect: Dialect, **_: object) -> bool:
    return dialect.name in _MYSQL


# Partial where the server can, so that finished rows cost a claim nothing.
_due = (outbox.c.queue, outbox.c.priority, outbox.c.next_retry_at, outbox.c.id)
Index("ix_upload_outbox_due", *_due, **_where("status = 'pending'")).ddl_if(callable_=_partial_only)
Index("ix_upload_outbox_due", outbox.c.status, outbox.c.crash_count, *_due).ddl_if(
    callable_=_mysql_only
)
# Jobs that a crash has touched are claimed one at a time, so they are looked for by themselves.
Index(
    "ix_upload_outbox_suspect",
    outbox.c.next_retry_at,
    **_where("status = 'pending' AND crash_count > 0"),
).ddl_if(callable_=_partial_only)
# The lease is read from the heap: no index on it, so that renewals stay HOT on PostgreSQL.
Index("ix_upload_outbox_running", outbox.c.id, **_where("status = 'running'")).ddl_if(
    callable_=_partial_only
)
# Partial, so that the many rows without a key cost their updates no entry in it.
Index(
    "uq_upload_outbox_dedupe_key",
    outbox.c.dedupe_key,
    unique=True,
    **_where("dedupe_key IS NOT NULL"),
)

#: Pending rows turn over fast: room for HOT updates, and vacuum long before a fifth is dead.
POSTGRESQL_STORAGE = (
    "ALTER TABLE upload_outbox SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01,"
    " autovacuum_vacuum_cost_delay = 0)"
)

#: The one form in which SQLite's text sorts as time.
_CANONICAL = (
    "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
    " [0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]"
)


def sqlite_due_trigger(event_name: str) -> str:
    """A trigger that brings a client's due time, in any usual spelling and zone, into form."""
    event_clause = "INSERT" if event_name == "insert" else "UPDATE OF next_retry_at"
    return (
        f"CREATE TRIGGER upload_outbox_due_{event_name} AFTER {event_clause} ON upload_outbox"
        f" WHEN NEW.next_retry_at NOT GLOB '{_CANONICAL}' BEGIN UPDATE upload_outbox"
        " SET next_retry_at = strftime('%Y-%m-%d %H:%M:%f', NEW.next_retry_at) || '000'"
        " WHERE id = NEW.id; END"
    )


#: What became of each job, under the names that the upload API has always answered with.
RESULTS_VIEW = (
    "CREATE VIEW upload_results AS SELECT id, status, storage_type, storage_key,"
    " storage_key AS s3_key, size_bytes, sha256, last_error_code, last_error, completed_at"
    " FROM upload_outbox"
)


def _after_create(table: Table, statement: str, dialect: str | None = None) -> None:
    # DDL() formats with %: the statement's own percent signs are doubled.
    ddl: ExecutableDDLElement = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", ddl.execute_if(dialect=dialect) if dialect else ddl)


_after_create(outbox, POSTGRESQL_STORAGE, "postgresql")
_after_create(outbox, sqlite_due_trigger("insert"), "sqlite")
_after_create(outbox, sqlite_due_trigger("update"), "sqlite")
_after_create(outbox, RESULTS_VIEW)
