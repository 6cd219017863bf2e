"""An S3 that forgets every byte at once, for objects that no test could keep."""

from __future__ import annotations

import base64
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from xml.etree import ElementTree as ET

from tests.support.proxy.replies import error_document

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = 1 << 20


class DiscardingStore:
    """Answers a PUT or a part with the checksum that came along, and a Complete with theirs.

    It checks no content: what it proves is which requests are made. `bodies` holds the length of
    each PUT, by its whole target.

    Args:
        max_put_bytes: the most that it takes in one PUT, be it an object or a part.
    """

    def __init__(self, max_put_bytes: int) -> None:
        self.bodies: dict[str, int] = {}
        handler = _handler(self.bodies, max_put_bytes)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(bodies: dict[str, int], max_put_bytes: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            size = bodies[self.path] = int(self.headers["Content-Length"])
            if size > max_put_bytes:
                self.close_connection = True
                self._answer(400, error_document("EntityTooLarge", "too large for one PUT"))
                return
            self._discard(size)
            checksum = self.headers["x-amz-checksum-sha256"]
            self._answer(200, b"", {"ETag": _etag(checksum), "x-amz-checksum-sha256": checksum})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer(200, _completed(body) if "uploadId=" in self.path else _CREATED)

        def _discard(self, size: int) -> None:
            block = memoryview(bytearray(_BLOCK))
            while size:
                size -= self.rfile.readinto(block[: min(size, _BLOCK)])

        def _answer(
            self, status: int, body: bytes, headers: Mapping[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


_CREATED = (
    b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
)


def _etag(checksum: str) -> str:
    """Any 32 digits that tell parts apart."""
    return f'"{base64.b64decode(checksum)[:16].hex()}"'


def _completed(request: bytes) -> bytes:
    """The composite of the parts that a Complete names, as S3 computes it."""
    parts = ET.fromstring(request)
    space = parts.tag.removesuffix("CompleteMultipartUpload")
    found = [part.text or "" for part in parts.iter(f"{space}ChecksumSHA256")]
    checksums = b"".join(base64.b64decode(text) for text in found)
    etags = b"".join(base64.b64decode(text)[:16] for text in found)
    sha256 = base64.b64encode(hashlib.sha256(checksums).digest()).decode()
    return (
        "<CompleteMultipartUploadResult>"
        f'<ETag>"{hashlib.md5(etags).hexdigest()}-{len(found)}"</ETag>'
        f"<ChecksumSHA256>{sha256}-{len(found)}</ChecksumSHA256>"
        "</CompleteMultipartUploadResult>"
    ).encode()
