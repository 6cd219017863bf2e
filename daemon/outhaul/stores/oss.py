"""Alibaba Cloud OSS. The only importer of oss2.

oss2 holds signing, serialising and presigning; its requests go out through our own exchange,
handed over by its `session`, which keeps `.netrc`, proxies and redirects out of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from typing import Any
from urllib.parse import quote, urlencode

import oss2
import oss2.exceptions
from oss2.models import HeadObjectResult, PartInfo

from outhaul.digests import digest
from outhaul.errors import BadStoreReplyError, OuthaulError, StoreError
from outhaul.models import StoreName
from outhaul.stores.base import PART_BYTES, Receipt, Upload
from outhaul.stores.codes import describe, stable_code
from outhaul.stores.exchange import Answer, Exchange, Request
from outhaul.stores.multipart import Part, put_in_parts
from outhaul.transfer import Transfer, current_transfer

_CRC64 = "x-oss-hash-crc64ecma"
_META = "x-oss-meta-"

#: OSS's name for a key that is taken, in outhaul's words.
_TAKEN = {"FileAlreadyExists": "KEY_EXISTS"}


class OssStore:
    """One bucket.

    Args:
        bucket: an `oss2.Bucket` from `oss_bucket`.
        exchange: the connections.
        pool: threads for the parts of large objects.
    """

    name = StoreName.OSS

    def __init__(self, bucket: Any, exchange: Exchange, pool: Executor) -> None:
        self.bucket = str(bucket.bucket_name)
        self._oss, self._exchange, self._pool = bucket, exchange, pool

    def put(self, upload: Upload) -> Receipt:
        """One PUT, or parts above `PART_BYTES`. See `Store.put`."""
        if upload.body.size_bytes > PART_BYTES:
            return put_in_parts(self, upload, self._pool)
        content = upload.body.read_at(0, upload.body.size_bytes)
        reply = self._call(
            "put_object", upload.transfer, upload.key, content, headers=_described(upload)
        )
        return _receipt(reply)

    def create(self, upload: Upload) -> str:
        """Open a multipart upload."""
        reply = self._call(
            "init_multipart_upload", upload.transfer, upload.key, headers=_described(upload)
        )
        return str(reply.upload_id)

    def put_part(self, upload: Upload, upload_id: str, number: int, content: bytes) -> Part:
        """Send one part; its CRC-64 must come back equal."""
        reply = self._call("upload_part", upload.transfer, upload.key, upload_id, number, content)
        if reply.crc != digest([content]).crc64 or not reply.etag:
            raise BadStoreReplyError(f"part {number} came back without its CRC-64")
        return Part(number, str(reply.etag))

    def complete(self, upload: Upload, upload_id: str, parts: list[Part]) -> Receipt:
        """Make the parts one object; OSS answers with the CRC-64 of the whole."""
        listed = [PartInfo(part.number, part.etag) for part in parts]
        reply = self._call(
            "complete_multipart_upload",
            upload.transfer,
            upload.key,
            upload_id,
            listed,
            headers=_condition(upload),
        )
        return _receipt(reply)

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload."""
        self._call("abort_multipart_upload", current_transfer(), key, upload_id)

    def head(self, key: str, transfer: Transfer) -> Receipt | None:
        """What the bucket says it holds."""
        try:
            return _receipt(self._call("head_object", transfer, key))
        except StoreError as error:
            if error.code in {"HTTP_404", "NoSuchKey"}:
                return None
            raise

    def get(self, key: str, transfer: Transfer) -> Iterator[bytes]:
        """Download through a link of our own: the same bytes that a client would get."""
        return self._exchange.stream(Request("GET", self.presign(key, 600), {}), transfer)

    def delete(self, key: str, transfer: Transfer) -> None:
        """Delete; an absent key is a success."""
        try:
            self._call("delete_object", transfer, key)
        except StoreError as error:
            if error.code != "NoSuchKey":
                raise

    def presign(self, key: str, expires_seconds: int) -> str:
        """A V4 link, with the slashes of the key left readable."""
        with _translated("sign_url"):
            return str(self._oss.sign_url("GET", key, expires_seconds, slash_safe=True))

    def open_multiparts(self, transfer: Transfer) -> list[str]:
        """Keys of unfinished uploads."""
        reply = self._call("list_multipart_uploads", transfer)
        return [str(entry.key) for entry in reply.upload_list]

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _call(self, method: str, transfer: Transfer, *arguments: Any, **named: Any) -> Any:
        with _translated(method), transfer.active():
            return getattr(self._oss, method)(*arguments, **named)


