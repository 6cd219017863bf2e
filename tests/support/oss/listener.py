"""The listening socket: a thread for each connection, and an end to all of them."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.support.oss.connection import Connection
from tests.support.oss.message import Reply, Request

TlsFiles: TypeAlias = tuple[str | Path, str | Path]
Answer: TypeAlias = Callable[[Request], Reply]

_HANG_UP_SECONDS: Final = 5.0


class Listener(socketserver.ThreadingTCPServer):
    """Accepts on 127.0.0.1 and hands each request to `answer`.

    Not `ThreadingHTTPServer`: that one asks the resolver for the host's name while binding.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, answer: Answer, tls: TlsFiles | None) -> None:
        self.answer = answer
        self._tls = _server_context(tls) if tls else None
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", port), Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it."""
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with self._changed:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report everything but a connection that broke: in these tests many do."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError | TimeoutError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Cut every connection: a store that is down must not go on answering a kept-alive one."""
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # Not `connection.shutdown`: under TLS that pulls the session from under the
                    # thread that is reading from it.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _HANG_UP_SECONDS)


def _server_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    return context
