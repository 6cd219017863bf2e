"""Connections: how each dialect must be spoken to before any statement of ours is right."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from outhaul.errors import ConfigError
from outhaul.outbox.pool import FairPool

#: The oldest servers whose SKIP LOCKED, RETURNING and expression defaults we rely on.
MINIMUM = {"postgresql": (12,), "mysql": (8, 0, 13), "mariadb": (10, 6), "sqlite": (3, 35)}

#: The drivers of our own extras, where a URL names none: SQLAlchemy's defaults are others.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

#: Seconds that a server may take to let us in.
_CONNECT_SECONDS = 10

#: Seconds that SQLite waits for another process's transaction.
_BUSY_SECONDS = 5.0

#: One connection in the daemon: SQLite's busy wait is not fair, a queue in front of it is.
_SQLITE_POOL = {"poolclass": FairPool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 60}


def open_engine(url: str, schema: str | None = None) -> Engine:
    """An engine whose sessions are in UTC, isolated and durable as the statements expect.

    Args:
        url: an SQLAlchemy URL.
        schema: a PostgreSQL schema for the tables, instead of the search path's first.

    Raises:
        ConfigError: the URL is malformed, or its driver is not installed.
    """
    parsed = parse_url(url)
    _check_directory(parsed)
    try:
        engine = create_engine(parsed, **_arguments(parsed, schema))
    except ImportError as error:
        raise ConfigError(
            f"the driver for OUTHAUL_DATABASE_URL is missing ({error.name}):"
            " install outhaul[postgresql] or outhaul[mysql]"
        ) from error
    event.listen(engine, "do_connect", _connect)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def parse_url(url: str) -> URL:
    """The URL with its driver.

    Raises:
        ConfigError: it is malformed, or of a kind of database that outhaul does not know.
    """
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        parsed.get_dialect()
    except (SQLAlchemyError, ValueError) as error:
        # Not in the words of the error: they may quote the URL, and the password in it.
        raise ConfigError(
            "OUTHAUL_DATABASE_URL is not a URL such as postgresql://user@host/name,"
            " mysql://user@host/name or sqlite:////directory/file"
        ) from error
    if parsed.get_backend_name() not in MINIMUM:
        raise ConfigError(f"outhaul does not work with {parsed.get_backend_name()} databases")
    if "@" in f"{parsed.host}{parsed.database}" and parsed.host:
        # The rest of the password would become the host, and get into error messages.
        raise ConfigError("OUTHAUL_DATABASE_URL: an @ in a password is written as %40")
    return parsed


def _check_directory(url: URL) -> None:
    """SQLite makes the file, but not its directory, and says no more than that it cannot."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database[:5] == "file:":
        return
    if not (directory := Path(url.database).parent).is_dir():
        raise ConfigError(f"OUTHAUL_DATABASE_URL: there is no directory {directory}")


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
        if _is_syntax_error(error):
            raise ConfigError(
                f"this {name} server does not know SKIP LOCKED: outhaul needs"
                f" {name} {_dotted(MINIMUM[name])} or newer, and no proxy that rewrites SQL"
            ) from error
        raise


def _is_syntax_error(error: DBAPIError) -> bool:
    """By code: PostgreSQL quotes the statement in other errors too, a proxy may quote nothing."""
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    return getattr(error.orig, "sqlstate", None) == "42601" or arguments[:1] == (1064,)


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
        path = f' -c search_path="{schema}"' if schema else ""
        return shared | {
            "connect_args": {
                "options": f"-c timezone=UTC{path}",
                "application_name": "outhaul",
                "connect_timeout": _CONNECT_SECONDS,
            },
            # A dead connection is found at the statement, which is safe to repeat.
            "pool_pre_ping": False,
        }
    # REPEATABLE READ takes gap locks, and a long reader would never see new rows.
    return shared | {
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "init_command": "SET time_zone = '+00:00'",
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": 60,
            "write_timeout": 60,
        },
        "pool_recycle": 3600,
    }


def _connect(
    dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]
) -> Any:
    try:
        return dialect.connect(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"OUTHAUL_DATABASE_URL: its driver says {error}") from error


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
