"""What the systemd units let the daemon see, and the drop-in that shows it more."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outhaul.provisioning.access import Accounts, ProvisioningError, owners_count

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The directory that every unit lets the daemon read and write.
SPOOL = Path("/var/spool/outhaul")

# Nothing that systemd would expand, split or unquote, and no separator of OUTHAUL_SOURCE_ROOTS.
_PLAIN_PATH = re.compile(r"(/[\w.+@~-]+)+")
_SHEBANG = re.compile(rb"#!\s*(\S+)")
# The kernel reads no more of a script to find its interpreter (BINPRM_BUF_SIZE).
_SHEBANG_LIMIT = 256
# What is out of the service's sight, and the directive of the units that does it.
_HIDDEN = {
    "/home": "ProtectHome",
    "/root": "ProtectHome",
    "/run/user": "ProtectHome",
    "/tmp": "PrivateTmp",  # noqa: S108 - refused, never used
    "/var/tmp": "PrivateTmp",  # noqa: S108 - refused, never used
    "/dev": "PrivateDevices",
}


@dataclass(frozen=True)
class Spool:
    """A directory that clients hand over files in.

    `group` is the group that owns it, None while the directory does not exist.
    """

    path: Path
    group: str | None


def look_at_spool(path: Path, root: Path) -> Spool:
    """Find out who owns the spool directory `path` of the system below `root`.

    Raises:
        ProvisioningError: it cannot be looked at, or is no directory.
    """
    try:
        found = (root / path.relative_to("/")).stat()
    except FileNotFoundError:
        return Spool(path, None)
    except OSError as error:
        raise ProvisioningError(f"spool {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise ProvisioningError(f"spool {path}: not a directory")
    return Spool(path, Accounts(root).group_name(found.st_gid) if owners_count() else "outbox")


def refuse_executable(executable: Path, root: Path) -> None:
    """Stop before writing a unit whose ExecStart= could not work.

    Raises:
        ProvisioningError: there is no such program, or the sandbox hides it or its interpreter.
    """
    seen = root / executable.relative_to("/")
    if not seen.is_file():
        raise ProvisioningError(f"there is no executable {executable}")
    advice = "install outhaul system-wide, for example with `pipx install --global outhaul`"
    for path in (executable, _resolved(executable, root)):
        _refuse("executable", path, advice)
    with seen.open("rb") as script:
        shebang = _SHEBANG.match(script.readline(_SHEBANG_LIMIT))
    if shebang:
        interpreter = _resolved(Path(os.fsdecode(shebang[1])), root)
        _refuse(f"the interpreter of {executable},", interpreter, advice)


def refuse_spool(spool: Spool) -> None:
    """Stop before opening a directory that the service could not see all the same.

    Raises:
        ProvisioningError: the sandbox hides the directory, or a unit file cannot name it.
    """
    _refuse("spool", spool.path, "use a directory below /srv or /var/spool")


def drop_in(spools: Sequence[Spool]) -> str:
    """Return the drop-in that opens `spools` to the units.

    Their groups are joined, but for outbox, which the units are in, and root, which would open
    far more than the spool.
    """
    paths = [str(spool.path) for spool in spools]
    groups = sorted({spool.group for spool in spools if spool.group} - {"outbox", "root"})
    lines = [
        "# Written by `outhaul systemd install --spool`; the next run with --spool replaces it.",
        "[Service]",
        f"Environment=OUTHAUL_SOURCE_ROOTS={os.pathsep.join([str(SPOOL), *paths])}",
        f"ReadWritePaths={' '.join(paths)}",
        *([f"SupplementaryGroups={' '.join(groups)}"] if groups else []),
    ]
    return "\n".join(lines) + "\n"


def _refuse(what: str, path: Path, advice: str) -> None:
    if _PLAIN_PATH.fullmatch(str(path)) is None:
        raise ProvisioningError(f"{what} {path}: a unit needs a plain path, without spaces")
    for hidden, directive in _HIDDEN.items():
        if path.is_relative_to(hidden):
            raise ProvisioningError(
                f"{what} {path}: the service cannot see {hidden} ({directive}=); {advice}"
            )


def _resolved(path: Path, root: Path) -> Path:
    """Follow symlinks; those of an image lead out of it, so there only the name counts."""
    return path.resolve() if root == Path("/") else path
