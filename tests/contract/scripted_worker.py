"""The daemon's own worker, in front of stores that answer as they are told."""

from __future__ import annotations

from typing import Any, Final, cast

from outhaul.models import Attempt, Interrupted, Job, Operation, Result, StoreName
from outhaul.policy import Rules
from outhaul.transitions import Settlement
from outhaul.worker import Workers
from tests.contract.outboxes import RULES, STORED, attempt

#: First try and retries: what a store may be asked, and once more if a crash was forgiven.
TRIES: Final = 4

#: As documented but for the waits: no wait ends by itself during a test.
SLOW_RULES: Final = Rules(chain=RULES.chain, delays={Operation.UPLOAD: (3600.0,) * (TRIES - 1)})


class ScriptedWorker:
    """Decides as the daemon does, and remembers which claims reached a store.

    `opened` holds job id, fence and store of each attempt that opened a PUT.
    """

    stores = SLOW_RULES.chain

    def __init__(self) -> None:
        self.opened: set[tuple[int, int, StoreName]] = set()
        self._result: Result = STORED
        # It is its own uploader and book of flights; no thread and no writer is needed.
        self._worker = Workers(
            0, cast("Any", self), cast("Any", self), SLOW_RULES, cast("Any", None)
        )

    def process(self, job: Job, result: Result) -> Settlement:
        """What the daemon makes of a claimed job, if its attempt ends so."""
        self._result = result
        return self._worker._process(job)

    def forget(self, job_id: int, fence: int) -> None:
        """An attempt that does not count: it was given back."""
        self.opened = {put for put in self.opened if put[:2] != (job_id, fence)}

    def attempt(self, job: Job, _transfer: object) -> Attempt:
        """What an uploader does."""
        if not isinstance(self._result, Interrupted):
            self.opened.add((job.id, job.fence, job.store))
        return attempt(job, self._result)

    def start(self, _job: Job) -> None:
        """What the book of flights does."""
