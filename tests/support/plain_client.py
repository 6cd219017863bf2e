"""The plainest HTTP client there is, to see what a proxy really does."""

from __future__ import annotations

import contextlib
import http.client
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fault_proxy import FaultProxy

BODY = b"0123456789abcdef" * 64
BIG = bytes(16 << 20)


@contextlib.contextmanager
def connected(proxy: FaultProxy, timeout: float = 10) -> Iterator[http.client.HTTPConnection]:
    """A connection to the proxy, opened by its first request."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    ) as connection:
        yield connection


def send(
    proxy: FaultProxy, method: str = "PUT", path: str = "/box/a.bin", body: bytes = BODY
) -> tuple[http.client.HTTPResponse, bytes]:
    """Make one request on a connection of its own; return the answer and its body."""
    with connected(proxy) as connection:
        connection.request(method, path, body if method == "PUT" else None)
        answer = connection.getresponse()
        return answer, answer.read()


def exchange(
    connection: http.client.HTTPConnection, path: str = "/box/a.bin", body: bytes = BODY
) -> int:
    """PUT on a connection that stays open; return the status."""
    connection.request("PUT", path, body)
    answer = connection.getresponse()
    answer.read()
    return answer.status
