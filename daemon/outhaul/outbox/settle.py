"""Settle: write what attempts came to, for the jobs that we still own, and their attempt rows.

One statement (PostgreSQL) or one transaction per batch. `status` stays out of the guard: with
it the planner takes a partial index full of dead entries instead of the primary key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text

from outhaul.errors import one_line
from outhaul.models import Attempt, Failure, Interrupted, Skipped, Stored
from outhaul.outbox.transaction import autocommit, in_transaction, reading
from outhaul.transitions import Settlement

_Rows = list[dict[str, Any]]


def settle(engine: Engine, worker: str, settlements: Sequence[Settlement], now: float) -> set[int]:
    """Apply settlements.

    Args:
        engine: the database.
        worker: ours; a job claimed by anybody else by now is left alone.
        settlements: at most one per job.
        now: this process's monotonic clock, to which `Attempt.finished_at` is compared.

    Returns:
        The ids that we still owned. The others were fenced: nothing was written for them.
    """
    rows = [_row(settlement, worker, now) for settlement in settlements]
    apply: Callable[[Engine, _Rows], set[int]] = (
        _settle_postgresql if engine.dialect.name == "postgresql" else _settle_portably
    )
    return apply(engine, rows) if rows else set()


def settled(engine: Engine, worker: str, settlements: Sequence[Settlement]) -> set[int]:
    """Which settlements are on record: asked when the answer to a COMMIT was lost."""
    ids = [settlement.job.id for settlement in settlements]
    fences = {settlement.job.id: settlement.job.fence for settlement in settlements}
    with reading(engine) as connection:
        found = connection.execute(_ON_RECORD, {"ids": ids, "worker": worker})
        return {job_id for job_id, fence in found if fences[job_id] == fence}


_ON_RECORD = text(
    "SELECT job_id, fence FROM upload_attempts WHERE job_id IN :ids AND worker = :worker"
).bindparams(bindparam("ids", expanding=True))


def _row(settlement: Settlement, worker: str, now: float) -> dict[str, Any]:
    attempt, job, stored = settlement.attempt, settlement.job, settlement.stored
    return {
        "id": job.id,
        "fence": job.fence,
        "worker": worker,
        "status": str(settlement.status),
        "store": str(settlement.store),
        "due_in": settlement.due_in,
        "final": int(settlement.is_final),
        "refunded": str(job.store) if settlement.refund else "",
        "storage_type": str(job.store) if stored else None,
        "bucket": stored.bucket if stored else None,
        "etag": _clip(stored.etag) if stored else None,
        "version_id": _clip(stored.version_id) if stored else None,
        "size_bytes": settlement.pin.size_bytes if settlement.pin else None,
        "sha256": settlement.pin.sha256 if settlement.pin else None,
        "verified_by": stored.verified_by if stored else None,
        "error_code": settlement.error_code,
        "error": settlement.error,
        **_attempt_row(attempt, settlement, now),
    }


def _attempt_row(attempt: Attempt, settlement: Settlement, now: float) -> dict[str, Any]:
    http_status, request_id, code, message = _answer(attempt)
    return {
        "attempt_store": str(attempt.job.store),
        "operation": str(attempt.job.operation),
        "attempt": attempt.job.attempt,
        "age": max(0.0, now - attempt.finished_at),
        "duration_ms": attempt.duration_ms,
        "outcome": str(settlement.outcome),
        "attempt_code": code,
        "http_status": http_status,
        "request_id": _clip(request_id),
        "bytes_sent": attempt.bytes_sent,
        "message": message,
    }


def _clip(text: str | None) -> str | None:
    """What a store sent, fit for a column: one odd header must not fail its whole batch."""
    return None if text is None else one_line(text, 255)


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


# --- the columns, in the words of all dialects; `v` is the settlement's row ---

_REFUND = ", ".join(
    f"{store}_attempts = {store}_attempts - CASE WHEN {{v}}refunded = '{store}' THEN 1 ELSE 0 END"
    for store in ("s3", "oss", "local")
)

_SET = (
    "status = {v}status, current_store = {v}store, claimed_by = NULL, lease_expires_at = NULL,"
    " next_retry_at = {due}, updated_at = {now},"
    " completed_at = CASE WHEN {v}final = 1 THEN {now} ELSE NULL END,"
    # The bytes have a home now, so the row need not carry them any longer.
    " payload = CASE WHEN {v}status = 'done' THEN NULL ELSE payload END,"
    f" {_REFUND},"
    " storage_type = {v}storage_type, bucket = {v}bucket, etag = {v}etag,"
    " version_id = {v}version_id, verified_by = {v}verified_by,"
    " size_bytes = COALESCE({v}size_bytes, {o}size_bytes), sha256 = COALESCE({v}sha256, {o}sha256),"
    " last_error_code = {v}error_code, last_error = {v}error"
)

_ATTEMPT_COLUMNS = (
    "job_id, store, operation, attempt, fence, worker, started_at, finished_at, duration_ms,"
    " outcome, error_code, http_status, request_id, bytes_sent, message"
)

# --- PostgreSQL: one statement from arrays ---

_PG_TYPES = {
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

_PG_SETTLE = text(
    "WITH v AS (SELECT * FROM unnest("
    + ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _PG_TYPES.items())
    + f") AS v({', '.join(_PG_TYPES)})),"
    " owned AS (UPDATE upload_outbox AS o SET "
    + _SET.format(
        v="v.",
        o="o.",
        now="statement_timestamp()",
        due="statement_timestamp() + make_interval(secs => v.due_in)",
    )
    + " FROM v WHERE o.id = v.id AND o.fence = v.fence AND o.claimed_by = :worker RETURNING o.id),"
    f" recorded AS (INSERT INTO upload_attempts ({_ATTEMPT_COLUMNS})"
    " SELECT v.id, v.attempt_store, v.operation, v.attempt, v.fence, :worker,"
    " statement_timestamp() - make_interval(secs => v.age + v.duration_ms / 1000.0),"
    " statement_timestamp() - make_interval(secs => v.age),"
    " v.duration_ms, v.outcome, v.attempt_code, v.http_status, v.request_id, v.bytes_sent,"
    " v.message FROM v JOIN owned ON owned.id = v.id)"
    " SELECT id FROM owned"
)


def _settle_postgresql(engine: Engine, rows: _Rows) -> set[int]:
    arrays: dict[str, Any] = {name: [row[name] for row in rows] for name in _PG_TYPES}
    with autocommit(engine) as connection:
        found = connection.execute(_PG_SETTLE, {**arrays, "worker": rows[0]["worker"]})
        return set(found.scalars())


# --- the others: lock and look first, then write by primary key ---

_NOW = {
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')",
    "mysql": "UTC_TIMESTAMP(6)",
}
_SHIFTED = {
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now', printf('%+.3f seconds', {s})) || '000')",
    "mysql": "UTC_TIMESTAMP(6) + INTERVAL ROUND(({s}) * 1000000) MICROSECOND",
}
_OWNED = {
    kind: text(
        f"SELECT id, fence FROM upload_outbox WHERE id IN :ids AND claimed_by = :worker{lock}"
    ).bindparams(bindparam("ids", expanding=True))
    for kind, lock in (("sqlite", ""), ("mysql", " FOR UPDATE"))
}
_UPDATE = {
    kind: text(
        "UPDATE upload_outbox SET "
        + _SET.format(v=":", o="", now=_NOW[kind], due=_SHIFTED[kind].format(s=":due_in"))
        + " WHERE id = :id"
    )
    for kind in _NOW
}
_RECORD = {
    kind: text(
        f"INSERT INTO upload_attempts ({_ATTEMPT_COLUMNS})"
        " VALUES (:id, :attempt_store, :operation, :attempt, :fence, :worker, "
        + _SHIFTED[kind].format(s="-:age - :duration_ms / 1000.0")
        + ", "
        + _SHIFTED[kind].format(s="-:age")
        + ", :duration_ms, :outcome, :attempt_code, :http_status, :request_id, :bytes_sent,"
        " :message)"
    )
    for kind in _NOW
}


def _settle_portably(engine: Engine, rows: _Rows) -> set[int]:
    kind = "sqlite" if engine.dialect.name == "sqlite" else "mysql"
    ordered = sorted(rows, key=lambda row: int(row["id"]))

    def apply(connection: Connection) -> set[int]:
        ids = [row["id"] for row in ordered]
        found = connection.execute(_OWNED[kind], {"ids": ids, "worker": rows[0]["worker"]})
        fences = {row.id: row.fence for row in found}
        owned = [row for row in ordered if fences.get(row["id"]) == row["fence"]]
        if owned:
            connection.execute(_UPDATE[kind], owned)
            connection.execute(_RECORD[kind], owned)
        return {int(row["id"]) for row in owned}

    return in_transaction(engine, apply)
