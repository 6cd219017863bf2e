"""Signature version 1: HMAC-SHA1 over a handful of headers and the named sub-resources.

Described in the OSS API reference, "Include a V1 signature in the Authorization header".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from tests.support.oss.credentials import require_recent, require_unexpired
from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.subresources import OVERRIDES, SUBRESOURCES

if TYPE_CHECKING:
    from tests.support.oss.credentials import Credentials
    from tests.support.oss.message import Request

SCHEME: Final = "OSS"
_SIGNED_QUERY: Final = SUBRESOURCES | OVERRIDES.keys() | {"security-token"}


def verify_header(request: Request, credentials: Credentials, now: float) -> None:
    """Check `Authorization: OSS <id>:<signature>`."""
    token = request.headers["authorization"].removeprefix(f"{SCHEME} ")
    access_key_id, _, provided = token.partition(":")
    credentials.require_access_key(access_key_id)
    date = request.headers.get("x-oss-date") or request.headers.get("date", "")
    require_recent(date, now)
    _require_signature(request, credentials, date, provided)


def verify_url(request: Request, credentials: Credentials, now: float) -> None:
    """Check `OSSAccessKeyId`, `Expires` (seconds since the epoch) and `Signature` of a URL."""
    credentials.require_access_key(request.query.get("OSSAccessKeyId", ""))
    expires = request.query.get("Expires", "")
    if not expires.isdecimal():
        raise RefusedError(ErrorCode.INVALID_ARGUMENT, ArgumentName="Expires")
    require_unexpired(int(expires), now)
    _require_signature(request, credentials, expires, request.query["Signature"])


def _require_signature(
    request: Request, credentials: Credentials, date: str, provided: str
) -> None:
    string_to_sign = _string_to_sign(request, date)
    digest = hmac.digest(credentials.access_key_secret.encode(), string_to_sign, hashlib.sha1)
    credentials.require_signature(provided, base64.b64encode(digest).decode(), string_to_sign)


def _string_to_sign(request: Request, date: str) -> bytes:
    headers = request.headers
    oss_headers = [f"{n}:{v}" for n, v in sorted(headers.items()) if n.startswith("x-oss-")]
    lines = [
        request.method,
        headers.get("content-md5", ""),
        headers.get("content-type", ""),
        date,
        *oss_headers,
        "",
    ]
    return "\n".join(lines).encode("latin-1") + request.resource + _subresources(request)


def _subresources(request: Request) -> bytes:
    signed = sorted((n, v) for n, v in request.query.items() if n in _SIGNED_QUERY)
    joined = "&".join(f"{name}={value}" if value else name for name, value in signed)
    return f"?{joined}".encode() if joined else b""
