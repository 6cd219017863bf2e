"""Outboxes in a database of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.outboxes import MigratedOutbox, migrated_outbox

_SERVERS = {
    "postgresql": "postgres_server",
    "mariadb": "mariadb_server",
    "awkward-mariadb": "awkward_mariadb_server",
}


@pytest.fixture
def outbox(database_url: str) -> Iterator[MigratedOutbox]:
    """A fresh outbox in each kind of database."""
    with migrated_outbox(database_url) as migrated:
        yield migrated


@pytest.fixture(params=["sqlite", *_SERVERS])
def timed_outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MigratedOutbox]:
    """As `outbox`, and in a MariaDB that lives eight hours ahead: for promises about time."""
    if request.param == "sqlite":
        with migrated_outbox(f"sqlite:///{tmp_path}/outbox.db") as migrated:
            yield migrated
        return
    server = request.getfixturevalue(_SERVERS[request.param])
    url = server.create_database()
    with migrated_outbox(url) as migrated:
        yield migrated
    server.drop_database(url)
