"""The outbox, its attempts and its daemons.

Frozen: it spells out what outhaul 0.1 declared, and never imports what may change later.

Revision: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql, sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BYTE_EXACT = "utf8mb4_nopad_bin"
_BIG = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_MOMENT = (
    sa.DateTime(timezone=True)
    .with_variant(sa.String(32), "sqlite")
    .with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
)
_NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')",
}
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}
_CANONICAL = (
    "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
    " [0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]"
)


def _dialect() -> str:
    return op.get_context().dialect.name


def _is_mysql() -> bool:
    return _dialect() in {"mysql", "mariadb"}


def _text(length: int) -> Any:
    return (
        sa.String(length, collation="C")
        .with_variant(mysql.VARCHAR(length, collation=_BYTE_EXACT), "mysql", "mariadb")
        .with_variant(sa.String(length), "sqlite")
    )


def _word(name: str, length: int, default: str | None = None) -> sa.Column[Any]:
    server_default = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, _text(length), nullable=default is None, server_default=server_default)


def _need(name: str, kind: Any, default: str | None = None) -> sa.Column[Any]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, kind, nullable=False, server_default=server_default)


def _now(name: str) -> sa.Column[Any]:
    return _need(name, _MOMENT, _NOW.get(_dialect(), "(UTC_TIMESTAMP(6))"))


def _id() -> sa.Column[Any]:
    return sa.Column("id", _BIG, sa.Identity(always=False), primary_key=True, autoincrement=True)


def _one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=op.f(f"ck_{table}_{column}"))


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_upload_outbox_{name}"))


def _outbox_checks() -> list[sa.Constraint]:
    sqlite_ = _dialect() == "sqlite"
    size = "length(CAST(storage_key AS BLOB))" if sqlite_ else "octet_length(storage_key)"
    moment = "julianday(next_retry_at)" if sqlite_ else "next_retry_at"
    return [
        _one_of("upload_outbox", "operation", "upload", "delete"),
        _one_of("upload_outbox", "status", "pending", "running", "done", "failed", "cancelled"),
        _one_of("upload_outbox", "on_success", "keep", "delete"),
        _one_of("upload_outbox", "if_exists", "overwrite", "skip", "fail"),
        _one_of("upload_outbox", "storage_type", "s3", "oss", "local"),
        _one_of("upload_outbox", "current_store", "s3", "oss", "local"),
        _check("priority", "priority IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"),
        _check("storage_key_empty", f"{size} > 0"),
        _check("storage_key_long", f"{size} <= 1023"),
        _check("next_retry_at", f"{moment} IS NOT NULL"),
        _check(
            "one_source",
            "CASE WHEN operation = 'delete' THEN source_path IS NULL AND payload IS NULL"
            " WHEN source_path IS NOT NULL THEN payload IS NULL"
            " ELSE payload IS NOT NULL OR status = 'done' END",
        ),
    ]


def _create_outbox() -> None:
    json = (
        sa.Text()
        .with_variant(postgresql.JSONB(), "postgresql")
        .with_variant(mysql.LONGTEXT(collation=_BYTE_EXACT), "mysql", "mariadb")
    )
    op.create_table(
        "upload_outbox",
        _id(),
        _word("operation", 16, "upload"),
        _word("queue", 64, "default"),
        _need("priority", sa.SmallInteger, "5"),
        _need("storage_key", _text(1024)),
        _word("source_path", 4096),
        sa.Column("payload", sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")),
        _word("content_type", 255),
        sa.Column("metadata", json),
        _word("expected_sha256", 64),
        _word("dedupe_key", 255),
        _word("on_success", 16, "keep"),
        _word("if_exists", 16, "overwrite"),
        _word("status", 16, "pending"),
        _now("next_retry_at"),
        _word("current_store", 16),
        _need("s3_attempts", sa.Integer, "0"),
        _need("oss_attempts", sa.Integer, "0"),
        _need("local_attempts", sa.Integer, "0"),
        _need("crash_count", sa.Integer, "0"),
        _word("claimed_by", 255),
        sa.Column("lease_expires_at", _MOMENT),
        _need("fence", sa.BigInteger, "0"),
        _word("storage_type", 16),
        _word("bucket", 255),
        _word("etag", 255),
        _word("version_id", 255),
        sa.Column("size_bytes", sa.BigInteger),
        _word("sha256", 64),
        _word("verified_by", 32),
        _word("last_error_code", 64),
        _word("last_error", 512),
        _now("created_at"),
        _now("updated_at"),
        sa.Column("started_at", _MOMENT),
        sa.Column("completed_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_outbox")),
        *_outbox_checks(),
        **_OPTIONS,
        sqlite_autoincrement=True,
    )


def _create_attempts() -> None:
    op.create_table(
        "upload_attempts",
        _need("job_id", sa.BigInteger),
        _need("fence", sa.BigInteger),
        _need("store", _text(16)),
        _need("operation", _text(16)),
        _need("attempt", sa.Integer),
        _need("worker", _text(255)),
        sa.Column("started_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        _need("duration_ms", sa.BigInteger),
        _need("outcome", _text(16)),
        _word("error_code", 64),
        sa.Column("http_status", sa.Integer),
        _word("request_id", 255),
        _need("bytes_sent", sa.BigInteger),
        _word("message", 512),
        sa.PrimaryKeyConstraint("job_id", "fence", name=op.f("pk_upload_attempts")),
        _one_of(
            "upload_attempts",
            "outcome",
            *("succeeded", "retryable", "permanent", "lost", "interrupted", "fenced"),
        ),
        **_OPTIONS,
    )


def _create_daemons() -> None:
    op.create_table(
        "upload_daemons",
        _need("worker", _text(255)),
        _need("host", _text(255)),
        _need("pid", sa.Integer),
        _need("version", _text(32)),
        _need("queues", _text(1024)),
        _need("slots", sa.Integer),
        _need("in_flight", sa.Integer),
        _need("lease_seconds", sa.Double),
        _now("started_at"),
        _now("last_seen_at"),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_upload_daemons")),
        **_OPTIONS,
    )


def _index(name: str, columns: list[str], condition: str | None = None) -> None:
    where = sa.text(condition) if condition else None
    op.create_index(
        f"ix_upload_outbox_{name}",
        "upload_outbox",
        columns,
        postgresql_where=where,
        sqlite_where=where,
    )


def _create_indexes() -> None:
    keyed = sa.text("dedupe_key IS NOT NULL")
    op.create_index(
        "uq_upload_outbox_dedupe_key",
        "upload_outbox",
        ["dedupe_key"],
        unique=True,
        postgresql_where=keyed,
        sqlite_where=keyed,
    )
    due = ["queue", "priority", "next_retry_at", "id"]
    if _is_mysql():
        _index("due", ["status", "crash_count", *due])
        return
    _index("due", due, "status = 'pending'")
    _index("suspect", ["next_retry_at"], "status = 'pending' AND crash_count > 0")
    _index("running", ["id"], "status = 'running'")


def _due_trigger(name: str, event: str) -> str:
    return (
        f"CREATE TRIGGER upload_outbox_due_{name} AFTER {event} ON upload_outbox"
        f" WHEN NEW.next_retry_at NOT GLOB '{_CANONICAL}' BEGIN UPDATE upload_outbox"
        " SET next_retry_at = strftime('%Y-%m-%d %H:%M:%f', NEW.next_retry_at) || '000'"
        " WHERE id = NEW.id; END"
    )


def upgrade() -> None:
    _create_outbox()
    _create_attempts()
    _create_daemons()
    _create_indexes()
    if _dialect() == "postgresql":
        op.execute(
            "ALTER TABLE upload_outbox SET (fillfactor = 70,"
            " autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0)"
        )
    if _dialect() == "sqlite":
        op.execute(_due_trigger("insert", "INSERT"))
        op.execute(_due_trigger("update", "UPDATE OF next_retry_at"))
    op.execute(
        "CREATE VIEW upload_results AS SELECT id, status, storage_type, storage_key,"
        " storage_key AS s3_key, size_bytes, sha256, last_error_code, last_error, completed_at"
        " FROM upload_outbox"
    )


def downgrade() -> None:
    op.execute("DROP VIEW upload_results")
    for table in ("upload_daemons", "upload_attempts", "upload_outbox"):
        op.drop_table(table)
    if _dialect() == "postgresql":
        # The trigger of OUTHAUL_NOTIFY went with its table; its function did not.
        op.execute("DROP FUNCTION IF EXISTS upload_outbox_notify()")
