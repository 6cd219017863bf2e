"""The loopback OSS server holds to HTTP, and comes and goes as a process would."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import oss2
import pytest

from tests.support.oss import OssServer, Request
from tests.support.oss.client import open_bucket
from tests.support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[OssServer]:
    with OssServer("bucket", "id", "secret") as running:
        yield running


@pytest.fixture
def bucket(server: OssServer) -> Iterator[Any]:
    with open_bucket(server) as opened:
        yield opened


def raw_request(server: OssServer, *lines: str, body: bytes = b"") -> bytes:
    """Send lines and body as they are, close our half, and return all that comes back."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Host: x", "", ""]).encode() + body)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_dropped_connection(server: OssServer, bucket: Any) -> None:
    """A hook that raises ConnectionError closes the connection without a reply."""

    def drop(_: Request) -> None:
        raise ConnectionResetError

    server.before = drop
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("key", b"x")


def test_chunked_body(server: OssServer, bucket: Any) -> None:
    """A body of unstated length, sent in chunks, is stored whole."""
    bucket.put_object("chunked", iter([b"ab", b"c" * 70000]))

    assert server.objects["chunked"].data == b"ab" + b"c" * 70000


def test_keep_alive(server: OssServer) -> None:
    """Refused requests, HEAD too, leave the connection fit for the next."""
    host = server.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
        connection.connect()
        first = connection.sock
        for method in ("PUT", "HEAD", "GET", "DELETE"):
            connection.request(method, "/bucket/key", body=b"x")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 403
        assert first is connection.sock


def test_many_at_once(server: OssServer, bucket: Any) -> None:
    """Uploads that arrive together are all stored, each under its own key."""
    keys = [str(number) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put_object(key, key.encode()), keys))

    assert {key: stored.data for key, stored in server.objects.items()} == {
        key: key.encode() for key in keys
    }


def test_expect_continue(server: OssServer) -> None:
    """A client that waits for 100 Continue is told to go on."""
    head = ("PUT /bucket/key HTTP/1.1", "Expect: 100-continue", "Content-Length: 1")

    assert raw_request(server, *head, body=b"x").startswith(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403"
    )


def test_half_a_body(server: OssServer) -> None:
    """A body that ends early gets no answer, so it can become no object."""
    with open_bucket(server, "v1") as bucket:
        url = bucket.sign_url("PUT", "key", 60).removeprefix(server.url)

    assert raw_request(server, f"PUT {url} HTTP/1.1", "Content-Length: 9", body=b"half") == b""
    assert server.objects == {}
    assert b"MissingContentLength" in raw_request(server, f"PUT {url} HTTP/1.1")


def test_restart(server: OssServer, bucket: Any) -> None:
    """A stopped store is gone, kept-alive connections too; started again it still has its data."""
    bucket.put_object("key", b"x")
    server.stop()
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.get_object("key")
    server.start()

    assert bucket.get_object("key").read() == b"x"


def test_tls(tmp_path: Path) -> None:
    """The store speaks https with the certificate it was given."""
    authority = Authority(tmp_path)
    files = authority.issue()
    tls = (files.cert_file, files.key_file)
    with OssServer("bucket", "id", "secret", tls=tls) as server, open_bucket(server) as bucket:
        bucket.session.session.verify = str(authority.ca_file)
        bucket.put_object("key", bytes(2**20))

        assert bytes(2**20) == bucket.get_object("key").read()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    options = ["--port=0", "--bucket=bucket", "--access-key-id=id", "--access-key-secret=secret"]
    command = [sys.executable, "-m", "tests.support.oss", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        yield started
        started.kill()


def test_process(process: subprocess.Popen[str]) -> None:
    """As a process it prints its URL, serves, and ends cleanly on TERM."""
    assert process.stdout
    line = process.stdout.readline()
    bucket = oss2.Bucket(oss2.Auth("id", "secret"), line.split()[-1], "bucket")
    with closing(bucket.session.session):
        put = bucket.put_object("key", b"x")
    process.send_signal(signal.SIGTERM)

    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", line)
    assert put.status == 200
    assert process.wait(10) == 0
