"""What is known of the content, in the forms that stores prove it by."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import fastcrc

from outhaul.models import Pin


@dataclass(frozen=True, slots=True)
class Digests:
    """Digests of one content: `sha256` in hex, `crc64` (CRC-64/XZ) as OSS counts it."""

    size_bytes: int
    sha256: str
    crc64: int

    @property
    def pin(self) -> Pin:
        """The part of it that is recorded for good."""
        return Pin(self.sha256, self.size_bytes)

    @property
    def sha256_base64(self) -> str:
        """The spelling of S3's checksum headers."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


def digest(chunks: Iterable[bytes]) -> Digests:
    """One pass over the content."""
    size, sha256, crc64 = 0, hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        sha256.update(chunk)
        crc64 = fastcrc.crc64.xz(chunk, crc64)
    return Digests(size, sha256.hexdigest(), crc64)


def md5_hex(content: bytes) -> str:
    """MD5 as S3's ETag of a single PUT spells it; evidence of transfer, not security."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def composite(parts: Iterable[bytes], algorithm: str) -> bytes:
    """The digest of digests that S3 gives a multipart object."""
    return hashlib.new(algorithm, b"".join(parts), usedforsecurity=False).digest()
