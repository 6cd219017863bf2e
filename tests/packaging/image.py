"""The root of an image that outhaul is installed into, seen from outside."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from outhaul.cli.systemd import systemd

if TYPE_CHECKING:
    from pathlib import Path

#: The console script that every image has.
EXECUTABLE = "/usr/local/lib/outhaul/bin/outhaul"


class SystemdTools:
    """The programs of systemd that work without a systemd that runs."""

    @classmethod
    def missing(cls) -> str | None:
        """The command that would install them, or None if they are here."""
        if shutil.which("systemd-sysusers") and shutil.which("systemd-analyze"):
            return None
        return "sudo apt-get install -y --no-install-recommends systemd"


def place_executable(image: Path, path: str, interpreter: str) -> None:
    """Put a console script into the image, as pip writes it."""
    executable = image / path.lstrip("/")
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!{interpreter}\n")


def run(verb: str, image: Path, *options: str) -> Result:
    """Run `outhaul systemd` on the image."""
    return CliRunner().invoke(systemd, [verb, f"--root={image}", *options])


def install(image: Path, *options: str) -> Result:
    """Install the units for `EXECUTABLE`."""
    return run("install", image, f"--executable={EXECUTABLE}", *options)


def drop_in(image: Path, unit: str = "outhaul.service") -> str:
    """Return the drop-in that opens spools."""
    return (image / f"etc/systemd/system/{unit}.d/spool.conf").read_text()
