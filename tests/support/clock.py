"""The database's clock, the only one that due times and leases know, and what it says of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, literal, select, update

from outhaul.outbox.clock import db_in, db_now
from outhaul.outbox.tables import attempts, daemons, outbox
from outhaul.outbox.transaction import reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.support.deployment import Deployment

_HOUR = 3600.0


def database_now(deployment: Deployment) -> datetime:
    """What time it is."""
    now: datetime = _read(deployment, select(db_now()))[0][0]
    return now


def due(deployment: Deployment, job_id: int) -> datetime:
    """When a job is due."""
    moment: datetime = _read(
        deployment, select(outbox.c.next_retry_at).where(outbox.c.id == job_id)
    )[0][0]
    return moment


def lease_end(deployment: Deployment, job_id: int) -> datetime | None:
    """When the lease of a job ends, unless it is renewed; None if nobody has it."""
    moment: datetime | None = _read(
        deployment, select(outbox.c.lease_expires_at).where(outbox.c.id == job_id)
    )[0][0]
    return moment


def spans(deployment: Deployment, job_ids: Sequence[int]) -> list[tuple[datetime, datetime]]:
    """Begin and end of every attempt of some jobs that was not lost, in the order of time."""
    query = (
        select(attempts.c.started_at, attempts.c.finished_at)
        .where(attempts.c.job_id.in_(job_ids), attempts.c.started_at.is_not(None))
        .order_by(attempts.c.started_at)
    )
    return [(row[0], row[1]) for row in _read(deployment, query)]


def an_hour_passes(deployment: Deployment) -> None:
    """All leases are over, and all daemons were last seen an hour ago: for dead ones only."""
    past = db_in(literal(-_HOUR))
    with deployment.engine.begin() as connection:
        running = update(outbox).where(outbox.c.status == "running")
        connection.execute(running.values(lease_expires_at=past))
        connection.execute(update(daemons).values(last_seen_at=past))


def _read(deployment: Deployment, query: Select[Any]) -> Sequence[Any]:
    # Without a lock: SQLite's would stand in the daemon's way.
    with reading(deployment.engine) as connection:
        return connection.execute(query).all()
