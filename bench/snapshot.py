"""(d) A snapshot that somebody holds open, under load: vacuum is stopped, dead rows pile up."""

from __future__ import annotations

import json
from contextlib import closing
from statistics import median

import psycopg
from tests.support.postgresql import PostgresServer

from bench import noop
from bench.databases import Ledger, ledger
from bench.figures import Figure, Sample, say
from bench.fleet import Program
from bench.scale import Scale

#: Jobs that wait at any time: the claims never run dry, and never meet an empty index.
_BACKLOG = 60_000

#: Seconds at the end of the load whose rate counts.
_LAST = 20


class _Load:
    """The pipeline at full speed, its outbox refilled as it empties."""

    def __init__(self, book: Ledger, program: Program) -> None:
        self._book, self._program = book, program
        self._added = self._settled = 0
        self._at = 0.0

    def run(self, seconds: float) -> list[float]:
        """The rates of the seconds to come, in jobs/s."""
        rates: list[float] = []
        while len(rates) < seconds:
            told = json.loads(self._program.read_line())
            if self._at:
                rates.append((told["settled"] - self._settled) / (told["at"] - self._at))
            self._settled, self._at = told["settled"], told["at"]
            missing = self._settled + _BACKLOG - self._added
            if missing > _BACKLOG // 4:
                self._book.fill(missing)
                self._added += missing
        return rates


def measure(server: PostgresServer, scale: Scale) -> list[Figure]:
    """The rate before the snapshot, and the rate at the end of holding it."""
    if not scale.snapshot_seconds:
        return []
    with ledger(server) as book, noop.started(book.url, 1) as (program,):
        load = _Load(book, program)
        say("snapshot: the rate before")
        program.write_line("go")
        load.run(5)
        before = load.run(scale.snapshot_before_seconds)
        say(f"snapshot: held for {scale.snapshot_seconds:g} s")
        with closing(_snapshot(book.dsn)):
            during = load.run(scale.snapshot_seconds)
    return [
        Figure("snapshot", "before", "jobs/s", [Sample(median(before))]),
        Figure("snapshot", "held, at its end", "jobs/s", [Sample(median(during[-_LAST:]))]),
    ]


def _snapshot(dsn: str) -> psycopg.Connection[tuple[object, ...]]:
    """A session that has read something and sits in its transaction, as pg_dump does."""
    session = psycopg.connect(dsn)
    session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    session.execute("SELECT count(*) FROM upload_daemons")
    return session
