"""Fencing: whoever lost a job writes nothing about it, and is told so."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, OperationalError

from outhaul.errors import InterruptedAttemptError
from outhaul.models import Interrupted, Job, Outcome, Status
from tests.contract.outboxes import (
    DENIED,
    PIN,
    SLOW_DOWN,
    STORED,
    MigratedOutbox,
    opened,
    settle,
    settlement,
)

CUT = Interrupted(Outcome.INTERRUPTED, "given back at shutdown")


def rescued(outbox: MigratedOutbox, job: Job) -> None:
    outbox.expire(job.id)
    assert [back.job_id for back in outbox.daemon("rescuer").rescue()] == [job.id]


def claimed_by_another(outbox: MigratedOutbox, job: Job) -> None:
    rescued(outbox, job)
    assert outbox.daemon("b").claim_suspect() is not None


def claimed_again_by_itself(outbox: MigratedOutbox, job: Job) -> None:
    rescued(outbox, job)
    assert outbox.daemon("a").claim_suspect() is not None


def done_by_another(outbox: MigratedOutbox, job: Job) -> None:
    rescued(outbox, job)
    again = outbox.daemon("b").claim_suspect()
    assert isinstance(again, Job)
    assert settle(outbox.daemon("b"), settlement(again, STORED)) == {job.id}


def settled_before(outbox: MigratedOutbox, job: Job) -> None:
    assert settle(outbox.daemon("a"), settlement(job, SLOW_DOWN)) == {job.id}


def settled_and_claimed_again(outbox: MigratedOutbox, job: Job) -> None:
    settled_before(outbox, job)
    outbox.set_due(job.id)
    assert [again.fence for again in outbox.claim("a")] == [job.fence + 1]


def removed(outbox: MigratedOutbox, job: Job) -> None:
    outbox.execute("DELETE FROM upload_outbox WHERE id = :id", id=job.id)


LOSSES: list[Callable[[MigratedOutbox, Job], None]] = [
    rescued,
    claimed_by_another,
    claimed_again_by_itself,
    done_by_another,
    settled_before,
    settled_and_claimed_again,
    removed,
]

lose = pytest.mark.parametrize("lose", LOSSES, ids=lambda loss: loss.__name__)


def two_claimed(outbox: MigratedOutbox) -> tuple[Job, Job]:
    """One that will be lost, and its neighbour, both claimed by `a`."""
    outbox.insert_many(2)
    first, second = outbox.claim("a")
    return first, second


@lose
def test_a_late_settle_changes_nothing(
    outbox: MigratedOutbox, lose: Callable[[MigratedOutbox, Job], None]
) -> None:
    """A worker that lost a job, in whatever way, does not touch it; its neighbour is settled."""

    lost, kept = two_claimed(outbox)
    lose(outbox, lost)
    rows = [row for row in outbox.jobs() if row["id"] == lost.id]
    history = outbox.attempts(lost.id)

    for result in (SLOW_DOWN, DENIED, CUT, STORED):
        late = settle(outbox.daemon("a"), settlement(lost, result))
        assert late == set()
    owned = settle(outbox.daemon("a"), settlement(lost, STORED), settlement(kept, STORED))

    assert owned == {kept.id}
    assert [row for row in outbox.jobs() if row["id"] == lost.id] == rows
    assert outbox.attempts(lost.id) == history
    assert outbox.job(kept.id)["status"] == "done"


@lose
def test_a_late_worker_may_not_pin_the_content(
    outbox: MigratedOutbox, lose: Callable[[MigratedOutbox, Job], None]
) -> None:
    """Before the first byte goes out, a worker that lost the job learns of it and stops."""

    lost, kept = two_claimed(outbox)
    lose(outbox, lost)
    rows = outbox.jobs()

    with pytest.raises(InterruptedAttemptError):
        outbox.daemon("a").pin(lost, PIN)
    assert outbox.jobs() == rows

    outbox.daemon("a").pin(kept, PIN)
    row = outbox.job(kept.id)
    assert (row["sha256"], row["size_bytes"]) == (PIN.sha256, PIN.size_bytes)


@lose
def test_a_lost_lease_is_not_renewed(
    outbox: MigratedOutbox, lose: Callable[[MigratedOutbox, Job], None]
) -> None:
    """Renewal says which jobs are still ours, and leaves the lease of the others alone."""

    lost, kept = two_claimed(outbox)
    lose(outbox, lost)
    rows = [row for row in outbox.jobs() if row["id"] == lost.id]

    assert outbox.daemon("a").renew({lost.id: lost.fence, kept.id: kept.fence}) == {kept.id}

    assert [row for row in outbox.jobs() if row["id"] == lost.id] == rows


def test_another_worker_with_the_right_fence_is_fenced(outbox: MigratedOutbox) -> None:
    """The fence alone is not enough: only the claim's own worker may settle or renew it."""

    outbox.insert()
    job = outbox.claim_one("a")
    before = outbox.job(job.id)

    assert settle(outbox.daemon("b"), settlement(job, STORED)) == set()
    assert outbox.daemon("b").renew({job.id: job.fence}) == set()
    with pytest.raises(InterruptedAttemptError):
        outbox.daemon("b").pin(job, PIN)

    assert outbox.job(job.id) == before


