"""One HTTP exchange over pooled connections: what both SDKs send through.

It gives what neither SDK gives: a wall-clock deadline, answers noticed before the body is sent,
capped answers, no redirects, and no proxies, `.netrc` or endpoints taken from the environment.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from outhaul.errors import BadStoreReplyError, StoreError
from outhaul.stores.wire import Wire, connect
from outhaul.transfer import Transfer

#: Error bodies are read up to here; a 400 MiB one took boto3 to 1.9 GiB of memory.
MAX_ANSWER_BYTES = 1 << 20

_BLOCK = 256 * 1024

#: A line break in a header would begin a header, or a request, of somebody else's making.
_LINE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: Headers that are ours to set. `Expect` costs a round trip, and boto3 a second where the store
#: does not know it: early answers are noticed without it.
_OWN_HEADERS = frozenset({"expect", "connection", "host", "content-length"})


@dataclass(frozen=True, slots=True)
class Request:
    """A signed request. `url` is absolute and already encoded; `body` is whole."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A store's answer, its body whole and no longer than `MAX_ANSWER_BYTES`."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    url: str


class Exchange:
    """Sends requests to one store. Thread-safe; keeps at most `pool_size` idle connections.

    Args:
        pool_size: as many as there are worker threads.
        connect_timeout: seconds for TCP and TLS.
        ca_bundle: a PEM file to trust instead of the system's.
    """

    def __init__(
        self, *, pool_size: int, connect_timeout: float = 5.0, ca_bundle: str | None = None
    ) -> None:
        self._pool_size = pool_size
        self._connect_timeout = connect_timeout
        self._tls = ssl.create_default_context(cafile=ca_bundle)
        self._idle: dict[tuple[str, str], list[Wire]] = {}
        self._lock = threading.Lock()

    def send(self, request: Request, transfer: Transfer) -> Answer:
        """Send a request and read the whole answer.

        Raises:
            StoreError: `NetworkError`, `ConnectionTimeout`, `TIMEOUT`, or a redirect's code.
            BadStoreReplyError: a success that came before the body was sent.
            InterruptedAttemptError: the transfer was cancelled.
        """
        with self._lent(request.url, transfer) as wire:
            response = self._ask(wire, request, transfer)
            body = response.read(MAX_ANSWER_BYTES)
            if len(body) < MAX_ANSWER_BYTES:
                _expect_whole(response)
            wire.reusable = wire.reusable and response.isclosed() and not response.will_close
        return Answer(response.status, response.headers, body, request.url)

    def stream(self, request: Request, transfer: Transfer) -> Iterator[bytes]:
        """Send a request and yield the body of a 200 in blocks.

        Raises:
            StoreError: as `send`, and `HTTP_<status>` for any other status.
        """
        with self._lent(request.url, transfer) as wire:
            response = self._ask(wire, request, transfer)
            if response.status != http.client.OK:
                wire.reusable = False
                raise StoreError(
                    f"HTTP_{response.status}",
                    f"{request.method} answered {response.status}",
                    http_status=response.status,
                )
            while block := response.read(_BLOCK):
                yield block
            _expect_whole(response)
            wire.reusable = wire.reusable and not response.will_close

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            wires = [wire for idle in self._idle.values() for wire in idle]
            self._idle.clear()
        for wire in wires:
            wire.close()

    @contextlib.contextmanager
    def _lent(self, url: str, transfer: Transfer) -> Iterator[Wire]:
        scheme, netloc = urlsplit(url)[:2]
        wire = self._take((scheme, netloc)) or self._open(scheme, netloc, transfer)
        wire.transfer = transfer
        try:
            with transfer.watching(wire.sock):
                yield wire
        except (OSError, http.client.HTTPException, ValueError) as error:
            wire.close()
            raise _cause(error, transfer) from error
        except BaseException:
            wire.close()
            raise
        else:
            self._give_back((scheme, netloc), wire)

    def _open(self, scheme: str, netloc: str, transfer: Transfer) -> Wire:
        try:
            tls = self._tls if scheme == "https" else None
            return connect(netloc, tls, min(self._connect_timeout, transfer.remaining()))
        except TimeoutError as error:
            transfer.remaining()
            raise StoreError("ConnectionTimeout", f"no connection to {netloc}") from error
        except OSError as error:
            raise StoreError("NetworkError", f"{netloc}: {error}") from error

    def _take(self, origin: tuple[str, str]) -> Wire | None:
        while wire := self._pop(origin):
            if wire.is_quiet():
                return wire
            wire.close()
        return None

    def _pop(self, origin: tuple[str, str]) -> Wire | None:
        # Last in, first out: the warmest connection is the least likely to have been closed.
        with self._lock:
            idle = self._idle.get(origin)
            return idle.pop() if idle else None

    def _give_back(self, origin: tuple[str, str], wire: Wire) -> None:
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            keep = wire.reusable and len(idle) < self._pool_size
            if keep:
                idle.append(wire)
        if not keep:
            wire.close()

    def _ask(self, wire: Wire, request: Request, transfer: Transfer) -> http.client.HTTPResponse:
        whole = wire.send(_head(request), request.body)
        response = wire.read_head(request.method)
        if not whole:
            wire.reusable = False
            if response.status < http.client.MULTIPLE_CHOICES:
                raise BadStoreReplyError(
                    f"{response.status} came before the body was sent", http_status=response.status
                )
        if response.status < http.client.OK:
            # Its answer is still to come: on a connection in the pool it would be the next one's.
            raise BadStoreReplyError("an interim answer", http_status=response.status)
        transfer.remaining()
        _refuse_redirect(response)
        return response


def _head(request: Request) -> bytes:
    parts = urlsplit(request.url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{k}: {v}" for k, v in request.headers.items() if k.lower() not in _OWN_HEADERS]
    if request.body or request.method in {"PUT", "POST"}:
        lines.append(f"Content-Length: {len(request.body)}")
    if not all(_LINE.fullmatch(line) for line in lines):
        raise StoreError("InvalidArgument", "a header holds what would end it, or is not Latin-1")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _expect_whole(response: http.client.HTTPResponse) -> None:
    """http.client reads a truncated body without a word when given a limit."""
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _refuse_redirect(response: http.client.HTTPResponse) -> None:
    """A redirect would hand the bytes, or a signature, to somebody else."""
    if not http.client.MULTIPLE_CHOICES <= response.status < http.client.BAD_REQUEST:
        return
    if response.status == http.client.NOT_MODIFIED:
        return
    body = response.read(MAX_ANSWER_BYTES)
    code = "REDIRECT_REFUSED"
    for known in ("TemporaryRedirect", "PermanentRedirect"):
        if f"<Code>{known}</Code>".encode() in body:
            code = known
    region = response.headers.get("x-amz-bucket-region")
    where = f"the bucket is in region {region}" if region else "redirects are not followed"
    raise StoreError(
        code, f"the store answered {response.status}: {where}", http_status=response.status
    )


def _cause(error: Exception, transfer: Transfer) -> StoreError:
    """The stable code for what the network did."""
    # A cancelled transfer shuts the socket down: what the socket then says is not the cause.
    transfer.remaining()
    if isinstance(error, TimeoutError):
        return StoreError("TIMEOUT", "the store did not answer in time")
    words = str(error) or type(error).__name__
    return StoreError("NetworkError", f"the connection failed: {words}")
