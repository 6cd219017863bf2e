"""The stores as fixtures: a module asks with `pytest_plugins = ["tests.contract.subjects"]`.

Nothing else imports this module: pytest wants to be the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.contract.lines import Line, open_line
from tests.contract.stores import (
    CLOUDS,
    KINDS,
    POOL,
    Front,
    Kind,
    Subject,
    local_subject,
    memory_subject,
    new_oss,
    oss_front,
    oss_store,
    oss_subject,
    s3_front,
    s3_store,
    s3_subject,
)
from tests.support.seaweed import SeaweedServer
from tests.support.tls import Authority


@pytest.fixture(scope="session")
def parts() -> Iterator[Executor]:
    """Threads for the parts of large objects."""
    with ThreadPoolExecutor(POOL, "part") as pool:
        yield pool


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the certificates of servers that run inside the tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def s3(seaweed_server: SeaweedServer, parts: Executor) -> Iterator[Subject]:
    """S3 over http, once: its clients take longer to make than most tests."""
    with s3_store(seaweed_server, parts) as store:
        yield s3_subject(seaweed_server, store)


@pytest.fixture(scope="session")
def s3_tls(seaweed_tls_server: SeaweedServer, parts: Executor) -> Iterator[Subject]:
    """S3 over TLS, once."""
    with s3_store(seaweed_tls_server, parts) as store:
        yield s3_subject(seaweed_tls_server, store)


@contextmanager
def open_subject(kind: Kind, request: pytest.FixtureRequest) -> Iterator[Subject]:
    """A store of this kind, with a prefix of its own."""
    match kind:
        case "s3" | "s3-tls":
            shared: Subject = request.getfixturevalue(kind.replace("-", "_"))
            yield Subject(shared.store, shared.found, shared.plant)
        case "oss" | "oss-tls":
            tls: Authority = request.getfixturevalue("authority")
            parts: Executor = request.getfixturevalue("parts")
            with (
                new_oss(tls if kind == "oss-tls" else None) as server,
                oss_store(server, parts, ca_file=tls.ca_file) as store,
            ):
                yield oss_subject(server, store, tls.ca_file)
        case "local":
            yield local_subject(request.getfixturevalue("tmp_path") / "local")
        case "memory":
            yield memory_subject()


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each store there is."""
    with open_subject(request.param, request) as opened:
        yield opened


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each store in a cloud, over http and over TLS."""
    with open_subject(request.param, request) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_s3_front(seaweed_server: SeaweedServer, parts: Executor) -> Iterator[Front]:
    """S3 behind a proxy, once."""
    with s3_front(seaweed_server, parts) as fronted:
        yield fronted


@pytest.fixture
def fronted_s3(shared_s3_front: Front) -> Iterator[Front]:
    """S3 behind a proxy that has no script yet, with a prefix of its own."""
    shared = shared_s3_front.subject
    yield Front(Subject(shared.store, shared.found, shared.plant), shared_s3_front.proxy)
    shared_s3_front.proxy.clear()


@pytest.fixture
def fronted_oss(parts: Executor) -> Iterator[Front]:
    """OSS behind a proxy."""
    with oss_front(parts) as fronted:
        yield fronted


@pytest.fixture(params=["s3", "oss"])
def front(request: pytest.FixtureRequest) -> Front:
    """Each cloud behind a proxy."""
    fronted: Front = request.getfixturevalue(f"fronted_{request.param}")
    return fronted


@pytest.fixture(params=["http", "https"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    """A line of each kind."""
    tls = request.getfixturevalue("authority") if request.param == "https" else None
    with open_line(tls) as opened:
        yield opened


@pytest.fixture
def plain_line() -> Iterator[Line]:
    """A line over http, where TLS makes no difference."""
    with open_line() as opened:
        yield opened
