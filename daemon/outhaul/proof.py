"""Whether a store's words prove that it holds our bytes. Pure: compares, never asks.

An SDK that returns is no acknowledgement: boto3 calls a 200 with an HTML page, a wrong ETag or
no body read at all a success, and oss2 leaves a missing checksum unchecked (both measured).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from outhaul.digests import Digests
from outhaul.errors import BadStoreReplyError
from outhaul.stores.base import Receipt


def prove(
    digests: Digests,
    receipt: Receipt,
    expected: Mapping[str, str] | None = None,
    md5_hex: str | None = None,
) -> str | None:
    """Name the evidence in a receipt, strongest first; None if it proves nothing.

    Args:
        digests: what we sent.
        receipt: what the store said.
        expected: digests of digests, computed while sending in parts.
        md5_hex: the content's MD5, where somebody has computed it.

    Raises:
        BadStoreReplyError: something in the receipt contradicts what we sent.
    """
    evidence = None
    for name, theirs, ours in _claims(digests, receipt, expected or receipt.expected, md5_hex):
        if theirs is None or ours is None:
            continue
        if theirs != ours:
            raise BadStoreReplyError(
                f"the store reports {name} {theirs}, sent was {ours}",
                http_status=receipt.http_status,
            )
        # An equal size alone proves nothing.
        evidence = evidence or (None if name == "size" else name)
    return evidence


def _claims(
    digests: Digests, receipt: Receipt, expected: Mapping[str, str], md5_hex: str | None
) -> Iterator[tuple[str, object, object]]:
    yield "size", receipt.size_bytes, digests.size_bytes
    yield "sha256", receipt.sha256, digests.sha256
    yield "crc64", receipt.crc64, digests.crc64
    yield "parts-sha256", receipt.parts_sha256, expected.get("parts_sha256")
    if expected:
        yield "parts-etag", receipt.md5_etag, expected.get("etag")
    else:
        yield "md5-etag", receipt.md5_etag, md5_hex
