"""Which request meets which fault."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from tests.support.proxy.exchange import SeenRequest
    from tests.support.proxy.faults import Fault


class Where(TypedDict, total=False):
    """Which requests a fault is for; what is left out matches all.

    `key` and `query` are substrings of the decoded key and of the raw query string. The fault
    passes over the first `skip` requests that match, then meets `times` of them (1 if left out,
    `math.inf` for all).
    """

    key: str
    method: str
    query: str
    skip: int
    times: float


@dataclass(slots=True)
class _Rule:
    fault: Fault
    key: str = ""
    method: str = ""
    query: str = ""
    skip: int = 0
    times: float = 1

    def matches(self, request: SeenRequest) -> bool:
        return (
            self.times > 0
            and self.key in request.key
            and self.query in request.query
            and self.method in ("", request.method)
        )

    def meet(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultScript:
    """Faults in the order in which they were added: the first that matches is met. Thread-safe.

    So faults for the same requests come one after another, each as many times as it says.
    """

    def __init__(self) -> None:
        self.met = 0
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault, **where: Unpack[Where]) -> None:
        """Append a fault."""
        with self._lock:
            self._rules.append(_Rule(fault, **where))

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._rules.clear()

    def pick(self, request: SeenRequest) -> Fault | None:
        """The fault that this request meets, counted as met, or None."""
        with self._lock:
            for rule in self._rules:
                if rule.matches(request) and rule.meet():
                    self.met += 1
                    return rule.fault
        return None
