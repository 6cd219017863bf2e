"""(e) What a daemon costs that has nothing to do."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from tests.support.mariadb import MariaDbServer
from tests.support.postgresql import PostgresServer

from bench import subject
from bench.databases import Ledger, directory, ledger, sqlite_ledger
from bench.deployment import deployed
from bench.figures import Contenders, Figure, Sample, interleaved
from bench.processes import running_seconds
from bench.scale import Scale
from bench.sink import Sink
from outhaul.outbox.wakeup import switch

#: Rows that are done with: an outbox that is in use holds more of them than of any other.
_FINISHED = 10_000

#: Until a daemon that has just started has come to rest.
_SETTLING = 2.0

_STATEMENTS = {
    "postgresql": (
        "SELECT xact_commit + xact_rollback FROM pg_stat_database"
        " WHERE datname = current_database()"
    ),
    "mysql": (
        "SELECT CAST(variable_value AS signed) FROM information_schema.global_status"
        " WHERE variable_name = 'QUESTIONS'"
    ),
}


def measure(postgres: PostgresServer, mariadb: MariaDbServer, scale: Scale) -> list[Figure]:
    """Per cent of one core; beside it, statements per minute where the server counts them."""
    with ExitStack() as stack:
        contenders: Contenders = {
            "postgresql": partial(_idle, stack.enter_context(ledger(postgres)), scale),
        }
        if not scale.quick:
            listening = stack.enter_context(ledger(postgres))
            switch(listening.engine, on=True)
            contenders |= {
                "postgresql, NOTIFY": partial(_idle, listening, scale, OUTHAUL_NOTIFY="true"),
                "mariadb": partial(_idle, stack.enter_context(ledger(mariadb)), scale),
                "sqlite": partial(_idle, stack.enter_context(sqlite_ledger()), scale),
            }
        return interleaved("idle", "% of a core", scale.growth_rounds, contenders)


def _idle(book: Ledger, scale: Scale, **settings: str) -> Sample:
    book.refill(_FINISHED, status="'done'")
    with directory() as home, Sink(home / "sink.log") as sink:
        (home / "spool").mkdir()
        store = subject.s3_settings(sink.url)
        with deployed(book, home / "spool", **store, **settings) as ours:
            time.sleep(_SETTLING)
            asked, begun = _statements(book), time.monotonic()
            cpu = running_seconds(ours.daemon.pid)
            time.sleep(scale.idle_seconds)
            cpu = running_seconds(ours.daemon.pid) - cpu
            seconds = time.monotonic() - begun
            statements = _statements(book) - asked
    beside = {"statements_per_minute": statements / seconds * 60} if statements else {}
    return Sample(cpu / seconds * 100, beside)


def _statements(book: Ledger) -> int:
    query = _STATEMENTS.get(book.dialect)
    return int(book.ask(query)[0][0]) if query else 0
