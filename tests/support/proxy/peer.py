"""One end of a connection: buffered reads, and all the ways in which it can end."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct

_BLOCK = 64 * 1024
_MAX_HEAD = 1 << 20
_LINGER_SECONDS = 5


class PeerGoneError(ConnectionError):
    """The other side ended the connection, within a message or between two."""


class Peer:
    """A connected socket. One thread uses it; `abort` may come from another."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._buffer = b""

    def fileno(self) -> int:
        """The descriptor, for polling."""
        return self._sock.fileno()

    def shake_hands(self) -> None:
        """Do the server's side of a TLS handshake, if this is a TLS connection."""
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.do_handshake()

    def has_unread(self) -> bool:
        """Whether bytes are at hand that polling the descriptor would not show."""
        pending = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return bool(self._buffer or pending)

    def read(self, limit: int = _BLOCK) -> bytes:
        """At least one byte, or nothing once the other side has finished."""
        if not self._buffer:
            return self._sock.recv(limit)
        piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return piece

    def read_through(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`.

        Raises:
            PeerGoneError: the connection ended first, or a megabyte held no mark.
        """
        while mark not in self._buffer:
            more = self._sock.recv(_BLOCK)
            if not more or len(self._buffer) > _MAX_HEAD:
                raise PeerGoneError("gone before the end of a line or head")
            self._buffer += more
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._sock.sendall(data)

    def send_some(self, data: memoryview) -> int:
        """Send what the socket takes; 0 if the other side speaks before it takes any."""
        poll = select.poll()
        poll.register(self, select.POLLIN | select.POLLOUT)
        [(_, events)] = poll.poll()
        return 0 if events & select.POLLIN else self._sock.send(data)

    def shrink_window(self) -> None:
        """Let the other side send next to nothing ahead of what is read."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def wait_until_gone(self) -> None:
        """Wait, without reading, until the connection has ended."""
        poll = select.poll()
        poll.register(self, select.POLLRDHUP)
        poll.poll()

    def reset(self) -> None:
        """End the connection with a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def hang_up(self) -> None:
        """End the connection with a FIN, though the other side may still be sending.

        Closing with unread bytes would send a RST, which destroys an answer under way; so what
        comes is read, for a bounded time.
        """
        self._shutdown(socket.SHUT_WR)
        self._sock.settimeout(_LINGER_SECONDS)
        with contextlib.suppress(OSError):
            while self._sock.recv(_BLOCK):
                pass
        self.close()

    def abort(self) -> None:
        """Wake whatever thread waits for this connection: its `close` will then send a RST."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection."""
        self._sock.close()

    def _shutdown(self, how: int) -> None:
        # Not SSLSocket's own: that one drops the TLS state under the feet of a reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, how)


def wait_readable(*peers: Peer) -> list[Peer]:
    """Wait until something can be read, and say from whom."""
    unread = [peer for peer in peers if peer.has_unread()]
    return unread or _polled(peers, None)


def is_readable(peer: Peer) -> bool:
    """Whether something can be read at once."""
    return peer.has_unread() or bool(_polled([peer], 0))


def _polled(peers: tuple[Peer, ...] | list[Peer], timeout: int | None) -> list[Peer]:
    # poll and not select: with a thousand connections descriptors pass select's limit of 1024.
    poll = select.poll()
    for peer in peers:
        poll.register(peer, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(timeout)}
    return [peer for peer in peers if peer.fileno() in ready]
