"""pgqueuer on asyncpg and uvloop, as its own benchmark has it.

`python -m bench.peers.pgqueuer_queue DSN`
"""

from __future__ import annotations

import sys
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from bench.peers.resident import Clock, serve

_BATCH = 1000


async def _driver() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(sys.argv[1]))


async def _install() -> None:
    queries = Queries(await _driver())
    await queries.install()
    await queries.optimize_autovacuum()


async def _fill(jobs: int) -> None:
    driver = await _driver()
    await driver.execute("TRUNCATE pgqueuer, pgqueuer_log")
    queries = Queries(driver)
    for start in range(0, jobs, _BATCH):
        count = min(_BATCH, jobs - start)
        await queries.enqueue(["noop"] * count, [b"x"] * count, [0] * count)


async def _run(clock: Clock, jobs: int, batch: int) -> None:
    await _fill(jobs)
    manager: Any = PgQueuer(await _driver())
    done = 0

    async def noop(job: Job) -> None:
        nonlocal done
        del job
        done += 1

    manager.entrypoint("noop")(noop)
    with clock.running():
        await manager.run(
            batch_size=batch, mode=QueueExecutionMode.drain, max_concurrent_tasks=2 * batch
        )
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs ran")


def noop(clock: Clock, jobs: int, batch: int) -> None:
    """Enqueue jobs that do nothing, then drain the queue."""
    uvloop.run(_run(clock, jobs, batch))


if __name__ == "__main__":
    uvloop.run(_install())
    serve({"noop": noop})
