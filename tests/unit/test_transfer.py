from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from outhaul import transfer as module
from outhaul.errors import InterruptedAttemptError, StoreError
from outhaul.models import Interrupted, Outcome
from outhaul.transfer import Budget, Transfer, current_transfer
from tests.unit.samples import STOPPED

LOST = Interrupted(Outcome.LOST, "the lease was lost to another daemon")


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time that was set."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that transfers look at."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    ("size", "seconds"), [(0, 30.0), (30 << 20, 30.0), (90 << 20, 90.0), (5 << 40, 5 << 20)]
)
def test_a_budget_grows_with_the_size(size: int, seconds: float) -> None:
    """An attempt may take 30 s, or as long as its size takes at 1 MiB/s."""

    assert Budget().seconds(size) == seconds


def test_a_budget_is_a_setting() -> None:
    """Floor and pace are what they were set to."""

    budget = Budget(floor_seconds=2.0, bytes_per_second=100.0)

    assert (budget.seconds(0), budget.seconds(1000)) == (2.0, 10.0)


def test_time_runs_out(clock: Clock) -> None:
    """What is left shrinks to the deadline, and then every operation fails with TIMEOUT."""

    transfer = Transfer(Budget(floor_seconds=10.0))
    assert transfer.remaining() == 10.0
    clock.now += 9.5
    assert transfer.remaining() == 0.5

    clock.now += 0.5
    with pytest.raises(StoreError, match="took longer than 10 s") as caught:
        transfer.remaining()

    assert caught.value.code == "TIMEOUT"


def test_a_known_size_counts_from_the_beginning(clock: Clock) -> None:
    """Learning the size extends the deadline, and gives no time back."""

    transfer = Transfer(Budget(floor_seconds=10.0, bytes_per_second=1.0))
    clock.now += 4.0
    transfer.sized(60)

    assert (transfer.expires, transfer.remaining()) == (1060.0, 56.0)


def test_waiting_for_a_worker_is_not_charged(clock: Clock) -> None:
    """The clock starts anew when the attempt begins."""

    transfer = Transfer(Budget(floor_seconds=10.0))
    clock.now += 3600.0
    transfer.begin()

    assert transfer.remaining() == 10.0


def test_a_cut_outweighs_the_deadline(clock: Clock) -> None:
    """An attempt that was cancelled ends as interrupted, also when its time is over as well."""

    transfer = Transfer(Budget())
    transfer.cancel(STOPPED)
    clock.now += 3600.0

    with pytest.raises(InterruptedAttemptError, match="the daemon stopped"):
        transfer.remaining()


def test_the_first_reason_wins() -> None:
    """A shutdown that follows a lost lease does not change what the attempt came to."""

    transfer = Transfer(Budget())
    transfer.cancel(LOST)
    transfer.cancel(STOPPED)

    assert transfer.cut is LOST


def test_a_cancel_reaches_a_blocked_thread(ends: tuple[socket.socket, socket.socket]) -> None:
    """A receive that would never return ends at once when the attempt is cancelled."""

    transfer, blocked, received = Transfer(Budget()), threading.Event(), [b"nothing yet"]

    def receive() -> None:
        with transfer.watching(ends[0]):
            blocked.set()
            received[0] = ends[0].recv(1)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    assert blocked.wait(30)
    transfer.cancel(STOPPED)
    thread.join(timeout=30)

    assert received == [b""]


def test_a_socket_is_let_go_after_use(ends: tuple[socket.socket, socket.socket]) -> None:
    """A connection that went back to its pool is not shut by the attempt that had used it."""

    transfer = Transfer(Budget())
    with transfer.watching(ends[0]):
        pass
    transfer.cancel(STOPPED)

    ends[1].sendall(b"x")
    assert ends[0].recv(1) == b"x"


def test_a_cancelled_attempt_uses_no_socket(ends: tuple[socket.socket, socket.socket]) -> None:
    """A cancel between two operations is not missed: the next one does not begin."""

    transfer = Transfer(Budget())
    transfer.cancel(STOPPED)

    with pytest.raises(InterruptedAttemptError), transfer.watching(ends[0]):
        pytest.fail("the socket was used")


def test_a_closed_socket_does_not_stop_a_cancel(ends: tuple[socket.socket, socket.socket]) -> None:
    """Sockets that are gone already are no reason to leave the others open."""

    transfer = Transfer(Budget())
    with contextlib.ExitStack() as watched:
        watched.enter_context(transfer.watching(ends[0]))
        watched.enter_context(transfer.watching(ends[1]))
        ends[0].close()
        transfer.cancel(STOPPED)

        assert ends[1].recv(1) == b""


def test_bytes_are_counted_across_threads() -> None:
    """Parts of one object that are sent side by side add up."""

    transfer = Transfer(Budget())

    def send() -> None:
        for _ in range(1000):
            transfer.sent(3)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert transfer.bytes_sent == 12_000


def test_an_sdk_call_is_made_on_behalf_of_one_transfer() -> None:
    """What is active is known to the thread that calls, and is the outer one again afterwards."""

    outer, inner = Transfer(Budget()), Transfer(Budget())
    with outer.active():
        with inner.active():
            assert current_transfer() is inner
        assert current_transfer() is outer


def test_threads_do_not_share_what_is_active() -> None:
    """A call on a thread that nobody sent on its way belongs to no transfer."""

    faults: list[BaseException] = []

    def ask() -> None:
        try:
            current_transfer()
        except LookupError as error:
            faults.append(error)

    with Transfer(Budget()).active():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    assert len(faults) == 1
