"""One HTTP exchange: connections are kept, headers are ours, and nobody else's words get in."""

from __future__ import annotations

import math
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from outhaul.errors import BadStoreReplyError, StoreError
from outhaul.stores.exchange import Exchange, Request
from outhaul.stores.wire import Wire, connect
from outhaul.transfer import Budget, Transfer
from tests.contract.lines import Line, Sending, open_line
from tests.support.proxy import replies
from tests.support.waiting import wait_for

pytest_plugins = ["tests.contract.subjects"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    """Every connection that is opened from now on."""
    wires: list[Wire] = []

    def counted(netloc: str, tls: ssl.SSLContext | None, timeout: float) -> Wire:
        wires.append(connect(netloc, tls, timeout))
        return wires[-1]

    monkeypatch.setattr("outhaul.stores.exchange.connect", counted)
    return wires


def test_a_connection_serves_many_requests(line: Line, opened: list[Wire]) -> None:
    """Requests one after another share one connection, over TLS too."""

    statuses = [line.send(b"x" * 1000).status for _ in range(20)]

    assert statuses == [200] * 20
    assert len(opened) == 1


@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE", "PUT"])
def test_every_kind_of_answer_leaves_it_usable(line: Line, opened: list[Wire], method: str) -> None:
    """An answer without a body, with one, or with an error, is read to its end."""

    line.send(b"stored")
    line.proxy.fail(404, "NoSuchKey", method=method)

    codes = [line.send(method=method).status for _ in range(2)]

    assert codes[0] == 404
    assert len(opened) == 1


def test_a_large_body_arrives_whole(line: Line) -> None:
    """A body of many blocks is what the server gets; over TLS its first words are no answer."""

    body = bytes(range(256)) * 80_000

    assert line.send(body).status == 200

    assert line.server.objects["/box/a.bin"] == body


def test_a_large_answer_is_streamed_whole(line: Line) -> None:
    """A download gives every byte of the object, and its connection back."""

    body = bytes(range(256)) * 20_000
    line.send(body)
    clock = Transfer(Budget(30))

    got = b"".join(line.exchange.stream(line.request(method="GET"), clock))

    assert got == body
    assert line.send().status == 200


def test_an_abandoned_download_is_closed(line: Line, opened: list[Wire]) -> None:
    """A reader that stops half-way leaves no connection with an answer still in it."""

    line.send(bytes(5 << 20))
    blocks = line.exchange.stream(line.request(method="GET"), Transfer(Budget(30)))

    next(blocks)
    del blocks

    assert line.send(b"next").status == 200
    assert opened[0].sock.fileno() == -1


def test_a_connection_that_was_closed_is_not_used(line: Line, opened: list[Wire]) -> None:
    """A server may close an idle connection at any time: the next request opens another."""

    line.send()
    wait_for(lambda: line.proxy.idle == 1, 10, "the connection to be idle")
    line.proxy.close_idle()
    wait_for(lambda: line.proxy.idle == 0, 10, "the connection to be closed")

    assert line.send(b"again").status == 200
    assert len(opened) == 2


def test_connection_close_is_obeyed(line: Line, opened: list[Wire]) -> None:
    """After `Connection: close` the connection is done with, and the answer counts."""

    line.proxy.rewrite({"Connection": "close"}, times=math.inf)

    statuses = [line.send(b"x").status for _ in range(3)]

    assert statuses == [200] * 3
    assert [wire.sock.fileno() for wire in opened] == [-1] * 3


def test_unasked_words_end_a_connection(plain_line: Line, opened: list[Wire]) -> None:
    """Bytes that nobody asked for are never taken for the answer to the next request."""

    forged = replies.reply(200) + replies.reply(200, b"forged", {"ETag": '"forged"'})
    plain_line.proxy.answer(forged)

    plain_line.send(b"first")
    wait_for(lambda: not opened[0].is_quiet(), 10, "the connection to be closed")
    answer = plain_line.send(b"second")

    assert answer.headers["ETag"] != '"forged"'
    assert len(opened) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n3\r\nody\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    ],
    ids=["until the end", "by length", "in chunks", "after a 100"],
)
def test_an_answer_ends_where_it_says(line: Line, raw: bytes) -> None:
    """A body is read whole, whichever way its end is told."""

    line.proxy.answer(raw)

    assert line.send(b"x").body == b"body"


@pytest.mark.parametrize("status", [102, 103])
def test_an_interim_answer_is_none(line: Line, opened: list[Wire], status: int) -> None:
    """What comes before the answer proves nothing, and its connection carries no other request."""

    line.proxy.answer(f"HTTP/1.1 {status} Wait\r\n\r\n".encode())

    error = line.fault(b"x")

    assert isinstance(error, BadStoreReplyError)
    assert error.http_status == status
    assert opened[0].sock.fileno() == -1


