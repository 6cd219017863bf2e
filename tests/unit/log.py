"""A log that a test can read back."""

from __future__ import annotations

import io
import json
from typing import Any

from outhaul import logs
from outhaul.models import Job, Result
from outhaul.transitions import settle
from tests.unit.samples import RULES, an_attempt


class Log:
    """What was logged in one test, in one style."""

    def __init__(self, style: str) -> None:
        self.style, self._stream = style, io.StringIO()
        logs.configure(style, "INFO", self._stream)

    @property
    def lines(self) -> list[str]:
        """The physical lines, as any reader of a file would cut them."""
        return self._stream.getvalue().splitlines()

    def only(self) -> str:
        """The one line there is."""
        (line,) = self.lines
        return line

    def event(self) -> dict[str, Any]:
        """The one event there is, in JSON."""
        event: dict[str, Any] = json.loads(self.only())
        return event


def settle_one(result: Result, job: Job | None = None) -> None:
    """Log what becomes of a job whose attempt came to `result`."""
    logs.job_settled(settle(an_attempt(result, job), RULES, draw=0.0))
