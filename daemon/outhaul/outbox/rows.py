"""From a claimed row to a job; a row that cannot be one is refused without hurting its batch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outhaul.errors import RowError
from outhaul.keys import check_key
from outhaul.models import IfExists, Job, OnSuccess, Operation, StoreName

#: Both stores carry metadata as HTTP headers: 2 KiB in all on S3, 8 KiB on OSS.
MAX_METADATA_BYTES = 2048

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")

# Looked up rather than called: an enum's constructor costs ten times a dictionary's answer.
_STORES = {store.value: store for store in StoreName}
_ON_SUCCESS = {choice.value: choice for choice in OnSuccess}
_IF_EXISTS = {choice.value: choice for choice in IfExists}

_ATTEMPTS = {
    StoreName.S3: "s3_attempts",
    StoreName.OSS: "oss_attempts",
    StoreName.LOCAL: "local_attempts",
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A claimed row that no attempt can serve. `job` holds what is known of it."""

    job: Job
    error: RowError


def parse(row: Mapping[str, Any]) -> Job | BadRow:
    """Read a claimed row.

    Returns:
        The job, or a `BadRow` with the code that ends up in it.
    """
    try:
        return _job(row)
    except RowError as error:
        return BadRow(_identity(row), error)


def _identity(row: Mapping[str, Any]) -> Job:
    """What every row has, however bad the rest is."""
    return Job(
        id=int(row["id"]),
        fence=int(row["fence"]),
        operation=Operation(row["operation"]),
        queue=str(row["queue"]),
        storage_key=_key(row["storage_key"]),
        store=_STORES[row["current_store"]],
        attempts={store: row[column] for store, column in _ATTEMPTS.items()},
        crash_count=row["crash_count"],
        pin_sha256=row["sha256"],
    )


def _job(row: Mapping[str, Any]) -> Job:
    if row["operation"] == Operation.DELETE:
        raise RowError("BAD_ROW", "this version of outhaul does not perform deletes")
    return Job(
        id=row["id"],
        fence=row["fence"],
        operation=Operation.UPLOAD,
        queue=row["queue"],
        storage_key=check_key(_key(row["storage_key"])),
        store=_STORES[row["current_store"]],
        attempts={store: row[column] for store, column in _ATTEMPTS.items()},
        crash_count=row["crash_count"],
        pin_sha256=row["sha256"],
        source_path=_path(row["source_path"]),
        content_type=_content_type(row["content_type"]),
        metadata=_metadata(row["metadata"]),
        expected_sha256=_expected(row["expected_sha256"]),
        on_success=_ON_SUCCESS[row["on_success"]],
        if_exists=_IF_EXISTS[row["if_exists"]],
    )


def _key(value: object) -> str:
    """The bytes of a key are the key, also where SQLite was given them as a blob."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _path(value: object) -> str | None:
    """SQLite lets a blob into a text column: the natural way to write a name that is not UTF-8."""
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return None if value is None else str(value)


def _content_type(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or not _PRINTABLE.fullmatch(value):
        raise RowError("BAD_ROW", "content_type must be printable ASCII, as in 'text/plain'")
    return value


def _expected(value: object) -> str | None:
    if value is None:
        return None
    lowered = str(value).lower()
    if not _SHA256.fullmatch(lowered):
        raise RowError("BAD_ROW", "expected_sha256 must be 64 hexadecimal digits")
    return lowered


def _metadata(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    try:
        parsed = json.loads(value) if isinstance(value, str | bytes) else value
    except (ValueError, RecursionError):
        raise RowError("BAD_ROW", "metadata is not JSON") from None
    if not isinstance(parsed, dict):
        raise RowError("BAD_ROW", "metadata must be a JSON object of strings")
    return _headers(parsed)


def _headers(parsed: dict[object, object]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in parsed.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise RowError("BAD_ROW", "metadata must be a JSON object of strings")
        lowered = name.lower()
        if not _HEADER_NAME.fullmatch(lowered) or lowered in headers:
            raise RowError("BAD_ROW", "metadata names are letters, digits and '-', each once")
        if not _PRINTABLE.fullmatch(value) or value != value.strip():
            raise RowError(
                "BAD_ROW", "metadata values must be printable ASCII without outer spaces"
            )
        headers[lowered] = value
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_METADATA_BYTES:
        raise RowError("BAD_ROW", f"metadata has more than {MAX_METADATA_BYTES} bytes")
    return headers
