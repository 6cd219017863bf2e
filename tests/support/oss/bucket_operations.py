"""Operations on the bucket: list its objects, list its open uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.oss.documents import Fields, document
from tests.support.oss.moment import iso_date
from tests.support.oss.paging import integer, require_flat, written_key

if TYPE_CHECKING:
    from tests.support.oss.bucket import Bucket
    from tests.support.oss.message import Reply, Request
    from tests.support.oss.objects import StoredObject, Upload


def list_objects(bucket: Bucket, request: Request, _now: float) -> Reply:
    """GetBucket (ListObjects v1): keys after `marker` that begin with `prefix`, in byte order."""
    require_flat(request)
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    most = integer(request, "max-keys", default=100, limits=range(1, 1001))
    stored = sorted(bucket.objects().items(), key=lambda item: item[0].encode())
    wanted = [
        (key, found)
        for key, found in stored
        if key.startswith(prefix) and key.encode() > marker.encode()
    ]
    page, more = wanted[:most], len(wanted) > most
    fields: Fields = [
        ("Name", bucket.name),
        ("Prefix", written_key(request, prefix)),
        ("Marker", written_key(request, marker)),
        ("MaxKeys", str(most)),
        ("EncodingType", request.query.get("encoding-type", "")),
        ("IsTruncated", "true" if more else "false"),
        *([("NextMarker", written_key(request, page[-1][0]))] if more else []),
        *(("Contents", _object_fields(request, key, found)) for key, found in page),
    ]
    return document("ListBucketResult", fields)


def list_uploads(bucket: Bucket, request: Request, _now: float) -> Reply:
    """ListMultipartUploads: open uploads by key and id, after the two markers."""
    require_flat(request)
    prefix = request.query.get("prefix", "")
    marker = (request.query.get("key-marker", ""), request.query.get("upload-id-marker", ""))
    most = integer(request, "max-uploads", default=1000, limits=range(1, 1001))
    found = sorted(bucket.uploads().values(), key=lambda u: (u.key.encode(), u.upload_id))
    wanted = [u for u in found if u.key.startswith(prefix) and _after(u, *marker)]
    page, more = wanted[:most], len(wanted) > most
    fields: Fields = [
        ("Bucket", bucket.name),
        ("EncodingType", request.query.get("encoding-type", "")),
        ("NextKeyMarker", written_key(request, page[-1].key) if more else ""),
        ("NextUploadIdMarker", page[-1].upload_id if more else ""),
        ("MaxUploads", str(most)),
        ("IsTruncated", "true" if more else "false"),
        *(("Upload", _upload_fields(request, upload)) for upload in page),
    ]
    return document("ListMultipartUploadsResult", fields)


def _after(upload: Upload, key_marker: str, id_marker: str) -> bool:
    if upload.key == key_marker:
        return bool(id_marker) and upload.upload_id > id_marker
    return upload.key.encode() > key_marker.encode()


def _object_fields(request: Request, key: str, stored: StoredObject) -> Fields:
    return [
        ("Key", written_key(request, key)),
        ("LastModified", iso_date(stored.modified)),
        ("ETag", f'"{stored.etag}"'),
        ("Type", stored.object_type),
        ("Size", str(len(stored.data))),
        ("StorageClass", "Standard"),
    ]


def _upload_fields(request: Request, upload: Upload) -> Fields:
    return [
        ("Key", written_key(request, upload.key)),
        ("UploadId", upload.upload_id),
        ("Initiated", iso_date(upload.initiated)),
    ]
