"""Plan the installation of the systemd units, and its undoing.

A plan is a list of steps (see `provisioning`); nothing here changes the host.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from outhaul.errors import ProvisioningError
from outhaul.provisioning.steps import Command, RemoveFile, Step, WriteFile, is_there
from outhaul.provisioning.target import Target
from outhaul.sandbox import SPOOL, Spool, drop_in, refuse_executable

SERVICE = "outhaul.service"
LANES = "outhaul@.service"
UNITS = (SERVICE, LANES, "outhaul-failure@.service")
#: What uninstalling leaves behind: settings, jobs, files, and the accounts that own them.
KEPT = ("/etc/outhaul", str(SPOOL), "/var/lib/outhaul", "user outhaul", "group outbox")

# The daemons, for systemctl and for a directory alike. A pattern matches what exists: a name that
# is not loaded is an error to `systemctl stop`, and a link that dangles, as all do in an image, is
# found by a pattern only.
_DAEMONS = "outhaul[.@]*service"
_SHIPPED_EXECUTABLE = "/opt/outhaul/bin/outhaul"


def shipped_files() -> Path:
    """Find the unit files of this installation: in the wheel, or in a checkout."""
    package = Path(__file__).parent
    packaged = package / "_systemd"
    return packaged if packaged.is_dir() else package.parents[1] / "systemd"


@dataclass(frozen=True)
class Installation:
    """What to install: ExecStart= runs `executable`, `now` enables and starts the service."""

    executable: Path
    spools: tuple[Spool, ...] = ()
    now: bool = False
    shipped: Path = field(default_factory=shipped_files)

    def text(self, name: str) -> str:
        """Read the shipped file `name`, with the path of our executable in it."""
        text = (self.shipped / name).read_text()
        return text.replace(_SHIPPED_EXECUTABLE, str(self.executable))


def install_steps(wanted: Installation, target: Target) -> list[Step]:
    """List everything the service needs, in an order that can be interrupted and rerun.

    Raises:
        ProvisioningError: the sandbox would hide the executable, or `now` is asked of a system
            that does not run.
    """
    refuse_executable(wanted.executable, target.root)
    if wanted.now and not target.booted:
        raise ProvisioningError("no systemd runs there: nothing can be started with --now")
    units = (*_units(wanted, target), *_drop_ins(wanted, target))
    return [
        *_accounts(wanted, target),
        *_directories(wanted, target),
        *units,
        *_reload(target, units),
        *(_start(target, units) if wanted.now else ()),
    ]


def uninstall_steps(target: Target) -> list[Step]:
    """Stop, disable and remove the units; what `KEPT` lists stays."""
    removals = (
        *(RemoveFile(target.unit(name)) for name in UNITS),
        *(RemoveFile(target.unit(f"{unit}.d/spool.conf"), prune=True) for unit in (SERVICE, LANES)),
        RemoveFile(target.place("/etc/tmpfiles.d/outhaul.conf")),
        RemoveFile(target.place("/etc/sysusers.d/outhaul.conf")),
    )
    stop = Command(("systemctl", "stop", _DAEMONS), after=removals[:2])
    return [
        *([stop] if target.booted else []),
        *_disable(target),
        *removals,
        *_reload(target, removals),
    ]


def _accounts(wanted: Installation, target: Target) -> Iterator[Step]:
    path = target.place("/etc/sysusers.d/outhaul.conf")
    yield (conf := WriteFile(path, wanted.text("outhaul.sysusers.conf")))
    # The bare name: systemd 252 does not look for a full path below --root.
    argv = target.command("systemd-sysusers", path.name)
    yield Command(argv, after=(conf,), settled=partial(_has_accounts, target))


def _directories(wanted: Installation, target: Target) -> Iterator[Step]:
    path = target.place("/etc/tmpfiles.d/outhaul.conf")
    yield (conf := WriteFile(path, wanted.text("outhaul.tmpfiles.conf")))
    # An image gets them at its boot, as any system does at each of its boots.
    if target.is_here:
        argv = ("systemd-tmpfiles", "--create", path.name)
        yield Command(argv, after=(conf,), settled=partial(is_there, SPOOL / "outbox.db"))
    settings = target.place("/etc/outhaul/outhaul.env")
    # It will hold keys, and only systemd reads it.
    yield WriteFile(settings, wanted.text("outhaul.env.example"), mode=0o600, keep=True)


def _units(wanted: Installation, target: Target) -> Iterator[Step]:
    for name in UNITS:
        yield WriteFile(target.unit(name), wanted.text(name))


def _drop_ins(wanted: Installation, target: Target) -> Iterator[Step]:
    """Without spools no steps: an upgrade must not shut out the directories of before."""
    outside = [spool for spool in wanted.spools if not spool.path.is_relative_to(SPOOL)]
    for unit in (SERVICE, LANES) if outside else ():
        yield WriteFile(target.unit(f"{unit}.d/spool.conf"), drop_in(outside))


def _reload(target: Target, changes: tuple[Step, ...]) -> Iterator[Step]:
    if target.booted:
        yield Command(("systemctl", "daemon-reload"), after=changes)


def _start(target: Target, units: tuple[Step, ...]) -> Iterator[Step]:
    enabled = _enabled_link(target)
    yield Command(("systemctl", "enable", SERVICE), settled=partial(is_there, enabled))
    # restart also starts, and `enable --now` would leave a running daemon on its old unit.
    yield Command(("systemctl", "restart", SERVICE), after=units, settled=_is_active)


def _disable(target: Target) -> Iterator[Step]:
    for link in sorted(_enabled_link(target).parent.glob(_DAEMONS)):
        argv = target.command("systemctl", "disable", link.name)
        yield Command(argv, after=(RemoveFile(link),))


def _enabled_link(target: Target) -> Path:
    return target.unit(f"multi-user.target.wants/{SERVICE}")


def _has_accounts(target: Target) -> bool:
    return target.has_account("passwd", "outhaul") and target.has_account("group", "outbox")


def _is_active() -> bool:
    argv = ("systemctl", "is-active", "--quiet", SERVICE)
    return subprocess.run(argv, check=False).returncode == 0  # noqa: S603