def test_a_settle_is_found_on_record(outbox: MigratedOutbox) -> None:
    """When the answer to a COMMIT is lost, the record says which settlements were written."""

    outbox.insert_many(3)
    written, unwritten, others = outbox.claim("a")
    batch = [settlement(job, STORED) for job in (written, unwritten, others)]
    rescued(outbox, others)

    assert outbox.daemon("a").settled(batch) == set()
    settle(outbox.daemon("a"), batch[0])

    assert outbox.daemon("a").settled(batch) == {written.id}
    assert outbox.daemon("b").settled(batch) == set()


@pytest.mark.parametrize(
    "lose", [rescued, claimed_by_another, claimed_again_by_itself, done_by_another]
)
def test_a_lost_job_is_not_taken_for_settled(
    outbox: MigratedOutbox, lose: Callable[[MigratedOutbox, Job], None]
) -> None:
    """What others wrote about our claim is no proof that we did: our source must not go for it."""

    outbox.insert()
    job = outbox.claim_one("a")
    lose(outbox, job)

    assert outbox.daemon("a").settled([settlement(job, STORED)]) == set()


def test_a_repeated_settle_is_written_once(outbox: MigratedOutbox) -> None:
    """Settling again after a lost answer finds nothing to own and adds no attempt."""

    outbox.insert()
    result = settlement(outbox.claim_one(), STORED)

    assert [settle(outbox.daemon(), result) for _ in range(2)] == [{result.job.id}, set()]

    assert len(outbox.attempts()) == 1


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_job_rescued_during_a_renewal_is_not_ours(
    outbox: MigratedOutbox, database_url: str
) -> None:
    """Of a renewal and a rescue at the same moment one wins, and the other knows."""

    outbox.insert()
    job = outbox.claim_one("a")
    outbox.expire(job.id)
    taken: list[int] = []

    def meanwhile(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE"):
            taken.extend(back.job_id for back in rescuer.rescue())

    with opened(database_url) as elsewhere:
        rescuer = outbox.daemon("b", engine=elsewhere)
        event.listen(outbox.engine, "before_cursor_execute", meanwhile)
        kept = outbox.daemon("a").renew({job.id: job.fence})

    assert sorted([*kept, *taken]) == [job.id]
    owner = outbox.job(job.id)["claimed_by"]
    assert owner == ("a" if kept else None)


def test_of_two_settles_at_once_one_is_written(outbox: MigratedOutbox) -> None:
    """The same result settled by two threads at the same moment is on record once."""

    outbox.insert_many(50)
    batch = [settlement(job, STORED) for job in outbox.claim()]
    owned: list[set[int]] = []
    start = threading.Barrier(2)

    def run() -> None:
        start.wait(timeout=30)
        owned.append(settle(outbox.daemon(), *batch))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert sorted(map(len, owned)) == [0, 50]
    assert len(outbox.attempts()) == 50
    assert {row["status"] for row in outbox.jobs()} == {Status.DONE}


def test_a_refused_batch_leaves_nothing_half_written(outbox: MigratedOutbox) -> None:
    """If the attempt rows cannot be written, the jobs are not settled either."""

    outbox.insert_many(2)
    batch = [settlement(job, STORED) for job in outbox.claim()]
    outbox.execute("DROP TABLE upload_attempts")

    with pytest.raises(DBAPIError) as refusal:
        settle(outbox.daemon(), *batch)

    assert not isinstance(refusal.value, OperationalError) or outbox.dialect == "sqlite"
    assert {row["status"] for row in outbox.jobs()} == {Status.RUNNING}
