"""The real servers that tests run on: each is started once, when the first test asks for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support.deployment import Deployment, deploy
from tests.support.fault_proxy import FaultProxy
from tests.support.mariadb import AWKWARD, MariaDbServer
from tests.support.memory_server import MemoryServer
from tests.support.postgresql import PostgresServer
from tests.support.seaweed import SeaweedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class MissingServerError(Exception):
    """A server is not installed though all are required; the message is what would install it."""


class Installable(Protocol):
    """A server that knows how it would be installed."""

    @classmethod
    def missing(cls) -> str | None:
        """The command that would install it, or None if it is here."""


def need(server: type[Installable]) -> None:
    """Skip the test, or fail it in CI, where the server is not installed."""
    command = server.missing()
    if not command:
        return
    if os.environ.get("OUTHAUL_TESTS_REQUIRE_ALL") == "1":
        raise MissingServerError(command)
    pytest.skip(f"to run this test: {command}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL with its default settings."""
    need(PostgresServer)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """A MariaDB with its default settings."""
    need(MariaDbServer)
    with MariaDbServer() as server:
        yield server


@pytest.fixture(scope="session")
def awkward_mariadb_server() -> Iterator[MariaDbServer]:
    """A MariaDB whose defaults break code that trusts them."""
    need(MariaDbServer)
    with MariaDbServer(AWKWARD) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed_server() -> Iterator[SeaweedServer]:
    """An S3 server over http."""
    need(SeaweedServer)
    with SeaweedServer() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed_tls_server() -> Iterator[SeaweedServer]:
    """An S3 server over https, where SDKs frame and check bodies in another way."""
    need(SeaweedServer)
    with SeaweedServer(tls=True) as server:
        yield server


@pytest.fixture
def memory_server() -> Iterator[MemoryServer]:
    """An honest HTTP server for one test."""
    with MemoryServer() as server:
        yield server


@pytest.fixture
def fault_proxy(memory_server: MemoryServer) -> Iterator[FaultProxy]:
    """A proxy in front of `memory_server`, without a script yet."""
    with FaultProxy(memory_server.address) as proxy:
        yield proxy


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/outbox.db"
        return
    fixture = "postgres_server" if request.param == "postgresql" else "mariadb_server"
    server: PostgresServer | MariaDbServer = request.getfixturevalue(fixture)
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def deployment(
    database_url: str, tmp_path: Path, seaweed_server: SeaweedServer
) -> Iterator[Deployment]:
    """An outbox of each kind, with its stores."""
    with deploy(database_url, tmp_path, seaweed_server) as deployed:
        yield deployed


@pytest.fixture
def sqlite_deployment(tmp_path: Path, seaweed_server: SeaweedServer) -> Iterator[Deployment]:
    """An outbox in SQLite, for promises in which the database plays no part."""
    with deploy(f"sqlite:///{tmp_path}/outbox.db", tmp_path, seaweed_server) as deployed:
        yield deployed
