"""A spool directory, and everything around it that must never be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outhaul.source import Source, Sources
from outhaul.transfer import Budget, Transfer
from tests.unit.samples import a_job

#: What lies outside the root: no test may ever see it.
SECRET = b"somebody else's"


class Spool:
    """An allowed root with a neighbour whose name begins alike, and a secret beside both."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "spool"
        self.outside = directory / "outside"
        self.neighbour = directory / "spool-evil"
        for folder in (self.root, self.outside, self.neighbour):
            folder.mkdir()
        for folder in (self.outside, self.neighbour):
            (folder / "secret").write_bytes(SECRET)

    def write(self, name: str, content: bytes) -> Path:
        """A file below the root, last changed long ago: any later change shows in its time."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        return path

    def sources(self, max_bytes: int = 1 << 40) -> Sources:
        """What a daemon reads this spool with."""
        return Sources((self.root,), max_bytes, payload=lambda _job_id: None)

    @contextmanager
    def opened(self, path: Path | str, transfer: Transfer | None = None) -> Iterator[Source]:
        """The source of a job that names `path`."""
        job = a_job(source_path=str(path))
        with self.sources().opened(job, transfer or Transfer(Budget())) as source:
            yield source


def descriptors_below(directory: Path) -> list[str]:
    """Files below a directory that this process has open."""
    found = []
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are enough
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")  # noqa: PTH115 - the target, not a path
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
        if target.startswith(str(directory)):
            found.append(target)
    return found
