"""Leases: renewed for what is held, and the heartbeat of whoever holds them."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.outboxes import STORED, MigratedOutbox, settle, settlement


def test_a_renewal_extends_every_lease_held(timed_outbox: MigratedOutbox) -> None:
    """One call extends all jobs in flight from the database's now, and changes nothing else."""

    timed_outbox.insert_many(5)
    jobs = timed_outbox.claim(lease_seconds=10.0)
    before, started = timed_outbox.jobs(), timed_outbox.now()

    kept = timed_outbox.daemon(lease_seconds=90.0).renew({job.id: job.fence for job in jobs})

    assert kept == {job.id for job in jobs}
    lease = timedelta(seconds=90)
    rows, ended = timed_outbox.jobs(), timed_outbox.now()
    for row, old in zip(rows, before, strict=True):
        assert started + lease <= row["lease_expires_at"] <= ended + lease
        assert row == old | {"lease_expires_at": row["lease_expires_at"]}


def test_a_lease_that_ran_out_is_still_ours_until_taken(outbox: MigratedOutbox) -> None:
    """A late renewal succeeds as long as nobody rescued the job: its upload may go on."""

    outbox.insert()
    job = outbox.claim_one("a")
    outbox.expire(job.id)

    assert outbox.daemon("a").renew({job.id: job.fence}) == {job.id}

    assert outbox.daemon("b").rescue() == []
    assert settle(outbox.daemon("a"), settlement(job, STORED)) == {job.id}


def test_nothing_held_is_nothing_renewed(outbox: MigratedOutbox) -> None:
    """An idle daemon renews nothing, whatever others hold."""

    outbox.insert()
    outbox.claim_one("b")

    assert outbox.daemon("a").renew({}) == set()
    assert outbox.daemon("a").renew({1: 1, 404: 1}) == set()


def test_a_daemon_is_seen_while_it_beats(timed_outbox: MigratedOutbox) -> None:
    """A beat enters a daemon, the next moves its last sight, its own leave strikes it off."""

    daemon = timed_outbox.daemon("host:1:beef", queues=("a", "b"), lease_seconds=90.0)
    before = timed_outbox.now()

    daemon.beat(3)
    (first,) = timed_outbox.daemons()
    daemon.beat(5)
    (second,) = timed_outbox.daemons()

    assert (first["worker"], first["queues"], first["in_flight"]) == ("host:1:beef", "a,b", 3)
    assert before <= first["started_at"] == first["last_seen_at"] <= second["last_seen_at"]
    assert second["last_seen_at"] <= timed_outbox.now()
    changed = {"in_flight": 5, "last_seen_at": second["last_seen_at"]}
    assert second == first | changed
    timed_outbox.daemon("other").leave()
    assert timed_outbox.daemons() == [second]
    daemon.leave()
    assert timed_outbox.daemons() == []
