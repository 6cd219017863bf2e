"""The bytes of a job: its payload, and the way in through `enqueue`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from outhaul.errors import InterruptedAttemptError, RowError
from outhaul.outbox.enqueue import enqueue
from tests.contract.outboxes import PIN, STORED, MigratedOutbox, settle, settlement

PAYLOADS = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "no UTF-8": b"\xff\xfe",
    "a megabyte": b"0123456789abcdef" * 65_536,
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_comes_back_byte_by_byte(outbox: MigratedOutbox, name: str) -> None:
    """The daemon reads exactly the bytes that the client wrote."""

    job_id = outbox.insert(payload=PAYLOADS[name])

    assert outbox.daemon().payload(job_id) == PAYLOADS[name]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_payload_written_as_text_is_its_bytes(outbox: MigratedOutbox) -> None:
    """SQLite keeps text in the payload as text: its UTF-8 is what gets uploaded."""

    job_id = outbox.insert(payload="größe 😀")

    assert outbox.daemon().payload(job_id) == "größe 😀".encode()


def test_a_job_without_payload_has_none(outbox: MigratedOutbox) -> None:
    """No bytes for a job with a path, for one that is done, and for one that is not there."""

    with_path, done = outbox.insert(), outbox.insert(payload=b"x")
    for job in outbox.claim():
        settle(outbox.daemon(), settlement(job, STORED))

    assert [outbox.daemon().payload(job_id) for job_id in (with_path, done, 404)] == [None] * 3


def test_without_the_database_the_attempt_is_given_back(
    outbox: MigratedOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that went away, or whose pool is exhausted, is nobody's failed attempt."""

    outbox.insert(payload=b"x")
    job, daemon, pool = outbox.claim_one(), outbox.daemon(), outbox.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.01)
    held = [outbox.engine.connect() for _ in range(12 if outbox.dialect != "sqlite" else 1)]

    with pytest.raises(InterruptedAttemptError):
        daemon.payload(job.id)
    with pytest.raises(InterruptedAttemptError):
        daemon.pin(job, PIN)
    with pytest.raises(OperationalError):
        daemon.claim(1)

    for connection in held:
        connection.close()
    assert daemon.payload(job.id) == b"x"


def test_enqueue_inserts_what_a_client_would(outbox: MigratedOutbox) -> None:
    """A key and a path suffice; what is not given keeps the server's default."""

    inserted = enqueue(outbox.engine, "a/b", source_path="/spool/b", priority=None, queue=None)
    plain = outbox.insert(storage_key="a/b", source_path="/spool/b")

    moments = ("id", "created_at", "updated_at", "next_retry_at")
    rows: list[dict[str, Any]] = [outbox.job(job_id) for job_id in (inserted, plain)]
    for row in rows:
        for name in moments:
            del row[name]
    assert rows[0] == rows[1]


def test_enqueue_carries_every_client_column(outbox: MigratedOutbox) -> None:
    """Payload, metadata and options arrive, and the daemon's job has them."""

    options: dict[str, Any] = {
        "queue": "host-1",
        "priority": 0,
        "content_type": "text/plain",
        "dedupe_key": "once",
        "on_success": "delete",
        "if_exists": "skip",
        "expected_sha256": PIN.sha256,
    }
    metadata = {"author": "Ann", "note": 'a "quoted" word'}

    job_id = enqueue(outbox.engine, "a/b", payload=b"x", metadata=metadata, **options)

    row = outbox.job(job_id)
    assert {name: row[name] for name in options} == options
    stored = row["metadata"]
    assert (json.loads(stored) if isinstance(stored, str) else stored) == metadata
    job = outbox.claim_one(queues=("host-1",))
    assert (job.id, job.metadata, job.on_success, job.if_exists) == (
        job_id,
        metadata,
        "delete",
        "skip",
    )


def test_enqueue_names_the_job_that_has_the_dedupe_key(outbox: MigratedOutbox) -> None:
    """A taken dedupe key is refused with the id of the job that has it; nothing is inserted."""

    first = enqueue(outbox.engine, "a", source_path="/a", dedupe_key="invoice-17")

    with pytest.raises(RowError, match=f"job {first} has this dedupe_key") as refusal:
        enqueue(outbox.engine, "b", source_path="/b", dedupe_key="invoice-17")

    assert refusal.value.code == "DUPLICATE"
    assert [row["storage_key"] for row in outbox.jobs()] == ["a"]


def test_enqueue_refuses_a_key_that_no_store_may_have(outbox: MigratedOutbox) -> None:
    """What would fail at the claim is told to whoever enqueues it."""

    with pytest.raises(RowError) as refusal:
        enqueue(outbox.engine, "/a", source_path="/a")

    assert refusal.value.code == "INVALID_KEY"
    assert outbox.jobs() == []
