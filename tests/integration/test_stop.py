"""SIGTERM: what can end in time does, the rest is given back unharmed, and the exit code is 0."""

from __future__ import annotations

import math
import signal
import time

import pytest

from tests.support.bulk import insert_files
from tests.support.deployment import Deployment
from tests.support.tcp_front import TcpFront
from tests.support.waiting import wait_for

#: What a stop may take beyond its drain: a bound for busy machines, far below any drain here.
PROMPT = 20.0


@pytest.mark.parametrize("waits", [False, True], ids=["idle", "a job waits"])
def test_an_idle_daemon_stops_at_once(sqlite_deployment: Deployment, waits: bool) -> None:
    """With nothing under way a stop waits for nothing, not even for a job's retry wait."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", times=math.inf)
    settings = {"OUTHAUL_UPLOAD_RETRY_DELAYS": "300", "OUTHAUL_DRAIN_SECONDS": "300"}
    with deployment.daemon(**settings) as daemon:
        if waits:
            job_id = deployment.insert_file("waits.bin")
            wait_for(lambda: deployment.attempts(job_id), 30, "the first attempt to fail")
        code = daemon.stop(PROMPT)

    assert code == 0
    assert daemon.events("stopped")[0]["released"] == 0
    assert not deployment.query("SELECT worker FROM upload_daemons")
    if waits:
        job = deployment.job(job_id)
        assert (job["status"], job["s3_attempts"], job["fence"]) == ("pending", 1, 1)


def test_an_upload_that_ends_in_time_is_done(deployment: Deployment) -> None:
    """A stop waits for the uploads under way, and settles them."""

    held = deployment.s3.hold(method="PUT")
    with deployment.daemon(OUTHAUL_DRAIN_SECONDS="60") as daemon:
        job_id = deployment.insert_file("draining.bin")
        assert held.arrived.wait(30)
        daemon.signal(signal.SIGTERM)
        wait_for(lambda: daemon.events("stopping"), 30, "the stop to begin")
        held.release()
        code = daemon.wait()

    job = deployment.job(job_id)
    assert code == 0
    assert (job["status"], job["storage_type"], job["s3_attempts"]) == ("done", "s3", 1)
    assert daemon.events("stopped")[0]["released"] == 0


def test_an_upload_that_outlives_the_drain_is_given_back(deployment: Deployment) -> None:
    """Its attempt is given back, it is due at once, and the next start makes it without a wait."""

    held = deployment.s3.hold(method="PUT")
    # Were the lease merely left to run out, the second life would not see the job in time.
    settings = {"OUTHAUL_DRAIN_SECONDS": "0.3", "OUTHAUL_LEASE_SECONDS": "600"}
    with deployment.daemon(**settings) as daemon:
        job_id = deployment.insert_file("held.bin")
        assert held.arrived.wait(30)
        code = daemon.stop()
        released = deployment.job(job_id)
        held.release()
        daemon.start()
        (job,) = deployment.wait_final(job_id)

    assert code == 0
    assert (released["status"], released["claimed_by"]) == ("pending", None)
    assert (released["s3_attempts"], released["crash_count"], released["fence"]) == (0, 0, 1)
    assert (job["status"], job["s3_attempts"], job["crash_count"]) == ("done", 1, 0)
    assert [(row["attempt"], row["outcome"]) for row in deployment.attempts(job_id)] == [
        (1, "interrupted"),
        (1, "succeeded"),
    ]


def test_prefetched_jobs_are_given_back(sqlite_deployment: Deployment) -> None:
    """Jobs that no worker had begun go back with their attempt; none stays behind as running."""

    deployment = sqlite_deployment
    names = [f"{number}.txt" for number in range(600)]
    settings = {"OUTHAUL_WORKERS": "2", "OUTHAUL_DRAIN_SECONDS": "0", "OUTHAUL_LEASE_SECONDS": "60"}
    with deployment.daemon(**settings) as daemon:
        insert_files(deployment, dict.fromkeys(names, 5))
        wait_for(lambda: _count(deployment, "running") > 20, 30, "jobs to be prefetched")
        deployment.s3.hold(method="PUT", times=math.inf)
        wait_for(lambda: _held(deployment) == 2, 30, "both workers to be held")
        code = daemon.stop()

    assert code == 0
    assert _count(deployment, "running") == 0
    assert _count(deployment, "done") + _count(deployment, "pending") == 600
    attempts = deployment.query(
        "SELECT s3_attempts, count(*) AS jobs FROM upload_outbox"
        " WHERE status = 'pending' GROUP BY s3_attempts"
    )
    assert attempts == [{"s3_attempts": 0, "jobs": _count(deployment, "pending")}]
    given_back = deployment.query(
        "SELECT count(*) AS jobs FROM upload_attempts WHERE outcome = 'interrupted'"
    )
    assert given_back[0]["jobs"] == daemon.events("stopped")[0]["released"] > 2


def test_a_second_signal_ends_the_drain(sqlite_deployment: Deployment) -> None:
    """Who asks twice does not wait for the drain; the upload is given back all the same."""

    deployment = sqlite_deployment
    held = deployment.s3.hold(method="PUT")
    with deployment.daemon(OUTHAUL_DRAIN_SECONDS="300") as daemon:
        job_id = deployment.insert_file("held.bin")
        assert held.arrived.wait(30)
        daemon.signal(signal.SIGTERM)
        wait_for(lambda: daemon.events("stopping"), 30, "the stop to begin")
        code = daemon.stop(PROMPT)

    job = deployment.job(job_id)
    assert code == 0
    assert (job["status"], job["s3_attempts"]) == ("pending", 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_stop_does_not_wait_for_a_database_that_hangs(deployment: Deployment) -> None:
    """Within the drain and 15 s it ends; the next start finds the job and has it done."""

    held = deployment.s3.hold(method="PUT")
    settings = {"OUTHAUL_DRAIN_SECONDS": "1", "OUTHAUL_LEASE_SECONDS": "2"}
    with TcpFront(deployment.database_url) as front:
        settings_through = settings | {"OUTHAUL_DATABASE_URL": front.database_url}
        with deployment.daemon(**settings_through) as daemon:
            job_id = deployment.insert_file("held.bin")
            assert held.arrived.wait(30)
            front.fall_silent()
            # In a claim, say: ten times a second there is one.
            assert front.stalled.wait(30)
            begun = time.monotonic()
            code = daemon.stop(60)
            took = time.monotonic() - begun
    held.release()
    with deployment.daemon(**settings):
        (job,) = deployment.wait_final(job_id)

    assert code == 0
    assert took < 1 + 15
    assert (job["status"], job["s3_attempts"]) == ("done", 1)


def _count(deployment: Deployment, status: str) -> int:
    found = deployment.query(
        "SELECT count(*) AS jobs FROM upload_outbox WHERE status = :status", status=status
    )
    return int(found[0]["jobs"])


def _held(deployment: Deployment) -> int:
    return sum(put.status is None for put in deployment.puts())
