"""The daemon as a systemd service: installed from the wheel, under a systemd that is real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging import nspawn
from tests.packaging.means import need
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
UNIT = "outhaul.service"
OUTHAUL = "/opt/outhaul/bin/outhaul"
OUTBOX = "/var/spool/outhaul/outbox.db"
STORED = "/var/lib/outhaul/objects"

# Shorter waits than the shipped unit's, so that a test takes seconds. The mechanisms are the same.
HASTE = """\
[Service]
WatchdogSec=4
RestartSec=200ms
TimeoutAbortSec=5
"""
LOCAL = f"OUTHAUL_LOCAL_DIR={STORED}\nOUTHAUL_DRAIN_SECONDS=2\nOUTHAUL_UPLOAD_RETRY_DELAYS=0,0,0\n"
HANGING_S3 = """\
S3_BUCKET_NAME=hole
S3_ENDPOINT_URL=http://127.0.0.1:9999
AWS_REGION=us-east-1
AWS_ACCESS_KEY_ID=nobody
AWS_SECRET_ACCESS_KEY=nothing
"""
# Accepts every connection and never answers.
BLACK_HOLE = """\
import socket
server = socket.create_server(("127.0.0.1", 9999))
held = []
while held.append(server.accept()[0]) is None:
    print("caught", flush=True)
"""
INSERT = f"""\
import pathlib, sqlite3, sys
source = pathlib.Path(sys.argv[2]) / sys.argv[1]
source.write_text("the bytes of " + source.name)
outbox = sqlite3.connect("{OUTBOX}", timeout=30)
with outbox:
    outbox.execute("INSERT INTO upload_outbox (storage_key, source_path) VALUES (?, ?)",
                   (source.name, str(source)))
"""
SELECT = f"""\
import sqlite3, sys
outbox = sqlite3.connect("{OUTBOX}", timeout=30)
query = "SELECT status, storage_type, s3_attempts FROM upload_outbox WHERE storage_key = ?"
print(*outbox.execute(query, sys.argv[1:]).fetchone())
"""


class Service:
    """The service in the machine, and a client in group outbox."""

    def __init__(self, machine: nspawn.Machine) -> None:
        self.machine = machine

    def configure(self, environment: str) -> None:
        """Write the settings of the next start."""
        self.machine.write("/etc/outhaul/outhaul.env", environment)

    def systemctl(self, verb: str, *options: str) -> None:
        """Do something to the unit."""
        self.machine.run("systemctl", verb, *options, UNIT)

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.machine.show(UNIT, name)

    def insert(self, key: str, spool: str = "/var/spool/outhaul") -> None:
        """Hand over a file and its job, as a client in group outbox does."""
        client = ("runuser", "-u", "client", "--", "/usr/bin/python3", "-c", INSERT)
        self.machine.run(*client, key, spool)

    def job(self, key: str) -> str:
        """Return status, store and attempts on s3 of the job, as words."""
        return self.machine.run("/usr/bin/python3", "-c", SELECT, key)

    def wait_until_stored(self, key: str) -> None:
        """Wait until the job is done and its bytes are in the local store."""
        wait_for(lambda: self.job(key).startswith("done local"), 30, f"{key} to be stored")
        stored = self.machine.run("cat", f"{STORED}/{key}")
        assert stored == f"the bytes of {key}"

    def wait_until_restarted(self, old_pid: str) -> None:
        """Wait until systemd itself has replaced the process."""
        wait_for(
            lambda: self.show("ActiveState") == "active" and self.show("MainPID") != old_pid,
            30,
            "the restarted daemon",
        )

    def journal(self) -> str:
        """Return what systemd and the daemon wrote, and the failure hook."""
        return self.machine.run("journalctl", "--no-pager", "-o", "cat")


def install_outhaul(root: Path) -> None:
    """Build the wheel of this repository and install it at the path the shipped units name."""
    wheels = root / "tmp/wheels"
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels))
    subprocess.run([*pip, str(REPOSITORY)], check=True)
    wheel = next(wheels.iterdir()).name
    # The system's Python: one below a home directory is out of the service's sight.
    chroot = ("chroot", str(root))
    subprocess.run([*chroot, "/usr/bin/python3", "-m", "venv", "/opt/outhaul"], check=True)
    install = ("/opt/outhaul/bin/pip", "install", "--quiet", f"/tmp/wheels/{wheel}")
    subprocess.run([*chroot, *install], check=True)


@pytest.fixture(scope="module")
def machine() -> Iterator[nspawn.Machine]:
    """A booted machine with outhaul installed as its manual says, and a client account."""
    need(given=nspawn.is_possible(), missing=nspawn.MISSING)
    with nspawn.Machine() as booted:
        booted.prepare(install_outhaul)
        booted.boot()
        booted.run(OUTHAUL, "systemd", "install")
        booted.run("useradd", "--groups", "outbox", "client")
        booted.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
        booted.write(f"/etc/systemd/system/{UNIT}.d/haste.conf", HASTE)
        booted.run("systemctl", "daemon-reload")
        yield booted


@pytest.fixture
def service(machine: nspawn.Machine) -> Iterator[Service]:
    """The service, stopped, with an empty outbox and empty stores."""
    machine.run("sh", "-c", f"rm -rf /var/spool/outhaul/* {STORED}")
    machine.run("systemd-tmpfiles", "--create", "outhaul.conf")
    yield Service(machine)
    machine.run("systemctl", "stop", UNIT, "black-hole.service", check=False)
    machine.run("systemctl", "reset-failed", check=False)


def dig_black_hole(machine: nspawn.Machine) -> None:
    """Start the store that never answers."""
    machine.run("systemd-run", "--unit=black-hole", "/usr/bin/python3", "-c", BLACK_HOLE)


def wait_for_catch(machine: nspawn.Machine) -> None:
    """Wait until an upload hangs in the black hole."""
    # By invocation: the black hole of an earlier test has left its lines too.
    invocation = machine.show("black-hole.service", "InvocationID")
    journal = ("journalctl", "-o", "cat", f"_SYSTEMD_INVOCATION_ID={invocation}")
    wait_for(lambda: "caught" in machine.run(*journal), 30, "an upload that hangs")


def test_the_unit_is_active_only_once_the_daemon_says_so(service: Service) -> None:
    """A start is under way until READY=1, and systemd shows the daemon's own words from then on."""
    service.configure(LOCAL)

    service.systemctl("start", "--no-block")
    assert service.show("ActiveState") == "activating"
    wait_for(lambda: service.show("ActiveState") != "activating", 30, "the end of the start")

    assert service.show("ActiveState") == "active"
    assert service.show("StatusText") != ""


