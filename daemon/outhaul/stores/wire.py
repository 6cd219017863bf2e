"""One connection to a store, on which every socket operation obeys the attempt's wall clock."""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
from typing import Any, cast
from urllib.parse import urlsplit

from outhaul.transfer import Transfer

_BLOCK = 256 * 1024


class Wire:
    """A connected socket. Not thread-safe: one exchange at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.transfer: Transfer | None = None
        self.reusable = True
        self._early = b""

    def send(self, head: bytes, body: bytes) -> bool:
        """Send a request; False if the store answered before the whole body was out."""
        try:
            return self._send(head, memoryview(body))
        except (BrokenPipeError, ConnectionResetError):
            # A store that refuses early often closes at once; its answer may have arrived before.
            if not self._has_answer():
                raise
            return False

    def _send(self, head: bytes, view: memoryview) -> bool:
        # One packet for a small object: head and body together.
        first = view[: max(0, _BLOCK - len(head))]
        self._push(head + bytes(first))
        self._count(len(first))
        for start in range(len(first), len(view), _BLOCK):
            if self._has_answer():
                return False
            block = view[start : start + _BLOCK]
            self._push(block)
            self._count(len(block))
        return True

    def read_head(self, method: str) -> http.client.HTTPResponse:
        """Read the status line and headers of the final answer."""
        # HTTPResponse asks its socket for a file and nothing else.
        source = _Clocked(self)
        response = http.client.HTTPResponse(cast("socket.socket", source), method=method)
        response.begin()
        if source.ended:  # http.client takes half a head for a whole one
            raise http.client.IncompleteRead(b"")
        return response

    def is_quiet(self) -> bool:
        """Whether an idle connection is still open: a readable one was closed by the store."""
        return not self._has_answer()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def receive_into(self, buffer: Any) -> int:
        """Receive within the attempt's time."""
        if self._early:
            buffer[:1], self._early = self._early, b""
            return 1
        self.sock.settimeout(self._remaining())
        return self.sock.recv_into(buffer)

    def _push(self, block: bytes | memoryview) -> None:
        # Not sendall: over TLS it grants the timeout anew to each of its records.
        view = memoryview(block)
        while view:
            self.sock.settimeout(self._remaining())
            view = view[self.sock.send(view) :]

    def _count(self, size: int) -> None:
        if self.transfer is not None:
            self.transfer.sent(size)

    def _remaining(self) -> float | None:
        return None if self.transfer is None else self.transfer.remaining()

    def _has_answer(self) -> bool:
        if isinstance(self.sock, ssl.SSLSocket):
            return bool(self._early) or self._has_spoken(self.sock)
        poller = select.poll()  # select() cannot watch descriptors above 1,023
        poller.register(self.sock, select.POLLIN)
        return bool(poller.poll(0))

    def _has_spoken(self, sock: ssl.SSLSocket) -> bool:
        """Whether an answer, or the end, has come over TLS.

        A readable socket does not tell: TLS 1.3 servers send session tickets of their own accord.
        """
        sock.settimeout(0)
        try:
            self._early = sock.recv(1)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        return True


class _Clocked(io.RawIOBase):
    """What http.client reads its response from: a socket whose reads obey the wall clock."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Called once by HTTPResponse."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._wire.receive_into(buffer)
        self.ended = not size
        return size


def connect(netloc: str, tls: ssl.SSLContext | None, timeout: float) -> Wire:
    """Open a connection.

    Raises:
        OSError: no connection (`TimeoutError` when it took too long; `ssl.SSLError`).
    """
    parts = urlsplit(f"//{netloc}")
    host = parts.hostname or ""
    port = parts.port or (443 if tls else 80)
    sock = socket.create_connection((host, port), timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(tls.wrap_socket(sock, server_hostname=host) if tls else sock)
    except BaseException:
        sock.close()
        raise
