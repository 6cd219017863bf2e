"""One request at the proxy: received from the client, passed to the server, answered."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.support.proxy.http_message import Body, Head
from tests.support.proxy.peer import PeerGoneError, is_readable, wait_readable

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from tests.support.proxy.peer import Peer

_BLOCK = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class SeenRequest:
    """What the proxy saw of a request; it fills up while the request runs.

    `key` and `bucket` are decoded, `query` is as it came, header names are in lower case;
    `received` counts body bytes with their framing; `status` is None until one is sent.
    """

    method: str
    bucket: str
    key: str
    query: str
    headers: Mapping[str, str]
    received: int = 0
    status: int | None = None

    @classmethod
    def of(cls, head: Head) -> SeenRequest:
        """Read it from a request's head."""
        path, _, query = head.start[1].partition("?")
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        return cls(head.start[0], bucket, key, query, head.headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's answer, its head read and its body not yet."""

    head: Head
    body: Body


class Exchange:
    """One request and its answer.

    Args:
        client: whose request it is.
        head: the request's head; its body is still to be read.
        connect: opens a connection to the server, which ends with the exchange.
        stopping: set once the proxy is closed.

    After it the connection can carry another request if `reusable` is still True.
    """

    def __init__(
        self,
        client: Peer,
        head: Head,
        connect: Callable[[], contextlib.AbstractContextManager[Peer]],
        stopping: threading.Event,
    ) -> None:
        self.client = client
        self.head = head
        self.body = Body.of_request(client, head)
        self.seen = SeenRequest.of(head)
        self.reusable = head.keeps_alive
        self.stopping = stopping
        self.resources = contextlib.ExitStack()
        self._connect = connect

    def pause(self, seconds: float) -> None:
        """Let time pass; PeerGoneError where the proxy is closed meanwhile."""
        if self.stopping.wait(seconds):
            raise PeerGoneError("the proxy was closed")

    def receive(self, limit: int | None = None) -> None:
        """Read the body, or its first `limit` bytes, and forget it."""
        self._ask_for_body()
        while not self.body.done and (limit is None or self.body.received < limit):
            self._read(_BLOCK if limit is None else min(_BLOCK, limit - self.body.received))

    def keep(self) -> bytes:
        """Read the whole body and return it, framing included."""
        self._ask_for_body()
        pieces = []
        while not self.body.done:
            pieces.append(self._read(_BLOCK))
        return b"".join(pieces)

    def forward(self, block: int = _BLOCK, pause: float = 0) -> Answer:
        """Pass the request to the server as it comes, and return the server's answer.

        An answer that comes before the end of the body ends the passing on.

        Args:
            block: bytes read from the client at a time.
            pause: seconds after each block.
        """
        upstream = self._open()
        pending = memoryview(b"")
        while pending or not self.body.done:
            if self._speaks(upstream, waiting=not pending):
                if answer := self._read_answer(upstream):
                    self.reusable = False
                    return answer
            elif pending:
                pending = pending[upstream.send_some(pending) :]
            else:
                pending = memoryview(self._read(block))
                self.pause(pause)
        return self._await_answer(upstream)

    def forward_kept(self, body: bytes) -> Answer:
        """Pass on a request whose body was kept, and return the server's answer."""
        upstream = self._open()
        upstream.send(body)
        return self._await_answer(upstream)

    def relay(self, answer: Answer, head: bytes | None = None, seconds_per_byte: float = 0) -> None:
        """Give the server's answer to the client, under another head if one is given."""
        self.seen.status = answer.head.status
        self._say(head or answer.head.raw, seconds_per_byte)
        while piece := answer.body.read():
            self._say(piece, seconds_per_byte)
        if answer.body.ends_with_connection or not answer.head.keeps_alive:
            self.reusable = False

    def send(self, answer: bytes) -> None:
        """Send an answer's head, or all of it; whatever is no HTTP counts as status 0."""
        start = answer[:32].split()
        self.seen.status = int(start[1]) if answer.startswith(b"HTTP/") and start[1:] else 0
        self.client.send(answer)

    def _say(self, piece: bytes, seconds_per_byte: float) -> None:
        if not seconds_per_byte:
            self.client.send(piece)
            return
        for byte in piece:
            self.client.send(bytes([byte]))
            self.pause(seconds_per_byte)

    def _ask_for_body(self) -> None:
        if self.head.expects_continue:
            self.client.send(_CONTINUE)

    def _read(self, limit: int) -> bytes:
        piece = self.body.read(limit)
        self.seen.received = self.body.received
        return piece

    def _open(self) -> Peer:
        upstream = self.resources.enter_context(self._connect())
        upstream.send(self.head.raw)
        return upstream

    def _speaks(self, upstream: Peer, *, waiting: bool) -> bool:
        if waiting:
            return upstream in wait_readable(upstream, self.client)
        return is_readable(upstream)

    def _await_answer(self, upstream: Peer) -> Answer:
        while not (answer := self._read_answer(upstream)):
            pass
        return answer

    def _read_answer(self, upstream: Peer) -> Answer | None:
        head = Head.read(upstream)
        if not head.is_interim:
            return Answer(head, Body.of_answer(upstream, head, self.seen.method))
        # A client that was told to go on already must not be told again.
        if not self.body.received:
            self.client.send(head.raw)
        return None
