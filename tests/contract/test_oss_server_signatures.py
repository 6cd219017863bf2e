"""The loopback OSS server lets in who real OSS lets in, and nobody else."""

from __future__ import annotations

import time
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import oss2
import pytest
import requests

from tests.support.oss import OssServer
from tests.support.oss.client import SignatureVersion, open_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HARD_KEYS = ("plain.txt", "a//b", "a b.txt", "x+y%41.txt", "q?#&=.txt", "é😀.txt")
VERSIONS = get_args(SignatureVersion)
MISTAKES = [
    ("v1", "access_key_id", 403, "InvalidAccessKeyId"),
    ("v4", "access_key_id", 403, "InvalidAccessKeyId"),
    ("v1", "access_key_secret", 403, "SignatureDoesNotMatch"),
    ("v4", "access_key_secret", 403, "SignatureDoesNotMatch"),
    ("v4", "region", 400, "InvalidArgument"),
    ("v1", "bucket", 404, "NoSuchBucket"),
    ("v4", "bucket", 404, "NoSuchBucket"),
]


@pytest.fixture
def server() -> Iterator[OssServer]:
    with OssServer("bucket", "id", "secret", "us-east-1") as running:
        yield running


@pytest.fixture(params=VERSIONS)
def bucket(request: pytest.FixtureRequest, server: OssServer) -> Iterator[Any]:
    with open_bucket(server, request.param) as opened:
        yield opened


def fetch(url: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers=headers, timeout=10)


def tamper(bucket: Any, header: str) -> None:
    """Change a header of the client's requests after oss2 has signed them."""
    send = bucket.session.session.request

    def tampered(*args: Any, **kwargs: Any) -> Any:
        kwargs["headers"][header] = "changed"
        return send(*args, **kwargs)

    bucket.session.session.request = tampered


def get_with_requests(url: str) -> bytes:
    answer = fetch(url)
    answer.raise_for_status()
    return answer.content


