"""A migrated outbox, and what clients, daemons and operators do to it in a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, select, text

from outhaul import migrate, transitions
from outhaul.models import Attempt, Failure, Job, Operation, Pin, Result, Stored, StoreName
from outhaul.outbox import Claimant, Daemon, Outbox
from outhaul.outbox.clock import db_now
from outhaul.outbox.engine import open_engine
from outhaul.outbox.tables import attempts, daemons, outbox
from outhaul.policy import Rules
from outhaul.transitions import Settlement

#: The policy that settlements of these tests follow: the documented one.
RULES: Final = Rules(
    chain=(StoreName.S3, StoreName.OSS, StoreName.LOCAL),
    delays={Operation.UPLOAD: (5.0, 15.0, 30.0), Operation.DELETE: (2.0, 5.0, 10.0)},
)

PIN: Final = Pin(sha256="5e" * 32, size_bytes=7)

STORED: Final = Stored(
    bucket="outhaul-test",
    etag='"9a0364b9e99bb480dd25e1f0284c8555"',
    version_id="3HL4kqtJlcpXroDTDmjVBH40Nrjfkd",
    pin=PIN,
    verified_by="sha256",
    http_status=200,
    request_id="0A49CE4060975EAC",
)

SLOW_DOWN: Final = Failure("SlowDown", "S3 answered 503: SlowDown", http_status=503)
DENIED: Final = Failure("AccessDenied", "S3 answered 403: AccessDenied", http_status=403)


class MigratedOutbox:
    """One database with the outbox in it.

    Args:
        url: where it is.
        engine: as the product opens it.
    """

    def __init__(self, url: str, engine: Engine) -> None:
        self.url, self.engine = url, engine

    @property
    def dialect(self) -> str:
        """`sqlite`, `postgresql`, or `mysql` for MariaDB."""
        return self.engine.dialect.name

    def daemon(
        self,
        worker: str = "a",
        *,
        queues: tuple[str, ...] = ("default",),
        first: StoreName = StoreName.S3,
        lease_seconds: float = 90.0,
        engine: Engine | None = None,
    ) -> Outbox:
        """The outbox as one daemon uses it; `worker` says who it is."""
        claimant = Claimant(worker, lease_seconds, first, queues)
        process = Daemon(worker, "host", 1, "0", ",".join(queues), 4, lease_seconds)
        return Outbox(engine or self.engine, claimant, process)

    def insert(self, **columns: Any) -> int:
        """Insert a row by plain SQL, as a client would; returns its id."""
        values = {"storage_key": "a/b.txt"} | columns
        if not {"source_path", "payload", "operation"} & values.keys():
            values["source_path"] = "/var/spool/app/b.txt"
        names, bound = ", ".join(values), ", ".join(f":{name}" for name in values)
        (row,) = self.query(
            f"INSERT INTO upload_outbox ({names}) VALUES ({bound}) RETURNING id", **values
        )
        return int(row["id"])

    def insert_many(self, count: int, **columns: Any) -> None:
        """Insert so many rows alike, under keys of their own, in one transaction."""
        values = {"source_path": "/var/spool/app/b.txt"} | columns
        names, bound = ", ".join(values), ", ".join(f":{name}" for name in values)
        rows = [{**values, "storage_key": f"many/{number}"} for number in range(count)]
        statement = (
            f"INSERT INTO upload_outbox (storage_key, {names}) VALUES (:storage_key, {bound})"
        )
        with self.engine.begin() as connection:
            connection.execute(text(statement), rows)

    def claim(self, worker: str = "a", limit: int = 100, **terms: Any) -> list[Job]:
        """Claim rows that are all good, as `worker`, on `daemon`'s terms."""
        found = self.daemon(worker, **terms).claim(limit)
        jobs = [row for row in found if isinstance(row, Job)]
        assert len(jobs) == len(found), found
        return jobs

    def claim_one(self, worker: str = "a", **terms: Any) -> Job:
        """Claim the only row that is due."""
        (job,) = self.claim(worker, **terms)
        return job

    def execute(self, statement: str, **values: Any) -> None:
        """Change the database behind everybody's back."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def query(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Ask the database."""
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def job(self, job_id: int) -> dict[str, Any]:
        """A row of the outbox, its moments aware."""
        return self._read(select(outbox).where(outbox.c.id == job_id))[0]

    def jobs(self) -> list[dict[str, Any]]:
        """All rows of the outbox."""
        return self._read(select(outbox).order_by(outbox.c.id))

    def attempts(self, job_id: int | None = None) -> list[dict[str, Any]]:
        """All attempt rows, or one job's, oldest first."""
        everything = select(attempts).order_by(attempts.c.job_id, attempts.c.fence)
        return self._read(everything.where(attempts.c.job_id == job_id) if job_id else everything)

    def daemons(self) -> list[dict[str, Any]]:
        """Who is at work."""
        return self._read(select(daemons))

    def now(self) -> datetime:
        """The database's clock."""
        with self.engine.connect() as connection:
            return connection.execute(select(db_now())).scalar_one()

    def set_due(self, *job_ids: int) -> None:
        """Let waiting jobs be due, as time would."""
        self._backdate("next_retry_at", job_ids)

    def expire(self, *job_ids: int) -> None:
        """Let leases run out, as time would."""
        self._backdate("lease_expires_at", job_ids)

    def _backdate(self, column: str, job_ids: tuple[int, ...]) -> None:
        for job_id in job_ids:
            self.execute(
                f"UPDATE upload_outbox SET {column} = '2026-01-01 00:00:00.000000' WHERE id = :id",
                id=job_id,
            )

    def _read(self, query: Any) -> list[dict[str, Any]]:
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


@contextmanager
def opened(url: str, schema: str | None = None) -> Iterator[Engine]:
    """An engine as the product opens it, closed at the end."""
    engine = open_engine(url, schema)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def migrated_outbox(url: str) -> Iterator[MigratedOutbox]:
    """An outbox in an empty database, and its end."""
    with opened(url) as engine:
        migrate.upgrade(engine)
        yield MigratedOutbox(url, engine)


def attempt(job: Job, result: Result, *, age: float = 0.0, **measured: Any) -> Attempt:
    """One try that ended `age` seconds ago."""
    return Attempt(job, result, finished_at=time.monotonic() - age, **measured)


def settlement(job: Job, result: Result) -> Settlement:
    """The transition that the documented policy asks for, its wait without jitter."""
    return transitions.settle(attempt(job, result), RULES, draw=0.0)


def settle(outbox: Outbox, *settlements: Settlement) -> set[int]:
    """Settle as the writer thread does; returns the ids that were still owned."""
    return outbox.settle(settlements, time.monotonic())


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What goes over the wire meanwhile: each statement with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(
        _connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
