from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from outhaul.config import load
from outhaul.errors import ConfigError
from outhaul.models import Operation, StoreName
from outhaul.policy import RETRYABLE_CODES
from outhaul.settings import Settings, setting_names
from tests.unit.environments import OSS_ENVIRONMENT, S3_ENVIRONMENT

#: What people write into their environment, and what holds if they do not.
DEFAULTS: dict[str, Any] = {
    "AWS_ACCESS_KEY_ID": None,
    "AWS_SECRET_ACCESS_KEY": None,
    "AWS_SESSION_TOKEN": None,
    "AWS_REGION": "us-east-1",
    "S3_BUCKET_NAME": None,
    "S3_ENDPOINT_URL": None,
    "OUTHAUL_S3_CHECKSUM": "sha256",
    "ALICLOUD_OSS_ACCESS_KEY_ID": None,
    "ALICLOUD_OSS_ACCESS_KEY_SECRET": None,
    "ALICLOUD_OSS_BUCKET_NAME": None,
    "ALICLOUD_OSS_ENDPOINT": None,
    "ALICLOUD_OSS_REGION": None,
    "OUTHAUL_OSS_ANY_ENDPOINT": False,
    "USE_OSS_STORAGE": None,
    "OUTHAUL_DATABASE_URL": SecretStr("sqlite:////var/spool/outhaul/outbox.db"),
    "OUTHAUL_DATABASE_SCHEMA": None,
    "OUTHAUL_NOTIFY": False,
    "OUTHAUL_SOURCE_ROOTS": (Path("/var/spool/outhaul"),),
    "OUTHAUL_MAX_SOURCE_BYTES": 5 * 1024**4,
    "OUTHAUL_LOCAL_DIR": None,
    "OUTHAUL_UPLOAD_RETRY_DELAYS": (5.0, 15.0, 30.0),
    "OUTHAUL_URL_RETRY_DELAYS": (2.0, 5.0, 10.0),
    "OUTHAUL_DELETE_RETRY_DELAYS": (2.0, 5.0, 10.0),
    "OUTHAUL_RETRYABLE_CODES": tuple(sorted(RETRYABLE_CODES)),
    "OUTHAUL_RETRY_JITTER": 0.1,
    "OUTHAUL_VERIFY": "answer",
    "OUTHAUL_ATTEMPT_TIMEOUT_SECONDS": 30.0,
    "OUTHAUL_MINIMUM_BYTES_PER_SECOND": 1048576.0,
    "OUTHAUL_CONNECT_TIMEOUT_SECONDS": 5.0,
    "OUTHAUL_CA_BUNDLE": None,
    "OUTHAUL_WORKERS": 8,
    "OUTHAUL_PROCESSES": 1,
    "OUTHAUL_QUEUES": ("default",),
    "OUTHAUL_LEASE_SECONDS": 90.0,
    "OUTHAUL_POLL_SECONDS": 0.1,
    "OUTHAUL_RESCUE_SECONDS": 15.0,
    "OUTHAUL_DRAIN_SECONDS": 20.0,
    "OUTHAUL_LOG_FORMAT": "console",
    "OUTHAUL_LOG_LEVEL": "INFO",
}


def settings(**environment: str) -> Settings:
    """The settings of an environment that holds nothing else."""
    return load(environment).settings


def test_every_setting_has_its_name_and_default() -> None:
    """Names and defaults are a promise: none comes, goes or changes unnoticed."""

    nothing_set = settings()

    assert {
        name: getattr(nothing_set, field) for name, field in setting_names().items()
    } == DEFAULTS


