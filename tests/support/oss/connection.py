"""One client connection: reads requests off the wire and writes replies to it."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, cast

from tests.support.oss.message import Reply, Request

if TYPE_CHECKING:
    from tests.support.oss.listener import Listener


class Connection(BaseHTTPRequestHandler):
    """Keeps the connection alive; the base class answers `Expect: 100-continue`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Shake hands here, in the connection's own thread, so that nobody else waits for it."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def serve(self) -> None:
        """Answer one request."""
        request = Request.parse(
            self.command, self.path, dict(self.headers.items()), self._read_body()
        )
        reply = cast("Listener", self.server).answer(request)
        self.wfile.write(self._head(reply) + (b"" if self.command == "HEAD" else reply.body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay quiet: tests read the server's `requests` instead."""

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks()
        return self._read_exactly(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self._read_exactly(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def _read_exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            # Half a body must never become an object, nor get an answer that says it did.
            raise ConnectionAbortedError
        return data

    def _head(self, reply: Reply) -> bytes:
        headers = {
            "Server": "AliyunOSS",
            "Content-Length": str(len(reply.body)),
            "Connection": "close" if self.close_connection else "keep-alive",
        }
        for name, value in headers.items():
            reply = reply.with_default(name, value)
        lines = [f"HTTP/1.1 {reply.status} {_reason(reply.status)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
