"""The root of an image that outhaul is installed into, seen from outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from outhaul.cli.systemd import systemd
from tests.packaging.means import need

if TYPE_CHECKING:
    from pathlib import Path

#: The console script that every image has.
EXECUTABLE = "/usr/local/lib/outhaul/bin/outhaul"


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


def need_root() -> None:
    """Only root can give files away, so only there owners are set."""
    need(given=os.geteuid() == 0, missing="needs root: sudo python -m pytest tests/packaging")