def test_settings_do_not_change() -> None:
    """A running daemon has one configuration."""

    with pytest.raises(ValidationError, match="frozen"):
        settings().workers = 9


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", "1, 2.5,3", (1.0, 2.5, 3.0)),
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", "0", (0.0,)),
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", ",", ()),
        ("OUTHAUL_RETRYABLE_CODES", "SlowDown, MyProxySaysNo", ("SlowDown", "MyProxySaysNo")),
        ("OUTHAUL_QUEUES", "default,host-1", ("default", "host-1")),
        ("OUTHAUL_SOURCE_ROOTS", "/a:/b/c", (Path("/a"), Path("/b/c"))),
        ("OUTHAUL_LOCAL_DIR", "/srv/local", Path("/srv/local")),
        ("OUTHAUL_VERIFY", "download", "download"),
        ("OUTHAUL_NOTIFY", "true", True),
        ("OUTHAUL_WORKERS", "1", 1),
        ("OUTHAUL_WORKERS", "256", 256),
        ("OUTHAUL_LEASE_SECONDS", "1", 1.0),
        ("OUTHAUL_POLL_SECONDS", "0.01", 0.01),
        ("OUTHAUL_POLL_SECONDS", "60", 60.0),
        ("OUTHAUL_QUEUES", "host-1", ("host-1",)),
        ("OUTHAUL_RETRY_JITTER", "0", 0.0),
        ("OUTHAUL_LOG_LEVEL", "DEBUG", "DEBUG"),
    ],
)
def test_text_becomes_a_value(name: str, text: str, value: object) -> None:
    """Lists are separated by commas, directories by colons, as in PATH."""

    assert getattr(settings(**{name: text}), setting_names()[name]) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OUTHAUL_WORKERS", "0"),
        ("OUTHAUL_WORKERS", "257"),
        ("OUTHAUL_WORKERS", "many"),
        ("OUTHAUL_POLL_SECONDS", "0"),
        ("OUTHAUL_POLL_SECONDS", "61"),
        ("OUTHAUL_LEASE_SECONDS", "0.5"),
        ("OUTHAUL_RETRY_JITTER", "0.2"),
        ("OUTHAUL_RETRY_JITTER", "-0.1"),
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", "5,-1"),
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", "soon"),
        ("OUTHAUL_MAX_SOURCE_BYTES", "0"),
        ("OUTHAUL_ATTEMPT_TIMEOUT_SECONDS", "0"),
        ("OUTHAUL_QUEUES", ","),
        ("OUTHAUL_VERIFY", "trust"),
        ("OUTHAUL_S3_CHECKSUM", "crc32"),
        ("OUTHAUL_LOG_FORMAT", "xml"),
        ("OUTHAUL_LOG_LEVEL", "info"),
        ("OUTHAUL_DATABASE_SCHEMA", "a; DROP TABLE b"),
        ("USE_OSS_STORAGE", "perhaps"),
        ("OUTHAUL_SOURCE_ROOTS", "spool"),
        ("OUTHAUL_SOURCE_ROOTS", "/"),
        ("OUTHAUL_SOURCE_ROOTS", "//"),
        ("OUTHAUL_SOURCE_ROOTS", "/spool:/"),
        ("OUTHAUL_SOURCE_ROOTS", "/spool/.."),
        ("OUTHAUL_SOURCE_ROOTS", ":"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, text: str) -> None:
    """A wrong setting stops the start, and the message says which one it is."""

    with pytest.raises(ConfigError, match=f"^{name}: "):
        settings(**{name: text})


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Two wrong settings are two complaints in one message."""

    with pytest.raises(ConfigError, match="OUTHAUL_QUEUES") as caught:
        settings(OUTHAUL_WORKERS="0", OUTHAUL_QUEUES=",")

    assert "OUTHAUL_WORKERS" in caught.value.message


@pytest.mark.parametrize("missing", sorted(OSS_ENVIRONMENT))
def test_oss_needs_all_five(missing: str) -> None:
    """Without being told, OSS is used exactly when its five settings are there."""

    four = {name: value for name, value in OSS_ENVIRONMENT.items() if name != missing}

    assert settings(**OSS_ENVIRONMENT).use_oss
    assert not settings(**four).use_oss


def test_oss_can_be_switched_off() -> None:
    """`USE_OSS_STORAGE=false` outweighs its five settings."""

    assert not settings(**OSS_ENVIRONMENT, USE_OSS_STORAGE="false").use_oss


@pytest.mark.parametrize("missing", sorted(OSS_ENVIRONMENT))
def test_oss_cannot_be_switched_on_without_its_five(missing: str) -> None:
    """A fallback that is asked for and cannot work is said at the start, not in an outage."""

    four = {name: value for name, value in OSS_ENVIRONMENT.items() if name != missing}

    with pytest.raises(ConfigError, match="USE_OSS_STORAGE is on"):
        settings(**four, USE_OSS_STORAGE="true")


@pytest.mark.parametrize(
    ("environment", "chain"),
    [
        ({}, ()),
        (S3_ENVIRONMENT, ("s3",)),
        (OSS_ENVIRONMENT, ("oss",)),
        ({"OUTHAUL_LOCAL_DIR": "/srv/local"}, ("local",)),
        (
            {"OUTHAUL_LOCAL_DIR": "/srv/local"} | OSS_ENVIRONMENT | S3_ENVIRONMENT,
            ("s3", "oss", "local"),
        ),
        (S3_ENVIRONMENT | OSS_ENVIRONMENT | {"USE_OSS_STORAGE": "false"}, ("s3",)),
        ({name: S3_ENVIRONMENT[name] for name in ("S3_BUCKET_NAME",)}, ()),
    ],
)
def test_the_chain_is_what_is_configured(
    environment: dict[str, str], chain: tuple[str, ...]
) -> None:
    """S3, then OSS, then the local directory, each only if its settings are complete."""

    assert settings(**environment).chain == tuple(StoreName(name) for name in chain)


def test_the_retry_policy_is_in_the_settings() -> None:
    """Delays, codes and jitter of the environment are those that decide."""

    rules = settings(
        **S3_ENVIRONMENT,
        OUTHAUL_UPLOAD_RETRY_DELAYS="1,2",
        OUTHAUL_DELETE_RETRY_DELAYS="3",
        OUTHAUL_RETRYABLE_CODES="SlowDown",
        OUTHAUL_RETRY_JITTER="0.05",
    ).rules

    assert rules.chain == (StoreName.S3,)
    assert rules.delays == {Operation.UPLOAD: (1.0, 2.0), Operation.DELETE: (3.0,)}
    assert (rules.retryable_codes, rules.jitter) == (frozenset({"SlowDown"}), 0.05)
