"""Tell systemd how the daemon is doing: sd_notify(3), without libsystemd."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# systemd drops a datagram over PIPE_BUF (4,096 bytes) whole, and READY=1 would go with it.
_STATUS_CHARS = 1000
# A full queue of a stuck PID 1 must not hold up the caller: the next message says it again.
_SEND_SECONDS = 1.0
_USEC = 1_000_000


class Notifier:
    """Speaks to the service manager named in the environment; does nothing without one.

    No method raises: a daemon whose manager is gone goes on uploading.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID once, as sd_notify(3) defines them."""
        self._address = _socket_address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_usec = _watchdog_usec(environ)

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two pings, half of WatchdogSec=, or None where nobody watches."""
        return self._watchdog_usec / 2 / _USEC if self._watchdog_usec else None

    def ready(self, status: str) -> None:
        """Declare the start complete; dependent units start now."""
        self._send("READY=1", _status_line(status))

    def status(self, text: str) -> None:
        """Show `text` as the one line of `systemctl status`."""
        self._send(_status_line(text))

    def stopping(self) -> None:
        """Declare that the graceful stop has begun."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Ask for `seconds` from now before the current start or stop counts as timed out."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * _USEC)}")

    def ping(self) -> None:
        """Feed the watchdog; due every `watchdog_interval` seconds."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A socket per message survives a fork, a re-executed manager and a closed descriptor.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(_SEND_SECONDS)
            channel.sendto("\n".join(lines).encode(), self._address)


def _socket_address(name: str) -> bytes | None:
    """Translate the '@' of an abstract socket; other families (vsock:) are for whole machines."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return os.fsencode(name) if name.startswith("/") else None


def _watchdog_usec(environ: Mapping[str, str]) -> int:
    """WATCHDOG_USEC, or 0 if absent, malformed or meant for another process (WATCHDOG_PID)."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) if usec.isascii() and usec.isdigit() else 0


def _status_line(text: str) -> str:
    """One line, and nothing that systemd would read as another assignment or refuse (NUL)."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return f"STATUS={printable[:_STATUS_CHARS]}"
