"""(d) What grows with what: claims with rows, memory and time with size, rate with slots."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from tests.support.mariadb import MariaDbServer
from tests.support.postgresql import PostgresServer

from bench import subject
from bench.databases import Ledger, directory, ledger, sqlite_ledger
from bench.deployment import deployed, write_files
from bench.figures import Contenders, Figure, Sample, interleaved
from bench.scale import GIB, KIB, MIB, Scale
from bench.sink import Sink
from outhaul.models import Job
from outhaul.outbox import Outbox

_BATCH = 100
_CLAIMS = 30

#: What 64 slots must reach of 64 / latency is the bar: enough files that start and end are small.
_SLOTS = 64

_FINISHED = {
    "status": "'done'",
    "current_store": "'s3'",
    "storage_type": "'s3'",
    "bucket": "'bench'",
    "sha256": f"'{'a' * 64}'",
    "completed_at": "CURRENT_TIMESTAMP",
    "s3_attempts": "1",
    "fence": "1",
}
_TOMORROW = {
    "postgresql": "now() + interval '1 day'",
    "mysql": "UTC_TIMESTAMP(6) + INTERVAL 1 DAY",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '1 day') || '000'",
}


def measure(postgres: PostgresServer, mariadb: MariaDbServer, scale: Scale) -> list[Figure]:
    """Everything that grows, one after the other."""
    with ExitStack() as stack:
        figures = _claims(stack, postgres, scale.finished, scale)
    if scale.other_finished:
        with ExitStack() as stack:
            figures += _claims(stack, mariadb, scale.other_finished, scale)
        with ExitStack() as stack:
            figures += _claims(stack, None, scale.other_finished, scale)
    return figures + _uploads(postgres, scale)


def _claims(
    stack: ExitStack,
    server: PostgresServer | MariaDbServer | None,
    finished: tuple[int, ...],
    scale: Scale,
) -> list[Figure]:
    """Each amount of rows has an outbox of its own, so that they can take turns."""

    def book() -> Ledger:
        return stack.enter_context(ledger(server) if server else sqlite_ledger())

    contenders: Contenders = {}
    for count in finished:
        contenders[f"{count:,} finished rows"] = partial(_claim, _with_finished(book(), count))
    contenders[f"{scale.waiting:,} waiting rows"] = partial(_claim, _with_waiting(book(), scale))
    dialect = {PostgresServer: "postgresql", MariaDbServer: "mariadb"}.get(type(server), "sqlite")
    return interleaved(f"claim, {dialect}", "ms", scale.growth_rounds, contenders)


def _with_finished(book: Ledger, count: int) -> Ledger:
    if count:
        book.fill(count, **_FINISHED)
    return book


def _with_waiting(book: Ledger, scale: Scale) -> Ledger:
    """As in an outage: rows of every priority, all due another day."""
    tomorrow = _TOMORROW[book.dialect]
    modulo = "mod(i, 10)" if book.dialect != "sqlite" else "i % 10"
    book.fill(scale.waiting, priority=modulo, next_retry_at=tomorrow, s3_attempts="1")
    return book


def _claim(book: Ledger) -> Sample:
    """The median claim of 100 jobs; beside it, the median settle of them."""
    book.fill(_BATCH * _CLAIMS)
    book.rest()
    with subject.opened(book.url) as (outbox, _):
        turns = [_turn(outbox) for _ in range(_CLAIMS)]
    claims, settles = zip(*turns, strict=True)
    return Sample(median(claims) * 1e3, {"settle_ms": median(settles) * 1e3})


def _turn(outbox: Outbox) -> tuple[float, float]:
    begun = time.perf_counter()
    jobs = [job for job in outbox.claim(_BATCH) if isinstance(job, Job)]
    claimed = time.perf_counter()
    settled = outbox.settle([subject.settlement(job) for job in jobs], time.monotonic())
    if len(settled) != _BATCH:
        raise AssertionError(f"{len(settled)} of {_BATCH} jobs were settled")
    return claimed - begun, time.perf_counter() - claimed


def _uploads(postgres: PostgresServer, scale: Scale) -> list[Figure]:
    with directory(in_memory=True) as home, ledger(postgres) as book:
        files = home / "small"
        write_files(files, scale.files, 16 * KIB)
        with Sink(home / "sink.log") as sink:
            figures = _by_size(book, home, sink, scale)
            figures += _by_slots(book, home, files, sink, scale)
        return figures + _by_latency(book, home, files, scale)


def _by_size(book: Ledger, home: Path, sink: Sink, scale: Scale) -> list[Figure]:
    if not scale.sizes:
        return []
    with deployed(book, home, **subject.s3_settings(sink.url)) as ours:

        def upload(size: int) -> Sample:
            path = home / f"sparse-{size}"
            path.touch()
            with path.open("r+b") as file:
                file.truncate(size)
            sample = ours.large(path)
            path.unlink()
            seconds = sample.beside["seconds"]
            return Sample(seconds * 1e3, sample.beside)

        contenders: Contenders = {_bytes(size): partial(upload, size) for size in scale.sizes}
        return interleaved("file size", "ms", scale.growth_rounds, contenders)


def _by_slots(book: Ledger, home: Path, files: Path, sink: Sink, scale: Scale) -> list[Figure]:
    store = subject.s3_settings(sink.url)

    def upload(slots: int) -> Sample:
        with deployed(book, home, **store, **subject.slots(slots)) as ours:
            return ours.small(files, scale.files // 2)

    contenders: Contenders = {f"{slots} slots": partial(upload, slots) for slots in scale.slots}
    return interleaved("slots", "files/s", 1, contenders)


def _by_latency(book: Ledger, home: Path, files: Path, scale: Scale) -> list[Figure]:
    contenders: Contenders = {
        f"{latency} ms": partial(_upload_late, book, home, files, scale, latency)
        for latency in scale.latencies_ms
    }
    return interleaved(f"latency, {_SLOTS} slots", "files/s", scale.growth_rounds, contenders)


def _upload_late(book: Ledger, home: Path, files: Path, scale: Scale, latency: int) -> Sample:
    possible = _SLOTS / (latency / 1e3) if latency else float("inf")
    count = int(min(scale.files, possible * (1 if scale.quick else 4)))
    with Sink(home / "late.log", latency_ms=latency) as sink:
        settings: Mapping[str, str] = subject.s3_settings(sink.url) | subject.slots(_SLOTS)
        with deployed(book, home, **settings) as ours:
            ours.small(files, _SLOTS)  # connections are open, the pace is known
            sample = ours.small(files, count)
    share = sample.value / possible
    return Sample(sample.value, {**sample.beside, "share_of_possible": share})


def _bytes(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"
