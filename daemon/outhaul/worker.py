"""Worker threads: take a claimed job, make its attempt, decide, hand the settlement over."""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import replace

from outhaul import transitions
from outhaul.errors import RowError
from outhaul.flights import Flights
from outhaul.models import Attempt, Failure, Interrupted, Job, Origin
from outhaul.outbox.rows import BadRow
from outhaul.policy import Rules
from outhaul.transitions import Settlement
from outhaul.uploader import Uploader
from outhaul.writer import Writer


class Workers:
    """A fixed set of threads on one queue.

    Args:
        count: how many uploads run at once.
        uploader: makes attempts.
        flights: what we hold.
        rules: the retry policy.
        writer: takes the settlements.
    """

    def __init__(
        self, count: int, uploader: Uploader, flights: Flights, rules: Rules, writer: Writer
    ) -> None:
        self._uploader, self._flights = uploader, flights
        self._rules, self._writer = rules, writer
        self._queue: queue.SimpleQueue[Job | BadRow | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)
            for number in range(count)
        ]

    def __len__(self) -> int:
        return len(self._threads)

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def submit(self, claimed: Job | BadRow) -> None:
        """Queue a claimed row."""
        self._queue.put(claimed)

    def give_back(self, cut: Interrupted) -> int:
        """Release every job that no worker has begun; returns how many."""
        count = 0
        while True:
            try:
                claimed = self._queue.get_nowait()
            except queue.Empty:
                return count
            if isinstance(claimed, Job):
                self._writer.submit(given_back(claimed, cut))
                count += 1
            elif claimed is not None:
                self._writer.submit(self._refused(claimed.job, claimed.error))

    def stop(self) -> None:
        """Let the threads end when they are free. They are daemons: a hung one stops nobody."""
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while (claimed := self._queue.get()) is not None:
            self._writer.submit(self._process(claimed))

    def _process(self, claimed: Job | BadRow) -> Settlement:
        if isinstance(claimed, BadRow):
            return self._refused(claimed.job, claimed.error)
        if claimed.store not in self._uploader.stores:
            return self._settle(_failed(claimed, _not_configured(claimed)))
        if claimed.attempt > 1 + len(self._rules.delays[claimed.operation]):
            return self._passed_over(claimed)
        return self._settle(self._uploader.attempt(claimed, self._flights.start(claimed)))

    def _refused(self, job: Job, error: RowError) -> Settlement:
        return self._settle(_failed(job, Failure(error.code, error.message, Origin.ROW)))

    def _passed_over(self, job: Job) -> Settlement:
        """Crashes are charged too: a store that has had all its tries gets no further one."""
        failure = Failure("TRIES_SPENT", f"crashes have used up the tries at {job.store}")
        return replace(self._settle(_failed(job, failure)), refund=True)

    def _settle(self, attempt: Attempt) -> Settlement:
        return transitions.settle(attempt, self._rules, random.random())  # noqa: S311 - jitter


def given_back(job: Job, cut: Interrupted) -> Settlement:
    """The settlement of a job that we give up ourselves."""
    return transitions.released(Attempt(job, cut, time.monotonic()), cut)


def _failed(job: Job, failure: Failure) -> Attempt:
    return Attempt(job, failure, time.monotonic())


def _not_configured(job: Job) -> Failure:
    return Failure(
        "STORE_NOT_CONFIGURED", f"the job waits for {job.store}, which this daemon does not have"
    )
