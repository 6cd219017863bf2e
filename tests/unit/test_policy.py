from __future__ import annotations

from dataclasses import replace

import pytest

from outhaul.models import Failure, Operation, Origin, StoreName
from outhaul.policy import (
    RETRYABLE_CODES,
    Bury,
    Decision,
    NextStore,
    Rules,
    Wait,
    attempt_timeout,
    decide,
    is_poison,
    is_retryable,
)
from tests.unit.samples import ACCESS_DENIED, LOCAL, OSS, RULES, S3, SLOW_DOWN, a_job, at_attempt

#: As the setup guide lists them.
GUIDE = [
    "SignatureDoesNotMatch",
    "RequestTimeout",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeTooSkewed",
    "SlowDown",
    "TooManyRequests",
    "Throttling",
    "OperationAborted",
    "BadGateway",
    "ServiceError",
    "NetworkError",
    "ConnectionTimeout",
    "SocketTimeout",
    "TemporaryRedirect",
]


@pytest.mark.parametrize("code", GUIDE)
def test_each_code_of_the_guide_is_tried_again(code: str) -> None:
    """What the setup guide calls retryable waits 5 s for its first retry, whatever its status."""

    failure = Failure(code, "", http_status=400)

    assert decide(a_job(), failure, RULES, draw=0.0) == Wait(5.0)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_says_not_now_is_tried_again(status: int) -> None:
    """An unknown code beside a status that says "not now" is retryable."""

    assert is_retryable(Failure("Whatever", "", http_status=status), RULES)


@pytest.mark.parametrize("status", [None, 200, 301, 400, 401, 403, 404, 409, 412, 501, 505])
def test_an_unknown_code_beside_any_other_status_is_permanent(status: int | None) -> None:
    """A code that nobody lists is not retried unless its status asks for it."""

    assert not is_retryable(Failure("Whatever", "", http_status=status), RULES)


@pytest.mark.parametrize("code", ["BAD_STORE_REPLY", "TIMEOUT", "INTERNAL_ERROR"])
def test_our_own_transient_codes_are_tried_again(code: str) -> None:
    """An answer that proved nothing, or never came, may be better next time."""

    assert is_retryable(Failure(code, ""), RULES)


@pytest.mark.parametrize(("attempt", "delay"), [(1, 5.0), (2, 15.0), (3, 30.0)])
@pytest.mark.parametrize("draw", [0.0, 0.5, 0.9999999999999999])
def test_waits_are_5_15_and_30_seconds(attempt: int, delay: float, draw: float) -> None:
    """A wait is never shorter than promised, and at most a tenth longer."""

    decision = decide(at_attempt(attempt), SLOW_DOWN, RULES, draw)

    assert isinstance(decision, Wait)
    assert delay <= decision.seconds <= 1.1 * delay
    assert (decision.seconds > delay) == (draw > 0)


def test_jitter_can_be_switched_off() -> None:
    """With a jitter of 0 every wait is exact."""

    assert decide(a_job(), SLOW_DOWN, replace(RULES, jitter=0.0), draw=0.9) == Wait(5.0)


def test_an_attempt_that_was_given_back_waits_like_the_first() -> None:
    """A job that stands at attempt 0 is not without a wait."""

    assert decide(at_attempt(0), SLOW_DOWN, RULES, draw=0.0) == Wait(5.0)


@pytest.mark.parametrize(
    ("store", "decision"), [(S3, NextStore(OSS)), (OSS, NextStore(LOCAL)), (LOCAL, Bury())]
)
@pytest.mark.parametrize(
    ("attempt", "failure"), [(4, SLOW_DOWN), (5, SLOW_DOWN), (1, ACCESS_DENIED)]
)
def test_the_chain_goes_on_when_a_store_cannot_help(
    store: StoreName, decision: Decision, attempt: int, failure: Failure
) -> None:
    """Exhausted or permanent means the next store at once, and after the last one a dead letter."""

    assert decide(at_attempt(attempt, store), failure, RULES, draw=0.0) == decision


@pytest.mark.parametrize("code", ["SOURCE_IO", "SOURCE_CHANGED"])
def test_a_source_that_may_heal_waits_and_never_falls_back(code: str) -> None:
    """What went wrong while reading is tried again, but no other store can read better."""

    failure = Failure(code, "", Origin.SOURCE)

    assert decide(a_job(), failure, RULES, draw=0.0) == Wait(5.0)
    assert decide(at_attempt(4), failure, RULES, draw=0.0) == Bury()


@pytest.mark.parametrize(
    "code",
    [
        "SOURCE_MISSING",
        "SOURCE_NOT_REGULAR",
        "SOURCE_OUTSIDE_ROOTS",
        "SOURCE_TOO_LARGE",
        "SOURCE_HASH_MISMATCH",
        "SlowDown",
    ],
)
@pytest.mark.parametrize("status", [None, 503])
def test_any_other_source_error_ends_the_job(code: str, status: int | None) -> None:
    """No wait and no other store: not even a code or a status that a store would retry."""

    failure = Failure(code, "", Origin.SOURCE, http_status=status)

    assert decide(a_job(), failure, RULES, draw=0.0) == Bury()


