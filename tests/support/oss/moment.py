"""Time as OSS writes it. Everything else in this package counts seconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

COMPACT: Final = "%Y%m%dT%H%M%SZ"


def http_date(seconds: float) -> str:
    """`Tue, 20 Dec 2022 08:48:18 GMT`."""
    return formatdate(seconds, usegmt=True)


def iso_date(seconds: float) -> str:
    """`2022-12-20T08:48:18.000Z`: OSS always writes zero milliseconds, and oss2 insists."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def parse_date(text: str) -> float:
    """Read an HTTP date or the compact ISO form of `x-oss-date`; ValueError if it is neither."""
    if text.endswith("Z"):
        return datetime.strptime(text, COMPACT).replace(tzinfo=UTC).timestamp()
    return parsedate_to_datetime(text).timestamp()
