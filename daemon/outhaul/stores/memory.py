"""A store in memory with a script of faults: for tests, and held to the real stores' contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from outhaul.digests import Digests, digest
from outhaul.errors import StoreError
from outhaul.models import StoreName
from outhaul.stores.base import PART_BYTES, Receipt, Upload, part_bytes
from outhaul.transfer import Transfer


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What lies under a key."""

    content: bytes
    digests: Digests
    content_type: str
    metadata: Mapping[str, str]


@dataclass(slots=True)
class MemoryStore:
    """Objects in a dictionary.

    `script` holds one entry per coming PUT: an error to raise, a function that turns the honest
    receipt into a lie, or None for a PUT that works. Once it is empty every PUT works.
    """

    name: StoreName = StoreName.S3
    bucket: str = "memory"
    objects: dict[str, StoredObject] = field(default_factory=dict)
    script: list[StoreError | Callable[[Receipt], Receipt] | None] = field(default_factory=list)
    puts: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, upload: Upload) -> Receipt:
        """Keep the bytes, or do what the script says. See `Store.put`."""
        upload.transfer.remaining()
        content = b"".join(_read(upload))
        with self._lock:
            self.puts.append(upload.key)
            step = self.script.pop(0) if self.script else None
            if isinstance(step, StoreError):
                raise step
            if upload.absent and upload.key in self.objects:
                raise StoreError("KEY_EXISTS", "the key is taken", http_status=412)
            stored = StoredObject(
                content, digest([content]), upload.content_type, dict(upload.metadata)
            )
            self.objects[upload.key] = stored
        upload.transfer.sent(len(content))
        receipt = _receipt(stored)
        return step(receipt) if step else receipt

    def head(self, key: str, transfer: Transfer) -> Receipt | None:
        """What lies under a key."""
        transfer.remaining()
        stored = self.objects.get(key)
        return _receipt(stored) if stored else None

    def get(self, key: str, transfer: Transfer) -> Iterator[bytes]:
        """The bytes under a key."""
        transfer.remaining()
        if key not in self.objects:
            raise StoreError("NoSuchKey", "there is no such object", http_status=404)
        yield self.objects[key].content

    def delete(self, key: str, transfer: Transfer) -> None:
        """Forget a key."""
        transfer.remaining()
        self.objects.pop(key, None)

    def presign(self, key: str, expires_seconds: int) -> str:
        """Memory has no links."""
        raise StoreError("NO_DOWNLOAD_URL", f"{key}: memory has no links ({expires_seconds} s)")

    def open_multiparts(self, transfer: Transfer) -> list[str]:
        """Memory keeps no unfinished uploads."""
        transfer.remaining()
        return []

    def close(self) -> None:
        """Nothing to release."""


def _read(upload: Upload) -> Iterator[bytes]:
    size = upload.body.size_bytes
    step = part_bytes(size, PART_BYTES)
    for offset in range(0, size, step):
        yield upload.body.read_at(offset, min(step, size - offset))


def _receipt(stored: StoredObject) -> Receipt:
    return Receipt(
        etag=stored.digests.sha256[:32],
        sha256=stored.digests.sha256,
        size_bytes=stored.digests.size_bytes,
        content_type=stored.content_type,
        metadata=stored.metadata,
        http_status=200,
    )
