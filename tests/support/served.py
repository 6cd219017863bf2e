"""One deployment with one daemon for all tests of a module: a start costs more than most proofs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment, deploy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SERVERS = {
    "postgresql": "postgres_server",
    "mariadb": "mariadb_server",
    "awkward mariadb": "awkward_mariadb_server",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A deployment, and the daemon that serves it."""

    deployment: Deployment
    daemon: DaemonProcess


@contextmanager
def serve(request: pytest.FixtureRequest, **settings: str) -> Iterator[Served]:
    """A fresh outbox in the database that `request.param` names, and its daemon, ready.

    Args:
        request: of a fixture with parameters from `sqlite` and the servers above.
        settings: what the daemon's environment differs in.
    """
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    directory = factory.mktemp("served")
    with (
        _database(request, directory) as url,
        deploy(url, directory, request.getfixturevalue("seaweed_server")) as deployment,
        deployment.daemon(**settings) as daemon,
    ):
        yield Served(deployment, daemon)


@contextmanager
def _database(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{directory}/outbox.db"
        return
    server = request.getfixturevalue(_SERVERS[request.param])
    url = server.create_database()
    yield url
    server.drop_database(url)
