"""A real systemd as PID 1, in a container over an overlay of this machine's own root.

The container has its own network, of a loopback interface only, and changes nothing outside.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.packaging.home import Home
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BOOT_SECONDS = 60
_COMMAND_SECONDS = 120
_CAP_SYS_ADMIN = 21
_AS_ROOT = "sudo make test  # inside a container: a privileged one"
# A login's environment, whatever that of the tests holds.
_ENVIRONMENT = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")


class Machine:
    """One container: its root is there on entry, gone on exit, booted in between by `boot`.

    Args:
        binds: files and directories of this machine to show inside, read-only: outside to inside.
    """

    def __init__(self, binds: Mapping[Path, str]) -> None:
        self._binds = binds
        self._home = Home()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    @classmethod
    def missing(cls) -> str | None:
        """The command that would make containers possible, or None if they are."""
        if shutil.which("systemd-nspawn") is None or not _has_system_python():
            packages = "systemd-container python3-venv"
            return f"sudo apt-get install -y --no-install-recommends {packages} && {_AS_ROOT}"
        return None if _may_mount() else _AS_ROOT

    def __enter__(self) -> Self:
        self._home.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.cut_power()
        finally:
            self._home.__exit__()

    @property
    def root(self) -> Path:
        """The container's root, from outside; `chroot` there still has this machine's network."""
        return self._home.root

    def boot(self) -> None:
        """Start systemd and return when it is up.

        Raises:
            TimeoutError: it did not come up; the console is in the message.
        """
        with self._home.console.open("wb") as output:
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
            console = self._home.console.read_text(errors="replace")
            raise TimeoutError(f"{error}:\n{console}") from error

    def cut_power(self) -> None:
        """End everything at once; the files stay for another boot.

        What was written and not synced stays too: the kernel that holds it lives on.
        """
        if self._nspawn is not None:
            self._home.kill()
            self._nspawn.wait()
            self._nspawn = None

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command inside as root and return its output, without the last newline.

        Raises:
            RuntimeError: it failed, unless `check` is off; both outputs are in the message.
        """
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-a", *_ENVIRONMENT, *argv],
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

    def place(self, path: str) -> Path:
        """Where a file inside is found from outside; not for /run and /tmp, which are mounts."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        """Write a file inside, keeping the owner and mode of one that was there."""
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_text(text)

    def _boot_command(self) -> list[str]:
        # Cgroups of our own: nspawn would otherwise move the tests' own processes around.
        joins = "".join(f"echo $$ > {group}/cgroup.procs && " for group in self._home.cgroups)
        return [
            *("setpriv", "--pdeathsig", "KILL", "sh", "-c", f'{joins}exec "$@"', "sh"),
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"),
            *("--console=pipe", "-D", str(self.root), f"--machine={self._home.path.name}"),
            *(f"--bind-ro={outside}:{inside}" for outside, inside in self._binds.items()),
            *("--boot", "systemd.unit=basic.target"),
        ]

    def _is_up(self) -> bool:
        if self._nspawn is None or self._nspawn.poll() is not None:
            raise TimeoutError("systemd-nspawn has ended")
        self._leader = next(_children(self._nspawn.pid), 0)
        state = self.run("systemctl", "is-system-running", check=False) if self._leader else ""
        return state in {"running", "degraded"}


def _children(pid: int) -> Iterator[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return (int(child) for child in children.split())


def _has_system_python() -> bool:
    """Whether the service can have one: what lies in a home directory is out of its sight."""
    probe = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    python = shutil.which("/usr/bin/python3")
    return python is not None and not subprocess.run([python, "-c", probe], check=False).returncode


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)
    return bool(effective and int(effective[1], 16) >> _CAP_SYS_ADMIN & 1)
