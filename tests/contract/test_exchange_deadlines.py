"""An attempt ends when its time is up, or at once when it is cut, whatever the store does."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from outhaul.errors import InterruptedAttemptError, StoreError
from outhaul.transfer import Budget, Transfer
from tests.contract.lines import HUGE, Line, Sending, open_line
from tests.support.fault_proxy import Door
from tests.support.tls import Authority
from tests.support.waiting import wait_for

pytest_plugins = ["tests.contract.subjects"]

#: Seconds of an attempt that is bound to end by its deadline.
SHORT: Final = 0.4

#: Far above any deadline here, and far below what the faults would otherwise take.
PATIENCE: Final = 20.0

SLOW: Final[dict[str, tuple[Callable[[Line], None], bytes]]] = {
    "never answers": (lambda line: line.proxy.stall(), b"x"),
    "never reads": (lambda line: line.proxy.stall_reading(), HUGE),
    "drips its answer": (lambda line: line.proxy.drip(0.1), b"x"),
    "reads slowly": (lambda line: line.proxy.throttle(100_000), HUGE[: 10 << 20]),
}


@pytest.mark.parametrize(("fault", "body"), SLOW.values(), ids=SLOW.keys())
def test_a_slow_store_meets_the_deadline(
    line: Line, fault: Callable[[Line], None], body: bytes
) -> None:
    """Each byte in time is not enough: the attempt as a whole has an end, and it is TIMEOUT."""

    fault(line)
    began = time.monotonic()

    assert line.code(body, seconds=SHORT) == "TIMEOUT"

    assert SHORT <= time.monotonic() - began < PATIENCE
    assert line.proxy.faults_met == 1


def test_a_dripped_download_meets_the_deadline(line: Line) -> None:
    """A download that comes byte by byte ends with the attempt as well."""

    line.send(bytes(1000))
    line.proxy.drip(0.1)

    with pytest.raises(StoreError) as caught:
        list(line.exchange.stream(line.request(method="GET"), Transfer(Budget(SHORT))))

    assert caught.value.code == "TIMEOUT"


def test_a_dripped_error_body_meets_the_deadline(line: Line) -> None:
    """The body of a refusal is no safer than any other."""

    def dripped() -> Iterator[bytes]:
        yield b"HTTP/1.1 503 Slow\r\nContent-Length: 1000000\r\n\r\n"
        while not threading.Event().wait(0.05):  # until nobody reads any more
            yield b"x"

    line.proxy.answer(dripped)

    assert line.code(seconds=SHORT) == "TIMEOUT"


@pytest.mark.parametrize("door", ["deaf", "silent"])
@pytest.mark.parametrize("tls", [False, True])
def test_no_connection_is_a_connection_timeout(authority: Authority, door: Door, tls: bool) -> None:
    """SYNs that are dropped, and handshakes that stall, end by the connection's own limit."""

    with open_line(authority if tls else None, connect_timeout=SHORT) as line:
        line.proxy.refuse(door)
        code = line.code(seconds=10 if tls or door == "deaf" else SHORT)
        line.proxy.clear()
        assert line.send().status == 200

    assert code == ("TIMEOUT" if door == "silent" and not tls else "ConnectionTimeout")


def test_connecting_is_charged_to_the_attempt() -> None:
    """The connection's limit never extends the attempt's."""

    with open_line(connect_timeout=3600) as line:
        line.proxy.refuse("deaf")
        began = time.monotonic()

        assert line.code(seconds=SHORT) == "TIMEOUT"

    assert time.monotonic() - began < PATIENCE


def test_an_expired_attempt_opens_no_connection(line: Line) -> None:
    """An attempt that has no time left does not knock."""

    assert line.code(seconds=0) == "TIMEOUT"

    assert line.proxy.requests == []


def is_stuck(sending: Sending, seen: list[int]) -> bool:
    """Whether some of the body is out and no more goes: the thread sits in its send."""
    seen.append(sending.clock.bytes_sent)
    return len(seen) > 10 and seen[-1] > 0 and len(set(seen[-10:])) == 1


def test_a_cancel_ends_a_blocked_send(line: Line) -> None:
    """An attempt that is stuck in sending ends as soon as another thread cancels it."""

    line.proxy.stall_reading()
    sending = Sending(line, HUGE)
    seen: list[int] = []
    wait_for(lambda: is_stuck(sending, seen), PATIENCE, "the body to get stuck")

    sending.cancel()

    end = sending.end()
    assert isinstance(end, InterruptedAttemptError)
    assert end.message == "shutting down"


def test_a_cancel_ends_a_blocked_receive(line: Line) -> None:
    """An attempt that waits for its answer ends as soon as another thread cancels it."""

    hold = line.proxy.hold()
    sending = Sending(line, b"x")
    assert hold.arrived.wait(PATIENCE)

    sending.cancel()

    assert isinstance(sending.end(), InterruptedAttemptError)


def test_a_cancel_ends_all_of_its_requests_and_no_other(line: Line) -> None:
    """The parts of one object are cut together; other objects go on."""

    hold = line.proxy.hold(times=math.inf)
    cut, kept = Sending(line), Sending(line)
    wait_for(lambda: len(line.proxy.requests) == 2, PATIENCE, "both requests to be under way")

    cut.cancel()

    assert isinstance(cut.end(), InterruptedAttemptError)
    hold.release()
    assert getattr(kept.end(), "status", None) == 200


def test_a_cut_connection_is_not_used_again(line: Line) -> None:
    """The next request after a cancelled one opens a connection of its own, and succeeds."""

    hold = line.proxy.hold()
    sending = Sending(line)
    assert hold.arrived.wait(PATIENCE)
    sending.cancel()
    sending.end()

    assert line.send(b"next").status == 200


def test_a_cancelled_attempt_sends_nothing(line: Line) -> None:
    """What was cut before it began does not begin."""

    sending = Sending(line)
    sending.end()
    sending.cancel()
    before = len(line.proxy.requests)

    with pytest.raises(InterruptedAttemptError):
        line.exchange.send(line.request(), sending.clock)

    assert len(line.proxy.requests) == before
