"""Which operation a request asks for, by its method and its sub-resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.support.oss.bucket_operations import list_objects, list_uploads
from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.multipart_operations import (
    abort_upload,
    complete_upload,
    list_parts,
    start_upload,
    upload_part,
)
from tests.support.oss.object_operations import (
    delete_object,
    get_object,
    head_object,
    head_object_meta,
    put_object,
)
from tests.support.oss.subresources import SUBRESOURCES

if TYPE_CHECKING:
    from tests.support.oss.bucket import Bucket
    from tests.support.oss.message import Reply, Request

Operation: TypeAlias = "Callable[[Bucket, Request, float], Reply]"
Routes: TypeAlias = Mapping[tuple[str, frozenset[str]], Operation]

MAX_KEY_BYTES: Final = 1023
"""Longest object name in UTF-8, from the OSS naming conventions."""

_BUCKET_ROUTES: Final[Routes] = {
    ("GET", frozenset()): list_objects,
    ("GET", frozenset({"uploads"})): list_uploads,
}
_OBJECT_ROUTES: Final[Routes] = {
    ("PUT", frozenset()): put_object,
    ("GET", frozenset()): get_object,
    ("HEAD", frozenset()): head_object,
    ("HEAD", frozenset({"objectMeta"})): head_object_meta,
    ("DELETE", frozenset()): delete_object,
    ("POST", frozenset({"uploads"})): start_upload,
    ("PUT", frozenset({"partNumber", "uploadId"})): upload_part,
    ("GET", frozenset({"uploadId"})): list_parts,
    ("POST", frozenset({"uploadId"})): complete_upload,
    ("DELETE", frozenset({"uploadId"})): abort_upload,
}
_OFFERED: Final = frozenset().union(*(names for _, names in _OBJECT_ROUTES))


def operation(request: Request) -> Operation:
    """Return what serves the request.

    Raises RefusedError: InvalidObjectName for a key no object may have, NotImplemented for a
    sub-resource OSS has and this server has not, MethodNotAllowed for the rest.
    """
    if request.key:
        _require_valid_key(request.key)
    asked = SUBRESOURCES.intersection(request.query)
    found = (_OBJECT_ROUTES if request.key else _BUCKET_ROUTES).get((request.method, asked))
    if found is None:
        offered = asked <= _OFFERED
        raise RefusedError(ErrorCode.METHOD_NOT_ALLOWED if offered else ErrorCode.NOT_IMPLEMENTED)
    return found


def _require_valid_key(key: str) -> None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:  # the bytes sent were not UTF-8
        raise RefusedError(ErrorCode.INVALID_OBJECT_NAME) from None
    if key.startswith(("/", "\\")) or len(encoded) > MAX_KEY_BYTES:
        raise RefusedError(ErrorCode.INVALID_OBJECT_NAME)
