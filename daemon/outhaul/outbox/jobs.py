"""Jobs as operators see and steer them: list, show, requeue, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update

from outhaul.models import Status
from outhaul.outbox.clock import db_now
from outhaul.outbox.tables import attempts, outbox
from outhaul.outbox.transaction import in_transaction, reading

_SHOWN = [column for column in outbox.c if column.name != "payload"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs to list; None asks for any. Newest first."""

    status: str | None = None
    storage_type: str | None = None
    error_code: str | None = None
    key_prefix: str | None = None
    limit: int = 50
    before_id: int | None = None


def list_jobs(engine: Engine, wanted: Filter) -> list[dict[str, Any]]:
    """Jobs by filter, newest first; `before_id` goes on where a page ended."""
    conditions = [
        column == value
        for column, value in (
            (outbox.c.status, wanted.status),
            (outbox.c.storage_type, wanted.storage_type),
            (outbox.c.last_error_code, wanted.error_code),
        )
        if value is not None
    ]
    if wanted.key_prefix is not None:
        # Not LIKE, which takes A for a on SQLite.
        start = func.substr(outbox.c.storage_key, 1, len(wanted.key_prefix))
        conditions.append(start == wanted.key_prefix)
    if wanted.before_id is not None:
        conditions.append(outbox.c.id < wanted.before_id)
    query = select(*_SHOWN).where(*conditions).order_by(outbox.c.id.desc()).limit(wanted.limit)
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def show_job(engine: Engine, job_id: int) -> dict[str, Any] | None:
    """One job with all its attempts under `attempts`; None if there is none."""
    with reading(engine) as connection:
        found = connection.execute(select(*_SHOWN).where(outbox.c.id == job_id)).mappings().first()
        if found is None:
            return None
        history = connection.execute(
            select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.fence)
        )
        return {**found, "attempts": [dict(row) for row in history.mappings()]}


def status_of(engine: Engine, job_id: int) -> str | None:
    """A job's status; None if there is no such job."""
    with reading(engine) as connection:
        return connection.execute(select(outbox.c.status).where(outbox.c.id == job_id)).scalar()


def requeue(engine: Engine, job_ids: Sequence[int]) -> list[int]:
    """`failed | cancelled -> pending`: counts start anew, attempt rows stay.

    Returns:
        The ids that were requeued; the others are not in a state that can be.
    """
    return _transition(
        engine,
        job_ids,
        (Status.FAILED, Status.CANCELLED),
        {
            "status": Status.PENDING,
            "next_retry_at": db_now(),
            "current_store": None,
            "s3_attempts": 0,
            "oss_attempts": 0,
            "local_attempts": 0,
            "crash_count": 0,
            # The content may be another by now: the old pin belongs to the old attempts.
            "sha256": None,
            "size_bytes": None,
            "completed_at": None,
            "last_error_code": None,
            "last_error": None,
        },
    )


def cancel(engine: Engine, job_ids: Sequence[int]) -> list[int]:
    """`pending | failed -> cancelled`.

    Returns:
        The ids that were cancelled; a running or finished job is left alone.
    """
    return _transition(
        engine,
        job_ids,
        (Status.PENDING, Status.FAILED),
        {"status": Status.CANCELLED, "completed_at": db_now()},
    )


def _transition(
    engine: Engine, job_ids: Sequence[int], sources: Sequence[Status], values: dict[str, Any]
) -> list[int]:
    def apply(connection: Connection) -> list[int]:
        eligible = select(outbox.c.id).where(outbox.c.id.in_(job_ids), outbox.c.status.in_(sources))
        ids = sorted(connection.execute(eligible.with_for_update()).scalars())
        if ids:
            connection.execute(
                update(outbox)
                .where(outbox.c.id.in_(ids))
                .values(**values, updated_at=db_now(), fence=outbox.c.fence + 1)
            )
        return ids

    return in_transaction(engine, apply)
