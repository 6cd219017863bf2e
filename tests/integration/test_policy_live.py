"""What a row may ask for, live. The daemons live in Shanghai: no promise leans on local time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from sqlalchemy import insert

from outhaul.outbox.tables import outbox
from tests.support.bulk import insert_files
from tests.support.clock import database_now, due, lease_end, spans
from tests.support.deployment import Deployment
from tests.support.served import Served, serve
from tests.support.session import Session
from tests.support.waiting import wait_for

#: Clocks and leases here are hours apart when a time zone is mistaken, seconds when none is.
NEARLY = timedelta(minutes=5)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb", "awkward mariadb"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """One worker, so that order shows; two lanes, so that a third can be left alone."""
    settings = {"OUTHAUL_WORKERS": "1", "OUTHAUL_QUEUES": "default,photos"}
    with serve(request, TZ="Asia/Shanghai", **settings) as running:
        yield running


@pytest.fixture
def deployment(served: Served) -> Deployment:
    """The outbox that they all share; each test has names of its own."""
    return served.deployment


def test_new_rows_are_begun_promptly(deployment: Deployment) -> None:
    """An idle daemon looks ten times a second; even beside other tests most rows wait little."""

    waits = []
    for number in range(5):
        inserted = database_now(deployment)
        job_id = deployment.insert_file(f"prompt {number}.bin")
        deployment.wait_final(job_id)
        ((begun, _),) = spans(deployment, [job_id])
        waits.append(begun - inserted)

    assert median(waits) < timedelta(seconds=1)


def test_better_priorities_go_first(deployment: Deployment) -> None:
    """Rows of one commit are uploaded in the order of their priority, not of their insertion."""

    names = {"p9": 9, "p5": 5, "p0": 0, "p4": 4}
    deployment.wait_final(*insert_files(deployment, names))

    order = [put.key for put in deployment.puts() if put.key in map(deployment.key, names)]
    assert order == [deployment.key(name) for name in ("p0", "p4", "p5", "p9")]


def test_foreign_lanes_are_left_alone(deployment: Deployment) -> None:
    """Rows of all lanes that the daemon serves are done, and one of another stays as it was."""

    foreign = deployment.insert_file("foreign.bin", queue="reports", priority=0)
    ours = [
        deployment.insert_file("lane one.bin"),
        deployment.insert_file("lane two.bin", queue="photos"),
    ]
    jobs = deployment.wait_final(*ours)

    assert [job["status"] for job in jobs] == ["done", "done"]
    job = deployment.job(foreign)
    assert (job["status"], job["fence"], job["s3_attempts"]) == ("pending", 0, 0)


def test_a_scheduled_upload_waits_for_its_time(deployment: Deployment) -> None:
    """A due time in the future is kept to, one in the past is due: in UTC, whatever the zone."""

    later = _insert_due(deployment, "later.bin", timedelta(seconds=1.5))
    tomorrow = _insert_due(deployment, "tomorrow.bin", timedelta(hours=1))
    past = _insert_due(deployment, "past.bin", timedelta(hours=-1))
    when = due(deployment, later)
    deployment.wait_final(past, later)

    ((past_begun, _),) = spans(deployment, [past])
    ((later_begun, _),) = spans(deployment, [later])
    assert past_begun < when <= later_begun + timedelta(milliseconds=10)
    assert deployment.job(tomorrow)["fence"] == 0


def test_every_moment_is_utc(deployment: Deployment) -> None:
    """Leases and moments of a daemon in another zone, or beside such a server, are right."""

    held = deployment.s3.hold(key="moment", method="PUT")
    job_id = deployment.insert_file("moment.bin")
    assert held.arrived.wait(30)
    end, now = lease_end(deployment, job_id), database_now(deployment)
    held.release()
    (job,) = deployment.wait_final(job_id)

    assert end is not None
    assert now < end < now + NEARLY
    assert abs(now - datetime.now(UTC)) < NEARLY
    ((begun, ended),) = spans(deployment, [job_id])
    assert now - NEARLY < begun <= ended <= database_now(deployment)
    assert (job["s3_attempts"], job["fence"]) == (1, 1)


def test_a_source_is_deleted_after_the_settle(deployment: Deployment) -> None:
    """`on_success = 'delete'`: while the row does not yet say done, the file is still there."""

    held = deployment.s3.hold(key="deleted", method="PUT", after_store=True)
    job_id = deployment.insert_file("deleted.bin", on_success="delete")
    assert held.arrived.wait(30)
    with Session(deployment.database_url) as other:
        other.lock_row(job_id)
        held.release()
        wait_for(lambda: deployment.s3.idle, 30, "the answer to be delivered")
        if deployment.engine.dialect.name != "sqlite":
            wait_for(other.someone_waits, 30, "the settle to wait for the lock")
        there = (deployment.spool / "deleted.bin").exists()
    (job,) = deployment.wait_final(job_id)

    assert there
    assert job["status"] == "done"
    wait_for(lambda: not (deployment.spool / "deleted.bin").exists(), 30, "the source to go")


def test_new_work_under_the_same_name_is_not_deleted(served: Served) -> None:
    """`on_success = 'delete'` deletes the bytes that were stored, never others with their name."""

    deployment = served.deployment
    held = deployment.s3.hold(key="replaced", method="PUT", after_store=True)
    job_id = deployment.insert_file("replaced.bin", b"old", on_success="delete")
    assert held.arrived.wait(30)
    deployment.file("new", b"new").rename(deployment.spool / "replaced.bin")
    held.release()
    (job,) = deployment.wait_final(job_id)
    wait_for(lambda: _kept(served, job_id), 30, "the refusal to be logged")

    assert job["status"] == "done"
    assert deployment.s3_content("replaced.bin") == b"old"
    assert (deployment.spool / "replaced.bin").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("if_exists", "status", "kept"),
    [("overwrite", "done", False), ("skip", "done", True), ("fail", "failed", True)],
)
def test_a_taken_key(deployment: Deployment, if_exists: str, status: str, kept: bool) -> None:
    """`if_exists` decides: overwrite it, leave it and be done without a store, or fail."""

    name = f"taken {if_exists}.bin"
    deployment.wait_final(deployment.insert_file(name, b"theirs"))
    (job,) = deployment.wait_final(deployment.insert_file(name, b"ours", if_exists=if_exists))

    assert job["status"] == status
    assert job["storage_type"] == (None if kept else "s3")
    assert job["last_error_code"] == ("KEY_EXISTS" if kept else None)
    assert deployment.s3_content(name) == (b"theirs" if kept else b"ours")


@pytest.mark.parametrize("if_exists", ["skip", "fail"])
def test_a_taken_key_with_our_own_bytes_is_a_success(
    deployment: Deployment, if_exists: str
) -> None:
    """What an earlier attempt of ours stored before its answer got lost is not somebody else's."""

    name = f"ours {if_exists}.bin"
    deployment.s3.lose_reply(key="ours", method="PUT")
    (job,) = deployment.wait_final(deployment.insert_file(name, b"ours", if_exists=if_exists))

    assert (job["status"], job["storage_type"], job["s3_attempts"]) == ("done", "s3", 2)
    assert job["verified_by"] == "head-sha256"
    assert [put.status for put in deployment.puts(name)] == [None, 412]


