"""The steps: files, and commands that are run only when something calls for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outhaul.errors import ProvisioningError


class Step(Protocol):
    """One thing to do: a verb, and what it is done to."""

    @property
    def action(self) -> str:
        """The verb."""

    @property
    def target(self) -> str:
        """What the verb is done to."""

    def needed(self) -> bool:
        """Whether the host is not there yet; only looks."""

    def apply(self) -> None:
        """Do it."""


@dataclass(frozen=True)
class WriteFile:
    """A file with this content and mode; with `keep`, whatever is there already stays."""

    path: Path
    content: str
    mode: int = 0o644
    keep: bool = False
    action = "write"

    @property
    def target(self) -> str:
        """The file and its mode."""
        return f"{self.path} {self.mode:04o}"

    def needed(self) -> bool:
        """Whether the file is missing or differs."""
        if not is_there(self.path):
            return True
        return not self.keep and (
            self.path.stat().st_mode & 0o7777 != self.mode
            or self.path.read_text(errors="replace") != self.content
        )

    def apply(self) -> None:
        """Replace the file in one move: systemd may read it at any moment."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            fresh.write_text(self.content)
            fresh.chmod(self.mode)
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)


@dataclass(frozen=True)
class RemoveFile:
    """No such file; with `prune`, nor a directory that held nothing else."""

    path: Path
    prune: bool = False
    action = "remove"

    @property
    def target(self) -> str:
        """The file."""
        return str(self.path)

    def needed(self) -> bool:
        """Whether the file is there."""
        return is_there(self.path)

    def apply(self) -> None:
        """Remove the file; an administrator's own drop-ins keep the directory."""
        self.path.unlink()
        if self.prune:
            with suppress(OSError):
                self.path.parent.rmdir()


@dataclass(frozen=True)
class Command:
    """A program to run: when one of `after` changes something, or unless `settled` says done."""

    argv: tuple[str, ...]
    after: tuple[Step, ...] = ()
    settled: Callable[[], bool] = lambda: True
    action = "run"

    @property
    def target(self) -> str:
        """The command line."""
        return " ".join(self.argv)

    def needed(self) -> bool:
        """Whether anything calls for the run."""
        return any(step.needed() for step in self.after) or not self.settled()

    def apply(self) -> None:
        """Run it; what it complains of goes to our stderr.

        Raises:
            ProvisioningError: it failed. A program that is missing is an OSError.
        """
        done = subprocess.run(  # noqa: S603
            self.argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        if done.returncode:
            raise ProvisioningError(f"{self.target}: exit status {done.returncode}")


def is_there(path: Path) -> bool:
    """Whether the name exists, a dangling link included.

    Raises:
        PermissionError: we may not look.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True
