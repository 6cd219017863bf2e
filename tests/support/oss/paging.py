"""Arguments by which a client walks through a long list."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.support.oss.errors import ErrorCode, RefusedError

if TYPE_CHECKING:
    from tests.support.oss.message import Request


def integer(request: Request, name: str, *, default: int, limits: range) -> int:
    """Return a numeric argument; RefusedError(InvalidArgument) unless it lies in `limits`."""
    text = request.query.get(name) or str(default)
    if not text.isdecimal() or int(text) not in limits:
        raise RefusedError(ErrorCode.INVALID_ARGUMENT, ArgumentName=name, ArgumentValue=text)
    return int(text)


def written_key(request: Request, key: str) -> str:
    """Return the key as the list shows it: percent-encoded if the client asked for that."""
    return quote(key, safe="/") if request.query.get("encoding-type") == "url" else key


def require_flat(request: Request) -> None:
    """Refuse what is not offered, a list cut at a delimiter or of the second version.

    An answer that ignored the argument would be wrong without a word.
    """
    if request.query.get("delimiter") or "list-type" in request.query:
        raise RefusedError(ErrorCode.NOT_IMPLEMENTED)
