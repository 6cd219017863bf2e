"""What any SQL client may rely on: defaults, refusals, byte-exact text, the results view."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from outhaul.models import IfExists, Job, OnSuccess, Operation, Status, StoreName
from tests.contract.outboxes import STORED, MigratedOutbox, settle, settlement

DEFAULTS = {
    "operation": "upload",
    "queue": "default",
    "priority": 5,
    "payload": None,
    "content_type": None,
    "metadata": None,
    "expected_sha256": None,
    "dedupe_key": None,
    "on_success": "keep",
    "if_exists": "overwrite",
    "status": "pending",
    "current_store": None,
    "s3_attempts": 0,
    "oss_attempts": 0,
    "local_attempts": 0,
    "crash_count": 0,
    "claimed_by": None,
    "lease_expires_at": None,
    "fence": 0,
    "storage_type": None,
    "bucket": None,
    "etag": None,
    "version_id": None,
    "size_bytes": None,
    "sha256": None,
    "verified_by": None,
    "last_error_code": None,
    "last_error": None,
    "started_at": None,
    "completed_at": None,
}

_MOMENTS = ("next_retry_at", "created_at", "updated_at")

#: What must not get into the table, with the constraint that says so.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no source": ({"source_path": None}, "one_source"),
    "two sources": ({"source_path": "/a", "payload": b"a"}, "one_source"),
    "a delete with a source": ({"operation": "delete", "source_path": "/a"}, "one_source"),
    "a delete with a payload": ({"operation": "delete", "payload": b""}, "one_source"),
    "priority below": ({"priority": -1}, "priority"),
    "priority above": ({"priority": 10}, "priority"),
    "unknown status": ({"status": "waiting"}, "status"),
    "unknown operation": ({"operation": "copy", "source_path": "/a"}, "operation"),
    "unknown if_exists": ({"if_exists": "rename"}, "if_exists"),
    "unknown on_success": ({"on_success": "move"}, "on_success"),
    "unknown store": ({"current_store": "azure"}, "current_store"),
    "empty key": ({"storage_key": ""}, "storage_key"),
    "key of 1,024 bytes": ({"storage_key": "k" * 1024}, "storage_key"),
    "key of 1,024 bytes in 512 characters": ({"storage_key": "é" * 512}, "storage_key"),
    "key of 1,024 bytes in 256 characters": ({"storage_key": "😀" * 256}, "storage_key"),
    "status in another case": ({"status": "Pending"}, "status"),
}

#: The last that is still allowed.
ACCEPTED: dict[str, dict[str, Any]] = {
    "a path": {"source_path": "/a"},
    "a payload": {"payload": b"\0\xff"},
    "an empty payload": {"payload": b""},
    "a delete": {"operation": "delete"},
    "priority 0": {"priority": 0},
    "priority 9": {"priority": 9},
    "key of 1 byte": {"storage_key": "k"},
    "key of 1,023 bytes": {"storage_key": "k" * 1023},
    "key of 1,023 bytes in 512 characters": {"storage_key": "é" * 511 + "k"},
    "key of 1,023 bytes in 258 characters": {"storage_key": "😀" * 255 + "abc"},
}


def test_two_columns_are_a_whole_job(outbox: MigratedOutbox) -> None:
    """A key and a path make a job; every other column has the documented default, due now."""

    before = outbox.now()
    outbox.execute(
        "INSERT INTO upload_outbox (storage_key, source_path) VALUES ('a/b', '/spool/b')"
    )
    after = outbox.now()

    (row,) = outbox.jobs()
    for moment in _MOMENTS:
        assert before <= row.pop(moment) <= after
    assert row == DEFAULTS | {"id": 1, "storage_key": "a/b", "source_path": "/spool/b"}
    assert outbox.claim() == [
        Job(
            id=1,
            fence=1,
            operation=Operation.UPLOAD,
            queue="default",
            storage_key="a/b",
            store=StoreName.S3,
            attempts={StoreName.S3: 1, StoreName.OSS: 0, StoreName.LOCAL: 0},
            source_path="/spool/b",
            on_success=OnSuccess.KEEP,
            if_exists=IfExists.OVERWRITE,
        )
    ]


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_row_is_refused(outbox: MigratedOutbox, case: str) -> None:
    """What can never be served does not get in, and the error names the rule."""

    columns, rule = REFUSED[case]

    with pytest.raises(DBAPIError, match=rule):
        outbox.insert(**columns)

    assert outbox.jobs() == []


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_lax_client_gets_no_key_cut_short(outbox: MigratedOutbox) -> None:
    """Where a session's mode has MariaDB cut long text, a long key is refused, never renamed."""

    with outbox.engine.connect() as client:
        client.exec_driver_sql("SET SESSION sql_mode = ''")
        for length in (1024, 5000):
            with pytest.raises(DBAPIError, match="storage_key"):
                client.exec_driver_sql(
                    "INSERT INTO upload_outbox (storage_key, source_path)"
                    f" VALUES (repeat('k', {length}), '/a')"
                )
        client.invalidate()

    assert outbox.jobs() == []


