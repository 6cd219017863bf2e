"""The pool of SQLite's one connection: everybody gets a turn."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool


class FairPool(QueuePool):
    """A pool in which nobody overtakes whoever waits.

    QueuePool lets the thread that has just given a connection back take it again: beside two
    that never rest, a third waited for a minute in vain.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turn = threading.RLock()

    def _do_get(self) -> ConnectionPoolEntry:
        with self._turn:
            return super()._do_get()
