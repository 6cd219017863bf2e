"""`outhaul doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from outhaul import migrate
from tests.support.command import Answer, outhaul
from tests.support.deployment import Deployment

_STEPS = ["put and prove", "head", "get", "download link", "delete"]


def _findings(answer: Answer) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in answer.envelope["data"]}


def _verdicts(answer: Answer, verdict: str) -> list[str]:
    return [name for name, found in _findings(answer).items() if found["verdict"] == verdict]


def _examine(deployment: Deployment, *arguments: str, **overrides: str) -> Answer:
    return outhaul(deployment.environment(**overrides), "doctor", "--json", *arguments)


def test_a_good_setup_passes(deployment: Deployment) -> None:
    """Database, clock, directories and every store's steps are checked; nothing stays behind."""

    # The test servers run with their default durability, which is the one that doctor wants.
    local = {"OUTHAUL_LOCAL_DIR": str(deployment.local)}
    answer = _examine(deployment, **local)
    shown = outhaul(deployment.environment(**local), "doctor")

    assert (answer.exit_code, shown.exit_code) == (0, 0)
    assert _verdicts(answer, "failed") == _verdicts(answer, "warning") == []
    for store in ("s3", "oss", "local"):
        assert {f"{store}: {step}" for step in _STEPS} <= _findings(answer).keys()
    assert _findings(answer)["database"]["found"].endswith(f"schema {migrate.head()}")
    assert shown.out.endswith("everything works\n")
    assert deployment.oss.objects == {}
    assert [file for file in deployment.local.rglob("*") if file.is_file()] == []
    assert _keys_in_s3(deployment) == []


def _keys_in_s3(deployment: Deployment) -> list[str]:
    client, bucket = deployment.seaweed.client(), deployment.seaweed.bucket
    listed = client.list_objects_v2(Bucket=bucket, Prefix="outhaul-doctor/")
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_a_wrong_secret_is_found(sqlite_deployment: Deployment) -> None:
    """S3's refusal is named with its code and its settings; OSS is examined all the same."""

    answer = _examine(sqlite_deployment, AWS_SECRET_ACCESS_KEY="canary-of-a-secret")

    found = _findings(answer)["s3: put and prove"]
    assert (answer.exit_code, answer.error[0]) == (1, "FAILED")
    assert _verdicts(answer, "failed") == ["s3: put and prove"]
    assert found["found"].startswith("SignatureDoesNotMatch")
    assert "AWS_*" in found["advice"]
    assert _findings(answer)["oss: delete"]["verdict"] == "ok"
    assert "canary" not in answer.out + answer.err


def test_a_store_that_is_down_is_found(sqlite_deployment: Deployment) -> None:
    """OSS refuses connections: NetworkError, its settings, and no traceback; S3 is fine."""

    sqlite_deployment.oss_front.refuse("closed")
    answer = _examine(sqlite_deployment)
    shown = outhaul(sqlite_deployment.environment(), "doctor")

    assert (answer.exit_code, shown.exit_code) == (1, 1)
    assert _verdicts(answer, "failed") == ["oss: put and prove"]
    assert _findings(answer)["oss: put and prove"]["found"].startswith("NetworkError")
    assert "ALICLOUD_OSS_*" in _findings(answer)["oss: put and prove"]["advice"]
    assert f"1 of {len(_findings(answer))} checks failed" in shown.out


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:word@127.0.0.1:9/name",
        "mysql://user:word@127.0.0.1:9/name",
        "sqlite:////nowhere/outbox.db",
        "postgresql://user:word@host:port/name",
    ],
)
def test_a_database_that_cannot_be_used_is_found(sqlite_deployment: Deployment, url: str) -> None:
    """The database's finding names the setting, and the stores are examined all the same."""

    answer = _examine(sqlite_deployment, OUTHAUL_DATABASE_URL=url)

    found = _findings(answer)["database"]
    assert answer.exit_code == 1
    assert _verdicts(answer, "failed") == ["database"]
    assert "OUTHAUL_DATABASE_URL" in found["found"] + found["advice"]
    assert "word" not in found["found"]
    assert _findings(answer)["s3: delete"]["verdict"] == "ok"


def test_a_database_without_outbox_is_found(deployment: Deployment) -> None:
    """A database that was never set up is told from one that is away."""

    migrate.downgrade(deployment.engine)
    answer = _examine(deployment)

    assert answer.exit_code == 1
    assert _verdicts(answer, "failed") == ["database"]
    assert "run `outhaul db upgrade`" in _findings(answer)["database"]["found"]


