"""Settling: the columns that each transition writes, and the attempt row beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from outhaul import transitions
from outhaul.models import (
    Failure,
    Interrupted,
    Job,
    Origin,
    Outcome,
    Result,
    Skipped,
    Stored,
    StoreName,
)
from outhaul.policy import NextStore, Wait
from outhaul.transitions import Settlement
from tests.contract.outboxes import (
    DENIED,
    PIN,
    RULES,
    SLOW_DOWN,
    STORED,
    MigratedOutbox,
    attempt,
    settle,
    settlement,
)

MISSING = Failure("SOURCE_MISSING", "no such file: /var/spool/app/b.txt", Origin.SOURCE)
CUT = Interrupted(Outcome.INTERRUPTED, "given back at shutdown")
LOST = Interrupted(Outcome.LOST, "the lease was lost to another daemon")
TAKEN = Skipped("a/b.txt exists and is not ours")

_FREED = {"claimed_by": None, "lease_expires_at": None}
_STORED_COLUMNS = {
    "bucket": STORED.bucket,
    "etag": STORED.etag,
    "version_id": STORED.version_id,
    "size_bytes": PIN.size_bytes,
    "sha256": PIN.sha256,
    "verified_by": STORED.verified_by,
}

#: Result to what changes in the row, besides the moments: the documented transitions.
TRANSITIONS: dict[str, tuple[Result, dict[str, Any]]] = {
    "done": (STORED, {"status": "done", "storage_type": "s3", "payload": None} | _STORED_COLUMNS),
    "skipped": (
        TAKEN,
        {
            "status": "done",
            "payload": None,
            "last_error_code": "KEY_EXISTS",
            "last_error": TAKEN.message,
        },
    ),
    "retry": (
        SLOW_DOWN,
        {"status": "pending", "last_error_code": "SlowDown", "last_error": SLOW_DOWN.message},
    ),
    "next store": (
        DENIED,
        {
            "status": "pending",
            "current_store": "oss",
            "last_error_code": "AccessDenied",
            "last_error": DENIED.message,
        },
    ),
    "failed": (
        MISSING,
        {
            "status": "failed",
            "last_error_code": "SOURCE_MISSING",
            "last_error": MISSING.message,
        },
    ),
    "released": (CUT, {"status": "pending", "s3_attempts": 0, "last_error": CUT.message}),
    "lost": (LOST, {"status": "pending", "s3_attempts": 0, "last_error": LOST.message}),
}

_WAITS = {"retry": timedelta(seconds=5)}

#: SQLite counts in milliseconds.
_TICK = timedelta(milliseconds=1)

_OUTCOMES = {
    "done": "succeeded",
    "skipped": "succeeded",
    "retry": "retryable",
    "next store": "permanent",
    "failed": "permanent",
    "released": "interrupted",
    "lost": "lost",
}


def test_a_transition_writes_exactly_its_columns(timed_outbox: MigratedOutbox) -> None:
    """Each result changes the columns that it should, by the database's clock, and no other."""

    for name, (result, changes) in TRANSITIONS.items():
        job_id = timed_outbox.insert(queue=name, payload=b"content", metadata='{"a": "b"}')
        job = timed_outbox.claim_one(queues=(name,))
        before, started = timed_outbox.job(job_id), timed_outbox.now()

        assert settle(timed_outbox.daemon(), settlement(job, result)) == {job_id}, name

        row, ended = timed_outbox.job(job_id), timed_outbox.now()
        moments = {moment: row[moment] for moment in ("updated_at", "next_retry_at")}
        final = row["updated_at"] if changes["status"] != "pending" else None
        assert row == before | _FREED | changes | moments | {"completed_at": final}, name
        assert started <= row["updated_at"] <= ended, name
        wait = row["next_retry_at"] - row["updated_at"]
        assert timedelta() <= wait - _WAITS.get(name, timedelta()) <= _TICK, name


