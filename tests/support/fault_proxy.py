"""A proxy in front of one HTTP server that does to requests what a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Literal, Self, Unpack

from tests.support.proxy import faults, replies
from tests.support.proxy.exchange import Exchange, SeenRequest
from tests.support.proxy.http_message import Head
from tests.support.proxy.listener import Listener
from tests.support.proxy.peer import Peer
from tests.support.proxy.peers import Peers
from tests.support.proxy.script import FaultScript, Where

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from types import TracebackType

_CLOSE_SECONDS = 10

#: How connections are turned away: no listener; a RST or silence once accepted; SYNs dropped.
Door = Literal["closed", "reset", "silent", "deaf"]


class FaultProxy:
    """A scriptable proxy on loopback; a context manager. Thread-safe.

    Without a script all bytes pass as they come, `Host` included, so signatures stay right. Each
    method that adds a fault takes `key`, `method`, `query`, `skip` and `times`: see `Where`.
    Faults are met in the order in which they were added.

    Args:
        upstream: host and port of the server, which speaks plain HTTP.
        tls: the proxy's own TLS settings, if its clients are to speak https.
    """

    def __init__(self, upstream: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream
        self._tls = tls
        self._script = FaultScript()
        self._seen: list[SeenRequest] = []
        self._clients, self._idle, self._servers = Peers(), Peers(), Peers()
        self._holds: list[faults.Hold] = []
        self._threads: set[threading.Thread] = set()
        self._turns_away: Door | None = None
        self._stopping = threading.Event()
        self._listener = Listener(self._admit)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> Self:
        self._listener.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._listener.close()
        for hold in self._holds:
            hold.abandon()
        for peers in (self._clients, self._servers):
            peers.close()
        for thread in list(self._threads):
            thread.join(_CLOSE_SECONDS)

    @property
    def port(self) -> int:
        """The port that clients connect to, which stays the same while it is closed."""
        return self._listener.port

    @property
    def requests(self) -> list[SeenRequest]:
        """All requests so far, in the order in which their heads arrived."""
        return list(self._seen)

    @property
    def idle(self) -> int:
        """How many connections carry no request now."""
        return len(self._idle)

    @property
    def faults_met(self) -> int:
        """How many requests met a fault: a fault test in which none did proves nothing."""
        return self._script.met

    def clear(self) -> None:
        """Pass everything on again. Requests that are held or stalled already stay so."""
        self._script.clear()
        if self._turns_away:
            self._turns_away = None
            self._listener.open()

    def refuse(self, how: Door = "closed") -> None:
        """Cut all connections and turn new ones away until `clear()`."""
        self._turns_away = how
        {"closed": self._listener.close, "deaf": self._listener.deafen}.get(
            how, self._listener.open
        )()
        self._clients.cut()

    def close_idle(self) -> None:
        """Cut the connections that carry no request now, as servers do between two requests."""
        self._idle.cut()

    def fail(
        self,
        status: int,
        code: str = "",
        message: str = "",
        *,
        html: bool = False,
        headers: Mapping[str, str] | None = None,
        read_body: bool = True,
        **where: Unpack[Where],
    ) -> None:
        """Answer with an error: a store's XML with `code` in it, or the page of a gateway."""
        if html:
            answer = replies.html_page(status, headers)
        else:
            answer = replies.store_error(status, code, message, headers)
        self._script.add(faults.fail(answer, read_body=read_body), **where)

    def answer(self, raw: faults.Raw, *, read_body: bool = True, **where: Unpack[Where]) -> None:
        """Answer with any bytes at all, then hang up. The server never hears of the request."""
        self._script.add(faults.answer(raw, read_body=read_body), **where)

    def reset(self, after: int = 65536, **where: Unpack[Where]) -> None:
        """Send a RST once `after` bytes of the body are read, or all of a shorter one."""
        self._script.add(faults.reset(after), **where)

    def hang_up(self, after: int = 65536, **where: Unpack[Where]) -> None:
        """Send a FIN once `after` bytes of the body are read, or all of a shorter one."""
        self._script.add(faults.hang_up(after), **where)

    def stall(self, **where: Unpack[Where]) -> None:
        """Read the request and never answer."""
        self._script.add(faults.stall, **where)

    def stall_reading(self, **where: Unpack[Where]) -> None:
        """Never read the body: the client's sends come to a halt."""
        self._script.add(faults.stall_reading, **where)

    def throttle(self, bytes_per_second: int, **where: Unpack[Where]) -> None:
        """Read the body slowly on its way to the server."""
        self._script.add(faults.throttle(bytes_per_second), **where)

    def drip(self, seconds_per_byte: float, **where: Unpack[Where]) -> None:
        """Pass the server's answer on byte by byte."""
        self._script.add(faults.drip(seconds_per_byte), **where)

    def rewrite(self, headers: Mapping[str, str | None], **where: Unpack[Where]) -> None:
        """Change headers of the server's answer; None drops one."""
        self._script.add(faults.rewrite(headers), **where)

    def lose_reply(self, **where: Unpack[Where]) -> None:
        """Let the server do its work, then send a RST for an answer."""
        self._script.add(faults.lose_reply, **where)

    def hold(self, *, after_store: bool = False, **where: Unpack[Where]) -> faults.Hold:
        """Hold a request until the handle is released.

        Without `after_store` the server knows nothing of it meanwhile; with it, only the answer
        waits. A request whose client leaves is stored all the same once released: a ghost.
        """
        handle = faults.Hold()
        self._holds.append(handle)
        fault = handle.after_store if after_store else handle.before_store
        self._script.add(fault, **where)
        return handle

    def _admit(self, accepted: socket.socket) -> None:
        thread = threading.Thread(
            target=self._serve, args=[accepted], name="fault-proxy", daemon=True
        )
        self._threads.add(thread)
        thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), self._wrapped(accepted) as client:
            if self._turns_away == "reset":
                client.reset()
            elif self._turns_away:
                client.wait_until_gone()
            else:
                client.shake_hands()
                self._converse(client)
        self._threads.discard(threading.current_thread())

    @contextlib.contextmanager
    def _wrapped(self, accepted: socket.socket) -> Iterator[Peer]:
        with accepted:
            if self._tls:
                # Shaking hands is for later, when the connection can be cut.
                accepted = self._tls.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
            client = Peer(accepted)
            with contextlib.closing(client), self._clients.hold(client):
                yield client

    def _converse(self, client: Peer) -> None:
        while True:
            with self._idle.hold(client):
                head = Head.read(client)
            exchange = Exchange(client, head, self._connect, self._stopping)
            self._seen.append(exchange.seen)
            fault = self._script.pick(exchange.seen) or faults.pass_on
            with exchange.resources:
                fault(exchange)
            if not exchange.reusable:
                client.hang_up()
                return

    @contextlib.contextmanager
    def _connect(self) -> Iterator[Peer]:
        server = Peer(socket.create_connection(self.upstream))
        with contextlib.closing(server), self._servers.hold(server):
            yield server
