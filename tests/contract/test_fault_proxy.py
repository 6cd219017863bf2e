from __future__ import annotations

import contextlib
import http.client
import math
import resource
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.memory_server import MemoryServer
from tests.support.plain_client import BIG, BODY, connected, exchange, send
from tests.support.tls import Authority
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path


def test_no_script_passes_everything(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """Without a script a request and its answer pass unchanged."""
    put, _ = send(fault_proxy)
    get, body = send(fault_proxy, "GET")

    assert (put.status, get.status, body) == (200, 200, BODY)
    assert memory_server.objects == {"/box/a.bin": BODY}
    assert fault_proxy.faults_met == 0


def test_requests_are_recorded(fault_proxy: FaultProxy) -> None:
    """What came is on record: method, decoded key, query, headers, body size and status."""
    send(fault_proxy, path="/box/a%2Fb%20c.bin?partNumber=3&uploadId=x")
    send(fault_proxy, "HEAD", "/box//odd")

    put, head = fault_proxy.requests
    assert (put.method, put.bucket, put.key) == ("PUT", "box", "a/b c.bin")
    assert (put.query, put.received, put.status) == ("partNumber=3&uploadId=x", len(BODY), 200)
    assert put.headers["host"] == f"127.0.0.1:{fault_proxy.port}"
    assert (head.method, head.key, head.received, head.status) == ("HEAD", "/odd", 0, 404)


def test_connections_are_kept_alive(fault_proxy: FaultProxy) -> None:
    """Many requests pass over one connection, past an injected error too."""
    fault_proxy.fail(503, "SlowDown", key="1")
    with connected(fault_proxy) as connection:
        connection.connect()
        first = connection.sock
        statuses = [exchange(connection, f"/box/{number}") for number in range(3)]

        assert statuses == [200, 503, 200]
        assert connection.sock is first


def test_fail_is_aimed(fault_proxy: FaultProxy) -> None:
    """A fault meets only the requests it is for, after those it skips, as often as it says."""
    fault_proxy.fail(500, method="PUT", key="a.", query="partNumber=2", skip=1, times=2)

    aimed = [send(fault_proxy, path="/box/a.bin?partNumber=2")[0].status for _ in range(4)]
    others = [
        send(fault_proxy, path="/box/b.bin?partNumber=2")[0].status,
        send(fault_proxy, path="/box/a.bin?partNumber=1")[0].status,
        send(fault_proxy, "GET", "/box/a.bin?partNumber=2")[0].status,
    ]

    assert aimed == [200, 500, 500, 200]
    assert others == [200, 200, 200]
    assert fault_proxy.faults_met == 2


def test_faults_come_in_order(fault_proxy: FaultProxy) -> None:
    """Faults for the same request are met one after another, and a clear ends them."""
    fault_proxy.fail(500, times=2)
    fault_proxy.fail(503, times=math.inf)

    before = [send(fault_proxy)[0].status for _ in range(4)]
    fault_proxy.clear()

    assert before == [500, 500, 503, 503]
    assert send(fault_proxy)[0].status == 200


def test_expect_is_answered_by_the_server(
    fault_proxy: FaultProxy, memory_server: MemoryServer
) -> None:
    """The server's own 100 reaches a client that waits for it before the body."""
    with socket.create_connection(("127.0.0.1", fault_proxy.port), 10) as client:
        client.sendall(
            b"PUT /box/e HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(b"body")
        assert client.recv(100).startswith(b"HTTP/1.1 200")

    assert memory_server.objects["/box/e"] == b"body"


def test_nonsense_harms_nobody_else(fault_proxy: FaultProxy) -> None:
    """A client that speaks no HTTP is hung up on, and others are served."""
    with socket.create_connection(("127.0.0.1", fault_proxy.port), 10) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(1) == b""

    assert send(fault_proxy)[0].status == 200


def test_tls(memory_server: MemoryServer, tmp_path: Path) -> None:
    """With TLS settings the proxy's clients speak https, and faults work as before."""
    authority = Authority(tmp_path)
    with FaultProxy(memory_server.address, authority.issue().server_context()) as proxy:
        proxy.reset(after=100_000, key="broken")

        def put(path: str) -> int:
            connection = http.client.HTTPSConnection(
                "localhost", proxy.port, context=authority.client_context()
            )
            with contextlib.closing(connection):
                return exchange(connection, path, BIG)

        assert put("/box/whole") == 200
        with pytest.raises((ConnectionError, ssl.SSLError)):
            put("/box/broken")

    assert memory_server.objects == {"/box/whole": BIG}


def test_a_thousand_connections(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A thousand requests on a thousand connections are served at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    hold = fault_proxy.hold(times=math.inf)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(fault_proxy, 60)) for _ in range(1000)]
        for number, connection in enumerate(connections):
            connection.request("PUT", f"/box/{number}", BODY)
        wait_for(
            lambda: sum(r.received for r in fault_proxy.requests) == 1000 * len(BODY), 60, "all"
        )
        hold.release()
        statuses = [connection.getresponse().status for connection in connections]

    assert statuses == [200] * 1000
    assert len(memory_server.objects) == 1000


def test_close_leaves_nothing_behind(memory_server: MemoryServer) -> None:
    """A closed proxy has no thread left, not even for held and stalled requests."""

    before = set(threading.enumerate())
    with FaultProxy(memory_server.address) as proxy, contextlib.ExitStack() as stack:
        held = proxy.hold(key="held")
        proxy.stall(key="stalled")
        for key in ("held", "stalled", "idle"):
            connection = stack.enter_context(connected(proxy))
            connection.request("PUT", f"/box/{key}", BODY)
        assert held.arrived.wait(10)
        wait_for(lambda: proxy.idle == 1, 10, "the idle connection")

    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name == "fault-proxy"]
    assert "/box/held" not in memory_server.objects
