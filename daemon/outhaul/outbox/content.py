"""The content of a job: its payload, and the pin that says what the content is."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select, update

from outhaul.models import Job, Pin
from outhaul.outbox.tables import outbox
from outhaul.outbox.transaction import in_transaction, reading


def payload(engine: Engine, job_id: int) -> bytes | None:
    """The inline bytes of a row; claims never read them."""
    with reading(engine) as connection:
        found = connection.execute(select(outbox.c.payload).where(outbox.c.id == job_id)).scalar()
    return found.encode("utf-8", "surrogateescape") if isinstance(found, str) else found


def pin(engine: Engine, worker: str, job: Job, content: Pin) -> bool:
    """Record what a job's content is, before the first part of it is sent.

    Returns:
        Whether the job was still ours.
    """

    def record(connection: Connection) -> bool:
        written = connection.execute(
            update(outbox)
            .where(
                outbox.c.id == job.id, outbox.c.fence == job.fence, outbox.c.claimed_by == worker
            )
            .values(sha256=content.sha256, size_bytes=content.size_bytes)
        )
        return written.rowcount == 1

    return in_transaction(engine, record)
