"""A settlement as the values of one statement: plain strings and numbers, fit for every column."""

from __future__ import annotations

from typing import Any

from outhaul.errors import MESSAGE_LIMIT, one_line
from outhaul.models import Attempt, Failure, Interrupted, Skipped, Stored
from outhaul.transitions import Settlement

#: Characters that a column for codes takes.
_CODE_LIMIT = 64

#: Column to the type that PostgreSQL reads it as; the attempt's own come last.
TYPES = {
    "id": "bigint",
    "fence": "bigint",
    "status": "text",
    "store": "text",
    "due_in": "float8",
    "final": "int",
    "refunded": "text",
    "storage_type": "text",
    "bucket": "text",
    "etag": "text",
    "version_id": "text",
    "size_bytes": "bigint",
    "sha256": "text",
    "verified_by": "text",
    "error_code": "text",
    "error": "text",
    "attempt_store": "text",
    "operation": "text",
    "attempt": "int",
    "age": "float8",
    "duration_ms": "bigint",
    "outcome": "text",
    "attempt_code": "text",
    "http_status": "int",
    "request_id": "text",
    "bytes_sent": "bigint",
    "message": "text",
}


def settlement_row(settlement: Settlement, now: float) -> dict[str, Any]:
    """The values of a settlement; `now` is the monotonic clock of `Attempt.finished_at`."""
    job, stored, pin = settlement.job, settlement.stored, settlement.pin
    store = str(job.store)
    return {
        "id": job.id,
        "fence": job.fence,
        "status": str(settlement.status),
        "store": str(settlement.store),
        "due_in": settlement.due_in,
        "final": int(settlement.is_final),
        "refunded": store if settlement.refund else "",
        "storage_type": store if stored else None,
        "bucket": stored.bucket if stored else None,
        "etag": _clip(stored.etag) if stored else None,
        "version_id": _clip(stored.version_id) if stored else None,
        "size_bytes": pin.size_bytes if pin else None,
        "sha256": pin.sha256 if pin else None,
        "verified_by": stored.verified_by if stored else None,
        "error_code": _clip(settlement.error_code, _CODE_LIMIT),
        "error": _clip(settlement.error, MESSAGE_LIMIT),
        "attempt_store": store,
        **_attempt_row(settlement.attempt, str(settlement.outcome), now),
    }


def _attempt_row(attempt: Attempt, outcome: str, now: float) -> dict[str, Any]:
    http_status, request_id, code, message = _answer(attempt)
    return {
        "operation": str(attempt.job.operation),
        "attempt": attempt.job.attempt,
        "age": max(0.0, now - attempt.finished_at),
        "duration_ms": attempt.duration_ms,
        "outcome": outcome,
        "attempt_code": _clip(code, _CODE_LIMIT),
        "http_status": http_status,
        "request_id": _clip(request_id),
        "bytes_sent": attempt.bytes_sent,
        "message": _clip(message, MESSAGE_LIMIT),
    }


def _clip(text: str | None, limit: int = 255) -> str | None:
    """What a store sent, fit for a column: one odd header must not fail its whole batch."""
    return None if text is None else one_line(text, limit)


def _answer(attempt: Attempt) -> tuple[int | None, str | None, str | None, str | None]:
    match attempt.result:
        case Stored() as stored:
            return stored.http_status, stored.request_id, None, None
        case Failure() as failure:
            return failure.http_status, failure.request_id, failure.code, failure.message
        case Skipped() as skip:
            return None, None, None, skip.message
        case Interrupted() as cut:
            return None, None, None, cut.message
