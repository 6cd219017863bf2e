"""What the bucket keeps: objects, and the uploads and parts on their way to become one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from fastcrc import crc64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.oss.message import Request

META_PREFIX: Final = "x-oss-meta-"


def _md5(data: bytes) -> str:
    # MD5 is the protocol's checksum here, not a safeguard.
    return hashlib.md5(data, usedforsecurity=False).hexdigest().upper()


@dataclass(frozen=True)
class Description:
    """What the uploader says about an object. Metadata names are lower-case, without prefix."""

    content_type: str
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> Description:
        """Read the headers of PutObject or InitiateMultipartUpload."""
        given = request.headers
        return cls(
            content_type=given.get("content-type") or "application/octet-stream",
            metadata={
                name.removeprefix(META_PREFIX): value
                for name, value in given.items()
                if name.startswith(META_PREFIX)
            },
        )


@dataclass(frozen=True)
class StoredObject:
    """One object. `etag` is unquoted upper-case, `crc64` the CRC-64/XZ of all its bytes."""

    data: bytes = field(repr=False)
    content_type: str
    metadata: Mapping[str, str]
    etag: str
    crc64: int
    object_type: str
    modified: float

    @classmethod
    def normal(cls, data: bytes, described: Description, now: float) -> StoredObject:
        """Return the object a single PUT makes; its ETag is the MD5 of the bytes."""
        return cls._of(data, described, _md5(data), "Normal", now)

    @classmethod
    def joined(cls, upload: Upload, parts: Sequence[Part], now: float) -> StoredObject:
        """Return the object a completed upload makes; its ETag says nothing about the bytes."""
        data = b"".join(part.data for part in parts)
        etag = f"{_md5(''.join(part.etag for part in parts).encode())}-{len(parts)}"
        return cls._of(data, upload.described, etag, "Multipart", now)

    @classmethod
    def _of(
        cls, data: bytes, described: Description, etag: str, object_type: str, now: float
    ) -> StoredObject:
        return cls(
            data=data,
            content_type=described.content_type,
            metadata=described.metadata,
            etag=etag,
            crc64=crc64.xz(data),
            object_type=object_type,
            modified=now,
        )


@dataclass(frozen=True)
class Part:
    """One uploaded part, numbered 1 to 10000."""

    number: int
    data: bytes = field(repr=False)
    etag: str
    crc64: int
    modified: float

    @classmethod
    def uploaded(cls, number: int, data: bytes, now: float) -> Part:
        """Return the part that UploadPart stores."""
        return cls(number, data, _md5(data), crc64.xz(data), now)


@dataclass(frozen=True)
class Upload:
    """An open multipart upload, with its parts by number."""

    upload_id: str
    key: str
    described: Description
    initiated: float
    parts: Mapping[int, Part] = field(default_factory=dict)

    def with_part(self, part: Part) -> Upload:
        """Return this upload with the part added, in place of an earlier one of its number."""
        return replace(self, parts={**self.parts, part.number: part})
