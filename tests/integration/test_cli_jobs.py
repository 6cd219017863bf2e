"""`outhaul jobs`, `retry` and `cancel`: look at jobs, and steer them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.support.command import outhaul
from tests.support.deployment import Deployment


def _job(deployment: Deployment, key: str = "key", **columns: Any) -> int:
    """A row in any state, such as a daemon leaves behind."""
    return deployment.insert(storage_key=key, source_path="/spool/file", **columns)


def _ids(deployment: Deployment, *filters: str) -> list[int]:
    answer = outhaul(deployment.environment(), "jobs", "list", *filters, "--json")
    return [job["id"] for job in answer.data]


def test_a_list_is_newest_first(deployment: Deployment) -> None:
    """A job is a line of id, status, store, key, error and time; `--json` has every column."""

    first = _job(deployment, "one")
    second = _job(deployment, "two", status="failed", last_error_code="SOURCE_MISSING")
    shown = outhaul(deployment.environment(), "jobs", "list")
    data = outhaul(deployment.environment(), "jobs", "list", "--json").data

    headings, *lines = [line.split() for line in shown.out.splitlines()]
    assert headings[:4] == ["id", "status", "storage_type", "storage_key"]
    assert [line[:5] for line in lines] == [
        [str(second), "failed", "-", "two", "SOURCE_MISSING"],
        [str(first), "pending", "-", "one", "-"],
    ]
    assert [job["id"] for job in data] == [second, first]
    assert data[0]["created_at"].endswith("Z")
    assert "payload" not in data[0]


def test_filters_combine(deployment: Deployment) -> None:
    """Status, store, error, key prefix, limit and page narrow the list one after the other."""

    done = {"status": "done", "storage_type": "oss", "last_error_code": "SlowDown"}
    wanted = [_job(deployment, f"Reports/{n}", **done) for n in range(3)]
    _job(deployment, "Reports/4", **{**done, "status": "failed"})
    _job(deployment, "Reports/5", **{**done, "storage_type": "s3"})
    _job(deployment, "Reports/6", **{**done, "last_error_code": "NetworkError"})
    _job(deployment, "Other/7", **done)
    filters = [
        *("--status", "done", "--store", "oss", "--error", "SlowDown"),
        *("--key-prefix", "Reports/"),
    ]

    assert _ids(deployment, *filters) == wanted[::-1]
    assert _ids(deployment, *filters, "--limit", "2") == wanted[:0:-1]
    assert _ids(deployment, *filters, "--before", str(wanted[2])) == wanted[1::-1]


def test_a_key_prefix_is_exact(deployment: Deployment) -> None:
    """Capitals differ, and neither % nor _ stands for anything, on every database."""

    kept = [_job(deployment, key) for key in ("A_b%c/1", "A_b%c/2")]
    for key in ("a_b%c/1", "AxbXc/1", "A_bc/1"):
        _job(deployment, key)

    assert _ids(deployment, "--key-prefix", "A_b%c") == kept[::-1]


def test_nothing_found_is_said(deployment: Deployment) -> None:
    """An empty list is no error, and no silence."""

    environment = deployment.environment()
    answer = outhaul(environment, "jobs", "list")

    assert (answer.exit_code, answer.out) == (0, "no such jobs\n")
    assert outhaul(environment, "jobs", "list", "--json").data == []


def _attempt(deployment: Deployment, job_id: int, fence: int, outcome: str) -> None:
    deployment.execute(
        "INSERT INTO upload_attempts (job_id, fence, store, operation, attempt, worker,"
        " duration_ms, outcome, error_code, bytes_sent)"
        " VALUES (:job_id, :fence, 's3', 'upload', :fence, 'host:1:ab', 12, :outcome, :code, 7)",
        job_id=job_id,
        fence=fence,
        outcome=outcome,
        code=None if outcome == "succeeded" else "SlowDown",
    )


def test_show_gives_one_job_with_every_attempt(deployment: Deployment) -> None:
    """The columns that hold something, then the attempts, oldest first; `--json` has them all."""

    job_id = _job(deployment, "shown", status="done", storage_type="s3")
    for fence, outcome in ((2, "succeeded"), (1, "retryable")):
        _attempt(deployment, job_id, fence, outcome)
    shown = outhaul(deployment.environment(), "jobs", "show", str(job_id)).out
    data = outhaul(deployment.environment(), "jobs", "show", str(job_id), "--json").data

    about, attempts = shown.split("\n\n")
    assert ["storage_key", "shown"] in [line.split() for line in about.splitlines()]
    assert "etag" not in about
    assert [line.split()[:4] for line in attempts.splitlines()[1:]] == [
        ["s3", "1", "retryable", "SlowDown"],
        ["s3", "2", "succeeded", "-"],
    ]
    assert (data["id"], data["storage_key"], data["etag"]) == (job_id, "shown", None)
    assert [row["outcome"] for row in data["attempts"]] == ["retryable", "succeeded"]


def test_a_job_that_is_not_there_is_not_found(deployment: Deployment) -> None:
    """Exit code 4, in words and in JSON, from `show`, `retry` and `cancel` alike."""

    for command in (("jobs", "show"), ("retry",), ("cancel",)):
        told = outhaul(deployment.environment(), *command, "999")
        json_told = outhaul(deployment.environment(), *command, "999", "--json")

        assert (told.exit_code, json_told.exit_code) == (4, 4)
        assert "there is no job 999" in told.out + told.err
        assert json_told.error == ("NOT_FOUND", "there is no job 999")


@pytest.mark.parametrize(
    ("command", "good", "bad"),
    [
        ("retry", ["failed", "cancelled"], ["pending", "running", "done"]),
        ("cancel", ["pending", "failed"], ["running", "done", "cancelled"]),
    ],
)
def test_only_the_right_states_are_changed(
    deployment: Deployment, command: str, good: list[str], bad: list[str]
) -> None:
    """What may be changed is; the rest is left alone, named, and makes the exit code 3."""

    changed = [_job(deployment, status=status) for status in good]
    left = [_job(deployment, status=status) for status in bad]
    line = [command, *map(str, (*left, *changed)), "--json"]
    answer = outhaul(deployment.environment(), *line)

    verb = "requeued" if command == "retry" else "cancelled"
    assert (answer.exit_code, answer.error[0]) == (3, "PARTIAL")
    states = {str(job_id): status for job_id, status in zip(left, bad, strict=True)}
    assert answer.envelope["data"] == {verb: changed, "left_alone": states}
    for job_id, status in zip(left, bad, strict=True):
        assert f"{job_id} is {status}, not " in answer.error[1]
        assert deployment.job(job_id)["status"] == status
    after = "pending" if command == "retry" else "cancelled"
    assert {deployment.job(job_id)["status"] for job_id in changed} == {after}


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_all_done_is_exit_code_0(deployment: Deployment, command: str) -> None:
    """Several jobs in one call, each with its line, and nothing else."""

    ids = [str(_job(deployment, status="failed")) for _ in range(3)]
    answer = outhaul(deployment.environment(), command, *ids)

    verb = "requeued" if command == "retry" else "cancelled"
    assert (answer.exit_code, answer.out) == (0, "".join(f"{job_id} {verb}\n" for job_id in ids))


def test_a_repaired_job_is_retried_with_its_history(sqlite_deployment: Deployment) -> None:
    """Put the missing file there, `retry`, and it is stored; the first attempt stays on record."""

    job_id = sqlite_deployment.insert(
        storage_key=sqlite_deployment.key("late"), source_path=f"{sqlite_deployment.spool}/late"
    )
    sqlite_deployment.outhaul("once")
    failed = sqlite_deployment.job(job_id)
    sqlite_deployment.file("late", b"there at last")
    retried = outhaul(sqlite_deployment.environment(), "retry", str(job_id))
    sqlite_deployment.outhaul("once")

    assert (failed["status"], failed["last_error_code"]) == ("failed", "SOURCE_MISSING")
    assert retried.exit_code == 0
    job = sqlite_deployment.job(job_id)
    assert (job["status"], job["storage_type"], job["last_error_code"]) == ("done", "s3", None)
    assert [row["outcome"] for row in sqlite_deployment.attempts(job_id)] == [
        "permanent",
        "succeeded",
    ]


def test_readers_do_not_wait_for_a_writer(sqlite_deployment: Deployment) -> None:
    """While another process holds SQLite's write lock, jobs and status are shown all the same."""

    _job(sqlite_deployment)
    file = sqlite_deployment.engine.url.database
    with closing(sqlite3.connect(str(file), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        answers = [
            outhaul(sqlite_deployment.environment(), *command)
            for command in (("jobs", "list"), ("jobs", "show", "1"), ("status",), ("db", "current"))
        ]
        writer.execute("ROLLBACK")

    assert [answer.exit_code for answer in answers] == [0, 0, 0, 0]


def _through_a_closed_pipe(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose reader has gone, as after `| head -0`."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "outhaul", *arguments],
            env=dict(environment),
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_closed_pipe_is_no_traceback(
    sqlite_deployment: Deployment, flags: tuple[str, ...]
) -> None:
    """`outhaul jobs list | head` ends quietly."""

    _job(sqlite_deployment)
    environment = sqlite_deployment.environment()
    code, error = _through_a_closed_pipe(environment, "jobs", "list", *flags)

    assert (code, error) == (1, "")
