"""Whole lives of jobs: random rules, failures and interruptions, from the first claim to the end.

What the claim does, charging an attempt and raising the fence, is done here as the outbox does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from outhaul.models import (
    Failure,
    Interrupted,
    Job,
    Operation,
    Origin,
    Outcome,
    Result,
    Skipped,
    Status,
    StoreName,
)
from outhaul.policy import MAX_JITTER, RETRYABLE_CODES, Rules, is_retryable
from outhaul.transitions import Settlement, settle
from tests.unit.samples import RULES, STORED, a_job, an_attempt

STORES = list(StoreName)

chains = st.lists(st.sampled_from(STORES), unique=True, max_size=len(STORES)).map(tuple)
delays = st.lists(st.floats(0, 3600), max_size=5).map(tuple)
draws = st.floats(0, 1, exclude_max=True)
codes = st.sampled_from(
    [*sorted(RETRYABLE_CODES), "AccessDenied", "NoSuchBucket", "SOURCE_IO", "SOURCE_MISSING", "X"]
)
failures = st.builds(
    Failure,
    code=codes,
    message=st.just("told"),
    origin=st.sampled_from(Origin),
    http_status=st.none() | st.sampled_from([200, 403, 404, 500, 503]),
    final=st.booleans(),
)
interruptions = st.builds(
    Interrupted, st.sampled_from([Outcome.INTERRUPTED, Outcome.LOST]), st.just("cut")
)
results: st.SearchStrategy[Result] = (
    failures | interruptions | st.just(STORED) | st.builds(Skipped, st.just("taken"))
)
rules = st.builds(
    Rules,
    chain=chains,
    delays=delays.map(lambda waits: {Operation.UPLOAD: waits, Operation.DELETE: waits}),
    jitter=st.floats(0, MAX_JITTER),
)
jobs = st.builds(
    a_job,
    operation=st.sampled_from(Operation),
    store=st.sampled_from(STORES),
    attempts=st.dictionaries(st.sampled_from(STORES), st.integers(0, 6)),
)


def claimed(job: Job, store: StoreName) -> Job:
    """The job as its next claim has it: charged on the store whose turn it is."""
    attempts = {**job.attempts, store: job.attempts.get(store, 0) + 1}
    return replace(job, store=store, attempts=attempts, fence=job.fence + 1)


def after(settlement: Settlement) -> Job:
    """The job as the settle leaves it: with its attempt back, if it was refunded."""
    job = settlement.job
    given_back = 1 if settlement.refund else 0
    return replace(job, attempts={**job.attempts, job.store: job.attempt - given_back})


def live(
    policy: Rules, draw: float, result: Callable[[], Result], tries: int
) -> tuple[list[Settlement], Job]:
    """Claim and settle a fresh job until it ends, at most `tries` times."""
    job, store = a_job(attempts={}), policy.chain[0]
    history: list[Settlement] = []
    while len(history) < tries:
        settlement = settle(an_attempt(result(), claimed(job, store)), policy, draw)
        history.append(settlement)
        job, store = after(settlement), settlement.store
        if settlement.is_final:
            break
    return history, job


@given(jobs, results, rules, draws)
def test_no_state_is_without_a_way_out(
    job: Job, result: Result, policy: Rules, draw: float
) -> None:
    """Any attempt on any job ends it, or leaves it due at a definite time at a definite store."""

    settlement = settle(an_attempt(result, job), policy, draw)

    assert settlement.status in {Status.PENDING, Status.DONE, Status.FAILED}
    assert settlement.is_final == (settlement.status is not Status.PENDING)
    longest = max(policy.delays[job.operation], default=0.0)
    assert 0.0 <= settlement.due_in <= longest * (1 + MAX_JITTER)
    assert settlement.store in {job.store, *policy.chain}


@given(jobs, failures, rules, draws)
def test_only_the_fault_of_a_store_leads_to_another(
    job: Job, failure: Failure, policy: Rules, draw: float
) -> None:
    """A fallback needs an upload, a fault of the store, and another store with tries left."""

    settlement = settle(an_attempt(failure, job), policy, draw)

    if settlement.store is not job.store:
        assert job.operation is Operation.UPLOAD
        assert failure.origin is Origin.STORE
        assert settlement.store in policy.chain
        assert settlement.due_in == 0.0
        assert job.attempts.get(settlement.store, 0) <= len(policy.delays[Operation.UPLOAD])


@given(jobs, failures, rules, draws)
def test_a_wait_is_within_its_bounds(
    job: Job, failure: Failure, policy: Rules, draw: float
) -> None:
    """A job that stays on its store waits within [d, 1.1 d] of its delay, and may do better."""

    settlement = settle(an_attempt(failure, job), policy, draw)

    if settlement.status is Status.PENDING and settlement.store is job.store:
        delay = policy.delays[job.operation][max(job.attempt, 1) - 1]
        assert delay <= settlement.due_in <= delay * (1 + MAX_JITTER)
        assert is_retryable(failure, policy)
        assert settlement.outcome is Outcome.RETRYABLE


@given(rules.filter(lambda policy: bool(policy.chain)), draws, st.data())
def test_a_job_always_ends(policy: Rules, draw: float, data: st.DataObject) -> None:
    """Whatever fails in whatever order, a job ends within its tries: first try and retries each."""

    tries = 1 + len(policy.delays[Operation.UPLOAD])

    history, job = live(policy, draw, lambda: data.draw(failures), 100)

    assert history[-1].status is Status.FAILED
    assert len(history) <= tries * len(policy.chain)
    assert all(job.attempts.get(store, 0) <= tries for store in STORES)


@given(rules.filter(lambda policy: bool(policy.chain)), draws, st.data())
def test_interruptions_are_free(policy: Rules, draw: float, data: st.DataObject) -> None:
    """Shutdowns and lost leases between the failures cost a job none of its attempts."""

    tries = 1 + len(policy.delays[Operation.UPLOAD])

    history, job = live(policy, draw, lambda: data.draw(failures | interruptions), 40)

    charged = [settlement for settlement in history if not settlement.refund]
    for store in STORES:
        on_store = [settlement for settlement in charged if settlement.job.store is store]
        assert job.attempts.get(store, 0) == len(on_store) <= tries


@given(st.data(), draws)
def test_the_guide_allows_four_attempts_per_store(data: st.DataObject, draw: float) -> None:
    """With the guide's delays a chain of three that only fails for a while makes 12 attempts."""

    transient = st.builds(Failure, st.sampled_from(sorted(RETRYABLE_CODES)), st.just("told"))

    history, job = live(RULES, draw, lambda: data.draw(transient), 100)

    assert [settlement.job.store for settlement in history] == [
        store for store in STORES for _ in range(4)
    ]
    assert dict(job.attempts) == dict.fromkeys(STORES, 4)
