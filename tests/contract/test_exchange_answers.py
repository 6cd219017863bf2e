"""Answers that come too early, too large, from elsewhere, or from nobody who speaks HTTP."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from outhaul.errors import BadStoreReplyError, StoreError
from outhaul.policy import RETRYABLE_CODES
from outhaul.stores.exchange import MAX_ANSWER_BYTES
from outhaul.stores.wire import Wire
from tests.contract.lines import HUGE, Line
from tests.contract.stores import IN_PARTS, Front, content, transfer, upload
from tests.support.proxy import replies
from tests.support.proxy.exchange import Exchange
from tests.support.waiting import wait_for

pytest_plugins = ["tests.contract.subjects"]

#: What a gigabyte-sized answer may cost beside the megabyte that is kept of it.
MEMORY_BOUND: Final = 64 << 20


def test_a_success_before_the_body_is_no_success(line: Line) -> None:
    """A 200 to a body that was not read proves that nobody has it: BAD_STORE_REPLY."""

    line.proxy.answer(replies.reply(200, b"", {"ETag": '"e"'}), read_body=False)

    error = line.fault(HUGE)

    assert isinstance(error, BadStoreReplyError)
    assert error.http_status == 200


def test_a_refusal_before_the_body_is_that_refusal(line: Line) -> None:
    """A store that refuses early and hangs up is heard, though the sending broke off."""

    line.proxy.fail(403, "AccessDenied", read_body=False)

    answer = line.send(HUGE)

    assert answer.status == 403
    assert b"AccessDenied" in answer.body
    assert line.proxy.requests[0].received == 0


def test_a_refusal_in_mid_body_is_that_refusal(line: Line) -> None:
    """The same holds once part of the body has gone out."""

    def refuse(exchange: Exchange) -> None:
        exchange.receive(3 << 20)
        exchange.send(replies.store_error(503, "SlowDown"))
        exchange.reusable = False

    line.proxy._script.add(refuse)

    assert line.send(HUGE).status == 503


def test_a_refusal_is_heard_though_the_pipe_is_broken() -> None:
    """A store that answers and is gone before the sending began is heard all the same."""

    ours, theirs = socket.socketpair()
    with closing(Wire(ours)) as wire:
        wire.transfer = transfer()
        theirs.sendall(replies.store_error(403, "AccessDenied"))
        theirs.close()

        assert not wire.send(b"PUT /k HTTP/1.1\r\n\r\n", b"x")

        assert wire.read_head("PUT").status == 403


def test_nothing_follows_an_early_answer(line: Line) -> None:
    """The connection of a broken-off request carries no other: its rest would be read as one."""

    line.proxy.fail(403, "AccessDenied", read_body=False)
    line.send(HUGE)

    assert line.send(b"whole").status == 200
    assert line.server.objects["/box/a.bin"] == b"whole"


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A listener that nobody should ever turn to: see `is_untouched`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


def is_untouched(listener: socket.socket) -> bool:
    """Whether nobody has so much as connected."""
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    return not poller.poll(0)


class Redirect(NamedTuple):
    """An answer, with the code in its XML and the bucket's region, and the code that it becomes."""

    status: int
    code: str = ""
    region: str = ""
    stable: str = "REDIRECT_REFUSED"


REDIRECTS: Final = {
    "another region": Redirect(301, "PermanentRedirect", "eu-west-1", "PermanentRedirect"),
    "region, no code": Redirect(301, region="eu-west-1"),
    "not now": Redirect(307, "TemporaryRedirect", stable="TemporaryRedirect"),
    "found": Redirect(302),
    "see other": Redirect(303),
    "for good": Redirect(308),
}


@pytest.mark.parametrize("redirect", REDIRECTS.values(), ids=REDIRECTS.keys())
def test_a_redirect_is_not_followed(
    front: Front, elsewhere: socket.socket, redirect: Redirect
) -> None:
    """A redirect is an error with a code; where it points to hears and sees nothing of it."""

    host, port = elsewhere.getsockname()
    headers = {"Location": f"http://{host}:{port}/bucket/key"}
    if redirect.region:
        headers["x-amz-bucket-region"] = redirect.region
    answer = replies.store_error(redirect.status, redirect.code, "", headers)
    front.proxy.answer(answer, times=math.inf)

    with pytest.raises(StoreError) as caught:
        front.subject.store.put(upload(front.subject.key("a.bin"), content(1000)))

    assert (caught.value.code, caught.value.http_status) == (redirect.stable, redirect.status)
    assert redirect.region in caught.value.message
    assert str(port) not in caught.value.message
    assert len(front.requests) == 1
    assert is_untouched(elsewhere)


def test_only_a_temporary_redirect_is_worth_a_retry() -> None:
    """S3 sends one while a new bucket's name spreads; the others stay as they are."""

    assert "TemporaryRedirect" in RETRYABLE_CODES
    assert not {"PermanentRedirect", "REDIRECT_REFUSED"} & RETRYABLE_CODES


