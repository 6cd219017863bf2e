"""The loopback OSS server keeps the promises real OSS makes to unmodified oss2."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import oss2
import pytest

from tests.support.oss import OssServer, Reply, without_header, wrong_crc64
from tests.support.oss.client import SignatureVersion, open_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PART = 100 * 1024
"""Least size of a part that is not the last."""
HARD_KEYS = ("plain.txt", "a//b", "a b.txt", "x+y%41.txt", "q?#&=.txt", "é😀.txt")


@pytest.fixture
def server() -> Iterator[OssServer]:
    with OssServer("bucket", "id", "secret", "us-east-1") as running:
        yield running


@pytest.fixture(params=get_args(SignatureVersion))
def version(request: pytest.FixtureRequest) -> SignatureVersion:
    chosen: SignatureVersion = request.param
    return chosen


@pytest.fixture
def bucket(server: OssServer, version: SignatureVersion) -> Iterator[Any]:
    with open_bucket(server, version) as opened:
        yield opened


def crc64(data: bytes) -> int:
    reference = oss2.utils.Crc64()
    reference(data)
    value: int = reference.crc
    return value


def upload_parts(bucket: Any, key: str, *sizes: int) -> tuple[str, list[oss2.models.PartInfo]]:
    upload_id = bucket.init_multipart_upload(key).upload_id
    bodies = [bytes([number]) * size for number, size in enumerate(sizes, start=1)]
    sent = [bucket.upload_part(key, upload_id, n, body) for n, body in enumerate(bodies, start=1)]
    return upload_id, [
        oss2.models.PartInfo(n, part.etag, size=size, part_crc=part.crc)
        for n, (part, size) in enumerate(zip(sent, sizes, strict=True), start=1)
    ]


def complete(bucket: Any, *sizes: int, repeat: int = 1, **changed: str) -> None:
    upload_id, parts = upload_parts(bucket, "joined", *sizes)
    for part in parts:
        vars(part).update(changed)
    bucket.complete_multipart_upload("joined", upload_id, parts * repeat)


def overwrite(bucket: Any) -> None:
    for body in (b"first", b"second"):
        bucket.put_object("once", body, headers={"x-oss-forbid-overwrite": "true"})


def test_object_round_trip(server: OssServer, bucket: Any) -> None:
    """Bytes, type, metadata and CRC come back as they were put, under keys of every shape."""
    for key in (*HARD_KEYS, "k" * 1023):
        headers = {"Content-Type": "text/x-test", "x-oss-meta-b": "2", "x-oss-meta-b-a": "1"}
        put = bucket.put_object(key, key.encode(), headers=headers)
        got = bucket.get_object(key)
        stored = server.objects[key]

        assert key.encode() == got.read() == stored.data
        assert put.crc == got.server_crc == stored.crc64 == crc64(key.encode())
        assert "text/x-test" == got.content_type == stored.content_type
        assert stored.metadata == {"b": "2", "b-a": "1"}
        assert got.headers["x-oss-meta-b"] == "2"
        assert put.etag == bucket.get_object_meta(key).etag == stored.etag
        assert len(put.request_id) == 24


def test_delete(server: OssServer, bucket: Any) -> None:
    """DELETE answers 204 and forgets the object; a second one answers 204 too."""
    bucket.put_object("gone", b"x")

    assert [bucket.delete_object("gone").status for _ in range(2)] == [204, 204]
    assert server.objects == {}
    assert not bucket.object_exists("gone")


def test_range(bucket: Any) -> None:
    """A range is cut out; one that cannot be served yields the whole object, as on OSS."""
    bucket.put_object("digits", b"0123456789")
    strict = {"x-oss-range-behavior": "standard"}

    assert bucket.get_object("digits", byte_range=(2, 4)).read() == b"234"
    assert bucket.get_object("digits", byte_range=(None, 3)).read() == b"789"
    assert bucket.get_object("digits", byte_range=(10, 20)).read() == b"0123456789"
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("digits", byte_range=(10, 20), headers=strict)
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")


def test_multipart(server: OssServer, bucket: Any) -> None:
    """Parts are listed, joined in order, proven by one CRC, and the upload is closed."""
    upload_id, parts = upload_parts(bucket, "joined", PART, PART, 5)
    listed = bucket.list_parts("joined", upload_id, max_parts=2)
    waiting = [upload.upload_id for upload in oss2.MultipartUploadIterator(bucket)]
    done = bucket.complete_multipart_upload("joined", upload_id, parts)
    stored = server.objects["joined"]

    assert [part.part_number for part in listed.parts] == [1, 2]
    assert listed.is_truncated
    assert [upload_id] == waiting
    assert stored.data == b"\1" * PART + b"\2" * PART + b"\3" * 5
    assert done.crc == stored.crc64 == crc64(stored.data)
    assert bucket.head_object("joined").object_type == "Multipart"
    assert server.uploads == {}


def test_abort(server: OssServer, bucket: Any) -> None:
    """An aborted upload leaves neither parts nor object."""
    upload_id, _ = upload_parts(bucket, "joined", PART)

    assert bucket.abort_multipart_upload("joined", upload_id).status == 204
    assert (server.uploads, server.objects) == ({}, {})


def test_resumable_upload(server: OssServer, bucket: Any, tmp_path: Path) -> None:
    """oss2's own resumable upload, interrupted at its third part, sends only what is missing."""
    source = tmp_path / "source"
    source.write_bytes(bytes(4 * PART))
    store = oss2.ResumableStore(root=str(tmp_path))
    limits = {"store": store, "multipart_threshold": PART, "part_size": PART, "num_threads": 1}
    server.before = lambda request: Reply(503) if request.query.get("partNumber") == "3" else None
    with pytest.raises(oss2.exceptions.ServerError):
        oss2.resumable_upload(bucket, "big", str(source), **limits)
    server.before = None
    oss2.resumable_upload(bucket, "big", str(source), **limits)
    sent = [seen.query["partNumber"] for seen in server.requests if "partNumber" in seen.query]

    assert bytes(4 * PART) == server.objects["big"].data
    assert sent[:3] == ["1", "2", "3"]
    assert {"3", "4"} == set(sent[-2:])


