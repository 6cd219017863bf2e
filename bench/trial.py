"""The trials that the bars of MariaDB and SQLite were set by, run again beside outhaul.

A plain loop, one connection, 100 jobs at a time: claim and commit, settle with an attempt row
and commit, on a table with nothing in it that a queue does not need.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Protocol

import pymysql
from sqlalchemy import Engine, create_engine, event, make_url, text
from tests.support.mariadb import MariaDbServer

from bench.databases import directory
from bench.figures import Sample

BATCH = 100

Row = Sequence[Any]


class Loop(Protocol):
    """Two transactions."""

    def claim(self) -> Sequence[Row]:
        """Up to `BATCH` rows: id first, attempts last."""
        ...

    def settle(self, rows: Sequence[Row]) -> None:
        """Write that they are done."""
        ...


def _drive(loop: Loop, jobs: int) -> Sample:
    done, begun = 0, time.monotonic()
    while rows := loop.claim():
        loop.settle(rows)
        done += len(rows)
    seconds = time.monotonic() - begun
    if done != jobs:
        raise AssertionError(f"{done} of {jobs} jobs were claimed")
    return Sample(jobs / seconds)


_MARIADB_TABLES = (
    """CREATE TABLE job (id BIGINT AUTO_INCREMENT PRIMARY KEY, status TINYINT NOT NULL DEFAULT 0,
    priority SMALLINT NOT NULL DEFAULT 5, due DATETIME(6) NOT NULL DEFAULT UTC_TIMESTAMP(6),
    attempts INT NOT NULL DEFAULT 0, owner VARCHAR(64), lease DATETIME(6), payload TEXT NOT NULL,
    outcome VARCHAR(16), finished DATETIME(6), KEY ready (status, priority, due, id))""",
    """CREATE TABLE attempt (job BIGINT NOT NULL, number INT NOT NULL, owner VARCHAR(64),
    finished DATETIME(6), outcome VARCHAR(16) NOT NULL, PRIMARY KEY (job, number))""",
)


class _MariaDb:
    """Lock by SKIP LOCKED, write by primary key: there is no UPDATE .. RETURNING."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._cursor = connection, connection.cursor()

    def claim(self) -> Sequence[Row]:
        self._cursor.execute(
            "SELECT id, payload, attempts FROM job WHERE status = 0 AND due <= UTC_TIMESTAMP(6)"
            f" ORDER BY priority, due, id LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
        )
        rows: Sequence[Row] = self._cursor.fetchall()
        if rows:
            self._cursor.execute(
                "UPDATE job SET status = 1, owner = 'trial', attempts = attempts + 1,"
                " lease = UTC_TIMESTAMP(6) + INTERVAL 60 SECOND WHERE id IN %s",
                ([row[0] for row in rows],),
            )
        self._connection.commit()
        return rows

    def settle(self, rows: Sequence[Row]) -> None:
        self._cursor.execute(
            "UPDATE job SET status = 2, outcome = 'ok', owner = NULL, lease = NULL,"
            " finished = UTC_TIMESTAMP(6) WHERE id IN %s AND owner = 'trial'",
            ([row[0] for row in rows],),
        )
        values = ",".join(f"({row[0]},{row[2] + 1},'trial',UTC_TIMESTAMP(6),'ok')" for row in rows)
        self._cursor.execute(f"INSERT INTO attempt VALUES {values}")
        self._connection.commit()


def mariadb(server: MariaDbServer, jobs: int) -> Sample:
    """Jobs per second by pymysql."""
    database = server.create_database()
    where = make_url(database)
    with (
        closing(
            pymysql.connect(
                host=where.host,
                port=where.port or 0,
                user=where.username,
                password=where.password or "",
                database=where.database,
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        for table in _MARIADB_TABLES:
            cursor.execute(table)
        cursor.execute(f"INSERT INTO job (payload) SELECT repeat('x', 150) FROM seq_1_to_{jobs}")
        connection.commit()
        sample = _drive(_MariaDb(connection), jobs)
    server.drop_database(database)
    return sample


_SQLITE_TABLES = (
    """CREATE TABLE job (id INTEGER PRIMARY KEY, status INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 5, due REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, owner TEXT, lease REAL, payload TEXT NOT NULL,
    outcome TEXT, finished REAL)""",
    "CREATE INDEX ready ON job (priority, due, id) WHERE status = 0",
    "CREATE INDEX leased ON job (lease) WHERE status = 1",
    """CREATE TABLE attempt (job INTEGER NOT NULL, number INTEGER NOT NULL, owner TEXT,
    finished REAL, outcome TEXT NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID""",
)
_SQLITE_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_SQLITE_CLAIM = text(
    f"UPDATE job SET status = 1, owner = 'trial', lease = {_SQLITE_NOW} + 60,"
    " attempts = attempts + 1 WHERE id IN (SELECT id FROM job WHERE status = 0"
    f" AND due <= {_SQLITE_NOW} ORDER BY priority, due, id LIMIT {BATCH})"
    " RETURNING id, payload, attempts"
)
_SQLITE_SETTLE = text(
    f"UPDATE job SET status = 2, outcome = 'ok', finished = {_SQLITE_NOW}, owner = NULL,"
    " lease = NULL WHERE id = :id AND status = 1 AND owner = 'trial'"
)
_SQLITE_RECORD = text(f"INSERT INTO attempt VALUES (:id, :number, 'trial', {_SQLITE_NOW}, 'ok')")


class _Sqlite:
    """SQLAlchemy Core: UPDATE .. RETURNING, then two executemany."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self) -> Sequence[Row]:
        with self._engine.begin() as connection:
            return list(connection.execute(_SQLITE_CLAIM))

    def settle(self, rows: Sequence[Row]) -> None:
        values = [{"id": row[0], "number": row[2]} for row in rows]
        with self._engine.begin() as connection:
            connection.execute(_SQLITE_SETTLE, values)
            connection.execute(_SQLITE_RECORD, values)


def sqlite(jobs: int) -> Sample:
    """Jobs per second by SQLAlchemy Core, every commit synced."""
    with directory() as home:
        engine = create_engine(f"sqlite:///{home / 'trial.db'}")
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        with engine.begin() as connection:
            for statement in _SQLITE_TABLES:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(
                "INSERT INTO job (payload) WITH RECURSIVE r(i) AS"
                f" (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {jobs})"
                " SELECT printf('%0150d', i) FROM r"
            )
        sample = _drive(_Sqlite(engine), jobs)
        engine.dispose()
        return sample


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
