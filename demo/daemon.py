"""The daemon, a process of its own, its log live on the terminal."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO, Self

from demo import stage

#: Loading boto3 and SQLAlchemy takes a second, and the machine may be busy.
_START_SECONDS = 60

_STOP_SECONDS = 30


class Daemon:
    """`outhaul run`; a context manager.

    Args:
        environment: all that it gets to know.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        # In a session of its own, so that Ctrl-C ends it through us, in order; the death signal
        # is for the case that we are killed.
        command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "outhaul", "run"]
        self._process = subprocess.Popen(  # noqa: S603 - no outside input
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._echo = threading.Thread(target=self._repeat, args=[self._process.stdout])
        self._echo.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._echo.join()

    def wait_ready(self) -> None:
        """Return once it serves."""
        stage.promise(self._ready.wait(_START_SECONDS), "the daemon starts")
        stage.promise(self._process.poll() is None, "the daemon runs")

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(_STOP_SECONDS)
        self._echo.join()
        return code

    def _repeat(self, log: IO[str]) -> None:
        for line in log:
            stage.quote(line, "log|")
            if "outhaul is ready" in line:
                self._ready.set()
        self._ready.set()
