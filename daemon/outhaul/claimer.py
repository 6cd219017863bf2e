"""The thread that claims: as much as the workers finish in about two seconds, and no more."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from outhaul import logs
from outhaul.flights import Flights
from outhaul.models import Job
from outhaul.outage import Outage
from outhaul.outbox import BadRow, Outbox
from outhaul.pace import Pace, window

#: How often a daemon looks for jobs that a crash has touched.
SUSPECT_SECONDS = 1.0

#: How late a tick may be before we do without it: the loop outlives its scheduler.
_PATIENCE = 1.0

#: How long a stop waits for a claim that the database does not answer.
_STOP_SECONDS = 5.0


class Claimer:
    """Claims and hands over.

    Args:
        outbox: where from.
        flights: what we hold.
        submit: takes each claimed row.
        workers: how many uploads run at once.
        lease_seconds: for how long a claim is ours.
        poll_seconds: how often a tick is to come.
        outage: the database's absence.
    """

    def __init__(
        self,
        outbox: Outbox,
        flights: Flights,
        submit: Callable[[Job | BadRow], None],
        *,
        workers: int,
        lease_seconds: float,
        poll_seconds: float,
        outage: Outage,
    ) -> None:
        self._outbox, self._flights, self._submit = outbox, flights, submit
        self._workers, self._lease, self._outage = workers, lease_seconds, outage
        self._poll = poll_seconds
        self._pace = Pace()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._hungry = False
        self._in_doubt = False
        self._suspects_at = 0.0
        self._alone_until = 0.0
        self._thread = threading.Thread(target=self._run, name="claimer", daemon=True)
        self.progressed = time.monotonic()
        self.idle = threading.Event()

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def tick(self) -> None:
        """Look again, now."""
        self._wake.set()

    def landed(self) -> None:
        """A job was settled: while the outbox holds more, its place is filled at once.

        With the last one landed we look again in any case: to be idle is to know of nothing due.
        """
        self._pace.count()
        if self._hungry or not len(self._flights):
            self._wake.set()

    def stop(self) -> None:
        """Claim no more. Returns once no claim can be under way."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Waiting for a database that hangs is no hang of ours: a restart would not help.
            self.progressed = math.inf
            began = time.monotonic()
            try:
                again = self._cycle(began)
                self.progressed = time.monotonic()
            except DBAPIError as error:
                self._in_doubt = True
                self._stopping.wait(self._outage.failed(error, began))
            except Exception as error:  # noqa: BLE001 - a bug in one cycle must not end claiming
                logs.failed_cycle("claim", error)
                self._stopping.wait(_PATIENCE)
            else:
                if not again:
                    self._rest()

    def _rest(self) -> None:
        """Until the next tick."""
        overdue = time.monotonic() + self._poll + _PATIENCE
        while not self._wake.wait(_PATIENCE) and time.monotonic() < overdue:
            self.progressed = time.monotonic()
        self._wake.clear()

    def _cycle(self, now: float) -> bool:
        """Claim once; whether to claim again without waiting."""
        if self._in_doubt:
            self._take_back_unheard()
        if self._hold_for_suspect(now):
            return False
        in_flight = len(self._flights)
        room = window(self._workers, self._pace.per_second(now)) - in_flight
        # Half a window at a time, unless a worker stands idle: few statements, full hands.
        if room <= 0 or (in_flight >= self._workers and room * 2 < in_flight + room):
            return False
        claimed = self._outbox.claim(room)
        self._outage.answered(now)
        self._accept(claimed, now)
        self._hungry = len(claimed) == room
        if not claimed and not in_flight:
            self.idle.set()
        return self._hungry

    def _take_back_unheard(self) -> None:
        """A claim may have been committed though its answer got lost: nobody works on it."""
        while rescued := self._outbox.unheard(self._flights.held()):
            for job in rescued:
                logs.job_rescued(job)
        self._in_doubt = False

    def _accept(self, claimed: Sequence[Job | BadRow], now: float) -> None:
        jobs = [row.job if isinstance(row, BadRow) else row for row in claimed]
        self._flights.take_off(jobs, now, now + self._lease)
        for row in claimed:
            self.idle.clear()
            self._submit(row)

    def _hold_for_suspect(self, now: float) -> bool:
        """Run jobs that were in flight when a process died one at a time, away from the others.

        What has been in flight for a whole lease is taken for harmless: else one long upload
        would keep everybody waiting.
        """
        if now < self._alone_until and len(self._flights):
            return True
        if now < self._suspects_at:
            return False
        suspects = self._outbox.suspects_due()
        self._outage.answered(now)
        if not suspects:
            self._suspects_at = now + SUSPECT_SECONDS
            return False
        newest = self._flights.newest()
        if newest is not None and now - newest < self._lease:
            self._hungry = True
            return True
        if (suspect := self._outbox.claim_suspect()) is None:
            return False
        self._alone_until = now + self._lease
        self._hungry = True
        self._accept([suspect], now)
        return True
