"""What operators do: list, show, requeue, cancel."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from outhaul.models import Job, Status
from outhaul.outbox.jobs import Filter, cancel, list_jobs, requeue, show_job, status_of
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

FINISHED = ("done", "failed", "cancelled")


def ids(outbox: MigratedOutbox, **wanted: object) -> list[int]:
    return [row["id"] for row in list_jobs(outbox.engine, Filter(**wanted))]  # type: ignore[arg-type]


@pytest.fixture
def mixed(outbox: MigratedOutbox) -> MigratedOutbox:
    """Five jobs, no two alike."""
    outbox.insert(storage_key="a/1", status="done", storage_type="s3")
    outbox.insert(storage_key="a/2", status="done", storage_type="oss")
    outbox.insert(storage_key="A/3", status="failed", last_error_code="AccessDenied")
    outbox.insert(storage_key="a_4", status="failed", last_error_code="SOURCE_MISSING")
    outbox.insert(storage_key="é😀/5")
    return outbox


def test_jobs_are_listed_newest_first(mixed: MigratedOutbox) -> None:
    """Without a filter every job is listed once, in pages that join without gap or overlap."""

    assert ids(mixed) == [5, 4, 3, 2, 1]
    assert ids(mixed, limit=2) == [5, 4]
    assert ids(mixed, limit=2, before_id=4) == [3, 2]
    assert ids(mixed, limit=2, before_id=2) == [1]
    assert ids(mixed, before_id=1) == []


def test_filters_narrow_the_list(mixed: MigratedOutbox) -> None:
    """Each filter is exact, and together they all hold."""

    assert ids(mixed, status="failed") == [4, 3]
    assert ids(mixed, storage_type="oss") == [2]
    assert ids(mixed, error_code="SOURCE_MISSING") == [4]
    assert ids(mixed, status="done", storage_type="oss") == [2]
    assert ids(mixed, status="pending", error_code="AccessDenied") == []


def test_a_key_prefix_is_taken_byte_by_byte(mixed: MigratedOutbox) -> None:
    """Neither case nor the wildcards of LIKE widen a prefix."""

    assert ids(mixed, key_prefix="a/") == [2, 1]
    assert ids(mixed, key_prefix="A") == [3]
    assert ids(mixed, key_prefix="a_") == [4]
    assert ids(mixed, key_prefix="%") == []
    assert ids(mixed, key_prefix="é😀") == [5]
    assert ids(mixed, key_prefix="") == [5, 4, 3, 2, 1]


def test_a_list_leaves_out_payloads(outbox: MigratedOutbox) -> None:
    """Operators see every column of a job but its bytes."""

    job_id = outbox.insert(payload=b"x")

    (listed,) = list_jobs(outbox.engine, Filter())
    shown = show_job(outbox.engine, job_id)

    row = outbox.job(job_id)
    del row["payload"]
    assert listed == row
    assert shown == row | {"attempts": []}


def test_a_job_is_shown_with_its_history(outbox: MigratedOutbox) -> None:
    """All attempts come with a job, oldest first, and no other job's."""

    outbox.insert()
    job = outbox.claim_one()
    settle(outbox.daemon(), settlement(job, DENIED))
    settle(outbox.daemon(), settlement(outbox.claim_one(), STORED))
    outbox.insert()
    settle(outbox.daemon(), settlement(outbox.claim_one(), STORED))

    shown = show_job(outbox.engine, job.id)

    assert shown is not None
    assert [tried["outcome"] for tried in shown["attempts"]] == ["permanent", "succeeded"]
    assert shown["attempts"] == outbox.attempts(job.id)


def test_an_unknown_job_is_none(outbox: MigratedOutbox) -> None:
    """What was never inserted is neither shown, nor has it a status, nor can it be steered."""

    outbox.insert()

    assert show_job(outbox.engine, 404) is None
    assert status_of(outbox.engine, 404) is None
    assert status_of(outbox.engine, 1) == "pending"
    assert (cancel(outbox.engine, [404]), requeue(outbox.engine, [404])) == ([], [])
    assert (cancel(outbox.engine, []), requeue(outbox.engine, [])) == ([], [])


@pytest.mark.parametrize("status", list(Status))
def test_only_failed_and_cancelled_jobs_are_requeued(
    outbox: MigratedOutbox, status: Status
) -> None:
    """A job that waits, runs or is done is left alone, and the answer says so."""

    job_id = outbox.insert(status=str(status))
    before = outbox.job(job_id)
    allowed = status in {Status.FAILED, Status.CANCELLED}

    assert requeue(outbox.engine, [job_id]) == ([job_id] if allowed else [])

    assert (outbox.job(job_id) == before) is not allowed
    assert outbox.job(job_id)["status"] == ("pending" if allowed else status)


