"""The threads that keep leases: our own renewed, vanished daemons' taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from outhaul import logs
from outhaul.flights import Flight, Flights
from outhaul.models import Interrupted, Outcome
from outhaul.outage import Outage
from outhaul.outbox import Outbox

#: By its own clock a worker stops finishing this long before its lease ends, or a quarter of it.
SAFETY_SECONDS = 10.0

#: Within this, every thread of a daemon that lives has tried the database again.
_CALM_SECONDS = 3.0

_LOST = Interrupted(Outcome.LOST, "the lease was lost to another daemon")
_ENDING = Interrupted(Outcome.LOST, "the lease could not be renewed in time")


class Cycle:
    """A thread that runs one function whenever it is told to, and again soon if that failed.

    Lease renewal and rescue never run on the scheduler's own pool: with the pool full, a renewal
    due 6 times ran 0 times (measured).
    """

    def __init__(self, name: str, work: Callable[[], None], outage: Outage) -> None:
        self._name, self._work, self._outage = name, work, outage
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first run is at once."""
        self._due.set()
        self._thread.start()

    def tick(self) -> None:
        """Run again, now."""
        self._due.set()

    def stop(self, seconds: float = 5.0) -> None:
        """End after the run under way."""
        self._stopping.set()
        self._due.set()
        self._thread.join(timeout=seconds)

    def _run(self) -> None:
        while self._due.wait() and not self._stopping.is_set():
            self._due.clear()
            began = time.monotonic()
            try:
                self._work()
            except DBAPIError as error:
                self._again_after(self._outage.failed(error, began))
            except Exception as error:  # noqa: BLE001 - a bug in one run must not end the cycle
                logs.failed_cycle(self._name, error)

    def _again_after(self, seconds: float) -> None:
        self._stopping.wait(seconds)
        self._due.set()


class Keeper:
    """Renews and rescues.

    Args:
        outbox: where.
        flights: what we hold.
        lease_seconds: for how long a renewal lasts.
        outage: the database's absence.
    """

    def __init__(
        self, outbox: Outbox, flights: Flights, lease_seconds: float, outage: Outage
    ) -> None:
        self._outbox, self._flights = outbox, flights
        self._lease, self._outage = lease_seconds, outage

    def renew(self) -> None:
        """Extend our leases and say that we live. A job that is no longer ours is abandoned."""
        now = time.monotonic()
        self._abandon_ending(now)
        held = self._flights.held()
        kept = self._outbox.renew(held)
        lost = self._flights.renewed(held, kept, now + self._lease)
        if lost:
            logs.leases_lost([job.id for job in lost])
            self._flights.cancel(_LOST, lambda flight: flight.job in lost)
        self._outbox.beat(len(held))
        self._outage.answered(now)

    def rescue(self) -> None:
        """Take back the jobs of vanished daemons, and claims of ours that never reached us."""
        # An outage lets all leases run out: first the living must have had time to renew theirs.
        if self._outage.calm_seconds < max(self._lease, _CALM_SECONDS):
            return
        began = time.monotonic()
        rescued = self._outbox.rescue(self._flights.held())
        self._outage.answered(began)
        for job in rescued:
            logs.job_rescued(job)

    def _abandon_ending(self, now: float) -> None:
        """Somebody else may claim these soon: stop before two of us send the same object."""
        margin = min(SAFETY_SECONDS, self._lease / 4)

        def ending(flight: Flight) -> bool:
            return flight.lease_ends - margin < now

        self._flights.cancel(_ENDING, ending)
