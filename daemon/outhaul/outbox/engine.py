"""Connections: how each dialect must be spoken to before any statement of ours is right."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from outhaul.errors import ConfigError

#: The oldest servers whose SKIP LOCKED, RETURNING and expression defaults we rely on.
MINIMUM = {"postgresql": (12,), "mysql": (8, 0, 13), "mariadb": (10, 6), "sqlite": (3, 35)}

#: Seconds that SQLite waits for another process's transaction.
_BUSY_SECONDS = 5.0

#: One connection in the daemon: SQLite's busy wait is not fair, a queue in front of it is.
_SQLITE_POOL = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 60}


def open_engine(url: str, schema: str | None = None) -> Engine:
    """An engine whose sessions are in UTC, isolated and durable as the statements expect.

    Args:
        url: an SQLAlchemy URL.
        schema: a PostgreSQL schema for the tables, instead of the search path's first.

    Raises:
        ConfigError: the URL is malformed, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, **_arguments(parsed, schema))
    except (ArgumentError, NoSuchModuleError, SQLAlchemyError) as error:
        raise ConfigError(f"OUTHAUL_DATABASE_URL is not usable: {error}") from error
    except ImportError as error:
        raise ConfigError(
            f"the driver for OUTHAUL_DATABASE_URL is missing ({error.name}):"
            " install outhaul[postgresql] or outhaul[mysql]"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    elif engine.dialect.name not in MINIMUM:
        raise ConfigError(f"outhaul does not work with {engine.dialect.name} databases")
    return engine


def check_server(engine: Engine) -> None:
    """Refuse a server that is too old, in plain words.

    Raises:
        ConfigError: it is; or it answers SKIP LOCKED with a syntax error.
        DBAPIError: it cannot be reached.
    """
    with engine.connect() as connection:
        name = (
            "mariadb" if getattr(connection.dialect, "is_mariadb", False) else engine.dialect.name
        )
        version = tuple(connection.dialect.server_version_info or ())
        if version < MINIMUM[name]:
            raise ConfigError(
                f"{name} {_dotted(version)} is too old: outhaul needs {_dotted(MINIMUM[name])}"
            )
        if name != "sqlite":
            _check_skip_locked(connection, name)


def _check_skip_locked(connection: Connection, name: str) -> None:
    try:
        connection.execute(text("SELECT id FROM upload_outbox WHERE id = 0 FOR UPDATE SKIP LOCKED"))
    except DBAPIError as error:
        if "SKIP" in str(error.orig):
            raise ConfigError(
                f"this {name} server does not know SKIP LOCKED: outhaul needs"
                f" {name} {_dotted(MINIMUM[name])} or newer, and no proxy that rewrites SQL"
            ) from error
        raise


def _dotted(version: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in version)


def _arguments(url: URL, schema: str | None) -> dict[str, Any]:
    backend = url.get_backend_name()
    if backend == "sqlite":
        return {
            "connect_args": {"timeout": _BUSY_SECONDS, "check_same_thread": False}
        } | _SQLITE_POOL
    shared: dict[str, Any] = {"pool_size": 8, "max_overflow": 4, "pool_timeout": 30}
    if backend == "postgresql":
        path = f" -c search_path={schema}" if schema else ""
        return shared | {
            "connect_args": {"options": f"-c timezone=UTC{path}", "application_name": "outhaul"},
            # A dead connection is found at the statement, which is safe to repeat.
            "pool_pre_ping": False,
        }
    # REPEATABLE READ takes gap locks, and a long reader would never see new rows.
    return shared | {
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "init_command": "SET time_zone = '+00:00'",
            "connect_timeout": 10,
            "read_timeout": 60,
            "write_timeout": 60,
        },
        "pool_recycle": 3600,
    }


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN is deferred: a read that turns into a write then fails at once
    # with "database is locked", whatever the busy timeout.
    connection.isolation_level = None
    # A file name that is not UTF-8 must not break the batch that it is read in.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_immediate(connection: Connection) -> None:
    if not connection.get_execution_options().get("outhaul_reads"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
