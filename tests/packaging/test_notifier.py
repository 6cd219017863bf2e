"""The notifier against a notify socket of our own."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from typing import TYPE_CHECKING

import pytest

from outhaul.notifier import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end, at either kind of address."""
    abstract = f"\0outhaul-{secrets.token_hex(8)}"
    address = abstract if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.settimeout(5)
        yield end


@pytest.fixture
def notifier(manager: socket.socket) -> Notifier:
    """A notifier that the manager has given its address."""
    name = manager.getsockname()
    return Notifier({"NOTIFY_SOCKET": name if isinstance(name, str) else _printed(name)})


def _printed(abstract: bytes) -> str:
    return "@" + abstract[1:].decode()


def received(manager: socket.socket) -> str:
    """Return the next datagram."""
    return manager.recv(65536).decode()


def test_ready_comes_with_its_status(manager: socket.socket, notifier: Notifier) -> None:
    """READY and the status arrive in one datagram: there is no moment with one of them only."""
    notifier.ready("serving default")

    assert received(manager) == "READY=1\nSTATUS=serving default"


def test_status_is_shown(manager: socket.socket, notifier: Notifier) -> None:
    """A status is passed on as it is, whatever its language."""
    notifier.status("3 läuft, 重试")

    assert received(manager) == "STATUS=3 läuft, 重试"


def test_stopping_is_said(manager: socket.socket, notifier: Notifier) -> None:
    """A graceful stop announces itself."""
    notifier.stopping()

    assert received(manager) == "STOPPING=1"


def test_extend_counts_in_microseconds(manager: socket.socket, notifier: Notifier) -> None:
    """More time is asked for in systemd's unit, from a value in seconds."""
    notifier.extend(2.5)

    assert received(manager) == "EXTEND_TIMEOUT_USEC=2500000"


def test_ping_feeds_the_watchdog(manager: socket.socket, notifier: Notifier) -> None:
    """Each ping is one message."""
    notifier.ping()
    notifier.ping()

    assert [received(manager), received(manager)] == ["WATCHDOG=1", "WATCHDOG=1"]


@pytest.mark.parametrize("break_", ["\n", "\r", "\0", "\u2028", "\x1b", "\ud800"])
def test_status_cannot_forge_a_message(
    manager: socket.socket, notifier: Notifier, break_: str
) -> None:
    """What would start another assignment, or have the datagram refused, becomes a space."""
    notifier.status(f"a file named{break_}STOPPING=1")

    assert received(manager) == "STATUS=a file named STOPPING=1"


def test_long_status_does_not_cost_the_ready(manager: socket.socket, notifier: Notifier) -> None:
    """Datagrams over 4,096 bytes are dropped by systemd, so ours stay below in any alphabet."""
    notifier.ready("\U0001f4e6" * 10_000)

    assert len(manager.recv(65536)) < 4096


@pytest.mark.parametrize("name", ["", "/nowhere/notify", "@outhaul-nobody-home", "vsock:2:1234"])
def test_nobody_to_notify_is_no_error(name: str) -> None:
    """Without a manager, or with one that is gone, every message is silently dropped."""
    notifier = Notifier({"NOTIFY_SOCKET": name})

    notifier.ready("up")
    notifier.status("working")
    notifier.extend(1)
    notifier.ping()
    notifier.stopping()


def test_a_stuck_manager_does_not_hold_up_the_daemon(tmp_path: Path) -> None:
    """A full queue that nobody reads costs a moment, not the thread."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            filler.connect(str(tmp_path / "notify"))
            with contextlib.suppress(BlockingIOError):
                while filler.send(b"WATCHDOG=1"):
                    pass

            Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).ping()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval_is_half_the_timeout(
    environ: dict[str, str], interval: float | None
) -> None:
    """Two pings fit into a timeout; a watchdog of another process, or of none, is not ours."""
    assert Notifier(environ).watchdog_interval == interval


def test_the_process_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch, manager: socket.socket
) -> None:
    """A daemon says `Notifier()`, and systemd's own variables are read."""
    name = manager.getsockname()
    monkeypatch.setenv("NOTIFY_SOCKET", name if isinstance(name, str) else _printed(name))

    Notifier().ping()

    assert received(manager) == "WATCHDOG=1"
