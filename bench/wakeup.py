"""(c) From the commit of an INSERT to the start of its upload, and what NOTIFY costs clients."""

from __future__ import annotations

import random
import time
from contextlib import closing
from functools import partial

import psycopg
from tests.support.postgresql import PostgresServer
from tests.support.waiting import wait_for

from bench import pgbench, subject
from bench.databases import Ledger, directory, ledger
from bench.deployment import deployed
from bench.figures import Contenders, Figure, Sample, interleaved
from bench.scale import Scale
from bench.sink import Sink
from outhaul.outbox.wakeup import CHANNEL, switch

#: Mean seconds between two INSERTs: the daemon is idle again by then.
_GAP = 0.06

_INSERT = "INSERT INTO upload_outbox (storage_key, payload) VALUES ('wakeup', '\\x78') RETURNING id"

# Attempts begin once the claim is committed, so this is a little more than the claim's latency.
_STARTED = "SELECT job_id, extract(epoch FROM started_at) FROM upload_attempts"


def measure(server: PostgresServer, scale: Scale) -> list[Figure]:
    """Latencies in ms as the median (`p99` beside it); then commits per second of producers."""
    contenders: Contenders = {
        "NOTIFY": partial(_latency, server, scale.wakeups, notify=True),
        "polling": partial(_latency, server, scale.wakeups, notify=False),
    }
    rounds = 1 if scale.quick else scale.rounds
    figures = interleaved("wake-up", "ms", rounds, contenders)
    with ledger(server) as book:
        figures += interleaved("producers", "commits/s", rounds, _producers(book, scale))
    return figures


def _latency(server: PostgresServer, count: int, *, notify: bool) -> Sample:
    with directory() as home, Sink(home / "sink.log") as sink, ledger(server) as book:
        (home / "spool").mkdir()
        switch(book.engine, on=notify)
        settings = subject.s3_settings(sink.url) | {"OUTHAUL_NOTIFY": str(notify).lower()}
        with deployed(book, home / "spool", **settings):
            committed = _insert(book, count)
            wait_for(lambda: not book.unfinished(), 30.0, "the last job")
            begun = {row[0]: float(row[1]) for row in book.ask(_STARTED)}
    late = sorted((begun[job] - when) * 1e3 for job, when in committed.items())
    p99 = late[min(len(late) - 1, round(0.99 * len(late)))]
    return Sample(late[len(late) // 2], {"p99": p99, "max": late[-1]})


def _insert(book: Ledger, count: int) -> dict[int, float]:
    """Job id to when its commit came back. Client and server read the same clock."""
    committed = {}
    pace = random.Random(1)  # noqa: S311 - no secret: the same pauses every time
    with psycopg.connect(book.dsn, autocommit=True) as connection:
        for _ in range(count):
            # Not in step with the poll: each INSERT meets it at another moment.
            time.sleep(_GAP * pace.uniform(0.5, 1.5))
            row = connection.execute(_INSERT).fetchone()
            if row is not None:
                committed[int(row[0])] = time.time()
    return committed


def _producers(book: Ledger, scale: Scale) -> Contenders:
    return {
        f"{clients} producers, {'NOTIFY' if notify else 'no NOTIFY'}": partial(
            _produce, book, clients, scale.producer_seconds, notify=notify
        )
        for clients in ((8,) if scale.quick else (1, 8))
        for notify in (False, True)
    }


def _produce(book: Ledger, clients: int, seconds: float, *, notify: bool) -> Sample:
    book.refill(0)
    switch(book.engine, on=notify)
    with closing(psycopg.connect(book.dsn, autocommit=True)) as listener:
        if notify:
            listener.execute(f"LISTEN {CHANNEL}")
        # pgbench counts whole seconds.
        limit = f"-T{max(1, round(seconds))}"
        return Sample(pgbench.rate(book.dsn, f"{_INSERT};\n", clients, limit))