def oss_bucket(
    *,
    access_key_id: str,
    access_key_secret: str,
    endpoint: str,
    region: str,
    bucket: str,
    exchange: Exchange,
) -> Any:
    """An `oss2.Bucket` that signs with V4 and sends through `exchange`."""
    with _translated("configuration"):
        return oss2.Bucket(
            oss2.AuthV4(access_key_id, access_key_secret),
            endpoint,
            bucket,
            session=_Session(exchange),
            region=region,
            # crcmod does 0.3 GB/s, or 0.009 without its C part; ours compares at 8.9.
            enable_crc=False,
        )


class _Session:
    """Stands where oss2 expects its requests session."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def do_request(self, request: Any, timeout: object) -> _Response:
        """Send what oss2 prepared and signed; its own timeout bounds single reads only."""
        del timeout
        url = request.url
        if request.params:
            url += "?" + urlencode(request.params, quote_via=quote)
        headers = {name: value for name, value in request.headers.items() if value is not None}
        body = request.data or b""
        sent = Request(request.method, url, headers, body)
        return _Response(self._exchange.send(sent, current_transfer()))


class _Response:
    """An answer in the shape that oss2 reads."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.request_id = answer.headers.get("x-oss-request-id", "")
        self.response = self
        self._body = answer.body

    def read(self, amount: int | None = None) -> bytes:
        """The next bytes of the body, b"" at its end."""
        size = len(self._body) if amount is None else amount
        block, self._body = self._body[:size], self._body[size:]
        return block


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Let nothing of the SDK's out: any exception becomes a `StoreError` with a stable code."""
    try:
        yield
    except OuthaulError:
        raise
    except oss2.exceptions.ServerError as error:
        status = int(error.status)
        code = stable_code(error.code, status)
        code = _TAKEN.get(code, code)
        raise StoreError(
            code,
            describe(what, code, status),
            http_status=status,
            request_id=error.request_id or None,
        ) from error
    except oss2.exceptions.ClientError as error:
        raise StoreError("InvalidArgument", f"{what}: oss2 refuses the parameters") from error
    except Exception as error:  # bad XML in a 200 escapes as ParseError, and more besides
        raise BadStoreReplyError(f"{what}: {type(error).__name__} in the answer") from error


def _described(upload: Upload) -> dict[str, str]:
    metadata = {_META + name: value for name, value in upload.metadata.items()}
    # oss2 guesses a type from the key where none is given, so the copies would differ.
    return {"Content-Type": upload.content_type, **metadata, **_condition(upload)}


def _condition(upload: Upload) -> dict[str, str]:
    return {"x-oss-forbid-overwrite": "true"} if upload.absent else {}


def _receipt(reply: Any) -> Receipt:
    headers: Mapping[str, str] = reply.headers
    crc64 = headers.get(_CRC64)
    # Only the answer to a HEAD describes the object; a PUT's describes its own body.
    described: Mapping[str, str] = headers if isinstance(reply, HeadObjectResult) else {}
    length = described.get("Content-Length")
    return Receipt(
        etag=(headers.get("ETag") or "").strip('"') or None,
        crc64=int(crc64) if crc64 and crc64.isdecimal() else None,
        size_bytes=int(length) if length and length.isdecimal() else None,
        version_id=headers.get("x-oss-version-id"),
        content_type=described.get("Content-Type"),
        metadata={
            name[len(_META) :].lower(): value
            for name, value in described.items()
            if name.lower().startswith(_META)
        },
        http_status=reply.status,
        request_id=reply.request_id or None,
    )
