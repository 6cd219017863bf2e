from __future__ import annotations

import http.client
import tracemalloc

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.memory_server import MemoryServer
from tests.support.plain_client import BIG, BODY, connected, send
from tests.support.proxy import replies


def test_fail_answers_like_a_store(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """An injected error has a store's XML, the given headers and a request id."""
    fault_proxy.fail(503, "SlowDown", "Please <wait>", headers={"Retry-After": "7"})

    answer, body = send(fault_proxy)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert answer.headers["x-amz-request-id"] == answer.headers["x-oss-request-id"]
    assert b"<Code>SlowDown</Code><Message>Please &lt;wait&gt;</Message>" in body
    assert memory_server.objects == {}


def test_fail_of_a_head_has_no_body(fault_proxy: FaultProxy) -> None:
    """An error that answers a HEAD has no body; OSS's own header holds it instead."""
    fault_proxy.fail(403, "AccessDenied")

    answer, body = send(fault_proxy, "HEAD")

    assert (answer.status, body) == (403, b"")
    assert answer.headers["x-oss-err"]


def test_fail_with_a_page(fault_proxy: FaultProxy) -> None:
    """An error can be the HTML page of something in between."""
    fault_proxy.fail(502, html=True)

    answer, body = send(fault_proxy)

    assert answer.headers["Content-Type"] == "text/html"
    assert b"502 Bad Gateway" in body


def test_fail_before_the_body(fault_proxy: FaultProxy) -> None:
    """An error can come before the body is read, and the client still gets to see it."""
    fault_proxy.fail(403, "AccessDenied", read_body=False)

    answer, _ = send(fault_proxy, body=BIG)

    assert answer.status == 403
    assert fault_proxy.requests[0].received == 0


def test_rewritten_answer(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A true answer can be made to lie in its headers."""
    fault_proxy.rewrite({"etag": '"0"', "Date": None})

    answer, _ = send(fault_proxy)

    assert (answer.headers["ETag"], answer.headers["Date"]) == ('"0"', None)
    assert memory_server.objects == {"/box/a.bin": BODY}


@pytest.mark.parametrize(
    "raw",
    [
        replies.reply(200),
        replies.reply(204),
        replies.html_page(),
        replies.redirect(307, "http://127.0.0.1:9/", "eu-west-1"),
        replies.entity_bomb(500),
    ],
    ids=["no etag", "no content", "captive portal", "redirect", "entity bomb"],
)
@pytest.mark.parametrize("read_body", [True, False])
def test_lies(
    fault_proxy: FaultProxy, memory_server: MemoryServer, raw: bytes, read_body: bool
) -> None:
    """Any bytes can be the answer, after the body or before it, and the server knows nothing."""
    fault_proxy.answer(raw, read_body=read_body)

    answer, body = send(fault_proxy, body=BIG)

    assert raw.startswith(f"HTTP/1.1 {answer.status} ".encode())
    assert raw.endswith(body)
    assert fault_proxy.requests[0].received == (len(BIG) if read_body else 0)
    assert memory_server.objects == {}


def test_garbage(fault_proxy: FaultProxy) -> None:
    """An answer need not be HTTP."""
    fault_proxy.answer(b"SSH-2.0-OpenSSH_9.2\r\n")

    with pytest.raises(http.client.BadStatusLine):
        send(fault_proxy)

    assert fault_proxy.requests[0].status == 0


def test_truncated_answer(fault_proxy: FaultProxy) -> None:
    """An answer can end before its length says."""
    fault_proxy.answer(replies.reply(200, b"half", {"Content-Length": "8"}))

    with pytest.raises(http.client.IncompleteRead):
        send(fault_proxy)


def test_huge_error(fault_proxy: FaultProxy) -> None:
    """An error of 400 MiB is sent without being held in memory, to whoever reads it."""
    size = 400 << 20
    fault_proxy.answer(lambda: replies.endless_error(503, size))
    tracemalloc.start()

    with connected(fault_proxy) as connection:
        connection.request("PUT", "/box/a.bin", BODY)
        answer = connection.getresponse()
        read = sum(len(piece) for piece in iter(lambda: answer.read(1 << 20), b""))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == size
    assert peak < 16 << 20


def test_header_flood(fault_proxy: FaultProxy) -> None:
    """An answer can have more headers than a client should take."""
    fault_proxy.answer(lambda: replies.header_flood(100_000))

    with pytest.raises(http.client.HTTPException, match="got more than 100 headers"):
        send(fault_proxy)
