"""`outhaul config`: what is in force, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from outhaul.config import FILE_VARIABLE, load
from outhaul.settings import Settings, setting_names
from tests.support.command import outhaul

_OSS = {
    "ALICLOUD_OSS_ACCESS_KEY_ID": "an-id",
    "ALICLOUD_OSS_ACCESS_KEY_SECRET": "a-secret",
    "ALICLOUD_OSS_BUCKET_NAME": "a-bucket",
    "ALICLOUD_OSS_ENDPOINT": "oss-eu-central-1.aliyuncs.com",
    "ALICLOUD_OSS_REGION": "eu-central-1",
}

_S3 = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "S3_BUCKET_NAME": "bucket"}

#: Every setting whose value no screen may show.
_SECRETS = [
    str(field.alias)
    for field in Settings.model_fields.values()
    if "SecretStr" in str(field.annotation)
]


def _settings(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = outhaul(environment, "config", "--json").data["settings"]
    return settings


def test_every_setting_is_shown_with_its_source() -> None:
    """All names, none left out, each with the value in force and `default` where nobody set it."""

    settings = _settings({"OUTHAUL_WORKERS": "3"})

    assert list(settings) == list(setting_names())
    assert settings["OUTHAUL_WORKERS"] == {"value": 3, "source": "environment"}
    assert settings["OUTHAUL_UPLOAD_RETRY_DELAYS"] == {"value": [5, 15, 30], "source": "default"}


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    """Credentials directory, then `*_FILE`, then the environment, then the TOML file."""

    name, toml = "S3_BUCKET_NAME", tmp_path / "outhaul.toml"
    toml.write_text(f'{name} = "from-toml"\n')
    (tmp_path / "file").write_text("from-file\n")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / name).write_text("from-credentials\n")
    layers = [
        ({FILE_VARIABLE: str(toml)}, "from-toml", str(toml)),
        ({name: "from-environment"}, "from-environment", "environment"),
        ({f"{name}_FILE": f"{tmp_path}/file"}, "from-file", f"{name}_FILE"),
        (
            {"CREDENTIALS_DIRECTORY": f"{tmp_path}/credentials"},
            "from-credentials",
            "credentials directory",
        ),
    ]
    environment: dict[str, str] = {}

    for layer, value, source in layers:
        environment |= layer
        assert _settings(environment)[name] == {"value": value, "source": source}


def test_people_see_values_as_they_would_write_them() -> None:
    """A value can be copied from the table into the environment, and means the same there."""

    given = {"OUTHAUL_SOURCE_ROOTS": "/a:/b", "OUTHAUL_QUEUES": "x,y", "OUTHAUL_NOTIFY": "yes"}
    lines = outhaul(given, "config").out.splitlines()
    shown = {line.split()[0]: line.split()[1:] for line in lines if not line.startswith(" ")}

    for name, value, source in (
        ("OUTHAUL_SOURCE_ROOTS", "/a:/b", "environment"),
        ("OUTHAUL_QUEUES", "x,y", "environment"),
        ("OUTHAUL_NOTIFY", "true", "environment"),
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", "5,15,30", "default"),
        ("OUTHAUL_MINIMUM_BYTES_PER_SECOND", "1048576", "default"),
    ):
        assert shown[name] == [value, source]
        assert load({name: value}).settings == load({name: given.get(name, "")}).settings


def test_the_chain_is_shown() -> None:
    """The stores in the order in which they are tried, or that there are none."""

    local = {"OUTHAUL_LOCAL_DIR": "/var/local"}

    for environment, chain, told in (
        ({}, [], "none"),
        (_S3, ["s3"], "s3"),
        (_OSS | local, ["oss", "local"], "oss -> local"),
        (_S3 | _OSS | local, ["s3", "oss", "local"], "s3 -> oss -> local"),
    ):
        assert outhaul(environment, "config", "--json").data["chain"] == chain
        assert outhaul(environment, "config").out.startswith(f"stores, in order: {told}\n")


def test_use_oss_storage_is_shown_as_in_force() -> None:
    """On by itself once all five OSS settings are there; what is written goes before."""

    four = {name: value for name, value in _OSS.items() if name != "ALICLOUD_OSS_REGION"}

    for environment, value, source in (
        ({}, False, "default"),
        (four, False, "default"),
        (_OSS, True, "default"),
        (_OSS | {"USE_OSS_STORAGE": "false"}, False, "environment"),
        (_OSS | {"USE_OSS_STORAGE": "true"}, True, "environment"),
    ):
        assert _settings(environment)["USE_OSS_STORAGE"] == {"value": value, "source": source}


@pytest.mark.parametrize("name", _SECRETS)
def test_a_secret_is_masked(name: str) -> None:
    """Stars stand for it, in the table and in JSON, even if it looks like an address."""

    assert len(_SECRETS) >= 6
    environment = {name: "https://user:canary-7d1f@host"}
    shown, data = outhaul(environment, "config"), outhaul(environment, "config", "--json")

    assert "canary" not in shown.out + shown.err + data.out + data.err
    assert "***" in str(data.data["settings"][name]["value"])
    assert data.data["settings"][name]["source"] == "environment"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:canary@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:can/ary@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:can:a@ry@host/name", "postgresql://me:***@host/name"),
        ("postgresql://:canary@host/name", "postgresql://:***@host/name"),
        ("postgresql://me@host/name?password=canary&x=1", "postgresql://me@host/name?password=***&x=1"),
        ("mysql://me@host/name?x=1&ssl_key_Passphrase=canary", None),
        ("sqlite:////var/spool/outhaul/outbox.db", "sqlite:////var/spool/outhaul/outbox.db"),
        ("canary", "***"),
    ],
)  # fmt: skip
def test_a_database_url_is_shown_without_its_password(url: str, shown: str | None) -> None:
    """Whatever characters the password is made of, and wherever it stands."""

    answer = outhaul({"OUTHAUL_DATABASE_URL": url}, "config", "--json")

    assert "canary" not in answer.out
    assert "ary" not in answer.data["settings"]["OUTHAUL_DATABASE_URL"]["value"]
    if shown:
        assert answer.data["settings"]["OUTHAUL_DATABASE_URL"]["value"] == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OUTHAUL_WORKERS", "many"),
        ("OUTHAUL_WORKERS", "0"),
        ("OUTHAUL_UPLOAD_RETRY_DELAYS", "5,-1"),
        ("OUTHAUL_RETRY_JITTER", "0.5"),
        ("OUTHAUL_LOG_FORMAT", "xml"),
        ("OUTHAUL_VERIFY", "hope"),
        ("OUTHAUL_QUEUES", ","),
        ("OUTHAUL_SOURCE_ROOTS", "relative"),
        ("OUTHAUL_SOURCE_ROOTS", "/"),
        ("OUTHAUL_DATABASE_SCHEMA", "a;b"),
        ("USE_OSS_STORAGE", "perhaps"),
        ("USE_OSS_STORAGE", "true"),
        ("S3_ENDPOINT_URL", "http://example.com"),
        ("S3_ENDPOINT_URL", "https://me:canary@example.com"),
        ("ALICLOUD_OSS_ENDPOINT", "oss.example.com"),
        ("ALICLOUD_OSS_ENDPOINT", "http://me:canary@127.0.0.1"),
        (FILE_VARIABLE, "/nowhere/outhaul.toml"),
        ("AWS_SECRET_ACCESS_KEY_FILE", "/nowhere/secret"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    """Exit code 78, the setting's name, no traceback, and nothing of what might be a secret."""

    told = outhaul({name: value}, "config")
    code, message = outhaul({name: value}, "config", "--json").error

    assert (told.exit_code, told.out, code) == (78, "", "CONFIG")
    assert name.removesuffix("_FILE") in message
    assert told.err == f"outhaul: {message}\n"
    assert "canary" not in message


