"""The tables, as every dialect has them. The migrations make the same, and a test compares."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.types import TypeEngine

from outhaul.keys import MAX_KEY_BYTES
from outhaul.outbox.clock import UtcDateTime, db_now, is_moment
from outhaul.outbox.text import octets

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

#: Alembic's bookkeeping, named so that it never meets the application's own.
VERSION_TABLE = "outhaul_version"

#: 'a' = 'A' and 'a' = 'a ' under MariaDB's default collation: two keys would be one.
_MARIADB_COLLATION = "utf8mb4_nopad_bin"

_BIG = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_BYTES = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
#: Read as text and parsed per row: one row's broken JSON must not break its batch.
_JSON = (
    Text()
    .with_variant(postgresql.JSONB(), "postgresql")
    .with_variant(mysql.LONGTEXT(collation=_MARIADB_COLLATION), "mysql", "mariadb")
)


_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}


def _text(length: int) -> TypeEngine[str]:
    """Byte-exact text: equal only if every byte is."""
    return (
        String(length, collation="C")
        .with_variant(mysql.VARCHAR(length, collation=_MARIADB_COLLATION), "mysql", "mariadb")
        .with_variant(String(length), "sqlite")
    )


def _word(name: str, length: int, default: str | None = None, **kw: Any) -> Column[Any]:
    server_default = None if default is None else text(f"'{default}'")
    return Column(
        name,
        _text(length),
        nullable=default is None,
        server_default=server_default,
        **kw,
    )


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _moment(name: str, *, now: bool = False) -> Column[Any]:
    default = db_now() if now else None
    return Column(name, UtcDateTime, nullable=not now, server_default=default)


def _one_of(name: str, column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


outbox = Table(
    "upload_outbox",
    metadata,
    Column("id", _BIG, Identity(always=False), primary_key=True, autoincrement=True),
    _word("operation", 16, "upload"),
    _word("queue", 64, "default"),
    Column("priority", SmallInteger, nullable=False, server_default=text("5")),
    # Room for one more: a lax MariaDB session cuts text to fit, and the CHECK then sees too much.
    Column("storage_key", _text(MAX_KEY_BYTES + 1), nullable=False),
    _word("source_path", 4096),
    Column("payload", _BYTES),
    _word("content_type", 255),
    Column("metadata", _JSON),
    _word("expected_sha256", 64),
    _word("dedupe_key", 255),
    _word("on_success", 16, "keep"),
    _word("if_exists", 16, "overwrite"),
    _word("status", 16, "pending"),
    _moment("next_retry_at", now=True),
    _word("current_store", 16),
    _count("s3_attempts"),
    _count("oss_attempts"),
    _count("local_attempts"),
    _count("crash_count"),
    _word("claimed_by", 255),
    _moment("lease_expires_at"),
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    _word("storage_type", 16),
    _word("bucket", 255),
    _word("etag", 255),
    _word("version_id", 255),
    Column("size_bytes", BigInteger),
    _word("sha256", 64),
    _word("verified_by", 32),
    _word("last_error_code", 64),
    _word("last_error", 512),
    _moment("created_at", now=True),
    _moment("updated_at", now=True),
    _moment("started_at"),
    _moment("completed_at"),
    _one_of("operation", "operation", "upload", "delete"),
    _one_of("status", "status", "pending", "running", "done", "failed", "cancelled"),
    _one_of("on_success", "on_success", "keep", "delete"),
    _one_of("if_exists", "if_exists", "overwrite", "skip", "fail"),
    _one_of("storage_type", "storage_type", "s3", "oss", "local"),
    _one_of("current_store", "current_store", "s3", "oss", "local"),
    # Not BETWEEN: SQLite would let 5.5 in, a lane that no claim walks.
    CheckConstraint(f"priority IN ({', '.join(map(str, range(10)))})", name="priority"),
    CheckConstraint(octets("storage_key") > 0, name="storage_key_empty"),
    CheckConstraint(octets("storage_key") <= MAX_KEY_BYTES, name="storage_key_long"),
    CheckConstraint(is_moment("next_retry_at"), name="next_retry_at"),
    CheckConstraint(
        "CASE WHEN operation = 'delete' THEN source_path IS NULL AND payload IS NULL"
        " WHEN source_path IS NOT NULL THEN payload IS NULL"
        " ELSE payload IS NOT NULL OR status = 'done' END",
        name="one_source",
    ),
    **_OPTIONS,
    sqlite_autoincrement=True,  # an id is never given twice: attempts outlive their jobs
)

attempts = Table(
    "upload_attempts",
    metadata,
    # One outcome per claim: the fence rises at every claim, and the database holds us to it.
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("fence", BigInteger, primary_key=True, autoincrement=False),
    Column("store", _text(16), nullable=False),
    Column("operation", _text(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", _text(255), nullable=False),
    _moment("started_at"),
    _moment("finished_at"),
    Column("duration_ms", BigInteger, nullable=False),
    Column("outcome", _text(16), nullable=False),
    _word("error_code", 64),
    Column("http_status", Integer),
    _word("request_id", 255),
    Column("bytes_sent", BigInteger, nullable=False),
    _word("message", 512),
    _one_of(
        "outcome",
        "outcome",
        "succeeded",
        "retryable",
        "permanent",
        "lost",
        "interrupted",
        "fenced",
    ),
    **_OPTIONS,
)

daemons = Table(
    "upload_daemons",
    metadata,
    Column("worker", _text(255), primary_key=True),
    Column("host", _text(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", _text(32), nullable=False),
    Column("queues", _text(1024), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("in_flight", Integer, nullable=False),
    Column("lease_seconds", Double, nullable=False),
    _moment("started_at", now=True),
    _moment("last_seen_at", now=True),
    **_OPTIONS,
)
