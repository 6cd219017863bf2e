"""Every command in every kind of database trouble: one line, one exit code, never a traceback."""

from __future__ import annotations

import sys

import pytest

from tests.support.command import Answer, outhaul
from tests.support.deployment import Deployment

#: Commands that work on the rows of an outbox.
_ON_ROWS = [
    "enqueue {file} key",
    "enqueue {file} key --wait",
    "jobs list",
    "jobs show 1",
    "retry 1",
    "cancel 1",
    "status",
]

#: Commands that open the database, whatever is in it.
_ON_DATABASE = [*_ON_ROWS, "db upgrade", "db current"]

#: Nobody listens on port 9 of loopback.
_AWAY = ["postgresql://me:canary@127.0.0.1:9/name", "mysql://me:canary@127.0.0.1:9/name"]

_UNUSABLE = {
    "no URL": "canary",
    "no number for a port": "postgresql://me:pw@host:canary/name",
    "an @ in the password": "postgresql://me:pw@canary@host/name",
    "unknown server": "oracle://me:canary@host/name",
    "unknown driver": "postgresql+canary://me@host/name",
    "missing driver": "mysql+mysqldb://me:canary@host/name",
    "unknown option": "mysql://me:canary@host/name?colour=blue",
    "missing directory": "sqlite:////nowhere/outbox.db",
}


def _run(line: str, environment: dict[str, str], file: object = "/spool/file") -> Answer:
    """Run a line twice, in words and in JSON: both must tell the same."""
    words = [part.format(file=file) for part in line.split()]
    told = outhaul(environment, *words)
    answer = outhaul(environment, *words, "--json")
    assert told.exit_code == answer.exit_code
    assert told.out == ""
    assert told.err.splitlines()[-1] == f"outhaul: {answer.error[1]}"
    assert "canary" not in told.err + answer.out + answer.err
    return answer


@pytest.mark.parametrize("line", _ON_DATABASE)
@pytest.mark.parametrize("url", _AWAY)
def test_a_server_that_is_away_is_unavailable(line: str, url: str) -> None:
    """Exit code 69, the driver's words, and the name of the setting to look at."""

    answer = _run(line, {"OUTHAUL_DATABASE_URL": url})

    assert (answer.exit_code, answer.error[0]) == (69, "DATABASE")
    assert "OUTHAUL_DATABASE_URL" in answer.error[1]
    assert "127.0.0.1" in answer.error[1]


@pytest.mark.parametrize("line", _ON_DATABASE)
@pytest.mark.parametrize("trouble", _UNUSABLE)
def test_a_url_that_cannot_work_is_a_configuration_error(line: str, trouble: str) -> None:
    """Exit code 78 with the setting's name; what may be a password is not repeated."""

    answer = _run(line, {"OUTHAUL_DATABASE_URL": _UNUSABLE[trouble]})

    assert (answer.exit_code, answer.error[0]) == (78, "CONFIG")
    assert "OUTHAUL_DATABASE_URL" in answer.error[1] or "does not work with" in answer.error[1]


@pytest.mark.parametrize("line", _ON_ROWS)
def test_a_database_without_outbox_is_told_what_to_do(line: str, database_url: str) -> None:
    """Exit code 78 and the command that makes the tables, not the server's "no such table"."""

    answer = _run(line, {"OUTHAUL_DATABASE_URL": database_url})

    assert (answer.exit_code, answer.error[0]) == (78, "SCHEMA")
    assert answer.error[1] == "the database holds no outbox: run `outhaul db upgrade`"


def _make_newer(deployment: Deployment) -> None:
    deployment.execute("UPDATE outhaul_version SET version_num = '9999'")


@pytest.mark.parametrize("line", [*_ON_ROWS, "db upgrade"])
def test_a_newer_outbox_is_left_alone(line: str, deployment: Deployment) -> None:
    """Exit code 78, both revisions named, nothing written: an older outhaul would do damage."""

    job_id = deployment.insert_file("a", status="failed")
    _make_newer(deployment)
    answer = _run(line, deployment.environment(), deployment.file("a"))

    assert (answer.exit_code, answer.error[0]) == (78, "SCHEMA")
    assert "9999" in answer.error[1]
    assert "version" in answer.error[1]
    assert [row["id"] for row in deployment.query("SELECT id FROM upload_outbox")] == [job_id]
    assert deployment.job(job_id)["status"] == "failed"


