"""The database's absence: one log line when it goes, one when it is back, and a rest between."""

from __future__ import annotations

import random
import threading

from sqlalchemy.exc import DBAPIError

from outhaul import logs

#: Seconds between tries of one thread, plus up to as much again: no busy loop, no lockstep.
PAUSE_SECONDS = 1.0


class Outage:
    """What every thread that talks to the database reports to. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away = False

    @property
    def is_on(self) -> bool:
        """Whether the last word from the database was an error."""
        return self._away

    def failed(self, error: DBAPIError) -> float:
        """Note a failed statement.

        Returns:
            Seconds to rest before the next try.
        """
        with self._lock:
            first, self._away = not self._away, True
        if first:
            logs.database_lost(error)
        return PAUSE_SECONDS * (1.0 + random.random())  # noqa: S311 - jitter, not a secret

    def answered(self) -> None:
        """Note a statement that worked."""
        if not self._away:
            return
        with self._lock:
            back, self._away = self._away, False
        if back:
            logs.database_back()
