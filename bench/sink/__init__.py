"""The discarding server: C sources beside this file, compiled when first needed."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.support.process import ServerProcess

from bench.fleet import HOME

_SOURCES = sorted(Path(__file__).parent.glob("*.[ch]"))
_FLAGS = ("-O3", "-std=gnu11", "-Wall", "-Wextra")


def build() -> Path:
    """Compile it, unless these very sources are compiled already."""
    compiler = shutil.which("cc") or "cc"
    state = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES))
    program = HOME / f"sink-{state.hexdigest()[:12]}"
    if not program.exists():
        HOME.mkdir(exist_ok=True)
        sources = [str(source) for source in _SOURCES if source.suffix == ".c"]
        subprocess.run([compiler, *_FLAGS, "-o", str(program), *sources], check=True)
    return program


class Sink:
    """A store of either protocol that proves everything and keeps nothing; a context manager.

    Args:
        log: the file that its output goes to.
        latency_ms: how long it takes over each answer.
        md5: whether its ETags are real: nobody who can have a checksum needs them.
    """

    def __init__(self, log: Path, *, latency_ms: float = 0, md5: bool = False) -> None:
        command = [str(build()), f"--latency-us={latency_ms * 1000:.0f}", *["--md5"] * md5]
        self._log = log
        self._process = ServerProcess(command, log, plain_user=False)
        self.port = 0

    def __enter__(self) -> Self:
        self._process.start(self._has_port, 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def counts(self) -> dict[str, int]:
        """`requests`, whole `objects`, and `bytes` of bodies, since the start."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/-/counts")
            return dict(json.loads(connection.getresponse().read()))
        finally:
            connection.close()

    def _has_port(self) -> bool:
        written = self._log.read_text()
        if written.endswith("\n"):
            self.port = int(written)
        return bool(self.port)
