"""`outhaul systemd install` and `uninstall` on a system that runs."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from tests.packaging.service import LOCAL, OUTHAUL, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packaging.nspawn import Machine

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(600)]


@pytest.fixture
def removable(service: Service) -> Iterator[Service]:
    """The service, installed again afterwards: other tests use the same machine."""
    yield service
    service.machine.run(OUTHAUL, "systemd", "install")


def states(machine: Machine, *arguments: str) -> set[str]:
    """Return what `outhaul systemd` says about its steps."""
    answer = json.loads(machine.run(OUTHAUL, "systemd", *arguments, "--json"))
    assert answer["ok"]
    return {step["state"] for step in answer["data"]["steps"]}


def test_the_installed_files_are_open_to_those_they_are_for(service: Service) -> None:
    """Clients reach the spool and its outbox, and nobody but root the settings."""

    expected = {
        "/var/spool/outhaul": ("outhaul:outbox", 0o2770),
        "/var/spool/outhaul/outbox.db": ("outhaul:outbox", 0o660),
        "/etc/outhaul/outhaul.env": ("root:root", 0o600),
    }
    found = {
        path: (
            service.machine.run("stat", "--format=%U:%G", path),
            stat.S_IMODE(service.machine.place(path).stat().st_mode),
        )
        for path in expected
    }
    assert found == expected


def test_install_now_starts_the_service_and_a_rerun_finds_it_running(removable: Service) -> None:
    """--now enables and starts; the same command again has nothing to do."""

    removable.configure(LOCAL)

    assert "change" in states(removable.machine, "install", "--now")

    assert removable.show("ActiveState") == "active"
    assert removable.show("UnitFileState") == "enabled"
    assert states(removable.machine, "install", "--now") == {"unchanged"}


def test_install_now_without_a_store_says_which_step_failed(removable: Service) -> None:
    """A start that the settings forbid is a failure of the command, with an answer for programs."""

    removable.configure({})

    with pytest.raises(RuntimeError, match=r'"code": "PROVISIONING".*restart outhaul\.service'):
        removable.machine.run(OUTHAUL, "systemd", "install", "--now", "--json")


def test_an_upgrade_restarts_the_running_service(removable: Service) -> None:
    """A unit that has changed is in force at once: reload, and a new process."""

    removable.configure(LOCAL)
    removable.machine.run(OUTHAUL, "systemd", "install", "--now")
    pid = removable.show("MainPID")
    unit = removable.machine.place("/etc/systemd/system/outhaul.service")
    unit.write_text(unit.read_text().replace("UMask=0077", "UMask=0027"))
    removable.machine.run("systemctl", "daemon-reload")
    assert removable.show("UMask") == "0027"

    removable.machine.run(OUTHAUL, "systemd", "install", "--now")

    assert removable.show("UMask") == "0077"
    assert removable.show("MainPID") not in {pid, "0"}


def test_uninstall_stops_everything_and_keeps_the_outbox(removable: Service) -> None:
    """The service and every lane are stopped and gone; jobs stay."""

    machine = removable.machine
    removable.configure(LOCAL)
    machine.run(OUTHAUL, "systemd", "install", "--now")
    machine.run("systemctl", "enable", "--now", "outhaul@reports")

    assert "change" in states(machine, "uninstall")

    for unit in ("outhaul.service", "outhaul@reports.service"):
        assert machine.show(unit, "ActiveState") == "inactive"
        assert machine.show(unit, "LoadState") == "not-found"
    assert machine.run("pgrep", "--uid", "outhaul", check=False) == ""
    assert machine.place("/var/spool/outhaul/outbox.db").exists()
    assert states(machine, "uninstall") == {"unchanged"}
