"""NOTIFY as a hint: on PostgreSQL a commit can wake the daemon."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from outhaul.outbox import wakeup
from outhaul.outbox.wakeup import Listener
from tests.contract.catalogs import catalog
from tests.contract.outboxes import MigratedOutbox
from tests.support.waiting import wait_for

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

#: Far longer than a notification takes.
_SECONDS = 20.0


class Bell:
    """What the claimer's tick is to the listener."""

    def __init__(self) -> None:
        self.rings = 0
        self._rung = threading.Event()

    def __call__(self) -> None:
        """Ring."""
        self.rings += 1
        self._rung.set()

    def wait(self) -> bool:
        """Whether it rings in good time, or has rung since the last wait."""
        rung = self._rung.wait(_SECONDS)
        self._rung.clear()
        return rung


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def listener(outbox: MigratedOutbox, bell: Bell) -> Iterator[Listener]:
    """A listener that listens, on an outbox whose inserts notify."""
    wakeup.switch(outbox.engine, on=True)
    listener = Listener(outbox.engine, bell)
    listener.start()
    assert listener.listening.wait(_SECONDS)
    yield listener
    listener.stop()


def test_the_switch_can_be_thrown_twice(outbox: MigratedOutbox) -> None:
    """On and on again is on, off and off again is as if it had never been on."""

    before = catalog(outbox.engine)

    wakeup.switch(outbox.engine, on=True)
    once = catalog(outbox.engine)
    wakeup.switch(outbox.engine, on=True)

    assert catalog(outbox.engine) == once
    assert once.keys() - before.keys() == {
        "trigger upload_outbox_notify",
        "function upload_outbox_notify",
    }
    # Per row it would halve the rate of bulk inserts.
    assert "FOR EACH STATEMENT" in once["trigger upload_outbox_notify"]
    for _ in range(2):
        wakeup.switch(outbox.engine, on=False)
        assert catalog(outbox.engine) == before


@pytest.mark.usefixtures("listener")
def test_a_commit_wakes(outbox: MigratedOutbox, bell: Bell) -> None:
    """An insert wakes the daemon when it is committed: not before, and once for many rows."""

    with outbox.engine.connect() as client:
        client.execute(
            text(
                "INSERT INTO upload_outbox (storage_key, source_path)"
                " SELECT n::text, '/a' FROM generate_series(1, 100) AS n"
            )
        )
        assert bell.rings == 0
        client.commit()

    assert bell.wait()
    assert bell.rings == 1
    assert len(outbox.claim()) == 100


@pytest.mark.usefixtures("listener")
def test_a_rollback_does_not_wake(outbox: MigratedOutbox, bell: Bell) -> None:
    """A row that was never committed rings no bell: the next one that is rings the first."""

    with outbox.engine.connect() as client:
        client.execute(
            text("INSERT INTO upload_outbox (storage_key, source_path) VALUES ('a', '/a')")
        )
        client.rollback()
    outbox.insert()

    assert bell.wait()
    assert bell.rings == 1


def test_inserts_are_silent_while_it_is_off(outbox: MigratedOutbox, bell: Bell) -> None:
    """Off is the default: an insert rings nothing, one after the switch does."""

    listener = Listener(outbox.engine, bell)
    listener.start()
    assert listener.listening.wait(_SECONDS)

    outbox.insert()
    wakeup.switch(outbox.engine, on=True)
    outbox.insert()

    assert bell.wait()
    assert bell.rings == 1
    listener.stop()


def test_a_listener_outlives_its_connection(
    outbox: MigratedOutbox, bell: Bell, listener: Listener
) -> None:
    """A terminated session is replaced: the listener listens again and wakes as before."""

    def backends() -> set[int]:
        found = outbox.query(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return {row["pid"] for row in found}

    gone: set[int] = set()
    for _ in range(2):
        (session,) = wait_for(backends, _SECONDS, "the listener's session")
        outbox.query("SELECT pg_terminate_backend(:pid)", pid=session)
        gone.add(session)
        wait_for(lambda: backends() - gone, _SECONDS, "a new session")

        assert listener.listening.wait(_SECONDS)
        outbox.insert()
        assert bell.wait()


def test_a_stopped_listener_is_gone(outbox: MigratedOutbox, bell: Bell) -> None:
    """After its stop no thread is left and nothing rings."""

    wakeup.switch(outbox.engine, on=True)
    listener = Listener(outbox.engine, bell)
    listener.start()
    assert listener.listening.wait(_SECONDS)

    listener.stop()

    outbox.insert()
    assert "listener" not in {thread.name for thread in threading.enumerate()}
    assert bell.rings == 0
