"""Cases in which a daemon dies, is told to stop, or lives for long."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from outhaul.scheduler import Scheduler
from tests.faults.neighbour import WELL, Neighbour
from tests.faults.procfs import descriptors, resident_bytes, threads
from tests.faults.record import ATTEMPTS, history, make_due, verdict, waiting_row
from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment
from tests.support.waiting import wait_for

MIB = 1024 * 1024


def claimed_by_another(deployment: Deployment, name: str, lease: timedelta, **columns: Any) -> int:
    """A row as a daemon on another host left it in the middle of an attempt."""
    ends = datetime.now(UTC) + lease
    planted: dict[str, Any] = {
        "status": "running",
        "s3_attempts": 1,
        "claimed_by": "dead-host:1",
        "lease_expires_at": f"{ends:%Y-%m-%d %H:%M:%S.%f}",
    }
    return deployment.insert_file(name, **planted | columns)


def test_crash_after_claim_is_made_good_once_the_lease_is_over(deployment: Deployment) -> None:
    """A dead host's row is stored under its key by one PUT; one whose lease runs is left alone."""

    over, running = timedelta(hours=-1), timedelta(hours=1)
    dead = claimed_by_another(deployment, "dead", over)
    begun = claimed_by_another(deployment, "begun", over, current_store="s3", fence=7)
    alive = claimed_by_another(deployment, "alive", running, current_store="s3", fence=7)
    with deployment.daemon():
        neighbour = Neighbour(deployment)
        jobs = deployment.wait_final(dead, begun)
        assert neighbour.fate() == WELL
    untouched = deployment.job(alive)

    assert [verdict(job) for job in jobs] == [("done", "s3", None)] * 2
    assert [job["crash_count"] for job in jobs] == [1, 1]
    assert jobs[1]["s3_attempts"] == 1  # given back for the crash, and charged anew
    assert [row["outcome"] for row in deployment.attempts(begun)] == ["lost", "succeeded"]
    assert (len(deployment.puts("dead")), len(deployment.puts("begun"))) == (1, 1)
    assert deployment.s3_content("dead") == b"content"
    assert verdict(untouched) == ("running", None, None)
    assert (untouched["claimed_by"], untouched["fence"]) == ("dead-host:1", 7)
    assert deployment.puts("alive") == []


def test_crash_in_the_last_attempt_is_forgiven_once(sqlite_deployment: Deployment) -> None:
    """Over both lives S3 is asked once more than without the crash, then OSS takes over."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", key=deployment.key("last"), times=math.inf)
    last = claimed_by_another(
        deployment, "last", timedelta(hours=-1), current_store="s3", s3_attempts=ATTEMPTS
    )
    with deployment.daemon():
        neighbour = Neighbour(deployment)
        (job,) = deployment.wait_final(last)
        assert neighbour.fate() == WELL

    assert verdict(job) == ("done", "oss", None)
    assert (job["s3_attempts"], job["oss_attempts"]) == (ATTEMPTS, 1)
    assert len(deployment.puts("last")) == 1


def test_sigterm_twice_ends_at_once(sqlite_deployment: Deployment) -> None:
    """The second signal cuts the upload short: exit 0, no attempt charged, claimable at once."""

    deployment = sqlite_deployment
    held = deployment.s3.hold(key=deployment.key("cut"), method="PUT")
    with deployment.daemon(
        OUTHAUL_DRAIN_SECONDS="60", OUTHAUL_ATTEMPT_TIMEOUT_SECONDS="90"
    ) as daemon:
        cut = deployment.insert_file("cut")
        assert held.arrived.wait(20)
        daemon.signal(signal.SIGTERM)
        wait_for(lambda: daemon.events("stopping"), 10, "the daemon to begin its end")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        released = deployment.job(cut)
        daemon.start()
        neighbour = Neighbour(deployment)
        (job,) = deployment.wait_final(cut)
        assert neighbour.fate() == WELL

    assert verdict(released) == ("pending", None, None)
    assert (released["claimed_by"], released["s3_attempts"]) == (None, 0)
    assert verdict(job) == ("done", "s3", None)
    assert [row["outcome"] for row in deployment.attempts(cut)] == ["interrupted", "succeeded"]
    assert history(deployment, cut)[-1] == ("s3", 1, None)


def test_sigterm_during_a_retry_wait_ends_at_once(sqlite_deployment: Deployment) -> None:
    """Exit 0 long before the wait is over; the wait outlives the restart, and so does the count."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", key=deployment.key("later"))
    with deployment.daemon(OUTHAUL_UPLOAD_RETRY_DELAYS="300") as daemon:
        bad = deployment.insert_file("later")
        waiting = waiting_row(deployment, bad, 1)
        assert daemon.stop(20) == 0
        daemon.start()
        neighbour = Neighbour(deployment)
        assert neighbour.fate() == WELL
        unchanged = deployment.job(bad)
        make_due(deployment, bad)
        (job,) = deployment.wait_final(bad)

    assert unchanged == waiting
    assert verdict(job) == ("done", "s3", None)
    assert history(deployment, bad) == [("s3", 1, "SlowDown"), ("s3", 2, None)]


