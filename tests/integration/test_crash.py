"""kill -9: whatever the moment, the next start carries on and nothing is lost or done in vain."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from tests.support.clock import an_hour_passes, due, spans
from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment
from tests.support.session import Session
from tests.support.waiting import wait_for


def history(deployment: Deployment, job_id: int) -> list[tuple[str, int, str]]:
    """Store, attempt and outcome of a job's attempts, oldest first."""
    return [(row["store"], row["attempt"], row["outcome"]) for row in deployment.attempts(job_id)]


def kill_before_the_settle(deployment: Deployment, daemon: DaemonProcess, job_id: int) -> None:
    """End the daemon once the store's answer is in, while a lock keeps its settle from commit."""
    held = deployment.s3.hold(after_store=True)
    assert held.stored.wait(30)
    with Session(deployment.database_url) as other:
        other.lock_row(job_id)
        held.release()
        wait_for(lambda: deployment.s3.idle, 30, "the answer to be delivered")
        if deployment.engine.dialect.name == "sqlite":
            daemon.kill()
            return
        wait_for(other.someone_waits, 30, "the settle to wait for the lock")
        daemon.kill()
        # A server carries on with the statement of a dead client, and commits it.
        deployment.engine.dispose()
        other.kill_others()


def test_a_crash_amid_uploads_repeats_each_once_and_charges_none(deployment: Deployment) -> None:
    """Jobs under way at a kill -9 are made again: one attempt forgiven, one on the books."""

    held = deployment.s3.hold(method="PUT", times=math.inf)
    with deployment.daemon(OUTHAUL_WORKERS="4") as daemon:
        ids = [deployment.insert_file(f"{n}.bin", b"%d" % n * 1000) for n in range(5)]
        wait_for(lambda: len(deployment.puts()) == 4, 30, "four uploads to be under way")
        daemon.kill()
        held.release()
        an_hour_passes(deployment)
        daemon.start()
        jobs = deployment.wait_final(*ids)

    assert {(job["status"], job["storage_type"]) for job in jobs} == {("done", "s3")}
    assert [deployment.s3_content(f"{n}.bin") for n in range(5)] == [
        b"%d" % n * 1000 for n in range(5)
    ]
    assert {job["s3_attempts"] for job in jobs} == {1}
    assert sorted(job["crash_count"] for job in jobs) == [0, 1, 1, 1, 1]
    for job in jobs:
        lost = [("s3", 1, "lost")] * job["crash_count"]
        assert history(deployment, job["id"]) == [*lost, ("s3", 1, "succeeded")]
        assert len(deployment.puts(f"{ids.index(job['id'])}.bin")) == 1 + job["crash_count"]


def test_a_crash_between_answer_and_settle_repeats_the_upload(deployment: Deployment) -> None:
    """What the store took and the outbox never heard of is sent once more, under the same key."""

    content = b"answered" * 1000
    with deployment.daemon() as daemon:
        job_id = deployment.insert_file("answered.bin", content)
        kill_before_the_settle(deployment, daemon, job_id)
        crashed = deployment.job(job_id)
        an_hour_passes(deployment)
        daemon.start()
        (job,) = deployment.wait_final(job_id)

    assert (crashed["status"], crashed["s3_attempts"]) == ("running", 1)
    assert [put.status for put in deployment.puts("answered.bin")] == [200, 200]
    assert (job["status"], job["storage_type"]) == ("done", "s3")
    assert (job["s3_attempts"], job["crash_count"]) == (1, 1)
    assert history(deployment, job_id) == [("s3", 1, "lost"), ("s3", 1, "succeeded")]
    assert deployment.s3_content("answered.bin") == content


def test_a_crash_in_a_retry_wait_changes_nothing(deployment: Deployment) -> None:
    """After a kill -9 in the second wait the count and the due time stand; no fifth attempt."""

    deployment.s3.fail(503, "SlowDown", times=math.inf)
    delays = {"OUTHAUL_UPLOAD_RETRY_DELAYS": "0.1,3,0.1", "OUTHAUL_RETRY_JITTER": "0"}
    with deployment.daemon(**delays) as daemon:
        job_id = deployment.insert_file("slow.bin")
        wait_for(lambda: len(deployment.attempts(job_id)) == 2, 30, "the second attempt to fail")
        daemon.kill()
        waiting, due_at = deployment.job(job_id), due(deployment, job_id)
        daemon.start()
        (job,) = deployment.wait_final(job_id)

    assert (waiting["status"], waiting["s3_attempts"]) == ("pending", 2)
    assert spans(deployment, [job_id])[2][0] >= due_at - timedelta(milliseconds=10)
    assert (job["storage_type"], job["s3_attempts"], job["crash_count"]) == ("oss", 4, 0)
    assert history(deployment, job_id) == [
        *(("s3", attempt, "retryable") for attempt in (1, 2, 3, 4)),
        ("oss", 1, "succeeded"),
    ]
    assert len(deployment.puts("slow.bin")) == 4


@pytest.mark.parametrize("changed", [True, False], ids=["new content", "the same content"])
def test_the_pin_outlives_a_crash(sqlite_deployment: Deployment, changed: bool) -> None:
    """After a crash amid parts the same bytes are sent again, and other bytes never."""

    deployment, content = sqlite_deployment, bytes(9 << 20)
    held = deployment.s3.hold(method="PUT", times=math.inf)
    with deployment.daemon() as daemon:
        job_id = deployment.insert_file("parts.bin", content)
        assert held.arrived.wait(30)
        daemon.kill()
        held.release()
        if changed:
            deployment.file("parts.bin", b"\1" + content[1:])
        an_hour_passes(deployment)
        daemon.start()
        (job,) = deployment.wait_final(job_id)

    if changed:
        assert (job["status"], job["last_error_code"]) == ("failed", "SOURCE_CHANGED")
        assert history(deployment, job_id)[-1] == ("s3", 1, "permanent")
    else:
        assert (job["status"], job["storage_type"]) == ("done", "s3")
        assert deployment.s3_content("parts.bin") == content
