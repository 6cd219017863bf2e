from __future__ import annotations

import threading
import time

import pytest

from outhaul.errors import InterruptedAttemptError
from outhaul.flights import Flights
from outhaul.models import Interrupted, Job, Outcome
from outhaul.transfer import Budget
from tests.support.waiting import wait_for
from tests.unit.samples import STOPPED, a_job

LOST = Interrupted(Outcome.LOST, "the lease was lost to another daemon")
FIRST, SECOND = a_job(id=1, fence=10), a_job(id=2, fence=20)


@pytest.fixture
def flights() -> Flights:
    """Two jobs in flight, claimed at 100 s and 101 s, leased until 190 s."""
    book = Flights(Budget(floor_seconds=30.0))
    book.take_off([FIRST], claimed=100.0, lease_ends=190.0)
    book.take_off([SECOND], claimed=101.0, lease_ends=190.0)
    return book


def lease_ends(flights: Flights) -> dict[int, float]:
    """The end of each lease by job id, read through the one door there is."""
    found: dict[int, float] = {}
    flights.cancel(
        STOPPED, lambda flight: found.update({flight.job.id: flight.lease_ends}) is not None
    )
    return found


def test_what_was_claimed_is_held_until_it_lands(flights: Flights) -> None:
    """A job is ours from its claim to its settle."""

    assert flights.held() == {1: 10, 2: 20}
    assert flights.jobs() == [FIRST, SECOND]

    flights.land([FIRST])

    assert (flights.held(), len(flights)) == ({2: 20}, 1)


def test_landing_twice_is_no_error(flights: Flights) -> None:
    """A job that was cut at shutdown may be settled by its own thread as well."""

    flights.land([FIRST])
    flights.land([FIRST])

    assert flights.held() == {2: 20}


def test_an_old_claim_lands_without_the_new_one(flights: Flights) -> None:
    """A job given up and claimed again before its first flight landed stays held by its fence."""

    again = a_job(id=1, fence=11)
    flights.take_off([again], claimed=102.0, lease_ends=192.0)

    flights.land([FIRST])

    assert flights.held() == {1: 11, 2: 20}
    assert flights.start(again).remaining() > 0


def test_the_end_of_an_old_claim_does_not_end_the_new_one(flights: Flights) -> None:
    """An attempt that ends late marks its own flight over, and the new one can still be cut."""

    again = a_job(id=1, fence=11)
    flights.take_off([again], claimed=102.0, lease_ends=192.0)
    transfer = flights.start(again)

    flights.attempt_over(FIRST)
    flights.cancel(LOST, lambda flight: flight.job.id == 1)

    with pytest.raises(InterruptedAttemptError):
        transfer.remaining()


def test_the_clock_of_an_attempt_starts_with_its_worker(flights: Flights) -> None:
    """Waiting for a free worker is not charged to the attempt."""

    before = time.monotonic()
    transfer = flights.start(FIRST)

    assert transfer.expires >= before + 30.0


def test_a_renewal_extends_what_it_kept(flights: Flights) -> None:
    """A job that came back from the renewal is leased longer; one that did not is lost."""

    assert flights.renewed({1: 10, 2: 20}, {1}, 280.0) == [SECOND]
    assert lease_ends(flights) == {1: 280.0, 2: 190.0}


def test_a_job_that_was_settled_meanwhile_is_not_lost(flights: Flights) -> None:
    """A renewal that finds nothing for a job which has just landed is no alarm."""

    flights.land([SECOND])

    assert flights.renewed({1: 10, 2: 20}, {1}, 280.0) == []


def test_a_job_claimed_again_meanwhile_is_not_lost(flights: Flights) -> None:
    """A renewal asked for the old fence says nothing about the new claim."""

    flights.land([FIRST])
    flights.take_off([a_job(id=1, fence=11)], claimed=102.0, lease_ends=192.0)

    assert flights.renewed({1: 10, 2: 20}, {2}, 280.0) == []
    assert lease_ends(flights) == {1: 192.0, 2: 280.0}


def test_a_cut_reaches_only_what_it_is_meant_for(flights: Flights) -> None:
    """The chosen attempts end with the given reason, the others go on."""

    first, second = flights.start(FIRST), flights.start(SECOND)

    assert flights.cancel(LOST, lambda flight: flight.job.id == 1) == [1]

    assert (first.cut, second.cut) == (LOST, None)
    with pytest.raises(InterruptedAttemptError):
        first.remaining()


def test_an_attempt_that_is_over_is_not_cut(flights: Flights) -> None:
    """A proven upload that waits for its settle is not given up for a shutdown."""

    transfer = flights.start(FIRST)
    flights.attempt_over(FIRST)

    assert flights.cancel(STOPPED, lambda _flight: True) == [2]
    assert transfer.cut is None


@pytest.mark.parametrize("landed", [[], [SECOND], [FIRST, SECOND]])
def test_the_newest_claim_is_known(flights: Flights, landed: list[Job]) -> None:
    """When the latest of the flights was claimed; None with nothing in flight."""

    flights.land(landed)

    assert flights.newest() == {0: 101.0, 1: 100.0, 2: None}[len(landed)]


def test_an_attempt_that_outlives_its_deadline_is_noticed(flights: Flights) -> None:
    """A worker that hangs beyond its budget and the grace is a hang of the daemon."""

    expires = flights.start(FIRST).expires

    assert not flights.overrun(expires + 29.0, grace_seconds=30.0)
    assert flights.overrun(expires + 31.0, grace_seconds=30.0)


def test_jobs_that_wait_do_not_overrun(flights: Flights) -> None:
    """Neither a job that no worker has begun nor one that waits for its settle hangs."""

    far = flights.start(FIRST).expires + 1000.0
    flights.attempt_over(FIRST)

    assert not flights.overrun(far, grace_seconds=30.0)


def test_waiting_ends_when_the_last_one_lands(flights: Flights) -> None:
    """A drain goes on as soon as nothing is in flight, long before its time is over."""

    ended = threading.Event()

    def drain() -> None:
        if flights.wait_empty(3600.0):
            ended.set()

    threading.Thread(target=drain, daemon=True).start()
    wait_for(lambda: flights._changed._waiters, 30, "the drain to wait")  # type: ignore[attr-defined]
    flights.land([FIRST])
    assert not ended.is_set()
    flights.land([SECOND])

    assert ended.wait(30)


def test_waiting_gives_up_when_its_time_is_over(flights: Flights) -> None:
    """With something still in flight the drain is told so."""

    assert not flights.wait_empty(0.0)
