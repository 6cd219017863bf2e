"""Operations on one object: put, get, head, delete."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.message import Reply
from tests.support.oss.moment import http_date
from tests.support.oss.objects import META_PREFIX, Description, StoredObject
from tests.support.oss.subresources import OVERRIDES

if TYPE_CHECKING:
    from tests.support.oss.bucket import Bucket
    from tests.support.oss.message import Request


def may_overwrite(request: Request) -> bool:
    """Whether the request may replace an object: yes, unless it forbids that itself."""
    return request.headers.get("x-oss-forbid-overwrite", "").lower() != "true"


def require_sent_body(request: Request) -> None:
    """Raise RefusedError if the request's bytes are not its body, or of unstated length."""
    if "x-oss-copy-source" in request.headers:
        raise RefusedError(ErrorCode.NOT_IMPLEMENTED)
    if not {"content-length", "transfer-encoding"} & request.headers.keys():
        raise RefusedError(ErrorCode.MISSING_CONTENT_LENGTH)


def put_object(bucket: Bucket, request: Request, now: float) -> Reply:
    """PutObject: answers with ETag and CRC of what was stored."""
    require_sent_body(request)
    stored = StoredObject.normal(request.body, Description.of(request), now)
    bucket.put(request.key, stored, overwrite=may_overwrite(request))
    return Reply(headers=proof(stored.etag, stored.crc64))


def proof(etag: str, crc64: int) -> dict[str, str]:
    """Return the headers by which a client can tell that its bytes arrived."""
    return {"ETag": f'"{etag}"', "x-oss-hash-crc64ecma": str(crc64)}


def get_object(bucket: Bucket, request: Request, _now: float) -> Reply:
    """GetObject, whole or one range, with the `response-*` overrides of signed URLs."""
    stored = bucket.get(request.key)
    whole = _described(stored)
    overrides = {OVERRIDES[n]: v for n, v in request.query.items() if n in OVERRIDES and v}
    for name, value in overrides.items():
        whole = whole.with_header(name, value)
    return _ranged(whole, request)


def head_object(bucket: Bucket, request: Request, _now: float) -> Reply:
    """HeadObject: all that GetObject says, without the bytes."""
    return _described(bucket.get(request.key))


def head_object_meta(bucket: Bucket, request: Request, _now: float) -> Reply:
    """GetObjectMeta: length, ETag and date only. As documented it does not tell the CRC."""
    stored = bucket.get(request.key)
    headers = {"ETag": f'"{stored.etag}"', "Last-Modified": http_date(stored.modified)}
    return Reply(headers=headers, body=stored.data)


def delete_object(bucket: Bucket, request: Request, _now: float) -> Reply:
    """DeleteObject: 204 whether or not there was an object."""
    bucket.delete(request.key)
    return Reply(204)


def _described(stored: StoredObject) -> Reply:
    headers = {
        "Content-Type": stored.content_type,
        "Last-Modified": http_date(stored.modified),
        "Accept-Ranges": "bytes",
        "x-oss-object-type": stored.object_type,
        "x-oss-storage-class": "Standard",
        **proof(stored.etag, stored.crc64),
        **{f"{META_PREFIX}{name}": value for name, value in stored.metadata.items()},
    }
    return Reply(headers=headers, body=stored.data)


def _ranged(whole: Reply, request: Request) -> Reply:
    size = len(whole.body)
    span = _span(request.headers.get("range", ""), size)
    if span is None:
        # OSS ignores a range it cannot serve, unless asked to behave like other servers.
        if "range" in request.headers and "x-oss-range-behavior" in request.headers:
            raise RefusedError(ErrorCode.INVALID_RANGE)
        return whole
    cut = replace(whole, status=206, body=whole.body[span.start : span.stop])
    return cut.with_header("Content-Range", f"bytes {span.start}-{span.stop - 1}/{size}")


def _span(header: str, size: int) -> range | None:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last or size) + 1, size)
    return range(start, stop) if start < stop else None
