"""Leases: renewed for all jobs in flight at once, and the heartbeat of their daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from outhaul.outbox.clock import db_in, db_now
from outhaul.outbox.tables import daemons, outbox
from outhaul.outbox.transaction import in_transaction


@dataclass(frozen=True, slots=True)
class Daemon:
    """This process, as the other daemons and the operators see it."""

    worker: str
    host: str
    pid: int
    version: str
    queues: str
    slots: int
    lease_seconds: float


_MINE = (
    select(outbox.c.id, outbox.c.fence)
    .where(
        outbox.c.id.in_(bindparam("ids", expanding=True)),
        outbox.c.claimed_by == bindparam("worker"),
    )
    .order_by(outbox.c.id)
    # Locked: a rescue in between would take a job that we then took for ours.
    .with_for_update()
)

_RENEW = (
    update(outbox)
    .where(
        outbox.c.id == bindparam("job_id"),
        outbox.c.fence == bindparam("job_fence"),
        outbox.c.claimed_by == bindparam("worker"),
    )
    .values(lease_expires_at=db_in(bindparam("lease")))
)


def renew(engine: Engine, worker: str, lease_seconds: float, held: Mapping[int, int]) -> set[int]:
    """Extend the lease of jobs in flight, even of leases that have run out but were not taken.

    Args:
        engine: the database.
        worker: ours.
        lease_seconds: from the database's now.
        held: job id to fence.

    Returns:
        The ids that are still ours. The others are lost: their uploads must write nothing.
    """
    if not held:
        return set()

    def extend(connection: Connection) -> set[int]:
        found = connection.execute(_MINE, {"ids": sorted(held), "worker": worker})
        mine = [row.id for row in found if held[row.id] == row.fence]
        if mine:
            shared: dict[str, Any] = {"worker": worker, "lease": lease_seconds}
            rows = [{"job_id": i, "job_fence": held[i], **shared} for i in mine]
            connection.execute(_RENEW, rows)
        return set(mine)

    return in_transaction(engine, extend)


def beat(engine: Engine, daemon: Daemon, in_flight: int) -> None:
    """Say that this daemon lives: a lease that its owner still beats for was lost, not crashed."""

    def say(connection: Connection) -> None:
        seen = connection.execute(
            update(daemons)
            .where(daemons.c.worker == daemon.worker)
            .values(last_seen_at=db_now(), in_flight=in_flight)
        )
        if seen.rowcount == 0:
            connection.execute(insert(daemons).values(in_flight=in_flight, **_columns(daemon)))

    in_transaction(engine, say)


def leave(engine: Engine, worker: str) -> None:
    """Strike this daemon off: it has stopped on purpose and holds nothing."""
    in_transaction(
        engine,
        lambda connection: connection.execute(daemons.delete().where(daemons.c.worker == worker)),
    )


def _columns(daemon: Daemon) -> dict[str, Any]:
    return {
        "worker": daemon.worker,
        "host": daemon.host,
        "pid": daemon.pid,
        "version": daemon.version,
        "queues": daemon.queues,
        "slots": daemon.slots,
        "lease_seconds": daemon.lease_seconds,
    }