def test_an_attempt_is_recorded_whole(timed_outbox: MigratedOutbox) -> None:
    """Whatever it came to, an attempt leaves one row with who, where, when, how long and why."""

    for name, (result, _) in TRANSITIONS.items():
        timed_outbox.insert(queue=name)
        job = timed_outbox.claim_one("host:17:beef", queues=(name,))
        tried = attempt(job, result, age=3.0, duration_ms=1_500, bytes_sent=7)
        started = timed_outbox.now()

        settle(timed_outbox.daemon("host:17:beef"), transitions.settle(tried, RULES, draw=0.0))

        (row,) = timed_outbox.attempts(job.id)
        finished_at, started_at = row.pop("finished_at"), row.pop("started_at")
        assert timedelta(seconds=2.9) < started - finished_at < timedelta(seconds=10), name
        assert abs(finished_at - started_at - timedelta(seconds=1.5)) <= _TICK, name
        answer = result if isinstance(result, Failure) else None
        kept = result if isinstance(result, Stored) else answer
        assert row == {
            "job_id": job.id,
            "fence": 1,
            "store": "s3",
            "operation": "upload",
            "attempt": 1,
            "worker": "host:17:beef",
            "duration_ms": 1_500,
            "outcome": _OUTCOMES[name],
            "error_code": answer.code if answer else None,
            "http_status": kept.http_status if kept else None,
            "request_id": kept.request_id if kept else None,
            "bytes_sent": 7,
            "message": None if isinstance(result, Stored) else result.message,
        }, name


def test_a_wait_is_never_shorter_than_promised(timed_outbox: MigratedOutbox) -> None:
    """A retry is due the whole wait after the database's now, and no more than a blink later."""

    for seconds in (0.0, 0.5, 15.0, 30.25, 86_400.0):
        wait, lane = timedelta(seconds=seconds), f"waits {seconds}"
        timed_outbox.insert(queue=lane)
        job = timed_outbox.claim_one(queues=(lane,))
        before = timed_outbox.now()

        settled = transitions.retried(attempt(job, SLOW_DOWN), SLOW_DOWN, Wait(seconds))
        settle(timed_outbox.daemon(), settled)

        due_at = timed_outbox.job(job.id)["next_retry_at"]
        assert before + wait <= due_at <= timed_outbox.now() + wait


@pytest.mark.parametrize("store", list(StoreName))
def test_a_refund_goes_to_the_store_that_was_charged(
    outbox: MigratedOutbox, store: StoreName
) -> None:
    """A job given back before it reached the network has its attempt back, its fence stays up."""

    counts = {"s3_attempts": 1, "oss_attempts": 2, "local_attempts": 3}
    job_id = outbox.insert(current_store=str(store), **counts)

    settle(outbox.daemon(), settlement(outbox.claim_one(), CUT))

    row = outbox.job(job_id)
    assert {name: row[name] for name in counts} == counts
    assert (row["fence"], row["current_store"]) == (1, str(store))


def test_a_pin_outlives_failures(outbox: MigratedOutbox) -> None:
    """What the content is, once known, is not forgotten by an attempt that knew less."""

    job_id = outbox.insert()
    settle(outbox.daemon(), settlement(outbox.claim_one(), replace(SLOW_DOWN, pin=PIN)))
    outbox.set_due(job_id)

    again = outbox.claim_one()
    settle(outbox.daemon(), settlement(again, DENIED))

    assert again.pin_sha256 == PIN.sha256
    row = outbox.job(job_id)
    assert (row["sha256"], row["size_bytes"]) == (PIN.sha256, PIN.size_bytes)


def test_a_job_that_moves_on_is_tried_afresh(outbox: MigratedOutbox) -> None:
    """At the next store the first attempt is number 1, and each store's count stays on record."""

    outbox.insert()
    job = outbox.claim_one()
    settle(
        outbox.daemon(),
        transitions.moved_on(
            attempt(job, DENIED), DENIED, Outcome.PERMANENT, NextStore(StoreName.LOCAL)
        ),
    )

    again = outbox.claim_one()
    assert (again.store, again.attempt, again.attempts[StoreName.S3]) == (StoreName.LOCAL, 1, 1)
    settle(outbox.daemon(), settlement(again, STORED))

    row = outbox.job(job.id)
    assert (row["storage_type"], row["last_error_code"], row["last_error"]) == ("local", None, None)
    history = [(tried["store"], tried["attempt"]) for tried in outbox.attempts()]
    assert history == [("s3", 1), ("local", 1)]


