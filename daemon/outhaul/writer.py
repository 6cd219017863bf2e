"""The one thread that settles: it commits whatever has finished since its last commit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from outhaul import logs
from outhaul.flights import Flights
from outhaul.outage import Outage
from outhaul.outbox import Outbox
from outhaul.transitions import Settlement

#: The most that one commit takes: beyond this, batches gain nothing (measured).
MAX_BATCH = 500


class Writer:
    """Settles in batches. No timer: a batch is what piled up during the last commit.

    Args:
        outbox: where to.
        flights: what we hold; settled jobs leave it.
        outage: the database's absence.

    `afterwards` are called for each settlement that was written, after its commit.
    """

    def __init__(self, outbox: Outbox, flights: Flights, outage: Outage) -> None:
        self._outbox, self._flights, self._outage = outbox, flights, outage
        self.afterwards: list[Callable[[Settlement], None]] = []
        self._queue: queue.SimpleQueue[Settlement | None] = queue.SimpleQueue()
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to settle."""
        self._thread.start()

    def submit(self, settlement: Settlement) -> None:
        """Hand over what an attempt came to."""
        self._flights.attempt_over(settlement.job)
        self._queue.put(settlement)

    def stop(self, seconds: float) -> bool:
        """Settle what is queued and end; whether that worked out in time."""
        self._queue.put(None)
        self._thread.join(timeout=seconds)
        self._abandon.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._settle(batch)
            except Exception as error:  # noqa: BLE001 - a bug must not end settling for good
                logs.failed_cycle("settle", error)
            finally:
                # Settled or not, they are renewed no longer: what was not will be rescued.
                self._flights.land(settlement.job for settlement in batch)

    def _next_batch(self) -> list[Settlement]:
        batch: list[Settlement] = []
        settlement = self._queue.get()
        while settlement is not None:
            batch.append(settlement)
            if len(batch) == MAX_BATCH or self._queue.empty():
                return batch
            settlement = self._queue.get()
        if batch:
            self._queue.put(None)
        return batch

    def _settle(self, batch: list[Settlement]) -> None:
        owned = self._commit(batch)
        self._flights.land(settlement.job for settlement in batch)
        for settlement in batch:
            if settlement.job.id in owned:
                logs.job_settled(settlement)
                for call in self.afterwards:
                    call(settlement)
            else:
                logs.job_fenced(settlement)

    def _commit(self, batch: list[Settlement]) -> set[int]:
        """Write until it is written: a proven upload is not given up for a database restart."""
        owned: set[int] = set()
        in_doubt = False
        while not self._abandon.is_set():
            began = time.monotonic()
            try:
                if in_doubt:
                    # The answer to a COMMIT may be what got lost: ask before repeating.
                    owned |= self._outbox.settled(batch)
                left = [s for s in batch if s.job.id not in owned]
                owned |= self._outbox.settle(left, time.monotonic())
                self._outage.answered(began)
            except (OperationalError, InterfaceError) as error:
                in_doubt = True
                self._abandon.wait(self._outage.failed(error, began))
            except DBAPIError as error:
                return owned | self._one_by_one(batch, error)
            else:
                return owned
        return owned

    def _one_by_one(self, batch: list[Settlement], error: DBAPIError) -> set[int]:
        """The server refuses the batch for what is in it: the neighbours must not suffer."""
        if len(batch) == 1:
            logs.settle_refused(batch[0], error)
            return set()
        return {job_id for settlement in batch for job_id in self._commit([settlement])}
