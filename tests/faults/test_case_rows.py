"""Cases in which a row holds what its reader did not expect."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text

from outhaul.outbox.engine import open_engine
from tests.faults.neighbour import WELL, Neighbour
from tests.faults.record import history, verdict
from tests.support.deployment import Deployment, deploy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.seaweed import SeaweedServer

#: Names that would forge a log line, clear a screen, break a line, or format something.
AWKWARD_NAMES = [
    "a.txt\n2026-01-01 00:00:00 INFO upload 999 done s3",
    "clear\x1b[2J",
    "break\u2028here",
    "%s%n",
]

#: What their twelve rows and a neighbour leave in the log.
EVENTS = {"File uploaded to S3: ": 5, "Source not deleted": 4, "Job failed": 8}

#: All but the line feed that ends a line.
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")

#: How every line of the console log begins.
STAMP = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[\w+ *\] ")


@pytest.mark.parametrize("workers", [1, 10])
def test_bad_row_at_the_head_of_the_queue_stops_nobody(
    deployment: Deployment, workers: int
) -> None:
    """BAD_ROW at its first claim, no call, one error line; the nineteen behind it all arrive."""

    metadata = ["[1]", '{"name": 1}']
    if deployment.engine.dialect.name != "postgresql":  # whose jsonb refuses what is no JSON
        metadata.append("{not json")
    bad = [
        deployment.insert_file(f"bad/{number}", metadata=value)
        for number, value in enumerate(metadata)
    ]
    good = [deployment.insert_file(f"good/{number}") for number in range(19)]
    with deployment.daemon(OUTHAUL_WORKERS=str(workers)) as daemon:
        jobs = deployment.wait_final(*bad)
        others = deployment.wait_final(*good)

    assert {verdict(job) for job in jobs} == {("failed", None, "BAD_ROW")}
    assert {job["fence"] for job in jobs} == {1}
    assert not any("bad/" in request.key for request in deployment.s3.requests)
    assert not any("bad/" in request.key for request in deployment.oss_front.requests)
    assert {verdict(job) for job in others} == {("done", "s3", None)}
    assert len(deployment.puts()) == len(good)
    errors = [event for event in daemon.events() if event["level"] == "error"]
    assert sorted(event["job_id"] for event in errors) == sorted(bad)


@pytest.fixture
def narrow_deployment(
    database_url: str, tmp_path: Path, seaweed_server: SeaweedServer
) -> Iterator[Deployment]:
    """An outbox of each kind, in a MariaDB database whose default is three-byte UTF-8."""
    if database_url.startswith("mysql"):
        engine = open_engine(database_url)
        with engine.begin() as connection:
            name = make_url(database_url).database
            connection.execute(text(f"ALTER DATABASE `{name}` CHARACTER SET utf8mb3"))
        engine.dispose()
    with deploy(database_url, tmp_path, seaweed_server) as deployed:
        yield deployed


def test_emoji_in_a_path_and_in_an_error_text_is_recorded(narrow_deployment: Deployment) -> None:
    """Failures with four-byte characters are written down, and their neighbours settled."""

    deployment = narrow_deployment
    key = deployment.key("broken 😀.txt")
    deployment.s3.fail(301, "PermanentRedirect", key=key, headers={"x-amz-bucket-region": "eu-😀"})
    deployment.oss_front.fail(403, "AccessDenied", key=key, headers={"x-oss-request-id": "😀"})
    with deployment.daemon():
        missing = deployment.insert(
            storage_key=deployment.key("missing 😀.txt"),
            source_path=str(deployment.spool / "missing 😀.txt"),
        )
        broken = deployment.insert_file("broken 😀.txt")
        whole = deployment.insert_file("whole 😀.txt", b"smile", dedupe_key="😀")
        neighbour = Neighbour(deployment)
        jobs = deployment.wait_final(missing, broken, whole)
        assert neighbour.fate() == WELL

    assert [verdict(job) for job in jobs] == [
        ("failed", None, "SOURCE_MISSING"),
        ("failed", None, "AccessDenied"),
        ("done", "s3", None),
    ]
    assert history(deployment, broken) == [
        ("s3", 1, "PermanentRedirect"),
        ("oss", 1, "AccessDenied"),
    ]
    assert "eu-" in deployment.attempts(broken)[0]["message"]
    assert jobs[2]["storage_key"] == deployment.key("whole 😀.txt")
    assert deployment.s3_content("whole 😀.txt") == b"smile"


def provoke_every_event(deployment: Deployment) -> None:
    """Let each awkward name be uploaded, kept against its row's wish, and refused by all stores."""
    answers = {
        number: deployment.s3.hold(after_store=True, key=deployment.key(f"good/{number}"))
        for number, _ in enumerate(AWKWARD_NAMES)
    }
    for store in (deployment.s3, deployment.oss_front):
        store.fail(403, "AccessDenied", key=deployment.key("bad/"), times=math.inf)
    rows = [
        deployment.insert(
            storage_key=deployment.key(f"{fate}/{number}"),
            source_path=str(deployment.file(f"{fate} {name}", name.encode())),
            on_success="delete",
        )
        for fate in ("good", "bad")
        for number, name in enumerate(AWKWARD_NAMES)
    ]
    for number, name in enumerate(AWKWARD_NAMES):
        assert answers[number].stored.wait(20)
        # A source that somebody has linked meanwhile is not deleted, and the log says so.
        (deployment.directory / f"link-{number}").hardlink_to(deployment.spool / f"good {name}")
        answers[number].release()
    keys = [deployment.key(f"key/{name}") for name in AWKWARD_NAMES]
    rows += [
        deployment.insert(storage_key=key, source_path=str(deployment.spool / "none"))
        for key in keys
    ]
    jobs = deployment.wait_final(*rows)
    assert {verdict(job) for job in jobs[:4]} == {("done", "s3", None)}
    assert {verdict(job) for job in jobs[4:8]} == {("failed", None, "AccessDenied")}
    assert [job["last_error_code"] for job in jobs[8:]] == [
        "INVALID_KEY",
        "INVALID_KEY",
        "SOURCE_MISSING",
        "SOURCE_MISSING",
    ]
    assert [deployment.s3_content(f"good/{n}") for n in range(4)] == [
        name.encode() for name in AWKWARD_NAMES
    ]


