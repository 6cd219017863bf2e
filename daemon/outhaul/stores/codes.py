"""Stable codes for what stores answer, whatever the SDK made of it, and what to do about them."""

from __future__ import annotations

import re

_WELL_FORMED = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,63}")

#: What a status says by itself: a HEAD, or a proxy's HTML page, carries no code.
_BY_STATUS = {
    408: "RequestTimeout",
    429: "TooManyRequests",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "ServiceError",
}

_NEXT_STEP = {
    "AccessDenied": "grant the key write access to this bucket and prefix",
    "InvalidAccessKeyId": "check the access key id in the configuration",
    "SignatureDoesNotMatch": "check the secret key and the region in the configuration",
    "NoSuchBucket": "check the bucket name and region, or create the bucket",
    "RequestTimeTooSkewed": "set this machine's clock: it is off by more than 15 minutes",
    "ExpiredToken": "renew the session token",
    "SecurityTokenExpired": "renew the session token",
    "EntityTooLarge": "the store takes no object of this size",
    "AuthorizationHeaderMalformed": "check the region in the configuration",
}


def stable_code(code: str | None, status: int | None) -> str:
    """The store's own code where it is one; else one made from the status."""
    if code and _WELL_FORMED.fullmatch(code):
        return code
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return f"HTTP_{status}" if status and status > 0 else "ServiceError"


def describe(what: str, code: str, status: int | None) -> str:
    """One line for the operator. The store's own message is left out: it can echo secrets."""
    line = f"{what} answered {status}: {code}" if status else f"{what} failed: {code}"
    return f"{line}; {_NEXT_STEP[code]}" if code in _NEXT_STEP else line