def test_a_clients_file_is_uploaded(service: Service) -> None:
    """A member of group outbox drops a file and a row, and the sandboxed daemon stores it."""
    service.configure(LOCAL)
    service.systemctl("start")

    service.insert("report.txt")

    service.wait_until_stored("report.txt")


def test_a_stop_gives_the_running_upload_back(service: Service) -> None:
    """A stop in the middle of an upload succeeds in time and costs the job no attempt."""
    service.configure(LOCAL + HANGING_S3)
    dig_black_hole(service.machine)
    service.systemctl("start")
    service.insert("hung.txt")
    wait_for_catch(service.machine)

    service.systemctl("stop")

    assert service.show("Result") == "success"
    assert service.job("hung.txt") == "pending None 0"


def test_a_restart_goes_on_with_the_upload(service: Service) -> None:
    """A job whose upload a restart cut short is stored by the next process."""
    service.configure(LOCAL + HANGING_S3)
    dig_black_hole(service.machine)
    service.systemctl("start")
    service.insert("resumed.txt")
    wait_for_catch(service.machine)

    service.machine.run("systemctl", "stop", "black-hole.service")
    service.systemctl("restart")

    service.wait_until_stored("resumed.txt")


def test_a_crash_is_restarted(service: Service) -> None:
    """A daemon killed outright comes back by itself and works."""
    service.configure(LOCAL)
    service.systemctl("start")
    pid = service.show("MainPID")

    service.systemctl("kill", "--signal=KILL")

    service.wait_until_restarted(pid)
    assert service.show("NRestarts") == "1"
    service.insert("after-crash.txt")
    service.wait_until_stored("after-crash.txt")


def test_a_hang_is_restarted(service: Service) -> None:
    """The watchdog ends a daemon that stands still, and systemd starts another."""
    service.configure(LOCAL)
    service.systemctl("start")
    pid = service.show("MainPID")

    service.systemctl("kill", "--signal=STOP", "--kill-whom=main")

    service.wait_until_restarted(pid)
    assert "Failed with result 'watchdog'" in service.journal()


def test_a_bad_configuration_stays_down(service: Service) -> None:
    """Exit 78 is final: no restart, and the failure hook says which unit and why."""
    service.configure(LOCAL + "OUTHAUL_LEASE_SECONDS=soon\n")

    with pytest.raises(RuntimeError, match="failed"):
        service.systemctl("start")

    wait_for(lambda: "outhaul has failed and stays down" in service.journal(), 10, "the hook")
    assert "exit=exited/78" in service.journal()
    assert service.show("ExecMainStatus") == "78"
    assert service.show("NRestarts") == "0"


def test_another_spool_is_opened_by_the_installer(service: Service) -> None:
    """A directory of the clients' own group is readable to the daemon once --spool names it."""
    machine = service.machine
    machine.run("groupadd", "uploads")
    machine.run("install", "-d", "-m", "2750", "-o", "client", "-g", "uploads", "/srv/uploads")
    machine.run(OUTHAUL, "systemd", "install", "--spool", "/srv/uploads")
    service.configure(LOCAL)
    service.systemctl("start")

    service.insert("elsewhere.txt", "/srv/uploads")

    service.wait_until_stored("elsewhere.txt")


def test_a_lane_has_a_daemon_of_its_own(service: Service) -> None:
    """The instance name is the lane, even where the shared environment names another."""
    service.configure(LOCAL + "OUTHAUL_QUEUES=default\n")
    machine = service.machine

    machine.run("systemctl", "start", "outhaul@reports")

    pid = machine.show("outhaul@reports", "MainPID")
    environment = machine.run("cat", f"/proc/{pid}/environ")
    assert "OUTHAUL_QUEUES=reports" in environment.split("\0")
    machine.run("systemctl", "stop", "outhaul@reports")


def test_install_and_uninstall_on_a_running_system(service: Service) -> None:
    """--now starts the service, a rerun finds nothing to do, and uninstall leaves no unit."""
    machine = service.machine
    service.configure(LOCAL)

    machine.run(OUTHAUL, "systemd", "install", "--now")
    assert service.show("ActiveState") == "active"
    assert "change" not in machine.run(OUTHAUL, "systemd", "install", "--now").split()

    machine.run(OUTHAUL, "systemd", "uninstall")
    assert service.show("LoadState") == "not-found"

    machine.run(OUTHAUL, "systemd", "install")
