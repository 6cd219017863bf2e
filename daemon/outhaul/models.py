"""The nouns of an upload: job, failure, stored object, settlement. Values only, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Operation(enum.StrEnum):
    """What a row asks for."""

    UPLOAD = "upload"
    DELETE = "delete"


class Status(enum.StrEnum):
    """Where a job is; the arrows between these are drawn in docs/architecture.md."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StoreName(enum.StrEnum):
    """The stores a chain is made of; also the values of `storage_type`."""

    S3 = "s3"
    OSS = "oss"
    LOCAL = "local"


class OnSuccess(enum.StrEnum):
    """What becomes of the source file once a store holds the verified bytes."""

    KEEP = "keep"
    DELETE = "delete"


class IfExists(enum.StrEnum):
    """What to do when the key is already taken."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    FAIL = "fail"


class Outcome(enum.StrEnum):
    """What one attempt came to, as written to `upload_attempts.outcome`."""

    SUCCEEDED = "succeeded"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    LOST = "lost"
    INTERRUPTED = "interrupted"
    FENCED = "fenced"


class Origin(enum.StrEnum):
    """Whose fault a failure is: it decides whether another store can help."""

    STORE = "store"
    SOURCE = "source"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Job:
    """One claimed row: everything an attempt needs, except the payload bytes.

    `attempts` counts charged attempts per store, the one this claim charged included.
    `pin_sha256` (hex) is set once some attempt has recorded what the content is.
    """

    id: int
    fence: int
    operation: Operation
    queue: str
    storage_key: str
    store: StoreName
    attempts: Mapping[StoreName, int]
    source_path: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    expected_sha256: str | None = None
    on_success: OnSuccess = OnSuccess.KEEP
    if_exists: IfExists = IfExists.OVERWRITE
    crash_count: int = 0
    pin_sha256: str | None = None

    @property
    def attempt(self) -> int:
        """Number of this attempt on this store, from 1."""
        return self.attempts.get(self.store, 0)


@dataclass(frozen=True, slots=True)
class Pin:
    """What the content is: later bytes that differ are refused. `sha256` in hex."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A verified object. `verified_by` names the evidence, e.g. `sha256` or `head-crc64`."""

    bucket: str
    etag: str | None
    version_id: str | None
    pin: Pin
    verified_by: str
    http_status: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not end in a verified object.

    `code` is stable and what operators search for; `message` is one sanitised line. `final`
    rules out a retry whatever the code says: a source that differs from its pin never heals.
    """

    code: str
    message: str
    origin: Origin = Origin.STORE
    http_status: int | None = None
    request_id: str | None = None
    pin: Pin | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """`if_exists = 'skip'` met an object that is not ours: nothing was written, nothing claimed."""

    message: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The attempt was cut short, by our own shutdown or by a lost lease: no fault of its own."""

    outcome: Outcome
    message: str


Result = Stored | Failure | Skipped | Interrupted


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try against one store, as `upload_attempts` records it.

    `finished_at` is a reading of this process's monotonic clock: the database's own clock, less
    the age of that reading, is what gets recorded.
    """

    job: Job
    result: Result
    finished_at: float
    duration_ms: int = 0
    bytes_sent: int = 0
