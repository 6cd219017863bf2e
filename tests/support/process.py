"""Server processes that never outlive the tests: started as a plain user, stopped by pid."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Who runs a server that refuses to run as root. Debian has this account from the start.
_PLAIN_USER, _PLAIN_GROUP = "nobody", "nogroup"
_LOG_TAIL = 4000


class ServerDiedError(Exception):
    """A server ended while it was waited for; the message holds the end of its log."""


class ServerProcess:
    """One server program, its output in a log file.

    Args:
        command: the program and its arguments.
        log: the file that output is appended to, over all starts.
        plain_user: run as `nobody` if the tests run as root.
        death_signal: what the kernel sends the server if the thread that started it dies, so start
            servers from the main thread. Name it like `setpriv` does, without `SIG`.
    """

    def __init__(
        self, command: Sequence[str], log: Path, *, plain_user: bool, death_signal: str = "KILL"
    ) -> None:
        self.log = log
        self._command = [*_setpriv(plain_user=plain_user, death_signal=death_signal), *command]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, which is also that of its session."""
        return self._running().pid

    def start(self, ready: Callable[[], object], seconds: float) -> None:
        """Start the server and return once `ready()` is truthy.

        Raises:
            ServerDiedError: it ended before it was ready.
            TimeoutError: it was not ready in time; it has been killed.
        """
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                start_new_session=True,
            )
        try:
            wait_for(lambda: self._is_alive() and ready(), seconds, f"{self._name} to be ready")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, such as `SIGSTOP` for one that hangs."""
        self._running().send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 10) -> None:
        """Signal the server and wait for its end; past `seconds`, kill it and what it started."""
        if self._child is None:
            return
        child, self._child = self._child, None
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ServerDiedError(f"{self._name} is not running")
        return self._child

    def _is_alive(self) -> bool:
        status = self._running().poll()
        if status is not None:
            raise ServerDiedError(f"{self._name} ended with {status}:\n{self._log_tail()}")
        return True

    @property
    def _name(self) -> str:
        return Path(self.log).stem

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_TAIL:]


def run(command: Sequence[str], directory: Path, *, plain_user: bool) -> None:
    """Run a program to its end in `directory`, such as one that makes an empty data directory.

    Raises:
        ServerDiedError: it failed; the message holds its output.
    """
    done = subprocess.run(
        [*_setpriv(plain_user=plain_user, death_signal="KILL"), *command],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    if done.returncode:
        output = done.stdout.decode(errors="replace")[-_LOG_TAIL:]
        raise ServerDiedError(f"{command[0]} ended with {done.returncode}:\n{output}")


def data_directory(prefix: str, *, plain_user: bool) -> Path:
    """Make a temporary directory that the server's user owns; `shutil.rmtree` it in the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
    if plain_user and os.geteuid() == 0:
        shutil.chown(directory, _PLAIN_USER, _PLAIN_GROUP)
    return directory


def free_port() -> int:
    """A loopback TCP port that nobody listens on.

    It lies below the range from which the kernel serves port 0 and outgoing connections, so that
    only another explicit choice can take it between this answer and the server's start. The choice
    ignores the seed of `random`: parallel test runs share it.
    """
    return next(port for port in _candidates() if _is_free(port))


def _candidates() -> Iterator[int]:
    while True:
        yield 10_000 + secrets.randbelow(22_000)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _setpriv(*, plain_user: bool, death_signal: str) -> list[str]:
    # setpriv sets the death signal after it changed the user, which clears it; a preexec_fn would
    # have to do both itself, and is unsafe in a process with threads.
    command = ["setpriv", "--pdeathsig", death_signal]
    if plain_user and os.geteuid() == 0:
        command += ["--reuid", _PLAIN_USER, "--regid", _PLAIN_GROUP, "--clear-groups"]
    return [*command, "--"]
