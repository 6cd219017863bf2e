"""(f) How long until a daemon takes jobs, and until a command answers."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.support.postgresql import PostgresServer

from bench import subject
from bench.databases import Ledger, directory, ledger, sqlite_ledger
from bench.deployment import deployed
from bench.figures import Contenders, Figure, Sample, interleaved
from bench.scale import Scale
from bench.sink import Sink


def measure(postgres: PostgresServer, scale: Scale) -> list[Figure]:
    """Seconds, from the start of the process."""
    with ExitStack() as stack:
        home = stack.enter_context(directory())
        sink = stack.enter_context(Sink(home / "sink.log"))
        (home / "spool").mkdir()
        store = subject.s3_settings(sink.url)
        book = stack.enter_context(ledger(postgres))
        contenders: Contenders = {
            "run, PostgreSQL": partial(_ready, book, home / "spool", store),
            "bare Python": partial(_command, "-c", "pass"),
        }
        if not scale.quick:
            embedded = stack.enter_context(sqlite_ledger())
            contenders |= {
                "run, SQLite": partial(_ready, embedded, home / "spool", store),
                "--version": partial(_command, "-m", "outhaul", "--version"),
            }
        return interleaved("start", "s", scale.starts, contenders)


def _ready(book: Ledger, home: Path, store: dict[str, str]) -> Sample:
    begun = time.monotonic()
    with deployed(book, home, **store):
        return Sample(time.monotonic() - begun)


def _command(*arguments: str) -> Sample:
    begun = time.monotonic()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return Sample(time.monotonic() - begun)
