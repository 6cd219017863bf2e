"""A byte-level front of a database server: it cuts, refuses, falls silent, or loses an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from sqlalchemy.engine import make_url

from tests.support.proxy.listener import Listener
from tests.support.proxy.peer import Peer
from tests.support.proxy.peers import Peers

if TYPE_CHECKING:
    from types import TracebackType


class TcpFront:
    """Passes bytes both ways between clients and the server of a database URL. Thread-safe.

    `accepted` holds the monotonic time of each connection attempt, refused ones included.
    `database_url` is the same database by way of this front.
    """

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url)
        self._upstream = (url.host or "", url.port or 0)
        self._listener = Listener(self._admit)
        self._clients, self._servers = Peers(), Peers()
        self._flows = threading.Event()
        self._refuses = False
        self._markers: tuple[bytes, ...] = ()
        self.accepted: list[float] = []
        self.lost, self.stalled = threading.Event(), threading.Event()
        self.database_url = url.set(port=self._listener.port).render_as_string(hide_password=False)

    def __enter__(self) -> Self:
        self.restore()
        self._listener.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        self.restore()
        for peers in (self._clients, self._servers):
            peers.close()

    def cut(self) -> None:
        """End all connections with a RST."""
        self._clients.cut()
        self._servers.cut()

    def refuse(self) -> None:
        """Cut all connections, and each new one as soon as it was counted, until `restore()`."""
        self._refuses = True
        self.cut()

    def fall_silent(self) -> None:
        """Pass nothing on in either direction until `restore()`; connections stay open.

        `stalled` is set once something waits to be passed on.
        """
        self.stalled.clear()
        self._flows.clear()

    def lose_answers(self, *markers: bytes) -> None:
        """Swallow what the server says on a connection once all markers passed, in this order.

        A marker is in what either side sends. The server does what it was asked; `lost` is set
        once it has said so in vain.
        """
        self.lost.clear()
        self._markers = markers

    def restore(self) -> None:
        """Pass everything on again. Connections that lost an answer stay without it."""
        self._refuses, self._markers = False, ()
        self._flows.set()

    def _admit(self, accepted: socket.socket) -> None:
        self.accepted.append(time.monotonic())
        threading.Thread(target=self._serve, args=[accepted], name="tcp-front", daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            client = Peer(accepted)
            if self._refuses:
                client.reset()
                return
            server = Peer(socket.create_connection(self._upstream))
            with contextlib.closing(server), self._clients.hold(client), self._servers.hold(server):
                self._converse(client, server)

    def _converse(self, client: Peer, server: Peer) -> None:
        ear = _Ear()
        answers = threading.Thread(
            target=self._pass_answers, args=[server, client, ear], name="tcp-front", daemon=True
        )
        answers.start()
        with contextlib.suppress(OSError):
            while piece := client.read():
                self._wait()
                ear.hear(piece, self._markers)
                server.send(piece)
        server.abort()
        answers.join()

    def _pass_answers(self, server: Peer, client: Peer, ear: _Ear) -> None:
        with contextlib.suppress(OSError):
            while piece := server.read():
                self._wait()
                ear.hear(piece, self._markers)
                if ear.is_deaf:
                    self.lost.set()
                else:
                    client.send(piece)
        client.abort()

    def _wait(self) -> None:
        if not self._flows.is_set():
            self.stalled.set()
            self._flows.wait()


class _Ear:
    """What has passed on one connection."""

    def __init__(self) -> None:
        self._heard = 0
        self.is_deaf = False

    def hear(self, piece: bytes, markers: tuple[bytes, ...]) -> None:
        """Take note of a marker; after the last one all is lost."""
        if markers and not self.is_deaf and markers[self._heard] in piece:
            self._heard += 1
            self.is_deaf = self._heard == len(markers)