def test_a_batch_is_settled_in_one_transaction(outbox: MigratedOutbox) -> None:
    """Five hundred results of every kind land together, each in its own row."""

    outbox.insert_many(500)
    results = list(TRANSITIONS.values())
    jobs = outbox.claim(limit=500)
    batch = [settlement(job, results[job.id % len(results)][0]) for job in jobs]

    assert settle(outbox.daemon(), *batch) == {job.id for job in jobs}

    for row in outbox.jobs():
        expected = results[row["id"] % len(results)][1]
        assert {name: row[name] for name in expected} == expected
    recorded = {tried["job_id"]: tried["outcome"] for tried in outbox.attempts()}
    outcomes = list(_OUTCOMES.values())
    assert recorded == {job.id: outcomes[job.id % len(outcomes)] for job in jobs}


def test_nothing_to_settle_is_no_statement(outbox: MigratedOutbox) -> None:
    """An empty batch owns nothing and writes nothing."""

    assert settle(outbox.daemon()) == set()
    assert outbox.daemon().settled([]) == set()


HOSTILE: dict[str, Result] = {
    "emoji": Failure("InternalError", "💥 größer als gedacht 𝄞"),
    "600 characters": Failure("InternalError", "x" * 600),
    "600 emoji": Failure("InternalError", "💥" * 600, request_id="💥" * 600),
    "control characters": Failure("InternalError", "a\x00b\r\nc\x1b[2J\u2028d"),
    "half a surrogate pair": Failure("InternalError", "a\udcffb"),
    "quotes and percents": Failure("InternalError", "'; DROP TABLE x; -- %s %(id)s {v} :now \\"),
    "a long code": Failure("E" * 300, "long code", request_id="r" * 4000),
    "an odd etag": replace(STORED, etag="\x00\n" + "💥" * 300, version_id="v" * 2000),
    "no etag": replace(STORED, etag=None, version_id=None, request_id=None, http_status=None),
    "a bucket of 255 characters": replace(STORED, bucket="b" * 255),
    "zero bytes": replace(STORED, pin=replace(PIN, size_bytes=0)),
    "5 TiB": replace(STORED, pin=replace(PIN, size_bytes=5 << 40)),
}


def test_no_text_of_a_store_breaks_a_settle(outbox: MigratedOutbox) -> None:
    """Whatever a store or a file name put into an answer, its row and the others are settled."""

    outbox.insert_many(2 * len(HOSTILE))
    jobs = outbox.claim()
    results = [result for result in HOSTILE.values() for result in (result, SLOW_DOWN)]
    batch = [
        settlement(job, result) if not isinstance(result, Failure) else _buried(job, result)
        for job, result in zip(jobs, results, strict=True)
    ]

    assert settle(outbox.daemon(), *batch) == {job.id for job in jobs}

    rows = dict(zip(HOSTILE, outbox.jobs()[::2], strict=True))
    assert rows["emoji"]["last_error"] == HOSTILE["emoji"].message  # type: ignore[union-attr]
    assert rows["600 characters"]["last_error"].startswith("x" * 499)
    assert rows["600 emoji"]["last_error"].startswith("💥" * 499)
    assert rows["control characters"]["last_error"] == r"a\u0000b\u000d\u000ac\u001b[2J\u2028d"
    assert rows["quotes and percents"]["last_error"].startswith("'; DROP TABLE x; -- %s %(id)s {v}")
    assert rows["an odd etag"]["etag"].startswith(r"\u0000\u000a💥")
    assert rows["5 TiB"]["size_bytes"] == 5 << 40
    assert len(outbox.attempts()) == len(jobs)


def _buried(job: Job, failure: Failure) -> Settlement:
    return transitions.buried(attempt(job, failure), failure, Outcome.PERMANENT)
