"""Secrets stay where they are: in no output, no log, no row."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from urllib.parse import quote

from sqlalchemy import inspect, make_url

from tests.support.command import outhaul
from tests.support.deployment import Deployment

#: Secrets that open nothing, for the settings that hold some.
_WRONG = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws-secret/1",
    "AWS_SESSION_TOKEN": "canary-session+token",
    "ALICLOUD_OSS_ACCESS_KEY_SECRET": "canary-oss-secret",
}


#: The second `enqueue` is refused, and so are most of the others that change something.
_LINES = (
    *("config", "status", "doctor", "doctor --retry s3", "doctor --retry oss"),
    *("db current", "db sql", "jobs list", "jobs show 1", "jobs show 2", "jobs show 3"),
    *("retry 1 2", "cancel 1 2", "enqueue /f k --dedupe-key d", "enqueue /f k --dedupe-key d"),
)


def _spellings(secret: str) -> Iterable[str]:
    """A secret as it is, and as URLs and headers would have it."""
    yield from (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode())


def _dump(deployment: Deployment) -> str:
    tables = inspect(deployment.engine).get_table_names()
    assert "upload_attempts" in tables
    return "\n".join(str(deployment.query(f"SELECT * FROM {table}")) for table in tables)


def _every_answer(deployment: Deployment, **overrides: str) -> str:
    """What all commands print that look at things."""
    environment = deployment.environment(**overrides)
    told = []
    for line in _LINES:
        for flags in ((), ("--json",)):
            answer = outhaul(environment, *line.split(), *flags)
            told += [answer.out, answer.err]
    return "\n".join(told)


def _assert_absent(secrets: Iterable[str], *texts: str) -> None:
    spelt = [spelling for secret in secrets for spelling in _spellings(secret)]
    assert [secret for text in texts for secret in spelt if secret in text] == []


def test_working_secrets_are_told_to_nobody(deployment: Deployment) -> None:
    """Uploads, refusals, doctor, DEBUG logs and rows hold no cloud's secret nor the database's."""

    overrides = {"OUTHAUL_LOG_LEVEL": "DEBUG", "OUTHAUL_UPLOAD_RETRY_DELAYS": "0,0,0"}
    with deployment.daemon(**overrides) as daemon:
        good = [deployment.insert_file("a"), deployment.insert_file("b", b"x" * (9 << 20))]
        deployment.wait_final(*good)
        deployment.s3.fail(status=403, code="AccessDenied", times=math.inf)
        deployment.oss_front.fail(status=503, code="SlowDown", times=math.inf)
        bad = deployment.insert_file("c")
        deployment.wait_final(bad)
        daemon.stop()
    told = _every_answer(deployment, **overrides)

    password = make_url(deployment.database_url).password
    secrets = [deployment.seaweed.secret_key, deployment.oss.identity["access_key_secret"]]
    assert deployment.seaweed.bucket in told
    assert len(deployment.attempts(bad)) == 5
    _assert_absent([*secrets, *([password] if password else [])], told, daemon.text())
    _assert_absent(secrets, _dump(deployment))
    assert "AWS4-HMAC" not in told + daemon.text() + _dump(deployment)


def test_wrong_secrets_are_told_to_nobody(sqlite_deployment: Deployment) -> None:
    """A refused secret, too, may be one that opens something else."""

    overrides = {**_WRONG, "OUTHAUL_LOG_LEVEL": "DEBUG", "OUTHAUL_UPLOAD_RETRY_DELAYS": "0,0,0"}
    with sqlite_deployment.daemon(**overrides) as daemon:
        job_id = sqlite_deployment.insert_file("a")
        (job,) = sqlite_deployment.wait_final(job_id)
        daemon.stop()
    told = _every_answer(sqlite_deployment, **overrides)

    assert job["status"] == "failed"
    assert {row["store"] for row in sqlite_deployment.attempts(job_id)} == {"s3", "oss"}
    _assert_absent(_WRONG.values(), told, daemon.text(), _dump(sqlite_deployment))
