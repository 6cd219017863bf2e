"""The connections that are open now, so that another thread can cut them."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from tests.support.proxy.peer import PeerGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.proxy.peer import Peer


class Peers:
    """A set of connections. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Peer] = set()
        self._is_closed = False

    def __len__(self) -> int:
        with self._lock:
            return len(self._open)

    @contextlib.contextmanager
    def hold(self, peer: Peer) -> Iterator[None]:
        """Count a connection in for a while; PeerGoneError once the set is closed."""
        with self._lock:
            # A thread that was started just before the end comes here just after it.
            if self._is_closed:
                raise PeerGoneError("the proxy was closed")
            self._open.add(peer)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(peer)

    def cut(self) -> None:
        """End all connections with a RST."""
        with self._lock:
            for peer in self._open:
                peer.abort()

    def close(self) -> None:
        """End all connections and take no more."""
        with self._lock:
            self._is_closed = True
        self.cut()
