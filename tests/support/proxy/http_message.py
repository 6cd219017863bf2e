"""HTTP/1.1 as it is on the wire: messages are passed on byte by byte, never rebuilt.

A signature covers the head, and a client's framing is a thing under test: so only as much is
parsed as tells where a message ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.support.proxy.peer import PeerGoneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.proxy.peer import Peer

_BLOCK = 64 * 1024
_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a message. `raw` ends with the empty line; header names are in lower case."""

    raw: bytes
    start: tuple[str, ...]
    headers: Mapping[str, str]

    @classmethod
    def read(cls, peer: Peer) -> Self:
        """Read and parse a head; PeerGoneError where none comes, or something else."""
        raw = peer.read_through(_CRLF + _CRLF)
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        start = tuple(first.split(" ", 2))
        if len(start) < 2:
            raise PeerGoneError(f"this is not HTTP: {first[:80]!r}")
        return cls(raw, start, headers)

    @property
    def status(self) -> int:
        """The status code, in an answer's head."""
        return int(self.start[1])

    @property
    def is_interim(self) -> bool:
        """Whether this is a 1xx, after which the real answer follows."""
        return self.status // 100 == 1

    @property
    def expects_continue(self) -> bool:
        """Whether a request waits for a 100 before it sends its body."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def keeps_alive(self) -> bool:
        """Whether the sender will use the connection again."""
        return "HTTP/1.0" not in self.start and self.headers.get("connection", "") != "close"

    def edited(self, changes: Mapping[str, str | None]) -> bytes:
        """The raw head with headers replaced, or left out where the new value is None."""
        names = {name.lower() for name in changes}
        first, *lines = self.raw.removesuffix(_CRLF + _CRLF).split(_CRLF)
        kept = [line for line in lines if line.partition(b":")[0].lower().decode() not in names]
        added = [
            f"{name}: {value}".encode() for name, value in changes.items() if value is not None
        ]
        return _CRLF.join([first, *kept, *added, b"", b""])


class Body:
    """The body of one message, read piece by piece, chunk framing and all.

    `received` counts the bytes read so far, `done` says whether they are all.
    """

    def __init__(self, peer: Peer, length: int | None, *, chunked: bool) -> None:
        self.received = 0
        self.done = length == 0 and not chunked
        self._peer = peer
        self._left = 0 if chunked else length
        self._chunked = chunked

    @classmethod
    def of_request(cls, peer: Peer, head: Head) -> Self:
        """The body that follows a request's head."""
        return cls(peer, int(head.headers.get("content-length", "0")), chunked=_is_chunked(head))

    @classmethod
    def of_answer(cls, peer: Peer, head: Head, method: str) -> Self:
        """The body that follows an answer's head; without a length it ends with the connection."""
        if method == "HEAD" or head.status in (204, 304):
            return cls(peer, 0, chunked=False)
        length = head.headers.get("content-length")
        return cls(peer, int(length) if length else None, chunked=_is_chunked(head))

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection marks the end of the body."""
        return self._left is None

    def read(self, limit: int = _BLOCK) -> bytes:
        """The next piece, of at most about `limit` bytes; nothing once the body is done.

        Raises:
            PeerGoneError: the connection ended before the body.
        """
        if self.done:
            return b""
        piece = self._read_chunked(limit) if self._chunked else self._read_plain(limit)
        self.received += len(piece)
        return piece

    def drain(self) -> None:
        """Read the rest and forget it."""
        while not self.done:
            self.read()

    def _read_plain(self, limit: int) -> bytes:
        if self._left is None:
            piece = self._peer.read(limit)
            self.done = not piece
            return piece
        piece = self._read_counted(self._left, limit)
        self._left -= len(piece)
        self.done = not self._left
        return piece

    def _read_chunked(self, limit: int) -> bytes:
        if self._left:
            piece = self._read_counted(self._left, limit)
            self._left -= len(piece)
            return piece
        line = self._peer.read_through(_CRLF)
        size = int(line.partition(b";")[0], 16)
        if size:
            self._left = size + len(_CRLF)
            return line
        self.done = True
        return line + self._read_trailers()

    def _read_counted(self, left: int, limit: int) -> bytes:
        piece = self._peer.read(min(left, limit))
        if not piece:
            raise PeerGoneError("gone within a body")
        return piece

    def _read_trailers(self) -> bytes:
        lines = b""
        while not lines.endswith(_CRLF + _CRLF) and lines != _CRLF:
            lines += self._peer.read_through(_CRLF)
        return lines


def _is_chunked(head: Head) -> bool:
    return head.headers.get("transfer-encoding", "").lower() == "chunked"
