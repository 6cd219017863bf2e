"""What the sandboxed service can reach: spools opened to it, and nothing out of its sight."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.packaging.image import drop_in, install, need_root, place_executable, run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_spool_elsewhere_gets_a_drop_in(image: Path) -> None:
    """Both daemons may read and write it, and join the group that owns it."""
    need_root()
    spool = image / "srv/uploads"
    spool.mkdir(parents=True)
    os.chown(spool, 0, 4242)
    (image / "etc").mkdir()
    (image / "etc/group").write_text("uploads:x:4242:\n")

    install(image, "--spool=/srv/uploads")

    assert drop_in(image).splitlines()[1:] == [
        "[Service]",
        "Environment=OUTHAUL_SOURCE_ROOTS=/var/spool/outhaul:/srv/uploads",
        "ReadWritePaths=/srv/uploads",
        "SupplementaryGroups=uploads",
    ]
    assert drop_in(image, "outhaul@.service") == drop_in(image)


def test_a_spool_of_roots_group_does_not_make_the_daemon_a_member(image: Path) -> None:
    """Group root opens more than a spool."""
    need_root()
    (image / "srv/uploads").mkdir(parents=True)

    install(image, "--spool=/srv/uploads")

    assert "SupplementaryGroups" not in drop_in(image)


def test_a_missing_spool_is_created_for_the_clients(image: Path) -> None:
    """It is made like the default one, and one below that needs no drop-in."""
    install(image, "--spool=/var/spool/outhaul/reports")

    assert stat.S_IMODE((image / "var/spool/outhaul/reports").stat().st_mode) == 0o2770
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


@pytest.mark.parametrize("spool", ["/home/me/out", "/tmp/out", "/srv/with space", "/srv/50%", "/"])
def test_a_spool_the_service_cannot_use_is_refused(image: Path, spool: str) -> None:
    """Out of sight, not expressible in a unit, or everything: no unit is written for those."""
    result = install(image, f"--spool={spool}")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: spool {spool}: ")
    assert not (image / "etc").exists()


def test_a_spool_that_is_a_file_is_refused(image: Path) -> None:
    """A spool holds files; a file opened by mistake would be writable to the daemon."""
    (image / "srv").mkdir()
    (image / "srv/file").touch()

    result = install(image, "--spool=/srv/file")

    assert result.exit_code == 1
    assert result.stderr == "Error: spool /srv/file: not a directory\n"
