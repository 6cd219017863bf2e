"""The jobs that this process holds a lease on, from claim to settle. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from outhaul.models import Interrupted, Job
from outhaul.transfer import Budget, Transfer


@dataclass(slots=True)
class Flight:
    """One job in flight. `claimed` and `lease_ends` are monotonic; `started` when a worker has it.

    `over` marks an attempt that is over and waits for its settle: no time binds it any more.
    """

    job: Job
    transfer: Transfer
    claimed: float
    lease_ends: float
    started: bool = False
    over: bool = False


class Flights:
    """The book of flights.

    Args:
        budget: the wall-clock limits of each attempt.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        # By id and fence: a job given up may be claimed again before its old flight has landed.
        self._flights: dict[tuple[int, int], Flight] = {}
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._flights)

    def take_off(self, jobs: Iterable[Job], claimed: float, lease_ends: float) -> None:
        """Enter claimed jobs. The lease counts from before the claim was sent."""
        with self._changed:
            for job in jobs:
                flight = Flight(job, Transfer(self._budget), claimed, lease_ends)
                self._flights[job.id, job.fence] = flight

    def start(self, job: Job) -> Transfer:
        """A worker begins: the attempt's clock starts now."""
        with self._changed:
            flight = self._flights[job.id, job.fence]
            flight.started = True
            flight.transfer.begin()
            return flight.transfer

    def attempt_over(self, job: Job) -> None:
        """A worker is done; the lease is held until the settle is committed."""
        with self._changed:
            if flight := self._flights.get((job.id, job.fence)):
                flight.over = True

    def land(self, jobs: Iterable[Job]) -> None:
        """Settled: no longer held."""
        with self._changed:
            for job in jobs:
                self._flights.pop((job.id, job.fence), None)
            self._changed.notify_all()

    def held(self) -> dict[int, int]:
        """Job id to fence, of everything in flight."""
        with self._changed:
            return {flight.job.id: flight.job.fence for flight in self._flights.values()}

    def jobs(self) -> list[Job]:
        """Everything in flight."""
        with self._changed:
            return [flight.job for flight in self._flights.values()]

    def renewed(self, asked: Mapping[int, int], kept: set[int], lease_ends: float) -> list[Job]:
        """Extend what was renewed; return the jobs that were asked for and are lost."""
        with self._changed:
            # A job that was settled meanwhile is no longer held, and not lost.
            flights = [self._flights[key] for key in asked.items() if key in self._flights]
            for flight in flights:
                if flight.job.id in kept:
                    flight.lease_ends = lease_ends
            return [flight.job for flight in flights if flight.job.id not in kept]

    def cancel(self, cut: Interrupted, where: Callable[[Flight], bool]) -> list[int]:
        """Cut short the attempts that match; returns their ids."""
        with self._changed:
            chosen = [f for f in self._flights.values() if not f.over and where(f)]
        for flight in chosen:
            flight.transfer.cancel(cut)
        return [flight.job.id for flight in chosen]

    def newest(self) -> float | None:
        """When the latest flight was claimed; None if nothing is in flight."""
        with self._changed:
            return max((flight.claimed for flight in self._flights.values()), default=None)

    def overrun(self, now: float, grace_seconds: float) -> bool:
        """Whether some attempt outlived its own deadline: a worker hangs where nothing can cut."""
        with self._changed:
            return any(
                flight.started and not flight.over and now > flight.transfer.expires + grace_seconds
                for flight in self._flights.values()
            )

    def wait_empty(self, seconds: float) -> bool:
        """Wait until nothing is in flight; whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._flights, timeout=seconds)
