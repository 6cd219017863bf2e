"""The daemon's life as a service: installed from the wheel, under a systemd that is real."""

from __future__ import annotations

import pytest

from tests.packaging.nspawn import Machine
from tests.packaging.service import BLACK_HOLE, LOCAL, SPOOL, Service
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(600)]


def wait_until_failed(service: Service) -> None:
    """Wait until the unit is down for good and the failure hook has spoken."""
    wait_for(lambda: "outhaul has failed and stays down" in service.journal(), 60, "the hook")
    assert service.show("ActiveState") == "failed"


def test_the_unit_is_active_only_once_the_daemon_says_so(service: Service) -> None:
    """A start is under way while the daemon waits for its database, and over when it is ready."""

    outbox = service.machine.place(f"{SPOOL}/outbox.db")
    outbox.chmod(0)
    service.configure(LOCAL)
    service.systemctl("start", "--no-block")
    wait_for(lambda: service.show("StatusText") == "waiting for the database", 60, "its words")
    assert service.show("ActiveState") == "activating"

    outbox.chmod(0o660)
    wait_for(lambda: service.show("ActiveState") == "active", 60, "the end of the start")
    assert service.show("StatusText") == "ready, 0 jobs in flight"


def test_a_clients_file_is_stored(service: Service) -> None:
    """A member of group outbox drops a file and a row, and the service stores it."""

    service.configure(LOCAL)
    service.systemctl("start")

    service.insert("report.txt")

    service.wait_until_stored("report.txt")


def test_a_stop_gives_the_running_upload_back(service: Service) -> None:
    """A stop in the middle of an upload succeeds, costs no attempt, and the next start goes on."""

    service.configure(LOCAL, BLACK_HOLE)
    # Shorter than the drain: the daemon asks for more time.
    service.override("TimeoutStopSec=1")
    service.hang_an_upload("hung.txt")
    assert service.job("hung.txt")["s3_attempts"] == 1

    service.systemctl("stop")

    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    job = service.job("hung.txt")
    assert (job["status"], job["claimed_by"], job["s3_attempts"]) == ("pending", None, 0)
    service.close_black_hole()
    service.systemctl("start")
    service.wait_until_stored("hung.txt")


def test_a_crash_in_the_middle_of_an_upload_is_made_good(service: Service) -> None:
    """Killed outright, the daemon comes back by itself and finishes the job it was at."""

    service.configure(LOCAL, BLACK_HOLE)
    service.override("RestartSec=200ms")
    service.hang_an_upload("crashed.txt")

    service.systemctl("kill", "--signal=KILL")

    service.close_black_hole()
    service.wait_until_restarted()
    service.wait_until_stored("crashed.txt")
    assert service.job("crashed.txt")["crash_count"] == 1


def test_a_hang_is_restarted(service: Service) -> None:
    """The watchdog ends a daemon that stands still, its stacks are in the journal, it is back."""

    service.configure(LOCAL)
    service.override("WatchdogSec=2", "RestartSec=200ms")
    service.systemctl("start")

    service.systemctl("kill", "--signal=STOP", "--kill-whom=main")

    service.wait_until_restarted()
    assert "Failed with result 'watchdog'" in service.journal()
    assert "Fatal Python error: Aborted" in service.journal()


def test_a_bad_configuration_stays_down(service: Service) -> None:
    """Exit 78 is final: no restart, and the failure hook says which unit and why."""

    service.configure(LOCAL, OUTHAUL_LEASE_SECONDS="soon")
    service.override("RestartSec=200ms")

    with pytest.raises(RuntimeError, match="failed"):
        service.systemctl("start")

    wait_until_failed(service)
    assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("78", "0")
    assert "exit=exited/78" in service.journal()
    assert "OUTHAUL_LEASE_SECONDS" in service.journal()


def test_a_crash_loop_comes_to_an_end(service: Service) -> None:
    """A daemon that can never start is tried as often as the unit says, then left down."""

    service.configure(LOCAL)
    service.machine.write(f"{SPOOL}/outbox.db", "no database at all, but some other file")
    service.override("RestartSec=200ms", "[Unit]", "StartLimitBurst=3")

    service.systemctl("start", "--no-block")

    wait_until_failed(service)
    # The start that the limit refuses is counted as well.
    assert service.show("NRestarts") == "3"
    assert "exit=exited/69" in service.journal()


def test_a_power_cut_loses_no_job(service: Service, machine: Machine) -> None:
    """After a reboot the outbox still holds what was running and waiting, and both are stored."""

    service.configure(LOCAL, BLACK_HOLE, OUTHAUL_WORKERS="1")
    service.hang_an_upload("running.txt")
    service.insert("waiting.txt")

    machine.cut_power()
    machine.boot()
    assert service.job("running.txt")["status"] == "running"
    service.systemctl("start")

    service.wait_until_stored("running.txt")
    service.wait_until_stored("waiting.txt")
