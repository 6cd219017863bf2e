from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul.digests import Digests, composite, digest, md5_hex
from outhaul.models import Pin

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_crc_is_the_one_that_oss_counts() -> None:
    """CRC-64/XZ gives its published check value."""

    assert digest([b"123456789"]).crc64 == 0x995DC9BBDF1939FA


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
def test_an_empty_content_has_digests_too(chunks: list[bytes]) -> None:
    """No bytes are a content like any other."""

    assert digest(chunks) == Digests(0, EMPTY_SHA256, 0)


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_how_a_content_is_cut_does_not_matter(chunks: list[bytes]) -> None:
    """The digests are those of the whole, whatever blocks it was read in."""

    whole = b"".join(chunks)

    assert digest(chunks) == digest([whole])
    assert digest(chunks).sha256 == hashlib.sha256(whole).hexdigest()
    assert digest(chunks).size_bytes == len(whole)


def test_the_pin_is_what_gets_recorded() -> None:
    """Size and SHA-256 say what a content is."""

    assert digest([b""]).pin == Pin(EMPTY_SHA256, 0)


def test_s3_spells_a_sha256_in_base64() -> None:
    """The header carries the digest's bytes, not its hexadecimal digits."""

    assert base64.b64decode(digest([b""]).sha256_base64).hex() == EMPTY_SHA256


def test_md5_is_spelled_as_an_etag() -> None:
    """The ETag of a single PUT is the MD5 in lower-case hexadecimal."""

    assert md5_hex(b"") == "d41d8cd98f00b204e9800998ecf8427e"


def test_a_digest_of_digests_is_over_their_bytes() -> None:
    """An object of parts is named by the digest of its parts' digests, in their order."""

    parts = [hashlib.md5(part).digest() for part in (b"one", b"two")]

    assert composite(parts, "md5") == hashlib.md5(parts[0] + parts[1]).digest()
    assert composite(parts, "sha256") != composite(reversed(parts), "sha256")
