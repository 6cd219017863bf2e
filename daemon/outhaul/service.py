"""The daemon's life: start, run, drain, stop. Signals and systemd meet the threads here."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from sqlalchemy.exc import DBAPIError

from outhaul import logs
from outhaul.claimer import Claimer
from outhaul.flights import Flights
from outhaul.keeper import Cycle
from outhaul.models import Interrupted, Outcome
from outhaul.notifier import Notifier
from outhaul.outage import Outage
from outhaul.outbox import Outbox
from outhaul.outbox.wakeup import Listener
from outhaul.scheduler import Scheduler
from outhaul.worker import Workers, given_back
from outhaul.writer import Writer

#: After a cut, attempts end within moments; a thread that does not is left behind.
_CUT_SECONDS = 2.0

#: For the last settlements, also when the database is slow to take them.
_FLUSH_SECONDS = 5.0

#: How long the scheduler or the claimer may be silent, database outage included.
_SILENCE_SECONDS = 60.0

#: How far an attempt may outlive its own deadline.
_GRACE_SECONDS = 30.0

_SHUTDOWN = Interrupted(Outcome.INTERRUPTED, "the daemon stopped before the attempt ended")


@dataclass(slots=True)
class Parts:
    """The threads and what they share, as `app` wires them."""

    outbox: Outbox
    flights: Flights
    workers: Workers
    writer: Writer
    claimer: Claimer
    renewer: Cycle
    rescuer: Cycle
    scheduler: Scheduler
    outage: Outage
    listener: Listener | None = None


class Service:
    """One daemon.

    Args:
        parts: the threads.
        notifier: systemd, or nobody.
        drain_seconds: how long a stop waits for uploads under way.
        announce: logs that the daemon is ready.
    """

    def __init__(
        self, parts: Parts, notifier: Notifier, drain_seconds: float, announce: Callable[[], None]
    ) -> None:
        self._parts, self._notifier = parts, notifier
        self._drain_seconds, self._announce = drain_seconds, announce
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def run(self) -> None:
        """Serve until a signal, then drain and stop."""
        self._handle_signals()
        self._start()
        self._notifier.ready(self._state())
        pause = min(self._notifier.watchdog_interval or 5.0, 5.0)
        while not self._stop.wait(pause):
            self._report()
        self._shut_down()

    def run_once(self) -> None:
        """Serve until nothing is due and nothing is in flight, then stop."""
        self._handle_signals()
        self._start()
        while not self._stop.is_set() and not self._parts.claimer.idle.wait(0.05):
            pass
        self._shut_down()

    def _handle_signals(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first asks for an orderly end, the second for one at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _start(self) -> None:
        parts = self._parts
        parts.writer.start()
        parts.workers.start()
        parts.renewer.start()
        parts.rescuer.start()
        if parts.listener:
            parts.listener.start()
        with contextlib.suppress(DBAPIError):  # the renewer goes on saying it
            parts.outbox.beat(0)
        parts.claimer.start()
        parts.scheduler.start()
        self._announce()

    def _report(self) -> None:
        """Feed the watchdog only while everything moves; an outage elsewhere is no hang."""
        self._notifier.status(self._state())
        if self._is_alive(time.monotonic()):
            self._notifier.ping()

    def _is_alive(self, now: float) -> bool:
        silent = now - min(self._parts.scheduler.ticked, self._parts.claimer.progressed)
        return silent < _SILENCE_SECONDS and not self._parts.flights.overrun(now, _GRACE_SECONDS)

    def _state(self) -> str:
        database = "database not reachable, waiting" if self._parts.outage.is_on else "ready"
        return f"{database}, {len(self._parts.flights)} jobs in flight"

    def _shut_down(self) -> None:
        parts = self._parts
        logs.stopping(len(parts.flights), self._drain_seconds)
        self._notifier.stopping()
        parts.rescuer.stop(0)
        parts.claimer.stop()
        released = parts.workers.give_back(_SHUTDOWN)
        self._drain()
        released += self._cut()
        # Until here it ticks: leases are renewed to the end of the drain.
        parts.scheduler.stop()
        parts.renewer.stop(0)
        parts.workers.stop()
        if parts.listener:
            parts.listener.stop()
        if parts.writer.stop(_FLUSH_SECONDS):
            with contextlib.suppress(DBAPIError):
                parts.outbox.leave()
        logs.stopped(released)

    def _drain(self) -> None:
        """Let uploads under way end by themselves, and their leases be renewed meanwhile."""
        end = time.monotonic() + self._drain_seconds
        while not self._hurry.is_set() and (left := end - time.monotonic()) > 0:
            self._notifier.extend(left + _CUT_SECONDS + _FLUSH_SECONDS + 5.0)
            if self._parts.flights.wait_empty(min(left, 0.5)):
                return

    def _cut(self) -> int:
        """Cut the rest short; give back the jobs even of threads that no cut can reach."""
        cut = self._parts.flights.cancel(_SHUTDOWN, lambda _flight: True)
        if cut and not self._parts.flights.wait_empty(_CUT_SECONDS):
            for job in self._parts.flights.jobs():
                self._parts.writer.submit(given_back(job, _SHUTDOWN))
        return len(cut)
