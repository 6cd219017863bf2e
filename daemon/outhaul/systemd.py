"""Plan the installation of the systemd units, and its undoing.

A plan is a list of steps (see `provisioning`); nothing here changes the host.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from outhaul.provisioning.access import Access, Accounts, ProvisioningError
from outhaul.provisioning.steps import Command, MakeDirectory, RemoveFile, Step, WriteFile
from outhaul.sandbox import SPOOL, Spool, drop_in, refuse_executable, refuse_spool

if TYPE_CHECKING:
    from collections.abc import Iterator

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
class Target:
    """The system to install into: the running one (`/`), or an image mounted at `root`.

    `booted` says that its systemd runs and can be talked to.
    """

    root: Path
    booted: bool

    @property
    def units(self) -> Path:
        """Where an administrator's units live."""
        return self.place("/etc/systemd/system")

    def place(self, path: Path | str) -> Path:
        """Where the absolute `path` of the target is found from here."""
        return self.root / Path(path).relative_to("/")

    def access(self, mode: int, user: str = "root", group: str = "root") -> Access:
        """Build the access to a path, with the accounts of the target."""
        return Access(Accounts(self.root), mode, user, group)

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Build the command line of a systemd tool that works on the target."""
        elsewhere = () if self.root == Path("/") else (f"--root={self.root}",)
        return (program, *elsewhere, *arguments)


def target_at(root: Path) -> Target:
    """Look whether the system at `root` is one whose systemd runs: sd_booted(3)."""
    return Target(root, root == Path("/") and Path("/run/systemd/system").is_dir())


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
        ProvisioningError: the sandbox would hide the executable or a spool directory, or
            `now` is asked of a system that does not run.
    """
    refuse_executable(wanted.executable, target.root)
    for spool in wanted.spools:
        refuse_spool(spool)
    if wanted.now and not target.booted:
        raise ProvisioningError("no systemd runs there: nothing can be started with --now")
    units = (*_unit_files(wanted, target), *_drop_ins(wanted, target))
    steps = [*_accounts(wanted, target), *_directories(wanted, target), *units]
    if target.booted:
        steps.append(Command(("systemctl", "daemon-reload"), after=units))
    return [*steps, *(_start(target, units) if wanted.now else ())]


def uninstall_steps(target: Target) -> list[Step]:
    """Stop, disable and remove the units; what `KEPT` lists stays."""
    removals = (
        *(RemoveFile(target.units / name) for name in UNITS),
        *(RemoveFile(target.units / f"{unit}.d/spool.conf", True) for unit in (SERVICE, LANES)),
        RemoveFile(target.place("/etc/tmpfiles.d/outhaul.conf")),
        RemoveFile(target.place("/etc/sysusers.d/outhaul.conf")),
    )
    if not target.booted:
        return [*_disable(target), *removals]
    stop = Command(("systemctl", "stop", _DAEMONS), after=removals[:2])
    return [stop, *_disable(target), *removals, Command(("systemctl", "daemon-reload"), removals)]


def _accounts(wanted: Installation, target: Target) -> Iterator[Step]:
    conf = target.place("/etc/sysusers.d/outhaul.conf")
    text = wanted.text("outhaul.sysusers.conf")
    yield (sysusers := WriteFile(conf, text, target.access(0o644)))
    # The bare name: systemd 252 does not look for a full path below --root.
    argv = target.command("systemd-sysusers", conf.name)
    yield Command(argv, after=(sysusers,), settled=partial(_has_accounts, target.root))


def _directories(wanted: Installation, target: Target) -> Iterator[Step]:
    etc = target.place("/etc/outhaul")
    shared = target.access(0o2770, "outhaul", "outbox")
    embedded = target.access(0o660, "outhaul", "outbox")
    env = wanted.text("outhaul.env.example")
    tmpfiles = wanted.text("outhaul.tmpfiles.conf")
    yield MakeDirectory(etc, target.access(0o750, "root", "outhaul"))
    yield WriteFile(etc / "outhaul.env", env, target.access(0o640, "root", "outhaul"), keep=True)
    yield WriteFile(target.place("/etc/tmpfiles.d/outhaul.conf"), tmpfiles, target.access(0o644))
    yield MakeDirectory(target.place(SPOOL), shared)
    # As in tmpfiles.d, which only the next boot reads: an empty file is an empty database.
    yield WriteFile(target.place(SPOOL / "outbox.db"), "", embedded, keep=True)
    for spool in wanted.spools:
        if spool.group is None:
            yield MakeDirectory(target.place(spool.path), shared)


def _unit_files(wanted: Installation, target: Target) -> Iterator[WriteFile]:
    for name in UNITS:
        yield WriteFile(target.units / name, wanted.text(name), target.access(0o644))


def _drop_ins(wanted: Installation, target: Target) -> Iterator[WriteFile]:
    """Without spools no steps: an upgrade must not shut out the directories of before."""
    outside = [spool for spool in wanted.spools if not spool.path.is_relative_to(SPOOL)]
    for unit in (SERVICE, LANES) if outside else ():
        path = target.units / f"{unit}.d/spool.conf"
        yield WriteFile(path, drop_in(outside), target.access(0o644))


def _start(target: Target, units: tuple[Step, ...]) -> Iterator[Step]:
    yield Command(
        ("systemctl", "enable", SERVICE), settled=_enabled_link(target, SERVICE).is_symlink
    )
    # restart also starts, and `enable --now` would leave a running daemon on its old unit.
    yield Command(("systemctl", "restart", SERVICE), after=units, settled=_is_active)


def _disable(target: Target) -> Iterator[Step]:
    for link in sorted(_enabled_link(target, SERVICE).parent.glob(_DAEMONS)):
        argv = target.command("systemctl", "disable", link.name)
        yield Command(argv, after=(RemoveFile(link),))


def _enabled_link(target: Target, unit: str) -> Path:
    return target.units / "multi-user.target.wants" / unit


def _has_accounts(root: Path) -> bool:
    accounts = Accounts(root)
    return None not in (accounts.user_id("outhaul"), accounts.group_id("outbox"))


def _is_active() -> bool:
    argv = ("systemctl", "is-active", "--quiet", SERVICE)
    return subprocess.run(argv, check=False).returncode == 0  # noqa: S603
