"""Several daemons as one service: started together, restarted when they die, stopped together.

Python threads share one core, so a host with n cores runs n processes. They share nothing but
the outbox: each is a whole daemon with leases of its own. They speak the protocol of sd_notify
with us, as we do with systemd: ready when all are, alive while all are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from outhaul import logs
from outhaul.notifier import Notifier

#: What a daemon exits with when its configuration is not usable: no restart would help.
_CONFIG = 78

#: Seconds before a dead daemon is started anew; doubled each time it dies young.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0

#: A daemon that lived so long has a clean record.
_GROWN_UP_SECONDS = 60.0

#: Each daemon shows signs of life at half of this; without them we stop feeding the watchdog.
_WATCHDOG_SECONDS = 30.0

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class Child:
    """One daemon: its process, and the socket on which it reports."""

    socket: socket.socket
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    heard: float = 0.0
    ready: bool = False
    pause: float = _FIRST_PAUSE
    again_at: float = 0.0
    status: str = ""


@dataclass(slots=True)
class Supervisor:
    """Runs `count` daemons until a signal.

    Args:
        command: starts one daemon.
        count: how many.
        environment: of each daemon; its NOTIFY_SOCKET and watchdog are replaced.
        notifier: systemd, or nobody.
    """

    command: Sequence[str]
    count: int
    environment: Mapping[str, str]
    notifier: Notifier
    _children: list[Child] = field(default_factory=list)
    _signals: int = 0
    _announced: bool = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT.

        Returns:
            The exit code: 0 after an orderly end, 78 if the configuration is not usable.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with contextlib.ExitStack() as stack:
            self._children = [Child(stack.enter_context(_socket())) for _ in range(self.count)]
            code = self._supervise()
            self._stop_all()
        return code

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _supervise(self) -> int:
        while not self._signals:
            now = time.monotonic()
            for child in self._children:
                if self._look_after(child, now) == _CONFIG:
                    return _CONFIG
            self._listen()
            self._report(time.monotonic())
        return 0

    def _look_after(self, child: Child, now: float) -> int | None:
        """Start a daemon that is not there; the exit code of one that just ended."""
        code = child.process.poll() if child.process else None
        if child.process and code is not None:
            logs.child_ended(child.process.pid, code)
            young = now - child.started < _GROWN_UP_SECONDS
            child.pause = min(child.pause * 2, _LONGEST_PAUSE) if young else _FIRST_PAUSE
            child.process, child.ready, child.again_at = None, False, now + child.pause
        elif child.process is None and now >= child.again_at:
            child.process = self._start(child)
            child.started = child.heard = now
        return code

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        name = child.socket.getsockname()
        reports = {
            "NOTIFY_SOCKET": "@" + os.fsdecode(name[1:]),
            "WATCHDOG_USEC": str(round(_WATCHDOG_SECONDS * 1e6)),
        }
        environment = {k: v for k, v in self.environment.items() if k != "WATCHDOG_PID"} | reports
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            self.command,
            env=environment,
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )

    def _listen(self) -> None:
        """Take what the daemons report, for at most half a second."""
        sockets = {child.socket: child for child in self._children}
        readable, _, _ = select.select(list(sockets), [], [], _LOOK_SECONDS)
        for sock in readable:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._heed(sockets[sock], sock.recv(4096).decode(errors="replace"))

    def _heed(self, child: Child, message: str) -> None:
        child.heard = time.monotonic()
        for line in message.split("\n"):
            name, _, value = line.partition("=")
            match name:
                case "READY":
                    child.ready = True
                case "STATUS":
                    child.status = value
                case "EXTEND_TIMEOUT_USEC" if value.isdigit():
                    self.notifier.extend(int(value) / 1e6)

    def _report(self, now: float) -> None:
        status = "; ".join(child.status for child in self._children if child.status)
        if not self._announced and all(child.ready for child in self._children):
            self._announced = True
            self.notifier.ready(status)
        if self._announced:
            self.notifier.status(status)
        if self._announced and all(now - c.heard < _WATCHDOG_SECONDS for c in self._children):
            self.notifier.ping()

    def _stop_all(self) -> None:
        """Pass the signals on, and wait; each daemon bounds its own drain."""
        self.notifier.stopping()
        running = [child.process for child in self._children if child.process]
        passed = 0
        while any(process.poll() is None for process in running):
            if passed < max(self._signals, 1):
                passed += 1
                for process in running:
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(signal.SIGTERM)
            self._listen()


def _socket() -> socket.socket:
    """An abstract datagram socket: it needs no directory and leaves nothing behind."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(f"\0outhaul-{os.getpid()}-{secrets.token_hex(8)}")
    return sock


def _die_with_parent() -> None:
    """A daemon must not outlive a supervisor that was killed: systemd starts another one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
