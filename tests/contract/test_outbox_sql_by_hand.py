"""`outhaul db sql`: the statements that an operator runs with the database's own client."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable

import pytest
from sqlalchemy.engine import URL, make_url

from outhaul import migrate
from tests.contract.catalogs import catalog
from tests.contract.outboxes import opened


def psql(url: URL, script: str) -> None:
    location = url.set(drivername="postgresql").render_as_string(hide_password=False)
    _client(["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", location], script)


def mariadb(url: URL, script: str) -> None:
    login = [f"--host={url.host}", f"--port={url.port}", f"--user={url.username}"]
    password = f"--password={url.password}"
    _client(["mariadb", "--no-defaults", *login, password, str(url.database)], script)


def sqlite(url: URL, script: str) -> None:
    with sqlite3.connect(str(url.database)) as connection:
        connection.executescript(script)
    connection.close()


def _client(command: list[str], script: str) -> None:
    done = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


CLIENTS: dict[str, Callable[[URL, str], None]] = {
    "postgresql": psql,
    "mysql": mariadb,
    "mariadb": mariadb,
    "sqlite": sqlite,
}


@pytest.mark.parametrize(
    ("database_url", "dialect"),
    [
        ("sqlite", "sqlite"),
        ("postgresql", "postgresql"),
        ("mariadb", "mysql"),
        ("mariadb", "mariadb"),
    ],
    indirect=["database_url"],
)
def test_the_printed_statements_make_the_same_schema(database_url: str, dialect: str) -> None:
    """Run by hand, they make the schema and put the revision on record, as the command does."""

    CLIENTS[dialect](make_url(database_url), migrate.sql(dialect))

    with opened(database_url) as engine:
        migrate.require_current(engine)
        by_hand = catalog(engine)
        migrate.upgrade(engine)
        assert catalog(engine) == by_hand
        migrate.downgrade(engine)
        migrate.upgrade(engine)
        assert catalog(engine) == by_hand