def test_a_download_is_not_redirected(front: Front, elsewhere: socket.socket) -> None:
    """A download's signature stays with the store that it was made for."""

    host, port = elsewhere.getsockname()
    front.proxy.answer(replies.reply(302, b"", {"Location": f"http://{host}:{port}/k"}))

    with pytest.raises(StoreError) as caught:
        list(front.subject.store.get(front.subject.key("a.bin"), transfer()))

    assert caught.value.code == "REDIRECT_REFUSED"
    assert is_untouched(elsewhere)


def memory(field: str) -> int:
    """A figure of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("status", [500, 403])
@pytest.mark.parametrize("size", [1, IN_PARTS], ids=["one", "parts"])
def test_an_endless_answer_costs_a_megabyte(front: Front, status: int, size: int) -> None:
    """400 MiB of error are read for the first of them: memory and time stay as they were."""

    front.proxy.answer(lambda: replies.endless_error(status, 400 << 20), times=math.inf)
    job = upload(front.subject.key("a.bin"), content(size))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")

    with pytest.raises(StoreError) as caught:
        front.subject.store.put(job)

    assert caught.value.http_status == status
    assert memory("VmHWM") - before < MEMORY_BOUND


def test_an_answer_is_cut_at_its_limit(line: Line) -> None:
    """What is kept of an answer is a megabyte, and its connection is given up."""

    line.proxy.answer(lambda: replies.endless_error(500, 8 << 20))

    answer = line.send(b"x")

    assert answer.body == b"x" * MAX_ANSWER_BYTES
    assert line.send(b"next").status == 200


NO_HTTP: Final[dict[str, bytes | Callable[[], Iterable[bytes]]]] = {
    "garbage": b"\x16\x03\x01\x02\x00\xff garbage\r\n\r\n",
    "nothing": b"\r\n",
    "another protocol": b"220 mail.example ESMTP ready\r\n",
    "a status that is none": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a version that is none": b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nETag: ",
    "a million headers": lambda: replies.header_flood(1_000_000),
    "an endless header": b"HTTP/1.1 200 OK\r\nETag: " + b"x" * 200_000 + b"\r\n\r\n",
    "a truncated body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<half",
    "a truncated chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n<half",
    "a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("raw", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_answer_is_a_network_error(
    line: Line, raw: bytes | Callable[[], Iterable[bytes]]
) -> None:
    """Whatever is not a whole HTTP answer is NetworkError, and the next request goes through."""

    line.proxy.answer(raw)

    assert line.code(b"x") == "NetworkError"

    assert line.proxy.faults_met == 1
    assert line.send(b"next").status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<half",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n<half",
    ],
)
def test_a_truncated_download_is_an_error(line: Line, raw: bytes) -> None:
    """A download that ends early raises: it never looks like a shorter object."""

    line.proxy.answer(raw)
    got: list[bytes] = []

    with pytest.raises(StoreError) as caught:
        got.extend(line.exchange.stream(line.request(method="GET"), transfer()))

    assert caught.value.code == "NetworkError"


@pytest.mark.parametrize("how", ["reset", "hang_up"])
@pytest.mark.parametrize("after", [0, 65536, 1 << 30])
def test_a_connection_that_breaks_is_a_network_error(line: Line, how: str, after: int) -> None:
    """Before the body, within it, or after it: the code is the same, and nothing is left."""

    getattr(line.proxy, how)(after)

    assert line.code(bytes(1 << 20)) == "NetworkError"

    assert line.server.objects == {}
    assert line.send(b"next").status == 200


def test_a_refused_connection_is_a_network_error(line: Line) -> None:
    """A store that is down says so at once."""

    line.proxy.refuse("closed")

    assert line.code() == "NetworkError"


def test_a_name_that_is_none_is_a_network_error(plain_line: Line) -> None:
    """A host that cannot be resolved is told from one that is slow."""

    request = plain_line.request()
    unknown = type(request)("PUT", "http://no-such-host.invalid/k", {}, b"")

    with pytest.raises(StoreError) as caught:
        plain_line.exchange.send(unknown, transfer())

    assert caught.value.code == "NetworkError"


def test_a_storm_leaves_no_descriptor_behind(line: Line) -> None:
    """After 300 connections that were reset as many descriptors are open as before."""

    line.send()
    wait_for(lambda: line.proxy.idle == 1, 10, "the proxy to be at rest")
    before = len(list(Path("/proc/self/fd").iterdir()))
    line.proxy.reset(0, times=300)

    codes = {line.code(b"x") for _ in range(300)}

    assert codes == {"NetworkError"}
    wait_for(
        lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 1,
        20,
        "the descriptors of the storm to be closed",
    )
