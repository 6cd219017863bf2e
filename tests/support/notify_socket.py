"""The service manager's end of sd_notify: a socket that hears what a daemon says of itself."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class NotifySocket:
    """Collects datagrams; a context manager.

    `messages` grows in the order of arrival, one item for each assignment such as `READY=1`.

    Args:
        path: where the socket is bound.
        watchdog_seconds: the `WatchdogSec=` that the daemon is told.
    """

    def __init__(self, path: Path, watchdog_seconds: float) -> None:
        self._path = path
        self.environment = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(round(watchdog_seconds * 1_000_000)),
        }
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._listen, name="notify-socket", daemon=True)

    def __enter__(self) -> Self:
        self._socket.bind(str(self._path))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # An empty datagram: closing alone would not wake a thread in recv().
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", str(self._path))
        self._thread.join()
        self._socket.close()

    def count(self, message: str) -> int:
        """How often a message has come so far."""
        return self.messages.count(message)

    def wait(self, message: str, times: int = 1, seconds: float = 30.0) -> None:
        """Wait until a message has come `times` more."""
        wanted = self.count(message) + times
        wait_for(lambda: self.count(message) >= wanted, seconds, f"{times} more {message}")

    def _listen(self) -> None:
        while datagram := self._socket.recv(65536):
            self.messages += datagram.decode().splitlines()
