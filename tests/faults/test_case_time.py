"""Cases in which a due time is written in one form and compared in another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.faults.neighbour import WELL, Neighbour
from tests.faults.record import verdict
from tests.support.deployment import Deployment

#: A zone ahead of UTC, whose times look late, and one behind it, whose times look early.
AHEAD, BEHIND = timezone(timedelta(hours=8)), timezone(timedelta(hours=-8))


def spellings(due: datetime) -> list[str]:
    """One moment as clients write it: ISO with T, with a space, with fractions, in zones."""
    return [
        f"{due:%Y-%m-%dT%H:%M:%S}",
        f"{due:%Y-%m-%d %H:%M:%S}",
        f"{due:%Y-%m-%d %H:%M:%S}.000000",
        f"{due.astimezone(AHEAD):%Y-%m-%dT%H:%M:%S}+08:00",
        f"{due.astimezone(BEHIND):%Y-%m-%dT%H:%M:%S}-08:00",
        f"{due:%Y-%m-%d %H:%M:%S}Z",
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/Los_Angeles"])
def test_due_time_as_text_means_the_same_in_every_spelling(
    sqlite_deployment: Deployment, zone: str
) -> None:
    """In SQLite a moment just past is due and one to come is not, whatever the daemon's TZ."""

    deployment = sqlite_deployment
    now = datetime.now(UTC)
    due = [
        deployment.insert_file(f"due/{number}", next_retry_at=spelling)
        for number, spelling in enumerate(spellings(now - timedelta(seconds=2)))
    ]
    later = [
        deployment.insert_file(f"later/{number}", next_retry_at=spelling)
        for number, spelling in enumerate(spellings(now + timedelta(hours=1)))
    ]
    with deployment.daemon(TZ=zone):
        neighbour = Neighbour(deployment)
        jobs = deployment.wait_final(*due)
        assert neighbour.fate() == WELL

    assert {verdict(job) for job in jobs} == {("done", "s3", None)}
    untouched = [deployment.job(row) for row in later]
    assert {(job["status"], job["fence"], job["s3_attempts"]) for job in untouched} == {
        ("pending", 0, 0)
    }
    assert not [request for request in deployment.s3.requests if "later/" in request.key]
