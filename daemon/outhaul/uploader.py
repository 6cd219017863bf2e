"""One attempt: open, hash, pin, put, prove. No SQL, no sleeping, no retry."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from outhaul.digests import Digests, digest, md5_hex
from outhaul.errors import (
    BadStoreReplyError,
    InterruptedAttemptError,
    SourceError,
    StoreError,
    one_line,
)
from outhaul.models import (
    Attempt,
    Failure,
    IfExists,
    Interrupted,
    Job,
    Origin,
    Outcome,
    Pin,
    Result,
    Skipped,
    Stored,
    StoreName,
)
from outhaul.proof import prove
from outhaul.source import Source, Sources
from outhaul.stores.base import PART_BYTES, Receipt, Store, Upload
from outhaul.transfer import Transfer

#: What a store keeps when the row names no type; both clouds get the same.
DEFAULT_CONTENT_TYPE = "application/octet-stream"


class Verify(enum.StrEnum):
    """How much proof is asked for, beyond the answer to the upload itself."""

    ANSWER = "answer"
    HEAD = "head"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class Uploader:
    """Makes attempts.

    Args:
        stores: the configured stores.
        sources: opens what jobs name.
        pin: records a content durably before the first part of it is sent.
        verify: how much proof is asked for.
    """

    stores: Mapping[StoreName, Store]
    sources: Sources
    pin: Callable[[Job, Pin], None]
    verify: Verify = Verify.ANSWER

    def attempt(self, job: Job, transfer: Transfer) -> Attempt:
        """Try once. Whatever goes wrong is in the result; nothing is raised."""
        begun = time.monotonic()
        result = self._result(job, transfer)
        ended = time.monotonic()
        return Attempt(job, result, ended, round((ended - begun) * 1000), transfer.bytes_sent)

    def _result(self, job: Job, transfer: Transfer) -> Result:
        known: list[Pin] = []
        try:
            with self.sources.opened(job, transfer) as source:
                _check(job, source.digests)
                known.append(source.digests.pin)
                return self._store(job, source, transfer)
        except InterruptedAttemptError as error:
            return transfer.cut or Interrupted(Outcome.INTERRUPTED, error.message)
        except Exception as error:  # noqa: BLE001 - a worker outlives any bug, and the row says so
            return _failure(error, known)

    def _store(self, job: Job, source: Source, transfer: Transfer) -> Result:
        digests, store = source.digests, self.stores[job.store]
        if digests.size_bytes > PART_BYTES and job.pin_sha256 is None:
            self.pin(job, digests.pin)
        upload = Upload(
            job.storage_key,
            source.body,
            digests,
            transfer,
            content_type=job.content_type or DEFAULT_CONTENT_TYPE,
            metadata=job.metadata,
            absent=job.if_exists is not IfExists.OVERWRITE,
        )
        try:
            receipt = store.put(upload)
        except StoreError as error:
            if error.code != "KEY_EXISTS":
                raise
            return self._key_taken(job, store, upload)
        evidence = self._prove(store, upload, receipt)
        source.confirm()
        return _stored(store, digests, receipt, evidence)

    def _prove(self, store: Store, upload: Upload, receipt: Receipt) -> str:
        md5 = _md5_if_needed(upload, receipt)
        evidence = prove(upload.digests, receipt, md5_hex=md5)
        if evidence is None or self.verify is Verify.HEAD:
            evidence = _prove_by_head(store, upload, receipt, md5)
        if self.verify is Verify.DOWNLOAD:
            evidence = _prove_by_download(store, upload)
        return evidence

    def _key_taken(self, job: Job, store: Store, upload: Upload) -> Result:
        """An earlier attempt of ours may have written it, and only its answer got lost."""
        held = store.head(upload.key, upload.transfer)
        if held is not None and (evidence := _same(store, upload, held)):
            return _stored(store, upload.digests, held, evidence)
        message = f"{store.name} holds another object under this key"
        if job.if_exists is IfExists.SKIP:
            return Skipped(message)
        return Failure("KEY_EXISTS", message, Origin.ROW)


class _DiffersFromPinError(SourceError):
    """The source is not what an earlier attempt recorded."""


def _check(job: Job, digests: Digests) -> None:
    expected = job.expected_sha256
    if expected is not None and expected != digests.sha256:
        raise SourceError(
            "SOURCE_HASH_MISMATCH", f"the source has SHA-256 {digests.sha256}, not {expected}"
        )
    if job.pin_sha256 is not None and job.pin_sha256 != digests.sha256:
        raise _DiffersFromPinError(
            "SOURCE_CHANGED",
            f"the source has SHA-256 {digests.sha256}, an earlier attempt had {job.pin_sha256};"
            " insert a new row for the new content",
        )


def _md5_if_needed(upload: Upload, receipt: Receipt) -> str | None:
    """MD5 is the slowest digest, so only a store that offers no other gets it computed."""
    better = receipt.sha256 or receipt.crc64 is not None or receipt.expected
    if better or upload.body.size_bytes > PART_BYTES:
        return None
    return md5_hex(upload.body.read_at(0, upload.body.size_bytes))


def _prove_by_head(store: Store, upload: Upload, receipt: Receipt, md5: str | None) -> str:
    held = store.head(upload.key, upload.transfer)
    if held is None:
        raise BadStoreReplyError("the store took the object, and then had none under the key")
    # An empty size is only told by HEAD; with a digest beside it, both must be right.
    evidence = prove(upload.digests, held, expected=receipt.expected, md5_hex=md5)
    if evidence is None:
        raise BadStoreReplyError("neither the answer nor a HEAD carries a checksum")
    return f"head-{evidence}"


def _prove_by_download(store: Store, upload: Upload) -> str:
    found = digest(store.get(upload.key, upload.transfer))
    if found != upload.digests:
        raise BadStoreReplyError(f"the object downloads with SHA-256 {found.sha256}")
    return "download"


def _same(store: Store, upload: Upload, held: Receipt) -> str | None:
    """The evidence that a found object is ours; None if it is another."""
    try:
        evidence = prove(upload.digests, held, md5_hex=_md5_if_needed(upload, held))
        # An object made of parts has no digest that we could know from outside.
        return f"head-{evidence}" if evidence else _prove_by_download(store, upload)
    except BadStoreReplyError:
        return None


def _stored(store: Store, digests: Digests, receipt: Receipt, evidence: str) -> Stored:
    return Stored(
        bucket=store.bucket,
        etag=receipt.etag,
        version_id=receipt.version_id,
        pin=digests.pin,
        verified_by=evidence,
        http_status=receipt.http_status,
        request_id=receipt.request_id,
    )


def _failure(error: Exception, known: list[Pin]) -> Failure:
    match error:
        case SourceError():
            final = isinstance(error, _DiffersFromPinError)
            return Failure(error.code, error.message, Origin.SOURCE, final=final)
        case StoreError():
            return Failure(
                error.code,
                error.message,
                http_status=error.http_status,
                request_id=error.request_id,
                pin=known[0] if known else None,
            )
    # A bug of ours: the next try, or the next store, may do better.
    return Failure("INTERNAL_ERROR", one_line(f"unexpected {type(error).__name__}: {error}"))
