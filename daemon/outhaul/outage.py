"""The database's absence: one log line when it goes, one when it is back, and a rest between."""

from __future__ import annotations

import math
import random
import threading
import time

from sqlalchemy.exc import DBAPIError

from outhaul import logs

#: Seconds between tries of one thread, plus up to as much again: no busy loop, no lockstep.
PAUSE_SECONDS = 1.0


class Outage:
    """What every thread that talks to the database reports to. Thread-safe.

    What began before the last turn of things is old news: when a server goes down, one thread
    hears of it while another still reads its last answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away = False
        self._turned = -math.inf

    @property
    def is_on(self) -> bool:
        """Whether the last word from the database was an error."""
        return self._away

    @property
    def calm_seconds(self) -> float:
        """Seconds since the database is back: 0 while it is away, infinite if it never was."""
        return 0.0 if self._away else time.monotonic() - self._turned

    def failed(self, error: DBAPIError, began: float) -> float:
        """Note a failed statement; `began` is monotonic.

        Returns:
            Seconds to rest before the next try.
        """
        if self._turns(began, away=True):
            logs.database_lost(error)
        return PAUSE_SECONDS * (1.0 + random.random())  # noqa: S311 - jitter, not a secret

    def answered(self, began: float) -> None:
        """Note a statement that worked; `began` is monotonic. No statement is no answer."""
        if self._away and self._turns(began, away=False):
            logs.database_back()

    def _turns(self, began: float, *, away: bool) -> bool:
        with self._lock:
            turns = self._away is not away and began >= self._turned
            if turns:
                self._away, self._turned = away, time.monotonic()
            return turns
