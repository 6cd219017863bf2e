"""A claim: which rows it takes, and what it writes into them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outhaul.models import Job, Status, StoreName
from outhaul.outbox import BadRow
from tests.contract.outboxes import (
    SLOW_DOWN,
    MigratedOutbox,
    opened,
    settle,
    settlement,
    statements,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def keys(claimed: list[Job]) -> list[str]:
    return [job.storage_key for job in claimed]


def test_the_best_priority_goes_first_then_the_longest_due(outbox: MigratedOutbox) -> None:
    """Claims come in the order of priority, due time and id, in one batch as over many."""

    moments = ["2026-01-01 00:00:03", "2026-01-01 00:00:01", "2026-01-01 00:00:02"]
    for priority in (9, 0, 5):
        for due in (*moments, moments[0]):
            outbox.insert(storage_key=f"{priority} {due}", priority=priority, next_retry_at=due)
    expected = [
        f"{priority} {due}" for priority in (0, 5, 9) for due in sorted((*moments, moments[0]))
    ]

    first, second = outbox.claim(limit=7), outbox.claim(limit=100)

    assert [keys(first), keys(second)] == [expected[:7], expected[7:]]
    assert [job.id for job in second[-2:]] == sorted(job.id for job in second[-2:])


@pytest.mark.parametrize("count", [2, 5, 12])
def test_priority_goes_before_the_lane(outbox: MigratedOutbox, count: int) -> None:
    """Of several lanes, the better priority is claimed first, however the lanes are listed."""

    lanes = tuple(f"lane-{number}" for number in range(count))
    for lane in lanes:
        outbox.insert(storage_key=f"{lane} last", queue=lane, priority=9)
    outbox.insert(storage_key="urgent", queue=lanes[-1], priority=0)

    assert keys(outbox.claim(limit=1, queues=lanes)) == ["urgent"]
    assert len(outbox.claim(limit=count - 1, queues=tuple(reversed(lanes)))) == count - 1
    assert len(outbox.claim(limit=count, queues=lanes)) == 1


def test_a_claim_takes_no_more_than_asked(outbox: MigratedOutbox) -> None:
    """The limit holds over priorities and lanes together, and nothing is claimed twice."""

    for priority in range(10):
        for lane in ("a", "b"):
            outbox.insert(storage_key=f"{lane}{priority}", queue=lane, priority=priority)

    batches = [outbox.claim(limit=7, queues=("b", "a")) for _ in range(4)]

    assert [len(batch) for batch in batches] == [7, 7, 6, 0]
    assert len({job.id for batch in batches for job in batch}) == 20


def test_other_lanes_are_left_alone(outbox: MigratedOutbox) -> None:
    """A daemon claims from the lanes it serves and from no other."""

    for lane in ("default", "host-1", "host-2"):
        outbox.insert(storage_key=lane, queue=lane)

    assert keys(outbox.claim(queues=("host-1",))) == ["host-1"]
    assert keys(outbox.claim(queues=("host-1", "default"))) == ["default"]
    assert outbox.claim(queues=()) == []


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_only_pending_rows_are_claimed(outbox: MigratedOutbox, status: Status) -> None:
    """A running or finished row, however long due, is nobody's to claim."""

    outbox.insert(status=str(status), next_retry_at="2026-01-01 00:00:00")

    assert outbox.claim() == []
    assert outbox.daemon().claim_suspect() is None


def test_a_row_is_claimed_when_it_is_due(outbox: MigratedOutbox) -> None:
    """A row that waits for a later time stays pending until then."""

    job_id = outbox.insert(next_retry_at="2126-01-01 00:00:00")
    assert outbox.claim() == []
    assert outbox.job(job_id)["status"] == "pending"

    outbox.set_due(job_id)

    assert [job.id for job in outbox.claim()] == [job_id]


