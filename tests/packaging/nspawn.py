"""A real systemd as PID 1, in a container over an overlay of this machine's own root.

The container has its own network, of a loopback interface only, and changes nothing outside.
Debian packages needed: systemd-container, and python3-venv for `pip` inside.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What a machine without the means says; the command in it ends the skip.
MISSING = "needs root, and: apt-get install -y --no-install-recommends systemd-container"

_BOOT_SECONDS = 30
_POWER_OFF_SECONDS = 30
_COMMAND_SECONDS = 120
_CGROUPS = Path("/sys/fs/cgroup")
# A login's environment, whatever that of the tests holds.
_ENVIRONMENT = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")


def is_possible() -> bool:
    """Whether this machine can boot a container: root, and systemd-nspawn is there."""
    return os.geteuid() == 0 and shutil.which("systemd-nspawn") is not None


class Machine:
    """One container: mounted on entry, gone on exit, booted in between by `boot`."""

    def __init__(self) -> None:
        self._cleanup = contextlib.ExitStack()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        """Mount the root; it shows this machine's files, and keeps what is written to it."""
        with self._cleanup:
            # Also the machine's name, in which systemd-nspawn refuses the _ of mkdtemp.
            self._home = Path(tempfile.gettempdir()) / f"outhaul-nspawn-{secrets.token_hex(6)}"
            self._home.mkdir(mode=0o700)
            self._cleanup.callback(shutil.rmtree, self._home)
            self.root = self._mounted_root()
            self._cgroups = self._own_cgroups()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut the power if it is still on, and leave neither mount nor cgroup."""
        with self._cleanup:
            self._cut_power()

    def prepare(self, callback: Callable[[Path], None]) -> None:
        """Let `callback` change the root before the boot; `chroot` there still has a network."""
        callback(self.root)

    def boot(self) -> None:
        """Start systemd and return when it is up.

        Raises:
            TimeoutError: it did not come up; the console is in the message.
        """
        console = self._home / "console"
        with console.open("wb") as output:
            self._nspawn = subprocess.Popen(
                self._boot_command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_for(self._is_up, _BOOT_SECONDS, "systemd to be up")
        except TimeoutError as error:
            raise TimeoutError(f"{error}:\n{console.read_text(errors='replace')}") from error

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command inside as root and return its output, without the last newline.

        Raises:
            RuntimeError: it failed, unless `check` is off; both outputs are in the message.
        """
        command = ["nsenter", "-t", str(self._leader), "-a", *_ENVIRONMENT, *argv]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit, as `systemctl show` prints it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def write(self, path: str, text: str) -> None:
        """Replace a file inside, keeping the owner and mode of the one that was there."""
        (self.root / path.lstrip("/")).write_text(text)

    def power_off(self) -> None:
        """Shut down in good order: units are stopped, the files stay for another boot."""
        if self._nspawn is not None:
            os.kill(self._leader, signal.SIGRTMIN + 4)
            self._nspawn.wait(_POWER_OFF_SECONDS)
            self._nspawn = None

    def _mounted_root(self) -> Path:
        root, upper, work = (self._home / name for name in ("root", "upper", "work"))
        for directory in (root, upper, work):
            directory.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(root))
        self._cleanup.callback(_run, "umount", "--lazy", str(root))
        return root

    def _own_cgroups(self) -> list[Path]:
        """Cgroups of our own: nspawn would otherwise move the tests' own processes around."""
        hierarchies = [_CGROUPS / name for name in ("unified", "systemd")]
        hierarchies = [path for path in hierarchies if path.is_dir()] or [_CGROUPS]
        groups = [path / self._home.name for path in hierarchies]
        for group in groups:
            group.mkdir()
            self._cleanup.callback(_remove_cgroup, group)
        return groups

    def _boot_command(self) -> list[str]:
        joins = "".join(f"echo $$ > {group}/cgroup.procs && " for group in self._cgroups)
        nspawn = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"),
            *("--console=pipe", "-D", str(self.root), f"--machine={self._home.name}"),
            *("--boot", "systemd.unit=basic.target"),
        ]
        return ["sh", "-c", f'{joins}exec "$@"', "sh", *nspawn]

    def _is_up(self) -> bool:
        if self._nspawn is None or self._nspawn.poll() is not None:
            raise TimeoutError("systemd-nspawn has ended")
        self._leader = next(_children(self._nspawn.pid), 0)
        state = self.run("systemctl", "is-system-running", check=False) if self._leader else ""
        return state in {"running", "degraded"}

    def _cut_power(self) -> None:
        if self._nspawn is not None:
            if self._leader:
                os.kill(self._leader, signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait()
            self._nspawn = None


def _children(pid: int) -> Iterator[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return (int(child) for child in children.split())


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def _remove_cgroup(group: Path) -> None:
    """Remove a tree of cgroups; the kernel takes a moment to count the last process out."""
    wait_for(lambda: _is_removed(group), 10, f"{group} to be empty")


def _is_removed(group: Path) -> bool:
    directories = [path for path, _, _ in os.walk(group, topdown=False)]
    with contextlib.suppress(OSError):
        for directory in directories:
            Path(directory).rmdir()
    return not group.exists()
