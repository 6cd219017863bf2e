"""(b) Files per second and MB/s, end to end, beside the tools that keep no records."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.support.postgresql import PostgresServer
from tests.support.seaweed import SeaweedServer

from bench import subject
from bench.account import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from bench.clients import Clients
from bench.databases import Ledger, directory, ledger, sqlite_ledger
from bench.deployment import Deployment, deployed, write_files, write_large
from bench.figures import Contenders, Figure, interleaved
from bench.scale import KIB, Scale
from bench.sink import Sink

SMALL_BYTES = 16 * KIB


class _Seaweed(SeaweedServer):
    region, bucket = REGION, BUCKET
    access_key, secret_key = ACCESS_KEY, SECRET_KEY


class _Files:
    """What everybody uploads. SDKs, and real stores, need not see as much to show their pace."""

    def __init__(self, home: Path, scale: Scale) -> None:
        self.small, self.few = home / "small", home / "few"
        self.large, self.less_large = home / "large", home / "less-large"
        self.count, self.sdk_count, self.few_count = scale.files, scale.sdk_files, scale.real_files
        write_files(self.small, self.count, SMALL_BYTES)
        write_files(self.few, self.few_count, SMALL_BYTES)
        write_large(self.large, scale.large_bytes)
        write_large(self.less_large, scale.real_large_bytes)


def measure(postgres: PostgresServer, scale: Scale) -> list[Figure]:
    """Against the sink by S3, then by OSS; then against a real store."""
    with directory(in_memory=True) as home:
        files = _Files(home, scale)
        with Sink(home / "sink.log") as sink:
            figures = _s3(postgres, home, files, sink, scale)
            figures += _oss(postgres, home, files, sink, scale)
        if scale.real_files:
            with _Seaweed() as seaweed:
                figures += _real(postgres, home, files, seaweed, scale)
    return figures


def _s3(
    postgres: PostgresServer, home: Path, files: _Files, sink: Sink, scale: Scale
) -> list[Figure]:
    with ExitStack() as stack:
        clients = Clients(stack, sink.url, quick=scale.quick)
        ours = _ours(stack, postgres, home, scale, subject.s3_settings(sink.url))
        small = _small(ours, files) | clients.small_s3(files.small, files.count, files.sdk_count)
        large = _large(ours, files) | clients.large(files.large)
        return [
            *interleaved("small files, S3", "files/s", scale.rounds, small),
            *interleaved("large file, S3", "MB/s", scale.rounds, large),
        ]


def _oss(
    postgres: PostgresServer, home: Path, files: _Files, sink: Sink, scale: Scale
) -> list[Figure]:
    with ExitStack() as stack:
        clients = Clients(stack, sink.url, quick=scale.quick)
        ours = _ours(stack, postgres, home, scale, subject.oss_settings(sink.url))
        small = _small(ours, files) | clients.small_oss(files.small, files.sdk_count)
        figures = interleaved("small files, OSS", "files/s", scale.rounds, small)
        if not scale.quick:
            figures += interleaved("large file, OSS", "MB/s", scale.rounds, _large(ours, files))
        return figures


def _real(
    postgres: PostgresServer, home: Path, files: _Files, seaweed: SeaweedServer, scale: Scale
) -> list[Figure]:
    with ExitStack() as stack:
        clients = Clients(stack, seaweed.url, quick=True)
        book = stack.enter_context(ledger(postgres))
        settings = subject.s3_settings(seaweed.url)
        ours = stack.enter_context(deployed(book, home, **settings))
        count = files.few_count
        small: Contenders = {
            "outhaul": partial(ours.small, files.few, count),
            **clients.small_s3(files.few, count, count),
        }
        large: Contenders = {
            "outhaul": partial(ours.large, files.less_large),
            **clients.large(files.less_large),
        }
        return [
            *interleaved("small files, SeaweedFS", "files/s", scale.rounds, small),
            *interleaved("large file, SeaweedFS", "MB/s", scale.rounds, large),
        ]


def _ours(
    stack: ExitStack,
    postgres: PostgresServer,
    home: Path,
    scale: Scale,
    store: Mapping[str, str],
) -> dict[str, Deployment]:
    """The daemon as it comes; at full scale also in one process, and on its embedded database.

    They take turns: the others idle meanwhile, which costs what `idle` says.
    """
    books: dict[str, tuple[Ledger, dict[str, str]]] = {
        "outhaul": (stack.enter_context(ledger(postgres)), {})
    }
    if not scale.quick:
        books["outhaul on SQLite"] = (stack.enter_context(sqlite_ledger()), {})
        if subject.can_fork():
            one = (stack.enter_context(ledger(postgres)), {"OUTHAUL_PROCESSES": "1"})
            books["outhaul, 1 process"] = one
    return {
        name: stack.enter_context(deployed(book, home, **store, **more))
        for name, (book, more) in books.items()
    }


def _small(ours: Mapping[str, Deployment], files: _Files) -> Contenders:
    return {
        name: partial(deployment.small, files.small, files.count)
        for name, deployment in ours.items()
    }


def _large(ours: Mapping[str, Deployment], files: _Files) -> Contenders:
    return {name: partial(deployment.large, files.large) for name, deployment in ours.items()}
