"""PostgreSQL's own load generator, in C: what the server does when no client is in its way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from bench.figures import PeerError

_RATE = re.compile(r"tps = ([\d.]+)")


def rate(dsn: str, script: str, clients: int, *limit: str) -> float:
    """Run a script over and over; returns transactions per second.

    Args:
        dsn: a libpq URL.
        script: pgbench's language; each script is one transaction.
        clients: connections, each with prepared statements.
        limit: `-t N` per client, or `-T seconds`.

    Raises:
        PeerError: pgbench is not installed, or it failed.
    """
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "script.sql"
        file.write_text(script)
        done = subprocess.run(
            [*_command(dsn, clients), *limit, f"--file={file}", urlsplit(dsn).path[1:]],
            capture_output=True,
            text=True,
            env=os.environ | {"PGPASSWORD": urlsplit(dsn).password or ""},
            check=False,
        )
    found = _RATE.search(done.stdout)
    if done.returncode or not found:
        raise PeerError(f"pgbench: {done.stderr[-500:]}")
    return float(found[1])


def _command(dsn: str, clients: int) -> list[str]:
    parts = urlsplit(dsn)
    return [
        _program(),
        f"--host={parts.hostname}",
        f"--port={parts.port}",
        f"--username={parts.username}",
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={clients}",
        f"--jobs={min(clients, os.cpu_count() or 1)}",
    ]


def _program() -> str:
    path = shutil.which("pgbench")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    if path is None and not installed:
        raise PeerError("pgbench is not installed")
    return path or str(installed[-1])
