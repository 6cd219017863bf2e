from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MissingServerError, need
from tests.support.process import ServerDiedError, ServerProcess, free_port
from tests.support.waiting import wait_for

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def says_ready(log: Path) -> Any:
    return lambda: "ready" in log.read_text()


def test_server_that_ends_tells_why(log: Path) -> None:
    """A server that ends before it is ready fails at once, with its last words."""
    server = ServerProcess(["sh", "-c", "echo no such disk; exit 3"], log, plain_user=True)

    with pytest.raises(ServerDiedError, match="ended with 3:\nno such disk"):
        server.start(lambda: False, 30)


def test_server_that_is_never_ready_is_killed(log: Path) -> None:
    """A server that is not ready in time is not left behind."""
    server = ServerProcess(["sh", "-c", "echo $$; exec sleep 60"], log, plain_user=True)

    with pytest.raises(TimeoutError, match="server to be ready"):
        server.start(lambda: False, 0.5)

    assert not is_alive(int(log.read_text()))


def test_stubborn_server_is_killed(log: Path) -> None:
    """A server that ignores SIGTERM is killed once its time is up, and its children with it."""
    script = "trap '' TERM; sleep 60 & echo $! ready; wait; wait"
    server = ServerProcess(["sh", "-c", script], log, plain_user=True)
    server.start(says_ready(log), 10)
    pid, child = server.pid, int(log.read_text().split()[0])

    server.stop(seconds=0.2)

    assert not is_alive(pid)
    wait_for(lambda: not is_alive(child), 10, "the child to be gone")


def test_server_dies_with_its_starter(log: Path) -> None:
    """A server does not outlive a test process that is killed."""
    starter = subprocess.Popen([sys.executable, "-c", STARTER, log], cwd=REPOSITORY)
    pid = int(wait_for(lambda: log.exists() and log.read_text().strip(), 30, "the server"))
    assert is_alive(pid)

    starter.kill()
    starter.wait()

    wait_for(lambda: not is_alive(pid), 10, "the server to be gone")


STARTER = """
import sys, pathlib, signal
from tests.support.process import ServerProcess
log = pathlib.Path(sys.argv[1])
server = ServerProcess(["sh", "-c", "echo $$; exec sleep 60"], log, plain_user=True)
server.start(lambda: True, 10)
signal.pause()
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_root_is_given_up(log: Path) -> None:
    """A server for a plain user never runs as root, even if the tests do."""
    server = ServerProcess(["sh", "-c", "echo ready; exec sleep 60"], log, plain_user=True)
    server.start(says_ready(log), 10)

    owner = Path(f"/proc/{server.pid}").stat().st_uid

    server.stop()
    assert owner != 0


def test_free_port_is_free() -> None:
    """A free port can be bound, and the kernel will not hand it to a client meanwhile."""
    port = free_port()

    with socket.create_server(("127.0.0.1", port)):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        assert port < lowest


class Absent:
    @classmethod
    def missing(cls) -> str | None:
        """Never here."""
        return "apt-get install --yes nothing"


def test_missing_server_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine a missing server skips its tests and says how to get it."""
    monkeypatch.delenv("OUTHAUL_TESTS_REQUIRE_ALL", raising=False)

    with pytest.raises(pytest.skip.Exception, match="apt-get install --yes nothing"):
        need(Absent)


def test_missing_server_fails_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all servers are required, as in CI, a missing one is an error."""
    monkeypatch.setenv("OUTHAUL_TESTS_REQUIRE_ALL", "1")

    with pytest.raises(MissingServerError, match="apt-get install --yes nothing"):
        need(Absent)


def test_wait_for_names_what_did_not_come() -> None:
    """A wait that ends in vain says what it was for."""
    with pytest.raises(TimeoutError, match="in vain for a miracle"):
        wait_for(lambda: None, 0.05, "a miracle")
