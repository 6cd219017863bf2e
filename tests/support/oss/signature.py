"""Who may come in: finds which of the four forms of signature a request bears, and checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.oss import signature_v1, signature_v4
from tests.support.oss.errors import ErrorCode, RefusedError

if TYPE_CHECKING:
    from tests.support.oss.credentials import Credentials
    from tests.support.oss.message import Request


def verify(request: Request, credentials: Credentials, now: float) -> None:
    """Recompute the signature of `request`; raise RefusedError unless it is right and in time."""
    scheme = request.headers.get("authorization", "").partition(" ")[0]
    if scheme == signature_v4.ALGORITHM:
        signature_v4.verify_header(request, credentials, now)
    elif scheme == signature_v1.SCHEME:
        signature_v1.verify_header(request, credentials, now)
    elif scheme:
        raise RefusedError(ErrorCode.INVALID_ARGUMENT, ArgumentName="Authorization")
    elif "x-oss-signature" in request.query:
        signature_v4.verify_url(request, credentials, now)
    elif "Signature" in request.query:
        signature_v1.verify_url(request, credentials, now)
    else:
        raise RefusedError(ErrorCode.ACCESS_DENIED)