def test_all_bad_settings_are_named_at_once() -> None:
    """Nobody wants to find them one by one."""

    environment = {"OUTHAUL_WORKERS": "0", "OUTHAUL_LOG_LEVEL": "LOUD", "OUTHAUL_NOTIFY": "maybe"}
    _, message = outhaul(environment, "config", "--json").error

    assert [name for name in environment if name not in message] == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('OUTHAUL_WORKER = 3\nAWS_SECRET_ACCESS_KEY = "canary"', "OUTHAUL_WORKER"),
        ('AWS_SECRET_ACCESS_KEY = "canary" oops', "outhaul.toml"),
        ('OUTHAUL_WORKERS = "canary"', "OUTHAUL_WORKERS"),
        ('AWS_SECRET_ACCESS_KEY = ["canary"]', "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str, word: str) -> None:
    """Unknown names, broken TOML and wrong types name the place, and quote no value."""

    file = tmp_path / "outhaul.toml"
    file.write_text(content)
    answer = outhaul({FILE_VARIABLE: str(file)}, "config", "--json")

    assert (answer.exit_code, answer.error[0]) == (78, "CONFIG")
    assert word in answer.error[1]
    assert "canary" not in answer.error[1]


def test_the_file_may_hold_everything(tmp_path: Path) -> None:
    """Numbers, lists and text in TOML are the settings of the environment."""

    file = tmp_path / "outhaul.toml"
    file.write_text(
        'OUTHAUL_WORKERS = 3\nOUTHAUL_UPLOAD_RETRY_DELAYS = [1, 2.5]\nAWS_SECRET_ACCESS_KEY = "k"\n'
        'OUTHAUL_SOURCE_ROOTS = ["/a", "/b"]\nUSE_OSS_STORAGE = false\n'
    )
    loaded = load({FILE_VARIABLE: str(file)}).settings

    assert (loaded.workers, loaded.upload_retry_delays) == (3, (1, 2.5))
    assert loaded.source_roots == (Path("/a"), Path("/b"))
    assert loaded.aws_secret_access_key == SecretStr("k")
    assert outhaul({FILE_VARIABLE: str(file)}, "config").exit_code == 0
