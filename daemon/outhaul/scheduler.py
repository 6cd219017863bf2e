"""Which cycle runs when. The only importer of APScheduler: its jobs set an event and return.

The job store is in memory: APScheduler's SQL store pickles jobs, so that whoever writes to the
database runs code here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler


class Scheduler:
    """Ticks.

    Args:
        ticks: name to (seconds between ticks, what to call). The calls must not block.
    """

    def __init__(self, ticks: Mapping[str, tuple[float, Callable[[], None]]]) -> None:
        self.ticked = time.monotonic()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(1)},
            # The default grace of a second drops late ticks, and with them lease renewals.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        for name, (seconds, call) in ticks.items():
            self._scheduler.add_job(self._tick, "interval", (call,), seconds=seconds, id=name)

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.start()

    def stop(self) -> None:
        """Tick no more."""
        self._scheduler.shutdown(wait=False)

    def _tick(self, call: Callable[[], None]) -> None:
        self.ticked = time.monotonic()
        call()
