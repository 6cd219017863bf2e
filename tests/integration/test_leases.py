"""Leases: renewed while an upload lasts, taken when their owner is gone, never kept by a ghost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clock import database_now, lease_end
from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment
from tests.support.served import serve
from tests.support.session import Session
from tests.support.waiting import wait_for

#: Leases that run out soon, and are looked for often.
BRIEF = {"OUTHAUL_LEASE_SECONDS": "2", "OUTHAUL_RESCUE_SECONDS": "0.2"}


@dataclass(frozen=True, slots=True)
class Pair:
    """An outbox that two daemons serve."""

    deployment: Deployment
    daemons: tuple[DaemonProcess, DaemonProcess]

    def owner(self, job_id: int) -> DaemonProcess:
        """The daemon that has claimed a job: it signs as host:pid:random."""
        pid = int(self.deployment.job(job_id)["claimed_by"].split(":")[1])
        return next(daemon for daemon in self.daemons if daemon.pid == pid)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two daemons with brief leases, on each database."""
    with serve(request, **BRIEF) as one, one.deployment.daemon("two", **BRIEF) as two:
        yield Pair(one.deployment, (one.daemon, two))


def freeze(deployment: Deployment, daemon: DaemonProcess, job_id: int) -> None:
    """SIGSTOP, but not within a transaction: its locks would outlast the lease."""
    with Session(deployment.database_url) as other:
        while True:
            daemon.signal(signal.SIGSTOP)
            wait_for(lambda: _is_stopped(daemon.pid), 30, "the daemon to stand still")
            if not other.is_locked(job_id):
                return
            daemon.signal(signal.SIGCONT)


def test_a_lease_is_renewed_for_as_long_as_the_upload_lasts(pair: Pair) -> None:
    """An upload that takes longer than its lease stays where it is: one claim, one attempt."""

    deployment = pair.deployment
    held = deployment.s3.hold(key="long", method="PUT")
    job_id = deployment.insert_file("long.bin")
    assert held.arrived.wait(30)
    first = lease_end(deployment, job_id)
    assert first is not None
    # And a second more, in which the other daemon looks for orphans five times.
    over = first + timedelta(seconds=1)
    wait_for(lambda: database_now(deployment) > over, 30, "the first lease to be over")
    held.release()
    (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["s3_attempts"], job["fence"]) == ("done", 1, 1)
    assert len(deployment.puts("long.bin")) == 1


@pytest.mark.parametrize("answered", [False, True], ids=["no answer", "an answer"])
def test_a_frozen_daemon_changes_nothing_when_it_wakes(pair: Pair, answered: bool) -> None:
    """Stopped past its lease, it writes to neither row nor store, and says that it lost the job."""

    deployment, name = pair.deployment, f"fenced {answered}.bin"
    held = deployment.s3.hold(key=name, method="PUT", after_store=answered)
    job_id = deployment.insert_file(name, b"fenced")
    assert held.arrived.wait(30)
    frozen = pair.owner(job_id)
    freeze(deployment, frozen, job_id)
    if answered:
        held.release()
    (done,) = deployment.wait_final(job_id)
    history = deployment.attempts(job_id)
    frozen.signal(signal.SIGCONT)
    wait_for(lambda: _has_lost(frozen, job_id), 30, "the loss to be noticed")
    held.release()
    assert held.stored.wait(30)

    assert (done["status"], done["storage_type"], done["s3_attempts"]) == ("done", "s3", 1)
    assert [(row["attempt"], row["outcome"]) for row in history] == [(1, "lost"), (1, "succeeded")]
    assert history[0]["worker"] != history[1]["worker"]
    assert (deployment.job(job_id), deployment.attempts(job_id)) == (done, history)
    assert len(deployment.puts(name)) == 2
    assert deployment.s3_content(name) == b"fenced"


def _is_stopped(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return all(b"\nState:\tT" in (task / "status").read_bytes() for task in tasks)


def _has_lost(daemon: DaemonProcess, job_id: int) -> bool:
    events = daemon.events("Job lost to another daemon")
    return any(event["job_id"] == job_id for event in events)