@pytest.mark.parametrize("code", ["BAD_ROW", "INVALID_KEY", "KEY_EXISTS", "SlowDown"])
def test_an_error_of_the_row_ends_the_job(code: str) -> None:
    """A row that is wrong stays wrong, at every store."""

    failure = Failure(code, "", Origin.ROW, http_status=503)

    assert decide(a_job(), failure, RULES, draw=0.0) == Bury()


@pytest.mark.parametrize("origin", [Origin.STORE, Origin.SOURCE])
def test_a_final_failure_is_never_tried_again(origin: Origin) -> None:
    """`final` outweighs the code: a source that differs from its pin never heals."""

    failure = Failure("SOURCE_CHANGED", "", origin, http_status=503, final=True)

    assert not is_retryable(failure, RULES)


@pytest.mark.parametrize(("attempt", "wait"), [(1, 2.0), (2, 5.0), (3, 10.0)])
def test_a_delete_has_its_own_waits(attempt: int, wait: float) -> None:
    """Deletes wait 2, 5 and 10 s."""

    job = at_attempt(attempt, operation=Operation.DELETE)

    assert decide(job, SLOW_DOWN, RULES, draw=0.0) == Wait(wait)


@pytest.mark.parametrize(("attempt", "failure"), [(4, SLOW_DOWN), (1, ACCESS_DENIED)])
def test_a_delete_never_moves_to_another_store(attempt: int, failure: Failure) -> None:
    """Only the store that holds the object can delete it."""

    job = at_attempt(attempt, operation=Operation.DELETE)

    assert decide(job, failure, RULES, draw=0.0) == Bury()


@pytest.mark.parametrize(
    ("chain", "decision"),
    [((OSS, LOCAL), NextStore(OSS)), ((LOCAL,), NextStore(LOCAL)), ((), Bury())],
)
def test_a_store_that_is_no_longer_configured(
    chain: tuple[StoreName, ...], decision: Decision
) -> None:
    """A job that waits for a removed store begins with the first that is left."""

    failure = Failure("STORE_NOT_CONFIGURED", "")

    assert decide(a_job(), failure, replace(RULES, chain=chain), draw=0.0) == decision


@pytest.mark.parametrize(
    ("chain", "decision"), [((S3, LOCAL), NextStore(LOCAL)), ((LOCAL, S3), NextStore(LOCAL))]
)
def test_a_store_that_has_had_its_tries_is_not_tried_again(
    chain: tuple[StoreName, ...], decision: Decision
) -> None:
    """When the chain changes under a job, no store gets a fifth attempt."""

    job = a_job(store=OSS, attempts={S3: 4, OSS: 1})
    failure = Failure("STORE_NOT_CONFIGURED", "")

    assert decide(job, failure, replace(RULES, chain=chain), draw=0.0) == decision


@pytest.mark.parametrize(
    ("delays", "attempt", "decision"),
    [
        ((1.0,), 1, Wait(1.0)),
        ((1.0,), 2, NextStore(OSS)),
        ((1.0, 2.0, 3.0, 4.0, 5.0), 5, Wait(5.0)),
        ((0.0,), 1, Wait(0.0)),
        ((), 1, NextStore(OSS)),
        ((), 0, NextStore(OSS)),
    ],
)
def test_the_number_of_delays_is_the_number_of_retries(
    delays: tuple[float, ...], attempt: int, decision: Decision
) -> None:
    """Other delays mean other waits, more or fewer tries, and none at all if there are none."""

    rules = Rules(chain=RULES.chain, delays={Operation.UPLOAD: delays})

    assert decide(a_job(attempts={S3: attempt}), SLOW_DOWN, rules, draw=0.0) == decision


def test_the_list_of_retryable_codes_is_a_setting() -> None:
    """A code is retryable because the rules say so."""

    rules = replace(RULES, retryable_codes=frozenset({"MyProxySaysNo"}))

    assert is_retryable(Failure("MyProxySaysNo", ""), rules)
    assert not is_retryable(Failure("SlowDown", ""), rules)
    assert "SlowDown" in RETRYABLE_CODES


@pytest.mark.parametrize(
    ("crashes", "parked"), [(0, False), (1, False), (3, False), (4, True), (9, True)]
)
def test_three_crashes_alone_park_a_job(crashes: int, parked: bool) -> None:
    """The first crash is forgiven, since prefetched jobs are innocent; three more are poison."""

    assert is_poison(crashes) is parked


@pytest.mark.parametrize(
    ("size", "seconds"), [(0, 30.0), (30 << 20, 30.0), (31 << 20, 31.0), (6 << 30, 6144.0)]
)
def test_an_attempt_may_take_as_long_as_its_size_needs(size: int, seconds: float) -> None:
    """The larger of 30 s and the size at 1 MiB/s."""

    assert attempt_timeout(size, floor_seconds=30.0, bytes_per_second=1 << 20) == seconds
