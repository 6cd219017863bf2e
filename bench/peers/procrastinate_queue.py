"""procrastinate, its defaults. `python -m bench.peers.procrastinate_queue DSN`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import procrastinate
import psycopg

from bench.peers.resident import Clock, serve


def _app(concurrency: int) -> Any:
    connector = procrastinate.PsycopgConnector(
        conninfo=sys.argv[1], min_size=4, max_size=concurrency + 5
    )
    app = procrastinate.App(connector=connector)

    app.task(name="noop")(_noop)
    return app


async def _noop(number: int) -> None:
    del number


async def _install() -> None:
    app = _app(1)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


def _empty() -> None:
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.execute("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")


def _done() -> int:
    with psycopg.connect(sys.argv[1]) as connection:
        query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0


async def _run(clock: Clock, jobs: int, concurrency: int) -> None:
    app = _app(concurrency)
    async with app.open_async():
        await app.tasks["noop"].batch_defer_async(*({"number": n} for n in range(jobs)))
        with clock.running():
            await app.run_worker_async(
                wait=False, concurrency=concurrency, install_signal_handlers=False
            )


def noop(clock: Clock, jobs: int, concurrency: int) -> None:
    """Defer jobs that do nothing, then work until none is left."""
    _empty()
    asyncio.run(_run(clock, jobs, concurrency))
    if _done() != jobs:
        raise RuntimeError("not every job succeeded")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(_install())
    serve({"noop": noop})