def test_the_pool_keeps_so_many_and_no_more(line: Line, opened: list[Wire]) -> None:
    """After a rush at most `pool_size` connections stay open; the others are closed."""

    hold = line.proxy.hold(times=8)
    rush = [Sending(line) for _ in range(8)]
    wait_for(lambda: len(line.proxy.requests) == 8, 20, "eight requests to be under way")

    hold.release()

    assert [getattr(sending.end(), "status", None) for sending in rush] == [200] * 8
    assert sum(wire.sock.fileno() != -1 for wire in opened) == 2


def test_a_return_while_one_is_chosen_adds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that come back while another is being chosen do not make the pool larger."""

    origin = ("http", "store.example")
    pairs = [socket.socketpair() for _ in range(4)]
    early, late = [Wire(ours) for ours, _ in pairs[:2]], [Wire(ours) for ours, _ in pairs[2:]]
    with closing(Exchange(pool_size=2)) as exchange:
        for wire in early:
            exchange._give_back(origin, wire)

        def slowly(_wire: Wire) -> bool:
            while late:
                exchange._give_back(origin, late.pop())
            return True

        monkeypatch.setattr(Wire, "is_quiet", slowly)
        chosen = exchange._take(origin)

        assert chosen is early[1]
        assert len(exchange._idle[origin]) == 2
    for sockets in pairs:
        for sock in sockets:
            sock.close()


def test_threads_share_the_pool(line: Line) -> None:
    """Many threads at once each get the answer to their own request."""

    def exchange(number: int) -> bool:
        body = b"%d" % number * 1000
        url = f"{line.proxy.url}/box/{number}"
        line.exchange.send(Request("PUT", url, {}, body), Transfer(Budget(30)))
        return line.exchange.send(Request("GET", url, {}), Transfer(Budget(30))).body == body

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(exchange, range(40)))


def test_close_closes_what_is_idle(line: Line, opened: list[Wire]) -> None:
    """A closed exchange leaves no connection open, and may be used again."""

    line.send()

    line.exchange.close()

    assert opened[0].sock.fileno() == -1
    assert line.send().status == 200


def test_headers_of_the_connection_are_ours(plain_line: Line) -> None:
    """`Expect` is never sent; length and host are set once, whatever an SDK put there."""

    sdk = {
        "Expect": "100-continue",
        "Content-Length": "3",
        "Host": "elsewhere.example",
        "Connection": "Upgrade",
        "x-amz-meta-a": "1",
    }
    plain_line.exchange.send(plain_line.request(b"x" * 5, "PUT", **sdk), Transfer(Budget(30)))

    (seen,) = plain_line.proxy.requests
    assert "expect" not in seen.headers
    assert "connection" not in seen.headers
    assert seen.headers["content-length"] == "5"
    assert seen.headers["host"] == plain_line.proxy.url.removeprefix("http://")
    assert seen.headers["x-amz-meta-a"] == "1"


@pytest.mark.parametrize(
    "value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "\r\n\r\nPUT /x HTTP/1.1", "\u2028", "😀"]
)
@pytest.mark.parametrize("place", ["value", "name"])
def test_a_header_ends_where_it_ends(plain_line: Line, value: str, place: str) -> None:
    """A line break in a header would be a request of somebody else's making: none is sent."""

    headers = {"x-a": value} if place == "value" else {value: "a"}

    with pytest.raises(StoreError) as caught:
        plain_line.exchange.send(plain_line.request(b"", "PUT", **headers), Transfer(Budget(30)))

    assert caught.value.code == "InvalidArgument"
    assert plain_line.proxy.requests == []


def test_an_empty_body_has_a_length(plain_line: Line) -> None:
    """A PUT of nothing says so: without a length OSS refuses it, and S3 waits."""

    assert plain_line.send(b"").status == 200

    (seen,) = plain_line.proxy.requests
    assert seen.headers["content-length"] == "0"


def test_bytes_sent_count_the_body_alone(line: Line) -> None:
    """`bytes_sent` is the body, without head or encryption."""

    clock = Transfer(Budget(30))

    line.exchange.send(line.request(b"x" * 1_000_000), clock)

    assert clock.bytes_sent == 1_000_000


def test_a_pool_of_one_is_enough() -> None:
    """The smallest pool serves requests in turn."""

    with open_line(pool_size=1) as line:
        assert [line.send().status for _ in range(3)] == [200] * 3
