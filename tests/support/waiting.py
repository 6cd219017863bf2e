"""Waiting for a condition, never for a length of time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Seconds between two looks: short beside any server's start, long beside a cheap condition.
_PAUSE = 0.01


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Poll `condition` until it is truthy and return what it gave.

    Args:
        condition: cheap and safe to call again; what it raises is passed on at once.
        seconds: the deadline on the monotonic clock. The condition is always tried at least once.
        what: the thing waited for, as the error names it.

    Raises:
        TimeoutError: the deadline passed; the message holds `what`.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_PAUSE)
    return found
