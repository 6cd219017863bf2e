"""The shipped unit files, as systemd itself judges them."""

from __future__ import annotations

import difflib
import re
import subprocess
from pathlib import Path

import pytest

from outhaul.config import FILE_VARIABLE, load
from outhaul.settings import setting_names
from outhaul.systemd import UNITS, Installation
from tests.conftest import need
from tests.packaging.image import SystemdTools

SHIPPED = Path(__file__).parents[2] / "systemd"
DAEMONS = ["outhaul.service", "outhaul@.service"]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as installed for an executable that exists: `verify` looks for it."""
    need(SystemdTools)
    installation = Installation(Path("/bin/true"), shipped=SHIPPED)
    for name in UNITS:
        (tmp_path / name).write_text(installation.text(name))
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    command = ("systemd-analyze", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def directives(name: str) -> list[str]:
    """Return the lines of a shipped unit that systemd acts on."""
    lines = (SHIPPED / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_every_line(units: Path, name: str) -> None:
    """No complaint at all: an unknown key is only a warning to systemd, and then not in force."""
    verdict = analyze("verify", "--man=no", str(units / name))

    assert verdict.stderr == ""
    assert verdict.returncode == 0


@pytest.mark.parametrize("name", DAEMONS)
def test_exposure_is_at_most_1_5(units: Path, name: str) -> None:
    """The sandbox scores 1.5 or better of 10; the threshold is ten times the score."""
    verdict = analyze("security", "--offline=true", "--threshold=15", str(units / name))

    assert verdict.returncode == 0, verdict.stdout


@pytest.mark.parametrize("name", DAEMONS)
def test_the_contract_with_the_daemon_is_in_the_unit(name: str) -> None:
    """Readiness, watchdog, final exit codes and the time to drain are what the daemon expects."""
    promised = {
        "Type=notify",
        "WatchdogSec=30",
        "Restart=on-failure",
        "RestartPreventExitStatus=2 78",
        "TimeoutStopSec=30",
        "KillMode=mixed",
        "EnvironmentFile=-/etc/outhaul/outhaul.env",
    }

    assert promised <= set(directives(name))


def test_a_lane_differs_by_its_lane_alone() -> None:
    """What holds for the daemon of all lanes holds for that of one."""
    lines = list(difflib.ndiff(directives(DAEMONS[0]), directives(DAEMONS[1])))

    assert [line for line in lines if line.startswith("+ ")] == [
        "+ Description=Outhaul durable upload daemon, lane %i",
        "+ ExecStart=/usr/bin/env OUTHAUL_QUEUES=%i /opt/outhaul/bin/outhaul run",
    ]


def example() -> dict[str, str]:
    """Return what the example sets once its comments are taken away."""
    text = (SHIPPED / "outhaul.env.example").read_text()
    return dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


def test_the_example_has_every_setting_and_no_other() -> None:
    """Each setting can be found where an administrator looks for it."""
    assert set(example()) == {*setting_names(), FILE_VARIABLE}


def test_the_example_is_right() -> None:
    """Every value it shows is one that the daemon accepts."""
    values = example()
    del values[FILE_VARIABLE]

    assert load(values).settings.use_oss


def test_the_example_changes_nothing() -> None:
    """As installed it sets nothing: all of it is comment."""
    lines = (SHIPPED / "outhaul.env.example").read_text().splitlines()

    assert all(line.startswith("#") for line in lines if line)
