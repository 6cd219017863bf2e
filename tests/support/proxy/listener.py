"""A loopback listener that can be closed, opened again on the same port, or made deaf."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from tests.support.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKLOG = 4096


class Listener:
    """Accepts connections in a thread of its own and hands each socket to `serve`.

    `port` stays the same however often it is closed and opened.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.port = free_port()
        self._serve = serve
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._fillers: list[socket.socket] = []

    def open(self) -> None:
        """Accept connections."""
        self.close()
        self._socket = self._listen(_BACKLOG)
        self._thread = threading.Thread(
            target=self._accept, args=[self._socket], name="fault-proxy", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Refuse connections; those accepted live on."""
        if self._socket:
            # Closing alone would not wake a thread in accept().
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        if self._thread:
            self._thread.join()
        for filler in self._fillers:
            filler.close()
        self._socket, self._thread, self._fillers = None, None, []

    def deafen(self) -> None:
        """Let connection attempts go unanswered: with a full backlog the kernel drops each SYN."""
        self.close()
        self._socket = self._listen(0)
        self._fillers = [socket.socket() for _ in range(2)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))

    def _listen(self, backlog: int) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(backlog)
        return listening

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listening.accept()
                self._serve(accepted)
