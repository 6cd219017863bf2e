"""The outbox at a glance: how much waits, since when, and where things went."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select

from outhaul.models import Status
from outhaul.outbox.clock import db_now
from outhaul.outbox.tables import daemons, outbox
from outhaul.outbox.transaction import reading


def overview(engine: Engine) -> dict[str, Any]:
    """Counts per status and per store, the age of the oldest due job, and who is at work.

    Returns:
        `jobs` (status to count), `stored` (storage_type to count), `due`, `waiting_for_retry`,
        `oldest_due_seconds`, `expired_leases`, `daemons`.
    """
    with reading(engine) as connection:
        now = connection.execute(select(db_now())).scalar_one()
        by_status = connection.execute(
            select(outbox.c.status, func.count()).group_by(outbox.c.status)
        )
        jobs = {str(status): int(count) for status, count in by_status}
        by_store = connection.execute(
            select(outbox.c.storage_type, func.count())
            .where(outbox.c.storage_type.is_not(None))
            .group_by(outbox.c.storage_type)
        )
        stored = {str(store): int(count) for store, count in by_store}
        due, oldest = connection.execute(
            select(func.count(), func.min(outbox.c.next_retry_at)).where(
                outbox.c.status == Status.PENDING, outbox.c.next_retry_at <= db_now()
            )
        ).one()
        expired = connection.execute(
            select(func.count()).where(
                outbox.c.status == Status.RUNNING, outbox.c.lease_expires_at < db_now()
            )
        ).scalar_one()
        workers = [dict(row) for row in connection.execute(select(daemons)).mappings()]
    return {
        "jobs": {status.value: jobs.get(status.value, 0) for status in Status},
        "stored": stored,
        "due": int(due),
        "waiting_for_retry": jobs.get(Status.PENDING, 0) - int(due),
        "oldest_due_seconds": _seconds_between(oldest, now),
        "expired_leases": int(expired),
        "daemons": workers,
    }


def _seconds_between(earlier: datetime | None, later: datetime | None) -> float:
    if earlier is None or later is None:
        return 0.0
    return max(0.0, round((later - earlier).total_seconds(), 3))
