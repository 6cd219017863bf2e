"""The real daemon in front of one store, and an outbox that is filled for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_for

from bench import subject
from bench.databases import Ledger, directory
from bench.figures import Sample
from bench.processes import Stopwatch, peak_memory

_PATIENCE = 300.0


class Deployment:
    """A daemon that is running and has nothing to do.

    Args:
        book: its outbox.
        daemon: `outhaul run`, started.
    """

    def __init__(self, book: Ledger, daemon: DaemonProcess) -> None:
        self.book, self.daemon = book, daemon

    def small(self, source: Path, count: int) -> Sample:
        """Files per second, from before the INSERT until every row says that it is done."""
        self.book.refill(0)
        watch = Stopwatch(self.daemon.pid)
        self._upload(count, numbered(source, self.book.dialect))
        return Sample(count / watch.seconds, {"cpu_ms_per_file": watch.cpu / count * 1e3})

    def large(self, path: Path) -> Sample:
        """MB/s of one file, and the most memory that a process of the daemon took for it."""
        size = path.stat().st_size
        self.book.refill(0)
        with peak_memory(self.daemon.pid) as peak:
            watch = Stopwatch(self.daemon.pid)
            self._upload(1, f"'{path}'")
            seconds, cpu = watch.seconds, watch.cpu
        beside = {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak.bytes / (1 << 20)}
        return Sample(size / seconds / 1e6, beside)

    def _upload(self, count: int, source_path: str) -> None:
        self.book.fill(count, source_path=source_path)
        wait_for(lambda: not self.book.unfinished(), _PATIENCE, "the uploads to be done")
        self._check(count)

    def _check(self, count: int) -> None:
        query = (
            "SELECT count(*) FROM upload_outbox JOIN upload_attempts ON job_id = id"
            " WHERE status = 'done' AND outcome = 'succeeded' AND verified_by IS NOT NULL"
        )
        if (proven := self.book.ask(query)[0][0]) != count:
            raise AssertionError(f"{proven} of {count} uploads are done and proven")


@contextmanager
def deployed(book: Ledger, home: Path, **settings: str) -> Iterator[Deployment]:
    """A daemon for this outbox, its sources below `home`; stopped in the end.

    The settings say at least where the store is.
    """
    environment = subject.daemon_environment(book.url, home, settings)
    with directory() as logs, DaemonProcess(environment, logs / "daemon.log") as daemon:
        yield Deployment(book, daemon)
        daemon.stop()


def numbered(source: Path, dialect: str) -> str:
    """SQL for the path of file number `i`."""
    if dialect == "postgresql":
        return f"'{source}/' || lpad(CAST(i AS text), 6, '0')"
    if dialect == "mysql":
        return f"concat('{source}/', lpad(i, 6, '0'))"
    return f"'{source}/' || printf('%06d', i)"


def write_files(target: Path, count: int, size: int) -> None:
    """Files as `numbered` names them, each with a content of its own."""
    target.mkdir()
    with Path("/dev/urandom").open("rb") as noise:
        for number in range(1, count + 1):
            (target / f"{number:06}").write_bytes(noise.read(size))


def write_large(path: Path, size: int) -> None:
    """A file that takes its room, unlike a sparse one."""
    with Path("/dev/urandom").open("rb") as noise, path.open("wb") as file:
        block = noise.read(1 << 20)
        for _ in range(size // len(block)):
            file.write(block)
