"""What the outbox has on record of a job, in the form in which cases state it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

#: The attempts that one store may be charged: the first and three retries.
ATTEMPTS = 4


def verdict(job: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """A row's status, the store that holds the bytes, and its last error code."""
    return job["status"], job["storage_type"], job["last_error_code"]


def history(deployment: Deployment, job_id: int) -> list[tuple[str, int, str | None]]:
    """Each attempt as store, number there, and error code; oldest first."""
    return [
        (row["store"], row["attempt"], row["error_code"]) for row in deployment.attempts(job_id)
    ]


def exhausted(store: str, code: str) -> list[tuple[str, int, str | None]]:
    """The history of a store that failed every attempt with one code."""
    return [(store, number, code) for number in range(1, ATTEMPTS + 1)]


def moment(value: Any) -> datetime:
    """A time of a row, which SQLite gives as text and MariaDB without its zone."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def waiting_row(deployment: Deployment, job_id: int, attempt: int) -> dict[str, Any]:
    """The row of a job that waits after its `attempt` on S3."""

    def waits() -> dict[str, Any] | None:
        job = deployment.job(job_id)
        return job if (job["status"], job["s3_attempts"]) == ("pending", attempt) else None

    found = wait_for(waits, 20, f"job {job_id} to wait after attempt {attempt}")
    if found is None:
        raise AssertionError("wait_for returns what is truthy")
    return found


def seconds_to_wait(row: dict[str, Any]) -> float:
    """From the settle that wrote a row to its due time: both are of one reading of the clock."""
    return (moment(row["next_retry_at"]) - moment(row["updated_at"])).total_seconds()


def make_due(deployment: Deployment, job_id: int) -> None:
    """End a job's wait."""
    deployment.execute(
        "UPDATE upload_outbox SET next_retry_at = created_at WHERE id = :id", id=job_id
    )