def test_a_newer_outbox_can_be_looked_at(deployment: Deployment) -> None:
    """`db current` shows both revisions, and `doctor` finds the difference."""

    _make_newer(deployment)
    current = outhaul(deployment.environment(), "db", "current")
    doctor = outhaul(deployment.environment(), "doctor", "--json")

    assert current.exit_code == 0
    assert current.out.splitlines()[1].split()[0] == "9999"
    assert "they differ" in current.out
    assert doctor.exit_code == 1
    (database,) = [f for f in doctor.envelope["data"] if f["check"] == "database"]
    assert "9999" in database["found"]


@pytest.mark.parametrize("command", ["run", "once"])
def test_a_newer_outbox_starts_no_daemon(sqlite_deployment: Deployment, command: str) -> None:
    """Neither `run` nor `once` touches an outbox of another version: exit code 78, no traceback."""

    job_id = sqlite_deployment.insert_file("a")
    _make_newer(sqlite_deployment)
    done = sqlite_deployment.outhaul(command)

    assert (done.returncode, done.stdout) == (78, "")
    assert "9999" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sqlite_deployment.job(job_id)["status"] == "pending"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--content-type", "x" * 300), "REFUSED"),
        (("--queue", "x" * 100), "REFUSED"),
        (("--dedupe-key", "x" * 300), "REFUSED"),
    ],
)
def test_what_the_database_refuses_is_said_in_one_line(
    deployment: Deployment, options: tuple[str, ...], code: str
) -> None:
    """A text too long for its column is exit code 1; the statement and its values stay inside."""

    file = str(deployment.file("a"))
    answer = outhaul(deployment.environment(), "enqueue", file, "secret-key", *options, "--json")

    if deployment.engine.dialect.name == "sqlite":
        assert answer.exit_code == 0  # SQLite's columns have no length
        return
    assert (answer.exit_code, answer.error[0]) == (1, code)
    assert "INSERT" not in answer.error[1]
    assert "secret-key" not in answer.error[1]
    assert deployment.query("SELECT id FROM upload_outbox") == []


def test_a_damaged_database_is_no_traceback(sqlite_deployment: Deployment) -> None:
    """A file that is no SQLite database is exit code 69 in every command."""

    file = sqlite_deployment.directory / "damaged.db"
    file.write_bytes(b"this is no database" * 1000)
    environment = {"OUTHAUL_DATABASE_URL": f"sqlite:///{file}"}

    for line in _ON_DATABASE:
        answer = _run(line, environment)
        assert (answer.exit_code, answer.error[0]) == (69, "DATABASE")
        assert "not a database" in answer.error[1]


def test_an_unexpected_error_is_one_line_too(
    sqlite_deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is named by its type, with exit code 1, and marked INTERNAL."""

    def fall_over(_engine: object) -> None:
        raise ZeroDivisionError("over\nand out")

    monkeypatch.setattr("outhaul.outbox.status.overview", fall_over)
    answer = _run("status", sqlite_deployment.environment())

    assert (answer.exit_code, answer.error[0]) == (1, "INTERNAL")
    assert answer.error[1] == "unexpected ZeroDivisionError: over and out"


@pytest.mark.parametrize("url", ["postgresql://host/name", "mysql://host/name"])
def test_a_driver_that_is_not_installed_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain install has no server's driver: the message says which extra brings it."""

    driver = "psycopg" if url.startswith("postgresql") else "pymysql"
    monkeypatch.setitem(sys.modules, driver, None)
    answer = _run("status", {"OUTHAUL_DATABASE_URL": url})

    assert (answer.exit_code, answer.error[0]) == (78, "CONFIG")
    assert driver in answer.error[1]
    assert "install outhaul[postgresql] or outhaul[mysql]" in answer.error[1]
