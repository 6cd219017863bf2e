"""The system that steps are done to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """The system that runs here (`/`), or an image mounted at `root`.

    `booted` says that its systemd runs and can be talked to.
    """

    root: Path
    booted: bool

    @property
    def is_here(self) -> bool:
        """Whether it is the system that we run on."""
        return self.root == Path("/")

    def place(self, path: Path | str) -> Path:
        """Where the absolute `path` of the target is found from here."""
        return self.root / Path(path).relative_to("/")

    def unit(self, name: str) -> Path:
        """Where an administrator's unit, or a file that belongs to one, is found from here."""
        return self.place("/etc/systemd/system") / name

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Build the command line of a systemd tool that works on the target."""
        elsewhere = () if self.is_here else (f"--root={self.root}",)
        return (program, *elsewhere, *arguments)

    def has_account(self, database: str, name: str) -> bool:
        """Look for a user or group in passwd(5) or group(5): an image has accounts of its own."""
        file = self.place("/etc") / database
        return file.exists() and f"\n{name}:" in "\n" + file.read_text(errors="replace")


def target_at(root: Path) -> Target:
    """Look whether the system at `root` is one whose systemd runs: sd_booted(3)."""
    return Target(root, root == Path("/") and Path("/run/systemd/system").is_dir())
