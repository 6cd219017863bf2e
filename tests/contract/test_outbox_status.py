"""The outbox at a glance."""

from __future__ import annotations

from outhaul.outbox.status import overview
from tests.contract.outboxes import MigratedOutbox


def test_an_empty_outbox_has_nothing_to_report(outbox: MigratedOutbox) -> None:
    """Every status is named, with zero, and nothing is late."""

    assert overview(outbox.engine) == {
        "jobs": dict.fromkeys(("pending", "running", "done", "failed", "cancelled"), 0),
        "stored": {},
        "due": 0,
        "waiting_for_retry": 0,
        "oldest_due_seconds": 0.0,
        "expired_leases": 0,
        "daemons": [],
    }


def test_the_overview_counts_what_is_there(timed_outbox: MigratedOutbox) -> None:
    """Jobs by status and by store, what is due and since when, expired leases, daemons at work."""

    timed_outbox.insert_many(3, status="done", storage_type="s3")
    timed_outbox.insert(status="done", storage_type="local")
    timed_outbox.insert(status="failed")
    timed_outbox.insert(next_retry_at="2126-01-01 00:00:00")
    late = timed_outbox.insert(storage_key="late", priority=9)
    timed_outbox.insert_many(2)
    held, expired = timed_outbox.claim("a", limit=2)
    timed_outbox.expire(expired.id)
    timed_outbox.set_due(late)
    timed_outbox.daemon("a").beat(2)

    seen = overview(timed_outbox.engine)

    assert seen["jobs"] == {"pending": 2, "running": 2, "done": 4, "failed": 1, "cancelled": 0}
    assert seen["stored"] == {"s3": 3, "local": 1}
    assert (seen["due"], seen["waiting_for_retry"], seen["expired_leases"]) == (1, 1, 1)
    due_at = timed_outbox.job(late)["next_retry_at"]
    assert 0 <= (timed_outbox.now() - due_at).total_seconds() - seen["oldest_due_seconds"] < 60
    assert [(who["worker"], who["in_flight"]) for who in seen["daemons"]] == [("a", 2)]
    assert held.id != expired.id
