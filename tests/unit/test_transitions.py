from __future__ import annotations

from dataclasses import replace

import pytest

from outhaul.models import Failure, Interrupted, Origin, Outcome, Result, Skipped, Status, StoreName
from outhaul.transitions import KEY_EXISTS, Settlement, settle
from tests.unit.samples import (
    ACCESS_DENIED,
    DIGESTS,
    LOCAL,
    OSS,
    RULES,
    S3,
    SLOW_DOWN,
    STOPPED,
    STORED,
    an_attempt,
    at_attempt,
)


def settled(result: Result, attempt: int = 1, store: StoreName = S3) -> Settlement:
    """What becomes of a job whose attempt came to `result`."""
    return settle(an_attempt(result, at_attempt(attempt, store)), RULES, draw=0.0)


def test_a_verified_object_is_the_end() -> None:
    """`running -> done`: the stored object and its pin are recorded, and no error is."""

    settlement = settled(STORED)

    assert (settlement.status, settlement.outcome) == (Status.DONE, Outcome.SUCCEEDED)
    assert (settlement.store, settlement.stored, settlement.pin) == (S3, STORED, DIGESTS.pin)
    assert (settlement.error_code, settlement.error) == (None, None)
    assert settlement.is_final


def test_a_key_left_alone_as_asked_is_done_without_a_store() -> None:
    """`running -> done` for `if_exists = 'skip'`: nothing is claimed to be stored."""

    settlement = settled(Skipped("s3 holds another object under this key"))

    assert (settlement.status, settlement.outcome) == (Status.DONE, Outcome.SUCCEEDED)
    assert (settlement.stored, settlement.pin) == (None, None)
    assert (settlement.error_code, settlement.error) == (
        KEY_EXISTS,
        "s3 holds another object under this key",
    )
    assert settlement.is_final


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.LOST])
def test_a_job_given_back_gets_its_attempt_back(outcome: Outcome) -> None:
    """`running -> pending`: the same store, due now, refunded, and no fault in its error code."""

    settlement = settled(Interrupted(outcome, "the daemon stopped"), attempt=3, store=OSS)

    assert (settlement.status, settlement.outcome) == (Status.PENDING, outcome)
    assert (settlement.store, settlement.due_in, settlement.refund) == (OSS, 0.0, True)
    assert (settlement.error_code, settlement.error) == (None, "the daemon stopped")
    assert not settlement.is_final


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5.0), (2, 15.0), (3, 30.0)])
def test_a_retryable_failure_waits_on_its_store(attempt: int, seconds: float) -> None:
    """`running -> pending`: the same store again, when the wait is over."""

    settlement = settled(SLOW_DOWN, attempt)

    assert (settlement.status, settlement.outcome) == (Status.PENDING, Outcome.RETRYABLE)
    assert (settlement.store, settlement.due_in) == (S3, seconds)
    assert (settlement.error_code, settlement.error) == (SLOW_DOWN.code, SLOW_DOWN.message)


@pytest.mark.parametrize(
    ("failure", "attempt", "outcome"),
    [(SLOW_DOWN, 4, Outcome.RETRYABLE), (ACCESS_DENIED, 1, Outcome.PERMANENT)],
)
@pytest.mark.parametrize(("store", "following"), [(S3, OSS), (OSS, LOCAL)])
def test_a_store_that_cannot_help_hands_over(
    failure: Failure, attempt: int, outcome: Outcome, store: StoreName, following: StoreName
) -> None:
    """`running -> pending`: the next store, now, with the reason kept."""

    settlement = settled(failure, attempt, store)

    assert (settlement.status, settlement.outcome) == (Status.PENDING, outcome)
    assert (settlement.store, settlement.due_in) == (following, 0.0)
    assert settlement.error_code == failure.code


@pytest.mark.parametrize(
    ("failure", "attempt", "outcome"),
    [
        (SLOW_DOWN, 4, Outcome.RETRYABLE),
        (ACCESS_DENIED, 1, Outcome.PERMANENT),
        (Failure("SOURCE_MISSING", "", Origin.SOURCE), 1, Outcome.PERMANENT),
        (Failure("BAD_ROW", "", Origin.ROW), 1, Outcome.PERMANENT),
    ],
)
def test_a_job_that_no_store_can_help_is_a_dead_letter(
    failure: Failure, attempt: int, outcome: Outcome
) -> None:
    """`running -> failed`, with the code that operators search for."""

    settlement = settled(failure, attempt, LOCAL)

    assert (settlement.status, settlement.outcome) == (Status.FAILED, outcome)
    assert settlement.error_code == failure.code
    assert settlement.is_final


@pytest.mark.parametrize("failure", [SLOW_DOWN, ACCESS_DENIED])
def test_what_the_content_was_outlives_a_failure(failure: Failure) -> None:
    """A failed attempt that has read the source leaves its pin for the next one."""

    assert settled(replace(failure, pin=DIGESTS.pin)).pin == DIGESTS.pin


@pytest.mark.parametrize(
    "result",
    [
        STORED,
        Skipped("taken"),
        SLOW_DOWN,
        ACCESS_DENIED,
        Failure("SOURCE_MISSING", "", Origin.SOURCE),
    ],
)
def test_only_what_we_cut_short_is_refunded(result: Result) -> None:
    """An attempt that ran to its own end is charged, whatever it came to."""

    assert not settled(result).refund
    assert settled(STOPPED).refund


def test_a_settlement_speaks_of_the_job_that_was_claimed() -> None:
    """The fence that guards the settle is the one of the claim."""

    job = at_attempt(2, fence=99)

    assert settle(an_attempt(SLOW_DOWN, job), RULES, draw=0.0).job is job
