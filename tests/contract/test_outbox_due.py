"""When a job is due: one instant, whatever the spelling, the session's zone or the host's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import DBAPIError

from tests.contract.outboxes import MigratedOutbox

_CHINA = timezone(timedelta(hours=8))

#: Spellings of a moment, as SQLite clients write them.
SPELLINGS: dict[str, Callable[[datetime], str]] = {
    "ISO": lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S"),
    "SQL": lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S"),
    "SQL with microseconds": lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f"),
    "ISO with an offset": lambda moment: moment.astimezone(_CHINA).isoformat(timespec="seconds"),
    "SQL with Z": lambda moment: moment.strftime("%Y-%m-%d %H:%M:%SZ"),
    "ISO in UTC": lambda moment: moment.isoformat(timespec="milliseconds"),
}

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(params=["UTC0", "CST-8", "PST8"], ids=["UTC", "UTC+8", "UTC-8"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The zone that the daemon's host lives in."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def utc(hours: int) -> datetime:
    return (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)


@on_sqlite
@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("by_update", [False, True])
def test_sqlite_understands_every_usual_spelling(
    outbox: MigratedOutbox, *, by_update: bool
) -> None:
    """A due time an hour ago is due and one in an hour is not, inserted or updated, in any form."""

    for hours, word in ((-1, "past"), (1, "future")):
        for name, spell in SPELLINGS.items():
            written = spell(utc(hours))
            if by_update:
                job_id = outbox.insert(storage_key=f"{word} {name}")
                outbox.execute(
                    "UPDATE upload_outbox SET next_retry_at = :due WHERE id = :id",
                    due=written,
                    id=job_id,
                )
            else:
                job_id = outbox.insert(storage_key=f"{word} {name}", next_retry_at=written)
            assert abs(outbox.job(job_id)["next_retry_at"] - utc(hours)) < timedelta(minutes=1)

    assert {job.storage_key for job in outbox.claim()} == {f"past {name}" for name in SPELLINGS}


@on_sqlite
def test_the_reported_spellings_are_due(outbox: MigratedOutbox) -> None:
    """The five forms of the user's report are due from that day on; a later moment is not."""

    due = [
        "2026-03-01T10:00:00",
        "2026-03-01 10:00:00",
        "2026-03-01 10:00:00.000000",
        "2026-03-01T10:00:00+08:00",
        "2026-03-01 10:00:00Z",
    ]
    for form in due:
        outbox.insert(storage_key=form, next_retry_at=form)
    outbox.insert(storage_key="future", next_retry_at="2126-03-01T23:00:00+00:00")

    moments = {row["storage_key"]: row["next_retry_at"] for row in outbox.jobs()}
    assert [moments[form].hour for form in due] == [10, 10, 10, 2, 10]
    assert {job.storage_key for job in outbox.claim()} == set(due)


@on_sqlite
@pytest.mark.parametrize(
    "garbage",
    ["tomorrow", "", "2026-13-01 00:00:00", "2026-03-01 25:00:00", "1772359200", "now", None],
)
def test_sqlite_takes_no_garbage_for_a_due_time(
    outbox: MigratedOutbox, garbage: str | None
) -> None:
    """Text that is no moment would never be due, or always: it is refused, also in an update."""

    job_id = outbox.insert()

    with pytest.raises(DBAPIError):
        outbox.insert(next_retry_at=garbage)
    with pytest.raises(DBAPIError):
        outbox.execute("UPDATE upload_outbox SET next_retry_at = :due", due=garbage)

    assert [job.id for job in outbox.claim()] == [job_id]


def test_no_database_takes_garbage_for_a_due_time(outbox: MigratedOutbox) -> None:
    """A due time that is no time at all is refused by every database."""

    for garbage in ("soon-ish", None):
        with pytest.raises(DBAPIError):
            outbox.insert(next_retry_at=garbage)

    assert outbox.jobs() == []


_SESSION_ZONE = {
    "postgresql": "SET TIME ZONE INTERVAL '+08:00' HOUR TO MINUTE",
    "mysql": "SET time_zone = '+08:00'",
}

#: An hour from now as a client spells it: an instant on PostgreSQL, UTC on MariaDB and SQLite.
_IN_AN_HOUR = {
    "postgresql": "now() + interval '1 hour'",
    "mysql": "UTC_TIMESTAMP() + INTERVAL 1 HOUR",
    "sqlite": "datetime('now', '+1 hour')",
}


def test_a_client_in_another_zone_means_the_same_instant(timed_outbox: MigratedOutbox) -> None:
    """A row from a session eight hours ahead is due now, and one for later only then."""

    before = timed_outbox.now()
    with timed_outbox.engine.connect() as connection:
        if zone := _SESSION_ZONE.get(timed_outbox.dialect):
            connection.exec_driver_sql(zone)
        for key, columns, values in (
            ("now", "", ""),
            ("later", ", next_retry_at", f", {_IN_AN_HOUR[timed_outbox.dialect]}"),
        ):
            connection.exec_driver_sql(
                f"INSERT INTO upload_outbox (storage_key, source_path{columns})"
                f" VALUES ('{key}', '/a'{values})"
            )
        connection.commit()
        connection.invalidate()
    after = timed_outbox.now()

    now, later = timed_outbox.jobs()
    assert [job.storage_key for job in timed_outbox.claim()] == ["now"]
    assert before <= now["next_retry_at"] <= after
    assert now["next_retry_at"] == now["created_at"] == now["updated_at"]
    wait = later["next_retry_at"] - after
    assert timedelta(minutes=59) < wait <= timedelta(hours=1)


def test_the_database_lives_in_utc(timed_outbox: MigratedOutbox) -> None:
    """What we take for the database's now is the present moment, whatever zone it lives in."""

    assert abs(timed_outbox.now() - datetime.now(UTC)) < timedelta(minutes=1)
