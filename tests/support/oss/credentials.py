"""The one identity the server knows, and the checks both signature versions share."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final

from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.moment import iso_date, parse_date

MAX_SKEW_SECONDS: Final = 15 * 60
"""How far the client's clock may be off, from the OSS error reference (RequestTimeTooSkewed)."""


@dataclass(frozen=True)
class Credentials:
    """Access key of the only user, and the region its V4 signatures must name."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    region: str

    def require_access_key(self, access_key_id: str) -> None:
        """Raise RefusedError(InvalidAccessKeyId) for anybody else."""
        if access_key_id != self.access_key_id:
            raise RefusedError(ErrorCode.INVALID_ACCESS_KEY_ID, OSSAccessKeyId=access_key_id)

    def require_signature(self, provided: str, expected: str, string_to_sign: bytes) -> None:
        """Raise RefusedError(SignatureDoesNotMatch), showing the string to sign as OSS does."""
        if not hmac.compare_digest(provided.encode(), expected.encode()):
            raise RefusedError(
                ErrorCode.SIGNATURE_DOES_NOT_MATCH,
                OSSAccessKeyId=self.access_key_id,
                SignatureProvided=provided,
                StringToSign=string_to_sign.decode(errors="replace"),
            )


def signing_time(date: str) -> float:
    """Return the moment a request says it was signed; AccessDenied if it says nothing sensible."""
    try:
        return parse_date(date)
    except ValueError:
        raise RefusedError(ErrorCode.ACCESS_DENIED, RequestTime=date) from None


def require_recent(date: str, now: float) -> None:
    """Raise RefusedError(RequestTimeTooSkewed) if the date is over 15 minutes from `now`."""
    signed = signing_time(date)
    if abs(now - signed) > MAX_SKEW_SECONDS:
        raise RefusedError(
            ErrorCode.REQUEST_TIME_TOO_SKEWED,
            MaxAllowedSkewMilliseconds=str(MAX_SKEW_SECONDS * 1000),
            RequestTime=iso_date(signed),
            ServerTime=iso_date(now),
        )


def require_unexpired(expires: float, now: float) -> None:
    """Raise RefusedError(AccessDenied, "Request has expired.") past the end of a signed URL."""
    if now > expires:
        raise RefusedError(ErrorCode.EXPIRED, Expires=iso_date(expires), ServerTime=iso_date(now))