@pytest.mark.parametrize(
    ("first", "current", "charged"),
    [
        (StoreName.S3, None, "s3_attempts"),
        (StoreName.OSS, None, "oss_attempts"),
        (StoreName.LOCAL, None, "local_attempts"),
        (StoreName.S3, "oss", "oss_attempts"),
        (StoreName.OSS, "s3", "s3_attempts"),
        (StoreName.S3, "local", "local_attempts"),
    ],
)
def test_a_claim_charges_the_store_whose_turn_it_is(
    outbox: MigratedOutbox, first: StoreName, current: str | None, charged: str
) -> None:
    """The attempt is on record before the network is touched, under the right store."""

    counts = {"s3_attempts": 1, "oss_attempts": 2, "local_attempts": 3}
    job_id = outbox.insert(current_store=current, **counts)

    job = outbox.claim_one(first=first)

    row = outbox.job(job_id)
    assert {name: row[name] for name in counts} == counts | {charged: counts[charged] + 1}
    assert row["current_store"] == job.store == (current or first)
    assert job.attempt == row[charged]
    assert {f"{store}_attempts": count for store, count in job.attempts.items()} == {
        name: row[name] for name in counts
    }


def test_a_claim_writes_the_lease_and_nothing_else(timed_outbox: MigratedOutbox) -> None:
    """Owner, fence, charge and a lease by the database's clock: the rest of the row stays."""

    before = timed_outbox.job(timed_outbox.insert(payload=b"content", metadata='{"a": "b"}'))
    started = timed_outbox.now()

    job = timed_outbox.claim_one("host:17:beef", lease_seconds=90.0)

    row, ended = timed_outbox.job(job.id), timed_outbox.now()
    changed: dict[str, Any] = {
        "status": "running",
        "claimed_by": "host:17:beef",
        "fence": 1,
        "s3_attempts": 1,
        "current_store": "s3",
        "lease_expires_at": row["lease_expires_at"],
        "started_at": row["started_at"],
        "updated_at": row["updated_at"],
    }
    assert row == before | changed
    assert job.fence == 1
    assert started <= row["started_at"] == row["updated_at"] <= ended
    lease = row["lease_expires_at"] - row["updated_at"]
    assert abs(lease - timedelta(seconds=90)) <= timedelta(milliseconds=1)


def test_every_claim_raises_the_fence(outbox: MigratedOutbox) -> None:
    """A job claimed again has a higher fence, a further charge, and its first start."""

    job_id = outbox.insert()
    settle(outbox.daemon(), settlement(outbox.claim_one(), SLOW_DOWN))
    started_at = outbox.job(job_id)["started_at"]
    outbox.set_due(job_id)

    again = outbox.claim_one("b")

    assert (again.fence, again.attempt) == (2, 2)
    assert outbox.job(job_id)["started_at"] == started_at


def test_a_claim_reads_no_payload(outbox: MigratedOutbox) -> None:
    """Large rows never slow a claim: its statements do not name the column."""

    outbox.insert(payload=b"x" * 1_000_000)

    with statements(outbox.engine) as sent:
        job = outbox.claim_one()

    assert outbox.daemon().payload(job.id) == b"x" * 1_000_000
    assert not any("payload" in statement or "SELECT *" in statement for statement, _ in sent)


def test_a_claim_is_committed_before_it_is_handed_out(outbox: MigratedOutbox) -> None:
    """Once claimed, the row is running for everybody, and no transaction stays open."""

    job_id = outbox.insert()
    outbox.claim_one()

    assert outbox.engine.pool.status().endswith("Current Checked out connections: 0")
    with opened(outbox.url) as elsewhere:
        seen = MigratedOutbox(outbox.url, elsewhere)
        assert seen.job(job_id)["status"] == "running"
        assert seen.claim("b") == []