def test_lists_objects(bucket: Any) -> None:
    """The list walks through every key in pages, and a prefix narrows it."""
    for key in HARD_KEYS:
        bucket.put_object(key, b"x")

    assert sorted(HARD_KEYS) == [o.key for o in oss2.ObjectIterator(bucket, max_keys=2)]
    assert [o.key for o in bucket.list_objects(prefix="a").object_list] == ["a b.txt", "a//b"]


MD5_OF_NOTHING = "1B2M2Y8AsgTpgAmY7PhCfg=="
REFUSALS: dict[str, tuple[int, str, Callable[[Any], object]]] = {
    "get absent": (404, "NoSuchKey", lambda b: b.get_object("absent")),
    "head absent": (404, "NoSuchKey", lambda b: b.head_object("absent")),
    "part": (404, "NoSuchUpload", lambda b: b.upload_part("k", "none", 1, b"x")),
    "list parts": (404, "NoSuchUpload", lambda b: b.list_parts("k", "none")),
    "abort": (404, "NoSuchUpload", lambda b: b.abort_multipart_upload("k", "none")),
    "slash": (400, "InvalidObjectName", lambda b: b.put_object("/lead", b"x")),
    "backslash": (400, "InvalidObjectName", lambda b: b.put_object("\\lead", b"x")),
    "long key": (400, "InvalidObjectName", lambda b: b.put_object("é" * 512, b"x")),
    "digest": (
        400,
        "InvalidDigest",
        lambda b: b.put_object("k", b"x", headers={"Content-MD5": MD5_OF_NOTHING}),
    ),
    "no digest": (
        400,
        "InvalidDigest",
        lambda b: b.put_object("k", b"x", headers={"Content-MD5": "?"}),
    ),
    "small part": (400, "EntityTooSmall", lambda b: complete(b, PART - 1, 1)),
    "other part": (400, "InvalidPart", lambda b: complete(b, PART, 1, etag="0" * 32)),
    "part twice": (400, "InvalidPartOrder", lambda b: complete(b, PART, 1, repeat=2)),
    "no parts": (400, "MalformedXML", complete),
    "part number": (400, "InvalidArgument", lambda b: b.upload_part("k", "none", 10001, b"x")),
    "acl": (400, "NotImplemented", lambda b: b.get_object_acl("k")),
    "delimiter": (400, "NotImplemented", lambda b: b.list_objects(delimiter="/")),
    "make bucket": (405, "MethodNotAllowed", lambda b: b.create_bucket()),
    "overwrite": (409, "FileAlreadyExists", overwrite),
}


@pytest.mark.parametrize(("status", "code", "ask"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal(bucket: Any, status: int, code: str, ask: Callable[[Any], object]) -> None:
    """What OSS refuses is refused with the same status and code, and a request id."""
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        ask(bucket)

    assert (status, code) == (caught.value.status, caught.value.code)
    assert len(caught.value.request_id) == 24
    assert caught.value.message


@pytest.mark.parametrize("moment", ["start", "end"])
def test_forbidden_overwrite_of_an_upload(server: OssServer, bucket: Any, moment: str) -> None:
    """An upload may not replace an object either, neither when it starts nor when it ends."""
    forbid = {"x-oss-forbid-overwrite": "true"}
    upload_id, parts = upload_parts(bucket, "once", 1)
    bucket.put_object("once", b"first")
    ask = {
        "start": partial(bucket.init_multipart_upload, "once"),
        "end": partial(bucket.complete_multipart_upload, "once", upload_id, parts),
    }[moment]
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        ask(headers=forbid)

    assert (caught.value.status, caught.value.code) == (409, "FileAlreadyExists")
    assert server.objects["once"].data == b"first"
    assert {upload_id} == server.uploads.keys()


def test_lies(server: OssServer, bucket: Any) -> None:
    """A test can make the store lie about the CRC, leave a header out, or answer anything."""
    server.before = wrong_crc64(server)
    with pytest.raises(oss2.exceptions.InconsistentError):
        bucket.put_object("lie", b"x")
    server.before = without_header(server, "x-oss-hash-crc64ecma")
    assert bucket.put_object("lie", b"x").crc is None
    server.before = without_header(server, "ETag")
    assert bucket.put_object("lie", b"x").etag is None
    server.before = lambda _: Reply(200, body=b"<Error><Code>InternalError</Code></Error>")
    assert bucket.put_object("never stored", b"x").status == 200
    assert {"lie"} == server.objects.keys()


def test_requests_are_seen(server: OssServer, bucket: Any) -> None:
    """The server tells what was asked of it, with keys and queries decoded."""
    bucket.put_object("a/b c", b"x")
    bucket.get_object_meta("a/b c")

    assert server.requests == [("PUT", "a/b c", {}), ("HEAD", "a/b c", {"objectMeta": ""})]
