"""The store as tests hold it: start, stop, look inside, interfere."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias

from tests.support.oss import routes, signature
from tests.support.oss.bucket import Bucket
from tests.support.oss.credentials import Credentials
from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.listener import Listener, TlsFiles
from tests.support.oss.message import Reply, Request
from tests.support.oss.moment import http_date

if TYPE_CHECKING:
    from tests.support.oss.objects import StoredObject, Upload

Hook: TypeAlias = Callable[[Request], Reply | None]


class SeenRequest(NamedTuple):
    """One line of the server's log of what was asked of it."""

    method: str
    key: str
    query: Mapping[str, str]


class OssServer:
    """A loopback Alibaba OSS with one bucket and one user, in memory.

    `tls` names a certificate and a key file. `before`, if set, sees each request first, unverified
    ones too: it may return the reply to send, or None to let the store answer; an exception of
    kind ConnectionError drops the connection. `clock` may be replaced to move the server in time.

    The server may be stopped and started again: it keeps its port and what is stored.
    """

    def __init__(
        self,
        bucket: str,
        access_key_id: str,
        access_key_secret: str,
        region: str = "us-east-1",
        *,
        tls: TlsFiles | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.before: Hook | None = None
        self.clock = clock
        self.credentials = Credentials(access_key_id, access_key_secret, region)
        self._bucket = Bucket(bucket)
        self._tls = tls
        self._port = port
        self._listener: Listener | None = None
        self._lock = threading.Lock()
        self._requests: list[SeenRequest] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Endpoint for a client, without bucket and without trailing slash."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def identity(self) -> dict[str, str]:
        """What a client must know beside the URL, by the names `__init__` has for it."""
        return {"bucket": self._bucket.name, **dataclasses.asdict(self.credentials)}

    @property
    def objects(self) -> Mapping[str, StoredObject]:
        """The objects by key, as they are now."""
        return self._bucket.objects()

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """The open multipart uploads by id, as they are now."""
        return self._bucket.uploads()

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request seen so far, refused ones too, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def start(self) -> None:
        """Listen; OSError if the port is taken."""
        listener = Listener(self._port, self._answer, self._tls)
        self._port = listener.server_address[1]
        self._listener = listener
        threading.Thread(
            target=listener.serve_forever, args=(0.02,), name="oss-server", daemon=True
        ).start()

    def stop(self) -> None:
        """Refuse new connections and cut the open ones; harmless when stopped."""
        listener, self._listener = self._listener, None
        if listener:
            listener.shutdown()
            listener.server_close()
            listener.hang_up()

    def serve(self, request: Request) -> Reply:
        """Return what the store honestly answers, whatever `before` says."""
        request_id = _request_id()
        try:
            reply = self._operate(request)
        except RefusedError as refused:
            reply = refused.reply(request, request_id)
        return reply.with_header("x-oss-request-id", request_id)

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            self._requests.append(SeenRequest(request.method, request.key, request.query))
        hook = self.before  # read once: the test may clear it at any moment
        reply = hook(request) if hook else None
        if reply is None:
            reply = self.serve(request)
        # The Date comes from `clock` as well: a client may compare it with its own.
        dated = reply.with_default("Date", http_date(self.clock()))
        return dated.with_default("x-oss-request-id", _request_id())

    def _operate(self, request: Request) -> Reply:
        now = self.clock()
        signature.verify(request, self.credentials, now)
        if request.bucket != self._bucket.name:
            raise RefusedError(ErrorCode.NO_SUCH_BUCKET, BucketName=request.bucket)
        operation = routes.operation(request)
        _require_digest(request)
        return operation(self._bucket, request, now)


def _request_id() -> str:
    return secrets.token_hex(12).upper()


def _require_digest(request: Request) -> None:
    given = request.headers.get("content-md5")
    if given is None:
        return
    try:
        digest = base64.b64decode(given, validate=True)
    except binascii.Error:
        raise RefusedError(ErrorCode.INVALID_DIGEST) from None
    if digest != hashlib.md5(request.body, usedforsecurity=False).digest():
        raise RefusedError(ErrorCode.INVALID_DIGEST)
