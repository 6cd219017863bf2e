"""What the systemd units let the daemon see, and the drop-in that shows it more."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from outhaul.errors import ProvisioningError

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
# outbox is the units' own; membership of root would open far more than a spool.
_NOT_JOINED = {"outbox", "root", "0"}


@dataclass(frozen=True, slots=True)
class Spool:
    """A directory that clients hand over files in, and the group that owns it."""

    path: Path
    group: str


def spool_at(path: Path, root: Path) -> Spool:
    """Look at the spool directory `path` of the system below `root`.

    Raises:
        ProvisioningError: there is no such directory, the sandbox hides it, or a unit file cannot
            name it.
    """
    _refuse_hidden("spool", path, "use a directory below /srv or /var/spool")
    seen = root / path.relative_to("/")
    try:
        is_directory = stat.S_ISDIR(seen.stat().st_mode)
    except OSError as error:
        raise ProvisioningError(f"spool {path}: {error.strerror}") from error
    if not is_directory:
        raise ProvisioningError(f"spool {path}: not a directory")
    return Spool(path, _group(seen, root))


def refuse_executable(executable: Path, root: Path) -> None:
    """Stop before writing a unit whose ExecStart= could not work.

    Raises:
        ProvisioningError: there is no such program, or the sandbox hides it or its interpreter.
    """
    advice = "install outhaul system-wide, for example with `pipx install --global outhaul`"
    for path in (executable, _resolved(executable, root)):
        _refuse_hidden("executable", path, advice)
    seen = root / executable.relative_to("/")
    if not seen.is_file():
        raise ProvisioningError(f"there is no executable {executable}")
    with seen.open("rb") as script:
        shebang = _SHEBANG.match(script.readline(_SHEBANG_LIMIT))
    if shebang:
        interpreter = _resolved(Path(os.fsdecode(shebang[1])), root)
        _refuse_hidden(f"the interpreter of {executable},", interpreter, advice)


def drop_in(spools: Sequence[Spool]) -> str:
    """Return the drop-in that opens `spools` to the units, and has them join their groups."""
    paths = [str(spool.path) for spool in spools]
    groups = sorted({spool.group for spool in spools} - _NOT_JOINED)
    lines = [
        "# Written by `outhaul systemd install --spool`; the next run with --spool replaces it.",
        "[Service]",
        f"Environment=OUTHAUL_SOURCE_ROOTS={os.pathsep.join([str(SPOOL), *paths])}",
        f"ReadWritePaths={' '.join(paths)}",
        *([f"SupplementaryGroups={' '.join(groups)}"] if groups else []),
    ]
    return "\n".join(lines) + "\n"


def _refuse_hidden(what: str, path: Path, advice: str) -> None:
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


def _group(directory: Path, root: Path) -> str:
    """The name of the owning group; its number in an image, whose names are not this system's."""
    if root == Path("/"):
        with suppress(KeyError):
            return directory.group()
    return str(directory.stat().st_gid)
