from __future__ import annotations

from dataclasses import replace

import pytest

from outhaul.digests import md5_hex
from outhaul.errors import BadStoreReplyError
from outhaul.proof import prove
from outhaul.stores.base import Receipt
from tests.unit.samples import CONTENT, DIGESTS

MD5 = md5_hex(CONTENT)
PARTS = {"parts_sha256": "c2hhMjU2-3", "etag": "d41d8cd9-3"}
TRUE = Receipt(
    md5_etag=MD5,
    sha256=DIGESTS.sha256,
    crc64=DIGESTS.crc64,
    size_bytes=DIGESTS.size_bytes,
    http_status=200,
)


@pytest.mark.parametrize(
    ("receipt", "evidence"),
    [
        (TRUE, "sha256"),
        (replace(TRUE, sha256=None), "crc64"),
        (replace(TRUE, sha256=None, crc64=None), "md5-etag"),
        (Receipt(sha256=DIGESTS.sha256), "sha256"),
        (Receipt(crc64=DIGESTS.crc64), "crc64"),
        (Receipt(md5_etag=MD5), "md5-etag"),
        (Receipt(parts_sha256="c2hhMjU2-3", md5_etag="d41d8cd9-3", expected=PARTS), "parts-sha256"),
        (Receipt(md5_etag="d41d8cd9-3", expected=PARTS), "parts-etag"),
        (Receipt(crc64=DIGESTS.crc64, md5_etag="d41d8cd9-3", expected=PARTS), "crc64"),
    ],
)
def test_the_strongest_equal_digest_is_the_evidence(receipt: Receipt, evidence: str) -> None:
    """A digest of the whole object proves it; digests of parts do where they are known."""

    assert prove(DIGESTS, receipt, md5_hex=MD5) == evidence


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt(),
        Receipt(http_status=200, etag='"something"', version_id="v1", request_id="r"),
        Receipt(size_bytes=DIGESTS.size_bytes),
        Receipt(parts_sha256="c2hhMjU2-3"),
    ],
)
def test_without_an_equal_digest_nothing_is_proven(receipt: Receipt) -> None:
    """A 200, an opaque ETag, an equal size, or a digest that we cannot know, is no proof."""

    assert prove(DIGESTS, receipt, md5_hex=MD5) is None


def test_an_md5_that_nobody_computed_proves_nothing() -> None:
    """An ETag is compared only with a digest of our own."""

    assert prove(DIGESTS, Receipt(md5_etag=MD5)) is None


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        ({"sha256": "0" * 64}, "sha256"),
        ({"crc64": DIGESTS.crc64 ^ 1}, "crc64"),
        ({"crc64": 0}, "crc64"),
        ({"md5_etag": "0" * 32}, "md5-etag"),
        ({"size_bytes": DIGESTS.size_bytes + 1}, "size"),
        ({"size_bytes": 0}, "size"),
    ],
)
def test_one_contradiction_outweighs_all_evidence(lie: dict[str, object], named: str) -> None:
    """A receipt that is wrong in one point is wrong, however right the others are."""

    with pytest.raises(BadStoreReplyError, match=f"reports {named} ") as caught:
        prove(DIGESTS, replace(TRUE, **lie), md5_hex=MD5)  # type: ignore[arg-type]

    assert caught.value.http_status == 200


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt(parts_sha256="b3RoZXI=-3", md5_etag="d41d8cd9-3"),
        Receipt(parts_sha256="c2hhMjU2-2", md5_etag="d41d8cd9-3"),
        Receipt(parts_sha256="c2hhMjU2-3", md5_etag="00000000-3"),
        Receipt(md5_etag=MD5),
    ],
)
def test_the_digests_of_parts_must_be_those_that_were_sent(receipt: Receipt) -> None:
    """For an object made of parts, other parts, another number of them or one part is a lie."""

    with pytest.raises(BadStoreReplyError):
        prove(DIGESTS, receipt, expected=PARTS, md5_hex=MD5)


def test_what_a_head_says_is_compared_with_what_the_upload_computed() -> None:
    """Digests of parts that the caller hands over count like those in the receipt."""

    held = Receipt(parts_sha256="c2hhMjU2-3", size_bytes=DIGESTS.size_bytes)

    assert prove(DIGESTS, held, expected=PARTS) == "parts-sha256"
    assert prove(DIGESTS, replace(held, expected=PARTS)) == "parts-sha256"


def test_parts_without_a_digest_of_their_own_prove_nothing() -> None:
    """Under KMS the ETag of a part is no digest, so that of the object is not compared."""

    receipt = Receipt(md5_etag="d41d8cd9-3", parts_sha256=None)

    assert prove(DIGESTS, receipt, expected={"parts_sha256": "c2hhMjU2-3"}) is None