def console_event(line: str) -> str:
    """What follows the stamp of a line for people; a forged line has none of ours."""
    stamp = STAMP.match(line)
    assert stamp, line
    return line[stamp.end() :]


def json_event(line: str) -> str:
    """The sentence of a line for programs."""
    return str(json.loads(line)["event"])


@pytest.mark.parametrize(("style", "event_of"), [("console", console_event), ("json", json_event)])
def test_newline_in_a_file_name_stays_within_its_line(
    sqlite_deployment: Deployment, style: str, event_of: Callable[[str], str]
) -> None:
    """Each event is one physical line, in the log as in reports, and no control character."""

    daemon = sqlite_deployment.daemon(OUTHAUL_LOG_FORMAT=style)
    with contextlib.ExitStack() as cleanup:
        cleanup.push(daemon)
        daemon.start(wait=False)
        provoke_every_event(sqlite_deployment)
        neighbour = Neighbour(sqlite_deployment)
        assert neighbour.fate() == WELL
        daemon.stop()
    listed = sqlite_deployment.outhaul("jobs", "list").stdout

    assert not UNPRINTABLE.search(daemon.text())
    assert not UNPRINTABLE.search(listed)
    assert len(listed.splitlines()) == 1 + 13
    events = [event_of(line) for line in daemon.text().split("\n") if line]
    for sentence, count in EVENTS.items():
        assert len([event for event in events if event.startswith(sentence)]) == count


@pytest.mark.parametrize("written", [":path", "CAST(:path AS TEXT)"], ids=["blob", "text"])
def test_file_name_that_is_not_utf8_is_uploaded(
    sqlite_deployment: Deployment, written: str
) -> None:
    """SQLite holds the bytes of a name as blob or as text: both open the very file."""

    deployment = sqlite_deployment
    path = os.fsencode(deployment.spool) + b"/na\xefve \xff.txt"
    with open(path, "wb") as file:  # noqa: PTH123 - a Path would be text
        file.write(b"latin-1")
    with deployment.daemon() as daemon:
        deployment.execute(
            "INSERT INTO upload_outbox (storage_key, source_path, on_success)"
            f" VALUES (:key, {written}, 'delete')",
            key=deployment.key("naive"),
            path=path,
        )
        (found,) = deployment.query("SELECT max(id) AS id FROM upload_outbox")
        neighbour = Neighbour(deployment)
        (job,) = deployment.wait_final(found["id"])
        assert neighbour.fate() == WELL
        daemon.stop()

    assert verdict(job) == ("done", "s3", None)
    assert deployment.s3_content("naive") == b"latin-1"
    assert not os.path.lexists(path)
