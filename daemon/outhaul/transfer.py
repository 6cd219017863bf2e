"""One attempt's wall clock: a deadline, a cancel switch, and the count of bytes sent.

Socket timeouts bound one operation each: a reply dripped byte by byte outlives them all (30 s
under a 2 s limit, measured with both SDKs). So every socket operation asks here how long is
left, and a cancel from another thread shuts the socket down under a blocked one.
"""

from __future__ import annotations

import contextlib
import contextvars
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from outhaul.errors import InterruptedAttemptError, StoreError
from outhaul.models import Interrupted
from outhaul.policy import attempt_timeout

_current: contextvars.ContextVar[Transfer] = contextvars.ContextVar("transfer")


@dataclass(frozen=True, slots=True)
class Budget:
    """Wall-clock limits of an attempt: the larger of a floor and the size at a slow pace."""

    floor_seconds: float = 30.0
    bytes_per_second: float = float(1 << 20)

    def seconds(self, size_bytes: int) -> float:
        """Seconds for a content of this size."""
        return attempt_timeout(size_bytes, self.floor_seconds, self.bytes_per_second)


class Transfer:
    """The budget of one attempt. Thread-safe: parts of one object share it.

    Args:
        budget: the limits; the floor holds until the size is known.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self.cut: Interrupted | None = None
        self.bytes_sent = 0
        self.begin()

    def begin(self) -> None:
        """Start the clock: waiting for a free worker is not charged."""
        self._begun, self.seconds = time.monotonic(), self._budget.floor_seconds

    def sized(self, size_bytes: int) -> None:
        """Grant what a content of this size may take, from the beginning on."""
        self.seconds = self._budget.seconds(size_bytes)

    @property
    def expires(self) -> float:
        """The end of the budget, on the monotonic clock."""
        return self._begun + self.seconds

    def remaining(self) -> float:
        """Seconds left, always positive.

        Raises:
            StoreError: `TIMEOUT`, when none is left.
            InterruptedAttemptError: when the attempt was cancelled.
        """
        if self.cut is not None:
            raise InterruptedAttemptError(self.cut.message)
        left = self.expires - time.monotonic()
        if left <= 0:
            raise StoreError("TIMEOUT", f"the attempt took longer than {self.seconds:g} s")
        return left

    def sent(self, count: int) -> None:
        """Count body bytes handed to the network."""
        with self._lock:
            self.bytes_sent += count

    def cancel(self, cut: Interrupted) -> None:
        """End the attempt now, from any thread; the first reason wins."""
        with self._lock:
            self.cut = self.cut or cut
            for sock in self._sockets:
                # socket.socket's own method: SSLSocket.shutdown would drop the TLS state that
                # the blocked thread is still using.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @contextlib.contextmanager
    def watching(self, sock: socket.socket) -> Iterator[None]:
        """Let `cancel` reach a socket while it is in use."""
        with self._lock:
            self._sockets.add(sock)
        try:
            self.remaining()
            yield
        finally:
            with self._lock:
                self._sockets.discard(sock)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make this the transfer of the SDK calls that this thread makes."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def current_transfer() -> Transfer:
    """The transfer on whose behalf this thread calls an SDK."""
    return _current.get()
