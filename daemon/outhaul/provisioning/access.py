"""Who may do what with the files of a host or an image."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outhaul.errors import OuthaulError

if TYPE_CHECKING:
    from pathlib import Path

# passwd(5) and group(5) alike: name:password:number:...
_ACCOUNT = re.compile(r"^([^:\n]+):[^:\n]*:(\d+)", re.MULTILINE)


class ProvisioningError(OuthaulError):
    """The host cannot be brought into the planned state."""


def owners_count() -> bool:
    """Whether owners are set and compared; a package built by a plain user leaves them to root."""
    return os.geteuid() == 0


@dataclass(frozen=True)
class Accounts:
    """Users and groups of the system below `root`: an image has its own numbers."""

    root: Path

    def user_id(self, name: str) -> int | None:
        """The number of the user `name`, None while there is no such user."""
        return self._ids("passwd").get(name)

    def group_id(self, name: str) -> int | None:
        """The number of the group `name`, None while there is no such group."""
        return self._ids("group").get(name)

    def group_name(self, number: int) -> str:
        """The name of a group; its number where only a directory service knows it."""
        names = {gid: name for name, gid in self._ids("group").items()}
        return names.get(number, str(number))

    def _ids(self, database: str) -> dict[str, int]:
        try:
            text = (self.root / "etc" / database).read_text()
        except FileNotFoundError:
            text = ""
        # An image that has no accounts yet still has a root.
        return {"root": 0} | {name: int(number) for name, number in _ACCOUNT.findall(text)}


@dataclass(frozen=True)
class Access:
    """Who may do what with a file or directory."""

    accounts: Accounts
    mode: int
    user: str = "root"
    group: str = "root"

    def __str__(self) -> str:
        return f"{self.mode:04o} {self.user}:{self.group}"

    def holds(self, path: Path) -> bool:
        """Whether `path`, which exists, already has this mode and these owners."""
        found = path.stat()
        owners = (self.accounts.user_id(self.user), self.accounts.group_id(self.group))
        return found.st_mode & 0o7777 == self.mode and (
            not owners_count() or (found.st_uid, found.st_gid) == owners
        )

    def grant(self, path: Path) -> None:
        """Set owners, then mode: a chown clears the setgid bit."""
        if owners_count():
            os.chown(path, self._known_user(), self._known_group())
        path.chmod(self.mode)

    def _known_user(self) -> int:
        if (number := self.accounts.user_id(self.user)) is None:
            raise ProvisioningError(f"there is no user {self.user}")
        return number

    def _known_group(self) -> int:
        if (number := self.accounts.group_id(self.group)) is None:
            raise ProvisioningError(f"there is no group {self.group}")
        return number
