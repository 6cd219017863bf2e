"""Signature version 4: a SHA-256 key chain over date and region, signing the whole query.

Described in the OSS API reference, "Include a V4 signature in the Authorization header".
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.support.oss.credentials import (
    MAX_SKEW_SECONDS,
    require_recent,
    require_unexpired,
    signing_time,
)
from tests.support.oss.errors import ErrorCode, RefusedError

if TYPE_CHECKING:
    from tests.support.oss.credentials import Credentials
    from tests.support.oss.message import Request

ALGORITHM: Final = "OSS4-HMAC-SHA256"
MAX_EXPIRES_SECONDS: Final = 7 * 24 * 3600
"""Longest life of a signed URL, from the OSS error reference (0002-00000232)."""
_UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_DEFAULT_SIGNED: Final = frozenset({"content-type", "content-md5"})


@dataclass(frozen=True)
class _Claim:
    """What a request says about its own signature."""

    credential: str
    date: str
    additional_headers: str
    signature: str

    @property
    def scope(self) -> str:
        return self.credential.partition("/")[2]

    def require_scope(self, credentials: Credentials) -> None:
        """Check everything about the credential that can be wrong before any hashing."""
        credentials.require_access_key(self.credential.partition("/")[0])
        if self.scope != f"{self.date[:8]}/{credentials.region}/oss/aliyun_v4_request":
            raise RefusedError(ErrorCode.INVALID_SCOPE, ArgumentValue=self.credential)


def verify_header(request: Request, credentials: Credentials, now: float) -> None:
    """Check `Authorization: OSS4-HMAC-SHA256 Credential=..., Signature=...` and `x-oss-date`."""
    listed = request.headers["authorization"].removeprefix(ALGORITHM).split(",")
    given = {name.strip(): value for name, _, value in (item.partition("=") for item in listed)}
    date = request.headers.get("x-oss-date") or request.headers.get("date", "")
    claim = _Claim(
        credential=given.get("Credential", ""),
        date=date,
        additional_headers=given.get("AdditionalHeaders", ""),
        signature=given.get("Signature", ""),
    )
    claim.require_scope(credentials)
    if request.headers.get("x-oss-content-sha256") != _UNSIGNED_PAYLOAD:
        raise RefusedError(ErrorCode.INVALID_ARGUMENT, ArgumentName="x-oss-content-sha256")
    require_recent(date, now)
    _require_signature(request, credentials, claim)


def verify_url(request: Request, credentials: Credentials, now: float) -> None:
    """Check the `x-oss-*` parameters of a signed URL, which lives 1 to 604800 seconds."""
    query = request.query
    claim = _Claim(
        credential=query.get("x-oss-credential", ""),
        date=query.get("x-oss-date", ""),
        additional_headers=query.get("x-oss-additional-headers", ""),
        signature=query["x-oss-signature"],
    )
    claim.require_scope(credentials)
    _require_alive(claim.date, query.get("x-oss-expires", ""), now)
    _require_signature(request, credentials, claim)


def _require_alive(date: str, expires: str, now: float) -> None:
    if not expires.isdecimal() or not 1 <= int(expires) <= MAX_EXPIRES_SECONDS:
        raise RefusedError(
            ErrorCode.INVALID_ARGUMENT, ArgumentName="x-oss-expires", ArgumentValue=expires
        )
    signed = signing_time(date)
    if signed - now > MAX_SKEW_SECONDS:
        require_recent(date, now)
    require_unexpired(signed + int(expires), now)


def _require_signature(request: Request, credentials: Credentials, claim: _Claim) -> None:
    canonical = _canonical_request(request, claim.additional_headers)
    lines = (ALGORITHM, claim.date, claim.scope, hashlib.sha256(canonical).hexdigest())
    string_to_sign = "\n".join(lines).encode()
    key = _signing_key(credentials.access_key_secret, claim.scope)
    expected = hmac.new(key, string_to_sign, hashlib.sha256).hexdigest()
    credentials.require_signature(claim.signature, expected, string_to_sign)


def _signing_key(secret: str, scope: str) -> bytes:
    return reduce(
        lambda key, step: hmac.digest(key, step.encode(), hashlib.sha256),
        scope.split("/"),
        f"aliyun_v4{secret}".encode(),
    )


def _canonical_request(request: Request, additional_headers: str) -> bytes:
    additional = frozenset(additional_headers.split(";"))
    headers = [
        f"{name}:{value}\n"
        for name, value in sorted(request.headers.items())
        if name.startswith("x-oss-") or name in _DEFAULT_SIGNED | additional
    ]
    lines = [
        request.method,
        quote(request.resource, safe="/"),
        _canonical_query(request),
        "".join(headers),
        additional_headers,
        _UNSIGNED_PAYLOAD,
    ]
    return "\n".join(lines).encode("latin-1")


def _canonical_query(request: Request) -> str:
    encoded = sorted(
        (quote(name, safe=""), quote(value, safe=""))
        for name, value in request.query.items()
        if name != "x-oss-signature"
    )
    return "&".join(f"{name}={value}" if value else name for name, value in encoded)
