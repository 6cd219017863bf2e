from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from outhaul import logs
from outhaul.errors import ConfigError
from outhaul.models import Job, Result, Skipped, Status, StoreName
from outhaul.outbox.rescue import Rescued
from outhaul.transitions import settle
from tests.unit.log import Log, settle_one
from tests.unit.samples import (
    ACCESS_DENIED,
    LOCAL,
    OSS,
    RULES,
    S3,
    SLOW_DOWN,
    STOPPED,
    STORED,
    a_job,
    an_attempt,
    at_attempt,
)

#: As the setup guide words them.
SENTENCES = {
    S3: "File uploaded to S3: translations/file.pptx",
    OSS: "File uploaded to OSS: translations/file.pptx",
    LOCAL: "File stored locally: translations/file.pptx",
}

#: Keys and paths that would forge a line, steer a terminal, or trip a formatter.
HOSTILE = [
    "a.txt\n2026-01-01 00:00:00 INFO upload 999 done s3",
    "a.txt\r\nb",
    "clear\x1b[2Jscreen",
    "line\u2028paragraph\u2029next\x85end",
    "vertical\x0bform\x0crecord\x1e",
    "%s%n%(key)s{key}{0}",
    "nul\0",
    "name-\udcff.bin",
    '"quoted\\"',
    "é😀",
]


@pytest.mark.parametrize("store", [S3, OSS, LOCAL])
def test_a_success_is_said_in_the_guides_words(json_log: Log, store: StoreName) -> None:
    """The sentence of the setup guide, word for word, with the facts beside it."""

    settle_one(STORED, at_attempt(2, store))

    event = json_log.event()
    assert event["event"] == SENTENCES[store]
    assert (event["job_id"], event["attempt"], event["ms"]) == (7, 2, 12)
    assert (event["size_bytes"], event["verified_by"], event["level"]) == (18, "sha256", "info")


@pytest.mark.parametrize("store", [S3, OSS, LOCAL])
def test_the_sentence_stands_in_the_console_too(console_log: Log, store: StoreName) -> None:
    """People who grep the journal find the same words."""

    settle_one(STORED, at_attempt(1, store))

    assert SENTENCES[store] in console_log.only()


@pytest.mark.parametrize(
    ("result", "job", "event"),
    [
        (
            SLOW_DOWN,
            at_attempt(1),
            {
                "level": "warning",
                "event": "Attempt failed",
                "code": "SlowDown",
                "error": SLOW_DOWN.message,
                "http_status": 503,
                "retry_in_seconds": 5.0,
            },
        ),
        (
            ACCESS_DENIED,
            at_attempt(1),
            {"level": "warning", "event": "Falling back", "next_store": "oss"},
        ),
        (
            SLOW_DOWN,
            at_attempt(4, LOCAL),
            {"level": "error", "event": "Job failed", "code": "SlowDown"},
        ),
        (
            STOPPED,
            at_attempt(1),
            {"level": "info", "event": "Job given back", "reason": STOPPED.message},
        ),
        (
            Skipped("taken"),
            at_attempt(1),
            {"level": "info", "event": "File left alone, the key is taken"},
        ),
    ],
)
def test_every_outcome_has_its_event(
    json_log: Log, result: Result, job: Job, event: dict[str, object]
) -> None:
    """One event per outcome, at a level that fits, with what an operator asks next."""

    settle_one(result, job)

    told = json_log.event()
    assert event.items() <= told.items()
    assert told["storage_key"] == "translations/file.pptx"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("result", [STORED, SLOW_DOWN, ACCESS_DENIED, STOPPED], ids=repr)
def test_a_hostile_key_stays_in_its_line(log: Log, text: str, result: Result) -> None:
    """Whatever a key holds, an event is one physical line without control characters."""

    settle_one(result, a_job(storage_key=text))

    assert log.only().isprintable()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_path_or_message_stays_in_its_line(log: Log, text: str) -> None:
    """The same for paths, for the names of other daemons and for what went wrong."""

    logs.source_kept(7, text)
    settle_one(replace(SLOW_DOWN, message=text))
    logs.job_rescued(Rescued(7, Status.PENDING, 1, text))
    logs.failed_cycle(text, RuntimeError(text))
    logs.database_lost(OperationalError("SELECT 1", {}, Exception(text)))

    assert len(log.lines) == 5
    assert all(line.isprintable() for line in log.lines)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_json_keeps_the_key_readable(json_log: Log, text: str) -> None:
    """A program gets a whole JSON object, however odd the key."""

    settle_one(STORED, a_job(storage_key=text))

    assert json_log.event()["event"].startswith("File uploaded to S3: ")


def test_a_fenced_job_is_named(json_log: Log) -> None:
    """A job that was taken from us is no success of ours, and says which it was."""

    logs.job_fenced(settle(an_attempt(STORED), RULES, draw=0.0))

    assert json_log.event()["event"] == "Job lost to another daemon"
    assert json_log.event()["job_id"] == 7


def test_lost_leases_are_listed(json_log: Log) -> None:
    """One event for all of them, with their ids."""

    logs.leases_lost([3, 4])

    assert json_log.event()["job_ids"] == [3, 4]


def test_the_life_of_a_daemon_is_told(json_log: Log) -> None:
    """Start, outage, recovery, stop: one event each."""

    logs.started("host:1:abcd", "s3 -> oss", "default", 8)
    logs.database_lost(OperationalError("SELECT 1", {}, Exception("gone")))
    logs.database_back()
    logs.stopping(2, 20.0)
    logs.stopped(2)
    logs.refused_to_start(ConfigError("OUTHAUL_WORKERS: too many"))

    events = [json.loads(line) for line in json_log.lines]
    assert [(event["level"], event["event"]) for event in events] == [
        ("info", "outhaul is ready"),
        ("error", "Database not reachable, waiting for it"),
        ("info", "Database answers again"),
        ("info", "stopping"),
        ("info", "stopped"),
        ("critical", "outhaul does not start"),
    ]
    assert events[-1]["error"] == "OUTHAUL_WORKERS: too many"


def test_a_database_error_is_told_without_its_statement(log: Log) -> None:
    """Statements and parameters may hold anybody's data: only the driver's words are told."""

    error = OperationalError("SELECT canary", {"payload": "canary"}, Exception("server closed"))
    logs.database_lost(error)
    logs.settle_refused(settle(an_attempt(STORED), RULES, draw=0.0), error)

    assert len(log.lines) == 2
    for line in log.lines:
        assert "Exception: server closed" in line
        assert "canary" not in line


@pytest.mark.parametrize(("level", "lines"), [("INFO", 1), ("WARNING", 0), ("DEBUG", 1)])
@pytest.mark.usefixtures("restored_logging")
def test_the_level_is_a_setting(level: str, lines: int) -> None:
    """Below the level nothing is written."""

    stream = io.StringIO()
    logs.configure("json", level, stream)
    settle_one(STORED)

    assert len(stream.getvalue().splitlines()) == lines