def test_what_is_just_allowed_gets_in(outbox: MigratedOutbox) -> None:
    """Keys and priorities at the very limit, and each kind of source, are accepted whole."""

    for case, columns in ACCEPTED.items():
        row = outbox.job(outbox.insert(**columns))
        assert {name: row[name] for name in columns} == columns, case


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("priority", [5.5, 0.1])
def test_sqlite_takes_no_fraction_of_a_priority(outbox: MigratedOutbox, priority: float) -> None:
    """A priority between two lanes would never be claimed: SQLite does not let it in."""

    with pytest.raises(IntegrityError, match="priority"):
        outbox.insert(priority=priority)


def test_a_rolled_back_insert_is_no_job(outbox: MigratedOutbox) -> None:
    """The row shares the fate of the client's own transaction."""

    with outbox.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO upload_outbox (storage_key, source_path) VALUES ('a', '/a')"
        )
        connection.rollback()

    assert outbox.claim() == []


def test_text_is_equal_only_byte_by_byte(outbox: MigratedOutbox) -> None:
    """Case and trailing spaces count in keys, lanes and dedupe keys, also in a WHERE."""

    for word in ("a", "A", "a ", "á"):
        outbox.insert(storage_key=word, queue=word, dedupe_key=word)

    for column in ("storage_key", "queue", "dedupe_key"):
        found = outbox.query(f"SELECT storage_key FROM upload_outbox WHERE {column} = 'A'")
        assert [row["storage_key"] for row in found] == ["A"], column
    assert [job.storage_key for job in outbox.claim(queues=("a ",))] == ["a "]
    assert [job.storage_key for job in outbox.claim(queues=("a",))] == ["a"]


def test_a_dedupe_key_is_taken_once(outbox: MigratedOutbox) -> None:
    """A second row with the same dedupe key fails; without one, rows never meet."""

    outbox.insert(dedupe_key="invoice-17")
    outbox.insert()
    outbox.insert()

    with pytest.raises(IntegrityError):
        outbox.insert(dedupe_key="invoice-17")

    assert len(outbox.jobs()) == 3


def test_a_repeated_insert_can_be_ignored(outbox: MigratedOutbox) -> None:
    """The client's own SQL may skip a row whose dedupe key is taken; the first job stands."""

    columns = "(storage_key, source_path, dedupe_key) VALUES ('{}', '/a', 'invoice-17')"
    statement = (
        f"INSERT IGNORE INTO upload_outbox {columns}"
        if outbox.dialect == "mysql"
        else f"INSERT INTO upload_outbox {columns} ON CONFLICT DO NOTHING"
    )

    outbox.execute(statement.format("first"))
    outbox.execute(statement.format("second"))

    assert [row["storage_key"] for row in outbox.jobs()] == ["first"]


def test_every_character_survives(outbox: MigratedOutbox) -> None:
    """Four-byte characters come back from every text column, to clients and to the daemon."""

    words = {
        "storage_key": "küche/😀.pptx",
        "source_path": "/spool/🗂/😀.pptx",
        "queue": "🚚",
        "dedupe_key": "🔑",
        "content_type": "text/plain; name=😀",
        "last_error": "💥",
        "etag": "𝄞",
    }
    row = outbox.job(outbox.insert(**words))
    assert {name: row[name] for name in words} == words

    job_id = outbox.insert(**words | {"content_type": "text/plain", "dedupe_key": "🗝"})
    jobs = {row.id: row for row in outbox.daemon(queues=("🚚",)).claim(10) if isinstance(row, Job)}

    assert (jobs[job_id].storage_key, jobs[job_id].source_path) == (
        words["storage_key"],
        words["source_path"],
    )


def test_the_view_answers_in_the_words_of_the_upload_api(outbox: MigratedOutbox) -> None:
    """`upload_results` has storage_type, storage_key and s3_key, empty until the job is done."""

    job_id = outbox.insert(storage_key="a/b.txt")
    asked = "SELECT status, storage_type, storage_key, s3_key FROM upload_results WHERE id = :id"

    def answer() -> dict[str, Any]:
        return outbox.query(asked, id=job_id)[0]

    keys = {"storage_key": "a/b.txt", "s3_key": "a/b.txt"}
    assert answer() == {"status": "pending", "storage_type": None} | keys
    settle(outbox.daemon(), settlement(outbox.claim_one(), STORED))

    assert answer() == {"status": Status.DONE, "storage_type": StoreName.S3} | keys
