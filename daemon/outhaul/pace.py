"""How fast jobs finish, and so how many to hold: short leases, and a share for other daemons."""

from __future__ import annotations

import threading
import time

#: Jobs are held for about this long before a worker gets to them.
PREFETCH_SECONDS = 2.0

#: The most that one daemon holds beyond its workers.
MAX_PREFETCH = 1000

#: Seconds over which the pace is measured: short, so that a burst is noticed while it lasts.
_SPAN = 0.1


def window(workers: int, per_second: float) -> int:
    """How many jobs to hold: one per worker, and what is finished in `PREFETCH_SECONDS`."""
    return workers + min(int(per_second * PREFETCH_SECONDS), MAX_PREFETCH)


class Pace:
    """Jobs per second, lately. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count, self._since, self._rate = 0, time.monotonic(), 0.0

    def count(self) -> None:
        """A job has finished."""
        with self._lock:
            self._count += 1

    def per_second(self, now: float) -> float:
        """The pace over the last span."""
        with self._lock:
            elapsed = now - self._since
            if elapsed >= _SPAN:
                self._rate = self._count / elapsed
                self._count, self._since = 0, now
            return self._rate
