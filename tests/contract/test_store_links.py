"""Download links: each fetches exactly its object, for a while, for whoever holds it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
import requests

from outhaul.errors import StoreError
from tests.contract.stores import Front, Subject, s3_store, upload
from tests.support.seaweed import SeaweedServer

pytest_plugins = ["tests.contract.subjects"]

KEYS: Final = (
    "plain.txt",
    "a b.txt",
    "x+y%41.txt",
    "q?#&=.txt",
    "é😀.txt",
    "deep/er/and/deeper.txt",
    "tail ",
    "%2F..%2e",
)


def by_urllib(url: str) -> bytes:
    """Fetch as a script would."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def by_requests(url: str) -> bytes:
    """Fetch as an application would."""
    answer = requests.get(url, timeout=10)
    answer.raise_for_status()
    return answer.content


FETCHERS: Final = pytest.mark.parametrize("fetch", [by_urllib, by_requests])


@FETCHERS
@pytest.mark.parametrize("name", KEYS)
def test_a_link_fetches_its_object(front: Front, name: str, fetch: Callable[[str], bytes]) -> None:
    """Whatever the key, its link fetches its bytes from a store that checks the signature."""

    key, body = front.subject.key(name), f"the bytes of {name}".encode()
    front.subject.plant(front.subject.key("decoy.txt"), b"another object")
    front.subject.store.put(upload(key, body))

    assert fetch(front.subject.store.presign(key, 60)) == body
    assert front.requests[-1].key == key


@FETCHERS
def test_a_link_fetches_what_others_stored(front: Front, fetch: Callable[[str], bytes]) -> None:
    """A key with an empty segment, which outhaul refuses, has a link once others have stored it."""

    key = front.subject.key("a//b")
    front.subject.plant(key, b"strange")

    assert fetch(front.subject.store.presign(key, 60)) == b"strange"
    assert front.requests[-1].key == key


@FETCHERS
def test_a_link_keeps_a_leading_slash(
    seaweed_server: SeaweedServer, s3: Subject, fetch: Callable[[str], bytes]
) -> None:
    """A key that begins with a slash, which OSS has none of, is signed and sent as it is."""

    s3.plant("/a b.txt", b"lead")

    assert fetch(s3.store.presign("/a b.txt", 60)) == b"lead"
    assert f"/{seaweed_server.bucket}//a%20b.txt?" in s3.store.presign("/a b.txt", 60)


def test_links_are_signed_with_version_4(front: Front) -> None:
    """A link names SigV4 or OSS4, and how long it lives; never the older versions."""

    query = parse_qs(urlsplit(front.subject.store.presign("k", 900)).query)

    if front.oss:
        assert query["x-oss-signature-version"] == ["OSS4-HMAC-SHA256"]
        assert query["x-oss-expires"] == ["900"]
    else:
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-Expires"] == ["900"]
    assert not {"Signature", "AWSAccessKeyId", "OSSAccessKeyId"} & query.keys()


def test_links_leave_slashes_readable(front: Front) -> None:
    """The slashes of a key are those of the link: `a/b`, not `a%2Fb`."""

    assert urlsplit(front.subject.store.presign("a/b c.txt", 60)).path.endswith("/a/b%20c.txt")


def test_a_link_is_good_for_no_other_key(front: Front) -> None:
    """A link changed to name another object is refused."""

    for name in ("mine.txt", "your.txt"):
        front.subject.plant(front.subject.key(name), name.encode())
    mine = urlsplit(front.subject.store.presign(front.subject.key("mine.txt"), 60))
    forged = urlunsplit(mine._replace(path=mine.path.replace("mine", "your")))

    with pytest.raises(urllib.error.HTTPError) as caught:
        by_urllib(forged)

    assert caught.value.code == 403
    caught.value.close()


def test_signing_asks_nobody(seaweed_server: SeaweedServer, parts: Executor) -> None:
    """A link is made without a request: there need not even be a server."""

    with s3_store(seaweed_server, parts, url="http://127.0.0.1:9") as store:
        assert store.presign("k", 60).startswith("http://127.0.0.1:9/")


@pytest.mark.parametrize("subject", ["local", "memory"], indirect=True)
def test_stores_without_links_say_so(subject: Subject) -> None:
    """A store that has no links refuses with NO_DOWNLOAD_URL instead of making one up."""

    with pytest.raises(StoreError) as caught:
        subject.store.presign("k", 60)

    assert caught.value.code == "NO_DOWNLOAD_URL"
