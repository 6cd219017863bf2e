"""What the sandboxed service can reach: spools opened to it, and nothing out of its sight."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outhaul.sandbox import Spool
from outhaul.sandbox import drop_in as written
from tests.packaging.image import EXECUTABLE, drop_in, install, place_executable, run


def test_a_spool_elsewhere_gets_a_drop_in(image: Path) -> None:
    """Both daemons may read and write it, and join the group that owns it."""

    spool = image / "srv/uploads"
    spool.mkdir(parents=True)
    group = os.getgid() or 4242
    os.chown(spool, -1, group)

    install(image, "--spool=/srv/uploads")

    assert drop_in(image).splitlines()[1:] == [
        "[Service]",
        "Environment=OUTHAUL_SOURCE_ROOTS=/var/spool/outhaul:/srv/uploads",
        "ReadWritePaths=/srv/uploads",
        f"SupplementaryGroups={group}",
    ]
    assert drop_in(image, "outhaul@.service") == drop_in(image)


@pytest.mark.parametrize("group", ["root", "outbox", "0"])
def test_groups_that_open_too_much_or_nothing_new_are_not_joined(group: str) -> None:
    """Group root opens more than a spool, and the units are in outbox already."""

    assert "SupplementaryGroups" not in written([Spool(Path("/srv/uploads"), group)])


def test_a_spool_below_the_default_one_needs_no_drop_in(image: Path) -> None:
    """What is open already is not opened again."""

    (image / "var/spool/outhaul/reports").mkdir(parents=True)

    assert install(image, "--spool=/var/spool/outhaul/reports").exit_code == 0

    assert not (image / "etc/systemd/system/outhaul.service.d").exists()


@pytest.mark.parametrize("path", ["/home/me/bin/outhaul", "/root/bin/outhaul", "/tmp/bin/outhaul"])
def test_an_executable_out_of_sight_is_refused(image: Path, path: str) -> None:
    """The sandbox hides home and temporary directories, so the service could not start."""

    place_executable(image, path, "/usr/bin/python3")

    result = run("install", image, f"--executable={path}")

    assert result.exit_code == 1
    assert "the service cannot see" in result.stderr
    assert not (image / "etc").exists()


def test_an_interpreter_out_of_sight_is_refused(image: Path) -> None:
    """A script in a good place is no use with a Python in somebody's home directory."""

    place_executable(image, "/opt/o/outhaul", "/root/.local/share/uv/python/bin/python")

    result = run("install", image, "--executable=/opt/o/outhaul")

    assert result.exit_code == 1
    assert "the interpreter of /opt/o/outhaul, /root/.local" in result.stderr


def test_an_executable_that_is_missing_is_refused(image: Path) -> None:
    """A unit is written only for a program that is there."""

    result = run("install", image, f"--executable={EXECUTABLE}-2")

    assert result.exit_code == 1
    assert result.stderr == f"outhaul: there is no executable {EXECUTABLE}-2\n"


@pytest.mark.parametrize("spool", ["/home/me/out", "/tmp/out", "/srv/with space", "/srv/50%", "/"])
def test_a_spool_the_service_cannot_use_is_refused(image: Path, spool: str) -> None:
    """Out of sight, not expressible in a unit, or everything: no unit is written for those."""

    (image / spool.lstrip("/")).mkdir(parents=True, exist_ok=True)

    result = install(image, f"--spool={spool}")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"outhaul: spool {spool}: ")
    assert not (image / "etc").exists()


def test_a_spool_that_is_no_directory_is_refused(image: Path) -> None:
    """ReadWritePaths= of what is not there fails the start, and a file is not what was meant."""

    (image / "srv").mkdir()
    (image / "srv/file").touch()

    told = [install(image, f"--spool=/srv/{name}").stderr for name in ("file", "missing")]

    assert told == [
        "outhaul: spool /srv/file: not a directory\n",
        "outhaul: spool /srv/missing: No such file or directory\n",
    ]
