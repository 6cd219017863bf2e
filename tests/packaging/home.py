"""Where a container lives on this machine: a directory, a mount and cgroups, all of one name."""

from __future__ import annotations

import contextlib
import fcntl
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
    from collections.abc import Iterator

# Also the machine's name, in which systemd-nspawn refuses the _ of mkdtemp.
_PREFIX = "outhaul-nspawn-"
_ROOT, _LAYERS = "root", "layers"
_CGROUPS = Path("/sys/fs/cgroup")


class Home:
    """A directory with an overlay of this machine's own root; a context manager.

    Whoever enters one first removes those whose owners were killed: a lock on the directory says
    that the owner lives.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(6)}"
        self.root = self.path / _ROOT
        self.console = self.path / "console"
        self.cgroups = [path / self.path.name for path in _hierarchies()]
        self._lock = -1

    def __enter__(self) -> Self:
        """Mount the root; it shows this machine's files, and keeps what is written to it."""
        remove_abandoned()
        self._lock = _locked_directory(self.path)
        try:
            for group in self.cgroups:
                group.mkdir()
            self._mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still lives here, and leave neither mount nor cgroup."""
        try:
            _remove(self.path)
        finally:
            os.close(self._lock)

    def kill(self) -> None:
        """End every process of the container at once, as a power cut does."""
        for group in self.cgroups:
            _kill(group)

    def _mount(self) -> None:
        # In memory: an overlay cannot keep its changes in another overlay, which / may be.
        layers = self.path / _LAYERS
        self.root.mkdir()
        layers.mkdir()
        _run("mount", "-t", "tmpfs", self.path.name, str(layers))
        upper, work = layers / "upper", layers / "work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        _run("mount", "-t", "overlay", self.path.name, "-o", options, str(self.root))


def remove_abandoned() -> None:
    """Remove the homes of test runs that were killed before they could; what resists stays."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = _lock(path)
            try:
                _remove(path)
            finally:
                os.close(lock)


def _locked_directory(path: Path) -> int:
    """Make a directory that nobody can ever see unlocked; returns the descriptor that locks it."""
    fresh = Path(tempfile.mkdtemp())
    lock = _lock(fresh)
    fresh.rename(path)
    return lock


def _lock(directory: Path) -> int:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove(home: Path) -> None:
    for hierarchy in _hierarchies():
        _remove_cgroup(hierarchy / home.name)
    for mount in (home / _ROOT, home / _LAYERS):
        if mount.is_mount():
            _run("umount", "--lazy", str(mount))
    shutil.rmtree(home)


def _remove_cgroup(group: Path) -> None:
    wait_for(lambda: _is_removed(group), 10, f"{group} to be empty")


def _hierarchies() -> list[Path]:
    """Where systemd keeps its cgroups: both of a hybrid layout, or the only one."""
    found = [path for path in (_CGROUPS / "unified", _CGROUPS / "systemd") if path.is_dir()]
    return found or [_CGROUPS]


def _kill(group: Path) -> None:
    for pid in _processes(group):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes(group: Path) -> Iterator[int]:
    for file in group.rglob("cgroup.procs"):
        pids = (int(pid) for pid in file.read_text().split())
        # 0 is a process of another namespace here, and our own group to kill(2).
        yield from (pid for pid in pids if pid)


def _is_removed(group: Path) -> bool:
    """Empty and remove a tree of cgroups; the kernel takes a moment to count processes out."""
    _kill(group)
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()
    return not group.exists()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
