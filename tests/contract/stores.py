"""The stores as tests hold them: each with the means to look behind its back."""

from __future__ import annotations

import functools
import random
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from outhaul.digests import digest
from outhaul.source import Bytes
from outhaul.stores.base import Store, Upload
from outhaul.stores.exchange import Exchange
from outhaul.stores.local import LocalStore
from outhaul.stores.memory import MemoryStore
from outhaul.stores.oss import OssStore, oss_bucket
from outhaul.stores.s3 import S3Store, s3_client
from outhaul.transfer import Budget, Transfer
from tests.support.fault_proxy import FaultProxy
from tests.support.oss import OssServer
from tests.support.oss.client import open_bucket
from tests.support.proxy.exchange import SeenRequest
from tests.support.seaweed import SeaweedServer
from tests.support.tls import Authority

Kind = Literal["s3", "s3-tls", "oss", "oss-tls", "local", "memory"]

CLOUDS: Final[tuple[Kind, ...]] = ("s3", "s3-tls", "oss", "oss-tls")
KINDS: Final[tuple[Kind, ...]] = (*CLOUDS, "local", "memory")

#: The least size that is sent in parts, two of them.
IN_PARTS: Final = (8 << 20) + 1

#: Threads for parts, and connections.
POOL: Final = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """A store under test. `found` and `plant` reach its objects by another way than its own."""

    store: Store
    found: Callable[[str], bytes | None]
    plant: Callable[[str, bytes], object]
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")

    def key(self, name: str) -> str:
        """A key of this test's own: servers are shared."""
        return f"{self.prefix}/{name}"

    def unfinished(self) -> list[str]:
        """The multipart uploads of this test that are still open."""
        return [
            key for key in self.store.open_multiparts(transfer()) if key.startswith(self.prefix)
        ]


@dataclass(frozen=True, slots=True)
class Front:
    """A cloud behind a proxy that breaks what it is told to. `oss` is set if the cloud is OSS."""

    subject: Subject
    proxy: FaultProxy
    oss: OssServer | None = None

    @property
    def requests(self) -> list[SeenRequest]:
        """This test's requests for objects, in the order in which they reached the proxy."""
        return [seen for seen in self.proxy.requests if seen.key.startswith(self.subject.prefix)]


def transfer(seconds: float = 30.0) -> Transfer:
    """An attempt's wall clock, just begun."""
    return Transfer(Budget(seconds))


def upload(key: str, content: bytes, clock: Transfer | None = None, **described: Any) -> Upload:
    """A content to store, with the digests that a source would have."""
    return Upload(key, Bytes(content), digest([content]), clock or transfer(), **described)


@functools.cache
def content(size: int) -> bytes:
    """Bytes in which no block is like another, the same ones for the same size."""
    return random.Random(size).randbytes(size)


@contextmanager
def s3_store(
    server: SeaweedServer,
    parts: Executor,
    *,
    url: str | None = None,
    ca_file: Path | None = None,
    checksum: str = "sha256",
    **mistaken: str,
) -> Iterator[S3Store]:
    """A store on the server's bucket, or on what stands before it at `url`.

    Args:
        server: where the bucket is.
        parts: threads for large objects.
        url: the endpoint, if it is not the server's own.
        ca_file: the authority to trust, if it is not the server's own.
        checksum: see `S3Store`.
        mistaken: `bucket`, `access_key_id` or `secret_access_key` that this store gets wrong.
    """
    trusted = ca_file or (server.authority and server.authority.ca_file)
    exchange = Exchange(pool_size=POOL, ca_bundle=str(trusted) if trusted else None)
    client = s3_client(
        access_key_id=mistaken.get("access_key_id", server.access_key),
        secret_access_key=mistaken.get("secret_access_key", server.secret_key),
        session_token=None,
        region=server.region,
        endpoint_url=url or server.url,
        exchange=exchange,
    )
    bucket = mistaken.get("bucket", server.bucket)
    with closing(S3Store(bucket, client, exchange, parts, checksum)) as store:
        yield store


@contextmanager
def oss_store(
    server: OssServer,
    parts: Executor,
    *,
    url: str | None = None,
    ca_file: Path | None = None,
    **mistaken: str,
) -> Iterator[OssStore]:
    """A store on the server's bucket; `mistaken` are members of `OssServer.identity`."""
    exchange = Exchange(pool_size=POOL, ca_bundle=str(ca_file) if ca_file else None)
    identity = server.identity | mistaken
    bucket = oss_bucket(endpoint=url or server.url, exchange=exchange, **identity)
    with closing(OssStore(bucket, exchange, parts)) as store:
        yield store


def s3_subject(server: SeaweedServer, store: Store) -> Subject:
    """An S3 store beside a boto3 client of its server."""
    client, bucket = server.client(), server.bucket

    def found(key: str) -> bytes | None:
        try:
            return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError:
            return None

    def plant(key: str, body: bytes) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=body)

    return Subject(store, found, plant)


def oss_subject(server: OssServer, store: Store, ca_file: Path | None = None) -> Subject:
    """An OSS store beside its server."""

    def found(key: str) -> bytes | None:
        held = server.objects.get(key)
        return held.data if held else None

    def plant(key: str, body: bytes) -> None:
        with open_bucket(server) as bucket:
            bucket.session.session.verify = str(ca_file) if ca_file else True
            bucket.put_object(key, body)

    return Subject(store, found, plant)


def local_subject(root: Path) -> Subject:
    """A local store beside its directory."""

    def found(key: str) -> bytes | None:
        path = root / key
        return path.read_bytes() if path.is_file() else None

    def plant(key: str, body: bytes) -> None:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(body)

    return Subject(LocalStore(root), found, plant)


def memory_subject() -> Subject:
    """A store in memory."""
    store = MemoryStore()

    def found(key: str) -> bytes | None:
        held = store.objects.get(key)
        return held.content if held else None

    def plant(key: str, body: bytes) -> None:
        store.put(upload(key, body))

    return Subject(store, found, plant)


def new_oss(tls: Authority | None = None) -> OssServer:
    """An OSS server, not yet started; with an authority it speaks https."""
    certificate = tls.issue() if tls else None
    files = (certificate.cert_file, certificate.key_file) if certificate else None
    return OssServer("outhaul-test", "oss-id", "oss-secret", tls=files)


def address(url: str) -> tuple[str, int]:
    """Host and port, as a proxy's upstream."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


@contextmanager
def s3_front(server: SeaweedServer, parts: Executor) -> Iterator[Front]:
    """S3 behind a proxy."""
    with FaultProxy(server.address) as proxy, s3_store(server, parts, url=proxy.url) as store:
        yield Front(s3_subject(server, store), proxy)


@contextmanager
def oss_front(parts: Executor) -> Iterator[Front]:
    """OSS behind a proxy."""
    with (
        new_oss() as server,
        FaultProxy(address(server.url)) as proxy,
        oss_store(server, parts, url=proxy.url) as store,
    ):
        yield Front(oss_subject(server, store), proxy, server)


#: All that a store can be asked for.
OPERATIONS: Final[dict[str, Callable[[Store], object]]] = {
    "put": lambda store: store.put(upload("k", b"x")),
    "put in parts": lambda store: store.put(upload("k", content(IN_PARTS))),
    "put if absent": lambda store: store.put(upload("k", b"x", absent=True)),
    "head": lambda store: store.head("k", transfer()),
    "get": lambda store: list(store.get("k", transfer())),
    "delete": lambda store: store.delete("k", transfer()),
    "presign": lambda store: store.presign("k", 60),
    "open multiparts": lambda store: store.open_multiparts(transfer()),
}