@pytest.mark.parametrize("status", list(Status))
def test_only_pending_and_failed_jobs_are_cancelled(outbox: MigratedOutbox, status: Status) -> None:
    """A job that runs or is over is left alone, and the answer says so."""

    job_id = outbox.insert(status=str(status))
    before, started = outbox.job(job_id), outbox.now()
    allowed = status in {Status.PENDING, Status.FAILED}

    assert cancel(outbox.engine, [job_id]) == ([job_id] if allowed else [])

    row = outbox.job(job_id)
    if not allowed:
        assert row == before
        return
    changed = {name: row[name] for name in ("completed_at", "updated_at")}
    assert row == before | {"status": "cancelled", "fence": 1} | changed
    assert started <= row["completed_at"] == row["updated_at"] <= outbox.now()
    assert outbox.claim() == []


def test_a_requeued_job_starts_anew_and_keeps_its_history(timed_outbox: MigratedOutbox) -> None:
    """Counts, pin, error and store begin again, due now; fence and attempt rows go on."""

    job_id = timed_outbox.insert(payload=b"content")
    for result in (SLOW_DOWN, DENIED, DENIED, DENIED):
        timed_outbox.set_due(job_id)
        settle(timed_outbox.daemon(), settlement(timed_outbox.claim_one(), result))
    timed_outbox.execute("UPDATE upload_outbox SET sha256 = :sha, size_bytes = 7", sha=PIN.sha256)
    before, started = timed_outbox.job(job_id), timed_outbox.now()
    history = timed_outbox.attempts()
    assert (before["status"], before["local_attempts"]) == ("failed", 1)

    assert requeue(timed_outbox.engine, [job_id]) == [job_id]

    row = timed_outbox.job(job_id)
    cleared = ("current_store", "sha256", "size_bytes", "completed_at", "last_error")
    anew = dict.fromkeys(("s3_attempts", "oss_attempts", "local_attempts", "crash_count"), 0)
    moments = {name: row[name] for name in ("next_retry_at", "updated_at")}
    expected = {"status": "pending", "fence": before["fence"] + 1, "last_error_code": None}
    assert row == before | dict.fromkeys(cleared) | anew | moments | expected
    assert started <= row["next_retry_at"] == row["updated_at"] <= timed_outbox.now()
    assert timed_outbox.attempts() == history

    again = timed_outbox.claim_one()
    assert (again.store, again.attempt, again.fence) == ("s3", 1, before["fence"] + 2)
    settle(timed_outbox.daemon(), settlement(again, STORED))
    assert timed_outbox.attempts()[: len(history)] == history


def test_poison_is_cured_by_a_requeue(outbox: MigratedOutbox) -> None:
    """A requeued dead letter is no suspect any more: it is claimed with the others."""

    outbox.insert(status="failed", crash_count=4, last_error_code="POISON")

    requeue(outbox.engine, [1])

    assert [job.crash_count for job in outbox.claim()] == [0]


def test_many_jobs_are_steered_at_once(outbox: MigratedOutbox) -> None:
    """Of a mixed list those in the right state are taken, in the order of their ids."""

    outbox.insert_many(600)
    wanted = list(range(600, 0, -1))
    outbox.claim(limit=100)

    assert cancel(outbox.engine, wanted) == list(range(101, 601))
    assert requeue(outbox.engine, wanted) == list(range(101, 601))


def test_a_job_is_either_claimed_or_cancelled(outbox: MigratedOutbox) -> None:
    """When an operator and a daemon reach for the same jobs, each job goes to one of them."""

    outbox.insert_many(300)
    start = threading.Barrier(2)
    wanted = list(range(1, 301))

    with opened(outbox.url) as elsewhere, ThreadPoolExecutor(2) as pool:

        def claim_all() -> list[int]:
            daemon, claimed = outbox.daemon(), []
            start.wait(timeout=30)
            while batch := [row.id for row in daemon.claim(10) if isinstance(row, Job)]:
                claimed += batch
            return claimed

        def cancel_all() -> list[int]:
            start.wait(timeout=30)
            return [i for at in range(0, 300, 10) for i in cancel(elsewhere, wanted[at : at + 10])]

        claiming, cancelling = pool.submit(claim_all), pool.submit(cancel_all)
        claimed, cancelled = claiming.result(timeout=60), cancelling.result(timeout=60)

    assert sorted(claimed + cancelled) == wanted
    by_status = {row["id"]: row["status"] for row in outbox.jobs()}
    assert {by_status[job_id] for job_id in claimed} <= {"running"}
    assert {by_status[job_id] for job_id in cancelled} <= {"cancelled"}
