"""Rescue: jobs of vanished daemons go back, innocent ones unpunished, poisonous ones apart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outhaul.models import Job, Status, StoreName
from outhaul.outbox import Rescued
from tests.contract.outboxes import MigratedOutbox, opened


def crash(outbox: MigratedOutbox, worker: str, *, suspect: bool) -> Job:
    """A daemon claims the job and dies: its lease runs out."""
    daemon = outbox.daemon(worker)
    claimed = daemon.claim_suspect() if suspect else outbox.claim_one(worker)
    assert isinstance(claimed, Job)
    outbox.expire(claimed.id)
    return claimed


def counts(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["status"], row["s3_attempts"], row["crash_count"]


def test_a_vanished_daemons_job_goes_back(timed_outbox: MigratedOutbox) -> None:
    """An expired lease ends in pending, due now, fenced off from its late owner."""

    job_id = timed_outbox.insert(payload=b"content", current_store="oss", oss_attempts=1)
    job = timed_outbox.claim_one("dead")
    before, started = timed_outbox.job(job_id), timed_outbox.now()
    timed_outbox.expire(job_id)

    found = timed_outbox.daemon("b").rescue()

    row, ended = timed_outbox.job(job_id), timed_outbox.now()
    assert found == [Rescued(job_id, Status.PENDING, 1, "dead")]
    changes = {
        "status": "pending",
        "fence": job.fence + 1,
        "claimed_by": None,
        "lease_expires_at": None,
        "oss_attempts": 1,
        "crash_count": 1,
        "last_error_code": "LEASE_EXPIRED",
        "next_retry_at": row["next_retry_at"],
        "updated_at": row["updated_at"],
        "last_error": row["last_error"],
    }
    assert row == before | changes
    assert started <= row["next_retry_at"] == row["updated_at"] <= ended
    assert "vanished" in row["last_error"]


def test_the_lost_attempt_is_on_record(outbox: MigratedOutbox) -> None:
    """A rescue leaves an attempt row in the late owner's name, with what became of it."""

    outbox.insert()
    job = crash(outbox, "dead", suspect=False)

    outbox.daemon("b").rescue()

    (row,) = outbox.attempts()
    wanted = {
        "job_id": job.id,
        "fence": job.fence,
        "worker": "dead",
        "store": "s3",
        "operation": "upload",
        "attempt": 1,
        "outcome": "lost",
        "error_code": "LEASE_EXPIRED",
        "bytes_sent": 0,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_three_crashes_alone_make_poison(outbox: MigratedOutbox) -> None:
    """The first crash is forgiven, the next three are charged, then the job is a dead letter."""

    job_id = outbox.insert()
    seen = []
    for life in range(4):
        crash(outbox, f"dead-{life}", suspect=life > 0)
        (back,) = outbox.daemon("b").rescue()
        seen.append(counts(outbox.job(job_id)))
        assert (back.status, back.crash_count) == (seen[-1][0], life + 1)

    assert seen == [
        ("pending", 0, 1),
        ("pending", 1, 2),
        ("pending", 2, 3),
        ("failed", 3, 4),
    ]
    row = outbox.job(job_id)
    assert (row["last_error_code"], row["completed_at"]) == ("POISON", row["updated_at"])
    assert "outhaul retry" in row["last_error"]
    assert outbox.claim() == []
    assert outbox.daemon().claim_suspect() is None
    history = [(tried["fence"], tried["outcome"], tried["attempt"]) for tried in outbox.attempts()]
    assert history == [(1, "lost", 1), (3, "lost", 1), (5, "lost", 2), (7, "lost", 3)]


@pytest.mark.parametrize("crashes", [0, 1, 3])
def test_a_lease_lost_by_a_living_daemon_is_no_crash(
    timed_outbox: MigratedOutbox, crashes: int
) -> None:
    """While the owner still beats, its job goes back with the attempt, and nobody is suspected."""

    job_id = timed_outbox.insert(crash_count=crashes)
    owner = timed_outbox.daemon("alive", lease_seconds=90.0)
    assert (owner.claim_suspect() if crashes else owner.claim(1)) is not None
    owner.beat(1)
    timed_outbox.expire(job_id)

    (back,) = timed_outbox.daemon("b").rescue()

    assert back.crash_count == crashes
    assert counts(timed_outbox.job(job_id)) == ("pending", 0, crashes)


def test_a_daemon_unseen_for_a_lease_is_dead(timed_outbox: MigratedOutbox) -> None:
    """A beat older than the daemon's own lease is no sign of life, nor is somebody else's beat."""

    job_id = timed_outbox.insert()
    owner = timed_outbox.daemon("late", lease_seconds=90.0)
    owner.claim(1)
    owner.beat(1)
    timed_outbox.daemon("b").beat(0)
    timed_outbox.execute(
        "UPDATE upload_daemons SET last_seen_at = '2026-01-01 00:00:00' WHERE worker = 'late'"
    )
    timed_outbox.expire(job_id)

    assert [back.crash_count for back in timed_outbox.daemon("b").rescue()] == [1]


def test_what_we_hold_is_not_rescued(outbox: MigratedOutbox) -> None:
    """Our own late leases are renewed; a claim of ours that never reached us is taken back."""

    outbox.insert_many(2)
    held, unheard = outbox.claim("a")
    outbox.expire(held.id, unheard.id)

    found = outbox.daemon("a").rescue({held.id})

    assert [back.job_id for back in found] == [unheard.id]
    assert outbox.job(held.id)["claimed_by"] == "a"


def test_a_claim_whose_answer_was_lost_is_taken_back(outbox: MigratedOutbox) -> None:
    """What we claimed and never heard of is given back at once, with its attempt and no blame."""

    outbox.insert_many(2)
    held, unheard = outbox.claim("a")
    outbox.insert(queue="other")
    outbox.claim_one("b", queues=("other",))

    found = outbox.daemon("a").unheard({held.id})

    assert [(back.job_id, back.crash_count) for back in found] == [(unheard.id, 0)]
    assert counts(outbox.job(unheard.id)) == ("pending", 0, 0)
    assert [row["claimed_by"] for row in outbox.jobs()] == ["a", None, "b"]
    assert [job.id for job in outbox.claim("b")] == [unheard.id]


def test_running_leases_and_other_states_are_left_alone(timed_outbox: MigratedOutbox) -> None:
    """Only an expired lease of a running job is taken back: nothing else, whatever its columns."""

    timed_outbox.insert()
    timed_outbox.claim_one("a", lease_seconds=5.0)
    for status in ("pending", "done", "failed", "cancelled"):
        timed_outbox.insert(
            status=status, claimed_by="dead", lease_expires_at="2026-01-01 00:00:00.000000"
        )
    before = timed_outbox.jobs()

    assert timed_outbox.daemon("b").rescue() == []

    assert timed_outbox.jobs() == before
    assert timed_outbox.attempts() == []


def test_a_row_that_says_running_without_an_owner_is_rescued(outbox: MigratedOutbox) -> None:
    """The report's row, set to running by hand, is done again after its lease."""

    job_id = outbox.insert(
        status="running", s3_attempts=1, lease_expires_at="2026-01-01 00:00:00.000000"
    )

    (back,) = outbox.daemon("b").rescue()

    assert (back.job_id, back.owner) == (job_id, None)
    assert isinstance(outbox.daemon("b").claim_suspect(), Job)


@pytest.mark.parametrize("store", list(StoreName))
def test_the_refund_goes_to_the_store_in_turn(outbox: MigratedOutbox, store: StoreName) -> None:
    """The first crash gives the attempt back to the store that was charged, and to no other."""

    charged = {"s3_attempts": 1, "oss_attempts": 2, "local_attempts": 3}
    job_id = outbox.insert(current_store=str(store), **charged)
    crash(outbox, "dead", suspect=False)

    outbox.daemon("b").rescue()

    row = outbox.job(job_id)
    assert {name: row[name] for name in charged} == charged
    assert row["current_store"] == store


def test_a_rescue_takes_batch_after_batch(outbox: MigratedOutbox) -> None:
    """However many were lost, each call takes a bounded number and the next goes on."""

    outbox.insert_many(250)
    for job in outbox.claim("dead", limit=250, lease_seconds=-1.0):
        assert job.fence == 1

    batches = [len(outbox.daemon("b").rescue()) for _ in range(4)]

    assert batches == [100, 100, 50, 0]


def test_two_rescuers_at_once_rescue_each_job_once(outbox: MigratedOutbox) -> None:
    """Rescuers of two processes side by side take every lost job, and none of them twice."""

    outbox.insert_many(400)
    outbox.claim("dead", limit=400, lease_seconds=-1.0)

    with opened(outbox.url) as elsewhere, ThreadPoolExecutor(4) as pool:

        def rescue_all(number: int) -> list[int]:
            engine = elsewhere if number % 2 else outbox.engine
            daemon, found = outbox.daemon(f"r{number}", engine=engine), []
            while len(outbox.attempts()) < 400:
                found += [back.job_id for back in daemon.rescue()]
            return found

        rescued = [job_id for found in pool.map(rescue_all, range(4)) for job_id in found]

    assert sorted(rescued) == list(range(1, 401))
    assert {row["crash_count"] for row in outbox.jobs()} == {1}
    assert {row["fence"] for row in outbox.jobs()} == {2}
