"""Operations on one multipart upload: start, part, list parts, complete, abort."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from tests.support.oss.documents import Fields, document
from tests.support.oss.errors import ErrorCode, RefusedError
from tests.support.oss.message import Reply
from tests.support.oss.moment import iso_date
from tests.support.oss.object_operations import may_overwrite, proof, require_sent_body
from tests.support.oss.objects import Description, Part, StoredObject
from tests.support.oss.paging import integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.oss.bucket import Bucket
    from tests.support.oss.message import Request
    from tests.support.oss.objects import Upload

MIN_PART_BYTES: Final = 100 * 1024
"""Least size of every part but the last, from the OSS limits page."""
MAX_PARTS: Final = 10_000
"""Highest part number, from the OSS limits page."""


def start_upload(bucket: Bucket, request: Request, now: float) -> Reply:
    """InitiateMultipartUpload: type and metadata of the object are fixed here."""
    described = Description.of(request)
    upload = bucket.open_upload(request.key, described, now, overwrite=may_overwrite(request))
    fields = [("Bucket", bucket.name), ("Key", upload.key), ("UploadId", upload.upload_id)]
    return document("InitiateMultipartUploadResult", fields)


def upload_part(bucket: Bucket, request: Request, now: float) -> Reply:
    """UploadPart: answers with ETag and CRC of this part."""
    require_sent_body(request)
    number = integer(request, "partNumber", default=0, limits=range(1, MAX_PARTS + 1))
    part = Part.uploaded(number, request.body, now)
    bucket.add_part(request.key, request.query["uploadId"], part)
    return Reply(headers=proof(part.etag, part.crc64))


def list_parts(bucket: Bucket, request: Request, _now: float) -> Reply:
    """ListParts: by number, from `part-number-marker` on, at most `max-parts` (1000)."""
    upload = bucket.upload(request.key, request.query["uploadId"])
    marker = integer(request, "part-number-marker", default=0, limits=range(MAX_PARTS + 1))
    most = integer(request, "max-parts", default=1000, limits=range(1, 1001))
    later = [part for number, part in sorted(upload.parts.items()) if number > marker]
    page = later[:most]
    fields: Fields = [
        ("Bucket", bucket.name),
        ("Key", upload.key),
        ("UploadId", upload.upload_id),
        ("NextPartNumberMarker", str(page[-1].number) if page else "0"),
        ("PartNumberMarker", str(marker)),
        ("MaxParts", str(most)),
        ("IsTruncated", "true" if len(later) > most else "false"),
        *(("Part", _part_fields(part)) for part in page),
    ]
    return document("ListPartsResult", fields)


def complete_upload(bucket: Bucket, request: Request, now: float) -> Reply:
    """CompleteMultipartUpload: answers with ETag and CRC of the whole object."""
    upload = bucket.upload(request.key, request.query["uploadId"])
    parts = _chosen(upload, _listed(request.body))
    stored = StoredObject.joined(upload, parts, now)
    bucket.complete(upload, stored, overwrite=may_overwrite(request))
    location = f"http://{request.headers.get('host', '')}/{bucket.name}/{upload.key}"
    fields = [
        ("Location", location),
        ("Bucket", bucket.name),
        ("Key", upload.key),
        ("ETag", f'"{stored.etag}"'),
    ]
    reply = document("CompleteMultipartUploadResult", fields)
    for name, value in proof(stored.etag, stored.crc64).items():
        reply = reply.with_header(name, value)
    return reply


def abort_upload(bucket: Bucket, request: Request, _now: float) -> Reply:
    """AbortMultipartUpload: 204, or NoSuchUpload the second time."""
    bucket.abort(request.key, request.query["uploadId"])
    return Reply(204)


def _part_fields(part: Part) -> Fields:
    return [
        ("PartNumber", str(part.number)),
        ("LastModified", iso_date(part.modified)),
        ("ETag", f'"{part.etag}"'),
        ("HashCrc64ecma", str(part.crc64)),
        ("Size", str(len(part.data))),
    ]


def _listed(body: bytes) -> list[tuple[int, str]]:
    """Return number and unquoted ETag of each part the client wants joined."""
    try:
        root = ET.fromstring(body)
        listed = [
            (int(part.findtext("PartNumber", "")), part.findtext("ETag", "").strip('"'))
            for part in root.findall("Part")
        ]
    except (ET.ParseError, ValueError):
        raise RefusedError(ErrorCode.MALFORMED_XML) from None
    if not listed:
        raise RefusedError(ErrorCode.MALFORMED_XML)
    return listed


def _chosen(upload: Upload, listed: Sequence[tuple[int, str]]) -> list[Part]:
    if any(second <= first for (first, _), (second, _) in pairwise(listed)):
        raise RefusedError(ErrorCode.INVALID_PART_ORDER, UploadId=upload.upload_id)
    parts = [_matching(upload, number, etag) for number, etag in listed]
    for part in parts[:-1]:
        if len(part.data) < MIN_PART_BYTES:
            raise RefusedError(
                ErrorCode.ENTITY_TOO_SMALL,
                PartNumber=str(part.number),
                ProposedSize=str(len(part.data)),
                MinSizeAllowed=str(MIN_PART_BYTES),
            )
    return parts


def _matching(upload: Upload, number: int, etag: str) -> Part:
    part = upload.parts.get(number)
    if part is None or part.etag != etag.upper():
        raise RefusedError(ErrorCode.INVALID_PART, PartNumber=str(number), ETag=etag)
    return part
