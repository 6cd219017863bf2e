"""One named constructor per transition out of `running`: nobody else pairs a status with values.

The settle statement applies a `Settlement` only if the worker still owns the row. The
transitions that start elsewhere (claim, rescue, requeue, cancel) are statements of `outbox`.
"""

from __future__ import annotations

from dataclasses import dataclass

from outhaul.models import (
    Attempt,
    Failure,
    Interrupted,
    Job,
    Outcome,
    Pin,
    Skipped,
    Status,
    Stored,
    StoreName,
)
from outhaul.policy import Bury, NextStore, Rules, Wait, decide, is_retryable

#: `last_error_code` of a job whose key was taken and whose client asked to leave it so.
KEY_EXISTS = "KEY_EXISTS"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the settle statement writes for one job, and the attempt row that goes with it.

    `due_in` is in seconds from the database's now. `refund` gives the charged attempt back.
    """

    attempt: Attempt
    outcome: Outcome
    status: Status
    store: StoreName
    due_in: float = 0.0
    refund: bool = False
    stored: Stored | None = None
    pin: Pin | None = None
    error_code: str | None = None
    error: str | None = None

    @property
    def job(self) -> Job:
        """The job being settled."""
        return self.attempt.job

    @property
    def is_final(self) -> bool:
        """Whether the job has reached its end."""
        return self.status is not Status.PENDING


def succeeded(attempt: Attempt, stored: Stored) -> Settlement:
    """`running -> done`: a store holds the verified bytes."""
    return Settlement(
        attempt, Outcome.SUCCEEDED, Status.DONE, attempt.job.store, stored=stored, pin=stored.pin
    )


def skipped(attempt: Attempt, skip: Skipped) -> Settlement:
    """`running -> done` without a store: the key was taken and was left alone, as asked."""
    return Settlement(
        attempt,
        Outcome.SUCCEEDED,
        Status.DONE,
        attempt.job.store,
        error_code=KEY_EXISTS,
        error=skip.message,
    )


def released(attempt: Attempt, cut: Interrupted) -> Settlement:
    """`running -> pending`, due now, with its attempt back: we gave the job up ourselves."""
    return Settlement(
        attempt,
        cut.outcome,
        Status.PENDING,
        attempt.job.store,
        refund=True,
        error_code=None,
        error=cut.message,
    )


def retried(attempt: Attempt, failure: Failure, wait: Wait) -> Settlement:
    """`running -> pending`: the same store again, after the wait."""
    return _failed(attempt, failure, Outcome.RETRYABLE, Status.PENDING, due_in=wait.seconds)


def moved_on(
    attempt: Attempt, failure: Failure, outcome: Outcome, following: NextStore
) -> Settlement:
    """`running -> pending`: the next store of the chain, now."""
    return _failed(attempt, failure, outcome, Status.PENDING, store=following.store)


def buried(attempt: Attempt, failure: Failure, outcome: Outcome) -> Settlement:
    """`running -> failed`: a dead letter."""
    return _failed(attempt, failure, outcome, Status.FAILED)


def settle(attempt: Attempt, rules: Rules, draw: float) -> Settlement:
    """The transition that an attempt's result asks for, under the rules."""
    match attempt.result:
        case Stored() as stored:
            return succeeded(attempt, stored)
        case Skipped() as skip:
            return skipped(attempt, skip)
        case Interrupted() as cut:
            return released(attempt, cut)
        case Failure() as failure:
            return _after_failure(attempt, failure, rules, draw)


def _after_failure(attempt: Attempt, failure: Failure, rules: Rules, draw: float) -> Settlement:
    outcome = Outcome.RETRYABLE if is_retryable(failure, rules) else Outcome.PERMANENT
    match decide(attempt.job, failure, rules, draw):
        case Wait() as wait:
            return retried(attempt, failure, wait)
        case NextStore() as following:
            return moved_on(attempt, failure, outcome, following)
        case Bury():
            return buried(attempt, failure, outcome)


def _failed(
    attempt: Attempt,
    failure: Failure,
    outcome: Outcome,
    status: Status,
    *,
    store: StoreName | None = None,
    due_in: float = 0.0,
) -> Settlement:
    return Settlement(
        attempt,
        outcome,
        status,
        store or attempt.job.store,
        due_in=due_in,
        pin=failure.pin,
        error_code=failure.code,
        error=failure.message,
    )
