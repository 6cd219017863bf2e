from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from outhaul import config
from outhaul.config import FILE_VARIABLE, load, reveal
from outhaul.errors import ConfigError
from outhaul.settings import setting_names, without_password
from tests.unit.environments import OSS_ENVIRONMENT, S3_ENVIRONMENT

SECRET = "AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def everywhere(tmp_path: Path) -> dict[str, str]:
    """One secret in every place that a value may come from, with the place as its value."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / SECRET).write_text("credentials directory\n")
    (tmp_path / "secret").write_text("file\n")
    (tmp_path / "outhaul.toml").write_text(f'{SECRET} = "toml"\n')
    return {
        "CREDENTIALS_DIRECTORY": str(credentials),
        f"{SECRET}_FILE": str(tmp_path / "secret"),
        SECRET: "environment",
        FILE_VARIABLE: str(tmp_path / "outhaul.toml"),
    }


def found(environment: dict[str, str]) -> tuple[str | None, str | None]:
    """The value of the secret, and where it came from."""
    loaded = load(environment)
    secret = loaded.settings.aws_secret_access_key
    return secret.get_secret_value() if secret else None, loaded.sources.get(SECRET)


def complaint(environment: dict[str, str]) -> str | None:
    """What is said of an environment that is not usable; None of one that is."""
    try:
        load(environment)
    except ConfigError as error:
        return error.message
    return None


def test_the_better_guarded_place_wins(everywhere: dict[str, str]) -> None:
    """Credentials directory, then `*_FILE`, environment, TOML file, and at last the default."""

    toml = everywhere[FILE_VARIABLE]

    assert found(everywhere) == ("credentials directory", "credentials directory")
    del everywhere["CREDENTIALS_DIRECTORY"]
    assert found(everywhere) == ("file", f"{SECRET}_FILE")
    del everywhere[f"{SECRET}_FILE"]
    assert found(everywhere) == ("environment", "environment")
    del everywhere[SECRET]
    assert found(everywhere) == ("toml", toml)
    del everywhere[FILE_VARIABLE]
    assert found(everywhere) == (None, None)


def test_a_credentials_directory_may_hold_less(everywhere: dict[str, str]) -> None:
    """What has no credential of its own comes from elsewhere."""

    loaded = load(everywhere | {"AWS_REGION": "eu-west-1"})

    assert (loaded.settings.aws_region, loaded.sources["AWS_REGION"]) == (
        "eu-west-1",
        "environment",
    )


def test_an_empty_variable_is_not_set(everywhere: dict[str, str]) -> None:
    """`NAME=` in an environment file leaves the setting to the next place."""

    everywhere |= {"CREDENTIALS_DIRECTORY": "", f"{SECRET}_FILE": "", SECRET: ""}

    assert found(everywhere)[0] == "toml"
    assert found({SECRET: "", FILE_VARIABLE: ""})[0] is None


def test_a_toml_file_has_values_of_its_own_types(tmp_path: Path) -> None:
    """Numbers, booleans and lists need no quotes, and strings work as in the environment."""

    path = tmp_path / "outhaul.toml"
    path.write_text(
        "OUTHAUL_WORKERS = 3\n"
        "OUTHAUL_NOTIFY = true\n"
        "OUTHAUL_UPLOAD_RETRY_DELAYS = [1, 2.5]\n"
        'OUTHAUL_SOURCE_ROOTS = ["/a", "/b"]\n'
        'OUTHAUL_QUEUES = "one,two"\n'
    )
    settings = load({FILE_VARIABLE: str(path)}).settings

    assert (settings.workers, settings.notify) == (3, True)
    assert settings.upload_retry_delays == (1.0, 2.5)
    assert settings.source_roots == (Path("/a"), Path("/b"))
    assert settings.queues == ("one", "two")


@pytest.mark.parametrize(
    "content",
    [b"OUTHAUL_WORKERS = ", b"\xff\xfe", b'OUTHAUL_WORKER = 3\nAWS_REGION = "x"', b"[s3]\n"],
)
def test_a_toml_file_that_cannot_be_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bad syntax, another encoding or a misspelt setting stops the start and names the file."""

    path = tmp_path / "outhaul.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load({FILE_VARIABLE: str(path)})

    assert str(path) in caught.value.message


