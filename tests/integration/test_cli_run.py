"""`outhaul run` and `outhaul once`: the daemon, as a process of its own."""

from __future__ import annotations

import json
import math

import pytest

from outhaul import migrate
from tests.support.deployment import Deployment

#: A server that is not there: the port is reserved, and nobody listens on it.
_AWAY = {
    "postgresql": "postgresql://user:word@127.0.0.1:9/name",
    "mysql": "mysql://user:word@127.0.0.1:9/name",
}


def test_run_serves_until_it_is_told_to_stop(sqlite_deployment: Deployment) -> None:
    """SIGTERM ends it with exit code 0, and its log is all that it printed."""

    with sqlite_deployment.daemon() as daemon:
        job_id = sqlite_deployment.insert_file("a")
        sqlite_deployment.wait_final(job_id)
        code = daemon.stop()

    assert code == 0
    assert len(daemon.events()) == len(daemon.text().splitlines())
    assert [daemon.events()[i]["event"] for i in (0, -1)] == ["outhaul is ready", "stopped"]


def test_once_uploads_what_is_due_and_leaves_what_waits(deployment: Deployment) -> None:
    """The outbox is drained; a job of the future stays as it is; the reply says how many wait."""

    due = [deployment.insert_file(f"{n}") for n in range(30)]
    file = str(deployment.file("later"))
    later = deployment.insert(
        storage_key="later", source_path=file, next_retry_at="2099-01-01 00:00:00"
    )
    done = deployment.outhaul("once")

    assert (done.returncode, done.stdout) == (0, "0 jobs are due, 1 wait for a later time\n")
    assert {deployment.job(job_id)["status"] for job_id in due} == {"done"}
    job = deployment.job(later)
    assert (job["status"], job["s3_attempts"], job["fence"]) == ("pending", 0, 0)


def test_once_does_not_sit_out_the_retries(sqlite_deployment: Deployment) -> None:
    """A refused upload is due later: `once` records the attempt and ends, it does not wait."""

    sqlite_deployment.s3.fail(status=503, code="SlowDown", times=math.inf)
    job_id = sqlite_deployment.insert_file("a")
    done = sqlite_deployment.outhaul("once", "--json", OUTHAUL_UPLOAD_RETRY_DELAYS="600")

    job = sqlite_deployment.job(job_id)
    assert (job["status"], job["s3_attempts"], job["last_error_code"]) == ("pending", 1, "SlowDown")
    assert done.returncode == 0
    data = json.loads(done.stdout)["data"]
    assert (data["due"], data["waiting_for_retry"], data["jobs"]["pending"]) == (0, 1, 1)


def test_once_with_nothing_to_do(sqlite_deployment: Deployment) -> None:
    """An empty outbox is no error."""

    done = sqlite_deployment.outhaul("once")

    assert (done.returncode, done.stdout) == (0, "0 jobs are due, 0 wait for a later time\n")


@pytest.mark.parametrize("server", _AWAY)
def test_once_does_not_wait_for_a_database(sqlite_deployment: Deployment, server: str) -> None:
    """Whoever calls `once` calls again: a database that is away is exit code 69, at once."""

    done = sqlite_deployment.outhaul("once", "--json", OUTHAUL_DATABASE_URL=_AWAY[server])

    assert (done.returncode, done.stderr) == (69, "")
    assert json.loads(done.stdout)["error"]["code"] == "DATABASE"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"OUTHAUL_WORKERS": "0"}, "OUTHAUL_WORKERS"),
        ({"S3_BUCKET_NAME": "", "USE_OSS_STORAGE": "false"}, "no store is configured"),
        ({"OUTHAUL_DATABASE_URL": "sqlite:////nowhere/outbox.db"}, "no directory /nowhere"),
        ({"OUTHAUL_DATABASE_URL": "mysql+mysqldb://host/name"}, "driver"),
    ],
)
@pytest.mark.parametrize("command", ["run", "once"])
def test_a_start_that_cannot_work_is_refused(
    sqlite_deployment: Deployment, command: str, overrides: dict[str, str], words: str
) -> None:
    """Exit code 78, which systemd does not restart, and one line on standard error."""

    done = sqlite_deployment.outhaul(command, **overrides)

    assert (done.returncode, done.stdout) == (78, "")
    (line,) = done.stderr.splitlines()
    assert words in line


def test_only_sqlite_is_set_up_by_a_start(deployment: Deployment) -> None:
    """An embedded outbox is nobody's but ours; a server's is made by `db upgrade` only."""

    migrate.downgrade(deployment.engine)
    done = deployment.outhaul("once")

    if deployment.engine.dialect.name == "sqlite":
        assert done.returncode == 0
        assert migrate.current(deployment.engine) == migrate.head()
    else:
        assert (done.returncode, done.stdout) == (78, "")
        assert "run `outhaul db upgrade`" in done.stderr
        assert migrate.current(deployment.engine) is None


def test_a_refusal_is_logged_in_the_format_asked_for(sqlite_deployment: Deployment) -> None:
    """Once the settings are read, also a refusal is one JSON event, for whoever collects them."""

    done = sqlite_deployment.outhaul("run", S3_BUCKET_NAME="", USE_OSS_STORAGE="false")

    (event,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (event["level"], event["event"]) == ("critical", "outhaul does not start")
    assert "no store is configured" in event["error"]