def get_with_urllib(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.parametrize("get", [get_with_urllib, get_with_requests])
@pytest.mark.parametrize("slash_safe", [True, False])
@pytest.mark.parametrize("key", HARD_KEYS)
def test_signed_url(
    bucket: Any, key: str, get: Callable[[str], bytes], *, slash_safe: bool
) -> None:
    """A signed URL fetches exactly its object with any HTTP client, however it is escaped."""
    bucket.put_object(key, key.encode())

    assert key.encode() == get(bucket.sign_url("GET", key, 60, slash_safe=slash_safe))


def test_signed_override(bucket: Any) -> None:
    """A signed URL may name headers of its reply, and nobody may change them."""
    bucket.put_object("key", b"x")
    params = {"response-content-disposition": "attachment; filename=a+b"}
    url = bucket.sign_url("GET", "key", 60, params=params)

    assert fetch(url).headers["Content-Disposition"] == "attachment; filename=a+b"
    assert "SignatureDoesNotMatch" in fetch(url.replace("filename", "filenam")).text


def test_signed_url_expires(server: OssServer, bucket: Any) -> None:
    """A signed URL works until its last second and is refused after it."""
    bucket.put_object("key", b"x")
    url = bucket.sign_url("GET", "key", 600)
    now = time.time()
    server.clock = lambda: now + 595
    assert fetch(url).status_code == 200
    server.clock = lambda: now + 605
    refused = fetch(url)

    assert (refused.status_code, "Request has expired." in refused.text) == (403, True)


@pytest.mark.parametrize(("seconds", "status"), [(0, 400), (1, 200), (604800, 200), (604801, 400)])
def test_longest_signed_url(server: OssServer, seconds: int, status: int) -> None:
    """A V4 URL lives from one second to seven days."""
    now = float(int(time.time()))
    server.clock = lambda: now
    with open_bucket(server, "v4") as bucket:
        bucket.put_object("key", b"x")

        assert status == fetch(bucket.sign_url("GET", "key", seconds)).status_code


def test_signed_url_of_tomorrow(server: OssServer) -> None:
    """A V4 URL dated over 15 minutes ahead of the server is not valid yet."""
    now = time.time()
    server.clock = lambda: now - 1000
    with open_bucket(server, "v4") as bucket:
        refused = fetch(bucket.sign_url("GET", "key", 60))

    assert (refused.status_code, "RequestTimeTooSkewed" in refused.text) == (403, True)


@pytest.mark.parametrize("part", ["/key?", "xpires=", "ignature="])
def test_tampered_url(bucket: Any, part: str) -> None:
    """Another key, expiry or signature in a signed URL is refused."""
    for key in ("key", "1key"):
        bucket.put_object(key, b"x")
    url = bucket.sign_url("GET", "key", 60)
    changed = {"/key?": "/1key?"}.get(part, f"{part}1")
    refused = fetch(url.replace(part, changed))

    assert url != url.replace(part, changed)
    assert (refused.status_code, "SignatureDoesNotMatch" in refused.text) == (403, True)


def test_signed_url_is_for_its_method(bucket: Any) -> None:
    """A URL signed for PUT does not read."""
    bucket.put_object("key", b"x")

    assert "SignatureDoesNotMatch" in fetch(bucket.sign_url("PUT", "key", 60)).text


@pytest.mark.parametrize(("version", "wrong", "status", "code"), MISTAKES)
def test_wrong_identity(
    server: OssServer, version: SignatureVersion, wrong: str, status: int, code: str
) -> None:
    """A client that has one thing wrong about itself or the bucket is refused for that."""
    mistaken = {wrong: "another"}
    with (
        open_bucket(server, version, **mistaken) as bucket,
        pytest.raises(oss2.exceptions.ServerError) as caught,
    ):
        bucket.put_object("key", b"x")

    assert (status, code) == (caught.value.status, caught.value.code)
    assert server.objects == {}


def test_head_refusal_has_a_code(server: OssServer) -> None:
    """A refused HEAD, which has no body, still tells oss2 the code."""
    with (
        open_bucket(server, "v4", access_key_secret="wrong") as bucket,
        pytest.raises(oss2.exceptions.SignatureDoesNotMatch),
    ):
        bucket.head_object("key")


@pytest.mark.parametrize("header", ["x-oss-meta-a", "Content-Type", "Content-MD5"])
def test_tampered_request(server: OssServer, bucket: Any, header: str) -> None:
    """A signed header changed on its way is refused, whichever version signed it."""
    tamper(bucket, header)
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
        bucket.put_object("key", b"x", headers={header: "original"})

    assert server.objects == {}


def test_additional_headers(server: OssServer) -> None:
    """A header that V4 signs only on request is checked too."""
    with open_bucket(server, "v4") as bucket:
        bucket.put_object("key", b"0123")
        sign = bucket.auth._sign_request
        bucket.auth._sign_request = partial(sign, in_additional_headers=["range"])
        assert bucket.get_object("key", byte_range=(1, 2)).read() == b"12"
        tamper(bucket, "Range")
        with pytest.raises(oss2.exceptions.SignatureDoesNotMatch):
            bucket.get_object("key", byte_range=(1, 2))


@pytest.mark.parametrize("seconds", [-880, 880])
def test_tolerable_clock(server: OssServer, bucket: Any, seconds: int) -> None:
    """A clock less than 15 minutes off is let in."""
    server.clock = lambda: time.time() + seconds

    assert bucket.put_object("key", b"x").status == 200


@pytest.mark.parametrize("seconds", [-920, 920])
def test_skewed_clock(server: OssServer, bucket: Any, seconds: int) -> None:
    """A clock over 15 minutes off, either way, is refused, and the reply dates itself."""
    server.clock = lambda: time.time() + seconds
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("key", b"x")
    served = oss2.utils.http_to_unixtime(caught.value.headers["Date"])

    assert (caught.value.status, caught.value.code) == (403, "RequestTimeTooSkewed")
    assert seconds == pytest.approx(served - time.time(), abs=10)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("", 403), ("OSS nonsense", 403), ("OSS2 id:x", 400), ("OSS4-HMAC-SHA256 nonsense", 403)],
)
def test_no_signature(server: OssServer, authorization: str, status: int) -> None:
    """A request without a signature the server can read is refused, not let through."""
    headers = {"Authorization": authorization} if authorization else {}

    assert status == fetch(f"{server.url}/bucket/key", **headers).status_code
