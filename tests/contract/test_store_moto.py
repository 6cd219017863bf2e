"""A second opinion on the S3 store: another server, which echoes no checksums."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing
from typing import Any, Final

import boto3
import pytest
from moto.server import ThreadedMotoServer

from outhaul.digests import md5_hex
from outhaul.errors import StoreError
from outhaul.proof import prove
from outhaul.stores.exchange import Exchange
from outhaul.stores.s3 import S3Store, s3_client
from tests.contract.stores import IN_PARTS, content, transfer, upload

pytest_plugins = ["tests.contract.subjects"]

BUCKET: Final = "second-opinion"
ONE_AND_MANY: Final = pytest.mark.parametrize("size", [0, 1000, IN_PARTS])


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """A moto server with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with closing(_client(url)) as client:
        client.create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


def _client(url: str) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    )


@pytest.fixture(scope="module")
def store(moto_url: str, parts: Executor) -> Iterator[S3Store]:
    """A store on moto's bucket."""
    exchange = Exchange(pool_size=4)
    client = s3_client(
        access_key_id="id",
        secret_access_key="secret",
        session_token=None,
        region="us-east-1",
        endpoint_url=moto_url,
        exchange=exchange,
    )
    with closing(S3Store(BUCKET, client, exchange, parts)) as opened:
        yield opened


@ONE_AND_MANY
def test_a_round_trip(store: S3Store, size: int) -> None:
    """Put, head, get and delete agree on another server too, and its answer proves the content."""

    job = upload(f"round/{size}.bin", content(size), metadata={"a": "1"}, content_type="text/x")

    receipt = store.put(job)

    held = store.head(job.key, transfer())
    evidence = prove(job.digests, receipt, md5_hex=md5_hex(content(size)))
    assert evidence == ("parts-etag" if size == IN_PARTS else "md5-etag")
    assert held is not None
    assert (held.size_bytes, held.content_type, dict(held.metadata)) == (size, "text/x", {"a": "1"})
    assert b"".join(store.get(job.key, transfer())) == content(size)
    store.delete(job.key, transfer())
    store.delete(job.key, transfer())
    assert store.head(job.key, transfer()) is None


@ONE_AND_MANY
def test_a_taken_key(store: S3Store, size: int) -> None:
    """A conditional put never replaces an object, and leaves no parts behind."""

    key = f"taken/{size}.bin"
    store.put(upload(key, b"first", absent=True))

    with pytest.raises(StoreError) as caught:
        store.put(upload(key, content(size), absent=True))

    assert caught.value.code == "KEY_EXISTS"
    assert b"".join(store.get(key, transfer())) == b"first"
    assert store.open_multiparts(transfer()) == []


def test_an_absent_bucket(store: S3Store, parts: Executor) -> None:
    """A bucket that is not there is NoSuchBucket for a put and for a delete."""

    elsewhere = S3Store("nowhere", store._client, store._exchange, parts)

    for operation in (
        lambda: elsewhere.put(upload("k", b"x")),
        lambda: elsewhere.delete("k", transfer()),
    ):
        with pytest.raises(StoreError) as caught:
            operation()
        assert caught.value.code == "NoSuchBucket"


@pytest.mark.parametrize("key", ["/a b.txt", "a//b", "a b.txt", "x+y%41.txt", "q?#&=.txt", "é😀"])
def test_links_of_keys_that_others_stored(store: S3Store, moto_url: str, key: str) -> None:
    """Where `/a b.txt` and `a b.txt` are two objects, each has a link to its own."""

    with closing(_client(moto_url)) as stranger:
        stranger.put_object(Bucket=BUCKET, Key=key, Body=key.encode())

    with urllib.request.urlopen(store.presign(key, 60), timeout=10) as answer:
        assert answer.read() == key.encode()