@pytest.mark.parametrize("name", [f"{SECRET}_FILE", FILE_VARIABLE])
@pytest.mark.parametrize("target", ["absent", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, target: str) -> None:
    """A named file that is missing, or a directory, is an error rather than a default."""

    with pytest.raises(ConfigError, match=f"^{name}: cannot read"):
        load({name: str(tmp_path / target)})


def test_a_secret_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A binary credential stops the start and names the setting."""

    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=f"^{SECRET}_FILE: cannot read"):
        load({f"{SECRET}_FILE": str(tmp_path / "secret")})


def test_nothing_shown_holds_a_secret() -> None:
    """What goes to a screen has stars for secrets, and is complete."""

    shown = load(
        S3_ENVIRONMENT
        | OSS_ENVIRONMENT
        | {
            "AWS_SESSION_TOKEN": "token-secret-canary",
            "OUTHAUL_DATABASE_URL": "postgresql://app:db-secret-canary@host/outbox",
        }
    )
    rows = shown.effective()

    assert [name for name, _, _ in rows] == list(setting_names())
    values = {name: value for name, value, _ in rows}
    assert values[SECRET] == values["ALICLOUD_OSS_ACCESS_KEY_SECRET"] == "***"
    assert values["OUTHAUL_DATABASE_URL"] == "postgresql://app:***@host/outbox"
    assert values["S3_BUCKET_NAME"] == "translide"
    assert values["USE_OSS_STORAGE"] is True
    assert "canary" not in repr(rows)
    assert "canary" not in repr(shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://app:p%40ss@host/db", "postgresql://app:***@host/db"),
        ("postgresql://app:a/b+c=@host/db", "postgresql://app:***@host/db"),
        ("postgresql://app:a:b@host:5432/db", "postgresql://app:***@host:5432/db"),
        ("postgresql://app:a@b@host/db", "postgresql://app:***@host/db"),
        ("mysql+pymysql://:pass@host/db", "mysql+pymysql://:***@host/db"),
        (
            "postgresql://host/db?user=app&password=p&sslpassword=q&sslmode=require",
            "postgresql://host/db?user=app&password=***&sslpassword=***&sslmode=require",
        ),
        ("postgresql://app@host:5432/db", "postgresql://app@host:5432/db"),
        ("sqlite:////var/spool/out@haul.db", "sqlite:////var/spool/out@haul.db"),
    ],
)
def test_a_database_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """Whatever characters a password holds, none of them is shown, and the rest is."""

    assert without_password(url) == shown


@pytest.mark.parametrize("name", sorted(setting_names()))
def test_no_complaint_quotes_a_value(name: str) -> None:
    """A secret that was put under the wrong name does not end up in a log."""

    told = complaint({name: "://mistaken-canary"})

    assert told is None or told.startswith(f"{name}: ")
    assert "canary" not in (told or "")


def test_a_secret_that_must_be_there() -> None:
    """A missing credential is a configuration error, not a crash in an SDK."""

    assert reveal(SecretStr("text")) == "text"
    with pytest.raises(ConfigError, match="credential is missing"):
        reveal(None)


@pytest.mark.parametrize(("environment", "used"), [({}, False), (OSS_ENVIRONMENT, True)])
def test_the_guides_own_question_is_answered(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], used: bool
) -> None:
    """`config.USE_OSS_STORAGE` says whether OSS is in force, in the current environment."""

    for name in (*OSS_ENVIRONMENT, "USE_OSS_STORAGE", FILE_VARIABLE, "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert config.USE_OSS_STORAGE is used


def test_config_has_no_other_answers() -> None:
    """A misspelt attribute is an AttributeError as anywhere."""

    with pytest.raises(AttributeError, match="USE_OSS_STORAG"):
        config.USE_OSS_STORAG  # noqa: B018


def test_the_guides_own_command_works() -> None:
    """The one-liner of the setup guide prints True once all five are set."""

    command = "from outhaul import config; print(config.USE_OSS_STORAGE)"
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = inherited | OSS_ENVIRONMENT
    told = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )

    assert told.stdout == "True\n"
