"""What a store is to the uploader: put and prove, look, fetch, delete, link. Stores never retry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from outhaul.digests import Digests
from outhaul.models import StoreName
from outhaul.transfer import Transfer

#: Above this a store is fed in parts; at or below it, in one request from memory.
PART_BYTES = 8 * 1024 * 1024

#: Both clouds refuse more parts than this.
MAX_PARTS = 10_000


class Body(Protocol):
    """The bytes of one attempt: of known size, readable again from any offset."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only if the source shrank."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """One object to store. `absent` asks the store to refuse a key that is taken."""

    key: str
    body: Body
    digests: Digests
    transfer: Transfer
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a store said about an object; nothing in it is believed before it is compared.

    `sha256` is hex and `crc64` an integer, of the whole object; `md5_etag` is an ETag that is a
    digest (no KMS, no customer key). An object made of parts has digests of digests instead:
    `parts_sha256` and the ETag, and `expected` holds what the sender computed for them.
    """

    etag: str | None = None
    md5_etag: str | None = None
    sha256: str | None = None
    parts_sha256: str | None = None
    crc64: int | None = None
    size_bytes: int | None = None
    version_id: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    http_status: int | None = None
    request_id: str | None = None
    expected: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """A place that can hold and prove objects.

    Every method raises `StoreError` with a stable code, and `InterruptedAttemptError` when the
    transfer was cancelled; no other exception leaves a store.
    """

    @property
    def name(self) -> StoreName:
        """Which store this is."""
        ...

    @property
    def bucket(self) -> str:
        """The bucket, or for `local` the directory."""
        ...

    def put(self, upload: Upload) -> Receipt:
        """Store an object; return what the store said of it, which proves nothing by itself.

        Raises:
            StoreError: `KEY_EXISTS` when `absent` was asked and the key is taken.
        """
        ...

    def head(self, key: str, transfer: Transfer) -> Receipt | None:
        """What the store says it holds under a key; None if nothing."""
        ...

    def get(self, key: str, transfer: Transfer) -> Iterator[bytes]:
        """The object's bytes, in blocks.

        Raises:
            StoreError: `NoSuchKey` or `HTTP_404` when there is none.
        """
        ...

    def delete(self, key: str, transfer: Transfer) -> None:
        """Delete an object; an absent one is a success, an absent bucket is not."""
        ...

    def presign(self, key: str, expires_seconds: int) -> str:
        """A download link. It is a bearer token: never store it, never log it.

        Raises:
            StoreError: `NO_DOWNLOAD_URL` for stores that have no links.
        """
        ...

    def open_multiparts(self, transfer: Transfer) -> list[str]:
        """The keys of unfinished multipart uploads, for audits and tests."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def part_bytes(size_bytes: int, part: int = PART_BYTES, most: int = MAX_PARTS) -> int:
    """The part size for an object: `part`, or as much more as the limit on parts asks for."""
    return max(part, -(-size_bytes // most))
