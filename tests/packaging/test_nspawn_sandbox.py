"""What the real daemon can do inside the sandbox of its unit, and what it cannot."""

from __future__ import annotations

import pytest

from tests.conftest import need
from tests.packaging.nspawn import Machine
from tests.packaging.service import LOCAL, OUTHAUL, Service
from tests.support.postgresql import PostgresServer
from tests.support.seaweed import SeaweedServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(600)]

CREDENTIALS = "/etc/outhaul/credentials"
# What the client of a PostgreSQL outbox does.
INSERT = """\
import sys, psycopg
with psycopg.connect(sys.argv[1].replace("+psycopg", "")) as outbox:
    outbox.execute("INSERT INTO upload_outbox (storage_key, payload) VALUES ('row.txt', 'bytes')")
"""


def serve(machine: Machine, name: str) -> dict[str, str]:
    """Start one of `servers` in the machine, and return the settings that lead to it."""
    machine.run("systemctl", "start", f"server@{name}")
    lines = machine.place(f"/var/lib/servers/{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def keep_as_credential(service: Service, name: str, secret: str) -> None:
    """Put a secret where only root reads it, for systemd to hand over at the start."""
    file = f"{CREDENTIALS}/{name}"
    service.machine.write(file, f"{secret}\n")
    service.machine.place(file).chmod(0o600)
    service.override(f"LoadCredential={name}:{file}")


def environment(service: Service) -> dict[str, str]:
    """Return the environment of the running daemon."""
    text = service.machine.run("cat", f"/proc/{service.show('MainPID')}/environ")
    return dict(line.split("=", 1) for line in text.split("\0") if line)


def test_s3_is_reached_with_a_key_from_the_credentials(service: Service) -> None:
    """boto3 works in the sandbox, and signs with a secret that no environment shows."""

    need(SeaweedServer)
    settings = serve(service.machine, "s3")
    secret = settings.pop("AWS_SECRET_ACCESS_KEY")
    keep_as_credential(service, "AWS_SECRET_ACCESS_KEY", secret)
    service.configure(settings)
    service.systemctl("start")

    service.insert("cloud.txt")

    job = service.wait_until_done("cloud.txt")
    assert (job["storage_type"], job["verified_by"]) == ("s3", "sha256")
    assert secret not in environment(service).values()


def test_oss_takes_over_where_s3_refuses(service: Service) -> None:
    """The fallback works in the sandbox too: oss2, after an answer of S3 that no retry mends."""

    need(SeaweedServer)
    s3, oss = serve(service.machine, "s3"), serve(service.machine, "oss")
    service.configure(s3, oss, S3_BUCKET_NAME="no-such-bucket")
    service.systemctl("start")

    service.insert("fallback.txt")

    job = service.wait_until_done("fallback.txt")
    assert (job["storage_type"], job["verified_by"]) == ("oss", "crc64")
    assert (job["s3_attempts"], job["oss_attempts"]) == (1, 1)


def test_the_outbox_may_be_in_postgresql(service: Service) -> None:
    """The driver works in the sandbox, and a URL from the credentials wins over the unit's own."""

    need(PostgresServer)
    url = serve(service.machine, "postgresql")["OUTHAUL_DATABASE_URL"]
    keep_as_credential(service, "OUTHAUL_DATABASE_URL", url)
    service.configure(LOCAL)
    service.machine.run("env", f"OUTHAUL_DATABASE_URL={url}", OUTHAUL, "db", "upgrade")
    service.systemctl("start")

    service.machine.run("/opt/outhaul/bin/python", "-c", INSERT, url)

    wait_for(lambda: "row.txt" in service.journal(), 60, "the job to be done")


def test_the_daemon_is_confined(service: Service) -> None:
    """It runs as its own user with no capability, no way to one, and a system call filter."""

    service.configure(LOCAL)
    service.systemctl("start")

    status = service.machine.run("cat", f"/proc/{service.show('MainPID')}/status")
    found = dict(line.split(":\t", 1) for line in status.splitlines())
    assert found["Uid"].split() == [service.machine.run("id", "-u", "outhaul")] * 4
    assert {int(found[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_another_spool_is_opened_by_the_installer(service: Service) -> None:
    """A directory of the clients' own group is readable to the daemon once --spool names it."""

    machine = service.machine
    machine.run("groupadd", "--force", "uploads")
    machine.run("install", "-d", "-m", "2750", "-o", "client", "-g", "uploads", "/srv/uploads")
    machine.run(OUTHAUL, "systemd", "install", "--spool", "/srv/uploads")
    service.configure(LOCAL)
    service.systemctl("start")

    service.insert("elsewhere.txt", "/srv/uploads")

    service.wait_until_stored("elsewhere.txt")


def test_a_lane_has_a_daemon_of_its_own(service: Service) -> None:
    """The instance serves the lane of its name, also where the shared settings name another."""

    service.configure(LOCAL, OUTHAUL_QUEUES="default")
    service.machine.run("systemctl", "start", "outhaul@reports")

    service.insert("first.txt", queue="default")
    service.insert("second.txt", queue="reports")

    service.wait_until_stored("second.txt")
    assert service.job("first.txt")["status"] == "pending"