@on_sqlite
def test_an_idle_claim_takes_no_lock(outbox: MigratedOutbox) -> None:
    """Where nothing is due, SQLite's one writer is not disturbed, nor waited for."""

    outbox.insert(next_retry_at="2126-01-01 00:00:00")

    with opened(outbox.url) as writer, writer.begin(), statements(outbox.engine) as sent:
        assert outbox.claim() == []
        assert outbox.daemon().suspects_due() is False

    assert not any(statement.startswith(("BEGIN", "UPDATE")) for statement, _ in sent)


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "metadata of another shape": ({"metadata": "[1]"}, "BAD_ROW"),
    "metadata with a number": ({"metadata": '{"a": 1}'}, "BAD_ROW"),
    "broken metadata": ({"metadata": "{not json"}, "BAD_ROW"),
    "absolute key": ({"storage_key": "/a/b.png"}, "INVALID_KEY"),
    "climbing key": ({"storage_key": "a/../b"}, "INVALID_KEY"),
    "key with a newline": ({"storage_key": "a\nb"}, "INVALID_KEY"),
    "content type with a newline": ({"content_type": "text/plain\r\nX-A: b"}, "BAD_ROW"),
    "no checksum": ({"expected_sha256": "zz"}, "BAD_ROW"),
    "delete": ({"operation": "delete"}, "BAD_ROW"),
}


@pytest.mark.parametrize("limit", [1, 100])
def test_bad_rows_come_beside_good_ones(outbox: MigratedOutbox, limit: int) -> None:
    """A row that no attempt can serve is claimed with its code and keeps no neighbour waiting."""

    expected: dict[int, str | None] = {}
    for name, (columns, code) in BAD_ROWS.items():
        if name == "broken metadata" and outbox.dialect == "postgresql":
            continue  # JSONB does not let it in
        expected[outbox.insert(**columns)] = code
        expected[outbox.insert()] = None

    claimed: list[Job | BadRow] = []
    while batch := outbox.daemon().claim(limit):
        claimed += batch

    found = {
        row.job.id if isinstance(row, BadRow) else row.id: row.error.code
        if isinstance(row, BadRow)
        else None
        for row in claimed
    }
    assert found == expected
    assert all(row["status"] == "running" for row in outbox.jobs())
    for row in claimed:
        if isinstance(row, BadRow):
            assert (row.job.fence, row.job.attempt) == (1, 1)


@on_sqlite
def test_sqlite_blobs_in_text_columns_are_taken_by_their_bytes(outbox: MigratedOutbox) -> None:
    """SQLite keeps bytes where text was asked for: a key is those bytes, or refused; a path too."""

    outbox.insert(storage_key=b"a/b.txt", source_path=b"/spool/\xff.txt")
    outbox.insert(storage_key=b"a/\xff.txt")

    good, bad = outbox.daemon().claim(10)

    assert isinstance(good, Job)
    assert (good.storage_key, good.source_path) == ("a/b.txt", "/spool/\udcff.txt")
    assert isinstance(bad, BadRow)
    assert bad.error.code == "INVALID_KEY"


def test_suspects_are_claimed_one_at_a_time(outbox: MigratedOutbox) -> None:
    """What was in flight when a process died is in no normal claim, and comes alone when asked."""

    suspects = [outbox.insert(crash_count=count, storage_key="s") for count in (1, 2, 3)]
    fresh = outbox.insert()
    daemon = outbox.daemon()

    assert daemon.suspects_due()
    assert [job.id for job in outbox.claim()] == [fresh]
    alone = [daemon.claim_suspect() for _ in range(4)]

    assert [row.id for row in alone if isinstance(row, Job)] == suspects
    assert alone[3] is None
    assert not daemon.suspects_due()


def test_suspects_wait_and_keep_to_their_lane(outbox: MigratedOutbox) -> None:
    """A suspect of another lane, or one not yet due, is not reported and not claimed."""

    outbox.insert(crash_count=1, queue="other")
    outbox.insert(crash_count=1, next_retry_at="2126-01-01 00:00:00")

    assert not outbox.daemon().suspects_due()
    assert outbox.daemon().claim_suspect() is None
    assert outbox.daemon(queues=("default", "other")).suspects_due()
