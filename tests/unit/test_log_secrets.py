from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from outhaul import logs
from tests.unit.log import Log, settle_one
from tests.unit.samples import SLOW_DOWN

#: What opens a door stands where `canary` does, in every spelling that SDKs and stores have.
REVEALING = [
    "https://b.s3.amazonaws.com/k?X-Amz-Credential=canary%2Fs3&X-Amz-Signature=canary&a=b",
    "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=canary",
    "https://b.oss-us-east-1.aliyuncs.com/k?OSSAccessKeyId=canary&Expires=1&Signature=canary%3D",
    "https://b.oss-us-east-1.aliyuncs.com/k?x-oss-credential=canary&x-oss-signature=canary",
    "https://b.oss-us-east-1.aliyuncs.com/k?security-token=canary",
    "Authorization: AWS4-HMAC-SHA256 Credential=canary, SignedHeaders=host, Signature=canary",
    "authorization: OSS4-HMAC-SHA256 Credential=canary,AdditionalHeaders=host,Signature=canary",
    "Authorization: OSS canary:canary/canary==",
    "Authorization: AWS canary:canary=",
    "Authorization: Basic canary==",
    "AUTHORIZATION:Bearer canary.canary",
    "{'Authorization': 'OSS canary:canary=', 'Host': 'b'}",
    '{"Authorization": "AWS4-HMAC-SHA256 Credential=canary, Signature=canary"}',
    "x-amz-security-token: canary",
    "{'x-oss-security-token': 'canary'}",
    "Signature=canary\\nHost: b",
]


@pytest.mark.parametrize("text", REVEALING)
def test_no_signature_gets_through(log: Log, text: str) -> None:
    """A signed URL or an Authorization header is masked in whatever field it turns up."""

    settle_one(replace(SLOW_DOWN, message=text))
    logs.failed_cycle("claim", RuntimeError(text))
    logs.source_kept(7, text)

    assert len(log.lines) == 3
    for line in log.lines:
        assert "canary" not in line
        assert "***" in line


@pytest.mark.parametrize(
    "text", [*REVEALING, 'ends in signature=canary"', 'signature="', "signature="]
)
def test_a_masked_line_is_still_json(json_log: Log, text: str) -> None:
    """Masking eats no quote and no escape: what programs read stays whole."""

    logs.source_kept(7, text)

    event = json_log.event()
    assert event["job_id"] == 7
    assert "canary" not in event["source_path"]


@pytest.mark.parametrize(
    "text",
    [
        "put answered 403: SignatureDoesNotMatch; check the secret key and the region",
        "reports/signatures/2026.pdf",
        "Authorization required",
    ],
)
def test_plain_words_are_left_alone(json_log: Log, text: str) -> None:
    """Only what looks like a secret is masked: codes and names stay searchable."""

    logs.source_kept(7, text)

    assert json_log.event()["source_path"] == text


@pytest.mark.parametrize(
    "name",
    [
        "boto3",
        "botocore",
        "botocore.auth",
        "s3transfer",
        "urllib3.connectionpool",
        "oss2",
        "oss2.api",
        "sqlalchemy.engine.Engine",
        "alembic.runtime.migration",
        "apscheduler.scheduler",
    ],
)
@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.usefixtures("restored_logging")
def test_sdks_are_silent_below_warnings(name: str, level: str) -> None:
    """At DEBUG they print Authorization headers: neither our level nor their own reaches them."""

    logging.getLogger(name.partition(".")[0]).setLevel(logging.DEBUG)
    logs.configure("console", level)

    assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    assert logging.getLogger(name).isEnabledFor(logging.ERROR)


@pytest.mark.usefixtures("restored_logging")
def test_a_skipped_tick_is_no_news() -> None:
    """The scheduler warns of every tick that comes while one runs: that would be a flood."""

    logs.configure("console", "INFO")

    assert not logging.getLogger("apscheduler.executors.default").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("text", REVEALING)
def test_what_a_library_warns_of_is_masked_too(log: Log, text: str) -> None:
    """A warning of an SDK obeys the same rules as our own events."""

    logging.getLogger("botocore.endpoint").warning("failed: %s", text)

    assert "canary" not in log.only()


def test_what_a_library_warns_of_is_one_line(log: Log) -> None:
    """A traceback or a hostile name in somebody else's words forges no line of ours."""

    logging.getLogger("urllib3").warning("a\n2026-01-01 INFO upload 999 done s3 \x1b[2J")
    logging.getLogger("apscheduler").error("raised", exc_info=RuntimeError("two\nlines"))

    assert len(log.lines) == 2
    assert all(line.isprintable() for line in log.lines)
