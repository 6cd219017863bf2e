"""What the service manager hears: ready when it is true, alive while it moves, more time to end."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.deployment import Deployment
from tests.support.notify_socket import NotifySocket
from tests.support.tcp_front import TcpFront
from tests.support.waiting import wait_for

READY = "READY=1"
PING = "WATCHDOG=1"
WAITING = "STATUS=waiting for the database"
AWAY = "STATUS=database not reachable, waiting, 0 jobs in flight"
IDLE = "STATUS=ready, 0 jobs in flight"

#: Half a second between two pings, so this many take twice what the watchdog grants.
ENOUGH = 4


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NotifySocket]:
    """A service manager with a watchdog of one second."""
    with NotifySocket(tmp_path / "notify", watchdog_seconds=1) as listening:
        yield listening


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_database_outage_is_no_hang(deployment: Deployment, manager: NotifySocket) -> None:
    """Ready only once the database answers; pings while it is away later; a stop all the same."""

    with TcpFront(deployment.database_url) as front, ExitStack() as stack:
        settings = manager.environment | {"OUTHAUL_DATABASE_URL": front.database_url}
        daemon = deployment.daemon(**settings)
        stack.push(daemon)
        front.refuse()
        daemon.start(wait=False)
        manager.wait(WAITING, times=2)
        assert READY not in manager.messages
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in manager.messages)
        front.restore()
        manager.wait(IDLE)
        assert manager.messages.count(READY) == 1
        front.refuse()
        manager.wait(AWAY)
        manager.wait(PING, times=ENOUGH)
        front.restore()
        manager.wait(IDLE)
        front.refuse()
        assert daemon.stop(15) == 0


def test_a_store_outage_is_no_hang(sqlite_deployment: Deployment, manager: NotifySocket) -> None:
    """With all workers stuck at silent stores the pings go on, and the status counts the jobs."""

    deployment = sqlite_deployment
    deployment.s3.stall(times=math.inf)
    with deployment.daemon(OUTHAUL_WORKERS="2", **manager.environment):
        for name in ("one", "two"):
            deployment.insert_file(name)
        manager.wait("STATUS=ready, 2 jobs in flight")
        manager.wait(PING, times=ENOUGH)


def test_a_stop_is_announced_and_given_its_time(
    sqlite_deployment: Deployment, manager: NotifySocket
) -> None:
    """STOPPING comes first, and while uploads drain more time is asked for, again and again."""

    deployment = sqlite_deployment
    held = deployment.s3.hold(method="PUT")
    with deployment.daemon(OUTHAUL_DRAIN_SECONDS="60", **manager.environment) as daemon:
        deployment.insert_file("draining.bin")
        assert held.arrived.wait(30)
        daemon.signal(signal.SIGTERM)
        wait_for(lambda: len(_extensions(manager)) >= 2, 30, "more time to be asked for")
        held.release()
        assert daemon.wait() == 0

    stopping = manager.messages.index("STOPPING=1")
    assert stopping < manager.messages.index(f"EXTEND_TIMEOUT_USEC={_extensions(manager)[0]}")
    # What is left of the drain, and a few seconds for the end itself.
    assert all(0 < microseconds < 90_000_000 for microseconds in _extensions(manager))
    assert PING not in manager.messages[stopping:]


def _extensions(manager: NotifySocket) -> list[int]:
    name = "EXTEND_TIMEOUT_USEC="
    return [int(line.removeprefix(name)) for line in manager.messages if line.startswith(name)]
