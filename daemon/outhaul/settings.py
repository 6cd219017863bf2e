"""Every setting: its name in the environment, its default, its meaning. Frozen once loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

from outhaul.models import Operation, StoreName
from outhaul.policy import MAX_JITTER, RETRYABLE_CODES, Rules
from outhaul.uploader import Verify


def _split(separator: str) -> BeforeValidator:
    def split(value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(separator) if item.strip()]
        return value

    return BeforeValidator(split)


Delays = Annotated[tuple[NonNegativeFloat, ...], _split(",")]
Words = Annotated[tuple[str, ...], _split(",")]
Paths = Annotated[tuple[Path, ...], _split(":")]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Settings(BaseModel):
    """The configuration of one daemon. Aliases are the exact environment names."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    # S3
    aws_access_key_id: SecretStr | None = Field(None, alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(None, alias="AWS_SESSION_TOKEN")
    aws_region: str = Field("us-east-1", alias="AWS_REGION")
    s3_bucket_name: str | None = Field(None, alias="S3_BUCKET_NAME")
    s3_endpoint_url: str | None = Field(None, alias="S3_ENDPOINT_URL")
    s3_checksum: str = Field("sha256", alias="OUTHAUL_S3_CHECKSUM", pattern="^(sha256|md5)$")

    # OSS
    oss_access_key_id: SecretStr | None = Field(None, alias="ALICLOUD_OSS_ACCESS_KEY_ID")
    oss_access_key_secret: SecretStr | None = Field(None, alias="ALICLOUD_OSS_ACCESS_KEY_SECRET")
    oss_bucket_name: str | None = Field(None, alias="ALICLOUD_OSS_BUCKET_NAME")
    oss_endpoint: str | None = Field(None, alias="ALICLOUD_OSS_ENDPOINT")
    oss_region: str | None = Field(None, alias="ALICLOUD_OSS_REGION")
    oss_any_endpoint: bool = Field(False, alias="OUTHAUL_OSS_ANY_ENDPOINT")
    use_oss_storage: bool | None = Field(None, alias="USE_OSS_STORAGE")

    # the outbox and what it may read
    database_url: SecretStr = Field(
        SecretStr("sqlite:////var/spool/outhaul/outbox.db"), alias="OUTHAUL_DATABASE_URL"
    )
    database_schema: str | None = Field(
        None, alias="OUTHAUL_DATABASE_SCHEMA", pattern="^[A-Za-z_][A-Za-z0-9_]*$"
    )
    notify: bool = Field(False, alias="OUTHAUL_NOTIFY")
    source_roots: Paths = Field((Path("/var/spool/outhaul"),), alias="OUTHAUL_SOURCE_ROOTS")
    max_source_bytes: PositiveInt = Field(5 << 40, alias="OUTHAUL_MAX_SOURCE_BYTES")
    local_dir: Path | None = Field(None, alias="OUTHAUL_LOCAL_DIR")

    # policy
    upload_retry_delays: Delays = Field((5.0, 15.0, 30.0), alias="OUTHAUL_UPLOAD_RETRY_DELAYS")
    url_retry_delays: Delays = Field((2.0, 5.0, 10.0), alias="OUTHAUL_URL_RETRY_DELAYS")
    delete_retry_delays: Delays = Field((2.0, 5.0, 10.0), alias="OUTHAUL_DELETE_RETRY_DELAYS")
    retryable_codes: Words = Field(tuple(sorted(RETRYABLE_CODES)), alias="OUTHAUL_RETRYABLE_CODES")
    retry_jitter: float = Field(MAX_JITTER, alias="OUTHAUL_RETRY_JITTER", ge=0, le=MAX_JITTER)
    verify: Verify = Field(Verify.ANSWER, alias="OUTHAUL_VERIFY")
    attempt_timeout_seconds: PositiveFloat = Field(30.0, alias="OUTHAUL_ATTEMPT_TIMEOUT_SECONDS")
    minimum_bytes_per_second: PositiveFloat = Field(
        float(1 << 20), alias="OUTHAUL_MINIMUM_BYTES_PER_SECOND"
    )
    connect_timeout_seconds: PositiveFloat = Field(5.0, alias="OUTHAUL_CONNECT_TIMEOUT_SECONDS")
    ca_bundle: Path | None = Field(None, alias="OUTHAUL_CA_BUNDLE")

    # the daemon
    workers: int = Field(8, alias="OUTHAUL_WORKERS", ge=1, le=256)
    processes: int = Field(1, alias="OUTHAUL_PROCESSES", ge=1, le=64)
    queues: Words = Field(("default",), alias="OUTHAUL_QUEUES", min_length=1)
    lease_seconds: float = Field(90.0, alias="OUTHAUL_LEASE_SECONDS", ge=1)
    poll_seconds: float = Field(0.1, alias="OUTHAUL_POLL_SECONDS", ge=0.01, le=60)
    rescue_seconds: PositiveFloat = Field(15.0, alias="OUTHAUL_RESCUE_SECONDS")
    drain_seconds: NonNegativeFloat = Field(20.0, alias="OUTHAUL_DRAIN_SECONDS")
    log_format: str = Field("console", alias="OUTHAUL_LOG_FORMAT", pattern="^(console|json)$")
    log_level: str = Field(
        "INFO", alias="OUTHAUL_LOG_LEVEL", pattern="^(DEBUG|INFO|WARNING|ERROR)$"
    )

    @field_validator("s3_endpoint_url")
    @classmethod
    def _s3_endpoint(cls, value: str | None) -> str | None:
        return None if value is None else _https_unless_loopback(value)

    @field_validator("oss_endpoint")
    @classmethod
    def _oss_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # oss2 itself would make a bare host http://.
        return _https_unless_loopback(value if "://" in value else f"https://{value}")

    @field_validator("source_roots")
    @classmethod
    def _absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        if not value or any(not root.is_absolute() or _is_everything(root) for root in value):
            raise ValueError("must be absolute directories, and not the root of all")
        return value

    @model_validator(mode="after")
    def _regional(self) -> Self:
        if self.oss_endpoint and not self.oss_any_endpoint:
            host = urlsplit(self.oss_endpoint).hostname or ""
            if host not in _LOOPBACK and not _REGIONAL_OSS.fullmatch(host):
                raise ValueError(
                    "ALICLOUD_OSS_ENDPOINT must be https://oss-<region>.aliyuncs.com;"
                    " set OUTHAUL_OSS_ANY_ENDPOINT=true for internal, accelerate or own domains"
                )
        if self.use_oss_storage and not self._oss_is_complete:
            raise ValueError("USE_OSS_STORAGE is on, but not all five ALICLOUD_OSS_* are set")
        return self

    @property
    def _oss_is_complete(self) -> bool:
        return all(
            (
                self.oss_access_key_id,
                self.oss_access_key_secret,
                self.oss_bucket_name,
                self.oss_endpoint,
                self.oss_region,
            )
        )

    @property
    def use_oss(self) -> bool:
        """Whether OSS is in the chain: as told, or when all five of its settings are there."""
        if self.use_oss_storage is None:
            return self._oss_is_complete
        return self.use_oss_storage

    @property
    def use_s3(self) -> bool:
        """Whether S3 is in the chain."""
        return all((self.aws_access_key_id, self.aws_secret_access_key, self.s3_bucket_name))

    @property
    def chain(self) -> tuple[StoreName, ...]:
        """The stores in the order in which they are tried."""
        configured = {
            StoreName.S3: self.use_s3,
            StoreName.OSS: self.use_oss,
            StoreName.LOCAL: self.local_dir is not None,
        }
        return tuple(store for store, there in configured.items() if there)

    @property
    def rules(self) -> Rules:
        """The retry policy in force."""
        return Rules(
            chain=self.chain,
            delays={
                Operation.UPLOAD: self.upload_retry_delays,
                Operation.DELETE: self.delete_retry_delays,
            },
            retryable_codes=frozenset(self.retryable_codes),
            jitter=self.retry_jitter,
        )


_REGIONAL_OSS = re.compile(r"oss-(?!accelerate)[a-z0-9]+(-[a-z0-9]+)*(?<!-internal)\.aliyuncs\.com")


def _is_everything(root: Path) -> bool:
    """Whether a root is `/`, or may lead there: `//` and `/spool/..` are other spellings of it."""
    return root == Path(root.anchor) or ".." in root.parts


def _https_unless_loopback(url: str) -> str:
    parts = _endpoint(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url.rstrip("/")
    raise ValueError("must be https: only loopback endpoints may be http")


def _endpoint(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        plain = parts.hostname and parts.port != 0 and not parts.username
    except ValueError:  # in words that may quote a secret
        plain = False
    if not plain or parts.query or parts.fragment:
        raise ValueError("this is not an endpoint such as https://host")
    return parts


def setting_names() -> dict[str, str]:
    """Environment name to field name, in the order of declaration."""
    return {str(field.alias): name for name, field in Settings.model_fields.items()}


def masked(value: Any) -> Any:
    """A value fit for a screen: secrets as stars."""
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, tuple):
        return [masked(item) for item in value]
    return str(value) if isinstance(value, Path | Verify) else value


def without_password(url: str) -> str:
    """A database URL fit for a screen.

    A password ends at the last `@`: it may hold any other character. Options may be secrets too.
    """
    if "://" not in url:
        return "***"
    shown = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:pass|pwd|secret)[^=&]*=)[^&]*", r"\1***", shown)
