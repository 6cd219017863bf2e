"""What happens after an attempt: a pure function of the job, its result, the rules and a draw.

The clock is not an argument, since waits are relative and the database adds them to its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outhaul.models import Failure, Job, Operation, Origin, StoreName

#: The codes that the setup guide calls retryable, then both SDKs' own spellings of the same.
RETRYABLE_CODES = frozenset(
    {
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
        # ours: the answer proved nothing, or never came
        "BAD_STORE_REPLY",
        "TIMEOUT",
        "INTERNAL_ERROR",
        # AWS
        "RequestThrottled",
        "ThrottlingException",
        "BandwidthLimitExceeded",
        "RequestTimeoutException",
        "ConditionalRequestConflict",
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        "NoSuchUpload",
        "InvalidPart",
        # Alibaba Cloud
        "TotalQpsLimitExceeded",
        "UploadTrafficRateLimitExceeded",
        "DownloadTrafficRateLimitExceeded",
        "ActiveRequestLimitExceeded",
        "QpsLimitExceeded",
        "InvalidDigest",
    }
)

#: Answers that say "not now" whatever code stands beside them.
RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})

#: The source may read well next time; everything else about a source is final.
RETRYABLE_SOURCE_CODES = frozenset({"SOURCE_IO", "SOURCE_CHANGED"})

#: Jitter only upward: a wait is never shorter than promised.
MAX_JITTER = 0.1

#: A crash is forgiven once; this many more, claimed alone, park the job.
CRASHES_ALONE = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """The retry policy in force. Delays in seconds; their number is the number of retries."""

    chain: Sequence[StoreName]
    delays: Mapping[Operation, Sequence[float]]
    retryable_codes: frozenset[str] = field(default=RETRYABLE_CODES)
    jitter: float = MAX_JITTER


@dataclass(frozen=True, slots=True)
class Wait:
    """Try the same store again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NextStore:
    """Try the next store of the chain, now."""

    store: StoreName


@dataclass(frozen=True, slots=True)
class Bury:
    """No store can help, or none is left: a dead letter."""


Decision = Wait | NextStore | Bury


def decide(job: Job, failure: Failure, rules: Rules, draw: float) -> Decision:
    """What becomes of a job after a failed attempt.

    Args:
        job: the job as claimed; `job.attempt` is the number of the attempt that failed.
        failure: what went wrong.
        rules: the policy in force.
        draw: a random number in [0, 1) that places the wait within its jitter.
    """
    delays = rules.delays[job.operation]
    # An attempt can be given back, so a job may stand at attempt 0: it waits like the first.
    attempt = max(job.attempt, 1)
    if is_retryable(failure, rules) and attempt <= len(delays):
        return Wait(wait_seconds(delays, attempt, rules.jitter, draw))
    if failure.origin is not Origin.STORE or job.operation is not Operation.UPLOAD:
        return Bury()
    following = next_store(rules.chain, job, len(delays))
    return Bury() if following is None else NextStore(following)


def is_retryable(failure: Failure, rules: Rules) -> bool:
    """Whether the same store may do better later."""
    if failure.final or failure.origin is Origin.ROW:
        return False
    if failure.origin is Origin.SOURCE:
        return failure.code in RETRYABLE_SOURCE_CODES
    return failure.code in rules.retryable_codes or failure.http_status in RETRYABLE_STATUS


def wait_seconds(delays: Sequence[float], attempt: int, jitter: float, draw: float) -> float:
    """The wait after `attempt` (from 1): within [d, d * (1 + jitter)]."""
    return delays[attempt - 1] * (1.0 + jitter * draw)


def next_store(chain: Sequence[StoreName], job: Job, retries: int) -> StoreName | None:
    """The next store with tries left; any of the chain if the job's own is not in it any more."""
    left = chain[chain.index(job.store) + 1 :] if job.store in chain else chain
    # The chain can change under a job: a store that has had its tries gets no further one.
    return next((store for store in left if job.attempts.get(store, 0) <= retries), None)


def is_poison(crash_count: int) -> bool:
    """Whether a job that has crashed its process so often is parked.

    The first crash of a process is forgiven, since prefetched jobs are innocent; each later
    one happened while the job was claimed alone.
    """
    return crash_count > CRASHES_ALONE


def attempt_timeout(size_bytes: int, floor_seconds: float, bytes_per_second: float) -> float:
    """Wall-clock seconds that one attempt may take: a floor, or the size at a slow pace."""
    return max(floor_seconds, size_bytes / bytes_per_second)
