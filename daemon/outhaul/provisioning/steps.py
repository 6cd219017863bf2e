"""The steps: files, directories, and commands that are run only when something calls for it."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from outhaul.provisioning.access import Access, ProvisioningError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Step(Protocol):
    """One thing to do; `str()` says it in one line."""

    @property
    def action(self) -> str:
        """The verb of the step."""

    @property
    def target(self) -> str:
        """What the verb is done to."""

    def needed(self) -> bool:
        """Whether the host is not there yet; only looks."""

    def apply(self) -> None:
        """Do it."""


@dataclass(frozen=True)
class WriteFile:
    """A file with this content; with `keep`, whatever is there already stays."""

    path: Path
    content: str
    access: Access
    keep: bool = False
    action = "write"

    @property
    def target(self) -> str:
        """The file and its access."""
        return f"{self.path} {self.access}"

    def needed(self) -> bool:
        """Whether the file is missing or differs."""
        if self.keep:
            return not _is_there(self.path)
        return not (
            _is_there(self.path)
            and self.path.read_text(errors="replace") == self.content
            and self.access.holds(self.path)
        )

    def apply(self) -> None:
        """Replace the file in one move: systemd may read it at any moment."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            fresh.write_text(self.content)
            self.access.grant(fresh)
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)


@dataclass(frozen=True)
class MakeDirectory:
    """A directory with this access; its parents as the umask has them."""

    path: Path
    access: Access
    action = "create directory"

    @property
    def target(self) -> str:
        """The directory and its access."""
        return f"{self.path} {self.access}"

    def needed(self) -> bool:
        """Whether the directory is missing or open to others than planned."""
        return not (self.path.is_dir() and self.access.holds(self.path))

    def apply(self) -> None:
        """Create it, or correct the access of the one that is there."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.access.grant(self.path)


@dataclass(frozen=True)
class RemoveFile:
    """No such file, and no directory that held nothing else if `prune` says so."""

    path: Path
    prune: bool = False
    action = "remove"

    @property
    def target(self) -> str:
        """The file."""
        return str(self.path)

    def needed(self) -> bool:
        """Whether the file is there."""
        return _is_there(self.path)

    def apply(self) -> None:
        """Remove the file; other people's drop-ins keep the directory."""
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
            ProvisioningError: the program is missing or has failed.
        """
        try:
            subprocess.run(  # noqa: S603
                self.argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            raise ProvisioningError(f"{self.target}: {error.strerror}") from error
        except subprocess.CalledProcessError as error:
            raise ProvisioningError(f"{self.target}: exit status {error.returncode}") from error


def _is_there(path: Path) -> bool:
    """Whether the name exists, a dangling link included; raises where it may not look."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True
