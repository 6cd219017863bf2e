"""Stores that say yes and lie: an attempt succeeds on evidence, or it does not succeed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import pytest

from outhaul.digests import digest, md5_hex
from outhaul.models import Failure, Result, Stored
from outhaul.policy import RETRYABLE_CODES
from outhaul.uploader import Verify
from tests.contract.stores import IN_PARTS, Front, content, transfer
from tests.faults.attempt import NAME, attempt, held
from tests.support.oss import Reply, Request, wrong_crc64
from tests.support.proxy import replies

pytest_plugins = ["tests.contract.subjects"]

ALL_MODES: Final = pytest.mark.parametrize("verify", list(Verify))
SUSPICIOUS: Final = pytest.mark.parametrize("verify", [Verify.HEAD, Verify.DOWNLOAD])
ONE_AND_MANY: Final = pytest.mark.parametrize("size", [1000, IN_PARTS], ids=["one", "parts"])

#: The headers by which a cloud names the content of what it was sent.
DIGESTS: Final = ("ETag", "x-amz-checksum-sha256", "x-oss-hash-crc64ecma")


def outcome(result: Result) -> str:
    """The evidence of a success, or the code of a failure."""
    assert isinstance(result, Stored | Failure)
    return result.verified_by if isinstance(result, Stored) else result.code


class Lie(NamedTuple):
    """An answer to a PUT of which the cloud has not kept a byte, and the code it ends in."""

    answer: bytes
    s3: str = "BAD_STORE_REPLY"
    oss: str = "BAD_STORE_REPLY"
    read_body: bool = True


FORGED: Final = {
    "ETag": '"d41d8cd98f00b204e9800998ecf8427e"',
    "x-oss-hash-crc64ecma": "1",
    "x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
}

#: The proxy hangs up after an answer of its own: it should say so.
LAST: Final = {"Connection": "close"}


def yes(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """An answer without a body."""
    return replies.reply(status, b"", {**LAST, **(headers or {})})


#: S3's SDK looks into the body of a 200, OSS's does not.
EMPTY_HANDED: Final = {
    "200 and nothing else": Lie(yes()),
    "200 and a captive portal": Lie(replies.html_page(200, LAST)),
    "204": Lie(yes(204)),
    "201": Lie(yes(201)),
    "another content's digests": Lie(yes(200, FORGED)),
    "an empty ETag": Lie(yes(200, {"ETag": '""'})),
    "an error inside": Lie(
        replies.store_error(200, "InternalError", headers=LAST), s3="InternalError"
    ),
    "a truncated 200": Lie(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<x", "NetworkError", "NetworkError"
    ),
    "200 before the body is read": Lie(yes(), read_body=False),
    "digests before the body is read": Lie(yes(200, FORGED), read_body=False),
}


@ALL_MODES
@pytest.mark.parametrize("lie", EMPTY_HANDED.values(), ids=EMPTY_HANDED.keys())
def test_a_yes_without_the_bytes_is_no_success(front: Front, lie: Lie, verify: Verify) -> None:
    """Nothing was stored: whatever was answered, the attempt fails, and is worth a retry."""

    front.proxy.answer(lie.answer, read_body=lie.read_body, method="PUT")

    size = 1000 if lie.read_body else 8 << 20
    result = attempt(front, content(size), verify=verify)

    assert held(front) is None
    assert outcome(result) == (lie.oss if front.oss else lie.s3)
    assert outcome(result) in RETRYABLE_CODES


@ALL_MODES
@pytest.mark.parametrize("lie", EMPTY_HANDED.values(), ids=EMPTY_HANDED.keys())
def test_a_completion_that_joined_nothing_is_no_success(
    front: Front, lie: Lie, verify: Verify
) -> None:
    """The same for the answer that is to make an object of its parts, which are given up."""

    front.proxy.answer(lie.answer, method="POST", query="uploadId=")

    result = attempt(front, content(IN_PARTS), verify=verify)

    assert held(front) is None
    assert isinstance(result, Failure)
    assert result.code in RETRYABLE_CODES


class Rewriting(NamedTuple):
    """What becomes of the digests in an honest answer, and the evidence or the code that follows.

    The cloud has kept the bytes, so a success is the truth if something proves it.
    """

    headers: Mapping[str, str | None]
    s3: str
    oss: str


REWRITINGS: Final = {
    "no ETag": Rewriting({"ETag": None}, "sha256", "crc64"),
    "no checksum": Rewriting(
        {"x-amz-checksum-sha256": None, "x-oss-hash-crc64ecma": None}, "md5-etag", "head-crc64"
    ),
    "no digest at all": Rewriting(dict.fromkeys(DIGESTS), "head-sha256", "head-crc64"),
    "wrong checksum": Rewriting(
        {"x-amz-checksum-sha256": "AAAA", "x-oss-hash-crc64ecma": "1"},
        "BAD_STORE_REPLY",
        "BAD_STORE_REPLY",
    ),
    "checksum that is none": Rewriting(
        {"x-amz-checksum-sha256": "?", "x-oss-hash-crc64ecma": "?"},
        "BAD_STORE_REPLY",
        "BAD_STORE_REPLY",
    ),
    "wrong ETag, no checksum": Rewriting(
        {"ETag": '"0"', "x-amz-checksum-sha256": None, "x-oss-hash-crc64ecma": None},
        "BAD_STORE_REPLY",
        "head-crc64",  # the ETag of OSS is none of its proofs
    ),
}


@pytest.mark.parametrize("rewriting", REWRITINGS.values(), ids=REWRITINGS.keys())
def test_a_success_names_its_evidence(front: Front, rewriting: Rewriting) -> None:
    """What proves the content is named; where the answer proves nothing, a HEAD has to."""

    front.proxy.rewrite(rewriting.headers, method="PUT")

    result = attempt(front, content(1000))

    assert outcome(result) == (rewriting.oss if front.oss else rewriting.s3)
    assert held(front) == content(1000)


@pytest.mark.parametrize("rewriting", REWRITINGS.values(), ids=REWRITINGS.keys())
def test_a_part_names_its_evidence(front: Front, rewriting: Rewriting) -> None:
    """No part is taken for stored without a digest of its own, and none is left of a failure."""

    front.proxy.rewrite(rewriting.headers, method="PUT", query="partNumber=2")

    result = attempt(front, content(IN_PARTS))

    if isinstance(result, Stored):
        assert held(front) == content(IN_PARTS)
    else:
        assert held(front) is None
    assert front.subject.unfinished() == []


@ONE_AND_MANY
def test_a_head_that_knows_no_digest_proves_nothing(front: Front, size: int) -> None:
    """Where neither answer names the content, the size alone is no proof."""

    front.proxy.rewrite(dict.fromkeys(DIGESTS), times=math.inf)

    result = attempt(front, content(size))

    assert outcome(result) == "BAD_STORE_REPLY"


@SUSPICIOUS
def test_the_asked_for_proof_is_given(front: Front, verify: Verify) -> None:
    """The mode that was asked for is the evidence, even where the answer proved enough."""

    result = attempt(front, content(1000), verify=verify)

    by_head = "head-crc64" if front.oss else "head-sha256"
    assert outcome(result) == (by_head if verify is Verify.HEAD else "download")


def digests_of(body: bytes) -> dict[str, str]:
    """The headers of an answer to somebody who really stored these bytes."""
    known = digest([body])
    return {
        "ETag": f'"{md5_hex(body)}"',
        "x-amz-checksum-sha256": known.sha256_base64,
        "x-oss-hash-crc64ecma": str(known.crc64),
    }


@SUSPICIOUS
def test_right_digests_of_nothing_are_seen_through(front: Front, verify: Verify) -> None:
    """A cloud that hashes what it is sent and keeps none of it is found out by looking."""

    front.proxy.answer(yes(200, digests_of(content(1000))), method="PUT")

    result = attempt(front, content(1000), verify=verify)

    assert isinstance(result, Failure)
    assert result.code in {"BAD_STORE_REPLY", "HTTP_404"}


#: What is under the key by the time somebody looks; None for nothing.
DAMAGES: Final[dict[str, Callable[[bytes], bytes | None]]] = {
    "gone": lambda _body: None,
    "one bit flipped": lambda body: body[:-1] + bytes([body[-1] ^ 1]),
    "half of it": lambda body: body[: len(body) // 2],
    "empty": lambda _body: b"",
    "one byte more": lambda body: body + b"\0",
}


@ONE_AND_MANY
@SUSPICIOUS
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_after_the_answer_is_seen(
    front: Front, size: int, verify: Verify, damage: Callable[[bytes], bytes | None]
) -> None:
    """An object that has changed by the time it is looked at is no success."""

    is_large = size >= IN_PARTS
    hold = front.proxy.hold(
        after_store=True,
        method="POST" if is_large else "PUT",
        query="uploadId=" if is_large else "",
    )
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(attempt, front, content(size), verify=verify)
        assert hold.stored.wait(20)
        damaged = damage(content(size))
        if damaged is None:
            front.subject.store.delete(front.subject.key(NAME), transfer())
        else:
            front.subject.plant(front.subject.key(NAME), damaged)
        hold.release()

    assert isinstance(result.result(), Failure)
    assert outcome(result.result()) in {"BAD_STORE_REPLY", "HTTP_404", "NoSuchKey"}
    assert held(front) == damaged


def test_a_look_that_comes_too_early_is_repeated(front: Front) -> None:
    """A cloud that lists an object only later fails one attempt, and the next one succeeds."""

    front.proxy.fail(404, "NoSuchKey", method="HEAD")

    first = attempt(front, content(1000), verify=Verify.HEAD)
    second = attempt(front, content(1000), verify=Verify.HEAD)

    assert outcome(first) == "BAD_STORE_REPLY"
    assert isinstance(second, Stored)


@ONE_AND_MANY
@ALL_MODES
def test_oss_that_lies_at_every_turn_is_never_believed(
    fronted_oss: Front, size: int, verify: Verify
) -> None:
    """A wrong CRC in every answer is a contradiction each time, and leaves no parts."""

    server = fronted_oss.oss
    assert server
    server.before = wrong_crc64(server, {"PUT", "POST", "HEAD"})

    assert outcome(attempt(fronted_oss, content(size), verify=verify)) == "BAD_STORE_REPLY"

    assert server.uploads == {}


@pytest.mark.parametrize("named", ["UploadPart", "CompleteMultipartUpload"])
def test_oss_that_answers_for_another_operation(fronted_oss: Front, named: str) -> None:
    """A 200 that was meant for something else proves no part and no object."""

    def misanswer(request: Request) -> Reply | None:
        is_part = "partNumber" in request.query
        is_completion = request.method == "POST" and "uploadId" in request.query
        meant = is_part if named == "UploadPart" else is_completion
        return Reply(200, {"ETag": '"e"'}, b"<ListBucketResult/>") if meant else None

    assert fronted_oss.oss
    fronted_oss.oss.before = misanswer

    assert outcome(attempt(fronted_oss, content(IN_PARTS))) == "BAD_STORE_REPLY"

    assert held(fronted_oss) is None
