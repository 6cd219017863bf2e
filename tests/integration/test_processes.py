"""Several daemons as one service: they share the work, and live and die together."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment
from tests.support.waiting import wait_for

_TWO = {"OUTHAUL_PROCESSES": "2", "OUTHAUL_WORKERS": "4"}


def children(daemon: DaemonProcess) -> list[int]:
    """The processes that a supervisor has started and that still live."""
    listed = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def both_ready(daemon: DaemonProcess) -> list[int]:
    """The two daemons, once both have said that they are ready."""
    wait_for(lambda: len(daemon.events("outhaul is ready")) >= 2, 30, "two daemons to be ready")
    return children(daemon)


def gone(pids: list[int]) -> bool:
    """Whether none of the processes is left."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_two_processes_share_the_work(deployment: Deployment) -> None:
    """While one process is busy, the other does the rest; every job is done once."""

    with deployment.daemon(OUTHAUL_PROCESSES="2", OUTHAUL_WORKERS="2") as daemon:
        both_ready(daemon)
        held = deployment.s3.hold(key=deployment.key("held.bin"))
        first = deployment.insert_file("held.bin")
        assert held.arrived.wait(30)
        others = [deployment.insert_file(f"{number}.bin") for number in range(20)]
        deployment.wait_final(*others, seconds=60)
        held.release()
        jobs = deployment.wait_final(first, *others)

    assert {job["status"] for job in jobs} == {"done"}
    assert {job["fence"] for job in jobs} == {1}
    assert len(deployment.puts()) == len(jobs)
    workers = deployment.query("SELECT DISTINCT worker FROM upload_attempts")
    assert len(workers) == 2


def test_the_workers_are_divided(sqlite_deployment: Deployment) -> None:
    """OUTHAUL_WORKERS counts uploads at once on the whole service, not in each process."""

    with sqlite_deployment.daemon(**_TWO) as daemon:
        both_ready(daemon)
        ready = daemon.events("outhaul is ready")

    assert [event["workers"] for event in ready] == [2, 2]


def test_sigterm_ends_all_of_them(sqlite_deployment: Deployment) -> None:
    """One SIGTERM to the service ends every process in order, with exit code 0."""

    with sqlite_deployment.daemon(**_TWO) as daemon:
        pids = both_ready(daemon)
        code = daemon.stop()
        wait_for(lambda: gone(pids), 10, "the daemons to be gone")

    assert code == 0
    assert len(daemon.events("stopped")) == 2


def test_a_process_that_dies_is_replaced(sqlite_deployment: Deployment) -> None:
    """A killed process is started anew, and jobs go on meanwhile."""

    with sqlite_deployment.daemon(**_TWO) as daemon:
        victim, survivor = both_ready(daemon)
        os.kill(victim, signal.SIGKILL)
        job_id = sqlite_deployment.insert_file("meanwhile.bin")
        (job,) = sqlite_deployment.wait_final(job_id)
        wait_for(lambda: len(daemon.events("outhaul is ready")) == 3, 30, "a replacement")
        now = children(daemon)

    assert job["status"] == "done"
    assert len(now) == 2
    assert survivor in now
    assert victim not in now


def test_kill_9_of_the_supervisor_takes_all_along(sqlite_deployment: Deployment) -> None:
    """No process outlives its supervisor: the next start must not meet a twin of itself."""

    with sqlite_deployment.daemon(**_TWO) as daemon:
        pids = both_ready(daemon)
        daemon.kill()
        wait_for(lambda: gone(pids), 10, "the daemons to be gone")


def test_a_bad_configuration_is_not_tried_again(sqlite_deployment: Deployment) -> None:
    """When a process refuses its configuration, the service ends with 78 at once."""

    without_stores = {"S3_BUCKET_NAME": "", "USE_OSS_STORAGE": "false"}
    daemon = sqlite_deployment.daemon(**_TWO, **without_stores)
    daemon.start(wait=False)

    assert daemon.wait() == 78
