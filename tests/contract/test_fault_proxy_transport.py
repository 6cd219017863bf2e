from __future__ import annotations

import http.client
import threading
import time

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.memory_server import MemoryServer
from tests.support.plain_client import BIG, BODY, connected, exchange, send
from tests.support.waiting import wait_for


def test_refused(fault_proxy: FaultProxy) -> None:
    """A closed door refuses connections, cuts those that are open, and opens again."""
    with connected(fault_proxy) as connection:
        connection.connect()
        fault_proxy.refuse()
        with pytest.raises(ConnectionError):
            exchange(connection)
    with pytest.raises(ConnectionRefusedError):
        send(fault_proxy)

    fault_proxy.clear()

    assert send(fault_proxy)[0].status == 200


def test_reset_on_accept(fault_proxy: FaultProxy) -> None:
    """A connection can be accepted and reset."""
    fault_proxy.refuse("reset")

    with pytest.raises(ConnectionError):
        send(fault_proxy)


def test_silence(fault_proxy: FaultProxy) -> None:
    """A connection can be accepted and never served, nor even its TLS handshake."""
    fault_proxy.refuse("silent")

    with connected(fault_proxy, timeout=0.3) as connection:
        connection.request("PUT", "/box/a.bin", BODY)
        with pytest.raises(TimeoutError):
            connection.getresponse()
    assert fault_proxy.requests == []


def test_deafness(fault_proxy: FaultProxy) -> None:
    """A connection attempt can go unanswered, as behind a firewall that drops packets."""
    fault_proxy.refuse("deaf")

    with connected(fault_proxy, timeout=0.3) as connection, pytest.raises(TimeoutError):
        connection.connect()
    fault_proxy.clear()
    assert send(fault_proxy)[0].status == 200


def test_reset_within_the_body(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A body can be cut by a RST after so many bytes; the server never hears of it."""
    fault_proxy.reset(after=100_000)

    with pytest.raises(ConnectionError):
        send(fault_proxy, body=BIG)

    assert fault_proxy.requests[0].received == 100_000
    assert memory_server.objects == {}


def test_reset_after_the_body(fault_proxy: FaultProxy) -> None:
    """A body shorter than the limit is read whole before the RST."""
    fault_proxy.reset(after=100_000)

    with pytest.raises(ConnectionResetError):
        send(fault_proxy)

    assert fault_proxy.requests[0].received == len(BODY)


def test_hang_up_within_the_body(fault_proxy: FaultProxy) -> None:
    """A connection can be closed in order, but without an answer."""
    fault_proxy.hang_up(after=10)

    with pytest.raises(http.client.RemoteDisconnected):
        send(fault_proxy)


def test_stall(fault_proxy: FaultProxy) -> None:
    """A request can be read to its end and never answered."""
    fault_proxy.stall()

    with connected(fault_proxy, timeout=0.3) as connection:
        connection.request("PUT", "/box/a.bin", BODY)
        with pytest.raises(TimeoutError):
            connection.getresponse()

    assert (fault_proxy.requests[0].received, fault_proxy.requests[0].status) == (len(BODY), None)


def test_stall_reading(fault_proxy: FaultProxy) -> None:
    """A body can meet a closed window: the client cannot even send."""
    fault_proxy.stall_reading()

    with connected(fault_proxy, timeout=0.3) as connection, pytest.raises(TimeoutError):
        connection.request("PUT", "/box/a.bin", BIG)

    assert fault_proxy.requests[0].received == 0


def test_throttle(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A body can pass slowly, and still arrive whole."""
    fault_proxy.throttle(50_000)
    began = time.monotonic()

    send(fault_proxy, body=BODY * 20)

    assert time.monotonic() - began > 0.4
    assert memory_server.objects["/box/a.bin"] == BODY * 20


def test_drip(fault_proxy: FaultProxy) -> None:
    """An answer can come byte by byte, each in time for a socket's time-out."""
    fault_proxy.drip(0.002)
    began = time.monotonic()

    answer, _ = send(fault_proxy)

    assert answer.status == 200
    assert time.monotonic() - began > 0.2


def in_background(fault_proxy: FaultProxy) -> tuple[threading.Thread, list[int]]:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(send(fault_proxy)[0].status))
    thread.start()
    return thread, statuses


def test_hold(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A held request is inside, unknown to the memory_server, until it is released."""
    hold = fault_proxy.hold()
    thread, statuses = in_background(fault_proxy)

    assert hold.arrived.wait(10)
    assert (memory_server.objects, statuses) == ({}, [])
    hold.release()
    thread.join(10)

    assert (list(memory_server.objects), statuses) == (["/box/a.bin"], [200])


def test_hold_of_the_answer(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A held answer is one whose request the server has carried out."""
    hold = fault_proxy.hold(after_store=True)
    thread, statuses = in_background(fault_proxy)

    assert hold.arrived.wait(10)
    assert (list(memory_server.objects), statuses) == (["/box/a.bin"], [])
    hold.release()
    thread.join(10)

    assert statuses == [200]


def test_ghost(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A held request is stored once released, long after its client gave up."""
    hold = fault_proxy.hold()
    with connected(fault_proxy) as connection:
        connection.request("PUT", "/box/ghost", BODY)
        assert hold.arrived.wait(10)
    assert memory_server.objects == {}

    hold.release()

    assert hold.stored.wait(10)
    assert memory_server.objects == {"/box/ghost": BODY}


def test_lost_reply(fault_proxy: FaultProxy, memory_server: MemoryServer) -> None:
    """A server can do its work and the client see nothing but a RST."""
    fault_proxy.lose_reply()

    with pytest.raises(ConnectionResetError):
        send(fault_proxy)

    assert memory_server.objects == {"/box/a.bin": BODY}


def test_idle_connections_can_be_closed(fault_proxy: FaultProxy) -> None:
    """A kept-alive connection can be cut between two requests, as servers do."""
    with connected(fault_proxy) as connection:
        exchange(connection)
        wait_for(lambda: fault_proxy.idle == 1, 10, "the connection to be idle")
        fault_proxy.close_idle()
        with pytest.raises(ConnectionError):
            exchange(connection)

    assert len(fault_proxy.requests) == 1
