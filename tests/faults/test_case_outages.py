"""Cases in which a store is slow, silent, or says "not now" to everybody."""

from __future__ import annotations

import math

import pytest

from tests.faults.neighbour import WELL, Neighbour
from tests.faults.procfs import sockets
from tests.faults.record import (
    ATTEMPTS,
    exhausted,
    history,
    make_due,
    moment,
    seconds_to_wait,
    verdict,
    waiting_row,
)
from tests.support.deployment import Deployment

#: An empty variable counts as unset: the delays that users get.
DEFAULT_DELAYS = {"OUTHAUL_UPLOAD_RETRY_DELAYS": ""}

#: A daemon may keep an idle connection to S3 and to OSS for each of its workers.
IDLE_SOCKETS = 4


def test_silent_store_that_reads_all_costs_no_more_than_its_deadlines(
    sqlite_deployment: Deployment,
) -> None:
    """Each attempt ends as TIMEOUT, OSS takes over, the neighbour is early, no socket is left."""

    deployment = sqlite_deployment
    deployment.s3.stall(key=deployment.key("unheard"), method="PUT", times=math.inf)
    with deployment.daemon(OUTHAUL_ATTEMPT_TIMEOUT_SECONDS="1", OUTHAUL_WORKERS="2") as daemon:
        baseline = sockets(daemon.pid)
        bad = deployment.insert_file("unheard")
        neighbour = Neighbour(deployment)
        (job,) = deployment.wait_final(bad, seconds=60)

        assert verdict(job) == ("done", "oss", None)
        assert history(deployment, bad) == [*exhausted("s3", "TIMEOUT"), ("oss", 1, None)]
        assert len(deployment.puts("unheard")) == ATTEMPTS
        durations = [row["duration_ms"] for row in deployment.attempts(bad)[:-1]]
        assert all(1000 <= duration < 5000 for duration in durations)
        assert neighbour.fate() == WELL
        arrived = moment(deployment.job(neighbour.job_id)["completed_at"])
        assert arrived < moment(deployment.attempts(bad)[ATTEMPTS - 1]["finished_at"])
        assert sockets(daemon.pid) <= baseline + IDLE_SOCKETS


def test_silent_store_that_never_reads_costs_no_more_than_its_deadlines(
    sqlite_deployment: Deployment,
) -> None:
    """100 MiB against a full window: TIMEOUT for each attempt, then OSS holds the whole bytes."""

    deployment = sqlite_deployment
    content = bytes(100 * 1024 * 1024)
    deployment.s3.stall_reading(key=deployment.key("unread"), method="PUT", times=math.inf)
    settings = {
        "OUTHAUL_ATTEMPT_TIMEOUT_SECONDS": "3",
        "OUTHAUL_MINIMUM_BYTES_PER_SECOND": "1000000000",
        "OUTHAUL_UPLOAD_RETRY_DELAYS": "0.1",
        "OUTHAUL_WORKERS": "2",
    }
    with deployment.daemon(**settings) as daemon:
        baseline = sockets(daemon.pid)
        bad = deployment.insert_file("unread", content)
        neighbour = Neighbour(deployment)
        assert neighbour.fate() == WELL
        (job,) = deployment.wait_final(bad, seconds=60)

        assert verdict(job) == ("done", "oss", None)
        assert history(deployment, bad)[:2] == [("s3", 1, "TIMEOUT"), ("s3", 2, "TIMEOUT")]
        assert deployment.oss_content("unread") == content
        assert sockets(daemon.pid) <= baseline + 2 * IDLE_SOCKETS


