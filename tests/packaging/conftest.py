"""What several packaging tests start from."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import need
from tests.packaging import servers
from tests.packaging.image import EXECUTABLE, SystemdTools, place_executable
from tests.packaging.nspawn import Machine
from tests.packaging.service import OUTHAUL, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with outhaul in it, and no accounts yet."""
    need(SystemdTools)
    place_executable(tmp_path, EXECUTABLE, "/usr/local/lib/outhaul/bin/python")
    return tmp_path


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A booted machine with outhaul installed as its manual says, and a client account."""
    need(Machine)
    with Machine(_binds()) as booted:
        _install_wheel(booted.root)
        booted.write("/etc/systemd/system/server@.service", servers.UNIT)
        booted.boot()
        booted.run(OUTHAUL, "systemd", "install")
        booted.run("useradd", "--groups", "outbox", "client")
        yield booted


@pytest.fixture
def service(machine: Machine) -> Service:
    """The service, stopped, with an empty outbox and empty stores."""
    return Service(machine)


def _binds() -> dict[Path, str]:
    """What the servers inside are run from: this repository, and SeaweedFS where it is here."""
    scripts = sysconfig.get_path("scripts")
    weed = shutil.which("weed", path=scripts) or shutil.which("weed")
    binds = {REPOSITORY / "tests": "/opt/repository/tests"}
    return binds | ({Path(weed): "/usr/local/bin/weed"} if weed else {})


def _install_wheel(root: Path) -> None:
    """Build the wheel of this repository and install it at the path the shipped units name."""
    wheels = root / "var/tmp/wheels"
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels))
    subprocess.run([*pip, str(REPOSITORY)], check=True)
    (wheel,) = wheels.iterdir()
    # The system's Python: one below a home directory is out of the service's sight.
    chroot = ("chroot", str(root))
    subprocess.run([*chroot, "/usr/bin/python3", "-m", "venv", "/opt/outhaul"], check=True)
    wanted = f"/var/tmp/wheels/{wheel.name}[postgresql,mysql]"
    subprocess.run([*chroot, "/opt/outhaul/bin/pip", "install", "--quiet", wanted], check=True)
