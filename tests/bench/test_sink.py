"""The benchmark's store: its answers must prove what it was sent, or no figure means anything."""

from __future__ import annotations

import base64
import hashlib
import http.client
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3.session
import fastcrc
import oss2
import pytest
from botocore.config import Config

from bench.account import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from bench.sink import Sink

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="apt-get install gcc")

SIZES = (0, 1, 15, 16, 17, 16384, 3_000_001)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with Sink(tmp_path / "sink.log", md5=True) as running:
        yield running


@pytest.fixture
def s3(sink: Sink) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=sink.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture
def oss(sink: Sink) -> Any:
    auth = oss2.AuthV4(ACCESS_KEY, SECRET_KEY)
    return oss2.Bucket(auth, sink.url, BUCKET, region=REGION)


def _content(size: int) -> bytes:
    return bytes(index * 31 % 251 for index in range(size))


def _sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.parametrize("size", SIZES)
def test_put_is_answered_by_its_checksum_and_its_md5(s3: Any, size: int) -> None:
    """A PUT comes back with the checksum that it carried, and an ETag of what arrived."""

    content = _content(size)
    answer = s3.put_object(Bucket=BUCKET, Key="k", Body=content, ChecksumSHA256=_sha256(content))
    assert answer["ChecksumSHA256"] == _sha256(content)
    assert answer["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'


@pytest.mark.parametrize("size", SIZES)
def test_put_by_oss_is_answered_by_its_crc(oss: Any, size: int) -> None:
    """OSS requests get the CRC-64 of what arrived, which oss2 compares with its own."""

    content = _content(size)
    assert oss.put_object("folder/k", content).crc == fastcrc.crc64.xz(content)


def test_parts_are_completed_with_digests_of_digests(s3: Any) -> None:
    """Complete answers with the composite of the parts that it names, in S3's spelling."""

    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ChecksumAlgorithm="SHA256")
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload["UploadId"]}
    contents = [_content(1000 + number) for number in range(130)]
    parts = []
    for number, content in enumerate(contents, start=1):
        digest = _sha256(content)
        answer = s3.upload_part(**where, PartNumber=number, Body=content, ChecksumSHA256=digest)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest})
    answer = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    md5 = hashlib.md5(b"".join(hashlib.md5(content).digest() for content in contents))
    sha256 = _sha256(b"".join(hashlib.sha256(content).digest() for content in contents))
    assert answer["ETag"] == f'"{md5.hexdigest()}-130"'
    assert answer["ChecksumSHA256"] == f"{sha256}-130"


def test_parts_by_oss_are_completed_with_the_crc_of_the_whole(oss: Any) -> None:
    """The CRC of the object is combined from those of its parts."""

    upload = oss.init_multipart_upload("k").upload_id
    contents = [_content(size) for size in (1_000_000, 1_000_003, 17)]
    parts = []
    for number, content in enumerate(contents, start=1):
        answer = oss.upload_part("k", upload, number, content)
        parts.append(oss2.models.PartInfo(number, answer.etag, len(content), part_crc=answer.crc))
    answer = oss.complete_multipart_upload("k", upload, parts)
    assert answer.crc == fastcrc.crc64.xz(b"".join(contents))


def test_chunked_codings_are_seen_through(sink: Sink) -> None:
    """HTTP's chunks and S3's own, also one inside the other, are no part of the content."""

    inner = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=10)
    headers = {"Authorization": "OSS id:signature", "Content-Encoding": "aws-chunked"}
    for body, more in (
        (inner, {}),
        (iter([inner[:5], inner[5:]]), {"Transfer-Encoding": "chunked"}),
    ):
        connection.request("PUT", "/b/k", body, headers | more, encode_chunked=bool(more))
        answer = connection.getresponse()
        answer.read()
        assert answer.headers["x-amz-checksum-crc32"] == "NSRBwg=="
        assert answer.headers["x-oss-hash-crc64ecma"] == str(fastcrc.crc64.xz(b"abc"))
    connection.close()


def test_everything_is_counted(sink: Sink, s3: Any) -> None:
    """The counts say how many objects and bytes arrived."""

    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"12345")
    assert sink.counts() == {"requests": 3, "objects": 3, "bytes": 15}


def test_latency_is_that_of_each_answer(tmp_path: Path) -> None:
    """An answer is held back for as long as asked, whatever else waits."""

    with Sink(tmp_path / "late.log", latency_ms=40) as late:
        connections = [
            http.client.HTTPConnection("127.0.0.1", late.port, timeout=10) for _ in range(8)
        ]
        begun = time.monotonic()
        for connection in connections:
            connection.request("PUT", "/b/k", b"x")
        for connection in connections:
            connection.getresponse().read()
            connection.close()
        assert 0.04 <= time.monotonic() - begun < 0.3
