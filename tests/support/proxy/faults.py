"""What a faulty network or store does with a request: one function for each fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tests.support.proxy import replies
from tests.support.proxy.exchange import Exchange
from tests.support.proxy.peer import PeerGoneError

if TYPE_CHECKING:
    from collections.abc import Mapping

Fault = Callable[[Exchange], None]

#: A raw answer; a long one, or one for many requests, is made anew for each.
Raw = bytes | Callable[[], Iterable[bytes]]

#: Blocks per second of a throttled body.
_BEATS = 20


def pass_on(exchange: Exchange) -> None:
    """No fault."""
    exchange.relay(exchange.forward())


def fail(answer: bytes, *, read_body: bool) -> Fault:
    """Give a well-formed answer, after which the connection lives on if the body was read."""

    def act(exchange: Exchange) -> None:
        if read_body:
            exchange.receive()
        exchange.send(replies.for_head(answer) if exchange.seen.method == "HEAD" else answer)
        exchange.reusable &= read_body

    return act


def answer(raw: Raw, *, read_body: bool) -> Fault:
    """Give any bytes for an answer, then hang up."""

    def act(exchange: Exchange) -> None:
        if read_body:
            exchange.receive()
        exchange.reusable = False
        pieces = iter([raw] if isinstance(raw, bytes) else raw())
        exchange.send(next(pieces))
        for piece in pieces:
            exchange.client.send(piece)

    return act


def reset(after: int) -> Fault:
    """Send a RST once `after` bytes of the body are read, or all of a shorter one."""

    def act(exchange: Exchange) -> None:
        exchange.receive(after)
        exchange.client.reset()
        exchange.reusable = False

    return act


def hang_up(after: int) -> Fault:
    """Send a FIN once `after` bytes of the body are read, or all of a shorter one."""

    def act(exchange: Exchange) -> None:
        exchange.receive(after)
        exchange.reusable = False

    return act


def stall(exchange: Exchange) -> None:
    """Read the whole request and never answer."""
    exchange.receive()
    exchange.client.wait_until_gone()
    exchange.reusable = False


def stall_reading(exchange: Exchange) -> None:
    """Read none of the body and never answer."""
    exchange.client.shrink_window()
    exchange.client.wait_until_gone()
    exchange.reusable = False


def drip(seconds_per_byte: float) -> Fault:
    """Let the server answer, but pass its answer on byte by byte."""

    def act(exchange: Exchange) -> None:
        exchange.relay(exchange.forward(), seconds_per_byte=seconds_per_byte)

    return act


def throttle(bytes_per_second: int) -> Fault:
    """Read the request's body slowly."""

    def act(exchange: Exchange) -> None:
        exchange.client.shrink_window()
        block = max(1, bytes_per_second // _BEATS)
        exchange.relay(exchange.forward(block, block / bytes_per_second))

    return act


def rewrite(headers: Mapping[str, str | None]) -> Fault:
    """Let the server answer, but change or drop (None) headers of its answer."""

    def act(exchange: Exchange) -> None:
        true_answer = exchange.forward()
        exchange.relay(true_answer, true_answer.head.edited(headers))

    return act


def lose_reply(exchange: Exchange) -> None:
    """Let the server do its work, then send a RST for an answer."""
    exchange.forward().body.drain()
    exchange.client.reset()
    exchange.reusable = False


class Hold:
    """A handle on requests that wait within the proxy.

    `arrived` is set once one is inside, `stored` once the server has answered it.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.stored = threading.Event()
        self._released = threading.Event()
        self._is_abandoned = False

    def release(self) -> None:
        """Let the requests go on, whether or not their clients are still there."""
        self._released.set()

    def abandon(self) -> None:
        """Drop the requests: the proxy is being closed."""
        self._is_abandoned = True
        self._released.set()

    def before_store(self, exchange: Exchange) -> None:
        """Hold a request whose body is read, of which the server knows nothing yet."""
        body = exchange.keep()
        self._wait()
        answer = exchange.forward_kept(body)
        self.stored.set()
        exchange.relay(answer)

    def after_store(self, exchange: Exchange) -> None:
        """Hold the answer to a request that the server has carried out."""
        answer = exchange.forward()
        self.stored.set()
        self._wait()
        exchange.relay(answer)

    def _wait(self) -> None:
        self.arrived.set()
        self._released.wait()
        if self._is_abandoned:
            raise PeerGoneError("the proxy was closed")
