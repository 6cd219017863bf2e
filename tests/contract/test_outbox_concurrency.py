"""Many at once: claimers, settlers, rescuers and clients never hurt each other."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from outhaul.models import Job
from outhaul.outbox import Outbox
from tests.contract.outboxes import (
    SLOW_DOWN,
    STORED,
    MigratedOutbox,
    opened,
    settle,
    settlement,
)

_JOBS = 2_000
_THREADS = 8

#: Far more than any of these takes; only a deadlock lasts longer.
_PATIENCE = 90.0


def run_all(*works: Callable[[], None]) -> None:
    """Run each in a thread of its own; what any of them raises is raised here."""
    with ThreadPoolExecutor(len(works)) as pool:
        for ran in [pool.submit(work) for work in works]:
            ran.result(timeout=_PATIENCE)


def claimed(daemon: Outbox, limit: int) -> list[Job]:
    return [row for row in daemon.claim(limit) if isinstance(row, Job)]


def test_eight_claimers_share_the_jobs(outbox: MigratedOutbox) -> None:
    """Eight threads, half of them in another pool, claim 2,000 jobs: each job exactly once."""

    outbox.insert_many(_JOBS)
    taken: list[list[Job]] = [[] for _ in range(_THREADS)]

    with opened(outbox.url) as elsewhere:

        def claim(number: int) -> None:
            engine = elsewhere if number % 2 else outbox.engine
            daemon = outbox.daemon(f"w{number}", engine=engine)
            while batch := claimed(daemon, 25):
                taken[number] += batch

        run_all(*(lambda number=number: claim(number) for number in range(_THREADS)))

    assert sorted(job.id for jobs in taken for job in jobs) == list(range(1, _JOBS + 1))
    owners = {job.id: f"w{number}" for number, jobs in enumerate(taken) for job in jobs}
    for row in outbox.jobs():
        assert (row["claimed_by"], row["fence"], row["s3_attempts"]) == (owners[row["id"]], 1, 1)


class Traffic:
    """Clients that insert, daemons that claim and settle, some that vanish, and rescuers.

    Args:
        outbox: where.
        jobs: how many the two clients insert in all.
    """

    def __init__(self, outbox: MigratedOutbox, jobs: int) -> None:
        self._outbox, self._jobs = outbox, jobs
        self.settled: Counter[int] = Counter()
        self.rescued: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + _PATIENCE

    def insert(self) -> None:
        """A client: half of the jobs, in small transactions."""
        for _ in range(self._jobs // 40):
            self._outbox.insert_many(20)

    def work(self, name: str, engine: Engine) -> None:
        """A daemon: claims, fresh ones and suspects, renews and settles, until all is done."""
        daemon = self._outbox.daemon(name, engine=engine)
        while not self._is_over():
            jobs = claimed(daemon, 20)
            if isinstance(suspect := daemon.claim_suspect(), Job):
                jobs.append(suspect)
            daemon.renew({job.id: job.fence for job in jobs})
            owned = settle(daemon, *(settlement(job, STORED) for job in reversed(jobs)))
            with self._lock:
                self.settled.update(owned)

    def vanish(self) -> None:
        """A daemon whose leases run out at once: each job is claimed and forgotten."""
        daemon = self._outbox.daemon("vanishing", lease_seconds=-1.0)
        for _ in range(20):
            daemon.claim(5)

    def rescue(self, name: str, engine: Engine) -> None:
        """What every daemon does now and then, here without a pause."""
        daemon = self._outbox.daemon(name, engine=engine)
        while not self._is_over():
            found = [back.job_id for back in daemon.rescue()]
            with self._lock:
                self.rescued.update(found)

    def _is_over(self) -> bool:
        assert time.monotonic() < self._deadline, "the jobs do not get done"
        with self._lock:
            return len(self.settled) >= self._jobs


def test_everybody_at_once_loses_nothing(outbox: MigratedOutbox) -> None:
    """With inserts, claims, settles, lost leases and rescues at once, no error and no lost job."""

    traffic = Traffic(outbox, jobs=600)

    with opened(outbox.url) as elsewhere:
        run_all(
            traffic.insert,
            traffic.insert,
            lambda: traffic.work("a", outbox.engine),
            lambda: traffic.work("b", elsewhere),
            traffic.vanish,
            lambda: traffic.rescue("c", outbox.engine),
            lambda: traffic.rescue("d", elsewhere),
        )

    assert {row["status"] for row in outbox.jobs()} == {"done"}
    assert set(traffic.settled.values()) == {1}
    outcomes = Counter(tried["outcome"] for tried in outbox.attempts())
    assert outcomes == Counter(succeeded=600, lost=traffic.rescued.total())


def test_renewal_and_settling_do_not_collide(outbox: MigratedOutbox) -> None:
    """The renewer and the writer of one daemon touch the same jobs at once: no error comes out."""

    outbox.insert_many(400)
    daemon = outbox.daemon()
    held = {job.id: job for job in claimed(daemon, 400)}
    fences = {job_id: job.fence for job_id, job in held.items()}
    over = threading.Event()

    def renew() -> None:
        while not over.is_set():
            daemon.renew(fences)

    def write() -> None:
        try:
            for start in range(0, 400, 20):
                batch = [held[job_id] for job_id in sorted(held, reverse=True)[start : start + 20]]
                settle(daemon, *(settlement(job, SLOW_DOWN) for job in batch))
        finally:
            over.set()

    run_all(renew, renew, write)

    assert len(outbox.attempts()) == 400
    assert daemon.renew(fences) == set()
