"""The servers that both sides of a comparison get, and an outbox in one of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, make_url, text
from tests.support.mariadb import MariaDbServer
from tests.support.postgresql import PostgresServer

from outhaul import migrate
from outhaul.outbox.engine import open_engine

#: Durable, and else what a server of this size is given: nothing here trades safety for speed.
POSTGRESQL = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_sync_method": "fdatasync",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "max_connections": "200",
}
MARIADB = {
    "innodb-flush-log-at-trx-commit": "1",
    "innodb-buffer-pool-size": "1G",
    "innodb-log-file-size": "1G",
    "skip-log-bin": "1",
}

#: What makes N rows out of nothing, per dialect; `i` numbers them.
_SERIES = {
    "postgresql": "generate_series(1, {n}) AS s(i)",
    "mysql": "(SELECT seq AS i FROM seq_1_to_{n}) AS s",
    "sqlite": (
        "(WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {n})"
        " SELECT i FROM r) AS s"
    ),
}

_UNFINISHED = text(
    "SELECT EXISTS (SELECT 1 FROM upload_outbox WHERE status = 'pending')"
    " OR EXISTS (SELECT 1 FROM upload_outbox WHERE status = 'running')"
)


def postgresql(**more: str) -> PostgresServer:
    """A tuned PostgreSQL, not yet started."""
    return PostgresServer(POSTGRESQL | more)


def mariadb() -> MariaDbServer:
    """A tuned MariaDB, not yet started."""
    return MariaDbServer(MARIADB)


@contextmanager
def directory(*, in_memory: bool = False) -> Iterator[Path]:
    """A folder that ends with its use: on the disk of the databases, or in memory."""
    home = "/dev/shm" if in_memory and Path("/dev/shm").is_dir() else None  # noqa: S108
    made = Path(tempfile.mkdtemp(prefix="outhaul-bench-", dir=home))
    try:
        yield made
    finally:
        shutil.rmtree(made)


class Ledger:
    """An outbox that can be emptied and filled again; the statements are a client's own.

    Args:
        url: an empty database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = open_engine(url)
        migrate.upgrade(self.engine)

    @property
    def dialect(self) -> str:
        """`postgresql`, `mysql` or `sqlite`."""
        return self.engine.dialect.name

    @property
    def dsn(self) -> str:
        """The URL as libpq knows it."""
        plain = make_url(self.url).set(drivername="postgresql")
        return plain.render_as_string(hide_password=False)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def fill(self, jobs: int, **columns: Any) -> None:
        """Add `jobs` rows; `columns` are SQL expressions, which may use the number `i`."""
        with self.engine.begin() as connection:
            self._insert(connection, jobs, columns)

    def refill(self, jobs: int, **columns: Any) -> None:
        """Empty it, add rows, and let the server come to rest."""
        with self.engine.begin() as connection:
            for table in ("upload_attempts", "upload_outbox", "upload_daemons"):
                verb = "DELETE FROM" if self.dialect == "sqlite" else "TRUNCATE TABLE"
                connection.exec_driver_sql(f"{verb} {table}")
        if jobs:
            self.fill(jobs, **columns)
        self.rest()

    def rest(self) -> None:
        """Statistics fresh, nothing left to flush: no run pays for the one before."""
        statements = {
            "postgresql": ("VACUUM ANALYZE upload_outbox, upload_attempts", "CHECKPOINT"),
            "mysql": ("ANALYZE TABLE upload_outbox",),
            "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"),
        }
        with self._bare() as connection:
            for statement in statements[self.dialect]:
                connection.exec_driver_sql(statement).close()

    def unfinished(self) -> bool:
        """Whether any job still waits or runs. Two looks into indexes: cheap enough to poll."""
        with self._bare() as connection:
            return bool(connection.execute(_UNFINISHED).scalar())

    def count(self, status: str = "done") -> int:
        """How many jobs have this status."""
        with self._bare() as connection:
            query = text("SELECT count(*) FROM upload_outbox WHERE status = :status")
            return int(connection.execute(query, {"status": status}).scalar_one())

    def ask(self, query: str, **values: Any) -> list[Any]:
        """The rows of a query."""
        with self._bare() as connection:
            return list(connection.execute(text(query), values))

    @contextmanager
    def _bare(self) -> Iterator[Connection]:
        modes: dict[str, dict[str, Any]] = {
            "postgresql": {"isolation_level": "AUTOCOMMIT"},
            "mysql": {"isolation_level": "AUTOCOMMIT"},
            "sqlite": {"outhaul_reads": True},
        }
        with self.engine.execution_options(**modes[self.dialect]).connect() as connection:
            yield connection

    def _insert(self, connection: Connection, jobs: int, columns: dict[str, Any]) -> None:
        key = {
            "postgresql": "'key/' || i",
            "mysql": "concat('key/', i)",
            "sqlite": "'key/' || i",
        }[self.dialect]
        named = {"storage_key": key, "source_path": "'/nowhere'"} | columns
        series = _SERIES[self.dialect].format(n=jobs)
        connection.exec_driver_sql(
            f"INSERT INTO upload_outbox ({', '.join(named)})"
            f" SELECT {', '.join(str(value) for value in named.values())} FROM {series}"
        )


@contextmanager
def ledger(server: PostgresServer | MariaDbServer) -> Iterator[Ledger]:
    """An outbox in a database of its own."""
    url = server.create_database()
    made = Ledger(url)
    try:
        yield made
    finally:
        made.close()
        server.drop_database(url)


@contextmanager
def sqlite_ledger() -> Iterator[Ledger]:
    """An outbox in a file on the disk of the other databases."""
    with directory() as home:
        made = Ledger(f"sqlite:///{home / 'outbox.db'}")
        try:
            yield made
        finally:
            made.close()


@contextmanager
def empty_database(server: PostgresServer) -> Iterator[str]:
    """A database for a peer, as a libpq URL."""
    url = server.create_database()
    try:
        yield make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    finally:
        with suppress(psycopg.Error):
            server.drop_database(url)
