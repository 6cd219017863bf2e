"""Large objects in parts: bounded memory, parts in parallel, aborted when given up."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Protocol

from outhaul.digests import composite
from outhaul.errors import OuthaulError, SourceError
from outhaul.stores.base import Receipt, Upload, part_bytes
from outhaul.transfer import Budget, Transfer

#: Parts of one object under way at once: 16 MiB of memory per busy worker.
PARTS_IN_FLIGHT = 2

#: An abort gets its own budget, since the attempt's may be used up.
ABORT = Budget(floor_seconds=10.0)

#: The first may go out on a connection that the store has just closed, after the failed call.
ABORT_TRIES = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has proven: its number from 1, and the store's names for it."""

    number: int
    etag: str
    sha256: bytes | None = None


def digests_of_parts(parts: list[Part]) -> dict[str, str]:
    """What S3 must answer for an object made of these parts, in its own spelling."""
    expected = {}
    with contextlib.suppress(ValueError):  # under KMS the ETag of a part is no hex digest
        md5 = composite((bytes.fromhex(part.etag) for part in parts), "md5")
        expected["etag"] = f"{md5.hex()}-{len(parts)}"
    proven = [part.sha256 for part in parts if part.sha256 is not None]
    if len(proven) == len(parts):
        sha256 = base64.b64encode(composite(proven, "sha256")).decode()
        expected["parts_sha256"] = f"{sha256}-{len(parts)}"
    return expected


class MultipartStore(Protocol):
    """The four calls that S3 and OSS have in common."""

    def create(self, upload: Upload) -> str:
        """Open a multipart upload; returns its id."""
        ...

    def put_part(self, upload: Upload, upload_id: str, number: int, content: bytes) -> Part:
        """Send one part and prove it from the answer."""
        ...

    def complete(self, upload: Upload, upload_id: str, parts: list[Part]) -> Receipt:
        """Make the parts one object."""
        ...

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an unfinished upload and what it stored."""
        ...


def put_in_parts(store: MultipartStore, upload: Upload, pool: Executor) -> Receipt:
    """Store an object in parts. What was sent is hashed again: it must be what was pinned.

    Raises:
        SourceError: `SOURCE_CHANGED`, the bytes sent are not the bytes hashed before.
        StoreError: as the store says; the upload was aborted.
    """
    upload_id = store.create(upload)
    try:
        parts = _send_parts(store, upload, upload_id, pool)
        upload.transfer.remaining()
        return store.complete(upload, upload_id, parts)
    except BaseException:
        _give_up(store, upload.key, upload_id)
        raise


def _give_up(store: MultipartStore, key: str, upload_id: str) -> None:
    """Abort: parts that stay behind are billed for ever.

    The cause of giving up matters more than an abort that fails; the janitor of orphans is the
    second line.
    """
    with Transfer(ABORT).active():
        for _ in range(ABORT_TRIES):
            with contextlib.suppress(OuthaulError):
                store.abort(key, upload_id)
                return


def _send_parts(
    store: MultipartStore, upload: Upload, upload_id: str, pool: Executor
) -> list[Part]:
    sha256 = hashlib.sha256()
    under_way: list[Future[Part]] = []
    parts: list[Part] = []
    try:
        for number, content in enumerate(_contents(upload), start=1):
            sha256.update(content)
            under_way.append(pool.submit(store.put_part, upload, upload_id, number, content))
            del content  # or this frame holds one part more than are in flight
            if len(under_way) == PARTS_IN_FLIGHT:
                parts.append(under_way.pop(0).result())
        parts += [future.result() for future in under_way]
    finally:
        # An abort must not overtake a part: the store would keep the late one.
        wait(under_way)
    if sha256.hexdigest() != upload.digests.sha256:
        raise SourceError("SOURCE_CHANGED", "the source changed while it was being sent")
    return parts


def _contents(upload: Upload) -> Iterator[bytes]:
    size = upload.body.size_bytes
    step = part_bytes(size)
    for offset in range(0, size, step):
        yield upload.body.read_at(offset, min(step, size - offset))
