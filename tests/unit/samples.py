"""One value of each noun, to be varied by the test that needs another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from outhaul.digests import Digests, digest
from outhaul.models import (
    Attempt,
    Failure,
    Interrupted,
    Job,
    Operation,
    Outcome,
    Result,
    Stored,
    StoreName,
)
from outhaul.policy import Rules

S3, OSS, LOCAL = StoreName.S3, StoreName.OSS, StoreName.LOCAL

CONTENT = b"an office document"
DIGESTS: Digests = digest([CONTENT])

STORED = Stored("bucket", '"etag"', "v1", DIGESTS.pin, "sha256", 200, "request-1")
SLOW_DOWN = Failure("SlowDown", "put_object answered 503: SlowDown", http_status=503)
ACCESS_DENIED = Failure("AccessDenied", "put_object answered 403: AccessDenied", http_status=403)
STOPPED = Interrupted(Outcome.INTERRUPTED, "the daemon stopped before the attempt ended")

#: The policy of the setup guide.
RULES = Rules(
    chain=(S3, OSS, LOCAL),
    delays={Operation.UPLOAD: (5.0, 15.0, 30.0), Operation.DELETE: (2.0, 5.0, 10.0)},
)


def a_job(**changes: Any) -> Job:
    """A job at its first attempt on S3."""
    job = Job(
        id=7,
        fence=3,
        operation=Operation.UPLOAD,
        queue="default",
        storage_key="translations/file.pptx",
        store=S3,
        attempts={S3: 1, OSS: 0, LOCAL: 0},
        source_path="/spool/file.pptx",
    )
    return replace(job, **changes)


def at_attempt(number: int, store: StoreName = S3, **changes: Any) -> Job:
    """A job at an attempt on one store, untried on the others."""
    return a_job(store=store, attempts={S3: 0, OSS: 0, LOCAL: 0} | {store: number}, **changes)


def an_attempt(result: Result, job: Job | None = None) -> Attempt:
    """An attempt that came to `result`."""
    return Attempt(job or a_job(), result, finished_at=100.0, duration_ms=12, bytes_sent=18)
