"""What S3 stores say of checksums, and what becomes of it: some know none, some hide the digest."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import Executor
from http.client import HTTPMessage
from typing import Any, Final

import pytest

from outhaul.errors import StoreError
from outhaul.proof import prove
from outhaul.stores.base import Receipt
from outhaul.stores.exchange import Answer, Request
from outhaul.transfer import Transfer
from tests.contract.stores import (
    IN_PARTS,
    Front,
    content,
    s3_store,
    s3_subject,
    upload,
)
from tests.support.fault_proxy import FaultProxy
from tests.support.seaweed import SeaweedServer

pytest_plugins = ["tests.contract.subjects"]

ONE_AND_MANY: Final = pytest.mark.parametrize("size", [1000, IN_PARTS], ids=["one", "parts"])


@pytest.fixture
def by_md5(seaweed_server: SeaweedServer, parts: Executor) -> Iterator[Front]:
    """S3 in the mode for stores that know no additional checksums."""
    with (
        FaultProxy(seaweed_server.address) as proxy,
        s3_store(seaweed_server, parts, url=proxy.url, checksum="md5") as store,
    ):
        yield Front(s3_subject(seaweed_server, store), proxy)


def md5_of(body: bytes) -> str:
    """The ETag of a single PUT."""
    return hashlib.md5(body).hexdigest()


@ONE_AND_MANY
def test_md5_mode_sends_no_additional_checksum(by_md5: Front, size: int) -> None:
    """A store that refuses x-amz-checksum-* headers gets none, and still proves the content."""

    job = upload(by_md5.subject.key("old.bin"), content(size))

    receipt = by_md5.subject.store.put(job)

    sent = {name for seen in by_md5.requests for name in seen.headers}
    assert not [name for name in sent if "checksum" in name or name == "x-amz-trailer"]
    assert by_md5.subject.found(job.key) == content(size)
    md5 = md5_of(content(size)) if size < IN_PARTS else None
    assert prove(job.digests, receipt, md5_hex=md5) == ("md5-etag" if md5 else "parts-etag")


@ONE_AND_MANY
def test_md5_mode_lets_the_store_check(by_md5: Front, size: int) -> None:
    """Each body goes with its MD5, so that a store refuses what arrives in another state."""

    by_md5.subject.store.put(upload(by_md5.subject.key("old.bin"), content(size)))

    bodies = [seen.headers["content-md5"] for seen in by_md5.requests if seen.method == "PUT"]
    blocks = [content(size)[start : start + (8 << 20)] for start in range(0, size, 8 << 20)]
    assert sorted(bodies) == sorted(
        base64.b64encode(hashlib.md5(block).digest()).decode() for block in blocks
    )


def test_a_checksum_is_sent_by_default(fronted_s3: Front) -> None:
    """The default mode sends one SHA-256 of the content, and no other checksum beside it."""

    fronted_s3.subject.store.put(upload(fronted_s3.subject.key("new.bin"), b"x"))

    (seen,) = fronted_s3.requests
    named = {name for name in seen.headers if name.startswith("x-amz-checksum-")}
    assert named == {"x-amz-checksum-sha256"}
    assert "content-md5" not in seen.headers


def test_a_corrupted_body_is_refused_by_the_store(fronted_s3: Front) -> None:
    """What is sent is checked by the store against our own digest: other bytes are BadDigest."""

    key = fronted_s3.subject.key("torn.bin")
    job = upload(key, b"as it was hashed")
    torn = upload(key, b"as it was torn!!")

    with pytest.raises(StoreError) as caught:
        fronted_s3.subject.store.put(type(job)(key, torn.body, job.digests, job.transfer))

    assert caught.value.code == "BadDigest"
    assert fronted_s3.subject.found(key) is None


def test_a_part_may_be_proven_by_its_etag(fronted_s3: Front) -> None:
    """A store that echoes no checksum of a part proves it by the ETag, which is its MD5."""

    fronted_s3.proxy.rewrite(
        {"x-amz-checksum-sha256": None}, method="PUT", query="partNumber=", times=math.inf
    )
    key = fronted_s3.subject.key("echoless.bin")
    store: Any = fronted_s3.subject.store
    job = upload(key, content(IN_PARTS))
    upload_id = store.create(job)

    part = store.put_part(job, upload_id, 1, b"a part")

    assert (part.etag, part.sha256) == (md5_of(b"a part"), None)
    with job.transfer.active():
        store.abort(key, upload_id)


def answered(front: Front, headers: dict[str, str], size: int = 1) -> Receipt:
    """The receipt of a PUT that the store answers with these headers."""

    def answer(request: Request, _transfer: Transfer) -> Answer:
        message = HTTPMessage()
        for name, value in headers.items():
            message[name] = value
        return Answer(200, message, b"", request.url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front.subject.store._exchange, "send", answer)  # type: ignore[attr-defined]
        return front.subject.store.put(upload("k", content(size)))


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-server-side-encryption": "aws:kms"},
        {"x-amz-server-side-encryption": "aws:kms:dsse"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ],
)
def test_an_etag_under_such_encryption_is_no_digest(
    fronted_s3: Front, headers: dict[str, str]
) -> None:
    """Under KMS or a customer's key the ETag is no MD5: it is kept, and compared with nothing."""

    receipt = answered(fronted_s3, {"ETag": '"deadbeef"', **headers})

    assert (receipt.etag, receipt.md5_etag) == ("deadbeef", None)
    assert prove(upload("k", content(1)).digests, receipt, md5_hex=md5_of(content(1))) is None


def test_an_etag_under_the_buckets_own_encryption_is_one(fronted_s3: Front) -> None:
    """AES256, which S3 applies to every object by default, leaves the ETag an MD5."""

    etag = md5_of(content(1))

    receipt = answered(fronted_s3, {"ETag": f'"{etag}"', "x-amz-server-side-encryption": "AES256"})

    assert receipt.md5_etag == etag


@pytest.mark.parametrize("checksum", ["AAAA", "not base64!", "é", "=", "A" * 1000])
def test_a_garbled_checksum_disproves(fronted_s3: Front, checksum: str) -> None:
    """A checksum that is not one compares unequal; it is not passed over."""

    receipt = answered(fronted_s3, {"x-amz-checksum-sha256": checksum})

    with pytest.raises(StoreError) as caught:
        prove(upload("k", content(1)).digests, receipt)
    assert caught.value.code == "BAD_STORE_REPLY"


def test_a_version_is_on_the_receipt(fronted_s3: Front) -> None:
    """The version that a versioned bucket names is what the row will name."""

    assert answered(fronted_s3, {"x-amz-version-id": "v1"}).version_id == "v1"