def test_slowdown_storm_is_ridden_out_by_every_row(sqlite_deployment: Deployment) -> None:
    """Fifty rows end in OSS after four requests to S3 each, and not one request more."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", key=deployment.key("storm/"), times=math.inf)
    rows = [deployment.insert_file(f"storm/{number}", b"%d" % number) for number in range(50)]
    with deployment.daemon():
        neighbour = Neighbour(deployment)
        jobs = deployment.wait_final(*rows, seconds=60)
        assert neighbour.fate() == WELL

    assert {verdict(job) for job in jobs} == {("done", "oss", None)}
    assert {(job["s3_attempts"], job["oss_attempts"]) for job in jobs} == {(ATTEMPTS, 1)}
    assert [deployment.oss_content(f"storm/{n}") for n in range(50)] == [
        b"%d" % n for n in range(50)
    ]
    assert len([r for r in deployment.puts() if "storm/" in r.key]) == 50 * ATTEMPTS


def test_slowdown_storm_persists_the_default_waits(sqlite_deployment: Deployment) -> None:
    """With no setting at all the row says 5, 15 and 30 s, up to a tenth more; then OSS at once."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", key=deployment.key("patient"), times=math.inf)
    with deployment.daemon(**DEFAULT_DELAYS):
        bad = deployment.insert_file("patient")
        neighbour = Neighbour(deployment)
        waits = []
        for attempt in range(1, ATTEMPTS):
            waits.append(seconds_to_wait(waiting_row(deployment, bad, attempt)))
            make_due(deployment, bad)
        (job,) = deployment.wait_final(bad)
        assert neighbour.fate() == WELL

    assert all(delay <= wait <= delay * 1.1 for delay, wait in zip((5, 15, 30), waits, strict=True))
    assert verdict(job) == ("done", "oss", None)
    assert history(deployment, bad) == [*exhausted("s3", "SlowDown"), ("oss", 1, None)]


def test_waiting_rows_hold_no_worker(sqlite_deployment: Deployment) -> None:
    """The only worker serves neighbours while ten rows wait, and writers find the database free."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", key=deployment.key("waits/"), times=math.inf)
    rows = [deployment.insert_file(f"waits/{number}") for number in range(10)]
    with deployment.daemon(OUTHAUL_WORKERS="1", OUTHAUL_UPLOAD_RETRY_DELAYS="60"):
        waiting = [waiting_row(deployment, row, 1) for row in rows]
        neighbour = Neighbour(deployment)
        assert neighbour.fate() == WELL

    assert all(row["claimed_by"] is None for row in waiting)
    assert all(row["lease_expires_at"] is None for row in waiting)
    arrived = moment(deployment.job(neighbour.job_id)["completed_at"])
    assert arrived < min(moment(row["next_retry_at"]) for row in waiting)


@pytest.mark.parametrize("workers", [8, 1])
def test_hung_upload_lets_the_others_pass(sqlite_deployment: Deployment, workers: int) -> None:
    """Nine rows pass one whose PUT hangs: at once, or with one worker right after its deadline."""

    deployment = sqlite_deployment
    hung = deployment.s3.hold(key=deployment.key("hung"), method="PUT", times=math.inf)
    deadline = {8: "60", 1: "1"}[workers]
    settings = {
        "OUTHAUL_WORKERS": str(workers),
        "OUTHAUL_ATTEMPT_TIMEOUT_SECONDS": deadline,
        **DEFAULT_DELAYS,
    }
    with deployment.daemon(**settings) as daemon:
        bad = deployment.insert_file("hung")
        assert hung.arrived.wait(20)
        others = [deployment.insert_file(f"passes/{number}") for number in range(9)]
        jobs = deployment.wait_final(*others)
        meanwhile = deployment.job(bad)
        hung.release()
        make_due(deployment, bad)
        (job,) = deployment.wait_final(bad)

    assert {verdict(other) for other in jobs} == {("done", "s3", None)}
    expected = {8: ("running", None, None), 1: ("pending", None, "TIMEOUT")}[workers]
    assert verdict(meanwhile) == expected
    assert verdict(job) == ("done", "s3", None)
    assert job["s3_attempts"] <= 2
    assert "maximum number of running instances" not in daemon.text()
