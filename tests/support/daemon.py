"""The real daemon as a process of its own, in a clean environment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import wait_for

#: Importing boto3, oss2 and SQLAlchemy takes 1.4 s on an idle core, and tests run in parallel.
START_SECONDS = 30.0

#: A test run that is killed must not leave daemons behind. setpriv then becomes the daemon.
_DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class DaemonProcess:
    """`outhaul run`, its log in a file.

    Args:
        environment: the whole environment of the process.
        log: where its standard error goes, over all starts.
        arguments: what is run instead of `run`.
    """

    def __init__(
        self, environment: dict[str, str], log: Path, arguments: tuple[str, ...] = ("run",)
    ) -> None:
        self._environment, self.log, self._arguments = environment, log, arguments
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        return self._process.pid

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise AssertionError("the daemon was never started")
        return self._child

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it says that it is ready."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*_DIES_WITH_US, sys.executable, "-m", "outhaul", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        if wait:
            wait_for(self._is_ready, START_SECONDS, "the daemon to be ready")

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(
                f"the daemon ended with {self._process.returncode}:\n{self.text()}"
            )
        return any(event["event"] == "outhaul is ready" for event in self.events())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGTERM, SIGSTOP or SIGKILL."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL, and wait for that."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 30.0) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(seconds)

    def text(self) -> str:
        """The log of the last start."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The JSON events of the last start, all or those of one name."""
        found = []
        for line in self.text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if name is None or event.get("event") == name:
                found.append(event)
        return found
