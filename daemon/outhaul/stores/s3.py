"""S3 and what speaks its protocol. The only importer of boto3 and botocore.

boto3 holds configuration, signing, serialising and presigning; its requests go out through our
own exchange, handed over by its `before-send` event.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

import boto3.session
import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from outhaul.digests import md5_hex
from outhaul.errors import BadStoreReplyError, OuthaulError, StoreError
from outhaul.models import StoreName
from outhaul.stores.base import PART_BYTES, Receipt, Upload
from outhaul.stores.codes import describe, stable_code
from outhaul.stores.exchange import Exchange, Request
from outhaul.stores.multipart import Part, digests_of_parts, put_in_parts
from outhaul.transfer import Transfer, current_transfer

#: A key that is taken (412), or being written by somebody else right now (409).
_TAKEN = {"PreconditionFailed": "KEY_EXISTS", "ConditionalRequestConflict": "OperationAborted"}

#: boto3's variables, none taken from the environment: a stray AWS_PROFILE would stop the start.
_NO_ENVIRONMENT = {
    name: (None, None, default, convert)
    for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
} | dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))


class S3Store:
    """One bucket.

    Args:
        bucket: its name.
        client: a boto3 client from `s3_client`.
        exchange: the connections.
        pool: threads for the parts of large objects.
        checksum: `sha256` (AWS's additional checksum), or `md5` for servers that refuse it.
    """

    name = StoreName.S3

    def __init__(
        self, bucket: str, client: Any, exchange: Exchange, pool: Executor, checksum: str = "sha256"
    ) -> None:
        self.bucket = bucket
        self._client, self._exchange, self._pool = client, exchange, pool
        self._checksum = checksum

    def put(self, upload: Upload) -> Receipt:
        """One PUT, or parts above `PART_BYTES`. See `Store.put`."""
        if upload.body.size_bytes > PART_BYTES:
            return put_in_parts(self, upload, self._pool)
        content = upload.body.read_at(0, upload.body.size_bytes)
        reply = self._call(
            "put_object",
            upload.transfer,
            Key=upload.key,
            Body=content,
            **self._check(content, bytes.fromhex(upload.digests.sha256)),
            **_described(upload),
            **_condition(upload),
        )
        return _receipt(reply)

    def create(self, upload: Upload) -> str:
        """Open a multipart upload."""
        algorithm = {"ChecksumAlgorithm": "SHA256"} if self._checksum == "sha256" else {}
        named = {"Key": upload.key, **algorithm, **_described(upload)}
        reply = self._call("create_multipart_upload", upload.transfer, **named)
        if not reply.get("UploadId"):
            raise BadStoreReplyError("the store opened a multipart upload without an id")
        return str(reply["UploadId"])

    def put_part(self, upload: Upload, upload_id: str, number: int, content: bytes) -> Part:
        """Send one part; its checksum, or else its MD5 ETag, must come back equal."""
        sha256 = hashlib.sha256(content).digest()
        reply = self._call(
            "upload_part",
            upload.transfer,
            Key=upload.key,
            UploadId=upload_id,
            PartNumber=number,
            Body=content,
            **self._check(content, sha256),
        )
        receipt = _receipt(reply)
        proven = receipt.sha256 == sha256.hex() if receipt.sha256 else False
        if not receipt.etag or not (proven or receipt.md5_etag == md5_hex(content)):
            raise BadStoreReplyError(f"part {number} came back without its digest")
        return Part(number, receipt.etag, sha256 if proven else None)

    def complete(self, upload: Upload, upload_id: str, parts: list[Part]) -> Receipt:
        """Make the parts one object; its digests of digests must be those of the parts."""
        reply = self._call(
            "complete_multipart_upload",
            upload.transfer,
            Key=upload.key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [_part_entry(part) for part in parts]},
            **_condition(upload),
        )
        return replace(_receipt(reply), expected=digests_of_parts(parts))

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload."""
        self._call("abort_multipart_upload", current_transfer(), Key=key, UploadId=upload_id)

    def head(self, key: str, transfer: Transfer) -> Receipt | None:
        """What the bucket says it holds, checksums included."""
        try:
            return _receipt(self._call("head_object", transfer, Key=key, ChecksumMode="ENABLED"))
        except StoreError as error:
            # The answer to a HEAD has no body, so its code is made from the number.
            if error.code in {"HTTP_404", "NoSuchKey"}:
                return None
            raise

    def get(self, key: str, transfer: Transfer) -> Iterator[bytes]:
        """Download through a link of our own: the same bytes that a client would get."""
        return self._exchange.stream(Request("GET", self.presign(key, 600), {}), transfer)

    def delete(self, key: str, transfer: Transfer) -> None:
        """Delete; an absent key is a success."""
        try:
            self._call("delete_object", transfer, Key=key)
        except StoreError as error:
            if error.code != "NoSuchKey":
                raise

    def presign(self, key: str, expires_seconds: int) -> str:
        """A SigV4 link."""
        with _translated("presign"):
            link = self._client.generate_presigned_url(
                "get_object", {"Bucket": self.bucket, "Key": key}, expires_seconds
            )
            return str(link)

    def open_multiparts(self, transfer: Transfer) -> list[str]:
        """Keys of unfinished uploads."""
        reply = self._call("list_multipart_uploads", transfer)
        return [str(entry["Key"]) for entry in reply.get("Uploads", ()) if "Key" in entry]

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _check(self, content: bytes, sha256: bytes) -> dict[str, str]:
        if self._checksum == "sha256":
            return {"ChecksumSHA256": base64.b64encode(sha256).decode()}
        return {"ContentMD5": base64.b64encode(bytes.fromhex(md5_hex(content))).decode()}

    def _call(self, method: str, transfer: Transfer, **arguments: Any) -> dict[str, Any]:
        with _translated(method), transfer.active():
            reply: dict[str, Any] = getattr(self._client, method)(Bucket=self.bucket, **arguments)
            return reply


def s3_client(
    *,
    access_key_id: str,
    secret_access_key: str,
    session_token: str | None,
    region: str,
    endpoint_url: str | None,
    exchange: Exchange,
) -> Any:
    """A boto3 client that sends through `exchange` and takes nothing from the environment."""
    core = botocore.session.Session(session_vars=_NO_ENVIRONMENT)
    client = boto3.session.Session(
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        aws_session_token=session_token,
        region_name=region,
        botocore_session=core,
    ).client("s3", endpoint_url=endpoint_url, config=_client_config(endpoint_url))
    client.meta.events.register("before-send.s3", partial(_send, exchange))
    return client


def _client_config(endpoint_url: str | None) -> Config:
    return Config(
        # boto3 still presigns with SigV2 in the older regions unless told otherwise.
        signature_version="s3v4",
        # Ours are the only retries: 4 attempts of 3 tries each would be 12 requests.
        retries={"total_max_attempts": 1, "mode": "standard"},
        # We name the checksum ourselves; the default ones are refused by some compatible stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
        proxies={},
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )


def _send(exchange: Exchange, request: Any, **_: Any) -> AWSResponse:
    """Send what boto3 prepared and signed; it takes the answer from here and sends nothing."""
    headers = {name: _text(value) for name, value in request.headers.items()}
    answer = exchange.send(
        Request(request.method, request.url, headers, _body(request.body)), current_transfer()
    )
    return AWSResponse(answer.url, answer.status, dict(answer.headers), _Raw(answer.body))


def _body(body: Any) -> bytes:
    """boto3 wraps bytes in a file of its own, which gives the same ones back: no copy is made."""
    return body.getvalue() if isinstance(body, io.BytesIO) else body or b""


class _Raw(io.BytesIO):
    """An answer's body in the shape that botocore reads."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Let nothing of the SDK's out: any exception becomes a `StoreError` with a stable code."""
    try:
        yield
    except OuthaulError:
        raise
    except ClientError as error:
        meta = error.response.get("ResponseMetadata", {})
        status = meta.get("HTTPStatusCode")
        code = stable_code(error.response.get("Error", {}).get("Code"), status)
        code = _TAKEN.get(code, code)
        raise StoreError(
            code, describe(what, code, status), http_status=status, request_id=meta.get("RequestId")
        ) from error
    except ParamValidationError as error:
        raise StoreError("InvalidArgument", f"{what}: boto3 refuses the parameters") from error
    except ResponseParserError as error:
        raise BadStoreReplyError(f"{what}: the answer is not S3's") from error
    except Exception as error:  # boto3 lets ValueError, RecursionError and others escape
        raise StoreError("ServiceError", f"{what}: {type(error).__name__}") from error


def _described(upload: Upload) -> dict[str, Any]:
    return {"ContentType": upload.content_type, "Metadata": dict(upload.metadata)}


def _condition(upload: Upload) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if upload.absent else {}


def _part_entry(part: Part) -> dict[str, Any]:
    entry: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.sha256 is not None:
        entry["ChecksumSHA256"] = base64.b64encode(part.sha256).decode()
    return entry


def _receipt(reply: Mapping[str, Any]) -> Receipt:
    meta = reply.get("ResponseMetadata", {})
    etag = (reply.get("ETag") or "").strip('"') or None
    checksum = reply.get("ChecksumSHA256")
    by_kms = str(reply.get("ServerSideEncryption")).startswith("aws:kms")  # aws:kms:dsse too
    is_digest = not by_kms and "SSECustomerAlgorithm" not in reply
    in_parts = checksum is not None and "-" in checksum
    return Receipt(
        etag=etag,
        md5_etag=etag if is_digest else None,
        sha256=_hex(checksum) if checksum and not in_parts else None,
        parts_sha256=checksum if in_parts else None,
        size_bytes=reply.get("ContentLength"),
        version_id=reply.get("VersionId"),
        content_type=reply.get("ContentType"),
        metadata=reply.get("Metadata", {}),
        http_status=meta.get("HTTPStatusCode"),
        request_id=meta.get("RequestId"),
    )


def _hex(checksum: str) -> str:
    try:
        return base64.b64decode(checksum, validate=True).hex()
    except ValueError:
        return checksum  # not base64: it will compare unequal, and be reported


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