def test_an_unexpected_content_never_reaches_a_store(deployment: Deployment) -> None:
    """`expected_sha256` that does not match fails the job at once; one that matches is stored."""

    digest = hashlib.sha256(b"expected").hexdigest()
    right = deployment.insert_file("right.bin", b"expected", expected_sha256=digest.upper())
    wrong = deployment.insert_file("wrong.bin", b"surprise", expected_sha256=digest)
    stored, refused = deployment.wait_final(right, wrong)

    assert (stored["status"], stored["sha256"]) == ("done", digest)
    assert (refused["status"], refused["last_error_code"]) == ("failed", "SOURCE_HASH_MISMATCH")
    assert [row["outcome"] for row in deployment.attempts(wrong)] == ["permanent"]
    assert not deployment.puts("wrong.bin")


def _insert_due(deployment: Deployment, name: str, ahead: timedelta) -> int:
    """A job that is due at a moment given as a value, as clients give it."""
    moment = datetime.now(UTC) + ahead
    row = {"storage_key": deployment.key(name), "source_path": str(deployment.file(name))}
    with deployment.engine.begin() as connection:
        key = connection.execute(insert(outbox).values(next_retry_at=moment, **row))
        return int((key.inserted_primary_key or (0,))[0])


def _kept(served: Served, job_id: int) -> bool:
    events = served.daemon.events("Source not deleted")
    return any(event["job_id"] == job_id for event in events)