def test_a_world_writable_root_is_a_warning(sqlite_deployment: Deployment) -> None:
    """Anybody could have files uploaded: said, with the command, but it does not fail."""

    sqlite_deployment.spool.chmod(0o777)
    answer = _examine(sqlite_deployment)
    shown = outhaul(sqlite_deployment.environment(), "doctor").out

    assert answer.exit_code == 0
    (check,) = _verdicts(answer, "warning")
    assert check == f"source root {sqlite_deployment.spool}"
    assert _findings(answer)[check]["advice"] == f"chmod o-w {sqlite_deployment.spool}"
    assert "everything works; 1 of " in shown


def test_a_root_that_is_not_there_is_found(sqlite_deployment: Deployment) -> None:
    """A missing source root fails, with the command that makes it."""

    shutil.rmtree(sqlite_deployment.spool)
    answer = _examine(sqlite_deployment)

    assert answer.exit_code == 1
    assert _verdicts(answer, "failed") == [f"source root {sqlite_deployment.spool}"]


def test_no_store_at_all_is_found(sqlite_deployment: Deployment) -> None:
    """Without any store's settings, doctor names them."""

    answer = _examine(sqlite_deployment, S3_BUCKET_NAME="", ALICLOUD_OSS_BUCKET_NAME="")

    assert answer.exit_code == 1
    assert _verdicts(answer, "failed") == ["stores"]


def test_a_file_of_ones_own_is_tried(sqlite_deployment: Deployment) -> None:
    """FILE goes through both clouds, in parts if it is large, from wherever it lies."""

    file = sqlite_deployment.directory / "mine.bin"
    file.write_bytes(os.urandom(9 << 20))
    answer = _examine(sqlite_deployment, str(file))

    assert answer.exit_code == 0
    for store in ("s3", "oss"):
        found = _findings(answer)
        assert found[f"{store}: put and prove"]["found"].startswith(f"{9 << 20} bytes, proven by ")
        assert found[f"{store}: get"]["found"] == "byte-equal"
    assert file.stat().st_size == 9 << 20
    assert sqlite_deployment.oss.objects == {}


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe"])
def test_a_file_that_cannot_be_read_is_no_traceback(
    sqlite_deployment: Deployment, tmp_path: Path, kind: str
) -> None:
    """A name with nothing behind it, a directory, or a pipe nobody writes to: exit code 1."""

    file = tmp_path / "given"
    {"missing": lambda _: None, "directory": os.mkdir, "pipe": os.mkfifo}[kind](file)
    answer = _examine(sqlite_deployment, str(file))

    assert answer.exit_code == 1
    assert str(file) in answer.error[1]
    assert sqlite_deployment.puts() == []


@pytest.mark.parametrize("store", ["s3", "oss"])
def test_the_retries_can_be_watched(store: str) -> None:
    """`--retry` makes four attempts live, with the waits in between, and needs no account."""

    environment = {"OUTHAUL_UPLOAD_RETRY_DELAYS": "0.01,0.02,0.03", "OUTHAUL_RETRY_JITTER": "0"}
    answer = outhaul(environment, "doctor", "--retry", store, "--json")
    shown = outhaul(environment, "doctor", "--retry", store)

    steps = [(step["attempt"], step["code"], step["wait"]) for step in answer.data["steps"]]
    assert [step[0] for step in steps] == [1, 2, 3, 4]
    assert {step[1] for step in steps} == {"SlowDown"}
    assert [step[2] for step in steps] == [0.01, 0.02, 0.03, None]
    assert len(answer.err.splitlines()) == 4
    assert f"{store} attempt 4: SlowDown, " in answer.err
    assert (shown.exit_code, shown.out) == (0, "4 attempts, 0.1 s of waiting\n")


def test_the_rehearsal_touches_no_real_store(sqlite_deployment: Deployment) -> None:
    """With accounts configured, `--retry` still talks to nobody but its own failing server."""

    delays = {"OUTHAUL_UPLOAD_RETRY_DELAYS": "0,0,0"}
    answer = outhaul(sqlite_deployment.environment(**delays), "doctor", "--retry", "s3")

    assert answer.exit_code == 0
    assert "falls back to oss" in answer.err
    assert sqlite_deployment.s3.requests == sqlite_deployment.oss_front.requests == []
