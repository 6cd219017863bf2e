"""The way to the database: which servers will do, and how their sessions are set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from outhaul.errors import ConfigError
from outhaul.outbox.engine import check_server, open_engine
from outhaul.outbox.transaction import TRIES, in_transaction
from tests.contract.outboxes import (
    SLOW_DOWN,
    STORED,
    MigratedOutbox,
    migrated_outbox,
    settle,
    settlement,
)

on_servers = pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)

TOO_OLD = {"postgresql": (11, 22), "mysql": (10, 5, 20), "sqlite": (3, 34, 1)}


@contextmanager
def rewritten(engine: Engine, rewrite: Callable[[str], str]) -> Iterator[None]:
    """A proxy between us and the server that changes statements."""

    def through(
        _connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        return rewrite(statement), parameters

    event.listen(engine, "before_cursor_execute", through, retval=True)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", through)


def test_a_present_server_will_do(outbox: MigratedOutbox) -> None:
    """The servers that tests run on are accepted, and nothing is locked or left open by it."""

    outbox.insert()

    check_server(outbox.engine)

    assert len(outbox.claim()) == 1
    assert outbox.engine.pool.status().endswith("Current Checked out connections: 0")


def test_an_old_server_is_refused(outbox: MigratedOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server from before the features that we need is named, with the version that has them."""

    old = TOO_OLD[outbox.dialect]
    monkeypatch.setattr(outbox.engine.dialect, "server_version_info", old)

    with pytest.raises(ConfigError, match=r"too old: outhaul needs \d+") as refusal:
        check_server(outbox.engine)

    assert ".".join(map(str, old)) in refusal.value.message
    if outbox.dialect == "mysql":
        assert "mariadb" in refusal.value.message


@on_servers
@pytest.mark.parametrize("instead", ["FOR UPDATE SKIP LOCKED NOW", "FOR UPDATE LOCKED"])
def test_a_server_without_skip_locked_is_refused(outbox: MigratedOutbox, instead: str) -> None:
    """Where SKIP LOCKED is a syntax error the start says so: never a claim that finds nothing."""

    with (
        rewritten(outbox.engine, lambda sql: sql.replace("FOR UPDATE SKIP LOCKED", instead)),
        pytest.raises(ConfigError, match="does not know SKIP LOCKED"),
    ):
        check_server(outbox.engine)


@on_servers
def test_another_trouble_is_not_blamed_on_the_version(outbox: MigratedOutbox) -> None:
    """A table that is not there, or a connection that breaks, is reported as what it is."""

    outbox.execute("ALTER TABLE upload_outbox RENAME TO elsewhere")

    with pytest.raises(DBAPIError):
        check_server(outbox.engine)


@pytest.mark.parametrize(
    "timed_outbox", ["postgresql", "mariadb", "awkward-mariadb"], indirect=True
)
def test_sessions_are_isolated_and_in_utc(timed_outbox: MigratedOutbox) -> None:
    """Whatever the server's defaults, our sessions read committed rows, by UTC."""

    with timed_outbox.engine.connect() as connection:
        postgresql = connection.dialect.name == "postgresql"
        zone = "SHOW TimeZone" if postgresql else "SELECT @@session.time_zone"
        level = "SHOW transaction_isolation" if postgresql else "SELECT @@session.tx_isolation"

        assert connection.execute(text(zone)).scalar() in {"UTC", "+00:00"}
        found = str(connection.execute(text(level)).scalar())

    assert found.upper().replace("-", " ") == "READ COMMITTED"


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("drivername", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_mariadb_may_be_spelled_either_way(database_url: str, drivername: str) -> None:
    """A URL of any of the usual spellings leads through a job's whole life."""

    url = f"{drivername}://{database_url.partition('://')[2]}"
    with migrated_outbox(url) as outbox:
        check_server(outbox.engine)
        outbox.insert_many(2)
        first, second = outbox.claim("a")
        held = {first.id: first.fence, second.id: second.fence}
        assert outbox.daemon("a").renew(held) == {first.id, second.id}
        settle(outbox.daemon("a"), settlement(first, STORED), settlement(second, SLOW_DOWN))
        outbox.set_due(2)
        outbox.expire(outbox.claim_one("a").id)
        assert len(outbox.daemon("b").rescue()) == 1

        assert [row["status"] for row in outbox.jobs()] == ["done", "pending"]
        assert len(outbox.attempts()) == 3


@pytest.mark.parametrize(
    "url", ["nonsense", "oracle://host/db", "mysql://host:port/db", "sqlite:////no/such/dir/x.db"]
)
def test_an_unusable_url_is_refused_in_plain_words(url: str) -> None:
    """What cannot be a database of ours is a configuration error, whatever SQLAlchemy thinks."""

    with pytest.raises(ConfigError):
        open_engine(url)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlites_one_connection_goes_round(outbox: MigratedOutbox) -> None:
    """Of three threads that never rest, none waits for long while the others go on and on."""

    turns = [0, 0, 0]

    def take_turns(number: int) -> None:
        while max(turns) < 200:
            outbox.now()
            turns[number] += 1

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(take_turns, range(3)))

    assert min(turns) > 20


@on_servers
def test_a_collision_is_repeated_whole(outbox: MigratedOutbox) -> None:
    """A transaction that the server undid for another's sake is run again, and not for ever."""

    outbox.insert()
    collided = OperationalError("UPDATE", {}, _Collision())
    tries = []

    def work(connection: Connection) -> str:
        tries.append(connection.execute(text("DELETE FROM upload_outbox")).rowcount)
        if len(tries) < 3:
            raise collided
        return "done"

    assert in_transaction(outbox.engine, work) == "done"
    assert tries == [1, 1, 1]

    tries.clear()
    with pytest.raises(OperationalError):
        in_transaction(outbox.engine, lambda _: _raise(collided, tries))
    assert len(tries) == TRIES


class _Collision(Exception):  # noqa: N818 - as the drivers' own
    sqlstate = "40P01"


def _raise(error: Exception, tries: list[int]) -> None:
    tries.append(0)
    raise error
