"""Rescue: jobs whose lease ran out go back to pending, or to the dead letters when poisonous.

Every daemon rescues; nobody leads. Ids are locked by SKIP LOCKED and written by primary key: a
range UPDATE deadlocks with claimers on MariaDB.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    bindparam,
    case,
    insert,
    select,
    update,
)

from outhaul.models import Outcome, Status, StoreName
from outhaul.outbox.clock import db_in, db_now
from outhaul.outbox.tables import attempts, daemons, outbox
from outhaul.outbox.transaction import in_transaction
from outhaul.policy import is_poison

#: Rows per transaction: rescue is rare, and must never stand in a claimer's way for long.
BATCH = 100

#: Whoever has been seen within this many of its own leases is alive.
_ALIVE_LEASES = 1.0


@dataclass(frozen=True, slots=True)
class Rescued:
    """A job taken from a vanished owner."""

    job_id: int
    status: Status
    crash_count: int
    owner: str | None


def rescue(engine: Engine, worker: str, held: Collection[int] = ()) -> list[Rescued]:
    """Take back jobs whose lease has run out, at most `BATCH` of them.

    Args:
        engine: the database.
        worker: ours.
        held: ids of our own jobs in flight: they are renewed, not rescued.
    """
    foreign = outbox.c.claimed_by.is_(None) | (outbox.c.claimed_by != worker)
    expired = outbox.c.lease_expires_at < db_now()
    return _take_back(engine, worker, expired & (foreign | outbox.c.id.not_in(held)))


def unheard(engine: Engine, worker: str, held: Collection[int]) -> list[Rescued]:
    """Take back what a claim gave us while its answer got lost, at most `BATCH` jobs.

    Only for the thread that claims: to any other, a claim on its way looks just the same.
    """
    return _take_back(engine, worker, (outbox.c.claimed_by == worker) & outbox.c.id.not_in(held))


def _take_back(engine: Engine, worker: str, which: ColumnElement[bool]) -> list[Rescued]:
    def take_back(connection: Connection) -> list[Rescued]:
        rows = list(connection.execute(_running(connection, worker, which)).mappings())
        if not rows:
            return []
        connection.execute(_TAKE_BACK, [_row(row) for row in rows])
        connection.execute(insert(attempts), [_record(row) for row in rows])
        return [_rescued(row) for row in rows]

    return in_transaction(engine, take_back)


def _running(connection: Connection, worker: str, which: ColumnElement[bool]) -> Any:
    columns = [
        column
        for column in outbox.c
        if column.name not in {"payload", "metadata", "created_at", "updated_at", "started_at"}
    ]
    seen = (
        select(daemons.c.worker)
        .where(
            daemons.c.worker == outbox.c.claimed_by,
            daemons.c.last_seen_at > db_in(-daemons.c.lease_seconds * _ALIVE_LEASES),
        )
        .correlate(outbox)
        .exists()
    )
    query = (
        select(*columns, ((outbox.c.claimed_by == worker) | seen).label("owner_lives"))
        .where(outbox.c.status == Status.RUNNING, which)
        .order_by(outbox.c.id)
        .limit(BATCH)
    )
    return query.with_for_update(skip_locked=True, of=_lockable(connection))


def _lockable(connection: Connection) -> Any:
    return outbox if connection.dialect.name == "postgresql" else None


_TAKE_BACK = (
    update(outbox)
    .where(outbox.c.id == bindparam("job_id"), outbox.c.fence == bindparam("job_fence"))
    .values(
        status=bindparam("to_status"),
        # Raised, so that the late owner's settle finds nothing to write to.
        fence=outbox.c.fence + 1,
        claimed_by=None,
        lease_expires_at=None,
        next_retry_at=db_now(),
        updated_at=db_now(),
        completed_at=case((bindparam("to_status") == Status.FAILED, db_now()), else_=None),
        crash_count=bindparam("crashes"),
        s3_attempts=outbox.c.s3_attempts - bindparam("s3_refund"),
        oss_attempts=outbox.c.oss_attempts - bindparam("oss_refund"),
        local_attempts=outbox.c.local_attempts - bindparam("local_refund"),
        last_error_code=bindparam("code"),
        last_error=bindparam("message"),
    )
)


def _crashes(row: RowMapping) -> int:
    """A lease lost by an owner that still lives is no crash."""
    return int(row["crash_count"]) + (0 if row["owner_lives"] else 1)


def _rescued(row: RowMapping) -> Rescued:
    crashes = _crashes(row)
    status = Status.FAILED if is_poison(crashes) else Status.PENDING
    return Rescued(int(row["id"]), status, crashes, row["claimed_by"])


def _row(row: RowMapping) -> dict[str, Any]:
    rescued = _rescued(row)
    # Forgiven once: jobs that were merely in flight when something else crashed are innocent.
    forgiven = row["owner_lives"] or rescued.crash_count == 1
    values: dict[str, Any] = {
        f"{store}_refund": int(
            forgiven and row["current_store"] == store and row[f"{store}_attempts"] > 0
        )
        for store in StoreName
    }
    code, message = _reason(rescued)
    return values | {
        "job_id": rescued.job_id,
        "job_fence": row["fence"],
        "to_status": rescued.status,
        "crashes": rescued.crash_count,
        "code": code,
        "message": message,
    }


def _reason(rescued: Rescued) -> tuple[str, str]:
    if rescued.status is Status.FAILED:
        return "POISON", (
            f"{rescued.crash_count} processes died while this job was in flight;"
            " look at the source and the journal, then `outhaul retry` it"
        )
    return "LEASE_EXPIRED", "the daemon that held this job vanished; it was given back"


def _record(row: RowMapping) -> dict[str, Any]:
    store = row["current_store"] or StoreName.S3
    code, message = _reason(_rescued(row))
    return {
        "job_id": row["id"],
        "store": store,
        "operation": row["operation"],
        "attempt": row[f"{store}_attempts"],
        "fence": row["fence"],
        "worker": row["claimed_by"] or "",
        "duration_ms": 0,
        "outcome": Outcome.LOST,
        "error_code": code,
        "bytes_sent": 0,
        "message": message,
    }