def test_late_tick_stops_no_later_one(sqlite_deployment: Deployment) -> None:
    """After three seconds in which nothing could run, ticks go on without a word in the log."""

    deployment = sqlite_deployment
    with deployment.daemon() as daemon:
        daemon.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        wait_for(lambda: time.monotonic() > stopped + 3, 10, "ticks to be three seconds late")
        daemon.signal(signal.SIGCONT)
        assert Neighbour(deployment).fate() == WELL
        assert Neighbour(deployment).fate() == WELL

    assert [event["event"] for event in daemon.events() if event["level"] != "info"] == []
    assert "missed" not in daemon.text()
    assert "maximum number of running instances" not in daemon.text()


def test_raised_tick_stops_no_later_one() -> None:
    """A tick that raises comes again, and so does its neighbour."""

    raised, calm = itertools.count(), itertools.count()

    def fail() -> None:
        next(raised)
        raise RuntimeError("a bug in a tick")

    def count() -> None:
        next(calm)

    scheduler = Scheduler({"fails": (0.01, fail), "calm": (0.01, count)})
    scheduler.start()
    try:
        wait_for(lambda: next(raised) > 5, 10, "a tick that raises to come again")
        wait_for(lambda: next(calm) > 5, 10, "its neighbour to come again")
    finally:
        scheduler.stop()


def test_log_on_a_full_disk_stops_nobody(sqlite_deployment: Deployment) -> None:
    """Rows fail, are retried and are stored, though not one line can be written about them."""

    deployment = sqlite_deployment
    deployment.s3.fail(503, "SlowDown", key=deployment.key("mute"), times=2)
    daemon = DaemonProcess(deployment.environment(), Path("/dev/full"))
    with contextlib.ExitStack() as cleanup:
        cleanup.push(daemon)
        daemon.start(wait=False)
        bad = deployment.insert_file("mute")
        neighbour = Neighbour(deployment)
        (job,) = deployment.wait_final(bad)
        assert neighbour.fate() == WELL
        daemon.stop()

    assert verdict(job) == ("done", "s3", None)
    assert history(deployment, bad) == [
        ("s3", 1, "SlowDown"),
        ("s3", 2, "SlowDown"),
        ("s3", 3, None),
    ]
    assert deployment.query("SELECT worker FROM upload_daemons") == []


def upload_many(deployment: Deployment, lot: str, count: int) -> None:
    """Insert so many small files at once, and wait until each is in S3."""
    rows = [deployment.insert_file(f"{lot}/{number}") for number in range(count)]
    jobs = deployment.wait_final(*rows, seconds=60)
    assert {verdict(job) for job in jobs} == {("done", "s3", None)}


def test_many_jobs_need_no_more_memory_than_some(sqlite_deployment: Deployment) -> None:
    """Two hundred jobs after the first hundred cost neither memory nor threads."""

    deployment = sqlite_deployment
    with deployment.daemon() as daemon:
        upload_many(deployment, "first", 100)
        memory, running = resident_bytes(daemon.pid), threads(daemon.pid)
        upload_many(deployment, "more", 200)

        assert resident_bytes(daemon.pid) - memory < 8 * MIB
        assert threads(daemon.pid) == running


def test_many_resets_leave_no_descriptor_open(sqlite_deployment: Deployment) -> None:
    """Two hundred connections cut within a body, and not a descriptor more than before."""

    deployment = sqlite_deployment
    workers = 2
    deployment.s3.reset(key=deployment.key("reset/"), method="PUT", times=math.inf)
    settings = {"OUTHAUL_WORKERS": str(workers), "OUTHAUL_UPLOAD_RETRY_DELAYS": "0,0,0"}
    with deployment.daemon(**settings) as daemon:
        upload_many(deployment, "before", 5)
        baseline = descriptors(daemon.pid)
        rows = [deployment.insert_file(f"reset/{number}", bytes(100_000)) for number in range(50)]
        neighbour = Neighbour(deployment)
        jobs = deployment.wait_final(*rows, seconds=60)
        assert neighbour.fate() == WELL
        # OSS was not in use before: one idle connection for each worker may be new.
        assert descriptors(daemon.pid) <= baseline + workers

    assert {verdict(job) for job in jobs} == {("done", "oss", None)}
    assert len([request for request in deployment.puts() if "reset/" in request.key]) == 200
    codes = {row["error_code"] for row in deployment.attempts(rows[0])[:-1]}
    assert codes == {"NetworkError"}
