"""An exchange and what it talks to: an honest server behind a proxy that is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from outhaul.errors import OuthaulError
from outhaul.models import Interrupted, Outcome
from outhaul.stores.exchange import Answer, Exchange, Request
from outhaul.transfer import Budget, Transfer
from tests.support.fault_proxy import FaultProxy
from tests.support.memory_server import MemoryServer
from tests.support.tls import Authority

#: More than the buffers of two sockets take: only a reader lets it pass.
HUGE: Final = bytes(100 << 20)


@dataclass(frozen=True, slots=True)
class Line:
    """An exchange with an honest server, through a proxy that breaks what it is told to."""

    exchange: Exchange
    proxy: FaultProxy
    server: MemoryServer

    def request(self, body: bytes = b"", method: str = "PUT", **headers: str) -> Request:
        """A request for /box/a.bin."""
        return Request(method, f"{self.proxy.url}/box/a.bin", headers, body)

    def send(self, body: bytes = b"", method: str = "PUT", seconds: float = 30) -> Answer:
        """Send a request within so many seconds."""
        clock = Transfer(Budget(seconds))
        return self.exchange.send(self.request(body, method), clock)

    def fault(self, body: bytes = b"", method: str = "PUT", seconds: float = 30) -> OuthaulError:
        """What sending a request raises."""
        with pytest.raises(OuthaulError) as caught:
            self.send(body, method, seconds)
        return caught.value

    def code(self, body: bytes = b"", method: str = "PUT", seconds: float = 30) -> str:
        """The code of what sending a request raises."""
        return str(getattr(self.fault(body, method, seconds), "code", "none"))


class Sending:
    """A request under way in a thread of its own, with an hour for it."""

    def __init__(self, line: Line, body: bytes = b"") -> None:
        self.clock = Transfer(Budget(3600))
        self._line, self._body = line, body
        self._end: Answer | OuthaulError | None = None
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        try:
            self._end = self._line.exchange.send(self._line.request(self._body), self.clock)
        except OuthaulError as error:
            self._end = error

    def cancel(self) -> None:
        """Cut it, as a shutdown does."""
        self.clock.cancel(Interrupted(Outcome.INTERRUPTED, "shutting down"))

    def end(self, seconds: float = 20) -> Answer | OuthaulError | None:
        """What came of it; None if it has not ended within so many seconds."""
        self._thread.join(seconds)
        return self._end


@contextmanager
def open_line(
    tls: Authority | None = None, *, pool_size: int = 2, connect_timeout: float = 10
) -> Iterator[Line]:
    """A line over http, or over TLS with a certificate of this authority."""
    context = tls.issue().server_context() if tls else None
    ca_file: Path | None = tls.ca_file if tls else None
    with (
        MemoryServer() as server,
        FaultProxy(server.address, context) as proxy,
        closing(
            Exchange(
                pool_size=pool_size,
                connect_timeout=connect_timeout,
                ca_bundle=str(ca_file) if ca_file else None,
            )
        ) as exchange,
    ):
        yield Line(exchange, proxy, server)
